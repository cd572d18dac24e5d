//! The control socket against bytes that no client sends: only their sender is answered or closed, and everybody else goes on.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Plain;

use super::harness::{Target, run};
use super::*;

/// Good requests in between.
const EVERY: usize = 25;

/// A request that closes its connection.
const GOOD: &[u8] = b"GET /v1/deployment HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// What the server says to `bytes`; with `last` it is told that nothing follows.
fn said(path: &Path, bytes: &[u8], last: bool) -> Result<String, String> {
    let mut stream = Plain::connect(path).map_err(|e| format!("it lets nobody in: {e}"))?;
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.set_write_timeout(Some(BOUND)).unwrap();
    // It may close before it has read all.
    stream.write_all(bytes).ok();
    if last {
        stream.shutdown(Shutdown::Write).ok();
    }
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut piece) {
            Err(e) if [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&e.kind()) => {
                return Err(format!("no end after {BOUND:?}"));
            }
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
        // A stream of events goes on for as long as it is read.
        if String::from_utf8_lossy(&answer).contains("text/event-stream") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket() {
    let running = Running::start_within(Limits { request: Duration::from_secs(2), ..Limits::default() });
    let (path, engine) = (running.path(), Arc::clone(&running.engine));
    let mut bystander = running.client().await;
    let words = [
        "GET ",
        "POST ",
        "/v1/commands",
        "/v1/events?after=",
        "/v1/logs?after=18446744073709551616",
        "HTTP/1.1\r\n",
        "HTTP/0.9",
        "HTTP/2.0\r\n",
        "Host: x\r\n",
        "\r\n\r\n",
        "Content-Length: 4294967296\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "ffffffffffffffff\r\n",
        "0\r\n\r\n",
        "rollout-protocol: 2\r\n",
        "{\"command\":\"pause\"}",
        "\"key\":\"k\",",
        "\"command\":\"resume\",",
        "\"revision\":1e99",
        "\"reason\":\"\\u0000\"",
        "[[[[[[[[",
        "{\"a\":{\"a\":",
        "%00",
        "?after=%31",
        "\u{0}",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
    ];
    let (mut count, mut answered) = (0, 0);
    tokio::task::spawn_blocking(move || {
        run(Target { name: "socket", cases: 1500, words: &words, more: Vec::new() }, |input| {
            let answer = said(&path, input, true)?;
            let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
            let is_fine = status.is_some_and(|status| status.starts_with(['1', '2', '4']) || status == "503");
            if !(answer.is_empty() || is_fine) {
                return Err(format!("answered {answer:?}"));
            }
            answered += u32::from(is_fine);
            count += 1;
            if count % EVERY != 0 {
                return Ok(());
            }
            let good = said(&path, GOOD, false)?;
            if good.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(format!("a good request is answered {good:?}")) }
        });
        assert!(answered > 300, "only {answered} answers: the mutations do not reach the routes");
    })
    .await
    .unwrap();
    // What came in meanwhile, and that the stream of another goes on.
    let seq = engine.pause("still here");
    while next_event(&mut bystander).await.seq < seq {}
}
