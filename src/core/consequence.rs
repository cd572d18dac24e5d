//! What a command would do if it were given now.
//!
//! Imports: state, command, model, core's parts. May not: act.

use crate::command::{Command, Refusal};
use crate::model::{InstanceId, InstanceState, Span, Timestamp};
use crate::state::{Goal, Instance, Phase, State};

use super::{Observed, budget, canary, operate, rollback};

/// What follows from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consequence {
    /// Instances that will be acted on, in the order in which they are taken.
    pub changes: Vec<InstanceId>,
    /// In words: `8 healthy on v413, 3 in progress`.
    pub will_change: String,
    /// In words: `7 pending, 1 skipped`.
    pub will_not: String,
    /// In words: `those out of rotation at once, then newest first, 2 at a time`.
    pub order: String,
    /// How many serve now.
    pub serving: u32,
    /// The fewest that will serve.
    pub lowest_serving: u32,
    /// About how long it takes, if that can be told.
    pub takes: Option<Span>,
    /// How it ends, in words.
    pub then: String,
}

/// What `command` would do, or why it would be refused.
///
/// # Errors
/// Fails with the engine's own refusal.
pub fn consequence(state: &State, command: &Command, _now: Timestamp) -> Result<Consequence, Refusal> {
    operate::check(state, command)?;
    Ok(match command {
        // What was asked for before goes on.
        Command::Resume if state.cancel.is_some() => cancel(state),
        Command::Resume if state.rollback.is_some() => back(state),
        Command::Promote { full } if state.step.is_some() => promoted(state, *full),
        Command::Start | Command::Resume | Command::Promote { .. } => forward(state),
        // It joins what goes on already.
        Command::Rollback { .. } if operate::is_rollback(state) => forward(state),
        Command::Pause { .. } => pause(state),
        Command::Cancel { .. } if state.cancel.is_some() => stop(state),
        Command::Cancel { .. } => cancel(state),
        Command::Rollback { only: None, .. } => back(state),
        Command::Rollback { only: Some(instance), .. } => {
            let version = rollback::previous(state, instance).map_or_else(|| "its earlier version".to_owned(), |v| v.to_string());
            one(state, instance, &format!("goes back to {version} alone"), "the deployment goes on")
        }
        Command::Retry { instance } => {
            let version = state.member(instance).map_or_else(String::new, |m| format!(" to {}", m.wanted));
            one(state, instance, &format!("is tried again{version}"), "its failure no longer counts, unless it fails again")
        }
        Command::Skip { instance, .. } => {
            one(state, instance, "is left as it is", "it is listed at the end, and holds the budget no longer")
        }
        Command::Hold { instance, .. } => one(state, instance, "is not taken", "it waits until it is released"),
        Command::Release { instance } => one(state, instance, "may be taken", "it is taken when its turn comes"),
    })
}

/// Who of the fleet does not serve: those who hold the budget, and those who are discounted from it.
fn out_of_service(state: &State) -> (u32, u32) {
    let observed = Observed::default();
    let holding = u32::try_from(budget::out(state, &observed).len()).unwrap_or(u32::MAX);
    let all = (state.total() + budget::extra(state, &observed)).saturating_sub(serving(state));
    (holding, all.saturating_sub(holding))
}

/// The fewest that will serve on the way forward, with so many still to be taken: at most the budget is out at once, beside
/// those who are discounted from it. What extra capacity adds it also allows, so that it changes nothing.
fn lowest_forward(state: &State, pending: u32) -> u32 {
    let (holding, discounted) = out_of_service(state);
    let extra = budget::extra(state, &Observed::default());
    let most = budget::own(&state.plan).max(holding.saturating_sub(extra));
    state.total().saturating_sub(discounted + most.min(holding + pending)).min(serving(state))
}

/// The fewest that will serve on the way back, with so many that serve and go back: only those on their way hold its budget,
/// whoever is out beside them stays out.
fn lowest_back(state: &State, healthy: u32) -> u32 {
    let (holding, discounted) = out_of_service(state);
    let holders = budget::out(state, &Observed::default());
    let under_way = holders.into_iter().filter(|id| state.instance(id).is_some_and(Instance::is_active)).count();
    let under_way = u32::try_from(under_way).unwrap_or(u32::MAX);
    let resting = holding - under_way + discounted;
    let max = budget::limit(state.plan.policy.rollback.max_unavailable, state.total()).max(1);
    let most = max.max(under_way).min(under_way + healthy);
    state.total().saturating_sub(resting + most).min(serving(state))
}

/// Its turn comes.
fn will_be_taken(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    instance.phase == Phase::Pending
        && instance.held.is_none()
        && state.member(id).is_some_and(|member| !member.at_version && !member.spare)
}

/// The instances under way, in plan order.
fn in_flight(state: &State) -> Vec<InstanceId> {
    state.active.iter().filter_map(|&i| state.instances.get_index(i)).map(|(id, _)| id.clone()).collect()
}

fn serving(state: &State) -> u32 {
    budget::serving(state, &Observed::default())
}

