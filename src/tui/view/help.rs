//! Help: the keys as they are bound, and the legend.
//!
//! Imports: tui parts, model. May not: name a key that the keymap lacks.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::tui::help::{Row, flow, pages, rows_of};
use crate::tui::keys::Action;
use crate::tui::text::{clip, fit, width};
use crate::tui::theme::Ui;

/// Columns of a row of it, at least.
const COLUMN: usize = 38;
/// Columns of the keys.
const KEYS: usize = 9;

/// How many rows a page has, and how many of them stand beside each other.
pub(in crate::tui) fn page(size: (u16, u16)) -> (usize, usize) {
    (usize::from(size.1).saturating_sub(2).max(1), (usize::from(size.0) / COLUMN).max(1))
}

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let app = canvas.app;
    let columns = usize::from(area.width);
    let any = app.fixed.keys.bound().iter().any(|bound| bound.rebound);
    let right = if any { vec![Span::styled("* bound by [console.keys]", canvas.ui(Ui::Quiet))] } else { Vec::new() };
    canvas.rule_with(Rect { height: 1, ..area }, vec![Span::styled("keys", canvas.ui(Ui::Dialog))], right);
    let (height, beside) = page((area.width, area.height));
    let column = columns / beside;
    let found = flow(&rows_of(app), height);
    let of = pages(app);
    let at = app.help.page.min(of - 1);
    let shown = found.get(at * height * beside..).unwrap_or_default();
    let lines: Vec<Line<'static>> = (0..height)
        .map(|row| {
            let of_row = (0..beside).filter_map(|place| shown.get(place * height + row));
            Line::from(of_row.flat_map(|row| spans(canvas, *row, column)).collect::<Vec<_>>())
        })
        .collect();
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    canvas.lines(body, lines);
    if area.height > 1 {
        foot(canvas, Rect { y: area.bottom() - 1, height: 1, ..area }, (at + 1, of));
    }
}

/// What is typed, or how to go on.
fn foot(canvas: &mut Canvas<'_, '_>, area: Rect, (at, of): (usize, usize)) {
    let app = canvas.app;
    let keys = &app.fixed.keys;
    let columns = usize::from(area.width);
    let help = &app.help;
    let page = if of > 1 { format!("page {at} of {of}, {}  ", keys.hint(Action::PageDown)) } else { String::new() };
    let line = if help.typing || !help.filter.is_empty() {
        let hint = if help.typing { "Enter keeps, Esc clears" } else { "Esc clears" };
        let hint = format!("{page}{hint} ");
        let end = if help.typing { " " } else { "" };
        let text = clip(&help.filter, columns.saturating_sub(width(&hint) + 5));
        let rest = columns.saturating_sub(width(&text) + width(&hint) + 2 + end.len());
        Line::from(vec![
            Span::styled(" /", canvas.ui(Ui::Key)),
            Span::raw(text),
            Span::styled(end, canvas.ui(Ui::Selected)),
            Span::raw(" ".repeat(rest)),
            Span::styled(hint, canvas.ui(Ui::Quiet)),
        ])
    } else {
        let text = format!(" {page}{} looks for one  Esc closes", keys.hint(Action::Filter));
        // The rule of the default keys; whoever binds them anew has rules of their own.
        let rule = "  lower case is safe or asks, upper case is heavy";
        let fits = keys.bound().iter().all(|bound| !bound.rebound) && width(&text) + rule.len() <= columns;
        let text = if fits { format!("{text}{rule}") } else { text };
        Line::styled(clip(&text, columns), canvas.ui(Ui::Quiet))
    };
    canvas.lines(area, vec![line]);
}

fn spans(canvas: &Canvas<'_, '_>, row: Row<'_>, columns: usize) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    let words = columns.saturating_sub(KEYS + 2);
    match row {
        Row::Blank => vec![Span::raw(" ".repeat(columns))],
        Row::Heading(text) => vec![Span::styled(fit(&format!(" {text}"), columns), canvas.ui(Ui::Header))],
        Row::Key(bound, text) => {
            let shown = bound.shown();
            let shown = if canvas.ascii() { plain_arrows(&shown) } else { shown };
            let shown = if shown.is_empty() { "none".to_owned() } else { shown };
            let mark = if bound.rebound { "*" } else { " " };
            // The words first: of keys with many names the first is enough.
            let key = Span::styled(format!("{mark}{}", fit(&shown, KEYS)), canvas.ui(Ui::Key));
            vec![key, Span::raw(fit(&format!(" {text}"), words + 1))]
        }
        Row::State(state) => {
            let glyph = Span::styled(fit(&format!(" {}", theme.glyph(state)), KEYS + 1), theme.state(state));
            vec![glyph, Span::raw(fit(&format!(" {}", state.word()), words + 1))]
        }
        Row::Mark(mark, text) => {
            vec![Span::raw(fit(&format!(" {mark}"), KEYS + 1)), Span::raw(fit(&format!(" {text}"), words + 1))]
        }
    }
}

/// Arrows as words.
pub(in crate::tui) fn plain_arrows(text: &str) -> String {
    text.replace('↑', "Up").replace('↓', "Down").replace('←', "Left").replace('→', "Right")
}
