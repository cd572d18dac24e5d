//! What a deployment does when its balancer fails it: the engine with a real HAProxy.
//!
//! Imports: the shared parts. May not: sleep without a condition.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rollout::command::Command;
use rollout::event::EventKind;
use rollout::model::{Count, OnDrainTimeout, Rotation, Span};
use rollout::ports::TrafficDriver;
use rollout::state::Phase;
use tokio::task::JoinSet;

use crate::common::{temp_dir, wait_for};
use crate::engine::{Hosts, Passes, Setting, instance, policy};
use crate::haproxy::{INFO, World, driver, honest, impostor, target};

/// Both instances of a world, one after the other.
fn setting(traffic: Arc<dyn TrafficDriver>, hosts: Arc<Hosts>) -> Setting {
    let targets = vec![target("web-01"), target("web-02")];
    Setting { hosts, traffic, prober: Arc::new(Passes), targets, policy: policy() }
}

/// F2: while the balancer is away nothing more is updated; "…/admin cannot be reached: …" stands at the instance that is out, until it is back.
#[tokio::test]
async fn f02_a_balancer_that_goes_away_holds_the_deployment_until_it_is_back() {
    let Some(mut world) = World::new().await else { return };
    let hosts = Hosts::gated();
    let mut setting = setting(world.driver(), Arc::clone(&hosts));
    setting.policy.health.deadline = Span::from_secs(20);
    let engine = setting.begin().await;
    engine.word("web-01", "updating").await;
    world.stop();
    hosts.gate.add_permits(2);
    engine.trouble("web-01", "/admin").await;
    let (out, second) = engine
        .until("a state", |now| Some((instance(&now.state, "web-01").ours, instance(&now.state, "web-02").shown().word())))
        .await;
    assert!(out && second == "pending", "it is listed as out, and nothing else is touched: {second}");
    world.start();
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]));
    assert_eq!(hosts.updates(), ["web-01 v2", "web-02 v2"]);
}

/// F4: "web-01 was ordered to drain, but … shows it as "UP""; it is not updated.
#[tokio::test]
async fn f04_an_instance_whose_drain_has_no_effect_is_not_updated() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let liar = impostor(dir.path(), |command| Some(honest(command)), &mut servers);
    let hosts = Hosts::gated();
    let mut setting = setting(driver(&[liar]), Arc::clone(&hosts));
    setting.targets.truncate(1);
    let engine = setting.begin_with(true).await;
    let text = engine.trouble("web-01", "was ordered to drain").await;
    assert!(text.contains("shows it as \"UP\""), "{text}");
    engine.send(Command::Cancel { reason: String::new() }).await;
    let ended = engine.end().await;
    assert_eq!(hosts.updates(), Vec::<String>::new());
    assert_ne!(ended.status(), "completed");
}

/// F5: what somebody else took out is not touched while it is out, and never readmitted by us.
#[tokio::test]
async fn f05_an_instance_in_somebody_elses_maintenance_is_waited_for_and_not_readmitted() {
    let Some(world) = World::new().await else { return };
    let hosts = Hosts::gated();
    let engine = setting(world.driver(), Arc::clone(&hosts)).begin().await;
    engine.word("web-01", "updating").await;
    // Ours is the drain, the maintenance on top of it is not.
    world.command("set server shop/web-01 state maint").await;
    hosts.gate.add_permits(2);
    let text = engine.trouble("web-01", "in maintenance").await;
    assert!(text.contains("which we did not order"), "{text}");
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Maintenance));
    world.command("set server shop/web-01 state ready").await;
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]));
}

/// F5: "web-02: in maintenance at the balancer, not by this deployment": skipped, listed, left alone.
#[tokio::test]
async fn f05_an_instance_that_somebody_else_took_out_meanwhile_is_skipped_and_listed() {
    let Some(world) = World::new().await else { return };
    let hosts = Hosts::gated();
    let mut setting = setting(world.driver(), Arc::clone(&hosts));
    setting.policy.strategy.min_serving = Count::Absolute(0);
    let engine = setting.begin().await;
    engine.word("web-01", "updating").await;
    world.command("set server shop/web-02 state maint").await;
    engine.until("it is noticed", |now| (!instance(&now.state, "web-02").serving).then_some(())).await;
    hosts.gate.add_permits(2);
    let ended = engine.end().await;
    let noticed = |kind: &EventKind| matches!(kind, EventKind::RotationChanged { rotation: Rotation::Maintenance, .. });
    assert!(ended.kinds.iter().any(noticed), "it is in the journal");
    assert_eq!((ended.word("web-01"), ended.word("web-02")), ("healthy", "skipped"));
    let listed = ended.exceptions();
    let why = "web-02: in maintenance at the balancer, not by this deployment";
    assert!(listed.len() == 1 && listed[0].starts_with(why), "{listed:?}");
    assert_eq!(hosts.updates(), ["web-01 v2"]);
    assert_eq!(world.rotation("web-02").await, Some(Rotation::Maintenance), "nobody readmitted it");
}

