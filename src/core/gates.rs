//! Hooks at every moment: gates, best-effort and cleanup, tried again, overdue, in a pause, on the way back.
//!
//! Imports: core, state, event, command, model. May not: be part of a build that is not a test.

use super::Input;
use super::testing::{Fixture, a_hook, cancel, pause, percent, rollback, weighted};
use crate::command::Command;
use crate::effect::Outcome;
use crate::event::{Cause, Ending, EventKind, Takeover};
use crate::model::{CanaryStep, DeploymentId, DeploymentKind, Hook, HookAt, HookClass, OnFailure, Span};
use crate::state::Status;

use HookClass::{BestEffort, Cleanup, Gate};

fn with_hooks(total: u32, hooks: Vec<Hook>) -> Fixture {
    Fixture::new(total).with(|p| p.hooks = hooks)
}

fn gate(at: HookAt) -> Vec<Hook> {
    vec![a_hook("check", at, Gate)]
}

fn cause(run: &Fixture) -> Option<Cause> {
    run.state.pause.as_ref().map(|pause| pause.cause)
}

/// Two of two are updated and baked.
fn all(run: &mut Fixture) {
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
}

#[test]
fn every_hook_has_its_moment_once() {
    let at = |(word, at): (&'static str, HookAt)| a_hook(word, at, Gate);
    let mut hooks: Vec<Hook> = HookAt::ALL.into_iter().map(at).collect();
    hooks.push(a_hook("tidy", HookAt::AfterDeployment, Cleanup));
    let mut run = with_hooks(4, hooks.clone()).started();
    let mut ran = Vec::new();
    let mut through = |run: &mut Fixture| {
        while let Some(name) = run.hook() {
            assert_eq!(run.waits_for(), format!("hook {name} has yet to end"));
            assert!(run.state.active.is_empty(), "nothing is taken before it has ended");
            ran.push(format!("{name} {}", run.state.hook.as_ref().unwrap().round));
            run.hook_ends(None);
        }
    };
    through(&mut run);
    all(&mut run);
    through(&mut run);
    run.bring_to_healthy(3);
    run.bring_to_healthy(4);
    run.wait(Span::from_secs(10));
    through(&mut run);
    run.end_check(|_| "v2");
    assert_eq!(
        ran,
        [
            "before-deployment 1",
            "before-batch 1",
            "after-batch 1",
            "before-batch 2",
            "after-batch 2",
            "after-deployment 1",
            "tidy 1"
        ]
    );
    assert_eq!(run.state.exit_code(), Some(0));
    // And on the way back.
    let mut run = with_hooks(4, hooks).started();
    run.hook_ends(None);
    run.hook_ends(None);
    run.bring_to_healthy(1);
    run.command(rollback());
    assert_eq!((run.hook().as_deref(), run.word(1)), (Some("before-rollback"), "healthy"));
    run.hook_ends(Some("exit code 1"));
    assert_eq!(run.word(1), "rolling_back", "on the way back a gate is listed like the others");
    run.taken_out(1);
    run.restore_rest(1);
    assert_eq!(run.hook().as_deref(), Some("after-rollback"));
    run.hook_ends(None);
    assert_eq!(run.hook().as_deref(), Some("tidy"));
    run.hook_ends(None);
    run.end_check(|_| "v1");
    let end = run.state.end.clone().unwrap();
    assert_eq!(end.ending, Ending::RolledBack);
    assert!(end.reason.contains("failed hooks: before-rollback"), "{}", end.reason);
}

#[test]
fn a_gate_that_fails_before_anything_is_touched_touches_nothing() {
    let mut run = with_hooks(4, gate(HookAt::BeforeDeployment)).started();
    run.hook_ends(Some("exit code 3"));
    assert_eq!(run.state.rollback.as_ref().unwrap().reason, "hook check failed: exit code 3");
    assert!(run.state.active.is_empty() && run.state.batches == 0);
    run.end_check(|_| "v1");
    let end = run.state.end.clone().unwrap();
    assert_eq!((end.ending, end.reason.contains("nothing had been updated")), (Ending::RolledBack, true), "{}", end.reason);
    assert_eq!(run.state.exit_code(), Some(3));
}

#[test]
fn a_gate_stops_it_whatever_on_failure_says_of_instances() {
    for on_failure in [OnFailure::Pause, OnFailure::Ask, OnFailure::Continue] {
        for at in [HookAt::BeforeDeployment, HookAt::BeforeBatch] {
            let mut run = with_hooks(4, gate(at)).with(|p| p.rollback.on_failure = on_failure).started();
            run.hook_ends(Some("exit code 3"));
            assert_eq!((cause(&run), run.state.batch.is_none()), (Some(Cause::Hook), true), "{on_failure:?}");
            run.command(Command::Resume);
            assert_eq!((run.state.batches, run.state.status()), (1, Status::InProgress), "who goes on has seen it");
        }
    }
}

#[test]
fn others_than_gates_decide_nothing() {
    for class in [BestEffort, Cleanup] {
        let at = if class == Cleanup { HookAt::AfterDeployment } else { HookAt::BeforeBatch };
        let mut run = with_hooks(2, vec![a_hook("tell", at, class)]).started();
        if class == BestEffort {
            run.hook_ends(Some("no route"));
        }
        all(&mut run);
        if class == Cleanup {
            run.hook_ends(Some("no route"));
        }
        run.end_check(|_| "v2");
        let end = run.state.end.clone().unwrap();
        assert_eq!((end.ending, run.state.exit_code()), (Ending::Completed, Some(0)));
        assert!(end.reason.contains("failed hooks: tell"), "{}", end.reason);
    }
}

#[test]
fn it_is_tried_again_as_often_as_it_may_be_and_each_try_has_its_time() {
    let hook = Hook { retries: 1, ..a_hook("check", HookAt::BeforeBatch, Gate) };
    let mut run = with_hooks(4, vec![hook]).started();
    let first = run.fleet_act("hook").unwrap().id;
    run.wait(Span::from_secs(29));
    run.hook_ends(Some("exit code 1"));
    let second = run.fleet_act("hook").unwrap().id;
    assert_ne!(first, second);
    assert_eq!(run.waits_for(), "hook check has yet to end, try 2");
    assert_eq!(run.input(&Input::Outcome { effect: first, outcome: Outcome::HookEnded { failure: None } }), [], "too late");
    run.wait(Span::from_secs(29));
    assert!(run.state.rollback.is_none());
    let events = run.wait(Span::from_secs(1));
    let overdue =
        |e: &EventKind| matches!(e, EventKind::HookEnded { failure: Some(why), again: false, .. } if why.contains("30s"));
    assert!(events.iter().any(overdue), "{events:?}");
    assert_eq!(run.state.status(), Status::RollingBack);
    assert!(run.fleet_act("hook").is_none());
}

/// As with failures: what happens during a pause is shown, and acted on when that is over.
#[test]
fn a_gate_that_fails_in_a_pause_is_acted_on_at_resume() {
    let mut run = with_hooks(4, gate(HookAt::BeforeBatch)).started();
    run.command(pause());
    assert_eq!(run.waits_for(), "pausing by ana; hook check has yet to end");
    run.hook_ends(Some("exit code 1"));
    assert_eq!((run.state.status(), cause(&run)), (Status::Paused, Some(Cause::Asked)));
    assert!(run.waits_for().starts_with("paused by ana"));
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::RollingBack);
    // Or overdue, or to be tried again: not before it is over.
    let hook = Hook { retries: 1, ..a_hook("check", HookAt::BeforeBatch, Gate) };
    let mut run = with_hooks(4, vec![hook]).started();
    run.command(pause());
    run.wait(Span::from_secs(30));
    assert!(run.fleet_act("hook").is_none(), "no second try in a pause");
    run.command(Command::Resume);
    assert!(run.fleet_act("hook").is_some());
}

