//! The grid: the listed instances at the level of detail that there is room for.
//!
//! Imports: tui parts, state, model. May not: decide; change the list.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::place::{LATENCY, Level, Places};
use super::words::{latency, note, version, word};
use super::{Canvas, card, zones};
use crate::model::{InstanceId, InstanceState};
use crate::state::Instance;
use crate::tui::app::App;
use crate::tui::text::{fit, fit_middle, fit_right, spark, trouble, width};
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    zones::rule(canvas, places.zones, places.cells.pages());
    if canvas.app.list.shown().is_empty() {
        canvas.text(Rect { height: 1, ..places.grid }, " no instance passes the filter; Esc clears it", Ui::Quiet);
        return;
    }
    match places.cells.level {
        Level::Card => card::draw(canvas, places),
        Level::Row | Level::Chip => listed(canvas, places),
        Level::Wide | Level::Dense => cells(canvas, places),
        Level::Half => halves(canvas, places),
        Level::Bars => zones::bars(canvas, places.grid),
    }
}

/// Rows and chips: column after column, a page at a time.
fn listed(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let (grid, area) = (places.cells, places.grid);
    let app = canvas.app;
    let widths = Widths::of(app, grid.column_width);
    for row in 0..grid.rows.min(usize::from(area.height)) {
        let mut spans = Vec::new();
        for column in 0..grid.columns {
            let Some(index) = app.listed(grid.first + column * grid.rows + row) else { break };
            let Some((id, instance)) = app.state.instances.get_index(index) else { break };
            match grid.level {
                Level::Row => spans.extend(row_spans(canvas, index, (id, instance), &widths)),
                _ => spans.extend(chip(canvas, index, (id, instance), grid.column_width)),
            }
        }
        line(canvas, area, row, spans);
    }
}

