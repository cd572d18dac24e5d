//! The plan: strategy and policy in words, every batch with its state and times, and on the way back its order.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::inspect::brief;
use crate::event::thousands;
use crate::model::{InstanceState, Timestamp};
use crate::tui::app::App;
use crate::tui::plan::{LABEL, Row, about, note, note_ahead, rows, top};
use crate::tui::text::{fit, fit_right, time_of_day, trouble, width};
use crate::tui::theme::Ui;
use crate::tui::timeline::present;

/// Columns of the number with its marker, of a time and of how long it took.
const NUMBER: usize = 8;
const TIME: usize = 11;
const TOOK: usize = 8;

/// Columns of a row's parts; all rows have the same.
struct Widths {
    names: usize,
    state: usize,
    start: usize,
    took: usize,
    note: usize,
}

impl Widths {
    fn of(columns: usize) -> Self {
        let state = if columns >= 60 { 18 } else { 14 };
        let (start, took) = (if columns >= 60 { TIME } else { 0 }, if columns >= 70 { TOOK } else { 0 });
        let rest = columns.saturating_sub(NUMBER + state + start + took + 1);
        let names = if columns >= 76 { (rest * 3 / 5).min(44) } else { rest };
        Self { names, state, start, took, note: rest.saturating_sub(names) }
    }
}

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let columns = usize::from(area.width);
    let height = usize::from(area.height.saturating_sub(1));
    let rows = rows(app, columns);
    let first = top(app, &rows, height);
    let title = if app.state.started_at.is_none() {
        "plan; nothing is touched yet"
    } else if app.state.end.is_some() {
        "plan, as it went"
    } else {
        "plan, and what happens next"
    };
    let beyond = rows.len() > height;
    let seen = format!("{} to {} of {}", first + 1, (first + height).min(rows.len()), rows.len());
    let right = if beyond { vec![Span::raw(seen)] } else { Vec::new() };
    canvas.rule_with(Rect { height: 1, ..area }, vec![Span::raw(title)], right);
    let widths = Widths::of(columns);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    for (row, area) in rows.iter().skip(first).zip(body.rows()) {
        if let Row::Title(text) = row {
            canvas.rule(area, vec![Span::raw(text.clone())]);
        } else {
            let line = line(canvas, row, &widths, columns);
            canvas.lines(area, vec![line]);
        }
    }
}

fn line(canvas: &Canvas<'_, '_>, row: &Row, widths: &Widths, columns: usize) -> Line<'static> {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    match row {
        Row::Title(text) => Line::raw(text.clone()),
        Row::Said(label, text) => {
            Line::from(vec![Span::styled(format!(" {}", fit(label, LABEL)), canvas.ui(Ui::Quiet)), Span::raw(text.clone())])
        }
        Row::Columns => {
            let cells = [fit("  batch", NUMBER), fit("instances", widths.names), fit("state", widths.state)];
            let more = [fit("start", widths.start), fit("took", widths.took), fit("note", widths.note)];
            Line::styled(cells.into_iter().chain(more).collect::<String>(), canvas.ui(Ui::Quiet))
        }
        Row::Begun(batch) => {
            let at_work = app.state.batch.as_ref().is_some_and(|now| now.number == batch.number);
            let word = match (at_work, batch.ended) {
                (true, None) => " at work",
                (true, Some(_)) => " watched",
                (false, _) => "",
            };
            let zone = &app.fixed.zone;
            let start = batch.started.map_or_else(|| "-".to_owned(), |at| time_of_day(at, zone));
            // Of what is at work the time is not counted up here: that would cost bytes with each second.
            let took = batch.started.zip(batch.ended).map_or_else(String::new, |(from, to)| brief(to.since(from)));
            let times = (start, took);
            spans(canvas, (batch.number, at_work), (&batch.members, word), times, &note(app, batch), widths)
        }
        Row::ToCome(batch, window) => {
            let times = window.map_or_else(|| ("-".to_owned(), String::new()), |window| foretold(app, window));
            let note = note_ahead(app, batch);
            spans(canvas, (batch.number, false), (&batch.members, ""), times, &note, widths)
        }
        Row::One(index, why) => {
            let Some((id, instance)) = app.state.instances.get_index(*index) else { return Line::default() };
            let shown = instance.shown();
            let name = fit(id.as_str(), width(id.as_str()).max(12).min(columns / 2));
            let state = fit(shown.word().replace('_', " ").as_str(), 15);
            let room = columns.saturating_sub(width(&name) + width(&state) + 7);
            Line::from(vec![
                Span::raw("  "),
                Span::styled(theme.glyph(shown).to_string(), theme.state(shown)),
                Span::raw(format!(" {name} ")),
                Span::styled(state, theme.state(shown).remove_modifier(ratatui::style::Modifier::REVERSED)),
                Span::raw(format!(" {}", trouble(why, room))),
            ])
        }
    }
}

