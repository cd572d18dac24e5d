//! Commands, failures and other people's orders that meet: what one leads to is not undone, doubled or lost by another.
//!
//! Imports: core, state, event, command, model. May not: be part of a build that is not a test.

use std::collections::BTreeMap;

use super::testing::{Fixture, cancel, id, pause, rollback};
use super::{Input, check, wanted};
use crate::command::Command;
use crate::effect::{EffectKind, Outcome};
use crate::event::{Cause, Ending, EventKind, Takeover};
use crate::model::{Count, DeploymentId, DeploymentKind, OnDrainTimeout, OnFailure, Rotation, SampleResult, Span};
use crate::state::{Goal, Phase, Status};

fn retry(number: u32) -> Command {
    Command::Retry { instance: id(number) }
}

fn skip(number: u32) -> Command {
    Command::Skip { instance: id(number), reason: String::new() }
}

fn read(run: &mut Fixture, number: u32, rotation: Rotation) -> Vec<EventKind> {
    run.now = run.now + Span::from_millis(10);
    run.input(&Input::Rotations { at: run.now, rotations: BTreeMap::from([(id(number), rotation)]) })
}

fn phase(run: &Fixture, number: u32) -> Phase {
    run.state.instance(&id(number)).unwrap().phase.clone()
}

fn ending(run: &Fixture) -> Option<Ending> {
    run.state.end.as_ref().map(|end| end.ending)
}

/// Every drain that is ordered on it is confirmed, without connections.
fn confirm_drains(run: &mut Fixture, number: u32) {
    while run.act(number).is_some_and(|act| act.to_string().contains("take-out")) {
        run.outcome(number, Outcome::TakenOut { sessions: Some(0) });
    }
}

/// One batch of one after the other; failures are listed.
fn tolerant(total: u32) -> Fixture {
    Fixture::new(total)
        .with(|p| {
            p.rollback.on_failure = OnFailure::Continue;
            p.strategy.batch_size = vec![Count::Absolute(1)];
        })
        .started()
}

/// The first is on the new version, fails, cannot be taken out, and is tried again: it is being drained.
fn tried_again_in_rotation() -> Fixture {
    let mut run = tolerant(4);
    run.bring_to_healthy(1);
    run.misses(1, 3);
    run.wait(Span::from_secs(30));
    run.command(retry(1));
    assert_eq!(phase(&run, 1), Phase::TakingOut);
    run
}

#[test]
fn a_skip_of_another_one_does_not_answer_a_failure() {
    let mut run = Fixture::new(8).started();
    run.peers_are_well = false;
    run.bring_to_gate(1);
    run.misses(1, 3);
    run.command(skip(5));
    assert!(run.state.is_looking());
    run.wait(Span::from_secs(7));
    assert_eq!(run.state.status(), Status::RollingBack);

    let mut run = Fixture::new(8).with(|p| p.rollback.threshold_percent = 0).started();
    run.bring_to_gate(1);
    run.bring_to_gate(2);
    run.command(pause());
    run.misses(1, 3);
    run.misses(2, 3);
    run.command(skip(1));
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::RollingBack, "nobody has seen to the second");
}

#[test]
fn a_rollback_takes_one_back_that_was_being_tried_again() {
    let mut run = tried_again_in_rotation();
    run.command(rollback());
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    assert_eq!(run.state.instance(&id(1)).unwrap().goal, Goal::Back, "{:?}", phase(&run, 1));
    run.restore(1);
    run.end_check(|_| "v1");
    assert_eq!(ending(&run), Some(Ending::RolledBack));
}

#[test]
fn a_broken_one_is_not_put_back_in_rotation_by_a_cancel() {
    let mut run = tried_again_in_rotation();
    run.outcome(1, Outcome::TakenOut { sessions: Some(5) });
    run.command(cancel());
    assert!(!wanted(&run.state).iter().any(|e| e.kind == EffectKind::Admit));
    confirm_drains(&mut run, 1);
    run.restore(1);
    assert_eq!(run.word(1), "rolled_back");

    // Left out by an earlier deployment: it stays where it was found.
    let mut run =
        Fixture::new(3).with_member(1, |m| (m.left_out, m.rotation, m.healthy) = (true, Rotation::Draining, false)).started();
    let mut survey = run.survey(1, "v0");
    survey.rotation = Rotation::Draining;
    survey.health.result = SampleResult::NotListening;
    run.outcome(1, Outcome::Surveyed { survey });
    run.command(cancel());
    assert_eq!(run.word(1), "failed");
    assert!(!wanted(&run.state).iter().any(|e| e.kind == EffectKind::Admit));
    assert!(super::left_out(&run.state).contains(&id(1)), "a later deployment may still repair it");
}

