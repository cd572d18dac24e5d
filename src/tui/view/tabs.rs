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
    let wide = area.width >= 100;
    let mut spans = Vec::new();
    for (key, tab) in (1..).zip(Tab::ALL) {
        let (long, short) = tab.words();
        let open = tab == canvas.app.tab;
        // Without colours, too, it must be seen which one is open; and what stands beside it must not move.
        let (left, right) = if open { ("[", "]") } else { (" ", " ") };
        let text = if wide { format!("{left}{key} {long}{right} ") } else { format!("{left}{key}{short}{right}") };
        spans.push(Span::styled(text, canvas.ui(if open { Ui::Key } else { Ui::Quiet })));
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
