//! Operators' commands: which are allowed when, and what they lead to. Every command is idempotent.
//!
//! Imports: state, command, event, model, core's parts. May not: wait for what follows.

use crate::command::{Command, Receipt, Refusal, Request};
use crate::event::{Actor, Cause, EventKind, Step};
use crate::model::{DeploymentKind, Evidence, InstanceId, Timestamp};
use crate::mutant::{self, Mutant};
use crate::state::{Awaits, Phase, State};

use super::{Observed, canary, operate_instance};

/// Whether the command is allowed now, and what to answer.
///
/// # Errors
/// Fails with the reason and what to do instead; nothing changes then.
pub fn check(state: &State, command: &Command) -> Result<Receipt, Refusal> {
    let message = match after_the_end(state, command).or_else(|| before_the_start(state, command)) {
        Some(message) => return Err(Refusal { message }),
        None => answer(state, command).map_err(|message| Refusal { message })?,
    };
    Ok(Receipt { seq: state.seq, message })
}

/// As [`check`], of a command that may say what its sender had seen: one that lets instances be taken, or taken back, on a
/// deployment that has since turned is refused. To pause, cancel and hold is never late.
///
/// # Errors
/// As [`check`].
pub fn check_request(state: &State, request: &Request) -> Result<Receipt, Refusal> {
    let is_late = request.revision.is_some_and(|seen| seen < state.turned);
    match &request.command {
        Command::Resume | Command::Rollback { .. } | Command::Promote { .. } | Command::Retry { .. } | Command::Skip { .. }
            if is_late =>
        {
            let message = format!(
                "{} has moved on since you looked: {}; look again, then {} if it is still right",
                state.plan.deployment,
                state.headline(),
                request.command.verb()
            );
            Err(Refusal { message })
        }
        command => check(state, command),
    }
}

fn after_the_end(state: &State, command: &Command) -> Option<String> {
    let end = state.end.as_ref()?;
    let (id, status, when) = (&state.plan.deployment, state.status().word(), end.at);
    Some(match command {
        Command::Rollback { .. } => {
            format!("{id} has ended ({status} at {when}); a rollback is now a deployment of its own: rollout rollback")
        }
        other => format!("{id} has ended ({status} at {when}): there is nothing to {}", other.verb()),
    })
}

fn before_the_start(state: &State, command: &Command) -> Option<String> {
    let harmless = matches!(
        command,
        Command::Start | Command::Cancel { .. } | Command::Skip { .. } | Command::Hold { .. } | Command::Release { .. }
    );
    let id = &state.plan.deployment;
    (state.started_at.is_none() && !harmless).then(|| format!("{id} has not begun: nothing is touched; start it or cancel it"))
}

fn answer(state: &State, command: &Command) -> Result<String, String> {
    Ok(match command {
        Command::Start if state.started_at.is_some() => "it has begun already".to_owned(),
        Command::Start => "it begins".to_owned(),
        Command::Pause { .. } => match state.pause.as_ref().filter(|pause| !pause.passing) {
            Some(_) if state.awaits == Some(Awaits::Answer) => "paused: the question waits without a deadline now".to_owned(),
            Some(pause) => format!("it is paused already, by {}", pause.by.name()),
            None => match state.active.len() {
                0 => "paused".to_owned(),
                n => format!("pausing: {n} in flight go on to a safe point"),
            },
        },
        Command::Resume if state.pause.is_none() && state.awaits == Some(Awaits::Approval) => {
            return Err("it is not paused: it waits for approval of the next batch; give it with: rollout promote".to_owned());
        }
        Command::Resume if state.pause.is_none() && state.awaits == Some(Awaits::Promotion) => {
            return Err("it is not paused: its step waits until somebody promotes it, with: rollout promote".to_owned());
        }
        Command::Resume if state.pause.is_none() => "it is not paused".to_owned(),
        Command::Resume => "resumed".to_owned(),
        Command::Promote { full } if state.step.is_some() => return promote_step(state, *full),
        Command::Promote { .. } if state.awaits != Some(Awaits::Approval) => "nothing waits for approval".to_owned(),
        Command::Promote { .. } if state.pause.is_some() => "approved; it goes on when the deployment is resumed".to_owned(),
        Command::Promote { full: false } => "the next batch begins".to_owned(),
        Command::Promote { full: true } => "the next batch begins, and no further one waits for approval".to_owned(),
        Command::Cancel { .. } => return cancel(state),
        Command::Rollback { only, .. } if is_rollback(state) => return join(state, only.as_ref()),
        Command::Rollback { only: Some(instance), .. } if state.rollback.is_none() => {
            return operate_instance::check_rollback(state, instance);
        }
        Command::Rollback { .. } if state.rollback.is_some() && state.cancel.is_some() => {
            return Err("this rollback is being ended where it is; deploy the earlier version afterwards".to_owned());
        }
        Command::Rollback { .. } if state.rollback.is_some() => "joined the rollback that is under way".to_owned(),
        Command::Rollback { .. } => "rolling back".to_owned(),
        Command::Retry { instance } => return operate_instance::check_retry(state, instance),
        Command::Skip { instance, .. } => return operate_instance::check_skip(state, instance),
        Command::Hold { instance, .. } => return operate_instance::check_hold(state, instance),
        Command::Release { instance } => return operate_instance::check_release(state, instance),
    })
}

