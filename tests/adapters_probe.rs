//! The probes against servers that answer well, badly, slowly, endlessly or not at all.
//!
//! Imports: probe, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{free_port, wait_for};
use rollout::clock::SystemClock;
use rollout::model::{InstanceId, Sample, SampleResult, Span, Target, Version, VipStats};
use rollout::os::extract::Extract;
use rollout::ports::{Prober, VipProber};
use rollout::probe::{self, HttpSettings, HttpVersion, Kind, Settings, VipSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A server on a port of its own. It is gone when this is dropped.
struct Server {
    port: u16,
    connections: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Hands every connection to `serve`.
    async fn raw<S: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (connections, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                served.spawn(serve(stream));
            }
        });
        Self { port, connections, _tasks: tasks }
    }

    /// Answers every request of every connection with the same bytes.
    async fn answering(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::raw(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move { while request(&mut stream).await && stream.write_all(answer.as_bytes()).await.is_ok() {} }
        })
        .await
    }

    fn target(&self) -> Target {
        target(self.port)
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// Reads one request without a body; false if the other side closed.
async fn request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_closed) => return false,
        }
    }
    true
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn target(port: u16) -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port, zone: None, labels: BTreeMap::default() }
}

fn settings(version: Option<HttpVersion>) -> HttpSettings {
    HttpSettings { path: "/health".to_owned(), status: vec![(200, 299)], version }
}

fn build(http: HttpSettings) -> Result<Arc<dyn Prober>, String> {
    let settings = Settings::new(Kind::Http(http), Span::from_millis(300));
    probe::build(&settings, SystemClock::new().port())
}

fn prober(version: Option<HttpVersion>) -> Arc<dyn Prober> {
    build(settings(version)).expect("settings that work")
}

fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

fn reason(sample: &Sample) -> &str {
    match &sample.result {
        SampleResult::Miss { reason } => reason,
        other => panic!("no miss: {other:?}"),
    }
}

async fn missed(server: &Server, prober: &Arc<dyn Prober>, expect: Option<&str>) -> String {
    let expect = expect.map(version);
    reason(&prober.probe(&server.target(), expect.as_ref()).await).to_owned()
}

#[tokio::test]
async fn a_pass_has_status_latency_and_time_and_a_connection_of_its_own() {
    let server = Server::answering(response("204 No Content", "", "")).await;
    let prober = prober(None);
    let before = SystemClock::new().now();
    for _ in 0..3 {
        let sample = prober.probe(&server.target(), None).await;
        assert_eq!(sample.result, SampleResult::Pass { status: Some(204) });
        assert!(sample.version.is_none() && sample.latency < Span::from_millis(300) && sample.at >= before, "{sample:?}");
    }
    assert_eq!(server.connections(), 3, "the server would have kept the first one open");
}

