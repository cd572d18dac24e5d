//! The analysis at every moment: what it says, what follows, and what it waits for when it says nothing.
//!
//! Imports: core, state, event, command, model. May not: be part of a build that is not a test.

use super::testing::{Fixture, cancel, id, one_check, pause, percent, rollback, weighted};
use super::{Input, groups};
use crate::command::Command;
use crate::effect::Outcome;
use crate::event::{Actor, Cause, EventKind, Takeover};
use crate::model::{CanaryStep, Check, Count, Finding, Measurement, OnFailure, Policy, Quantity, Span};
use crate::state::{Awaits, Status};

use super::analysis::find;

fn judged(on_failure: OnFailure) -> impl FnOnce(&mut Policy) {
    move |p| {
        p.canary = weighted(vec![percent(10), CanaryStep::Analysis { passes: 2 }]);
        p.analysis = Some(one_check());
        p.rollback.on_failure = on_failure;
    }
}

/// One of ten is on the new version, and is to be judged.
fn at_the_analysis(on_failure: OnFailure) -> Fixture {
    let mut run = Fixture::new(10).with(judged(on_failure)).started();
    run.bring_to_carry(1);
    run.errors(0.0, None);
    run.wait(Span::from_secs(10));
    if run.state.step.as_ref().is_some_and(|step| step.number == 1) {
        // What was said before the bake began does not count for it.
        run.errors(0.0, None);
    }
    assert_eq!(run.state.step.as_ref().map(|step| step.number), Some(2));
    run
}

fn cause(run: &Fixture) -> Option<Cause> {
    run.state.pause.as_ref().map(|pause| pause.cause)
}

fn value(touched: f64, untouched: Option<f64>) -> Measurement {
    let quantity = |value: f64| Quantity::new(value).unwrap();
    Measurement::Value { touched: quantity(touched), untouched: untouched.map(quantity), samples: None }
}

#[test]
fn a_step_of_analysis_takes_as_many_passes_as_it_asks_for() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    assert!(run.waits_for().contains("error_rate passed 0 of 2"), "{}", run.waits_for());
    run.errors(0.001, None);
    assert!(run.waits_for().contains("error_rate passed 1 of 2"));
    run.nothing();
    assert!(run.waits_for().contains("inconclusive: no data"), "{}", run.waits_for());
    run.errors(0.002, None);
    assert_eq!((run.state.steps_done, run.state.batches), (2, 2), "the rest begins");
}

#[test]
fn a_pass_from_before_the_step_says_nothing_for_it() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    let before = run.state.step.as_ref().unwrap().started_at;
    run.now = run.now + Span::from_secs(5);
    let at = crate::model::Timestamp::from_millis(before.as_millis() - 1);
    let old = |measurement: Measurement| Input::Measured { check: "error_rate".to_owned(), at, measurement };
    assert_eq!(run.input(&old(value(0.0, None))), []);
    assert!(!run.input(&old(value(0.5, None))).is_empty(), "a failure is one whenever it began");
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn one_that_fails_does_what_on_failure_says_and_names_its_number() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    run.errors(0.023, Some(0.001));
    let reason = run.state.rollback.clone().unwrap().reason;
    assert_eq!(reason, "analysis failed: error_rate is 2.3%, above 1%, untouched 0.1%");
    assert!(run.fleet_act("measure").is_none(), "nothing is measured on the way back");
    // Whatever on_failure says of instances, an analysis that fails stops it.
    for on_failure in [OnFailure::Pause, OnFailure::Ask, OnFailure::Continue] {
        let mut run = at_the_analysis(on_failure);
        run.errors(0.023, None);
        assert_eq!((cause(&run), run.state.rollback.is_none()), (Some(Cause::Analysis), true), "{on_failure:?}");
        run.errors(0.0, None);
        assert!(run.state.pause.is_some(), "it is a person who goes on");
        run.command(Command::Resume);
        assert_eq!(run.state.status(), Status::InProgress, "who has seen it: {on_failure:?}");
    }
}

