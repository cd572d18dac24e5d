//! The foot: the message or the line in which a filter is typed, and the keys.
//!
//! Imports: tui parts, state. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::help::plain_arrows;
use super::place::Places;
use crate::state::Awaits;
use crate::tui::app::{App, Tone};
use crate::tui::confirm::Overlay;
use crate::tui::keymap::Bound;
use crate::tui::keys::Action;
use crate::tui::tab::Tab;
use crate::tui::text::width;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    // On every other screen than the fleet, its line is always the one above the keys.
    let above = Rect { y: places.keys.y.saturating_sub(1), ..places.keys };
    let fleet = canvas.app.tab == Tab::Fleet;
    let area = if fleet { places.message } else { above };
    match (&canvas.app.overlay, &canvas.app.message) {
        (Some(Overlay::Filter), _) => typed(canvas, area),
        (None, _) if canvas.app.idle.as_ref().is_some_and(|idle| idle.typing.is_some()) => super::idle::typed(canvas, area),
        (None, _) if canvas.app.runs.typing => super::runs::typed(canvas, area),
        (Some(Overlay::Command), _) => command(canvas, area),
        (_, Some((text, tone))) => {
            let part = if *tone == Tone::Refused { Ui::Warning } else { Ui::Message };
            canvas.clear(area);
            canvas.text(area, &format!(" {text}"), part);
        }
        // The rule over the pane has its title.
        (_, None) if area == places.pane_rule && fleet => {}
        (_, None) => canvas.rule(area, Vec::new()),
    }
    if matches!(canvas.app.overlay, Some(Overlay::Command)) {
        candidates(canvas, places.keys);
    } else {
        keys(canvas, places.keys);
    }
}

/// The command as it is typed; its end is always seen.
fn command(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let text = canvas.app.command_line.text();
    let room = usize::from(area.width).saturating_sub(4);
    let tail: String = text.chars().skip(text.chars().count().saturating_sub(room)).collect();
    let spans = vec![Span::styled(" :", canvas.ui(Ui::Key)), Span::raw(tail), Span::styled(" ", canvas.ui(Ui::Selected))];
    canvas.lines(area, vec![Line::from(spans)]);
}

/// What may follow, in the place of the keys; the one that was taken is marked.
fn candidates(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let columns = usize::from(area.width);
    let (found, taken) = canvas.app.command_line.candidates(canvas.app);
    if found.is_empty() {
        canvas.text(area, " Enter does it, Esc drops it", Ui::Quiet);
        return;
    }
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    // The one that was taken is in sight.
    let first = taken.map_or(0, |taken| taken.saturating_sub(2));
    for (number, candidate) in found.iter().enumerate().skip(first) {
        let more = format!("+{}", found.len() - number);
        let mark = if taken == Some(number) { ("[", "] ") } else { (" ", "  ") };
        let text = format!("{}{}{}", mark.0, candidate, mark.1);
        let last = number + 1 == found.len();
        if used + width(&text) + if last { 0 } else { more.len() } > columns {
            spans.push(Span::styled(more, canvas.ui(Ui::Quiet)));
            break;
        }
        used += width(&text);
        spans.push(Span::styled(text, canvas.ui(if taken == Some(number) { Ui::Key } else { Ui::Sentence })));
    }
    canvas.lines(area, vec![Line::from(spans)]);
}

/// The filter as it is typed; its end is always seen.
fn typed(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let list = &canvas.app.list;
    let columns = usize::from(area.width);
    let count = format!("{} of {}", list.shown().len(), canvas.app.state.instances.len());
    let hint = format!("{count}  state: zone: version: latency> !not  Enter keeps, Esc clears");
    let text = list.filter.text();
    // The text comes first, then how many pass, then the help.
    let hint = if width(text) + width(&hint) + 5 <= columns { hint } else { count };
    let room = columns.saturating_sub(width(&hint) + 5).max(8);
    let skipped = text.chars().count().saturating_sub(room);
    let tail: String = text.chars().skip(skipped).collect();
    let used = width(&tail) + 3;
    canvas.lines(
        area,
        vec![Line::from(vec![
            Span::styled(" /", canvas.ui(Ui::Key)),
            Span::raw(tail),
            Span::styled(" ", canvas.ui(Ui::Selected)),
            Span::raw(" ".repeat(columns.saturating_sub(used + width(&hint) + 1))),
            Span::styled(hint, canvas.ui(Ui::Quiet)),
        ])],
    );
}

