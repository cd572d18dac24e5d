//! What lies between the batches of a plan, steps, measurements and hooks, and what each strategy would cost.

use serde::Serialize;

use crate::core::{PlannedBatch, batches};
use crate::model::{AnalysisPolicy, Canary, CanaryStep, Check, Hook, HookClass, Plan, Span};
use crate::os::text::counted;

/// More stages of a canary than these are only counted.
const STAGES: usize = 4;
/// Fleets of fewer: one instance is so much of the traffic that a canary is no smaller than a first batch of one.
const SMALL: u32 = 5;

/// A step of a canary as it will come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PlannedStep {
    /// From 1.
    pub(super) number: u32,
    /// As configured.
    #[serde(flatten)]
    pub(super) step: CanaryStep,
    /// How many run the new version once it is done.
    pub(super) instances: u32,
    /// Their weight at the balancers, in percent of their own.
    pub(super) weight: u16,
    /// The batches that it takes.
    pub(super) batches: Vec<u32>,
}

impl PlannedStep {
    /// It is about how many run the new version.
    pub(super) fn is_carried(&self) -> bool {
        matches!(self.step, CanaryStep::Weight { .. } | CanaryStep::Instances { .. })
    }
}

/// What a strategy would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Choice {
    /// Its word in the configuration.
    pub(super) kind: &'static str,
    /// In a sentence.
    pub(super) cost: String,
    /// Why it is the one that fits, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fits: Option<String>,
}

/// The steps of a plan, with the batches that they take.
pub(super) fn steps(plan: &Plan, batches: &[PlannedBatch]) -> Vec<PlannedStep> {
    let Some(canary) = &plan.policy.canary else { return Vec::new() };
    let total = plan.total();
    let mut have = number(plan.fleet().filter(|m| m.at_version && m.serves()).count());
    let planned = (1..).zip(&canary.steps).map(|(number, step)| {
        have = have.max(canary.instances(number, total));
        let own = batches.iter().filter(|batch| batch.step == Some(number));
        PlannedStep {
            number,
            step: step.clone(),
            instances: have,
            weight: canary.weight(number, total),
            batches: own.map(|batch| batch.number).collect(),
        }
    });
    planned.collect()
}

/// `some` of `total` in percent, to the nearest.
pub(super) fn share(some: u32, total: u32) -> u32 {
    let (some, total) = (u64::from(some), u64::from(total.max(1)));
    u32::try_from((some * 200 + total) / (total * 2)).unwrap_or(100)
}

/// How long the steps hold it at least, besides the instances that they take.
fn held(plan: &Plan) -> Span {
    let steps = plan.policy.canary.iter().flat_map(|canary| &canary.steps);
    steps.fold(Span::ZERO, |sum, step| sum + holds(plan, step))
}

fn holds(plan: &Plan, step: &CanaryStep) -> Span {
    match step {
        CanaryStep::Pause { lasts: Some(lasts) } => *lasts,
        CanaryStep::Analysis { passes } => {
            let interval = plan.policy.analysis.as_ref().map_or(Span::ZERO, |analysis| analysis.interval);
            interval.times(u64::from(passes.saturating_sub(1)))
        }
        CanaryStep::Pause { lasts: None } | CanaryStep::Weight { .. } | CanaryStep::Instances { .. } | CanaryStep::Run { .. } => {
            Span::ZERO
        }
    }
}

/// Whether a step waits for a person.
pub(super) fn waits(plan: &Plan) -> bool {
    plan.policy.canary.iter().flat_map(|canary| &canary.steps).any(asks)
}

fn asks(step: &CanaryStep) -> bool {
    *step == CanaryStep::Pause { lasts: None }
}

/// How long a batch takes at least, whatever its instances do.
fn each(plan: &Plan) -> Span {
    let policy = &plan.policy;
    let proof = policy.health.interval.times(u64::from(policy.health.rise.saturating_sub(1)));
    policy.strategy.batch_pause + proof + policy.strategy.min_healthy_time
}

/// How long a plan of so many batches takes at least.
pub(super) fn at_least(plan: &Plan, batches: usize) -> Span {
    each(plan).times(u64::try_from(batches).unwrap_or(u64::MAX)) + held(plan)
}

/// What the analysis measures, in words.
pub(super) fn measured(analysis: &AnalysisPolicy) -> String {
    let checks: Vec<String> = analysis.checks.iter().map(check).collect();
    let from = if analysis.from_step > 1 { format!(" from step {} on", analysis.from_step) } else { String::new() };
    let failures = match analysis.max_failures {
        0 => "one failed measurement fails it".to_owned(),
        most => format!("more than {} of one check fail it", counted(most, "failed measurement")),
    };
    format!("{}; every {}{from}; {failures}", checks.join(", "), analysis.interval)
}

fn check(check: &Check) -> String {
    let words = |quantity| check.unit.words(quantity);
    let max = check.max.map(|max| format!("at most {}", words(max)));
    let min = check.min.map(|min| format!("at least {}", words(min)));
    let ratio = check.max_ratio.map(|ratio| format!("at most {ratio} times the untouched"));
    let limits: Vec<String> = [max, min, ratio].into_iter().flatten().collect();
    format!("{} {}", check.name, limits.join(" and ")).trim_end().to_owned()
}