/// How many serve, and how many will at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many serve now, extra capacity included.
    pub serving: u32,
    /// Instances of the fleet.
    pub total: u32,
    /// The fewest that will serve on the way that it goes now; `None` once it has ended.
    pub lowest: Option<u32>,
}

/// The capacity, by what the journal knows.
pub fn capacity(state: &State) -> Capacity {
    let count = |which: &dyn Fn(&InstanceId, &Instance) -> bool| {
        u32::try_from(state.instances.iter().filter(|(id, i)| which(id, i)).count()).unwrap_or(u32::MAX)
    };
    let lowest = match (&state.end, &state.rollback) {
        (Some(_), _) => None,
        (None, Some(_)) => {
            let healthy = |id: &InstanceId, i: &Instance| i.phase == Phase::Healthy && rollback::can_go_back(state, id, i);
            Some(lowest_back(state, count(&healthy)))
        }
        (None, None) if state.cancel.is_some() => Some(serving(state)),
        (None, None) => Some(lowest_forward(state, count(&|id, i| will_be_taken(state, id, i)))),
    };
    Capacity { serving: serving(state), total: state.total(), lowest }
}

fn forward(state: &State) -> Consequence {
    let strategy = &state.plan.policy.strategy;
    let pending: Vec<InstanceId> =
        state.instances.iter().filter(|(id, i)| will_be_taken(state, id, i)).map(|(id, _)| id.clone()).collect();
    let work = u32::try_from(pending.len()).unwrap_or(u32::MAX);
    let spares = state.plan.spares();
    let max = budget::own(&state.plan) + spares;
    let first = if spares > 0 { format!("{spares} more are started first, ") } else { String::new() };
    let sizes: Vec<String> = strategy.batch_size.iter().map(ToString::to_string).collect();
    Consequence {
        will_change: format!("{work} pending, to {}", state.plan.version),
        will_not: counts(state, &[InstanceState::Held, InstanceState::Healthy, InstanceState::Skipped, InstanceState::Failed]),
        order: format!("{first}in plan order, batches of {}, at most {max} out at once", sizes.join(", ")),
        serving: serving(state),
        lowest_serving: lowest_forward(state, work),
        takes: super::forecast(state, &[], state.at).map(|f| f.likely),
        then: "each batch is proven healthy before the next begins".to_owned(),
        changes: pending,
    }
}

/// A step is cut short, or all that are left.
fn promoted(state: &State, full: bool) -> Consequence {
    let done = state.step.as_ref().map_or(0, |run| run.number);
    let words = |number: u32| {
        let canary = state.plan.policy.canary.as_ref();
        let index = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1)?;
        canary?.steps.get(index).map(|step| format!("step {number}, {}", step.words()))
    };
    let this = words(done).unwrap_or_default();
    let (next, rest) = (words(done.saturating_add(1)).filter(|_| !full), "the rest goes by the rolling rules");
    let follows = forward(state);
    Consequence {
        will_change: {
            let over = if full { "all steps are over".to_owned() } else { format!("{this}, is over") };
            format!("{over}; {} pending, to {}", follows.changes.len(), state.plan.version)
        },
        then: match next {
            Some(next) => format!("{next} follows"),
            None => format!("{rest}; no further step holds it"),
        },
        ..follows
    }
}

fn pause(state: &State) -> Consequence {
    let changes = in_flight(state);
    Consequence {
        will_change: format!("{} in flight go on to a safe point", changes.len()),
        will_not: counts(state, &[InstanceState::Pending, InstanceState::Healthy, InstanceState::Failed]),
        order: "no new instance is taken".to_owned(),
        serving: serving(state),
        lowest_serving: serving(state),
        takes: None,
        then: "resume, cancel or roll back".to_owned(),
        changes,
    }
}

/// A command on one instance; nothing else changes.
fn one(state: &State, id: &InstanceId, what: &str, then: &str) -> Consequence {
    Consequence {
        changes: vec![id.clone()],
        will_change: format!("{id} {what}"),
        will_not: "all others".to_owned(),
        order: "at once".to_owned(),
        serving: serving(state),
        lowest_serving: serving(state),
        takes: None,
        then: then.to_owned(),
    }
}

/// The second cancel.
fn stop(state: &State) -> Consequence {
    let running = state.instances.iter().filter(|(_, i)| i.phase == Phase::Updating);
    let changes: Vec<InstanceId> = running.map(|(id, _)| id.clone()).collect();
    Consequence {
        will_change: format!(
            "the commands that run on {} {} are stopped; nobody knows how far they got",
            changes.len(),
            if changes.len() == 1 { "instance" } else { "instances" }
        ),
        will_not: counts(state, &[InstanceState::Pending, InstanceState::Healthy]),
        order: "at once".to_owned(),
        serving: serving(state),
        lowest_serving: serving(state),
        takes: None,
        then: "they stay out of rotation, listed; it ends cancelled".to_owned(),
        changes,
    }
}

