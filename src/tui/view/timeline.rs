//! The timeline: the phases of every instance over time. One column is one step of time; what is over ends in one glyph,
//! what is foretold is dashed. Below it, where there is room, where the time went and how many served.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::help::plain_arrows;
use super::inspect::brief;
use super::{Canvas, spent};
use crate::event::thousands;
use crate::model::{InstanceState, Timestamp};
use crate::tui::app::App;
use crate::tui::keys::Action;
use crate::tui::text::{clip, fit, fit_right, time_of_day, width};
use crate::tui::theme::Ui;
use crate::tui::timeline::{Axis, Cell, Row, axis, begins, cells, follows, grouping, holding, present, rows, top};

/// Where its parts are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    rule: Rect,
    axis: Rect,
    pub(super) chart: Rect,
    spent: Rect,
    capacity: Rect,
    /// Columns of a row's label.
    pub(super) label: usize,
    /// Columns of how long it took.
    took: usize,
    /// Columns of time.
    pub(super) columns: usize,
}

/// By the size and the fleet alone.
pub(super) fn layout(app: &App, area: Rect) -> Layout {
    let spent = if area.height >= 14 { 4 } else { 0 };
    let capacity = if area.height >= 34 { 6 } else { 0 };
    let mut y = area.y;
    let mut take = |rows: u16| {
        let rows = rows.min(area.bottom().saturating_sub(y));
        let part = Rect { y, height: rows, ..area };
        y += rows;
        part
    };
    let (rule, axis) = (take(1), take(1));
    let chart = take(area.height.saturating_sub(2 + spent + capacity));
    let (spent, capacity) = (take(spent), take(capacity));
    let all = usize::from(area.width);
    let longest = app.state.instances.keys().map(|id| width(id.as_str())).max().unwrap_or(4);
    // Marker, glyph, and gaps; `batch 12` has its place, too.
    let label = longest.clamp(8, 20).min(all / 4) + 4;
    let took = if all >= 100 { 7 } else { 0 };
    Layout { rule, axis, chart, spent, capacity, label, took, columns: all.saturating_sub(label + took + 1) }
}

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let layout = layout(canvas.app, area);
    let axis = axis(canvas.app, layout.columns);
    rule(canvas, layout.rule, &axis);
    ticks(canvas, &layout, &axis);
    chart(canvas, &layout, &axis);
    if !layout.spent.is_empty() {
        spent::draw(canvas, layout.spent);
    }
    if !layout.capacity.is_empty() {
        spent::capacity(canvas, layout.capacity, &layout, &axis);
    }
}

/// What is seen, and how it can be changed.
fn rule(canvas: &mut Canvas<'_, '_>, area: Rect, axis: &Axis) {
    let app = canvas.app;
    let hint = |action| app.fixed.keys.hint(action);
    let wide = area.width >= 100;
    let name = if area.width >= 60 { "timeline, " } else { "" };
    let mut title = vec![Span::raw(format!("{name}a column is {}", axis.step))];
    if let Some(since) = app.known_from.filter(|since| *since > begins(app)) {
        let text = format!("  phases known since {}", time_of_day(since, &app.fixed.zone));
        title.push(Span::styled(text, canvas.ui(Ui::Warning)));
    }
    let mut right = vec![Span::raw(if wide { format!("{}, ", grouping(app).word()) } else { String::new() })];
    right.push(match (app.timeline.is_live(), app.state.end.is_some(), app.timeline.is_fitted()) {
        (true, true, _) => Span::raw("ended"),
        (true, false, true) if follows(app) => Span::raw("follows, fitted"),
        (true, false, false) if follows(app) => Span::raw("follows now"),
        (..) => Span::styled(format!("moved; {} follows", hint(Action::Follow)), canvas.ui(Ui::Key)),
    });
    if wide {
        let keys = [Action::Left, Action::Right, Action::Finer, Action::Coarser, Action::Fitting].map(hint);
        let [left, further, finer, coarser, fit] = keys.map(|key| if canvas.ascii() { plain_arrows(&key) } else { key });
        let text = format!("  {left} {further} scroll  {finer} {coarser} scale  {fit} fit");
        right.push(Span::styled(text, canvas.ui(Ui::Quiet)));
    }
    canvas.rule_with(area, title, right);
}

