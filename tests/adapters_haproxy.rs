//! The HAProxy driver against a real HAProxy, and against ones that lie, hang or break off.
//!
//! Imports: traffic, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use common::{free_port, server, temp_dir, wait_for};
use rollout::model::{InstanceId, Rotation, Span, Target};
use rollout::ports::{TrafficDriver, TrafficError};
use rollout::traffic::{self, HaproxySettings, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Two instances and one HAProxy before them, checking them every 50 ms.
struct World {
    haproxy: Child,
    binary: PathBuf,
    tcp_port: u16,
    dir: TempDir,
    /// Whether the health check of web-01 passes.
    healthy: Arc<AtomicBool>,
    /// `/held` is answered once there is a permit.
    release: Arc<Semaphore>,
    _servers: JoinSet<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.haproxy.kill().ok();
        self.haproxy.wait().ok();
    }
}

impl World {
    /// `None` if HAProxy is not installed.
    async fn new() -> Option<Self> {
        let binary = server("haproxy")?;
        let (dir, mut servers) = (temp_dir(), JoinSet::new());
        let (healthy, release) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
        let first = instance("web-01", Arc::clone(&healthy), Arc::clone(&release), &mut servers).await;
        let second = instance("web-02", Arc::new(AtomicBool::new(true)), Arc::clone(&release), &mut servers).await;
        let tcp_port = free_port();
        std::fs::write(dir.path().join("haproxy.cfg"), configuration(dir.path(), tcp_port, [first, second])).expect("a file");
        let haproxy = start(&binary, dir.path());
        let world = Self { haproxy, binary, tcp_port, dir, healthy, release, _servers: servers };
        world.wait_until("web-01", Rotation::Serving).await;
        world.wait_until("web-02", Rotation::Serving).await;
        Some(world)
    }

    fn socket(&self, name: &str) -> String {
        format!("unix:{}", self.dir.path().join(name).display())
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        driver(&[self.socket("admin")])
    }

    /// A raw command, as another person would give it.
    async fn command(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("admin")).await.expect("HAProxy");
        stream.write_all(format!("{line}\n").as_bytes()).await.expect("HAProxy");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("a reply");
        reply
    }

    async fn wait_until(&self, name: &str, wanted: Rotation) {
        let driver = self.driver();
        let target = [target(name)];
        wait_for(&format!("{name} {wanted:?}"), async || {
            let read = driver.read(&target).await.ok()?;
            (read.get(&target[0].id) == Some(&wanted)).then_some(())
        })
        .await;
    }

    /// One request through the balancer on a connection of its own; the body.
    async fn request(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("front")).await.expect("the front");
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the front");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.rsplit_once("\r\n\r\n").map_or_else(|| answer.clone(), |(_, body)| body.to_owned())
    }
}

/// An instance: `/` says its name, `/health` what `healthy` says, `/held` waits for a permit.
async fn instance(name: &'static str, healthy: Arc<AtomicBool>, release: Arc<Semaphore>, servers: &mut JoinSet<()>) -> u16 {
    let health =
        move || async move { if healthy.load(Ordering::SeqCst) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } };
    let held = move || async move {
        release.acquire().await.expect("a permit").forget();
        name
    };
    let app = Router::new().route("/", get(move || async move { name })).route("/health", get(health)).route("/held", get(held));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    servers.spawn(async move { axum::serve(listener, app).await.expect("a server") });
    port
}

fn configuration(dir: &Path, tcp_port: u16, [first, second]: [u16; 2]) -> String {
    let dir = dir.display();
    format!(
        "global\n  stats socket {dir}/admin level admin\n  stats socket {dir}/operator level operator\n  \
         stats socket ipv4@127.0.0.1:{tcp_port} level admin\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n  retries 0\n\
         listen shop\n  bind unix@{dir}/front\n  option httpchk GET /health\n  \
         default-server inter 50ms rise 1 fall 1 check\n  \
         server web-01 127.0.0.1:{first}\n  server web-02 127.0.0.1:{second}\n\
         backend unchecked\n  server web-01 127.0.0.1:{first}\n"
    )
}

