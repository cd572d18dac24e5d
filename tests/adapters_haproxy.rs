//! The HAProxy driver against a real HAProxy, and against ones that lie, hang or break off.
//!
//! Imports: traffic, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;

#[path = "faults/haproxy.rs"]
mod haproxy;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{temp_dir, wait_for};
use haproxy::{INFO, STATE, World, build, driver, honest, impostor, refused, settings, target};
use rollout::model::{LbStats, Rotation, Served, Span};
use rollout::ports::TrafficError;
use rollout::traffic::{self, HaproxySettings, Settings};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test]
async fn out_and_in_again_with_requests_between() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)));
    let read = driver.read(&[first.clone(), target("web-02"), target("web-03")]).await.expect("a reading");
    assert_eq!(read.into_values().collect::<Vec<_>>(), [Rotation::Draining, Rotation::Serving, Rotation::Missing]);
    for _ in 0..6 {
        assert_eq!(world.request("/").await, "web-02", "no new traffic for the drained one");
    }
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)), "ordering twice is ordering once");

    assert_eq!(driver.admit(&first).await, Ok(()));
    assert_eq!(driver.admit(&first).await, Ok(()), "ordering twice is ordering once");
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..4 {
        seen.push(world.request("/").await);
    }
    assert!(seen.contains(&"web-01".to_owned()), "it serves again: {seen:?}");
}

/// F7: the drain waits for what is under way, and its count is shown falling.
#[tokio::test]
async fn f07_connections_are_counted_until_they_end() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    driver.take_out(&target("web-02")).await.expect("drained");
    let asker = world.request("/held");
    let drain = async {
        wait_for("a held request", async || (driver.sessions(&first).await == Ok(Some(1))).then_some(())).await;
        driver.admit(&target("web-02")).await.expect("admitted");
        assert_eq!(driver.take_out(&first).await, Ok(Some(1)), "one request is still at work");
        assert_eq!(driver.sessions(&first).await, Ok(Some(1)));
        world.release.add_permits(1);
        wait_for("the drain", async || (driver.sessions(&first).await == Ok(Some(0))).then_some(())).await;
    };
    let (answer, ()) = tokio::join!(asker, drain);
    assert_eq!(answer, "web-01", "what was under way when the drain began was finished");
}

/// F5: "shop/web-01 is in maintenance at …, which we did not order; whoever did must end it".
#[tokio::test]
async fn f05_maintenance_is_somebody_elses_and_stays() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    world.command("set server shop/web-01 state maint").await;
    for result in [driver.take_out(&first).await.map(drop), driver.admit(&first).await] {
        let text = refused(result);
        assert!(text.contains("shop/web-01 is in maintenance") && text.contains("did not order"), "{text}");
    }
    assert_eq!(driver.read(std::slice::from_ref(&first)).await.expect("a reading")[&first.id], Rotation::Maintenance);
    assert!(
        world.command("show servers state shop").await.contains(" web-01 127.0.0.1 0 1 "),
        "forced maintenance, nothing else"
    );
}

/// F11: "shop/web-01 is down by the balancer's own check (DOWN at …)", until it is up.
#[tokio::test]
async fn f11_what_the_balancer_finds_down_is_not_admitted_until_it_is_up() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    driver.take_out(&first).await.expect("drained");
    world.healthy[0].store(false, Ordering::SeqCst);
    wait_for("the balancer to find it down", async || {
        let error = driver.admit(&first).await.err()?;
        let TrafficError::NotConfirmed(text) = error else { panic!("another kind of error: {error:?}") };
        assert!(text.contains("shop/web-01") && text.contains("down by the balancer's own check"), "{text}");
        Some(())
    })
    .await;
    world.wait_until("web-01", Rotation::Down).await;
    world.healthy[0].store(true, Ordering::SeqCst);
    wait_for("the admission", async || driver.admit(&first).await.ok()).await;

    let unchecked = build(settings(&[world.socket("admin")], "unchecked"));
    assert_eq!(unchecked.take_out(&first).await, Ok(Some(0)));
    assert_eq!(unchecked.admit(&first).await, Ok(()), "where nobody checks, an order is enough");
}

/// F2: "…/admin cannot be reached: Connection refused", and after the restart that the drain is gone.
#[tokio::test]
async fn f02_a_restart_forgets_the_drain_and_reading_tells() {
    let Some(mut world) = World::new().await else { return };
    let driver = world.driver();
    driver.take_out(&target("web-01")).await.expect("drained");
    world.stop();
    let error = driver.read(&[target("web-01")]).await.expect_err("nobody is there");
    assert!(matches!(&error, TrafficError::Unreachable(text) if text.contains("admin")), "{error:?}");
    world.start();
    world.wait_until("web-01", Rotation::Serving).await;
    assert_eq!(driver.take_out(&target("web-01")).await, Ok(Some(0)));
    world.wait_until("web-01", Rotation::Draining).await;
}

