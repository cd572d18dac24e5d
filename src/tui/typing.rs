//! The line in which a filter is typed: its keys are text, and move the selection, and never ask the engine for anything.
//!
//! Imports: tui parts. May not: send.

use super::app::App;
use super::keys::{Key, action};
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
        Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
            if let Some(action) = action(key, app.state.started_at.is_none()) {
                view::walk(app, action);
            }
        }
        Key::Ctrl('z') => return vec![Cmd::Suspend],
        Key::Ctrl('l') => return vec![Cmd::Repaint],
        _ => {}
    }
    Vec::new()
}
