//! The foot: the message or the line in which a filter is typed, and the keys.
//!
//! Imports: tui parts, state. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::place::Places;
use crate::state::Awaits;
use crate::tui::app::{App, Tone};
use crate::tui::confirm::Overlay;
use crate::tui::keys::{Action, Binding, KEYMAP};
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
        (_, Some((text, tone))) => {
            let part = if *tone == Tone::Refused { Ui::Warning } else { Ui::Message };
            canvas.clear(area);
            canvas.text(area, &format!(" {text}"), part);
        }
        // The rule over the pane has its title.
        (_, None) if area == places.pane_rule && fleet => {}
        (_, None) => canvas.rule(area, Vec::new()),
    }
    keys(canvas, places.keys);
}

/// The filter as it is typed; its end is always seen.
fn typed(canvas: &mut Canvas<'_, '_>, area: Rect) {
    canvas.clear(area);
    let list = &canvas.app.list;
    let columns = usize::from(area.width);
    let count = format!("{} of {}", list.shown().len(), canvas.app.state.instances.len());
    let hint = format!("{count}  state: zone: version: !not  Enter keeps, Esc clears");
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
    let part = |binding: &Binding| {
        let key = binding.shown.split(' ').next().unwrap_or(binding.shown);
        let label = if wide { format!(" {}  ", binding.label) } else { " ".to_owned() };
        [Span::styled(key.to_owned(), canvas.ui(Ui::Key)), Span::styled(label, canvas.ui(Ui::Sentence))]
    };
    let of = |action: Action| KEYMAP.iter().find(|binding| binding.action == action).filter(|binding| app.offers(binding));
    let columns_of = |spans: &[Span<'static>]| spans.iter().map(|s| width(&s.content)).sum::<usize>();
    let right: Vec<Span<'static>> = [Action::Help, Action::Quit].into_iter().filter_map(of).flat_map(part).collect();
    let room = columns.saturating_sub(columns_of(&right));
    let mut spans = Vec::new();
    if app.inspecting() {
        for (key, label) in [("Esc", " back  "), ("[", " previous  "), ("]", " next  ")] {
            let label = if wide { label } else { " " };
            spans.extend([Span::styled(key, canvas.ui(Ui::Key)), Span::raw(label)]);
        }
    }
    if app.runs.scrub.is_some() {
        let keys = if canvas.ascii() { "Left Right" } else { "← →" };
        for (key, label) in [(keys, " step  "), ("Space", " play  "), ("{ }", " marks  "), ("< >", " speed  "), ("Esc", " out  ")]
        {
            let label = if wide { label } else { " " };
            spans.extend([Span::styled(key, canvas.ui(Ui::Key)), Span::raw(label)]);
        }
    }
    if app.tab == Tab::History {
        for (key, label) in [("Enter", " replay  "), ("/", " filter  "), ("Esc", " back  ")] {
            let label = if wide { label } else { " " };
            spans.extend([Span::styled(key, canvas.ui(Ui::Key)), Span::raw(label)]);
        }
    }
    // What is next to be done has the first place, whichever it is.
    spans.extend(of(next_act(app)).into_iter().flat_map(part));
    let others: &[Action] = match app.tab {
        Tab::Instance => &ONE,
        // There, they are about deployments.
        Tab::History => FLEET.get(..5).unwrap_or_default(),
        _ => &FLEET,
    };
    for binding in others.iter().filter_map(|action| of(*action)) {
        let next = part(binding);
        if columns_of(&spans) + columns_of(&next) > room {
            break;
        }
        spans.extend(next);
    }
    spans.push(Span::raw(" ".repeat(room.saturating_sub(columns_of(&spans)))));
    spans.extend(right);
    canvas.lines(area, vec![Line::from(spans)]);
}

/// Start, approve or retry: only one of them can be next.
fn next_act(app: &App) -> Action {
    match app.state.awaits {
        _ if app.state.started_at.is_none() => Action::Start,
        Some(Awaits::Approval) => Action::Promote,
        Some(Awaits::Start | Awaits::Answer | Awaits::Release) | None => Action::Retry,
    }
}
