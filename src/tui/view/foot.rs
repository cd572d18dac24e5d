//! The foot: the message or the line in which a filter is typed, and the keys.
//!
//! Imports: tui parts. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::place::Places;
use crate::tui::app::Tone;
use crate::tui::confirm::Overlay;
use crate::tui::keys::{Action, KEYMAP};
use crate::tui::text::width;
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    // Over one instance, its line is always the one above the keys.
    let above = Rect { y: places.keys.y.saturating_sub(1), ..places.keys };
    let area = if canvas.app.inspecting { above } else { places.message };
    match (&canvas.app.overlay, &canvas.app.message) {
        (Some(Overlay::Filter), _) => typed(canvas, area),
        (_, Some((text, tone))) => {
            let part = if *tone == Tone::Refused { Ui::Warning } else { Ui::Message };
            canvas.clear(area);
            canvas.text(area, &format!(" {text}"), part);
        }
        // The rule over the pane has its title.
        (_, None) if area == places.pane_rule && !canvas.app.inspecting => {}
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
    let hint = if columns >= 76 { hint } else { count };
    let room = columns.saturating_sub(width(&hint) + 5).max(8);
    let text = list.filter.text();
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

/// The keys that matter, always in the same place, dim when off; those that there is no room for are on the help page.
fn keys(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let columns = usize::from(area.width);
    let wide = columns >= 78;
    let part = |action, shown: &str, label: &str| {
        let off = app.allowed(action).is_err();
        let key = shown.split(' ').next().unwrap_or(shown);
        let (key_part, label_part) = if off { (Ui::KeyOff, Ui::KeyOff) } else { (Ui::Key, Ui::Sentence) };
        let label = if wide { format!(" {label}  ") } else { " ".to_owned() };
        [Span::styled(key.to_owned(), canvas.ui(key_part)), Span::styled(label, canvas.ui(label_part))]
    };
    let columns_of = |spans: &[Span<'static>]| spans.iter().map(|s| width(&s.content)).sum::<usize>();
    let labelled = || KEYMAP.iter().filter(|b| !b.label.is_empty());
    let is_last = |action| matches!(action, Action::Help | Action::Quit);
    let right: Vec<Span<'static>> =
        labelled().filter(|b| is_last(b.action)).flat_map(|b| part(b.action, b.shown, b.label)).collect();
    let room = columns.saturating_sub(columns_of(&right));
    let mut spans = Vec::new();
    if app.inspecting {
        for (shown, label) in [("Esc", "back"), ("[", "previous"), ("]", "next")] {
            spans.extend(part(Action::Back, shown, label));
        }
    }
    for binding in labelled().filter(|b| !is_last(b.action) && (!app.inspecting || is_for_one(b.action))) {
        let next = part(binding.action, binding.shown, binding.label);
        if columns_of(&spans) + columns_of(&next) > room {
            break;
        }
        spans.extend(next);
    }
    spans.push(Span::raw(" ".repeat(room.saturating_sub(columns_of(&spans)))));
    spans.extend(right);
    canvas.lines(area, vec![Line::from(spans)]);
}

/// What is of use while one instance is looked at.
fn is_for_one(action: Action) -> bool {
    !matches!(action, Action::Start | Action::Enter | Action::Filter | Action::Sort)
}