/// F3: HAProxy's own words, the command, and the key that mends it.
#[tokio::test]
async fn f03_errors_are_text_and_are_told() {
    let Some(world) = World::new().await else { return };
    let stranger = target("web-99");
    for result in [world.driver().take_out(&stranger).await.map(drop), world.driver().admit(&stranger).await] {
        let text = refused(result);
        assert!(text.contains("no server shop/web-99"), "{text}");
    }
    let elsewhere = build(settings(&[world.socket("admin")], "nowhere"));
    let text = refused(elsewhere.take_out(&target("web-01")).await.map(drop));
    assert!(text.contains("Can't find backend.") && text.contains("[traffic] backend"), "{text}");

    let operator = driver(&[world.socket("operator")]);
    let text = refused(operator.take_out(&target("web-01")).await.map(drop));
    assert!(text.contains("Permission denied") && text.contains("level admin"), "{text}");
    world.wait_until("web-01", Rotation::Serving).await;

    let nobody = driver(&[world.socket("nobody")]).take_out(&target("web-01")).await;
    assert!(matches!(&nobody, Err(TrafficError::Unreachable(text)) if text.contains("nobody")), "{nobody:?}");
}

/// F9: an instance that one of two balancers drains is not out: the other sends traffic to it.
#[tokio::test]
async fn f09_every_balancer_must_confirm_and_one_that_differs_is_told() {
    let Some(world) = World::new().await else { return };
    let Some(other) = World::new().await else { return };
    let mut tasks = JoinSet::new();
    let both = driver(&[world.over_tcp(&mut tasks).await, other.socket("admin")]);
    let first = target("web-01");
    assert_eq!(both.take_out(&first).await, Ok(Some(0)));
    world.wait_until("web-01", Rotation::Draining).await;
    other.wait_until("web-01", Rotation::Draining).await;
    world.driver().admit(&first).await.expect("somebody admits it at one of them");
    assert_eq!(both.read(std::slice::from_ref(&first)).await.expect("a reading")[&first.id], Rotation::Partly);
    assert_eq!(both.admit(&first).await, Ok(()));
    other.wait_until("web-01", Rotation::Serving).await;

    let one_missing = driver(&[world.socket("admin"), world.socket("nobody")]);
    assert!(matches!(one_missing.take_out(&first).await, Err(TrafficError::Unreachable(_))));
    world.wait_until("web-01", Rotation::Serving).await;
    other.command("set server shop/web-01 state maint").await;
    let text = refused(both.take_out(&first).await.map(drop));
    assert!(text.contains("in maintenance"), "{text}");
    world.wait_until("web-01", Rotation::Serving).await;
}

/// F4: "shop/web-01 was ordered to drain, but … shows it as \"UP\"".
#[tokio::test]
async fn f04_an_order_without_effect_is_not_confirmed() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let liar = driver(&[impostor(dir.path(), |command| Some(honest(command)), &mut servers)]);
    assert_eq!(liar.sessions(&target("web-01")).await, Ok(Some(3)));
    let error = liar.take_out(&target("web-01")).await.expect_err("nothing changed");
    assert!(matches!(&error, TrafficError::NotConfirmed(text) if text.contains("\"UP\"")), "{error:?}");
}