fn start(binary: &Path, dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).expect("a log");
    let output = (Stdio::from(log.try_clone().expect("a log")), Stdio::from(log));
    let config = dir.join("haproxy.cfg");
    Command::new(binary).arg("-db").arg("-f").arg(config).stdout(output.0).stderr(output.1).spawn().expect("HAProxy")
}

fn settings(sockets: &[String], backend: &str) -> Settings {
    Settings::Haproxy(HaproxySettings {
        service: "shop".to_owned(),
        sockets: sockets.to_vec(),
        backend: backend.to_owned(),
        server: "{{ instance.id }}".to_owned(),
        timeout: Span::from_secs(2),
    })
}

fn driver(sockets: &[String]) -> Arc<dyn TrafficDriver> {
    traffic::build(&settings(sockets, "shop")).expect("settings that work")
}

fn target(id: &str) -> Target {
    let id = InstanceId::new(id).expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port: 1, zone: None, labels: BTreeMap::default() }
}

fn refused(result: Result<(), TrafficError>) -> String {
    match result {
        Err(TrafficError::Refused(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

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

#[tokio::test]
async fn connections_are_counted_until_they_end() {
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

#[tokio::test]
async fn maintenance_is_somebody_elses_and_stays() {
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

#[tokio::test]
async fn what_the_balancer_finds_down_is_not_admitted_until_it_is_up() {
    let Some(world) = World::new().await else { return };
    let (driver, first) = (world.driver(), target("web-01"));
    driver.take_out(&first).await.expect("drained");
    world.healthy.store(false, Ordering::SeqCst);
    wait_for("the balancer to find it down", async || {
        let error = driver.admit(&first).await.err()?;
        let TrafficError::NotConfirmed(text) = error else { panic!("another kind of error: {error:?}") };
        assert!(text.contains("shop/web-01") && text.contains("down by the balancer's own check"), "{text}");
        Some(())
    })
    .await;
    world.wait_until("web-01", Rotation::Down).await;
    world.healthy.store(true, Ordering::SeqCst);
    wait_for("the admission", async || driver.admit(&first).await.ok()).await;

    let unchecked = traffic::build(&settings(&[world.socket("admin")], "unchecked")).expect("settings");
    assert_eq!(unchecked.take_out(&first).await, Ok(Some(0)));
    assert_eq!(unchecked.admit(&first).await, Ok(()), "where nobody checks, an order is enough");
}

#[tokio::test]
async fn a_restart_forgets_the_drain_and_reading_tells() {
    let Some(mut world) = World::new().await else { return };
    let driver = world.driver();
    driver.take_out(&target("web-01")).await.expect("drained");
    world.haproxy.kill().expect("its end");
    world.haproxy.wait().expect("its end");
    let error = driver.read(&[target("web-01")]).await.expect_err("nobody is there");
    assert!(matches!(&error, TrafficError::Unreachable(text) if text.contains("admin")), "{error:?}");
    world.haproxy = start(&world.binary, world.dir.path());
    world.wait_until("web-01", Rotation::Serving).await;
    assert_eq!(driver.take_out(&target("web-01")).await, Ok(Some(0)));
    world.wait_until("web-01", Rotation::Draining).await;
}

#[tokio::test]
async fn errors_are_text_and_are_told() {
    let Some(world) = World::new().await else { return };
    let stranger = target("web-99");
    for result in [world.driver().take_out(&stranger).await.map(drop), world.driver().admit(&stranger).await] {
        let text = refused(result);
        assert!(text.contains("no server shop/web-99"), "{text}");
    }
    let elsewhere = traffic::build(&settings(&[world.socket("admin")], "nowhere")).expect("settings");
    let text = refused(elsewhere.take_out(&target("web-01")).await.map(drop));
    assert!(text.contains("Can't find backend.") && text.contains("[traffic] backend"), "{text}");

    let operator = driver(&[world.socket("operator")]);
    let text = refused(operator.take_out(&target("web-01")).await.map(drop));
    assert!(text.contains("Permission denied") && text.contains("level admin"), "{text}");
    world.wait_until("web-01", Rotation::Serving).await;

    let nobody = driver(&[world.socket("nobody")]).take_out(&target("web-01")).await;
    assert!(matches!(&nobody, Err(TrafficError::Unreachable(text)) if text.contains("nobody")), "{nobody:?}");
}

#[tokio::test]
async fn every_balancer_must_confirm_and_the_least_favourable_counts() {
    let Some(world) = World::new().await else { return };
    let Some(other) = World::new().await else { return };
    let both = driver(&[format!("127.0.0.1:{}", world.tcp_port), other.socket("admin")]);
    let first = target("web-01");
    assert_eq!(both.take_out(&first).await, Ok(Some(0)));
    world.wait_until("web-01", Rotation::Draining).await;
    other.wait_until("web-01", Rotation::Draining).await;
    world.driver().admit(&first).await.expect("somebody admits it at one of them");
    assert_eq!(both.read(std::slice::from_ref(&first)).await.expect("a reading")[&first.id], Rotation::Draining);
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

/// Answers the commands of one connection after the other by `answer`; `None` means never.
fn impostor(dir: &Path, answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static, servers: &mut JoinSet<()>) -> String {
    let path = dir.join("impostor");
    let listener = UnixListener::bind(&path).expect("a socket");
    servers.spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut line = [0_u8; 200];
            let read = stream.read(&mut line).await.unwrap_or(0);
            match answer(&String::from_utf8_lossy(line.get(..read).unwrap_or_default())) {
                Some(reply) => drop(stream.write_all(&reply).await),
                None => kept.push(stream),
            }
        }
    });
    format!("unix:{}", path.display())
}

const INFO: &str = "Name: HAProxy\nPid: 7\nStopping: 0\n\n";
const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_op_state srv_admin_state srv_uweight\n3 shop 1 web-01 2 0 1\n\n";
const STAT: &str = "# pxname,svname,qcur,scur,status,\nshop,web-01,0,3,UP,\n\n";

/// As HAProxy answers, but no order has an effect.
fn honest(command: &str) -> Vec<u8> {
    let command = command.strip_prefix("show info;").expect("every command asks who answers");
    let reply = match command.split_whitespace().nth(1) {
        Some("servers") => STATE,
        Some("stat") => STAT,
        _ => "\n",
    };
    format!("{INFO}{reply}").into_bytes()
}

#[tokio::test]
async fn an_order_without_effect_is_not_confirmed() {
    let (dir, mut servers) = (temp_dir(), JoinSet::new());
    let liar = driver(&[impostor(dir.path(), |command| Some(honest(command)), &mut servers)]);
    assert_eq!(liar.sessions(&target("web-01")).await, Ok(Some(3)));
    let error = liar.take_out(&target("web-01")).await.expect_err("nothing changed");
    assert!(matches!(&error, TrafficError::NotConfirmed(text) if text.contains("\"UP\"")), "{error:?}");
}

#[tokio::test]
async fn replies_that_end_early_never_or_too_late_are_no_replies() {
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
        let Settings::Haproxy(mut settings) = settings(&[socket], "shop");
        if hangs {
            settings.timeout = Span::from_millis(100);
        }
        let broken = traffic::build(&Settings::Haproxy(settings)).expect("settings");
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
        let Settings::Haproxy(mut changed) = settings(&socket, "shop");
        change(&mut changed);
        traffic::build(&Settings::Haproxy(changed)).err().expect("refused")
    };
    assert!(with(|s| s.sockets.clear()).contains("[traffic] sockets"));
    assert!(with(|s| s.sockets.push("lb".to_owned())).contains("\"lb\""));
    assert!(with(|s| s.backend = "a; shutdown sessions".to_owned()).contains("[traffic] backend"));
    assert!(with(|s| s.server = "{{ instance.name }}".to_owned()).contains("[traffic] server"));
    assert!(with(|s| s.server = "a b".to_owned()).contains("\"a b\""));
}
