//! The summary of a deployment: the last line of every output, with keys that are never renamed.
//!
//! Imports: event, model, state. May not: leave a key out.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::event::{Actor, Ending, Exception, thousands};
use crate::model::{InstanceState, LbStats, Span, Timestamp, VipStats};

use super::{Awaits, End, State, count};

/// Drains that were forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainSummary {
    /// Drains that ran out of time.
    pub forced: u32,
    /// Connections that they cut.
    pub connections_cut: u32,
}

/// Flat, as in the contract. Durations are integer milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Always `summary`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The deployment's id.
    pub deployment: String,
    /// The service's name.
    pub service: String,
    /// Its environment.
    pub env: String,
    /// Where it led.
    pub version: String,
    /// Version before → number of instances; `unknown` where nobody could tell.
    pub previous: IndexMap<String, u32>,
    /// One of the contract's words.
    pub status: String,
    /// Instances in the plan.
    pub total: u32,
    /// Now on the new version with the gate passed.
    pub updated: u32,
    /// Proven and serving at the end by our doing: updated or rolled back.
    pub healthy: u32,
    /// Did not make it.
    pub failed: u32,
    /// Back on their own earlier version.
    pub rolled_back: u32,
    /// Left alone.
    pub skipped: u32,
    /// Never updated.
    pub untouched: u32,
    /// Ever ran the new version.
    pub exposed: u32,
    /// Batches begun.
    pub batches: u32,
    /// Most instances out by our doing at once.
    pub max_out: u32,
    /// When it began, RFC 3339 in UTC.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// From its beginning to its end, or so far.
    pub duration_ms: u64,
    /// Update end → deciding verdict.
    pub detect_ms: Option<u64>,
    /// First failed check of the deciding instance, or the operator's command → fleet restored.
    pub rollback_ms: Option<u64>,
    /// What the probe through the balancer counted.
    pub vip: Option<VipStats>,
    /// The balancer's own counters over the run; `null` where it has none.
    pub lb: Option<LbStats>,
    /// Drains that were forced.
    pub drain: Option<DrainSummary>,
    /// Instances that need a person.
    pub exceptions: Vec<Exception>,
    /// Login of the person or machine that started it.
    pub started_by: String,
}

impl Summary {
    /// Of the state so far; `vip` and `lb` are used while the deployment has not ended.
    pub fn of(state: &State, (vip, lb): (Option<VipStats>, Option<LbStats>)) -> Self {
        let tally = state.tally();
        let shown = |wanted: InstanceState| tally.of(wanted);
        let (updated, failed, rolled_back, skipped) = (
            shown(InstanceState::Healthy),
            shown(InstanceState::Failed),
            shown(InstanceState::RolledBack),
            shown(InstanceState::Skipped),
        );
        let mut previous = IndexMap::new();
        for member in state.plan.fleet() {
            let version = member.previous.as_ref().map_or("unknown", |v| v.as_str());
            *previous.entry(version.to_owned()).or_insert(0) += 1;
        }
        let finished_at = state.end.as_ref().map(|end| end.at);
        let since = state.started_at.unwrap_or(state.planned_at);
        Self {
            kind: "summary".to_owned(),
            deployment: state.plan.deployment.to_string(),
            service: state.plan.service.clone(),
            env: state.plan.env.clone(),
            version: state.plan.version.to_string(),
            previous,
            status: state.status().word().to_owned(),
            total: state.total(),
            updated,
            healthy: updated + rolled_back,
            failed,
            rolled_back,
            skipped,
            untouched: state.total() - updated - failed - rolled_back - skipped,
            exposed: count(state.instances.values().filter(|i| i.exposed)),
            batches: state.batches,
            max_out: state.max_out,
            started_at: state.started_at,
            finished_at,
            duration_ms: finished_at.unwrap_or(state.at).since(since).as_millis(),
            detect_ms: state.rollback.as_ref().and_then(|r| r.detect).map(Span::as_millis),
            rollback_ms: state.rollback.as_ref().and_then(|r| r.restored_at.map(|at| at.since(r.since).as_millis())),
            vip: state.end.as_ref().map_or(vip, |end| end.vip),
            lb: state.end.as_ref().map_or(lb, |end| end.lb),
            drain: (state.started_at.is_some())
                .then_some(DrainSummary { forced: state.drains_forced, connections_cut: state.connections_cut }),
            exceptions: state.exceptions(),
            started_by: state.plan.started_by.clone(),
        }
    }
}

