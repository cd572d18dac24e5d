//! Operators' commands: which are allowed when, and what they lead to. Every command is idempotent.
//!
//! Imports: state, command, event, model. May not: wait for what follows.

use crate::command::{Command, Receipt, Refusal, Request};
use crate::event::EventKind;
use crate::model::{Timestamp, Version};
use crate::state::State;

/// Whether the command is allowed now, and what to answer.
///
/// # Errors
/// Fails with the reason and what to do instead; nothing changes then.
pub fn check(state: &State, command: &Command) -> Result<Receipt, Refusal> {
    let refuse = |message: String| Err(Refusal { message });
    let id = &state.plan.deployment;
    if let Some(end) = &state.end {
        let when = end.at;
        return match command {
            Command::Rollback { .. } => {
                let hint = previous_hint(state);
                refuse(format!("{id} has ended ({} at {when}); {hint}", state.status().word()))
            }
            Command::Start | Command::Pause { .. } | Command::Resume | Command::Cancel { .. } => {
                refuse(format!("{id} has ended ({} at {when}): there is nothing to {}", state.status().word(), command.verb()))
            }
        };
    }
    let message = match command {
        Command::Start if state.started_at.is_some() => "it has begun already".to_owned(),
        Command::Start => "it begins".to_owned(),
        Command::Pause { .. } | Command::Resume | Command::Rollback { .. } if state.started_at.is_none() => {
            return refuse(format!("{id} has not begun: nothing is touched; start it or cancel it"));
        }
        Command::Pause { .. } => match &state.pause {
            Some(pause) => format!("it is paused already, by {}", pause.by.name()),
            None => match state.active.len() {
                0 => "paused".to_owned(),
                n => format!("pausing: {n} in flight go on to a safe point"),
            },
        },
        Command::Resume if state.pause.is_none() => "it is not paused".to_owned(),
        Command::Resume => "resumed".to_owned(),
        Command::Cancel { .. } if state.cancel.is_some() => "it is being cancelled already".to_owned(),
        Command::Cancel { .. } if state.rollback.is_some() && state.pause.is_none() => {
            return refuse(
                "a rollback is not cancelled under way: pause it to hold it where it is; a cancel then ends it there".to_owned(),
            );
        }
        Command::Cancel { .. } if state.rollback.is_some() => {
            "ending the rollback where it is: what did not go back stays as it is and is listed".to_owned()
        }
        Command::Cancel { .. } => "cancelling: what is under way comes to rest".to_owned(),
        Command::Rollback { .. } if state.rollback.is_some() && state.cancel.is_some() => {
            return refuse("this rollback is being ended where it is; deploy the earlier version afterwards".to_owned());
        }
        Command::Rollback { .. } if state.rollback.is_some() => "joined the rollback that is under way".to_owned(),
        Command::Rollback { .. } => "rolling back".to_owned(),
    };
    Ok(Receipt { seq: state.seq, message })
}

fn previous_hint(state: &State) -> String {
    let mut versions: Vec<&str> = state.plan.members.iter().filter_map(|m| m.previous.as_ref()).map(Version::as_str).collect();
    versions.dedup();
    match versions.as_slice() {
        [one] => format!("to go back, run: rollout deploy {one}"),
        _ => "to go back, deploy the earlier version".to_owned(),
    }
}

/// What an allowed command leads to; nothing if it was done already.
pub(super) fn operate(state: &State, request: &Request, now: Timestamp) -> Vec<EventKind> {
    if check(state, &request.command).is_err() {
        return Vec::new();
    }
    let by = request.actor.clone();
    let said = |reason: &str| if reason.is_empty() { format!("asked for by {}", by.name()) } else { reason.to_owned() };
    match &request.command {
        Command::Start if state.started_at.is_none() => vec![EventKind::DeploymentStarted { by }],
        Command::Pause { reason } if state.pause.is_none() => {
            let reason = said(reason);
            vec![EventKind::DeploymentPaused { by, reason }]
        }
        Command::Resume if state.pause.is_some() => vec![EventKind::DeploymentResumed { by }],
        Command::Cancel { reason } if state.cancel.is_none() => {
            let reason = said(reason);
            vec![EventKind::CancelRequested { by, reason }]
        }
        Command::Rollback { reason } if state.rollback.is_none() => {
            let reason = said(reason);
            vec![EventKind::RollbackStarted { by, reason, since: now, detect: None }]
        }
        Command::Start | Command::Pause { .. } | Command::Resume | Command::Cancel { .. } | Command::Rollback { .. } => {
            Vec::new()
        }
    }
}
