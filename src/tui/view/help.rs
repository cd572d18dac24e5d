//! Help: the keys and the legend, made from the keymap and the theme.
//!
//! Imports: tui parts, model. May not: name a key that the keymap lacks.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::model::InstanceState;
use crate::tui::keys::{Binding, KEYMAP};
use crate::tui::text::{clip, fit};
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let columns = usize::from(area.width);
    canvas.rule(Rect { height: 1, ..area }, vec![Span::styled("keys", canvas.ui(Ui::Dialog))]);
    let ascii = canvas.ascii();
    let beside = if columns >= 76 { 2 } else { 1 };
    let width = columns / beside;
    let binding = |binding: &Binding| {
        let shown = if ascii { plain_arrows(binding.shown) } else { binding.shown.to_owned() };
        let words = if beside == 1 { clip(binding.words, width.saturating_sub(9)) } else { fit(binding.words, width - 9) };
        [Span::styled(format!(" {}", fit(&shown, 8)), canvas.ui(Ui::Key)), Span::raw(words)]
    };
    let rows = KEYMAP.len().div_ceil(beside);
    let mut lines: Vec<Line<'static>> = (0..rows)
        .map(|row| {
            let of_row = (0..beside).filter_map(|column| KEYMAP.get(column * rows + row));
            Line::from(of_row.flat_map(binding).collect::<Vec<_>>())
        })
        .collect();
    lines.extend(legend(canvas, columns));
    for text in [
        " bars: x a check that did not pass, _ down for its update",
        " lower case is safe or asks briefly, upper case is heavy; any key closes this",
    ] {
        lines.push(Line::styled(clip(text, columns), canvas.ui(Ui::Quiet)));
    }
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    canvas.lines(body, lines);
}

fn plain_arrows(text: &str) -> String {
    text.replace('↑', "Up").replace('↓', "Down").replace('←', "Left").replace('→', "Right")
}

/// Every state with its glyph, in as many lines as it takes.
fn legend(canvas: &Canvas<'_, '_>, columns: usize) -> Vec<Line<'static>> {
    let theme = &canvas.app.fixed.theme;
    let cell = 17;
    let each = ((columns.saturating_sub(1)) / cell).max(1);
    InstanceState::ALL
        .chunks(each)
        .map(|states| {
            let mut spans = vec![Span::raw(" ")];
            for state in states {
                spans.push(Span::styled(theme.glyph(*state).to_string(), theme.state(*state)));
                spans.push(Span::raw(fit(&format!(" {state}"), cell - 1)));
            }
            Line::from(spans)
        })
        .collect()
}
