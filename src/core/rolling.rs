//! The rolling strategy: batches, their barrier, their bake.
//!
//! Imports: state, event, model, core's budget and pipeline. May not: move an instance on once it is taken.

use std::collections::{BTreeSet, VecDeque};

use serde::Serialize;

use crate::event::{Cause, EventKind, Found};
use crate::model::{Before, HookAt, InstanceId, Member, Pacing, Plan, Policy, Timestamp, Zones};
use crate::state::{Batch, Instance, Phase, State};

use super::hooks::{self, Turn};
use super::observed::is_in_rotation;
use super::{Observed, analysis, approval, budget, canary, judge, pause, pipeline};
use crate::mutant::{self, Mutant};

/// A batch as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBatch {
    /// From 1.
    pub number: u32,
    /// Who is in it.
    pub members: Vec<InstanceId>,
    /// How many serve while it is at work, if nothing else fails.
    pub serving: u32,
    /// The canary step that it belongs to, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Which batch of the rules it is: see `place`.
    #[serde(skip)]
    pub(super) place: u32,
}

/// The batches of a plan, if every instance that serves now is taken, and of the others those that are to be repaired.
pub fn batches(plan: &Plan) -> Vec<PlannedBatch> {
    let count =
        |which: &dyn Fn(&Member) -> bool| u32::try_from(plan.members.iter().filter(|m| which(m)).count()).unwrap_or(u32::MAX);
    let (serving, out) = (count(&|m| !m.spare && m.serves()), count(&|m| !m.spare && !m.serves() && m.excluded.is_none()));
    let taken = |m: &&Member| !m.at_version && m.excluded.is_none() && (m.spare || m.serves() || is_repaired(&plan.policy, m));
    let mut extra = 0;
    let mut pending: Vec<&Member> = plan.members.iter().filter(taken).collect();
    let allowed = budget::own(plan);
    let mut all: Vec<PlannedBatch> = Vec::new();
    let mut steps = VecDeque::from(canary::planned(plan));
    let mut rest_after = 0;
    while !pending.is_empty() {
        let number = u32::try_from(all.len() + 1).unwrap_or(u32::MAX);
        let place = place(plan, number, rest_after);
        let mut members = next_batch(plan, place, &pending);
        let step = steps.front().map(|(step, _)| *step);
        if let Some((_, missing)) = steps.front_mut() {
            members.truncate(*missing);
            *missing -= members.len();
        }
        if steps.front().is_some_and(|(_, missing)| *missing == 0) {
            steps.pop_front();
            rest_after = number;
        }
        let taken: BTreeSet<&InstanceId> = members.iter().collect();
        pending.retain(|m| !taken.contains(&m.target.id));
        if is_surge(plan, place) {
            all.push(PlannedBatch { number, members, serving, step, place });
            extra = plan.spares();
            continue;
        }
        let room = (allowed + extra).saturating_sub(out);
        let repaired = plan.members.iter().filter(|m| !m.serves() && taken.contains(&m.target.id)).count();
        let width = width(plan, place).min(u32::try_from(members.len() - repaired).unwrap_or(u32::MAX));
        all.push(PlannedBatch { number, members, serving: (serving + extra).saturating_sub(room.min(width)), step, place });
    }
    all
}

/// Which batch of the rules number `number` is: each canary step, and the rest after them, begins with the first again. Extra
/// capacity is started once.
pub(super) fn place(plan: &Plan, number: u32, rest_after: u32) -> u32 {
    number.saturating_sub(rest_after).max(1) + u32::from(rest_after > 0 && plan.spares() > 0)
}

/// Taken although it does not serve, before all others and outside the budget: that can only make it better.
pub(super) fn is_repaired(policy: &Policy, member: &Member) -> bool {
    !member.serves() && (member.is_left_out() || policy.health.before == Before::First && is_in_rotation(member.rotation))
}

/// Who of `pending`, in their order, goes into batch `number`: none of another zone, where zones go one by one.
pub(super) fn next_batch(plan: &Plan, number: u32, pending: &[&Member]) -> Vec<InstanceId> {
    if is_surge(plan, number) {
        return pending.iter().filter(|m| m.spare).map(|m| m.target.id.clone()).collect();
    }
    let size = usize::try_from(size_of(plan, number)).unwrap_or(usize::MAX);
    let zone = pending.first().map(|m| &m.target.zone);
    let apart = plan.policy.strategy.zones == Zones::OneByOne;
    let together = pending.iter().filter(|m| !apart || Some(&m.target.zone) == zone);
    together.take(size).map(|m| m.target.id.clone()).collect()
}

