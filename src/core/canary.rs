//! The canary strategy: steps before the rest goes by the rolling rules, and the weights that go with them.
//!
//! Imports: state, event, model, core's hooks, analysis, rolling and budget. May not: move an instance on once it is taken.

use std::collections::BTreeMap;

use crate::effect::{Effect, EffectKind};
use crate::event::{Actor, Cause, EventKind};
use crate::model::{Canary, CanaryStep, EffectId, InstanceId, Member, Plan, Span, Timestamp};
use crate::mutant::{self, Mutant};
use crate::state::{Goal, Instance, Phase, State, StepRun};

use super::hooks::{self, Turn};
use super::pipeline::ORDER_TIMEOUT;
use super::{Observed, analysis, approval, budget, pause, rollback, rolling};

/// The steps of a deployment that are not over, with how many are done.
fn steps(state: &State) -> Option<(&Canary, u32)> {
    let canary = state.plan.policy.canary.as_ref()?;
    (state.steps_done < number_of_steps(canary)).then_some((canary, state.steps_done))
}

fn number_of_steps(canary: &Canary) -> u32 {
    u32::try_from(canary.steps.len()).unwrap_or(u32::MAX)
}

/// Whether steps come before the rest, or one is at work.
pub(super) fn is_open(state: &State) -> bool {
    steps(state).is_some()
}

/// What the steps do next, between two batches. `pending` may be taken, in their order.
pub(super) fn next(state: &State, now: Timestamp, pending: &[&Member]) -> Turn {
    // What the check at the end finds is no reason to begin a step.
    let Some((canary, done)) = steps(state).filter(|_| state.end_check_until.is_none()) else { return Turn::Done };
    // Nobody runs the new version, and nobody may be taken: a step would be about nobody.
    let alone = pending.is_empty() && !state.instances.values().any(|i| i.is_active() || i.phase == Phase::Healthy);
    let Some(run) = &state.step else {
        return if alone { Turn::Done } else { Turn::Act(vec![begin(state, now, canary, done + 1)]) };
    };
    let for_good = alone && state.hook.is_none() && !state.instances.values().any(waits);
    let over = match state.canary_step() {
        _ if for_good => return Turn::Act(vec![all_completed(run)]),
        None => return Turn::Done,
        Some(CanaryStep::Weight { .. } | CanaryStep::Instances { .. }) => return carriers(state, now, canary, run, pending),
        Some(CanaryStep::Pause { lasts: Some(_) }) => run.until.is_none_or(|until| now >= until),
        Some(CanaryStep::Pause { lasts: None }) => false,
        Some(CanaryStep::Analysis { passes }) => analysis::has_judged(state, *passes),
        Some(CanaryStep::Run { hook }) => match hooks::named(state, now, hook, run.number) {
            Turn::Done => true,
            turn => return turn,
        },
    };
    if over { Turn::Act(vec![completed(run)]) } else { Turn::Wait }
}

/// It is held, and may be released.
fn waits(instance: &Instance) -> bool {
    instance.phase == Phase::Pending && instance.held.is_some()
}

fn begin(state: &State, now: Timestamp, canary: &Canary, number: u32) -> EventKind {
    let step = canary.steps.get(usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1));
    let until = match step {
        Some(CanaryStep::Pause { lasts: Some(lasts) }) => Some(now + *lasts),
        Some(CanaryStep::Pause { lasts: None }) => Some(now + approval::timeout(state)),
        _ => None,
    };
    EventKind::StepStarted { step: number, until }
}

fn completed(run: &StepRun) -> EventKind {
    EventKind::StepCompleted { step: run.number, by: None, full: false }
}

fn all_completed(run: &StepRun) -> EventKind {
    EventKind::StepCompleted { step: run.number, by: None, full: true }
}

/// It runs the new version and serves with it, by our doing or from the beginning.
fn carries(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    instance.phase == Phase::Healthy || analysis::was_there(state, id, instance)
}

