//! The grid where there is room: a box for each instance, its border in the colour of what is out of the ordinary.
//!
//! Imports: tui parts, state, model. May not: decide; change the order of instances.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::place::{LATENCY, Places};
use super::{Canvas, words};
use crate::model::InstanceState;
use crate::state::Phase;
use crate::tui::text::{clip, fit, fit_right, middle, spark, trouble, width};
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let (cells, area) = (places.cells, places.grid);
    let (width, height) = (short(cells.column_width), short(cells.height));
    for at in 0..cells.columns * cells.rows {
        let Some(index) = canvas.app.listed(cells.first + at) else { break };
        let (column, row) = (short(at / cells.rows.max(1)), short(at % cells.rows.max(1)));
        let place = Rect::new(area.x.saturating_add(column * width), area.y.saturating_add(row * height), width, height);
        card(canvas, place.intersection(area), index);
    }
}

fn short(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn card(canvas: &mut Canvas<'_, '_>, place: Rect, index: usize) {
    let app = canvas.app;
    let Some((id, instance)) = app.state.instances.get_index(index) else { return };
    let theme = &app.fixed.theme;
    let shown = instance.shown();
    let style = theme.state(shown);
    let border = match shown {
        InstanceState::Pending | InstanceState::Healthy | InstanceState::Skipped => canvas.ui(Ui::Border),
        // Its colour alone: a reversed frame would hide what is in it.
        _ => style.fg.map_or_else(Style::new, |fg| Style::new().fg(fg)),
    };
    let [tl, tr, bl, br, h, v] =
        if canvas.ascii() { ["+", "+", "+", "+", "-", "|"] } else { ["┌", "┐", "└", "┘", "─", "│"] };
    // One column stays free between neighbours.
    let inner = usize::from(place.width).saturating_sub(3);
    let selected = index == app.selected;
    let batch = instance.batch.map_or_else(String::new, |batch| format!(" batch {batch} "));
    let name = clip(id.as_str(), inner.saturating_sub(5));
    let rest = inner.saturating_sub(4 + width(&name) + 1);
    let batch = if width(&batch) < rest { batch } else { String::new() };
    let top = Line::from(vec![
        Span::styled(tl, border),
        Span::raw(if selected { ">" } else { " " }),
        Span::styled(theme.glyph(shown).to_string(), style),
        Span::raw(" "),
        Span::styled(name, if selected { theme.ui(Ui::Selected) } else { Style::new() }),
        Span::raw(" "),
        Span::styled(h.repeat(rest.saturating_sub(width(&batch))), border),
        Span::styled(batch, theme.ui(Ui::Quiet)),
        Span::styled(format!("{h}{tr}"), border),
    ]);
    let version = words::version(app, index, instance);
    let chart = app.charts.get(index);
    let word = fit(&words::word(app, id, instance), 12);
    let stands = format!("{}{}", fit_right(&words::latency(chart, instance), LATENCY), " ".repeat(2));
    let room = inner.saturating_sub(2 + width(&word) + width(&stands));
    let middle = vec![Span::styled(word, style), Span::raw(stands), Span::raw(fit_right(&middle(&version, room), room))];
    let note = words::note(app, id, instance);
    let last = if note.is_empty() {
        let bars = chart.map_or_else(String::new, |c| spark(&c.samples, inner.saturating_sub(2), theme.ascii()));
        Span::styled(fit(&bars, inner.saturating_sub(2)), theme.ui(Ui::Quiet))
    } else {
        let part = if instance.phase == Phase::Failed { Ui::Error } else { Ui::Warning };
        Span::styled(fit(&trouble(&note, inner.saturating_sub(2)), inner.saturating_sub(2)), theme.ui(part))
    };
    let framed = |content: Vec<Span<'static>>| {
        let mut spans = vec![Span::styled(v, border), Span::raw(" ")];
        spans.extend(content);
        spans.extend([Span::raw(" "), Span::styled(v, border)]);
        Line::from(spans)
    };
    let bottom = Line::styled(format!("{bl}{}{br}", h.repeat(inner)), border);
    canvas.lines(place, vec![top, framed(middle), framed(vec![last]), bottom]);
}
