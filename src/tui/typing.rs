//! The line in which a filter is typed: its keys are text, and move the selection, and never ask the engine for anything.
//!
//! Imports: tui parts. May not: send.

use super::app::App;
use super::keys::{Action, Key};
use super::update::Cmd;
use super::view;

/// Longer than anyone types, short enough for a line.
const LONGEST: usize = 120;

/// Keys while the filter is typed: it takes effect at once.
pub(super) fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    let text = app.list.filter.text().to_owned();
    match key {
        Key::Enter => app.overlay = None,
        Key::Esc | Key::Ctrl('c') => {
            app.overlay = None;
            app.set_filter("");
        }
        Key::Backspace if text.is_empty() => app.overlay = None,
        Key::Backspace => {
            let mut rest = text.chars();
            rest.next_back();
            app.set_filter(rest.as_str());
        }
        Key::Ctrl('u') => app.set_filter(""),
        Key::Char(c) if text.chars().count() < LONGEST => app.set_filter(&format!("{text}{c}")),
        // Whatever is bound: an arrow is no text.
        Key::Up => view::walk(app, Action::Up),
        Key::Down => view::walk(app, Action::Down),
        Key::PageUp => view::walk(app, Action::PageUp),
        Key::PageDown => view::walk(app, Action::PageDown),
        _ => return app.aside(key).into_iter().collect(),
    }
    Vec::new()
}