/// As many as the step asks for run the new version, with the weight that goes with it.
fn carriers(state: &State, now: Timestamp, canary: &Canary, run: &StepRun, pending: &[&Member]) -> Turn {
    let have = state.instances.iter().filter(|(id, i)| carries(state, id, i)).count();
    let wanted = usize::try_from(canary.instances(run.number, state.total())).unwrap_or(usize::MAX);
    let missing = wanted.saturating_sub(have);
    if missing > 0 && !pending.is_empty() {
        let place = rolling::place(&state.plan, state.batches + 1, state.rest_after);
        let mut members = rolling::next_batch(&state.plan, place, pending);
        members.truncate(missing);
        return Turn::Act(vec![EventKind::BatchStarted { batch: state.batches + 1, members }]);
    }
    // With fewer than it asks for a step says less: whoever holds the others decides.
    if missing > 0 && state.instances.values().any(waits) {
        return approval::before_the_end(state, now).map_or(Turn::Wait, |question| Turn::Act(vec![question]));
    }
    if are_set(state) { Turn::Act(vec![completed(run)]) } else { Turn::Wait }
}

/// So many of the fleet each step that is not over has yet to bring to the new version, with the step's number: `have` run
/// it already.
pub(super) fn to_take(canary: &Canary, from: u32, total: u32, mut have: u32) -> Vec<(u32, usize)> {
    let steps = (from..=number_of_steps(canary)).filter_map(|number| {
        let wanted = canary.instances(number, total);
        let missing = wanted.saturating_sub(have);
        have = have.max(wanted);
        (missing > 0).then(|| (number, usize::try_from(missing).unwrap_or(usize::MAX)))
    });
    steps.collect()
}

/// As `to_take`, as things stand; those of the batch at work are taken to succeed.
pub(super) fn still_to_take(state: &State) -> Vec<(u32, usize)> {
    let Some((canary, done)) = steps(state) else { return Vec::new() };
    let at_work = |i: &Instance| {
        let of_batch = state.batch.as_ref().is_some_and(|batch| i.batch == Some(batch.number));
        i.is_active() && i.goal == Goal::Forward && i.phase != Phase::Failed || of_batch && i.phase == Phase::Pending
    };
    let there = |m: &Member| state.batches == 0 && m.at_version;
    let members = state.plan.members.iter().zip(&state.instances);
    let have = members.filter(|(m, (id, i))| carries(state, id, i) || at_work(i) || there(m)).count();
    let from = state.step.as_ref().map_or_else(|| done.saturating_add(1), |run| run.number);
    to_take(canary, from, state.total(), u32::try_from(have).unwrap_or(u32::MAX))
}

/// As `to_take`, before anything began.
pub(super) fn planned(plan: &Plan) -> Vec<(u32, usize)> {
    let Some(canary) = &plan.policy.canary else { return Vec::new() };
    let there = u32::try_from(plan.fleet().filter(|m| m.at_version && m.serves()).count()).unwrap_or(u32::MAX);
    to_take(canary, 1, plan.total(), there)
}

/// How many instances the first step that takes any brings to the new version.
pub(super) fn first_count(plan: &Plan) -> Option<u32> {
    let canary = plan.policy.canary.as_ref()?;
    (1..=number_of_steps(canary)).map(|number| canary.instances(number, plan.total())).find(|count| *count > 0)
}

/// How long the steps from number `from` on last at least: their timed pauses, and as many measurements as must pass. How
/// long a person or a hook takes nobody can tell.
pub(super) fn takes(plan: &Plan, from: u32) -> Span {
    let Some(canary) = &plan.policy.canary else { return Span::ZERO };
    let interval = plan.policy.analysis.as_ref().map_or(Span::ZERO, |policy| policy.interval);
    let steps = canary.steps.iter().skip(usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX));
    let each = steps.map(|step| match step {
        CanaryStep::Pause { lasts } => lasts.unwrap_or_default(),
        CanaryStep::Analysis { passes } => interval.times(u64::from(*passes)),
        CanaryStep::Weight { .. } | CanaryStep::Instances { .. } | CanaryStep::Run { .. } => Span::ZERO,
    });
    each.fold(Span::ZERO, |all, one| all + one)
}

/// The same of those that are not over, less what has passed of the one at work.
pub(super) fn still_takes(state: &State, now: Timestamp) -> Span {
    let Some((_, done)) = steps(state) else { return Span::ZERO };
    let passed = state.step.as_ref().map_or(Span::ZERO, |run| now.since(run.started_at));
    let at_work = takes(&state.plan, done.saturating_add(1)) - takes(&state.plan, done.saturating_add(2));
    takes(&state.plan, done.saturating_add(2)) + (at_work - passed)
}

