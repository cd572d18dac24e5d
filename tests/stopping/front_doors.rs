//! Signals to the command that a person or a pipeline started: the engine goes on without it.

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::Ran;
use crate::slow::{Slow, send};

/// First: pause, and leave where it rests. The words are the same for each signal.
#[test]
fn a_first_signal_to_a_deploy_pauses_and_leaves_where_it_rests() {
    let slow = Slow::start(&[]);
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::QUIT, "SIGQUIT")] {
        slow.hold();
        let mut deploy = slow.fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
        slow.group();
        send(i32::try_from(deploy.id()).unwrap(), signal);
        slow.logged("pausing: 1 in flight go on to a safe point");
        assert!(deploy.try_wait().unwrap().is_none(), "{name}: it shows what happens until it rests");
        slow.let_go();
        let ran = Ran::ended(deploy);
        assert_eq!(ran.code, Some(7), "{name}: {}", ran.err);
        assert!(ran.err.contains(&format!("{name}: pausing: 1 in flight")), "{}", ran.err);
        assert!(ran.err.contains("it rests, and its engine waits: rollout attach, resume, cancel or rollback"), "{}", ran.err);
        let summary = ran.summary();
        assert_eq!((&summary["status"], &summary["updated"]), (&Value::from("paused"), &Value::from(1)), "{name}: {summary}");
        assert!(slow.fleet.engine_pid().is_some(), "{name}: its engine waits");
        slow.restore();
    }
}

/// Second: leave at once; a hang-up does so at first. The engine goes on by itself.
#[test]
fn a_second_signal_to_a_deploy_leaves_at_once_as_a_hang_up_does() {
    let slow = Slow::start(&[]);
    for signals in [&[Signal::TERM, Signal::INT][..], &[Signal::INT, Signal::HUP], &[Signal::HUP]] {
        slow.hold();
        let deploy = slow.fleet.spawn(&["deploy", "v2", "--yes"]);
        slow.group();
        let pid = i32::try_from(deploy.id()).unwrap();
        for (index, signal) in signals.iter().enumerate() {
            send(pid, *signal);
            if index + 1 < signals.len() {
                slow.logged("pausing: 1 in flight go on to a safe point");
            }
        }
        let ran = Ran::ended(deploy);
        assert_eq!(ran.code, Some(7), "{signals:?}: {}", ran.err);
        assert!(ran.err.contains("leaving; it "), "{signals:?}: {}", ran.err);
        assert!(slow.fleet.engine_pid().is_some(), "{signals:?}");
        slow.let_go();
        if signals.len() == 1 {
            slow.fleet.until("nobody paused it", |s| s["status"] == "completed");
        } else {
            slow.fleet.until("it rests", |s| s["status"] == "paused" && s["updated"] == 1);
        }
        slow.fleet.wait("the end", || (signals.len() > 1 || slow.fleet.engine_pid().is_none()).then_some(()));
        slow.restore();
    }
}
