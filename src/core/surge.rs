//! Extra capacity: started before all others, counted while it serves, stopped after them.
//!
//! Imports: core's parts, for tests. May not: be part of a build that is not a test.

use super::testing::{Fixture, cancel, id, rollback};
use super::{batches, wanted};
use crate::command::Command;
use crate::effect::{EffectKind, Outcome};
use crate::event::{Cause, EventKind};
use crate::model::{Count, Rotation, SampleResult, Span};
use crate::state::{Status, Summary};

/// Four instances, none of which may be out, and `spares` more.
fn gateway(spares: u32) -> Fixture {
    Fixture::new(4)
        .with(|p| {
            (p.strategy.max_unavailable, p.strategy.min_serving) = (Count::Absolute(0), Count::Absolute(4));
            (p.rollback.max_unavailable, p.strategy.batch_pause) = (Count::Absolute(0), Span::ZERO);
        })
        .with_spares(spares)
}

/// Looked at, started, proven, serving.
fn start_spare(run: &mut Fixture, number: u32) {
    let survey = run.nothing_there(Rotation::Missing);
    run.outcome(number, Outcome::Surveyed { survey });
    run.outcome(number, Outcome::Updated);
    run.passes(number, 2);
    run.outcome(number, Outcome::Admitted);
}

fn retired(run: &mut Fixture, number: u32) {
    run.taken_out(number);
    let act = wanted(&run.state).into_iter().find(|e| e.instance == Some(id(number)) && e.kind == EffectKind::Retire);
    assert!(act.is_some(), "it is to be stopped");
    run.outcome(number, Outcome::Updated);
}

fn summary(run: &Fixture) -> Summary {
    Summary::of(&run.state, (None, None))
}

#[test]
fn extra_capacity_makes_room_where_nothing_may_be_out() {
    let mut run = gateway(1).started();
    let sizes: Vec<(usize, u32)> = batches(&run.plan).iter().map(|b| (b.members.len(), b.serving)).collect();
    assert_eq!(sizes, [(1, 4), (2, 4), (2, 4)], "never fewer than four serve");
    assert_eq!(run.state.active.iter().copied().collect::<Vec<_>>(), [4], "the spare goes first and alone");
    start_spare(&mut run, 5);
    assert_eq!((run.state.out, run.state.max_out), (0, 0), "it takes nothing from the fleet");
    for number in 1..=4 {
        assert_eq!(run.state.active.len(), 1, "one spare, one at a time");
        run.bring_to_healthy(number);
    }
    assert!(matches!(run.events.last().map(|e| &e.kind), Some(EventKind::DrainStarted { instance, .. }) if *instance == id(5)));
    retired(&mut run, 5);
    run.end_check(|_| "v2");
    let summary = summary(&run);
    assert_eq!((run.state.status(), run.state.exit_code()), (Status::Completed, Some(0)), "{:?}", summary.exceptions);
    assert_eq!((summary.total, summary.updated, summary.skipped, summary.max_out), (4, 4, 0, 1));
    assert_eq!(summary.exposed, 5, "the spare ran the new version as well");
}

#[test]
fn a_bad_version_is_found_before_any_instance_of_the_fleet_is_touched() {
    let mut run = gateway(1).started();
    let survey = run.nothing_there(Rotation::Missing);
    run.outcome(5, Outcome::Surveyed { survey });
    run.outcome(5, Outcome::Updated);
    run.misses(5, 3);
    assert!(run.state.rollback.is_some(), "one failure of one is above the threshold");
    retired(&mut run, 5);
    run.end_check(|_| "v1");
    let summary = summary(&run);
    assert_eq!((run.state.status(), run.state.exit_code()), (Status::RolledBack, Some(3)), "{:?}", summary.exceptions);
    assert_eq!((summary.untouched, summary.rolled_back, summary.exposed), (4, 0, 1));
}