/// E4: "reports v2, not v9"; a version that is not told, or not one, is told apart.
#[tokio::test]
async fn e04_the_version_comes_from_header_or_body_and_must_be_the_wanted_one() {
    let header = prober(Some(HttpVersion::Header("X-Version".to_owned())));
    let json = prober(Some(HttpVersion::Body(Extract::Json("/build/version".to_owned()))));
    let server = Server::answering(response("200 OK", "x-version: v2\r\n", r#"{"build":{"version":"v3"}}"#)).await;
    for (prober, says) in [(&header, "v2"), (&json, "v3")] {
        let wanted = prober.probe(&server.target(), Some(&version(says))).await;
        assert_eq!((wanted.result, wanted.version), (SampleResult::Pass { status: Some(200) }, Some(version(says))));
        let unasked = prober.probe(&server.target(), None).await;
        assert_eq!((unasked.passed(), unasked.version), (true, Some(version(says))));
        let other = prober.probe(&server.target(), Some(&version("v9"))).await;
        assert_eq!(reason(&other), format!("reports {says}, not v9"));
        assert_eq!(other.version, Some(version(says)), "what it reports is told all the same");
    }

    let silent = Server::answering(response("200 OK", "", "ok")).await;
    assert!(missed(&silent, &header, Some("v2")).await.starts_with("reports no version"));
    assert_eq!(missed(&silent, &json, Some("v2")).await, "reports no version (the answer is no JSON)");
    assert!(missed(&silent, &prober(None), Some("v2")).await.contains("health.version is not set"));
    assert!(json.probe(&silent.target(), None).await.passed(), "without a wish the status decides");

    let number = Server::answering(response("200 OK", "", r#"{"build":{"version":7}}"#)).await;
    assert!(json.probe(&number.target(), Some(&version("7"))).await.passed());
    let weird = missed(&Server::answering(response("200 OK", "X-Version: ; rm -rf\r\n", "")).await, &header, Some("v2")).await;
    assert_eq!(weird, "reports \"; rm -rf\", not v2");
}

/// E8: "redirects to …", shown harmless and not followed.
#[tokio::test]
async fn e08_other_statuses_and_redirects_are_misses() {
    let prober = prober(None);
    let sick = Server::answering(response("503 Service Unavailable", "", "no")).await;
    assert_eq!(missed(&sick, &prober, None).await, "status 503");
    let elsewhere = Server::answering(response("200 OK", "", "")).await;
    let location = format!("Location: {}\r\n", elsewhere.url());
    let moved = Server::answering(response("302 Found", &location, "")).await;
    assert_eq!(missed(&moved, &prober, None).await, format!("redirects to {}", elsewhere.url()));
    assert_eq!(elsewhere.connections(), 0, "it is not followed");
    let hostile = Server::answering(response("301 Moved", "Location: /\u{202e}\u{9b}2J\r\n", "")).await;
    assert_eq!(missed(&hostile, &prober, None).await, "redirects to /\\u{202e}\\u{9b}2J");

    let lenient = HttpSettings { status: vec![(200, 299), (503, 503)], ..settings(None) };
    let lenient = build(lenient).expect("settings");
    assert_eq!(lenient.probe(&sick.target(), None).await.result, SampleResult::Pass { status: Some(503) });
}

/// E11: nobody listening (waited for), a closed connection, no HTTP, half an answer: each in its own words.
#[tokio::test]
async fn e11_nobody_listening_is_told_from_a_broken_answer() {
    let prober = prober(None);
    assert_eq!(prober.probe(&target(free_port()), None).await.result, SampleResult::NotListening);
    let closing = Server::raw(|mut stream| async move { assert!(request(&mut stream).await, "a request") }).await;
    let text = missed(&closing, &prober, None).await;
    assert!(text.contains("closed"), "{text}");
    let babbling = Server::answering("\x1b]0;owned\x07 this is no HTTP\r\n\r\n").await;
    let text = missed(&babbling, &prober, None).await;
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text}");
    let cut = Server::raw(|mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it").await.ok();
    })
    .await;
    let text = missed(&cut, &prober, None).await;
    assert!(text.starts_with("status 200, then"), "{text}");
    let nameless = Target { host: "no-such-host.invalid".to_owned(), ..target(80) };
    assert!(!reason(&prober.probe(&nameless, None).await).is_empty());
}

/// E6: "no answer in 300ms", wherever it hangs or trickles.
#[tokio::test]
async fn e06_one_deadline_covers_connection_headers_and_body() {
    let trickle = |head: &'static str| {
        move |mut stream: TcpStream| async move {
            request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.ok();
            let mut every = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(b"x").await.is_ok() {
                every.tick().await;
            }
        }
    };
    let prober = prober(None);
    for server in [
        Server::raw(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await,
        Server::raw(trickle("HTTP/1.1 200 OK\r\nX-Slow: ")).await,
        Server::raw(trickle("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")).await,
    ] {
        let began = Instant::now();
        let sample = prober.probe(&server.target(), None).await;
        assert_eq!(reason(&sample), "no answer in 300ms");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(300) && took < Duration::from_millis(900), "{took:?}");
        assert!(sample.latency >= Span::from_millis(300));
    }
}

/// E7: "reports no version (the body is over 64 KiB)"; the connection is dropped there.
#[tokio::test]
async fn e07_an_endless_body_is_read_to_its_cap_only() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let endless = Server::raw(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Version: v2\r\n\r\n").await.ok();
            while stream.write_all(&[b' '; 16 * 1024]).await.is_ok() {
                count.fetch_add(16 * 1024, Ordering::SeqCst);
            }
        }
    })
    .await;
    let header = prober(Some(HttpVersion::Header("X-Version".to_owned())));
    let sample = header.probe(&endless.target(), Some(&version("v2"))).await;
    assert_eq!(sample.result, SampleResult::Pass { status: Some(200) }, "status and header are known; the rest is not needed");
    let json = prober(Some(HttpVersion::Body(Extract::Json("/version".to_owned()))));
    assert_eq!(missed(&endless, &json, Some("v2")).await, "reports no version (the answer is over 64 KiB)");
    // What was sent beyond the cap is what fits into the buffers of two sockets.
    assert!(sent.load(Ordering::SeqCst) < 2 * 16 * 1024 * 1024, "{sent:?}");
}

