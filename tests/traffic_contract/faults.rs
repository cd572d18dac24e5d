//! Catalogue F of the faults against the real nginx and the real Caddy, each with the words that an operator reads.
//! HAProxy's are in `faults_balancer.rs`.
//!
//! Imports: the shared parts, traffic, model. May not: sleep without a condition.

use std::fs;

use rollout::model::{Rotation, Span};
use rollout::ports::TrafficError;
use rollout::traffic::{self, HaproxySettings, NginxSettings, Settings};
use tokio::io::AsyncWriteExt;

use crate::caddy::Caddy;
use crate::common::wait_for;
use crate::haproxy::Haproxy;
use crate::nginx::Nginx;
use crate::sshd::Hosts;
use crate::world::{Front, Instances, World, ask, rotation, shares, until};

async fn nginx() -> Option<Nginx> {
    Nginx::new(Instances::start().await).await
}

async fn caddy() -> Option<Caddy> {
    Caddy::new(Instances::start().await).await
}

fn refused<T: std::fmt::Debug>(result: Result<T, TrafficError>) -> String {
    match result {
        Err(TrafficError::Refused(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

fn not_confirmed<T: std::fmt::Debug>(result: Result<T, TrafficError>) -> String {
    match result {
        Err(TrafficError::NotConfirmed(text)) => text,
        other => panic!("confirmed, or refused: {other:?}"),
    }
}

/// How settings are made wrong.
type Change<'a> = &'a dyn Fn(&mut NginxSettings);

/// F1, F3: what cannot work is said with its remedy, by the reading and by the check, and nothing is touched.
#[tokio::test]
async fn f01_an_nginx_that_cannot_be_driven_says_why() {
    let Some(world) = nginx().await else { return };
    let first = world.instances().target(1);
    let before = fs::read_to_string(world.file()).expect("the file");
    let stranger = world.dir.path().join("stranger.conf");
    fs::write(&stranger, before.replace("# rollout may", "# nobody may")).expect("a file");
    let cases: [(&str, Change<'_>); 4] = [
        ("missing.conf: is missing; see [traffic] upstream_file", &|s| {
            s.upstream_file = s.upstream_file.replace("shop.", "missing.");
        }),
        ("stranger.conf is not for us to change; make its first line \"# rollout may change this file\"", &|s| {
            s.upstream_file = stranger.to_string_lossy().into_owned();
        }),
        ("shop.conf has no upstream shoes; see [traffic] upstream", &|s| s.upstream = "shoes".to_owned()),
        ("nginx does not run: no master process by /nowhere.pid; see [traffic] pid_file", &|s| {
            s.pid_file = "/nowhere.pid".to_owned();
        }),
    ];
    for (words, change) in cases {
        let mut settings = world.settings();
        change(&mut settings);
        let driver = Nginx::build(settings);
        let error = driver.read(std::slice::from_ref(&first)).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(driver.check(std::slice::from_ref(&first)).await, std::slice::from_ref(&error));
        assert_eq!(driver.take_out(&first).await.expect_err(words).to_string(), error);
    }
    assert_eq!(fs::read_to_string(world.file()).expect("the file"), before);
    assert_eq!(fs::read_to_string(&stranger).expect("the file"), before.replace("# rollout may", "# nobody may"));
}

/// F8: "`nginx … -t` refused the change, so nothing was changed: … unknown directive "bogus" …"; also told by the check.
#[tokio::test]
async fn f08_a_configuration_that_nginx_refuses_changes_nothing() {
    let Some(world) = nginx().await else { return };
    let (driver, first, main) = (world.driver(), world.instances().target(1), world.dir.path().join("nginx.conf"));
    let (good, file) = (fs::read_to_string(&main).expect("the file"), fs::read_to_string(world.file()).expect("the file"));
    fs::write(&main, format!("bogus on;\n{good}")).expect("the file");
    let text = refused(driver.take_out(&first).await.map(drop));
    assert!(
        text.contains("refused the change, so nothing was changed") && text.contains("unknown directive \"bogus\""),
        "{text}"
    );
    let complaints = driver.check(std::slice::from_ref(&first)).await;
    assert!(complaints.len() == 1 && complaints[0].contains("unknown directive \"bogus\""), "{complaints:?}");
    assert_eq!(fs::read_to_string(world.file()).expect("the file"), file, "byte by byte");
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Serving));
    let rest: Vec<_> = fs::read_dir(world.dir.path()).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert!(!rest.iter().any(|name| name.to_string_lossy().contains("shop.conf.draft")), "{rest:?}");
    assert!(!rest.iter().any(|name| name.to_string_lossy().contains("shop.conf.before")), "{rest:?}");
    fs::write(&main, good).expect("the file");
    driver.take_out(&first).await.expect("out");
}

/// F4, F8: a reload that changes nothing is not believed: "its workers are those of before … it refused its configuration".
#[tokio::test]
async fn f08_a_reload_without_new_workers_is_not_believed() {
    let Some(world) = nginx().await else { return };
    let first = world.instances().target(1);
    let pid = fs::read_to_string(world.dir.path().join("nginx.pid")).expect("a pid");
    let lying = NginxSettings { reload: vec!["true".to_owned()], timeout: Span::from_secs(2), ..world.settings() };
    // HUP is accepted by a master that then refuses its configuration.
    let hup = NginxSettings {
        test: vec!["true".to_owned()],
        reload: vec!["kill".to_owned(), "-HUP".to_owned(), pid.trim().to_owned()],
        ..lying.clone()
    };
    let main = world.dir.path().join("nginx.conf");
    let good = fs::read_to_string(&main).expect("the file");
    for (settings, broken) in [(lying, false), (hup, true)] {
        if broken {
            fs::write(&main, format!("bogus on;\n{good}")).expect("the file");
        }
        let text = not_confirmed(Nginx::build(settings).take_out(&first).await);
        assert!(text.contains("its workers are those of before") && text.contains("error log"), "{text}");
        assert_eq!(rotation(&world, 1).await, Some(Rotation::Partly), "the file says out, nginx has not read it");
        assert!(shares(&world, 6).await.contains_key("web-01"), "and so it is");
        let complaints = world.driver().check(std::slice::from_ref(&first)).await;
        assert!(complaints.iter().any(|text| text.contains("was changed after nginx loaded it")), "{complaints:?}");
        fs::write(&main, &good).expect("the file");
        world.driver().take_out(&first).await.expect("out");
        assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
        world.driver().admit(&first).await.expect("in");
    }
}

/// F8: an old worker counts for whom it serves: for the instance that it is connected to, and not for another one.
#[tokio::test]
async fn f08_an_old_worker_counts_for_the_instance_that_it_serves() {
    let Some(world) = nginx().await else { return };
    let (driver, first, second) = (world.driver(), world.instances().target(1), world.instances().target(2));
    for other in [1, 3] {
        driver.take_out(&world.instances().target(other)).await.expect("out");
    }
    let meanwhile = async {
        wait_for("a held request", async || (driver.sessions(&second).await == Ok(Some(1))).then_some(())).await;
        driver.admit(&first).await.expect("in");
        let left = wait_for("the other old workers", async || driver.sessions(&first).await.ok()).await;
        assert_eq!(left, Some(0));
        assert_eq!(driver.take_out(&first).await, Ok(Some(0)), "web-02's request is not web-01's");
        assert_eq!(driver.take_out(&second).await, Ok(Some(1)));
        world.instances().release.add_permits(1);
        wait_for("it ends", async || (driver.sessions(&second).await == Ok(Some(0))).then_some(())).await;
    };
    let (answer, ()) = tokio::join!(ask(world.front(), "/held"), meanwhile);
    assert_eq!(answer, "web-02");
}

/// F8: a request that an old worker has accepted and not passed on yet may still go to the instance, and counts.
#[tokio::test]
async fn f08_a_request_that_is_not_passed_on_yet_counts() {
    let Some(world) = nginx_on_tcp().await else { return };
    let (driver, first, port) = (world.driver(), world.instances().target(1), tcp_port(&world));
    let mut slow = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the front");
    slow.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhal").await.expect("half a request");
    let busy = async || driver.take_out(&first).await.ok().filter(|left| *left == Some(1));
    wait_for("nginx reads it", async || {
        driver.admit(&first).await.ok()?;
        busy().await
    })
    .await;
    drop(slow);
    wait_for("it ends", async || (driver.sessions(&first).await == Ok(Some(0))).then_some(())).await;
}

/// As [`nginx`], with a front that `/proc` tells of.
async fn nginx_on_tcp() -> Option<Nginx> {
    let world = nginx().await?;
    let main = world.dir.path().join("nginx.conf");
    let port = crate::common::free_port();
    let text = fs::read_to_string(&main).expect("the file");
    fs::write(&main, text.replace("    listen unix:", &format!("    listen 127.0.0.1:{port};\n    listen unix:")))
        .expect("the file");
    world.reload();
    wait_for("the port", async || (ask(Front::Tcp(port), "/").await.starts_with("web")).then_some(())).await;
    Some(world)
}

fn tcp_port(world: &Nginx) -> u16 {
    let text = fs::read_to_string(world.dir.path().join("nginx.conf")).expect("the file");
    let port = text.lines().find_map(|line| line.trim().strip_prefix("listen 127.0.0.1:")?.strip_suffix(';'));
    port.expect("a port").parse().expect("a port")
}

/// F5, F6: what somebody else writes shows in the next reading, and their words stay.
#[tokio::test]
async fn f06_a_file_that_somebody_else_wrote_is_read_anew() {
    let Some(world) = nginx().await else { return };
    let (driver, first) = (world.driver(), world.instances().target(1));
    let before = fs::read_to_string(world.file()).expect("the file");
    driver.take_out(&first).await.expect("out");
    let written = before.replace("upstream shop {", "upstream shop {\n    keepalive 7; # by ops");
    fs::write(world.file(), &written).expect("the file");
    world.reload();
    until(&world, 1, Rotation::Serving).await;
    wait_for("out again", async || driver.take_out(&first).await.ok()).await;
    driver.admit(&first).await.expect("in");
    let after = fs::read_to_string(world.file()).expect("the file");
    assert_eq!(after.replace(" # put back by rollout", ""), written);
}

/// Another one holds the lock: "… .lock is held by somebody else for 1s".
#[tokio::test]
async fn f05_a_lock_that_somebody_holds_is_waited_for_and_named() {
    let Some(world) = nginx().await else { return };
    let lock = fs::File::create(world.dir.path().join("shop.conf.lock")).expect("a lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    let driver = Nginx::build(NginxSettings { timeout: Span::from_secs(1), ..world.settings() });
    let first = world.instances().target(1);
    let text = not_confirmed(driver.take_out(&first).await);
    assert!(text.contains("shop.conf.lock is held by somebody else for 1s"), "{text}");
    drop(lock);
    driver.take_out(&first).await.expect("out");
}

/// Orders that come at once are carried out with few reloads.
#[tokio::test]
async fn orders_at_once_share_a_reload() {
    let Some(world) = nginx().await else { return };
    let driver = world.driver();
    let [first, second, third] = [1, 2, 3].map(|number| world.instances().target(number));
    let (a, b, c) = tokio::join!(driver.take_out(&first), driver.take_out(&second), driver.take_out(&third));
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    let log = fs::read_to_string(world.dir.path().join("error.log")).expect("a log");
    assert_eq!(log.matches(", reconfiguring").count(), 1, "{log}");
}

/// F9: the host of one of two is gone: it is named, and the other one admits all the same. (Both are the same nginx here: each
/// finds what the other wrote.)
#[tokio::test]
async fn f09_an_nginx_whose_host_is_gone_does_not_keep_the_other_from_admitting() {
    let (Some(world), Some(mut hosts)) = (nginx().await, Hosts::start(2)) else { return };
    let driver = Nginx::build(NginxSettings {
        hosts: hosts.all.iter().map(|host| host.name.clone()).collect(),
        ssh: hosts.options(),
        ..world.settings()
    });
    let first = world.instances().target(1);
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)));
    hosts.down(1);
    let error = driver.admit(&first).await.expect_err("one is gone");
    assert!(matches!(&error, TrafficError::Unreachable(text) if text.contains("host-2")), "{error:?}");
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Serving), "the other one admitted it all the same");
}

