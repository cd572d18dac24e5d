//! `plan`: what would happen, computed by the same core on the same readings as a deployment. Changes nothing.

mod course;
mod doubts;
mod text;

pub(super) use text::said;

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::json;

use self::course::{Choice, PlannedStep};
use super::args::{Output, PlanArgs};
use super::past::{self, replayed, view};
use super::request::{Asked, Goal, planned};
use super::verbs::nothing_in_the_way;
use super::{Common, Done, Failure, Place, calendar, gather, load, logout, parts, say, startable};
use crate::config::Config;
use crate::control::own_login;
use crate::core::{Forecast, Planned, PlannedBatch, batches, estimate};
use crate::journal::{Memory, Sqlite};
use crate::model::{AnalysisPolicy, Confirm, DeploymentId, Hook, InstanceId, Member, Pacing, Plan, Span, Version, Zones};
use crate::ports::{Journal, JournalError};
use crate::state::{State, Status};

/// Earlier deployments that an estimate is made from.
const EARLIER: usize = 5;

/// A plan and what follows from it.
struct Outlook {
    plan: Plan,
    batches: Vec<PlannedBatch>,
    /// The steps of a canary.
    steps: Vec<PlannedStep>,
    /// What each strategy would cost; the plan's own first.
    choices: Vec<Choice>,
    /// The time it takes, if earlier deployments tell.
    eta: Option<Forecast>,
    /// How many instances of earlier deployments that is from.
    measured: usize,
    /// The time to bring everything back.
    back: Option<Span>,
    /// Instances whose version could not be started again.
    lost: BTreeSet<InstanceId>,
    /// What is probably not meant, in sentences.
    doubts: Vec<String>,
}

/// One JSON object: the plan in short.
#[derive(Debug, Serialize)]
struct PlanLine<'a> {
    r#type: &'static str,
    service: &'a str,
    env: &'a str,
    version: &'a Version,
    previous: IndexMap<&'a str, u32>,
    total: u32,
    spares: Vec<&'a str>,
    strategy: &'static str,
    batches: &'a [PlannedBatch],
    steps: &'a [PlannedStep],
    hooks: &'a [Hook],
    analysis: Option<&'a AnalysisPolicy>,
    strategies: &'a [Choice],
    lowest_serving: u32,
    max_out: u32,
    at_version: Vec<&'a str>,
    excluded: Vec<&'a str>,
    will_skip: Vec<&'a str>,
    at_least_ms: u64,
    eta: Option<serde_json::Value>,
    rollback_ready: bool,
    rollback: serde_json::Value,
    warnings: &'a [String],
}

/// `rollout plan`.
pub(super) async fn plan(common: &Common, args: &PlanArgs) -> Done {
    let (_, mut config) = load(common)?;
    let place = Place::of(&config);
    nothing_in_the_way(&config).await?;
    let closed = calendar::doubts(&config, &args.scope)?;
    let parts = parts::parts(&config, Arc::new(Memory::new(&place.service)))?;
    let journal = view(&config)?;
    let stored = journal.as_ref().map(|journal| -> &dyn Journal { journal });
    let aim = gather::Aim::Forward { allow_new_fleet: args.scope.allow_new_fleet };
    let since = gather::fleet(&mut config, parts.traffic.as_ref(), (stored, aim)).await?;
    let asked = Asked {
        config: &config,
        journal: stored,
        deployment: DeploymentId::new(&place.service, 0),
        started_by: own_login().await,
        scope: &args.scope,
        goal: Goal::Version(args.version.clone()),
        overrides: Vec::new(),
    };
    let plan = match planned(asked, &parts).await? {
        Planned::Plan(plan) | Planned::AlreadyThere(plan) => plan,
    };
    let lost = startable::back(&parts, &plan).await;
    let took = earlier(journal.as_ref()).map_err(Failure::refused)?;
    let mut outlook = Outlook::of(*plan, (&config, parts.traffic.weighs()), &took);
    outlook.doubts.extend(since);
    outlook.doubts.extend(closed);
    let why: BTreeSet<String> = lost.values().cloned().collect();
    if !why.is_empty() {
        outlook.doubts.push(format!("the rollback is not ready: {}", startable::listed(why)));
    }
    if !outlook.batches.is_empty() {
        outlook.doubts.extend(logout::way().await.doubt);
    }
    outlook.doubts.extend(rolled_back_before(&config, &args.version)?);
    outlook.lost = lost.into_keys().collect();
    match common.output {
        Output::Text => say(&text::text(&outlook)),
        Output::Json => past::json(&outlook.line())?,
    }
    Ok(0)
}

/// The version went wrong here the last time.
fn rolled_back_before(config: &Config, version: &Version) -> Result<Option<String>, Failure> {
    let rows = past::past(config)?.rows;
    let last = rows.iter().find(|row| row.version == version.as_str() && row.ended_at.is_some());
    let Some(row) = last.filter(|row| row.status == Status::RolledBack.word()) else { return Ok(None) };
    // A record that cannot be read is a matter for `show`.
    let reason = replayed(config, &row.id).ok().and_then(|state| state.rollback).map(|rollback| rollback.reason);
    let reason = reason.filter(|reason| !reason.is_empty()).map_or_else(String::new, |reason| format!(" ({reason})"));
    Ok(Some(format!("{version} was rolled back here as {}{reason}", row.id)))
}