/// The times: full minutes by the hour, others by their seconds.
fn ticks(canvas: &mut Canvas<'_, '_>, layout: &Layout, axis: &Axis) {
    const EVERY: [u64; 14] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400];
    let app = canvas.app;
    let step = axis.step.as_millis().max(1);
    let apart = EVERY.iter().map(|secs| secs * 1000).find(|every| every / step >= 12).unwrap_or(86_400_000);
    let mut row = vec![' '; axis.columns];
    let mut free = 0;
    let mut put = |column: usize, text: &str, free: &mut usize| {
        if column < *free || column + width(text) > axis.columns {
            return;
        }
        for (cell, c) in row.iter_mut().skip(column).zip(text.chars()) {
            *cell = c;
        }
        *free = column + width(text) + 1;
    };
    let mut at = Timestamp::from_millis(axis.left.as_millis().div_ceil(apart) * apart);
    let live = app.timeline.is_live() && app.state.end.is_none() && app.state.started_at.is_some();
    let now = axis.column(present(app));
    let now_from = if live && now < axis.columns { now.min(axis.columns.saturating_sub(3)) } else { usize::MAX };
    let mut first = true;
    while at < axis.end() {
        let column = axis.column(at);
        let time = time_of_day(at, &app.fixed.zone);
        let text = match time.get(6..) {
            _ if apart < 10_000 => time.clone(),
            Some("00") => time.get(..5).unwrap_or(&time).to_owned(),
            Some(seconds) if !first => format!(":{seconds}"),
            _ => time.clone(),
        };
        if column + width(&text) < now_from || column > now_from.saturating_add(3) {
            put(column, &text, &mut free);
            first = false;
        }
        at = Timestamp::from_millis(at.as_millis() + apart);
    }
    if now_from != usize::MAX {
        put(now_from, "now", &mut 0);
    }
    let text: String = row.into_iter().collect();
    let zone = crate::tui::text::zone_name(app.now, &app.fixed.zone);
    let label = fit(&format!(" {zone}"), layout.label);
    canvas.text(layout.axis, &format!("{label}{text}"), Ui::Quiet);
}

fn chart(canvas: &mut Canvas<'_, '_>, layout: &Layout, axis: &Axis) {
    let app = canvas.app;
    let height = usize::from(layout.chart.height);
    if height == 0 {
        return;
    }
    let rows = rows(app, height);
    if rows.is_empty() {
        let text = if app.list.filter.is_empty() { " no instances" } else { " no instance passes the filter; Esc clears it" };
        canvas.text(Rect { height: 1, ..layout.chart }, text, Ui::Quiet);
        return;
    }
    let selected = rows.iter().position(|row| row.index() == Some(app.selected)).or_else(|| holding(&rows, app.selected));
    let first = top(app, &rows, height);
    let seen = rows.iter().enumerate().skip(first).take(height);
    for ((place, row), area) in seen.zip(layout.chart.rows()) {
        if let Row::Heading(text) = row {
            canvas.rule(area, vec![Span::styled(text.clone(), canvas.ui(Ui::Quiet))]);
        } else {
            let line = line(canvas, (row, selected == Some(place)), layout, axis);
            canvas.lines(area, vec![line]);
        }
    }
}

