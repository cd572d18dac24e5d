//! Commands, failures and crashes at moments that nobody plans for: nothing gets stuck, lost or unlisted.
//!
//! Imports: core. May not: be part of a build that is not a test.

use crate::command::Command;
use crate::core::testing::{Fixture, cancel, id, pause, rollback};
use crate::core::{Input, waiting, wanted};
use crate::effect::{EffectKind, Outcome};
use crate::event::{Ending, EventKind, Takeover};
use crate::model::{Before, Count, OnDrainTimeout, OnFailure, Rotation, Sample, SampleResult, Span, Version};
use crate::state::{Status, Summary};

fn acts(run: &Fixture, number: u32) -> Vec<EffectKind> {
    let of_one = wanted(&run.state).into_iter().filter(|e| e.instance == Some(id(number)));
    of_one.map(|e| e.kind).filter(|kind| kind.word() != "watch").collect()
}

/// A balancer that never confirms a drain must not hold the whole rollback: the instance is listed, the rest goes on.
#[test]
fn a_drain_that_is_never_confirmed_does_not_hold_a_rollback() {
    let mut run = Fixture::new(6).with(|p| p.rollback.max_unavailable = Count::Absolute(1)).started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.command(rollback());
    assert_eq!(acts(&run, 2), [EffectKind::TakeOut]);
    run.wait(Span::from_secs(10));
    assert_eq!(run.word(2), "failed");
    run.wait(Span::from_secs(30));
    assert_eq!(acts(&run, 2), [], "given up");
    assert_eq!(acts(&run, 1), [EffectKind::TakeOut], "the other goes back");
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.restore(1);
    run.end_check(|n| if n == 2 { "v2" } else { "v1" });
    assert_eq!(run.state.exit_code(), Some(4));
    let listed = run.state.exceptions();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].reason.contains("could not be taken out"), "{}", listed[0].reason);
}

/// The same on the way forward: a tolerated late failure that cannot be taken out does not hold its batch for ever.
#[test]
fn a_late_failure_that_cannot_be_taken_out_does_not_hold_its_batch() {
    let mut run =
        Fixture::new(6).with(|p| (p.rollback.threshold_percent, p.strategy.progress_timeout) = (100, Span::ZERO)).started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.misses(1, 3);
    assert_eq!(acts(&run, 1), [EffectKind::TakeOut]);
    run.wait(Span::from_secs(30));
    run.passes(2, 1);
    run.wait(Span::from_secs(10));
    assert_eq!(run.state.batches, 2, "{:?}", waiting(&run.state));
}

/// One whose earlier version nobody knows cannot go back: it is listed, and does not keep the others from going back.
#[test]
fn an_unknown_earlier_version_does_not_hold_a_rollback() {
    let mut run = Fixture::new(6)
        .with(|p| p.health.before = Before::First)
        .with_member(1, |m| (m.previous, m.healthy) = (None, false))
        .started();
    run.bring_to_healthy(2);
    run.bring_to_gate(1);
    run.misses(1, 3);
    assert_eq!(run.state.status(), Status::RollingBack);
    run.outcome(2, Outcome::TakenOut { sessions: Some(0) });
    run.restore(2);
    run.end_check(|_| "v1");
    assert_eq!((run.word(1), run.word(2), run.state.exit_code()), ("failed", "rolled_back", Some(4)));
}

/// A healthy one of unknown earlier version stays as it is and is listed: the fleet is mixed, and a person must know.
#[test]
fn a_healthy_one_of_unknown_earlier_version_is_listed_after_a_rollback() {
    let mut run = Fixture::new(6)
        .with(|p| p.health.before = Before::First)
        .with_member(1, |m| (m.previous, m.healthy) = (None, false))
        .started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.command(rollback());
    run.outcome(2, Outcome::TakenOut { sessions: Some(0) });
    run.restore(2);
    run.end_check(|n| if n == 1 { "v2" } else { "v1" });
    assert_eq!(run.state.end.as_ref().map(|e| e.ending), Some(Ending::RolledBack));
    assert_eq!(run.state.exit_code(), Some(4));
    assert_eq!(run.state.exceptions()[0].instance, id(1));
}

