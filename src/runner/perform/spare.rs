//! What is done with extra capacity alone: it is stopped, and the balancers may not know it.
//!
//! Imports: ports, effect, model, the performer. May not: decide.

use super::{AGAIN, Hands};
use crate::effect::Outcome;
use crate::model::{EffectId, Rotation, Target, Version};
use crate::ports::{FleetError, StopOrder, TrafficError};

impl Hands {
    /// No balancer has ever heard of it.
    pub(super) async fn is_unknown(&self, target: &Target) -> bool {
        let read = self.parts.traffic.read(std::slice::from_ref(target)).await;
        read.is_ok_and(|read| read.get(&target.id).is_none_or(|rotation| *rotation == Rotation::Missing))
    }

    /// Stopped, and known to no balancer any more if it was added to them. Where the outcome is unknown it is looked at.
    pub(super) async fn retire(&self, effect: EffectId, target: &Target, (version, added): (Version, bool)) -> Outcome {
        let order = StopOrder { effect, target: target.clone(), version };
        let stopped = match self.parts.fleet.stop(&order).await {
            Err(FleetError::Unknown(reason) | FleetError::Unreachable(reason)) => match self.parts.fleet.observe(target).await {
                Ok(seen) if seen.running == Some(false) => Ok(()),
                Ok(_) | Err(_) => Err(reason),
            },
            Err(FleetError::Failed(reason)) => Err(reason),
            Ok(()) => Ok(()),
        };
        let forgotten = match stopped {
            Ok(()) if added => self.forget(target).await,
            stopped => stopped,
        };
        match forgotten {
            Ok(()) => {
                self.well(target);
                Outcome::Updated
            }
            Err(reason) => Outcome::UpdateFailed { reason },
        }
    }

    /// What was added goes from the balancers' lists, as soon as its last connections are gone.
    async fn forget(&self, target: &Target) -> Result<(), String> {
        loop {
            match self.parts.traffic.remove(target).await {
                Ok(()) => return Ok(()),
                Err(TrafficError::Refused(why)) => return Err(format!("it is stopped, but {why}")),
                Err(error) => self.trouble(Some(target), &error.to_string()).await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
