//! Failures against the threshold: judged at each verdict, and whether they are the deployment's doing at all.
//!
//! Imports: state, event, model, core's parts. May not: look at samples of what was touched; a verdict is in the journal.

use crate::event::{Actor, Cause, EventKind};
use crate::model::{OnFailure, Timestamp};
use crate::state::{Failure, Instance, State};

use super::common_cause::{self, Verdict};
use super::{Observed, analysis, approval, pause};
use crate::mutant::{self, Mutant};

/// Whether `failed` of `finished` is too much: strictly above the share, or more than the number. The share is of those
/// finished so far in this run, so that with the defaults one failure in the first batch is enough.
pub(super) fn crosses(failed: u32, finished: u32, threshold_percent: u8, max_failures: u32) -> bool {
    let (share, limit) = (u64::from(failed) * 100, u64::from(threshold_percent) * u64::from(finished));
    failed > max_failures || share > limit || share == limit && failed > 0 && mutant::is(Mutant::ThresholdOrEqual)
}

/// There are failures that something must be done about.
fn is_too_much(state: &State) -> bool {
    let (failed, policy) = (state.failures(), &state.plan.policy.rollback);
    failed > state.judged && crosses(failed, state.finished(), policy.threshold_percent, policy.max_failures)
}

/// It is being looked into whose doing they are. Not any more once others have finished and they are few among them.
pub(super) fn is_open(state: &State) -> bool {
    state.is_looking() && is_too_much(state)
}

/// What the failures so far lead to.
pub(super) fn judge(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.rollback.is_some() || state.cancel.is_some() || state.started_at.is_none() {
        return None;
    }
    let (failed, finished) = (state.failures(), state.finished());
    let policy = &state.plan.policy.rollback;
    let too_many = is_too_much(state);
    if too_many && failed > state.crossed {
        return Some(vec![crossed(state, now, (failed, finished))]);
    }
    if state.is_held_up() {
        return None;
    }
    if too_many && policy.on_failure != OnFailure::Continue {
        let began = deciding(state).map_or(now, |(_, f)| f.evidence.first_miss_at.unwrap_or(f.at));
        return match common_cause::after_crossing(state, observed, now, began) {
            Verdict::Unsure => None,
            Verdict::Failing(what) => Some(vec![not_ours(&what)]),
            Verdict::Well => {
                let reason = format!("{failed} of {finished} failed{}", because(state));
                Some(act(state, reason, (now, deciding(state)), Cause::Failures))
            }
        };
    }
    // While it waits for the analysis nothing new is taken anyway.
    let free = state.pause.is_none();
    common_cause::on_its_own(state, observed).filter(|_| free).map(|what| vec![not_ours(&what)])
}

fn crossed(state: &State, now: Timestamp, (failed, finished): (u32, u32)) -> EventKind {
    let (policy, health) = (&state.plan.policy.rollback, &state.plan.policy.health);
    let limit = if failed > policy.max_failures {
        format!("more than {} failures", policy.max_failures)
    } else {
        format!("above {}%", policy.threshold_percent)
    };
    let reason = format!("{failed} of {finished} failed, {limit}{}", because(state));
    // One alone could not tell a bad version from a bad day.
    let anybody = policy.on_failure != OnFailure::Continue && state.untouched().len() > 1;
    let look_until = anybody.then(|| now + health.timeout + health.interval);
    EventKind::ThresholdCrossed { failed, finished, reason, look_until }
}

fn not_ours(what: &str) -> EventKind {
    pause(Cause::CommonCause, format!("{what}: not this deployment's doing; resume when they are well, or roll back"))
}

/// No instance finished in time, or the analysis did not.
pub(super) fn no_progress(state: &State, now: Timestamp) -> Vec<EventKind> {
    let timeout = state.plan.policy.strategy.progress_timeout;
    let reason = match analysis::awaited(state) {
        Some(what) => format!("the analysis did not come to an end within {timeout}: {what}"),
        None => format!("no instance finished for {timeout}"),
    };
    act(state, reason, (now, None), Cause::NoProgress)
}

/// What the policy does about trouble: of `now`, or of the failure that decided.
pub(super) fn act(
    state: &State,
    reason: String,
    (now, decided): (Timestamp, Option<(&Instance, &Failure)>),
    cause: Cause,
) -> Vec<EventKind> {
    match state.plan.policy.rollback.on_failure {
        OnFailure::Rollback => vec![EventKind::RollbackStarted {
            by: Actor::Engine,
            reason,
            since: decided.map_or(now, |(_, f)| f.evidence.first_miss_at.unwrap_or(f.at)),
            detect: decided.and_then(|(i, f)| i.updated_at.map(|ended| f.at.since(ended))),
        }],
        OnFailure::Ask => vec![EventKind::DeploymentPaused {
            by: Actor::Engine,
            reason: format!("{reason}; resume to go on, retry what failed, or roll back"),
            cause,
            until: Some(now + approval::timeout(state)),
        }],
        OnFailure::Pause | OnFailure::Continue => vec![pause(cause, reason)],
    }
}

/// The failure that decided: the latest.
fn deciding(state: &State) -> Option<(&Instance, &Failure)> {
    let failed = state.instances.values().filter(|i| i.verdict == Some(false));
    failed.filter_map(|i| Some((i, i.failure.as_ref()?))).max_by_key(|(_, f)| f.at)
}

fn because(state: &State) -> String {
    let failed = state.instances.iter().filter(|(_, i)| i.verdict == Some(false));
    let latest = failed.filter_map(|(id, i)| Some((id, i.failure.as_ref()?))).max_by_key(|(_, f)| f.at);
    latest.map(|(id, f)| format!("; {id}: {}", f.reason)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::crosses;

    /// product.md: failed ÷ finished so far, strictly above, or more than `max_failures`. engines.md §3.3 and reliability
    /// G7: every fleet of 1 to 20 and every share.
    #[test]
    fn one_failure_in_the_first_batch_is_enough_with_the_defaults() {
        assert!(crosses(1, 1, 10, 3) && crosses(1, 2, 10, 3));
        assert!(!crosses(1, 10, 10, 3), "equal is not above");
        assert!(crosses(2, 19, 10, 3) && !crosses(2, 20, 10, 3));
        assert!(crosses(4, 1000, 10, 3) && !crosses(3, 1000, 10, 3));
        assert!(crosses(1, 20, 0, 3), "0% tolerates none");
        for finished in 1..=20 {
            for failed in 0..=finished {
                for threshold in 0..=100_u8 {
                    let above = f64::from(failed) / f64::from(finished) > f64::from(threshold) / 100.0 + 1e-9;
                    assert_eq!(crosses(failed, finished, threshold, 20), above, "{failed}/{finished} at {threshold}%");
                }
            }
        }
        assert!(!crosses(0, 0, 0, 0), "nothing finished is no failure");
    }
}
