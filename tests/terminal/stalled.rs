//! Viewers that read nothing: the engine does not wait for them, and who reads again sees how things stand at once.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::pty::{Place, Terminal, frames, lives};
use crate::steady;

/// What happened to whom from the start on, in order. One at a time, so that the order is the engine's alone.
fn story(fleet: &Fleet, id: &str) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = fleet.run(&["events", id, "--output", "json"]).lines();
    let story = events.iter().map(|event| (word(&event["type"]), word(&event["instance"])));
    story.skip_while(|(what, _)| what != "deployment_started").collect()
}

/// How long a deployment took, by its own account.
fn took(fleet: &Fleet, id: &str) -> u64 {
    fleet.run(&["show", id, "--output", "json"]).summary()["duration_ms"].as_u64().unwrap()
}

/// A client of the event stream that asks for everything from the first on, and reads nothing of it.
fn deaf(fleet: &Fleet) -> UnixStream {
    let mut stream = UnixStream::connect(fleet.service_dir().join("engine.sock")).unwrap();
    stream.write_all(b"GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

/// Holds and releases in the past: half a megabyte.
const PAST: usize = 900;

/// A command by the socket, which takes a fraction of a verb's time.
fn order(fleet: &Fleet, body: &str) {
    let mut stream = UnixStream::connect(fleet.service_dir().join("engine.sock")).unwrap();
    let head = format!("Host: x\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(stream, "POST /v1/commands HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Begins it and waits until somebody may come; returns its end.
fn deploy(fleet: &Fleet, version: &str) {
    assert_eq!(fleet.run(&["deploy", version, "--yes", "--detach"]).code, Some(0));
}

fn ended(fleet: &Fleet) {
    fleet.wait("no engine", || fleet.engine_pid().is_none().then_some(()));
}

#[test]
fn viewers_that_read_nothing_change_nothing_and_see_the_newest_at_once() {
    let fleet = steady(&["strategy.batch_size=1", "strategy.max_unavailable=1", "strategy.batch_pause=100ms"]);
    deploy(&fleet, "v2");
    ended(&fleet);
    let (alone, alone_ms) = (story(&fleet, "1"), took(&fleet, "1"));

    // Each whole paint of so wide a terminal is more than its line holds.
    let mut terminal = Terminal::start_with(&fleet, &["deploy", "v3"], Place::Leader, (250, 70), &[]);
    terminal.shows(&fleet, "[PLANNED]");
    // The past alone is more than a socket holds: whoever reads none of it is full before it begins.
    let long = "disk alert ".repeat(18);
    for _ in 0..PAST {
        order(&fleet, &format!(r#"{{"command":"hold","instance":"web-06","reason":"{long}"}}"#));
        order(&fleet, r#"{"command":"release","instance":"web-06"}"#);
    }
    let engine = fleet.engine_pid().unwrap();
    let streams: Vec<UnixStream> = (0..20).map(|_| deaf(&fleet)).collect();
    terminal.press("s");
    fleet.wait("the answer counts", || {
        let text = terminal.text();
        (text.contains("y start") && !text.contains("(off)")).then_some(())
    });
    terminal.press("y");
    terminal.shows(&fleet, "[RUN]");
    terminal.stall(true);
    for _ in 0..20 {
        terminal.press("\u{c}");
        std::thread::park_timeout(Duration::from_millis(30));
    }
    fleet.wait("it has ended", || {
        (fleet.run(&["show", "2", "--output", "json"]).summary()["status"] == "completed").then_some(())
    });
    // Readers keep an engine for a moment; those that do not read must not keep it for longer.
    let since = Instant::now();
    fleet.wait("the engine leaves", || (!lives(engine)).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert_eq!(story(&fleet, "2"), alone, "the same turns in the same order");
    let watched_ms = took(&fleet, "2");
    assert!(watched_ms < 3 * alone_ms + 5_000, "{alone_ms} ms alone, {watched_ms} ms with viewers that read nothing");

    let known = terminal.bytes().len();
    assert!(!terminal.text().contains("[DONE]"), "nothing was read");
    terminal.stall(false);
    terminal.shows(&fleet, "[DONE]");
    terminal.shows(&fleet, "6/6 updated, 0 failed");
    let bytes = terminal.bytes().split_off(known);
    let newest = bytes.windows(6).position(|bytes| bytes == b"[DONE]").unwrap();
    let frames = frames(&bytes[..newest]);
    assert!(frames <= 2, "the one that was on its way, and the newest: {frames}");
    for mut stream in streams {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("instance_held") && !text.contains("deployment_ended"), "it was full: {}", text.len());
    }
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
}

/// A reader that comes back late gets the rest in order, or starts anew from how things stand; in any case it ends in time.
#[test]
fn a_stream_that_is_read_late_ends_with_the_end() {
    let fleet = steady(&["strategy.batch_pause=100ms"]);
    deploy(&fleet, "v2");
    let mut stream = deaf(&fleet);
    fleet.wait("it has ended", || {
        (fleet.run(&["show", "1", "--output", "json"]).summary()["status"] == "completed").then_some(())
    });
    let mut text = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_to_string(&mut text).unwrap();
    let ids: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1) && ids.first() == Some(&1), "{ids:?}");
    assert!(text.contains("\"type\":\"deployment_ended\""), "{}", &text[text.len().saturating_sub(500)..]);
}
