//! Catalogue F of the faults: what balancers do, against a real HAProxy. More of it is in `adapters_haproxy.rs`;
//! `grep -rn 'fn f[01]\|fn e[01]' tests` shows all.
//!
//! Imports: traffic, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;
#[path = "faults/balancer_deployments.rs"]
mod deployments;
#[path = "faults/engine.rs"]
mod engine;
#[path = "faults/haproxy.rs"]
mod haproxy;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{free_port, temp_dir, wait_for};
use haproxy::{INFO, STATE, World, build, driver, honest, impostor, refused, settings, target};
use rollout::model::Rotation;
use rollout::ports::TrafficError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// F1: each address with what the system says of it.
#[tokio::test]
async fn f01_sockets_that_cannot_be_reached_are_named_by_the_first_reading() {
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name);
    drop(UnixListener::bind(path("dead")).expect("a socket whose process is gone"));
    std::fs::write(path("file"), "").expect("a file");
    let tcp = format!("127.0.0.1:{}", free_port());
    for (address, why) in [
        (format!("unix:{}", path("missing").display()), "No such file or directory"),
        (format!("unix:{}", path("dead").display()), "Connection refused"),
        (format!("unix:{}", path("file").display()), "Connection refused"),
        (tcp, "Connection refused"),
    ] {
        let unreachable = driver(std::slice::from_ref(&address));
        let error = unreachable.read(&[target("web-01")]).await.expect_err("nobody is there");
        let TrafficError::Unreachable(text) = &error else { panic!("another error: {error:?}") };
        assert!(text.contains(address.trim_start_matches("unix:")) && text.contains(why), "{text}");
        assert_eq!(unreachable.check(&[target("web-01")]).await, std::slice::from_ref(text));
    }
}

/// F3: "…/operator permits `level operator` only; draining needs `level admin`", "…/two has no server web-02 in backend shop,
/// but another balancer has", "web-01 and web-02 are the same server": told without an order being given.
#[tokio::test]
async fn f03_the_check_finds_what_would_stop_an_order() {
    let Some(world) = World::new().await else { return };
    let both = [target("web-01"), target("web-02")];
    assert_eq!(world.driver().check(&both).await, Vec::<String>::new());
    for level in ["operator", "user"] {
        let complaints = driver(&[world.socket("admin"), world.socket(level)]).check(&both).await;
        let [complaint] = complaints.as_slice() else { panic!("one complaint: {complaints:?}") };
        assert!(complaint.contains(&format!("/{level} permits `level {level}` only")), "{complaint}");
    }
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let other = impostor(dir.path(), |command| Some(honest(command)), &mut servers);
    let complaints = driver(&[world.socket("admin"), other]).check(&both).await;
    let [complaint] = complaints.as_slice() else { panic!("one complaint: {complaints:?}") };
    assert!(complaint.contains("/impostor has no server web-02 in backend shop"), "{complaint}");

    let mut same = settings(&[world.socket("admin")], "shop");
    same.server = "web-01".to_owned();
    let complaints = build(same).check(&both).await;
    assert!(complaints.len() == 1 && complaints[0].contains("web-01 and web-02 are the same server"), "{complaints:?}");
    for name in ["web-01", "web-02"] {
        assert_eq!(world.rotation(name).await, Some(Rotation::Serving), "a check changes nothing");
    }
}

/// F5: "shop/web-01 is draining (DRAIN at …), not by an order: its weight is 0 …"; the weight stays as somebody set it.
#[tokio::test]
async fn f05_a_weight_that_somebody_set_to_zero_is_told_and_stays() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    world.command("set server shop/web-01 weight 0").await;
    world.wait_until("web-01", Rotation::Draining).await;
    let error = driver.admit(&first).await.expect_err("it gets no traffic");
    assert!(matches!(&error, TrafficError::NotConfirmed(text) if text.contains("its weight is 0")), "{error:?}");
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)));
    assert!(driver.admit(&first).await.is_err(), "our drain is taken back, the weight is not ours");
    assert_eq!(world.command("get weight shop/web-01").await.trim(), "0 (initial 1)");
    world.command("set server shop/web-01 weight 100%").await;
    assert_eq!(driver.admit(&first).await, Ok(()));

    world.command("set weight unchecked/web-01 0").await;
    let unchecked = build(settings(&[world.socket("admin")], "unchecked"));
    let read = unchecked.read(std::slice::from_ref(&first)).await.expect("a reading");
    assert_eq!(read[&first.id], Rotation::Draining, "its status says \"no check\" all the same");
}