#[test]
fn some_failures_may_be_allowed() {
    let mut run = Fixture::new(10).with(judged(OnFailure::Rollback)).with(|p| p.analysis.as_mut().unwrap().max_failures = 1);
    run = run.started();
    run.bring_to_carry(1);
    run.errors(0.5, None);
    assert_eq!(run.state.status(), Status::InProgress);
    run.errors(0.0, None);
    run.errors(0.5, None);
    assert_eq!(run.state.status(), Status::RollingBack, "they need not follow one another");
}

/// What is as bad where nothing was touched is not the new version's doing.
#[test]
fn a_common_trouble_pauses_and_does_not_go_back() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    run.errors(0.023, Some(0.05));
    assert_eq!(cause(&run), Some(Cause::CommonCause));
    let reason = run.state.pause.as_ref().unwrap().reason.clone();
    assert!(reason.contains("untouched instances are no better"), "{reason}");
    run.errors(0.0, Some(0.0));
    assert!(run.state.pause.is_some());
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress);
}

#[test]
fn what_fails_during_a_pause_is_acted_on_at_resume() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    run.command(pause());
    run.errors(0.5, None);
    assert_eq!(run.state.status(), Status::Paused);
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::RollingBack);
}

/// It holds, says why, and goes on by itself.
#[test]
fn one_that_cannot_tell_holds_and_goes_on_by_itself() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    run.nothing();
    run.nothing();
    assert_eq!(run.state.pause, None);
    run.nothing();
    assert_eq!((cause(&run), run.state.is_held_up()), (Some(Cause::Analysis), false));
    let said = run.waits_for();
    assert!(said.contains("error_rate said nothing 3 times in a row: no data") && said.contains("by itself"), "{said}");
    run.nothing();
    assert!(run.state.pause.is_some());
    let events = run.errors(0.0, None);
    assert!(events.contains(&EventKind::DeploymentResumed { by: Actor::Engine }), "{events:?}");
    run.errors(0.0, None);
    assert_eq!(run.state.steps_done, 2);
}

#[test]
fn what_says_nothing_to_the_end_of_time_ends_as_on_failure_says_with_its_word() {
    for (on_failure, status) in [(OnFailure::Rollback, Status::RollingBack), (OnFailure::Pause, Status::Paused)] {
        let mut run = at_the_analysis(on_failure);
        for _ in 0..5 {
            run.nothing();
        }
        let until = run.state.progress_until.expect("its time runs while it holds");
        run.wait(until.since(run.now));
        assert_eq!(run.state.status(), status);
        let reason =
            run.state.rollback.as_ref().map(|r| r.reason.clone()).or_else(|| run.state.pause.as_ref().map(|p| p.reason.clone()));
        let reason = reason.unwrap();
        assert!(reason.contains("error_rate passed 0 of 2, inconclusive: no data") && reason.contains("10m"), "{reason}");
        assert!(!reason.contains("no instance finished"));
        if on_failure == OnFailure::Pause {
            run.errors(0.0, None);
            assert_eq!(run.state.status(), Status::Paused, "now a person decides");
        }
    }
}

/// A source that comes and goes gets no more time than one that is gone.
#[test]
fn a_hold_that_ends_and_begins_again_has_one_deadline() {
    let mut run = at_the_analysis(OnFailure::Rollback);
    let until = run.state.progress_until.unwrap();
    for _ in 0..20 {
        for _ in 0..3 {
            run.nothing();
        }
        // As bad as the others: that is a word, and no pass.
        run.state.plan.policy.analysis.as_mut().unwrap().max_failures = 9;
        let Some(first) = run.events.first_mut() else { unreachable!() };
        if let EventKind::DeploymentPlanned { plan, .. } = &mut first.kind {
            plan.policy.analysis.as_mut().unwrap().max_failures = 9;
        }
        run.errors(0.5, Some(0.5));
        assert_eq!(run.state.progress_until, Some(until));
    }
}

#[test]
fn an_operator_who_pauses_a_hold_keeps_it() {
    for by_whom in [pause(), Command::Pause { reason: "lunch".to_owned() }] {
        let mut run = at_the_analysis(OnFailure::Rollback);
        for _ in 0..3 {
            run.nothing();
        }
        run.command(by_whom);
        run.errors(0.0, None);
        assert_eq!((run.state.status(), run.state.is_held_up()), (Status::Paused, true));
        run.command(Command::Resume);
        assert_eq!(run.state.status(), Status::InProgress);
    }
}

