//! What is still to come: the batches on the way forward, the order on the way back. As things stand; nothing is decided.
//!
//! Imports: state, model, core's rolling, canary and rollback. May not: act, tell a time.

use std::collections::VecDeque;

use indexmap::IndexMap;

use super::{canary, rollback, rolling};
use crate::model::{Member, Zones};
use crate::state::{Instance, Phase, State};

/// A batch that has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// From 1.
    pub number: u32,
    /// Who will be in it if nothing changes, by place in the plan.
    pub members: Vec<usize>,
    /// The canary step that it belongs to, from 1.
    pub step: Option<u32>,
    /// Which batch of the rules it is: see `rolling::place`.
    pub(super) place: u32,
}

/// The batches that have not begun; none once it goes back or comes to its end.
pub fn ahead(state: &State) -> Vec<Ahead> {
    if state.end.is_some() || state.rollback.is_some() || state.cancel.is_some() {
        return Vec::new();
    }
    let plan = &state.plan;
    let apart = plan.policy.strategy.zones == Zones::OneByOne;
    // In the plan's order, by zone where no batch spans two.
    let mut zones: IndexMap<Option<&str>, VecDeque<usize>> = IndexMap::new();
    let mut spares = Vec::new();
    let surge = state.batches == 0 && plan.spares() > 0;
    for (index, (member, instance)) in plan.members.iter().zip(state.instances.values()).enumerate() {
        if !is_free(state, member, instance) {
            continue;
        }
        if surge && member.spare {
            spares.push(index);
        } else {
            zones.entry(member.target.zone.as_deref().filter(|_| apart)).or_default().push_back(index);
        }
    }
    let mut steps = VecDeque::from(canary::still_to_take(state));
    let (mut all, mut number, mut rest_after) = (Vec::new(), state.batches, rest_after(state));
    let mut batch = |members: Vec<usize>, steps: &mut VecDeque<(u32, usize)>| {
        number += 1;
        let (place, step) = (rolling::place(plan, number, rest_after), steps.front().map(|(step, _)| *step));
        if let Some((_, missing)) = steps.front_mut() {
            *missing = missing.saturating_sub(members.len());
        }
        if steps.front().is_some_and(|(_, missing)| *missing == 0) {
            steps.pop_front();
            rest_after = number;
        }
        all.push(Ahead { number, members, step, place });
        rolling::place(plan, number + 1, rest_after)
    };
    let mut place = rolling::place(plan, state.batches + 1, self::rest_after(state));
    if !spares.is_empty() {
        place = batch(spares, &mut steps);
    }
    // From here on all are of one size: to ask for each would be to count the fleet each time.
    let listed = u32::try_from(plan.policy.strategy.batch_size.len()).unwrap_or(u32::MAX).saturating_add(3);
    let repeated = rolling::size_of(plan, listed);
    while let Some(zone) = zones.values_mut().filter(|zone| !zone.is_empty()).min_by_key(|zone| zone.front().copied()) {
        let size = if place < listed { rolling::size_of(plan, place) } else { repeated };
        let missing = steps.front().map_or(usize::MAX, |(_, missing)| *missing);
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(missing).clamp(1, zone.len());
        place = batch(zone.drain(..size).collect(), &mut steps);
    }
    all
}

/// After which batch the rules begin anew: a step whose last batch is at work will be over by then.
fn rest_after(state: &State) -> u32 {
    let over =
        state.step.as_ref().is_some_and(|run| canary::still_to_take(state).first().is_none_or(|(step, _)| *step != run.number));
    if over { state.batches } else { state.rest_after }
}

/// It waits for its turn.
fn is_free(state: &State, member: &Member, instance: &Instance) -> bool {
    let at_work = state.batch.as_ref().is_some_and(|batch| instance.batch == Some(batch.number));
    // Those that are there already are named before the first batch begins.
    let there = member.at_version && state.batches == 0;
    instance.phase == Phase::Pending && instance.held.is_none() && !at_work && !there
}

/// Those that have yet to go back, in the order in which they are taken, by place in the plan.
pub fn way_back(state: &State) -> Vec<usize> {
    if state.end.is_some() {
        return Vec::new();
    }
    rollback::order(state).into_iter().filter_map(|id| state.instances.get_index_of(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::core::batches;
    use crate::core::testing::{Fixture, id};
    use crate::model::{Count, Pacing};

    /// What is foretold before the start is what the plan says, whatever the strategy.
    #[test]
    fn before_the_start_it_is_the_plan() {
        let names = |run: &Fixture| -> Vec<Vec<String>> {
            let id = |index: &usize| run.state.instances.get_index(*index).unwrap().0.to_string();
            ahead(&run.state).iter().map(|batch| batch.members.iter().map(id).collect()).collect()
        };
        let planned = |run: &Fixture| -> Vec<Vec<String>> {
            batches(&run.plan).iter().map(|batch| batch.members.iter().map(ToString::to_string).collect()).collect()
        };
        for sizes in [vec![Count::Absolute(2)], vec![Count::Absolute(1), Count::Absolute(5), Count::Percent(30)]] {
            for pacing in [Pacing::Batch, Pacing::Window] {
                for zones in [Zones::Any, Zones::OneByOne] {
                    let mut run = Fixture::new(23).with(|p| {
                        (p.strategy.batch_size, p.strategy.pacing, p.strategy.zones) = (sizes.clone(), pacing, zones);
                    });
                    for n in 1..=23 {
                        run = run.with_member(n, |m| {
                            m.target.zone = Some(["a", "b", "c"][n * 3 / 24].to_owned());
                            m.at_version = n == 7;
                        });
                    }
                    assert_eq!(names(&run), planned(&run), "{sizes:?} {pacing:?} {zones:?}");
                }
            }
        }
    }

    #[test]
    fn what_begins_next_is_what_was_foretold_and_a_held_one_is_not_in_it() {
        let mut run = Fixture::new(8).started();
        run.command(Command::Hold { instance: id(4), reason: String::new() });
        let foretold: Vec<Vec<usize>> = ahead(&run.state).into_iter().map(|batch| batch.members).collect();
        assert_eq!(foretold, [vec![2, 4], vec![5, 6], vec![7]]);
        for n in [1, 2] {
            run.bring_to_healthy(n);
        }
        run.wait(crate::model::Span::from_secs(10));
        let members = &run.state.batch.as_ref().unwrap().members;
        assert_eq!(members, &[id(3), id(5)]);
        assert_eq!(ahead(&run.state).first().map(|batch| (batch.number, batch.members.clone())), Some((3, vec![5, 6])));
    }

    #[test]
    fn once_it_goes_back_nothing_is_ahead_and_the_newest_goes_first() {
        let mut run = Fixture::new(6).started();
        for n in [1, 2] {
            run.bring_to_healthy(n);
        }
        assert_eq!(way_back(&run.state), [1, 0]);
        run.command(Command::Rollback { reason: String::new(), only: None });
        assert!(ahead(&run.state).is_empty());
    }
}
