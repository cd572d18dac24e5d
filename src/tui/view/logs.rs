//! The engine's log on the whole screen: what is shown of it, its lines, and what was lost.
//!
//! Imports: tui parts, event, model. May not: decide.

use ::log::{Level, LevelFilter};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::event::thousands;
use crate::tui::app::App;
use crate::tui::confirm::Overlay;
use crate::tui::keys::Action;
use crate::tui::logs::{Kept, find};
use crate::tui::text::{clip, fit, time_of_day, width, wrap, zone_name};
use crate::tui::theme::Ui;

/// Columns of the list of targets, and from which width on it stands beside the lines.
const LIST: (u16, u16) = (26, 110);
/// Columns before the text of a line: mark, time, level, target.
const HEAD: usize = 26;

/// How many lines there are on a terminal of this size.
pub(in crate::tui) fn rows(size: (u16, u16)) -> usize {
    // Title, headline, sentence, tabs above it; its own two rows; the rule and the keys below it. A page of one more or less
    // than there is room for loses nothing from sight.
    usize::from(size.1).saturating_sub(8).max(1)
}

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.height < 3 {
        return;
    }
    state(canvas, Rect { height: 1, ..area });
    rule(canvas, Rect { y: area.y + 1, height: 1, ..area });
    let mut body = Rect { y: area.y + 2, height: area.height - 2, ..area };
    if area.width >= LIST.1 {
        targets(canvas, Rect { width: LIST.0, ..body });
        body = Rect { x: body.x + LIST.0, width: body.width - LIST.0, ..body };
    }
    lines(canvas, body);
}

/// Which lines are shown, and what is looked for.
fn state(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let logs = &app.logs;
    let quiet = canvas.ui(Ui::Quiet);
    let alone = if logs.alone { " alone" } else { "" };
    let target = logs.focused().map_or_else(|| "all".to_owned(), |target| format!("{target}{alone}"));
    let level = logs.level_of(logs.focused().unwrap_or_default());
    let mut spans = vec![
        Span::styled(" level ", quiet),
        Span::raw(letters(level)),
        Span::styled("  target ", quiet),
        Span::styled(target, canvas.ui(Ui::Key)),
    ];
    if let Some(id) = &logs.instance {
        spans.extend([Span::styled("  only ", quiet), Span::styled(id.to_string(), canvas.ui(Ui::Key))]);
    }
    if logs.wrap {
        spans.push(Span::styled("  wrapped", quiet));
    }
    let typing = matches!(app.overlay, Some(Overlay::Search));
    if typing || !logs.search.is_empty() {
        let count = match logs.matching() {
            (0, _) => "  no match".to_owned(),
            (1, None) => "  1 match".to_owned(),
            (all, None) => format!("  {} matches", thousands(all as u64)),
            (all, Some(at)) => format!("  {at} of {all}"),
        };
        let used: usize = spans.iter().map(|span| width(&span.content)).sum();
        let room = usize::from(area.width).saturating_sub(used + width(&count) + 4);
        // What is typed now is at its end.
        let hidden = logs.search.chars().count().saturating_sub(room);
        let tail: String = logs.search.chars().skip(hidden).collect();
        spans.extend([Span::styled("  /", canvas.ui(Ui::Key)), Span::raw(tail)]);
        spans.extend(typing.then(|| Span::styled(" ", canvas.ui(Ui::Selected))));
        spans.push(Span::styled(count, quiet));
    }
    canvas.lines(area, vec![Line::from(spans)]);
}

/// How much there is, what never came, and whether the newest is followed.
fn rule(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let logs = &app.logs;
    let lost =
        Span::styled(format!("{} lost", thousands(logs.lost)), canvas.ui(if logs.lost > 0 { Ui::Warning } else { Ui::Quiet }));
    let of = format!("{} shown of {} kept", thousands(logs.shown().len() as u64), thousands(logs.kept() as u64));
    let follow = match logs.waiting() {
        None => Span::styled("FOLLOW", canvas.ui(Ui::Sentence)),
        Some(new) => {
            let key = app.fixed.keys.hint(Action::Follow);
            Span::styled(format!("{} new, {key} follows", thousands(new as u64)), canvas.ui(Ui::Warning))
        }
    };
    let zone = zone_name(app.now, &app.fixed.zone);
    let title = if area.width < 70 { "log".to_owned() } else { format!("engine log ({zone})") };
    let narrow = area.width < 60;
    let mut right = if narrow { Vec::new() } else { vec![Span::styled(of, canvas.ui(Ui::Quiet)), Span::raw("  ")] };
    right.extend([lost, Span::raw("  "), follow]);
    canvas.rule_with(area, vec![Span::raw(title)], right);
}

