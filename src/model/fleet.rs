//! Instances: where they are, which states they show, what a driver or a balancer says of them.
//!
//! Imports: model ids, health. May not: know which state may follow which (that is `state`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::health::Sample;
use super::ids::{InstanceId, Version};

/// An instance as the configuration names it: all that an adapter needs to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id, unique in the fleet.
    pub id: InstanceId,
    /// Host name or address.
    pub host: String,
    /// Port of the service.
    pub port: u16,
    /// Failure domain, if given.
    pub zone: Option<String>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// An instance as somebody outside names it, before it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What should be its id.
    pub id: String,
    /// What should be a host name or an address, if it was told.
    pub host: Option<String>,
    /// Port of the service, if it was told.
    pub port: Option<u16>,
    /// Failure domain, if it was told.
    pub zone: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// The state of an instance as people see it. The words are those of the product's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Not touched yet.
    Pending,
    /// Out of rotation by our order; connections are ending.
    Draining,
    /// The driver is replacing the version.
    Updating,
    /// Updated; not yet proven or not yet serving.
    HealthChecking,
    /// On the wanted version, proven and serving.
    Healthy,
    /// Did not make it; listed.
    Failed,
    /// Going back to its own earlier version.
    RollingBack,
    /// Back on its own earlier version and serving.
    RolledBack,
    /// Left alone, with a reason.
    Skipped,
    /// Held by an operator.
    Held,
}

impl InstanceState {
    /// All states, in the order in which screens list them.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Draining,
        Self::Updating,
        Self::HealthChecking,
        Self::Healthy,
        Self::Failed,
        Self::RollingBack,
        Self::RolledBack,
        Self::Skipped,
        Self::Held,
    ];

    /// The contract's word, e.g. `health_checking`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Draining => "draining",
            Self::Updating => "updating",
            Self::HealthChecking => "health_checking",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Skipped => "skipped",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What the balancers say of an instance, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// In rotation and passing the balancer's own check (or unchecked).
    Serving,
    /// In rotation by order, but the balancer's own check says down.
    Down,
    /// In rotation at some balancers and out at others.
    Partly,
    /// Gets no new traffic (drain).
    Draining,
    /// In maintenance.
    Maintenance,
    /// The balancer does not know it.
    Missing,
}

impl Rotation {
    /// What several balancers say, in one word: what one of them sends traffic to is not out, whatever the others say.
    pub fn together(said: impl Iterator<Item = Self>) -> Self {
        let alike = |one: Self, other: Self| match (one.min(other), one.max(other)) {
            (Self::Serving | Self::Down | Self::Partly, Self::Draining | Self::Maintenance) => Self::Partly,
            (_, least) => least,
        };
        said.reduce(alike).unwrap_or(Self::Missing)
    }

    /// At least one balancer may send traffic to it.
    pub fn is_in(self) -> bool {
        matches!(self, Self::Serving | Self::Down | Self::Partly)
    }

    /// In words, to follow "is".
    pub fn words(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Down => "down by the balancer's own check",
            Self::Partly => "in rotation at some balancers only",
            Self::Draining => "draining at the balancer",
            Self::Maintenance => "in maintenance at the balancer",
            Self::Missing => "unknown to the balancer",
        }
    }
}

/// What a fleet driver sees of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The version that is installed or running, if the driver can tell.
    pub version: Option<Version>,
    /// Whether it runs, if the driver can tell.
    pub running: Option<bool>,
    /// How it ended if it does not run: `exit code 1`, `signal 9`.
    pub ended: Option<String>,
}

/// Everything known of an instance at one moment: driver, balancers and probe together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The version, from the driver, else from the probe.
    pub version: Option<Version>,
    /// What the balancers say.
    pub rotation: Rotation,
    /// The last probe.
    pub health: Sample,
}
