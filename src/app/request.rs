//! From what was asked to a request for a plan: the same for `plan` and for the engine.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::args::ScopeArgs;
use super::{Failure, complain, startable};
use crate::config::{self, Config};
use crate::core::{self, PlanRequest, Planned, Selection, Undo};
use crate::event::EventKind;
use crate::model::{DeploymentId, DeploymentKind, InstanceId, Override, Policy, Version};
use crate::ports::{Journal, JournalError, Past};
use crate::runner::{self, Parts};
use crate::state::{State, Status};

/// What was asked.
pub(super) struct Asked<'a> {
    pub(super) config: &'a Config,
    /// The service's journal, if there is one yet.
    pub(super) journal: Option<&'a dyn Journal>,
    pub(super) deployment: DeploymentId,
    pub(super) started_by: String,
    pub(super) scope: &'a ScopeArgs,
    pub(super) goal: Goal,
    /// What would keep it from beginning, and is overridden.
    pub(super) overrides: Vec<Override>,
}

/// Where it is to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// Everybody to this version.
    Version(Version),
    /// Back: everybody to what they ran before the ended deployment, or all to a version.
    Undo { ended: DeploymentId, to: Option<Version> },
}

/// The plan for what was asked, if it can be carried out.
pub(super) async fn planned(asked: Asked<'_>, parts: &Parts) -> Result<Planned, Failure> {
    let planned = core::plan(request(asked, parts).await?).map_err(Failure::refused)?;
    if let Planned::Plan(plan) = &planned {
        startable::forward(parts, plan).await?;
    }
    Ok(planned)
}

/// Reads the world and puts the request together. What would stop an order at a balancer is found before anything is touched.
async fn request(asked: Asked<'_>, parts: &Parts) -> Result<PlanRequest, Failure> {
    let Asked { config, journal, deployment, started_by, scope, goal, overrides } = asked;
    let selection = selection(scope)?;
    let everywhere: Vec<_> = config.targets.iter().chain(config.spares()).cloned().collect();
    let surveys = runner::survey(parts, &everywhere).await.map_err(Failure::refused)?;
    if !config.spares().is_empty() && !parts.fleet.stops() {
        return Err(Failure::refused(
            "strategy.max_surge starts extra instances, and nothing says how they are stopped: add [update] stop, or set max_surge = 0",
        ));
    }
    let takes_part = |id| (selection.only.is_empty() || selection.only.contains(id)) && !selection.exclude.contains(id);
    let concerned: Vec<_> = config.targets.iter().filter(|target| takes_part(&target.id)).cloned().collect();
    let mut complaints = parts.traffic.check(&concerned).await;
    if policy(config, parts).canary.is_some_and(|canary| canary.weighted) {
        complaints.extend(parts.traffic.check_weights().await);
    }
    if !complaints.is_empty() {
        return Err(Failure::refused(complaints.join("; ")));
    }
    startable::owned(parts, &concerned, &surveys).await?;
    let left_out = journal.map(left_out).transpose()?.unwrap_or_default();
    let (version, undo) = match goal {
        Goal::Version(version) => (version, None),
        Goal::Undo { ended, to } => {
            let journal = journal.ok_or_else(|| Failure::refused("there is no journal yet, so nothing to undo"))?;
            let undo = going_back(config, journal, (ended, to.as_ref()))?;
            let version = to.or_else(|| most_common(&undo)).ok_or_else(|| Failure::refused("there is nothing to undo"))?;
            (version, Some(undo))
        }
    };
    Ok(PlanRequest {
        deployment,
        env: config.service.env.clone(),
        version,
        started_by,
        policy: Policy { overrides, ..policy(config, parts) },
        surveys,
        targets: config.targets.clone(),
        spares: config.spares().to_vec(),
        allow_outage: scope.allow_outage,
        restart: scope.restart,
        selection,
        left_out,
        undo,
    })
}

/// The rules of the configuration, with what only the world can tell.
fn policy(config: &Config, parts: &Parts) -> Policy {
    let mut policy = config.policy();
    if let Some(canary) = &mut policy.canary {
        canary.weighted = parts.traffic.weighs();
    }
    policy
}

fn selection(scope: &ScopeArgs) -> Result<Selection, Failure> {
    Ok(Selection {
        only: named("--only", &scope.only)?,
        exclude: named("--exclude", &scope.exclude)?,
        no_rollback_for: named("--no-rollback-for", &scope.no_rollback_for)?,
    })
}

