//! What the state wants done in the world, and what came of it.
//!
//! Imports: model. May not: say how; know a driver.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{EffectId, InstanceId, LbStats, Span, Survey, Version, VipStats};

/// One act that the state wants. It is started when wanted and not in flight, and cancelled when in flight and no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Stable across crashes.
    pub id: EffectId,
    /// On which instance; `None` for the fleet as a whole.
    pub instance: Option<InstanceId>,
    /// What.
    pub kind: EffectKind,
}

/// The acts. Those marked *retried* are tried again by the performer until they succeed or are no longer wanted;
/// their deadlines are in the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectKind {
    /// Read version, rotation and health of one instance. Retried.
    Survey,
    /// Read all instances once, at the end. What cannot be read is reported as such.
    SurveyFleet,
    /// Take it out at every balancer and read that back. Retried.
    TakeOut,
    /// Wait until it has no connections left.
    AwaitIdle,
    /// Bring it to this version. Not retried; idempotent on the effect's id.
    Update {
        /// The version to run.
        version: Version,
        /// The version that it leaves, if known.
        previous: Option<Version>,
    },
    /// Stop what runs on a spare, and take it from the balancers' lists. Not retried; idempotent on the effect's id.
    Retire,
    /// Read at the balancers, for as long as this is wanted, who is in rotation.
    WatchRotation {
        /// Time between two readings.
        every: Span,
    },
    /// Give these instances so much of their own weight, in percent, and all others the whole of theirs, at every balancer, and
    /// read that back. Retried.
    Weigh {
        /// Those that differ.
        weights: BTreeMap<InstanceId, u16>,
    },
    /// See to it that the balancers go on having these weights, for as long as this is wanted: a reload may forget them.
    HoldWeights {
        /// As in `Weigh`.
        weights: BTreeMap<InstanceId, u16>,
        /// Time between two looks.
        every: Span,
    },
    /// Measure a check of the analysis for as long as this is wanted.
    Measure {
        /// Its name.
        check: String,
        /// Time between the starts of two measurements.
        every: Span,
    },
    /// Run a hook. Not retried: the core says when it is tried again.
    RunHook {
        /// Its name.
        hook: String,
        /// Which time it is its turn, from 1.
        round: u32,
        /// From 1.
        attempt: u32,
        /// The longest that it may take.
        timeout: Span,
    },
    /// Put it in rotation at every balancer and wait until all say that it serves. Retried.
    Admit,
    /// Probe it for as long as this is wanted.
    Watch {
        /// Time between the starts of two probes.
        every: Span,
        /// The version that it must report to pass.
        expect: Option<Version>,
        /// Hand every sample to the core; otherwise only changes between passing and failing.
        attentive: bool,
        /// Ask first whether it has begun, where that is asked apart: once it has, that is not asked again.
        startup: bool,
    },
}

impl EffectKind {
    /// The word in the effect's id.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Survey => "survey",
            Self::SurveyFleet => "survey-fleet",
            Self::TakeOut => "take-out",
            Self::AwaitIdle => "await-idle",
            Self::Update { .. } => "update",
            Self::Retire => "retire",
            Self::WatchRotation { .. } => "watch-rotation",
            Self::Weigh { .. } => "weigh",
            Self::HoldWeights { .. } => "hold-weights",
            Self::Measure { .. } => "measure",
            Self::RunHook { .. } => "hook",
            Self::Admit => "admit",
            Self::Watch { .. } => "watch",
        }
    }
}

/// What came of an act. Acts that are retried report only success; their troubles go to `Observed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Of `Survey`.
    Surveyed {
        /// What was read.
        survey: Survey,
    },
    /// Of `SurveyFleet`.
    FleetSurveyed {
        /// What was read of each instance, or why it could not be read.
        surveys: Vec<(InstanceId, Result<Survey, String>)>,
        /// What the probe through the balancer counted, now that it has ended.
        vip: Option<VipStats>,
        /// What the balancers themselves counted since this engine began.
        lb: Option<LbStats>,
    },
    /// Of `TakeOut`: confirmed by every balancer.
    TakenOut {
        /// Connections left, where the balancer tells.
        sessions: Option<u32>,
    },
    /// Of `AwaitIdle`: no connection is left.
    Idle,
    /// Of `Update` and `Retire`: the driver did its part.
    Updated,
    /// Of `Update` and `Retire`: the driver could not.
    UpdateFailed {
        /// Why, in words.
        reason: String,
    },
    /// Of `Admit`: serving, says every balancer.
    Admitted,
    /// Of `Weigh`: every balancer has these weights.
    Weighed {
        /// As ordered.
        weights: BTreeMap<InstanceId, u16>,
    },
    /// Of `RunHook`.
    HookEnded {
        /// Why it failed, in words; none if it succeeded.
        failure: Option<String>,
    },
}
