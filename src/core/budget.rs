//! How many may be out: the set U, the budget, the floor.
//!
//! Imports: state, model, core's `Observed`. May not: choose who is next.

use crate::model::{Count, InstanceId, Plan};
use crate::mutant::{self, Mutant};
use crate::state::{Instance, Phase, State};

use super::Observed;

/// How many instances may be out at once. A share that rounds to nothing is one: nothing could ever move otherwise
/// (Kubernetes' rule for `maxUnavailable`).
pub(super) fn limit(count: Count, total: u32) -> u32 {
    match count {
        Count::Absolute(n) => n,
        Count::Percent(_) => count.floor_min_one_of(total),
    }
}

/// How many may be out by `strategy.max_unavailable`, extra capacity apart. Where there is some, a share may well be nothing.
pub(super) fn own(plan: &Plan) -> u32 {
    let (count, total) = (plan.policy.strategy.max_unavailable, plan.total());
    if plan.spares() > 0 { count.floor_of(total) } else { limit(count, total) }
}

/// The instance does not serve, or is about to be taken: out by our doing, or down, or not in rotation.
pub(super) fn is_out(state: &State, observed: &Observed, id: &InstanceId, instance: &Instance) -> bool {
    if instance.ours {
        return true;
    }
    match instance.phase {
        // A failed one that could not be taken out may have recovered: what is seen of it counts.
        Phase::Pending | Phase::Skipped | Phase::Healthy | Phase::RolledBack | Phase::Settling { .. } | Phase::Failed => {
            !instance.serving || is_failing(state, observed, id, instance)
        }
        Phase::Checking
        | Phase::TakingOut
        | Phase::Draining
        | Phase::Drained
        | Phase::Updating
        | Phase::Verifying { .. }
        | Phase::Admitting
        | Phase::Returning { .. }
        | Phase::Restoring => true,
    }
}

/// By what was seen of it, else by what the journal knows: only a pass speaks against that.
fn is_failing(state: &State, observed: &Observed, id: &InstanceId, instance: &Instance) -> bool {
    if observed.is_down_at_balancer(id) {
        return true;
    }
    let seen = observed.of(id).filter(|s| s.last.is_some());
    seen.map_or(instance.down, |s| s.is_failing(state.plan.policy.health.retries) || instance.down && s.misses > 0)
}

/// All of the fleet that do not serve, by id, in plan order.
fn not_serving<'a>(state: &'a State, observed: &Observed) -> Vec<&'a InstanceId> {
    let fleet = state.instances.iter().filter(|(_, instance)| !instance.spare);
    fleet.filter(|(id, instance)| is_out(state, observed, id, instance)).map(|(id, _)| id).collect()
}

/// Spares that serve: so many more may be out.
pub(super) fn extra(state: &State, observed: &Observed) -> u32 {
    let serves = |id: &InstanceId, i: &Instance| {
        i.phase == Phase::Healthy && i.serving && !is_failing(state, observed, id, i) || mutant::is(Mutant::CountLostSpares)
    };
    let spares = state.instances.iter().filter(|(id, i)| i.spare && serves(id, i));
    u32::try_from(spares.count()).unwrap_or(u32::MAX)
}

/// How many may be out now.
fn allowed(state: &State, observed: &Observed) -> u32 {
    own(&state.plan).saturating_add(extra(state, observed))
}

/// U, by id, in plan order: all that do not serve, but for those that an operator discounted.
pub(super) fn out<'a>(state: &'a State, observed: &Observed) -> Vec<&'a InstanceId> {
    let mut out = not_serving(state, observed);
    out.retain(|id| state.instance(id).is_none_or(|i| !i.discounted && (i.ours || !mutant::is(Mutant::CountOnlyOurs))));
    out
}

/// Why an instance may not be taken out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denied {
    /// These hold the whole budget.
    Budget(Vec<InstanceId>),
    /// Fewer than `min_serving` others would serve.
    Floor {
        /// How many others would.
        others: u32,
        /// How many must.
        floor: u32,
    },
}