/// F4: "the answer ended early", "no answer in 100ms": nothing is taken for done.
#[tokio::test]
async fn f04_replies_that_end_early_never_or_too_late_are_no_replies() {
    for (bytes, what) in [
        (Some(Vec::new()), "ended early"),
        (Some(STATE.as_bytes()[..STATE.len() - 3].to_vec()), "ended early"),
        (Some(STATE.as_bytes()[..STATE.len() - 1].to_vec()), "ended early"),
        (Some(vec![b'x'; 17 * 1024 * 1024]), "longer than"),
        (None, "no answer in 100ms"),
    ] {
        let (dir, mut servers) = (temp_dir(), JoinSet::new());
        let hangs = bytes.is_none();
        let socket = impostor(dir.path(), move |_| bytes.clone(), &mut servers);
        let mut settings = settings(&[socket], "shop");
        if hangs {
            settings.timeout = Span::from_millis(100);
        }
        let broken = build(settings);
        let began = Instant::now();
        let error = broken.read(&[target("web-01")]).await.expect_err("no reply");
        assert!(matches!(&error, TrafficError::Unreachable(text) if text.contains(what)), "{what}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_hostile_answer_is_shown_harmless_and_short() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let hostile = "\x1b[2J\u{202e}".repeat(1000) + "\n\n";
    let socket = impostor(dir.path(), move |_| Some(hostile.clone().into_bytes()), &mut servers);
    let text = refused(driver(&[socket]).take_out(&target("web-01")).await.map(drop));
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}') && text.len() < 500, "{text}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let socket = ["unix:/run/haproxy.sock".to_owned()];
    let with = |change: fn(&mut HaproxySettings)| {
        let mut changed = settings(&socket, "shop");
        change(&mut changed);
        traffic::build(&Settings::Haproxy(changed)).err().expect("refused")
    };
    assert!(with(|s| s.sockets.clear()).contains("[traffic] sockets"));
    assert!(with(|s| s.sockets.push("lb".to_owned())).contains("\"lb\""));
    assert!(with(|s| s.backend = "a; shutdown sessions".to_owned()).contains("[traffic] backend"));
    assert!(with(|s| s.server = "{{ instance.name }}".to_owned()).contains("[traffic] server"));
    assert!(with(|s| s.server = "a b".to_owned()).contains("\"a b\""));
}

/// Every kind of failure through a real HAProxy, each once, and what of it is in which counter.
#[tokio::test]
async fn counters_are_haproxys_own() {
    let Some(world) = World::new().await else { return };
    let driver = world.driver();
    let before = driver.counters().await.expect("counters")[0];
    assert_eq!(before, LbStats { requests: 0, errors: 0 }, "health checks are not requests");
    let counted = async |what: &str, path: &str, status: &str, errors: u64| {
        let before = driver.counters().await.expect("counters")[0];
        assert_eq!(world.ask(path).await.0, status, "{what}");
        // A session is counted when it ends, which is after its last byte was received here.
        wait_for(what, async || {
            let after = driver.counters().await.ok()?[0];
            (after == LbStats { requests: before.requests + 1, errors: before.errors + errors }).then_some(())
        })
        .await;
    };
    counted("a good answer", "/", "200", 0).await;
    counted("an error of the instance", "/500", "500", 1).await;
    counted("an instance that closes without an answer", "/closed", "502", 1).await;
    counted("an answer that breaks off", "/broken", "200", 1).await;
    for name in ["web-01", "web-02"] {
        driver.take_out(&target(name)).await.expect("drained");
    }
    counted("nobody left to serve", "/", "503", 1).await;

    let pipe = build(settings(&[world.socket("admin"), world.socket("user")], "pipe"));
    assert_eq!(pipe.counters().await, Ok(vec![LbStats::default(); 2]), "one for each balancer, connections where it is TCP");
    drop(tokio::net::UnixStream::connect(world.dir.path().join("pipe")).await.expect("the pipe"));
    wait_for("a connection", async || (pipe.counters().await.ok()?[0].requests == 1).then_some(())).await;

    let elsewhere = build(settings(&[world.socket("admin")], "nowhere"));
    assert!(matches!(elsewhere.counters().await, Err(TrafficError::Refused(text)) if text.contains("[traffic] backend")));
}

/// What a server answered, and what it did not: each kind of failure once, and when it is counted for whom.
#[tokio::test]
async fn served_is_what_was_really_sent() {
    let Some(world) = World::new().await else { return };
    let (driver, fleet) = (world.driver(), [target("web-01"), target("web-02")]);
    driver.take_out(&fleet[1]).await.expect("drained");
    let none = driver.served(&fleet).await.expect("counters");
    assert_eq!(none[&fleet[0].id], Served::default(), "health checks are not requests, and no answer took no time");
    for (path, status, requests, errors) in
        [("/", "200", 1, 0), ("/500", "500", 1, 1), ("/closed", "502", 1, 1), ("/broken", "200", 1, 1)]
    {
        let before = driver.served(&fleet).await.expect("counters");
        assert_eq!(world.ask(path).await.0, status, "{path}");
        wait_for(path, async || {
            let after = driver.served(&fleet).await.ok()?;
            let more = |id: usize| {
                let (before, after) = (before[&fleet[id].id], after[&fleet[id].id]);
                (after.requests - before.requests, after.errors - before.errors)
            };
            ((more(0), more(1)) == ((requests, errors), (0, 0))).then_some(())
        })
        .await;
    }
    driver.take_out(&fleet[0]).await.expect("drained");
    let before = driver.served(&fleet).await.expect("counters");
    assert_eq!(world.ask("/").await.0, "503");
    assert_eq!(driver.served(&fleet).await.expect("counters"), before, "what nobody got is nobody's error");
    assert!(before[&fleet[0].id].response_ms.is_some());
    let pipe = build(settings(&[world.socket("admin")], "pipe"));
    let served = pipe.served(&fleet[..1]).await.expect("counters");
    assert_eq!(served[&fleet[0].id], Served::default(), "connections where it is TCP");
}

/// Two servers of which the first has `weight`, and a backend that goes by weights.
fn weighing(command: &str, weight: u32) -> Vec<u8> {
    let reply = match command.split(';').nth(1).unwrap_or_default().trim_end() {
        state if state.starts_with("show servers state") => format!(
            "1\n# be_id be_name srv_id srv_name srv_op_state srv_admin_state srv_uweight srv_iweight\n\
             3 shop 1 web-01 2 0 {weight} 1\n3 shop 2 web-02 2 0 2 1\n\n"
        ),
        stat if stat.starts_with("show stat") => "# pxname,svname,algo,\nshop,BACKEND,roundrobin,\n\n".to_owned(),
        _ => "\n".to_owned(),
    };
    format!("{INFO}{reply}").into_bytes()
}

/// Where the weights are as they should be, one question says so; an order without effect is not confirmed.
#[tokio::test]
async fn weights_are_read_back_and_asking_again_is_cheap() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let record = move |command: &str| {
        heard.lock().expect("a list").push(command.trim_end().to_owned());
        Some(weighing(command, 1))
    };
    let (driver, fleet) = (driver(&[impostor(dir.path(), record, &mut servers)]), [target("web-01"), target("web-02")]);
    let of = |percent: u16| [(fleet[0].id.clone(), percent)].into_iter().collect();
    assert_eq!(driver.weigh(&fleet, &of(50)).await, Ok(()));
    assert_eq!(*asked.lock().expect("a list"), ["show info;show servers state shop"]);
    match driver.weigh(&fleet, &of(22)).await {
        Err(TrafficError::NotConfirmed(text)) => {
            assert!(text.contains("shop/web-02 was given the weight 50, but") && text.contains("shows 2"), "{text}");
        }
        other => panic!("confirmed: {other:?}"),
    }
    let orders = "show info;set server shop/web-02 weight 50;set server shop/web-01 weight 11";
    assert_eq!(asked.lock().expect("a list").iter().filter(|command| *command == orders).count(), 1, "all in one go");
}

/// Fifty looks a second at a drain must not make the balancer list all its servers fifty times.
#[tokio::test]
async fn looking_at_one_server_asks_for_one_row() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let record = move |command: &str| {
        heard.lock().expect("a list").push(command.trim_end().to_owned());
        Some(honest(command))
    };
    let driver = driver(&[impostor(dir.path(), record, &mut servers)]);
    for _ in 0..2 {
        assert_eq!(driver.sessions(&target("web-01")).await, Ok(Some(3)));
    }
    let told = asked.lock().expect("a list").clone();
    assert_eq!(told, ["show info;show servers state shop", "show info;show stat 3 4 1", "show info;show stat 3 4 1"]);
}

/// After a reload with another configuration HAProxy's numbers mean other servers; names do not.
#[tokio::test]
async fn numbers_that_a_reload_changed_are_learnt_anew() {
    let Some(mut world) = World::new().await else { return };
    let (driver, second) = (world.driver(), target("web-02"));
    assert_eq!(driver.sessions(&second).await, Ok(Some(0)));
    driver.counters().await.expect("counters");
    let file = world.dir.path().join("haproxy.cfg");
    let config = std::fs::read_to_string(&file).expect("a file");
    let first = config.lines().find(|line| line.contains("server web-01")).expect("a line").to_owned() + "\n";
    let (ahead, behind) = config.split_once("listen shop").expect("a section");
    let moved = format!("{ahead}backend new\n{first}listen shop{}", behind.replacen(&first, "", 1));
    std::fs::write(&file, moved).expect("a file");
    world.stop();
    world.start();
    wait_for("the new configuration", async || driver.sessions(&second).await.ok().filter(|n| *n == Some(0))).await;
    assert_eq!(driver.counters().await.map(|all| all.len()), Ok(1));
    assert!(matches!(driver.sessions(&target("web-01")).await, Err(TrafficError::Refused(text)) if text.contains("web-01")));
}
