//! The plan: which batches there are, and what happens next; on the way back, in which order. Here is which rows there are
//! and what they say; nothing is decided.
//!
//! Imports: tui parts, core's look ahead, state, model. May not: draw; send.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::app::{App, Tone};
use super::keys::Action;
use super::steps::{self, Stage};
use super::text::{time_of_day, wrap};
use super::timeline::predicted;
use super::update::Cmd;
use super::view;
use crate::core::{self, Ahead};
use crate::model::{Before, Confirm, Count, DeploymentKind, OnDrainTimeout, OnFailure, Pacing, Span, Timestamp, Zones};
use crate::state::{Awaits, Goal, Instance, Phase};

/// Columns of a label.
pub(super) const LABEL: usize = 10;

/// The place of the plan on the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanView {
    /// The first row that is seen, if it was moved there; else the batch at work is in sight.
    top: Option<usize>,
}

/// A batch that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchSoFar {
    /// From 1.
    pub(super) number: u32,
    /// By place in the plan.
    pub(super) members: Vec<usize>,
    /// When the first of them was taken, if any was.
    pub(super) started: Option<Timestamp>,
    /// When the last of them had its verdict, if all have.
    pub(super) ended: Option<Timestamp>,
}

/// Those that have begun, in their order.
pub(super) fn batches_so_far(app: &App) -> Vec<BatchSoFar> {
    let mut all: BTreeMap<u32, (BatchSoFar, bool)> = BTreeMap::new();
    for (index, instance) in app.state.instances.values().enumerate() {
        let Some(number) = instance.batch else { continue };
        let new = || (BatchSoFar { number, members: Vec::new(), started: None, ended: None }, true);
        let (batch, over) = all.entry(number).or_insert_with(new);
        batch.members.push(index);
        batch.started = [batch.started, instance.taken_at].into_iter().flatten().min();
        *over &= !is_open(instance);
        batch.ended = batch.ended.max(ended(instance));
    }
    let over = |(batch, over)| if over { batch } else { BatchSoFar { ended: None, ..batch } };
    all.into_values().map(over).collect()
}

/// Its verdict is still to come.
fn is_open(instance: &Instance) -> bool {
    instance.verdict.is_none() && (instance.is_active() || instance.phase == Phase::Pending)
}

/// When its part in the batch was over.
fn ended(instance: &Instance) -> Option<Timestamp> {
    let healthy = instance.taken_at.zip(instance.took).map(|(taken, took)| taken + took);
    healthy.or_else(|| instance.failure.as_ref().map(|failure| failure.at))
}

/// A row of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// A rule in words, with its label; the label is empty where it goes on.
    Said(&'static str, String),
    /// What follows.
    Title(String),
    /// The names of the columns.
    Columns,
    /// A batch that has begun.
    Begun(BatchSoFar),
    /// A batch to come, and when, if that can be told.
    ToCome(Ahead, Option<(Timestamp, Timestamp)>),
    /// An instance that no batch takes, or that goes back, by place in the plan: and why, or how it stands.
    One(usize, String),
}

/// Everything that the plan says, in so many columns.
pub(super) fn rows(app: &App, columns: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut rules = rules(app);
    // Where it is low, what is next comes before the finer rules.
    let later = if app.size.1 < 36 { rules.split_off(2 + usize::from(app.state.rollback.is_some())) } else { Vec::new() };
    rows.extend(said(rules, columns));
    if app.state.rollback.is_some() {
        rows.extend(back(app));
    }
    rows.extend(between(app, columns));
    let (begun, to_come) = (batches_so_far(app), predicted(app));
    if !begun.is_empty() || !to_come.is_empty() {
        rows.push(Row::Columns);
        rows.extend(begun.into_iter().map(Row::Begun));
        rows.extend(to_come.into_iter().map(|(batch, window)| Row::ToCome(batch, window)));
    }
    let apart: Vec<Row> = apart(app).collect();
    if !apart.is_empty() {
        rows.push(Row::Title("taken by no batch".to_owned()));
        rows.extend(apart);
    }
    if !later.is_empty() {
        rows.push(Row::Title("and its other rules".to_owned()));
        rows.extend(said(later, columns));
    }
    rows
}

