//! One instance of a deployment: where it stands in its pipeline.
//!
//! Imports: event, model. May not: know its mates.

use serde::{Deserialize, Serialize};

use crate::event::{AfterReturn, Step};
use crate::model::{Evidence, InstanceState, Member, Rotation, Span, Timestamp, Version};

use super::Halt;
use crate::mutant::{self, Mutant};

/// Which way an instance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// To the wanted version.
    Forward,
    /// To its own earlier version.
    Back,
}

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Nothing happened to it (yet).
    Pending,
    /// The last look before it is touched.
    Checking,
    /// The balancers were told to send nothing new; not confirmed yet.
    TakingOut,
    /// Confirmed out; its connections are ending.
    Draining,
    /// The drain is over; the update is about to be ordered.
    Drained,
    /// The driver is at work.
    Updating,
    /// The health gate.
    Verifying {
        /// Until when it may be not listening.
        start_until: Timestamp,
    },
    /// Proven; being put back in rotation.
    Admitting,
    /// Serving; staying healthy for `min_healthy_time`.
    Settling {
        /// The end of that time.
        settle_until: Timestamp,
    },
    /// Updated, proven, serving.
    Healthy,
    /// It failed and is listed.
    Failed,
    /// Left alone.
    Skipped,
    /// Being put back in rotation without an update.
    Returning {
        /// Where that ends.
        #[serde(flatten)]
        then: AfterReturn,
    },
    /// About to go back to its own earlier version.
    Restoring,
    /// Back on its own earlier version, serving.
    RolledBack,
}

/// Why an instance failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub step: Step,
    /// Why, in words.
    pub reason: String,
    /// When the verdict fell.
    pub at: Timestamp,
    /// On what.
    pub evidence: Evidence,
}

/// What the journal says of one instance.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each true or false in every phase")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
    /// Which way it goes.
    pub goal: Goal,
    /// The version that it runs, as last known; `None` when unknown.
    pub version: Option<Version>,
    /// In rotation, as last confirmed or found.
    pub serving: bool,
    /// Out of service by our doing: from the order of its drain until it is confirmed back.
    pub ours: bool,
    /// Found or proven not to work: counts as out whatever the balancers say.
    pub down: bool,
    /// It ran the new version, or may have.
    pub exposed: bool,
    /// Its verdict in this run: `true` healthy, `false` failed.
    pub verdict: Option<bool>,
    /// Number of acts ordered on it; part of their ids.
    pub attempt: u32,
    /// When its phase began.
    pub since: Timestamp,
    /// When its phase must be over.
    pub until: Option<Timestamp>,
    /// Its batch, from 1.
    pub batch: Option<u32>,
    /// Its place among all updates, from 1; 0 if it had none.
    pub order: u32,
    /// When its last update ended.
    pub updated_at: Option<Timestamp>,
    /// How often its drain was given more time.
    pub extensions: u32,
    /// Connections left when that was last decided.
    pub sessions: Option<u32>,
    /// Why it failed, the latest if more than once.
    pub failure: Option<Failure>,
    /// Why it was skipped.
    pub skipped: Option<String>,
    /// Who holds it, if it is not to be taken.
    #[serde(default)]
    pub held: Option<Halt>,
    /// It has no part in the plan.
    #[serde(default)]
    pub excluded: bool,
    /// It does not hold the budget, whatever its state: an operator said so, or it has no part in the plan.
    #[serde(default)]
    pub discounted: bool,
    /// In rotation against our order, and being taken out again while its work goes on.
    #[serde(default)]
    pub slipped: bool,
    /// How often that happened, or its drain was undone, since its drain was ordered.
    #[serde(default)]
    pub slips: u32,
    /// Out of rotation by somebody else's order: it is not put back.
    #[serde(default)]
    pub foreign: bool,
    /// When its drain was last ordered on the way forward.
    #[serde(default)]
    pub taken_at: Option<Timestamp>,
    /// From there to its verdict healthy.
    #[serde(default)]
    pub took: Option<Span>,
    /// Extra capacity, not of the fleet: its way back is that it is stopped.
    #[serde(default)]
    pub spare: bool,
}

impl Instance {
    /// As planned, before anything happened.
    pub(super) fn planned(member: &Member, at: Timestamp) -> Self {
        let serving = member.rotation == Rotation::Serving;
        Self {
            phase: if member.excluded.is_some() && !mutant::is(Mutant::TakeExcluded) { Phase::Skipped } else { Phase::Pending },
            goal: Goal::Forward,
            version: member.previous.clone(),
            serving,
            ours: false,
            down: !(serving && member.healthy),
            exposed: false,
            verdict: None,
            attempt: 0,
            since: at,
            until: None,
            batch: None,
            order: 0,
            updated_at: None,
            extensions: 0,
            sessions: None,
            failure: None,
            skipped: member.excluded.clone(),
            held: None,
            excluded: member.excluded.is_some(),
            discounted: member.excluded.is_some(),
            slipped: false,
            slips: 0,
            foreign: false,
            taken_at: None,
            took: None,
            spare: member.spare,
        }
    }