/// Ids and patterns of ids, as ids.
fn named(flag: &str, patterns: &[String]) -> Result<Vec<InstanceId>, Failure> {
    let mut ids = Vec::new();
    for pattern in patterns {
        let names = config::expand(pattern).map_err(|why| Failure::usage(format!("{flag} {pattern:?} {why}")))?;
        for name in names {
            ids.push(InstanceId::new(&name).map_err(|error| Failure::usage(format!("{flag}: {error}")))?);
        }
    }
    Ok(ids)
}

/// What earlier deployments left out. If the last one is of a newer rollout and cannot be read, that is nothing: then nobody
/// is readmitted. Refused if it is damaged.
fn left_out(journal: &dyn Journal) -> Result<BTreeSet<InstanceId>, Failure> {
    let Some(row) = journal.past().and_then(Past::latest).map_err(Failure::refused)? else { return Ok(BTreeSet::new()) };
    match journal.read(&row.id) {
        Ok(events) => Ok(core::left_out(&State::replay(&events).map_err(Failure::refused)?)),
        Err(newer @ JournalError::Newer { .. }) => {
            complain(&format!("warning: what {} left out of rotation stays so: {newer}", row.id));
            Ok(BTreeSet::new())
        }
        Err(error) => Err(Failure::refused(error)),
    }
}

/// What undoes an ended deployment.
fn going_back(config: &Config, journal: &dyn Journal, (ended, to): (DeploymentId, Option<&Version>)) -> Result<Undo, Failure> {
    if let Some(version) = to {
        known_good(journal, version)?;
        let wanted = config.targets.iter().map(|target| (target.id.clone(), version.clone())).collect();
        return Ok(Undo { undoes: ended, wanted });
    }
    let events = journal.read(&ended).map_err(Failure::refused)?;
    let state = State::replay(&events).map_err(Failure::refused)?;
    if let DeploymentKind::Rollback { undoes } = &state.plan.kind {
        return Err(Failure::refused(format!(
            "{ended} has undone {undoes} already; to go elsewhere: rollout rollback --to VERSION"
        )));
    }
    core::undo(&state).ok_or_else(|| {
        Failure::refused(format!(
            "{ended} ({}) left no instance on another version than before, there is nothing to undo; to go elsewhere: rollout \
             rollback --to VERSION",
            state.status().word()
        ))
    })
}

/// Ended deployments that are read to learn what ran before them.
const REMEMBERED: usize = 50;

/// A version that once was out completely, or that instances ran before a deployment.
fn known_good(journal: &dyn Journal, version: &Version) -> Result<(), Failure> {
    let rows = journal.past().map_err(Failure::refused)?.rows;
    let completed = rows.iter().filter(|row| row.status == Status::Completed.word()).map(|row| row.version.clone());
    let mut good: BTreeSet<String> = completed.collect();
    for row in rows.iter().take(REMEMBERED) {
        if good.contains(version.as_str()) {
            return Ok(());
        }
        let events = journal.read(&row.id).unwrap_or_default();
        if let Some(EventKind::DeploymentPlanned { plan, .. }) = events.first().map(|event| &event.kind) {
            good.extend(plan.members.iter().filter_map(|member| member.previous.as_ref()).map(ToString::to_string));
        }
    }
    if good.contains(version.as_str()) {
        return Ok(());
    }
    let good = if good.is_empty() { "none".to_owned() } else { good.into_iter().collect::<Vec<_>>().join(", ") };
    Err(Failure::refused(format!(
        "{version} was never known to be good here; known good: {good}; else: rollout deploy {version}"
    )))
}

/// The version that most go back to: the one to be shown.
fn most_common(undo: &Undo) -> Option<Version> {
    let count = |version: &Version| undo.wanted.iter().filter(|(_, other)| other == version).count();
    undo.wanted.iter().map(|(_, version)| version).max_by_key(|version| count(version)).cloned()
}

/// The same scope for the engine's process.
pub(super) fn to_engine(scope: &ScopeArgs) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    for (flag, values) in [("--only", &scope.only), ("--exclude", &scope.exclude), ("--no-rollback-for", &scope.no_rollback_for)]
    {
        args.extend(values.iter().map(|value| format!("{flag}={value}").into()));
    }
    args.extend(scope.override_freeze.iter().map(|name| format!("--override-freeze={name}").into()));
    args.extend(scope.reason.iter().map(|reason| format!("--reason={reason}").into()));
    args.extend(
        [("--restart", scope.restart), ("--allow-outage", scope.allow_outage), ("--allow-new-fleet", scope.allow_new_fleet)]
            .iter()
            .filter(|(_, on)| *on)
            .map(|(flag, _)| flag.into()),
    );
    args
}
