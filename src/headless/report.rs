//! A deployment as text: the summary, `status` and `show`.
//!
//! Imports: core, state, event, model, ports' values. May not: print.

use jiff::tz::TimeZone;

use crate::core;
use crate::event::{clean, thousands};
use crate::model::{Timestamp, Version};
use crate::ports::Snapshot;
use crate::state::{State, Summary};

/// Date, time and zone as on the reader's clock.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = i64::try_from(at.as_millis()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    zoned.map_or_else(|| at.to_string(), |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
}

/// One line for `status`: what, where, how it stands, and why it waits.
pub fn status_line(snapshot: &Snapshot) -> String {
    let state = &snapshot.state;
    let plan = &state.plan;
    let stands = format!("{} {} to {}: {}, {}", plan.deployment, plan.env, plan.version, state.status().word(), state.headline());
    let mut parts = vec![stands];
    if let Some(waiting) = core::waiting(state) {
        let until = waiting.until.map_or_else(String::new, |until| format!(" (until {})", local(until, &TimeZone::system())));
        parts.push(format!("{waiting}{until}"));
    }
    if let Some(vip) = snapshot.progress.vip.filter(|_| state.end.is_none()) {
        parts.push(format!("{} of {} requests failed", thousands(vip.failed), thousands(vip.requests)));
    }
    clean(&parts.join("; ")).into_owned()
}

/// What `show` prints: the summary and every instance.
pub fn show_text(state: &State) -> String {
    let summary = Summary::of(state, None);
    let mut text = summary_text(state, &summary);
    let name = state.instances.keys().map(|id| id.as_str().len()).max().unwrap_or(0);
    text.push('\n');
    for (id, instance) in &state.instances {
        let version = instance.version.as_ref().map_or("unknown", Version::as_str);
        let batch = instance.batch.map_or_else(|| "-".to_owned(), |b| b.to_string());
        let serving = if instance.serving { "in rotation" } else { "out of rotation" };
        let why = instance.complaint().or_else(|| instance.skipped.clone()).unwrap_or_default();
        let line = format!("  {id:name$}  {:15}  batch {batch:3}  {serving:15}  {version}  {why}", instance.shown());
        text.push_str(clean(&line).trim_end());
        text.push('\n');
    }
    text
}

/// The summary in a readable block.
pub fn summary_text(state: &State, summary: &Summary) -> String {
    let zone = TimeZone::system();
    let previous: Vec<String> = summary.previous.iter().map(|(version, n)| format!("{version} on {n}")).collect();
    let mut lines = vec![
        format!("{} {} to {}: {}", summary.deployment, summary.env, summary.version, summary.status),
        format!("  {}", state.headline()),
        format!(
            "  {} instances: {} updated, {} failed, {} rolled back, {} skipped, {} untouched",
            summary.total, summary.updated, summary.failed, summary.rolled_back, summary.skipped, summary.untouched
        ),
        format!("  before: {}", previous.join(", ")),
        format!(
            "  {} batches, at most {} out at once, {} ever ran {}",
            summary.batches, summary.max_out, summary.exposed, summary.version
        ),
    ];
    if let Some(end) = state.end.as_ref().filter(|end| !end.reason.is_empty()) {
        lines.push(format!("  why: {}", end.reason));
    }
    if let (Some(from), Some(to)) = (summary.started_at, summary.finished_at) {
        lines.push(format!("  {} to {}, by {}", local(from, &zone), local(to, &zone), summary.started_by));
    }
    if let Some(ms) = summary.rollback_ms {
        let detect = summary
            .detect_ms
            .map_or_else(String::new, |ms| format!(", found {} after the update", crate::model::Span::from_millis(ms)));
        lines.push(format!("  rolled back in {}{detect}", crate::model::Span::from_millis(ms)));
    }
    if let Some(drain) = summary.drain.filter(|drain| drain.forced > 0) {
        lines.push(format!("  {} drains ran out of time and cut {} connections", drain.forced, drain.connections_cut));
    }
    lines.push(match summary.vip {
        Some(vip) => format!(
            "  {} of {} requests failed through the balancer, p50 {} ms, p99 {} ms",
            thousands(vip.failed),
            thousands(vip.requests),
            vip.p50_ms,
            vip.p99_ms
        ),
        None => "  no requests through the balancer were counted".to_owned(),
    });
    match summary.exceptions.as_slice() {
        [] => lines.push("  no exceptions".to_owned()),
        exceptions => {
            lines.push(format!("  {} exceptions:", exceptions.len()));
            for e in exceptions {
                let version = e.version.as_ref().map_or("unknown version", Version::as_str);
                lines.push(format!("    {} {} {version}: {}", e.instance, e.state, e.reason));
            }
        }
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(&clean(&line));
        text.push('\n');
    }
    text
}
