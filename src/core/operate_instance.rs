//! Operators' commands on one instance: retry, skip, hold, release, and a rollback of it alone.
//!
//! Imports: state, event, model, core's parts. May not: change what is under way.

use crate::event::{Actor, EventKind, Found};
use crate::model::{InstanceId, Timestamp};
use crate::state::{Goal, Instance, Phase, State};

use super::operate::said;
use super::pipeline::ORDER_TIMEOUT;
use super::{Observed, budget, rollback};

type Answer = Result<String, String>;

fn find<'a>(state: &'a State, id: &InstanceId) -> Result<&'a Instance, String> {
    state.instance(id).ok_or_else(|| format!("there is no instance {id} in {}", state.plan.deployment))
}

/// Not to be changed now, and what to do instead.
fn under_way(id: &InstanceId, instance: &Instance) -> String {
    format!(
        "{id} is {}: wait for its verdict, or pause, cancel or roll back the deployment",
        instance.shown().word().replace('_', " ")
    )
}

pub(super) fn check_retry(state: &State, id: &InstanceId) -> Answer {
    let instance = find(state, id)?;
    if state.cancel.is_some() {
        return Err(format!("{} is being cancelled: nothing is tried again", state.plan.deployment));
    }
    match (&instance.phase, instance.goal) {
        (_, Goal::Back) if instance.spare => Err(stopped(id)),
        (Phase::Skipped, _) if instance.excluded => Err(format!("{id} has no part in this deployment")),
        (Phase::Skipped, _) if !instance.down && !instance.discounted => {
            Err(format!("{id} is at {} already", state.plan.version))
        }
        (Phase::Skipped | Phase::Failed, Goal::Forward) if state.rollback.is_some() => {
            Err(format!("everything goes back to its earlier version, and {id} has none to go back to"))
        }
        (Phase::Failed, _) if instance.is_evicting() => Err(under_way(id, instance)),
        (Phase::Failed, _) if is_needed(state, id, instance) => Err(needed(id)),
        // It was put back by others, and may be well again: taking it out would be one more.
        (Phase::Failed, Goal::Forward) if instance.serving && budget::is_used_up_without(state, id) => {
            Err(format!("{id} is in rotation, and as many are out as may be: repair, retry or skip one of those first"))
        }
        (Phase::Failed, Goal::Back) => Ok(format!("{id} goes back once more")),
        (Phase::Failed, Goal::Forward) => Ok(format!("{id} is tried again")),
        (Phase::Skipped, _) => Ok(format!("{id} is looked at again when its turn comes")),
        (Phase::Pending | Phase::Healthy | Phase::RolledBack, _) => Err(format!("{id} has not failed")),
        _ => Err(under_way(id, instance)),
    }
}

fn stopped(id: &InstanceId) -> String {
    format!("{id} is extra capacity that is needed no more: look what runs there, and stop it")
}

/// It is in rotation, failed, because too few others serve: taking it out would break the floor.
fn is_needed(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    instance.serving && instance.exposed && !budget::may_evict(state, id)
}

fn needed(id: &InstanceId) -> String {
    format!("{id} cannot be taken out of rotation: too few others serve; repair or roll back others first")
}

pub(super) fn retry(state: &State, now: Timestamp, id: &InstanceId, by: Actor) -> Vec<EventKind> {
    let Some(instance) = state.instance(id) else { return Vec::new() };
    let again = EventKind::InstanceRetried { instance: id.clone(), by };
    // It may be in rotation with what failed, or was put back meanwhile: it is taken out before anything else.
    let drained = instance.phase == Phase::Failed && instance.goal == Goal::Forward && (instance.exposed || instance.ours);
    let drain = drained.then(|| EventKind::DrainStarted {
        instance: id.clone(),
        attempt: instance.attempt + 1,
        until: now + ORDER_TIMEOUT,
    });
    [again].into_iter().chain(drain).collect()
}

pub(super) fn check_skip(state: &State, id: &InstanceId) -> Answer {
    let instance = find(state, id)?;
    match instance.phase {
        _ if instance.discounted => Ok(format!("{id} is skipped already")),
        Phase::Failed if instance.is_evicting() => Err(under_way(id, instance)),
        _ if may_hold_budget(instance) => Ok(format!("{id} stays as it is and holds the budget no longer")),
        Phase::Pending | Phase::Checking => Ok(format!("{id} is left alone")),
        Phase::Healthy | Phase::RolledBack => Err(format!("{id} is finished: there is nothing to skip")),
        _ => Err(under_way(id, instance)),
    }
}

