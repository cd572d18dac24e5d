//! One instance in words: its state, latency and version, and what is wrong with it.
//!
//! Imports: tui parts, state, model. May not: know a place or a style.

use crate::model::{InstanceId, InstanceState, Version};
use crate::ports::Reading;
use crate::state::{Goal, Instance, Phase};
use crate::tui::app::App;
use crate::tui::chart::{Chart, Mark};
use crate::tui::list::version_of;
use crate::tui::text::milliseconds;

/// The last latency, `miss` for none where there should be one.
pub(super) fn latency(chart: Option<&Chart>, instance: &Instance) -> String {
    match chart {
        Some(Chart { latency: Some(ms), .. }) if instance.phase != Phase::Updating => milliseconds(*ms),
        Some(chart) if instance.phase != Phase::Updating && chart.samples.back() == Some(&Mark::Missed) => "miss".to_owned(),
        _ => "--".to_owned(),
    }
}

/// The reading that its health gate counts: not one from before the gate began.
pub(super) fn gate_reading<'a>(app: &'a App, id: &InstanceId, instance: &Instance) -> Option<&'a Reading> {
    app.reading(id).filter(|r| r.sample.as_ref().is_some_and(|sample| sample.at >= instance.since))
}

/// The state in a word, with what counts in it.
pub(super) fn word(app: &App, id: &InstanceId, instance: &Instance) -> String {
    let reading = app.reading(id);
    let left = reading.and_then(|r| r.sessions).or(instance.sessions);
    let rise = app.state.plan.policy.health.rise;
    let passes = gate_reading(app, id, instance).map_or(0, |r| r.passes).min(rise);
    let back = instance.goal == Goal::Back;
    match (&instance.phase, back) {
        (Phase::Pending, _) if instance.held.is_some() => "held".to_owned(),
        (Phase::Pending, _) if app.idle.is_some() => "reading".to_owned(),
        (Phase::Pending, _) => "pending".to_owned(),
        (Phase::Checking, _) => "checking".to_owned(),
        // The way back of extra capacity is its end.
        (Phase::TakingOut, true) if instance.spare => "taking out".to_owned(),
        (Phase::Draining, true) if instance.spare => left.map_or_else(|| "draining".to_owned(), |n| format!("drain {n}c")),
        (Phase::Updating | Phase::Restoring, true) if instance.spare => "stopping".to_owned(),
        (Phase::Skipped, true) if instance.spare => "stopped".to_owned(),
        (Phase::TakingOut, false) => "taking out".to_owned(),
        (Phase::TakingOut, true) => "back: out".to_owned(),
        (Phase::Draining, false) => left.map_or_else(|| "draining".to_owned(), |n| format!("drain {n}c")),
        (Phase::Draining, true) => left.map_or_else(|| "back: drain".to_owned(), |n| format!("back: {n}c")),
        (Phase::Drained, _) => "drained".to_owned(),
        (Phase::Updating, false) => "updating".to_owned(),
        (Phase::Updating, true) => "back: update".to_owned(),
        (Phase::Verifying { .. }, false) => format!("health {passes}/{rise}"),
        (Phase::Verifying { .. }, true) => format!("back: {passes}/{rise}"),
        (Phase::Admitting, false) => "admitting".to_owned(),
        (Phase::Admitting, true) => "back: admit".to_owned(),
        (Phase::Settling { .. }, false) => "settling".to_owned(),
        (Phase::Settling { .. }, true) => "back: settle".to_owned(),
        (Phase::Healthy, _) => "healthy".to_owned(),
        (Phase::Failed, _) => "FAILED".to_owned(),
        (Phase::Skipped, _) if app.idle.is_some() => "out".to_owned(),
        (Phase::Skipped, _) => "skipped".to_owned(),
        (Phase::Returning { .. }, _) => "returning".to_owned(),
        (Phase::Restoring, _) => "rolling back".to_owned(),
        (Phase::RolledBack, _) => "rolled back".to_owned(),
    }
}

/// The version that it runs, or the one that it is brought to.
pub(super) fn version(app: &App, index: usize, instance: &Instance) -> String {
    let arrow = if app.fixed.theme.ascii() { '>' } else { '→' };
    match version_of(&app.state, index, instance) {
        (true, version) => format!("{arrow}{}", version.map_or("?", Version::as_str)),
        (false, version) => version.map_or_else(|| "?".to_owned(), ToString::to_string),
    }
}

/// What is wrong with it, or why it is left alone.
pub(super) fn note(app: &App, id: &InstanceId, instance: &Instance) -> String {
    let trouble = app.reading(id).and_then(|r| r.trouble.as_deref()).map(|t| format!("trouble: {t}"));
    let failure = instance.failure.as_ref().filter(|_| instance.phase == Phase::Failed).map(|f| f.reason.clone());
    let skipped = instance.skipped.clone().filter(|_| instance.phase == Phase::Skipped);
    let why = if instance.spare { "extra capacity" } else { "not serving" };
    let missing = (instance.shown() == InstanceState::Pending && instance.down).then(|| why.to_owned());
    let held = instance.held.as_ref().map(|halt| {
        let why = if halt.reason.starts_with("asked for by ") { String::new() } else { format!(": {}", halt.reason) };
        format!("held by {}{why}", halt.by.name())
    });
    trouble.or(failure).or(skipped).or(held).or(missing).unwrap_or_default()
}
