//! The grid: every instance at the level of detail that there is room for, and the line of zones above it.
//!
//! Imports: tui parts, state, model. May not: decide; change the order of instances.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::place::{LATENCY, Level, Places};
use super::{Canvas, card};
use crate::event::thousands;
use crate::model::{InstanceId, InstanceState, Version};
use crate::ports::Reading;
use crate::state::{Goal, Instance, Phase};
use crate::tui::app::{App, Chart, Mark};
use crate::tui::text::{fit, fit_right, milliseconds, spark, width};
use crate::tui::theme::Ui;

/// Order of graveness: in what is shared by many the gravest is named first.
const GRAVEST: [InstanceState; 10] = [
    InstanceState::Failed,
    InstanceState::RolledBack,
    InstanceState::RollingBack,
    InstanceState::HealthChecking,
    InstanceState::Draining,
    InstanceState::Updating,
    InstanceState::Held,
    InstanceState::Skipped,
    InstanceState::Pending,
    InstanceState::Healthy,
];

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let zones = zones(canvas.app);
    zone_rule(canvas, places.zones, &zones);
    match places.cells.level {
        Level::Card => card::draw(canvas, places),
        Level::Row | Level::Chip => listed(canvas, places),
        Level::Wide | Level::Dense => cells(canvas, places),
        Level::Bars => bars(canvas, places.grid, &zones),
    }
}

/// One zone's tally, in the order of `InstanceState::ALL`.
struct Zone {
    name: String,
    counts: [usize; 10],
    /// The gravest of its instances.
    worst: Vec<(InstanceState, InstanceId)>,
}

impl Zone {
    fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}

/// The zones in the order in which the plan first names them.
fn zones(app: &App) -> Vec<Zone> {
    let mut zones: indexmap::IndexMap<&str, Zone> = indexmap::IndexMap::new();
    for (member, (id, instance)) in app.state.plan.members.iter().zip(&app.state.instances) {
        let name = member.target.zone.as_deref().unwrap_or("fleet");
        let zone = zones.entry(name).or_insert_with(|| Zone { name: name.to_owned(), counts: [0; 10], worst: Vec::new() });
        let shown = instance.shown();
        if let Some(count) = zone.counts.get_mut(shown as usize) {
            *count += 1;
        }
        if shown == InstanceState::Failed && zone.worst.len() < 3 {
            zone.worst.push((shown, id.clone()));
        }
    }
    zones.into_values().collect()
}

fn zone_rule(canvas: &mut Canvas<'_, '_>, area: Rect, zones: &[Zone]) {
    let mut spans = Vec::new();
    let mut used = 4;
    for (i, zone) in zones.iter().enumerate() {
        let mut of_zone = vec![Span::raw(if i == 0 { zone.name.clone() } else { format!("   {}", zone.name) })];
        of_zone.extend(tally(canvas, zone));
        let needed: usize = of_zone.iter().map(|s| width(&s.content)).sum();
        if used + needed + 6 > usize::from(area.width) {
            spans.push(Span::raw(format!("  +{}", zones.len() - i)));
            break;
        }
        used += needed;
        spans.extend(of_zone);
    }
    canvas.rule(area, spans);
}

/// ` ✓4 ▸1`.
fn tally(canvas: &Canvas<'_, '_>, zone: &Zone) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    InstanceState::ALL
        .iter()
        .zip(zone.counts)
        .filter(|(_, count)| *count > 0)
        .flat_map(|(state, count)| {
            let count = thousands(u64::try_from(count).unwrap_or(u64::MAX));
            [Span::raw(" "), Span::styled(format!("{}{count}", theme.glyph(*state)), theme.state(*state))]
        })
        .collect()
}

/// Rows and chips: column after column, a page at a time.
fn listed(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let (grid, area) = (places.cells, places.grid);
    let app = canvas.app;
    let widths = Widths::of(app, grid.column_width);
    for row in 0..grid.rows.min(usize::from(area.height)) {
        let mut spans = Vec::new();
        for column in 0..grid.columns {
            let index = column * grid.rows + row;
            let Some((id, instance)) = app.state.instances.get_index(index) else { break };
            match grid.level {
                Level::Row => spans.extend(row_spans(canvas, index, (id, instance), &widths)),
                _ => spans.extend(chip(canvas, index, (id, instance), grid.column_width)),
            }
        }
        line(canvas, area, row, spans);
    }
}

fn line(canvas: &mut Canvas<'_, '_>, area: Rect, row: usize, spans: Vec<Span<'static>>) {
    let row = u16::try_from(row).unwrap_or(u16::MAX);
    let place = Rect::new(area.x, area.y.saturating_add(row), area.width, 1).intersection(area);
    canvas.lines(place, vec![Line::from(spans)]);
}

