//! A deploy command whose input, output or terminal is missing, full or taken away: neither the engine nor its deployment is
//! hurt, and the exit code stays the contract's.
//!
//! Imports: the e2e fleet. May not: sleep without a condition.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use fleet::{Fleet, Ran};
use rollout::demo::world::Lb;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The sets of every fleet here: nothing is measured, so few requests will do.
const SETS: [&str; 4] = ["strategy.batch_pause=100ms", "strategy.max_unavailable=1", "health.interval=100ms", "vip.rate=20"];

/// A line of shell in which `"$@"` is `rollout ARGS`.
fn shell(fleet: &Fleet, line: &str, args: &[&str]) -> Command {
    let rollout = fleet.command(args);
    let mut command = Command::new("bash");
    command.args(["-c", line, "bash"]).arg(rollout.get_program()).args(rollout.get_args());
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

/// The deployment with this number, once it has ended and its engine has left.
fn ended(fleet: &Fleet, number: usize) -> Value {
    fleet.wait("its end", || {
        let summary = fleet.run(&["show", &format!("demo-{number}"), "--output", "json"]).summaries().pop()?;
        (fleet.engine_pid().is_none() && !summary["finished_at"].is_null()).then_some(summary)
    })
}

#[test]
fn missing_and_full_streams_change_nothing() {
    let fleet = Fleet::start(2, Lb::Builtin, &SETS);
    for (number, (line, code)) in (1..).zip([
        (r#""$@" <&- >&- 2>&-"#, 0),
        (r#""$@" >&-"#, 0),
        (r#""$@" 2>&-"#, 0),
        (r#""$@" 2>/dev/full"#, 0),
        // How it ends is told by the exit code.
        (r#""$@" >/dev/full"#, 0),
        (r#""$@" >/dev/full 2>/dev/full"#, 0),
        (r#"nohup "$@" >/dev/null"#, 0),
        (r#"setsid --wait "$@""#, 0),
        // Whoever read the output has left, and so does the command; the deployment goes on.
        (r#"set -o pipefail; "$@" | head -n 1"#, 4),
    ]) {
        let ran = Ran::of(shell(&fleet, line, &["deploy", &format!("v{}", number + 1), "--yes"]).output().unwrap());
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
        let summary = ended(&fleet, number);
        assert_eq!((&summary["status"], &summary["updated"]), (&"completed".into(), &2.into()), "{line}: {summary}");
    }
}

/// `nohup rollout deploy … &`, and then the terminal goes away.
#[test]
fn a_command_that_was_told_to_ignore_hang_ups_does() {
    let fleet = Fleet::start(3, Lb::Builtin, &[&SETS[1..], &["strategy.batch_pause=500ms"]].concat());
    for (number, (line, code)) in (1..).zip([(r#"exec nohup "$@" 2>&1"#, 0), (r#"exec "$@""#, 7)]) {
        let version = format!("v{}", number + 1);
        let command = shell(&fleet, line, &["deploy", &version, "--yes"]).spawn().unwrap();
        fleet.until("it is under way", |now| now["version"] == version.as_str() && now["updated"].as_u64() >= Some(1));
        kill_process(Pid::from_raw(i32::try_from(command.id()).unwrap()).unwrap(), Signal::HUP).unwrap();
        let ran = Ran::ended(command);
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
        let summary = ended(&fleet, number);
        assert_eq!((&summary["status"], &summary["updated"]), (&"completed".into(), &3.into()), "{line}: {summary}");
    }
}

#[test]
fn a_detached_deployment_returns_at_once_and_says_how_to_attach() {
    let fleet = Fleet::start(2, Lb::Builtin, &[&SETS[1..], &["strategy.batch_pause=3s"]].concat());
    let begun = fleet.run(&["deploy", "v2", "--yes", "--detach"]);
    assert_eq!((begun.code, begun.out.trim()), (Some(0), "demo-1 has begun; watch it with: rollout attach"), "{begun:?}");
    assert_eq!(fleet.status().unwrap()["status"], "in_progress", "it did not wait for the end");
    assert_eq!(fleet.run(&["attach"]).code, Some(0));
    fleet.wait("its engine has left", || fleet.engine_pid().is_none().then_some(()));
    let begun = fleet.run(&["deploy", "v3", "--yes", "--detach", "--output", "json"]).lines();
    assert_eq!((&begun[0]["type"], &begun[0]["deployment"]), (&"begun".into(), &"demo-2".into()), "{begun:?}");
    assert_eq!(begun[0]["engine"].as_i64(), fleet.engine_pid().map(i64::from));
    assert_eq!(fleet.run(&["cancel"]).code, Some(0));
}

/// The log of a CI job stalls, and then the job is cancelled.
#[test]
fn a_reader_that_takes_nothing_keeps_no_signal_from_being_heard() {
    let fleet = Fleet::start(4, Lb::Builtin, &[&SETS[1..], &["strategy.batch_pause=1s"]].concat());
    let (unread, stdout) = UnixStream::pair().unwrap();
    rustix::net::sockopt::set_socket_send_buffer_size(&stdout, 1).unwrap();
    let mut command = fleet.command(&["deploy", "v2", "--yes", "--output", "json"]);
    let mut command = command.stdout(OwnedFd::from(stdout)).stderr(std::process::Stdio::null()).spawn().unwrap();
    fleet.until("it is under way", |now| now["updated"].as_u64() >= Some(1));
    let pid = Pid::from_raw(i32::try_from(command.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    fleet.until("it is paused", |now| now["status"] == "paused");
    assert_eq!(command.try_wait().unwrap(), None, "its output still stands");
    kill_process(pid, Signal::TERM).unwrap();
    let ended = fleet.wait("it has left", || command.try_wait().unwrap());
    assert_eq!(ended.code(), Some(7));
    drop(unread);
    assert_eq!(fleet.run(&["cancel"]).code, Some(0));
}