fn line(canvas: &Canvas<'_, '_>, (row, selected): (&Row, bool), layout: &Layout, axis: &Axis) -> Line<'static> {
    let app = canvas.app;
    let name = |index: usize| app.id_at(index).map_or_else(String::new, ToString::to_string);
    match row {
        Row::Heading(text) => Line::raw(text.clone()),
        Row::One(index) => {
            let Some((id, instance)) = app.state.instances.get_index(*index) else { return Line::default() };
            let mut spans = label(canvas, layout, (instance.shown(), id.as_str()), selected);
            spans.extend(bar(canvas, &cells(app, *index, axis)));
            if layout.took > 0 {
                let failed = || Some(instance.failure.as_ref()?.at.since(instance.taken_at?));
                let took = instance.took.or_else(|| failed().filter(|_| !instance.is_active()));
                spans.push(Span::raw(fit_right(&took.map_or_else(String::new, brief), layout.took)));
            }
            Line::from(spans)
        }
        Row::ToCome { first, last, count, batches, window } => {
            let batch = match batches {
                (0, _) => "the rest".to_owned(),
                (one, other) if one == other => format!("batch {one}"),
                (one, other) => format!("{one}-{other}"),
            };
            let spans = label(canvas, layout, (InstanceState::Pending, &batch), selected);
            let members = if *count == 1 { name(*first) } else { format!("{} to {}", name(*first), name(*last)) };
            let many = thousands(u64::try_from(*count).unwrap_or(u64::MAX));
            let text = format!("{many} pending: {members}{}", when(app, *batches, *window));
            foretold(canvas, spans, &text, *window, axis)
        }
        Row::LeftAlone { first, last, count } => {
            let spans = label(canvas, layout, (InstanceState::Skipped, "the rest"), selected);
            let text = format!("{count} left alone: {} to {}", name(*first), name(*last));
            foretold(canvas, spans, &text, None, axis)
        }
    }
}

/// When those that have not begun will be at work, in words.
fn when(app: &App, batches: (u32, u32), window: Option<(Timestamp, Timestamp)>) -> String {
    let arrow = if app.fixed.theme.ascii() { "->" } else { "→" };
    match window {
        Some((from, to)) => {
            let time = |at| time_of_day(at, &app.fixed.zone);
            format!(", about {} {arrow} {}", time(from), time(to))
        }
        None if batches.0 == 0 => ", nothing takes them now".to_owned(),
        None if app.state.pause.is_some() => ", once it is resumed".to_owned(),
        None => String::new(),
    }
}

/// Marker, glyph and name.
fn label(canvas: &Canvas<'_, '_>, layout: &Layout, (shown, name): (InstanceState, &str), selected: bool) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    let style = if selected { theme.ui(Ui::Selected) } else { Style::new() };
    let columns = layout.label.saturating_sub(4);
    let name = clip(name, columns);
    let gap = " ".repeat(columns.saturating_sub(width(&name)) + 1);
    vec![
        Span::raw(if selected { ">" } else { " " }),
        Span::styled(theme.glyph(shown).to_string(), theme.state(shown)),
        Span::raw(" "),
        Span::styled(name, style),
        Span::raw(gap),
    ]
}

/// The cells, those of one kind together.
fn bar(canvas: &Canvas<'_, '_>, cells: &[Cell]) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    cells
        .chunk_by(|one, other| one == other)
        .map(|run| match run.first().copied().unwrap_or_default() {
            Cell::Free => Span::raw(" ".repeat(run.len())),
            Cell::Unknown => Span::styled(":".repeat(run.len()), theme.ui(Ui::Quiet)),
            Cell::State(state) => Span::styled(theme.glyph(state).to_string().repeat(run.len()), theme.state(state)),
        })
        .collect()
}

/// A text, and to its right the dashes of the time in which it is foretold.
fn foretold(
    canvas: &Canvas<'_, '_>,
    mut spans: Vec<Span<'static>>,
    text: &str,
    window: Option<(Timestamp, Timestamp)>,
    axis: &Axis,
) -> Line<'static> {
    let text = clip(text, axis.columns);
    let used = width(&text);
    spans.push(Span::styled(text, canvas.ui(Ui::Quiet)));
    if let Some((from, to)) = window.filter(|(from, _)| *from < axis.end()) {
        let start = axis.column(from).max(used + 1);
        let end = axis.column(to).max(axis.column(from) + 1).min(axis.columns);
        if start < end {
            // Never solid, in ASCII neither.
            let dash = |column: usize| {
                if !canvas.ascii() {
                    '╌'
                } else if column.is_multiple_of(2) {
                    '_'
                } else {
                    ' '
                }
            };
            spans.push(Span::raw(" ".repeat(start - used)));
            spans.push(Span::styled((start..end).map(dash).collect::<String>(), canvas.ui(Ui::Quiet)));
        }
    }
    Line::from(spans)
}
