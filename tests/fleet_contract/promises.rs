//! The promises.

use std::time::Duration;

use rollout::model::{Observation, Target};
use rollout::ports::{FleetDriver, FleetError};
use tokio::time::{sleep, timeout};

use crate::common::{PATIENCE, wait_for};
use crate::{World, order, target, version};

/// What is seen once something can be said.
async fn seen(driver: &dyn FleetDriver, target: &Target) -> Observation {
    wait_for("an observation", async || driver.observe(target).await.ok()).await
}

async fn shows(driver: &dyn FleetDriver, target: &Target, wanted: &str) {
    let seen = seen(driver, target).await;
    assert_eq!(seen.version, Some(version(wanted)), "{seen:?}");
    assert_ne!(seen.running, Some(false), "{seen:?}");
}

/// So often and no oftener; a process may come to saying so only a moment after it was started.
async fn started(world: &impl World, target: &Target, times: usize) {
    wait_for("the start", async || (world.starts(target) >= times).then_some(())).await;
    assert_eq!(world.starts(target), times);
}

pub(crate) async fn nothing_is_there_at_first(world: &mut impl World) {
    match world.driver().observe(&target(1)).await {
        Ok(seen) => assert!(seen.version.is_none() && seen.running != Some(true), "{seen:?}"),
        // It can say nothing, which is true as well.
        Err(FleetError::Unreachable(_) | FleetError::Unknown(_)) => {}
        Err(error) => panic!("looking cannot fail an act: {error}"),
    }
    assert_eq!(world.starts(&target(1)), 0, "looking starts nothing");
}

pub(crate) async fn an_update_brings_the_version(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    shows(&*driver, &one, "v1").await;
    // Nor is it this engine alone that sees it.
    shows(&*world.driver(), &one, "v1").await;
    started(world, &one, 1).await;
    driver.update(&order(&one, "v2", Some("v1"), 2)).await.unwrap();
    shows(&*driver, &one, "v2").await;
    started(world, &one, 2).await;
}

pub(crate) async fn the_same_order_twice_is_one(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    // Nor by an engine that takes over.
    world.driver().update(&order(&one, "v1", None, 1)).await.unwrap();
    started(world, &one, 1).await;
    // Another order is another start, though it brings nothing new.
    driver.update(&order(&one, "v1", Some("v1"), 2)).await.unwrap();
    started(world, &one, 2).await;
    shows(&*driver, &one, "v1").await;
}

pub(crate) async fn a_version_that_does_not_start_is_told(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    match driver.update(&order(&one, "bad2", Some("v1"), 2)).await {
        Err(FleetError::Failed(why)) => assert!(!why.is_empty()),
        Ok(()) => {
            let ended = wait_for("its end", async || {
                let seen = driver.observe(&one).await.ok()?;
                (seen.running == Some(false)).then_some(seen.ended)
            });
            assert!(ended.await.is_some_and(|how| !how.is_empty()), "there is a reason");
        }
        Err(error) => panic!("the driver saw it and does not know: {error}"),
    }
    driver.update(&order(&one, "v1", Some("bad2"), 3)).await.unwrap();
    shows(&*driver, &one, "v1").await;
}

pub(crate) async fn it_goes_back(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    for (n, (to, from)) in [("v1", None), ("v2", Some("v1")), ("v1", Some("v2")), ("v2", Some("v1"))].into_iter().enumerate() {
        driver.update(&order(&one, to, from, u32::try_from(n).unwrap())).await.unwrap();
        shows(&*driver, &one, to).await;
    }
}

pub(crate) async fn an_update_that_is_dropped_can_be_followed_by_another(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    let starts = world.starts(&one);
    let slow = order(&one, "slow2", Some("v1"), 2);
    {
        let mut update = Box::pin(driver.update(&slow));
        let begun = wait_for("its start", async || (world.starts(&one) > starts).then_some(()));
        tokio::select! {
            _ = &mut update => {}
            () = begun => {}
        }
    }
    // Whatever is seen is seen.
    seen(&*driver, &one).await;
    timeout(PATIENCE, driver.update(&order(&one, "v3", Some("slow2"), 3))).await.unwrap().unwrap();
    shows(&*driver, &one, "v3").await;
    // And what was given up does not come back.
    sleep(Duration::from_millis(300)).await;
    shows(&*driver, &one, "v3").await;
}

pub(crate) async fn a_host_that_is_cut_off_is_unknown(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    let starts = world.starts(&one);
    if !world.cut() {
        return;
    }
    let error = driver.observe(&one).await.unwrap_err();
    assert!(matches!(error, FleetError::Unreachable(_) | FleetError::Unknown(_)), "{error:?}");
    let error = driver.update(&order(&one, "v2", Some("v1"), 2)).await.unwrap_err();
    assert!(matches!(error, FleetError::Unreachable(_) | FleetError::Unknown(_)), "{error:?}");
    let complaints = driver.check(&one, &version("v2")).await;
    assert!(!complaints.is_empty(), "it is said before anything is touched");
    assert_eq!(world.starts(&one), starts);
}

pub(crate) async fn what_is_odd_arrives_as_it_is(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    for (n, odd) in ["v1+b.2_3", "v0-..-", "v9.9_rc+1"].into_iter().enumerate() {
        driver.update(&order(&one, odd, None, u32::try_from(n).unwrap())).await.unwrap();
        shows(&*driver, &one, odd).await;
    }
}

pub(crate) async fn two_instances_at_once(world: &mut impl World) {
    let (driver, one, two) = (world.driver(), target(1), target(2));
    let (first, second) = (order(&one, "v1", None, 1), order(&two, "v2", None, 1));
    let (first, second) = tokio::join!(driver.update(&first), driver.update(&second));
    first.unwrap();
    second.unwrap();
    shows(&*driver, &one, "v1").await;
    shows(&*driver, &two, "v2").await;
    started(world, &one, 1).await;
    started(world, &two, 1).await;
}

pub(crate) async fn what_is_missing_is_named_and_nothing_touched(world: &mut impl World) {
    let one = target(1);
    let named = match world.lacking() {
        Err(why) => vec![why],
        Ok(driver) => driver.check(&one, &version("v1")).await,
    };
    assert!(named.iter().any(|why| why.contains("no-such")), "{named:?}");
    let driver = world.driver();
    assert_eq!(driver.check(&one, &version("v1")).await, Vec::<String>::new());
    assert_eq!(world.starts(&one), 0);
    if let Ok(seen) = driver.observe(&one).await {
        assert!(seen.version.is_none(), "{seen:?}");
    }
}

pub(crate) async fn what_runs_can_be_stopped(world: &mut impl World) {
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    assert!(driver.owns(&one).await);
}