/// One row of the grid.
pub(super) fn line(canvas: &mut Canvas<'_, '_>, area: Rect, row: usize, spans: Vec<Span<'static>>) {
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
    let style = if selected { theme.ui(Ui::Selected) } else { Style::new() };
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
/// Columns that a sparkline should have, and a version must.
const SPARK: usize = 5;
const VERSION: usize = 5;

impl Widths {
    fn of(app: &App, column: usize) -> Self {
        // Marker, glyph, gaps, and one column between neighbours.
        let room = column.saturating_sub(3 + 1 + WORD + LATENCY + 1 + 1);
        let names = app.state.instances.keys().map(|id| width(id.as_str())).max().unwrap_or(1);
        let versions = app.state.plan.members.iter().flat_map(|m| [m.previous.as_ref(), Some(&m.wanted)]).flatten();
        // A version that is being left or reached has a sign before it.
        let versions = versions.map(|v| width(v.as_str()) + 1).max().unwrap_or(2).min(20);
        let name = names.min(room / 2 + 2).max(4).min(room);
        let rest = room.saturating_sub(name + 1);
        // A long version is cut in its middle before the sparkline goes.
        let version = versions.min(rest.saturating_sub(1 + SPARK).max(VERSION.min(rest)));
        let rest = rest.saturating_sub(version);
        let spark = if rest > 3 { (rest - 1).min(16) } else { 0 };
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
    let name_style = if selected { theme.ui(Ui::Selected) } else { Style::new() };
    let chart = app.charts.get(index);
    let latency = latency(chart, instance);
    // Slower than it was itself, before it was touched.
    let latency_style = if app.is_slower(index) { theme.ui(Ui::Warning) } else { Style::new() };
    let mut spans = vec![
        Span::raw(if selected { ">" } else { " " }),
        Span::styled(theme.glyph(shown).to_string(), style),
        Span::raw(" "),
        Span::styled(fit(id.as_str(), widths.name), name_style),
        Span::raw(" "),
        Span::styled(fit(&word(app, id, instance), WORD), style),
        Span::styled(fit_right(&latency, LATENCY), latency_style),
        Span::raw(" "),
        Span::raw(fit_middle(&version(app, index, instance), widths.version)),
    ];
    if widths.spark > 0 {
        let bars = chart.map_or_else(String::new, |c| spark(&c.samples, widths.spark, theme.ascii()));
        spans.push(Span::raw(" "));
        spans.push(Span::styled(fit(&bars, widths.spark), theme.ui(Ui::Quiet)));
    }
    if widths.note > 0 {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(fit(&trouble(&note(app, id, instance), widths.note), widths.note), theme.ui(Ui::Quiet)));
    }
    spans.push(Span::raw(" "));
    spans
}

/// Cells: row after row, each row named by its first instance.
fn cells(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let grid = places.cells;
    let area = below_header(canvas, places);
    let app = canvas.app;
    let theme = &app.fixed.theme;
    for row in 0..grid.rows.min(usize::from(area.height)) {
        let first = grid.first + row * grid.columns;
        let Some(id) = app.listed(first).and_then(|index| app.id_at(index)) else { break };
        let mut spans = vec![Span::styled(fit(id.as_str(), grid.label), theme.ui(Ui::Quiet))];
        for place in first..first + grid.columns {
            let Some(index) = app.listed(place) else { break };
            let Some((_, instance)) = app.state.instances.get_index(index) else { break };
            let shown = instance.shown();
            let mut style = theme.state(shown);
            if index == app.selected {
                style = theme.selected(style);
            }
            spans.push(Span::styled(theme.glyph(shown).to_string(), style));
            if grid.level == Level::Wide {
                spans.push(Span::raw(" "));
            }
        }
        line(canvas, area, row, spans);
    }
}

/// Which column it is, at each ten; returns what is below.
fn below_header(canvas: &mut Canvas<'_, '_>, places: &Places) -> Rect {
    let (grid, area) = (places.cells, places.grid);
    if !grid.header || area.height < 2 {
        return area;
    }
    let mut text = " ".repeat(grid.label);
    for ten in (0..grid.columns).step_by(10) {
        text.push_str(&fit(&format!("+{ten}"), 10.min(grid.columns - ten) * grid.column_width));
    }
    canvas.text(Rect { height: 1, ..area }, &text, Ui::Quiet);
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// Half-blocks: two rows of instances in each row of the terminal, told apart by their colours alone.
fn halves(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let grid = places.cells;
    let area = below_header(canvas, places);
    let app = canvas.app;
    let theme = &app.fixed.theme;
    for row in 0..grid.rows.min(usize::from(area.height)) {
        let first = grid.first + 2 * row * grid.columns;
        let Some(id) = app.listed(first).and_then(|index| app.id_at(index)) else { break };
        let mut spans = vec![Span::styled(fit(id.as_str(), grid.label), theme.ui(Ui::Quiet))];
        let shown = |index: usize| app.state.instances.get_index(index).map(|(_, instance)| instance.shown());
        let mut run: (String, Option<Style>) = (String::new(), None);
        for upper in first..first + grid.columns {
            let pair = [app.listed(upper), app.listed(upper + grid.columns)];
            let selected = pair.into_iter().flatten().find(|index| *index == app.selected);
            let (text, style) = match selected.and_then(shown) {
                // Its glyph, so that it is seen among equal colours; the line below has it in words.
                Some(state) => (theme.glyph(state), theme.selected(theme.state(state))),
                None => half(canvas, pair.map(|index| index.and_then(shown))),
            };
            if run.1 != Some(style) {
                let (text, style) = std::mem::replace(&mut run, (String::new(), Some(style)));
                spans.push(Span::styled(text, style.unwrap_or_default()));
            }
            run.0.push(text);
        }
        spans.push(Span::styled(run.0, run.1.unwrap_or_default()));
        line(canvas, area, row, spans);
    }
}

/// One cell of two. What has no colour at this depth is left blank, so that it looks the same above and below.
fn half(canvas: &Canvas<'_, '_>, pair: [Option<InstanceState>; 2]) -> (char, Style) {
    let theme = &canvas.app.fixed.theme;
    let colour = |state: InstanceState| theme.state(state).fg;
    match pair.map(|state| state.and_then(colour)) {
        [Some(upper), Some(lower)] if upper == lower => ('█', Style::new().fg(upper)),
        [Some(upper), Some(lower)] => ('▀', Style::new().fg(upper).bg(lower)),
        [Some(upper), None] => ('▀', Style::new().fg(upper)),
        [None, Some(lower)] => ('▄', Style::new().fg(lower)),
        [None, None] => match pair {
            [Some(state), _] | [None, Some(state)] => (theme.glyph(state), theme.state(state)),
            [None, None] => (' ', Style::new()),
        },
    }
}