/// Why `id` may not be taken out, in words, with the ways out.
pub(super) fn words(state: &State, observed: &Observed, id: &InstanceId, denied: &Denied) -> String {
    const SHOWN: usize = 5;
    match denied {
        Denied::Floor { others, floor } => format!("without {id} only {others} would serve, min_serving is {floor}"),
        Denied::Budget(holders) => {
            let named = |id: &InstanceId| match why_out(state, observed, id) {
                Some(why) => format!("{id} ({why})"),
                None => id.to_string(),
            };
            let shown: Vec<String> = holders.iter().take(SHOWN).map(named).collect();
            if holders.is_empty() {
                return format!(
                    "max_unavailable is 0, and no extra capacity serves{}; retry it, or cancel",
                    lost(state, observed)
                );
            }
            let more = holders.len().saturating_sub(SHOWN);
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("budget held by {}{tail}; repair, retry or skip, then resume", shown.join(", "))
        }
    }
}

/// The spares that do not serve, and why.
fn lost(state: &State, observed: &Observed) -> String {
    let spares = state.instances.iter().filter(|(_, i)| i.spare);
    let named = spares.map(|(id, _)| match why_out(state, observed, id) {
        Some(why) => format!("{id} ({why})"),
        None => id.to_string(),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

/// Why an instance does not serve, in a few words.
fn why_out(state: &State, observed: &Observed, id: &InstanceId) -> Option<String> {
    let instance = state.instance(id)?;
    let failure = instance.failure.as_ref().filter(|_| instance.phase == Phase::Failed).map(|f| f.reason.clone());
    let planned = state.member(id).filter(|m| !m.serves()).map(crate::model::Member::trouble);
    let why = failure
        .or_else(|| instance.skipped.clone())
        .or_else(|| observed.trouble_of(id))
        .or(planned)
        .filter(|why| !why.is_empty())?;
    Some(why.chars().take(80).collect())
}

/// Whether `id` may be taken out: it is in U already, or U has room; and enough others serve.
pub(super) fn may_take(state: &State, observed: &Observed, id: &InstanceId) -> Result<(), Denied> {
    let max = allowed(state, observed);
    let dead = not_serving(state, observed);
    if state.instance(id).is_some_and(|i| i.spare) || dead.contains(&id) || mutant::is(Mutant::LookForever) {
        return Ok(());
    }
    room(&out(state, observed), max)?;
    floor((state, observed), &dead)
}

/// As `may_take`, for one that was just looked at and would now be drained: it is counted as out already, but if it was
/// found to serve, taking it lowers what serves.
pub(super) fn may_go_on(state: &State, observed: &Observed, (id, serves): (&InstanceId, bool)) -> Result<(), Denied> {
    if !serves {
        return Ok(());
    }
    let max = allowed(state, observed);
    let others = |mut ids: Vec<&InstanceId>| {
        ids.retain(|other| *other != id);
        ids.into_iter().cloned().collect::<Vec<InstanceId>>()
    };
    let (out, dead) = (others(out(state, observed)), others(not_serving(state, observed)));
    room(&out.iter().collect::<Vec<_>>(), max)?;
    floor((state, observed), &dead.iter().collect::<Vec<_>>())
}

/// As `may_take`, in a rollback: only instances on their way hold its budget, for the others cannot be repaired by waiting.
/// One in rotation counts as serving unless it is seen to fail: after a crash the journal's word on it may be old.
pub(super) fn may_restore(state: &State, observed: &Observed, id: &InstanceId) -> Result<(), Denied> {
    let retries = state.plan.policy.health.retries;
    let in_rotation = state.instance(id).is_none_or(|i| i.serving);
    let seen_failing = observed.is_down_at_balancer(id) || observed.of(id).is_some_and(|seen| seen.is_failing(retries));
    if !in_rotation || seen_failing {
        return Ok(());
    }
    // Without extra capacity a budget of nothing would hold the way back up for ever.
    let max = limit(state.plan.policy.rollback.max_unavailable, state.total()).saturating_add(extra(state, observed)).max(1);
    let mut dead = not_serving(state, observed);
    dead.retain(|other| *other != id);
    let on_their_way: Vec<&InstanceId> =
        dead.iter().copied().filter(|id| state.instance(id).is_some_and(Instance::is_active)).collect();
    room(&on_their_way, max)?;
    floor((state, observed), &dead)
}

fn room(out: &[&InstanceId], max: u32) -> Result<(), Denied> {
    if count(out) < max || mutant::is(Mutant::ForgetBudget) {
        Ok(())
    } else {
        Err(Denied::Budget(out.iter().map(|id| (*id).clone()).collect()))
    }
}

/// The floor holds even where the arithmetic of the budget would allow more, and nobody is discounted from it.
fn floor((state, observed): (&State, &Observed), dead: &[&InstanceId]) -> Result<(), Denied> {
    let floor = state.plan.policy.strategy.min_serving.ceil_of(state.total());
    let others = (state.total() + extra(state, observed)).saturating_sub(count(dead)).saturating_sub(1);
    if others < floor && !mutant::is(Mutant::ForgetFloor) { Err(Denied::Floor { others, floor }) } else { Ok(()) }
}

/// How many serve, as far as is known.
pub(super) fn serving(state: &State, observed: &Observed) -> u32 {
    (state.total() + extra(state, observed)).saturating_sub(count(&not_serving(state, observed)))
}

/// How many serve beyond those that must.
pub(super) fn above_the_floor(state: &State, observed: &Observed) -> u32 {
    serving(state, observed).saturating_sub(state.plan.policy.strategy.min_serving.ceil_of(state.total()))
}

/// Whether others than `id` use the whole budget, by what the journal knows.
pub(super) fn is_used_up_without(state: &State, id: &InstanceId) -> bool {
    let max = allowed(state, &Observed::default());
    let mut others = out(state, &Observed::default());
    others.retain(|other| *other != id);
    room(&others, max).is_err()
}

/// Whether taking a failed instance out leaves at least `min_serving` others that serve, by what the journal knows.
pub(super) fn may_evict(state: &State, id: &InstanceId) -> bool {
    let floor = state.plan.policy.strategy.min_serving.ceil_of(state.total());
    let others = state.instances.iter().filter(|(other, i)| *other != id && i.serving && !i.ours && !i.down).count();
    u32::try_from(others).unwrap_or(u32::MAX) >= floor || mutant::is(Mutant::EvictAnyway)
}

fn count(ids: &[&InstanceId]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{Fixture, id};

    /// engines.md §3.1: share of the fleet rounded down, at least one.
    #[test]
    fn unavailable_rounds_down_but_never_to_nothing() {
        for (total, percent, expected) in [(10, 25, 2), (3, 25, 1), (1, 25, 1), (4, 30, 1), (2, 1, 1), (5, 10, 1), (20, 10, 2)] {
            assert_eq!(limit(Count::Percent(percent), total), expected, "{percent}% of {total}");
        }
        assert_eq!(limit(Count::Absolute(3), 10), 3);
    }

    /// What must stay rounds up (ECS, CodeDeploy): 40 % of nine is four.
    #[test]
    fn floors_round_up() {
        for (total, percent, expected) in [(9, 40, 4), (10, 25, 3), (3, 50, 2), (1, 1, 1), (7, 100, 7), (7, 0, 0)] {
            assert_eq!(Count::Percent(percent).ceil_of(total), expected, "{percent}% of {total}");
        }
    }

    #[test]
    fn one_that_died_by_itself_uses_the_budget_up() {
        let mut run = Fixture::new(5).with(|p| p.strategy.max_unavailable = Count::Absolute(1));
        assert_eq!(may_take(&run.state, &run.observed, &id(2)), Ok(()));
        run.misses(5, 3);
        assert_eq!(may_take(&run.state, &run.observed, &id(2)), Err(Denied::Budget(vec![id(5)])));
        assert_eq!(may_take(&run.state, &run.observed, &id(5)), Ok(()), "it is out already: taking it lowers nothing");
    }

    #[test]
    fn the_floor_holds_even_where_the_budget_would_allow_more() {
        let run = Fixture::new(2)
            .with(|p| (p.strategy.max_unavailable, p.strategy.min_serving) = (Count::Absolute(2), Count::Absolute(2)))
            .started();
        assert_eq!(may_take(&run.state, &run.observed, &id(1)), Err(Denied::Floor { others: 1, floor: 2 }));
    }
}