/// The engine's own pause for another trouble must not swallow a threshold that was crossed under an operator's pause.
#[test]
fn a_second_trouble_under_a_pause_does_not_swallow_the_threshold() {
    let mut run = Fixture::new(6).started();
    run.bring_to_gate(1);
    run.check(2);
    run.command(pause());
    run.misses(1, 3);
    run.wait(Span::from_secs(10));
    assert!(run.state.pause.as_ref().is_some_and(|p| p.by.name() == "ana"), "the operator's pause stays the operator's");
    run.outcome(2, Outcome::Admitted);
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::RollingBack);
}

/// After a cancel no clock may start a rollback.
#[test]
fn no_progress_is_expected_of_a_cancelled_deployment() {
    let mut run = Fixture::new(6).with(|p| p.strategy.progress_timeout = Span::from_secs(30)).started();
    run.bring_to_healthy(1);
    run.check(2);
    run.outcome(2, Outcome::TakenOut { sessions: Some(0) });
    run.command(cancel());
    run.wait(Span::from_secs(40));
    assert_eq!(run.state.rollback, None);
}

/// A bake is progress: one that is longer than `progress_timeout` is no reason to roll back.
#[test]
fn a_long_bake_is_not_a_lack_of_progress() {
    let mut run = Fixture::new(6)
        .with(|p| (p.strategy.progress_timeout, p.strategy.batch_pause) = (Span::from_secs(60), Span::from_secs(300)))
        .started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(100));
    assert_eq!(run.state.status(), Status::InProgress);
    run.wait(Span::from_secs(200));
    assert_eq!(run.state.batches, 2);
}

/// The deadline of the health gate is not that of the balancer: a slow start leaves the balancer its time.
#[test]
fn proven_in_the_last_second_still_has_time_to_be_admitted() {
    let mut run = Fixture::new(6).started();
    run.bring_to_gate(1);
    run.now = run.now + Span::from_secs(59);
    run.passes(1, 2);
    run.wait(Span::from_secs(5));
    assert_eq!(run.word(1), "health_checking");
    run.outcome(1, Outcome::Admitted);
    assert_eq!(run.word(1), "healthy");
}

/// What was never updated and could not be put back at once is no reason to take it out for good.
#[test]
fn an_untouched_instance_is_never_taken_out_because_its_return_failed() {
    let mut run = Fixture::new(6).started();
    run.check(1);
    run.wait(Span::from_secs(10));
    assert_eq!(acts(&run, 1), [EffectKind::Admit]);
    run.wait(Span::from_secs(60));
    assert_eq!((run.word(1), acts(&run, 1)), ("failed", vec![]));
    assert_eq!(run.state.exceptions().len(), 1);
}

/// One that somebody else took out holds the budget, however well its process answers.
#[test]
fn what_others_took_out_holds_the_budget() {
    let mut run = Fixture::new(6).with(|p| p.strategy.batch_size = vec![Count::Absolute(3)]).started();
    let mut survey = run.survey(1, "v1");
    survey.rotation = Rotation::Maintenance;
    run.passes(1, 1);
    run.outcome(1, Outcome::Surveyed { survey });
    assert_eq!(run.word(1), "skipped");
    run.check(2);
    assert_eq!(acts(&run, 3), [], "one is out by somebody, one by us: two may be");
}

/// Found at the wanted version at the last look: nothing to do, and nothing that a person must look at.
#[test]
fn found_at_the_wanted_version_is_no_exception() {
    let mut run = Fixture::new(2).with(|p| p.strategy.batch_size = vec![Count::Absolute(1)]).started();
    let survey = run.survey(1, "v2");
    run.outcome(1, Outcome::Surveyed { survey });
    assert_eq!(run.word(1), "skipped");
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    run.end_check(|_| "v2");
    assert_eq!((run.state.exceptions(), run.state.exit_code()), (vec![], Some(0)));
}

