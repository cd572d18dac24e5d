//! Steps, checks and hooks in words: what lies between the batches, for the strip under the head and for the plan.
//!
//! Imports: tui parts, state, model. May not: draw; decide.

use super::text::seconds;
use crate::event::Ending;
use crate::model::{CanaryStep, Check, Count, Finding, Hook, HookClass, Timestamp, Unit};
use crate::state::{CheckRun, State};

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is over.
    Done,
    /// It is at work.
    Now,
    /// It is still to come.
    ToCome,
}

/// A step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// From 1; what comes after the last step has the number after it.
    pub(super) number: u32,
    /// Where it stands.
    pub(super) stage: Stage,
    /// In a word or two: `10%`, `5m`, `promote`.
    pub(super) brief: String,
    /// In words, with the numbers.
    pub(super) words: String,
}

/// Whether a strip tells of steps or checks: that depends on the plan alone, so that nothing jumps.
pub(super) fn has_strip(state: &State) -> bool {
    state.plan.policy.canary.is_some() || state.plan.policy.analysis.is_some()
}

/// All steps of a canary and what comes after them; none in another strategy.
pub(super) fn steps(state: &State, now: Timestamp) -> Vec<Shown> {
    let Some(canary) = &state.plan.policy.canary else { return Vec::new() };
    let count = u32::try_from(canary.steps.len()).unwrap_or(u32::MAX);
    let at_work = state.step.as_ref().map(|step| step.number);
    let stage_of = |number: u32| match at_work {
        _ if number <= state.steps_done => Stage::Done,
        Some(at_work) if at_work == number => Stage::Now,
        _ if number > count && state.end.as_ref().is_some_and(|end| end.ending == Ending::Completed) => Stage::Done,
        _ if number > count && state.steps_done >= count && state.end.is_none() => Stage::Now,
        _ => Stage::ToCome,
    };
    let total = state.total();
    let numbered = (1..).zip(&canary.steps).map(|(number, step)| {
        let left = state.step.as_ref().filter(|at_work| at_work.number == number).and_then(|at_work| at_work.until);
        let (brief, words) = match step {
            CanaryStep::Weight { percent } => {
                let (carriers, weight) = (canary.instances(number, total), canary.weight(number, total));
                let each = if weight == 100 { String::new() } else { format!(" at {weight}% of their own weight") };
                (format!("{percent}%"), format!("{}: {carriers} of {total} instances{each}", step.words()))
            }
            CanaryStep::Instances { count: Count::Absolute(n) } => {
                (format!("{n} inst"), in_all(step, canary.instances(number, total), total))
            }
            CanaryStep::Instances { count: Count::Percent(p) } => {
                (format!("{p}% inst"), in_all(step, canary.instances(number, total), total))
            }
            CanaryStep::Pause { lasts: Some(lasts) } => {
                let left = left.map_or(*lasts, |until| until.since(now));
                (seconds(left).to_string(), step.words())
            }
            CanaryStep::Pause { lasts: None } => ("promote".to_owned(), step.words()),
            CanaryStep::Analysis { passes } => {
                let passed = state.analysis.values().map(|run| run.passes).min().unwrap_or(0).min(*passes);
                let brief = if at_work == Some(number) { format!("analysis {passed}/{passes}") } else { "analysis".to_owned() };
                (brief, step.words())
            }
            CanaryStep::Run { hook } => (format!("hook {hook}"), step.words()),
        };
        Shown { number, stage: stage_of(number), brief, words }
    });
    let rest = Shown {
        number: count.saturating_add(1),
        stage: stage_of(count.saturating_add(1)),
        brief: "rest".to_owned(),
        words: "the rest, by the rolling rules".to_owned(),
    };
    numbered.chain([rest]).collect()
}

fn in_all(step: &CanaryStep, carriers: u32, total: u32) -> String {
    format!("{}: {carriers} of {total}", step.words())
}

/// A check as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownCheck {
    /// What the last measurement means; none before the first.
    pub(super) finding: Option<Finding>,
    /// `error_rate 0.2% within 1%, untouched 0.1%`.
    pub(super) words: String,
}

/// All checks, the gravest first.
pub(super) fn checks(state: &State) -> Vec<ShownCheck> {
    let Some(policy) = &state.plan.policy.analysis else { return Vec::new() };
    let shown = |check: &Check| {
        let last = state.analysis.get(&check.name).and_then(|run| run.last.as_ref());
        let words = match last {
            Some(last) if last.finding == Finding::Pass => format!("{} {}", check.name, last.reason),
            Some(last) => format!("{} {}: {}", check.name, last.finding.word(), last.reason),
            None => format!("{} not measured yet", check.name),
        };
        ShownCheck { finding: last.map(|last| last.finding), words }
    };
    let mut all: Vec<ShownCheck> = policy.checks.iter().map(shown).collect();
    all.sort_by_key(|check| match check.finding {
        Some(Finding::Fail) => 0,
        Some(Finding::Common) => 1,
        Some(Finding::Inconclusive) => 2,
        None => 3,
        Some(Finding::Pass) => 4,
    });
    all
}

/// A check with its limits and what it said so far: for the plan.
pub(super) fn check_words(check: &Check, run: Option<&CheckRun>) -> String {
    let limit = |what: &str, quantity: Option<_>, unit: Unit| quantity.map(|quantity| format!("{what} {}", unit.words(quantity)));
    let limits = [
        limit("at most", check.max, check.unit),
        limit("at least", check.min, check.unit),
        limit("at most", check.max_ratio, Unit::Plain).map(|ratio| format!("{ratio} times the untouched")),
    ];
    let limits = limits.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let said = match run.and_then(|run| Some((run, run.last.as_ref()?))) {
        Some((run, last)) => {
            format!("; {}: {} ({} passed, {} failed)", last.finding.word(), last.reason, run.passes, run.failures)
        }
        None => "; not measured yet".to_owned(),
    };
    format!("{}: {limits}{said}", check.name)
}

/// A hook, when it runs, what its failure means, and how it went.
pub(super) fn hook_words(state: &State, hook: &Hook) -> String {
    let class = match hook.class {
        HookClass::Gate => "a gate",
        HookClass::BestEffort => "best effort",
        HookClass::Cleanup => "cleanup",
    };
    let failed = state.hook_failures.iter().rev().find(|(name, _)| *name == hook.name);
    let how = match (&state.hook, failed) {
        (Some(run), _) if run.name == hook.name => "; runs now".to_owned(),
        (_, Some((_, why))) => format!("; failed: {why}"),
        _ if state.hooks_done.contains_key(&hook.name) => "; succeeded".to_owned(),
        _ => String::new(),
    };
    format!("{}: {}, {class}, at most {}{how}", hook.name, hook.at.word(), hook.timeout)
}
