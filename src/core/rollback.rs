//! Going back: who, in which order, within which budget. Never a rollback of a rollback.
//!
//! Imports: state, event, model, core's budget. May not: judge whether to go back.

use crate::event::{Cause, EventKind};
use crate::model::{HookAt, InstanceId, Timestamp, Version};
use crate::state::{Instance, Phase, State};

use super::{Observed, budget, canary, hooks, pause};
use crate::mutant::{self, Mutant};

/// The version that an instance ran before this deployment.
pub(super) fn previous(state: &State, id: &InstanceId) -> Option<Version> {
    if mutant::is(Mutant::BackToOneVersion) { state.plan.members.first() } else { state.member(id) }?.previous.clone()
}

/// The next instance to go back, if one may.
pub(super) fn next(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.pause.is_some() || state.started_at.is_none() {
        return None;
    }
    if state.rollback.is_none() {
        // Under a cancel, one that failed goes back alone; without one, or once commands are stopped, it stays out and listed.
        state.cancel.as_ref().filter(|_| state.stopped.is_none())?;
        let failed = first(state, |i| i.phase == Phase::Failed && serves_nothing(i));
        // One that could not be taken out may serve again by now: it goes back only if that costs no promise.
        let in_rotation = || {
            let able = |id: &InstanceId| budget::may_restore(state, observed, id).is_ok();
            state
                .instances
                .iter()
                .find(|(id, i)| i.phase == Phase::Failed && can_go_back(state, id, i) && able(id))
                .map(|(id, _)| id)
        };
        return start(state, failed.or_else(in_rotation)?);
    }
    // A rollback that an operator ends where it is takes no more.
    if state.cancel.is_some() {
        return None;
    }
    hooks::next(state, now, HookAt::BeforeRollback, 1).or(|| take_back(state, observed, now))
}

fn take_back(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    if let Some(id) = first(state, serves_nothing) {
        return start(state, id);
    }
    if canary::returns_traffic(state, now) {
        return None;
    }
    // Extra capacity that does not serve yet is not waited for.
    if let Some((id, _)) = state.instances.iter().find(|(_, i)| i.spare && i.is_touched() && serves_nothing(i)) {
        return Some(vec![EventKind::RetireStarted { instance: id.clone() }]);
    }
    let id = newest_serving(state)?;
    if waits_for_others(state, id) {
        return None;
    }
    match budget::may_restore(state, observed, id) {
        Ok(()) => start(state, id),
        Err(_) if !state.active.is_empty() => None,
        Err(denied) => Some(vec![pause(Cause::Capacity, budget::words(state, observed, id, &denied))]),
    }
}

/// Touched instances in the order in which they go back: those that serve nothing, then the newest first.
pub(super) fn order(state: &State) -> Vec<&InstanceId> {
    let mut touched: Vec<(&InstanceId, &Instance)> = state.instances.iter().filter(|(id, i)| can_go_back(state, id, i)).collect();
    touched.sort_by_key(|(_, i)| (!serves_nothing(i) && i.phase != Phase::Updating, std::cmp::Reverse(i.order)));
    touched.into_iter().map(|(id, _)| id).collect()
}

fn start(state: &State, id: &InstanceId) -> Option<Vec<EventKind>> {
    let version = previous(state, id)?;
    Some(vec![EventKind::RestoreStarted { instance: id.clone(), version }])
}

/// A rollback concerns it, and there is a version to go back to. Without one it goes on to its verdict and is listed.
pub(super) fn can_go_back(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    instance.is_touched() && state.member(id).is_some_and(|m| m.previous.is_some())
}

/// Whether anything is left to go back.
pub(super) fn is_over(state: &State) -> bool {
    !state.instances.iter().any(|(id, i)| can_go_back(state, id, i))
}

fn first(state: &State, which: impl Fn(&Instance) -> bool) -> Option<&InstanceId> {
    state.instances.iter().find(|(id, i)| which(i) && can_go_back(state, id, i)).map(|(id, _)| id)
}

/// Out of rotation, or not known to be in it: going back costs no capacity. An update in hand is awaited instead.
fn serves_nothing(instance: &Instance) -> bool {
    match instance.phase {
        Phase::Verifying { .. } | Phase::Admitting => true,
        // It could not be taken out.
        Phase::Failed => !instance.serving,
        Phase::Pending
        | Phase::Checking
        | Phase::TakingOut
        | Phase::Draining
        | Phase::Drained
        | Phase::Updating
        | Phase::Settling { .. }
        | Phase::Healthy
        | Phase::Skipped
        | Phase::Returning { .. }
        | Phase::Restoring
        | Phase::RolledBack => false,
    }
}

/// It failed, but is in rotation because too few others serve: those on their way back come first.
fn waits_for_others(state: &State, id: &InstanceId) -> bool {
    let own = state.instances.get_index_of(id);
    let on_their_way = state.active.iter().any(|&index| Some(index) != own);
    let failed = state.instance(id).is_some_and(|i| i.phase == Phase::Failed && i.serving);
    failed && on_their_way && !budget::may_evict(state, id)
}

fn newest_serving(state: &State) -> Option<&InstanceId> {
    let serving = state.instances.iter().filter(|(id, i)| can_go_back(state, id, i));
    // One that was to be tried again is at rest, or left alone, on the new version.
    let at_rest = |i: &Instance| {
        matches!(i.phase, Phase::Healthy | Phase::Settling { .. } | Phase::Pending | Phase::Skipped | Phase::Failed)
    };
    let serving = serving.filter(|(_, i)| at_rest(i));
    serving.max_by_key(|(_, i)| i.order).map(|(id, _)| id)
}
