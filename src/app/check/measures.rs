//! What measures for the analysis: each source is asked once about the whole fleet, as a deployment would ask it about a part.

use futures::future::join_all;

use super::finding::Finding;
use crate::analysis::Source;
use crate::config::Config;
use crate::model::{Check, Measurement, Version};
use crate::ports::Compared;
use crate::runner::Parts;

/// What every check would say if all instances were on the version that they run.
pub(super) async fn measures(parts: &Parts, config: &Config) -> Vec<Finding> {
    let (Some(analyst), Some(policy)) = (&parts.analyst, config.policy().analysis) else { return Vec::new() };
    let version = version(parts, config).await;
    let (touched, previous) = (config.targets.clone(), version.clone());
    let Some(version) = version.or_else(|| Version::new("unknown").ok()) else { return Vec::new() };
    let compared = Compared { touched, untouched: Vec::new(), version, previous };
    let asked = policy.checks.iter().map(async |check| finding(config, check, analyst.measure(&check.name, &compared).await));
    join_all(asked).await
}

/// The version that the first instance runs, if anybody knows.
async fn version(parts: &Parts, config: &Config) -> Option<Version> {
    let first = config.targets.first()?;
    match parts.fleet.observe(first).await.ok().and_then(|seen| seen.version) {
        Some(version) => Some(version),
        None => parts.prober.probe(first, None).await.version,
    }
}

fn finding(config: &Config, check: &Check, measurement: Measurement) -> Finding {
    const KIND: &str = "analysis";
    let name = &check.name;
    let source = config.analysis.iter().flat_map(|settings| &settings.checks).find(|known| known.name == *name);
    let counts = source.is_some_and(|known| matches!(known.source, Source::Balancer(_) | Source::Vip));
    match measurement {
        Measurement::Value { touched, samples, .. } => {
            let on = samples.map(|samples| format!(" on {samples} samples")).unwrap_or_default();
            let message = format!("{} over all instances{on}", check.unit.words(touched));
            let beyond = check.max.is_some_and(|max| touched > max) || check.min.is_some_and(|min| touched < min);
            if beyond {
                Finding::doubt(KIND, name, &message, "that is beyond its limit already, whatever is deployed")
            } else {
                Finding::ok(KIND, name, &message)
            }
        }
        // Between two looks there is something to count, and this was the first.
        Measurement::Nothing { why } if counts => Finding::ok(KIND, name, &why),
        Measurement::Nothing { why } => {
            Finding::doubt(KIND, name, &why, "a deployment that measures this would wait; see that it is about these instances")
        }
        Measurement::Error { why } => {
            Finding::missing(KIND, name, &why, "a deployment would wait for it; correct [analysis], or mend what is asked")
        }
    }
}
