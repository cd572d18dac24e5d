//! Tests of what operators steer: hold, skip, retry, approval, answers, the second cancel, one instance's rollback.
//!
//! Imports: core, state, event, command, model. May not: be part of a build that is not a test.

use super::testing::{Fixture, cancel, id, pause, rollback};
use super::{Input, check, check_request, waiting, wanted};
use crate::command::Command;
use crate::effect::{EffectKind, Outcome};
use crate::event::{Cause, Ending, EventKind};
use crate::model::{Confirm, Count, OnFailure, Rotation, SampleResult, Span};
use crate::state::{Phase, Status};

fn retry(number: u32) -> Command {
    Command::Retry { instance: id(number) }
}

fn skip(number: u32) -> Command {
    Command::Skip { instance: id(number), reason: String::new() }
}

fn hold(number: u32) -> Command {
    Command::Hold { instance: id(number), reason: "disk is being replaced".to_owned() }
}

fn release(number: u32) -> Command {
    Command::Release { instance: id(number) }
}

fn alone(number: u32) -> Command {
    Command::Rollback { reason: String::new(), only: Some(id(number)) }
}

fn refused(run: &Fixture, command: &Command) -> String {
    check(&run.state, command).expect_err("it must be refused").message
}

/// The gate is open and the checks fail.
fn fail(run: &mut Fixture, number: u32) {
    run.bring_to_gate(number);
    run.misses(number, 3);
}

fn tolerant(total: u32) -> Fixture {
    Fixture::new(total)
        .with(|p| {
            p.rollback.on_failure = OnFailure::Continue;
            (p.strategy.batch_size, p.strategy.max_unavailable) = (vec![Count::Absolute(1)], Count::Absolute(2));
        })
        .started()
}

fn ending(run: &Fixture) -> Option<Ending> {
    run.state.end.as_ref().map(|end| end.ending)
}

#[test]
fn a_held_instance_is_not_taken_and_waits_for_its_release() {
    let mut run = Fixture::new(3);
    run.command(hold(2));
    run.command(Command::Start);
    assert_eq!(run.word(2), "held");
    run.bring_to_healthy(1);
    run.bring_to_healthy(3);
    run.wait(Span::from_secs(10));
    assert_eq!(ending(&run), None);
    assert!(waiting(&run.state).unwrap().what.contains("only held instances are left (web-02)"), "{:?}", waiting(&run.state));
    run.command(release(2));
    assert_eq!((run.word(2), run.state.batches), ("pending", 2), "it is a batch of its own");
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    run.end_check(|_| "v2");
    assert_eq!(ending(&run), Some(Ending::Completed));
}

#[test]
fn a_hold_that_nobody_ends_leaves_the_instance_as_it_is() {
    let mut run = Fixture::new(2).with(|p| p.strategy.batch_size = vec![Count::Absolute(1)]).started();
    run.command(hold(1));
    assert_eq!(run.word(1), "held", "a look may be given up");
    assert!(refused(&run, &retry(1)).contains("has not failed"));
    run.bring_to_healthy(2);
    assert!(refused(&run, &hold(2)).contains("healthy"));
    run.wait(Span::from_secs(10));
    run.wait(Span::from_secs(1800));
    assert_eq!(run.word(1), "skipped");
    run.end_check(|n| if n == 1 { "v1" } else { "v2" });
    assert_eq!((ending(&run), run.state.exit_code()), (Some(Ending::Completed), Some(0)), "it serves as it did");
    let skipped = run.state.instance(&id(1)).unwrap().skipped.clone().unwrap();
    assert!(skipped.contains("held by ana"), "{skipped}");
}

#[test]
fn a_skipped_instance_that_is_down_no_longer_holds_the_budget() {
    let mut run = Fixture::new(4).with(|p| p.strategy.max_unavailable = Count::Absolute(1)).started();
    run.check(1);
    run.misses(4, 3);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    let pause = run.state.pause.clone().expect("web-04 holds the only place");
    assert_eq!(pause.cause, Cause::Capacity);
    assert!(pause.reason.starts_with("budget held by web-04 (status 503)"), "{}", pause.reason);
    run.command(skip(4));
    run.command(Command::Resume);
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    run.bring_to_healthy(3);
    run.wait(Span::from_secs(10));
    run.end_check(|n| if n == 4 { "v1" } else { "v2" });
    assert_eq!(run.state.exit_code(), Some(4), "it is listed all the same");
    assert_eq!(run.state.exceptions()[0].instance, id(4));
}