#[test]
fn one_tried_again_whose_drain_is_never_confirmed_is_listed_as_failed() {
    let mut run = tried_again_in_rotation();
    run.wait(Span::from_secs(10));
    assert_eq!((run.word(1), run.state.pause.as_ref().map(|p| p.cause)), ("failed", Some(Cause::Traffic)));
    run.command(rollback());
    assert_eq!(run.state.instance(&id(1)).unwrap().goal, Goal::Back);
}

#[test]
fn there_is_no_rollback_of_a_rollback() {
    let mut run = Fixture::new(2);
    run.plan.kind = DeploymentKind::Rollback { undoes: DeploymentId::new("shop", 0) };
    let mut run = run.with(|p| p.rollback.on_failure = OnFailure::Continue).started();
    run.bring_to_healthy(1);
    assert!(check(&run.state, &rollback()).unwrap().message.contains("joined"));
    assert!(run.command(rollback()).is_empty());
    let follows = super::consequence(&run.state, &rollback(), run.now).unwrap();
    assert_eq!(follows.will_change, "0 pending, to v2", "the healthy one stays");
    let alone = Command::Rollback { reason: String::new(), only: Some(id(1)) };
    assert!(check(&run.state, &alone).unwrap_err().message.contains("rollout retry web-01"));
}

#[test]
fn whoever_holds_the_budget_can_be_discounted() {
    // At the version already, then dead.
    let mut run = Fixture::new(4).with_member(4, |m| m.at_version = true);
    run = run.with(|p| p.strategy.max_unavailable = Count::Absolute(1)).started();
    run.check(1);
    run.misses(4, 3);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::Capacity));
    run.command(skip(4));
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress);
    // Finished, then taken out by somebody else.
    read(&mut run, 1, Rotation::Maintenance);
    run.check(2);
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::Capacity));
    run.command(skip(1));
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress);
}

#[test]
fn the_end_check_drains_what_it_could_not_read_and_what_is_in_rotation() {
    let end = |run: &mut Fixture, change: &dyn Fn(u32, crate::model::Survey) -> Result<crate::model::Survey, String>| {
        let surveys = (1..=3).map(|n| (id(n), change(n, run.survey(n, "v2")))).collect();
        let effect = run.fleet_act("survey-fleet").unwrap().id;
        run.input(&Input::Outcome { effect, outcome: Outcome::FleetSurveyed { surveys, vip: None, lb: None } });
    };
    let done = || {
        let mut run = tolerant(3);
        for n in 1..=3 {
            run.bring_to_healthy(n);
            run.wait(Span::from_secs(10));
        }
        run
    };
    let mut run = done();
    end(&mut run, &|n, survey| if n == 2 { Err("no route to host".to_owned()) } else { Ok(survey) });
    assert!(run.state.instance(&id(2)).unwrap().is_evicting(), "it may still get requests");
    let mut run = done();
    end(&mut run, &|n, mut survey| {
        if n == 2 {
            survey.rotation = Rotation::Down;
        }
        Ok(survey)
    });
    assert!(run.state.instance(&id(2)).unwrap().is_evicting());
    assert_eq!(ending(&run), None);
    // What is tried again after the reading is read again.
    run.outcome(2, Outcome::TakenOut { sessions: None });
    assert_eq!(run.state.exit_code(), Some(4));
}

#[test]
fn what_is_tried_again_during_the_end_check_is_read_again() {
    let mut run = tolerant(3);
    run.bring_to_gate(1);
    run.misses(1, 3);
    for n in [2, 3] {
        run.wait(Span::from_secs(10));
        run.bring_to_healthy(n);
    }
    run.wait(Span::from_secs(10));
    assert!(run.state.end_check_until.is_some());
    run.command(retry(1));
    assert!(run.state.end_check_until.is_none());
    confirm_drains(&mut run, 1);
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.end_check(|_| "v2");
    assert_eq!(run.state.exit_code(), Some(0));
}

