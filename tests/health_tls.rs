//! Probes by TLS against nginx and openssl, with certificates that are good, old, foreign or somebody else's (catalogue E9).
//!
//! Imports: probe, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

#[path = "secured/certificates.rs"]
mod certificates;
mod common;
#[path = "secured/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use certificates::{Authority, Pair};
use common::{free_port, server, temp_dir, wait_for};
use rollout::clock::SystemClock;
use rollout::model::{InstanceId, Sample, SampleResult, Span, Target};
use rollout::os::tls;
use rollout::ports::Prober;
use rollout::probe::{self, Aside, HttpSettings, HttpVersion, Kind, Settings, VipSettings};
use servers::Server;

fn target(host: &str, port: u16) -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: host.to_owned(), port, zone: None, labels: BTreeMap::default() }
}

fn settings(tls: tls::Settings) -> Settings {
    let version = Some(HttpVersion::Header("X-Served-As".to_owned()));
    let http = HttpSettings { path: "/health".to_owned(), status: vec![(200, 299)], version };
    Settings { tls: Some(tls), ..Settings::new(Kind::Http(http), Span::from_secs(5)) }
}

fn build(settings: &Settings) -> Arc<dyn Prober> {
    probe::build(settings, SystemClock::new().port()).expect("settings that work")
}

fn trusting(authority: &Authority) -> tls::Settings {
    tls::Settings { ca_file: Some(authority.file()), ..tls::Settings::default() }
}

async fn probed(tls: &tls::Settings, host: &str, port: u16) -> Sample {
    build(&settings(tls.clone())).probe(&target(host, port), None).await
}

/// Why it is no pass.
async fn missed(tls: &tls::Settings, host: &str, port: u16) -> String {
    let sample = probed(tls, host, port).await;
    let SampleResult::Miss { reason } = sample.result else { panic!("no miss: {sample:?}") };
    reason
}

async fn passes(tls: &tls::Settings, host: &str, port: u16) -> bool {
    let sample = probed(tls, host, port).await;
    assert!(sample.passed() || matches!(sample.result, SampleResult::Miss { .. }), "{sample:?}");
    sample.passed()
}

/// nginx with one server for each of `sites`: port, names, certificate, and what else is to be said of it.
async fn nginx(program: &Path, dir: &Path, sites: &[(u16, &str, &Pair, &str)]) -> Server {
    let mut servers = String::new();
    for (port, names, Pair { cert, key }, more) in sites {
        writeln!(
            servers,
            "server {{ listen 127.0.0.1:{port} ssl; server_name {names}; ssl_certificate {}; ssl_certificate_key {}; {more}\n\
             location / {{ add_header X-Served-As $ssl_server_name always; return 200 ok; }} }}",
            cert.display(),
            key.display()
        )
        .expect("text");
    }
    let config = format!(
        "daemon off; pid {dir}/pid; error_log {dir}/error.log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;\n\
         uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;\n{servers} }}\n",
        dir = dir.display()
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, config).expect("written");
    let mut ports: Vec<u16> = sites.iter().map(|(port, ..)| *port).collect();
    ports.dedup();
    Server::start(Command::new(program).arg("-c").arg(file).arg("-e").arg(dir.join("error.log")), &ports).await
}