/// A letter for each level that is shown: without colours, too.
fn letters(level: LevelFilter) -> String {
    let letter = |one: Level| if one <= level { one.as_str().get(..1).unwrap_or("?") } else { "-" };
    Level::iter().map(letter).collect::<Vec<_>>().join(" ")
}

/// The parts of the program with their levels.
fn targets(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let logs = &canvas.app.logs;
    let columns = usize::from(area.width).saturating_sub(2);
    let row = |focused: bool, level: LevelFilter, name: &str| {
        let mark = if focused { ">" } else { " " };
        let text = fit(&format!("{mark}{}  {name}", letters(level)), columns);
        Line::styled(text, canvas.ui(if focused { Ui::Key } else { Ui::Quiet }))
    };
    let mut rows = vec![row(logs.target.is_none(), logs.level_of(""), "all")];
    for (at, target) in logs.targets().iter().enumerate() {
        rows.push(row(logs.target == Some(at), logs.level_of(target), target));
    }
    // The chosen one is in sight.
    let hidden = logs.target.map_or(0, |at| (at + 2).saturating_sub(usize::from(area.height)));
    let bar = if canvas.ascii() { "|" } else { "│" };
    let edge = Rect { x: area.right().saturating_sub(2), width: 1, ..area };
    canvas.lines(edge, vec![Line::styled(bar, canvas.ui(Ui::Border)); usize::from(area.height)]);
    canvas.lines(area, rows.into_iter().skip(hidden).collect());
}

/// The lines, the last one that is looked at at the bottom.
fn lines(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let logs = &app.logs;
    let rows = usize::from(area.height);
    let columns = usize::from(area.width);
    if logs.shown().is_empty() {
        let text = if logs.kept() == 0 {
            " nothing was logged since this console came".to_owned()
        } else {
            format!(" no line passes; {} shows every line again", app.fixed.keys.hint(Action::Fitting))
        };
        canvas.text(area, &text, Ui::Quiet);
        return;
    }
    let place = logs.place();
    let drawn = |place: usize| {
        let number = logs.shown().get(place).copied();
        number.and_then(|number| Some((number, logs.line(number)?))).map(|(number, line)| rows_of(canvas, number, line, columns))
    };
    let mut found = std::collections::VecDeque::new();
    for place in (0..=place).rev() {
        for row in drawn(place).unwrap_or_default().into_iter().rev() {
            found.push_front(row);
        }
        if found.len() >= rows {
            break;
        }
    }
    // Above it is too little: what comes below fills the rest.
    for place in place + 1..logs.shown().len() {
        if found.len() >= rows {
            break;
        }
        found.extend(drawn(place).unwrap_or_default());
    }
    let full = found.len();
    let skip = if place == 0 { 0 } else { full.saturating_sub(rows) };
    canvas.lines(area, found.into_iter().skip(skip).collect());
}

/// A line in one row, or in as many as it takes.
fn rows_of(canvas: &Canvas<'_, '_>, number: u64, line: &Kept, columns: usize) -> Vec<Line<'static>> {
    let app = canvas.app;
    let logs = &app.logs;
    let style = line.level.map_or_else(|| canvas.ui(Ui::Sentence), |level| app.fixed.theme.log(level));
    let mark = if logs.found == Some(number) { ">" } else { " " };
    let level = line.level.map_or("OPER", |level| level.as_str());
    let time = time_of_day(line.at, &app.fixed.zone);
    let room = columns.saturating_sub(HEAD).max(8);
    let texts = if logs.wrap { wrap(&line.text, room) } else { vec![clip(&line.text, room)] };
    let head = vec![
        Span::styled(mark, canvas.ui(Ui::Key)),
        Span::styled(fit(&time, 9), canvas.ui(Ui::Quiet)),
        Span::styled(fit(level, 6), style),
        Span::styled(fit(&line.target, HEAD - 17), canvas.ui(Ui::Quiet)),
        Span::raw(" "),
    ];
    let mut head = Some(head);
    let each = texts.into_iter().map(|text| {
        let mut spans = head.take().unwrap_or_else(|| vec![Span::raw(" ".repeat(HEAD))]);
        spans.extend(marked(app, &text, style));
        Line::from(spans)
    });
    each.collect()
}

/// The text with what is looked for reversed.
fn marked(app: &App, text: &str, style: Style) -> Vec<Span<'static>> {
    let wanted = &app.logs.search;
    let mut spans = Vec::new();
    let mut at = 0;
    while !wanted.is_empty()
        && let Some(found) = find(text, wanted, at)
        && let (Some(before), Some(hit)) = (text.get(at..found), text.get(found..found + wanted.len()))
    {
        spans.push(Span::styled(before.to_owned(), style));
        spans.push(Span::styled(hit.to_owned(), app.fixed.theme.selected(style)));
        at = found + wanted.len();
    }
    spans.push(Span::styled(text.get(at..).unwrap_or_default().to_owned(), style));
    spans
}
