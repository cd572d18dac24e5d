//! The screens by their keys, and which one is open.
//!
//! Imports: tui parts. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::tui::keymap::Bound;
use crate::tui::keys::Action;
use crate::tui::tab::Tab;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let wide = area.width >= 100;
    let mut spans = Vec::new();
    for tab in Tab::ALL {
        // Unbound, it still has its place and its name.
        let key = canvas.app.fixed.keys.of(Action::Open(tab)).and_then(Bound::first).unwrap_or_else(|| " ".to_owned());
        let (long, short) = tab.words();
        let open = tab == canvas.app.tab;
        // Without colours, too, it must be seen which one is open; and what stands beside it must not move.
        let (left, right) = if open { ("[", "]") } else { (" ", " ") };
        let text = if wide { format!("{left}{key} {long}{right} ") } else { format!("{left}{key}{short}{right}") };
        spans.push(Span::styled(text, canvas.ui(if open { Ui::Key } else { Ui::Quiet })));
    }
    canvas.lines(area, vec![Line::from(spans)]);
}
