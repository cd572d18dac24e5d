//! The head: what is deployed where, how it stands, why it waits.
//!
//! Imports: tui parts, state. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::place::Places;
use crate::event::{Actor, Ending};
use crate::model::{InstanceState, Timestamp, Version};
use crate::state::{Awaits, State, Status};
use crate::tui::app::{App, Link};
use crate::tui::keys::Action;
use crate::tui::text::{clip, clock, fit, seconds, time_of_day, trouble, width, wrap};
use crate::tui::theme::{Badge, Depth, Ui};

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    title(canvas, places.title);
    headline(canvas, places.headline);
    sentence(canvas, places.sentence);
}

fn title(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let plan = &app.state.plan;
    let columns = usize::from(area.width);
    let mut right = badge_line(app).spans;
    right.push(Span::raw(times(app, area.width >= 100)));
    right.extend(link(app, area.width).into_iter().map(|(text, part)| Span::styled(text, theme.ui(part))));
    let right_width: usize = right.iter().map(|s| width(&s.content)).sum();
    // Without colours a stripe has brackets, too: not every terminal can reverse.
    let bare = app.fixed.stripe.is_some() && theme.depth() == Depth::Mono;
    let env = if bare { format!("[{}]", plan.env) } else { format!(" {} ", plan.env) };
    let env_width = width(&env);
    let room = columns.saturating_sub(right_width + env_width + 2);
    let arrow = if theme.ascii() { "->" } else { "→" };
    let name = match app.idle {
        // Its versions are in the line below.
        Some(_) => plan.service.clone(),
        None => format!("{} {}{arrow}{}", plan.service, before(&app.state), plan.version),
    };
    let left = clip(&name, room);
    let stripe = app.fixed.stripe.as_ref().map_or_else(|| theme.ui(Ui::Quiet), |color| theme.stripe(color));
    let mut spans = vec![Span::styled(left.clone(), theme.ui(Ui::Header)), Span::raw(" "), Span::styled(env, stripe)];
    let used = width(&left) + 1 + env_width;
    spans.push(Span::raw(" ".repeat(columns.saturating_sub(used + right_width).max(1))));
    spans.extend(right);
    canvas.lines(area, vec![Line::from(spans)]);
}

/// The version that the fleet had, or how many there were.
fn before(state: &State) -> String {
    let mut versions: Vec<&str> = state.plan.fleet().map(|m| m.previous.as_ref().map_or("?", Version::as_str)).collect();
    versions.sort_unstable();
    versions.dedup();
    match versions.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("{} versions", many.len()),
    }
}

/// `[RUN]` and the like.
pub(super) fn badge_line(app: &App) -> Line<'static> {
    let state = &app.state;
    let (text, badge) = match state.status() {
        _ if app.idle.is_some() => ("[IDLE]".to_owned(), Badge::Planned),
        _ if state.end.is_none() && matches!(app.link, Link::Gone { .. } | Link::Closed) => {
            ("[ENGINE GONE]".to_owned(), Badge::Failed)
        }
        Status::Completed if state.exceptions().is_empty() => ("[DONE]".to_owned(), Badge::Done),
        Status::Completed => ("[DONE, NOT ALL]".to_owned(), Badge::Failed),
        Status::RolledBack if state.exceptions().is_empty() => ("[ROLLED BACK]".to_owned(), Badge::Rollback),
        Status::RolledBack => ("[ROLLED BACK, NOT ALL]".to_owned(), Badge::Failed),
        Status::Failed | Status::Interrupted => ("[FAILED]".to_owned(), Badge::Failed),
        Status::Cancelled => ("[CANCELLED]".to_owned(), Badge::Cancelling),
        Status::RollingBack => ("[ROLLBACK]".to_owned(), Badge::Rollback),
        Status::Paused => {
            let by = state.pause.as_ref().map_or_else(
                || "?".into(),
                |halt| match &halt.by {
                    Actor::Engine => "engine".into(),
                    Actor::Operator { .. } | Actor::Signal { .. } => halt.by.name(),
                },
            );
            // What is in flight goes on to a safe point first.
            let how = if state.active.is_empty() { "PAUSED" } else { "PAUSING" };
            (format!("[{how} by {}]", clip(&by, 16)), Badge::Paused)
        }
        Status::InProgress | Status::Pending if state.cancel.is_some() => ("[CANCELLING]".to_owned(), Badge::Cancelling),
        Status::InProgress if state.awaits == Some(Awaits::Approval) => ("[APPROVAL]".to_owned(), Badge::Paused),
        Status::InProgress if state.awaits == Some(Awaits::Promotion) => ("[PROMOTE?]".to_owned(), Badge::Paused),
        Status::InProgress if state.awaits == Some(Awaits::Release) => ("[HELD]".to_owned(), Badge::Paused),
        Status::InProgress => ("[RUN]".to_owned(), Badge::Run),
        Status::Pending => ("[PLANNED]".to_owned(), Badge::Planned),
    };
    let theme = &app.fixed.theme;
    let mut spans = vec![Span::styled(text, theme.badge(badge))];
    if app.runs.scrub.is_some() {
        spans.push(Span::styled(" [REPLAY]", theme.badge(Badge::ReadOnly)));
    } else if app.fixed.read_only {
        spans.push(Span::styled(" [RO]", theme.badge(Badge::ReadOnly)));
    }
    Line::from(spans)
}

