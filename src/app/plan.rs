//! `plan`: what would happen, computed by the same core on the same readings as a deployment. Changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::args::Output;
use super::verbs::nothing_in_the_way;
use super::{Common, Done, Failure, Place, load, parts, say};
use crate::control::own_login;
use crate::core::{Forecast, PlanRequest, Planned, PlannedBatch, batches};
use crate::journal::Memory;
use crate::model::{DeploymentId, Member, Plan, Version};
use crate::runner;

/// One JSON object: the plan in short.
#[derive(Debug, Serialize)]
struct PlanLine<'a> {
    r#type: &'static str,
    service: &'a str,
    env: &'a str,
    version: &'a Version,
    total: usize,
    batches: &'a [PlannedBatch],
    at_version: Vec<&'a str>,
    will_skip: Vec<&'a str>,
    rollback_ready: bool,
    at_least_ms: u64,
}

/// `rollout plan`.
pub(super) async fn plan(common: &Common, version: &Version, allow_outage: bool) -> Done {
    let (_, config) = load(common)?;
    let place = Place::of(&config);
    nothing_in_the_way(&config).await?;
    let parts = parts::parts(&config, Arc::new(Memory::new(&place.service)))?;
    let request = PlanRequest {
        deployment: DeploymentId::new(&place.service, 0),
        env: place.env.clone(),
        version: version.clone(),
        started_by: own_login().await,
        policy: config.policy(),
        surveys: runner::survey(&parts, &config.targets).await.map_err(Failure::refused)?,
        targets: config.targets.clone(),
        allow_outage,
        restart: false,
        selection: crate::core::Selection::default(),
        left_out: std::collections::BTreeSet::new(),
        undo: None,
    };
    let plan = match crate::core::plan(request).map_err(Failure::refused)? {
        Planned::Plan(plan) | Planned::AlreadyThere(plan) => plan,
    };
    match common.output {
        Output::Text => say(&text(&plan)),
        Output::Json => {
            let batches = batches(&plan);
            let line = PlanLine {
                r#type: "plan",
                service: &plan.service,
                env: &plan.env,
                version: &plan.version,
                total: plan.members.len(),
                batches: &batches,
                at_version: ids(&plan, |m| m.at_version),
                will_skip: ids(&plan, |m| will_be_skipped(&batches, m)),
                rollback_ready: plan.members.iter().all(|m| m.previous.is_some() || will_be_skipped(&batches, m)),
                at_least_ms: at_least(&plan, batches.len()).likely.as_millis(),
            };
            say(&serde_json::to_string(&line).map_err(Failure::person)?);
        }
    }
    Ok(0)
}

fn ids(plan: &Plan, which: impl Fn(&Member) -> bool) -> Vec<&str> {
    plan.members.iter().filter(|m| which(m)).map(|m| m.target.id.as_str()).collect()
}

/// Known to be left alone: neither in one of the batches nor at the version already.
fn will_be_skipped(batches: &[PlannedBatch], member: &Member) -> bool {
    !member.at_version && !batches.iter().any(|b| b.members.contains(&member.target.id))
}

/// Pauses and the passes that prove an instance take this long whatever the instances do.
fn at_least(plan: &Plan, batches: usize) -> Forecast {
    let policy = &plan.policy;
    let proof = policy.health.interval.times(u64::from(policy.health.rise.saturating_sub(1)));
    let each = policy.strategy.batch_pause + proof + policy.strategy.min_healthy_time;
    let all = each.times(u64::try_from(batches).unwrap_or(u64::MAX));
    Forecast { low: all, likely: all, high: all }
}

fn text(plan: &Plan) -> String {
    let mut previous: Vec<&str> = plan.members.iter().map(|m| m.previous.as_ref().map_or("unknown", Version::as_str)).collect();
    previous.sort_unstable();
    previous.dedup();
    let total = plan.members.len();
    let mut lines =
        vec![format!("{} ({}): {} → {}, {total} instances", plan.service, plan.env, previous.join(", "), plan.version)];
    let batches = batches(plan);
    if batches.is_empty() {
        lines.push(format!("nothing to do: all {total} instances run {} and serve", plan.version));
        return lines.join("\n");
    }
    for batch in &batches {
        let members: Vec<&str> = batch.members.iter().map(crate::model::InstanceId::as_str).collect();
        lines.push(format!(
            "  batch {:>3}  {:<40}  {} of {total} serve meanwhile",
            batch.number,
            members.join(" "),
            batch.serving
        ));
    }
    for member in plan.members.iter().filter(|m| will_be_skipped(&batches, m)) {
        let why = if member.healthy { member.rotation.words() } else { member.health.as_str() };
        lines.push(format!("  skipped    {}: {why}", member.target.id));
    }
    let there = ids(plan, |m| m.at_version);
    if !there.is_empty() {
        lines.push(format!("  already at {}: {}", plan.version, there.join(" ")));
    }
    let strategy = &plan.policy.strategy;
    let lowest = batches.iter().map(|b| b.serving).min().unwrap_or(0);
    lines.push(format!(
        "  never fewer than {lowest} of {total} serve; at most {} out at once, each batch is watched for {}",
        strategy.max_unavailable, strategy.batch_pause
    ));
    lines.push(format!(
        "  at least {} of pauses and proofs, plus the drains (up to {} each), updates and starts",
        at_least(plan, batches.len()).likely,
        plan.policy.drain.timeout
    ));
    let unknown = ids(plan, |m| m.previous.is_none() && !will_be_skipped(&batches, m));
    lines.push(if unknown.is_empty() {
        "  rollback: ready, each instance's earlier version is known".to_owned()
    } else {
        format!("  rollback: not possible for {}", unknown.join(" "))
    });
    lines.join("\n")
}