#[test]
fn a_cancel_stops_a_hook_and_cleans_up() {
    let hooks = vec![a_hook("check", HookAt::BeforeBatch, Gate), a_hook("tidy", HookAt::AfterDeployment, Cleanup)];
    let mut run = with_hooks(4, hooks).started();
    assert_eq!(run.hook().as_deref(), Some("check"));
    run.command(cancel());
    assert_eq!(run.hook().as_deref(), Some("tidy"));
    run.hook_ends(None);
    run.end_check(|_| "v1");
    assert_eq!(run.state.end.as_ref().map(|end| end.ending), Some(Ending::Cancelled));
}

#[test]
fn a_gate_after_the_last_instance_sends_everything_back() {
    let mut run = with_hooks(2, gate(HookAt::AfterDeployment)).started();
    all(&mut run);
    assert_eq!(run.hook().as_deref(), Some("check"));
    run.hook_ends(Some("checkout is broken"));
    assert_eq!(run.state.status(), Status::RollingBack);
    assert_eq!(run.word(2), "rolling_back");
}

#[test]
fn a_step_runs_its_hook_and_a_promotion_cuts_it_short() {
    let on = || {
        let mut run = with_hooks(10, gate(HookAt::Step)).with(|p| {
            p.canary = weighted(vec![percent(10), CanaryStep::Run { hook: "check".to_owned() }]);
        });
        run = run.started();
        run.bring_to_carry(1);
        run.wait(Span::from_secs(10));
        assert_eq!(run.hook().as_deref(), Some("check"));
        run
    };
    let mut run = on();
    run.hook_ends(None);
    assert_eq!((run.state.steps_done, run.state.batches), (2, 2));
    let mut run = on();
    run.hook_ends(Some("exit code 1"));
    assert_eq!(run.state.status(), Status::RollingBack);
    let mut run = on();
    run.command(Command::Promote { full: false });
    assert_eq!((run.hook(), run.state.batches), (None, 2), "it is stopped, and does not come back");
}