/// E9: whoever is not proven is no pass, and the reason says what is wrong and what to write.
#[tokio::test]
async fn e09_what_is_not_proven_is_a_miss_in_words() {
    let (Some(openssl), Some(program)) = (server("openssl"), server("nginx")) else { return };
    let (ours, theirs, dir) = (Authority::new(&openssl), Authority::new(&openssl), temp_dir());
    let good = ours.issue("good", "IP:127.0.0.1,DNS:localhost");
    let old = ours.issue_until("old", "IP:127.0.0.1", "20210203000000Z");
    let other = ours.issue("other", "DNS:other.example,DNS:www.other.example");
    let foreign = theirs.issue("foreign", "IP:127.0.0.1");
    let alone = ours.sign_itself("alone", "IP:127.0.0.1", false);
    let lord = ours.sign_itself("lord", "IP:127.0.0.1", true);
    let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
    let pairs = [&good, &old, &other, &foreign, &alone, &lord];
    let sites: Vec<_> = ports.iter().zip(pairs).map(|(port, pair)| (*port, "_", pair, "")).collect();
    let _nginx = nginx(&program, dir.path(), &sites).await;
    let trusting = trusting(&ours);

    assert_eq!(probed(&trusting, "127.0.0.1", ports[0]).await.result, SampleResult::Pass { status: Some(200) });
    assert!(passes(&trusting, "localhost", ports[0]).await, "by its name");
    assert_eq!(missed(&trusting, "127.0.0.1", ports[1]).await, "its certificate expired on 2021-02-03");
    assert_eq!(
        missed(&trusting, "127.0.0.1", ports[2]).await,
        "its certificate is for other.example, www.other.example, not for 127.0.0.1; write that as server_name"
    );
    for unknown in [ports[3], ports[4]] {
        let reason = missed(&trusting, "127.0.0.1", unknown).await;
        assert!(reason.contains("not trusted") && reason.contains("ca_file"), "{reason}");
    }
    let reason = missed(&trusting, "127.0.0.1", ports[5]).await;
    assert!(reason.contains("self-signed and that of an authority"), "{reason}");
    // The system trusts none of them; whom it is told to trust itself, it trusts.
    let reason = missed(&tls::Settings::default(), "127.0.0.1", ports[0]).await;
    assert!(reason.contains("not trusted"), "{reason}");
    let itself = tls::Settings { ca_file: Some(alone.cert.clone()), ..tls::Settings::default() };
    assert!(passes(&itself, "127.0.0.1", ports[4]).await);
    // By the name that it has.
    let named = tls::Settings { server_name: Some("www.other.example".to_owned()), ..trusting.clone() };
    assert!(passes(&named, "127.0.0.1", ports[2]).await);
    // `insecure`: anyone, but only with TLS.
    let anyone = tls::Settings { insecure: true, ..tls::Settings::default() };
    for port in &ports {
        assert!(passes(&anyone, "127.0.0.1", *port).await, "{port}");
    }
}

/// E9: the name that is asked for decides which of several certificates is shown.
#[tokio::test]
async fn e09_the_name_that_is_asked_for_is_sent() {
    let (Some(openssl), Some(program)) = (server("openssl"), server("nginx")) else { return };
    let (ours, dir, port) = (Authority::new(&openssl), temp_dir(), free_port());
    let (blue, green) = (ours.issue("blue", "DNS:blue.example"), ours.issue("green", "DNS:green.example"));
    let _nginx = nginx(&program, dir.path(), &[(port, "blue.example", &blue, ""), (port, "green.example", &green, "")]).await;
    for name in ["blue.example", "green.example"] {
        let tls = tls::Settings { server_name: Some(name.to_owned()), ..trusting(&ours) };
        let all = Aside { host: Some(name.to_owned()), ..Aside::default() };
        let mut settings = settings(tls);
        settings.places.all = all;
        let sample = build(&settings).probe(&target("127.0.0.1", port), None).await;
        assert!(sample.passed(), "{sample:?}");
        assert_eq!(sample.version.expect("told").as_str(), name);
    }
}

/// E9: a server that asks who we are: with a certificate it answers, without it is a miss that says so.
#[tokio::test]
async fn e09_a_client_certificate_is_shown_where_it_is_asked_for() {
    let (Some(openssl), Some(program)) = (server("openssl"), server("nginx")) else { return };
    let (ours, dir, port, strict) = (Authority::new(&openssl), temp_dir(), free_port(), free_port());
    let (good, me) = (ours.issue("good", "IP:127.0.0.1"), ours.issue("me", "DNS:deployer"));
    let asks = format!("ssl_verify_client on; ssl_client_certificate {};", ours.file().display());
    let _nginx = nginx(&program, dir.path(), &[(port, "_", &good, &asks)]).await;
    // openssl refuses in the handshake itself, nginx by an answer.
    let mut command = Command::new(&openssl);
    command.args(["s_server", "-quiet", "-www", "-Verify", "1", "-verify_return_error", "-accept"]).arg(strict.to_string());
    command.arg("-CAfile").arg(ours.file()).arg("-cert").arg(&good.cert).arg("-key").arg(&good.key);
    let _openssl = Server::start(&mut command, &[strict]).await;
    let known = tls::Settings { cert_file: Some(me.cert), key_file: Some(me.key), ..trusting(&ours) };
    for port in [port, strict] {
        let reason = missed(&trusting(&ours), "127.0.0.1", port).await;
        assert!(reason.contains("client certificate") && reason.contains("cert_file"), "{port}: {reason}");
        assert!(passes(&known, "127.0.0.1", port).await, "{port}");
    }
    let reason = missed(&trusting(&ours), "127.0.0.1", port).await;
    assert!(reason.starts_with("status 400"), "{reason}");
}

