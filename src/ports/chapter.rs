//! The past of a service as whoever watches it is told: each deployment in short, or its whole story.
//!
//! Imports: event, state, model, the journal's port. May not: read a journal.

use super::{DeploymentRow, JournalError};
use crate::event::{Actor, Event, EventKind};
use crate::model::{DeploymentId, Finding, Span, Timestamp};
use crate::state::{State, Summary};

/// Facts that the short form of a deployment keeps.
const WHY: usize = 40;

/// The deployments of a service.
#[derive(Debug, Clone, Default)]
pub struct Chapters {
    /// Newest first.
    pub all: Vec<Chapter>,
    /// What is wrong with the history as a whole, in sentences.
    pub complaints: Vec<String>,
}

/// One deployment in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Which.
    pub id: DeploymentId,
    /// To which version; empty if that cannot be read.
    pub version: String,
    /// One of the contract's words; empty if it cannot be read.
    pub status: String,
    /// By whom.
    pub started_by: String,
    /// When it was planned, if that can be read.
    pub planned_at: Option<Timestamp>,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
    /// What came of it; none if that was not read.
    pub outcome: Option<Box<Outcome>>,
    /// What is damaged in its journal, in a sentence.
    pub damage: Option<String>,
}

impl Chapter {
    /// What the history's row says.
    pub fn of(row: DeploymentRow) -> Self {
        let DeploymentRow { id, version, status, started_by, planned_at, ended_at } = row;
        Self { id, version, status, started_by, planned_at: Some(planned_at), ended_at, outcome: None, damage: None }
    }

    /// One of which only its damage is known.
    pub fn damaged(id: DeploymentId, damage: &JournalError) -> Self {
        let (version, status, started_by) = (String::new(), String::new(), String::new());
        let damage = Some(damage.to_string());
        Self { id, version, status, started_by, planned_at: None, ended_at: None, outcome: None, damage }
    }

    /// From its beginning to its end; from the plan on, where its facts were not read.
    pub fn took(&self) -> Option<Span> {
        let whole = self.ended_at?.since(self.planned_at?);
        Some(self.outcome.as_ref().map_or(whole, |outcome| outcome.took))
    }
}

/// What came of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The line that says how it stands.
    pub headline: String,
    /// The version that the fleet had; empty if there were several.
    pub before: String,
    /// Now on the new version with the gate passed.
    pub updated: u32,
    /// Failed in the run, whatever became of them.
    pub failed: u32,
    /// From its beginning to its end, or to the last fact.
    pub took: Span,
    /// Median time from the order of the drain to the verdict.
    pub each: Option<Span>,
    /// How long the way back took.
    pub back: Option<Span>,
    /// How many facts its journal has.
    pub facts: usize,
    /// What decided it: the first failure, what the policy made of it, what people did, the end.
    pub why: Vec<Event>,
}

impl Outcome {
    /// What came of the deployment that these facts tell; none if they do not make one.
    pub fn of(events: &[Event]) -> Option<Self> {
        let state = State::replay(events).ok()?;
        let summary = Summary::of(&state, (None, None));
        let mut took: Vec<Span> = state.instances.values().filter_map(|instance| instance.took).collect();
        took.sort_unstable();
        let before = match summary.previous.keys().collect::<Vec<_>>().as_slice() {
            [one] => (*one).clone(),
            _ => String::new(),
        };
        Some(Self {
            headline: state.headline(),
            before,
            updated: summary.updated,
            failed: state.failures(),
            took: Span::from_millis(summary.duration_ms),
            each: took.get(took.len() / 2).copied(),
            back: summary.rollback_ms.map(Span::from_millis),
            facts: events.len(),
            why: why(events),
        })
    }
}

/// The whole of a deployment, as far as it can be read.
#[derive(Debug, Clone)]
pub struct Story {
    /// From the first fact on.
    pub events: Vec<Event>,
    /// What is wrong with what follows them, in a sentence.
    pub damage: Option<String>,
}

/// What decided a deployment: the cause first, then what the policy made of it, then what people did, then the end.
fn why(events: &[Event]) -> Vec<Event> {
    let grave = |kind: &EventKind| matches!(kind, EventKind::InstanceFailed { .. } | EventKind::EndCheckMismatch { .. });
    let first = events.iter().find(|event| grave(&event.kind));
    let policy = events.iter().filter(|event| by_policy(&event.kind));
    let people =
        events.iter().filter(|event| actor(&event.kind).is_some_and(|by| *by != Actor::Engine) && !is_start(&event.kind));
    let end = events.last().filter(|event| event.kind.is_terminal());
    first.into_iter().chain(policy).chain(people).take(WHY).chain(end).cloned().collect()
}

fn by_policy(kind: &EventKind) -> bool {
    let engine = actor(kind) == Some(&Actor::Engine);
    matches!(kind, EventKind::ThresholdCrossed { .. })
        || engine && matches!(kind, EventKind::DeploymentPaused { .. } | EventKind::RollbackStarted { .. })
        || engine && matches!(kind, EventKind::CancelRequested { .. })
}

fn is_start(kind: &EventKind) -> bool {
    matches!(kind, EventKind::DeploymentStarted { .. })
}

/// Who did it, where a fact says so.
fn actor(kind: &EventKind) -> Option<&Actor> {
    use EventKind as K;
    match kind {
        K::DeploymentStarted { by }
        | K::DeploymentPaused { by, .. }
        | K::DeploymentResumed { by }
        | K::CancelRequested { by, .. }
        | K::CommandsStopped { by, .. }
        | K::RollbackStarted { by, .. }
        | K::BatchApproved { by, .. }
        | K::StepCompleted { by: Some(by), .. }
        | K::InstanceHeld { by, .. }
        | K::InstanceReleased { by, .. }
        | K::InstanceRetried { by, .. }
        | K::InstanceDiscounted { by, .. } => Some(by),
        _ => None,
    }
}

/// What a fact is to whoever looks for the turns of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something failed.
    Failure,
    /// It was paused.
    Pause,
    /// Everything goes back.
    Rollback,
    /// Somebody did something else.
    Person,
    /// It ended.
    End,
}

impl Turn {
    /// Of a fact, if it is one.
    pub fn of(kind: &EventKind) -> Option<Self> {
        use EventKind as K;
        match kind {
            K::InstanceFailed { .. }
            | K::ThresholdCrossed { .. }
            | K::DrainLost { .. }
            | K::EndCheckMismatch { .. }
            | K::HookEnded { failure: Some(_), again: false, .. }
            | K::AnalysisMeasured { finding: Finding::Fail, .. } => Some(Self::Failure),
            K::DeploymentPaused { .. } => Some(Self::Pause),
            K::RollbackStarted { .. } => Some(Self::Rollback),
            K::DeploymentEnded { .. } => Some(Self::End),
            K::EngineRecovered { .. } => Some(Self::Person),
            kind if actor(kind).is_some_and(|by| *by != Actor::Engine) => Some(Self::Person),
            _ => None,
        }
    }
}