#[test]
fn a_hook_that_ran_when_the_engine_died_runs_on_with_its_time() {
    let mut run = with_hooks(4, gate(HookAt::BeforeBatch)).started();
    let before = run.fleet_act("hook").unwrap();
    run.now = run.now + Span::from_secs(500);
    run.input(&Input::Recovered(Takeover::default()));
    run.input(&Input::Tick);
    assert_eq!(run.fleet_act("hook"), Some(before), "the same order");
    run.wait(Span::from_secs(29));
    assert!(run.state.rollback.is_none());
    run.wait(Span::from_secs(1));
    assert_eq!(run.state.status(), Status::RollingBack);
}

/// What undoes another deployment runs the hooks of a rollback, and none of them stops it.
#[test]
fn an_undo_runs_the_hooks_of_a_rollback() {
    let at = |(word, at): (&'static str, HookAt)| a_hook(word, at, Gate);
    let mut run = with_hooks(2, HookAt::ALL.into_iter().map(at).collect());
    run.plan.kind = DeploymentKind::Rollback { undoes: DeploymentId::new("shop", 0) };
    let mut run = run.with(|p| p.rollback.on_failure = OnFailure::Continue).started();
    assert_eq!(run.hook().as_deref(), Some("before-rollback"));
    run.hook_ends(Some("exit code 1"));
    all(&mut run);
    assert_eq!(run.hook().as_deref(), Some("after-rollback"));
    run.hook_ends(None);
    run.end_check(|_| "v2");
    assert_eq!(run.state.end.as_ref().map(|end| end.ending), Some(Ending::Completed));
}

/// A hook is no lack of progress, however long it may take.
#[test]
fn a_long_hook_is_not_a_lack_of_progress() {
    let hook = Hook { timeout: Span::from_secs(3600), ..a_hook("soak", HookAt::AfterBatch, Gate) };
    let mut run = with_hooks(4, vec![hook]).started();
    all(&mut run);
    run.wait(Span::from_secs(3599));
    assert_eq!(run.state.status(), Status::InProgress);
    run.hook_ends(None);
    assert_eq!(run.state.batches, 2);
}

#[test]
fn extra_capacity_serves_until_the_last_gate_has_spoken() {
    let mut run = with_hooks(2, gate(HookAt::AfterDeployment)).with_spares(1).started();
    let survey = run.nothing_there(crate::model::Rotation::Missing);
    run.outcome(3, Outcome::Surveyed { survey });
    run.outcome(3, Outcome::Updated);
    run.passes(3, 2);
    run.outcome(3, Outcome::Admitted);
    run.wait(Span::from_secs(10));
    all(&mut run);
    assert_eq!((run.hook().as_deref(), run.word(3)), (Some("check"), "healthy"));
    run.hook_ends(None);
    assert_eq!(run.word(3), "rolling_back", "now it is stopped");
}