/// The budget is looked at again when the drain is ordered: others may have died during the last look.
#[test]
fn a_death_during_the_last_look_holds_the_drain() {
    let mut run = Fixture::new(6).started();
    assert_eq!((acts(&run, 1), acts(&run, 2)), (vec![EffectKind::Survey], vec![EffectKind::Survey]));
    run.misses(6, 3);
    run.check(1);
    run.check(2);
    assert_eq!(run.state.out, 1, "web-06 is down: one more may be out");
    run.outcome(if acts(&run, 1) == [EffectKind::TakeOut] { 1 } else { 2 }, Outcome::TakenOut { sessions: Some(0) });
    assert!(run.state.end.is_none() && run.state.pause.is_none(), "it waits for the one under way");
}

/// In a rollback that is paused everything under way comes to rest, also what was settling.
#[test]
fn a_paused_rollback_comes_to_rest() {
    let mut run = Fixture::new(6).with(|p| p.strategy.min_healthy_time = Span::from_secs(30)).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.passes(1, 1);
    run.command(pause());
    run.command(rollback());
    run.command(pause());
    for _ in 0..60 {
        for n in 1..=2 {
            if !acts(&run, n).is_empty() {
                let outcome = match acts(&run, n)[0] {
                    EffectKind::TakeOut => Outcome::TakenOut { sessions: Some(0) },
                    EffectKind::Update { .. } => Outcome::Updated,
                    _ => Outcome::Admitted,
                };
                run.outcome(n, outcome);
            }
            run.passes(n, 1);
        }
        run.wait(Span::from_secs(2));
    }
    assert!(run.state.active.is_empty(), "{:?}", waiting(&run.state));
    assert_eq!(run.state.status(), Status::Paused);
}

/// One that did not serve when the deployment was planned and was never reached is left as it is, whatever it does now.
#[test]
fn the_end_check_asks_nothing_of_an_untouched_instance_that_was_not_serving() {
    let mut run =
        Fixture::new(6).with_member(6, |m| (m.previous, m.healthy, m.rotation) = (None, false, Rotation::Missing)).started();
    run.bring_to_healthy(1);
    run.command(cancel());
    run.end_check(|n| if n == 1 { "v2" } else { "v1" });
    assert_eq!((run.word(6), acts(&run, 6)), ("pending", vec![]));
    assert_eq!(run.state.end.as_ref().map(|e| e.ending), Some(Ending::Cancelled));
}

/// A rollback that the floor holds is not a trap: paused, it can be ended where it is, with the list of who stayed.
#[test]
fn a_held_rollback_can_be_ended_where_it_is() {
    let mut run = Fixture::new(2).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    run.taken_out(2);
    run.outcome(2, Outcome::UpdateFailed { reason: "disk full".to_owned() });
    assert_eq!(run.state.status(), Status::Paused, "web-01 alone serves: min_serving holds it");
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::Paused, "still");
    assert!(!run.command(cancel()).is_empty());
    run.end_check(|_| "v2");
    assert_eq!(run.state.end.as_ref().map(|e| e.ending), Some(Ending::Failed));
    assert_eq!(run.state.exit_code(), Some(4));
    let listed: Vec<_> = run.state.exceptions().into_iter().map(|e| e.instance).collect();
    assert_eq!(listed, [id(1), id(2)], "the one that stayed on v2 and the one that is out");
}

/// Cancelled first, rolled back then: the rollback is whole.
#[test]
fn a_rollback_after_a_cancel_takes_everybody_back() {
    let mut run = Fixture::new(6).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.command(cancel());
    run.command(rollback());
    run.restore(2);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.restore(1);
    run.end_check(|_| "v1");
    assert_eq!(run.state.exit_code(), Some(3));
}

/// "Rolled back" is said only of a fleet of which something was.
#[test]
fn a_rollback_that_restored_nothing_has_failed() {
    let mut run = Fixture::new(4).started();
    for n in [1, 2] {
        run.bring_to_gate(n);
    }
    run.misses(1, 3);
    for n in [1, 2] {
        run.taken_out(n);
        run.outcome(n, Outcome::UpdateFailed { reason: "disk full".to_owned() });
    }
    run.end_check(|_| "v1");
    let end = run.state.end.clone().unwrap();
    assert_eq!(end.ending, Ending::Failed, "{}", end.reason);
    assert!(!end.reason.contains("nothing had been updated"), "{}", end.reason);
}