/// When a hook runs and what its failure means, in words.
pub(super) fn hook(hook: &Hook) -> String {
    let class = match hook.class {
        HookClass::Gate => "gate",
        HookClass::BestEffort => "best-effort",
        HookClass::Cleanup => "cleanup, whatever happened",
    };
    let again = match hook.retries {
        0 => String::new(),
        1 => ", tried again once".to_owned(),
        n => format!(", tried again {n} times"),
    };
    format!("{}: {} ({class}, at most {}{again})", hook.at.word(), hook.name, hook.timeout)
}

/// What the plan's own strategy costs, then what the other would.
pub(super) fn choices(plan: &Plan, weighs: bool) -> Vec<Choice> {
    let (rolling, canary) = (rolling(plan), canary(plan, weighs));
    let (canary_fits, why) = fits(plan, weighs);
    let of = |kind, cost, fits: bool| Choice { kind, cost, fits: fits.then(|| why.clone()) };
    let (rolling, canary) = (of("rolling", rolling, !canary_fits), of("canary", canary, canary_fits));
    if plan.policy.canary.is_some() { vec![canary, rolling] } else { vec![rolling, canary] }
}

fn rolling(plan: &Plan) -> String {
    let mut plan = plan.clone();
    plan.policy.canary = None;
    let (total, batches) = (plan.total(), batches(&plan));
    let first = batches.first().map_or(0, |batch| number(batch.members.len()));
    let judge = if plan.policy.analysis.is_some() { "the health checks and the analysis" } else { "the health checks" };
    let at_least = at_least(&plan, batches.len());
    format!("{}, at least {at_least}; {judge} of the first {first} of {total} decide", in_batches(batches.len()))
}

fn in_batches(batches: usize) -> String {
    if batches == 1 { "1 batch".to_owned() } else { format!("{batches} batches") }
}

/// Who sees the new version, and for how long.
fn canary(plan: &Plan, weighs: bool) -> String {
    let total = plan.total();
    let Some(canary) = &plan.policy.canary else {
        let less = if weighs { ", or less by weight" } else { "" };
        let first = share(1, total);
        return format!("could begin with 1 of {total} ({first}% of the traffic{less}) and wait there; it needs strategy.steps");
    };
    let batches = batches(plan);
    let stages = stages(plan, canary, &batches);
    let more = stages.len().saturating_sub(STAGES);
    let more = (more > 0).then(|| format!("{more} more"));
    let said = stages.into_iter().take(STAGES).chain(more).collect::<Vec<_>>().join(", then ");
    let at_least = at_least(plan, batches.len());
    format!("{said}; at least {at_least} in all")
}

/// How many run the new version between two steps that change that, and for how long.
fn stages(plan: &Plan, canary: &Canary, batches: &[PlannedBatch]) -> Vec<String> {
    let total = plan.total();
    let steps = steps(plan, batches);
    let mut stages = Vec::new();
    let of_one = steps.chunk_by(|_, next| !next.is_carried());
    for steps in of_one {
        let Some(first) = steps.first().filter(|first| first.is_carried()) else { continue };
        let own = each(plan).times(u64::try_from(first.batches.len()).unwrap_or(u64::MAX));
        let time = steps.iter().fold(own, |sum, step| sum + holds(plan, &step.step));
        let asked = steps.iter().any(|step| asks(&step.step));
        let share = match first.step {
            CanaryStep::Weight { percent } if canary.weighted => u32::from(percent),
            _ => share(first.instances, total),
        };
        let lasts = match (time.is_zero(), asked) {
            (false, false) => format!("for at least {time}"),
            (false, true) => format!("for at least {time} and until somebody promotes"),
            (true, true) => "until somebody promotes".to_owned(),
            // What follows at once is all that is seen of it.
            (true, false) => continue,
        };
        stages.push(format!("{} of {total} ({share}% of the traffic) {lasts}", first.instances));
    }
    stages
}

/// Whether it is the canary that fits, and why it is that or the other.
fn fits(plan: &Plan, weighs: bool) -> (bool, String) {
    let (policy, total) = (&plan.policy, plan.total());
    let judged = policy.analysis.is_some();
    if total < SMALL && !weighs {
        return (false, format!("this balancer takes no weights, and one of {total} is {}% of the traffic", share(1, total)));
    }
    match (judged, policy.canary.is_some()) {
        (true, true) => (true, "[analysis] judges a small share before the rest follows".to_owned()),
        (true, false) => (true, "[analysis] could judge a small share before the rest follows".to_owned()),
        (false, true) if waits(plan) => (true, "somebody judges a small share before the rest follows".to_owned()),
        (false, true) => (false, "nothing but the health checks judges between the steps, as in rolling".to_owned()),
        (false, false) => (false, "without [analysis], or somebody who looks, nothing more would judge a small share".to_owned()),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
