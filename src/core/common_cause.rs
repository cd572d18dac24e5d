//! Whether untouched instances fail as well: then it is not the deployment's doing.
//!
//! Imports: state, model, core's `Observed`. May not: look at what the deployment has touched.

use crate::model::{InstanceId, Sample, SampleResult, Span, Timestamp};
use crate::state::State;

use super::Observed;

/// What a look at the untouched instances says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are well, or too few of them fail to mean anything.
    Well,
    /// Too few have been looked at so far.
    Unsure,
    /// They fail together, in words.
    Failing(String),
}

/// So many of `peers` failing together are a common cause: at least two, and a tenth.
fn quorum(peers: usize) -> usize {
    peers.div_ceil(10).max(2)
}

/// Failures so far apart did not begin together.
fn together(state: &State) -> Span {
    let health = &state.plan.policy.health;
    health.interval.times(u64::from(health.retries)).max(health.watch_interval)
}

/// The look that is taken when failures crossed the threshold, the last of which `began` then: only probes since the look
/// began count, for instances at rest are probed seldom.
pub(super) fn after_crossing(state: &State, observed: &Observed, now: Timestamp, began: Timestamp) -> Verdict {
    let Some(look) = &state.look else { return Verdict::Well };
    // One that fails since long before says nothing about now.
    let together = together(state);
    let long_dead = |index: &usize| {
        let seen = state.instances.get_index(*index).and_then(|(id, _)| observed.of(id));
        seen.and_then(|s| s.first_miss_at).is_some_and(|since| since + together < began)
    };
    let peers: Vec<usize> = look.peers.iter().copied().filter(|index| !long_dead(index)).collect();
    let fresh = peers.iter().filter_map(|&index| {
        let (id, _) = state.instances.get_index(index)?;
        observed.of(id)?.last.as_ref().filter(|sample| sample.at >= look.from).map(|sample| (id, sample))
    });
    let (mut looked_at, mut failing) = (0, Vec::new());
    for (id, sample) in fresh {
        looked_at += 1;
        if !sample.passed() {
            failing.push((id, &sample.result));
        }
    }
    let enough = quorum(peers.len());
    if failing.len() >= enough {
        let what = failing.first().map(|(id, result)| format!("{id}: {}", words(result))).unwrap_or_default();
        return Verdict::Failing(format!("{} of {} untouched instances fail as well ({what})", failing.len(), looked_at));
    }
    let unknown = peers.len() - looked_at;
    if failing.len() + unknown < enough || now >= look.until { Verdict::Well } else { Verdict::Unsure }
}

/// Untouched instances that have failed for good, together, without any verdict of this deployment.
pub(super) fn on_its_own(state: &State, observed: &Observed) -> Option<String> {
    let retries = state.plan.policy.health.retries;
    let together = together(state);
    // Whom an operator, or the plan, left alone for good stops nobody.
    let counts = |index: &usize| state.instances.get_index(*index).is_some_and(|(_, i)| !i.discounted);
    let failing = observed.missing().iter().filter_map(|id| {
        let seen = observed.of(id).filter(|seen| seen.is_failing(retries))?;
        let index = state.instances.get_index_of(id).filter(|index| state.is_untouched(*index) && counts(index))?;
        Some((index, id, seen.first_miss_at?, seen.last.as_ref()?))
    });
    let mut failing: Vec<(usize, &InstanceId, Timestamp, &Sample)> = failing.collect();
    let latest = failing.iter().map(|(_, _, since, _)| *since).max()?;
    failing.retain(|(_, _, since, _)| *since + together >= latest);
    if failing.len() < quorum(0) {
        return None;
    }
    let untouched = state.untouched().iter().filter(|index| counts(index)).count();
    let (_, id, _, last) = failing.iter().min_by_key(|(index, ..)| *index).filter(|_| failing.len() >= quorum(untouched))?;
    Some(format!("{} of {untouched} untouched instances fail together ({id}: {})", failing.len(), last.words()))
}