/// `~12:05:10` and `~44s`.
fn foretold(app: &App, (from, to): (Timestamp, Timestamp)) -> (String, String) {
    let from = from.max(present(app));
    (format!("~{}", time_of_day(from, &app.fixed.zone)), format!("~{}", brief(about(to.since(from)))))
}

fn spans(
    canvas: &Canvas<'_, '_>,
    (number, at_work): (u32, bool),
    (members, word): (&[usize], &str),
    (start, took): (String, String),
    note: &str,
    widths: &Widths,
) -> Line<'static> {
    let style = if at_work { canvas.ui(Ui::Key) } else { Style::new() };
    let marker = if at_work { ">" } else { " " };
    let mut spans = vec![
        Span::styled(fit(&format!("{marker} {number}"), NUMBER), style),
        Span::styled(fit(&names(canvas.app, members, widths.names), widths.names), style),
    ];
    spans.extend(states(canvas, members, word, widths.state));
    spans.push(Span::raw(fit(&start, widths.start)));
    spans.push(Span::raw(format!("{}{}", fit_right(&took, widths.took.saturating_sub(2)), " ".repeat(widths.took.min(2)))));
    spans.push(Span::styled(trouble(note, widths.note), canvas.ui(Ui::Sentence)));
    Line::from(spans)
}

/// All by name where that fits, else from whom to whom.
fn names(app: &App, members: &[usize], columns: usize) -> String {
    let room = columns.saturating_sub(2);
    let name = |index: &usize| app.id_at(*index).map_or("", |id| id.as_str());
    let mut all = String::new();
    for index in members {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(name(index));
        if width(&all) > room {
            break;
        }
    }
    if width(&all) <= room {
        return all;
    }
    let many = thousands(u64::try_from(members.len()).unwrap_or(u64::MAX));
    let (first, last) = (members.first().map_or("", name), members.last().map_or("", name));
    for text in [format!("{many}: {first} to {last}"), format!("{many}: {first}...")] {
        if width(&text) <= room {
            return text;
        }
    }
    format!("{many} instances")
}

/// How many show which state, each with its glyph.
fn states(canvas: &Canvas<'_, '_>, members: &[usize], word: &str, columns: usize) -> Vec<Span<'static>> {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let mut spans = Vec::new();
    let mut used = 0;
    for state in InstanceState::ALL {
        let shows = |index: &&usize| app.state.instances.get_index(**index).is_some_and(|(_, i)| i.shown() == state);
        let count = members.iter().filter(shows).count();
        let text = format!("{}{count}", theme.glyph(state));
        if count == 0 || used + width(&text) + 1 > columns {
            continue;
        }
        used += width(&text) + 1;
        spans.extend([Span::styled(text, theme.state(state)), Span::raw(" ")]);
    }
    let room = columns.saturating_sub(used);
    let word = word.trim_start();
    spans.push(Span::raw(fit(if width(word) < room { word } else { "" }, room)));
    spans
}
