//! A deployment as text: the summary, `status` and `show`.
//!
//! Imports: core, state, event, model, ports' values, os' text. May not: print.

use jiff::tz::TimeZone;

use crate::core;
use crate::event::{Ending, clean, thousands};
use crate::model::{Span, Timestamp, Version};
use crate::os::text::counted;
use crate::ports::Snapshot;
use crate::state::{Phase, State, Status, Summary};

/// Date, time and zone as on the reader's clock.
pub fn local_time(at: Timestamp) -> String {
    local(at, &TimeZone::system())
}

/// As `local_time`, in a given zone.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = i64::try_from(at.as_millis()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    zoned.map_or_else(|| at.to_string(), |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
}

/// One line for `status`: what, where, how it stands, and why it waits.
pub fn status_line(snapshot: &Snapshot) -> String {
    let state = &snapshot.state;
    let plan = &state.plan;
    let mut parts =
        vec![format!("{} {} to {}: {}, {}", plan.deployment, plan.env, plan.version, state.status().word(), state.headline())];
    if let Some(waiting) = core::waiting(state) {
        let until = waiting.until.map_or_else(String::new, |until| format!(" (until {})", local(until, &TimeZone::system())));
        parts.push(format!("{}{until}", after_headline(state, &waiting.what)));
    }
    parts.extend(snapshot.progress.troubles.iter().filter(|_| state.end.is_none()).map(|trouble| format!("TROUBLE: {trouble}")));
    if let Some(vip) = snapshot.progress.vip.filter(|_| state.end.is_none()) {
        parts.push(format!("{} of {} requests failed", thousands(vip.failed), thousands(vip.requests)));
    }
    clean(&parts.join("; ")).into_owned()
}

/// What is awaited, without who paused it: the headline has said so.
fn after_headline<'a>(state: &State, waiting: &'a str) -> &'a str {
    let Some(pause) = &state.pause else { return waiting };
    let said = ["paused by ", "pausing by "].iter().find_map(|how| waiting.strip_prefix(how)?.strip_prefix(&*pause.by.name()));
    said.map_or(waiting, |rest| rest.trim_start_matches([':', ';', ' ']))
}

/// What `show` prints: the summary and every instance.
pub fn show_text(state: &State, summary: &Summary) -> String {
    let mut text = summary_text(state, summary);
    let name = state.instances.keys().map(|id| id.as_str().len()).max().unwrap_or(0);
    let longest = state.instances.values().filter_map(|i| i.version.as_ref()).map(|v| v.as_str().len()).max().unwrap_or(0).max(7);
    text.push('\n');
    for ((id, instance), member) in state.instances.iter().zip(&state.plan.members) {
        // A restored one was read back as its own earlier version.
        let restored = member.previous.as_ref().filter(|_| instance.phase == Phase::RolledBack);
        let version = instance.version.as_ref().or(restored).map_or("unknown", Version::as_str);
        let batch = instance.batch.map_or_else(|| "-".to_owned(), |b| b.to_string());
        let serving = if instance.serving { "in rotation" } else { "out of rotation" };
        let why = instance.complaint().or_else(|| instance.skipped.clone()).unwrap_or_default();
        let line = format!("  {id:name$}  {:15}  batch {batch:>3}  {serving:15}  {version:longest$}  {why}", instance.shown());
        text.push_str(clean(&line).trim_end());
        text.push('\n');
    }
    text
}

/// The summary in a readable block: what counts first, each line with its name.
pub fn summary_text(state: &State, summary: &Summary) -> String {
    let mut lines = vec![
        format!("{} {} to {}: {}", summary.deployment, summary.env, summary.version, summary.status),
        named("result", &state.headline()),
    ];
    // A completed one needs no reason.
    let reason = state.end.as_ref().filter(|end| end.ending != Ending::Completed).map(|end| end.reason.as_str());
    lines.extend(reason.filter(|reason| !reason.is_empty()).map(|reason| named("why", reason)));
    lines.push(named("downtime", &downtime(summary)));
    if let Some(at) = state.recovered_at {
        let text = format!("its engine died and was taken over at {}; requests are counted from there on", local_time(at));
        lines.push(named("recovered", &text));
    }
    if let Some(drain) = summary.drain.filter(|drain| drain.forced > 0) {
        let text = format!(
            "{} ran out of time and cut {}",
            counted(drain.forced, "drain"),
            counted(drain.connections_cut, "connection")
        );
        lines.push(named("drains", &text));
    }
    if let Some(ms) = summary.rollback_ms {
        let detect =
            summary.detect_ms.map_or_else(String::new, |ms| format!("; found {} after the update", Span::from_millis(ms)));
        lines.push(named("rollback", &format!("done in {}{detect}", Span::from_millis(ms))));
    }
    lines.push(named(
        "instances",
        &format!(
            "{}: {} updated, {} failed, {} rolled back, {} skipped, {} untouched",
            summary.total, summary.updated, summary.failed, summary.rolled_back, summary.skipped, summary.untouched
        ),
    ));
    let exposed = format!("{} ever ran {}", counted(summary.exposed, "instance"), summary.version);
    lines.push(named("batches", &format!("{}, at most {} out at once; {exposed}", summary.batches, summary.max_out)));
    let previous: Vec<String> = summary.previous.iter().map(|(version, n)| format!("{version} on {n}")).collect();
    lines.push(named("before", &previous.join(", ")));
    if let (Some(from), Some(to)) = (summary.started_at, summary.finished_at) {
        let zone = TimeZone::system();
        lines.push(named("time", &format!("{} to {}, by {}", local(from, &zone), local(to, &zone), summary.started_by)));
    }
    lines.extend(exceptions(summary));
    lines.iter().fold(String::new(), |text, line| text + &clean(line) + "\n")
}

/// A line of the block.
fn named(name: &str, text: &str) -> String {
    format!("  {name:11} {text}")
}

/// What the probe through the balancer says about downtime.
fn downtime(summary: &Summary) -> String {
    let Some(vip) = summary.vip else {
        if summary.status == Status::Interrupted.word() {
            return "not known: its engine is not there to say".to_owned();
        }
        return "not measured: no requests through the balancer were counted".to_owned();
    };
    let verdict = if vip.failed == 0 { "none" } else { "NOT ZERO" };
    let counts =
        format!("{verdict}: {} of {} requests failed through the balancer", thousands(vip.failed), thousands(vip.requests));
    if vip.failed == vip.requests {
        // Only answers have a latency.
        return counts;
    }
    format!("{counts}, p50 {}, p99 {}", Span::from_millis(vip.p50_ms), Span::from_millis(vip.p99_ms))
}

/// What needs a person, a line each.
fn exceptions(summary: &Summary) -> Vec<String> {
    if summary.exceptions.is_empty() {
        return vec![named("exceptions", "none: no instance needs a person")];
    }
    let need = if summary.exceptions.len() == 1 { "instance needs" } else { "instances need" };
    let mut lines = vec![named("exceptions", &format!("{} {need} a person:", summary.exceptions.len()))];
    lines.extend(summary.exceptions.iter().map(|e| {
        let version = e.version.as_ref().map_or("unknown version", Version::as_str);
        format!("    {} {} {version}: {}", e.instance, e.state, e.reason)
    }));
    lines
}