/// The weights that the balancers are to have, in percent of each instance's own, where that is not all of it. A share is
/// given to those that run the new version or may. At the end, and where somebody ends it, everybody has the whole of it.
pub(super) fn weights(state: &State) -> BTreeMap<InstanceId, u16> {
    if state.started_at.is_none() || state.cancel.is_some() || state.end_check_until.is_some() {
        return BTreeMap::new();
    }
    let Some((canary, done)) = steps(state).filter(|(canary, _)| canary.weighted) else { return BTreeMap::new() };
    if state.rollback.is_some() {
        let all_back = gives_all_back(state);
        let canaries = state.instances.iter().filter(|(_, i)| is_canary(i));
        let back = canaries.map(|(id, i)| (id.clone(), on_the_way_back(state, (id, i), all_back)));
        return back.filter(|(_, weight)| *weight != 100).collect();
    }
    // Those that ran the version before are part of its share, too.
    let canaries = || state.instances.iter().filter(|(id, i)| is_canary(i) || analysis::was_there(state, id, i));
    let number = state.step.as_ref().map_or(done, |run| run.number);
    // Spares are beside the fleet: with them it is so much larger.
    let count = |spares: bool| u32::try_from(canaries().filter(|(_, i)| !spares || i.spare).count()).unwrap_or(u32::MAX);
    let spares = count(true);
    // Whoever did not serve to begin with bears no part of the traffic, unless nobody else is known to.
    let (now, total) = (count(false), state.total().saturating_add(spares));
    let carriers = canary.instances(number, total).max(now);
    let other =
        |m: &Member, id: &InstanceId, i: &Instance| !m.spare && m.serves() && !is_canary(i) && !analysis::was_there(state, id, i);
    let others = state.plan.members.iter().zip(&state.instances).filter(|(m, (id, i))| other(m, id, i)).count();
    let others = u32::try_from(others).unwrap_or(u32::MAX).saturating_sub(carriers - now);
    let serving = if others == 0 { total } else { others.saturating_add(carriers) };
    let weight = canary.weight_of(number, now, (total, serving));
    canaries().filter(|_| weight != 100).map(|(id, _)| (id.clone(), weight)).collect()
}

/// While everything goes back the traffic returns first, where so few serve on the new version that the others bear it: no
/// more than may be out at once. Otherwise each keeps what it has until its turn. (Nothing at all reads as a drain at the
/// balancers.)
fn on_the_way_back(state: &State, (id, instance): (&InstanceId, &Instance), all_back: bool) -> u16 {
    if instance.goal == Goal::Forward && rollback::can_go_back(state, id, instance) && all_back {
        RETURNED
    } else {
        state.weight_of(id)
    }
}

/// A rollback as of now would begin with the traffic.
pub(super) fn would_return_traffic(state: &State) -> bool {
    let serves = || state.instances.values().any(|i| i.serving && is_canary(i));
    steps(state).is_some_and(|(canary, _)| canary.weighted) && serves() && gives_all_back(state)
}

fn gives_all_back(state: &State) -> bool {
    let serves = |id: &InstanceId, i: &Instance| i.serving && is_canary(i) && rollback::can_go_back(state, id, i);
    let under_way = |i: &Instance| i.goal == Goal::Back && i.is_active();
    let fewer = state.instances.iter().filter(|(id, i)| serves(id, i) || under_way(i)).count();
    let may_be_out = budget::limit(state.plan.policy.rollback.max_unavailable, state.total()).max(1);
    u32::try_from(fewer).unwrap_or(u32::MAX) <= may_be_out
}

/// What is left to an instance whose traffic returned to the others, in percent.
const RETURNED: u16 = 1;

/// It runs the new version and serves with it, or is about to.
fn is_canary(instance: &Instance) -> bool {
    let on_the_way = matches!(instance.phase, Phase::Restoring | Phase::TakingOut | Phase::Draining | Phase::Drained);
    let out = matches!(instance.phase, Phase::Failed | Phase::Skipped) && !instance.serving;
    instance.exposed && !out && (instance.goal == Goal::Forward || on_the_way)
}

/// The balancers have confirmed what they are to have.
pub(super) fn are_set(state: &State) -> bool {
    state.weighing.is_none() && weights(state) == state.weights
}

