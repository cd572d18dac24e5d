//! One test for each bug of the well-known sketch of a rolling engine, and for the field's semantics where they are sharp.
//!
//! Imports: core. May not: be part of a build that is not a test.

use crate::command::Command;
use crate::core::testing::{Fixture, cancel, id, pause, rollback};
use crate::core::{Planned, plan, wanted};
use crate::effect::{EffectKind, Outcome};
use crate::event::{Ending, EventKind, Step};
use crate::model::{Count, OnDrainTimeout, OnFailure, Rotation, SampleResult, Span, Version};
use crate::state::Status;

fn updates(run: &Fixture) -> Vec<(String, String)> {
    let started = run.events.iter().filter_map(|e| match &e.kind {
        EventKind::UpdateStarted { instance, version, .. } => Some((instance.to_string(), version.to_string())),
        _ => None,
    });
    started.collect()
}

/// Six instances of which the first batch is proven and baked.
fn after_first_batch() -> Fixture {
    let mut run = Fixture::new(6).started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.wait(Span::from_secs(10));
    assert_eq!(run.state.batches, 2);
    run
}

/// The sketch's cancel flag was overwritten by the next save of the row.
#[test]
fn a_cancel_outlives_everything_that_happens_after_it() {
    let mut run = after_first_batch();
    run.command(cancel());
    run.passes(1, 1);
    run.wait(Span::from_secs(5));
    run.end_check(|n| if n <= 2 { "v2" } else { "v1" });
    assert_eq!(run.state.end.as_ref().map(|e| e.ending), Some(Ending::Cancelled));
    assert_eq!(updates(&run).len(), 2, "nothing was updated after the cancel");
}

/// The sketch left drained hosts behind when cancelled.
#[test]
fn a_cancel_puts_drained_instances_back() {
    let mut run = after_first_batch();
    run.check(3);
    run.outcome(3, Outcome::TakenOut { sessions: Some(4) });
    assert_eq!(run.word(3), "draining");
    run.command(cancel());
    assert!(matches!(wanted(&run.state).iter().find(|e| e.instance == Some(id(3))).map(|e| &e.kind), Some(EffectKind::Admit)));
    run.outcome(3, Outcome::Admitted);
    assert_eq!(run.word(3), "pending");
    run.end_check(|n| if n <= 2 { "v2" } else { "v1" });
    assert_eq!((run.state.exit_code(), run.state.out), (Some(5), 0));
}

/// The sketch's rollback only rewrote rows, and marked failed machines "rolled_back".
#[test]
fn a_rollback_acts_on_machines_and_a_failed_restore_stays_failed() {
    let mut run = after_first_batch();
    run.bring_to_gate(3);
    run.misses(3, 3);
    assert_eq!(run.state.status(), Status::RollingBack);
    run.taken_out(3);
    assert!(updates(&run).contains(&("web-03".to_owned(), "v1".to_owned())), "the failed one is updated back at once");
    run.outcome(3, Outcome::UpdateFailed { reason: "exit code 1".to_owned() });
    assert_eq!(run.word(3), "failed");
    let four = run.act(4).map(|e| e.to_string());
    if four.is_some() {
        run.check(4);
    }
    for n in [2, 1] {
        run.restore(n);
    }
    run.end_check(|_| "v1");
    assert_eq!((run.word(1), run.word(2), run.word(3)), ("rolled_back", "rolled_back", "failed"));
    assert_eq!(run.state.exit_code(), Some(4), "rolled back except for one: a person is needed");
    assert_eq!(run.state.exceptions().len(), 1);
}

/// The sketch rolled back in forward order, all at once.
#[test]
fn a_rollback_takes_the_newest_first_within_its_budget() {
    let mut run = Fixture::new(8).with(|p| p.rollback.max_unavailable = Count::Absolute(1)).started();
    for n in [1, 2] {
        run.bring_to_healthy(n);
    }
    run.wait(Span::from_secs(10));
    for n in [3, 4] {
        run.bring_to_healthy(n);
    }
    run.command(rollback());
    let started = |run: &Fixture| -> Vec<String> {
        let restores = run.events.iter().filter(|e| matches!(e.kind, EventKind::RestoreStarted { .. }));
        restores.filter_map(|e| e.kind.instance()).map(ToString::to_string).collect()
    };
    assert_eq!(started(&run), ["web-04"], "one at a time");
    for n in [4, 3, 2, 1] {
        run.outcome(n, Outcome::TakenOut { sessions: Some(0) });
        run.restore(n);
    }
    assert_eq!(started(&run), ["web-04", "web-03", "web-02", "web-01"]);
    run.end_check(|_| "v1");
    assert_eq!(run.state.exit_code(), Some(3));
}