/// What lies between the batches: steps, checks, hooks.
fn between(app: &App, columns: usize) -> Vec<Row> {
    let state = &app.state;
    let policy = &state.plan.policy;
    let mut rows = Vec::new();
    let steps = steps::steps(state, app.now);
    if !steps.is_empty() {
        rows.push(Row::Title("steps".to_owned()));
        let word = |stage| match stage {
            Stage::Done => "done",
            Stage::Now => "now",
            Stage::ToCome => "to come",
        };
        rows.extend(steps.iter().map(|step| Row::Said(word(step.stage), format!("{:>2}  {}", step.number, step.words))));
    }
    if let Some(analysis) = &policy.analysis {
        let more = match analysis.max_failures {
            0 => "one failed measurement fails it".to_owned(),
            n => format!("more than {n} failed measurements of a check fail it"),
        };
        rows.push(Row::Title(format!("analysis, each {}; {more}", analysis.interval)));
        let words = analysis.checks.iter().map(|check| ("", steps::check_words(check, state.analysis.get(&check.name))));
        rows.extend(said(words.collect(), columns));
    }
    if !policy.hooks.is_empty() {
        rows.push(Row::Title("hooks".to_owned()));
        rows.extend(said(policy.hooks.iter().map(|hook| ("", steps::hook_words(state, hook))).collect(), columns));
    }
    rows
}

