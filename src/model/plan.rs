//! The plan: what a deployment was asked to do, frozen in the journal at its start.
//!
//! Imports: model. May not: decide.

use serde::{Deserialize, Serialize};

use super::analysis::AnalysisPolicy;
use super::canary::Canary;
use super::count::Count;
use super::fleet::{Rotation, Target};
use super::hook::Hook;
use super::ids::{DeploymentId, Version};
use super::time::Span;

/// What is to happen, to whom, by which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The deployment's id.
    pub deployment: DeploymentId,
    /// Why it exists.
    pub kind: DeploymentKind,
    /// `service.name`.
    pub service: String,
    /// `service.env`.
    pub env: String,
    /// Where it leads.
    pub version: Version,
    /// Login of the person or machine that asked for it.
    pub started_by: String,
    /// Every instance of the fleet, in the order in which they are taken.
    pub members: Vec<Member>,
    /// Instances at the version already are updated again (`--restart`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub restart: bool,
    /// The rules.
    pub policy: Policy,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a deployment exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeploymentKind {
    /// To bring a version out.
    Deploy,
    /// To undo one that has ended.
    Rollback {
        /// The one it undoes.
        undoes: DeploymentId,
    },
}

/// One instance of the plan, as found before anything was touched.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one instance")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it is.
    pub target: Target,
    /// The version that it ran before; `None` if nobody could tell.
    pub previous: Option<Version>,
    /// The version that it is to run.
    pub wanted: Version,
    /// What the balancers said of it.
    pub rotation: Rotation,
    /// Whether its probe passed.
    pub healthy: bool,
    /// The probe in words, for the one that did not pass.
    pub health: String,
    /// Already on the wanted version: neither touched nor counted in U.
    pub at_version: bool,
    /// Why it has no part in this deployment: neither touched nor counted in U, but it serves no less or more for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// An earlier deployment of this service took it out and could not put it back: this one may.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left_out: bool,
    /// Extra capacity (`strategy.max_surge`): started before all others and stopped after them. It is not of the fleet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub spare: bool,
}

impl Plan {
    /// The instances of the fleet. Spares are not among them.
    pub fn fleet(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| !m.spare)
    }

    /// How many instances the fleet has.
    pub fn total(&self) -> u32 {
        u32::try_from(self.fleet().count()).unwrap_or(u32::MAX)
    }

    /// How many spares there are.
    pub fn spares(&self) -> u32 {
        u32::try_from(self.members.iter().filter(|m| m.spare).count()).unwrap_or(u32::MAX)
    }
}

impl Member {
    /// In rotation and passing its probe when it was looked at.
    pub fn serves(&self) -> bool {
        self.healthy && self.rotation == Rotation::Serving
    }

    /// Out of rotation by an earlier deployment, as it was looked at.
    pub fn is_left_out(&self) -> bool {
        self.left_out && self.rotation == Rotation::Draining
    }

    /// Why it does not serve, in words.
    pub fn trouble(&self) -> String {
        if self.healthy { self.rotation.words().to_owned() } else { self.health.clone() }
    }
}

/// All rules of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `[strategy]`.
    pub strategy: Rolling,
    /// `[drain]`.
    pub drain: DrainPolicy,
    /// `[update]`.
    pub update: UpdatePolicy,
    /// `[health]`.
    pub health: HealthPolicy,
    /// `[rollback]`.
    pub rollback: RollbackPolicy,
    /// `[strategy]` with `kind = "canary"`: its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// `[analysis]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisPolicy>,
    /// `[hooks]`, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// What would have kept it from beginning, and was overridden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// A change window or a freeze that somebody overrode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Of the freeze, or `windows`.
    pub name: String,
    /// What it says, with its end.
    pub why: String,
    /// Login of who overrode it.
    pub by: String,
    /// Their reason, as far as they gave one.
    pub reason: String,
}