/// The sketch divided by what was planned or by what was updated, depending on the row it had read; the contract says
/// finished so far in this run, so that one failure in the first batch is enough.
#[test]
fn the_failure_ratio_is_over_those_that_finished() {
    let mut run = Fixture::new(20).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    assert_eq!(run.state.status(), Status::RollingBack, "1 of 2 is above 10%");

    let mut run = Fixture::new(20).with(|p| p.rollback.threshold_percent = 50).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    assert_eq!(run.state.status(), Status::InProgress, "1 of 2 is not above 50%");
    assert_eq!(run.word(2), "failed", "tolerated, out and listed");
}

/// The sketch skipped the pause after an unhealthy batch.
#[test]
fn the_bake_follows_a_batch_with_a_tolerated_failure_too() {
    let mut run = Fixture::new(6).with(|p| p.rollback.threshold_percent = 50).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    assert!(run.state.batch.as_ref().unwrap().bake_until.is_some());
    run.wait(Span::from_secs(9));
    assert_eq!(run.state.batches, 1);
    run.passes(1, 1);
    run.wait(Span::from_secs(1));
    assert_eq!(run.state.batches, 2);
}

/// The sketch looked at its batch size only.
#[test]
fn max_unavailable_holds_whatever_the_batch_size() {
    let run = Fixture::new(10)
        .with(|p| (p.strategy.batch_size, p.strategy.max_unavailable) = (vec![Count::Absolute(5)], Count::Absolute(3)))
        .started();
    let checking = wanted(&run.state).into_iter().filter(|e| matches!(e.kind, EffectKind::Survey)).count();
    assert_eq!(checking, 3);
}

/// The sketch slept a fixed time instead of draining, and never spoke to a balancer.
#[test]
fn nothing_is_updated_before_the_balancer_confirmed_and_the_connections_ended() {
    let mut run = Fixture::new(4).started();
    run.check(1);
    run.wait(Span::from_secs(9));
    assert!(updates(&run).is_empty(), "the drain is not confirmed");
    run.outcome(1, Outcome::TakenOut { sessions: Some(2) });
    assert!(updates(&run).is_empty(), "two connections are left");
    run.outcome(1, Outcome::Idle);
    assert_eq!(updates(&run).len(), 1);
}

/// An unconfirmed drain stops the flow, and the instance goes back in.
#[test]
fn an_unconfirmed_drain_pauses_and_puts_the_instance_back() {
    let mut run = Fixture::new(4).started();
    run.check(1);
    run.wait(Span::from_secs(10));
    assert_eq!(run.state.status(), Status::Paused);
    assert!(updates(&run).is_empty());
    run.outcome(1, Outcome::Admitted);
    assert_eq!((run.word(1), run.state.out), ("pending", 0));
}

/// The sketch took `instances[0]`'s version for everybody's.
#[test]
fn each_instance_goes_back_to_its_own_version() {
    let mut run = Fixture::new(6).with_member(2, |m| m.previous = Some(Version::new("v0.9").unwrap())).started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.command(rollback());
    for n in [2, 1] {
        run.outcome(n, Outcome::TakenOut { sessions: Some(0) });
    }
    let back: Vec<(String, String)> = updates(&run).split_off(2);
    assert_eq!(back, [("web-02".to_owned(), "v0.9".to_owned()), ("web-01".to_owned(), "v1".to_owned())]);
}

/// The sketch checked a batch's members one after the other.
#[test]
fn members_of_a_batch_are_proven_side_by_side() {
    let mut run = Fixture::new(6).started();
    run.bring_to_gate(1);
    run.bring_to_gate(2);
    run.passes(2, 2);
    run.outcome(2, Outcome::Admitted);
    assert_eq!((run.word(1), run.word(2)), ("health_checking", "healthy"));
}