/// A batch in which nobody was touched needs no time under watch.
#[test]
fn a_batch_of_skipped_instances_is_not_baked() {
    let mut run = Fixture::new(6).started();
    for n in [1, 2] {
        let mut survey = run.survey(n, "v1");
        survey.health.result = SampleResult::Pass { status: Some(200) };
        survey.version = Some(Version::new("v2").unwrap());
        run.outcome(n, Outcome::Surveyed { survey });
    }
    assert_eq!(run.state.batches, 2);
}

/// `rollback_ms` of a rollback for lack of progress does not count from a failure that was tolerated long ago.
#[test]
fn a_rollback_for_lack_of_progress_counts_from_its_own_beginning() {
    let mut run = Fixture::new(6)
        .with(|p| (p.rollback.threshold_percent, p.strategy.progress_timeout) = (60, Span::from_secs(8)))
        .started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    run.passes(1, 1);
    run.wait(Span::from_secs(10));
    assert_eq!(run.state.batches, 2);
    run.wait(Span::from_secs(8));
    let rollback = run.state.rollback.clone().unwrap();
    assert_eq!((rollback.since, rollback.detect), (run.now, None));
}

/// A crash anywhere in the end check: taken over, it comes to its end.
#[test]
fn an_end_check_outlives_a_pause_and_a_crash() {
    let mut run = Fixture::new(2).with(|p| p.strategy.batch_size = vec![Count::Absolute(1)]).started();
    for n in [1, 2] {
        run.bring_to_healthy(n);
        run.wait(Span::from_secs(10));
        run.passes(n, 1);
    }
    assert!(run.state.end_check_until.is_some());
    run.command(pause());
    run.wait(Span::from_secs(600));
    run.input(&Input::Recovered(Takeover::default()));
    run.command(Command::Resume);
    assert!(run.state.end.is_none(), "the time of a pause does not count: {:?}", run.state.end);
    run.end_check(|_| "v2");
    assert_eq!(run.state.exit_code(), Some(0));
}

/// At every ending the numbers of the summary add up.
#[test]
fn the_sum_adds_up_at_every_ending() {
    for (policy, script) in [(OnFailure::Rollback, 0), (OnFailure::Continue, 1), (OnFailure::Pause, 2)] {
        let mut run =
            Fixture::new(5).with(|p| (p.rollback.on_failure, p.drain.on_timeout) = (policy, OnDrainTimeout::Fail)).started();
        run.check(1);
        run.outcome(1, Outcome::TakenOut { sessions: Some(4) });
        run.wait(Span::from_secs(5));
        run.outcome(1, Outcome::Admitted);
        if script > 0 {
            run.command(cancel());
        }
        for _ in 0..4 {
            run.wait(Span::from_secs(60));
        }
        if run.state.end_check_until.is_some() && run.state.end.is_none() {
            run.end_check(|_| "v1");
        }
        assert!(run.state.end.is_some(), "{policy:?}: {:?}", waiting(&run.state));
        let s = Summary::of(&run.state, (None, None));
        assert_eq!(s.total, s.updated + s.failed + s.rolled_back + s.skipped + s.untouched, "{s:?}");
    }
}

/// While the journal takes nothing, what is seen waits in line: a pass of half a minute ago may have misses behind it.
#[test]
fn a_pass_that_waited_behind_a_full_disk_does_not_open_the_gate() {
    let mut run = Fixture::new(3).started();
    run.bring_to_gate(1);
    let pass = |at| Sample { at, latency: Span::from_millis(3), result: SampleResult::Pass { status: Some(200) }, version: None };
    let (seen_at, health) = (run.now, run.state.plan.policy.health.clone());
    run.now = run.now + health.interval + Span::from_millis(4);
    for _ in 0..health.rise {
        let events = run.input(&Input::Sample { instance: id(1), sample: pass(seen_at) });
        assert_eq!(events, [], "of a world that has gone on since");
    }
    run.passes(1, health.rise - 1);
    let events = run.input(&Input::Sample { instance: id(1), sample: pass(run.now) });
    assert!(matches!(events.first(), Some(EventKind::HealthPassed { .. })), "{events:?}");
}

