//! Earlier deployments, and why the selected one came to its end: the cause first, then the policy, then people.
//!
//! Imports: tui parts, session, event, state, model. May not: decide.

use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::panes::wrap_in;
use crate::event::thousands;
use crate::model::{InstanceState, Timestamp};
use crate::ports::Chapter;
use crate::tui::app::is_grave;
use crate::tui::text::{clip, clock, fit, fit_middle, fit_right, seconds, time_of_day, trouble, width, zoned};
use crate::tui::theme::Ui;

/// Rows that are neither list nor why: header, tabs, and what is below.
const AROUND: u16 = 6;

/// Deployments on a page of the list.
pub(in crate::tui) fn page(size: (u16, u16)) -> usize {
    let body = size.1.saturating_sub(AROUND);
    usize::from(body.saturating_sub(why_rows(body) + 1)).max(1)
}

/// Rows of the lower part, by the height of the screen alone.
fn why_rows(body: u16) -> u16 {
    match body {
        0..8 => 0,
        8..14 => 4,
        14..24 => 8,
        24.. => 14,
    }
}

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let lower = why_rows(area.height);
    let list = Rect { height: area.height - lower, ..area };
    let why = Rect { y: area.y + list.height, height: lower, ..area };
    table(canvas, list);
    reasons(canvas, why);
}

/// Columns of the table.
struct Columns {
    run: usize,
    who: usize,
    what: usize,
    /// The median of an instance and the way back have a place.
    wide: bool,
}

impl Columns {
    fn of(canvas: &Canvas<'_, '_>, columns: usize) -> Self {
        let shown = canvas.app.runs.shown();
        let longest = |of: &dyn Fn(&Chapter) -> usize, least: usize, most: usize| {
            shown.iter().map(|chapter| of(chapter)).max().unwrap_or(0).clamp(least, most)
        };
        // By the whole list, not by the page: nothing moves when it is turned.
        let run = longest(&|chapter| width(&chapter.id.to_string()), 6, 16);
        let who = longest(&|chapter| width(&chapter.started_by), 3, 10);
        let fixed = 2 + run + 1 + STARTED + 1 + who + 1 + RESULT + 1 + TOOK + NUMBERS;
        let wide = columns >= 120;
        let extra = if wide { 2 * (TOOK + 1) + 8 } else { 0 };
        Self { run, who, what: columns.saturating_sub(fixed + extra + 2).clamp(4, 40), wide }
    }
}

const STARTED: usize = 11;
const RESULT: usize = 13;
const TOOK: usize = 8;
/// Updated and failed.
const NUMBERS: usize = 12;

fn table(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let runs = &app.runs;
    let columns = Columns::of(canvas, usize::from(area.width));
    let shown = runs.shown();
    let head = head(&columns);
    let count = match (&runs.told, runs.filter.is_empty()) {
        (Some(told), false) => format!("{} of {}", shown.len(), told.all.len()),
        (Some(told), true) => format!("{} in all", told.all.len()),
        (None, _) => String::new(),
    };
    let free = usize::from(area.width).saturating_sub(width(&head));
    // Where it is narrow, the rows say how many there are.
    let count = if free > width(&count) + 1 { fit_right(&count, free - 1) } else { String::new() };
    let line = format!("{head}{count}");
    let quiet = canvas.ui(Ui::Quiet);
    let mut lines = vec![Line::styled(clip(&line, usize::from(area.width)), quiet)];
    let rows = usize::from(area.height).saturating_sub(1).max(1);
    let position = runs.position();
    let first = position / rows * rows;
    for (index, chapter) in shown.iter().enumerate().skip(first).take(rows) {
        lines.push(row(canvas, chapter, index == position, &columns));
    }
    if shown.is_empty() {
        let (text, part) = nothing(canvas);
        let style = canvas.ui(part);
        let wrapped = wrap_in(&text, usize::from(area.width).saturating_sub(2), rows);
        lines.extend(wrapped.into_iter().map(|line| Line::styled(format!(" {line}"), style)));
    }
    canvas.lines(area, lines);
}

