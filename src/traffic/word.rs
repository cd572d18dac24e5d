//! Balancers that tell a state in a word: what the words mean, and acts that count only when they are read back.
//!
//! Imports: ports, model, os. May not: know how a balancer is spoken to.
//!
//! As with every balancer, maintenance is never ours: an instance in it is neither taken out nor put back.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};

use super::STATES;
use crate::model::{InstanceId, LbStats, Rotation, Target};
use crate::os::text;
use crate::ports::{TrafficDriver, TrafficError};

/// States asked for at once.
const AT_ONCE: usize = 16;

/// A balancer as far as words go.
pub(super) trait Balancer: Send + Sync {
    /// The state of an instance now.
    fn state<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Rotation, TrafficError>>;

    /// The states of all, if one question answers that.
    fn list<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Option<BTreeMap<InstanceId, Rotation>>, TrafficError>>;

    /// Orders; success says only that the order was heard.
    fn order<'a>(&'a self, target: &'a Target, order: Order) -> BoxFuture<'a, Result<(), TrafficError>>;

    /// The connections of an instance, where the balancer tells.
    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>>;
}

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Out,
    In,
}

/// What a word means: one of ours, or one that the configuration explains.
pub(super) fn meaning(word: &str, states: &BTreeMap<String, Rotation>) -> Result<Rotation, String> {
    let ours = || STATES.iter().find(|(known, _)| *known == word).map(|(_, rotation)| *rotation);
    states.get(word).copied().or_else(ours).ok_or_else(|| {
        let shown = text::sanitise_within(word, 60);
        format!("{shown:?} is no known state; say in [traffic] states what it means: states = {{ {shown:?} = \"in\" }}")
    })
}

/// The driver over a balancer.
pub(super) struct ReadBack<B>(pub(super) B);

impl<B: Balancer> ReadBack<B> {
    async fn read_all(&self, targets: &[Target]) -> Result<BTreeMap<InstanceId, Rotation>, TrafficError> {
        if let Some(listed) = self.0.list(targets).await? {
            return Ok(listed);
        }
        let asked: Vec<_> = targets.iter().map(|target| self.named_state(target)).collect();
        futures::stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn named_state(&self, target: &Target) -> Result<(InstanceId, Rotation), TrafficError> {
        Ok((target.id.clone(), self.0.state(target).await?))
    }

    /// The state, unless somebody else has put it into maintenance.
    async fn free(&self, target: &Target) -> Result<Rotation, TrafficError> {
        match self.0.state(target).await? {
            Rotation::Maintenance => Err(TrafficError::Refused(format!(
                "{} is in maintenance at the balancer, which we did not order; whoever did must end it",
                target.id
            ))),
            other => Ok(other),
        }
    }

    async fn out(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        if self.free(target).await? != Rotation::Draining {
            self.0.order(target, Order::Out).await?;
            let now = self.free(target).await?;
            if now != Rotation::Draining {
                return Err(not_confirmed(target, "out", now));
            }
        }
        self.0.connections(target).await
    }

    async fn into(&self, target: &Target) -> Result<(), TrafficError> {
        match self.free(target).await? {
            Rotation::Serving => return Ok(()),
            // It is in already; its own check must come round by itself.
            Rotation::Down => return Err(not_confirmed(target, "in", Rotation::Down)),
            Rotation::Partly | Rotation::Draining | Rotation::Missing | Rotation::Maintenance => {}
        }
        self.0.order(target, Order::In).await?;
        match self.free(target).await? {
            Rotation::Serving => Ok(()),
            other => Err(not_confirmed(target, "in", other)),
        }
    }
}

fn not_confirmed(target: &Target, ordered: &str, shown: Rotation) -> TrafficError {
    // It may come up again by itself: down is not out.
    let remedy = match (ordered, shown) {
        ("out", Rotation::Down) => "; [traffic] state must say out of one that was taken out, whatever its check says",
        _ => "",
    };
    TrafficError::NotConfirmed(format!("{} was ordered {ordered}, but is {}{remedy}", target.id, shown.words()))
}

impl<B: Balancer> TrafficDriver for ReadBack<B> {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(self.read_all(targets))
    }

    /// Dropped half-way, it leaves the instance in or out; ordering again mends that.
    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.out(target))
    }

    fn sessions<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        self.0.connections(target)
    }

    /// Dropped half-way, it leaves the instance in or out; ordering again mends that.
    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.into(target))
    }

    /// Such a balancer is not asked for counters.
    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
