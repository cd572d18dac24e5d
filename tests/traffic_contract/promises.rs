//! What every traffic driver promises, each with a world of its own.
//!
//! Imports: the shared parts. May not: know which balancer it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollout::model::Rotation;
use rollout::ports::TrafficError;

use crate::common::{PATIENCE, wait_for};
use crate::world::{World, ask, rotation, shares, until};

/// In, out and unknown are read as such, of all at once.
pub(crate) async fn reads(world: impl World) {
    let targets: Vec<_> = (1..=4).map(|number| world.instances().target(number)).collect();
    let driver = world.driver();
    until(&world, 2, Rotation::Serving).await;
    driver.take_out(&targets[0]).await.expect("out");
    let read = driver.read(&targets).await.expect("a reading");
    let rotations: Vec<Rotation> = targets.iter().map(|target| read[&target.id]).collect();
    assert_eq!(rotations, [Rotation::Draining, Rotation::Serving, Rotation::Serving, Rotation::Missing]);
    for order in [driver.take_out(&targets[3]).await.map(drop), driver.admit(&targets[3]).await] {
        assert!(order.is_err(), "what the balancer does not know is neither out nor in: {order:?}");
    }
}

/// Out: no new request arrives there. Twice is once. In: it serves again.
pub(crate) async fn out_is_out_and_in_is_in(world: impl World) {
    let (driver, first) = (world.driver(), world.instances().target(1));
    for _ in 0..2 {
        driver.take_out(&first).await.expect("out");
        assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
        let shares = shares(&world, 12).await;
        assert!(shares.keys().all(|who| who == "web-02" || who == "web-03") && shares.len() == 2, "{shares:?}");
    }
    for _ in 0..2 {
        wait_for("web-01 in", async || driver.admit(&first).await.ok()).await;
        assert_eq!(rotation(&world, 1).await, Some(Rotation::Serving));
        let shares = shares(&world, 12).await;
        assert!(shares.contains_key("web-01") && shares.len() == 3, "{shares:?}");
    }
}

/// A request under way is counted until it ends, and it is answered.
pub(crate) async fn a_request_under_way_is_finished(world: impl World) {
    let (driver, first) = (world.driver(), world.instances().target(1));
    for other in [2, 3] {
        driver.take_out(&world.instances().target(other)).await.expect("out");
    }
    let held = || world.instances().held[0].load(Ordering::SeqCst);
    let meanwhile = async {
        wait_for("a held request", async || (held() == 1).then_some(())).await;
        for other in [2, 3] {
            wait_for("the others in", async || driver.admit(&world.instances().target(other)).await.ok()).await;
        }
        let left = driver.take_out(&first).await.expect("out");
        if counts(&world) {
            assert_eq!(left, Some(1), "the request under way");
            assert_eq!(driver.sessions(&first).await, Ok(Some(1)));
        }
        assert_ne!(ask(world.front(), "/").await, "web-01");
        assert_eq!(held(), 1, "it goes on");
        world.instances().release.add_permits(1);
    };
    let (answer, ()) = tokio::join!(ask(world.front(), "/held"), meanwhile);
    assert_eq!(answer, "web-01");
    if counts(&world) {
        wait_for("the drain", async || (driver.sessions(&first).await == Ok(Some(0))).then_some(())).await;
    }
}

fn counts<W: World>(_world: &W) -> bool {
    W::traits().counts
}

/// What somebody else took out is never put back.
pub(crate) async fn what_somebody_else_took_out_stays_out<W: World>(world: W) {
    let (driver, second) = (world.driver(), world.instances().target(2));
    until(&world, 2, Rotation::Serving).await;
    world.take_out_by_somebody_else().await;
    until(&world, 2, W::traits().foreign).await;
    for order in [driver.admit(&second).await, driver.take_out(&second).await.map(drop), driver.admit(&second).await] {
        assert!(matches!(&order, Err(TrafficError::Refused(why)) if !why.is_empty()), "{order:?}");
    }
    assert_eq!(rotation(&world, 2).await, Some(W::traits().foreign));
    let shares = shares(&world, 6).await;
    assert!(!shares.contains_key("web-02"), "{shares:?}");
    driver.take_out(&world.instances().target(1)).await.expect("the others are ours to drain");
    assert_eq!(rotation(&world, 2).await, Some(W::traits().foreign), "other orders do not change it");
}

/// An order that is given up at any moment leaves what the next order mends.
pub(crate) async fn an_order_that_was_given_up_is_mended_by_the_next(world: impl World) {
    let (driver, first) = (world.driver(), world.instances().target(1));
    for micros in [0, 1000, 20_000, 100_000] {
        tokio::time::timeout(Duration::from_micros(micros), driver.take_out(&first)).await.ok();
        let read = rotation(&world, 1).await;
        assert!(matches!(read, Some(Rotation::Serving | Rotation::Partly | Rotation::Draining)), "after {micros} µs: {read:?}");
        driver.take_out(&first).await.expect("out");
        assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining), "after {micros} µs");
        assert_ne!(ask(world.front(), "/").await, "web-01");
        tokio::time::timeout(Duration::from_micros(micros), driver.admit(&first)).await.ok();
        wait_for("in", async || driver.admit(&first).await.ok()).await;
        assert_eq!(rotation(&world, 1).await, Some(Rotation::Serving), "after {micros} µs");
    }
    let shares = shares(&world, 12).await;
    assert!(shares.contains_key("web-01"), "{shares:?}");
}

