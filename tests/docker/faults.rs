//! What goes wrong in the middle: orders given up, daemons killed, containers that end, strangers.

use std::time::Duration;

use rollout::ports::FleetError;
use rustix::process::Signal;

use crate::common::{free_port, wait_for};
use crate::site::{Site, order, serves, update, version};

/// Brings it back to `v1`, whatever is there.
async fn settle(site: &Site, port: u16) {
    let (driver, target) = site.driver(port, "container_port = 8080");
    site.docker(&["rm", "-fv", "web-1", "web-1-rollout-old", "web-1-rollout-next"]);
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    serves(port, "v1").await;
}

#[tokio::test]
async fn an_order_that_was_given_up_anywhere_is_finished_by_the_next() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    site.serving("shop:v2");
    settle(&site, port).await;
    let (driver, target) = site.driver(port, "container_port = 8080");
    let mut given_up = 0;
    for (from, to, number) in [("v1", "v2", 1), ("v2", "v1", 2)] {
        for step in 0..20_u64 {
            settle(&site, port).await;
            if from == "v2" {
                update(&*driver, &target, ("v1", "v2"), (7, 1)).await.unwrap();
            }
            let order = order(&target, (from, to), (7, number));
            let within = Duration::from_millis(step * 90);
            let done = tokio::time::timeout(within, driver.update(&order)).await;
            given_up += u32::from(done.is_err());
            // An engine that takes over: it knows nothing but the order.
            let (another, _) = site.driver(port, "container_port = 8080");
            another.update(&order).await.unwrap_or_else(|e| panic!("{from} to {to}, given up after {within:?}: {e}"));
            serves(port, to).await;
            assert_eq!(site.names(), ["web-1", "web-1-rollout-old"], "{from} to {to}, given up after {within:?}");
            assert_eq!(site.inspect("web-1-rollout-old")["State"]["Running"], false);
            assert_eq!(another.observe(&target).await.unwrap().version, Some(version(to)));
            if done.is_ok() {
                break;
            }
        }
    }
    assert!(given_up > 4, "only {given_up} were given up on the way");
}