/// F5: what somebody else drained is taken as drained, and what somebody else admitted shows in the next reading.
#[tokio::test]
async fn f05_orders_of_somebody_else_show_in_the_next_reading() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)));
    for (state, shows) in [("ready", Rotation::Serving), ("drain", Rotation::Draining), ("maint", Rotation::Maintenance)] {
        world.command(&format!("set server shop/web-01 state {state}")).await;
        assert_eq!(world.rotation("web-01").await, Some(shows), "{state}");
    }
    let text = refused(driver.admit(&first).await);
    assert!(text.contains("in maintenance"), "{text}");
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Maintenance), "it is not readmitted");
}

/// F6: a reload by someone else shows as "in rotation" at once; orders given during it reach the new process or fail.
#[tokio::test]
async fn f06_after_a_reload_the_new_process_is_read_and_ordered() {
    let Some(mut world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    let mut old = world.pid().await.expect("a process");
    for reload in 0..6 {
        assert_eq!(driver.take_out(&first).await, Ok(Some(0)));
        if reload % 2 == 0 {
            world.reload().await;
        } else {
            world.replace(&old);
        }
        // Orders without a pause while the processes change.
        let new = wait_for("the new process", async || {
            match driver.take_out(&first).await {
                Ok(_) | Err(TrafficError::Unreachable(_) | TrafficError::NotConfirmed(_)) => {}
                Err(refused) => panic!("an old process was believed: {refused}"),
            }
            let info = world.try_command("show info").await?;
            let stopping = info.contains("Stopping: 1");
            let pid = info.lines().find_map(|line| line.strip_prefix("Pid: "))?.to_owned();
            (pid != old && !stopping).then_some(pid)
        })
        .await;
        driver.take_out(&first).await.expect("the new process carries it out");
        assert_eq!(world.rotation("web-01").await, Some(Rotation::Draining));
        assert_eq!(driver.admit(&first).await, Ok(()));
        old = new;
    }
    driver.take_out(&first).await.expect("drained");
    world.reload().await;
    wait_for("the reload", async || (world.pid().await? != old).then_some(())).await;
    world.wait_until("web-01", Rotation::Serving).await;
}

/// F6: what the process before the reload is still at work on is not counted by the new one: the number is unknown, not zero,
/// so the drain is given its whole time, and the request is answered.
#[tokio::test]
async fn f06_connections_of_the_process_before_a_reload_are_unknown_and_not_zero() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    driver.take_out(&target("web-02")).await.expect("drained");
    let asker = world.request("/held");
    let reload = async {
        wait_for("a held request", async || (driver.sessions(&first).await == Ok(Some(1))).then_some(())).await;
        assert_eq!(driver.take_out(&first).await, Ok(Some(1)));
        let old = world.pid().await;
        world.reload().await;
        wait_for("the new process", async || world.pid().await.filter(|pid| Some(pid) != old.as_ref())).await;
        assert_eq!(driver.take_out(&first).await, Ok(None));
        assert_eq!(driver.sessions(&first).await, Ok(None));
        assert_eq!(driver.take_out(&target("web-02")).await, Ok(Some(0)), "that one had none");
        world.release.add_permits(1);
    };
    let (answer, ()) = tokio::join!(asker, reload);
    assert_eq!(answer, "web-01", "the old process finished it");
    assert_eq!(driver.admit(&first).await, Ok(()));
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)), "the next drain is a new one");
}