/// At rest, and out as far as anybody knows, or not proven by a gate that would tell of its failure.
fn may_hold_budget(instance: &Instance) -> bool {
    match instance.phase {
        Phase::Skipped | Phase::Failed | Phase::RolledBack => true,
        Phase::Healthy => !instance.serving,
        _ => false,
    }
}

pub(super) fn skip(state: &State, observed: &Observed, id: &InstanceId, (by, reason): (Actor, &str)) -> Vec<EventKind> {
    let Some(instance) = state.instance(id) else { return Vec::new() };
    let said_why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let discounted = EventKind::InstanceDiscounted { instance: id.clone(), by: by.clone(), reason: said(&by, reason) };
    match instance.phase {
        _ if instance.discounted => Vec::new(),
        Phase::Pending | Phase::Checking => {
            let fit = instance.phase == Phase::Checking || !budget::is_out(state, observed, id, instance);
            let why = observed.trouble_of(id).filter(|_| !fit).map(|t| format!(" ({t})")).unwrap_or_default();
            let found = if fit { Found::AsItWas } else { Found::Unfit };
            let reason = format!("skipped by {}{said_why}{why}", by.name());
            vec![EventKind::InstanceSkipped { instance: id.clone(), reason, found }, discounted]
        }
        _ => vec![discounted],
    }
}

pub(super) fn check_hold(state: &State, id: &InstanceId) -> Answer {
    let instance = find(state, id)?;
    match instance.phase {
        _ if instance.spare => Err(format!("{id} is extra capacity: it is the others that can be held")),
        Phase::Pending if instance.held.is_some() => Ok(format!("{id} is held already")),
        Phase::Pending | Phase::Checking => Ok(format!("{id} is not taken until it is released")),
        Phase::Healthy | Phase::RolledBack | Phase::Skipped | Phase::Failed => {
            Err(format!("{id} is {}: only one that is still to be taken can be held", instance.shown()))
        }
        _ => Err(under_way(id, instance)),
    }
}

pub(super) fn hold(state: &State, id: &InstanceId, (by, reason): (Actor, &str)) -> Vec<EventKind> {
    let Some(instance) = state.instance(id).filter(|i| i.held.is_none()) else { return Vec::new() };
    let dropped = (instance.phase == Phase::Checking).then(|| EventKind::InstanceCheckDropped { instance: id.clone() });
    let reason = said(&by, reason);
    dropped.into_iter().chain([EventKind::InstanceHeld { instance: id.clone(), by, reason }]).collect()
}

pub(super) fn check_release(state: &State, id: &InstanceId) -> Answer {
    let instance = find(state, id)?;
    Ok(if instance.held.is_some() { format!("{id} is taken when its turn comes") } else { format!("{id} is not held") })
}

pub(super) fn release(state: &State, id: &InstanceId, by: Actor) -> Vec<EventKind> {
    let held = state.instance(id).is_some_and(|i| i.held.is_some() && i.phase == Phase::Pending);
    held.then(|| EventKind::InstanceReleased { instance: id.clone(), by }).into_iter().collect()
}

/// A rollback of one instance alone.
pub(super) fn check_rollback(state: &State, id: &InstanceId) -> Answer {
    let instance = find(state, id)?;
    if instance.phase != Phase::Failed || instance.is_evicting() {
        return Err(format!("{id} is {}: only a failed instance goes back alone", instance.shown().word().replace('_', " ")));
    }
    match rollback::previous(state, id) {
        _ if is_needed(state, id, instance) => Err(needed(id)),
        _ if instance.goal == Goal::Back => Err(format!("{id} could not go back; retry it")),
        Some(version) if rollback::can_go_back(state, id, instance) => Ok(format!("{id} goes back to {version}")),
        _ => Err(format!("{id} was not updated, or nobody knows its earlier version: there is nothing to go back to")),
    }
}

pub(super) fn roll_back(state: &State, id: &InstanceId) -> Vec<EventKind> {
    let version = rollback::previous(state, id);
    version.map(|version| EventKind::RestoreStarted { instance: id.clone(), version }).into_iter().collect()
}
