//! A canary's steps at every moment: in their order, by count and by weight, promoted, paused, cancelled, rolled back.
//!
//! Imports: core, state, event, command, model. May not: be part of a build that is not a test.

use super::testing::{Fixture, cancel, id, pause, percent, rollback, weighted};
use super::{Input, ahead, batches, check, consequence, forecast, wanted};
use crate::command::Command;
use crate::effect::{EffectKind, Outcome};
use crate::event::{Cause, Ending, EventKind, Takeover};
use crate::model::{Canary, CanaryStep, Count, OnFailure, Policy, Rotation, Span};
use crate::state::{Awaits, Status};

const PAUSE: CanaryStep = CanaryStep::Pause { lasts: None };

fn timed(seconds: u64) -> CanaryStep {
    CanaryStep::Pause { lasts: Some(Span::from_secs(seconds)) }
}

fn by_count(steps: Vec<CanaryStep>) -> Option<Canary> {
    Some(Canary { steps, weighted: false })
}

fn canary(total: u32, canary: Option<Canary>) -> Fixture {
    Fixture::new(total).with(|p| p.canary = canary).started()
}

fn step(run: &Fixture) -> Option<u32> {
    run.state.step.as_ref().map(|step| step.number)
}

fn promote(full: bool) -> Command {
    Command::Promote { full }
}