fn promote_step(state: &State, full: bool) -> Result<String, String> {
    let number = state.step.as_ref().map_or(0, |step| step.number);
    if let Some(batch) = &state.batch {
        return Err(format!("step {number} is updating instances; it can be promoted when batch {} is done", batch.number));
    }
    let promoted = if full {
        "all steps are promoted: the rest goes by the rolling rules".to_owned()
    } else {
        format!("step {number} is promoted")
    };
    Ok(if state.pause.is_some() { format!("{promoted}; it goes on when the deployment is resumed") } else { promoted })
}

/// The deployment itself undoes another: there is never a rollback of a rollback.
pub(super) fn is_rollback(state: &State) -> bool {
    matches!(state.plan.kind, DeploymentKind::Rollback { .. }) && !mutant::is(Mutant::RollBackTwice)
}

fn join(state: &State, only: Option<&InstanceId>) -> Result<String, String> {
    let id = &state.plan.deployment;
    match only {
        Some(instance) => {
            Err(format!("{id} is a rollback itself: what failed in it is tried again with: rollout retry {instance}"))
        }
        None if state.cancel.is_some() => Err(format!("{id}, a rollback itself, is being ended where it is")),
        None => Ok(format!("joined: {id} is a rollback itself")),
    }
}

fn cancel(state: &State) -> Result<String, String> {
    if state.stopped.is_some() {
        return Ok("the commands are stopped already".to_owned());
    }
    if state.cancel.is_some() {
        let running = running(state).count();
        return Ok(match running {
            0 => "it is being cancelled already, and no command runs".to_owned(),
            1 => "stopping the command that runs on 1 instance; it stays out of rotation, listed".to_owned(),
            n => format!("stopping the commands that run on {n} instances; they stay out of rotation, listed"),
        });
    }
    match (&state.rollback, &state.pause) {
        (Some(_), None) => {
            Err("a rollback is not cancelled under way: pause it to hold it where it is; a cancel then ends it there".to_owned())
        }
        (Some(_), Some(_)) => Ok("ending the rollback where it is: what did not go back stays as it is and is listed".to_owned()),
        (None, _) => Ok("cancelling: what is under way comes to rest".to_owned()),
    }
}

/// Instances on which a driver is at work.
fn running(state: &State) -> impl Iterator<Item = &InstanceId> {
    let active = state.active.iter().filter_map(|&index| state.instances.get_index(index));
    active.filter(|(_, i)| i.phase == Phase::Updating).map(|(id, _)| id)
}

