//! What should be under way: a function of the state alone, the same live and after a crash.
//!
//! Imports: state, effect, model, core's budget. May not: know what is in flight.

use crate::effect::{Effect, EffectKind};
use crate::model::{EffectId, InstanceId};
use crate::state::{Goal, Instance, Phase, State};

use super::{analysis, budget, canary, hooks};
use crate::mutant::{self, Mutant};

/// All acts that `state` wants.
pub fn wanted(state: &State) -> Vec<Effect> {
    (0..state.instances.len()).flat_map(|index| wanted_for(state, index)).chain(wanted_for_fleet(state)).collect()
}

/// The acts that `state` wants on the instance at `index`.
pub fn wanted_for(state: &State, index: usize) -> Vec<Effect> {
    let Some((id, instance)) = state.instances.get_index(index) else { return Vec::new() };
    if state.end.is_some() {
        return Vec::new();
    }
    let act = match &instance.phase {
        Phase::Checking => Some(EffectKind::Survey),
        Phase::TakingOut => Some(EffectKind::TakeOut),
        Phase::Draining => Some(EffectKind::AwaitIdle),
        Phase::Updating => update(state, id, instance),
        // Not before the balancers have the weight that it is to serve with.
        Phase::Admitting => canary::is_weighed(state, id).then_some(EffectKind::Admit),
        Phase::Returning { .. } => Some(EffectKind::Admit),
        Phase::Failed if instance.is_evicting() && budget::may_evict(state, id) => Some(EffectKind::TakeOut),
        Phase::Pending
        | Phase::Drained
        | Phase::Verifying { .. }
        | Phase::Settling { .. }
        | Phase::Healthy
        | Phase::Failed
        | Phase::Skipped
        | Phase::Restoring
        | Phase::RolledBack => None,
    };
    let effect = |word: &str, number: u32, kind: EffectKind| Effect {
        id: EffectId::new(&state.plan.deployment, Some(id), word, number),
        instance: Some(id.clone()),
        kind,
    };
    // Nothing runs on a spare before it is started, and nothing afterwards.
    let watched = !instance.spare || instance.is_touched();
    let own = act.into_iter().chain(watched.then(|| watch(state, (index, id), instance)));
    let late = u32::from(state.recovered_at.is_some() && mutant::is(Mutant::NewIdAfterRecovery));
    let own = own.map(|kind| effect(kind.word(), instance.attempt + late, kind));
    // Beside its work, under an id of its own: what is in flight for it goes on.
    let again = instance.slipped.then(|| effect("take-out-again", instance.slips, EffectKind::TakeOut));
    own.chain(again).collect()
}

/// The acts that `state` wants on the fleet as a whole.
pub fn wanted_for_fleet(state: &State) -> Vec<Effect> {
    if state.end.is_some() || state.started_at.is_none() {
        return Vec::new();
    }
    let health = &state.plan.policy.health;
    let kind = match (state.end_check_until, state.end_checked) {
        (Some(_), None) => EffectKind::SurveyFleet,
        // While something is out, a balancer that forgets it does harm.
        (Some(_), Some(_)) | (None, _) => {
            EffectKind::WatchRotation { every: if state.out > 0 { health.interval } else { health.watch_interval } }
        }
    };
    let effect =
        |kind: EffectKind| Effect { id: EffectId::new(&state.plan.deployment, None, kind.word(), 1), instance: None, kind };
    let between = canary::wanted(state).into_iter().chain(hooks::wanted(state)).chain(analysis::wanted(state));
    [effect(kind)].into_iter().chain(between).collect()
}

fn update(state: &State, id: &InstanceId, instance: &Instance) -> Option<EffectKind> {
    let member = state.member(id)?;
    if instance.spare && instance.goal == Goal::Back {
        return Some(EffectKind::Retire);
    }
    let (version, previous) = match instance.goal {
        Goal::Forward => (member.wanted.clone(), member.previous.clone()),
        Goal::Back => (member.previous.clone()?, Some(member.wanted.clone())),
    };
    Some(EffectKind::Update { version, previous })
}

/// Every instance is watched until the end: closely while its samples decide something.
fn watch(state: &State, (index, id): (usize, &InstanceId), instance: &Instance) -> EffectKind {
    let health = &state.plan.policy.health;
    let looked_at = state.is_looking() && state.look.as_ref().is_some_and(|look| look.peers.contains(&index));
    let baking = state.batch.as_ref().is_some_and(|b| b.number == instance.batch.unwrap_or(0));
    let (attentive, updated) = match instance.phase {
        Phase::Verifying { .. } | Phase::Admitting | Phase::Settling { .. } => (true, true),
        Phase::Healthy => (baking, true),
        Phase::RolledBack => (false, true),
        Phase::Pending | Phase::Skipped => (looked_at, false),
        Phase::Checking
        | Phase::TakingOut
        | Phase::Draining
        | Phase::Drained
        | Phase::Updating
        | Phase::Failed
        | Phase::Returning { .. }
        | Phase::Restoring => (false, false),
    };
    let member = state.member(id).filter(|_| updated && health.expects_version && !mutant::is(Mutant::IgnoreVersion));
    let expect = member.and_then(|m| match instance.goal {
        Goal::Forward => Some(m.wanted.clone()),
        Goal::Back => m.previous.clone(),
    });
    let every = if attentive { health.interval } else { health.watch_interval };
    EffectKind::Watch { every, expect, attentive, startup: attentive && updated }
}
