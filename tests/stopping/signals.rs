//! The ladder of signals, against the real engine while it updates an instance.

use rollout::os::process;
use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::Ran;
use crate::slow::{Slow, facts, send};

const ALL: [(Signal, &str); 4] =
    [(Signal::HUP, "SIGHUP"), (Signal::INT, "SIGINT"), (Signal::QUIT, "SIGQUIT"), (Signal::TERM, "SIGTERM")];

/// All sixteen ordered pairs. Hang-ups count for nothing; one other signal waits for the safe point, two end the command.
#[test]
fn every_pair_of_signals_ends_the_engine_as_far_as_it_says_and_leaves_nothing_running() {
    let slow = Slow::start(&[]);
    for first in ALL {
        for second in ALL {
            pair(&slow, first, second);
            slow.restore();
        }
    }
}

fn pair(slow: &Slow, first: (Signal, &str), second: (Signal, &str)) {
    let names = format!("{} {}", first.1, second.1);
    slow.hold();
    let mut engine = slow.engine("v2");
    let watcher = slow.fleet.spawn(&["attach", "--output", "json"]);
    let group = slow.group();
    let mut counted: Vec<&str> = Vec::new();
    for (signal, name) in [first, second] {
        send(engine.pid, signal);
        let word = match (signal, counted.len()) {
            (Signal::HUP, _) => format!("{name}: the engine has no terminal, it goes on"),
            (_, 0) => format!("{name}: stopping at the next safe point"),
            _ => format!("{name}: ending the commands that run"),
        };
        slow.logged(&word);
        counted.extend((signal != Signal::HUP).then_some(name));
    }
    if counted.len() < 2 {
        assert!(engine.ended().is_none() && process::group_lives(group), "{names}: the command goes on\n{}", slow.log());
        slow.let_go();
    }
    let status = slow.fleet.wait(&format!("{names}: the end"), || engine.ended());
    assert!(!process::group_lives(group), "{names}: {group} was left");
    let ran = Ran::ended(watcher);
    let (shown, log) = (slow.fleet.status().unwrap(), slow.log());
    let paused: Vec<Value> = facts(&slow.fleet, "deployment_paused").iter().map(|fact| fact["reason"].clone()).collect();
    let exceptions = shown["exceptions"].as_array().unwrap();
    match counted.as_slice() {
        [] => {
            assert_eq!((status.code(), ran.code), (Some(0), Some(0)), "{names}: {}", ran.err);
            assert_eq!((&shown["status"], &shown["updated"]), (&Value::from("completed"), &Value::from(2)), "{names}");
        }
        [one] => {
            assert_eq!((status.code(), ran.code), (Some(7), Some(7)), "{names}: {}", ran.err);
            assert_eq!(paused, [format!("stopped by {one}")], "{names}");
            // The instance in the middle came to its verdict, the next one was not begun.
            assert_eq!((&shown["status"], &shown["updated"]), (&Value::from("interrupted"), &Value::from(1)), "{names}");
            assert!(exceptions.is_empty() && !log.contains("told"), "{names}: {shown} {log}");
            assert_eq!(log.matches("began").count(), 1, "{names}: {log}");
        }
        [one, two, ..] => {
            assert_eq!((status.code(), ran.code), (Some(7), Some(7)), "{names}: {}", ran.err);
            assert_eq!(paused, [format!("stopped by {one}"), format!("stopped by {two}, with the commands that ran")], "{names}");
            assert!(log.contains("told") && log.contains("cleaned"), "{names}: it had its grace: {log}");
            assert!(!log.contains("ended"), "{names}: {log}");
            assert_eq!(exceptions.len(), 1, "{names}: {shown}");
            assert_eq!(exceptions[0]["state"], "updating", "{names}: {shown}");
            let id = exceptions[0]["instance"].as_str().unwrap();
            assert!(ran.err.contains(id) && ran.err.contains("rollout recover"), "{names}: {}", ran.err);
            slow.let_go();
        }
    }
}