/// What an allowed command leads to; nothing if it was done already.
pub(super) fn operate(state: &State, observed: &Observed, now: Timestamp, request: &Request) -> Vec<EventKind> {
    if check_request(state, request).is_err() {
        return Vec::new();
    }
    let by = request.actor.clone();
    match &request.command {
        Command::Start if state.started_at.is_none() => vec![EventKind::DeploymentStarted { by }],
        // A pause of the engine's that would end by itself does so no longer.
        Command::Pause { reason } if !state.is_held_up() => {
            let reason = said(&by, reason);
            vec![EventKind::DeploymentPaused { by, reason, cause: Cause::Asked, until: None }]
        }
        // A signal to the engine is journalled whatever rests already: it says why the engine went away. And whoever pauses
        // while a question runs out wants nothing to happen by itself.
        Command::Pause { reason } if matches!(by, Actor::Signal { .. }) || state.awaits == Some(Awaits::Answer) => {
            let cause = state.pause.as_ref().map_or(Cause::Asked, |pause| pause.cause);
            vec![EventKind::DeploymentPaused { by, reason: after_an_earlier(state, reason), cause, until: None }]
        }
        Command::Resume if state.pause.is_some() => vec![EventKind::DeploymentResumed { by }],
        Command::Promote { full } if state.step.is_some() => canary::promoted(state, &by, *full).into_iter().collect(),
        Command::Promote { full } if state.awaits == Some(Awaits::Approval) => {
            vec![EventKind::BatchApproved { by, full: *full }]
        }
        Command::Cancel { reason } if state.cancel.is_none() => {
            let reason = said(&by, reason);
            vec![EventKind::CancelRequested { by, reason }]
        }
        // Decided before the first cancel was seen, it is that same cancel.
        Command::Cancel { .. } if state.cancel.as_ref().is_some_and(|c| request.revision.is_some_and(|seen| seen < c.seq)) => {
            Vec::new()
        }
        Command::Cancel { reason } if state.stopped.is_none() && running(state).next().is_some() => stop(state, by, reason),
        Command::Rollback { .. } if is_rollback(state) => Vec::new(),
        Command::Rollback { only: Some(instance), .. } if state.rollback.is_none() => {
            operate_instance::roll_back(state, instance)
        }
        Command::Rollback { reason, .. } if state.rollback.is_none() => {
            let reason = said(&by, reason);
            vec![EventKind::RollbackStarted { by, reason, since: now, detect: None }]
        }
        Command::Retry { instance } => operate_instance::retry(state, now, instance, by),
        Command::Skip { instance, reason } => operate_instance::skip(state, observed, instance, (by, reason)),
        Command::Hold { instance, reason } => operate_instance::hold(state, instance, (by, reason)),
        Command::Release { instance } => operate_instance::release(state, instance, by),
        Command::Start
        | Command::Pause { .. }
        | Command::Resume
        | Command::Promote { .. }
        | Command::Cancel { .. }
        | Command::Rollback { .. } => Vec::new(),
    }
}

/// What was said, and why it was paused before, so that whoever takes over reads both.
fn after_an_earlier(state: &State, reason: &str) -> String {
    match &state.pause {
        Some(pause) if !matches!(pause.by, Actor::Signal { .. }) => {
            let reason = if reason.is_empty() { "" } else { &format!("{reason}; ") };
            format!("{reason}paused before that by {}: {}", pause.by.name(), pause.reason)
        }
        Some(_) | None => reason.to_owned(),
    }
}

/// What was said, or who said nothing.
pub(super) fn said(by: &Actor, reason: &str) -> String {
    if reason.is_empty() { format!("asked for by {}", by.name()) } else { reason.to_owned() }
}

/// The commands that run are stopped: nobody knows how far they got, so that their instances stay out and are listed.
fn stop(state: &State, by: Actor, reason: &str) -> Vec<EventKind> {
    let name = by.name().into_owned();
    let stopped = running(state).map(|id| EventKind::InstanceFailed {
        instance: id.clone(),
        step: Step::Update,
        reason: format!("its update was stopped by {name}; nobody knows how far it got"),
        evidence: Evidence::default(),
    });
    let stopped: Vec<EventKind> = stopped.collect();
    let reason = said(&by, reason);
    [EventKind::CommandsStopped { by, reason }].into_iter().chain(stopped).collect()
}