#[test]
fn what_somebody_else_took_out_goes_back_but_not_in() {
    let mut run = tolerant(4);
    run.bring_to_healthy(1);
    read(&mut run, 1, Rotation::Draining);
    run.command(rollback());
    confirm_drains(&mut run, 1);
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    assert_eq!(run.word(1), "failed");
    assert!(!wanted(&run.state).iter().any(|e| e.kind == EffectKind::Admit));
    assert!(super::left_out(&run.state).is_empty(), "it is not ours");
    run.end_check(|_| "v1");
    assert!(run.state.exceptions()[0].reason.contains("somebody else"), "{:?}", run.state.exceptions());
}

#[test]
fn one_whose_return_came_late_is_left_where_it_belongs() {
    let mut run = tolerant(4);
    run.check(1);
    run.command(cancel());
    run.wait(Span::from_secs(60));
    assert_eq!(run.word(1), "failed");
    let events = read(&mut run, 1, Rotation::Serving);
    assert!(matches!(events.as_slice(), [EventKind::RotationChanged { .. }]), "{events:?}");
    let instance = run.state.instance(&id(1)).unwrap();
    assert!(instance.serving && !instance.ours && run.state.out == 0);
}

#[test]
fn a_drain_that_somebody_undoes_again_and_again_is_given_up_and_said() {
    let undone = |run: &mut Fixture, number| {
        for _ in 0..20 {
            if phase(run, number) == Phase::TakingOut {
                run.outcome(number, Outcome::TakenOut { sessions: Some(3) });
            }
            read(run, number, Rotation::Serving);
        }
    };
    let mut run = tolerant(4);
    run.check(1);
    undone(&mut run, 1);
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::Traffic));
    let mut run = tolerant(4);
    run.bring_to_healthy(1);
    run.command(rollback());
    undone(&mut run, 1);
    assert_eq!(run.word(1), "failed", "the rollback goes on without it");
}

#[test]
fn one_who_tries_again_has_time_to_see_what_comes_of_it() {
    let mut run = Fixture::new(6).with(|p| p.rollback.on_failure = OnFailure::Ask).started();
    run.bring_to_gate(1);
    run.misses(1, 3);
    run.wait(Span::from_secs(1790));
    run.command(retry(1));
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.wait(Span::from_secs(60));
    assert_eq!(run.state.status(), Status::Paused);
    run.wait(Span::from_secs(1800));
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn a_reading_from_before_it_was_taken_out_again_says_nothing() {
    let mut run = tolerant(4);
    run.check(1);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    read(&mut run, 1, Rotation::Serving);
    let before = run.now;
    run.now = run.now + Span::from_secs(1);
    let again = wanted(&run.state).into_iter().find(|e| e.kind == EffectKind::TakeOut).unwrap().id;
    run.input(&Input::Outcome { effect: again, outcome: Outcome::TakenOut { sessions: Some(0) } });
    let old = Input::Rotations { at: before, rotations: BTreeMap::from([(id(1), Rotation::Serving)]) };
    assert_eq!(run.input(&old), []);
}

#[test]
fn peers_that_are_dead_for_long_do_not_excuse_a_bad_version() {
    let mut run = Fixture::new(10).with(|p| p.strategy.max_unavailable = Count::Absolute(6)).started();
    run.misses(9, 3);
    run.wait(Span::from_secs(10));
    run.misses(10, 3);
    run.wait(Span::from_secs(10));
    assert!(run.state.pause.is_none(), "{:?}", run.state.pause);
    run.peers_are_well = false;
    run.bring_to_gate(1);
    run.misses(1, 3);
    run.misses(9, 1);
    run.misses(10, 1);
    assert!(run.state.pause.is_none());
    for n in 3..=8 {
        run.passes(n, 1);
    }
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn a_common_cause_that_an_operator_skips_stops_nobody_any_more() {
    let mut run = Fixture::new(12).with(|p| p.strategy.max_unavailable = Count::Absolute(6)).started();
    run.misses(10, 3);
    run.misses(11, 3);
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::CommonCause));
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::Paused, "they still fail");
    run.command(skip(10));
    run.command(skip(11));
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress);
}

