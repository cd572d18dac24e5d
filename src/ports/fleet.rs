//! The port to instances: what runs there, and bringing it to a version.
//!
//! Imports: model. May not: hold an implementation.

use futures::future::BoxFuture;

use crate::model::{EffectId, Observation, Target, Version};

/// What an update is to do.
#[derive(Debug, Clone)]
pub struct UpdateOrder {
    /// Stable across crashes: the same id twice is one update.
    pub effect: EffectId,
    /// Where.
    pub target: Target,
    /// The version to run.
    pub version: Version,
    /// The version that it leaves, if known.
    pub previous: Option<Version>,
}

/// What a stop is to do.
#[derive(Debug, Clone)]
pub struct StopOrder {
    /// Stable across crashes: the same id twice is one stop.
    pub effect: EffectId,
    /// Where.
    pub target: Target,
    /// The version that runs there.
    pub version: Version,
}

/// Why a fleet driver could not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// The instance or its host cannot be reached; nothing is known of it.
    #[error("{0}")]
    Unreachable(String),
    /// The act failed and the driver knows that it did.
    #[error("{0}")]
    Failed(String),
    /// The act may or may not have happened: observe before acting again.
    #[error("{0}")]
    Unknown(String),
}

/// Drives instances.
///
/// `update` must be idempotent on the order's effect id: it observes first, and if the instance already runs the
/// version by this very order it does nothing. Dropping the future of `update` leaves the instance in a state that
/// `observe` can tell, and no child process behind.
pub trait FleetDriver: Send + Sync {
    /// Reads what is there.
    ///
    /// # Errors
    /// Fails if nothing can be said of the instance.
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>>;

    /// What would keep `version` from being started on the instance, in sentences; none if nothing is known. Changes nothing.
    fn check<'a>(&'a self, _target: &'a Target, _version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async { Vec::new() })
    }

    /// Whether what runs there can be stopped by this driver: one that stops only what it started says no to all else.
    fn owns<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }

    /// Brings the instance to the order's version and returns when the driver has done its part (started, not yet proven).
    ///
    /// # Errors
    /// Fails if the driver knows or suspects that it is not done.
    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>>;

    /// Stops what runs there, for good: the instance was extra capacity. Returns when it has ended.
    ///
    /// # Errors
    /// Fails if the driver knows or suspects that something still runs.
    fn stop<'a>(&'a self, order: &'a StopOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        let why = format!("{} cannot be stopped by this driver; stop it by hand", order.target.id);
        Box::pin(async { Err(FleetError::Failed(why)) })
    }

    /// Whether `stop` can do anything.
    fn stops(&self) -> bool {
        false
    }
}
