//! What is done between batches: weights, measurements, hooks.
//!
//! Imports: ports, effect, core, model, the performer. May not: decide.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{AGAIN, Hands, LOOK_MAX, Scene};
use crate::core::{Groups, Input, ahead, groups};
use crate::effect::Outcome;
use crate::model::{HookAt, InstanceId, InstanceState, Measurement, Span, Target, Version};
use crate::ports::{Compared, HookOrder};
use crate::state::{Instance, State};

impl Hands {
    /// Until every balancer has these weights.
    pub(super) async fn weigh(&self, fleet: &[Target], weights: &BTreeMap<InstanceId, u16>) -> Outcome {
        loop {
            match self.parts.traffic.weigh(fleet, weights).await {
                Ok(()) => return Outcome::Weighed { weights: weights.clone() },
                Err(error) => self.trouble(None, &error.to_string()).await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Looked at again and again; what a reload has forgotten is ordered anew.
    pub(super) async fn hold_weights(&self, fleet: &[Target], weights: &BTreeMap<InstanceId, u16>, every: Span) {
        loop {
            tokio::time::sleep(every.to_std().max(LOOK_MAX)).await;
            if let Err(error) = self.parts.traffic.weigh(fleet, weights).await {
                self.trouble(None, &format!("the weights cannot be held: {error}")).await;
            }
        }
    }

    /// Again and again, each time of those who are on the new version at that moment.
    pub(super) async fn measure(&self, scene: &Scene, check: &str, every: Span) {
        let Some(analyst) = &self.parts.analyst else { return };
        loop {
            let (at, began) = ((self.parts.clock)(), Instant::now());
            let Groups { touched, untouched } = self.bus.with_state(groups);
            let of = |ids: &[InstanceId]| scene.fleet.iter().filter(|target| ids.contains(&target.id)).cloned().collect();
            let (touched, untouched) = (of(&touched), of(&untouched));
            let compared =
                Compared { touched, untouched, version: scene.version.clone(), previous: self.bus.with_state(previous) };
            let measurement = analyst.measure(check, &compared).await;
            if let Measurement::Error { why } = &measurement {
                tracing::warn!(target: "analysis", "{check}: {why}");
            }
            self.say(Input::Measured { check: check.to_owned(), at, measurement }).await;
            tokio::time::sleep_until(began + every.to_std()).await;
        }
    }

    /// Once.
    pub(super) async fn run_hook(&self, order: &HookOrder) -> Outcome {
        let ended = match &self.parts.hooks {
            Some(hooks) => hooks.run(order).await,
            None => Err(format!("hook {} is not in the configuration", order.hook)),
        };
        if let Err(why) = &ended {
            tracing::warn!(target: "hook", "{}: {why}", order.hook);
        }
        Outcome::HookEnded { failure: ended.err() }
    }
}

/// The version that the fleet leaves, if it is known and one.
fn previous(state: &State) -> Option<Version> {
    let mut leaving = state.plan.fleet().filter(|member| !member.at_version).map(|member| member.previous.clone());
    let first = leaving.next()??;
    leaving.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// What the environment of a hook says, without the prefix `ROLLOUT_`.
pub(super) fn facts(state: &State, hook: &str, (round, attempt): (u32, u32)) -> Vec<(&'static str, String)> {
    let plan = &state.plan;
    let at = plan.policy.hooks.iter().find(|known| known.name == hook).map(|known| known.at);
    let previous: BTreeSet<&str> = plan.fleet().filter_map(|m| m.previous.as_ref()).map(Version::as_str).collect();
    let tally = state.tally();
    vec![
        ("HOOK", hook.to_owned()),
        ("AT", at.map_or("", HookAt::word).to_owned()),
        ("ROUND", round.to_string()),
        ("ATTEMPT", attempt.to_string()),
        ("DEPLOYMENT", plan.deployment.to_string()),
        ("SERVICE", plan.service.clone()),
        ("ENV", plan.env.clone()),
        ("VERSION", plan.version.to_string()),
        ("PREVIOUS", previous.into_iter().collect::<Vec<_>>().join(",")),
        ("STARTED_BY", plan.started_by.clone()),
        ("STATUS", state.status().word().to_owned()),
        ("TOTAL", state.total().to_string()),
        ("UPDATED", tally.of(InstanceState::Healthy).to_string()),
        ("FAILED", tally.of(InstanceState::Failed).to_string()),
        ("INSTANCES", whom(state, at, round).join(",")),
    ]
}

/// The instances that a hook is about: those of the batch that is about to begin, or that has ended; of the new version at a
/// step. None at other points.
fn whom(state: &State, at: Option<HookAt>, round: u32) -> Vec<&str> {
    let those = |which: &dyn Fn(&Instance) -> bool| {
        state.instances.iter().filter(|(_, i)| which(i)).map(|(id, _)| id.as_str()).collect::<Vec<_>>()
    };
    match at {
        Some(HookAt::BeforeBatch) => {
            let next = ahead(state).into_iter().next().map(|batch| batch.members).unwrap_or_default();
            next.into_iter().filter_map(|index| state.instances.get_index(index)).map(|(id, _)| id.as_str()).collect()
        }
        Some(HookAt::AfterBatch) => those(&|i| i.batch == Some(round)),
        Some(HookAt::Step) => those(&|i| i.is_touched() && i.serving),
        Some(HookAt::BeforeDeployment | HookAt::BeforeRollback | HookAt::AfterRollback | HookAt::AfterDeployment) | None => {
            Vec::new()
        }
    }
}