/// A program that does not hear SIGTERM is killed after its grace, and awaited.
#[test]
fn a_command_that_does_not_hear_is_killed_after_its_grace() {
    let slow = Slow::start(&["update.stop_timeout=500ms"]);
    slow.hold();
    slow.make_deaf();
    let mut engine = slow.engine("v2");
    let group = slow.group();
    send(engine.pid, Signal::TERM);
    slow.logged("SIGTERM: stopping at the next safe point");
    send(engine.pid, Signal::INT);
    let status = slow.fleet.wait("the end", || engine.ended());
    assert_eq!(status.code(), Some(7));
    assert!(!process::group_lives(group));
    let shown = slow.fleet.run(&["status"]);
    assert!(
        shown.out.contains("SIGINT") && shown.out.contains("updating") && shown.out.contains("rollout recover"),
        "{}",
        shown.out
    );
    slow.let_go();
    slow.restore();
}

/// The third signal waits for nothing: the grace here is longer than any test.
#[test]
fn a_third_signal_leaves_at_once_and_kills_what_runs() {
    let slow = Slow::start(&["update.timeout=2h", "update.stop_timeout=20m", "strategy.progress_timeout=5h"]);
    slow.hold();
    slow.make_deaf();
    let mut engine = slow.engine("v2");
    let group = slow.group();
    send(engine.pid, Signal::INT);
    slow.logged("SIGINT: stopping at the next safe point");
    send(engine.pid, Signal::QUIT);
    slow.logged("SIGQUIT: ending the commands that run");
    assert!(engine.ended().is_none() && process::group_lives(group), "its grace is not over");
    send(engine.pid, Signal::TERM);
    let status = slow.fleet.wait("the end", || engine.ended());
    assert_eq!(status.code(), Some(7));
    slow.fleet.wait("nothing runs", || (!process::group_lives(group)).then_some(()));
    let shown = slow.fleet.status().unwrap();
    assert_eq!((&shown["status"], shown["exceptions"].as_array().unwrap().len()), (&Value::from("interrupted"), 1), "{shown}");
    slow.let_go();
    slow.restore();
}

/// What an operator had paused is stopped all the same, and the journal says both.
#[test]
fn a_signal_to_a_paused_deployment_is_journalled_beside_the_pause() {
    let slow = Slow::start(&["strategy.batch_pause=2s"]);
    let mut engine = slow.engine("v2");
    slow.fleet.until("the first is through", |s| s["updated"].as_u64() >= Some(1));
    assert_eq!(slow.fleet.run(&["pause", "--reason", "looking at the graphs"]).code, Some(0));
    slow.fleet.until("it rests", |s| s["status"] == "paused");
    send(engine.pid, Signal::TERM);
    let status = slow.fleet.wait("the end", || engine.ended());
    assert_eq!(status.code(), Some(7));
    let paused = facts(&slow.fleet, "deployment_paused");
    let last = paused.last().unwrap()["reason"].as_str().unwrap();
    assert!(
        last.starts_with("stopped by SIGTERM; paused before that by ") && last.ends_with(": looking at the graphs"),
        "{last}"
    );
    slow.restore();
}

/// Before the plan is stored there is nothing to come back to: one signal ends it, and what only looked ends with it.
#[test]
fn a_signal_while_the_world_is_read_cancels_before_anything_is_planned() {
    let slow = Slow::start(&[]);
    slow.make_blind();
    let engine = slow.fleet.spawn(&["engine", "--version", "v2", "--started-by", "ana"]);
    let group = slow.group();
    send(i32::try_from(engine.id()).unwrap(), Signal::TERM);
    let ran = Ran::ended(engine);
    assert_eq!(ran.code, Some(5), "{}", ran.err);
    assert!(ran.err.contains("stopped by SIGTERM before anything began; nothing is touched"), "{}", ran.err);
    slow.fleet.wait("nothing runs", || (!process::group_lives(group)).then_some(()));
    assert!(slow.fleet.run(&["history"]).out.contains("no deployment yet"));
}

/// Its programs have no terminal to ask at: the engine's session has none, and their input is empty.
#[test]
fn a_command_has_no_terminal_and_no_input() {
    let slow = Slow::start(&[]);
    slow.hold();
    let mut engine = slow.engine("v2");
    let group = slow.group();
    let stat = std::fs::read_to_string(format!("/proc/{group}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[3], fields[4]), (engine.pid.to_string().as_str(), "0"), "its session is the engine's, its terminal none");
    assert_eq!(std::fs::read_link(format!("/proc/{group}/fd/0")).unwrap(), std::path::Path::new("/dev/null"));
    slow.let_go();
    assert_eq!(slow.fleet.wait("the end", || engine.ended()).code(), Some(0));
}