fn chip(canvas: &Canvas<'_, '_>, index: usize, (id, instance): (&InstanceId, &Instance), columns: usize) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    let shown = instance.shown();
    let selected = index == canvas.app.selected;
    let timed = columns >= LATENCY + 4 + width(id.as_str()).min(20);
    let latency = if timed { fit_right(&latency(canvas.app.charts.get(index), instance), LATENCY) } else { String::new() };
    let name = fit(id.as_str(), columns.saturating_sub(3 + latency.len()));
    let style = if selected { theme.ui(Ui::Selected) } else { ratatui::style::Style::new() };
    vec![
        Span::raw(if selected { ">" } else { " " }),
        Span::styled(theme.glyph(shown).to_string(), theme.state(shown)),
        Span::styled(name, style),
        Span::styled(latency, theme.ui(Ui::Quiet)),
        Span::raw(" "),
    ]
}

/// Widths of a row's parts; all rows have the same.
struct Widths {
    name: usize,
    version: usize,
    spark: usize,
    note: usize,
}

const WORD: usize = 12;

impl Widths {
    fn of(app: &App, column: usize) -> Self {
        // Marker, glyph, gaps, and one column between neighbours.
        let room = column.saturating_sub(3 + 1 + WORD + LATENCY + 1 + 1);
        let names = app.state.instances.keys().map(|id| width(id.as_str())).max().unwrap_or(1);
        let versions = app.state.plan.members.iter().flat_map(|m| [m.previous.as_ref(), Some(&m.wanted)]).flatten();
        // A version that is being left or reached has a sign before it.
        let versions = versions.map(|v| width(v.as_str()) + 1).max().unwrap_or(2);
        let name = names.min(room / 2 + 2).max(4).min(room);
        let version = versions.min(room.saturating_sub(name + 1)).min(14);
        let rest = room.saturating_sub(name + 1 + version);
        let spark = if rest >= 4 { (rest - 1).min(16) } else { 0 };
        let note = rest.saturating_sub(spark + 2);
        Self { name, version, spark, note: if note >= 8 { note } else { 0 } }
    }
}

fn row_spans(
    canvas: &Canvas<'_, '_>,
    index: usize,
    (id, instance): (&InstanceId, &Instance),
    widths: &Widths,
) -> Vec<Span<'static>> {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let shown = instance.shown();
    let selected = index == app.selected;
    let style = theme.state(shown);
    let name_style = if selected { theme.ui(Ui::Selected) } else { ratatui::style::Style::new() };
    let chart = app.charts.get(index);
    let latency = latency(chart, instance);
    let mut spans = vec![
        Span::raw(if selected { ">" } else { " " }),
        Span::styled(theme.glyph(shown).to_string(), style),
        Span::raw(" "),
        Span::styled(fit(id.as_str(), widths.name), name_style),
        Span::raw(" "),
        Span::styled(fit(&word(app, id, instance), WORD), style),
        Span::raw(fit_right(&latency, LATENCY)),
        Span::raw(" "),
        Span::raw(fit(&version(app, index, instance), widths.version)),
    ];
    if widths.spark > 0 {
        let bars = chart.map_or_else(String::new, |c| spark(&c.samples, widths.spark, theme.ascii()));
        spans.push(Span::raw(" "));
        spans.push(Span::styled(fit(&bars, widths.spark), theme.ui(Ui::Quiet)));
    }
    if widths.note > 0 {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(fit(&note(app, id, instance), widths.note), theme.ui(Ui::Quiet)));
    }
    spans.push(Span::raw(" "));
    spans
}

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
        (Phase::Pending, _) => "pending".to_owned(),
        (Phase::Checking, _) => "checking".to_owned(),
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
        (Phase::Skipped, _) => "skipped".to_owned(),
        (Phase::Returning { .. }, _) => "returning".to_owned(),
        (Phase::Restoring, _) => "rolling back".to_owned(),
        (Phase::RolledBack, _) => "rolled back".to_owned(),
    }
}

/// The version that it runs, or the one that it is brought to.
pub(super) fn version(app: &App, index: usize, instance: &Instance) -> String {
    let arrow = if app.fixed.theme.ascii() { '>' } else { '→' };
    let member = app.state.plan.members.get(index);
    let at_work = matches!(instance.phase, Phase::Updating | Phase::Verifying { .. } | Phase::Admitting | Phase::Settling { .. });
    match (&instance.version, member) {
        (Some(version), _) => version.to_string(),
        (None, Some(member)) if at_work => {
            let to = if instance.goal == Goal::Back { member.previous.as_ref() } else { Some(&member.wanted) };
            format!("{arrow}{}", to.map_or("?", Version::as_str))
        }
        // Restored: it was read back as its own earlier version.
        (None, Some(member)) if instance.phase == Phase::RolledBack => {
            member.previous.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string)
        }
        (None, _) => "?".to_owned(),
    }
}

