//! Many seeds, and what is told of one that fails: how to run it again, and the smallest scenario that still fails.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rollout::clock::SystemClock;
use rollout::model::CanaryStep;

use crate::checks::Violation;
use crate::draw::draw;
use crate::scenario::{Scenario, plain};
use crate::world::{Report, Sabotage, World};

/// Seeds of the ordinary run.
const SEEDS: u64 = 20_000;
/// Facts told of a seed that fails.
const TOLD: usize = 50;

pub(crate) fn run(scenario: &Scenario) -> Result<Report, Violation> {
    run_with(scenario, None)
}

pub(crate) fn run_with(scenario: &Scenario, sabotage: Option<Sabotage>) -> Result<Report, Violation> {
    let scenario = scenario.clone();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(scenario, false);
        world.sabotage = sabotage;
        world.run()
    }));
    ran.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Violation::new("panic", what.unwrap_or_default()))
    })
}

fn without<T: Clone>(all: &[T], place: usize) -> Vec<T> {
    [&all[..place], &all[place + 1..]].concat()
}

/// All scenarios that are smaller by one thing.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    let total = scenario.plan.members.len();
    let names = |n: usize| {
        let text = format!("web-{n}\"");
        let faults = [format!("instance: {n},"), format!("instance: {n} ")];
        scenario.faults.iter().any(|(_, f)| faults.iter().any(|name| format!("{f:?}").contains(name)))
            || scenario.commands.iter().any(|(_, c)| format!("{c:?}").contains(&text))
    };
    if total > 1 && !names(total - 1) {
        with(&|s| {
            s.plan.members.truncate(total - 1);
            s.bad_on.retain(|n| *n < total - 1);
        });
    }
    (0..scenario.faults.len()).for_each(|place| with(&|s| s.faults = without(&s.faults, place)));
    (0..scenario.commands.len()).for_each(|place| with(&|s| s.commands = without(&s.commands, place)));
    (0..scenario.bad_on.len()).for_each(|place| with(&|s| s.bad_on.retain(|n| *n != scenario.bad_on[place])));
    let usual = plain(total);
    let mut policy = |change: &dyn Fn(&mut rollout::model::Policy)| {
        let mut plan = scenario.plan.clone();
        change(&mut plan.policy);
        if plan != scenario.plan {
            with(&|s| s.plan = plan.clone());
        }
    };
    policy(&|p| p.strategy = usual.policy.strategy.clone());
    policy(&|p| p.health = usual.policy.health.clone());
    policy(&|p| p.drain = usual.policy.drain.clone());
    policy(&|p| p.rollback = usual.policy.rollback.clone());
    policy(&|p| p.update = usual.policy.update.clone());
    policy(&|p| p.canary = None);
    policy(&|p| {
        if p.canary.as_ref().is_none_or(|canary| !canary.steps.iter().any(|s| matches!(s, CanaryStep::Analysis { .. }))) {
            p.analysis = None;
        }
    });
    policy(&|p| drop(p.hooks.pop()));
    policy(&|p| drop(p.canary.as_mut().filter(|canary| canary.steps.len() > 1).map(|canary| canary.steps.pop())));
    policy(&|p| drop(p.canary.as_mut().filter(|canary| canary.steps.len() > 1).map(|canary| canary.steps.remove(0))));
    for n in 0..total {
        if scenario.plan.members[n] != usual.members[n] {
            with(&|s| s.plan.members[n] = usual.members[n].clone());
        }
    }
    if scenario.repeats > 0 {
        with(&|s| s.repeats = 0);
    }
    if scenario.on_time > 0 {
        with(&|s| s.on_time = 0);
    }
    if scenario.takes_over_paused {
        with(&|s| s.takes_over_paused = false);
    }
    if scenario.balancers > 1 && !format!("{:?}", scenario.faults).contains("balancer: 1") {
        with(&|s| s.balancers = 1);
    }
    all
}

/// The smallest scenario that fails in the same way: one thing fewer at a time.
fn shrink(scenario: &Scenario, violation: &Violation) -> Scenario {
    let mut small = scenario.clone();
    while let Some(less) = smaller(&small).into_iter().find(|less| run(less).is_err_and(|found| found.id == violation.id)) {
        small = less;
    }
    small
}

