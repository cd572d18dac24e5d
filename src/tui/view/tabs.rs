//! The screens by their keys and which one is open; and the capacity, in words.
//!
//! Imports: tui parts, core. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::core::Capacity;
use crate::event::thousands;
use crate::tui::tab::Tab;
use crate::tui::text::width;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let mut spans = Vec::new();
    for (key, tab) in (1..).zip(Tab::ALL) {
        let open = tab == canvas.app.tab;
        spans.push(Span::styled(text(area, key, tab, open), canvas.ui(if open { Ui::Key } else { Ui::Quiet })));
    }
    let app = canvas.app;
    let capacity = (app.fixed.oracle.capacity)(&app.state);
    let text = capacity_words(capacity, app.state.started_at.is_some());
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let room = usize::from(area.width).saturating_sub(used + 1);
    if width(&text) <= room {
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

fn text(area: Rect, key: u32, tab: Tab, open: bool) -> String {
    let (long, short) = tab.words();
    // Without colours, too, it must be seen which one is open; and what stands beside it must not move.
    let (left, right) = if open { ("[", "]") } else { (" ", " ") };
    if area.width >= 100 { format!("{left}{key} {long}{right} ") } else { format!("{left}{key}{short}{right}") }
}

/// The one whose name is in this column.
pub(super) fn under(area: Rect, column: u16) -> Option<Tab> {
    let mut end = usize::from(area.x);
    (1..)
        .zip(Tab::ALL)
        .map(|(key, tab)| {
            end += width(&text(area, key, tab, false));
            (end, tab)
        })
        .find(|(end, _)| usize::from(column) < *end)
        .map(|(_, tab)| tab)
}
