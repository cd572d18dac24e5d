//! A crash of each kind at every append of twelve scenarios: the world ends as it would have without it (S14).

use rollout::command::Command;
use rollout::event::Ending;
use rollout::model::{Confirm, Count, OnFailure, Pacing, Plan, Span, Version, Zones};

use crate::scenario::{Crash, Fault, Scenario, Timed, id, plain};
use crate::world::{Lb, World};

struct Canonical {
    name: &'static str,
    scenario: Scenario,
    ending: Ending,
    /// What an operator finds when the controller is back may differ: then only what is promised of every end is asked.
    comparable: bool,
}

fn canonical(name: &'static str, ending: Ending, change: impl FnOnce(&mut Scenario)) -> Canonical {
    let mut plan = plain(4);
    plan.policy.strategy.batch_pause = Span::from_secs(1);
    let mut scenario = Scenario { seed: 7, plan, balancers: 1, bad_on: Vec::new(), faults: Vec::new(), commands: Vec::new() };
    change(&mut scenario);
    // An update that failed before its controller heard of it may succeed when it is ordered again.
    let fickle = |(_, fault): &Timed<Fault>| matches!(fault, Fault::UpdateFails { .. });
    let comparable = scenario.commands.is_empty() && !scenario.faults.iter().any(fickle);
    Canonical { name, scenario, ending, comparable }
}

fn says() -> String {
    String::new()
}

fn rules(scenario: &mut Scenario, change: impl FnOnce(&mut Plan)) {
    change(&mut scenario.plan);
}

fn twelve() -> Vec<Canonical> {
    let at = |at: u64, command: Command| -> Vec<Timed<Command>> { vec![(at, command)] };
    vec![
        canonical("a good version", Ending::Completed, |_| {}),
        canonical("a good version, in a window", Ending::Completed, |s| {
            rules(s, |p| (p.policy.strategy.pacing, p.policy.strategy.max_unavailable) = (Pacing::Window, Count::Absolute(2)));
        }),
        canonical("a good version, zone by zone", Ending::Completed, |s| {
            rules(s, |p| p.policy.strategy.zones = Zones::OneByOne);
        }),
        canonical("a good version behind two balancers", Ending::Completed, |s| s.balancers = 2),
        canonical("a bad version", Ending::RolledBack, |s| s.bad_on = (0..4).collect()),
        canonical("bad on the last instance", Ending::RolledBack, |s| s.bad_on = vec![3]),
        canonical("a failed update that is tolerated", Ending::Completed, |s| {
            s.faults = vec![(0, Fault::UpdateFails { instance: 1 })];
            rules(s, |p| {
                p.policy.rollback.on_failure = OnFailure::Continue;
                p.policy.strategy.max_unavailable = Count::Absolute(2);
            });
        }),
        canonical("a drain that is lost in a reload", Ending::Completed, |s| {
            s.faults = vec![(400, Fault::Reload { balancer: 0 })];
        }),
        canonical("approval of each batch that nobody gives", Ending::Cancelled, |s| {
            rules(s, |p| p.policy.strategy.confirm = Confirm::Batch);
        }),
        canonical("a forced rollback", Ending::RolledBack, |s| {
            s.commands = at(12_000, Command::Rollback { reason: says(), only: None });
        }),
        canonical("a cancel", Ending::Cancelled, |s| s.commands = at(6_000, Command::Cancel { reason: says() })),
        canonical("a pause and a hold, resumed and released", Ending::Completed, |s| {
            s.commands = vec![
                (2_000, Command::Pause { reason: says() }),
                (2_100, Command::Hold { instance: id(3), reason: says() }),
                (30_000, Command::Resume),
                (60_000, Command::Release { instance: id(3) }),
            ];
        }),
    ]
}

type Outcome = Vec<(Version, Vec<Lb>, bool)>;

fn outcome(world: &World) -> Outcome {
    world.machines.iter().map(|m| (m.version.clone(), m.lb.clone(), m.up)).collect()
}

/// Runs with crashes at these appends, and resumes each time as a person does who wants it to go on.
fn run(canonical: &Canonical, crashes: &[(usize, Crash)]) -> (World, rollout::state::State) {
    let mut world = World::new(canonical.scenario.clone(), false);
    world.crash_at = crashes.to_vec();
    let ran = world.run();
    let name = format!("{}, crashes {crashes:?}", canonical.name);
    let report = ran.unwrap_or_else(|violation| panic!("{name}: {}: {}", violation.id, violation.what));
    (world, report.state)
}

fn assert_same(canonical: &Canonical, calm: &Outcome, crashes: &[(usize, Crash)]) {
    let (world, state) = run(canonical, crashes);
    let name = format!("{}, crashes {crashes:?}", canonical.name);
    let end = state.end.as_ref().map(|end| end.ending);
    if canonical.comparable {
        assert_eq!(end, Some(canonical.ending), "{name}: {:?}", state.end);
        assert_eq!(outcome(&world), *calm, "{name}");
        for machine in &world.machines {
            let ordered = 1 + usize::from(state.rollback.is_some());
            assert!(machine.updates.len() <= ordered + world.crashes, "{name}: {:?}", machine.updates);
        }
    }
    assert!(end.is_some(), "{name}");
}

#[test]
fn a_crash_of_each_kind_at_every_append_ends_in_the_same_world() {
    let mut runs = 0;
    for canonical in twelve() {
        let (calm_world, calm_state) = run(&canonical, &[]);
        assert_eq!(
            calm_state.end.as_ref().map(|end| end.ending),
            Some(canonical.ending),
            "{}: {:?}",
            canonical.name,
            calm_state.end
        );
        let calm = outcome(&calm_world);
        for append in 2..=calm_world.appends {
            for kind in Crash::ALL {
                assert_same(&canonical, &calm, &[(append, kind)]);
                runs += 1;
            }
        }
    }
    println!("12 scenarios, {runs} crash points, all in the world that they would have reached without");
    assert!(runs > 1500, "only {runs} crash points were tried");
}

/// All pairs of crashes: for a longer run by hand.
#[test]
#[ignore = "minutes: cargo test --test simulator pairs -- --ignored --nocapture"]
fn pairs_of_crashes_end_in_the_same_world() {
    let mut runs = 0_u64;
    for canonical in twelve().into_iter().filter(|c| c.comparable) {
        let (calm_world, _) = run(&canonical, &[]);
        let calm = outcome(&calm_world);
        for first in 2..calm_world.appends {
            for second in first + 1..=calm_world.appends {
                for kinds in [(Crash::AfterEffects, Crash::BeforeSync), (Crash::BeforeEffects, Crash::AfterEffects)] {
                    assert_same(&canonical, &calm, &[(first, kinds.0), (second, kinds.1)]);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} pairs of crashes");
}
