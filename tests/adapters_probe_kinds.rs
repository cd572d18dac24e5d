//! Probes by TCP and by a command, and versions from a regular expression or a command.
//!
//! Imports: probe, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use common::{free_port, temp_dir, wait_for};
use rollout::clock::SystemClock;
use rollout::model::{InstanceId, Sample, SampleResult, Span, Target, Version};
use rollout::os::extract::Extract;
use rollout::os::process;
use rollout::os::program::{Environment, Program};
use rollout::ports::Prober;
use rollout::probe::{self, ExecSettings, HttpSettings, HttpVersion, Kind, Settings, VersionSettings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

fn target(port: u16) -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port, zone: None, labels: std::collections::BTreeMap::default() }
}

fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

fn sh(script: &str) -> Program {
    let argv = ["sh", "-c", script, "{{ instance.id }}", "{{ instance.port }}"].map(str::to_owned).to_vec();
    Program { service: "shop".to_owned(), argv, env: Environment(vec![("TOKEN".to_owned(), "s3cret".to_owned())]) }
}

fn build(probe: Kind, version: Option<VersionSettings>) -> Arc<dyn Prober> {
    let settings = Settings { version, ..Settings::new(probe, Span::from_millis(800)) };
    probe::build(&settings, SystemClock::new().port()).expect("settings that work")
}

fn exec(script: &str, version: Option<Extract>) -> Arc<dyn Prober> {
    build(Kind::Exec(ExecSettings { program: sh(script), version }), None)
}

fn by_command(script: &str, extract: Extract) -> VersionSettings {
    VersionSettings { program: sh(script), extract }
}

fn reason(sample: &Sample) -> &str {
    match &sample.result {
        SampleResult::Miss { reason } => reason,
        other => panic!("no miss: {other:?}"),
    }
}

#[tokio::test]
async fn tcp_passes_where_somebody_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let prober = build(Kind::Tcp, None);
    let sample = prober.probe(&target(port), None).await;
    assert_eq!((sample.result, sample.version), (SampleResult::Pass { status: None }, None));
    // A version that nobody tells cannot be the one expected.
    let sample = prober.probe(&target(port), Some(&version("v1"))).await;
    assert_eq!(reason(&sample), "reports no version (health.version is not set)");
    drop(listener);
    assert_eq!(prober.probe(&target(port), None).await.result, SampleResult::NotListening);
    assert_eq!(prober.probe(&target(free_port()), None).await.result, SampleResult::NotListening);
    let nowhere = Target { host: "no.such.host.invalid".to_owned(), ..target(1) };
    let sample = prober.probe(&nowhere, None).await;
    assert!(matches!(sample.result, SampleResult::Miss { .. }), "{sample:?}");
}

#[tokio::test]
async fn tcp_asks_a_command_for_the_version() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let versioned = |script: &str, extract| build(Kind::Tcp, Some(by_command(script, extract)));
    let prober = versioned("echo port:$1; echo version:v7", Extract::Regex("version:(\\S+)".to_owned()));
    let sample = prober.probe(&target(port), Some(&version("v7"))).await;
    assert_eq!((sample.result, sample.version), (SampleResult::Pass { status: None }, Some(version("v7"))));
    let sample = prober.probe(&target(port), Some(&version("v8"))).await;
    assert_eq!((reason(&sample), &sample.version), ("reports v7, not v8", &Some(version("v7"))));
    for (script, wanted) in [
        ("echo who is it >&2; exit 4", "reports no version: exit code 4: who is it"),
        ("true", "reports no version (the answer is empty)"),
        ("echo 'a b'", "reports \"a b\", not v7"),
    ] {
        let prober = versioned(script, Extract::FirstLine);
        assert_eq!(reason(&prober.probe(&target(port), Some(&version("v7"))).await), wanted);
        // Where no version is asked for, none is missed.
        assert!(prober.probe(&target(port), None).await.passed());
    }
    // Nobody listens: that is the news, and the command is not asked.
    let dir = temp_dir();
    let asked = dir.path().join("asked");
    let prober = versioned(&format!("touch {}; echo v7", asked.display()), Extract::FirstLine);
    assert_eq!(prober.probe(&target(free_port()), Some(&version("v7"))).await.result, SampleResult::NotListening);
    assert!(!asked.exists());
}