/// Elapsed and what is left.
fn times(app: &App, spread: bool) -> String {
    let state = &app.state;
    let Some(started) = state.started_at else { return String::new() };
    // Without a link nobody knows whether it still runs: the clock stops at its last word.
    let known = if app.link == Link::Up { app.now } else { app.heard_at };
    let until = state.end.as_ref().map_or(known, |end| end.at);
    let text = format!(" {}", clock(until.since(started)));
    let goes = matches!(state.status(), Status::InProgress | Status::RollingBack) && state.cancel.is_none();
    if !goes || app.link != Link::Up {
        return text;
    }
    // Its room is kept, so that the badge does not move when it is known.
    let eta = match app.forecast {
        Some((_, Some(left))) if spread && clock(left.low) != clock(left.high) => {
            format!("~{} ({}-{})", clock(left.likely), clock(left.low), clock(left.high))
        }
        Some((_, Some(left))) => format!("~{}", clock(left.likely)),
        Some((_, None)) | None => "--:--".to_owned(),
    };
    if spread { format!("{text} eta {eta:20}") } else { format!("{text} eta {eta:>6}") }
}

/// Columns of the age of what is shown and of the state of the link: so that nothing beside them moves.
const LINK: (usize, usize) = (8, 12);
/// Where it is narrower, only what is wrong is said.
const LINK_FROM: u16 = 76;

/// How old what is shown is, and how the links to the engine and to this terminal are.
fn link(app: &App, columns: u16) -> Vec<(String, Ui)> {
    let silent = app.silent_for().map(|silent| (format!("engine silent {}", seconds(silent)), Ui::Warning));
    let wrong = match &app.link {
        _ if app.state.end.is_some() => None,
        Link::Up => silent,
        Link::Down { since, .. } => Some((format!("link down {}", seconds(app.now.since(*since))), Ui::Error)),
        Link::Gone { since } => Some((format!("gone {}", seconds(app.now.since(*since))), Ui::Error)),
        Link::Closed => None,
    };
    let (age, state) = LINK;
    if let Some((text, part)) = wrong {
        let room = if columns < LINK_FROM { width(&text) } else { age + 1 + state };
        return vec![("  ".to_owned(), Ui::Quiet), (fit(&text, room), part)];
    }
    if columns < LINK_FROM {
        return Vec::new();
    }
    if app.runs.scrub.is_some() {
        // Nothing of it happens now.
        return vec![(format!("  {}", fit("REPLAY, not live", age + 1 + state)), Ui::Warning)];
    }
    let (text, slow) = app.wire.meter.words(app.now);
    let old = match app.state.end {
        // What has ended does not get older.
        Some(_) => String::new(),
        None => format!("data {}", age_words(app.now.since(app.heard_at))),
    };
    let part = if slow { Ui::Warning } else { Ui::Quiet };
    vec![(format!("  {} ", fit(&old, age)), Ui::Quiet), (fit(&text, state), part)]
}

/// In steps, so that it changes only when that matters: news comes every second or two.
fn age_words(age: crate::model::Span) -> String {
    match age.as_millis() / 1000 {
        0..3 => "0s".to_owned(),
        old @ 3..60 => format!("{old}s"),
        old => format!("{}m", (old / 60).min(99)),
    }
}

