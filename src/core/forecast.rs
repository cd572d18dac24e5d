//! How long it will (still) take, with its spread, from how long instances took so far and in earlier deployments.
//!
//! Imports: state, model, core's ahead, rolling, canary, rollback and budget. May not: act.

use crate::model::{Plan, Span, Timestamp};
use crate::state::{Goal, Phase, State};

use super::{ahead, budget, canary, rollback, rolling};

/// From so many measured instances on, this deployment alone says how long they take.
const ENOUGH: usize = 3;

/// Time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// If every instance takes as long as the quickest did; of many, the slowest of the quickest tenth.
    pub low: Span,
    /// If every instance takes as long as the median did.
    pub likely: Span,
    /// If every instance takes as long as the slowest did; of many, the quickest of the slowest tenth.
    pub high: Span,
}

impl Forecast {
    fn from(took: &[Span], left: impl Fn(Span) -> Span) -> Option<Self> {
        let mut took = took.to_vec();
        took.sort_unstable();
        // One that hung, in one of many deployments, must not be the measure.
        let apart = took.len() / 10;
        let (low, likely, high) = (*took.get(apart)?, *took.get(took.len() / 2)?, *took.get(took.len() - 1 - apart)?);
        Some(Self { low: left(low), likely: left(likely), high: left(high) })
    }
}

/// How long `plan` will take, if its instances take as long as `took` says of earlier ones, from the order of the drain to
/// the verdict; `None` if it says nothing.
pub fn estimate(plan: &Plan, took: &[Span]) -> Option<Forecast> {
    let batches = rolling::batches(plan);
    let course = Course::of(plan, batches.iter().map(|batch| (batch.place, batch.members.len())));
    let steps = canary::takes(plan, 1);
    Forecast::from(took, |each| course.takes(plan, each) + steps)
}

/// What a number of batches comes to.
struct Course {
    /// How often as many as may be out at once go, one after the other.
    rounds: u64,
    batches: u64,
}

impl Course {
    /// Of batches by their place in the rules and their size. The fleet is counted once, not for each of thousands of batches.
    fn of(plan: &Plan, batches: impl Iterator<Item = (u32, usize)>) -> Self {
        let allowed = budget::own(plan) + plan.spares();
        // From here on all are of one width.
        let listed = u32::try_from(plan.policy.strategy.batch_size.len()).unwrap_or(u32::MAX).saturating_add(3);
        let repeated = rolling::width(plan, listed);
        let mut course = Self { rounds: 0, batches: 0 };
        for (place, size) in batches {
            let width = if place < listed { rolling::width(plan, place) } else { repeated };
            course.rounds += rounds(size, width.min(allowed));
            course.batches += 1;
        }
        course
    }

    /// Each batch is watched afterwards.
    fn takes(&self, plan: &Plan, each: Span) -> Span {
        each.times(self.rounds) + plan.policy.strategy.batch_pause.times(self.batches)
    }
}

/// How often `at_once` go until `size` have gone.
fn rounds(size: usize, at_once: u32) -> u64 {
    u64::from(u32::try_from(size).unwrap_or(u32::MAX).div_ceil(at_once.max(1)))
}

/// The time left, forward or back. While this deployment has measured next to nothing, what `earlier` ones took counts, too;
/// `None` if nothing is known, or while it comes to rest.
pub fn forecast(state: &State, earlier: &[Span], now: Timestamp) -> Option<Forecast> {
    if state.end.is_some() || state.started_at.is_none() || state.cancel.is_some() {
        return None;
    }
    let mut took: Vec<Span> = state.instances.values().filter_map(|i| i.took).collect();
    if took.len() < ENOUGH {
        took.extend_from_slice(earlier);
    }
    if state.rollback.is_some() {
        return Forecast::from(&took, |each| going_back(state, now, each));
    }
    let to_come = Course::of(&state.plan, ahead(state).iter().map(|batch| (batch.place, batch.members.len())));
    let steps = canary::still_takes(state, now);
    Forecast::from(&took, |each| current(state, now, each) + to_come.takes(&state.plan, each) + steps)
}

/// What is under way back, and then what serves, in rounds of the rollback's budget.
fn going_back(state: &State, now: Timestamp, each: Span) -> Span {
    let under_way = state.instances.values().filter(|i| i.goal == Goal::Back && i.is_active());
    // Since its last step at least; when its way back began is not kept.
    let newest = under_way.map(|i| i.since).max();
    let under_way = newest.map_or(Span::ZERO, |since| each - now.since(since));
    let to_go = u32::try_from(rollback::order(state).len()).unwrap_or(u32::MAX);
    let at_once = budget::limit(state.plan.policy.rollback.max_unavailable, state.total()).max(1);
    under_way + each.times(u64::from(to_go.div_ceil(at_once)))
}

