//! The decisions. Pure: no I/O, no clock, no randomness, no await.
//!
//! One turn: an input meets the state, `step` says what happened, the state takes it in, and so on until nothing more
//! happens. What should be under way is `wanted` of the state, the same live and after a crash.
//!
//! Imports: state, event, command, effect, model. May not: act, or see anything but its arguments.

mod ahead;
mod analysis;
mod approval;
mod budget;
mod canary;
#[cfg(test)]
mod collisions;
mod common_cause;
mod consequence;
mod ending;
#[cfg(test)]
mod every_command;
#[cfg(test)]
mod every_step;
mod forecast;
#[cfg(test)]
mod gates;
mod hooks;
mod judge;
#[cfg(test)]
mod judged;
mod observed;
#[cfg(test)]
mod odd_moments;
mod operate;
mod operate_instance;
mod pipeline;
mod planning;
#[cfg(test)]
mod proving;
#[cfg(test)]
mod regressions;
mod rollback;
mod rolling;
mod rotation;
#[cfg(test)]
mod steering;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod surge;
#[cfg(test)]
mod testing;
mod undo;
mod waiting;
mod wanted;

use std::collections::BTreeMap;

use crate::command::Request;
use crate::effect::Outcome;
use crate::event::{Actor, Cause, Event, EventKind, Takeover};
use crate::model::{EffectId, InstanceId, Measurement, Rotation, Sample, Span, Timestamp};
use crate::mutant::{self, Mutant};
use crate::state::{Illegal, State};

pub use ahead::{Ahead, ahead, way_back};
pub use analysis::{Groups, groups};
pub use consequence::{Capacity, Consequence, capacity, consequence};
pub use forecast::{Forecast, estimate, forecast};
pub use observed::{Observed, Seen};
pub use operate::{check, check_request};
pub use planning::{PlanRequest, Planned, Selection, plan};
pub use rolling::{PlannedBatch, batches};
pub use undo::{Undo, left_out, undo};
pub use waiting::{Waiting, waiting};
pub use wanted::{wanted, wanted_for, wanted_for_fleet};

/// Everything that can reach the core.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The journal takes events again, after it took none for a while.
    Mended,
    /// The engine's process stood still.
    Woke {
        /// For how long.
        asleep: Span,
    },
    /// An engine took over from another.
    Recovered(Takeover),
    /// An operator asks; already checked with `check`.
    Command(Request),
    /// An act ended.
    Outcome {
        /// Which act.
        effect: EffectId,
        /// How.
        outcome: Outcome,
    },
    /// A probe of a watched instance.
    Sample {
        /// Which.
        instance: InstanceId,
        /// What it saw.
        sample: Sample,
    },
    /// What the balancers say of the fleet.
    Rotations {
        /// When the reading began.
        at: Timestamp,
        /// Of each instance.
        rotations: BTreeMap<InstanceId, Rotation>,
    },
    /// Connections that a draining instance still has.
    Sessions {
        /// Which.
        instance: InstanceId,
        /// How many.
        sessions: u32,
    },
    /// A check of the analysis was measured.
    Measured {
        /// Its name.
        check: String,
        /// When that began.
        at: Timestamp,
        /// What its source said.
        measurement: Measurement,
    },
    /// An act that is being retried did not succeed yet.
    Trouble {
        /// Which, or the fleet as a whole.
        instance: Option<InstanceId>,
        /// Why, in words.
        trouble: String,
    },
}