/// F6: an old process that still accepts is not asked; if none takes over: "it is stopping, and no other process took over".
#[tokio::test]
async fn f06_a_process_that_is_stopping_is_not_believed() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let stopping = INFO.replace("Stopping: 0", "Stopping: 1");
    let drained = STATE.replace("web-01 2 0 1", "web-01 2 8 1");
    let old = format!("{stopping}{drained}");
    let reloading = driver(&[impostor(
        dir.path(),
        move |command| Some(if count.fetch_add(1, Ordering::SeqCst) < 3 { old.clone().into_bytes() } else { honest(command) }),
        &mut servers,
    )]);
    let first = target("web-01");
    let read = reloading.read(std::slice::from_ref(&first)).await.expect("the new process answers");
    assert_eq!(read[&first.id], Rotation::Serving, "what the old one said is not true of the new one");
    assert!(asked.load(Ordering::SeqCst) > 4, "{asked:?}");

    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let last = impostor(dir.path(), move |_| Some(format!("{stopping}{drained}").into_bytes()), &mut servers);
    let mut short = settings(&[last], "shop");
    short.timeout = rollout::model::Span::from_millis(100);
    let error = build(short).take_out(&first).await.expect_err("no successor");
    assert!(matches!(&error, TrafficError::Unreachable(text) if text.contains("no other process took over")), "{error:?}");
}

/// F7: an upgraded connection counts until it is closed; a kept one without a request does not hold the drain up.
#[tokio::test]
async fn f07_a_websocket_holds_the_drain_and_an_idle_connection_does_not() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    driver.take_out(&target("web-02")).await.expect("drained");

    let mut idle = world.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.expect("a request");
    let mut answer = [0; 1000];
    let read = idle.read(&mut answer).await.expect("an answer");
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "an answer, and the connection is kept");
    let mut tunnel = world.connect().await;
    let upgrade = "GET /upgraded HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tunnel.write_all(upgrade.as_bytes()).await.expect("a request");
    let read = tunnel.read(&mut answer).await.expect("an answer");
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"), "{:?}", String::from_utf8_lossy(&answer[..read]));

    driver.admit(&target("web-02")).await.expect("admitted");
    let left = wait_for("the answered request to be over", async || {
        let left = driver.take_out(&first).await.expect("drained");
        (left == Some(1)).then_some(left)
    })
    .await;
    assert_eq!(left, Some(1), "the tunnel, not the idle connection");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.expect("a request");
    let read = idle.read(&mut answer).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer[..read]);
    assert!(text.ends_with("web-02"), "the kept connection's next request goes elsewhere: {text}");
    assert_eq!(driver.sessions(&first).await, Ok(Some(1)));
    drop(tunnel);
    wait_for("the drain", async || (driver.sessions(&first).await == Ok(Some(0))).then_some(())).await;
}

/// F9: one of two balancers refuses: "Permission denied … level admin"; what the other was told is taken back.
#[tokio::test]
async fn f09_what_one_refused_is_taken_back_at_the_others() {
    let (Some(world), Some(other)) = (World::new().await, World::new().await) else { return };
    let both = driver(&[world.socket("admin"), other.socket("operator")]);
    let first = target("web-01");
    let text = refused(both.take_out(&first).await.map(drop));
    assert!(text.contains(&*other.dir.path().to_string_lossy()) && text.contains("level admin"), "{text}");
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Draining), "one of them obeyed");
    assert_eq!(both.admit(&first).await, Ok(()));
    for world in [&world, &other] {
        assert_eq!(world.rotation("web-01").await, Some(Rotation::Serving));
    }
}

/// F9: a balancer that is gone is named, and does not keep the other one from admitting the instance again.
#[tokio::test]
async fn f09_a_balancer_that_is_gone_does_not_keep_the_other_from_admitting() {
    let (Some(world), Some(mut other)) = (World::new().await, World::new().await) else { return };
    let both = driver(&[world.socket("admin"), other.socket("admin")]);
    let first = target("web-01");
    assert_eq!(both.take_out(&first).await, Ok(Some(0)));
    other.stop();
    let error = both.admit(&first).await.expect_err("one is gone");
    assert!(
        matches!(&error, TrafficError::Unreachable(text) if text.contains(&*other.dir.path().to_string_lossy())),
        "{error:?}"
    );
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Serving), "the other one admitted it all the same");
    other.start();
    wait_for("both", async || both.admit(&first).await.ok()).await;
}