/// Extra capacity comes first, in a batch of its own.
fn is_surge(plan: &Plan, number: u32) -> bool {
    number == 1 && plan.members.iter().any(|m| m.spare)
}

/// Which entry of the list of sizes a batch goes by, from 1.
fn entry(plan: &Plan, number: u32) -> u32 {
    number - u32::from(number > 1 && is_surge(plan, 1))
}

/// How many instances batch `number` (from 1) takes: the list's entry, the last repeats. Shares are of the fleet. With a
/// window the last batch is all that is left, and the first of a list of one is a single instance.
pub(super) fn size_of(plan: &Plan, number: u32) -> u32 {
    if is_surge(plan, number) {
        return plan.spares();
    }
    if is_window(plan, number) {
        return u32::MAX;
    }
    if plan.policy.strategy.pacing == Pacing::Window && plan.policy.strategy.batch_size.len() == 1 {
        return 1;
    }
    width(plan, number)
}

/// How many of batch `number` may be at work at once.
pub(super) fn width(plan: &Plan, number: u32) -> u32 {
    if is_surge(plan, number) {
        return plan.spares();
    }
    let number = entry(plan, number);
    let sizes = &plan.policy.strategy.batch_size;
    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX).min(sizes.len().saturating_sub(1));
    let total = plan.total();
    sizes.get(index).map_or(1, |size| size.floor_min_one_of(total))
}

fn is_window(plan: &Plan, number: u32) -> bool {
    let lists = u32::try_from(plan.policy.strategy.batch_size.len()).unwrap_or(u32::MAX);
    plan.policy.strategy.pacing == Pacing::Window && !is_surge(plan, number) && entry(plan, number) >= lists.max(2)
}

/// What the strategy does next. While it is looked into whose doing failures are, that is nothing: neither another
/// instance nor a pause, which would put off what the failures lead to.
pub(super) fn next(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.started_at.is_none() || state.rollback.is_some() || state.cancel.is_some() || judge::is_open(state) {
        return None;
    }
    match &state.batch {
        Some(batch) => at_work(state, observed, now, batch),
        None if state.pause.is_some() => None,
        None => begin(state, now),
    }
}

/// The next batch, after those that have nothing to do are named.
fn begin(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
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
    let free = |(_, i): &(&Member, &Instance)| i.phase == Phase::Pending && i.held.is_none();
    let pending: Vec<&Member> = state.plan.members.iter().zip(state.instances.values()).filter(free).map(|(m, _)| m).collect();
    before(state, now, &pending).or(|| {
        if pending.is_empty() {
            return approval::before_the_end(state, now).map(|question| vec![question]);
        }
        if approval::blocks_next_batch(state) {
            return approval::before_next_batch(state, now).map(|question| vec![question]);
        }
        let members = next_batch(&state.plan, place(&state.plan, state.batches + 1, state.rest_after), &pending);
        batch(state, now, members)
    })
}

/// What comes before the next batch of the rest: hooks, then the steps of a canary.
fn before(state: &State, now: Timestamp, pending: &[&Member]) -> Turn {
    let nothing_to_do = pending.is_empty() && state.batches == 0 && state.hook.is_none();
    let first = || if nothing_to_do { Turn::Done } else { hooks::next(state, now, HookAt::BeforeDeployment, 1) };
    let after = || if state.batches == 0 { Turn::Done } else { hooks::next(state, now, HookAt::AfterBatch, state.batches) };
    let step = || match canary::next(state, now, pending) {
        Turn::Act(events) => match events.as_slice() {
            [EventKind::BatchStarted { members, .. }] => batch(state, now, members.clone()).map_or(Turn::Wait, Turn::Act),
            _ => Turn::Act(events),
        },
        turn => turn,
    };
    first().then(after).then(step)
}

/// The next batch, after its hooks.
fn batch(state: &State, now: Timestamp, members: Vec<InstanceId>) -> Option<Vec<EventKind>> {
    let batch = state.batches + 1;
    hooks::next(state, now, HookAt::BeforeBatch, batch).or(|| Some(vec![EventKind::BatchStarted { batch, members }]))
}