#[tokio::test]
async fn a_daemon_that_is_killed_anywhere_is_waited_for_and_the_order_finished() {
    let Some(mut site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    site.serving("shop:v2");
    let (driver, target) = site.driver(port, "container_port = 8080\nrestart = \"always\"");
    let mut retried = 0;
    for (round, signal) in [(0, Signal::KILL), (2, Signal::KILL), (4, Signal::KILL), (8, Signal::KILL), (6, Signal::TERM)] {
        drop(site.ask(&["rm", "-fv", "web-1", "web-1-rollout-old", "web-1-rollout-next"]));
        update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
        serves(port, "v1").await;
        let order = order(&target, ("v1", "v2"), (7, round + 1));
        let (done, ()) = tokio::join!(driver.update(&order), async {
            tokio::time::sleep(Duration::from_millis(u64::from(round) * 40)).await;
            site.down(signal);
            site.up().await;
        });
        if let Err(failed) = done {
            // A daemon that is going down answers with errors of its own: then the engine's next order finds the rest.
            retried += 1;
            if let Err(again) = driver.update(&order).await {
                // Killed in the middle of a start, a daemon may lose what it had begun and hold its port until it is restarted:
                // no order helps, and the driver says what the daemon says.
                assert!(again.to_string().contains("port is already allocated"), "killed after {round}: {failed}; then {again}");
                site.down(Signal::TERM);
                site.up().await;
                continue;
            }
        }
        serves(port, "v2").await;
        assert_eq!(driver.observe(&target).await.unwrap().version, Some(version("v2")));
        assert_eq!(site.names(), ["web-1", "web-1-rollout-old"]);
        assert_eq!(site.inspect("web-1")["HostConfig"]["RestartPolicy"]["Name"], "always");
    }
    assert!(retried < 3, "{retried} orders had to be given again");
    // The kept one would have been started with the daemon, on the same port.
    site.down(Signal::TERM);
    site.up().await;
    serves(port, "v2").await;
    assert_eq!(site.inspect("web-1-rollout-old")["State"]["Running"], false);
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_unreachable() {
    let Some(mut site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    let (driver, target) = site.driver(port, "container_port = 8080");
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    site.down(Signal::TERM);
    let lost = driver.observe(&target).await.unwrap_err();
    assert!(matches!(&lost, FleetError::Unreachable(why) if why.contains("d.sock") && why.contains("web-1")), "{lost}");
    let complaints = driver.check(&target, &version("v1")).await;
    assert!(complaints.iter().any(|why| why.contains("d.sock")), "{complaints:?}");
    assert!(driver.owns(&target).await, "nothing is known against it");
}

#[tokio::test]
async fn containers_that_end_or_do_not_say_so() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    site.image("shop:v2", &["CMD [\"/bin/sh\", \"-c\", \"echo no database >&2; exit 3\"]"]);
    site.image("shop:v3", &["CMD [\"/nosuch\"]"]);
    // As PID 1 it has no signal handler, so that SIGTERM does nothing.
    site.image("shop:v4", &["CMD [\"/bin/httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]"]);
    let (driver, target) = site.driver(port, "container_port = 8080");
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    // It ends at once: the driver has done its part, and the gate is told.
    update(&*driver, &target, ("v1", "v2"), (2, 1)).await.unwrap();
    let seen = wait_for("its end", async || driver.observe(&target).await.ok().filter(|seen| seen.running == Some(false))).await;
    let ended = seen.ended.unwrap();
    assert!(ended.contains("exit code 3: ") && ended.contains("no database"), "{ended}");
    assert_eq!(seen.version, Some(version("v2")));
    update(&*driver, &target, ("v2", "v1"), (2, 2)).await.unwrap();
    serves(port, "v1").await;
    // It cannot be started: the daemon's words.
    let failed = update(&*driver, &target, ("v1", "v3"), (3, 1)).await.unwrap_err();
    assert!(matches!(&failed, FleetError::Failed(why) if why.contains("/nosuch")), "{failed}");
    let seen = driver.observe(&target).await.unwrap();
    assert!(seen.ended.as_deref().is_some_and(|ended| ended.contains("not started")), "{seen:?}");
    update(&*driver, &target, ("v3", "v1"), (3, 2)).await.unwrap();
    serves(port, "v1").await;
    // It ignores SIGTERM: SIGKILL after stop_timeout, and no later.
    update(&*driver, &target, ("v1", "v4"), (4, 1)).await.unwrap();
    serves(port, "v4").await;
    let began = tokio::time::Instant::now();
    update(&*driver, &target, ("v4", "v1"), (4, 2)).await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(site.inspect("web-1-rollout-old")["State"]["ExitCode"], 137);
    serves(port, "v1").await;
    // In a loop of restarts it does not run, and is seen to have ended.
    site.docker(&["update", "--restart=always", "web-1-rollout-old"]);
    site.docker(&["rm", "-f", "web-1", "web-1-rollout-old"]);
    site.docker(&["run", "-d", "--name", "web-1", "--restart=always", "shop:v2"]);
    let seen = wait_for("a loop", async || {
        driver
            .observe(&target)
            .await
            .ok()
            .filter(|seen| seen.ended.as_deref().is_some_and(|e| e.contains("docker has restarted")))
    })
    .await;
    assert!(seen.ended.is_some_and(|ended| ended.contains("exit code 3")));
}

#[tokio::test]
async fn what_somebody_else_put_there_is_not_touched() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    site.serving("shop:v2");
    let (driver, target) = site.driver(port, "container_port = 8080");
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    // An order was begun for another container than the one that is there now.
    let effect = format!("rollout.effect={}", order(&target, ("v1", "v2"), (2, 1)).effect);
    let labels = ["--label", "rollout.instance=web-1", "--label", &effect, "--label", "rollout.replaces=0123456789abcdef"];
    site.docker(&[&["create", "--name", "web-1-rollout-next"], &labels[..], &["shop:v2"]].concat());
    let (before, started) = (site.inspect("web-1")["Id"].clone(), site.inspect("web-1")["State"]["StartedAt"].clone());
    let refused = update(&*driver, &target, ("v1", "v2"), (2, 1)).await.unwrap_err();
    assert!(
        matches!(&refused, FleetError::Failed(why) if why.contains("somebody else has replaced container web-1")),
        "{refused}"
    );
    assert_eq!(
        (site.inspect("web-1")["Id"].clone(), site.inspect("web-1")["State"]["StartedAt"].clone()),
        (before.clone(), started)
    );
    // Another order throws away what never ran.
    update(&*driver, &target, ("v1", "v2"), (3, 1)).await.unwrap();
    serves(port, "v2").await;
    // A name of ours that is somebody else's.
    site.docker(&["rm", "web-1-rollout-old"]);
    site.docker(&["run", "-d", "--name", "web-1-rollout-old", "shop:v1"]);
    let refused = update(&*driver, &target, ("v2", "v1"), (4, 1)).await.unwrap_err();
    assert!(refused.to_string().contains("web-1-rollout-old was not put there by rollout"), "{refused}");
    serves(port, "v2").await;
    let complaints = driver.check(&target, &version("v1")).await;
    assert!(complaints.iter().any(|why| why.contains("was not put there by rollout")), "{complaints:?}");
}

#[tokio::test]
async fn one_that_vanishes_when_it_ends_is_replaced() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    site.serving("shop:v2");
    site.docker(&["run", "-d", "--rm", "--name", "web-1", "-v", "/data", "-p", &format!("127.0.0.1:{port}:8080"), "shop:v1"]);
    site.docker(&["exec", "web-1", "sh", "-c", "echo kept > /data/file"]);
    let (driver, target) = site.driver(port, "");
    update(&*driver, &target, ("v1", "v2"), (1, 1)).await.unwrap();
    serves(port, "v2").await;
    assert_eq!(site.docker(&["exec", "web-1", "cat", "/data/file"]), "kept");
    // Nothing is kept of it, so the way back makes it anew.
    update(&*driver, &target, ("v2", "v1"), (1, 2)).await.unwrap();
    serves(port, "v1").await;
}

#[tokio::test]
async fn one_that_needs_more_memory_than_it_has_is_told_apart() {
    let Some(site) = Site::start().await else { return };
    site.image("shop:v1", &["CMD [\"/bin/tail\", \"/dev/zero\"]"]);
    if site.ask(&["run", "-d", "--name", "web-1", "--memory", "8m", "--memory-swap", "8m", "shop:v1"]).is_err() {
        return;
    }
    let (driver, target) = site.driver(free_port(), "");
    let seen = wait_for("its end", async || driver.observe(&target).await.ok().filter(|seen| seen.running == Some(false))).await;
    // Not every kernel tells the daemon who killed it.
    let told = site.inspect("web-1")["State"]["OOMKilled"] == true;
    let words = if told { "exit code 137 (out of memory)" } else { "exit code 137 (killed)" };
    assert_eq!(seen.ended.as_deref(), Some(words));
}