fn headline(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let text = app.headline();
    let columns = usize::from(area.width);
    // Requests that failed are why the tool is there: they are not said by the way.
    let failed = app.state.end.as_ref().and_then(|end| end.vip).is_some_and(|vip| vip.failed > 0);
    let style = canvas.ui(if failed { Ui::Error } else { Ui::Headline });
    if area.height > 1 {
        let lines = wrap(&text, columns).into_iter().map(|line| Line::styled(line, style)).collect();
        canvas.lines(area, lines);
        return;
    }
    let mut spans = vec![Span::styled(text.clone(), style)];
    // The bar has its place whatever the headline says; it goes first where it is narrow, the headline is never cut.
    let room = columns.saturating_sub(width(&text) + 8).min(columns * 3 / 10);
    if room >= 6 && app.idle.is_none() {
        let (done, of) = settled(&app.state);
        let bar = room;
        let filled = (bar * done).checked_div(of).unwrap_or(0);
        let percent = (100 * done).checked_div(of).unwrap_or(0);
        let (full, empty) = if canvas.ascii() { ("#", ".") } else { ("█", "░") };
        spans.push(Span::raw(" ".repeat(columns.saturating_sub(width(&text) + bar + 5))));
        spans.push(Span::styled(full.repeat(filled), canvas.ui(Ui::Bar)));
        spans.push(Span::styled(empty.repeat(bar - filled), canvas.ui(Ui::Quiet)));
        spans.push(Span::raw(format!(" {percent:>3}%")));
    }
    canvas.lines(area, vec![Line::from(spans)]);
}

/// Instances with nothing more to come, of how many: of the fleet on the way forward, of the touched on the way back.
fn settled(state: &State) -> (usize, usize) {
    let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let tally = state.tally();
    if state.rollback.is_some() {
        let touched = state.instances.values().filter(|i| i.exposed && !i.spare).count();
        return (number(tally.of(InstanceState::RolledBack)), touched);
    }
    let done = [InstanceState::Healthy, InstanceState::Failed, InstanceState::Skipped, InstanceState::RolledBack];
    (done.iter().map(|s| number(tally.of(*s))).sum(), number(state.total()))
}

/// Why it waits and until when; after the end, how it ended. Its tail is kept whole; what is said before it is cut if it
/// must be.
fn sentence(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let alarm = alarm(canvas.app, usize::from(area.width));
    let rest = if let Some(alarm) = alarm {
        canvas.lines(area, vec![Line::styled(alarm, canvas.ui(Ui::Error))]);
        Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
    } else {
        area
    };
    if !rest.is_empty() {
        reason(canvas, rest);
    }
}

/// What is wrong with the engine's world as a whole; it comes before why it waits.
fn alarm(app: &App, columns: usize) -> Option<String> {
    let first = app.progress.troubles.first().filter(|_| app.state.end.is_none() && app.link == Link::Up)?;
    let more = match app.progress.troubles.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let room = columns.saturating_sub(width(&more) + "TROUBLE: ".len());
    Some(format!("TROUBLE: {}{more}", trouble(first, room)))
}

fn reason(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let (columns, rows) = (usize::from(area.width), usize::from(area.height));
    let (text, tail, part) = said(canvas.app);
    let mut lines = wrap(&format!("{text}{tail}"), columns);
    if lines.len() > rows {
        // The badge has said by whom.
        let by = canvas.app.state.pause.as_ref().map(|halt| halt.by.name().into_owned()).unwrap_or_default();
        let brief =
            |what: &str, after: &str| text.strip_prefix(&format!("{what} by {by}{after} ")).map(|rest| format!("{what}: {rest}"));
        let text = brief("pausing", ";").or_else(|| brief("paused", ":")).unwrap_or(text);
        // Without the time of day, which the rest of it says, too.
        let brief = tail.strip_prefix(" (until ").and_then(|rest| rest.split_once(", ")).map(|(_, left)| format!(" ({left}"));
        let tail = brief.unwrap_or(tail);
        lines = wrap(&format!("{text}{tail}"), columns);
        if lines.len() > rows {
            // A reason is kept to its end; how it ended and why it is paused have what counts at their beginning.
            let state = &canvas.app.state;
            let cut = if state.end.is_some() || state.pause.is_some() { clip } else { trouble };
            let all = columns * rows.saturating_sub(1);
            let room = all + columns.saturating_sub(width(&tail) + rows);
            lines = wrap(&format!("{}{tail}", cut(&text, room)), columns);
        }
    }
    let style = canvas.ui(part);
    let mut lines: Vec<Line<'static>> = lines.into_iter().map(|line| Line::styled(line, style)).collect();
    if let ([line], true) = (lines.as_mut_slice(), columns >= BESIDE) {
        let next = super::next::words(canvas.app);
        let free = columns.saturating_sub(line.width() + width(&next) + 1);
        if !next.is_empty() && free >= 3 {
            line.spans.extend([Span::raw(" ".repeat(free)), Span::raw(next)]);
        }
    }
    canvas.lines(area, lines);
}

