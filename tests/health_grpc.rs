//! gRPC's health protocol against a real gRPC server, plain and by TLS, and against what is none.
//!
//! Imports: probe, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

#[path = "secured/certificates.rs"]
#[expect(dead_code, reason = "of the certificates only good ones are needed here")]
mod certificates;
mod common;
#[path = "secured/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use certificates::Authority;
use common::{foreign, free_port, server, temp_dir};
use rollout::clock::SystemClock;
use rollout::model::{InstanceId, Sample, SampleResult, Span, Target, Version};
use rollout::os::tls;
use rollout::probe::{self, GrpcSettings, Kind, Settings};
use servers::Server;

/// The services and what is said of them; `plain` has no health service; `mute` never answers.
const SCRIPT: &str = r#"
import sys, time
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

class Telling(health.HealthServicer):
    def Check(self, request, context):
        if request.service == "mute":
            time.sleep(60)
        if request.service == "broken":
            context.abort(grpc.StatusCode.UNAVAILABLE, "database: no route to host, 100% of the time")
        context.send_initial_metadata((("x-version", "v2"),))
        return super().Check(request, context)

kind, port = sys.argv[1], sys.argv[2]
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
if kind != "plain":
    servicer = Telling()
    status = health_pb2.HealthCheckResponse
    for name, value in (("", status.SERVING), ("shop", status.SERVING), ("sick", status.NOT_SERVING), ("odd", status.UNKNOWN)):
        servicer.set(name, value)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if len(sys.argv) > 3:
    read = lambda name: open(name, "rb").read()
    key, cert, ca = (read(name) for name in sys.argv[3:6])
    credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
    server.add_secure_port("127.0.0.1:" + port, credentials)
else:
    server.add_insecure_port("127.0.0.1:" + port)
server.start()
server.wait_for_termination()
"#;

/// A Python that has gRPC.
fn python() -> Option<PathBuf> {
    let dirs = env::var_os("PATH").unwrap_or_default();
    let mut all = env::split_paths(&dirs).map(|dir| dir.join("python3")).filter(|path| path.is_file());
    let able = all.find(|path| {
        let mut ask = Command::new(path);
        ask.args(["-c", "import grpc_health.v1"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    });
    able.or_else(|| foreign("python3 with gRPC", "pip install grpcio grpcio-health-checking"))
}

fn target(port: u16) -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port, zone: None, labels: BTreeMap::default() }
}

fn settings(service: &str) -> Settings {
    let grpc = GrpcSettings { service: service.to_owned(), version: Some("x-version".to_owned()) };
    Settings::new(Kind::Grpc(grpc), Span::from_secs(5))
}

async fn probed(settings: &Settings, port: u16, expect: Option<&str>) -> Sample {
    let expect = expect.map(|version| Version::new(version).expect("a version"));
    let prober = probe::build(settings, SystemClock::new().port()).expect("settings that work");
    prober.probe(&target(port), expect.as_ref()).await
}

async fn missed(settings: &Settings, port: u16) -> String {
    let sample = probed(settings, port, None).await;
    assert!(matches!(sample.result, SampleResult::Miss { .. }), "{sample:?}");
    sample.words()
}

#[tokio::test]
async fn serving_passes_and_all_else_is_a_miss_in_words() {
    let Some(python) = python() else { return };
    let (dir, port, plain) = (temp_dir(), free_port(), free_port());
    let script = dir.path().join("server.py");
    fs::write(&script, SCRIPT).expect("written");
    let _server = Server::start(Command::new(&python).arg(&script).arg("health").arg(port.to_string()), &[port]).await;
    let _plain = Server::start(Command::new(&python).arg(&script).arg("plain").arg(plain.to_string()), &[plain]).await;
    for service in ["", "shop"] {
        let sample = probed(&settings(service), port, Some("v2")).await;
        assert_eq!(sample.result, SampleResult::Pass { status: None }, "{service:?}");
        assert_eq!(sample.version.expect("told").as_str(), "v2");
    }
    assert_eq!(probed(&settings(""), port, Some("v3")).await.words(), "reports v2, not v3");
    for (service, words) in [
        ("sick", "NOT_SERVING"),
        ("odd", "UNKNOWN"),
        ("nobody", "NOT_FOUND: it knows no service \"nobody\"; correct health.service"),
        ("broken", "UNAVAILABLE: database: no route to host, 100% of the time"),
    ] {
        assert_eq!(missed(&settings(service), port).await, words);
    }
    assert_eq!(missed(&settings(""), plain).await, "UNIMPLEMENTED: it has no grpc.health.v1.Health");
    let mute = Settings { timeout: Span::from_millis(300), ..settings("mute") };
    assert_eq!(missed(&mute, port).await, "no answer in 300ms");
    assert_eq!(probed(&settings(""), free_port(), None).await.result, SampleResult::NotListening);
}

#[tokio::test]
async fn by_tls_both_sides_prove_who_they_are() {
    let (Some(python), Some(openssl)) = (python(), server("openssl")) else { return };
    let (ours, port) = (Authority::new(&openssl), free_port());
    let (good, me) = (ours.issue("good", "IP:127.0.0.1"), ours.issue("me", "DNS:deployer"));
    let script = ours.path("server.py");
    fs::write(&script, SCRIPT).expect("written");
    let mut command = Command::new(&python);
    command.arg(&script).arg("health").arg(port.to_string()).args([&good.key, &good.cert, &ours.file()]);
    let _server = Server::start(&mut command, &[port]).await;
    let trusting = tls::Settings { ca_file: Some(ours.file()), ..tls::Settings::default() };
    let known = tls::Settings { cert_file: Some(me.cert), key_file: Some(me.key), ..trusting.clone() };
    let with = |tls: tls::Settings| Settings { tls: Some(tls), ..settings("shop") };
    assert!(probed(&with(known), port, Some("v2")).await.passed());
    let reason = missed(&with(trusting), port).await;
    assert!(reason.contains("client certificate"), "{reason}");
    let reason = missed(&with(tls::Settings::default()), port).await;
    assert!(reason.contains("not trusted"), "{reason}");
    let reason = missed(&settings(""), port).await;
    assert!(!reason.is_empty(), "a plain call to a server that wants TLS");
}

/// E11: what speaks something else, or answers too much, is a miss.
#[tokio::test]
async fn other_protocols_are_misses() {
    let Some(nginx) = server("nginx") else { return };
    let (dir, one, two) = (temp_dir(), free_port(), free_port());
    let config = format!(
        "daemon off; pid {dir}/pid; error_log {dir}/error.log; events {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;\n\
         server {{ listen 127.0.0.1:{one}; location / {{ return 200 ok; }} }}\n\
         server {{ listen 127.0.0.1:{two} http2; location / {{ return 200 ok; }}\n\
         location = /grpc.health.v1.Health/Check {{ default_type text/plain; return 200 ok; }} }} }}\n",
        dir = dir.path().display()
    );
    let file = dir.path().join("nginx.conf");
    fs::write(&file, config).expect("written");
    let mut command = Command::new(nginx);
    let _nginx = Server::start(command.arg("-c").arg(file).arg("-e").arg(dir.path().join("error.log")), &[one, two]).await;
    let reason = missed(&settings(""), one).await;
    assert!(reason.starts_with("does not speak HTTP/2 on this port"), "{reason}");
    assert_eq!(missed(&settings(""), two).await, "answers, but not by gRPC");
}