/// The sketch took any 2xx once for healthy. `rise` passes in a row; a miss starts anew; not listening yet does not count.
#[test]
fn rise_passes_in_a_row_are_needed_and_a_miss_starts_anew() {
    let mut run = Fixture::new(4).started();
    run.bring_to_gate(1);
    for _ in 0..10 {
        run.sample(1, SampleResult::NotListening);
    }
    assert_eq!(run.word(1), "health_checking", "not listening yet does not count before start_timeout");
    run.passes(1, 1);
    run.misses(1, 2);
    run.passes(1, 1);
    assert!(run.act(1).is_none(), "one pass after a miss is not two in a row");
    run.passes(1, 1);
    assert!(run.act(1).is_some(), "being put back in rotation");
}

/// engines.md §3.4: four clocks. Not listening counts after `start_timeout`; the deadline fails in any case; a process
/// that is gone fails at once.
#[test]
fn every_gate_has_its_deadlines() {
    let mut late = Fixture::new(4).started();
    late.bring_to_gate(1);
    late.now = late.now + Span::from_secs(20);
    for _ in 0..3 {
        late.sample(1, SampleResult::NotListening);
    }
    assert_eq!(late.state.failures(), 1, "not listening counts after start_timeout");

    let mut flapping = Fixture::new(4).started();
    flapping.bring_to_gate(1);
    for _ in 0..5 {
        flapping.passes(1, 1);
        flapping.misses(1, 2);
    }
    assert_eq!(flapping.state.failures(), 0);
    flapping.wait(Span::from_secs(60));
    assert_eq!(flapping.state.failures(), 1, "flapping does not stretch the deadline");

    let mut gone = Fixture::new(4).started();
    gone.bring_to_gate(1);
    gone.sample(1, SampleResult::Exited { how: "exit code 1".to_owned() });
    assert_eq!(gone.state.failures(), 1, "a process that is gone fails at once");

    let mut stuck = Fixture::new(4).started();
    stuck.check(1);
    stuck.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    stuck.wait(Span::from_secs(120));
    let failure = stuck.state.instance(&id(1)).unwrap().failure.clone().unwrap();
    assert_eq!(failure.step, Step::Update, "an update that does not end is given up");
}

/// The sketch ended "failed" even when every failure was tolerated.
#[test]
fn tolerated_failures_end_completed_with_the_exception_listed() {
    let mut run = Fixture::new(4).with(|p| p.rollback.threshold_percent = 60).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    run.passes(1, 1);
    run.wait(Span::from_secs(10));
    for n in [3, 4] {
        run.bring_to_healthy(n);
    }
    run.passes(1, 1);
    run.wait(Span::from_secs(10));
    run.end_check(|_| "v2");
    assert_eq!(run.state.status(), Status::Completed);
    assert_eq!(run.state.exit_code(), Some(4));
    assert_eq!(run.state.exceptions().first().map(|e| e.instance.clone()), Some(id(2)));
}

/// In the sketch one throw rejected the whole batch while its siblings went on unseen.
#[test]
fn a_failing_member_does_not_lose_its_mates() {
    let mut run = Fixture::new(6).with(|p| p.rollback.threshold_percent = 100).started();
    run.check(1);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.outcome(1, Outcome::UpdateFailed { reason: "exit code 1".to_owned() });
    run.bring_to_healthy(2);
    assert_eq!((run.word(1), run.word(2)), ("failed", "healthy"));
}

/// A mate in mid-update is awaited, then goes back; one that is only drained goes straight back in.
#[test]
fn a_rollback_awaits_an_update_in_hand_and_returns_the_drained() {
    let mut run = Fixture::new(6).started();
    for n in [1, 2] {
        run.check(n);
    }
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    run.outcome(2, Outcome::TakenOut { sessions: Some(9) });
    assert_eq!((run.word(1), run.word(2)), ("updating", "draining"));
    run.command(rollback());
    assert_eq!(run.word(1), "updating", "awaited");
    assert!(matches!(wanted(&run.state).iter().find(|e| e.instance == Some(id(2))).map(|e| &e.kind), Some(EffectKind::Admit)));
    run.outcome(1, Outcome::Updated);
    assert_eq!(run.word(1), "rolling_back");
    run.restore(1);
    run.outcome(2, Outcome::Admitted);
    run.end_check(|_| "v1");
    assert_eq!((run.word(1), run.word(2), run.state.exit_code()), ("rolled_back", "pending", Some(3)));
}

