//! `plan`: batches, capacity, time, ways back, doubts.

use rollout::demo::world::Lb;
use serde_json::{Value, json};

use crate::assert_narrow;
use crate::fleet::{Fleet, Ran};

fn object(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines = ran.lines();
    assert_eq!((lines.len(), &lines[0]["type"]), (1, &Value::from("plan")), "{lines:?}");
    lines[0].clone()
}

fn warns(plan: &Value, part: &str) -> bool {
    plan["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(part))
}

#[test]
fn a_plan_tells_batches_capacity_time_and_the_way_back() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=100ms", "strategy.batch_size=2"]);
    let first = object(&fleet.run(&["plan", "v2", "--output", "json"]));
    assert_eq!(first["eta"], Value::Null, "nothing is measured yet");
    assert_eq!((&first["previous"], &first["lowest_serving"], &first["max_out"]), (&json!({"v1": 4}), &json!(2), &json!(2)));
    assert_eq!(first["batches"].as_array().unwrap().len(), 2);
    assert_eq!(first["rollback"], json!({"ready": 4, "of": 4, "to": {"v1": 4}, "unknown": [], "eta_ms": null}));
    assert!(!fleet.service_dir().join("journal.sqlite3").exists(), "a plan changes nothing");

    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--only", "web-[01:02]"]).code, Some(0));
    let text = fleet.run(&["plan", "v3"]);
    assert_narrow(&text.out);
    for part in ["v1 (2), v2 (2) → v3", "batch   1", "2 of 4 serve", "4 of 4 can go back to", "about", "by 2 earlier updates"] {
        assert!(text.out.replace("v2 (2), v1 (2)", "v1 (2), v2 (2)").contains(part), "{part}: {}", text.out);
    }
    let second = object(&fleet.run(&["plan", "v3", "--output", "json"]));
    let eta = |key: &str| second["eta"][key].as_u64().unwrap();
    assert!(0 < eta("low_ms") && eta("low_ms") <= eta("likely_ms") && eta("likely_ms") <= eta("high_ms"), "{second}");
    assert!(second["rollback"]["eta_ms"].as_u64().unwrap() > 0);
    let there = object(&fleet.run(&["plan", "v2", "--output", "json", "--exclude", "web-03"]));
    assert_eq!((&there["at_version"], &there["excluded"]), (&json!(["web-01", "web-02"]), &json!(["web-03"])));
}

#[test]
fn a_plan_names_what_is_probably_not_meant() {
    let fleet = Fleet::start(6, Lb::Builtin, &[]);
    let plan = |sets: &[&str]| {
        let mut args = vec!["plan", "v2", "--output", "json"];
        args.extend(sets.iter().flat_map(|set| ["--set", set]));
        object(&fleet.run(&args))
    };
    let good = plan(&["strategy.batch_pause=2s"]);
    assert_eq!(good["warnings"], json!([]), "the demo's own file is well");
    for (sets, part) in [
        (&["drain.timeout=0s"][..], "requests under way are cut"),
        (&["health.start_timeout=15s"], "slow starts fail"),
        (&["strategy.batch_pause=0s"], "not watched"),
        (&["health.watch_interval=100ms"], "finished instances are asked more often"),
        (&["strategy.max_unavailable=4", "strategy.batch_size=4"], "only 2 of 6 serve at the lowest"),
        (&["strategy.min_serving=5"], "max_unavailable = 2 is never reached"),
        (&["strategy.zones=one-by-one"], "takes all of zone a out at once"),
        (&["rollback.on_failure=continue"], "nothing is rolled back by itself"),
        (&["rollback.on_failure=pause"], "somebody must be there"),
        (&["env.default.protected=true"], "is protected"),
    ] {
        let plan = plan(sets);
        assert!(warns(&plan, part), "{sets:?}: {}", plan["warnings"]);
    }
    let outage = object(&fleet.run(&[
        "plan",
        "v2",
        "--allow-outage",
        "--output",
        "json",
        "--set",
        "strategy.batch_size=6",
        "--set",
        "strategy.max_unavailable=6",
    ]));
    assert!(warns(&outage, "this is an outage"), "{outage}");
}

#[test]
fn a_version_that_was_rolled_back_here_is_named_with_its_reason() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_pause=100ms"]);
    assert_eq!(fleet.run(&["deploy", "v9-bad", "--yes"]).code, Some(3));
    let again = object(&fleet.run(&["plan", "v9-bad", "--output", "json"]));
    assert!(warns(&again, "v9-bad was rolled back here as demo-1 ("), "{again}");
    let other = object(&fleet.run(&["plan", "v9", "--output", "json"]));
    assert!(!warns(&other, "rolled back here"), "{other}");
}

#[test]
fn many_batches_are_told_in_groups() {
    let fleet = Fleet::start(30, Lb::Builtin, &["strategy.batch_size=[1, 2]"]);
    let text = fleet.run(&["plan", "v2"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    assert_narrow(&text.out);
    assert!(text.out.contains("batches 2–15") && text.out.contains("2 each, web-"), "{}", text.out);
    assert!(text.out.lines().count() < 18, "{}", text.out);
}
