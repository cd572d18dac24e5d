//! The part of HAProxy's runtime API that the haproxy driver speaks, on a Unix socket, word for word.
//!
//! Imports: pool, shared, stat. May not: answer an order before it holds.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::pool::{Admin, Check, Pool, WEIGHT};
use super::shared::Shared;
use super::stat::{self, BACKEND_ID, FRONTEND, FRONTEND_ID, Wanted};
use crate::demo::log;

/// Longest time for a caller to send its line and take its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// HAProxy's own buffer for a line.
const LINE_MAX: u64 = 16_384;

const UNKNOWN: &str = "Unknown command. Please enter one of the following commands only:
  set server <bk>/<srv> state <state>     : change a server's state: ready, drain or maint
  set server <bk>/<srv> weight <weight>   : change a server's weight: 0 to 256, or a percentage of 1
  show cli level                          : display the level of the current CLI session
  show backend                            : list backends in the current running config
  show info                               : report information about the running process
  show servers state [<backend>]          : dump volatile server information (all or for a single backend)
  show stat [<proxy> <types> <server>]    : report counters for each proxy and server
  quit                                    : disconnect
";

/// Answers one caller: one line of commands, then the end.
pub(super) async fn answer(shared: Arc<Shared>, stream: UnixStream) {
    // A caller that goes away or stalls has no answer coming; there is nobody to tell.
    if let Ok(Err(error)) = timeout(PATIENCE, converse(&shared, stream)).await {
        log(shared.clock, &format!("runtime API: {error}"));
    }
}

async fn converse(shared: &Shared, stream: UnixStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(LINE_MAX).read_line(&mut line).await?;
    let mut stream = stream.into_inner();
    for command in line.trim_end_matches(['\r', '\n']).split(';') {
        let words: Vec<_> = command.split_whitespace().collect();
        if words.first() == Some(&"quit") {
            break;
        }
        stream.write_all(perform(shared, &words).as_bytes()).await?;
        // What ends an answer is an empty line.
        stream.write_all(b"\n").await?;
    }
    stream.shutdown().await
}

/// Carries one command out and words its answer.
fn perform(shared: &Shared, words: &[&str]) -> String {
    let now = Instant::now();
    match words {
        ["show", "info", ..] => shared.with(|pool| info(pool, now)),
        ["show", "stat", rest @ ..] => shared.with(|pool| show_stat(pool, rest, now)),
        ["show", "servers", "state", rest @ ..] => shared.with(|pool| servers_state(pool, rest.first().copied(), now)),
        // The socket's directory decides who may speak; whoever may, may do everything.
        ["show", "cli", "level", ..] => "admin\n".to_owned(),
        ["show", "backend", ..] => shared.with(|pool| format!("# name\n{}\n", pool.backend)),
        ["set", "server", rest @ ..] => set_server(shared, rest, now),
        _ => UNKNOWN.to_owned(),
    }
}

fn info(pool: &Pool, now: Instant) -> String {
    format!(
        "Name: rollout demo-proxy\nVersion: 2.6-rollout-{}\nPid: {}\nUptime_sec: {}\nStopping: 0\nCurrConns: {}\nCumConns: {}\nCumReq: {}\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        stat::seconds(now, pool.started),
        pool.clients.current,
        pool.clients.total,
        pool.counts.total,
    )
}

/// `show stat`, or with all three of PROXY (name, number or -1), TYPES (bits) and SERVER (number or -1) a part of it.
fn show_stat(pool: &Pool, words: &[&str], now: Instant) -> String {
    let [proxy, kinds, server, ..] = words else {
        return stat::show(pool, Wanted::ALL, now);
    };
    let proxy = match *proxy {
        "-1" => None,
        name if name == pool.backend => Some(BACKEND_ID),
        FRONTEND => Some(FRONTEND_ID),
        number => match number.parse() {
            Ok(id) => Some(id),
            Err(_not_a_number) => return "No such proxy.\n".to_owned(),
        },
    };
    // HAProxy reads what is no number as 0, and any negative one as all.
    let kinds: i64 = kinds.parse().unwrap_or_default();
    let server: i64 = server.parse().unwrap_or_default();
    let wanted = Wanted {
        proxy,
        kinds: u8::try_from(kinds & 7).unwrap_or_default(),
        server: if server < 0 { None } else { usize::try_from(server).ok() },
    };
    stat::show(pool, wanted, now)
}

fn servers_state(pool: &Pool, backend: Option<&str>, now: Instant) -> String {
    if backend.is_some_and(|name| name != pool.backend) {
        return "Can't find backend.\n".to_owned();
    }
    let mut text = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
        srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
        bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
        srv_agent_addr srv_agent_port\n"
        .to_owned();
    for (index, server) in pool.servers.iter().enumerate() {
        // 0 stopped, 2 running.
        let op_state = if server.is_up() { 2 } else { 0 };
        let (admin_state, check_state) = match server.admin {
            Admin::Ready => (0x00, 6),
            Admin::Maint => (0x01, 14),
            Admin::Drain => (0x08, 6),
        };
        let (status, result) = check_numbers(&server.check);
        // A check that passed but whose server is in maintenance keeps its result, and has no health.
        writeln!(
            text,
            "{BACKEND_ID} {} {} {} 127.0.0.1 {op_state} {admin_state} {} {WEIGHT} {} {status} {result} {} {check_state} 0 0 0 - {} - 0 0 - - 0",
            pool.backend,
            index + 1,
            server.name,
            server.weight,
            stat::seconds(now, server.changed),
            server.health,
            server.port,
        )
        .ok();
    }
    text
}