#[test]
fn the_floor_is_never_discounted() {
    let mut run = Fixture::new(2).with(|p| p.strategy.batch_size = vec![Count::Absolute(1)]).started();
    run.misses(2, 3);
    run.command(skip(2));
    assert_eq!(run.word(1), "pending");
    let survey = run.survey(1, "v1");
    run.outcome(1, Outcome::Surveyed { survey });
    let reason = run.state.pause.clone().map(|p| p.reason).unwrap_or_default();
    assert!(reason.contains("min_serving is 1"), "{reason}");
}

#[test]
fn a_failed_instance_is_tried_again_and_its_failure_is_forgotten_until_it_fails_again() {
    let mut run = Fixture::new(6).with(|p| p.rollback.on_failure = OnFailure::Pause).started();
    fail(&mut run, 1);
    assert_eq!(run.state.pause.as_ref().unwrap().cause, Cause::Failures);
    run.command(retry(1));
    run.taken_out(1);
    assert_eq!((run.word(1), run.state.failures()), ("updating", 0), "it is out: its update is next");
    run.outcome(1, Outcome::Updated);
    run.misses(1, 3);
    assert_eq!(run.state.failures(), 1);
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::Paused, "it failed again: that is news");
    run.command(retry(1));
    run.taken_out(1);
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.command(Command::Resume);
    assert_eq!((run.word(1), run.state.failures(), run.state.status()), ("healthy", 0, Status::InProgress));
}

#[test]
fn one_skipped_for_its_health_is_looked_at_again() {
    let mut run = Fixture::new(3).with(|p| p.strategy.batch_size = vec![Count::Absolute(1)]).started();
    let mut survey = run.survey(1, "v1");
    survey.health.result = SampleResult::NotListening;
    run.outcome(1, Outcome::Surveyed { survey });
    assert_eq!(run.word(1), "skipped");
    run.command(retry(1));
    assert_eq!(run.word(1), "pending");
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    run.bring_to_healthy(1);
    assert_eq!(run.word(1), "healthy");
}

#[test]
fn a_failed_instance_still_in_rotation_is_drained_before_it_is_tried_again() {
    let mut run = tolerant(4);
    run.bring_to_healthy(1);
    run.misses(1, 3);
    assert!(refused(&run, &retry(1)).contains("wait for its verdict"), "it is being taken out");
    run.wait(Span::from_secs(30));
    assert!(run.state.instance(&id(1)).unwrap().serving, "it could not be taken out");
    let events = run.command(retry(1));
    assert!(matches!(events.as_slice(), [EventKind::InstanceRetried { .. }, EventKind::DrainStarted { .. }]), "{events:?}");
}

/// Found by a simulated world: a retry whose drain was not confirmed put the failed instance back in rotation.
#[test]
fn one_that_was_to_be_tried_again_is_never_put_back_unproven() {
    for command in [None, Some(cancel()), Some(rollback())] {
        let mut run = tolerant(4);
        fail(&mut run, 1);
        run.command(retry(1));
        match command {
            Some(command) => drop(run.command(command)),
            None => drop(run.wait(Span::from_secs(10))),
        }
        let returning = |phase: &Phase| matches!(phase, Phase::Returning { .. });
        assert!(!returning(&run.state.instance(&id(1)).unwrap().phase), "{}", run.word(1));
        assert!(!run.events.iter().any(|e| matches!(e.kind, EventKind::ReturnStarted { .. })));
    }
}

#[test]
fn a_failed_instance_goes_back_alone() {
    let mut run = tolerant(3);
    fail(&mut run, 1);
    assert!(refused(&run, &alone(2)).contains("only a failed instance"));
    run.command(alone(1));
    run.restore(1);
    assert_eq!((run.word(1), run.state.status()), ("rolled_back", Status::InProgress));
    for n in [2, 3] {
        run.wait(Span::from_secs(10));
        run.bring_to_healthy(n);
    }
    run.wait(Span::from_secs(10));
    run.end_check(|n| if n == 1 { "v1" } else { "v2" });
    assert_eq!((ending(&run), run.state.exit_code()), (Some(Ending::Completed), Some(4)), "mixed versions are listed");
}