    /// The state to show.
    pub fn shown(&self) -> InstanceState {
        match (&self.phase, self.goal) {
            (Phase::Failed, _) => InstanceState::Failed,
            (Phase::Skipped, _) => InstanceState::Skipped,
            (Phase::RolledBack, _) => InstanceState::RolledBack,
            (Phase::Restoring, _)
            | (
                Phase::TakingOut
                | Phase::Draining
                | Phase::Drained
                | Phase::Updating
                | Phase::Verifying { .. }
                | Phase::Admitting
                | Phase::Settling { .. },
                Goal::Back,
            ) => InstanceState::RollingBack,
            (Phase::Pending, _) if self.held.is_some() => InstanceState::Held,
            (Phase::Pending | Phase::Checking, _) => InstanceState::Pending,
            (Phase::TakingOut | Phase::Draining | Phase::Drained | Phase::Returning { .. }, _) => InstanceState::Draining,
            (Phase::Updating, Goal::Forward) => InstanceState::Updating,
            (Phase::Verifying { .. } | Phase::Admitting | Phase::Settling { .. }, Goal::Forward) => InstanceState::HealthChecking,
            (Phase::Healthy, _) => InstanceState::Healthy,
        }
    }

    /// Something is under way that must come to an end before the deployment can.
    pub fn is_active(&self) -> bool {
        match self.phase {
            Phase::Checking
            | Phase::TakingOut
            | Phase::Draining
            | Phase::Drained
            | Phase::Updating
            | Phase::Verifying { .. }
            | Phase::Admitting
            | Phase::Settling { .. }
            | Phase::Returning { .. }
            | Phase::Restoring => true,
            Phase::Failed => self.is_evicting(),
            Phase::Pending | Phase::Healthy | Phase::Skipped | Phase::RolledBack => false,
        }
    }

    /// It failed while in rotation and is to be taken out.
    pub fn is_evicting(&self) -> bool {
        self.phase == Phase::Failed && self.serving && self.down && self.until.is_some()
    }

    /// It could not be put back in rotation without an update in time: if it comes back later, that is where it belongs.
    pub fn is_late_return(&self) -> bool {
        let admit = self.failure.as_ref().is_some_and(|f| f.step == Step::Admit);
        self.phase == Phase::Failed && !self.exposed && !self.serving && admit
    }

    /// Its update was ordered and it has not gone back since: a rollback concerns it.
    pub fn is_touched(&self) -> bool {
        self.exposed && self.goal == Goal::Forward
    }

    /// Why a spare is listed once nobody will stop it any more, if it is.
    pub(super) fn left_running(&self) -> Option<String> {
        let where_it_is = if self.serving { "in rotation" } else { "out of rotation" };
        self.is_touched().then(|| format!("extra capacity that was not stopped, {where_it_is}"))
    }

    /// Why it is listed as an exception, if it is.
    pub fn complaint(&self) -> Option<String> {
        match self.phase {
            Phase::Failed if mutant::is(Mutant::ForgetFailed) => None,
            // Stopped, or never started.
            Phase::Skipped if self.spare => None,
            Phase::Failed => {
                let reason = self.failure.as_ref().map_or("failed", |f| f.reason.as_str());
                Some(if self.serving { reason.to_owned() } else { format!("{reason}; out of rotation") })
            }
            Phase::Skipped if self.excluded => None,
            Phase::Skipped if self.down => self.skipped.clone(),
            Phase::Skipped if !self.serving => {
                let skipped = self.skipped.as_deref().unwrap_or("left alone");
                Some(format!("{skipped}; out of rotation, not by this deployment"))
            }
            // Somebody took it out since, and the check at the end could not say so.
            Phase::Pending | Phase::Healthy | Phase::RolledBack if self.foreign && !self.serving => {
                Some("out of rotation, not by this deployment".to_owned())
            }
            Phase::Pending | Phase::Healthy | Phase::RolledBack | Phase::Skipped => None,
            Phase::Checking
            | Phase::TakingOut
            | Phase::Draining
            | Phase::Drained
            | Phase::Updating
            | Phase::Verifying { .. }
            | Phase::Admitting
            | Phase::Settling { .. }
            | Phase::Returning { .. }
            | Phase::Restoring => Some(format!("left while {}", self.shown())),
        }
    }
}
