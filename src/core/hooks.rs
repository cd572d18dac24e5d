//! Hooks: when it is the turn of which, when one is tried again, and what its failure means.
//!
//! Imports: state, event, effect, model, core's judge. May not: run anything.

use crate::effect::{Effect, EffectKind};
use crate::event::{Cause, EventKind};
use crate::model::{EffectId, Hook, HookAt, HookClass, OnFailure, Timestamp};
use crate::state::{HookRun, State};

use super::judge;

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
    /// What `then` says, if nothing comes here.
    pub(super) fn or(self, then: impl FnOnce() -> Option<Vec<EventKind>>) -> Option<Vec<EventKind>> {
        match self {
            Self::Act(events) => Some(events),
            Self::Wait => None,
            Self::Done => then(),
        }
    }
}

/// The hooks at a point of the deployment, one after the other. `round` is which time it comes there, from 1.
pub(super) fn next(state: &State, now: Timestamp, at: HookAt, round: u32) -> Turn {
    if let Some(run) = &state.hook {
        return again(state, now, run);
    }
    let due = |hook: &&Hook| hook.at == at && hook.class != HookClass::Cleanup;
    begin_first(state, now, due, round)
}

/// The hooks of class cleanup, one after the other.
pub(super) fn cleanup(state: &State, now: Timestamp) -> Turn {
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
    match of(state, &run.name).filter(|_| run.failed) {
        Some(hook) => Turn::Act(vec![started(hook, now, run.round, run.attempt + 1)]),
        None => Turn::Wait,
    }
}

fn started(hook: &Hook, now: Timestamp, round: u32, attempt: u32) -> EventKind {
    EventKind::HookStarted { hook: hook.name.clone(), round, attempt, until: now + hook.timeout }
}

fn of<'a>(state: &'a State, name: &str) -> Option<&'a Hook> {
    state.plan.policy.hooks.iter().find(|hook| hook.name == name)
}

/// The hook that runs, as an act on the fleet.
pub(super) fn wanted(state: &State) -> Option<Effect> {
    let run = state.hook.as_ref().filter(|run| !run.failed)?;
    let hook = of(state, &run.name)?;
    let word = format!("hook-{}-{}", run.name, run.round);
    Some(Effect {
        id: EffectId::new(&state.plan.deployment, None, &word, run.attempt),
        instance: None,
        kind: EffectKind::RunHook { hook: run.name.clone(), round: run.round, attempt: run.attempt, timeout: hook.timeout },
    })
}

/// What the end of a hook means.
pub(super) fn ended(state: &State, now: Timestamp, effect: &EffectId, failure: Option<&str>) -> Vec<EventKind> {
    match state.hook.as_ref().filter(|_| wanted(state).is_some_and(|wanted| wanted.id == *effect)) {
        Some(run) => end(state, now, run, failure.map(str::to_owned)),
        None => Vec::new(),
    }
}

/// A hook that did not end in time has failed.
pub(super) fn overdue(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    let run = state.hook.as_ref().filter(|run| !run.failed && now >= run.until)?;
    let timeout = of(state, &run.name).map(|hook| hook.timeout).unwrap_or_default();
    Some(end(state, now, run, Some(format!("it did not end within {timeout}"))))
}

/// When a hook that runs will have to be decided on.
pub(super) fn deadline(state: &State) -> Option<Timestamp> {
    state.hook.as_ref().filter(|run| !run.failed).map(|run| run.until)
}

fn end(state: &State, now: Timestamp, run: &HookRun, failure: Option<String>) -> Vec<EventKind> {
    let hook = of(state, &run.name);
    let again = failure.is_some() && hook.is_some_and(|hook| run.attempt <= hook.retries);
    let (name, round) = (run.name.clone(), run.round);
    let mut events = vec![EventKind::HookEnded { hook: name.clone(), round, failure: failure.clone(), again }];
    let decides = hook.is_some_and(|hook| hook.class == HookClass::Gate)
        && state.rollback.is_none()
        && state.cancel.is_none()
        && state.plan.policy.rollback.on_failure != OnFailure::Continue;
    if let Some(why) = failure.filter(|_| !again && decides) {
        events.extend(judge::act(state, format!("hook {name} failed: {why}"), (now, None), Cause::Hook));
    }
    events
}