/// Whether the balancers have confirmed the weight that the instance is to have.
pub(super) fn is_weighed(state: &State, id: &InstanceId) -> bool {
    let wanted = weights(state).get(id).copied().unwrap_or(100);
    let sure = state.weighing.as_ref().is_none_or(|ordered| !ordered.unsure.contains(id));
    sure && wanted == state.weight_of(id) || mutant::is(Mutant::AdmitUnweighed)
}

/// Other weights are to be had than were ordered last. Nothing changes at a balancer before that is on record: an order that
/// nobody confirmed may have had its effect.
pub(super) fn order(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    let ordered = state.weighing.as_ref().map_or(&state.weights, |weighing| &weighing.weights);
    let weights = weights(state);
    let keep = weights.is_empty() && mutant::is(Mutant::KeepWeights);
    let other =
        || EventKind::WeightsOrdered { order: state.weight_orders + 1, weights: weights.clone(), until: now + ORDER_TIMEOUT };
    (weights != *ordered && !keep).then(|| vec![other()])
}

/// The balancers do not confirm: without it a share would be exceeded, or capacity be missing. A person looks, while it is
/// tried on.
pub(super) fn unconfirmed(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    let forward = state.rollback.is_none() && state.cancel.is_none() && state.end_check_until.is_none();
    state.weighing.as_ref().filter(|ordered| forward && state.pause.is_none() && now >= ordered.until)?;
    let why = observed.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
    Some(vec![pause(Cause::Traffic, format!("the balancers did not confirm the weights within {ORDER_TIMEOUT}{why}"))])
}

/// The weights on their way, as an act on the fleet; those that are confirmed are held.
pub(super) fn wanted(state: &State) -> Option<Effect> {
    let kind = match &state.weighing {
        Some(ordered) => EffectKind::Weigh { weights: ordered.weights.clone() },
        None if state.weights.is_empty() => return None,
        None => EffectKind::HoldWeights { weights: state.weights.clone(), every: state.plan.policy.health.interval },
    };
    let number = state.weighing.as_ref().map_or(state.weight_orders, |ordered| ordered.order);
    Some(Effect { id: EffectId::new(&state.plan.deployment, None, kind.word(), number), instance: None, kind })
}

/// The balancers confirmed an order: the last, for what another one does meanwhile nobody knows.
pub(super) fn weighed(state: &State, effect: &EffectId, weights: &BTreeMap<InstanceId, u16>) -> Vec<EventKind> {
    match wanted(state).filter(|wanted| wanted.id == *effect) {
        Some(_) => vec![EventKind::WeightsSet { weights: weights.clone() }],
        None => Vec::new(),
    }
}

/// What a promotion does: the step at work is done, or all of them are. A batch at work is not cut short.
pub(super) fn promoted(state: &State, by: &Actor, full: bool) -> Option<EventKind> {
    let run = state.step.as_ref().filter(|_| state.batch.is_none())?;
    Some(EventKind::StepCompleted { step: run.number, by: Some(by.clone()), full })
}

/// Traffic goes back before instances do. Where the balancers do not confirm that in time, the instances go back all the same.
pub(super) fn returns_traffic(state: &State, now: Timestamp) -> bool {
    traffic_until(state).is_some_and(|until| now < until)
}

fn traffic_until(state: &State) -> Option<Timestamp> {
    let rollback = state.rollback.as_ref()?;
    state.weighing.as_ref()?;
    let canary = |i: &Instance| i.goal == Goal::Forward && i.serving && is_canary(i);
    let wanted = weights(state);
    let open = state.instances.iter().any(|(id, i)| canary(i) && wanted.get(id).is_some_and(|w| *w != state.weight_of(id)));
    open.then(|| rollback.at + ORDER_TIMEOUT)
}

/// When steps and weights will have to be decided on without any further input.
pub(super) fn deadlines(state: &State) -> impl Iterator<Item = Timestamp> {
    let step = state.step.as_ref().and_then(|run| run.until).filter(|_| state.pause.is_none() && state.batch.is_none());
    let weights = state.weighing.as_ref().map(|ordered| ordered.until).filter(|_| state.pause.is_none());
    [step, weights, traffic_until(state)].into_iter().flatten()
}
