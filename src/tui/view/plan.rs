//! The plan: which batches there are, and what happens next.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;

use super::Canvas;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.text(area, " nothing here yet", Ui::Quiet);
}
