//! Nouns and units: ids, time, counts, health, traffic, and the plan that a deployment follows.
//!
//! Imports: nothing of this crate. May not: read a clock, do I/O, decide anything.

mod analysis;
mod canary;
mod count;
mod fleet;
mod health;
mod hook;
mod ids;
mod plan;
pub mod text;
mod time;

pub use analysis::{AnalysisPolicy, Check, Finding, Measurement, Quantity, Unit};
pub use canary::{Canary, CanaryStep, share_of};
pub use count::{Count, CountError};
pub use fleet::{Found, InstanceState, Observation, Rotation, Survey, Target};
pub use health::{Evidence, LbStats, Sample, SampleResult, Served, VipStats};
pub use hook::{Hook, HookAt, HookClass};
pub use ids::{DeploymentId, EffectId, IdError, InstanceId, Seq, Version};
pub use plan::{
    Before, Confirm, DeploymentKind, DrainPolicy, HealthPolicy, LatencyGate, Member, OnDrainTimeout, OnFailure, Override, Pacing,
    Plan, Policy, RollbackPolicy, Rolling, UpdatePolicy, Zones,
};
pub use time::{Span, Timestamp};