/// Everything that helps to see why: the command that runs it again, the scenario, and its last facts.
pub(crate) fn told(scenario: &Scenario, violation: &Violation) -> String {
    let small = shrink(scenario, violation);
    let mut world = World::new(small.clone(), true);
    let again = catch_unwind(AssertUnwindSafe(|| world.run().err()));
    let facts: Vec<String> = world.facts.iter().rev().take(TOLD).rev().cloned().collect();
    format!(
        "{}: {}\n\nROLLOUT_SEED={} cargo test --test sim one_seed -- --ignored --nocapture\n\nshrunk: {small}\n{}\n{again:?}",
        violation.id,
        violation.what,
        scenario.seed,
        facts.join("\n"),
    )
}

type Endings = BTreeMap<String, u64>;

/// Every second seed from `from`; what they come to in one number, and how they ended.
fn run_some(seeds: impl Iterator<Item = u64>, failed: &AtomicBool, first: &AtomicU64) -> (u64, Endings) {
    let (mut hash, mut endings) = (0_u64, Endings::new());
    for seed in seeds {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        let Ok(report) = run(&draw(seed)) else {
            first.fetch_min(seed, Ordering::Relaxed);
            failed.store(true, Ordering::Relaxed);
            break;
        };
        let mut hasher = DefaultHasher::new();
        (seed, report.hash).hash(&mut hasher);
        hash ^= hasher.finish();
        *endings.entry(report.state.status().word().to_owned()).or_insert(0) += 1;
    }
    (hash, endings)
}

/// Runs `from..from + count` on two threads.
fn run_all(from: u64, count: u64) -> (u64, Endings) {
    let (failed, first) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let half = |offset: u64| run_some((from + offset..from + count).step_by(2), &failed, &first);
    let ((mut hash, mut endings), (other_hash, others)) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    if failed.load(Ordering::Relaxed) {
        let scenario = draw(first.load(Ordering::Relaxed));
        let violation = run(&scenario).expect_err("it failed a moment ago");
        panic!("{}", told(&scenario, &violation));
    }
    hash ^= other_hash;
    for (ending, count) in others {
        *endings.entry(ending).or_insert(0) += count;
    }
    (hash, endings)
}

#[test]
fn whatever_happens_it_ends_and_tells_the_truth() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (seeds, from) = (number("ROLLOUT_SEEDS").unwrap_or(SEEDS), number("ROLLOUT_FROM").unwrap_or(0));
    let clock = SystemClock::new();
    let began = clock.now();
    let (hash, endings) = run_all(from, seeds);
    let rate = seeds * 1000 / clock.now().since(began).as_millis().max(1) / 2;
    told!("seeds {seeds} violations 0 hash {hash:016x}, {rate} seeds per second of one core, {endings:?}");
    assert!(seeds >= SEEDS, "{seeds} seeds prove too little, {SEEDS} are the least");
    assert!(endings.len() >= 4, "too few kinds of end were reached: {endings:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..200 {
        let hash = || World::new(draw(seed), false).run().map(|report| report.hash);
        assert_eq!(hash().ok(), hash().ok(), "seed {seed}");
    }
}

/// One seed with everything that happens in it: `ROLLOUT_SEED=…`.
#[test]
#[ignore = "for looking at one seed"]
fn one_seed() {
    let seed = std::env::var("ROLLOUT_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let scenario = draw(seed);
    println!("{scenario}");
    let mut world = World::new(scenario, true);
    let ran = world.run();
    world.facts.iter().for_each(|fact| println!("{fact}"));
    println!("{:?}", ran.map(|report| (report.state.status(), report.events)));
}

/// How many seeds break which invariant: for the work on the simulator itself. `ROLLOUT_SEEDS=… ROLLOUT_FROM=…`.
#[test]
#[ignore = "for looking at many seeds that fail"]
fn census() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (seeds, from) = (number("ROLLOUT_SEEDS").unwrap_or(2000), number("ROLLOUT_FROM").unwrap_or(0));
    let mut found: BTreeMap<&'static str, (u64, u64, String)> = BTreeMap::new();
    for seed in from..from + seeds {
        if let Err(violation) = run(&draw(seed)) {
            let entry = found.entry(violation.id).or_insert((0, seed, violation.what));
            entry.0 += 1;
        }
    }
    println!("{found:#?}");
    if let Some((_, seed, _)) = found.values().next() {
        let scenario = draw(*seed);
        let violation = run(&scenario).expect_err("it failed a moment ago");
        println!("{}", told(&scenario, &violation));
    }
}
