//! The port to balancers: out, in, and what they say.
//!
//! Imports: model. May not: hold an implementation.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use crate::model::{Found, InstanceId, LbStats, Rotation, Target};

/// Why a traffic driver could not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// A balancer cannot be reached, or its answer ended early.
    #[error("{0}")]
    Unreachable(String),
    /// A balancer answered with an error.
    #[error("{0}")]
    Refused(String),
    /// The order was accepted, but reading back shows another state (yet).
    #[error("{0}")]
    NotConfirmed(String),
}

/// Drives balancers. All acts are idempotent; success means that every balancer's own state was read back.
pub trait TrafficDriver: Send + Sync {
    /// Reads the rotation of every instance that the balancers know by the given targets.
    ///
    /// # Errors
    /// Fails if any balancer cannot be read.
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>>;

    /// Orders no new traffic for the instance and confirms it at every balancer. Returns the connections left, where
    /// the balancers tell.
    ///
    /// # Errors
    /// Fails unless every balancer confirmed.
    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>>;

    /// Connections that the instance still has, summed over the balancers; `None` if they cannot tell.
    ///
    /// # Errors
    /// Fails if any balancer cannot be read.
    fn sessions<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>>;

    /// Orders traffic for the instance. Succeeds once every balancer reports it as serving; until then
    /// `NotConfirmed`, to be tried again.
    ///
    /// # Errors
    /// Fails unless every balancer reports it as serving.
    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>>;

    /// What each balancer itself has counted since its start, in the order of the configuration; empty if they do not
    /// count. A counter that falls is one that began anew.
    ///
    /// # Errors
    /// Fails if any balancer cannot be read.
    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>>;

    /// Everybody whom the balancers know, by the names of the configuration, with their addresses.
    ///
    /// # Errors
    /// Fails if any balancer cannot be read, if two contradict each other, or if this kind cannot tell.
    fn members(&self) -> BoxFuture<'_, Result<Vec<Found>, TrafficError>> {
        Box::pin(async { Err(TrafficError::Refused("[traffic] driver: this balancer cannot tell its members".to_owned())) })
    }

    /// What would keep orders for these instances from being carried out although they can be read, in words: a socket that
    /// permits no orders, for example. Empty if nothing would. Changes nothing.
    fn check<'a>(&'a self, _targets: &'a [Target]) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}
