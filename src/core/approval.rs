//! Waiting for a person, and what happens when nobody comes: no wait is without end.
//!
//! Imports: state, event, model, core's parts. May not: wait.

use crate::event::{Actor, EventKind, Found};
use crate::model::{Confirm, Span, Timestamp};
use crate::state::{Awaits, Phase, State};

use super::ending;

/// The next batch may not begin before a person says so.
pub(super) fn blocks_next_batch(state: &State) -> bool {
    state.plan.policy.strategy.confirm == Confirm::Batch && state.batches > state.approved
}

/// The question whether it may, if it is not asked already.
pub(super) fn before_next_batch(state: &State, now: Timestamp) -> Option<EventKind> {
    let question = || EventKind::ApprovalAwaited { batch: state.batches, until: now + timeout(state) };
    (state.awaits != Some(Awaits::Approval)).then(question)
}

/// If only held instances are left: the question, if it is not asked already.
pub(super) fn before_the_end(state: &State, now: Timestamp) -> Option<EventKind> {
    let held = state.instances.values().any(|i| i.phase == Phase::Pending && i.held.is_some());
    let question = || EventKind::ReleaseAwaited { until: now + timeout(state) };
    (held && state.awaits != Some(Awaits::Release)).then(question)
}

/// How long an answer is waited for.
pub(super) fn timeout(state: &State) -> Span {
    state.plan.policy.strategy.approval_timeout
}

/// Nobody came in time. What a person would most likely want: nothing begins by itself, and nothing stays half done.
pub(super) fn nobody_came(state: &State, now: Timestamp) -> Option<Vec<EventKind>> {
    let waited = timeout(state);
    let by = Actor::Engine;
    match state.awaits? {
        Awaits::Start => Some(ending::abandon(state)),
        Awaits::Answer => {
            let why = state.pause.as_ref().map(|p| p.reason.as_str()).unwrap_or_default();
            let reason = format!("nobody answered within {waited}: {why}");
            Some(vec![EventKind::RollbackStarted { by, reason, since: now, detect: None }])
        }
        // The clock of an approval stops during a pause.
        Awaits::Approval | Awaits::Release | Awaits::Promotion if state.pause.is_some() => None,
        // What nobody judged does not go on serving.
        Awaits::Promotion => {
            let step = state.step.as_ref().map_or(0, |step| step.number);
            let reason = format!("nobody promoted step {step} within {waited}");
            Some(vec![EventKind::RollbackStarted { by, reason, since: now, detect: None }])
        }
        Awaits::Approval => {
            let reason = format!("nobody approved the batch after batch {} within {waited}", state.batches);
            Some(vec![EventKind::CancelRequested { by, reason }])
        }
        Awaits::Release => {
            let held = state.instances.iter().filter(|(_, i)| i.phase == Phase::Pending && i.held.is_some());
            let skip = held.map(|(id, instance)| {
                let by = instance.held.as_ref().map_or_else(|| "nobody".into(), |h| h.by.name());
                let reason = format!("held by {by}, and not released within {waited}");
                EventKind::InstanceSkipped { instance: id.clone(), reason, found: Found::AsItWas }
            });
            Some(skip.collect())
        }
    }
}