/// engines.md §3.5: pause takes nothing new, what is in flight goes on; a threshold crossed meanwhile is acted on at resume.
#[test]
fn pause_lets_the_flight_land_and_judges_at_resume() {
    let mut run = Fixture::new(6).started();
    run.bring_to_gate(1);
    run.bring_to_gate(2);
    run.command(pause());
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.misses(2, 3);
    assert_eq!((run.word(1), run.word(2)), ("healthy", "failed"));
    assert_eq!(run.state.status(), Status::Paused);
    assert!(run.events.iter().any(|e| matches!(e.kind, EventKind::ThresholdCrossed { .. })), "shown");
    run.wait(Span::from_secs(3600));
    assert_eq!(run.state.status(), Status::Paused, "no clock runs out under a pause");
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::RollingBack);
}

/// engines.md §3.6: a cancel with nothing under way is quiet; a failed one goes back alone, the healthy stay.
#[test]
fn a_cancel_sends_only_the_failed_back() {
    let mut run = Fixture::new(6).started();
    run.bring_to_gate(1);
    run.bring_to_gate(2);
    run.command(cancel());
    run.passes(1, 2);
    run.outcome(1, Outcome::Admitted);
    run.misses(2, 3);
    assert_eq!(run.word(2), "rolling_back");
    run.restore(2);
    run.end_check(|n| if n == 1 { "v2" } else { "v1" });
    assert_eq!((run.word(1), run.word(2), run.state.exit_code()), ("healthy", "rolled_back", Some(5)));
}

/// Every verb twice is once, and nothing is asked of a deployment that has ended.
#[test]
fn commands_are_idempotent_and_refused_after_the_end() {
    let mut run = after_first_batch();
    assert_eq!(run.command(Command::Start), vec![]);
    run.command(pause());
    assert_eq!(run.command(pause()), vec![]);
    run.command(rollback());
    assert_eq!(run.command(rollback()), vec![], "a second request joins the first");
    assert!(super::check(&run.state, &cancel()).is_err(), "a rollback is not cancelled");
    for n in [2, 1] {
        run.outcome(n, Outcome::TakenOut { sessions: Some(0) });
        run.restore(n);
    }
    run.end_check(|_| "v1");
    for command in [Command::Start, pause(), Command::Resume, cancel(), rollback()] {
        assert!(super::check(&run.state, &command).is_err(), "{command:?} after the end");
    }
}

/// A drain that does not end: cut and counted, given more time while it falls, or put back and listed.
#[test]
fn a_drain_that_does_not_end_follows_its_policy() {
    let drained = |policy: OnDrainTimeout| {
        let mut run = Fixture::new(4).with(|p| (p.drain.on_timeout, p.rollback.threshold_percent) = (policy, 100)).started();
        run.check(1);
        run.outcome(1, Outcome::TakenOut { sessions: Some(7) });
        run.input(&super::Input::Sessions { instance: id(1), sessions: 3 });
        run.wait(Span::from_secs(5));
        run
    };
    let run = drained(OnDrainTimeout::Force);
    assert_eq!((run.state.drains_forced, run.state.connections_cut, run.word(1)), (1, 3, "updating"));
    let mut run = drained(OnDrainTimeout::Extend);
    assert_eq!(run.word(1), "draining", "7 → 3: it falls");
    run.wait(Span::from_secs(5));
    assert_eq!((run.state.connections_cut, run.word(1)), (3, "updating"), "it fell no further");
    let mut run = drained(OnDrainTimeout::Fail);
    run.outcome(1, Outcome::Admitted);
    let instance = run.state.instance(&id(1)).unwrap();
    assert_eq!((run.word(1), instance.serving, instance.exposed), ("failed", true, false));
}

/// A finished instance that dies in the bake counts; it is taken out and, if tolerated, listed.
#[test]
fn a_late_failure_counts() {
    let mut run = Fixture::new(6).started();
    run.bring_to_healthy(1);
    run.bring_to_healthy(2);
    run.misses(1, 3);
    assert_eq!(run.state.status(), Status::RollingBack);
    let failure = run.state.instance(&id(1)).unwrap().failure.clone().unwrap();
    assert_eq!(failure.step, Step::Watch);
}

/// `on_failure = "pause"` pauses once; after a resume only a new failure pauses again.
#[test]
fn on_failure_pause_asks_once_for_each_failure() {
    let mut run = Fixture::new(6).with(|p| p.rollback.on_failure = OnFailure::Pause).started();
    run.bring_to_healthy(1);
    run.bring_to_gate(2);
    run.misses(2, 3);
    assert_eq!(run.state.status(), Status::Paused);
    run.command(Command::Resume);
    assert_eq!(run.state.status(), Status::InProgress);
}