/// The contract's defaults, for every key that a configuration leaves out.
impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Rolling {
                batch_size: vec![Count::Absolute(2)],
                batch_pause: Span::from_secs(10),
                max_unavailable: Count::Absolute(2),
                min_serving: Count::Absolute(1),
                min_healthy_time: Span::ZERO,
                pacing: Pacing::Batch,
                zones: Zones::Any,
                confirm: Confirm::None,
                progress_timeout: Span::from_secs(600),
                approval_timeout: Span::from_secs(1800),
            },
            drain: DrainPolicy { timeout: Span::from_secs(5), on_timeout: OnDrainTimeout::Force },
            update: UpdatePolicy { timeout: Span::from_secs(120) },
            health: HealthPolicy {
                timeout: Span::from_secs(5),
                interval: Span::from_secs(2),
                rise: 2,
                retries: 3,
                start_timeout: Span::from_secs(20),
                deadline: Span::from_secs(60),
                watch_interval: Span::from_secs(5),
                before: Before::Skip,
                expects_version: false,
                latency: None,
            },
            rollback: RollbackPolicy {
                threshold_percent: 10,
                max_failures: 3,
                on_failure: OnFailure::Rollback,
                max_unavailable: Count::Absolute(2),
            },
            canary: None,
            analysis: None,
            hooks: Vec::new(),
            overrides: Vec::new(),
        }
    }
}

/// `[strategy]` with `kind = "rolling"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// Sizes of the batches, the last repeats. Shares are of the fleet, rounded down, at least one.
    pub batch_size: Vec<Count>,
    /// Time under watch between batches.
    pub batch_pause: Span,
    /// How many may be out of service at once. Shares are rounded down, at least one.
    pub max_unavailable: Count,
    /// How many must go on serving. Shares are rounded up.
    pub min_serving: Count,
    /// How long an admitted instance must stay healthy before its verdict.
    pub min_healthy_time: Span,
    /// Whether instances go batch by batch.
    #[serde(default)]
    pub pacing: Pacing,
    /// Whether failure domains go one after the other.
    #[serde(default)]
    pub zones: Zones,
    /// Whether a person confirms each batch.
    #[serde(default)]
    pub confirm: Confirm,
    /// The longest time without any instance finishing.
    pub progress_timeout: Span,
    /// The longest wait for a person.
    pub approval_timeout: Span,
}

/// What an instance waits for before it is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// The whole batch before it, and its bake.
    #[default]
    Batch,
    /// Any instance before it, after the first batches: as many are at work as the last size says.
    Window,
}

/// How batches and failure domains go together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zones {
    /// Batches are formed in the order of the fleet.
    #[default]
    Any,
    /// One zone is finished before the next begins; no batch spans two.
    OneByOne,
}

/// Who says that it may go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// The gates alone.
    #[default]
    None,
    /// A person, before each batch but the first.
    Batch,
}

/// `[drain]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainPolicy {
    /// How long connections may take to end.
    pub timeout: Span,
    /// What happens to those that did not.
    pub on_timeout: OnDrainTimeout,
}

/// What happens when a drain does not end in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrainTimeout {
    /// Go on and cut them.
    Force,
    /// Wait as long again while their number falls, at most ten times, then cut them.
    Extend,
    /// Put the instance back and count it as failed.
    Fail,
}

/// `[update]`, the part that the engine keeps time for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatePolicy {
    /// The longest that an update may take.
    pub timeout: Span,
}

/// `[health]`, the part that the engine decides by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPolicy {
    /// The longest that one probe may take.
    pub timeout: Span,
    /// Time between probes of an instance at work.
    pub interval: Span,
    /// Passes in a row that prove it.
    pub rise: u32,
    /// Misses in a row that fail it.
    pub retries: u32,
    /// How long it may be not listening after its update.
    pub start_timeout: Span,
    /// From the end of its update to serving, at the latest.
    pub deadline: Span,
    /// Time between probes of all others.
    pub watch_interval: Span,
    /// What to do with one that fails before it is touched.
    pub before: Before,
    /// Whether the probe must report the wanted version.
    pub expects_version: bool,
    /// How fast it must be in rotation before it counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
}

/// `health.latency`: judged only on as many passes in rotation as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyGate {
    /// The 99th percentile must not be above this.
    pub p99: Span,
    /// Of so many of the latest passes.
    pub samples: u32,
}

/// What to do with an instance that fails its probe before it is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Leave it alone, named, counted as out.
    Skip,
    /// Update it before all others, outside the budget.
    First,
    /// Refuse the deployment.
    Abort,
}

/// `[rollback]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPolicy {
    /// Failed ÷ finished so far in percent; strictly above it `on_failure` happens.
    pub threshold_percent: u8,
    /// More failures than this and `on_failure` happens.
    pub max_failures: u32,
    /// What happens then.
    pub on_failure: OnFailure,
    /// How many healthy ones may be out at once while going back.
    pub max_unavailable: Count,
}

/// What happens when failures cross the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Everything touched goes back.
    Rollback,
    /// The deployment pauses.
    Pause,
    /// The deployment pauses and asks what to do.
    Ask,
    /// Failures are listed and the deployment goes on.
    Continue,
}
