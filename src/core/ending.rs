//! The end: every instance's version and rotation is read again, mismatches are taken out and listed, then it is over.
//!
//! Imports: state, event, model, core's parts. May not: change an instance that is as it must be.

use crate::event::{Ending, EventKind};
use crate::model::{HookAt, InstanceId, InstanceState, Member, Rotation, Span, Survey, Timestamp, Version};
use crate::state::{Goal, Instance, Phase, State};

use super::hooks::{self, Turn};
use super::{Observed, budget, canary, rollback};
use crate::mutant::{self, Mutant};

/// How long the check at the end may take, besides the time for instances that do not answer.
const END_CHECK: Span = Span::from_secs(30);
/// So many are read in the time of one probe at least.
const READ_AT_ONCE: u64 = 50;

fn end_check(state: &State) -> Span {
    END_CHECK + state.plan.policy.health.timeout.times(u64::from(state.total()) / READ_AT_ONCE)
}

/// The next thing that ends the deployment, once nothing is under way.
pub(super) fn next(state: &State, observed: &Observed, now: Timestamp) -> Option<Vec<EventKind>> {
    if let Some(cancel) = state.cancel.as_ref().filter(|_| state.started_at.is_none()) {
        return Some(vec![ended(Ending::Cancelled, format!("before it began, by {}", cancel.by.name()), observed)]);
    }
    if !state.active.is_empty()
        || state.started_at.is_none()
        || state.pause.is_some()
        || state.batch.is_some() && state.cancel.is_none()
    {
        return None;
    }
    // What a hook or a step is about is not over.
    if !is_over(state) || state.step.is_some() || state.hook.as_ref().is_some_and(|run| !run.failed) {
        return None;
    }
    let Some(until) = state.end_check_until else {
        return before_the_check((state, observed), now)
            .or(|| Some(vec![EventKind::EndCheckStarted { until: now + end_check(state) }]));
    };
    match state.end_checked {
        None if now >= until => {
            let why = observed.trouble.as_ref().map(|t| format!(": {t}")).unwrap_or_default();
            Some(vec![ended(
                Ending::Failed,
                format!("the end check could not read the fleet within {}{why}", end_check(state)),
                observed,
            )])
        }
        None => None,
        Some(_) if !canary::are_set(state) => (now >= until).then(|| {
            let why = observed.trouble.as_ref().map(|t| format!(": {t}")).unwrap_or_default();
            vec![ended(Ending::Failed, format!("the balancers did not confirm the weights of all instances{why}"), observed)]
        }),
        Some(mismatches) => Some(vec![finish(state, mismatches, observed)]),
    }
}

/// What comes last: the hooks after it, while extra capacity still serves if one of them may send everything back; then that
/// capacity is stopped, and what was done for the deployment's time is cleaned up.
fn before_the_check((state, observed): (&State, &Observed), now: Timestamp) -> Turn {
    let hooks = |at: HookAt| hooks::next(state, now, at, 1);
    let done = || retire(state, observed).map_or(Turn::Done, Turn::Act);
    let own = match (&state.rollback, &state.cancel) {
        (None, None) => hooks(HookAt::AfterDeployment).then(done),
        (Some(_), None) => done().then(|| hooks(HookAt::AfterRollback)),
        (_, Some(_)) => done(),
    };
    own.then(|| hooks::cleanup(state, now))
}

/// Nothing is left to be taken forward or back.
fn is_over(state: &State) -> bool {
    if state.cancel.is_some() {
        return true;
    }
    if state.rollback.is_some() {
        return rollback::is_over(state);
    }
    !state.instances.values().any(|i| i.phase == Phase::Pending)
}

/// Extra capacity has done its part: it is taken out and stopped, all that may be at once. One without which too few would
/// serve stays, and is listed.
fn retire(state: &State, observed: &Observed) -> Option<Vec<EventKind>> {
    if state.stopped.is_some() {
        return None;
    }
    let done = |i: &Instance| i.spare && i.is_touched() && matches!(i.phase, Phase::Healthy | Phase::Failed);
    let mut to_spare = budget::above_the_floor(state, observed);
    let mut may_go = |i: &Instance| {
        let left = if i.serving { to_spare.checked_sub(1) } else { Some(to_spare) };
        left.is_some_and(|left| {
            to_spare = left;
            true
        })
    };
    let retired = state.instances.iter().filter(|(_, i)| done(i) && may_go(i));
    let retired: Vec<EventKind> = retired.map(|(id, _)| EventKind::RetireStarted { instance: id.clone() }).collect();
    (!retired.is_empty()).then_some(retired)
}

/// Nobody began it in time: nothing was touched.
pub(super) fn abandon(state: &State) -> Vec<EventKind> {
    let waited = state.plan.policy.strategy.approval_timeout;
    vec![EventKind::DeploymentEnded {
        ending: Ending::Cancelled,
        reason: format!("nobody began it within {waited}"),
        vip: None,
        lb: None,
    }]
}