fn until_words(app: &App, until: Timestamp) -> String {
    let left = until.since(app.now);
    if left.is_zero() {
        return " (due now)".to_owned();
    }
    format!(" (until {}, {} left)", time_of_day(until, &app.fixed.zone), seconds(left))
}

/// From so many columns on, what comes next stands beside why it waits.
const BESIDE: usize = 120;

/// Where what to do begins while it is paused.
const TO_DO: [&str; 2] = ["; resume, ", "; else cancel "];

/// What is said, the time or what to do next that must not be cut, and how grave it is.
fn said(app: &App) -> (String, String, Ui) {
    let state = &app.state;
    if let Some((text, keys, wrong)) = app.idle_sentence() {
        return (text, keys, if wrong { Ui::Warning } else { Ui::Sentence });
    }
    if state.end.is_some() {
        return ended(app);
    }
    match &app.link {
        Link::Gone { .. } => {
            let text = "the engine is gone".to_owned();
            return (text, "; `rollout recover` takes over, and this screen goes on".to_owned(), Ui::Error);
        }
        Link::Closed => {
            let text = "the engine is gone; this is its last word".to_owned();
            let key = app.fixed.keys.hint(Action::Quit);
            return (text, format!(". {key}, then `rollout recover` takes over"), Ui::Error);
        }
        Link::Down { reason, .. } => {
            let text = format!("trying to reach the engine ({reason})");
            return (text, "; if it died: `rollout recover`".to_owned(), Ui::Error);
        }
        Link::Up => {}
    }
    let waiting = (app.fixed.oracle.waiting)(state);
    let what = waiting.as_ref().map_or("", |w| w.what.as_str());
    if let Some((why, todo)) = TO_DO.iter().find_map(|to_do| what.rfind(to_do)).map(|at| what.split_at(at)) {
        return (why.to_owned(), todo.to_owned(), Ui::Sentence);
    }
    let until = waiting.as_ref().and_then(|w| w.until).map(|until| until_words(app, until));
    (waiting.map(|w| w.to_string()).unwrap_or_default(), until.unwrap_or_default(), Ui::Sentence)
}

/// How it ended, and what there is to do.
fn ended(app: &App) -> (String, String, Ui) {
    let state = &app.state;
    let Some(end) = &state.end else { return (String::new(), String::new(), Ui::Sentence) };
    let exceptions = state.exceptions().len();
    let mut text = match (end.ending, end.reason.as_str()) {
        // The headline has said so.
        (Ending::RolledBack, reason) if !reason.is_empty() => reason.to_owned(),
        (ending, "") => ending.words().to_owned(),
        (ending, reason) => format!("{}: {reason}", ending.words()),
    };
    if exceptions > 0 {
        let need = if exceptions == 1 { " needs" } else { "s need" };
        text = format!("{exceptions} instance{need} a person; {text}");
    }
    let quit = app.fixed.keys.hint(Action::Quit);
    let (next, part) = match &app.fixed.next {
        Some(next) => (format!(". {next}, {quit} leaves"), Ui::Message),
        None if app.fixed.demo => (format!(". {quit} ends and removes the demo"), Ui::Sentence),
        None => (format!(". {quit} leaves; rollout show {}", state.plan.deployment), Ui::Sentence),
    };
    (text, next, if exceptions > 0 { Ui::Error } else { part })
}