#[test]
fn everything_goes_back_within_the_extra_capacity_and_then_that_is_stopped() {
    let mut run = gateway(1).started();
    start_spare(&mut run, 5);
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.command(rollback());
    assert_eq!(run.word(3), "pending", "it had only been looked at");
    for number in [2, 1] {
        assert_eq!(run.word(5), "healthy", "it serves until the others do");
        run.restore(number);
    }
    retired(&mut run, 5);
    run.end_check(|_| "v1");
    assert_eq!((run.state.status(), run.state.exit_code()), (Status::RolledBack, Some(3)), "{:?}", run.state.exceptions());
}

#[test]
fn a_cancel_stops_it_after_the_others_are_at_rest() {
    let mut run = gateway(2).started();
    start_spare(&mut run, 5);
    let survey = run.nothing_there(Rotation::Missing);
    run.outcome(6, Outcome::Surveyed { survey });
    run.command(cancel());
    run.outcome(6, Outcome::Updated);
    run.passes(6, 2);
    run.outcome(6, Outcome::Admitted);
    retired(&mut run, 5);
    retired(&mut run, 6);
    run.end_check(|_| "v1");
    assert_eq!((run.state.status(), run.state.exit_code()), (Status::Cancelled, Some(5)), "{:?}", run.state.exceptions());
}

#[test]
fn one_that_the_balancer_knows_is_taken_out_before_anything_runs_there() {
    let mut run = gateway(1).started();
    let survey = run.nothing_there(Rotation::Down);
    run.outcome(5, Outcome::Surveyed { survey });
    assert_eq!(run.word(5), "draining");
    run.taken_out(5);
    assert_eq!(run.word(5), "updating");
    let mut run = gateway(1).started();
    let survey = run.nothing_there(Rotation::Down);
    run.outcome(5, Outcome::Surveyed { survey });
    run.command(cancel());
    assert_eq!(run.word(5), "skipped", "it is not put in rotation for a cancel");
    run.end_check(|_| "v1");
    assert_eq!(run.state.exit_code(), Some(5), "{:?}", run.state.exceptions());
}

#[test]
fn without_extra_capacity_nothing_is_taken_and_it_is_said_why() {
    let mut run = gateway(1).started();
    let survey = run.nothing_there(Rotation::Maintenance);
    run.outcome(5, Outcome::Surveyed { survey });
    let pause = run.state.pause.clone().expect("there is no room");
    assert_eq!(pause.cause, Cause::Capacity);
    assert!(pause.reason.contains("no extra capacity serves"), "{}", pause.reason);
    assert_eq!(run.state.out, 0);
    // It is tried again, and fails while the first of the fleet is out.
    let mut run = gateway(1).started();
    start_spare(&mut run, 5);
    run.bring_to_healthy(1);
    run.misses(5, 3);
    assert_eq!(run.word(5), "failed");
    run.wait(Span::from_secs(1));
    assert!(run.state.active.iter().all(|&index| index != 2), "nobody is taken without it");
}

#[test]
fn what_could_not_be_stopped_is_listed() {
    let mut run = gateway(1).started();
    start_spare(&mut run, 5);
    for number in 1..=4 {
        run.bring_to_healthy(number);
    }
    run.taken_out(5);
    run.outcome(5, Outcome::UpdateFailed { reason: "the host is gone".to_owned() });
    run.end_check(|_| "v2");
    let exceptions = run.state.exceptions();
    assert_eq!((exceptions.len(), run.state.exit_code()), (1, Some(4)));
    assert!(exceptions[0].reason.contains("the host is gone"), "{}", exceptions[0].reason);
}

#[test]
fn it_is_neither_held_nor_gone_back_to() {
    let mut run = gateway(1);
    let hold = Command::Hold { instance: id(5), reason: String::new() };
    assert!(super::check(&run.state, &hold).is_err());
    run = run.started();
    start_spare(&mut run, 5);
    let alone = Command::Rollback { reason: String::new(), only: Some(id(5)) };
    assert!(super::check(&run.state, &alone).is_err());
    run.sample(5, SampleResult::Pass { status: Some(200) });
}
