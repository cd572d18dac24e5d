//! No balancer: every instance counts as serving but for those that we took out, which changes nothing.
//!
//! Imports: ports, model. May not: pretend that connections were drained.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;

use crate::model::{InstanceId, LbStats, Rotation, Target};
use crate::ports::{TrafficDriver, TrafficError};

/// The driver.
#[derive(Default)]
pub(super) struct Nobody {
    /// What is ordered reads back, or it would seem as if somebody undid it. An engine that takes over orders it again.
    out: Mutex<BTreeSet<InstanceId>>,
}

impl Nobody {
    fn out(&self) -> MutexGuard<'_, BTreeSet<InstanceId>> {
        // Whole after every statement.
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrafficDriver for Nobody {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(async move {
            let out = self.out();
            let of = |id: &InstanceId| if out.contains(id) { Rotation::Draining } else { Rotation::Serving };
            Ok(targets.iter().map(|target| (target.id.clone(), of(&target.id))).collect())
        })
    }

    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async move {
            self.out().insert(target.id.clone());
            Ok(None)
        })
    }

    /// Nobody knows: callers that found their way are given the drain's time to finish.
    fn sessions<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(None) })
    }

    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move {
            self.out().remove(&target.id);
            Ok(())
        })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
