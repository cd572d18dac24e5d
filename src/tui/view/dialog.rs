//! Questions: what would happen, and the two ways to answer.
//!
//! Imports: tui parts, command. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::model::{InstanceState, Version};
use crate::tui::app::{App, Link};
use crate::tui::confirm::Ask;
use crate::tui::text::{clip, fit, seconds, width, wrap};
use crate::tui::theme::Ui;

/// Draws a question over the screen: heavy ones as a box, the rest as a bar at the bottom.
pub(super) fn ask(canvas: &mut Canvas<'_, '_>, area: Rect, ask: &Ask) {
    if !super::fits_question((area.width, area.height)) {
        canvas.clear(area);
        canvas.text(area, "enlarge to read the question; Esc closes it", Ui::Warning);
        return;
    }
    if ask.is_heavy() { boxed(canvas, area, ask) } else { bar(canvas, area, ask) }
}

/// Whether to leave.
pub(super) fn leave(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let planned = canvas.app.state.started_at.is_none();
    let text = if planned {
        "Leave? The deployment is planned and nothing is touched."
    } else {
        match canvas.app.link {
            Link::Up => "Leave? The engine keeps running; `rollout attach` comes back.",
            Link::Down { .. } | Link::Gone { .. } | Link::Closed => {
                "Leave? The engine cannot be reached; `rollout status` tells what became of it."
            }
        }
    };
    let answers: Vec<(&str, &str)> = if planned && !canvas.app.fixed.read_only {
        vec![("d", "leave it planned"), ("x", "cancel it"), ("Esc", "stay")]
    } else {
        vec![("d", "detach"), ("Esc", "stay")]
    };
    strip(canvas, area, "LEAVE", vec![Line::raw(format!(" {text}"))], answers_line(canvas, &answers));
}

fn bar(canvas: &mut Canvas<'_, '_>, area: Rect, ask: &Ask) {
    let c = &ask.consequence;
    let serving = format!("serving {} of {} now, never below {}", c.serving, canvas.app.state.total(), c.lowest_serving);
    let mut parts = vec![format!("{}: {}", ask.yes(), c.will_change)];
    // Who is left out although it may be thought of: the rest is on the screen.
    let held = canvas.app.state.tally().of(InstanceState::Held);
    parts.extend((held > 0 && ask.is_forward()).then(|| format!("will not: {}", c.will_not)));
    parts.extend(Some(c.order.clone()).filter(|order| !order.is_empty()));
    parts.push(serving);
    parts.extend(c.takes.map(|takes| format!("about {takes}")));
    parts.extend(Some(&c.then).filter(|then| !then.is_empty()).map(|then| format!("then {then}")));
    let changed = if ask.changed { "This has changed since you asked. " } else { "" };
    let lines = wrap(&format!("{changed}{}", parts.join("; ")), usize::from(area.width).saturating_sub(2));
    let mut lines: Vec<_> = lines.into_iter().map(|line| Line::raw(format!(" {line}"))).collect();
    lines.extend(ask.takes_reason().then(|| reason(canvas, ask, 9, usize::from(area.width))));
    let answers = buttons(canvas, ask);
    strip(canvas, area, &ask.title(), lines, answers);
}

/// The line in which somebody says why, with its label `label` columns wide.
fn reason(canvas: &Canvas<'_, '_>, ask: &Ask, label: usize, columns: usize) -> Line<'static> {
    const KEYS: &str = "  Enter keeps it, Esc drops it";
    let indent = if ask.is_heavy() { "" } else { " " };
    let mut spans = vec![Span::styled(fit(&format!("{indent}reason"), label), canvas.ui(Ui::Quiet))];
    let text = &ask.reason.text;
    let room = columns.saturating_sub(label + 1);
    if ask.reason.typing {
        // What is typed now is at its end.
        let room = room.saturating_sub(KEYS.len());
        let hidden = text.chars().count().saturating_sub(room);
        let tail: String = text.chars().skip(hidden).collect();
        spans.push(Span::styled(format!("{tail} "), canvas.ui(Ui::Selected)));
        spans.push(Span::styled(KEYS, canvas.ui(Ui::Quiet)));
    } else if text.is_empty() {
        spans.push(Span::styled("none; Tab to give one", canvas.ui(Ui::Quiet)));
    } else {
        spans.push(Span::raw(clip(text, room)));
    }
    Line::from(spans)
}

/// Lines at the bottom of the screen, under a rule.
fn strip(canvas: &mut Canvas<'_, '_>, area: Rect, title: &str, lines: Vec<Line<'static>>, answers: Line<'static>) {
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { y: area.bottom() - rows, height: rows, ..area };
    canvas.clear(place);
    canvas.rule(Rect { height: 1, ..place }, vec![Span::styled(title.to_owned(), canvas.ui(Ui::Dialog))]);
    let body = Rect { y: place.y + 1, height: rows.saturating_sub(2), ..place };
    canvas.lines(body, lines);
    canvas.lines(Rect { y: place.bottom() - 1, height: 1, ..place }, vec![answers]);
}

fn answers_line(canvas: &Canvas<'_, '_>, answers: &[(&str, &str)]) -> Line<'static> {
    let spans = answers
        .iter()
        .flat_map(|(key, words)| [Span::styled(format!(" {key} "), canvas.ui(Ui::Key)), Span::raw(format!("{words}  "))]);
    Line::from(spans.collect::<Vec<_>>())
}