#[tokio::test]
async fn exec_is_judged_by_its_exit_code() {
    let sample = exec("[ $0 = web-01 ] && [ $1 = 8080 ] && [ $TOKEN = s3cret ]", None).probe(&target(8080), None).await;
    assert_eq!(sample.result, SampleResult::Pass { status: None }, "{sample:?}");
    let sample = exec("echo queue is full; exit 2", None).probe(&target(1), None).await;
    assert_eq!(reason(&sample), "exit code 2: queue is full");
    let sample = exec("kill -9 $$", None).probe(&target(1), None).await;
    assert_eq!(reason(&sample), "signal 9");
    let json = Some(Extract::Json("/version".to_owned()));
    let sample = exec("echo '{\"version\": \"v3\"}'", json).probe(&target(1), Some(&version("v3"))).await;
    assert_eq!((sample.result, sample.version), (SampleResult::Pass { status: None }, Some(version("v3"))));
}

#[tokio::test]
async fn exec_has_one_deadline_and_leaves_nothing_behind() {
    let dir = temp_dir();
    let file = dir.path().join("pid");
    let began = Instant::now();
    let script = format!("trap '' TERM; sleep 995 & echo $! > {}; wait; sleep 994", file.display());
    let sample = exec(&script, None).probe(&target(1), None).await;
    assert_eq!(reason(&sample), "no answer in 800ms");
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    let pid: i32 = fs::read_to_string(&file).expect("a pid").trim().parse().expect("a pid");
    wait_for("the grandchild to end", async || process::stat(pid).is_none_or(|stat| stat.zombie).then_some(())).await;
}

#[tokio::test]
async fn http_takes_the_version_from_a_regex_or_a_command() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let mut tasks = JoinSet::new();
    let page = axum::Router::new().fallback(async || "<html>shop build v9 of today</html>");
    tasks.spawn(async move { axum::serve(listener, page).await.expect("a server") });
    let http = |version| Kind::Http(HttpSettings { path: "/".to_owned(), status: vec![(200, 299)], version });
    let regex = build(http(Some(HttpVersion::Body(Extract::Regex("build (\\S+)".to_owned())))), None);
    let sample = regex.probe(&target(port), Some(&version("v9"))).await;
    assert_eq!((sample.result, sample.version), (SampleResult::Pass { status: Some(200) }, Some(version("v9"))));
    let command = build(http(None), Some(by_command("echo v10", Extract::FirstLine)));
    let sample = command.probe(&target(port), Some(&version("v9"))).await;
    assert_eq!(reason(&sample), "reports v10, not v9");
}

#[test]
fn programs_that_are_not_there_are_found_at_once() {
    let missing = || Program { argv: vec!["/no/such/check".to_owned()], ..sh("true") };
    let build = |probe, version| {
        let settings = Settings { version, ..Settings::new(probe, Span::from_secs(1)) };
        probe::build(&settings, SystemClock::new().port()).err().expect("refused")
    };
    let why = build(Kind::Exec(ExecSettings { program: missing(), version: None }), None);
    assert_eq!(why, "[health] command: /no/such/check is not there; install it or write its path");
    let why = build(Kind::Tcp, Some(VersionSettings { program: missing(), extract: Extract::FirstLine }));
    assert!(why.starts_with("[health] version: /no/such/check"), "{why}");
    let why = build(Kind::Tcp, Some(VersionSettings { program: sh("true"), extract: Extract::Regex("(".to_owned()) }));
    assert!(why.contains("regular expression"), "{why}");
}