/// F6: a reload by somebody else during the update: the drain is ordered again at once, the update runs on, and is not repeated.
#[tokio::test]
async fn f06_a_drain_lost_by_a_reload_is_ordered_again_while_the_update_runs() {
    let Some(world) = World::new().await else { return };
    let hosts = Hosts::gated();
    let engine = setting(world.driver(), Arc::clone(&hosts)).begin().await;
    engine.word("web-01", "updating").await;
    let old = world.pid().await;
    world.reload().await;
    wait_for("the new process", async || world.pid().await.filter(|pid| Some(pid) != old.as_ref())).await;
    world.wait_until("web-01", Rotation::Draining).await;
    let lost = |kind: &EventKind| matches!(kind, EventKind::DrainLost { .. });
    assert!(engine.kinds().iter().any(lost), "it is in the journal");
    assert_eq!(hosts.updates(), ["web-01 v2"], "and the update was still running");
    hosts.gate.add_permits(2);
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]));
    assert_eq!(hosts.updates(), ["web-01 v2", "web-02 v2"], "no update was repeated");
    assert!(ended.state.max_out <= 1);
}

/// A request that web-01 is at work on for as long as the test wants.
async fn held(world: &World) -> tokio::net::UnixStream {
    use tokio::io::AsyncWriteExt as _;
    world.driver().take_out(&target("web-02")).await.expect("drained");
    let mut stream = world.connect().await;
    stream.write_all(b"GET /held HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await.expect("a request");
    wait_for("it is held", async || (world.driver().sessions(&target("web-01")).await == Ok(Some(1))).then_some(())).await;
    world.driver().admit(&target("web-02")).await.expect("admitted");
    world.wait_until("web-02", Rotation::Serving).await;
    stream
}

/// F7: a drain that does not end in time is forced, and what it cut is counted: `drain: {forced: 1, connections_cut: 1}`.
#[tokio::test]
async fn f07_a_drain_that_never_ends_is_forced_and_its_cut_is_counted() {
    let Some(world) = World::new().await else { return };
    let held = held(&world).await;
    let ended = setting(world.driver(), Hosts::ready(|_, _| ())).begin().await.end().await;
    assert_eq!(ended.status(), "completed");
    assert_eq!((ended.state.drains_forced, ended.state.connections_cut), (1, 1));
    drop(held);
}

/// F7: with `on_timeout = "fail"` it goes back into rotation, untouched and listed, with the number that was left.
#[tokio::test]
async fn f07_a_drain_that_never_ends_fails_if_the_policy_says_so() {
    let Some(world) = World::new().await else { return };
    let held = held(&world).await;
    let hosts = Hosts::ready(|_, _| ());
    let mut setting = setting(world.driver(), Arc::clone(&hosts));
    setting.policy.drain.on_timeout = OnDrainTimeout::Fail;
    let ended = setting.begin().await.end().await;
    assert_ne!(ended.status(), "completed");
    assert_eq!(hosts.updates(), Vec::<String>::new(), "what could not be drained was not touched");
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Serving));
    assert_eq!((ended.state.drains_forced, ended.state.connections_cut), (0, 0));
    drop(held);
}

/// F9: of two balancers one refuses: the drain is not confirmed, the instance not updated, and the other one takes it back.
#[tokio::test]
async fn f09_one_balancer_of_two_that_refuses_stops_the_deployment_and_the_other_is_put_back() {
    let (Some(world), Some(other)) = (World::new().await, World::new().await) else { return };
    let hosts = Hosts::ready(|_, _| ());
    let both = driver(&[world.socket("admin"), other.socket("operator")]);
    let engine = setting(both, Arc::clone(&hosts)).begin().await;
    let text = engine.trouble("web-01", "Permission denied").await;
    assert!(text.contains("level admin"), "{text}");
    let why = engine.paused().await;
    assert!(why.starts_with("web-01: its drain was not confirmed within 10s: ") && why.contains("Permission denied"), "{why}");
    for world in [&world, &other] {
        world.wait_until("web-01", Rotation::Serving).await;
    }
    assert_eq!(hosts.updates(), Vec::<String>::new());
    engine.send(Command::Cancel { reason: String::new() }).await;
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("cancelled", vec![]));
}