/// HAProxy's numbers of a check's status and its result (0 unknown, 2 failed, 3 passed).
fn check_numbers(check: &Check) -> (u8, u8) {
    match check {
        Check::Initial => (1, 0),
        Check::ConnectTimeout => (7, 2),
        Check::NoConnection(_) => (8, 2),
        Check::AnswerTimeout => (12, 2),
        Check::BadAnswer => (13, 2),
        Check::Passed(_) => (15, 3),
        Check::WrongStatus(..) => (17, 2),
    }
}

/// `BACKEND/SERVER state ready|drain|maint`, or `BACKEND/SERVER weight N`.
fn set_server(shared: &Shared, words: &[&str], now: Instant) -> String {
    let both =
        words.first().and_then(|name| name.split_once('/')).filter(|(backend, server)| !backend.is_empty() && !server.is_empty());
    let Some((backend, server)) = both else {
        return "Require 'backend/server'.\n".to_owned();
    };
    let place = shared.with(|pool| if pool.backend == backend { Ok(pool.find(server)) } else { Err("No such backend.\n") });
    let index = match place {
        Ok(Some(index)) => index,
        Ok(None) => return "No such server.\n".to_owned(),
        Err(text) => return text.to_owned(),
    };
    match words.get(1) {
        Some(&"state") => set_state(shared, (index, server), words, now),
        Some(&"weight") => set_weight(shared, (index, server), words, now),
        Some(_) | None => "usage: set server <backend>/<server> state | weight\n".to_owned(),
    }
}

fn set_state(shared: &Shared, (index, server): (usize, &str), words: &[&str], now: Instant) -> String {
    let admin = match words.get(2) {
        Some(&"ready") => Admin::Ready,
        Some(&"drain") => Admin::Drain,
        Some(&"maint") => Admin::Maint,
        Some(_) | None => return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n".to_owned(),
    };
    let left = shared.with(|pool| {
        pool.set_admin(index, admin, now);
        pool.servers.get(index).map_or(0, |server| server.counts.current)
    });
    let word = words.get(2).copied().unwrap_or_default();
    log(shared.clock, &format!("{server} ordered {word}, {left} in flight"));
    String::new()
}

fn set_weight(shared: &Shared, (index, server): (usize, &str), words: &[&str], now: Instant) -> String {
    match weight(words.get(2).copied().unwrap_or_default()) {
        Ok(weight) => {
            shared.with(|pool| pool.set_weight(index, weight, now));
            log(shared.clock, &format!("{server} given weight {weight}"));
            String::new()
        }
        Err(text) => text.to_owned(),
    }
}

/// A weight, or a percentage of the one that a server has at the start.
fn weight(text: &str) -> Result<u32, &'static str> {
    if text.is_empty() {
        return Err("Require <weight> or <weight%>.\n");
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == digits.len() {
        return Err("Empty weight string empty or preceded by garbage");
    }
    let number = text.strip_suffix(rest).and_then(|number| number.parse::<i64>().ok()).unwrap_or(i64::MAX);
    match rest {
        "%" if number < 0 => Err("Relative weight must be positive.\n"),
        "%" => Ok(u32::try_from(number.saturating_mul(i64::from(WEIGHT)) / 100).unwrap_or(256).min(256)),
        _ if !(0..=256).contains(&number) => Err("Absolute weight can only be between 0 and 256 inclusive.\n"),
        "" => Ok(u32::try_from(number).unwrap_or_default()),
        _ => Err("Trailing garbage in weight string"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn shared() -> Arc<Shared> {
        let servers = vec![("web-01".to_owned(), 8101), ("web-02".to_owned(), 8102)];
        Shared::new(Pool::new("be_demo".to_owned(), servers, Instant::now()), || Timestamp::from_millis(0))
    }

    fn ask(shared: &Shared, line: &str) -> String {
        perform(shared, &line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn errors_are_text_in_haproxys_words() {
        let shared = shared();
        for (line, text) in [
            ("set server be_demo/web-09 state drain", "No such server.\n"),
            ("set server nope/web-01 state drain", "No such backend.\n"),
            ("set server be_demo", "Require 'backend/server'.\n"),
            ("set server /web-01 state drain", "Require 'backend/server'.\n"),
            ("set server be_demo/web-01 state", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"),
            ("set server be_demo/web-01 weight", "Require <weight> or <weight%>.\n"),
            ("set server be_demo/web-01 weight 257", "Absolute weight can only be between 0 and 256 inclusive.\n"),
            ("set server be_demo/web-01 weight 5x", "Trailing garbage in weight string"),
            ("show servers state nope", "Can't find backend.\n"),
            ("show stat nope 4 -1", "No such proxy.\n"),
            ("show servers", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(ask(&shared, line), text, "{line}");
        }
    }

    #[test]
    fn once_a_drain_is_answered_no_request_goes_there() {
        let shared = shared();
        assert_eq!(ask(&shared, "set server be_demo/web-01 state drain"), "");
        let picked: Vec<_> = (0..4).map(|_| shared.with(Pool::pick).unwrap().1).collect();
        assert_eq!(picked, [8102; 4]);
        let state = ask(&shared, "show servers state be_demo");
        assert_eq!(state.lines().nth(2), Some("3 be_demo 1 web-01 127.0.0.1 2 8 1 1 0 1 0 2 6 0 0 0 - 8101 - 0 0 - - 0"));
    }
}
