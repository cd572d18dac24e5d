//! The strip under the head: the steps of a canary, and what the analysis says. It is there whenever the plan has either.
//!
//! Imports: tui parts, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::model::{Finding, InstanceState};
use crate::tui::steps::{self, Shown, ShownCheck, Stage};
use crate::tui::text::{clip, width};
use crate::tui::theme::Ui;

/// Columns that the checks get at least, where there are any.
const CHECKS: usize = 34;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let columns = usize::from(area.width);
    let (shown, checks) = (steps::steps(&canvas.app.state, canvas.app.now), steps::checks(&canvas.app.state));
    let kept = if checks.is_empty() { 0 } else { CHECKS.min(columns / 2) };
    let mut spans = if shown.is_empty() {
        vec![Span::styled(" analysis ", canvas.ui(Ui::Quiet))]
    } else {
        chain(canvas, &shown, columns.saturating_sub(kept))
    };
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let said = said(canvas, &checks, columns.saturating_sub(used + 1));
    let said_width: usize = said.iter().map(|span| width(&span.content)).sum();
    spans.push(Span::raw(" ".repeat(columns.saturating_sub(used + said_width))));
    spans.extend(said);
    canvas.lines(area, vec![Line::from(spans)]);
}

/// The steps with their marks. Where there is no room for all, those around the one at work.
fn chain(canvas: &Canvas<'_, '_>, shown: &[Shown], columns: usize) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    let part = |step: &Shown| {
        let state = match step.stage {
            Stage::Done => InstanceState::Healthy,
            Stage::Now => InstanceState::Updating,
            Stage::ToCome => InstanceState::Pending,
        };
        let style = theme.state(state).remove_modifier(ratatui::style::Modifier::REVERSED);
        let text =
            Span::styled(step.brief.clone(), if step.stage == Stage::Now { canvas.ui(Ui::Key) } else { canvas.ui(Ui::Quiet) });
        [Span::styled(format!(" {} ", theme.glyph(state)), style), text, Span::raw(" ")]
    };
    let columns_of = |step: &Shown| width(&step.brief) + 4;
    let label = " steps";
    let room = columns.saturating_sub(width(label));
    let now = shown.iter().position(|step| step.stage != Stage::Done).unwrap_or_else(|| shown.len().saturating_sub(1));
    let mut first = 0;
    let fits = |from: usize| {
        let upto = shown.get(from..=now).unwrap_or_default();
        upto.iter().map(columns_of).sum::<usize>() <= room
    };
    while first < now && !fits(first) {
        first += 1;
    }
    let mut spans = vec![Span::styled(label, canvas.ui(Ui::Quiet))];
    let mut used = 0;
    for step in shown.iter().skip(first) {
        if used + columns_of(step) > room {
            break;
        }
        used += columns_of(step);
        spans.extend(part(step));
    }
    spans
}

/// As many checks as there is room for, the gravest first; the first one is cut if it must be.
fn said(canvas: &Canvas<'_, '_>, checks: &[ShownCheck], columns: usize) -> Vec<Span<'static>> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for check in checks {
        let part = match check.finding {
            Some(Finding::Fail) => Ui::Error,
            Some(Finding::Common | Finding::Inconclusive) => Ui::Warning,
            Some(Finding::Pass) | None => Ui::Quiet,
        };
        let words = if spans.is_empty() { clip(&check.words, columns.saturating_sub(1)) } else { format!("  {}", check.words) };
        if used + width(&words) + 1 > columns && !spans.is_empty() {
            break;
        }
        used += width(&words);
        spans.push(Span::styled(words, canvas.ui(part)));
    }
    if !spans.is_empty() {
        spans.push(Span::raw(" "));
    }
    spans
}
