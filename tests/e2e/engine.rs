//! The engine's process: what it survives, what it leaves, who may have it.

use std::os::unix::fs::PermissionsExt as _;

use rollout::demo::world::Lb;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fleet::{Fleet, Ran};

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn a_killed_engine_is_interrupted_and_can_be_taken_over() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=300ms"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(2));
    signal(fleet.engine_pid().unwrap(), Signal::KILL);
    fleet.wait("its socket is dead", || fleet.engine_pid().is_none().then_some(()));
    assert_eq!(fleet.status().unwrap()["status"], "interrupted");
    let refused = fleet.run(&["deploy", "v3", "--yes"]);
    assert_eq!(refused.code, Some(6));
    assert!(refused.err.contains("rollout recover"), "{}", refused.err);
    for verb in [&["pause"][..], &["attach"], &["rollback"], &["plan", "v3"]] {
        let refused = fleet.run(verb);
        assert_eq!(refused.code, Some(6), "{verb:?}");
        assert!(refused.err.contains("rollout recover"), "{verb:?}: {}", refused.err);
    }

    let recover = fleet.run(&["recover", "--detach"]);
    assert_eq!(recover.code, Some(0), "{}", recover.err);
    fleet.until("it came up paused", |s| s["status"] == "paused");
    assert_eq!(fleet.run(&["resume"]).code, Some(0));
    let attached = fleet.run(&["attach", "--output", "json"]);
    let summary = attached.summary();
    assert_eq!((attached.code, &summary["status"], &summary["updated"]), (Some(0), &Value::from("completed"), &Value::from(6)));
    assert_eq!(summary["exceptions"], Value::Array(vec![]));
    drop(Ran::ended(deploy));
}

#[test]
fn hang_ups_do_not_touch_the_engine_and_a_term_stops_it_at_a_safe_point() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=300ms"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.until("it is under way", |s| s["status"] == "in_progress");
    let pid = fleet.engine_pid().unwrap();
    signal(pid, Signal::HUP);
    let before = fleet.until("it goes on after a hang-up", |s| s["updated"].as_u64() >= Some(2));
    assert_eq!(fleet.engine_pid(), Some(pid));
    signal(pid, Signal::TERM);
    fleet.wait("it has left", || fleet.engine_pid().is_none().then_some(()));
    let status = fleet.status().unwrap();
    assert_eq!(status["status"], "interrupted");
    assert!(status["updated"].as_u64() >= before["updated"].as_u64());
    assert_eq!(status["exceptions"], Value::Array(vec![]), "nothing is left out of rotation");
    drop(Ran::ended(deploy));

    assert_eq!(fleet.run(&["recover", "--detach"]).code, Some(0));
    let back = fleet.run(&["rollback", "--reason", "enough", "--output", "json"]);
    assert_eq!((back.code, &back.summary()["status"]), (Some(0), &Value::from("rolled_back")), "it returns when all is restored");
}

/// A first signal to a headless deploy leaves the deployment paused at a safe point, its engine alive.
#[test]
fn a_signalled_deploy_leaves_a_paused_deployment_behind() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=300ms"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(2));
    signal(i32::try_from(deploy.id()).unwrap(), Signal::INT);
    let ran = Ran::ended(deploy);
    assert_eq!(ran.code, Some(7), "{}", ran.err);
    assert!(ran.err.contains("resume"), "{}", ran.err);
    fleet.until("it is paused", |s| s["status"] == "paused");
    assert_eq!(fleet.run(&["cancel"]).code, Some(0));
    assert_eq!(fleet.run(&["attach", "--output", "json"]).code, Some(5));
}

#[test]
fn files_of_the_engine_are_private() {
    let fleet = Fleet::start(2, Lb::Builtin, &["strategy.batch_pause=1s", "strategy.max_unavailable=1"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes"]);
    fleet.until("it is under way", |s| s["status"] == "in_progress");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&fleet.service_dir()), 0o700);
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(fleet.service_dir()).unwrap() {
        let path = entry.unwrap().path();
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), wanted, "{}", path.display());
        seen.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for file in ["journal.sqlite3", "engine.sock", "lease"] {
        assert!(seen.iter().any(|s| s == file), "{file} in {seen:?}");
    }
    assert_eq!(Ran::ended(deploy).code, Some(0));
}
