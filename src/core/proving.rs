//! Tests of what proves an instance beyond its passes: that it has begun, and that it is fast enough in rotation.

use super::Input;
use super::testing::{Fixture, id};
use crate::event::EventKind;
use crate::model::{InstanceState, LatencyGate, Sample, SampleResult, Span};

const GATE: LatencyGate = LatencyGate { p99: Span::from_millis(300), samples: 5 };

fn gated() -> Fixture {
    let mut run = Fixture::new(2).with(|p| p.health.latency = Some(GATE)).started();
    run.bring_to_gate(1);
    // However slow it is before users come.
    pass_in(&mut run, 900);
    pass_in(&mut run, 900);
    run.outcome(1, crate::effect::Outcome::Admitted);
    assert_eq!(word(&run), InstanceState::HealthChecking);
    run
}

fn pass_in(run: &mut Fixture, millis: u64) -> Vec<EventKind> {
    run.now = run.now + Span::from_millis(1000);
    let result = SampleResult::Pass { status: Some(200) };
    let sample = Sample { at: run.now, latency: Span::from_millis(millis), result, version: None };
    run.input(&Input::Sample { instance: id(1), sample })
}

fn word(run: &Fixture) -> InstanceState {
    run.state.instance(&id(1)).unwrap().shown()
}

fn reason(events: &[EventKind]) -> String {
    let failed = events.iter().find_map(|kind| match kind {
        EventKind::InstanceFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    failed.unwrap_or_else(|| panic!("nothing failed: {events:?}"))
}

#[test]
fn the_latency_gate_needs_its_samples_and_decides_nothing_by_fewer() {
    let mut run = gated();
    for _ in 0..4 {
        pass_in(&mut run, 5);
        assert_eq!(word(&run), InstanceState::HealthChecking, "too few to judge");
    }
    pass_in(&mut run, 5);
    assert_eq!(word(&run), InstanceState::Healthy);
    let mut starved = gated();
    for _ in 0..4 {
        pass_in(&mut starved, 5);
    }
    let why = reason(&starved.wait(Span::from_secs(120)));
    assert_eq!(why, "only 4 of the 5 passes that health.latency needs came before the deadline");
}

#[test]
fn the_latency_gate_looks_at_the_latest_and_fails_by_the_deadline() {
    let mut warm = gated();
    pass_in(&mut warm, 700);
    for _ in 0..4 {
        pass_in(&mut warm, 20);
        assert_eq!(word(&warm), InstanceState::HealthChecking, "the slow one is still among the last five");
    }
    pass_in(&mut warm, 300);
    assert_eq!(word(&warm), InstanceState::Healthy);
    let mut slow = gated();
    for _ in 0..20 {
        pass_in(&mut slow, 301);
    }
    let why = reason(&slow.wait(Span::from_secs(120)));
    assert_eq!(why, "the 99th percentile of its last 5 checks is 301ms, health.latency allows 300ms");
}

#[test]
fn a_rollback_asks_for_no_latency() {
    let mut run = gated();
    run.misses(1, 3);
    run.outcome(1, crate::effect::Outcome::TakenOut { sessions: Some(0) });
    run.outcome(1, crate::effect::Outcome::Updated);
    pass_in(&mut run, 900);
    pass_in(&mut run, 900);
    run.outcome(1, crate::effect::Outcome::Admitted);
    assert_eq!(word(&run), InstanceState::RolledBack);
}

/// As where nobody listens: until `start_timeout` it does not count, after that it does.
#[test]
fn one_that_has_not_begun_is_waited_for_until_its_time_is_over() {
    let starting = || SampleResult::Starting { reason: "status 503".to_owned() };
    let mut run = Fixture::new(2).started();
    run.bring_to_gate(1);
    for _ in 0..10 {
        run.sample(1, starting());
    }
    assert_eq!(word(&run), InstanceState::HealthChecking);
    run.passes(1, 1);
    run.sample(1, starting());
    run.passes(1, 1);
    assert_eq!(word(&run), InstanceState::HealthChecking, "passes in a row are needed");
    let mut never = Fixture::new(2).started();
    never.bring_to_gate(1);
    never.now = never.now + Span::from_secs(20);
    for _ in 0..2 {
        never.sample(1, starting());
    }
    let why = reason(&never.sample(1, starting()));
    assert_eq!(why, "3 failed checks in a row: still starting: status 503");
}
