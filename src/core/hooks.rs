//! Hooks: when it is the turn of which, when one is tried again, and what its failure means.
//!
//! Imports: state, event, effect, model, core's judge. May not: run anything.

use crate::effect::{Effect, EffectKind};
use crate::event::{Cause, EventKind};
use crate::model::{EffectId, Hook, HookAt, HookClass, Timestamp};
use crate::mutant::{self, Mutant};
use crate::state::{HookRun, State};

use super::judge;
use super::operate::is_rollback;

/// What comes next at a point where several things may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// This.
    Act(Vec<EventKind>),
    /// Something is under way.
    Wait,
    /// Nothing: whatever comes after this point.
    Done,
}

impl Turn {
    /// What comes after this point, if nothing comes here.
    pub(super) fn then(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Done => next(),
            turn => turn,
        }
    }

    /// What `then` says, if nothing comes here.
    pub(super) fn or(self, then: impl FnOnce() -> Option<Vec<EventKind>>) -> Option<Vec<EventKind>> {
        match self {
            Self::Act(events) => Some(events),
            Self::Wait => None,
            Self::Done => then(),
        }
    }
}

/// The hooks at a point of the deployment, one after the other. `round` is which time it comes there, from 1. For a deployment
/// that undoes another they are those of a rollback.
pub(super) fn next(state: &State, now: Timestamp, at: HookAt, round: u32) -> Turn {
    if let Some(run) = &state.hook {
        return again(state, now, run);
    }
    let at = match at {
        HookAt::BeforeDeployment if is_rollback(state) => HookAt::BeforeRollback,
        HookAt::AfterDeployment if is_rollback(state) => HookAt::AfterRollback,
        HookAt::BeforeBatch | HookAt::AfterBatch if is_rollback(state) => return Turn::Done,
        at => at,
    };
    let due = |hook: &&Hook| hook.at == at && hook.class != HookClass::Cleanup;
    begin_first(state, now, due, round)
}

/// The hooks of class cleanup, one after the other.
pub(super) fn cleanup(state: &State, now: Timestamp) -> Turn {
    if mutant::is(Mutant::ForgetCleanup) {
        return Turn::Done;
    }
    match &state.hook {
        Some(run) => again(state, now, run),
        None => begin_first(state, now, |hook| hook.class == HookClass::Cleanup, 1),
    }
}

/// The hook that a step names.
pub(super) fn named(state: &State, now: Timestamp, name: &str, round: u32) -> Turn {
    match &state.hook {
        Some(run) => again(state, now, run),
        None => begin_first(state, now, |hook| hook.name == name, round),
    }
}

fn begin_first(state: &State, now: Timestamp, due: impl Fn(&&Hook) -> bool, round: u32) -> Turn {
    let not_done = |hook: &&Hook| state.hooks_done.get(&hook.name).is_none_or(|done| *done < round);
    match state.plan.policy.hooks.iter().filter(&due).find(not_done) {
        Some(hook) => Turn::Act(vec![started(hook, now, round, 1)]),
        None => Turn::Done,
    }
}

fn again(state: &State, now: Timestamp, run: &HookRun) -> Turn {
    match state.hook_named(&run.name).filter(|_| run.failed) {
        Some(hook) => Turn::Act(vec![started(hook, now, run.round, run.attempt + 1)]),
        None => Turn::Wait,
    }
}

fn started(hook: &Hook, now: Timestamp, round: u32, attempt: u32) -> EventKind {
    EventKind::HookStarted { hook: hook.name.clone(), round, attempt, until: now + hook.timeout }
}

/// The hook that runs, as an act on the fleet.
pub(super) fn wanted(state: &State) -> Option<Effect> {
    let run = state.hook.as_ref().filter(|run| !run.failed)?;
    let hook = state.hook_named(&run.name)?;
    let word = format!("hook-{}-{}", run.name, run.round);
    Some(Effect {
        id: EffectId::new(&state.plan.deployment, None, &word, run.attempt),
        instance: None,
        kind: EffectKind::RunHook { hook: run.name.clone(), round: run.round, attempt: run.attempt, timeout: hook.timeout },
    })
}

/// The end of a hook, as a fact.
pub(super) fn ended(state: &State, effect: &EffectId, failure: Option<&str>) -> Vec<EventKind> {
    match state.hook.as_ref().filter(|_| wanted(state).is_some_and(|wanted| wanted.id == *effect)) {
        Some(run) => vec![end(state, run, failure.map(str::to_owned))],
        None => Vec::new(),
    }
}

/// A hook that did not end in time has failed.
pub(super) fn overdue(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    let run = state.hook.as_ref().filter(|run| !run.failed && now >= run.until)?;
    let timeout = state.hook_named(&run.name).map(|hook| hook.timeout).unwrap_or_default();
    Some(vec![end(state, run, Some(format!("it did not end within {timeout}")))])
}

/// When a hook that runs will have to be decided on.
pub(super) fn deadline(state: &State) -> Option<Timestamp> {
    state.hook.as_ref().filter(|run| !run.failed).map(|run| run.until)
}

fn end(state: &State, run: &HookRun, failure: Option<String>) -> EventKind {
    let retries = state.hook_named(&run.name).map_or(0, |hook| hook.retries);
    let again = failure.is_some() && run.attempt <= retries;
    EventKind::HookEnded { hook: run.name.clone(), round: run.round, failure, again }
}

/// What a gate that failed leads to, whatever `on_failure` says of instances: the deployment does not go on by itself. One
/// that failed during a pause is acted on when that is over.
pub(super) fn judge(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    let reason = state.closed_gate.as_ref().filter(|_| !mutant::is(Mutant::ForgetHookFailure))?;
    let over = state.rollback.is_some() || state.cancel.is_some() || is_rollback(state);
    if over || state.is_held_up() || judge::is_open(state) {
        return None;
    }
    Some(judge::act(state, reason.clone(), (now, None), Cause::Hook))
}