/// The two ways to answer; the one that acts is dim until it counts.
fn buttons(canvas: &Canvas<'_, '_>, ask: &Ask) -> Line<'static> {
    let (key, ready) = match &ask.typed {
        None => ("y", ask.armed),
        Some(typed) => ("Enter", ask.armed && typed.so_far == typed.wanted),
    };
    let (key_part, words_part) = if ready { (Ui::Key, Ui::Sentence) } else { (Ui::KeyOff, Ui::KeyOff) };
    Line::from(vec![
        Span::styled(" Esc ", canvas.ui(Ui::Key)),
        Span::raw(format!("{}   ", ask.no())),
        Span::styled(format!(" {key} "), canvas.ui(key_part)),
        Span::styled(ask.yes(), canvas.ui(words_part)),
        Span::styled(if ready { "" } else { " (off)" }, canvas.ui(Ui::KeyOff)),
    ])
}

fn boxed(canvas: &mut Canvas<'_, '_>, area: Rect, ask: &Ask) {
    let outer_width = area.width.min(76);
    let inner = usize::from(outer_width).saturating_sub(4);
    let lines = content(canvas, ask, inner);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect {
        x: area.x + (area.width - outer_width) / 2,
        y: area.y + (area.height - rows) / 2,
        width: outer_width,
        height: rows,
    };
    canvas.clear(place);
    frame(canvas, place, &ask.title());
    let body = Rect { x: place.x + 2, y: place.y + 1, width: place.width.saturating_sub(4), height: rows.saturating_sub(2) };
    canvas.lines(body, keep(lines, usize::from(body.height)));
}

/// If all lines do not fit, the blank ones go first, then what is above the buttons.
fn keep(mut lines: Vec<Line<'static>>, rows: usize) -> Vec<Line<'static>> {
    while lines.len() > rows {
        let blank = lines.iter().position(|line| line.width() == 0);
        let victim = blank.unwrap_or_else(|| lines.len().saturating_sub(2));
        lines.remove(victim);
    }
    lines
}

fn frame(canvas: &mut Canvas<'_, '_>, place: Rect, title: &str) {
    let [tl, tr, bl, br, h, v] =
        if canvas.ascii() { ["+", "+", "+", "+", "-", "|"] } else { ["┌", "┐", "└", "┘", "─", "│"] };
    let style = canvas.ui(Ui::Dialog);
    let inner = usize::from(place.width).saturating_sub(2);
    let title = clip(&format!("{h} {title} "), inner);
    let top = format!("{tl}{title}{}{tr}", h.repeat(inner.saturating_sub(width(&title))));
    let middle = format!("{v}{}{v}", " ".repeat(inner));
    let bottom = format!("{bl}{}{br}", h.repeat(inner));
    let rows = usize::from(place.height);
    let lines = (0..rows)
        .map(|row| match row {
            0 => top.clone(),
            row if row + 1 == rows => bottom.clone(),
            _ => middle.clone(),
        })
        .map(|line| Line::styled(line, style))
        .collect();
    canvas.lines(place, lines);
}

fn content(canvas: &Canvas<'_, '_>, ask: &Ask, columns: usize) -> Vec<Line<'static>> {
    let app = canvas.app;
    let c = &ask.consequence;
    let plan = &app.state.plan;
    let arrow = if canvas.ascii() { "->" } else { "→" };
    let mut previous: Vec<&str> = plan.fleet().map(|m| m.previous.as_ref().map_or("unknown", Version::as_str)).collect();
    previous.sort_unstable();
    previous.dedup();
    let way = match ask.command {
        crate::command::Command::Rollback { .. } => format!("{} {arrow} {}", plan.version, previous.join(", ")),
        _ => plan.version.to_string(),
    };
    let mut lines = vec![Line::styled(clip(&format!("{}   {}   {way}", plan.service, plan.env), columns), canvas.ui(Ui::Header))];
    lines.push(Line::default());
    if ask.changed {
        lines.push(Line::styled("This has changed since you asked:", canvas.ui(Ui::Warning)));
    }
    let serving = format!("{} of {} now, never below {}", c.serving, app.state.total(), c.lowest_serving);
    let takes = c.takes.map_or_else(|| "not known yet".to_owned(), |takes| format!("about {takes}"));
    let mut row = |label: &str, text: &str| {
        for (i, line) in wrap(text, columns.saturating_sub(14)).into_iter().enumerate() {
            lines.push(Line::from(vec![
                Span::styled(fit(if i == 0 { label } else { "" }, 14), canvas.ui(Ui::Quiet)),
                Span::raw(line),
            ]));
        }
    };
    row("will change", &or_none(&c.will_change));
    row("will not", &or_none(&c.will_not));
    row("order", &or_none(&c.order));
    row("serving", &serving);
    row("takes", &takes);
    row("then", &then(ask));
    lines.extend(ask.takes_reason().then(|| reason(canvas, ask, 14, columns)));
    lines.push(Line::default());
    lines.push(Line::styled(age(app), canvas.ui(Ui::Quiet)));
    lines.push(Line::default());
    if let Some(typed) = &ask.typed {
        lines.push(Line::from(vec![
            Span::raw(format!("type  {}  to {}: ", typed.wanted, ask.yes())),
            Span::styled(format!("{} ", clip(&typed.so_far, 30)), canvas.ui(Ui::Selected)),
        ]));
        lines.push(Line::default());
    }
    lines.push(buttons(canvas, ask));
    lines
}

/// How it ends; of an approval of all batches, what it does besides.
fn then(ask: &Ask) -> String {
    let then = or_none(&ask.consequence.then);
    let all = matches!(ask.command, crate::command::Command::Promote { full: true });
    if all { format!("{then}; nobody is asked any more") } else { then }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text.to_owned() }
}

/// How old what is shown is.
fn age(app: &App) -> String {
    let age = app.now.since(app.heard_at);
    if age.as_millis() < 2000 {
        "the engine was heard just now".to_owned()
    } else {
        format!("the engine was last heard {} ago", seconds(age))
    }
}