/// How long instances took in the last deployments, from the order of the drain to the verdict.
pub(super) fn earlier(journal: Option<&Sqlite>) -> Result<Vec<Span>, JournalError> {
    let Some(journal) = journal else { return Ok(Vec::new()) };
    let mut took = Vec::new();
    for row in journal.past()?.rows.iter().filter(|row| row.ended_at.is_some()).take(EARLIER) {
        // A record that cannot be read is a matter for `show`, not for an estimate.
        let state = journal.read(&row.id).ok().and_then(|events| State::replay(&events).ok());
        took.extend(state.iter().flat_map(|state| state.instances.values().filter_map(|i| i.took)));
    }
    Ok(took)
}

impl Outlook {
    /// `weighs`: the balancers take weights.
    fn of(plan: Plan, (config, weighs): (&Config, bool), took: &[Span]) -> Self {
        let batches = batches(&plan);
        let doubts = doubts::doubts(&plan, &batches, config);
        let (steps, choices) = (course::steps(&plan, &batches), course::choices(&plan, weighs));
        let eta = estimate(&plan, took);
        let back = going_back(&plan, took);
        Self { batches, steps, choices, eta, measured: took.len(), back, lost: BTreeSet::new(), doubts, plan }
    }

    /// Known to be left alone: neither in one of the batches, nor at the version already, nor excluded.
    fn will_be_skipped(&self, member: &Member) -> bool {
        !member.at_version && member.excluded.is_none() && !self.batches.iter().any(|b| b.members.contains(&member.target.id))
    }

    fn ids(&self, which: impl Fn(&Member) -> bool) -> Vec<&str> {
        self.plan.members.iter().filter(|m| which(m)).map(|m| m.target.id.as_str()).collect()
    }

    /// Those that will be updated, by the version that they go back to.
    fn ways_back(&self) -> IndexMap<&str, u32> {
        let touched = self.plan.fleet().filter(|m| self.is_touched(&m.target.id) && !self.lost.contains(&m.target.id));
        counted(touched.filter_map(|m| m.previous.as_ref()).map(Version::as_str))
    }

    fn is_touched(&self, id: &InstanceId) -> bool {
        self.batches.iter().any(|batch| batch.members.contains(id))
    }

    fn touched(&self) -> usize {
        self.plan.fleet().filter(|m| self.is_touched(&m.target.id)).count()
    }

    /// Those that will be updated and cannot go back.
    fn no_way_back(&self) -> Vec<&str> {
        self.ids(|m| !m.spare && (m.previous.is_none() || self.lost.contains(&m.target.id)) && self.is_touched(&m.target.id))
    }

    fn previous(&self) -> IndexMap<&str, u32> {
        counted(self.plan.fleet().map(|m| m.previous.as_ref().map_or("unknown", Version::as_str)))
    }

    fn lowest(&self) -> u32 {
        let now = self.plan.fleet().filter(|m| m.serves()).count();
        self.batches.iter().map(|b| b.serving).min().unwrap_or_else(|| u32::try_from(now).unwrap_or(u32::MAX))
    }

    fn max_out(&self) -> u32 {
        let (total, spares) = (self.plan.total(), self.plan.spares());
        let own = self.plan.policy.strategy.max_unavailable.floor_of(total);
        (own + spares).max(1).min(total)
    }

    /// Pauses, measurements and the passes that prove an instance take this long whatever the instances do.
    fn at_least(&self) -> Span {
        course::at_least(&self.plan, self.batches.len())
    }

    fn line(&self) -> PlanLine<'_> {
        let plan = &self.plan;
        let ready: u32 = self.ways_back().values().sum();
        PlanLine {
            r#type: "plan",
            service: &plan.service,
            env: &plan.env,
            version: &plan.version,
            previous: self.previous(),
            total: plan.total(),
            spares: self.ids(|m| m.spare),
            strategy: if plan.policy.canary.is_some() { "canary" } else { "rolling" },
            batches: &self.batches,
            steps: &self.steps,
            hooks: &plan.policy.hooks,
            analysis: plan.policy.analysis.as_ref(),
            strategies: &self.choices,
            lowest_serving: self.lowest(),
            max_out: self.max_out(),
            at_version: self.ids(|m| m.at_version),
            excluded: self.ids(|m| m.excluded.is_some()),
            will_skip: self.ids(|m| self.will_be_skipped(m)),
            at_least_ms: self.at_least().as_millis(),
            eta: self.eta.map(|eta| {
                let (low, likely, high) = (eta.low.as_millis(), eta.likely.as_millis(), eta.high.as_millis());
                json!({"low_ms": low, "likely_ms": likely, "high_ms": high, "measured": self.measured})
            }),
            rollback_ready: self.no_way_back().is_empty(),
            rollback: json!({
                "ready": ready, "of": self.touched(), "to": self.ways_back(), "unknown": self.no_way_back(),
                "eta_ms": self.back.map(Span::as_millis),
            }),
            warnings: &self.doubts,
        }
    }
}

/// How often each word comes, in the order of their first.
fn counted<'a>(words: impl Iterator<Item = &'a str>) -> IndexMap<&'a str, u32> {
    let mut counts = IndexMap::new();
    for word in words {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

/// The time to bring everything back from the very end: by the rollback's budget, without pauses.
fn going_back(plan: &Plan, took: &[Span]) -> Option<Span> {
    let mut back = plan.clone();
    let at_once = back.policy.rollback.max_unavailable;
    back.policy.canary = None;
    let strategy = &mut back.policy.strategy;
    (strategy.batch_size, strategy.max_unavailable) = (vec![at_once], at_once);
    (strategy.batch_pause, strategy.min_healthy_time) = (Span::ZERO, Span::ZERO);
    (strategy.pacing, strategy.zones, strategy.confirm) = (Pacing::Batch, Zones::Any, Confirm::None);
    estimate(&back, took).map(|eta| eta.likely)
}
