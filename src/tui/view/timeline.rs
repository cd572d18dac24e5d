//! The timeline: the phases of every instance over time, and where the time went.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;

use super::Canvas;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.text(area, " nothing here yet", Ui::Quiet);
}
