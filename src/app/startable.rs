//! Whether the fleet's driver could do what a plan asks of it, found out before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;

use super::Failure;
use crate::model::{InstanceId, Plan, Survey, Target, Version};
use crate::runner::Parts;

/// Instances looked at at once.
const AT_ONCE: usize = 64;
/// Different complaints, or instances, before the rest is only counted.
const LISTED: usize = 4;

/// Refuses instances that serve, but that the driver did not start: it could not stop them, and what it starts would find
/// their port taken.
pub(super) async fn owned(
    parts: &Parts,
    targets: &[Target],
    surveys: &BTreeMap<InstanceId, Result<Survey, String>>,
) -> Result<(), Failure> {
    let answers = |target: &&Target| matches!(surveys.get(&target.id), Some(Ok(survey)) if survey.health.passed());
    let looks = futures::stream::iter(targets.iter().filter(answers))
        .map(|target| async move { (!parts.fleet.owns(target).await).then(|| target.id.to_string()) });
    let foreign: Vec<String> = looks.buffered(AT_ONCE).filter_map(|id| async move { id }).collect().await;
    if foreign.is_empty() {
        return Ok(());
    }
    let (runs, it) = if foreign.len() == 1 { ("runs", "it") } else { ("run", "them") };
    Err(Failure::refused(format!("{} {runs}, but {}", listed(foreign), not_ours(it))))
}

/// What to say of one that the driver did not start, and what to do.
fn not_ours(it: &str) -> String {
    format!("rollout did not start {it}: stop {it}, or drive {it} with driver = \"command\"")
}

/// Refuses a plan whose wanted versions cannot be started.
pub(super) async fn forward(parts: &Parts, plan: &Plan) -> Result<(), Failure> {
    let members = plan.members.iter().filter(|m| m.excluded.is_none() && !m.at_version);
    let complaints = complaints(parts, members.map(|m| (&m.target, &m.wanted))).await;
    let why: BTreeSet<String> = complaints.into_values().collect();
    if why.is_empty() { Ok(()) } else { Err(Failure::refused(listed(why))) }
}

/// Instances that could not go back, as what they run now could not be started again, and why.
pub(super) async fn back(parts: &Parts, plan: &Plan) -> BTreeMap<InstanceId, String> {
    let members = plan.members.iter().filter(|m| m.excluded.is_none() && !m.at_version);
    complaints(parts, members.filter_map(|m| Some((&m.target, m.previous.as_ref()?)))).await
}

/// Each instance on which the version cannot be started, and why.
pub(super) async fn complaints<'a>(
    parts: &Parts,
    wanted: impl Iterator<Item = (&'a Target, &'a Version)>,
) -> BTreeMap<InstanceId, String> {
    let mut found = BTreeMap::new();
    for (target, version) in wanted {
        let why = parts.fleet.check(target, version).await;
        if !why.is_empty() {
            found.insert(target.id.clone(), format!("{version} cannot be started: {}", why.join("; ")));
        }
    }
    found
}

/// The first of them, and how many more.
pub(super) fn listed(all: impl IntoIterator<Item = String>) -> String {
    let all: Vec<String> = all.into_iter().collect();
    let more = all.len().saturating_sub(LISTED);
    let list = all.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}
