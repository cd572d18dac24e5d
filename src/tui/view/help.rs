//! Help: the keys and the legend, made from the keymap and the theme.
//!
//! Imports: tui parts, model. May not: name a key that the keymap lacks.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::model::InstanceState;
use crate::tui::keys::KEYMAP;
use crate::tui::text::{clip, fit};
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let columns = usize::from(area.width);
    canvas.rule(Rect { height: 1, ..area }, vec![Span::styled("keys", canvas.ui(Ui::Dialog))]);
    let ascii = canvas.ascii();
    let mut lines: Vec<Line<'static>> = KEYMAP
        .iter()
        .map(|binding| {
            let shown = if ascii { plain_arrows(binding.shown) } else { binding.shown.to_owned() };
            Line::from(vec![
                Span::styled(format!(" {}", fit(&shown, 8)), canvas.ui(Ui::Key)),
                Span::raw(clip(binding.words, columns.saturating_sub(9))),
            ])
        })
        .collect();
    lines.push(Line::styled(
        clip(" lower case is safe or asks briefly, upper case is heavy; any key closes this", columns),
        canvas.ui(Ui::Quiet),
    ));
    lines.extend(legend(canvas, columns));
    let marks = " bars: x a check that did not pass, _ down for its update";
    lines.push(Line::styled(clip(marks, columns), canvas.ui(Ui::Quiet)));
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