/// The acts on the whole deployment, and what else there is room for.
const FLEET: [Action; 14] = [
    Action::Deploy,
    Action::Pause,
    Action::Resume,
    Action::Cancel,
    Action::Rollback,
    Action::NextFailure,
    Action::Filter,
    Action::Enter,
    Action::Skip,
    Action::Hold,
    Action::Release,
    Action::Sort,
    Action::Follow,
    Action::Pane,
];

/// How many of them are on every screen.
const URGENT: usize = 5;

/// The acts on one instance come first while it is looked at.
const ONE: [Action; 11] = [
    Action::Skip,
    Action::Hold,
    Action::Release,
    Action::Pause,
    Action::Resume,
    Action::Cancel,
    Action::Rollback,
    Action::NextFailure,
    Action::Follow,
    Action::Pane,
    Action::Filter,
];

/// The keys that do something now, always in the same order; the others, and those that there is no room for, are on the
/// help page.
fn keys(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let columns = usize::from(area.width);
    let wide = columns >= 78;
    let ascii = canvas.ascii();
    let part = |bound: &Bound, label: &'static str| {
        let key = bound.first().unwrap_or_default();
        let key = if ascii { plain_arrows(&key) } else { key };
        let label = if wide { format!(" {label}  ") } else { " ".to_owned() };
        [Span::styled(key, canvas.ui(Ui::Key)), Span::styled(label, canvas.ui(Ui::Sentence))]
    };
    let of = |action: Action| app.fixed.keys.of(action).filter(|bound| app.offers(bound));
    let columns_of = |spans: &[Span<'static>]| spans.iter().map(|s| width(&s.content)).sum::<usize>();
    let right: Vec<Span<'static>> =
        [Action::Help, Action::Quit].into_iter().filter_map(of).flat_map(|bound| part(bound, bound.binding.label)).collect();
    let room = columns.saturating_sub(columns_of(&right));
    let mut spans = Vec::new();
    if app.inspecting() {
        let walks = [(Action::Back, " back  "), (Action::Previous, " previous  "), (Action::Next, " next  ")];
        for (action, label) in walks {
            let Some(key) = app.fixed.keys.of(action).and_then(Bound::first) else { continue };
            let label = if wide { label } else { " " };
            spans.extend([Span::styled(key, canvas.ui(Ui::Key)), Span::raw(label)]);
        }
    }
    let named = |action: Action, label: &'static str| {
        let key = app.fixed.keys.hint(action);
        let label = if wide { label } else { " " };
        [Span::styled(key, canvas.ui(Ui::Key)), Span::raw(label)]
    };
    if app.runs.scrub.is_some() {
        let steps = [
            (Action::Left, " "),
            (Action::Right, " step  "),
            (Action::Play, " play  "),
            (Action::NextMark, " next mark  "),
            (Action::Faster, " faster  "),
            (Action::Back, " out  "),
        ];
        spans.extend(steps.into_iter().flat_map(|(action, label)| named(action, label)));
    }
    // What is next to be done has the first place, whichever it is.
    spans.extend(of(next_act(app)).into_iter().flat_map(|bound| part(bound, bound.binding.label)));
    // What keys mean on this screen alone comes after the acts that may be urgent on every screen.
    let own = app.tab.keys();
    let others = match app.tab {
        Tab::Instance => ONE.as_slice(),
        _ if own.is_empty() => &FLEET,
        _ => FLEET.get(..URGENT).unwrap_or(&FLEET),
    };
    let others = others.iter().filter_map(|action| of(*action)).map(|bound| (bound, label_of(app, bound)));
    let own = own.iter().filter(|(_, label, _)| !label.is_empty());
    let own = own.filter_map(|(action, label, _)| Some((app.fixed.keys.of(*action)?, *label)));
    for (bound, label) in others.chain(own) {
        let next = part(bound, label);
        if columns_of(&spans) + columns_of(&next) > room {
            break;
        }
        spans.extend(next);
    }
    spans.push(Span::raw(" ".repeat(room.saturating_sub(columns_of(&spans)))));
    spans.extend(right);
    canvas.lines(area, vec![Line::from(spans)]);
}

/// What is approved is a batch, what is promoted a step.
fn label_of(app: &App, bound: &Bound) -> &'static str {
    let of_step = bound.binding.action == Action::Promote && app.state.step.is_some();
    if of_step { "promote" } else { bound.binding.label }
}

/// Start, approve or retry: only one of them can be next.
fn next_act(app: &App) -> Action {
    match app.state.awaits {
        _ if app.state.started_at.is_none() => Action::Start,
        Some(Awaits::Approval | Awaits::Promotion) => Action::Promote,
        Some(Awaits::Start | Awaits::Answer | Awaits::Release) | None => Action::Retry,
    }
}
