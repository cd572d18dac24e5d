//! What `plan` says of steps, hooks and strategies.

use serde_json::{Value, json};

use crate::calm;

const STEPS: &str = "strategy.steps=[{ instances = 1 }, { pause = \"5m\" }, { instances = \"10%\" }, { pause = \"promote\" }, \
                     { run = \"smoke\" }, { instances = \"50%\" }]";
const HOOKS: [&str; 2] = [
    "hooks.smoke={ at = \"step\", command = [\"true\"], retries = 2 }",
    "hooks.ready={ at = \"before-deployment\", command = [\"true\"], timeout = \"5s\" }",
];

#[test]
fn a_plan_shows_steps_hooks_and_what_each_strategy_costs() {
    let fleet = calm(6, &["strategy.kind=canary", STEPS, HOOKS[0], HOOKS[1]]);
    let ran = fleet.run(&["plan", "v2", "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let plan = ran.lines().remove(0);
    assert_eq!(plan["strategy"], "canary");
    let steps = plan["steps"].as_array().unwrap();
    let short = |step: &Value| json!([step["number"], step["step"], step["instances"], step["batches"]]);
    let expected = [
        json!([1, "instances", 1, [1]]),
        json!([2, "pause", 1, []]),
        json!([3, "instances", 1, []]),
        json!([4, "pause", 1, []]),
        json!([5, "run", 1, []]),
        json!([6, "instances", 3, [2]]),
    ];
    assert_eq!(steps.iter().map(short).collect::<Vec<_>>(), expected);
    assert!(plan["at_least_ms"].as_u64() > Some(300_000), "{plan}");
    let kinds: Vec<&Value> = plan["strategies"].as_array().unwrap().iter().map(|choice| &choice["kind"]).collect();
    assert_eq!(kinds, ["canary", "rolling"], "its own first");
    let doubts = plan["warnings"].to_string();
    assert!(doubts.contains("step 3 (10% instances) changes nothing: it is 1 of 6, as in the step before"), "{doubts}");

    let text = fleet.run(&["plan", "v2"]).out;
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    let whole: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "step 1 1 instance 1 of 6 run v2 batch 1 web-01 5 of 6 serve step 2 pause of 5m step 3",
        "step 5 hook smoke step 6 50% instances 3 of 6 run v2 batch 2 web-02 web-03 4 of 6 serve batch 3",
        "hook before-deployment: ready (gate, at most 5s) hook step: smoke (gate, at most 1m, tried again 2 times)",
        "strategy canary: 1 of 6 (17% of the traffic) for at least 5m",
        "then 1 of 6 (17% of the traffic) until somebody promotes, then 3 of 6",
        "updates and starts, and until somebody promotes",
        "or rolling: 3 batches, at least",
        "fits canary: somebody judges a small share",
    ] {
        assert!(whole.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn without_weights_a_plan_says_which_share_it_will_really_be() {
    let steps = "strategy.steps=[{ weight = 10 }, { pause = \"promote\" }]";
    let none = ["strategy.kind=canary", steps, "traffic={ driver = \"none\" }"];
    let fleet = calm(4, &none);
    // Without a balancer nobody says when they listen.
    let ran = fleet
        .wait("the fleet listens", || Some(fleet.run(&["plan", "v2", "--output", "json"])).filter(|ran| ran.code == Some(0)));
    let plan = ran.lines().remove(0);
    let doubts = plan["warnings"].to_string();
    assert!(
        doubts.contains("step 1 (10% of the traffic): this balancer takes no weights, so it is 1 of 4 instances, 25%"),
        "{doubts}"
    );
    assert!(plan["strategies"][1]["fits"].as_str().unwrap().contains("one of 4 is 25% of the traffic"), "{plan}");
}

#[test]
fn a_strategy_that_the_file_cannot_follow_is_refused() {
    let fleet = calm(2, &[]);
    let refused = fleet.run(&["deploy", "v2", "--yes", "--strategy", "canary"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("strategy.steps") && refused.err.contains("is missing"), "{}", refused.err);
    let later = fleet.run(&["deploy", "v2", "--yes", "--set", "strategy.kind=blue-green"]);
    assert_eq!(later.code, Some(2));
    assert!(later.err.contains("\"blue-green\" is not in this version yet"), "{}", later.err);
    assert!(!fleet.service_dir().join("journal.sqlite3").exists(), "nothing is touched");
}