fn words(result: &SampleResult) -> String {
    match result {
        SampleResult::Pass { .. } => "passed".to_owned(),
        SampleResult::NotListening => "not listening".to_owned(),
        SampleResult::Starting { .. } => "still starting".to_owned(),
        SampleResult::Exited { how } => format!("process ended: {how}"),
        SampleResult::Miss { reason } => reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::core::testing::{Fixture, id, rollback};
    use crate::core::wanted_for;
    use crate::effect::EffectKind;
    use crate::event::{Cause, EventKind};
    fn first_fails(run: &mut Fixture) -> Vec<EventKind> {
        run.peers_are_well = false;
        run.bring_to_gate(1);
        run.misses(1, 2);
        run.sample(1, SampleResult::Miss { reason: "status 503".to_owned() })
    }

    fn paused_by(events: &[EventKind]) -> Option<Cause> {
        events.iter().find_map(|e| match e {
            EventKind::DeploymentPaused { cause, .. } => Some(*cause),
            _ => None,
        })
    }

    /// reliability E13: a shared dependency fails, so everybody does.
    #[test]
    fn a_failure_that_untouched_instances_share_pauses_and_nothing_goes_back() {
        let mut run = Fixture::new(10).started();
        let events = first_fails(&mut run);
        assert!(
            matches!(events.as_slice(), [EventKind::InstanceFailed { .. }, EventKind::ThresholdCrossed { .. }]),
            "{events:?}"
        );
        let closely = wanted_for(&run.state, 6).into_iter().any(|e| matches!(e.kind, EffectKind::Watch { attentive: true, .. }));
        assert!(closely, "untouched instances are looked at at once");
        run.misses(7, 1);
        let events = run.sample(8, SampleResult::Miss { reason: "status 503".to_owned() });
        assert_eq!(paused_by(&events), Some(Cause::CommonCause), "{events:?}");
        assert!(run.state.rollback.is_none());
        // An operator who goes on has accepted the failure; it is not acted on again.
        run.passes(7, 1);
        run.passes(8, 1);
        run.command(Command::Resume);
        assert!(run.state.rollback.is_none() && run.state.pause.is_none());
        run.command(rollback());
        assert!(run.state.rollback.is_some(), "and can always go back");
    }

    #[test]
    fn peers_that_pass_make_it_the_versions_fault_at_once() {
        let mut run = Fixture::new(5).started();
        first_fails(&mut run);
        assert!(run.state.rollback.is_none(), "it looks first");
        run.passes(3, 1);
        run.passes(4, 1);
        assert!(run.state.rollback.is_some(), "two of the three untouched pass: at most one could fail");
    }

    #[test]
    fn what_crossed_during_a_pause_is_looked_into_at_resume() {
        let mut run = Fixture::new(10).started();
        run.bring_to_gate(1);
        run.command(Command::Pause { reason: String::new() });
        run.peers_are_well = false;
        run.misses(1, 3);
        assert!(run.state.rollback.is_none());
        run.command(Command::Resume);
        assert!(run.state.rollback.is_none() && run.state.is_looking());
        run.misses(7, 1);
        run.misses(8, 1);
        assert_eq!(run.state.pause.as_ref().map(|p| p.cause), Some(Cause::CommonCause));
    }

    #[test]
    fn peers_that_do_not_answer_in_time_hold_nothing_up() {
        let mut run = Fixture::new(5).started();
        first_fails(&mut run);
        let health = &run.state.plan.policy.health;
        let longest = health.timeout + health.interval;
        run.wait(longest);
        assert!(run.state.rollback.is_some());
    }

    #[test]
    fn untouched_instances_that_fail_together_pause_without_any_verdict() {
        let mut run = Fixture::new(20).started();
        run.misses(10, 3);
        assert!(run.state.pause.is_none(), "one alone is no common cause");
        run.misses(11, 2);
        let events = run.sample(11, SampleResult::NotListening);
        assert_eq!(paused_by(&events), Some(Cause::CommonCause), "{events:?}");
        let reason = run.state.pause.as_ref().unwrap().reason.clone();
        assert!(reason.contains("untouched") && reason.contains("web-10"), "{reason}");
    }

    #[test]
    fn failures_far_apart_are_no_common_cause() {
        let mut run = Fixture::new(20).with(|p| p.strategy.max_unavailable = crate::model::Count::Absolute(9)).started();
        run.misses(10, 3);
        run.wait(Span::from_secs(60));
        run.misses(11, 3);
        assert!(run.state.pause.as_ref().is_none_or(|p| p.cause != Cause::CommonCause));
        assert!(run.state.instance(&id(10)).is_some());
    }
}