/// E6, E8, E10, E11 by TLS: no answer, no TLS, nobody there, and a plain probe of a server that speaks TLS.
#[tokio::test]
async fn e11_what_is_no_tls_is_a_miss_in_words_and_in_time() {
    let (Some(openssl), Some(program)) = (server("openssl"), server("nginx")) else { return };
    let (ours, dir, port) = (Authority::new(&openssl), temp_dir(), free_port());
    let good = ours.issue("good", "IP:127.0.0.1");
    let elsewhere = "location /moved { return 302 https://other.example/; }";
    let _nginx = nginx(&program, dir.path(), &[(port, "_", &good, elsewhere)]).await;
    let trusting = trusting(&ours);
    let plain = Settings { tls: None, ..settings(trusting.clone()) };
    let sample = build(&plain).probe(&target("127.0.0.1", port), None).await;
    assert_eq!(sample.result, SampleResult::Miss { reason: "status 400".to_owned() });
    assert_eq!(probed(&trusting, "127.0.0.1", free_port()).await.result, SampleResult::NotListening);

    let mut moved = settings(trusting.clone());
    moved.places.all.path = Some("/moved".to_owned());
    let sample = build(&moved).probe(&target("127.0.0.1", port), None).await;
    assert_eq!(sample.result, SampleResult::Miss { reason: "redirects to https://other.example/".to_owned() });

    // Takes the connection and says nothing: no handshake may last longer than the probe.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut short = settings(trusting.clone());
    short.timeout = Span::from_millis(200);
    let at = silent.local_addr().expect("its address").port();
    let sample = build(&short).probe(&target("127.0.0.1", at), None).await;
    assert_eq!(sample.result, SampleResult::Miss { reason: "no answer in 200ms".to_owned() });
    assert!(sample.latency < Span::from_secs(2), "{sample:?}");

    // A mail server.
    let mail = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = mail.local_addr().expect("its address").port();
    let talk = async {
        let (mut stream, _) = mail.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n").await.expect("written");
        stream
    };
    let (_stream, reason) = futures::join!(talk, missed(&trusting, "127.0.0.1", at));
    assert_eq!(reason, "does not speak TLS on this port");
}

/// What cannot be used is refused before anything is asked, by its key and file.
#[test]
fn files_that_are_none_are_refused_by_name() {
    let Some(openssl) = server("openssl") else { return };
    let ours = Authority::new(&openssl);
    let (one, two) = (ours.issue("one", "DNS:one"), ours.issue("two", "DNS:two"));
    let refused = |tls: tls::Settings| probe::build(&settings(tls), SystemClock::new().port()).err().expect("refused");
    let empty = ours.path("nothing.pem");
    fs::write(&empty, "nothing\n").expect("written");
    let with_roots = |file: &Path| tls::Settings { ca_file: Some(file.to_owned()), ..tls::Settings::default() };
    for (tls, parts) in [
        (with_roots(Path::new("/no/such/ca.pem")), ["[health.tls] ca_file", "/no/such/ca.pem cannot be read"]),
        (with_roots(&empty), ["[health.tls] ca_file", "no certificate"]),
        (
            tls::Settings { cert_file: Some(one.cert.clone()), key_file: Some(two.key), ..tls::Settings::default() },
            ["cert_file and key_file", "do not go together"],
        ),
        (
            tls::Settings { cert_file: Some(one.cert.clone()), key_file: Some(one.cert), ..tls::Settings::default() },
            ["key_file", "no private key"],
        ),
    ] {
        let why = refused(tls);
        assert!(parts.iter().all(|part| why.contains(part)), "{parts:?}: {why}");
    }
}

/// `[vip] ca_file`: the address that users come to is proven as well.
#[tokio::test]
async fn the_vip_is_trusted_by_its_own_authority_alone() {
    let (Some(openssl), Some(program)) = (server("openssl"), server("nginx")) else { return };
    let (ours, theirs, dir, port) = (Authority::new(&openssl), Authority::new(&openssl), temp_dir(), free_port());
    let good = ours.issue("good", "IP:127.0.0.1");
    let _nginx = nginx(&program, dir.path(), &[(port, "_", &good, "")]).await;
    for (authority, fails) in [(&ours, false), (&theirs, true)] {
        let urls = vec![format!("https://127.0.0.1:{port}/")];
        let vip = probe::vip(&VipSettings { urls, rate: 50, ca_file: Some(authority.file()) }).expect("settings that work");
        vip.start();
        wait_for("requests", async || vip.stats().filter(|stats| stats.requests >= 4)).await;
        let stats = vip.stop().await.expect("counted");
        assert_eq!(stats.failed, if fails { stats.requests } else { 0 }, "{:?}", vip.failures());
        let failures = vip.failures().join(" ");
        assert_eq!(failures.contains("not trusted"), fails, "{failures}");
    }
}
