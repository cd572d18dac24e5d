//! One turn of the engine at 20, 1,000 and 10,000 instances: decide and fold, encode, publish's share is the fold of the
//! mirror, and what should be in flight for the instances that the turn touched. The append's fsync is the disk's own.
//!
//! `cargo bench --bench turn`

use std::collections::{BTreeMap, BTreeSet};

use divan::{Bencher, black_box};
use rollout::command::{Command, Request};
use rollout::core::{Input, Observed, PlanRequest, Planned, Selection, plan, turn, wanted, wanted_for};
use rollout::effect::Outcome;
use rollout::event::{Actor, Event, EventKind, FORMAT};
use rollout::journal::encode;
use rollout::model::{
    Count, DeploymentId, EffectId, InstanceId, Policy, Rotation, Sample, SampleResult, Seq, Span, Survey, Target, Timestamp,
    Version,
};
use rollout::state::State;

const FLEETS: [u32; 3] = [20, 1_000, 10_000];

fn main() {
    divan::main();
}

/// A tenth of the fleet at a time: the largest batches that people use.
fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.strategy.batch_size = vec![Count::Percent(10)];
    policy.strategy.max_unavailable = Count::Percent(10);
    policy
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

fn version(text: &str) -> Option<Version> {
    Version::new(text).ok()
}

fn survey() -> Survey {
    let result = SampleResult::Pass { status: Some(200) };
    let health = Sample { at: now(), latency: Span::from_millis(5), result, version: None };
    Survey { version: version("v1"), rotation: Rotation::Serving, health }
}

fn request(total: u32) -> Option<PlanRequest> {
    let ids = (1..=total).filter_map(|n| InstanceId::new(&format!("web-{n:05}")).ok());
    let target = |id| Target { id, host: "10.0.0.1".to_owned(), port: 8080, zone: None, labels: BTreeMap::new() };
    let targets: Vec<Target> = ids.map(target).collect();
    Some(PlanRequest {
        deployment: DeploymentId::new("shop", 1),
        env: "default".to_owned(),
        version: version("v2")?,
        started_by: "ana".to_owned(),
        policy: policy(),
        surveys: targets.iter().map(|t| (t.id.clone(), Ok(survey()))).collect(),
        targets,
        allow_outage: false,
        restart: false,
        selection: Selection::default(),
        left_out: BTreeSet::new(),
        spares: Vec::new(),
        undo: None,
    })
}

/// A deployment under way: the first batch is being looked at.
fn under_way(total: u32) -> Option<(State, Observed)> {
    let Ok(Planned::Plan(plan)) = plan(request(total)?) else { return None };
    let kind = EventKind::DeploymentPlanned { format: FORMAT, plan };
    let planned = Event { seq: Seq(1), at: now(), deployment: DeploymentId::new("shop", 1), kind };
    let mut state = State::begin(&planned).ok()?;
    let mut observed = Observed::default();
    let actor = Actor::operator("ana", 1000);
    let start = Input::Command(Request { key: "k".to_owned(), actor, revision: None, command: Command::Start });
    turn(&mut state, &mut observed, now(), &start).ok()?;
    Some((state, observed))
}

/// The outcome of the first look at the first instance: its drain is ordered.
fn looked_at(state: &State) -> Option<Input> {
    let id = state.plan.members.first()?.target.id.clone();
    let effect = EffectId::new(&state.plan.deployment, Some(&id), "survey", 0);
    Some(Input::Outcome { effect, outcome: Outcome::Surveyed { survey: survey() } })
}

#[divan::bench(args = FLEETS)]
fn plan_a_fleet(bencher: Bencher<'_, '_>, total: u32) {
    bencher.with_inputs(|| request(total)).bench_values(|request| request.map(plan));
}

#[divan::bench(args = FLEETS)]
fn turn_with_events(bencher: Bencher<'_, '_>, total: u32) {
    let Some((state, observed)) = under_way(total) else { return };
    let Some(input) = looked_at(&state) else { return };
    bencher.with_inputs(|| (state.clone(), state.clone(), observed.clone())).bench_local_refs(|(state, mirror, observed)| {
        let events = turn(state, observed, now(), &input).unwrap_or_default();
        assert!(!events.is_empty());
        let encoded: Vec<String> = events.iter().filter_map(|e| encode(e).ok()).collect();
        for event in &events {
            // The fold of the mirror that readers see.
            black_box(mirror.apply(event)).ok();
        }
        black_box((encoded, wanted_for(state, 0)))
    });
}

#[divan::bench(args = FLEETS)]
fn turn_without_events(bencher: Bencher<'_, '_>, total: u32) {
    let Some((mut state, mut observed)) = under_way(total) else { return };
    let Some(last) = state.plan.members.last().map(|m| m.target.id.clone()) else { return };
    let result = SampleResult::Pass { status: Some(200) };
    let sample = Sample { at: now(), latency: Span::from_millis(5), result, version: None };
    let input = Input::Sample { instance: last, sample };
    bencher.bench_local(|| turn(&mut state, &mut observed, now(), &input));
}

#[divan::bench(args = FLEETS)]
fn everything_wanted(bencher: Bencher<'_, '_>, total: u32) {
    let Some((state, _)) = under_way(total) else { return };
    bencher.bench_local(|| wanted(&state));
}

#[divan::bench(args = FLEETS)]
fn snapshot_for_a_reader(bencher: Bencher<'_, '_>, total: u32) {
    let Some((state, _)) = under_way(total) else { return };
    bencher.bench_local(|| serde_json::to_string(&state));
}