/// What the reading of the fleet leads to.
pub(super) fn surveyed(state: &State, surveys: &[(InstanceId, Result<Survey, String>)]) -> Vec<EventKind> {
    let read = surveys.iter().filter(|_| !mutant::is(Mutant::SkipEndCheck));
    let mut events: Vec<EventKind> = read.filter_map(|(id, survey)| mismatch(state, id, survey)).collect();
    // One that has failed is listed already: only what the list says of it is put right.
    let news = events.iter().filter_map(EventKind::instance).filter(|id| !has_failed(state, id)).count();
    let mismatches = u32::try_from(news).unwrap_or(u32::MAX);
    events.push(EventKind::EndCheckFinished { mismatches });
    events
}

fn has_failed(state: &State, id: &InstanceId) -> bool {
    state.instance(id).is_some_and(|instance| instance.phase == Phase::Failed)
}

fn mismatch(state: &State, id: &InstanceId, survey: &Result<Survey, String>) -> Option<EventKind> {
    let (member, instance) = (state.member(id)?, state.instance(id)?);
    if let (Phase::Failed, Ok(Survey { version: Some(found), .. })) = (&instance.phase, survey)
        && instance.version.as_ref().is_some_and(|version| version != found)
    {
        let (version, reason) = (Some(found.clone()), format!("runs {found} at the end"));
        return Some(EventKind::EndCheckMismatch { instance: id.clone(), version, serving: instance.serving, reason });
    }
    let (version, rotation) = expected(member, instance)?;
    let (found, serving, reason) = match survey {
        // Whoever cannot be read may be where it was last.
        Err(why) => (instance.version.clone(), instance.serving, format!("could not be read at the end: {why}")),
        Ok(survey) => {
            let wrong_version = match (&survey.version, version) {
                (Some(found), Some(wanted)) if found != wanted => Some(format!("runs {found} at the end, not {wanted}")),
                (Some(_) | None, _) => None,
            };
            let wrong_rotation = (survey.rotation != rotation)
                .then(|| format!("is {} at the end, not {}", survey.rotation.words(), rotation.words()));
            let reason = match (wrong_version, wrong_rotation) {
                (None, None) => return None,
                (Some(one), None) | (None, Some(one)) => one,
                (Some(one), Some(other)) => format!("{one}; {other}"),
            };
            (survey.version.clone(), survey.rotation.is_in(), reason)
        }
    };
    Some(EventKind::EndCheckMismatch { instance: id.clone(), version: found, serving, reason })
}

/// What the instance must be at the end; `None` if nothing is asked of it.
fn expected<'a>(member: &'a Member, instance: &'a Instance) -> Option<(Option<&'a Version>, Rotation)> {
    if instance.spare {
        return None;
    }
    match (&instance.phase, instance.goal) {
        (Phase::Healthy, _) => Some((Some(&member.wanted), Rotation::Serving)),
        // At the version already, or left alone by an operator while it served.
        (Phase::Skipped, _) if instance.serving && !instance.down && !instance.excluded => {
            Some((instance.version.as_ref(), Rotation::Serving))
        }
        (Phase::RolledBack, _) => Some((member.previous.as_ref(), Rotation::Serving)),
        // One that did not serve to begin with may do as it likes.
        (Phase::Pending, Goal::Forward) if member.healthy && member.rotation == Rotation::Serving => {
            Some((member.previous.as_ref(), member.rotation))
        }
        _ => None,
    }
}

fn finish(state: &State, mismatches: u32, observed: &Observed) -> EventKind {
    let exceptions = state.exceptions().len();
    let mut but = if exceptions > 0 { format!(", {exceptions} listed") } else { String::new() };
    let mut hooks: Vec<&str> = state.hook_failures.iter().map(|(hook, _)| hook.as_str()).collect();
    hooks.dedup();
    if !hooks.is_empty() {
        but = format!("{but}, failed hooks: {}", hooks.join(", "));
    }
    let tally = state.tally();
    let updated = tally.of(InstanceState::Healthy);
    if mismatches > state.plan.policy.rollback.max_failures {
        let reason = format!("the end check found {mismatches} instances that are not as they must be");
        return ended(Ending::Failed, reason, observed);
    }
    if let Some(rollback) = &state.rollback {
        let (restored, exposed) = (tally.of(InstanceState::RolledBack), state.instances.values().any(|i| i.exposed && !i.spare));
        let (ending, what) = match (&state.cancel, restored) {
            (Some(cancel), _) => (Ending::Failed, format!("ended where it was by {}, {restored} restored", cancel.by.name())),
            (None, 0) if exposed => (Ending::Failed, "no instance could be restored".to_owned()),
            (None, 0) => (Ending::RolledBack, "nothing had been updated".to_owned()),
            (None, _) => (Ending::RolledBack, format!("{restored} restored")),
        };
        return ended(ending, format!("{what}{but}: {}", rollback.reason), observed);
    }
    if let Some(cancel) = &state.cancel {
        return ended(Ending::Cancelled, format!("by {}, {updated} updated{but}", cancel.by.name()), observed);
    }
    if updated == 0 && state.failures() > 0 {
        return ended(Ending::Failed, format!("no instance could be updated{but}"), observed);
    }
    ended(Ending::Completed, format!("{updated} updated{but}"), observed)
}

fn ended(ending: Ending, reason: String, observed: &Observed) -> EventKind {
    EventKind::DeploymentEnded { ending, reason, vip: observed.vip, lb: observed.lb }
}
