//! A crash of each kind at every append of sixteen scenarios: the world ends as it would have without it (S14).

use rollout::command::Command;
use rollout::event::Ending;
use rollout::model::{
    AnalysisPolicy, Canary, CanaryStep, Check, Confirm, Count, Hook, HookAt, HookClass, OnFailure, Pacing, Plan, Quantity, Span,
    Unit, Version, Zones,
};
use rollout::state::State;

use crate::checks::Violation;
use crate::scenario::{Crash, Fate, Fault, Scenario, Timed, id, plain};
use crate::world::{Lb, Machine, World};

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
    let mut scenario = Scenario::calm(plan);
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

fn canonicals() -> Vec<Canonical> {
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
            s.faults = vec![(0, Fault::UpdateFails { instance: 1, done: false })];
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
        canonical("a canary by weight, with hooks and an analysis", Ending::Completed, steps),
        canonical("a canary that the analysis finds out", Ending::RolledBack, |s| {
            steps(s);
            s.worse = true;
        }),
        canonical("a canary whose gate stays closed", Ending::RolledBack, |s| {
            steps(s);
            s.fates.insert("smoke".to_owned(), vec![Fate::Fails, Fate::Hangs]);
        }),
        canonical("a canary that waits for its analysis", Ending::Completed, |s| {
            steps(s);
            s.faults = vec![(0, Fault::SourceDown { lasts: 40_000 })];
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

/// A canary by weight with a pause, an analysis and hooks of each class.
pub(crate) fn steps(s: &mut Scenario) {
    let check = Check {
        name: "error_rate".to_owned(),
        unit: Unit::Share,
        max: Quantity::new(0.01),
        min: None,
        max_ratio: None,
        min_samples: 1,
    };
    let hook = |name: &str, at: HookAt, class: HookClass| {
        let (name, timeout) = (name.to_owned(), Span::from_secs(30));
        Hook { name, at, class, timeout, retries: 1 }
    };
    rules(s, |p| {
        let policy = &mut p.policy;
        let pause = CanaryStep::Pause { lasts: Some(Span::from_secs(5)) };
        let smoke = CanaryStep::Run { hook: "smoke".to_owned() };
        let steps = vec![CanaryStep::Weight { percent: 10 }, pause, CanaryStep::Analysis { passes: 2 }, smoke];
        policy.canary = Some(Canary { steps, weighted: true });
        let (interval, checks) = (Span::from_secs(2), vec![check]);
        policy.analysis = Some(AnalysisPolicy { checks, interval, max_failures: 0, max_inconclusive: 2, from_step: 1 });
        policy.hooks = vec![
            hook("begin", HookAt::BeforeDeployment, HookClass::Gate),
            hook("smoke", HookAt::Step, HookClass::Gate),
            hook("tell", HookAt::AfterBatch, HookClass::BestEffort),
            hook("tidy", HookAt::AfterDeployment, HookClass::Cleanup),
        ];
    });
}

type Outcome = Vec<(Version, Vec<Lb>, Vec<u16>, bool)>;

fn outcome(world: &World) -> Outcome {
    world.machines.iter().map(|m| (m.version.clone(), m.lb.clone(), m.weights.clone(), m.up)).collect()
}

/// Runs with crashes at these appends, each of which lasts so long.
fn run(canonical: &Canonical, crashes: &[(usize, Crash)], down: u64) -> Result<(World, State), Violation> {
    let mut world = World::new(canonical.scenario.clone(), false);
    world.crash_at = crashes.to_vec();
    world.crash_down = down;
    let report = world.run()?;
    Ok((world, report.state))
}

/// S14: the world is as it would be without these crashes, and no update ran oftener than crashes explain.
fn same(canonical: &Canonical, calm: &Outcome, (crashes, down): (&[(usize, Crash)], u64)) -> Result<(), Violation> {
    let violation = |what: String| Err(Violation::new("S14", format!("{}, crashes {crashes:?}: {what}", canonical.name)));
    let (world, state) = match run(canonical, crashes, down) {
        Ok(ran) => ran,
        Err(found) => return Err(Violation::new(found.id, format!("{}, crashes {crashes:?}: {}", canonical.name, found.what))),
    };
    if !canonical.comparable {
        return Ok(());
    }
    if state.end.as_ref().map(|end| end.ending) != Some(canonical.ending) {
        return violation(format!("ended with {:?}", state.end));
    }
    if outcome(&world) != *calm {
        return violation(format!("left {:?}", outcome(&world)));
    }
    let most = 1 + usize::from(state.rollback.is_some()) + world.crashes;
    match world.machines.iter().find(|m| m.runs.len() > most) {
        Some(machine) => violation(format!("ran {:?}", machine.runs)),
        None => Ok(()),
    }
}

/// A long crash of each kind at every append of a good version's way: the first that leaves another world.
pub(crate) fn first_trace_of_a_crash() -> Result<(), Violation> {
    let canonical = canonicals().remove(0);
    let (calm_world, _) = run(&canonical, &[], 0)?;
    let calm = outcome(&calm_world);
    for append in 2..=calm_world.appends {
        for kind in Crash::ALL {
            same(&canonical, &calm, (&[(append, kind)], 200_000))?;
        }
    }
    Ok(())
}

fn calm(canonical: &Canonical) -> World {
    let (world, state) = run(canonical, &[], 0).unwrap_or_else(|v| panic!("{}: {}: {}", canonical.name, v.id, v.what));
    assert_eq!(state.end.as_ref().map(|end| end.ending), Some(canonical.ending), "{}: {:?}", canonical.name, state.end);
    world
}

fn assert_same(canonical: &Canonical, calm: &Outcome, crashes: &[(usize, Crash)]) {
    same(canonical, calm, (crashes, 7000)).unwrap_or_else(|violation| panic!("{}: {}", violation.id, violation.what));
}

#[test]
fn a_crash_of_each_kind_at_every_append_ends_in_the_same_world() {
    let mut runs = 0;
    for canonical in canonicals() {
        let world = calm(&canonical);
        let calm = outcome(&world);
        for append in 2..=world.appends {
            for kind in Crash::ALL {
                assert_same(&canonical, &calm, &[(append, kind)]);
                runs += 1;
            }
        }
    }
    told!("16 scenarios, {runs} crash points, all in the world that they would have reached without");
    assert!(runs > 1500, "only {runs} crash points were tried");
}

/// All pairs of crashes: for a longer run by hand.
#[test]
#[ignore = "minutes: cargo test --release --test sim pairs -- --ignored --nocapture"]
fn pairs_of_crashes_end_in_the_same_world() {
    let mut runs = 0_u64;
    for canonical in canonicals().into_iter().filter(|c| c.comparable) {
        let world = calm(&canonical);
        let calm = outcome(&world);
        for first in 2..world.appends {
            for second in first + 1..=world.appends {
                for kind in Crash::ALL {
                    let other = Crash::ALL[(first + second) % Crash::ALL.len()];
                    assert_same(&canonical, &calm, &[(first, kind), (second, other)]);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} pairs of crashes");
}

/// H7, H9, H10: a pause, a cancel and a rollback, once and twice, at every append.
#[test]
fn a_command_at_every_append_leaves_every_instance_in_rotation() {
    let pause = || Command::Pause { reason: says() };
    let (cancel, back) = (|| Command::Cancel { reason: says() }, || Command::Rollback { reason: says(), only: None });
    let canonical = canonicals().remove(0);
    let appends = calm(&canonical).appends;
    for at in 2..appends {
        let scripts = [
            (vec![(at, pause()), (at + 3, Command::Resume)], Ending::Completed),
            (vec![(at, cancel())], Ending::Cancelled),
            (vec![(at, back())], Ending::RolledBack),
            (vec![(at, back()), (at + 1, back())], Ending::RolledBack),
            (vec![(at, cancel()), (at + 1, back())], Ending::RolledBack),
            (vec![(at, pause()), (at, back())], Ending::RolledBack),
        ];
        for (script, ending) in scripts {
            let name = format!("{script:?}");
            let mut world = World::new(canonical.scenario.clone(), false);
            // Time for the last command, before anybody else sees to what is paused.
            world.scenario.attended = false;
            world.command_at = script;
            let report = world.run().unwrap_or_else(|v| panic!("{name}: {}: {}", v.id, v.what));
            let end = report.state.end.as_ref().map(|end| end.ending);
            let missed = !world.command_at.is_empty() || end == Some(Ending::Completed);
            assert!(end == Some(ending) || missed, "{name}: {:?}", report.state.end);
            assert!(world.machines.iter().all(Machine::is_in), "{name}: {:?}", outcome(&world));
            assert_eq!(report.state.exceptions(), [], "{name}");
        }
    }
}