/// Why there is no row.
fn nothing(canvas: &Canvas<'_, '_>) -> (String, Ui) {
    let runs = &canvas.app.runs;
    match (&runs.told, &runs.trouble) {
        (_, Some(why)) => (format!("the history cannot be read: {why}"), Ui::Error),
        (Some(told), None) if !told.all.is_empty() => ("no deployment passes the filter; Esc clears it".to_owned(), Ui::Quiet),
        (Some(told), None) => match told.complaints.first() {
            Some(complaint) => (complaint.clone(), Ui::Error),
            None => ("no deployment yet".to_owned(), Ui::Quiet),
        },
        (None, None) if runs.asked => ("reading the journal".to_owned(), Ui::Quiet),
        (None, None) => ("nobody tells the history here; rollout history lists it".to_owned(), Ui::Quiet),
    }
}

fn head(columns: &Columns) -> String {
    let mut text = format!(
        "  {} {} {} {} {} {}   ok  fail",
        fit("run", columns.run),
        fit("started", STARTED),
        fit("who", columns.who),
        fit("what", columns.what),
        fit("result", RESULT),
        fit_right("took", TOOK),
    );
    if columns.wide {
        let (each, back) = (fit_right("each", TOOK), fit_right("way back", TOOK));
        text.extend([" ", &each, " ", &back, "  facts"]);
    }
    text
}

fn row(canvas: &Canvas<'_, '_>, chapter: &Chapter, selected: bool, columns: &Columns) -> Line<'static> {
    let app = canvas.app;
    let (glyph, word, style) = result(canvas, chapter);
    let started = chapter.planned_at.map_or_else(|| "?".to_owned(), |at| day(at, app.now, &app.fixed.zone));
    let arrow = if canvas.ascii() { "->" } else { "→" };
    let before = chapter.outcome.as_ref().map_or("", |outcome| outcome.before.as_str());
    let what = match (before, chapter.version.as_str()) {
        (_, "") => "?".to_owned(),
        ("", version) => version.to_owned(),
        (before, version) if before == version => version.to_owned(),
        (before, version) => format!("{before}{arrow}{version}"),
    };
    let took = chapter.took().map_or_else(|| "-".to_owned(), clock);
    let number = |of: Option<u32>| fit_right(&of.map_or_else(|| "-".to_owned(), |n| thousands(n.into())), 5);
    let outcome = chapter.outcome.as_deref();
    let failed = outcome.map(|outcome| outcome.failed);
    let plain = if selected { canvas.ui(Ui::Selected) } else { Style::new() };
    let cursor = if selected { ">" } else { " " };
    let mut spans = vec![
        Span::styled(format!("{cursor} {} ", fit(&chapter.id.to_string(), columns.run)), plain),
        Span::raw(format!("{} {} ", fit(&started, STARTED), fit(&chapter.started_by, columns.who))),
        Span::raw(format!("{} ", fit_middle(&what, columns.what))),
        Span::styled(fit(&format!("{glyph} {word}"), RESULT), style),
        Span::raw(format!(" {}{}", fit_right(&took, TOOK), number(outcome.map(|outcome| outcome.updated)))),
        Span::styled(
            format!(" {}", number(failed)),
            if failed.is_some_and(|n| n > 0) { canvas.ui(Ui::Error) } else { Style::new() },
        ),
    ];
    if columns.wide {
        let span =
            |of: Option<crate::model::Span>| fit_right(&of.map_or_else(|| "-".to_owned(), |s| seconds(s).to_string()), TOOK);
        let facts = outcome.map_or_else(|| "-".to_owned(), |outcome| thousands(u64::try_from(outcome.facts).unwrap_or(u64::MAX)));
        let (each, back) = (span(outcome.and_then(|o| o.each)), span(outcome.and_then(|o| o.back)));
        spans.push(Span::raw(format!(" {each} {back} {}", fit_right(&facts, 6))));
    }
    Line::from(spans)
}

/// Glyph, word and style of how it ended, or stands.
fn result(canvas: &Canvas<'_, '_>, chapter: &Chapter) -> (char, String, Style) {
    let theme = &canvas.app.fixed.theme;
    let status = if chapter.damage.is_some() { "damaged" } else { chapter.status.as_str() };
    let state = match status {
        "completed" => InstanceState::Healthy,
        "rolled_back" => InstanceState::RolledBack,
        "failed" | "damaged" => InstanceState::Failed,
        "cancelled" => InstanceState::Skipped,
        "paused" => InstanceState::Held,
        "rolling_back" => InstanceState::RollingBack,
        "in_progress" => InstanceState::Updating,
        "pending" => InstanceState::Pending,
        _ => InstanceState::HealthChecking,
    };
    (theme.glyph(state), status.to_owned(), theme.state(state))
}

