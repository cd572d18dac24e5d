//! The screens by their keys and which one is open; and the capacity, in words.
//!
//! Imports: tui parts, core. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::core::Capacity;
use crate::event::thousands;
use crate::tui::app::App;
use crate::tui::keymap::Bound;
use crate::tui::keys::Action;
use crate::tui::tab::Tab;
use crate::tui::text::width;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let mut spans = Vec::new();
    for tab in Tab::ALL {
        let open = tab == canvas.app.tab;
        spans.push(Span::styled(text(canvas.app, area, tab, open), canvas.ui(if open { Ui::Key } else { Ui::Quiet })));
    }
    let app = canvas.app;
    let capacity = (app.fixed.oracle.capacity)(&app.state);
    let text = capacity_words(capacity, app.state.started_at.is_some());
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let room = usize::from(area.width).saturating_sub(used + 1);
    // Where nothing runs, nothing is promised, and the line above counts.
    if width(&text) <= room && app.idle.is_none() {
        let short = capacity.serving < capacity.lowest.unwrap_or(capacity.total);
        spans.push(Span::raw(" ".repeat(room - width(&text))));
        spans.push(Span::styled(text, canvas.ui(if short { Ui::Warning } else { Ui::Sentence })));
    }
    canvas.lines(area, vec![Line::from(spans)]);
}

/// `17 of 20 serving, never below 17`.
fn capacity_words(capacity: Capacity, begun: bool) -> String {
    let Capacity { serving, total, lowest } = capacity;
    let text = format!("{} of {} serving", thousands(serving.into()), thousands(total.into()));
    match lowest {
        Some(lowest) if begun => format!("{text}, never below {}", thousands(lowest.into())),
        Some(lowest) => format!("{text}, at least {}", thousands(lowest.into())),
        None => text,
    }
}

fn text(app: &App, area: Rect, tab: Tab, open: bool) -> String {
    // Unbound, it still has its place and its name.
    let key = app.fixed.keys.of(Action::Open(tab)).and_then(Bound::first).unwrap_or_else(|| " ".to_owned());
    let (long, short) = tab.words();
    // Without colours, too, it must be seen which one is open; and what stands beside it must not move.
    let (left, right) = if open { ("[", "]") } else { (" ", " ") };
    if area.width >= 100 { format!("{left}{key} {long}{right} ") } else { format!("{left}{key}{short}{right}") }
}

/// The one whose name is in this column.
pub(super) fn under(app: &App, area: Rect, column: u16) -> Option<Tab> {
    let mut end = usize::from(area.x);
    Tab::ALL
        .into_iter()
        .map(|tab| {
            end += width(&text(app, area, tab, false));
            (end, tab)
        })
        .find(|(end, _)| usize::from(column) < *end)
        .map(|(_, tab)| tab)
}
