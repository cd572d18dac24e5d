//! Many seeds, and what is told of one that fails: how to run it again, and the smallest scenario that still fails.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rollout::clock::SystemClock;

use crate::checks::Violation;
use crate::scenario::{Scenario, draw};
use crate::world::{Report, World};

/// Seeds of the ordinary run.
const SEEDS: u64 = 20_000;

fn run(scenario: &Scenario) -> Result<Report, Violation> {
    let scenario = scenario.clone();
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(scenario, false).run()));
    ran.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Violation::new("panic", what.unwrap_or_default()))
    })
}

/// The smallest scenario that fails in the same way: one fault, command or bad instance fewer at a time.
fn shrink(scenario: &Scenario, violation: &Violation) -> Scenario {
    let fails = |smaller: &Scenario| run(smaller).is_err_and(|found| found.id == violation.id);
    let mut small = scenario.clone();
    loop {
        let mut candidates: Vec<Scenario> = Vec::new();
        for place in 0..small.faults.len() {
            let mut smaller = small.clone();
            smaller.faults.remove(place);
            candidates.push(smaller);
        }
        for place in 0..small.commands.len() {
            let mut smaller = small.clone();
            smaller.commands.remove(place);
            candidates.push(smaller);
        }
        for place in 0..small.bad_on.len() {
            let mut smaller = small.clone();
            smaller.bad_on.remove(place);
            candidates.push(smaller);
        }
        match candidates.into_iter().find(|smaller| fails(smaller)) {
            Some(smaller) => small = smaller,
            None => return small,
        }
    }
}

/// Everything that helps to see why: the command that runs it again, the scenario, and its last facts.
fn told(scenario: &Scenario, violation: &Violation) -> String {
    let small = shrink(scenario, violation);
    let mut world = World::new(small.clone(), true);
    let again = catch_unwind(AssertUnwindSafe(|| world.run().err()));
    let facts: Vec<String> = world.facts.iter().rev().take(70).rev().cloned().collect();
    format!(
        "{}: {}\nROLLOUT_SEED={} cargo test --test simulator one_seed -- --ignored --nocapture\n{small}{}\n{again:?}",
        violation.id,
        violation.what,
        scenario.seed,
        facts.join("\n"),
    )
}

/// Runs `from..from + count` on two threads; the sum of what the runs were, and how they ended.
fn run_all(from: u64, count: u64) -> (u64, BTreeMap<String, u64>) {
    let half = |offset: u64| {
        let (mut hash, mut endings) = (0_u64, BTreeMap::new());
        for seed in (from + offset..from + count).step_by(2) {
            let scenario = draw(seed);
            match run(&scenario) {
                Ok(report) => {
                    let mut hasher = DefaultHasher::new();
                    (seed, report.hash).hash(&mut hasher);
                    hash ^= hasher.finish();
                    *endings.entry(report.state.status().word().to_owned()).or_insert(0) += 1;
                }
                Err(violation) => panic!("{}", told(&scenario, &violation)),
            }
        }
        (hash, endings)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let (mut hash, mut endings) = half(0);
        let (other_hash, others) = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        hash ^= other_hash;
        for (ending, count) in others {
            *endings.entry(ending).or_insert(0) += count;
        }
        (hash, endings)
    })
}

#[test]
fn whatever_happens_it_ends_and_tells_the_truth() {
    let seeds: u64 = std::env::var("ROLLOUT_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let from: u64 = std::env::var("ROLLOUT_FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let clock = SystemClock::new();
    let began = clock.now();
    let (hash, endings) = run_all(from, seeds);
    let rate = seeds * 1000 / clock.now().since(began).as_millis().max(1) / 2;
    println!("seeds {seeds} violations 0 hash {hash:016x}, {rate} seeds per second of one core, {endings:?}");
    assert!(seeds >= SEEDS || std::env::var_os("ROLLOUT_SEEDS").is_some(), "too few seeds prove nothing");
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
