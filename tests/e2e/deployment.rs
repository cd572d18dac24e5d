//! Deployments from the command line, and what they promise.

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, Ran, alone, rollout};

fn demo(args: &[&str]) -> Ran {
    let _alone = alone();
    let mut command = std::process::Command::new(rollout());
    command.args(["demo", "--output", "json"]).args(args).stdin(std::process::Stdio::null());
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a count: {value}"))
}

/// Every key of the contract, flat, and the sums that it promises.
fn assert_summary(summary: &Value) {
    let keys = "type deployment service env version previous status total updated healthy failed rolled_back skipped untouched \
                exposed batches max_out started_at finished_at duration_ms detect_ms rollback_ms vip lb drain exceptions started_by";
    let keys: Vec<&str> = keys.split_whitespace().collect();
    let found: Vec<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys);
    let sum: u64 = ["updated", "failed", "rolled_back", "skipped", "untouched"].iter().map(|k| count(&summary[k])).sum();
    assert_eq!(sum, count(&summary["total"]));
}

#[test]
fn the_demo_brings_v2_out_and_v3_bad_back_without_a_failed_request() {
    let ran = demo(&[]);
    let [first, second] = ran.summaries().try_into().unwrap();
    assert_summary(&first);
    assert_summary(&second);
    assert_eq!((&first["status"], &first["updated"]), (&Value::from("completed"), &Value::from(20)));
    assert_eq!(first["vip"]["failed"], 0);
    assert!(count(&first["vip"]["requests"]) >= 90 * count(&first["duration_ms"]) / 1000, "{first}");
    assert!(count(&first["max_out"]) <= 2);
    assert_eq!(second["status"], "rolled_back");
    assert!(count(&second["exposed"]) <= 2, "{second}");
    assert_eq!(second["vip"]["failed"], 0);
    assert!(count(&second["rollback_ms"]) < 5000, "{second}");
    assert_eq!(second["exceptions"], Value::Array(vec![]));
    for line in ran.lines() {
        assert!(line["type"].is_string(), "{line}");
    }
}

/// The proof can fail: without drains and with processes killed at once, requests are lost and the probe says so.
#[test]
fn without_drains_the_probe_counts_failures() {
    let ran = demo(&["--set", "drain.timeout=0s", "--set", "update.stop_timeout=0s"]);
    let first = ran.summaries().remove(0);
    assert_eq!(first["status"], "completed");
    assert!(count(&first["vip"]["failed"]) > 0, "{first}");
    assert!(count(&first["drain"]["connections_cut"]) > 0, "{first}");
}

