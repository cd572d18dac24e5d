//! The terminal goes away: its console goes within a second, and the engine does what the configuration says.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::pty::{Place, Terminal, lives, send, used};
use crate::steady;

/// How long a console may outlive its terminal.
const SOON: Duration = Duration::from_secs(1);

/// Under way, with two of six done, and nothing to do for a minute.
fn resting(sets: &[&str]) -> Fleet {
    let fleet = steady(&[&["strategy.batch_pause=60s"], sets].concat());
    begin(&fleet);
    fleet
}

fn begin(fleet: &Fleet) {
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("the first batch is through", |s| s["updated"].as_u64() == Some(2));
}

/// The console on it, and its process.
fn attached(fleet: &Fleet, args: &[&str], place: Place) -> (Terminal, i32) {
    let terminal = Terminal::start(fleet, args, place);
    terminal.shows(fleet, "2/6 updated");
    let pid = terminal.pid();
    (terminal, pid)
}

/// Waits for the end of a process that began to end at `since`, and says how much of the processor it still used.
fn goes(fleet: &Fleet, pid: i32, since: Instant, what: &str) -> u64 {
    let before = used(pid).unwrap_or_default();
    let mut last = before;
    fleet.wait("the console ends", || {
        last = used(pid).unwrap_or(last);
        (!lives(pid)).then_some(())
    });
    let took = since.elapsed();
    assert!(took < SOON, "{what}: it outlived its terminal by {took:?}");
    last - before
}

/// What the journal says of a pause or a cancellation: by whom, and why.
fn asked(fleet: &Fleet, kind: &str) -> Option<(String, String)> {
    let events = fleet.run(&["events", "1", "--output", "json"]).lines();
    let event = events.into_iter().find(|event| event["type"] == kind)?;
    Some((event["by"]["login"].as_str()?.to_owned(), event["reason"].as_str()?.to_owned()))
}

fn login() -> String {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_console_goes_with_its_terminal_however_it_was_started_and_uses_no_processor() {
    let fleet = resting(&[]);
    let engine = fleet.engine_pid();
    for place in [Place::Leader, Place::Deaf, Place::Follower, Place::Stranger] {
        let (mut terminal, pid) = attached(&fleet, &["attach"], place);
        let (began, before) = (Instant::now(), used(pid).unwrap());
        // Whoever watches a deployment in which nothing happens pays for a clock.
        std::thread::park_timeout(Duration::from_secs(2));
        let idle = used(pid).unwrap() - before;
        let share = u128::from(idle) * 100 / began.elapsed().as_millis();
        assert!(share < 10, "{place:?}: {idle}ms in {:?}", began.elapsed());
        let gone = Instant::now();
        terminal.hang_up();
        let used = goes(&fleet, pid, gone, &format!("{place:?}"));
        assert!(used <= 100, "{place:?}: {used}ms after its terminal");
        assert_eq!(fleet.engine_pid(), engine, "{place:?}");
        assert_eq!(fleet.status().unwrap()["status"], "in_progress", "{place:?}");
    }
    assert_eq!(asked(&fleet, "deployment_paused"), None, "on_hangup is \"continue\" by default");
}

#[test]
fn a_stalled_terminal_that_goes_away_takes_its_console_along() {
    let fleet = resting(&["console.on_hangup=pause"]);
    let (mut terminal, pid) = attached(&fleet, &["attach"], Place::Stranger);
    terminal.stall(true);
    for _ in 0..20 {
        terminal.press("\u{c}");
        std::thread::park_timeout(Duration::from_millis(30));
    }
    let gone = Instant::now();
    terminal.hang_up();
    goes(&fleet, pid, gone, "stalled");
    fleet.until("it is paused", |s| s["status"] == "paused");
}

#[test]
fn a_lost_terminal_pauses_or_cancels_where_that_is_wanted() {
    for (wanted, kind, status) in [("pause", "deployment_paused", "paused"), ("cancel", "cancel_requested", "cancelled")] {
        let set = format!("console.on_hangup={wanted}");
        let fleet = resting(&[&set]);
        // A console that is left, may change nothing, or is told to go, is not one that lost its terminal.
        let (mut left, pid) = attached(&fleet, &["attach"], Place::Leader);
        left.press("qd");
        assert_eq!(left.ended(&fleet), 0, "{wanted}");
        assert!(!lives(pid));
        let (terminated, pid) = attached(&fleet, &["attach"], Place::Leader);
        terminated.signal(Signal::TERM);
        goes(&fleet, pid, Instant::now(), "SIGTERM");
        let (mut reader, pid) = attached(&fleet, &["attach", "--read-only"], Place::Leader);
        reader.hang_up();
        goes(&fleet, pid, Instant::now(), "read-only");
        assert_eq!(asked(&fleet, kind), None, "{wanted}");
        assert_eq!(fleet.status().unwrap()["status"], "in_progress", "{wanted}");

        let (mut lost, pid) = attached(&fleet, &["attach"], Place::Stranger);
        let gone = Instant::now();
        lost.hang_up();
        goes(&fleet, pid, gone, wanted);
        let why = format!("the terminal of {} was lost", login());
        assert_eq!(fleet.wait("the journal has it", || asked(&fleet, kind)), (login(), why), "{wanted}");
        let now = || fleet.run(&["show", "1", "--output", "json"]).summary();
        fleet.wait("it came to that", || (now()["status"] == status).then_some(()));
        assert_eq!(now()["failed"], Value::from(0), "{wanted}");
    }
}

/// The one that began it, by SIGHUP alone; a second lost terminal does not make a second cancel of the first.
#[test]
fn the_terminal_that_began_it_counts_like_any_other() {
    let fleet = steady(&["strategy.batch_pause=60s", "console.on_hangup=cancel"]);
    let mut terminal = Terminal::start(&fleet, &["deploy", "v2", "--yes"], Place::Leader);
    terminal.shows(&fleet, "2/6 updated");
    let (mut other, second) = attached(&fleet, &["attach"], Place::Leader);
    terminal.signal(Signal::HUP);
    assert_eq!(terminal.ended(&fleet), 7, "stopped by a signal after touching");
    other.hang_up();
    goes(&fleet, second, Instant::now(), "the second");
    fleet.wait("it is cancelled", || {
        let show = fleet.run(&["show", "1", "--output", "json"]).summary();
        (show["status"] == "cancelled").then_some(())
    });
    let events = fleet.run(&["events", "1", "--output", "json"]).lines();
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("cancel_requested"), count("commands_stopped")), (1, 0), "{events:?}");
}

#[test]
fn an_engine_that_cannot_be_asked_does_not_hold_the_console() {
    let fleet = resting(&["console.on_hangup=pause"]);
    let engine = fleet.engine_pid().unwrap();
    let (mut terminal, pid) = attached(&fleet, &["attach"], Place::Leader);
    send(engine, Signal::STOP);
    let gone = Instant::now();
    terminal.hang_up();
    goes(&fleet, pid, gone, "a stopped engine");
    send(engine, Signal::CONT);
    assert_eq!(fleet.until("the engine goes on by itself", |s| s["total"] == 6)["updated"], 2);
    let (mut terminal, pid) = attached(&fleet, &["attach"], Place::Leader);
    send(engine, Signal::KILL);
    terminal.shows(&fleet, "link down");
    let gone = Instant::now();
    terminal.hang_up();
    goes(&fleet, pid, gone, "a dead engine");
}