/// One decision: what `input` leads to, as facts in order. Empty if it leads to nothing.
#[must_use]
pub fn step(state: &State, observed: &Observed, now: Timestamp, input: &Input) -> Vec<EventKind> {
    if state.end.is_some() {
        return Vec::new();
    }
    let direct = match input {
        Input::Command(request) => operate::operate(state, observed, now, request),
        Input::Outcome { effect, outcome: Outcome::Weighed { weights } } => canary::weighed(state, effect, weights),
        Input::Outcome { effect, outcome: Outcome::HookEnded { failure } } => hooks::ended(state, effect, failure.as_deref()),
        Input::Measured { check, at, measurement } => analysis::measured(state, check, *at, measurement),
        Input::Outcome { effect, outcome } => pipeline::outcome(state, observed, now, (effect, outcome)),
        Input::Rotations { at, rotations } => rotation::noticed((state, observed), now, *at, rotations),
        Input::Mended if state.started_at.is_some() => vec![EventKind::JournalMended],
        Input::Woke { asleep } if state.started_at.is_some() => vec![EventKind::EngineWoke { asleep: *asleep }],
        Input::Recovered(takeover) => vec![EventKind::EngineRecovered { takeover: takeover.clone() }],
        Input::Sample { instance, .. } => pipeline::advance_by_id(state, observed, now, instance).unwrap_or_default(),
        Input::Mended | Input::Woke { .. } | Input::Tick | Input::Sessions { .. } | Input::Trouble { .. } => Vec::new(),
    };
    if !direct.is_empty() {
        return direct;
    }
    let in_flight = state.active.iter().find_map(|&index| pipeline::advance(state, observed, now, index));
    in_flight
        .or_else(|| canary::order(state, now))
        .or_else(|| hooks::overdue(state, now))
        .or_else(|| judge::judge(state, observed, now))
        .or_else(|| analysis::judge(state, now))
        .or_else(|| hooks::judge(state, now))
        .or_else(|| canary::unconfirmed(state, observed, now))
        .or_else(|| rollback::next(state, observed, now))
        .or_else(|| rolling::next(state, observed, now))
        .or_else(|| ending::next(state, observed, now))
        .or_else(|| deadlines(state, now))
        .unwrap_or_default()
}

/// The deadlines of the deployment as a whole.
fn deadlines(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    if state.approval_until.is_some_and(|until| now >= until)
        && let Some(events) = approval::nobody_came(state, now)
    {
        return Some(events);
    }
    if state.progress_until.is_some_and(|until| now >= until) {
        return Some(judge::no_progress(state, now));
    }
    None
}

/// One turn: notes what the input says, then decides until nothing more happens. The returned events are already in
/// `state` and `observed`; the caller must store them before it acts on them or shows them.
///
/// # Errors
/// Fails if a decision does not fit the state: a fault of this program. The events before it are lost to the caller,
/// who must stop and start again from the journal.
pub fn turn(state: &mut State, observed: &mut Observed, now: Timestamp, input: &Input) -> Result<Vec<Event>, Illegal> {
    // What is decided now is no earlier than what was: a deadline counted from a clock that went back would be over at once.
    let now = now.max(state.at);
    observed.note(state, now, input);
    let mut events = Vec::new();
    let mut next = input;
    loop {
        let kinds = step(state, observed, now, next);
        if kinds.is_empty() && matches!(next, Input::Tick) {
            return Ok(events);
        }
        for kind in kinds {
            let event = Event { seq: state.seq.next(), at: now, deployment: state.plan.deployment.clone(), kind };
            state.apply(&event)?;
            observed.apply(&event);
            events.push(event);
        }
        // Nothing is decided on what nobody has seen yet, before a person can choose.
        if matches!(next, Input::Recovered(_)) {
            return Ok(events);
        }
        next = &Input::Tick;
    }
}

/// When something will have to be decided without any further input. What was due by `now` has been decided, or waits
/// for an input.
pub fn next_deadline(state: &State, now: Timestamp) -> Option<Timestamp> {
    let heard = state.active.iter().filter(|_| !mutant::is(Mutant::DropDeadline));
    let of_instances = heard.flat_map(|&index| pipeline::deadlines(state, index));
    let bake = state.batch.as_ref().and_then(|b| b.bake_until);
    let end_check = state.end_check_until.filter(|_| state.end_checked.is_none());
    let look = state.look.as_ref().filter(|_| state.is_looking()).map(|look| look.until);
    let of_deployment = [bake, end_check, look, hooks::deadline(state), state.progress_until, state.approval_until];
    of_instances.chain(of_deployment.into_iter().flatten()).chain(canary::deadlines(state)).filter(|&at| at > now).min()
}

/// The engine pauses itself.
fn pause(cause: Cause, reason: String) -> EventKind {
    EventKind::DeploymentPaused { by: Actor::Engine, reason, cause, until: None }
}
