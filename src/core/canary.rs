//! The canary strategy: steps before the rest goes by the rolling rules, and the weights that go with them.
//!
//! Imports: state, event, model, core's hooks and analysis. May not: move an instance on once it is taken.

use std::collections::BTreeMap;

use crate::event::EventKind;
use crate::model::{Canary, CanaryStep, InstanceId, Member, Timestamp};
use crate::state::{Goal, Instance, Phase, State, StepRun};

use super::hooks::{self, Turn};
use super::pipeline::ORDER_TIMEOUT;
use super::{analysis, approval};

/// The steps of a deployment that are not over, with how many are done.
fn steps(state: &State) -> Option<(&Canary, u32)> {
    let canary = state.plan.policy.canary.as_ref()?;
    let total = u32::try_from(canary.steps.len()).unwrap_or(u32::MAX);
    (state.steps_done < total).then_some((canary, state.steps_done))
}

/// Whether steps come before the rest, or one is at work.
pub(super) fn is_open(state: &State) -> bool {
    steps(state).is_some()
}

/// What the steps do next, between two batches. `pending` may be taken, in their order.
pub(super) fn next(state: &State, now: Timestamp, pending: &[&Member]) -> Turn {
    let Some((canary, done)) = steps(state) else { return Turn::Done };
    let Some(run) = &state.step else {
        // Nobody is left whom a step could be about.
        if pending.is_empty() && !state.instances.values().any(|i| i.phase == Phase::Healthy) {
            return Turn::Done;
        }
        return Turn::Act(vec![begin(state, now, canary, done + 1)]);
    };
    let Some(step) = state.canary_step() else { return Turn::Done };
    let over = match step {
        CanaryStep::Weight { .. } | CanaryStep::Instances { .. } => return carriers(state, canary, run, pending),
        CanaryStep::Pause { lasts: Some(_) } => run.until.is_none_or(|until| now >= until),
        CanaryStep::Pause { lasts: None } => false,
        CanaryStep::Analysis { passes } => analysis::has_passed(state, *passes),
        CanaryStep::Run { hook } => match hooks::named(state, now, hook, run.number) {
            Turn::Done => true,
            turn => return turn,
        },
    };
    if over { Turn::Act(vec![completed(run)]) } else { Turn::Wait }
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

/// As many as the step asks for run the new version, with the weight that goes with it.
fn carriers(state: &State, canary: &Canary, run: &StepRun, pending: &[&Member]) -> Turn {
    let carries = |(id, i): &(&InstanceId, &Instance)| {
        let there = i.phase == Phase::Skipped && i.serving && !i.down && state.member(id).is_some_and(|m| m.at_version);
        !i.spare && (i.phase == Phase::Healthy || there)
    };
    let have = state.instances.iter().filter(carries).count();
    let wanted = usize::try_from(canary.instances(run.number, state.total())).unwrap_or(usize::MAX);
    let missing = wanted.saturating_sub(have);
    if missing > 0 && !pending.is_empty() {
        let members = pending.iter().take(missing).map(|m| m.target.id.clone()).collect();
        return Turn::Act(vec![EventKind::BatchStarted { batch: state.batches + 1, members }]);
    }
    if weights(state) == state.weights { Turn::Act(vec![completed(run)]) } else { Turn::Wait }
}

/// The weights that the balancers are to have, in percent of each instance's own, where that is not all of it. A share is
/// given to those that run the new version or may; while everything goes back they get next to nothing, for their traffic
/// returns first. (Nothing at all reads as a drain at the balancers.)
pub(super) fn weights(state: &State) -> BTreeMap<InstanceId, u16> {
    let Some(weight) = weight(state) else { return BTreeMap::new() };
    let canaries = state.instances.iter().filter(|(_, i)| is_canary(i));
    canaries.map(|(id, _)| (id.clone(), weight)).collect()
}

/// Whether the balancers have confirmed the weight that the instance is to have.
pub(super) fn is_weighed(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    let wanted = weight(state).filter(|_| is_canary(instance)).unwrap_or(100);
    wanted == state.weight_of(id)
}

/// The weight of instances on the new version, where it is not all of their own.
fn weight(state: &State) -> Option<u16> {
    if state.cancel.is_some() {
        return None;
    }
    let (canary, done) = steps(state)?;
    if !canary.weighted {
        return None;
    }
    let weight = match &state.rollback {
        Some(_) => RETURNED,
        None => canary.weight(state.step.as_ref().map_or(done, |run| run.number), state.total()),
    };
    Some(weight).filter(|weight| *weight != 100)
}

/// What is left to an instance whose traffic returned to the others, in percent.
const RETURNED: u16 = 1;

/// It runs the new version and serves with it, or is about to.
fn is_canary(instance: &Instance) -> bool {
    let on_the_way = matches!(instance.phase, Phase::Restoring | Phase::TakingOut | Phase::Draining | Phase::Drained);
    let out = matches!(instance.phase, Phase::Failed | Phase::Skipped) && !instance.serving;
    instance.exposed && !instance.spare && !out && (instance.goal == Goal::Forward || on_the_way)
}

/// What a promotion does: the step at work is done, or all of them are. A batch at work is not cut short.
pub(super) fn promoted(state: &State, by: &crate::event::Actor, full: bool) -> Option<EventKind> {
    let run = state.step.as_ref().filter(|_| state.batch.is_none())?;
    Some(EventKind::StepCompleted { step: run.number, by: Some(by.clone()), full })
}

/// Traffic goes back before instances do. Where the balancers do not confirm that in time, the instances go back all the same.
pub(super) fn returns_traffic(state: &State, now: Timestamp) -> bool {
    traffic_until(state).is_some_and(|until| now < until)
}

fn traffic_until(state: &State) -> Option<Timestamp> {
    let rollback = state.rollback.as_ref()?;
    let begun = state.instances.values().any(|i| i.goal == Goal::Back);
    (!begun && weights(state) != state.weights).then(|| rollback.since + ORDER_TIMEOUT)
}

/// When a step will have to be decided on without any further input.
pub(super) fn deadline(state: &State) -> Option<Timestamp> {
    let step = state.step.as_ref().and_then(|run| run.until).filter(|_| state.pause.is_none() && state.batch.is_none());
    step.or_else(|| traffic_until(state))
}