/// F1, F3: "Caddy at unix/… cannot be reached: …", "status 404: unknown object ID …", "it is no reverse_proxy handler".
#[tokio::test]
async fn f01_a_caddy_that_cannot_be_driven_says_why() {
    let Some(world) = caddy().await else { return };
    let first = world.instances().target(1);
    let mut away = world.settings();
    away.admin = vec!["unix//nowhere".to_owned()];
    let mut unknown = world.settings();
    unknown.handler = "/id/shoes".to_owned();
    let mut other = world.settings();
    other.handler = "/config/apps/http/servers/shop".to_owned();
    for (settings, words) in [
        (away, "Caddy at unix//nowhere cannot be reached: No such file or directory"),
        (unknown, "unknown object ID 'shoes'; see [traffic] id or handler"),
        (other, "it is no reverse_proxy handler; see [traffic] id or handler"),
    ] {
        let driver = Caddy::build(settings);
        let error = driver.read(std::slice::from_ref(&first)).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(driver.check(std::slice::from_ref(&first)).await, [error]);
    }
}

/// F5: changes of somebody else and ours do not undo each other, however they come; the list keeps its order.
#[tokio::test]
async fn f05_changes_of_somebody_else_to_caddy_are_kept() {
    let Some(world) = caddy().await else { return };
    let (driver, before) = (world.driver(), world.handler().await);
    let theirs = async {
        for number in 0..20 {
            let body = format!(r#"{{"request":{{"set":{{"X-Number":["{number}"]}}}}}}"#);
            // PATCH replaces, PUT and POST create.
            world.admin("POST", "/id/shop/headers", &body).await.expect("Caddy answers");
        }
    };
    let ours = async {
        for number in [2, 1, 3] {
            let target = world.instances().target(number);
            wait_for("out", async || driver.take_out(&target).await.ok()).await;
        }
        for number in [1, 2, 3] {
            let target = world.instances().target(number);
            wait_for("in", async || driver.admit(&target).await.ok()).await;
        }
    };
    tokio::join!(theirs, ours);
    let after = world.handler().await;
    assert_eq!(after["upstreams"], before["upstreams"]);
    assert_eq!(after["headers"]["request"]["set"]["X-Number"][0], "19");
    assert_eq!(after.get("handle_response"), None, "nothing of ours is left");
}

/// F6: a configuration that somebody loads anew puts everybody in; the next reading shows it.
#[tokio::test]
async fn f06_a_configuration_that_is_loaded_anew_is_read_anew() {
    let Some(world) = caddy().await else { return };
    let (driver, first) = (world.driver(), world.instances().target(1));
    driver.take_out(&first).await.expect("out");
    world.admin("POST", "/load", &fs::read_to_string(world.config()).expect("a file")).await.expect("Caddy answers");
    until(&world, 1, Rotation::Serving).await;
    driver.take_out(&first).await.expect("out again");
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
}

/// F9: one of two Caddys is gone: it is named, and the other one admits all the same.
#[tokio::test]
async fn f09_a_caddy_that_is_gone_does_not_keep_the_other_from_admitting() {
    let (Some(world), Some(mut other)) = (caddy().await, caddy().await) else { return };
    let mut both = world.settings();
    both.admin.extend(other.settings().admin);
    // Both proxy to the instances of the first.
    other.admin("POST", "/id/shop/upstreams", &world.handler().await["upstreams"].to_string()).await.expect("Caddy answers");
    other.admin("PATCH", "/id/shop/upstreams", &world.handler().await["upstreams"].to_string()).await.expect("Caddy answers");
    let (driver, first) = (Caddy::build(both), world.instances().target(1));
    assert_eq!(driver.take_out(&first).await, Ok(Some(0)));
    other.kill();
    let error = driver.admit(&first).await.expect_err("one is gone");
    assert!(
        matches!(&error, TrafficError::Unreachable(text) if text.contains(&*other.dir.path().to_string_lossy())),
        "{error:?}"
    );
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Serving), "the other one admitted it all the same");
}

