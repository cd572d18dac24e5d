//! The analysis: what a measurement means, when it is enough, and what a failed one leads to.
//!
//! Imports: state, event, effect, model, core's judge. May not: measure.

use crate::effect::{Effect, EffectKind};
use crate::event::{Cause, EventKind};
use crate::model::{AnalysisPolicy, Check, EffectId, Finding, InstanceId, Measurement, OnFailure, Quantity, Timestamp, Unit};
use crate::state::{Goal, Instance, Phase, State};

use super::{canary, judge, pause};

/// Whom a measurement compares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// On the new version and in rotation.
    pub touched: Vec<InstanceId>,
    /// Not touched, and in rotation.
    pub untouched: Vec<InstanceId>,
}

/// Who is on the new version, and who was not touched, among those in rotation.
pub fn groups(state: &State) -> Groups {
    let mut groups = Groups::default();
    for (index, (id, instance)) in state.instances.iter().enumerate() {
        if is_touched(instance) {
            groups.touched.push(id.clone());
        } else if instance.serving && state.is_untouched(index) {
            groups.untouched.push(id.clone());
        }
    }
    groups
}

fn is_touched(instance: &Instance) -> bool {
    instance.exposed
        && instance.serving
        && instance.goal == Goal::Forward
        && matches!(instance.phase, Phase::Healthy | Phase::Settling { .. })
}

/// The policy, while there is something to measure.
fn at_work(state: &State) -> Option<&AnalysisPolicy> {
    let policy = state.plan.policy.analysis.as_ref()?;
    let over = state.rollback.is_some() || state.cancel.is_some() || state.end.is_some() || state.end_check_until.is_some();
    let step = state.step.as_ref().map_or(state.steps_done, |run| run.number);
    let early = canary::is_open(state) && step < policy.from_step;
    (state.started_at.is_some() && !over && !early && state.instances.values().any(is_touched)).then_some(policy)
}

/// The measurements that are to be made, as acts on the fleet.
pub(super) fn wanted(state: &State) -> impl Iterator<Item = Effect> {
    at_work(state).into_iter().flat_map(|policy| {
        policy.checks.iter().map(|check| Effect {
            id: EffectId::new(&state.plan.deployment, None, &format!("measure-{}", check.name), 1),
            instance: None,
            kind: EffectKind::Measure { check: check.name.clone(), every: policy.interval },
        })
    })
}

/// What a measurement says, as a fact.
pub(super) fn measured(state: &State, name: &str, measurement: &Measurement) -> Vec<EventKind> {
    let Some(check) = at_work(state).and_then(|policy| policy.checks.iter().find(|check| check.name == name)) else {
        return Vec::new();
    };
    let (finding, reason) = find(check, measurement);
    let (check, measurement) = (name.to_owned(), measurement.clone());
    vec![EventKind::AnalysisMeasured { check, measurement, finding, reason }]
}

/// What a measurement means, and why in words.
pub(super) fn find(check: &Check, measurement: &Measurement) -> (Finding, String) {
    let (touched, untouched, samples) = match measurement {
        Measurement::Value { touched, untouched, samples } => (*touched, *untouched, *samples),
        Measurement::Nothing { why } | Measurement::Error { why } => return (Finding::Inconclusive, why.clone()),
    };
    let words = |quantity: Quantity| check.unit.words(quantity);
    if let Some(samples) = samples.filter(|samples| *samples < check.min_samples) {
        return (Finding::Inconclusive, format!("{} on {samples} samples, needs {}", words(touched), check.min_samples));
    }
    let beside = untouched.map(|untouched| format!(", untouched {}", words(untouched))).unwrap_or_default();
    let Some(limit) = broken(check, touched, untouched) else {
        return (Finding::Pass, format!("{}{}{beside}", words(touched), allowed(check)));
    };
    let reason = format!("{}, {limit}{beside}", words(touched));
    // Beyond the same fixed limits: the new version did not do that.
    match untouched.filter(|untouched| broken(check, *untouched, None).is_some()) {
        Some(_)
            if check.max_ratio.is_none() || broken(check, touched, None).is_some() && !is_worse(check, touched, untouched) =>
        {
            (Finding::Common, reason)
        }
        Some(_) | None => (Finding::Fail, reason),
    }
}

/// Worse than the untouched ones by more than the ratio allows.
fn is_worse(check: &Check, touched: Quantity, untouched: Option<Quantity>) -> bool {
    match (check.max_ratio, untouched) {
        (Some(ratio), Some(untouched)) => touched > untouched.times(ratio),
        _ => false,
    }
}

/// Which limit is broken, in words.
fn broken(check: &Check, touched: Quantity, untouched: Option<Quantity>) -> Option<String> {
    let words = |quantity: Quantity| check.unit.words(quantity);
    if let Some(max) = check.max.filter(|max| touched > *max) {
        return Some(format!("above {}", words(max)));
    }
    if let Some(min) = check.min.filter(|min| touched < *min) {
        return Some(format!("below {}", words(min)));
    }
    let ratio = check.max_ratio.filter(|_| is_worse(check, touched, untouched))?;
    Some(format!("more than {} times the untouched", Unit::Plain.words(ratio)))
}

/// The limits that a value is within, in words.
fn allowed(check: &Check) -> String {
    let words = |quantity: Quantity| check.unit.words(quantity);
    match (check.max, check.min) {
        (Some(max), Some(min)) => format!(" within {} to {}", words(min), words(max)),
        (Some(max), None) => format!(" within {}", words(max)),
        (None, Some(min)) => format!(" at least {}", words(min)),
        (None, None) => String::new(),
    }
}

/// Every check has passed so often since the step or the bake began. True where nothing is measured.
pub(super) fn has_passed(state: &State, passes: u32) -> bool {
    at_work(state).is_none_or(|policy| {
        policy.checks.iter().all(|check| state.analysis.get(&check.name).is_some_and(|run| run.passes >= passes))
    })
}

/// The checks that have not passed so often, with the last word of each.
pub(super) fn missing(state: &State, passes: u32) -> Vec<String> {
    let Some(policy) = at_work(state) else { return Vec::new() };
    let said = |check: &Check| {
        let run = state.analysis.get(&check.name);
        let done = run.map_or(0, |run| run.passes);
        let why = run.and_then(|run| run.last.as_ref()).filter(|last| last.finding != Finding::Pass);
        let why = why.map(|last| format!(", {}: {}", last.finding.word(), last.reason)).unwrap_or_default();
        (done < passes).then(|| format!("{} passed {done} of {passes}{why}", check.name))
    };
    policy.checks.iter().filter_map(said).collect()
}

/// What the measurements so far lead to.
pub(super) fn judge(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.pause.is_some() || state.plan.policy.rollback.on_failure == OnFailure::Continue {
        return None;
    }
    let policy = at_work(state)?;
    for check in &policy.checks {
        let Some(run) = state.analysis.get(&check.name) else { continue };
        let why = run.last.as_ref().map(|last| last.reason.as_str()).unwrap_or_default();
        if run.failures > policy.max_failures {
            let reason = format!("analysis failed: {} is {why}", check.name);
            return Some(judge::act(state, reason, (now, None), Cause::Analysis));
        }
        if run.common > policy.max_failures {
            let what = format!("{} is {why}: the untouched instances are no better", check.name);
            return Some(vec![pause(Cause::CommonCause, format!("{what}; resume when they are well, or roll back"))]);
        }
    }
    None
}