/// What is wrong with it, or why it is left alone.
pub(super) fn note(app: &App, id: &InstanceId, instance: &Instance) -> String {
    let trouble = app.reading(id).and_then(|r| r.trouble.as_deref()).map(|t| format!("trouble: {t}"));
    let failure = instance.failure.as_ref().filter(|_| instance.phase == Phase::Failed).map(|f| f.reason.clone());
    let skipped = instance.skipped.clone().filter(|_| instance.phase == Phase::Skipped);
    let missing = (instance.shown() == InstanceState::Pending && instance.down).then(|| "not serving".to_owned());
    trouble.or(failure).or(skipped).or(missing).unwrap_or_default()
}

/// Cells: row after row, each row named by its first instance.
fn cells(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let (grid, area) = (places.cells, places.grid);
    let app = canvas.app;
    let theme = &app.fixed.theme;
    for row in 0..grid.rows.min(usize::from(area.height)) {
        let first = row * grid.columns;
        let Some(id) = app.id_at(first) else { break };
        let mut spans = vec![Span::styled(fit(id.as_str(), grid.label), theme.ui(Ui::Quiet))];
        for index in first..first + grid.columns {
            let Some((_, instance)) = app.state.instances.get_index(index) else { break };
            let shown = instance.shown();
            let mut style = theme.state(shown);
            if index == app.selected {
                style = style.patch(theme.ui(Ui::Selected));
            }
            spans.push(Span::styled(theme.glyph(shown).to_string(), style));
            if grid.level == Level::Wide {
                spans.push(Span::raw(" "));
            }
        }
        line(canvas, area, row, spans);
    }
}

/// A bar for each zone, its tally, and its failed instances by name.
fn bars(canvas: &mut Canvas<'_, '_>, area: Rect, zones: &[Zone]) {
    let rows = usize::from(area.height);
    // Where there is one row only, the line above has told the zones apart.
    let fleet = (rows == 1 && zones.len() > 1).then(|| [together(zones)]);
    let zones = fleet.as_ref().map_or(zones, <[Zone; 1]>::as_slice);
    let name_width = zones.iter().map(|z| width(&z.name)).max().unwrap_or(0).min(16);
    let bar_width = (usize::from(area.width) / 3).min(60);
    for (row, zone) in zones.iter().take(rows).enumerate() {
        if row + 1 == rows && zones.len() > rows {
            line(canvas, area, row, vec![Span::raw(format!(" and {} more zones", zones.len() - row))]);
            break;
        }
        let theme = &canvas.app.fixed.theme;
        let mut spans = vec![Span::raw(format!(" {} ", fit(&zone.name, name_width)))];
        for (state, cells) in shares(zone, bar_width) {
            // The glyph itself is the bar: shares can be told without colours.
            spans.push(Span::styled(theme.glyph(state).to_string().repeat(cells), theme.state(state)));
        }
        spans.push(Span::raw(" "));
        spans.extend(tally(canvas, zone));
        for (_, id) in &zone.worst {
            spans.push(Span::styled(format!(" {id}"), theme.ui(Ui::Error)));
        }
        line(canvas, area, row, spans);
    }
}

/// All zones as one.
fn together(zones: &[Zone]) -> Zone {
    let mut fleet = Zone { name: "fleet".to_owned(), counts: [0; 10], worst: Vec::new() };
    for zone in zones {
        for (sum, count) in fleet.counts.iter_mut().zip(zone.counts) {
            *sum += count;
        }
    }
    fleet
}

/// Cells for each state, the gravest first; what exists has at least one.
fn shares(zone: &Zone, columns: usize) -> Vec<(InstanceState, usize)> {
    let total = zone.total().max(1);
    let mut left = columns;
    let mut shares = Vec::new();
    for state in GRAVEST {
        let count = zone.counts.get(state as usize).copied().unwrap_or(0);
        if count == 0 || left == 0 {
            continue;
        }
        let cells = (columns * count / total).max(1).min(left);
        left -= cells;
        shares.push((state, cells));
    }
    // What rounding left goes to the largest share.
    if let Some((_, cells)) = shares.iter_mut().max_by_key(|(_, cells)| *cells) {
        *cells += left;
    }
    shares
}
