//! The port to balancers: out, in, and what they say.
//!
//! Imports: model. May not: hold an implementation.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use crate::model::{Found, InstanceId, LbStats, Rotation, Served, Target};

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

    /// Whether it takes weights: whether [`Self::weigh`] can do anything.
    fn weighs(&self) -> bool {
        false
    }

    /// Gives the instances of `weights` so much of their own weight, in percent (1 to 10,000), and all others of `fleet` the
    /// whole of theirs, and reads that back. Empty `weights` put everything back as it is configured.
    ///
    /// # Errors
    /// Fails unless every balancer confirmed; refuses where the driver or the balancer cannot do it.
    fn weigh<'a>(
        &'a self,
        _fleet: &'a [Target],
        weights: &'a BTreeMap<InstanceId, u16>,
    ) -> BoxFuture<'a, Result<(), TrafficError>> {
        let refused = || TrafficError::Refused("this traffic driver takes no weights".to_owned());
        Box::pin(async move { if weights.is_empty() { Ok(()) } else { Err(refused()) } })
    }

    /// What would keep weights from being shares of the traffic, in words: an algorithm that does not go by them, for example.
    /// Empty if nothing would, or if it takes none. Changes nothing.
    fn check_weights(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }

    /// What each instance has answered since the balancers began to count, summed over them; empty if they do not tell.
    ///
    /// # Errors
    /// Fails if any balancer cannot be read.
    fn served<'a>(&'a self, _fleet: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Served>, TrafficError>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    /// Makes an instance known that no balancer knew, serving at once, and reads it back. One that is known is left as it is.
    ///
    /// # Errors
    /// Fails unless every balancer confirmed; refuses where the driver cannot do it.
    fn add<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move {
            let known = self.read(std::slice::from_ref(target)).await?;
            let id = &target.id;
            let refused = || format!("the balancer does not know {id}, and this traffic driver cannot add it: add it by hand");
            match known.get(id) {
                Some(Rotation::Missing) | None => Err(TrafficError::Refused(refused())),
                Some(_) => Ok(()),
            }
        })
    }

    /// Makes every balancer forget an instance that [`Self::add`] made known; with connections left it is `NotConfirmed`, to be
    /// tried again. What was added is for the caller to know, where the balancer does not.
    ///
    /// # Errors
    /// Fails unless every balancer confirmed; refuses where the driver cannot do it.
    fn remove<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { Err(TrafficError::Refused(format!("{}: this traffic driver cannot remove instances", target.id))) })
    }

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
