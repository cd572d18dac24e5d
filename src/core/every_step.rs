//! Every command at every moment of a canary with hooks and an analysis: it ends, with whole weights, and cleaned up.
//!
//! Imports: core, state, command, model. May not: be part of a build that is not a test.

use super::every_command::{Drive, FLEET, commands, modes};
use super::testing::{Fixture, a_hook, cancel, id, one_check, percent, rollback, weighted};
use super::{Input, wanted};
use crate::command::Command;
use crate::model::{CanaryStep, Count, HookAt, HookClass, OnFailure, Span};
use crate::state::{Awaits, Phase};

/// A canary by weight with a hook of each kind and an analysis, up to one of its moments.
fn canary(until: &dyn Fn(&Fixture) -> bool) -> Fixture {
    let steps = vec![
        percent(10),
        CanaryStep::Pause { lasts: Some(Span::from_secs(5)) },
        CanaryStep::Pause { lasts: None },
        CanaryStep::Analysis { passes: 1 },
        CanaryStep::Run { hook: "smoke".to_owned() },
        percent(50),
    ];
    let hooks = vec![
        a_hook("begin", HookAt::BeforeDeployment, HookClass::Gate),
        a_hook("smoke", HookAt::Step, HookClass::Gate),
        a_hook("after", HookAt::AfterDeployment, HookClass::Gate),
        a_hook("back", HookAt::BeforeRollback, HookClass::BestEffort),
        a_hook("tidy", HookAt::AfterDeployment, HookClass::Cleanup),
    ];
    let run = Fixture::new(FLEET).with(|p| {
        (p.canary, p.analysis, p.hooks) = (weighted(steps), Some(one_check()), hooks);
        p.strategy.batch_size = vec![Count::Absolute(1)];
    });
    let mut drive = Drive::new(&run.started(), "on its way".to_owned());
    for _ in 0..200 {
        for effect in wanted(&drive.run.state) {
            if until(&drive.run) {
                return drive.run;
            }
            if wanted(&drive.run.state).contains(&effect) && !drive.done.contains(&effect) {
                drive.perform(effect);
            }
        }
        if drive.run.state.awaits == Some(Awaits::Promotion) {
            drive.command(&Command::Promote { full: false });
        }
        drive.run.now = drive.run.now + Span::from_millis(500);
        drive.input(&Input::Tick);
    }
    panic!("that moment never comes");
}

#[test]
fn every_command_is_safe_at_every_moment_of_a_canary() {
    let step = |run: &Fixture| run.state.step.as_ref().map_or(0, |step| step.number);
    let hook = |run: &Fixture| run.state.hook.as_ref().map(|hook| hook.name.clone()).unwrap_or_default();
    let first = |run: &Fixture| run.state.instance(&id(1)).unwrap().phase.clone();
    let mut held = canary(&|run| step(run) == 4);
    for _ in 0..3 {
        held.nothing();
    }
    let mut failed = canary(&|run| step(run) == 4).with(|p| p.rollback.on_failure = OnFailure::Pause);
    failed = failed.started();
    failed.hook_ends(Some("exit code 1"));
    let places = vec![
        ("a hook before anything", canary(&|run| hook(run) == "begin")),
        ("a gate that failed", failed),
        (
            "weights ordered, verifying",
            canary(&|run| run.state.weighing.is_some() && matches!(first(run), Phase::Verifying { .. })),
        ),
        ("admitting", canary(&|run| first(run) == Phase::Admitting)),
        ("baking", canary(&|run| run.state.batch.as_ref().is_some_and(|batch| batch.bake_until.is_some()))),
        ("a timed pause", canary(&|run| step(run) == 2)),
        ("a pause until promoted", canary(&|run| step(run) == 3)),
        ("an analysis", canary(&|run| step(run) == 4)),
        ("an analysis that cannot tell", held),
        ("a hook of a step", canary(&|run| hook(run) == "smoke")),
        ("a later step at work", canary(&|run| step(run) == 6)),
        ("the rest", canary(&|run| run.state.steps_done == 6)),
        ("a hook after everything", canary(&|run| hook(run) == "after")),
        ("cleaning up", canary(&|run| hook(run) == "tidy")),
        ("the end check", canary(&|run| run.state.end_check_until.is_some())),
    ];
    for (place, start) in places {
        for (mode, before) in modes() {
            for first in commands().into_iter().chain([Command::Promote { full: false }]) {
                for second in [None, Some(cancel()), Some(rollback()), Some(Command::Resume)] {
                    let then = second.as_ref().map_or("nothing", Command::verb);
                    let mut drive = Drive::new(&start, format!("{place}, {mode}, {}, then {then}", first.verb()));
                    for command in before.iter().chain([&first]).chain(second.as_ref()) {
                        drive.run.now = drive.run.now + Span::from_millis(10);
                        drive.command(command);
                    }
                    drive.finish();
                    let state = &drive.run.state;
                    assert!(state.weights.is_empty() && state.weighing.is_none(), "{}: {:?}", drive.name, state.weights);
                    assert!(state.hooks_done.contains_key("tidy"), "{}: it has not cleaned up", drive.name);
                }
            }
        }
    }
}
