//! No balancer: every instance counts as serving, and taking it out changes nothing.
//!
//! Imports: ports, model. May not: pretend that connections were drained.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use crate::model::{InstanceId, LbStats, Rotation, Target};
use crate::ports::{TrafficDriver, TrafficError};

/// The driver.
pub(super) struct Nobody;

impl TrafficDriver for Nobody {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(async move { Ok(targets.iter().map(|target| (target.id.clone(), Rotation::Serving)).collect()) })
    }

    fn take_out<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(None) })
    }

    /// Nobody knows: callers that found their way are given the drain's time to finish.
    fn sessions<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(None) })
    }

    fn admit<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async { Ok(()) })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
