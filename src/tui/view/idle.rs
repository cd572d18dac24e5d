//! Where nothing runs: the line in which a version is typed, and what the screens of a deployment say.
//!
//! Imports: tui parts. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::tui::keys::Action;
use crate::tui::tab::Tab;
use crate::tui::text::{clip, fit_right, width};
use crate::tui::theme::Ui;

/// The version as it is typed; its end is always seen.
pub(super) fn typed(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    // A version that cannot be one is said where it is typed.
    if let Some((text, _)) = &canvas.app.message {
        canvas.text(area, &format!(" {text}"), Ui::Warning);
        return;
    }
    let text = canvas.app.idle.as_ref().and_then(|idle| idle.typing.as_deref()).unwrap_or_default();
    let columns = usize::from(area.width);
    let label = " deploy VERSION: ";
    let skipped = text.chars().count().saturating_sub(columns.saturating_sub(label.len() + 1));
    let text: String = text.chars().skip(skipped).collect();
    let hint = "Enter plans it and asks, Esc leaves it";
    let room = columns.saturating_sub(label.len() + width(&text) + 1);
    let hint = if width(hint) < room { fit_right(hint, room) } else { String::new() };
    let spans = vec![
        Span::styled(label, canvas.ui(Ui::Key)),
        Span::raw(clip(&text, columns)),
        Span::styled(" ", canvas.ui(Ui::Selected)),
        Span::styled(hint, canvas.ui(Ui::Quiet)),
    ];
    canvas.lines(area, vec![Line::from(spans)]);
}

/// A screen that is about a deployment.
pub(super) fn nothing(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let hint = |action| canvas.app.fixed.keys.hint(action);
    let (deploy, history) = (hint(Action::Deploy), hint(Action::Open(Tab::History)));
    let text = format!(" nothing runs: {deploy} deploys a version and shows its plan first; {history} has the earlier ones");
    canvas.text(area, &text, Ui::Quiet);
}