fn at_work(state: &State, observed: &Observed, now: Timestamp, batch: &Batch) -> Option<Vec<EventKind>> {
    let members: Vec<(&InstanceId, &Instance)> = batch.members.iter().filter_map(|id| Some((id, state.instance(id)?))).collect();
    let at_work = u32::try_from(members.iter().filter(|(_, i)| i.is_active()).count()).unwrap_or(u32::MAX);
    if let Some((id, _)) = members.iter().find(|(_, i)| i.phase == Phase::Pending) {
        if state.pause.is_some() || at_work >= width(&state.plan, place(&state.plan, batch.number, state.rest_after)) {
            return None;
        }
        return match budget::may_take(state, observed, id) {
            Ok(()) => Some(vec![EventKind::InstanceCheckStarted {
                instance: (*id).clone(),
                until: pipeline::check_deadline(state, now),
            }]),
            Err(_) if !state.active.is_empty() || mutant::is(Mutant::WaitInSilence) => None,
            Err(denied) => Some(vec![pause(Cause::Capacity, budget::words(state, observed, id, &denied))]),
        };
    }
    if at_work > 0 {
        return None;
    }
    match batch.bake_until {
        None => {
            // Where nobody was updated there is nothing to watch.
            let bake_until = if idle(&members) { now } else { now + state.plan.policy.strategy.batch_pause };
            Some(vec![EventKind::BatchVerified { batch: batch.number, bake_until }])
        }
        // What was measured since the bake began must speak for it.
        Some(until)
            if now >= until
                && members.iter().all(|(id, i)| is_still_healthy(observed, id, i))
                && (idle(&members) || analysis::has_passed(state)) =>
        {
            Some(vec![EventKind::BatchCompleted { batch: batch.number }])
        }
        Some(_) => None,
    }
}

/// Nobody of them was updated.
fn idle(members: &[(&InstanceId, &Instance)]) -> bool {
    !members.iter().any(|(_, i)| i.exposed)
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
            let size = size_of(&fixture.state.plan, number).min(left);
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

    fn planned(total: u32, change: impl FnOnce(&mut Policy)) -> Vec<(usize, u32)> {
        let fixture = Fixture::new(total).with(change);
        batches(&fixture.plan).iter().map(|b| (b.members.len(), b.serving)).collect()
    }

    /// product.md: a window drops the barrier for all but the first batch, which is one; earlier entries of a list are
    /// batches, the last is the width.
    #[test]
    fn a_window_is_the_last_batch_and_holds_all_that_is_left() {
        use Count::{Absolute, Percent};
        let window = |sizes: Vec<Count>| {
            move |p: &mut Policy| {
                (p.strategy.pacing, p.strategy.batch_size, p.strategy.max_unavailable) = (Pacing::Window, sizes, Absolute(6));
            }
        };
        assert_eq!(planned(20, window(vec![Absolute(4)])), [(1, 19), (19, 16)]);
        assert_eq!(planned(20, window(vec![Absolute(1), Absolute(5), Percent(30)])), [(1, 19), (5, 15), (14, 14)]);
    }

    #[test]
    fn in_a_window_the_next_is_taken_when_one_is_finished() {
        let mut run = Fixture::new(6)
            .with(|p| {
                (p.strategy.pacing, p.strategy.batch_size) = (Pacing::Window, vec![Count::Absolute(2)]);
                p.strategy.max_unavailable = Count::Absolute(3);
            })
            .started();
        let at_work = |run: &Fixture| run.state.active.iter().copied().collect::<Vec<_>>();
        assert_eq!(at_work(&run), [0], "the first goes alone");
        run.bring_to_healthy(1);
        run.wait(crate::model::Span::from_secs(10));
        assert_eq!(at_work(&run), [1, 2]);
        run.bring_to_healthy(3);
        assert_eq!(at_work(&run), [1, 3], "no barrier: the fourth is taken while the second is at work");
    }

    #[test]
    fn zones_go_one_by_one_and_no_batch_spans_two() {
        let mut fixture = Fixture::new(7).with(|p| {
            (p.strategy.zones, p.strategy.batch_size) = (Zones::OneByOne, vec![Count::Absolute(1), Count::Absolute(2)]);
        });
        for (n, zone) in (1..).zip(["a", "a", "a", "b", "b", "b", "c"]) {
            fixture = fixture.with_member(n, |m| m.target.zone = Some(zone.to_owned()));
        }
        let sizes: Vec<usize> = batches(&fixture.plan).iter().map(|b| b.members.len()).collect();
        assert_eq!(sizes, [1, 2, 2, 1, 1]);
        let run = fixture.started();
        assert_eq!(run.state.batch.as_ref().unwrap().members.len(), 1);
    }
}