/// Foreign changes are respected: one that somebody else took out meanwhile is not touched, and never readmitted.
#[test]
fn what_others_took_out_is_left_alone() {
    let mut run = Fixture::new(6).started();
    let mut survey = run.survey(1, "v1");
    survey.rotation = Rotation::Maintenance;
    run.outcome(1, Outcome::Surveyed { survey });
    assert_eq!(run.word(1), "skipped");
    assert!(run.act(1).is_none());
}

/// The end check reads the world: what is not as it must be is taken out and listed.
#[test]
fn the_end_check_finds_what_reverted() {
    let mut run = Fixture::new(4).started();
    for batch in [[1, 2], [3, 4]] {
        for n in batch {
            run.bring_to_healthy(n);
        }
        for n in batch {
            run.passes(n, 1);
        }
        run.wait(Span::from_secs(10));
    }
    run.end_check(|n| if n == 3 { "v1" } else { "v2" });
    assert_eq!(run.word(3), "failed");
    assert!(run.state.end.is_none(), "it is taken out first");
    run.outcome(3, Outcome::TakenOut { sessions: Some(0) });
    assert_eq!((run.state.status(), run.state.exit_code()), (Status::Completed, Some(4)));
}

/// Refusals before anything is touched, with the instances and the ways out.
#[test]
fn a_plan_that_cannot_keep_its_promises_is_refused() {
    use crate::core::PlanRequest;
    let fixture = Fixture::new(4);
    let request = |total: u32, change: &dyn Fn(&mut PlanRequest)| {
        let survey = |n: u32| (id(n), Ok(fixture.survey(n, "v1")));
        let mut request = PlanRequest {
            deployment: fixture.plan.deployment.clone(),
            env: "default".to_owned(),
            version: Version::new("v2").unwrap(),
            started_by: "ana".to_owned(),
            policy: super::testing::policy(),
            targets: super::testing::members(total).into_iter().map(|m| m.target).collect(),
            surveys: (1..=total).map(survey).collect(),
            allow_outage: false,
            restart: false,
            selection: super::Selection::default(),
            left_out: std::collections::BTreeSet::new(),
            spares: Vec::new(),
            undo: None,
        };
        change(&mut request);
        plan(request)
    };
    assert!(matches!(request(4, &|_| {}), Ok(Planned::Plan(_))));
    assert!(matches!(request(4, &|r| r.version = Version::new("v1").unwrap()), Ok(Planned::AlreadyThere(_))));
    let refusal = |result: Result<Planned, crate::command::Refusal>| result.unwrap_err().message;
    let of_one = refusal(request(1, &|_| {}));
    assert!(of_one.contains("min_serving is 1") && of_one.contains("--allow-outage"), "{of_one}");
    assert!(request(1, &|r| r.allow_outage = true).is_ok());
    let down = |r: &mut PlanRequest, n: u32| {
        let mut survey = fixture.survey(n, "v1");
        survey.health.result = SampleResult::Miss { reason: "status 503".to_owned() };
        r.surveys.insert(id(n), Ok(survey));
    };
    assert!(request(4, &|r| down(r, 1)).is_ok(), "one of two in the budget");
    let full = refusal(request(4, &|r| (1..=2).for_each(|n| down(r, n))));
    assert!(full.contains("web-01 (status 503), web-02 (status 503)") && full.contains("max_unavailable"), "{full}");
    let dead = refusal(request(4, &|r| {
        r.policy.strategy.max_unavailable = Count::Absolute(4);
        (1..=4).for_each(|n| down(r, n));
    }));
    assert!(dead.contains("no instance can be updated") && dead.contains("health.before = \"first\""), "{dead}");
    let Ok(Planned::Plan(repaired)) = request(4, &|r| {
        r.policy.health.before = crate::model::Before::First;
        (1..=4).for_each(|n| down(r, n));
    }) else {
        panic!("a fleet that is down is brought up")
    };
    assert_eq!(crate::core::batches(&repaired).iter().map(|b| b.members.len()).sum::<usize>(), 4);
    let unknown = refusal(request(4, &|r| {
        r.surveys.insert(id(3), Ok(crate::model::Survey { version: None, ..fixture.survey(3, "v1") }));
    }));
    assert!(unknown.contains("web-03"), "{unknown}");
}