#[test]
fn a_failure_that_an_operator_has_seen_to_is_not_acted_on_at_resume() {
    for answer in [alone(1), skip(1)] {
        let mut run = Fixture::new(6).with(|p| p.rollback.on_failure = OnFailure::Pause).started();
        fail(&mut run, 1);
        run.command(retry(1));
        run.taken_out(1);
        run.outcome(1, Outcome::Updated);
        run.misses(1, 3);
        run.command(answer);
        run.command(Command::Resume);
        assert_eq!(run.state.status(), Status::InProgress);
    }
}

#[test]
fn a_second_cancel_stops_the_commands_and_lists_what_they_leave() {
    let mut run = Fixture::new(4).started();
    run.check(1);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.bring_to_gate(2);
    run.command(cancel());
    assert_eq!(run.word(1), "updating", "the first waits for it");
    let events = run.command(cancel());
    assert!(matches!(events.first(), Some(EventKind::CommandsStopped { .. })), "{events:?}");
    assert_eq!((run.word(1), run.word(2)), ("failed", "health_checking"));
    assert!(!wanted(&run.state).iter().any(|e| matches!(e.kind, EffectKind::Update { .. })), "no command runs any more");
    assert!(run.command(cancel()).is_empty(), "a third changes nothing");
    run.misses(2, 3);
    assert_eq!(run.word(2), "failed", "nothing new runs to bring it back");
    run.end_check(|_| "v1");
    assert_eq!((ending(&run), run.state.exit_code()), (Some(Ending::Cancelled), Some(4)));
    assert_eq!(run.state.exceptions().len(), 2);
}

/// Where nothing runs, a second cancel has nothing to stop, and what failed still goes back.
#[test]
fn a_second_cancel_without_a_command_to_stop_is_the_first() {
    let mut run = Fixture::new(4).started();
    run.bring_to_gate(1);
    run.command(cancel());
    assert!(run.command(cancel()).is_empty());
    run.misses(1, 3);
    assert_eq!(run.word(1), "rolling_back");
}

/// Two operators cancel at the same time: that is one cancel, not the order to stop the commands.
#[test]
fn a_cancel_decided_before_the_first_was_seen_is_the_same_cancel() {
    let mut run = Fixture::new(4).started();
    run.check(1);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    let seen = run.state.seq;
    run.command(cancel());
    let actor = crate::event::Actor::operator("bob", 1001);
    let late = |revision| crate::command::Request { key: "b".to_owned(), actor: actor.clone(), revision, command: cancel() };
    assert!(run.input(&Input::Command(late(Some(seen)))).is_empty());
    let now = run.state.seq;
    assert!(!run.input(&Input::Command(late(Some(now)))).is_empty(), "one who has seen the first means the second");
}

/// Two consoles: one sees a paused deployment, the other has resumed it and paused it for another reason since.
#[test]
fn what_was_decided_on_an_older_turn_is_refused_and_what_stops_is_not() {
    let mut run = Fixture::new(4).started();
    run.bring_to_gate(1);
    run.command(pause());
    let seen = run.state.seq;
    let actor = crate::event::Actor::operator("bob", 1001);
    let order = |revision, command| crate::command::Request { key: "b".to_owned(), actor: actor.clone(), revision, command };
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    let resume = order(Some(seen), Command::Resume);
    assert!(check_request(&run.state, &resume).is_ok(), "that an instance went on is no other turn");
    run.command(Command::Resume);
    run.command(pause());
    let refusal = check_request(&run.state, &resume).unwrap_err().message;
    assert!(refusal.starts_with("shop-1 has moved on since you looked: ") && refusal.contains("(ana)"), "{refusal}");
    assert!(run.input(&Input::Command(resume)).is_empty() && run.state.pause.is_some());
    for command in [cancel(), pause(), Command::Hold { instance: id(4), reason: String::new() }] {
        assert!(check_request(&run.state, &order(Some(seen), command.clone())).is_ok(), "{command:?}");
    }
    let now = run.state.seq;
    assert!(!run.input(&Input::Command(order(Some(now), Command::Resume))).is_empty());
}