#[test]
fn a_look_at_one_that_came_back_meanwhile_takes_nobody_beyond_the_budget() {
    let mut run = Fixture::new(4)
        .with(|p| (p.strategy.max_unavailable, p.strategy.batch_size) = (Count::Absolute(1), vec![Count::Absolute(1)]))
        .started();
    run.bring_to_healthy(1);
    read(&mut run, 2, Rotation::Maintenance);
    run.misses(4, 3);
    run.wait(Span::from_secs(10));
    let survey = run.survey(2, "v1");
    run.outcome(2, Outcome::Surveyed { survey });
    assert_eq!(phase(&run, 2), Phase::Pending);
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::Capacity), "web-04 holds the budget");
}

#[test]
fn nothing_is_decided_by_an_engine_that_has_just_taken_over() {
    let mut run = tolerant(4);
    run.bring_to_healthy(1);
    run.wait(Span::from_secs(9));
    run.observed = super::Observed::default();
    run.now = run.now + Span::from_secs(100);
    let events = run.input(&Input::Recovered(Takeover::default()));
    assert_eq!(events, [EventKind::EngineRecovered { takeover: Takeover::default() }]);
}

#[test]
fn a_failed_one_that_others_need_is_not_taken_out_to_be_tried_again() {
    let mut run = Fixture::new(2)
        .with(|p| (p.rollback.on_failure, p.strategy.batch_size) = (OnFailure::Continue, vec![Count::Absolute(1)]))
        .started();
    run.bring_to_healthy(1);
    run.wait(Span::from_secs(10));
    run.bring_to_gate(2);
    run.misses(1, 3);
    run.wait(Span::from_secs(30));
    let refusal = check(&run.state, &retry(1)).unwrap_err().message;
    assert!(refusal.contains("too few others serve"), "{refusal}");
}

#[test]
fn a_rollback_does_not_take_the_last_two_out_at_once() {
    let mut run = Fixture::new(2)
        .with(|p| (p.rollback.on_failure, p.strategy.batch_size) = (OnFailure::Continue, vec![Count::Absolute(1)]))
        .started();
    run.bring_to_healthy(1);
    run.wait(Span::from_secs(10));
    run.bring_to_healthy(2);
    run.misses(2, 3);
    run.outcome(2, Outcome::TakenOut { sessions: Some(0) });
    run.misses(1, 3);
    assert!(run.state.instance(&id(1)).unwrap().serving, "it is needed");
    run.command(rollback());
    assert_eq!((phase(&run, 2), phase(&run, 1)), (Phase::TakingOut, Phase::Failed));
    confirm_drains(&mut run, 2);
    run.restore(2);
    assert_eq!(run.state.instance(&id(1)).unwrap().goal, Goal::Back);
    confirm_drains(&mut run, 1);
    run.restore(1);
    run.end_check(|_| "v1");
    assert_eq!(run.state.exit_code(), Some(3));
}

/// `drain.on_timeout = "fail"` puts back only what never ran the new version.
#[test]
fn a_drain_that_fails_does_not_readmit_what_had_failed() {
    let mut run = tolerant(4).with(|p| {
        p.drain.on_timeout = OnDrainTimeout::Fail;
        p.rollback.on_failure = OnFailure::Continue;
    });
    run = run.started();
    run.bring_to_healthy(1);
    run.misses(1, 3);
    run.wait(Span::from_secs(30));
    run.command(retry(1));
    run.outcome(1, Outcome::TakenOut { sessions: Some(4) });
    run.wait(Span::from_secs(5));
    assert_eq!(phase(&run, 1), Phase::Updating);
}

/// Found by a simulated world: after a crash a first miss of an instance that was down to begin with, one of the three that
/// prove anything, made it look well.
#[test]
fn after_a_crash_only_a_pass_speaks_against_what_the_journal_knows() {
    let mut run = Fixture::new(3).with(|p| p.strategy.max_unavailable = Count::Absolute(1)).with_member(3, |m| m.healthy = false);
    let is_out = |run: &Fixture| super::budget::out(&run.state, &run.observed).contains(&&id(3));
    assert!(is_out(&run), "as planned");
    run.misses(3, 1);
    assert!(is_out(&run), "one miss is no recovery");
    run.passes(3, 1);
    assert!(!is_out(&run));
}
