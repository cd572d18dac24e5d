//! What a plan is warned of: legal, but probably not meant.

use std::collections::BTreeMap;

use super::course::{self, PlannedStep};
use crate::app::files;
use crate::config::Config;
use crate::core::PlannedBatch;
use crate::model::{CanaryStep, Member, OnFailure, Plan};

/// All doubts, in sentences; none if there is nothing to do.
pub(super) fn doubts(plan: &Plan, batches: &[PlannedBatch], config: &Config) -> Vec<String> {
    if batches.is_empty() {
        return Vec::new();
    }
    let mut doubts = capacity(plan, batches);
    doubts.extend(emptied_zones(plan, batches));
    doubts.extend(times(plan));
    doubts.extend(steps(plan, batches));
    let policy = &plan.policy;
    let mut say = |doubtful: bool, text: &str| {
        if doubtful {
            doubts.push(text.to_owned());
        }
    };
    say(!policy.health.expects_version, "no health.version: an instance that starts the wrong version would pass");
    let unbalanced = config.traffic == crate::traffic::Settings::None;
    say(unbalanced, "traffic.driver = \"none\": requests to an instance fail while it is updated");
    say(config.vip.is_none(), "no [vip]: whether requests failed will not be measured");
    let anyone = "health.tls.insecure = true: a probe believes whoever answers, so it proves nothing about who serves";
    say(config.health.trusts_anyone(), anyone);
    say(policy.rollback.on_failure == OnFailure::Continue, "on_failure = \"continue\": nothing is rolled back by itself");
    let stops = matches!(policy.rollback.on_failure, OnFailure::Pause | OnFailure::Ask);
    say(stops, "failures pause the deployment: somebody must be there to decide");
    let protected = config.env().is_some_and(|env| env.protected);
    say(protected, &format!("{} is protected: dangerous keys ask for the service's name", plan.env));
    doubts.extend(files::shortage(plan.members.len()));
    doubts
}

fn capacity(plan: &Plan, batches: &[PlannedBatch]) -> Vec<String> {
    let (total, spares) = (plan.total(), plan.spares());
    let strategy = &plan.policy.strategy;
    let lowest = batches.iter().map(|b| b.serving).min().unwrap_or(total);
    let floor = strategy.min_serving.ceil_of(total);
    let room = (total + spares).saturating_sub(floor);
    let most = strategy.max_unavailable.floor_of(total) + spares;
    let mut doubts = Vec::new();
    if lowest == 0 {
        doubts.push("nothing serves for a while: this is an outage".to_owned());
    } else if lowest < total.div_ceil(2) {
        doubts.push(format!("only {lowest} of {total} serve at the lowest: can they carry the load?"));
    }
    if room < most {
        doubts.push(format!("min_serving = {floor} leaves room for {room} at once; max_unavailable = {most} is never reached"));
    }
    doubts
}

/// Zones of which nobody would serve while a batch is at work.
fn emptied_zones(plan: &Plan, batches: &[PlannedBatch]) -> Vec<String> {
    let mut zones: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in plan.members.iter().filter(|m| m.serves()) {
        if let Some(zone) = &member.target.zone {
            zones.entry(zone).or_default().push(member);
        }
    }
    if zones.len() < 2 {
        return Vec::new();
    }
    let allowed = plan.policy.strategy.max_unavailable.floor_of(plan.total()) + plan.spares();
    let at_once = usize::try_from(allowed.max(1)).unwrap_or(usize::MAX);
    let emptied = zones.iter().filter_map(|(zone, members)| {
        let together = |batch: &&PlannedBatch| members.iter().all(|m| batch.members.contains(&m.target.id));
        let batch = batches.iter().find(together).filter(|_| members.len() <= at_once)?;
        Some(format!("batch {} takes all of zone {zone} out at once", batch.number))
    });
    emptied.collect()
}

/// Steps that do nothing, and shares that are not met.
fn steps(plan: &Plan, batches: &[PlannedBatch]) -> Vec<String> {
    let total = plan.total();
    let weighted = plan.policy.canary.as_ref().is_some_and(|canary| canary.weighted);
    let mut before = None;
    let mut doubts = Vec::new();
    for step in course::steps(plan, batches) {
        let (PlannedStep { number, instances, weight, .. }, words) = (&step, step.step.words());
        match step.step {
            CanaryStep::Weight { .. } | CanaryStep::Instances { .. } if before == Some((*instances, *weight)) => {
                doubts.push(format!(
                    "step {number} ({words}) changes nothing: it is {instances} of {total}, as in the step before"
                ));
            }
            CanaryStep::Weight { percent } if !weighted => {
                let share = course::share(*instances, total);
                if share.abs_diff(u32::from(percent)) > 0 {
                    doubts.push(format!(
                        "step {number} ({words}): this balancer takes no weights, so it is {instances} of {total} instances, {share}%"
                    ));
                }
            }
            _ => {}
        }
        if matches!(step.step, CanaryStep::Weight { .. } | CanaryStep::Instances { .. }) {
            before = Some((*instances, *weight));
        }
    }
    doubts
}

fn times(plan: &Plan) -> Vec<String> {
    let (health, strategy, drain) = (&plan.policy.health, &plan.policy.strategy, &plan.policy.drain);
    let mut doubts = Vec::new();
    if drain.timeout.is_zero() {
        doubts.push("drain.timeout = \"0s\": requests under way are cut".to_owned());
    }
    let proof = health.interval.times(u64::from(health.rise));
    if health.deadline < health.start_timeout + proof {
        doubts.push(format!(
            "health.deadline = \"{}\" ends before a start of {} and {} passes, {} apart, can: slow starts fail",
            health.deadline, health.start_timeout, health.rise, health.interval
        ));
    }
    if health.watch_interval < health.interval {
        doubts.push(format!(
            "watch_interval ({}) is shorter than interval ({}): finished instances are asked more often than those at work",
            health.watch_interval, health.interval
        ));
    }
    let watched = strategy.batch_pause + strategy.min_healthy_time;
    if watched.is_zero() {
        doubts.push("batch_pause and min_healthy_time are 0s: a batch is not watched before the next begins".to_owned());
    } else if watched < health.watch_interval && strategy.min_healthy_time.is_zero() {
        let (pause, interval) = (strategy.batch_pause, health.watch_interval);
        doubts.push(format!("batch_pause ({pause}) is shorter than watch_interval ({interval}): a batch is hardly watched"));
    }
    doubts
}