/// F10: the balancer refuses to readmit: the instance stays out, it is tried again, goes back to its version, is listed with
/// the balancer's words, and the deployment has not succeeded.
#[tokio::test]
async fn f10_an_instance_that_cannot_be_readmitted_is_listed_and_the_deployment_has_not_succeeded() {
    let Some(world) = World::new().await else { return };
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let (real, refusals) = (world.dir.path().join("admin"), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&refusals);
    let proxy = move |command: &str| {
        if !command.contains("state ready") {
            return relay(&real, command);
        }
        count.fetch_add(1, Ordering::SeqCst);
        Some(format!("{INFO}Out of memory.\n\n").into_bytes())
    };
    let hosts = Hosts::ready(|_, _| ());
    let mut setting = setting(driver(&[impostor(dir.path(), proxy, &mut servers)]), Arc::clone(&hosts));
    setting.policy.health.deadline = Span::from_secs(2);
    let ended = setting.begin().await.end().await;
    assert_eq!(ended.status(), "failed");
    let listed = ended.exceptions();
    assert!(listed.len() == 1 && listed[0].starts_with("web-01: ") && listed[0].contains("Out of memory."), "{listed:?}");
    assert!(listed[0].ends_with("out of rotation"), "{listed:?}");
    assert!(refusals.load(Ordering::SeqCst) > 2, "it was tried again");
    assert_eq!(hosts.updates(), ["web-01 v2", "web-01 v1"]);
    assert_eq!(ended.word("web-02"), "pending", "nothing else was touched");
}

/// What the real one answers.
fn relay(socket: &Path, command: &str) -> Option<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok()?;
    Some(reply)
}

/// F11: our probe passes, the balancer's own check does not: not admitted until it does, "down by the balancer's own check".
#[tokio::test]
async fn f11_an_instance_counts_when_the_balancers_own_check_finds_it_up() {
    let Some(world) = World::new().await else { return };
    let hosts = Hosts::gated();
    let mut setting = setting(world.driver(), Arc::clone(&hosts));
    setting.policy.health.deadline = Span::from_secs(20);
    let engine = setting.begin().await;
    engine.word("web-01", "updating").await;
    world.healthy[0].store(false, Ordering::SeqCst);
    world.wait_until("web-01", Rotation::Draining).await;
    wait_for("the balancer's check", async || world.command("show stat shop 4 1").await.contains("DOWN").then_some(())).await;
    hosts.gate.add_permits(2);
    let ordered = " web-01 127.0.0.1 0 0 ";
    wait_for("its drain is taken back", async || world.command("show servers state shop").await.contains(ordered).then_some(()))
        .await;
    engine.until("it waits", |now| (instance(&now.state, "web-01").phase == Phase::Admitting).then_some(())).await;
    assert_eq!(hosts.updates(), ["web-01 v2"], "and web-02 waits for it");
    world.healthy[0].store(true, Ordering::SeqCst);
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]));
}

/// F11: and if it never does, the deadline fails it with those words, and everything goes back.
#[tokio::test]
async fn f11_an_instance_that_the_balancer_never_finds_up_fails_by_the_deadline() {
    let Some(world) = World::new().await else { return };
    let healthy = Arc::clone(&world.healthy[0]);
    // The new version fails the balancer's check, the old one does not.
    let hosts = Hosts::ready(move |id, version| {
        if id.as_str() == "web-01" {
            healthy.store(version.as_str() == "v1", Ordering::SeqCst);
        }
    });
    let mut setting = setting(world.driver(), Arc::clone(&hosts));
    setting.policy.health.deadline = Span::from_secs(2);
    let ended = setting.begin().await.end().await;
    assert_eq!(ended.status(), "rolled_back", "{:?}", ended.exceptions());
    let failed = ended.kinds.iter().find_map(|kind| match kind {
        EventKind::InstanceFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(failed.as_ref().is_some_and(|why| why.contains("down by the balancer's own check")), "{failed:?}");
    assert_eq!(hosts.updates(), ["web-01 v2", "web-01 v1"]);
}

/// F12: the last one that serves is not drained, whatever the budget would allow; when the other is back, it goes on.
#[tokio::test]
async fn f12_the_last_instance_that_serves_is_not_drained() {
    let Some(world) = World::new().await else { return };
    let hosts = Hosts::ready(|_, _| ());
    let mut one = setting(world.driver(), Arc::clone(&hosts));
    one.targets.truncate(1);
    let refusal = one.refusal().await;
    assert!(refusal.contains("--allow-outage"), "{refusal}");

    let mut both = setting(world.driver(), Hosts::gated());
    both.policy.strategy.max_unavailable = Count::Absolute(2);
    both.policy.strategy.batch_size = vec![Count::Absolute(2)];
    let engine = both.begin().await;
    engine.word("web-01", "updating").await;
    engine.until("web-02 waits", |now| (instance(&now.state, "web-02").shown().word() == "pending").then_some(())).await;
    world.wait_until("web-02", Rotation::Serving).await;
    both.hosts.gate.add_permits(2);
    let ended = engine.end().await;
    assert_eq!(
        (ended.status(), ended.state.max_out),
        ("completed", 1),
        "two at once were allowed by the budget, not by the floor"
    );
}