#[test]
fn settings_of_the_probe_that_cannot_work_are_refused() {
    let refused = |settings: HttpSettings| build(settings).err().expect("refused");
    assert!(refused(HttpSettings { path: "health".to_owned(), ..settings(None) }).contains("[health] path"));
    assert!(refused(HttpSettings { status: vec![(300, 200)], ..settings(None) }).contains("[health] status"));
    assert!(refused(settings(Some(HttpVersion::Header("a b".to_owned())))).contains("[health] version"));
    assert!(refused(settings(Some(HttpVersion::Body(Extract::Json("version".to_owned()))))).contains("JSON pointer"));
}

/// A probe that has begun.
fn vip(urls: &[String], rate: u32) -> Arc<dyn VipProber> {
    let probe = probe::vip(&VipSettings { urls: urls.to_vec(), rate, ca_file: None }).expect("settings that work");
    probe.start();
    probe
}

fn stats(probe: &Arc<dyn VipProber>) -> VipStats {
    probe.stats().expect("it has begun")
}

async fn stopped(probe: &Arc<dyn VipProber>) -> VipStats {
    probe.stop().await.expect("it had begun")
}

async fn wait_for_requests(probe: &Arc<dyn VipProber>, number: u64) {
    wait_for("requests of the VIP probe", async || (stats(probe).requests >= number).then_some(())).await;
}

#[tokio::test]
async fn the_vip_probe_keeps_its_rate_half_of_it_on_new_connections() {
    let (first, second) =
        (Server::answering(response("200 OK", "", "ok")).await, Server::answering(response("302 Found", "", "")).await);
    let began = Instant::now();
    let probe = vip(&[first.url(), second.url()], 200);
    wait_for_requests(&probe, 200).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(30), "200 requests at 200 a second took {took:?}");
    let stats = stopped(&probe).await;
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert!(stats.p50_ms <= stats.p99_ms && stats.p99_ms < 1000, "{stats:?}");
    for server in [&first, &second] {
        // Of its half of the requests, half came on new connections. Few kept ones serve the rest.
        let (opened, asked) = (server.connections(), stats.requests / 2);
        assert!(opened >= asked / 2 && opened < asked * 3 / 4, "{opened} connections for {asked} requests");
    }
}

#[tokio::test]
async fn every_kind_of_failure_is_counted_and_told() {
    let broken = Server::raw(|mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.ok();
    })
    .await;
    let refused = format!("http://127.0.0.1:{}/", free_port());
    let sick = Server::answering(response("500 Internal Server Error", "", "\x1b[2J")).await;
    let probe = vip(&[broken.url(), refused, sick.url()], 300);
    wait_for_requests(&probe, 60).await;
    let failures = probe.failures();
    let stats = stopped(&probe).await;
    assert_eq!(stats.failed, stats.requests, "{stats:?}");
    assert_eq!(failures.len(), 21, "the latest are kept, not all: {failures:?}");
    assert!(failures[0].ends_with("failures before these are not listed"), "{failures:?}");
    for part in ["status 200, then", "connection refused", "status 500", "on a new connection", "on a kept connection"] {
        assert!(failures.iter().any(|failure| failure.contains(part)), "{part}: {failures:?}");
    }
}

/// Answers the first request of a connection; closes when it has read the second.
async fn answer_once(mut stream: TcpStream, received: Arc<AtomicU64>) {
    for answered in [true, false] {
        if !request(&mut stream).await {
            return;
        }
        received.fetch_add(1, Ordering::SeqCst);
        if answered {
            stream.write_all(response("200 OK", "", "ok").as_bytes()).await.ok();
        }
    }
}