/// The rules in lines.
fn said(rules: Vec<(&'static str, String)>, columns: usize) -> impl Iterator<Item = Row> {
    rules.into_iter().flat_map(move |(label, text)| {
        let lines = wrap(&text, columns.saturating_sub(LABEL + 2));
        lines.into_iter().enumerate().map(move |(i, line)| Row::Said(if i == 0 { label } else { "" }, line))
    })
}

/// Strategy and policy, in sentences.
fn rules(app: &App) -> Vec<(&'static str, String)> {
    let plan = &app.state.plan;
    let policy = &plan.policy;
    let kind = match &plan.kind {
        DeploymentKind::Deploy => format!("to {}, started by {}", plan.version, plan.started_by),
        DeploymentKind::Rollback { undoes } => format!("undoes {undoes}, started by {}", plan.started_by),
    };
    let gate = &policy.health;
    let mut health = format!(
        "{} passes in a row within {} of the update, one probe each {}; {} misses in a row fail it",
        gate.rise, gate.deadline, gate.interval, gate.retries
    );
    if let Some(latency) = gate.latency {
        health = format!("{health}; p99 of {} passes not above {}", latency.samples, latency.p99);
    }
    if !policy.strategy.min_healthy_time.is_zero() {
        health = format!("{health}; then healthy for {} in rotation", policy.strategy.min_healthy_time);
    }
    let drain = match policy.drain.on_timeout {
        OnDrainTimeout::Force => "then what is left is cut",
        OnDrainTimeout::Extend => "longer while their number falls",
        OnDrainTimeout::Fail => "else it counts as failed",
    };
    let mut said = vec![("strategy", strategy(app)), ("failure", failure(app)), ("plan", kind)];
    if let Some(rollback) = &app.state.rollback {
        said.insert(0, ("goes back", format!("since {}: {}", time_of_day(rollback.since, &app.fixed.zone), rollback.reason)));
    }
    let gates = match policy.strategy.confirm {
        Confirm::None => "each batch is proven before the next begins".to_owned(),
        Confirm::Batch => {
            let key = app.fixed.keys.hint(Action::Promote);
            format!("a person approves each batch but the first ({key}), within {}", policy.strategy.approval_timeout)
        }
    };
    said.extend([
        ("gates", gates),
        ("health", health),
        ("drain", format!("connections may take {} to end, {drain}", policy.drain.timeout)),
    ]);
    said
}

fn strategy(app: &App) -> String {
    let plan = &app.state.plan;
    let strategy = &plan.policy.strategy;
    let sizes: Vec<String> = strategy.batch_size.iter().map(ToString::to_string).collect();
    let steps = plan.policy.canary.as_ref().map(|canary| match canary.steps.len() {
        1 => "canary of 1 step; then ".to_owned(),
        n => format!("canary of {n} steps; then "),
    });
    let rolling = match strategy.pacing {
        Pacing::Batch => format!("rolling, batches of {}", sizes.join(", then ")),
        Pacing::Window => format!("rolling, the first alone, then a window of {}", sizes.join(", then ")),
    };
    let mut parts = vec![format!("{}{rolling}", steps.unwrap_or_default())];
    parts.push(format!("at most {} out at once", strategy.max_unavailable));
    if strategy.min_serving != Count::Absolute(0) {
        parts.push(format!("at least {} serving", strategy.min_serving));
    }
    if plan.spares() > 0 {
        parts.push(format!("{} more started first", plan.spares()));
    }
    if strategy.zones == Zones::OneByOne {
        parts.push("zone by zone".to_owned());
    }
    if !strategy.batch_pause.is_zero() {
        parts.push(format!("{} under watch after each batch", strategy.batch_pause));
    }
    match plan.policy.health.before {
        Before::Skip => {}
        Before::First => parts.push("those that fail their check go first".to_owned()),
        Before::Abort => parts.push("refused if one does not serve".to_owned()),
    }
    parts.join(", ")
}

fn failure(app: &App) -> String {
    let rollback = &app.state.plan.policy.rollback;
    let then = match rollback.on_failure {
        OnFailure::Rollback => format!("everything touched goes back, {} healthy ones at a time", rollback.max_unavailable),
        OnFailure::Pause => "it pauses".to_owned(),
        OnFailure::Ask => "it pauses and asks; unanswered, everything goes back".to_owned(),
        OnFailure::Continue => return "what fails is listed, and it goes on".to_owned(),
    };
    format!("above {}% of those finished, or more than {}: {then}", rollback.threshold_percent, rollback.max_failures)
}

/// The way back: those that are back, those on their way, and those to come in their order.
fn back(app: &App) -> Vec<Row> {
    let of = |which: fn(&Instance) -> bool| {
        app.state.instances.values().enumerate().filter(move |(_, i)| which(i)).map(|(index, _)| index).collect::<Vec<_>>()
    };
    let mut restored = of(|i| i.phase == Phase::RolledBack);
    restored.sort_by_key(|index| app.state.instances.get_index(*index).map(|(_, i)| i.since));
    let mut going = of(|i| i.goal == Goal::Back && i.is_active());
    // The newest was taken first.
    going.sort_by_key(|index| app.state.instances.get_index(*index).map(|(_, i)| Reverse(i.order)));
    let to_come = core::way_back(&app.state);
    let total = restored.len() + going.len() + to_come.len();
    let mut rows = vec![Row::Title(format!("the way back of {total}, in its order"))];
    rows.extend(restored.into_iter().map(|index| {
        let since = app.state.instances.get_index(index).map_or(app.now, |(_, i)| i.since);
        Row::One(index, format!("back since {}", time_of_day(since, &app.fixed.zone)))
    }));
    rows.extend(going.into_iter().map(|index| Row::One(index, "going back now".to_owned())));
    let next = |place: usize| if place == 0 { "next".to_owned() } else { format!("after {place} more") };
    rows.extend(to_come.into_iter().enumerate().map(|(place, index)| Row::One(index, next(place))));
    rows
}

/// Those that no batch takes, and why.
fn apart(app: &App) -> impl Iterator<Item = Row> {
    let at_start = app.state.batches == 0;
    app.state.plan.members.iter().zip(app.state.instances.values()).enumerate().filter_map(move |(index, (member, instance))| {
        if instance.batch.is_some() && instance.held.is_none() {
            return None;
        }
        let why = match (&instance.held, &instance.phase) {
            (Some(halt), Phase::Pending) => {
                let said = if halt.reason.is_empty() { String::new() } else { format!(": {}", halt.reason) };
                format!("held by {}{said}", halt.by.name())
            }
            (_, Phase::Skipped) => instance.skipped.clone().unwrap_or_else(|| "left alone".to_owned()),
            (_, Phase::Pending) if at_start && member.at_version => format!("already at {}", member.wanted),
            _ => return None,
        };
        Some(Row::One(index, why))
    })
}

/// How a batch that has begun stands, in few words.
pub(super) fn note(app: &App, batch: &BatchSoFar) -> String {
    let members = || batch.members.iter().filter_map(|index| app.state.instances.get_index(*index));
    if let Some((id, failed)) = members().find(|(_, i)| i.failure.is_some()) {
        let more = members().filter(|(_, i)| i.failure.is_some()).count() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let why = failed.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        return format!("{id}{more} failed: {why}");
    }
    let current = app.state.batch.as_ref().filter(|current| current.number == batch.number);
    match current {
        Some(current) => match current.bake_until {
            Some(until) => format!("verified; watched until {}", time_of_day(until, &app.fixed.zone)),
            None => String::new(),
        },
        None if batch.ended.is_none() => String::new(),
        None if app.state.awaits == Some(Awaits::Approval) && batch.number == app.state.batches => {
            format!("proven; the next waits for approval ({})", app.fixed.keys.hint(Action::Promote))
        }
        None if app.state.rollback.is_some() => String::new(),
        None => "proven".to_owned(),
    }
}

/// What is said of a batch to come.
pub(super) fn note_ahead(app: &App, batch: &Ahead) -> String {
    let next = batch.number == app.state.batches + 1;
    let strategy = &app.state.plan.policy.strategy;
    let manual = strategy.confirm == Confirm::Batch && batch.number > app.state.approved.max(1);
    match () {
        () if app.state.started_at.is_none() && next => format!("begins with {}", app.fixed.keys.hint(Action::Start)),
        () if next && app.state.pause.is_some() => "once it is resumed".to_owned(),
        () if manual => "after approval".to_owned(),
        () if next => "next".to_owned(),
        () => String::new(),
    }
}

/// Time that is only foretold.
pub(super) fn about(span: Span) -> Span {
    Span::from_millis(span.as_millis().div_ceil(1000) * 1000)
}

/// The first row that is seen.
pub(super) fn top(app: &App, rows: &[Row], height: usize) -> usize {
    let most = rows.len().saturating_sub(height);
    if let Some(top) = app.plan.top {
        return top.min(most);
    }
    let at_work = |row: &Row| match row {
        Row::Begun(batch) => app.state.batch.as_ref().is_some_and(|now| now.number == batch.number),
        Row::One(_, how) => app.state.rollback.is_some() && how == "going back now",
        Row::Said(..) | Row::Title(_) | Row::Columns | Row::ToCome(..) => false,
    };
    // In sight with what comes next; it goes on by half a page.
    let anchor = rows.iter().rposition(at_work).map_or(0, |place| place + 2);
    let half = (height / 2).max(1);
    if anchor < height { 0 } else { (((anchor - height) / half + 1) * half).min(most) }
}

/// What `action` means here.
pub(super) fn on_action(app: &mut App, action: Action) -> Option<Vec<Cmd>> {
    let by_one = matches!(action, Action::Up | Action::Down | Action::Previous | Action::Next);
    let by_page = matches!(action, Action::PageUp | Action::PageDown | Action::First | Action::Last);
    if action == Action::Follow {
        app.plan.top = None;
        app.say("the batch at work stays in sight", Tone::Plain);
        return Some(Vec::new());
    }
    if !by_one && !by_page {
        return None;
    }
    let (columns, height) = view::plan_room(app);
    let rows = rows(app, columns);
    let (now, page) = (top(app, &rows, height), height.saturating_sub(1).max(1));
    let to = match action {
        Action::Up | Action::Previous => now.saturating_sub(1),
        Action::Down | Action::Next => now + 1,
        Action::PageUp => now.saturating_sub(page),
        Action::PageDown => now + page,
        Action::Last => usize::MAX,
        _ => 0,
    };
    app.plan.top = Some(to.min(rows.len().saturating_sub(height)));
    Some(Vec::new())
}