/// The day as people say it, and the time to the minute.
fn day(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (Some(at), Some(now)) = (zoned(at, zone), zoned(now, zone)) else { return "?".to_owned() };
    let days = at.date().until(now.date()).map_or(i32::MAX, |span| span.get_days());
    match days {
        0 => at.strftime("today %H:%M").to_string(),
        1 => at.strftime("yest. %H:%M").to_string(),
        2..7 => at.strftime("%a %H:%M").to_string(),
        _ => at.strftime("%Y-%m-%d").to_string(),
    }
}

/// What decided the selected one.
fn reasons(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let app = canvas.app;
    let rule = Rect { height: 1, ..area };
    let Some(chapter) = app.runs.selection() else {
        canvas.rule(rule, Vec::new());
        return;
    };
    let (glyph, word, style) = result(canvas, chapter);
    let title = vec![
        Span::styled(chapter.id.to_string(), canvas.ui(Ui::Key)),
        Span::raw("  "),
        Span::styled(format!("{glyph} {word}"), style),
        Span::raw("  why"),
    ];
    canvas.rule_with(rule, title, vec![Span::raw("Enter replays it")]);
    let columns = usize::from(area.width).saturating_sub(2);
    let rows = usize::from(area.height - 1);
    let mut lines: Vec<Line<'static>> = Vec::new();
    if let Some(why) = &app.runs.trouble {
        lines.push(Line::styled(
            format!(" {}", clip(&format!("the history cannot be read anew: {why}"), columns)),
            canvas.ui(Ui::Error),
        ));
    }
    if let Some(damage) = &chapter.damage {
        let wrapped = wrap_in(damage, columns, 2);
        lines.extend(wrapped.into_iter().map(|line| Line::styled(format!(" {line}"), canvas.ui(Ui::Error))));
    }
    match &chapter.outcome {
        Some(outcome) => {
            lines.push(Line::styled(format!(" {}", clip(&outcome.headline, columns)), canvas.ui(Ui::Headline)));
            for event in &outcome.why {
                let time = time_of_day(event.at, &app.fixed.zone);
                let style = if is_grave(&event.kind) { canvas.ui(Ui::Error) } else { Style::new() };
                // Where there is little room, every fact has its line.
                let text = event.kind.words();
                let room = columns.saturating_sub(9);
                let text = if rows < 10 { vec![trouble(&text, room)] } else { wrap_in(&text, room, 2) };
                for (number, line) in text.into_iter().enumerate() {
                    let time = if number == 0 { time.clone() } else { String::new() };
                    let time = Span::styled(format!(" {time:8} "), canvas.ui(Ui::Quiet));
                    lines.push(Line::from(vec![time, Span::styled(line, style)]));
                }
            }
        }
        None if chapter.damage.is_none() => {
            lines.push(Line::styled(" what came of it was not read; Enter reads it", canvas.ui(Ui::Quiet)));
        }
        None => {}
    }
    if lines.len() > rows {
        let hidden = lines.len() - rows + 1;
        lines.truncate(rows.saturating_sub(1));
        lines.push(Line::styled(format!(" and {hidden} more lines; Enter replays it"), canvas.ui(Ui::Quiet)));
    }
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    canvas.lines(body, lines);
}

/// The filter as it is typed.
pub(super) fn typed(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let runs = &canvas.app.runs;
    let all = runs.told.as_ref().map_or(0, |told| told.all.len());
    let hint = format!("{} of {all}  a word of the row, !not  Enter keeps, Esc clears", runs.shown().len());
    let columns = usize::from(area.width);
    let text = format!(" /{}_", runs.filter);
    let room = columns.saturating_sub(width(&text) + 1);
    let spans = vec![Span::styled(text, canvas.ui(Ui::Key)), Span::styled(fit_right(&hint, room), canvas.ui(Ui::Quiet))];
    canvas.lines(area, vec![Line::from(spans)]);
}
