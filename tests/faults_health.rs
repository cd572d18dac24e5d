//! Catalogue E of the faults: what instances answer when they are asked how they are. More of it is in
//! `adapters_probe.rs` and `e2e`; `grep -rn 'fn f[01]\|fn e[01]' tests` shows all.
//!
//! Imports: probe, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

#[path = "faults/answers.rs"]
mod answers;
mod common;
#[path = "faults/health_deployments.rs"]
mod deployments;
#[path = "faults/engine.rs"]
mod engine;
#[path = "faults/sites.rs"]
mod sites;

use std::time::Duration;

use answers::{Answers, prober, reason, target, version};
use rollout::model::{SampleResult, Target};
use tokio::time::Instant;

/// E7: "reports no version (the answer is no JSON)": a compressed body is not unpacked, so it cannot grow.
#[tokio::test]
async fn e07_a_compressed_body_is_not_unpacked() {
    // 10 MB of spaces, as gzip has them: 10 kB.
    let bomb = answers::compressed(10_000_000);
    assert!(bomb.len() < 20_000, "{} bytes", bomb.len());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let server = Answers::bytes([head.as_bytes(), bomb.as_slice()].concat()).await;
    let sample = prober().probe(&server.target(), Some(&version("v2"))).await;
    assert_eq!(reason(&sample), "reports no version (the answer is no JSON)");
}

/// E10: a name that does not resolve is a miss with the system's words, within the deadline.
#[tokio::test]
async fn e10_a_name_that_does_not_resolve_is_a_miss_and_no_hang() {
    let nameless = Target { host: "no-such-host.invalid".to_owned(), ..target(80) };
    let began = Instant::now();
    let sample = prober().probe(&nameless, None).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let text = reason(&sample);
    assert!(
        text.contains("lookup") || text.contains("resolve") || text.contains("name") || text.starts_with("no answer"),
        "{text}"
    );
}

/// E11: a reset, another protocol, HTTP/0.9, TLS and HTTP/2 are misses in words; an interim answer is waited past.
#[tokio::test]
async fn e11_resets_and_other_protocols_are_misses_and_an_interim_answer_is_not() {
    let prober = prober();
    let reset = Answers::reset().await;
    let text = reason(&prober.probe(&reset.target(), None).await).to_owned();
    assert!(text.contains("reset") || text.contains("closed"), "{text}");
    for (what, bytes) in [
        ("a mail server", b"220 mail.example ESMTP\r\n".to_vec()),
        ("a database", b"\x4a\x00\x00\x00\x0a8.0.30\x00\x08\x00\x00\x00".to_vec()),
        ("HTTP/0.9", b"<html>all is well</html>\n".to_vec()),
        ("TLS", b"\x15\x03\x01\x00\x02\x02\x16".to_vec()),
        ("HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00".to_vec()),
        ("a status that is none", b"HTTP/1.1 OK\r\n\r\n".to_vec()),
        ("only an interim answer", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
    ] {
        let server = Answers::bytes(bytes).await;
        let sample = prober.probe(&server.target(), None).await;
        let text = reason(&sample);
        assert!(!text.is_empty() && !text.contains(char::is_control), "{what}: {text:?}");
    }
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let sample = prober.probe(&Answers::bytes(interim).await.target(), None).await;
    assert_eq!(sample.result, SampleResult::Pass { status: Some(200) });
}