/// With a short bake the next batch, or a pause for want of budget, came before the untouched had been looked at: what
/// failed then waited for a person instead of going back.
#[test]
fn nothing_begins_while_it_is_looked_into_whose_doing_a_failure_is() {
    let short = |p: &mut crate::model::Policy| {
        p.strategy.batch_pause = Span::ZERO;
        p.strategy.batch_size = vec![Count::Absolute(1)];
    };
    for budget in [1, 5] {
        let mut run = Fixture::new(6).with(short).with(|p| p.strategy.max_unavailable = Count::Absolute(budget)).started();
        run.peers_are_well = false;
        run.bring_to_gate(1);
        run.misses(1, 3);
        assert!(run.state.is_looking());
        run.wait(Span::from_millis(10));
        assert!(run.state.pause.is_none() && run.state.batches == 1, "neither a pause nor another batch");
        let health = &run.state.plan.policy.health;
        let longest = health.timeout + health.interval;
        run.wait(longest);
        assert!(run.state.rollback.is_some());
    }
}

/// A mate that finished during the look made the failure one of few: there was nothing to act on any more, nor to wait for.
#[test]
fn a_look_that_lost_its_reason_holds_nothing_up() {
    let mut run = Fixture::new(6)
        .with(|p| {
            p.rollback.threshold_percent = 50;
            p.strategy.max_unavailable = Count::Absolute(3);
        })
        .started();
    run.peers_are_well = false;
    run.bring_to_gate(1);
    run.bring_to_gate(2);
    run.misses(1, 3);
    assert!(run.state.is_looking());
    run.passes(2, 2);
    run.outcome(2, Outcome::Admitted);
    run.passes(2, 1);
    run.wait(Span::from_secs(10));
    assert_eq!((run.state.batches, run.state.rollback.is_some()), (2, false), "one of two is not more than half");
}

/// The last look said that it serves, an older reading that it does not: the look was dropped by the one and begun again by
/// the other in the same turn, under the id of the act that had just ended.
#[test]
fn a_last_look_corrects_what_was_read_before() {
    let one = |p: &mut crate::model::Policy| p.strategy.max_unavailable = Count::Absolute(1);
    let mut run = Fixture::new(3).with(one).started();
    let rotations = [(id(1), Rotation::Down), (id(2), Rotation::Down), (id(3), Rotation::Serving)].into_iter().collect();
    run.input(&crate::core::Input::Rotations { at: run.now, rotations });
    let survey = run.survey(1, "v1");
    let events = run.outcome(1, Outcome::Surveyed { survey });
    assert!(matches!(events.first(), Some(EventKind::InstanceCheckDropped { .. })), "{events:?}");
    assert!(!events.iter().any(|e| matches!(e, EventKind::InstanceCheckStarted { .. })), "{events:?}");
    assert!(run.act(1).is_none(), "it waits until web-02, which holds the budget, is looked at");
}

/// Found by the simulator: with a clock behind the last fact, a deadline lay before its own beginning and was over at once.
#[test]
fn a_clock_that_goes_back_shortens_no_deadline() {
    let mut run = Fixture::new(4).started();
    run.check(1);
    run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
    let last = run.now;
    run.now = crate::model::Timestamp::from_millis(run.now.as_millis() - 900_000);
    run.outcome(1, Outcome::Updated);
    let deadline = run.state.plan.policy.health.deadline;
    assert_eq!(run.state.instance(&id(1)).unwrap().until, Some(last + deadline));
}

/// Found by the simulator: the check at the end could not read the balancers, and what somebody had taken out before was
/// not listed.
#[test]
fn what_somebody_else_took_out_is_listed_even_if_the_end_check_reads_nothing() {
    let mut run = Fixture::new(2).with(|p| p.strategy.batch_pause = Span::ZERO).started();
    run.bring_to_healthy(1);
    let rotations = std::collections::BTreeMap::from([(id(1), Rotation::Maintenance)]);
    run.input(&crate::core::Input::Rotations { at: run.now, rotations });
    run.command(cancel());
    run.wait(Span::from_secs(40));
    run.wait(Span::from_secs(120));
    assert!(run.state.exceptions().iter().any(|e| e.instance == id(1)), "{:?}", run.state.exceptions());
}