/// What is left of the batch at work.
fn current(state: &State, now: Timestamp, each: Span) -> Span {
    let Some(batch) = &state.batch else { return Span::ZERO };
    if let Some(until) = batch.bake_until {
        return until.since(now);
    }
    let members = || batch.members.iter().filter_map(|id| state.instance(id));
    let pending = members().filter(|i| i.phase == Phase::Pending).count();
    let newest = members().filter(|i| i.is_active()).filter_map(|i| i.taken_at).max();
    let under_way = newest.map_or(Span::ZERO, |taken| each - now.since(taken));
    let allowed = budget::own(&state.plan) + state.plan.spares();
    let place = rolling::place(&state.plan, batch.number, state.rest_after);
    let at_once = rolling::width(&state.plan, place).min(allowed);
    under_way + each.times(rounds(pending, at_once)) + state.plan.policy.strategy.batch_pause
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::Fixture;
    use crate::model::{Count, Zones};

    #[test]
    fn time_left_comes_from_how_long_instances_took() {
        let mut run = Fixture::new(6).started();
        assert_eq!(forecast(&run.state, &[], run.now), None, "nothing measured yet");
        for n in [1, 2] {
            run.check(n);
            run.outcome(n, crate::effect::Outcome::TakenOut { sessions: Some(0) });
        }
        run.wait(Span::from_secs(20));
        for n in [1, 2] {
            run.outcome(n, crate::effect::Outcome::Updated);
            run.passes(n, 2);
            run.outcome(n, crate::effect::Outcome::Admitted);
        }
        let took: Vec<Span> = run.state.instances.values().filter_map(|i| i.took).collect();
        assert!(took.len() == 2 && took.iter().all(|t| *t >= Span::from_secs(20)), "{took:?}");
        let pause = Span::from_secs(10);
        let forecast = forecast(&run.state, &[], run.now).unwrap();
        assert_eq!(forecast.low, pause + (took[0] + pause).times(2), "this bake, and two batches");
        assert!(forecast.low <= forecast.likely && forecast.likely <= forecast.high);
    }

    #[test]
    fn while_little_is_measured_earlier_deployments_say_how_long_it_takes() {
        let earlier: Vec<Span> = (1..=20).map(Span::from_secs).chain([Span::from_secs(900)]).collect();
        let run = Fixture::new(2).with(|p| p.strategy.batch_pause = Span::ZERO).started();
        let left = forecast(&run.state, &earlier, run.now).unwrap();
        let seconds = [left.low, left.likely, left.high].map(|span| span.as_millis() / 1000);
        assert_eq!(seconds, [3, 11, 19], "a tenth at each end is apart, so that one that hung is no measure");
    }

    #[test]
    fn the_way_back_has_a_time_left_too() {
        let mut run = Fixture::new(4).started();
        run.bring_to_healthy(1);
        run.bring_to_healthy(2);
        let each = Span::from_secs(30);
        run.command(crate::command::Command::Rollback { reason: String::new(), only: None });
        let left = |run: &Fixture| forecast(&run.state, &[each; 3], run.now).unwrap().high;
        let before = left(&run);
        assert!(before > Span::ZERO && before <= each.times(2), "{before}");
        run.wait(Span::from_secs(5));
        assert!(left(&run) < before, "the clock runs");
    }

    #[test]
    fn zones_one_by_one_take_as_long_as_their_batches() {
        let mut run = Fixture::new(6).with(|p| {
            (p.strategy.zones, p.strategy.batch_pause) = (Zones::OneByOne, Span::from_secs(1));
        });
        for (n, zone) in (1..).zip(["a", "a", "a", "b", "b", "b"]) {
            run = run.with_member(n, |m| m.target.zone = Some(zone.to_owned()));
        }
        let mut run = run.started();
        run.bring_to_healthy(1);
        let took = run.state.instances[0].took.unwrap();
        run.bring_to_healthy(2);
        let each = run.state.instances[1].took.unwrap().max(took);
        let pause = Span::from_secs(1);
        let left = forecast(&run.state, &[], run.now).unwrap().high;
        assert_eq!(left, pause + (each + pause).times(3), "one of zone a, two and one of zone b");
    }

    #[test]
    fn a_plan_is_estimated_in_rounds_of_the_budget() {
        let each = Span::from_secs(6);
        let time = |total, sizes: Vec<Count>, max| {
            let run = Fixture::new(total).with(|p| {
                (p.strategy.batch_size, p.strategy.max_unavailable) = (sizes, Count::Absolute(max));
                p.strategy.batch_pause = Span::from_secs(1);
            });
            estimate(&run.plan, &[each]).unwrap().likely.as_millis() / 1000
        };
        assert_eq!(time(20, vec![Count::Absolute(2)], 2), 10 * 7);
        assert_eq!(time(20, vec![Count::Absolute(1), Count::Percent(30)], 2), 7 + 3 * (3 * 6 + 1) + 7);
        assert_eq!(time(20, vec![Count::Absolute(20)], 5), 4 * 6 + 1);
        assert_eq!(estimate(&Fixture::new(3).plan, &[]), None);
    }
}
