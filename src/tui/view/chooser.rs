//! The list of themes, beside the screen that shows the one that is tried.
//!
//! Imports: tui parts, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::place::Places;
use crate::model::InstanceState;
use crate::tui::chooser::Told;
use crate::tui::text::{clip, fit, wrap};
use crate::tui::theme::{Badge, Ui};

/// Its columns, with its border.
const COLUMNS: u16 = 36;
/// Rows of the sample: states in two columns, badges.
const SAMPLE: u16 = 6;
/// Rows for what is said of the theme.
const SAID: u16 = 4;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places, area: Rect) {
    let themes = &canvas.app.themes;
    let Some((cursor, told)) = themes.tried() else { return };
    let width = COLUMNS.min(area.width);
    let top = places.tabs.bottom().max(area.y + 1);
    // Down to the keys, which are other ones now.
    let place = Rect { x: area.right() - width, y: top, width, height: area.bottom().saturating_sub(top + 1) };
    keys(canvas, Rect { y: area.bottom().saturating_sub(1), height: 1, ..area });
    canvas.clear(place);
    canvas.rule(Rect { height: 1, ..place }, vec![Span::styled("themes", canvas.ui(Ui::Dialog))]);
    let inner = Rect { x: place.x + 2, y: place.y + 1, width: width.saturating_sub(2), height: place.height.saturating_sub(1) };
    let side = if canvas.ascii() { "|" } else { "│" };
    let border = Line::styled(side, canvas.ui(Ui::Border));
    canvas.lines(Rect { width: 1, ..Rect { x: place.x, ..inner } }, vec![border; usize::from(inner.height)]);
    let columns = usize::from(inner.width);
    let roomy = inner.height >= SAMPLE + SAID + 8;
    let below = if roomy { SAMPLE + SAID } else { SAID.min(inner.height / 3) };
    // The sample is of what is on, which a broken one is not.
    let sample = roomy && matches!(told, Told::On { .. });
    let rows = usize::from(inner.height.saturating_sub(below));
    let mut lines = list(canvas, cursor, (columns, rows));
    lines.resize_with(rows, || Line::raw(""));
    let said = usize::from(below - if sample { SAMPLE } else { 0 });
    let mut text = about(canvas, told, columns);
    text.resize_with(said, || Line::raw(""));
    lines.append(&mut text);
    if sample {
        lines.extend(samples(canvas, columns));
    }
    canvas.lines(inner, lines);
}

fn keys(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let keys = [("j k", " tries another  "), ("Enter", " keeps it  "), ("Esc", " goes back")];
    let spans = keys.iter().flat_map(|(key, words)| [Span::styled(*key, canvas.ui(Ui::Key)), Span::raw(*words)]);
    let line = Line::from(spans.collect::<Vec<_>>());
    canvas.lines(area, vec![line]);
}

/// The names, as many as there is room for, with the one that is tried among them.
fn list(canvas: &Canvas<'_, '_>, cursor: usize, (columns, rows): (usize, usize)) -> Vec<Line<'static>> {
    let files = canvas.app.themes.files();
    let first = cursor.saturating_sub(rows / 2).min(files.len().saturating_sub(rows));
    let shown = files.iter().enumerate().skip(first).take(rows);
    shown
        .map(|(at, file)| {
            let mark = if at == cursor { ">" } else { " " };
            let whose = if file.own { "yours" } else { "" };
            let name = fit(&format!("{mark} {}", file.name), columns.saturating_sub(whose.len() + 1));
            let style = if at == cursor { canvas.ui(Ui::Selected) } else { canvas.ui(Ui::Sentence) };
            Line::styled(clip(&format!("{name}{whose}"), columns), style)
        })
        .collect()
}

/// What it is for, or why it cannot be used.
fn about(canvas: &Canvas<'_, '_>, told: &Told, columns: usize) -> Vec<Line<'static>> {
    let (texts, part) = match told {
        Told::On { about, background } => {
            let made = match background.word() {
                "both" => "dark and light".to_owned(),
                word => word.replace("solarized-", "Solarized "),
            };
            (vec![about.clone(), format!("made for: {made}")], Ui::Sentence)
        }
        Told::Broken(why) => (vec![why.clone()], Ui::Warning),
    };
    let mut lines = vec![Line::raw("")];
    lines.extend(texts.iter().flat_map(|text| wrap(text, columns)).map(|line| Line::styled(line, canvas.ui(part))));
    lines
}

/// Every state and the badges, as they are with what is on.
fn samples(canvas: &Canvas<'_, '_>, columns: usize) -> Vec<Line<'static>> {
    let theme = &canvas.app.fixed.theme;
    let half = columns / 2;
    let mut lines: Vec<Line<'static>> = InstanceState::ALL
        .chunks(2)
        .map(|states| {
            let spans = states.iter().flat_map(|state| {
                let text = format!("{} {state}", theme.glyph(*state));
                let rest = half.saturating_sub(crate::tui::text::width(&text));
                [Span::styled(clip(&text, half), theme.state(*state)), Span::raw(" ".repeat(rest))]
            });
            Line::from(spans.collect::<Vec<_>>())
        })
        .collect();
    let badges = [("[RUN]", Badge::Run), ("[PAUSED]", Badge::Paused), ("[DONE]", Badge::Done), ("[FAILED]", Badge::Failed)];
    let badges = badges.iter().flat_map(|(text, badge)| [Span::styled(*text, theme.badge(*badge)), Span::raw(" ")]);
    lines.push(Line::from(badges.collect::<Vec<_>>()));
    lines
}
