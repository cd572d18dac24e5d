//! Whether an engine answers at all, found out in a few seconds: a snapshot of a large fleet may take longer, and one who asks at
//! three in the morning must not wait that long for a program that hangs.
//!
//! Imports: os. May not: ask for anything that costs the engine a turn.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::link::{Ask, Fault, Hello, fetch};
use super::socket::engine_pid;
use super::wire::LOGS;

/// How long an engine has for the first sign of life.
const LIFE: Duration = Duration::from_secs(4);

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Something answers there, whatever it says.
    Some,
    /// Nobody listens.
    None,
    /// Somebody listens and says nothing: the sentence for the user.
    Silent(String),
}

/// Asks who listens at `socket` for the least that there is.
pub async fn answer(socket: &Path) -> Answer {
    let path = format!("{LOGS}?after={}", u64::MAX);
    let ask = Ask { socket, method: Method::GET, path: &path, body: Vec::new(), hello: Hello::default(), within: 2 * LIFE };
    match timeout(LIFE, fetch::<IgnoredAny>(ask)).await {
        Err(_elapsed) => Answer::Silent(silent(socket)),
        Ok(Err(Fault::Gone(_))) => Answer::None,
        Ok(Ok(_) | Err(Fault::Broken(_) | Fault::Hopeless(_) | Fault::Refused(_))) => Answer::Some,
    }
}

fn silent(socket: &Path) -> String {
    let (pid, socket, waited) = (engine_pid(socket), socket.display(), LIFE.as_secs());
    match pid {
        Some(pid) => format!(
            "process {pid} listens at {socket} and said nothing for {waited}s; look at it with `ps -fp {pid}`, and try again: if it \
             hangs, `rollout recover --steal {pid}` takes over from an engine, and `kill {pid}` ends what is none"
        ),
        None => format!("something listens at {socket} and said nothing for {waited}s; `fuser {socket}` names it"),
    }
}