impl End {
    /// `, 703 of 1,691 requests FAILED`, if any did.
    fn lost_requests(&self) -> String {
        match self.vip {
            Some(vip) if vip.failed > 0 => format!(", {} of {} requests FAILED", thousands(vip.failed), thousands(vip.requests)),
            Some(_) | None => String::new(),
        }
    }
}

impl State {
    /// The line that says how it stands; its form is fixed: `8/20 updated, 0 failed, batch 5 in progress`.
    pub fn headline(&self) -> String {
        let tally = self.tally();
        let (total, updated, failed) = (self.total(), tally.of(InstanceState::Healthy), tally.of(InstanceState::Failed));
        if let Some(rollback) = &self.rollback {
            let touched = count(self.instances.values().filter(|i| i.exposed && !i.spare));
            let restored = tally.of(InstanceState::RolledBack);
            let counts = format!("{restored}/{touched} restored, {failed} failed");
            if let Some(end) = &self.end {
                let took = end.at.since(rollback.since);
                let (how, done) = match end.ending {
                    Ending::Completed | Ending::RolledBack => ("rolled back", "done in"),
                    Ending::Failed => ("failed", "rollback ended after"),
                    Ending::Cancelled => ("cancelled", "rollback ended after"),
                };
                return format!("{how}: {counts}, {done} {took}{}", end.lost_requests());
            }
            let paused = self.pause.as_ref().map(|p| format!(", paused ({})", p.by.name())).unwrap_or_default();
            return format!("rolling back: {counts}{paused}");
        }
        let batch = self.batches;
        let tail = match (&self.end, &self.pause, self.started_at) {
            (Some(end), _, started) => {
                let took = end.at.since(started.unwrap_or(self.planned_at));
                let how = match end.ending {
                    Ending::Completed | Ending::RolledBack => "done in",
                    Ending::Failed => "failed after",
                    Ending::Cancelled => "cancelled after",
                };
                format!("{how} {took}{}", end.lost_requests())
            }
            (None, Some(pause), _) => {
                let by = match &pause.by {
                    Actor::Engine => "engine".to_owned(),
                    Actor::Operator { .. } | Actor::Signal { .. } => pause.by.name().into_owned(),
                };
                format!("paused at batch {batch} ({by})")
            }
            (None, None, None) => "planned".to_owned(),
            (None, None, Some(_)) if self.cancel.is_some() => "cancelling".to_owned(),
            (None, None, Some(_)) if self.end_check_until.is_some() => "end check".to_owned(),
            (None, None, Some(_)) if self.awaits == Some(Awaits::Approval) => format!("batch {batch} done, waits for approval"),
            (None, None, Some(_)) if self.awaits == Some(Awaits::Release) => "waits for held instances".to_owned(),
            (None, None, Some(_)) => match &self.batch {
                Some(b) if b.bake_until.is_some() => format!("batch {batch} baking"),
                Some(_) => format!("batch {batch} in progress"),
                None => match (&self.step, self.canary_step()) {
                    (Some(run), Some(step)) => format!("step {}, {}", run.number, step.words()),
                    _ => "in progress".to_owned(),
                },
            },
        };
        format!("{updated}/{total} updated, {failed} failed, {tail}")
    }

    /// The process exit code that the contract gives to this end; `None` while it has not ended.
    pub fn exit_code(&self) -> Option<u8> {
        let end = self.end.as_ref()?;
        let clean = self.exceptions().is_empty();
        Some(match end.ending {
            Ending::Completed if clean => 0,
            Ending::RolledBack if clean => 3,
            Ending::Cancelled if clean => 5,
            Ending::Completed | Ending::RolledBack | Ending::Cancelled | Ending::Failed => 4,
        })
    }
}
