//! Undoing a deployment that has ended: who goes back to what, and what it left out of rotation.
//!
//! Imports: state, model. May not: decide whether to; act.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{DeploymentId, InstanceId, Rotation, Version};
use crate::state::{Phase, State};

/// A deployment of kind `rollback`, before it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The one that it undoes.
    pub undoes: DeploymentId,
    /// Where each instance goes, in the order in which they are taken. Others have no part in it.
    pub wanted: Vec<(InstanceId, Version)>,
}

impl Undo {
    pub(super) fn by_id(&self) -> BTreeMap<&InstanceId, (usize, &Version)> {
        self.wanted.iter().enumerate().map(|(place, (id, version))| (id, (place, version))).collect()
    }
}

/// What undoes the ended deployment `state`: every instance that it left on another version than it had before goes back
/// to its own, those that serve nothing first, then the newest first. `None` if there is nothing to undo.
pub fn undo(state: &State) -> Option<Undo> {
    let mut back: Vec<_> = state
        .plan
        .members
        .iter()
        .zip(state.instances.values())
        .filter(|(_, i)| i.exposed && i.phase != Phase::RolledBack)
        .filter_map(|(member, i)| {
            Some((i.serving, std::cmp::Reverse(i.order), member.target.id.clone(), member.previous.clone()?))
        })
        .collect();
    back.sort();
    let wanted: Vec<_> = back.into_iter().map(|(.., id, version)| (id, version)).collect();
    (!wanted.is_empty()).then(|| Undo { undoes: state.plan.deployment.clone(), wanted })
}

/// Instances that the ended deployment `state`, or one before it, took out of rotation and could not put back.
pub fn left_out(state: &State) -> BTreeSet<InstanceId> {
    let members = state.plan.members.iter().zip(state.instances.iter());
    let left = members.filter(|(member, (_, i))| {
        let inherited = member.left_out && member.rotation == Rotation::Draining && i.attempt == 0;
        !i.serving && (i.ours || inherited)
    });
    left.map(|(_, (id, _))| id.clone()).collect()
}
