//! Whatever happens to the engine, the users of the fleet see nothing of it: a real fleet of eight behind a real HAProxy that
//! never retries, with requests of another tool all the time, and an engine that is killed, terminated or stopped at a hundred
//! places of its journal, each time taken over by another.
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
#[path = "e2e/hey.rs"]
mod hey;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use common::server;
use fleet::{Fleet, Ran};
use hey::{Hey, assert_nothing_failed, hey};
use rollout::demo::world::Lb;
use rollout::journal::{Holder, Lease};
use rollout::os::process;
use serde_json::Value;

/// Places of the journal at which the engine is attacked, in all.
const ATTACKS: usize = 100;
/// Events from one attack to the next: the engine that took over does something before it is attacked itself.
const APART: u64 = 9;

/// What is done to the engine, and where: before an append is stored, right after it, or after an effect had its outcome.
const WAYS: [(&str, &str); 7] = [
    ("appended", "kill"),
    ("appended", "stop"),
    ("append", "kill"),
    ("appended", "term"),
    ("append", "stop"),
    ("effect", "kill"),
    ("append", "term"),
];

struct Chaos {
    fleet: Fleet,
    /// How often the engine was attacked in each way.
    tally: BTreeMap<(&'static str, &'static str), usize>,
    attacks: usize,
    /// The engines that were there.
    engines: BTreeSet<i32>,
}

impl Chaos {
    /// Runs the program with an attack ordered for the engine that it starts.
    fn run(&self, args: &[&str], (place, action): (&str, &str), at: u64) -> Ran {
        let at = if place == "effect" { 1 } else { at };
        let mut command = self.fleet.command(args);
        Ran::of(command.env("ROLLOUT_FAILPOINT", format!("{place}#{at}={action}")).output().unwrap())
    }

    fn holder(&self) -> Option<Holder> {
        Lease::look(&self.fleet.world.state_dir(), "demo", "default")
    }

    /// Waits until the engine is gone or stopped. False if the deployment has ended by then.
    fn attacked(&mut self, id: &str) -> bool {
        self.engines.extend(self.holder().map(|holder| holder.process.pid));
        self.fleet.wait("the attack, or the end", || {
            let rests = self.holder().is_none_or(|holder| !holder.lives() || holder.is_stopped());
            rests.then_some(())
        });
        let ended = !self.summary(id)["finished_at"].is_null();
        // Stopped in its very last append: nothing is left to take over, but nobody must wait for it either.
        if let Some(holder) = self.holder().filter(|holder| ended && holder.is_stopped()) {
            process::kill(&holder.process).unwrap();
        }
        !ended
    }

    fn last_event(&self, id: &str) -> u64 {
        let ran = self.fleet.run(&["events", id, "--output", "json"]);
        ran.lines().last().and_then(|line| line["seq"].as_u64()).unwrap_or(0)
    }

    fn summary(&self, id: &str) -> Value {
        self.fleet.run(&["show", id, "--output", "json"]).summary()
    }

    /// One deployment, attacked again and again until it is through.
    fn deploy(&mut self, number: usize) {
        let (id, version) = (format!("demo-{number}"), format!("v{}", number + 1));
        let mut way = WAYS[self.attacks % WAYS.len()];
        let at = 2 + u64::try_from(number).unwrap() % APART;
        let mut ran = self.run(&["deploy", &version, "--yes", "--detach"], way, at);
        while self.attacked(&id) {
            *self.tally.entry(way).or_default() += 1;
            self.attacks += 1;
            way = WAYS[self.attacks % WAYS.len()];
            let at = self.last_event(&id) + APART;
            ran = self.run(&["recover", "--continue", "--detach", "--output", "json"], way, at);
        }
        let summary = self.summary(&id);
        assert_eq!((&summary["status"], &summary["updated"]), (&Value::from("completed"), &Value::from(8)), "{summary} {ran:?}");
        assert_eq!(summary["exceptions"], Value::Array(vec![]), "{summary}");
    }
}

#[test]
fn an_engine_attacked_at_a_hundred_places_fails_no_request() {
    let (Some(_), Some(program)) = (server("haproxy"), server("hey")) else { return };
    let sets = ["strategy.batch_pause=100ms", "health.interval=100ms", "health.rise=1"];
    let fleet = Fleet::start(8, Lb::Haproxy, &sets);
    let load: Vec<(&str, Hey)> = [("keep-alive", true), ("new connections", false)]
        .map(|(what, keep)| (what, hey(&program, &fleet.world.url(), keep)))
        .into();
    let mut chaos = Chaos { fleet, tally: BTreeMap::new(), attacks: 0, engines: BTreeSet::new() };
    let mut deployments = 0;
    while chaos.attacks < ATTACKS {
        deployments += 1;
        chaos.deploy(deployments);
    }
    let answered: Vec<String> =
        load.into_iter().map(|(what, hey)| format!("{} over {what}", assert_nothing_failed(hey, what))).collect();
    // Past the test runner, which would swallow it: whoever runs the tests should see what was tried.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{:>8}  {:<10} {:>7}", "place", "attack", "times").unwrap();
    for ((place, action), times) in &chaos.tally {
        writeln!(out, "{place:>8}  {action:<10} {times:>7}").unwrap();
    }
    let (attacks, engines, answered) = (chaos.attacks, chaos.engines.len(), answered.join(", "));
    writeln!(
        out,
        "{attacks} attacks on {engines} engines in {deployments} deployments of 8 instances: all in rotation on the right version; \
         requests answered: {answered}; failed: 0"
    )
    .unwrap();
    drop(out);
    assert_eq!(chaos.tally.len(), WAYS.len(), "{:?}", chaos.tally);
    let Chaos { fleet, .. } = chaos;
    let wanted = format!("v{}", deployments + 1);
    for target in &fleet.config.targets {
        let record = std::fs::read_to_string(fleet.world.processes_dir().join(format!("{}.json", target.id))).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["version"], Value::from(wanted.as_str()), "{}", target.id);
    }
}