#[test]
fn each_batch_waits_for_its_approval_and_nobody_waits_for_ever() {
    let confirmed = || {
        let mut run = Fixture::new(4).with(|p| p.strategy.confirm = Confirm::Batch).started();
        run.bring_to_healthy(1);
        run.bring_to_healthy(2);
        run.wait(Span::from_secs(10));
        run
    };
    let mut run = confirmed();
    assert_eq!(run.state.headline(), "2/4 updated, 0 failed, batch 1 done, waits for approval");
    assert!(refused(&run, &Command::Resume).contains("rollout promote"));
    run.command(pause());
    assert!(check(&run.state, &Command::Promote { full: false }).unwrap().message.contains("when the deployment is resumed"));
    run.wait(Span::from_secs(3600));
    run.command(Command::Resume);
    assert_eq!((run.state.batches, run.state.cancel.is_none()), (1, true), "the clock stood still, and the question stands");
    run.command(Command::Promote { full: false });
    assert_eq!(run.state.batches, 2);

    let mut run = confirmed();
    run.wait(Span::from_secs(1800));
    assert!(run.state.cancel.as_ref().unwrap().reason.contains("nobody approved"), "{:?}", run.state.cancel);
}

#[test]
fn promote_full_asks_no_more() {
    let mut run = Fixture::new(3)
        .with(|p| (p.strategy.confirm, p.strategy.batch_size) = (Confirm::Batch, vec![Count::Absolute(1)]))
        .started();
    run.bring_to_healthy(1);
    run.wait(Span::from_secs(10));
    run.command(Command::Promote { full: true });
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    assert_eq!(run.state.batches, 3);
}

#[test]
fn ask_pauses_and_rolls_back_if_nobody_answers() {
    let asked = || {
        let mut run = Fixture::new(6).with(|p| p.rollback.on_failure = OnFailure::Ask).started();
        fail(&mut run, 1);
        assert_eq!(run.state.status(), Status::Paused);
        run
    };
    let mut run = asked();
    run.wait(Span::from_secs(1800));
    assert_eq!(run.state.status(), Status::RollingBack);
    assert!(run.state.rollback.as_ref().unwrap().reason.contains("nobody answered"));
    let mut run = asked();
    run.command(Command::Resume);
    run.wait(Span::from_secs(1));
    assert_eq!(run.state.status(), Status::InProgress, "going on accepts the failure");
    let mut run = asked();
    run.command(rollback());
    assert_eq!(run.state.status(), Status::RollingBack);
}

#[test]
fn one_that_could_not_go_back_is_tried_again() {
    let mut run = Fixture::new(3).started();
    fail(&mut run, 1);
    run.taken_out(1);
    run.outcome(1, Outcome::UpdateFailed { reason: "exit code 1".to_owned() });
    assert_eq!(run.word(1), "failed");
    // The second is on its way; the failed one goes back once more meanwhile.
    run.command(retry(1));
    assert_eq!(run.state.instance(&id(1)).unwrap().phase, Phase::TakingOut);
    run.restore(1);
    assert_eq!(run.word(1), "rolled_back");
}

#[test]
fn commands_on_an_unknown_instance_are_refused_by_name() {
    let run = Fixture::new(2).started();
    for command in [retry(9), skip(9), hold(9), release(9), alone(9)] {
        assert_eq!(refused(&run, &command), "there is no instance web-09 in shop-1");
    }
}

#[test]
fn what_is_under_way_is_neither_skipped_held_nor_retried() {
    let mut run = Fixture::new(4).started();
    run.check(1);
    for command in [skip(1), hold(1), retry(1)] {
        assert!(refused(&run, &command).starts_with("web-01 is draining: wait for its verdict"), "{}", refused(&run, &command));
    }
}

#[test]
fn a_drain_lost_while_paused_is_restored_all_the_same() {
    let mut run = Fixture::new(4).started();
    fail(&mut run, 1);
    let rotations = std::collections::BTreeMap::from([(id(1), Rotation::Serving)]);
    run.now = run.now + Span::from_secs(1);
    run.input(&Input::Rotations { at: run.now, rotations });
    assert!(wanted(&run.state).iter().any(|e| e.kind == EffectKind::TakeOut && e.instance == Some(id(1))));
}

#[test]
fn a_question_for_want_of_progress_is_not_waited_for_without_end() {
    let mut run = Fixture::new(6)
        .with(|p| (p.rollback.on_failure, p.strategy.progress_timeout) = (OnFailure::Ask, Span::from_secs(30)))
        .started();
    run.check(1);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.wait(Span::from_secs(30));
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::NoProgress));
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.wait(Span::from_secs(1800));
    assert_eq!(run.state.status(), Status::RollingBack, "nobody answered");
}