/// Orders about several instances at once, by one operator or two, do not undo each other.
pub(crate) async fn two_orders_at_once_do_not_undo_each_other(world: impl World) {
    let (one, two) = (world.driver(), world.driver());
    let (first, second) = (world.instances().target(1), world.instances().target(2));
    for _ in 0..2 {
        let (left, right) = tokio::join!(one.take_out(&first), two.take_out(&second));
        left.and(right).expect("both are out");
        let (left, right) = tokio::join!(one.take_out(&first), one.take_out(&second));
        left.and(right).expect("both are out still");
        assert_eq!(shares(&world, 6).await.into_keys().collect::<Vec<_>>(), ["web-03"]);
        let both = async || {
            let (left, right) = tokio::join!(one.admit(&first), one.admit(&second));
            left.and(right).ok()
        };
        wait_for("both in", both).await;
        let shares = shares(&world, 12).await;
        assert_eq!(shares.len(), 3, "{shares:?}");
    }
}

/// While orders about others are carried out, by us or by another operator, whoever is out reads as out.
pub(crate) async fn orders_about_others_do_not_make_it_seem_undone(world: impl World) {
    let (driver, first, second) = (world.driver(), world.instances().target(1), world.instances().target(2));
    driver.take_out(&first).await.expect("out");
    for orderer in [world.driver(), Arc::clone(&driver)] {
        let orders = async {
            for _ in 0..2 {
                orderer.take_out(&second).await.expect("out");
                wait_for("in", async || orderer.admit(&second).await.ok()).await;
            }
        };
        let reads = async {
            loop {
                assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
                let read = driver.read(std::slice::from_ref(&first)).await.expect("a reading");
                assert_eq!(read[&first.id], Rotation::Draining);
            }
        };
        tokio::select! { () = orders => {}, () = reads => {} }
    }
}

/// A balancer that is gone is said to be unreachable, within bounds; when it is back, what it forgot is seen.
pub(crate) async fn a_balancer_that_was_gone_is_read_anew<W: World>(mut world: W) {
    let (driver, first) = (world.driver(), world.instances().target(1));
    driver.take_out(&first).await.expect("out");
    world.kill();
    let orders = async {
        let read = driver.read(std::slice::from_ref(&first)).await.map(drop);
        [read, driver.take_out(&first).await.map(drop), driver.admit(&first).await, driver.sessions(&first).await.map(drop)]
    };
    for answer in tokio::time::timeout(PATIENCE, orders).await.expect("an answer in time") {
        let error = answer.expect_err("nobody is there");
        assert!(!matches!(error, TrafficError::NotConfirmed(_)) && !error.to_string().is_empty(), "{error:?}");
    }
    world.start().await;
    let wanted = if W::traits().remembers { Rotation::Draining } else { Rotation::Serving };
    until(&world, 1, wanted).await;
    wait_for("out again", async || driver.take_out(&first).await.ok()).await;
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
    assert_ne!(ask(world.front(), "/").await, "web-01");
    wait_for("in again", async || driver.admit(&first).await.ok()).await;
}

/// A check says nothing where nothing is wrong, says what is, and changes nothing.
pub(crate) async fn a_check_changes_nothing(mut world: impl World) {
    let (driver, targets) = (world.driver(), [world.instances().target(1), world.instances().target(2)]);
    until(&world, 2, Rotation::Serving).await;
    driver.take_out(&targets[0]).await.expect("out");
    assert_eq!(driver.check(&targets).await, Vec::<String>::new());
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
    assert_eq!(rotation(&world, 2).await, Some(Rotation::Serving));
    driver.counters().await.expect("what it counts, if it does");
    world.kill();
    let (complaints, read) = tokio::join!(driver.check(&targets), driver.read(&targets));
    assert!(read.is_err() || !complaints.is_empty(), "nobody is there, and nobody says so");
}

/// A spare instance is made known and serves, and is forgotten once it is idle; where that cannot be, it is refused.
pub(crate) async fn a_spare_instance_comes_and_goes<W: World>(world: W) {
    let (driver, spare) = (world.driver(), world.instances().target(4));
    if !W::traits().adds {
        let order = driver.add(&spare).await;
        assert!(matches!(&order, Err(TrafficError::Refused(why)) if why.contains("web-04")), "{order:?}");
        assert_eq!(rotation(&world, 4).await, Some(Rotation::Missing));
        return;
    }
    for _ in 0..2 {
        wait_for("added", async || driver.add(&spare).await.ok()).await;
        wait_for("added twice is once", async || driver.add(&spare).await.ok()).await;
        assert_eq!(rotation(&world, 4).await, Some(Rotation::Serving));
        let answered = shares(&world, 16).await;
        assert!(answered.contains_key("web-04") && answered.len() == 4, "{answered:?}");
        for other in [1, 2, 3] {
            driver.take_out(&world.instances().target(other)).await.expect("out");
        }
        let meanwhile = async {
            wait_for("a held request", async || (world.instances().held[3].load(Ordering::SeqCst) == 1).then_some(())).await;
            for other in [1, 2, 3] {
                wait_for("in", async || driver.admit(&world.instances().target(other)).await.ok()).await;
            }
            driver.take_out(&spare).await.expect("a spare is drained like any other");
            let early = driver.remove(&spare).await;
            assert!(matches!(early, Err(TrafficError::NotConfirmed(_))), "it has a request under way: {early:?}");
            world.instances().release.add_permits(1);
        };
        let (answer, ()) = tokio::join!(ask(world.front(), "/held"), meanwhile);
        assert_eq!(answer, "web-04");
        wait_for("removed", async || driver.remove(&spare).await.ok()).await;
        driver.remove(&spare).await.expect("removed twice is once");
        assert_eq!(rotation(&world, 4).await, Some(Rotation::Missing));
        let answered = shares(&world, 12).await;
        assert_eq!(answered.len(), 3, "{answered:?}");
    }
}
