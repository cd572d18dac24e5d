//! What operators steer while it runs, and what they undo afterwards.

use std::io::Write as _;
use std::net::TcpStream;

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, Ran};

fn says(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    assert!(format!("{}{}", ran.out, ran.err).contains(words), "{}{}", ran.out, ran.err);
}

/// Waits until the line of `status` says it.
fn until_said(fleet: &Fleet, words: &str) {
    fleet.wait(words, || fleet.run(&["status"]).out.contains(words).then_some(()));
}

/// Versions of the fleet by `show`, in plan order.
fn versions(fleet: &Fleet, id: &str) -> Vec<String> {
    let show = fleet.run(&["show", id]);
    let lines = show.out.lines().filter(|l| l.trim_start().starts_with("web-"));
    let version = |word: &&str| word.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    lines.map(|line| line.split_whitespace().find(version).unwrap_or_default().to_owned()).collect()
}

#[test]
fn batches_wait_for_approval_and_a_held_instance_for_its_release() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.confirm=batch", "strategy.batch_pause=200ms"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    until_said(&fleet, "batch 1 done, waits for approval");
    says(&fleet.run(&["resume"]), 6, "rollout promote");
    says(&fleet.run(&["hold", "web-06", "--reason", "its disk is being replaced"]), 0, "not taken until it is released");
    says(&fleet.run(&["hold", "web-01"]), 6, "healthy");
    says(&fleet.run(&["promote"]), 0, "the next batch begins");
    until_said(&fleet, "batch 2 done, waits for approval");
    says(&fleet.run(&["promote", "--full"]), 0, "no further one waits");
    until_said(&fleet, "waits for held instances");
    says(&fleet.run(&["release", "web-06"]), 0, "its turn");
    let ran = Ran::ended(deploy);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["updated"]), (Some(0), &Value::from(6)), "{summary}");
    assert_eq!(summary["vip"]["failed"], 0);
    let held = ran.lines().into_iter().find(|l| l["type"] == "instance_held").expect("it is told");
    assert_eq!(held["reason"], "its disk is being replaced");
}

#[test]
fn a_failed_instance_is_tried_again_goes_back_alone_or_is_skipped() {
    let sets = ["strategy.batch_size=1", "strategy.batch_pause=200ms", "rollback.on_failure=ask"];
    let fleet = Fleet::start(4, Lb::Builtin, &sets);
    let deploy = fleet.spawn(&["deploy", "v2-bad", "--yes", "--output", "json"]);
    fleet.until("the first failure pauses", |s| s["status"] == "paused");
    says(&fleet.run(&["retry", "web-01"]), 0, "tried again");
    fleet.until("it failed again", |s| s["failed"] == 1 && s["status"] == "paused");
    says(&fleet.run(&["rollback", "--only", "web-02"]), 6, "only a failed instance goes back alone");
    says(&fleet.run(&["rollback", "--only", "web-01"]), 0, "goes back to v1");
    fleet.until("it is back", |s| s["rolled_back"] == 1);
    says(&fleet.run(&["resume"]), 0, "resumed");
    fleet.until("the second fails", |s| s["failed"] == 1 && s["status"] == "paused");
    says(&fleet.run(&["skip", "web-02"]), 0, "holds the budget no longer");
    says(&fleet.run(&["skip", "web-02"]), 0, "skipped already");
    says(&fleet.run(&["cancel"]), 0, "cancelling");
    let ran = Ran::ended(deploy);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["status"]), (Some(5), &Value::from("cancelled")), "{summary}");
    assert_eq!((&summary["exposed"], &summary["rolled_back"]), (&Value::from(2), &Value::from(2)), "{summary}");
    assert_eq!(summary["vip"]["failed"], 0);
    assert_eq!(versions(&fleet, "demo-1"), ["v1"; 4]);
}

/// A request that ends late keeps the old process; the second cancel does not wait for it.
#[test]
fn a_second_cancel_stops_the_command_that_runs() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_size=1", "update.stop_timeout=20s"]);
    let port = fleet.config.targets[0].port;
    let mut late = TcpStream::connect(("127.0.0.1", port)).unwrap();
    late.write_all(b"GET /slow?ms=25000 HTTP/1.1\r\nHost: web-01\r\n\r\n").unwrap();
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.wait("the update runs", || fleet.run(&["events", "demo-1"]).out.contains("web-01 update to v2 ordered").then_some(()));
    says(&fleet.run(&["cancel"]), 0, "cancelling");
    until_said(&fleet, "cancelling");
    says(&fleet.run(&["cancel"]), 0, "stopping the command that runs on 1 instance");
    let ran = Ran::ended(deploy);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["status"]), (Some(4), &Value::from("cancelled")), "{summary}");
    let listed = &summary["exceptions"][0];
    assert_eq!(listed["instance"], "web-01");
    assert!(listed["reason"].as_str().unwrap().contains("stopped by"), "{listed}");
    assert!(summary["duration_ms"].as_u64().unwrap() < 15_000, "it did not wait for the late request: {summary}");
    drop(late);
    // What we left out is ours to repair: the next deployment takes it first.
    let next = fleet.run(&["deploy", "v3", "--yes", "--output", "json"]);
    assert_eq!((next.code, next.summary()["updated"].clone()), (Some(0), Value::from(3)), "{}{}", next.out, next.err);
}

#[test]
fn after_the_end_a_rollback_is_a_deployment_of_its_own() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=200ms"]);
    says(&fleet.run(&["rollback"]), 6, "no deployment");
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--exclude", "web-04"]).code, Some(0));
    let back = fleet.run(&["rollback", "--output", "json"]);
    assert_eq!(back.code, Some(0), "{}{}", back.out, back.err);
    let summary = back.summary();
    assert_eq!((&summary["status"], &summary["updated"]), (&Value::from("completed"), &Value::from(3)), "{summary}");
    assert_eq!(summary["vip"]["failed"], 0);
    assert_eq!(versions(&fleet, "demo-2"), ["v1"; 4]);
    let planned = back.lines().into_iter().find(|l| l["type"] == "deployment_planned").expect("the plan");
    assert_eq!(planned["plan"]["kind"]["undoes"], "demo-1");
    says(&fleet.run(&["rollback"]), 6, "demo-1");
    says(&fleet.run(&["rollback", "--to", "v9"]), 6, "known good");
    assert_eq!(fleet.run(&["rollback", "--to", "v2"]).code, Some(0));
    assert_eq!(versions(&fleet, "demo-3"), ["v2"; 4]);
}

#[test]
fn some_instances_alone_and_a_restart() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=200ms"]);
    let two = fleet.run(&["deploy", "v2", "--yes", "--only", "web-01,web-02", "--output", "json"]).summary();
    assert_eq!((&two["updated"], &two["skipped"], &two["status"]), (&Value::from(2), &Value::from(2), &Value::from("completed")));
    assert_eq!(two["exceptions"], Value::Array(vec![]), "left out on purpose");
    says(&fleet.run(&["deploy", "v2", "--yes", "--only", "web-09"]), 6, "web-09");
    let rest = fleet.run(&["deploy", "v2", "--yes", "--exclude", "web-04", "--output", "json"]).summary();
    assert_eq!(rest["updated"], 1, "two are there already: {rest}");
    let restart = fleet.run(&["deploy", "v2", "--yes", "--restart", "--only", "web-01", "--output", "json"]).summary();
    assert_eq!((&restart["updated"], &restart["exposed"]), (&Value::from(1), &Value::from(1)), "{restart}");
    assert_eq!(restart["vip"]["failed"], 0);
}