#[tokio::test]
async fn a_request_that_broke_on_a_kept_connection_is_a_failure_and_not_repeated() {
    let received = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&received);
    let server = Server::raw(move |stream| answer_once(stream, Arc::clone(&count))).await;
    let probe = vip(&[server.url()], 100);
    wait_for_requests(&probe, 40).await;
    let failures = probe.failures();
    let stats = stopped(&probe).await;
    assert!(failures.iter().all(|failure| failure.contains("on a kept connection")), "{failures:?}");
    assert!(stats.failed >= 8, "every other request on kept connections breaks: {stats:?}");
    assert_eq!(received.load(Ordering::SeqCst), stats.requests, "a repeated request would have been received twice");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_while_idle_is_not_a_failure() {
    let server = Server::raw(|mut stream| async move {
        if request(&mut stream).await {
            stream.write_all(response("200 OK", "", "ok").as_bytes()).await.ok();
        }
    })
    .await;
    let probe = vip(&[server.url()], 10);
    wait_for_requests(&probe, 10).await;
    let stats = stopped(&probe).await;
    assert_eq!(stats.failed, 0, "a client that sees the end of an idle connection opens another one: {stats:?}");
}

#[tokio::test]
async fn stopping_waits_for_what_is_under_way() {
    let received = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&received);
    let slow = Server::raw(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            while request(&mut stream).await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(200)).await;
                stream.write_all(response("200 OK", "", "ok").as_bytes()).await.ok();
            }
        }
    })
    .await;
    let probe = vip(&[slow.url()], 100);
    wait_for("requests under way", async || (received.load(Ordering::SeqCst) >= 10).then_some(())).await;
    let stats = stopped(&probe).await;
    assert_eq!((stats.requests, stats.failed), (received.load(Ordering::SeqCst), 0), "all that was sent is counted");
    assert!(stats.p50_ms >= 199, "{stats:?}");
}

#[tokio::test]
async fn a_service_that_hangs_fails_requests_that_find_no_room() {
    // Connections wait in the backlog; nobody accepts them.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let probe = vip(&[url], 1000);
    let told = wait_for("requests without room", async || probe.failures().into_iter().next()).await;
    assert!(told.starts_with("not sent: ") && told.ends_with("requests are unanswered"), "{told:?}");
    let stats = stats(&probe);
    assert!(stats.failed > 0 && stats.failed == stats.requests);
}

#[tokio::test]
async fn a_vip_probe_begins_once_and_ends_once() {
    let server = Server::answering(response("200 OK", "", "ok")).await;
    let probe = probe::vip(&VipSettings { urls: vec![server.url()], rate: 100, ca_file: None }).expect("settings that work");
    assert_eq!((probe.stats(), probe.failures()), (None, vec![]), "not begun");
    let begun = Instant::now();
    probe.start();
    wait_for_requests(&probe, 5).await;
    probe.start();
    wait_for_requests(&probe, 50).await;
    let (sent, scheduled) = (u128::from(stats(&probe).requests), begun.elapsed().as_millis() / 10 + 1);
    assert!(sent <= scheduled, "twice begun is not twice as fast: {sent} instead of {scheduled}");
    let last = stopped(&probe).await;
    assert_eq!(stopped(&probe).await, last, "stopped is stopped");
    probe.start();
    assert_eq!(stats(&probe), last);

    let never = probe::vip(&VipSettings { urls: vec![server.url()], rate: 100, ca_file: None }).expect("settings that work");
    assert_eq!(never.stop().await, None);
    never.start();
    assert_eq!(never.stop().await.expect("begun").requests, 0, "what was stopped sends nothing");
}

#[test]
fn settings_of_the_vip_probe_that_cannot_work_are_refused() {
    for (urls, rate, part) in [
        (vec!["http://localhost/".to_owned()], 0, "[vip] rate"),
        (vec!["http://localhost/".to_owned()], 10_001, "[vip] rate"),
        (vec![], 1, "[vip] url"),
        (vec!["localhost".to_owned()], 1, "[vip] url"),
        (vec!["ftp://localhost/".to_owned()], 1, "neither http nor https"),
    ] {
        let error = probe::vip(&VipSettings { urls, rate, ca_file: None }).err().expect("refused");
        assert!(error.contains(part), "{error}");
    }
}