/// The batch at work: who is in it, by number.
fn batch(run: &Fixture) -> Vec<String> {
    run.state.batch.as_ref().map(|b| b.members.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// The weights that are wanted or confirmed, of those that differ.
fn weight(run: &Fixture, number: u32) -> u16 {
    let ordered = run.state.weighing.as_ref().map_or(&run.state.weights, |weighing| &weighing.weights);
    ordered.get(&id(number)).copied().unwrap_or(100)
}

fn bake(run: &mut Fixture) {
    run.wait(Span::from_secs(10));
}

#[test]
fn steps_go_in_their_order_by_count_and_then_the_rest() {
    let steps = vec![percent(10), timed(60), CanaryStep::Instances { count: Count::Absolute(3) }];
    let mut run = canary(6, by_count(steps));
    assert_eq!((step(&run), batch(&run)), (Some(1), vec!["web-01".to_owned()]));
    run.bring_to_carry(1);
    bake(&mut run);
    assert_eq!(step(&run), Some(2), "by count there is no weight to wait for");
    assert!(run.waits_for().contains("step 2 is a pause"));
    run.wait(Span::from_secs(59));
    assert_eq!(step(&run), Some(2));
    run.wait(Span::from_secs(1));
    assert_eq!((step(&run), batch(&run)), (Some(3), vec!["web-02".to_owned(), "web-03".to_owned()]));
    run.bring_to_carry(2);
    run.bring_to_carry(3);
    bake(&mut run);
    assert_eq!((step(&run), run.state.steps_done), (None, 3));
    assert_eq!(batch(&run), ["web-04", "web-05"], "the rest, by the rolling rules");
    for n in [4, 5] {
        run.bring_to_carry(n);
    }
    bake(&mut run);
    run.bring_to_carry(6);
    bake(&mut run);
    run.end_check(|_| "v2");
    assert_eq!(run.state.exit_code(), Some(0));
}

#[test]
fn a_step_larger_than_a_batch_goes_batch_by_batch_and_no_batch_takes_more_than_the_step_needs() {
    let mut run = canary(10, by_count(vec![percent(10), percent(40)]));
    run.bring_to_carry(1);
    bake(&mut run);
    assert_eq!(batch(&run), ["web-02", "web-03"]);
    run.bring_to_carry(2);
    run.bring_to_carry(3);
    bake(&mut run);
    assert_eq!((step(&run), batch(&run)), (Some(2), vec!["web-04".to_owned()]));
}

#[test]
fn an_instance_is_put_in_rotation_with_its_weight_and_not_before() {
    let mut run = canary(10, weighted(vec![percent(2), percent(10), PAUSE]));
    run.bring_to_gate(1);
    assert_eq!(weight(&run, 1), 18, "of nine others so much is two percent");
    run.passes(1, 2);
    assert_eq!(run.act(1), None, "proven, and not admitted");
    assert_eq!(run.waits_for(), "the balancers have yet to confirm the weight of web-01");
    run.weigh();
    run.outcome(1, Outcome::Admitted);
    bake(&mut run);
    assert_eq!((step(&run), weight(&run, 1)), (Some(2), 100), "one of ten is ten percent");
    assert!(run.waits_for().contains("yet to confirm the weights"));
    run.weigh();
    assert_eq!(step(&run), Some(3));
}

#[test]
fn the_rest_begins_with_whole_weights() {
    let mut run = canary(10, weighted(vec![percent(2)]));
    run.bring_to_carry(1);
    bake(&mut run);
    assert_eq!((run.state.steps_done, weight(&run, 1)), (1, 100));
    run.weigh();
    assert!(run.state.weights.is_empty());
    assert_eq!(batch(&run), ["web-02", "web-03"]);
}

/// An order that was given and not confirmed may have had its effect: the one before it is given anew.
#[test]
fn what_was_ordered_and_not_confirmed_is_not_taken_for_undone() {
    let mut run = canary(10, weighted(vec![percent(2)]));
    run.bring_to_gate(1);
    let old = run.fleet_act("weigh").unwrap();
    run.command(cancel());
    let new = run.fleet_act("weigh").expect("whole weights are ordered, although none were ever confirmed");
    assert_eq!(new.kind, EffectKind::Weigh { weights: [].into() });
    assert_ne!(old.id, new.id);
    let EffectKind::Weigh { weights } = old.kind else { panic!() };
    assert_eq!(run.input(&Input::Outcome { effect: old.id, outcome: Outcome::Weighed { weights } }), [], "too late");
    run.passes(1, 2);
    assert_eq!(run.act(1), None, "not before its whole weight is confirmed");
    run.weigh();
    run.outcome(1, Outcome::Admitted);
    run.end_check(|n| if n == 1 { "v2" } else { "v1" });
    assert_eq!(run.state.end.as_ref().map(|end| end.ending), Some(Ending::Cancelled));
}

#[test]
fn weights_that_nobody_confirms_stop_it_and_are_told() {
    let mut run = canary(10, weighted(vec![percent(2)]));
    run.bring_to_gate(1);
    run.input(&Input::Trouble { instance: None, trouble: "haproxy refused".to_owned() });
    run.wait(Span::from_secs(10));
    let paused = run.state.pause.clone().unwrap();
    assert_eq!((paused.cause, paused.reason.contains("haproxy refused")), (Cause::Traffic, true), "{}", paused.reason);
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress, "it has its time again");
    run.wait(Span::from_secs(60));
    run.passes(1, 2);
    run.wait(Span::from_secs(60));
    assert_eq!(run.word(1), "failed");
}

#[test]
fn promote_ends_one_step_or_all_but_not_a_batch_at_work() {
    let mut run = canary(10, by_count(vec![percent(10), PAUSE, timed(600), PAUSE]));
    let refused = check(&run.state, &promote(true)).unwrap_err().message;
    assert!(refused.contains("when batch 1 is done"), "{refused}");
    run.bring_to_carry(1);
    bake(&mut run);
    assert!(run.waits_for().contains("step 2 waits for a person (promote)"));
    assert!(check(&run.state, &Command::Resume).unwrap_err().message.contains("rollout promote"));
    run.command(promote(false));
    assert_eq!(step(&run), Some(3));
    run.command(pause());
    assert!(check(&run.state, &promote(true)).unwrap().message.contains("resumed"));
    run.command(promote(true));
    assert_eq!((step(&run), batch(&run).len()), (None, 0));
    run.command(Command::Resume);
    assert_eq!(batch(&run), ["web-02", "web-03"]);
    assert!(check(&run.state, &promote(false)).unwrap().message.contains("nothing waits"));
}

#[test]
fn a_pause_that_nobody_promotes_goes_back() {
    let mut run = canary(10, by_count(vec![percent(10), PAUSE]));
    run.bring_to_carry(1);
    bake(&mut run);
    assert_eq!(run.state.awaits, Some(Awaits::Promotion));
    run.wait(Span::from_secs(1799));
    assert_eq!(run.state.status(), Status::InProgress, "no lack of progress");
    run.wait(Span::from_secs(1));
    assert_eq!(run.state.status(), Status::RollingBack);
    assert!(run.state.rollback.as_ref().unwrap().reason.contains("nobody promoted step 2"));
}

#[test]
fn time_in_a_pause_of_an_operator_counts_for_no_step() {
    for last in [timed(60), PAUSE] {
        let mut run = canary(10, by_count(vec![percent(10), last]));
        run.bring_to_carry(1);
        bake(&mut run);
        run.command(pause());
        run.wait(Span::from_secs(3600));
        run.command(Command::Resume);
        assert_eq!((step(&run), run.state.status()), (Some(2), Status::InProgress));
        run.wait(Span::from_secs(59));
        assert_eq!(step(&run), Some(2));
        run.wait(Span::from_secs(1800));
        assert_ne!(step(&run), Some(2));
    }
}

#[test]
fn a_takeover_begins_no_step_anew_and_gives_it_its_time() {
    let mut run = canary(10, by_count(vec![percent(10), timed(60)]));
    run.bring_to_carry(1);
    bake(&mut run);
    run.wait(Span::from_secs(30));
    run.now = run.now + Span::from_secs(300);
    run.input(&Input::Recovered(Takeover::default()));
    run.input(&Input::Tick);
    assert_eq!(step(&run), Some(2));
    run.wait(Span::from_secs(60));
    assert_eq!((step(&run), run.state.batches), (None, 2));
}

#[test]
fn abort_returns_the_traffic_first_and_then_the_instances() {
    let mut run = canary(10, weighted(vec![percent(2), PAUSE]));
    run.bring_to_carry(1);
    bake(&mut run);
    let told = consequence(&run.state, &rollback(), run.now).unwrap();
    assert!(told.order.starts_with("their traffic first"), "{}", told.order);
    run.command(rollback());
    assert_eq!((weight(&run, 1), run.word(1)), (1, "healthy"));
    assert!(run.waits_for().contains("yet to confirm the weights"));
    run.weigh();
    assert_eq!(run.word(1), "rolling_back");
    run.taken_out(1);
    assert_eq!(weight(&run, 1), 100, "its old version is to have all of its weight");
    run.weigh();
    run.outcome(1, Outcome::Updated);
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.end_check(|_| "v1");
    assert_eq!((run.state.exit_code(), run.state.weights.len()), (Some(3), 0));
}

#[test]
fn traffic_that_no_balancer_takes_back_does_not_hold_the_rollback() {
    let mut run = canary(10, weighted(vec![percent(2), PAUSE]));
    run.bring_to_carry(1);
    bake(&mut run);
    run.command(rollback());
    run.wait(Span::from_secs(9));
    assert_eq!(run.word(1), "healthy");
    run.wait(Span::from_secs(1));
    assert_eq!(run.word(1), "rolling_back");
}

/// Half of the fleet cannot take the other half's traffic at once: that goes back with the instances, within the budget.
#[test]
fn more_traffic_than_the_budget_allows_goes_back_with_its_instances() {
    let mut run = canary(4, weighted(vec![percent(40), PAUSE])).with(|p| {
        p.canary = weighted(vec![percent(40), PAUSE]);
        p.rollback.max_unavailable = Count::Absolute(1);
    });
    run = run.started();
    for n in [1, 2] {
        run.bring_to_carry(n);
    }
    bake(&mut run);
    run.command(rollback());
    assert_eq!((weight(&run, 1), weight(&run, 2)), (66, 66));
    assert_eq!((run.word(1), run.word(2)), ("healthy", "rolling_back"));
    run.taken_out(2);
    assert_eq!((weight(&run, 1), weight(&run, 2)), (66, 100), "one is out, the other carries on");
    run.weigh();
    run.outcome(2, Outcome::Updated);
    run.passes(2, 2);
    run.outcome(2, Outcome::Admitted);
    assert_eq!(weight(&run, 1), 1, "of one alone it goes back at once");
}

#[test]
fn a_rollback_after_the_steps_has_no_weights_to_return() {
    let mut run = canary(10, weighted(vec![percent(10)]));
    run.bring_to_carry(1);
    bake(&mut run);
    run.bring_to_carry(2);
    run.bring_to_carry(3);
    run.command(rollback());
    assert!(run.fleet_act("weigh").is_none());
    assert_eq!(run.word(3), "rolling_back");
}

#[test]
fn a_cancel_in_a_step_leaves_whole_weights() {
    let mut run = canary(10, weighted(vec![percent(2), PAUSE]));
    run.bring_to_carry(1);
    bake(&mut run);
    assert!(consequence(&run.state, &cancel(), run.now).unwrap().then.contains("the whole of their weight"));
    run.command(cancel());
    assert_eq!((weight(&run, 1), step(&run)), (100, None));
    run.end_check(|n| if n == 1 { "v2" } else { "v1" });
    assert_eq!(run.state.end, None, "not before the balancers have confirmed that");
    run.weigh();
    assert_eq!(run.state.end.as_ref().map(|end| end.ending), Some(Ending::Cancelled));
}

#[test]
fn weights_that_cannot_be_made_whole_end_it_as_failed() {
    let mut run = canary(10, weighted(vec![percent(2), PAUSE]));
    run.bring_to_carry(1);
    bake(&mut run);
    run.command(cancel());
    run.end_check(|n| if n == 1 { "v2" } else { "v1" });
    run.wait(Span::from_secs(60));
    let end = run.state.end.clone().unwrap();
    assert_eq!((end.ending, end.reason.contains("did not confirm the weights")), (Ending::Failed, true), "{}", end.reason);
}

#[test]
fn one_that_fails_is_replaced_and_nobody_is_counted_twice() {
    let tolerant = |p: &mut Policy| {
        p.canary = by_count(vec![percent(20), PAUSE]);
        p.rollback.on_failure = OnFailure::Continue;
    };
    let mut run = Fixture::new(10).with(tolerant).started();
    run.bring_to_gate(1);
    run.misses(1, 3);
    run.bring_to_carry(2);
    bake(&mut run);
    assert_eq!((step(&run), batch(&run)), (Some(1), vec!["web-03".to_owned()]), "the step asks for two");
    run.bring_to_carry(3);
    bake(&mut run);
    assert_eq!(step(&run), Some(2));
    run.command(Command::Retry { instance: id(1) });
    assert_eq!(step(&run), Some(2), "one that is tried again opens no step anew");
}

#[test]
fn a_failed_one_has_no_weight_and_one_tried_again_has_it_before_it_serves() {
    let tolerant = |p: &mut Policy| {
        p.canary = weighted(vec![percent(5), PAUSE]);
        p.rollback.on_failure = OnFailure::Continue;
    };
    let mut run = Fixture::new(10).with(tolerant).started();
    run.bring_to_gate(1);
    assert_eq!(weight(&run, 1), 47);
    run.weigh();
    run.misses(1, 3);
    assert_eq!(weight(&run, 1), 100, "out of rotation, and whole again");
    run.weigh();
    run.command(Command::Retry { instance: id(1) });
    assert_eq!(weight(&run, 1), 47);
}

#[test]
fn those_at_the_version_count_and_are_left_as_they_are() {
    let mut fixture = Fixture::new(10).with(|p| p.canary = by_count(vec![percent(20), percent(30)]));
    for n in [4, 5] {
        fixture = fixture.with_member(n, |m| m.at_version = true);
    }
    let sizes: Vec<_> = batches(&fixture.plan).iter().map(|b| (b.step, b.members.len())).collect();
    assert_eq!(sizes, [(Some(2), 1), (None, 2), (None, 2), (None, 2), (None, 1)]);
    let run = fixture.started();
    assert_eq!((step(&run), batch(&run)), (Some(2), vec!["web-01".to_owned()]));
}

#[test]
fn a_step_whose_instances_are_held_waits_for_them() {
    let mut run = canary(3, by_count(vec![percent(30), percent(60), PAUSE]));
    for n in [2, 3] {
        run.command(Command::Hold { instance: id(n), reason: String::new() });
    }
    run.bring_to_carry(1);
    bake(&mut run);
    assert_eq!((step(&run), run.state.awaits), (Some(2), Some(Awaits::Release)));
    assert!(run.waits_for().contains("only held instances are left"));
    run.command(Command::Release { instance: id(3) });
    assert_eq!((batch(&run), run.state.awaits), (vec!["web-03".to_owned()], None));
    run.bring_to_carry(3);
    bake(&mut run);
    assert_eq!(step(&run), Some(3));
}

#[test]
fn with_nobody_left_there_is_no_step() {
    // All held: nothing begins, and in the end they are left alone.
    let mut run = Fixture::new(2).with(|p| p.canary = by_count(vec![percent(50), PAUSE]));
    for n in [1, 2] {
        run.command(Command::Hold { instance: id(n), reason: String::new() });
    }
    let mut run = run.started();
    assert_eq!((step(&run), run.state.awaits), (None, Some(Awaits::Release)));
    run.wait(Span::from_secs(1800));
    run.end_check(|_| "v1");
    assert!(run.state.end.is_some());
    // All fail, one after the other, and that is tolerated: the steps are about nobody.
    let mut run = Fixture::new(2)
        .with(|p| {
            p.canary = by_count(vec![percent(50), PAUSE]);
            p.rollback.on_failure = OnFailure::Continue;
            p.strategy.min_serving = Count::Absolute(0);
        })
        .started();
    for n in [1, 2] {
        run.bring_to_gate(n);
        run.misses(n, 3);
        bake(&mut run);
    }
    assert_eq!((step(&run), run.state.steps_done), (None, u32::MAX));
    run.end_check(|_| "v2");
    assert_eq!(run.state.end.as_ref().map(|end| end.ending), Some(Ending::Failed));
}

#[test]
fn extra_capacity_is_of_the_first_step() {
    let fixture = Fixture::new(4)
        .with(|p| {
            p.canary = weighted(vec![percent(25), PAUSE, percent(50)]);
            (p.strategy.max_unavailable, p.strategy.batch_size) = (Count::Absolute(0), vec![Count::Absolute(1)]);
        })
        .with_spares(1);
    let sizes: Vec<_> = batches(&fixture.plan).iter().map(|b| (b.step, b.members.len())).collect();
    assert_eq!(sizes, [(Some(1), 1), (Some(3), 1), (None, 1), (None, 1), (None, 1)]);
    let mut run = fixture.started();
    assert_eq!((step(&run), batch(&run)), (Some(1), vec!["web-05".to_owned()]));
    let survey = run.nothing_there(Rotation::Missing);
    run.outcome(5, Outcome::Surveyed { survey });
    run.outcome(5, Outcome::Updated);
    assert_eq!(weight(&run, 5), 133, "beside four others a quarter is more than one of them has");
    run.weigh();
    run.passes(5, 2);
    run.outcome(5, Outcome::Admitted);
    bake(&mut run);
    assert_eq!(step(&run), Some(2), "it is the one of four");
    run.command(promote(false));
    assert_eq!(batch(&run), ["web-01"]);
    run.bring_to_carry(1);
    bake(&mut run);
    if run.fleet_act("weigh").is_some() {
        run.weigh();
    }
    assert_eq!((step(&run), batch(&run)), (None, vec!["web-02".to_owned()]), "it is started once");
}

/// What is foretold at any moment is what then begins.
#[test]
fn what_is_foretold_is_what_begins() {
    let plain = |members: &[usize]| members.iter().map(|n| n + 1).collect::<Vec<_>>();
    let mut run = Fixture::new(12).with(|p| {
        p.canary = by_count(vec![percent(10), timed(60), percent(40)]);
        p.strategy.batch_size = vec![Count::Absolute(1), Count::Absolute(3)];
        p.strategy.max_unavailable = Count::Absolute(3);
    });
    let planned: Vec<_> = batches(&run.plan).iter().map(|b| (b.number, b.step, b.members.len())).collect();
    let told: Vec<_> = ahead(&run.state).iter().map(|b| (b.number, b.step, b.members.len())).collect();
    assert_eq!(told, planned);
    assert_eq!(told, [(1, Some(1), 1), (2, Some(3), 1), (3, Some(3), 3), (4, None, 1), (5, None, 3), (6, None, 3)]);
    run.command(Command::Start);
    let mut begun = Vec::new();
    let mut foretold = ahead(&run.state);
    for _ in 0..7 {
        let Some(batch) = run.state.batch.clone() else { break };
        let members: Vec<u32> = batch.members.iter().map(|id| id.as_str()[4..].parse().unwrap()).collect();
        begun.push(members.len());
        assert_eq!(ahead(&run.state), foretold, "in batch {}", batch.number);
        for n in members {
            run.bring_to_carry(n);
        }
        bake(&mut run);
        if step(&run) == Some(2) {
            assert_eq!(ahead(&run.state), foretold);
            let left = forecast(&run.state, &[], run.now).unwrap().low;
            assert!(left >= Span::from_secs(60), "{left}");
            run.wait(Span::from_secs(60));
        }
        if !foretold.is_empty() {
            let next = foretold.remove(0);
            let now: Vec<usize> =
                run.state.batch.as_ref().unwrap().members.iter().map(|id| id.as_str()[4..].parse().unwrap()).collect();
            assert_eq!(now, plain(&next.members));
        }
    }
    assert_eq!(begun, [1, 1, 3, 1, 3, 3]);
}

#[test]
fn what_a_promotion_would_do_is_told() {
    let mut run = canary(10, by_count(vec![percent(10), PAUSE, percent(50)]));
    run.bring_to_carry(1);
    bake(&mut run);
    let one = consequence(&run.state, &promote(false), run.now).unwrap();
    assert_eq!(one.then, "step 3, 50% of the traffic follows");
    assert!(one.will_change.starts_with("step 2, pause until promoted, is over; 9 pending"), "{}", one.will_change);
    let all = consequence(&run.state, &promote(true), run.now).unwrap();
    assert!(all.then.contains("no further step"), "{}", all.then);
}

#[test]
fn a_batch_of_a_step_keeps_to_the_budget() {
    let mut run = Fixture::new(10)
        .with(|p| {
            p.canary = by_count(vec![percent(30)]);
            p.strategy.batch_size = vec![Count::Absolute(3)];
            p.strategy.max_unavailable = Count::Absolute(1);
        })
        .started();
    assert_eq!(batch(&run).len(), 3);
    let at_work = |run: &Fixture| run.state.active.len();
    assert_eq!(at_work(&run), 1);
    run.bring_to_carry(1);
    assert_eq!(at_work(&run), 1);
    run.misses(9, 3);
    run.check(2);
    assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::Capacity), "web-09 holds it");
}

/// A journal that says what cannot be is refused, not believed, and nothing overflows.
#[test]
fn steps_that_cannot_follow_are_refused() {
    let mut run = canary(10, by_count(vec![percent(10), PAUSE]));
    run.bring_to_carry(1);
    bake(&mut run);
    run.command(promote(true));
    for kind in [
        EventKind::StepStarted { step: 3, until: None },
        EventKind::StepStarted { step: 0, until: None },
        EventKind::StepCompleted { step: 2, by: None, full: false },
        EventKind::WeightsOrdered { order: 7, weights: [].into(), until: run.now },
    ] {
        let mut event = run.events.last().unwrap().clone();
        (event.seq, event.kind) = (run.state.seq.next(), kind);
        assert!(run.state.clone().apply(&event).is_err(), "{event:?}");
    }
    assert!(wanted(&run.state).iter().all(|e| e.kind.word() != "weigh"));
}