/// F11: "… is down by the balancer's own check": requests that Caddy could not pass on.
#[tokio::test]
async fn f11_an_instance_that_caddy_finds_failing_is_not_in() {
    let Some(world) = caddy().await else { return };
    let passive = r#"{"passive":{"fail_duration":60000000000,"max_fails":1}}"#;
    world.admin("POST", "/id/shop/health_checks", passive).await.expect("Caddy answers");
    let (driver, mut nobody) = (world.driver(), world.instances().target(4));
    nobody.port = crate::common::free_port();
    driver.add(&nobody).await.expect("known");
    wait_for("a request that fails", async || {
        ask(world.front(), "/").await;
        let read = driver.read(std::slice::from_ref(&nobody)).await.ok()?;
        (read[&nobody.id] == Rotation::Down).then_some(())
    })
    .await;
    let text = not_confirmed(driver.admit(&nobody).await);
    assert!(text.contains("is down by the balancer's own check"), "{text}");
}

/// Where it is wanted, an instance counts as admitted once it has its whole share: "… starts slowly: it has 4 % of its share".
#[tokio::test]
async fn an_admission_waits_for_the_slow_start_where_that_is_wanted() {
    let Some(mut world) = Haproxy::new(Instances::start().await).await else { return };
    world.start_slowly().await;
    let (driver, first) = (world.driver(), world.instances().target(1));
    let patient = traffic::build(&Settings::Haproxy(HaproxySettings { await_slow_start: true, ..world.settings() }));
    let patient = patient.expect("settings that work");
    driver.take_out(&first).await.expect("out");
    world.command("set server shop/web-01 health down").await.expect("HAProxy answers");
    wait_for("it is up again", async || driver.admit(&first).await.ok()).await;
    let text = not_confirmed(patient.admit(&first).await);
    assert!(text.contains("shop/web-01 starts slowly: it has ") && text.contains(" % of its share"), "{text}");
    wait_for("its whole share", async || patient.admit(&first).await.ok()).await;
}
