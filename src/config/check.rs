//! What must hold between keys, and what is legal but probably not meant.
//!
//! Imports: config's rules, model. May not: change a value.

use super::fault::Faults;
use super::rules::{Drain, Health, Rollback, Rules, Strategy};
use super::section::Placed;
use super::update::Update;
use crate::model::{Count, Span, Zones};

/// Checks the rules against each other, and against a fleet of so many instances and spares, if that is known.
pub(super) fn check(rules: &Rules, update: &Update, fleet: Option<(u32, u32)>, faults: &Faults) {
    let Rules { drain, health, strategy, rollback } = rules;
    times(health, strategy, faults);
    probes(health, faults);
    latencies(health, faults);
    counts(strategy, rollback, faults);
    if let Some((total, spares)) = fleet {
        against_fleet(strategy, total, faults);
        surge(strategy, (total, spares), faults);
    }
    doubts(drain, update, faults);
    progress(rules, update, faults);
}

/// What needs zones, in a fleet without any.
pub(super) fn without_zones(strategy: &Strategy, faults: &Faults) {
    if strategy.zones.value == Zones::OneByOne {
        let remedy = "is \"one-by-one\", but no instance has a zone; give each its zone in [[fleet.instance]], or use \"any\"";
        faults.add(strategy.zones.place, "strategy.zones", remedy);
    }
}

/// A length of time or a number with its key, and what to say if it is the one to change.
struct Side<'a, T> {
    key: &'static str,
    placed: &'a Placed<T>,
    remedy: String,
}

/// Says that two do not go together, at the one that was written.
fn clash<A, B>(faults: &Faults, one: &Side<'_, A>, other: &Side<'_, B>) {
    match (one.placed.given, other.placed.given) {
        (true, true) => faults.add_second(one.placed.place, other.placed.place, one.key, one.remedy.as_str()),
        (false, true) => faults.add(other.placed.place, other.key, other.remedy.as_str()),
        (true | false, false) => faults.add(one.placed.place, one.key, one.remedy.as_str()),
    }
}

/// Each clock must leave room for the one inside it.
fn times(health: &Health, strategy: &Strategy, faults: &Faults) {
    const START: &str = "health.start_timeout";
    const DEADLINE: &str = "health.deadline";
    const HEALTHY: &str = "strategy.min_healthy_time";
    const PROGRESS: &str = "strategy.progress_timeout";
    let Strategy { min_healthy_time: healthy, progress_timeout: progress, .. } = strategy;
    let (start, deadline) = (&health.start_timeout, &health.deadline);
    if !deadline.sound {
        return;
    }
    let limit = deadline.value;
    let side = |key, placed, remedy| Side { key, placed, remedy };
    if start.sound && start.value > limit {
        let long = format!("is {}, longer than {DEADLINE} = {limit}; make it at most that", start.value);
        let short = format!("is {limit}, shorter than {START} = {}; make it at least that", start.value);
        clash(faults, &side(START, start, long), &side(DEADLINE, deadline, short));
    }
    if healthy.sound && healthy.value >= limit {
        let long = format!("is {}, not shorter than {DEADLINE} = {limit}; make it shorter", healthy.value);
        let short = format!("is {limit}, not longer than {HEALTHY} = {}; make it longer", healthy.value);
        clash(faults, &side(HEALTHY, healthy, long), &side(DEADLINE, deadline, short));
    }
    if progress.sound && !progress.value.is_zero() && progress.value <= limit {
        let short = format!("is {}, not longer than {DEADLINE} = {limit}; make it longer, or \"0s\" for none", progress.value);
        let long = format!("is {limit}, not shorter than {PROGRESS} = {}; make it shorter", progress.value);
        clash(faults, &side(PROGRESS, progress, short), &side(DEADLINE, deadline, long));
    }
}

/// A verdict must be possible before the deadline.
fn probes(health: &Health, faults: &Faults) {
    let Health { interval, rise, retries, deadline, .. } = health;
    if !(interval.sound && deadline.sound) {
        return;
    }
    let (every, limit) = (interval.value, deadline.value);
    let takes = |probes: u32| every.times(u64::from(probes.saturating_sub(1)));
    if rise.sound && takes(rise.value) >= limit {
        let passes = format!("{} passes, one every {every}", rise.value);
        let many = format!("is {passes}, which no instance can have before health.deadline = {limit}; write fewer");
        let short = format!("is {limit}, too short for health.rise = {passes}; make it longer");
        let rise = Side { key: "health.rise", placed: rise, remedy: many };
        clash(faults, &rise, &Side { key: "health.deadline", placed: deadline, remedy: short });
    }
    if retries.sound && takes(retries.value) >= limit {
        let text = format!("is {} misses, one every {every}: health.deadline = {limit} always comes first", retries.value);
        faults.warn(retries.place, "health.retries", text);
    }
}

