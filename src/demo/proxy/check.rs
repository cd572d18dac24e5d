//! The balancer's own health checks: one task a server, a fresh connection each time.
//!
//! Imports: pool, shared. May not: decide what a result means for a server (that is `pool`).

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::pool::{Admin, Check};
use super::shared::Shared;
use crate::demo::log;

/// Longest time for a whole check.
const TIMEOUT: Duration = Duration::from_secs(1);
/// A status line is far shorter.
const ANSWER_MAX: usize = 1024;

/// Checks server `index` every `every`, for ever. `offset` spreads the checks of many servers over the time.
pub(super) async fn watch(shared: Arc<Shared>, index: usize, every: Duration, offset: Duration) {
    let mut ticks = interval_at(Instant::now() + offset, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some((name, port)) = shared.with(|pool| {
            let server = pool.servers.get(index).filter(|server| server.admin != Admin::Maint)?;
            Some((server.name.clone(), server.port))
        }) else {
            continue;
        };
        let begun = Instant::now();
        let check = check(port, begun + TIMEOUT).await;
        let now = Instant::now();
        let why = words(&check);
        if let Some(up) = shared.with(|pool| pool.checked(index, check, now - begun, now)) {
            log(shared.clock, &format!("{name} {} ({why})", if up { "up" } else { "down" }));
        }
    }
}

/// What `show stat` says of a check: its short code and its description.
pub(super) fn describe(check: &Check) -> (&'static str, &'static str) {
    match check {
        Check::Initial => ("INI", "Initializing"),
        Check::Passed(_) => ("L7OK", "Layer7 check passed"),
        Check::WrongStatus(..) => ("L7STS", "Layer7 wrong status"),
        Check::NoConnection(_) => ("L4CON", "Layer4 connection problem"),
        Check::ConnectTimeout => ("L4TOUT", "Layer4 timeout"),
        Check::AnswerTimeout => ("L7TOUT", "Layer7 timeout"),
        Check::BadAnswer => ("L7RSP", "Layer7 invalid response"),
    }
}

fn words(check: &Check) -> String {
    let (code, text) = describe(check);
    format!("{code}: {text}")
}

async fn check(port: u16, until: Instant) -> Check {
    let mut stream = match timeout_at(until, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Check::NoConnection("Connection refused".to_owned());
        }
        Ok(Err(error)) => return Check::NoConnection(error.to_string()),
        Err(_late) => return Check::ConnectTimeout,
    };
    match timeout_at(until, ask(&mut stream)).await {
        Ok(Ok(line)) => judge(&line),
        Ok(Err(_broken)) => Check::BadAnswer,
        Err(_late) => Check::AnswerTimeout,
    }
}

/// Sends the question and reads the status line.
async fn ask(stream: &mut TcpStream) -> io::Result<String> {
    stream.set_nodelay(true)?;
    let question = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: rollout-demo-proxy\r\nConnection: close\r\n\r\n";
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 256];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_MAX {
        match stream.read(&mut buffer).await? {
            0 => break,
            n => answer.extend_from_slice(buffer.get(..n).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

/// `HTTP/1.1 200 OK`.
fn judge(line: &str) -> Check {
    let mut parts = line.splitn(3, ' ');
    let is_http = parts.next().is_some_and(|version| version.starts_with("HTTP/1."));
    match parts.next().and_then(|status| status.parse().ok()) {
        Some(status @ 200..=399) if is_http => Check::Passed(status),
        Some(status @ 100..=599) if is_http => Check::WrongStatus(status, parts.next().unwrap_or_default().to_owned()),
        Some(_) | None => Check::BadAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_judged() {
        assert_eq!(judge("HTTP/1.1 200 OK"), Check::Passed(200));
        assert_eq!(judge("HTTP/1.0 204"), Check::Passed(204));
        assert_eq!(judge("HTTP/1.1 503 Service Unavailable"), Check::WrongStatus(503, "Service Unavailable".to_owned()));
        for bad in ["", "SSH-2.0-x", "HTTP/1.1", "HTTP/1.1 abc", "FTP 200 OK", "HTTP/1.1 999 x"] {
            assert_eq!(judge(bad), Check::BadAnswer, "{bad:?}");
        }
    }
}
