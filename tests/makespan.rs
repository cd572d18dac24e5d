//! How much longer a run takes than its own drains, stops, starts, checks and pauses: the engine's overhead as a ratio.
//! In a file of its own, so that no other test runs beside it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it cannot go on, and says what it measured"
)]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

use std::io::Write as _;

use rollout::demo::world::Lb;
use serde_json::Value;

/// What the engine is held to on a machine of its own: the printed ratio is the measure.
const GOAL: f64 = 1.05;
/// What fails the test. A machine that others use too stretches the ratio; more than this is the engine's doing.
const RATIO_MAX: f64 = 1.25;

/// What is unavoidable for one instance, by the logs of the instance and of the balancer, in milliseconds from `from` on:
/// the stop of the old process, the start of the new one, and the later of its proof and of the balancer's own check.
fn chain(logs: &[(u64, String)], id: &str, (from, version): (u64, &str), proof: u64) -> u64 {
    let at = |from: u64, text: &str| {
        let found = logs.iter().find(|(at, line)| *at >= from && line.starts_with(text));
        found.map_or_else(|| panic!("no {text:?} in the logs after {from}"), |(at, _)| *at)
    };
    let ordered = at(from, &format!("{id} ordered drain"));
    let in_flight = logs.iter().find(|(at, line)| *at == ordered && line.starts_with(&format!("{id} ordered drain")));
    let left: u64 = in_flight.and_then(|(_, line)| line.split(", ").nth(1)?.split(' ').next()?.parse().ok()).unwrap();
    let stopping = at(ordered, &format!("{id} v1 stopping"));
    // Without a request in flight there is nothing to wait for: all of that time is overhead.
    let drained = if left == 0 { 0 } else { stopping - ordered };
    // From the old process's end to the new one's listening: loading the program is part of its start.
    let stopped = at(stopping, &format!("{id} v1 stopped"));
    let listening = at(stopped, &format!("{id} {version} listening"));
    let up =
        logs.iter().find(|(at, line)| *at >= listening && line.starts_with(&format!("{id} up"))).map_or(listening, |(at, _)| *at);
    drained + (listening - stopping) + proof.max(up - listening)
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a minute")]
fn a_run_takes_hardly_longer_than_its_own_work() {
    // Pauses of a few seconds, as real ones at least have.
    let fleet = fleet::Fleet::start(8, Lb::Builtin, &["vip.rate=100", "strategy.batch_pause=3s"]);
    let ran = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let health = fleet.config.policy().health;
    let proof = health.interval.as_millis() * u64::from(health.rise - 1);
    let pause = fleet.config.policy().strategy.batch_pause.as_millis();
    let logs = fleet.logs();
    let time = |event: &Value| -> u64 {
        let at: rollout::model::Timestamp = serde_json::from_value(event["at"].clone()).unwrap();
        at.as_millis()
    };
    let mut bound = 0;
    for batch in ran.lines().iter().filter(|line| line["type"] == "batch_started") {
        let members = batch["members"].as_array().unwrap();
        let longest = members.iter().map(|id| chain(&logs, id.as_str().unwrap(), (time(batch), "v2"), proof)).max().unwrap();
        bound += longest + pause;
    }
    let took = ran.summary()["duration_ms"].as_u64().unwrap();
    let ratio = took as f64 / bound as f64;
    // Not by `println!`, which the runner keeps to itself when a test passes.
    writeln!(std::io::stdout(), "makespan: {took} ms, bound by the work itself {bound} ms, ratio {ratio:.3} (goal {GOAL})")
        .unwrap();
    assert!(ratio <= RATIO_MAX, "{took} ms against {bound} ms is {ratio:.3}");
}