fn cancel(state: &State) -> Consequence {
    let changes = in_flight(state);
    // Those that are updated already go on to their verdict, and stay if it is good.
    let on_their_way = |i: &&Instance| {
        i.goal == Goal::Forward && matches!(i.phase, Phase::Verifying { .. } | Phase::Admitting | Phase::Settling { .. })
    };
    let updated = usize::try_from(state.tally().of(InstanceState::Healthy)).unwrap_or(usize::MAX)
        + state.instances.values().filter(on_their_way).count();
    Consequence {
        will_change: format!(
            "{} in flight: not yet updated go back in rotation, updated go on to their verdict, failed go back alone",
            changes.len()
        ),
        will_not: counts(state, &[InstanceState::Pending, InstanceState::Healthy]),
        order: "all at once, no new instance is taken".to_owned(),
        serving: serving(state),
        lowest_serving: serving(state),
        takes: None,
        then: if state.rollback.is_some() {
            format!("it ends failed where it is: {updated} stay on {}", state.plan.version)
        } else if updated == 0 {
            "it ends cancelled".to_owned()
        } else {
            let weights = if state.weights.is_empty() { "" } else { ", with the whole of their weight" };
            format!("it ends cancelled with mixed versions: {updated} stay on {}{weights}", state.plan.version)
        },
        changes,
    }
}

fn back(state: &State) -> Consequence {
    let mut changes: Vec<InstanceId> = rollback::order(state).into_iter().cloned().collect();
    let healthy = changes.iter().filter(|id| state.instance(id).is_some_and(|i| i.phase == Phase::Healthy)).count();
    let not_updated = |i: &&Instance| i.is_active() && !i.exposed;
    let returned = state.instances.values().filter(not_updated).count();
    let max = budget::limit(state.plan.policy.rollback.max_unavailable, state.total());
    let work = u32::try_from(healthy).unwrap_or(u32::MAX);
    let rounds = healthy.div_ceil(usize::try_from(max.max(1)).unwrap_or(1)) + usize::from(changes.len() > healthy);
    let first = if canary::would_return_traffic(state) { "their traffic first, then " } else { "" };
    let consequence = Consequence {
        will_change: format!(
            "{healthy} healthy on {}, {} out of rotation or under way{}",
            state.plan.version,
            changes.len() - healthy,
            if returned > 0 { format!(", {returned} put back without an update") } else { String::new() }
        ),
        will_not: counts(state, &[InstanceState::Pending, InstanceState::Skipped]),
        order: format!("{first}those out of rotation at once, then newest first, {max} at a time, without pauses"),
        serving: serving(state),
        lowest_serving: lowest_back(state, work),
        takes: typical_instance(state).map(|each| each.times(u64::try_from(rounds).unwrap_or(u64::MAX))),
        then: "it ends rolled_back; it cannot be resumed".to_owned(),
        changes: std::mem::take(&mut changes),
    };
    debug_assert!(consequence.lowest_serving <= consequence.serving);
    consequence
}

/// The median time of an instance so far.
fn typical_instance(state: &State) -> Option<Span> {
    let mut took: Vec<Span> = state.instances.values().filter_map(|i| i.took).collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied()
}

fn counts(state: &State, states: &[InstanceState]) -> String {
    let tally = state.tally();
    let some: Vec<String> =
        states.iter().filter(|s| tally.of(**s) > 0).map(|s| format!("{} {}", tally.of(*s), s.word().replace('_', " "))).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{Fixture, id};

    /// What is promised beside the count of those who serve.
    fn promised(run: &Fixture) -> (u32, Option<u32>) {
        let capacity = capacity(&run.state);
        (capacity.serving, capacity.lowest)
    }

    #[test]
    fn the_promise_counts_whoever_is_out_and_whoever_is_in_flight() {
        let mut run = Fixture::new(20).with(|p| p.rollback.on_failure = crate::model::OnFailure::Continue).started();
        assert_eq!(promised(&run), (18, Some(18)), "two are taken");
        run.bring_to_healthy(1);
        run.bring_to_gate(2);
        run.command(Command::Pause { reason: String::new() });
        assert_eq!(promised(&run), (19, Some(18)), "the next batch takes two");
        run.command(Command::Resume);
        run.misses(2, 3);
        assert_eq!(promised(&run).1, Some(18), "one is out for good, and the budget has room for one more");
        run.command(Command::Skip { instance: id(2), reason: String::new() });
        assert_eq!(promised(&run).1, Some(17), "a discounted one is out beside the budget");
    }

    #[test]
    fn a_held_instance_is_not_among_those_that_will_be_taken() {
        let mut run = Fixture::new(4);
        run.command(Command::Hold { instance: id(3), reason: String::new() });
        let start = consequence(&run.state, &Command::Start, run.now).unwrap();
        assert_eq!(start.changes, [id(1), id(2), id(4)]);
        assert!(start.will_change.starts_with("3 pending"), "{}", start.will_change);
        assert_eq!(start.will_not, "1 held");
    }
}
