//! What became of one instance so far: its phases with their times, and its own facts. Folded from the events as they come.
//!
//! Imports: event, state, model. May not: draw; decide.

use std::collections::VecDeque;

use super::app::Fact;
use crate::event::EventKind;
use crate::model::{Evidence, InstanceState, Span, Timestamp};
use crate::state::{Goal, Instance, Phase};

/// Phases that are kept: more than an update and its way back have.
const STAGES: usize = 32;
/// Facts that are kept of each instance.
const FACTS: usize = 40;

/// One phase that an instance went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// The state that it showed.
    pub shown: InstanceState,
    /// When it began.
    pub since: Timestamp,
    /// How long it may take.
    pub budget: Option<Span>,
    /// Something was under way.
    pub at_work: bool,
}

/// The past of one instance.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Oldest first; the last one is the present.
    pub stages: VecDeque<Stage>,
    /// Oldest first.
    pub facts: VecDeque<Fact>,
    /// What the last decision on it rested on, and what was decided.
    pub evidence: Option<(&'static str, Evidence)>,
}

impl History {
    /// Begins with how it stands.
    pub(super) fn of(instance: &Instance) -> Self {
        let mut history = Self::default();
        history.follow(instance, instance.since);
        history
    }

    /// It stands so since then; nothing happens if that is what is known already.
    pub(super) fn follow(&mut self, instance: &Instance, at: Timestamp) {
        let name = stage_name(instance);
        if self.stages.back().is_some_and(|last| last.name == name) {
            return;
        }
        if self.stages.len() >= STAGES {
            self.stages.pop_front();
        }
        self.stages.push_back(Stage {
            name,
            shown: instance.shown(),
            since: at,
            budget: instance.until.filter(|_| instance.is_active()).map(|until| until.since(at)),
            at_work: instance.is_active(),
        });
    }

    /// A fact about it.
    pub(super) fn remember(&mut self, fact: Fact, kind: &EventKind) {
        if self.facts.len() >= FACTS {
            self.facts.pop_front();
        }
        self.facts.push_back(fact);
        if let Some((what, evidence)) = rests_on(kind) {
            self.evidence = Some((what, evidence.clone()));
        }
    }
}

/// What was decided, and on what.
fn rests_on(kind: &EventKind) -> Option<(&'static str, &Evidence)> {
    if let EventKind::HealthPassed { evidence, .. } = kind {
        return Some(("passed its gate", evidence));
    }
    if let EventKind::InstanceHealthy { evidence, .. } = kind {
        return Some(("found healthy", evidence));
    }
    if let EventKind::InstanceFailed { evidence, .. } = kind {
        return Some(("failed", evidence));
    }
    if let EventKind::InstanceRestored { evidence, .. } = kind {
        return Some(("restored", evidence));
    }
    None
}

/// The phase's name, in at most thirteen columns.
fn stage_name(instance: &Instance) -> &'static str {
    let forward = instance.goal == Goal::Forward;
    let either = |there, back| if forward { there } else { back };
    match instance.phase {
        Phase::Pending if instance.held.is_some() => "held",
        Phase::Pending => "pending",
        Phase::Checking => "last look",
        Phase::TakingOut => either("taking out", "back: out"),
        Phase::Draining => either("draining", "back: drain"),
        Phase::Drained => either("drained", "back: drained"),
        Phase::Updating => either("updating", "back: update"),
        Phase::Verifying { .. } => either("health gate", "back: gate"),
        Phase::Admitting => either("admitting", "back: admit"),
        Phase::Settling { .. } => either("settling", "back: settle"),
        Phase::Healthy => "healthy",
        Phase::Failed => "failed",
        Phase::Skipped => "skipped",
        Phase::Returning { .. } => "returning",
        Phase::Restoring => "rolling back",
        Phase::RolledBack => "rolled back",
    }
}