/// With the contract's own health settings a bad version is back within 30 s of its first failed check.
#[test]
fn with_the_default_health_settings_a_bad_version_is_back_within_30_s() {
    let fleet = Fleet::start(
        4,
        Lb::Builtin,
        &[
            "health.timeout=5s",
            "health.interval=2s",
            "health.start_timeout=20s",
            "health.deadline=60s",
            "health.watch_interval=5s",
        ],
    );
    let ran = fleet.run(&["deploy", "v2-bad", "--yes", "--output", "json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    let summary = ran.summary();
    assert!(count(&summary["rollback_ms"]) < 30_000, "{summary}");
    assert!(count(&summary["exposed"]) <= 2, "{summary}");
    assert_eq!(summary["vip"]["failed"], 0);
}

/// Every way in which a version can be bad is caught in the first batch and brought back.
#[test]
fn every_kind_of_bad_version_is_caught_and_brought_back() {
    let fleet = Fleet::start(4, Lb::Builtin, &["health.deadline=6s", "health.start_timeout=3s", "update.stop_timeout=1s"]);
    for (version, why) in [
        ("v2-bad", "status 503"),
        ("v2-crash", "process ended: exit code 1"),
        ("v2-wrong", "reports"),
        ("v2-slow", "no answer in 1s"),
        ("v2-hang", "no answer in 1s"),
        ("v2-flap", "not proven healthy within 6s"),
    ] {
        let ran = fleet.run(&["deploy", version, "--yes", "--output", "json"]);
        let summary = ran.summary();
        assert_eq!((ran.code, &summary["status"]), (Some(3), &Value::from("rolled_back")), "{version}: {summary}");
        assert!(count(&summary["exposed"]) <= 2, "{version}: {summary}");
        assert_eq!((&summary["untouched"], &summary["rolled_back"]), (&Value::from(2), &Value::from(2)), "{version}");
        assert_eq!(summary["vip"]["failed"], 0, "{version}");
        let failed = ran.lines().into_iter().find(|l| l["type"] == "instance_failed").unwrap();
        assert!(failed["reason"].as_str().unwrap().contains(why), "{version}: {failed}");
    }
}

#[test]
fn exit_codes_and_refusals_follow_the_contract() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_pause=200ms", "strategy.batch_size=1"]);
    let without_yes = fleet.run(&["deploy", "v2"]);
    assert_eq!(without_yes.code, Some(2));
    assert!(without_yes.err.contains("--yes"), "{}", without_yes.err);
    assert_eq!(fleet.run(&["deploy", "v 2", "--yes"]).code, Some(2), "not a version");
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--set", "drain.timout=5s"]).code, Some(2), "not a key");
    assert_eq!(fleet.run(&["pause"]).code, Some(6), "nothing is under way");
    assert_eq!(fleet.run(&["attach"]).code, Some(6));
    let tight = fleet.run(&["deploy", "v2", "--yes", "--set", "strategy.min_serving=3"]);
    assert_eq!(tight.code, Some(2), "{}", tight.err);

    let plan = fleet.run(&["plan", "v2"]);
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    assert!(plan.out.contains("batch   3") && plan.out.contains("2 of 3 serve"), "{}", plan.out);
    assert!(!fleet.service_dir().join("journal.sqlite3").exists(), "a plan changes nothing");

    let good = fleet.run(&["deploy", "v2", "--yes"]);
    assert_eq!(good.code, Some(0), "{}{}", good.out, good.err);
    assert!(good.out.contains("3/3 updated, 0 failed"), "{}", good.out);
    let again = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!((again.code, again.summary()["status"].clone()), (Some(0), Value::from("completed")), "already there");

    let show = fleet.run(&["show", "demo-1", "--output", "json"]);
    assert_eq!((show.code, show.summary()["updated"].clone()), (Some(0), Value::from(3)));
    assert_eq!(fleet.run(&["show", "demo-9"]).code, Some(2));
}

/// Operators' verbs from another shell: pause holds, resume goes on, cancel ends with mixed versions listed.
#[test]
fn verbs_from_another_shell_steer_a_deployment() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=300ms"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.until("the first batch is through", |s| count(&s["updated"]) >= 2);
    let pause = fleet.run(&["pause", "--reason", "looking at the graphs"]);
    assert_eq!(pause.code, Some(0), "{}", pause.err);
    let paused = fleet.until("it rests", |s| s["status"] == "paused");
    let again = fleet.run(&["pause"]);
    assert_eq!(again.code, Some(0), "pausing twice is once");
    let second = fleet.run(&["deploy", "v3", "--yes"]);
    assert_eq!(second.code, Some(6));
    assert!(second.err.contains("rollout attach"), "{}", second.err);
    assert_eq!(fleet.run(&["resume"]).code, Some(0));
    fleet.until("it goes on", |s| count(&s["updated"]) > count(&paused["updated"]));
    assert_eq!(fleet.run(&["cancel"]).code, Some(0));
    let ran = Ran::ended(deploy);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["status"]), (Some(5), &Value::from("cancelled")), "{summary}");
    assert_eq!(count(&summary["updated"]) + count(&summary["untouched"]), 6, "all in rotation, versions mixed");
    assert_eq!(summary["vip"]["failed"], 0);
    let reasons: Vec<Value> = ran.lines().into_iter().filter(|l| l["type"] == "deployment_paused").collect();
    assert_eq!(reasons[0]["reason"], "looking at the graphs");
    assert_eq!(reasons[0]["by"]["who"], "operator");
}
