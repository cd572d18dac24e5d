//! Reads the world as it is: version, rotation and health of instances.
//!
//! Imports: ports, model. May not: change anything.

use std::collections::BTreeMap;

use futures::StreamExt as _;

use crate::model::{InstanceId, Rotation, Span, Survey, Target};
use crate::ports::TrafficError;

use super::Parts;

/// Instances read at once: enough to hide latency, few enough for the descriptors of a bastion host.
const AT_ONCE: usize = 64;

/// Every target, or why it could not be read.
///
/// # Errors
/// Fails if the balancers cannot be read.
pub async fn survey(parts: &Parts, targets: &[Target]) -> Result<BTreeMap<InstanceId, Result<Survey, String>>, TrafficError> {
    let rotations = parts.traffic.read(targets).await?;
    let reads = futures::stream::iter(targets.iter().cloned()).map(|target| {
        let rotation = rotations.get(&target.id).copied().unwrap_or(Rotation::Missing);
        async move {
            let survey = one(parts, &target, rotation).await;
            (target.id, survey)
        }
    });
    Ok(reads.buffer_unordered(AT_ONCE).collect().await)
}

async fn one(parts: &Parts, target: &Target, rotation: Rotation) -> Result<Survey, String> {
    let (observed, health) = futures::join!(parts.fleet.observe(target), parts.prober.probe(target, None));
    // A driver that cannot see the instance is outvoted by a probe that can.
    let version = match observed {
        Ok(observation) => observation.version.or_else(|| health.version.clone()),
        Err(error) if !health.passed() => return Err(error.to_string()),
        Err(_) => health.version.clone(),
    };
    Ok(Survey { version, rotation, health })
}

/// One target; a failing probe, ours or the balancer's own, is repeated up to `retries` times, `interval` apart, before it
/// is believed.
pub(super) async fn patient(parts: &Parts, target: &Target, (retries, interval): (u32, Span)) -> Result<Survey, String> {
    let mut tries = 1;
    loop {
        let found = survey(parts, std::slice::from_ref(target)).await.map_err(|error| error.to_string())?;
        let survey = found.into_values().next().unwrap_or_else(|| Err("not read".to_owned()))?;
        let well = survey.health.passed() && survey.rotation != Rotation::Down;
        if well || tries >= retries.max(1) {
            return Ok(survey);
        }
        tries += 1;
        tokio::time::sleep(interval.to_std()).await;
    }
}
