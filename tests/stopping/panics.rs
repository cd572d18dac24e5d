//! A panic in any task or thread of the engine ends it whole; the deployment is then taken over and ends well.

use std::process::Stdio;

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, read};

/// Where the panic happens, at which passing, in the words of `ROLLOUT_FAILPOINT`.
const PLACES: [&str; 10] = [
    "task.turn#25",
    "append#14",
    "task.perform#2",
    "task.probe#40",
    "task.rotation#4",
    "task.vip#200",
    "task.vip.request#200",
    "task.control#4",
    "task.connection#4",
    "task.log#12",
];

#[test]
fn a_panic_in_any_task_ends_the_engine_whole_and_its_deployment_is_taken_over() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=300ms"]);
    for (number, place) in (2..).zip(PLACES) {
        let version = format!("v{number}");
        let mut deploy = fleet.command(&["deploy", &version, "--yes", "--output", "json"]);
        deploy.env("ROLLOUT_FAILPOINT", format!("{place}=panic"));
        let mut deploy = deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        died(&fleet, place, || deploy.try_wait().unwrap().map(|status| status.code()));
        taken_over(&fleet, place, &version);
    }
}

/// The signals' own task, too: it is asked by a hang-up, which else does nothing.
#[test]
fn a_panic_while_a_signal_is_handled_ends_the_engine_whole() {
    let fleet = Fleet::start(2, Lb::Builtin, &["strategy.batch_pause=300ms"]);
    let mut deploy = fleet.command(&["deploy", "v2", "--yes"]);
    deploy.env("ROLLOUT_FAILPOINT", "task.signals=panic");
    let mut deploy = deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    fleet.until("it is under way", |s| s["status"] == "in_progress");
    crate::slow::send(fleet.engine_pid().unwrap(), rustix::process::Signal::HUP);
    died(&fleet, "task.signals", || deploy.try_wait().unwrap().map(|status| status.code()));
    taken_over(&fleet, "task.signals", "v2");
}

/// The engine is gone, all of it; why is written down, and whoever watched was told.
fn died(fleet: &Fleet, place: &str, ended: impl FnMut() -> Option<Option<i32>>) {
    let code = fleet.wait(&format!("{place}: the deploy command ends"), ended);
    assert_eq!(code, Some(4), "{place}: it needs a person");
    assert!(fleet.engine_pid().is_none(), "{place}: the engine is gone");
    let what = format!("failpoint {}", place.split('#').next().unwrap());
    for file in ["engine.stderr", "engine.log"] {
        let text = read(&fleet.service_dir().join(file));
        let line = text.lines().find(|line| line.contains(&what)).unwrap_or_else(|| panic!("{place}: {file}: {text}"));
        assert!(line.contains("internal error at src/") && line.contains("rollout recover"), "{line}");
    }
    assert_eq!(fleet.status().unwrap()["status"], "interrupted", "{place}");
}

fn taken_over(fleet: &Fleet, place: &str, version: &str) {
    assert_eq!(fleet.run(&["recover", "--detach"]).code, Some(0), "{place}");
    assert_eq!(fleet.run(&["resume"]).code, Some(0), "{place}");
    let ran = fleet.run(&["attach", "--output", "json"]);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["status"]), (Some(0), &Value::from("completed")), "{place}: {summary}");
    assert_eq!((&summary["version"], &summary["vip"]["failed"]), (&Value::from(version), &Value::from(0)), "{place}: {summary}");
    assert_eq!(summary["exceptions"], Value::Array(vec![]), "{place}");
    fleet.wait("no engine", || fleet.engine_pid().is_none().then_some(()));
}