/// A disk that was full for longer than a deadline must not fail an instance that nobody could look after meanwhile.
#[test]
fn what_could_not_be_done_while_nothing_could_be_stored_is_not_late() {
    let mut run = Fixture::new(3).started();
    run.bring_to_gate(1);
    run.now = run.now + run.state.plan.policy.health.deadline.times(10);
    assert_eq!(run.input(&Input::Mended), [EventKind::JournalMended]);
    assert_eq!(run.word(1), "health_checking", "its time runs anew");
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    assert_eq!(run.word(1), "healthy");
}

/// Whoever pauses while a question runs out wants nothing to happen by itself.
#[test]
fn a_pause_while_the_engine_waits_for_an_answer_stops_its_clock() {
    let mut run = Fixture::new(4).with(|p| p.rollback.on_failure = OnFailure::Ask).started();
    run.bring_to_gate(1);
    run.misses(1, 3);
    for _ in 0..3 {
        run.wait(Span::from_secs(30));
    }
    assert!(run.state.approval_until.is_some(), "{:?}", waiting(&run.state));
    let events = run.command(pause());
    assert!(matches!(events.as_slice(), [EventKind::DeploymentPaused { until: None, .. }]), "{events:?}");
    for _ in 0..100 {
        run.wait(Span::from_secs(60));
    }
    assert!(run.state.rollback.is_none() && run.state.end.is_none(), "{:?}", waiting(&run.state));
}

/// An update that claims success and did nothing, where nobody asks for the version: the list says what really runs.
#[test]
fn the_end_check_puts_right_what_is_listed_of_a_failed_instance() {
    let mut run =
        Fixture::new(3).with(|p| (p.rollback.on_failure, p.rollback.threshold_percent) = (OnFailure::Continue, 100)).started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.misses(1, 3);
    assert_eq!(run.word(1), "failed");
    run.wait(Span::from_secs(60));
    run.bring_to_healthy(3);
    run.wait(Span::from_secs(60));
    let listed = |run: &Fixture| run.state.exceptions().into_iter().find(|e| e.instance == id(1)).and_then(|e| e.version);
    assert_eq!(listed(&run), Version::new("v2").ok(), "by its record");
    assert!(run.state.end_check_until.is_some(), "{:?}", waiting(&run.state));
    run.end_check(|n| if n == 1 { "v1" } else { "v2" });
    assert!(run.state.end.is_some());
    assert_eq!(listed(&run), Version::new("v1").ok(), "by what was read");
}

/// SIGSTOP, a virtual machine on hold: nobody could look, so nothing ran out, and nothing that is well goes back for it.
#[test]
fn what_the_engine_slept_through_counts_for_no_deadline() {
    let mut run = Fixture::new(3).started();
    run.bring_to_gate(1);
    let until = |run: &Fixture| run.state.instance(&id(1)).unwrap().until.unwrap();
    let before = until(&run);
    let asleep = Span::from_secs(3600);
    run.now = run.now + asleep;
    assert_eq!(run.input(&Input::Woke { asleep }), [EventKind::EngineWoke { asleep }]);
    assert_eq!((run.word(1), until(&run)), ("health_checking", before + asleep));
    let mut killed = run.clone();
    killed.now = killed.now + Span::from_secs(5);
    killed.input(&Input::Recovered(Takeover::default()));
    let gate = run.plan.policy.health.deadline;
    assert_eq!(until(&killed), killed.now + gate, "a takeover gives the gate's own time, not the sleep's again");
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    assert_eq!(run.word(1), "healthy");

    let mut run = Fixture::new(1).with(|p| p.strategy.min_serving = Count::Absolute(0)).started();
    run.bring_to_healthy(1);
    run.wait(Span::from_secs(10));
    assert!(run.state.end_check_until.is_some(), "{:?}", waiting(&run.state));
    run.now = run.now + asleep;
    run.input(&Input::Woke { asleep });
    assert!(run.state.end.is_none(), "the end check still has its time");
    run.end_check(|_| "v2");
    assert_eq!(run.state.status(), Status::Completed);
}
