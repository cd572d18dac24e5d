//! The analysis: what a measurement means, when it is enough, and what a failed one leads to.
//!
//! Imports: state, event, effect, model, core's judge. May not: measure.

use crate::effect::{Effect, EffectKind};
use crate::event::{Actor, Cause, EventKind};
use crate::model::{AnalysisPolicy, CanaryStep, Check, EffectId, Finding, InstanceId, Measurement, Quantity, Timestamp, Unit};
use crate::state::{Goal, Instance, Phase, State};

use super::operate::is_rollback;
use super::{canary, judge, pause};
use crate::mutant::{self, Mutant};

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
        if is_touched(instance) || was_there(state, id, instance) {
            groups.touched.push(id.clone());
        } else if instance.serving && state.is_untouched(index) && !runs_it_already(state, id, instance) {
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

/// It has a part in the deployment, ran the new version before it, and serves with it.
pub(super) fn was_there(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    runs_it_already(state, id, instance) && instance.serving && !instance.down && !instance.excluded
}

/// It is left alone on the new version: no example of the old one. Where the same version is started anew all run it.
fn runs_it_already(state: &State, id: &InstanceId, instance: &Instance) -> bool {
    let wanted = state.member(id).is_some_and(|m| instance.version.as_ref() == Some(&m.wanted));
    instance.phase == Phase::Skipped && wanted && !state.plan.restart && !instance.spare
}

/// Anybody serves on the new version.
fn is_anybody_touched(state: &State) -> bool {
    state.instances.iter().any(|(id, i)| is_touched(i) || was_there(state, id, i))
}

/// The policy, while there is something to judge by it.
fn policy(state: &State) -> Option<&AnalysisPolicy> {
    let policy = state.plan.policy.analysis.as_ref()?;
    let over = state.rollback.is_some() || state.cancel.is_some() || state.end.is_some() || state.end_check_until.is_some();
    let step = state.step.as_ref().map_or(state.steps_done, |run| run.number);
    // A step that asks for it is never too early.
    let asked = matches!(state.canary_step(), Some(CanaryStep::Analysis { .. }));
    let early = canary::is_open(state) && step < policy.from_step && !asked;
    (state.started_at.is_some() && !over && !early).then_some(policy)
}

/// The policy, while there is something to measure. What ran the new version before is measured with those that were brought
/// to it, and not for itself.
fn at_work(state: &State) -> Option<&AnalysisPolicy> {
    let any = || state.instances.values().any(is_touched) || state.step.is_some() && is_anybody_touched(state);
    policy(state).filter(|_| any())
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

/// What a measurement that began `at` says, as a fact.
pub(super) fn measured(state: &State, name: &str, at: Timestamp, measurement: &Measurement) -> Vec<EventKind> {
    let Some(check) = at_work(state).and_then(|policy| policy.checks.iter().find(|check| check.name == name)) else {
        return Vec::new();
    };
    let (finding, reason) = find(check, measurement, !groups(state).untouched.is_empty());
    // A pass from before the step or the bake says nothing for it.
    if finding == Finding::Pass && at < state.judged_since {
        return Vec::new();
    }
    let (check, measurement) = (name.to_owned(), measurement.clone());
    vec![EventKind::AnalysisMeasured { check, measurement, finding, reason }]
}

/// What a measurement means, and why in words; `comparable` if untouched instances serve.
pub(super) fn find(check: &Check, measurement: &Measurement, comparable: bool) -> (Finding, String) {
    let (touched, untouched, samples) = match measurement {
        Measurement::Value { touched, untouched, samples } => (*touched, *untouched, *samples),
        Measurement::Nothing { why } | Measurement::Error { why } if mutant::is(Mutant::NothingIsFine) => {
            return (Finding::Pass, why.clone());
        }
        Measurement::Nothing { why } | Measurement::Error { why } => return (Finding::Inconclusive, why.clone()),
    };
    let words = |quantity: Quantity| check.unit.words(quantity);
    if let Some(samples) = samples.filter(|samples| *samples < check.min_samples) {
        return (Finding::Inconclusive, format!("{} on {samples} samples, needs {}", words(touched), check.min_samples));
    }
    let beside = untouched.map(|untouched| format!(", untouched {}", words(untouched))).unwrap_or_default();
    let Some(limit) = broken(check, touched, untouched) else {
        if check.max_ratio.is_some() && untouched.is_none() && comparable {
            return (Finding::Inconclusive, format!("{}, and nothing is known of the untouched", words(touched)));
        }
        return (Finding::Pass, format!("{}{}{beside}", words(touched), allowed(check)));
    };
    let reason = format!("{}, {limit}{beside}", words(touched));
    // Beyond the same fixed limits, and about as far: the new version did not do that.
    let as_bad = untouched.is_some_and(|untouched| {
        let twice = Quantity::new(2.0).unwrap_or_default();
        let about = untouched.times(check.max_ratio.unwrap_or(twice));
        let above = check.max.is_none_or(|max| touched <= max || touched <= about);
        let below = check.min.is_none_or(|min| touched >= min || touched.times(check.max_ratio.unwrap_or(twice)) >= untouched);
        broken(check, touched, None).is_some() && broken(check, untouched, None).is_some() && above && below
    });
    (if as_bad { Finding::Common } else { Finding::Fail }, reason)
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

/// Every check has passed since the bake began. True where nothing is measured.
pub(super) fn has_passed(state: &State) -> bool {
    at_work(state).is_none_or(|policy| have_passed(state, policy, 1))
}

/// Every check has passed so often since the step began. What nobody measures has not passed.
pub(super) fn has_judged(state: &State, passes: u32) -> bool {
    let judged = |policy| is_anybody_touched(state) && have_passed(state, policy, passes);
    policy(state).is_none_or(judged) || mutant::is(Mutant::SkipAnalysis)
}

fn have_passed(state: &State, policy: &AnalysisPolicy, passes: u32) -> bool {
    policy.checks.iter().all(|check| state.analysis.get(&check.name).is_some_and(|run| run.passes >= passes))
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

/// What it waits for that the analysis has not said, if it waits for that alone.
pub(super) fn awaited(state: &State) -> Option<String> {
    let missing = match (state.canary_step(), &state.batch) {
        (_, Some(batch)) if batch.bake_until.is_some() => missing(state, 1),
        (Some(CanaryStep::Analysis { passes }), None) => missing(state, *passes),
        _ => Vec::new(),
    };
    nobody_to_measure(state).or_else(|| (!missing.is_empty()).then(|| missing.join("; ")))
}

fn nobody_to_measure(state: &State) -> Option<String> {
    policy(state)?;
    let asked = matches!(state.canary_step(), Some(CanaryStep::Analysis { .. })) && state.batch.is_none();
    let nobody = || format!("no instance on {} is in rotation to be measured", state.plan.version);
    (asked && !is_anybody_touched(state)).then(nobody)
}

/// Why it cannot tell, if it cannot.
fn cannot_tell(state: &State) -> Option<String> {
    let silent = |policy: &AnalysisPolicy| {
        policy.checks.iter().find_map(|check| {
            let run = state.analysis.get(&check.name).filter(|run| run.inconclusive >= policy.max_inconclusive.max(1))?;
            let why = run.last.as_ref().map(|last| last.reason.as_str()).unwrap_or_default();
            Some(format!("{} said nothing {} times in a row: {why}", check.name, run.inconclusive))
        })
    };
    at_work(state).and_then(silent).or_else(|| nobody_to_measure(state))
}

/// What the measurements so far lead to. Whatever `on_failure` says of instances, one that fails stops the deployment. What
/// was measured during a pause is acted on when that is over.
pub(super) fn judge(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.is_held_up() || judge::is_open(state) || is_rollback(state) {
        return None;
    }
    let policy = policy(state);
    let waits = state.pause.is_some();
    let failed = policy.and_then(|policy| of_checks(state, policy, now));
    if waits {
        let over = failed.is_some() || cannot_tell(state).is_none();
        return over.then(|| vec![EventKind::DeploymentResumed { by: Actor::Engine }]);
    }
    // Whoever is asked has no time taken away from the answer.
    let silent = || cannot_tell(state).filter(|_| state.awaits.is_none() && state.hook.is_none());
    failed.or_else(|| {
        let reason = format!("the analysis cannot tell: {}; it goes on by itself once it can", silent()?);
        Some(vec![pause(Cause::Analysis, reason)])
    })
}

fn of_checks(state: &State, policy: &AnalysisPolicy, now: Timestamp) -> Option<Vec<EventKind>> {
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
