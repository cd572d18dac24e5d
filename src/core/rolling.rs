//! The rolling strategy: batches, their barrier, their bake.
//!
//! Imports: state, event, model, core's budget and pipeline. May not: move an instance on once it is taken.

use serde::Serialize;

use crate::event::{EventKind, Found};
use crate::model::{Before, InstanceId, Member, Plan, Rotation, Timestamp};
use crate::state::{Batch, Instance, Phase, State};

use super::budget::{self, Denied};
use super::observed::is_in_rotation;
use super::{Observed, pause, pipeline, rollback};

/// A batch as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBatch {
    /// From 1.
    pub number: u32,
    /// Who is in it.
    pub members: Vec<InstanceId>,
    /// How many serve while it is at work, if nothing else fails.
    pub serving: u32,
}

/// The batches of a plan, if every instance that serves now is taken, and of the others those that are to be repaired.
pub fn batches(plan: &Plan) -> Vec<PlannedBatch> {
    let total = u32::try_from(plan.members.len()).unwrap_or(u32::MAX);
    let serves = |m: &&Member| m.healthy && m.rotation == Rotation::Serving;
    let serving = u32::try_from(plan.members.iter().filter(serves).count()).unwrap_or(u32::MAX);
    let repaired = |m: &Member| plan.policy.health.before == Before::First && is_in_rotation(m.rotation);
    let taken = plan.members.iter().filter(|m| !m.at_version && (serves(m) || repaired(m)));
    let mut pending = taken.map(|m| m.target.id.clone()).peekable();
    let max = budget::limit(plan.policy.strategy.max_unavailable, total).saturating_sub(total - serving);
    let mut all = Vec::new();
    while pending.peek().is_some() {
        let number = u32::try_from(all.len() + 1).unwrap_or(u32::MAX);
        let size = usize::try_from(size_of(plan, number)).unwrap_or(usize::MAX);
        let members: Vec<InstanceId> = pending.by_ref().take(size).collect();
        let out = max.min(u32::try_from(members.len()).unwrap_or(u32::MAX));
        all.push(PlannedBatch { number, members, serving: serving.saturating_sub(out) });
    }
    all
}

/// How many instances batch `number` (from 1) takes: the list's entry, the last repeats. Shares are of the fleet.
pub(super) fn batch_size(state: &State, number: u32) -> u32 {
    size_of(&state.plan, number)
}

fn size_of(plan: &Plan, number: u32) -> u32 {
    let sizes = &plan.policy.strategy.batch_size;
    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX).min(sizes.len().saturating_sub(1));
    let total = u32::try_from(plan.members.len()).unwrap_or(u32::MAX);
    sizes.get(index).map_or(1, |size| size.floor_min_one_of(total))
}

/// What the strategy does next.
pub(super) fn next(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.started_at.is_none() || state.rollback.is_some() || state.cancel.is_some() {
        return None;
    }
    match &state.batch {
        Some(batch) => at_work(state, observed, now, batch),
        None if state.pause.is_some() => None,
        None => begin(state),
    }
}

/// The next batch, after those that have nothing to do are named.
fn begin(state: &State) -> Option<Vec<EventKind>> {
    if state.batches == 0 {
        let there: Vec<EventKind> = state
            .plan
            .members
            .iter()
            .zip(state.instances.values())
            .filter(|(member, instance)| member.at_version && instance.phase == Phase::Pending)
            .map(|(member, _)| EventKind::InstanceSkipped {
                instance: member.target.id.clone(),
                reason: format!("already at {}", member.wanted),
                found: Found::AtVersion,
            })
            .collect();
        if !there.is_empty() {
            return Some(there);
        }
    }
    let batch = state.batches + 1;
    let size = usize::try_from(batch_size(state, batch)).unwrap_or(usize::MAX);
    let pending = state.instances.iter().filter(|(_, i)| i.phase == Phase::Pending);
    let members: Vec<InstanceId> = pending.map(|(id, _)| id.clone()).take(size).collect();
    (!members.is_empty()).then(|| vec![EventKind::BatchStarted { batch, members }])
}

fn at_work(state: &State, observed: &Observed, now: Timestamp, batch: &Batch) -> Option<Vec<EventKind>> {
    let members: Vec<(&InstanceId, &Instance)> = batch.members.iter().filter_map(|id| Some((id, state.instance(id)?))).collect();
    if let Some((id, _)) = members.iter().find(|(_, i)| i.phase == Phase::Pending) {
        if state.pause.is_some() {
            return None;
        }
        return match budget::may_take(state, observed, id) {
            Ok(()) => Some(vec![EventKind::InstanceCheckStarted {
                instance: (*id).clone(),
                until: pipeline::check_deadline(state, now),
            }]),
            Err(_) if !state.active.is_empty() => None,
            Err(Denied::Budget(holders)) => Some(vec![pause(rollback::held_by(&holders))]),
            Err(Denied::Floor { others, floor }) => {
                Some(vec![pause(format!("without {id} only {others} would serve, min_serving is {floor}"))])
            }
        };
    }
    if members.iter().any(|(_, i)| i.is_active()) {
        return None;
    }
    match batch.bake_until {
        None => {
            // Where nobody was updated there is nothing to watch.
            let idle = !members.iter().any(|(_, i)| i.exposed);
            let bake_until = if idle { now } else { now + state.plan.policy.strategy.batch_pause };
            Some(vec![EventKind::BatchVerified { batch: batch.number, bake_until }])
        }
        Some(until) if now >= until && members.iter().all(|(id, i)| is_still_healthy(observed, id, i)) => {
            Some(vec![EventKind::BatchCompleted { batch: batch.number }])
        }
        Some(_) => None,
    }
}

/// At the end of the bake the last probe of every healthy member must be a pass: a doubt is waited out.
fn is_still_healthy(observed: &Observed, id: &InstanceId, instance: &Instance) -> bool {
    instance.phase != Phase::Healthy || observed.of(id).is_some_and(|s| s.misses == 0 && s.last.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::Fixture;
    use crate::model::Count;

    fn sizes(total: u32, list: &[Count]) -> Vec<u32> {
        let fixture = Fixture::new(total).with(|p| p.strategy.batch_size = list.to_vec());
        let (mut left, mut all, mut number) = (total, Vec::new(), 1);
        while left > 0 {
            let size = batch_size(&fixture.state, number).min(left);
            all.push(size);
            (left, number) = (left - size, number + 1);
        }
        all
    }

    /// engines.md §3.1: floor with minimum one, the last entry repeats, the remainder is a smaller batch.
    #[test]
    fn batches_follow_the_vectors() {
        use Count::{Absolute, Percent};
        assert_eq!(sizes(20, &[Percent(30)]), [6, 6, 6, 2]);
        assert_eq!(sizes(20, &[Absolute(2)]), [2; 10]);
        assert_eq!(sizes(20, &[Absolute(1), Absolute(5), Percent(30)]), [1, 5, 6, 6, 2]);
        assert_eq!(sizes(3, &[Percent(25)]), [1, 1, 1]);
        assert_eq!(sizes(5, &[Absolute(50)]), [5]);
        assert_eq!(sizes(1, &[Percent(1)]), [1]);
    }
}