/// What is slower than an answer may be, and what cannot be counted in time.
fn latencies(health: &Health, faults: &Faults) {
    let Health { timeout, interval, deadline, .. } = health;
    if let Some(most) = health.max_latency.as_ref().filter(|most| timeout.sound && most.value >= timeout.value) {
        let text = format!("is {}, which health.timeout = {} ends before; write less", most.value, timeout.value);
        faults.add(most.place, "health.max_latency", text);
    }
    let Some(gate) = health.latency.as_ref().filter(|gate| gate.samples.sound && interval.sound && deadline.sound) else {
        return;
    };
    let takes = interval.value.times(u64::from(gate.samples.value));
    if takes > deadline.value {
        let (samples, every, limit) = (gate.samples.value, interval.value, deadline.value);
        let text = format!("is {samples} checks, one every {every}, which no instance can have within health.deadline = {limit}");
        faults.add(gate.samples.place, "health.latency.samples", format!("{text}; write fewer, or a longer deadline"));
    }
}

/// A rollout must be able to move.
fn counts(strategy: &Strategy, rollback: &Rollback, faults: &Faults) {
    let Strategy { batch_size, max_unavailable, max_surge, .. } = strategy;
    if batch_size.sound && batch_size.value.iter().any(|size| size.is_zero()) {
        faults.add(batch_size.place, "strategy.batch_size", "has an empty batch; write at least 1");
    }
    let surges = !max_surge.sound || !max_surge.value.is_zero();
    if max_unavailable.sound && max_unavailable.value.is_zero() && !surges {
        let remedy = "is 0, and so is max_surge: no instance could ever be taken out; write at least 1";
        faults.add(max_unavailable.place, "strategy.max_unavailable", remedy);
    }
    let back = &rollback.max_unavailable;
    if back.given && back.sound && back.value.is_zero() && !surges {
        let remedy = "is 0: no instance could ever go back; write at least 1";
        faults.add(back.place, "rollback.max_unavailable", remedy);
    }
}

/// Extra capacity needs places to be.
fn surge(strategy: &Strategy, (total, spares): (u32, u32), faults: &Faults) {
    let max_surge = &strategy.max_surge;
    let needed = max_surge.value.ceil_of(total);
    if max_surge.sound && needed > spares {
        let remedy = format!(
            "needs room for {needed}, and fleet.spares names {spares}; add spares = [\"web-[21:22]\"] to [fleet], or a table \
             [[fleet.spare]] for each"
        );
        faults.add(max_surge.place, "strategy.max_surge", remedy);
    } else if max_surge.sound && spares > 0 && needed == 0 {
        faults.warn(max_surge.place, "strategy.max_surge", "is 0, so that fleet.spares is not used; write max_surge = 1");
    }
}

/// The counts against the number of instances.
fn against_fleet(strategy: &Strategy, total: u32, faults: &Faults) {
    let Strategy { batch_size, max_unavailable, max_surge, min_serving, .. } = strategy;
    let surge = max_surge.value.ceil_of(total);
    let too_many = |count: &Placed<Count>| count.given && count.sound && count.value.floor_of(total) > total;
    if too_many(max_unavailable) {
        let remedy = format!("is {} of {total} instances; write at most {total}", max_unavailable.value);
        faults.add(max_unavailable.place, "strategy.max_unavailable", remedy);
    }
    if min_serving.sound && min_serving.value.ceil_of(total) >= total + surge {
        if total == 1 {
            let text = "is as many as there are: a fleet of one is only deployed to with --allow-outage";
            faults.warn(min_serving.place, "strategy.min_serving", text);
        } else {
            let remedy =
                format!("is {} of {total} instances, so none could be taken out; write at most {}", min_serving.value, total - 1);
            faults.add(min_serving.place, "strategy.min_serving", remedy);
        }
    }
    let budget = match max_unavailable.value {
        Count::Absolute(n) => n,
        share @ Count::Percent(_) => share.floor_min_one_of(total),
    } + surge;
    let largest = batch_size.value.iter().map(|size| size.floor_min_one_of(total)).max().unwrap_or(1);
    if batch_size.given && batch_size.sound && max_unavailable.sound && largest > budget {
        let text = format!("makes batches of {largest}, of which max_unavailable lets {budget} be out at a time");
        faults.warn(batch_size.place, "strategy.batch_size", text);
    }
}

/// Legal, and it costs requests.
fn doubts(drain: &Drain, update: &Update, faults: &Faults) {
    if drain.timeout.sound && drain.timeout.value.is_zero() {
        faults.warn(drain.timeout.place, "drain.timeout", "is no time: connections are cut as soon as an instance is out");
    }
    if update.stop_timeout.sound && update.stop_timeout.value.is_zero() {
        let text = "is no time: processes are killed without a chance to finish their requests";
        faults.warn(update.stop_timeout.place, "update.stop_timeout", text);
    }
}

/// The clock of the whole run against the longest that one instance may take.
fn progress(rules: &Rules, update: &Update, faults: &Faults) {
    let Rules { drain, health, strategy, .. } = rules;
    let progress = &strategy.progress_timeout;
    let parts = [&drain.timeout, &update.timeout, &health.deadline, &strategy.min_healthy_time, &strategy.batch_pause];
    if !progress.sound || progress.value.is_zero() || parts.iter().any(|part| !part.sound) {
        return;
    }
    let longest = parts.iter().fold(Span::ZERO, |sum, part| sum + part.value);
    if longest > progress.value {
        let text = format!("is {}, but an instance alone may take {longest} (drain, update, health, pause)", progress.value);
        faults.warn(progress.place, "strategy.progress_timeout", text);
    }
}