#[test]
fn a_hold_ends_with_a_cancel_a_rollback_or_a_takeover_that_pauses() {
    let held = || {
        let mut run = at_the_analysis(OnFailure::Rollback);
        for _ in 0..3 {
            run.nothing();
        }
        run
    };
    let mut run = held();
    run.command(cancel());
    assert!(run.state.pause.is_none() && run.state.cancel.is_some());
    let mut run = held();
    run.command(rollback());
    assert_eq!(run.state.status(), Status::RollingBack);
    let mut run = held();
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress, "and three more times before it holds again");
    run.nothing();
    run.nothing();
    assert_eq!(run.state.pause, None);
    let mut run = held();
    run.input(&Input::Recovered(Takeover::default()));
    let by = Actor::Engine;
    let command = Command::Pause { reason: "its engine was gone".to_owned() };
    run.input(&Input::Command(crate::command::Request { key: String::new(), actor: by, revision: None, command }));
    run.errors(0.0, None);
    assert_eq!(run.state.status(), Status::Paused, "a person chooses");
}

/// While it cannot tell, an instance that fails is judged like any other.
#[test]
fn a_hold_hides_no_failure() {
    let mut run = Fixture::new(10).with(judged(OnFailure::Rollback)).with(|p| p.canary = weighted(vec![percent(20)]));
    run = run.started();
    run.bring_to_carry(1);
    run.bring_to_gate(2);
    for _ in 0..3 {
        run.nothing();
    }
    assert_eq!(cause(&run), Some(Cause::Analysis));
    run.misses(2, 3);
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn in_a_rolling_deployment_it_holds_the_end_of_a_bake() {
    let mut run = Fixture::new(6).with(|p| p.analysis = Some(one_check())).started();
    run.bring_to_healthy(1);
    run.errors(0.0, None);
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    assert_eq!(run.state.batches, 1, "what was measured before the bake says nothing for it");
    let said = run.waits_for();
    assert!(said.contains("batch 1 is verified") && said.contains("error_rate passed 0 of 1"), "{said}");
    run.errors(0.0, None);
    assert_eq!(run.state.batches, 2);
    run.errors(0.9, None);
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn from_a_later_step_on_it_says_nothing_before() {
    let steps = vec![percent(10), CanaryStep::Pause { lasts: Some(Span::from_secs(60)) }];
    let mut run = Fixture::new(10).with(|p| {
        p.canary = weighted(steps);
        p.analysis = Some(one_check());
        p.analysis.as_mut().unwrap().from_step = 2;
    });
    run = run.started();
    run.bring_to_carry(1);
    assert!(run.fleet_act("measure").is_none());
    assert_eq!(run.errors(0.9, None), []);
    run.wait(Span::from_secs(10));
    assert!(run.fleet_act("measure").is_some());
    run.errors(0.9, None);
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn with_nobody_to_measure_a_step_does_not_pass() {
    let mut run = at_the_analysis(OnFailure::Continue);
    run.misses(1, 3);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    assert_eq!((cause(&run), run.state.steps_done), (Some(Cause::Analysis), 1));
    assert!(run.waits_for().contains("no instance on v2 is in rotation to be measured"), "{}", run.waits_for());
    // Somebody tries it again: it serves, is measured, and that goes on by itself.
    run.command(Command::Retry { instance: id(1) });
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    assert_eq!(run.state.pause, None);
    run.errors(0.0, None);
    run.errors(0.0, None);
    assert_eq!(run.state.steps_done, 2);
}

#[test]
fn who_ran_it_already_is_no_example_of_the_old_version() {
    let mut run = Fixture::new(6).with(judged(OnFailure::Rollback)).with_member(6, |m| {
        m.at_version = true;
        m.previous = Some(m.wanted.clone());
    });
    run = run.started();
    assert!(run.fleet_act("measure").is_none() || run.state.step.is_some());
    let now = groups(&run.state);
    assert_eq!((now.touched, now.untouched.len()), (vec![id(6)], 5 - run.state.active.len() + run.state.active.len()));
}

#[test]
fn an_undo_is_not_judged_and_has_no_steps() {
    let mut run = Fixture::new(4).with(|p| p.analysis = Some(one_check()));
    run.plan.kind = crate::model::DeploymentKind::Rollback { undoes: crate::model::DeploymentId::new("shop", 0) };
    let mut run = run.with(|p| p.rollback.on_failure = OnFailure::Continue).started();
    run.bring_to_healthy(1);
    run.errors(0.9, None);
    assert_eq!(run.state.status(), Status::InProgress);
}

fn check(max: Option<f64>, max_ratio: Option<f64>) -> Check {
    let quantity = |value: Option<f64>| value.and_then(Quantity::new);
    let policy = one_check();
    Check { max: quantity(max), max_ratio: quantity(max_ratio), ..policy.checks[0].clone() }
}

/// reliability G8 to G10: no data is neither good nor bad, and what cannot be compared is not said to be alike.
#[test]
fn what_a_measurement_means() {
    let said = |check: &Check, measurement: &Measurement, comparable: bool| find(check, measurement, comparable).0;
    let fixed = check(Some(0.01), None);
    assert_eq!(said(&fixed, &value(0.01, None), true), Finding::Pass, "the limit itself is within");
    assert_eq!(said(&fixed, &value(0.011, None), true), Finding::Fail);
    assert_eq!(said(&fixed, &value(0.011, Some(0.0)), true), Finding::Fail);
    assert_eq!(said(&fixed, &value(0.011, Some(0.02)), true), Finding::Common);
    for why in ["no data", "NaN", "2 series"] {
        let nothing = Measurement::Nothing { why: why.to_owned() };
        assert_eq!(find(&fixed, &nothing, true), (Finding::Inconclusive, why.to_owned()));
    }
    let error = Measurement::Error { why: "connection refused".to_owned() };
    assert_eq!(said(&fixed, &error, true), Finding::Inconclusive);
    let few = Measurement::Value { touched: Quantity::new(0.5).unwrap(), untouched: None, samples: Some(9) };
    assert_eq!(find(&fixed, &few, true), (Finding::Inconclusive, "50% on 9 samples, needs 10".to_owned()));
    let ratio = check(None, Some(2.0));
    assert_eq!(said(&ratio, &value(0.03, Some(0.02)), true), Finding::Pass);
    assert_eq!(said(&ratio, &value(0.05, Some(0.02)), true), Finding::Fail);
    assert_eq!(said(&ratio, &value(0.05, None), true), Finding::Inconclusive, "there are some, and nothing is known of them");
    assert_eq!(said(&ratio, &value(0.05, None), false), Finding::Pass, "nobody is left to compare with");
    let both = check(Some(0.01), Some(2.0));
    assert_eq!(said(&both, &value(0.03, Some(0.02)), true), Finding::Common);
    assert_eq!(said(&both, &value(0.05, Some(0.02)), true), Finding::Fail, "worse than they are");
    assert_eq!(said(&both, &value(0.05, None), true), Finding::Fail, "beyond its own limit whatever the others do");
}

#[test]
fn it_does_not_wait_in_silence_for_anything_else() {
    let mut run = Fixture::new(10).with(judged(OnFailure::Rollback)).with(|p| p.strategy.max_unavailable = Count::Absolute(1));
    run = run.started();
    run.bring_to_carry(1);
    run.wait(Span::from_secs(10));
    assert!(run.waits_for().contains("the analysis has yet to speak for it"), "{}", run.waits_for());
}

/// Found by the simulator: the question what to do about a failed analysis took the place of the one for a promotion, and
/// nobody was waited for after it.
#[test]
fn a_question_in_between_does_not_end_the_one_for_a_promotion() {
    let mut run = Fixture::new(10).with(judged(OnFailure::Ask)).with(|p| {
        p.canary = weighted(vec![percent(10), CanaryStep::Pause { lasts: None }]);
        p.rollback.on_failure = OnFailure::Ask;
    });
    run = run.started();
    run.bring_to_carry(1);
    run.wait(Span::from_secs(10));
    run.errors(0.0, None);
    run.errors(0.5, None);
    assert_eq!(run.state.awaits, Some(Awaits::Answer));
    run.wait(Span::from_secs(60));
    run.command(Command::Resume);
    assert_eq!(run.state.awaits, Some(Awaits::Promotion));
    run.wait(Span::from_secs(1800));
    assert_eq!(run.state.status(), Status::RollingBack, "it has its deadline");
}
