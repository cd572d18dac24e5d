//! The page with the keys: what is on it, which of it is looked for, and how it is leafed through.
//!
//! Imports: tui parts, model. May not: draw; name a key that the keymap lacks.

use super::app::App;
use super::confirm::Overlay;
use super::keymap::Bound;
use super::keys::{Action, Group, Key};
use super::update::Cmd;
use super::view;
use crate::model::InstanceState;

/// Longer than any word of it.
const LONGEST: usize = 40;

/// The page with the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Help {
    /// What is looked for.
    pub filter: String,
    /// It is being typed: keys are text.
    pub typing: bool,
    /// The page, from 0.
    pub page: usize,
}

/// A row of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    /// Between two parts.
    Blank,
    /// Over a part.
    Heading(&'static str),
    /// A key, and what it does.
    Key(&'a Bound, &'static str),
    /// A glyph, and the state that it stands for.
    State(InstanceState),
    /// A mark in a chart, and what it says.
    Mark(&'static str, &'static str),
}

/// Opens it on its first page.
pub(super) fn open(app: &mut App) {
    app.help = Help::default();
    app.overlay = Some(Overlay::Help);
}

/// Keys on it. What is bound to an act acts on nothing here: it closes the page.
pub(super) fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    if let Some(cmd) = app.aside(key) {
        return vec![cmd];
    }
    if app.help.typing {
        typed(app, key);
        return Vec::new();
    }
    let last = pages(app).saturating_sub(1);
    match app.fixed.keys.action(key, false) {
        Some(Action::Filter) => app.help.typing = true,
        Some(Action::Down | Action::PageDown) => app.help.page = (app.help.page + 1).min(last),
        Some(Action::Up | Action::PageUp) => app.help.page = app.help.page.min(last).saturating_sub(1),
        Some(Action::First) => app.help.page = 0,
        Some(Action::Last) => app.help.page = last,
        Some(Action::Back) if !app.help.filter.is_empty() => app.help = Help::default(),
        _ => app.overlay = None,
    }
    Vec::new()
}

fn typed(app: &mut App, key: Key) {
    let help = &mut app.help;
    match key {
        Key::Enter => help.typing = false,
        Key::Esc | Key::Ctrl('c') => *help = Help::default(),
        Key::Backspace if help.filter.is_empty() => help.typing = false,
        Key::Backspace => drop(help.filter.pop()),
        Key::Ctrl('u') => help.filter.clear(),
        Key::Char(c) if help.filter.chars().count() < LONGEST => help.filter.push(c),
        _ => {}
    }
    help.page = 0;
}

/// How many pages there are.
pub(super) fn pages(app: &App) -> usize {
    let (rows, beside) = view::help_page(app.size);
    flow(&rows_of(app), rows).len().div_ceil((rows * beside).max(1)).max(1)
}

/// Everything on it that is looked for: what is special on the open screen comes first.
pub(super) fn rows_of(app: &App) -> Vec<Row<'_>> {
    let keys = &app.fixed.keys;
    let wanted = app.help.filter.trim().to_lowercase();
    let is_wanted = |texts: &[&str]| texts.iter().any(|text| text.to_lowercase().contains(&wanted));
    let key = |bound: &Bound, words: &str| is_wanted(&[words, &bound.shown(), &bound.binding.action.name()]);
    let own = app.tab.keys().iter().filter_map(|(action, _, words)| Some(Row::Key(keys.of(*action)?, words)));
    let own = own.filter(|row| matches!(row, Row::Key(bound, words) if key(bound, words)));
    let mut parts = vec![("on this screen", own.collect::<Vec<_>>())];
    for group in Group::ALL {
        let of_group = keys.bound().iter().filter(|bound| bound.binding.action.group() == group);
        let of_group = of_group.filter(|bound| key(bound, bound.binding.words) || is_wanted(&[group.words()]));
        parts.push((group.words(), of_group.map(|bound| Row::Key(bound, bound.binding.words)).collect()));
    }
    let states = InstanceState::ALL.into_iter().filter(|state| is_wanted(&[state.word(), "legend"]));
    let marks = MARKS.iter().filter(|(_, words)| is_wanted(&[words, "legend"]));
    parts.push(("legend", states.map(Row::State).chain(marks.map(|(mark, words)| Row::Mark(mark, words))).collect()));
    let mut rows = Vec::new();
    for (heading, of_part) in parts {
        if !of_part.is_empty() {
            rows.extend((!rows.is_empty()).then_some(Row::Blank));
            rows.push(Row::Heading(heading));
            rows.extend(of_part);
        }
    }
    rows
}

/// What stands in the charts of latencies besides bars.
const MARKS: [(&str, &str); 2] = [("x", "a check that did not pass"), ("_", "down for its update")];

/// The rows in columns of this height: none begins with a gap or ends with a heading.
pub(super) fn flow<'a>(rows: &[Row<'a>], height: usize) -> Vec<Row<'a>> {
    let height = height.max(1);
    let mut flowed: Vec<Row<'a>> = Vec::new();
    for row in rows {
        match row {
            Row::Blank if flowed.len().is_multiple_of(height) => continue,
            Row::Heading(_) if height > 1 && (flowed.len() + 1).is_multiple_of(height) => flowed.push(Row::Blank),
            _ => {}
        }
        flowed.push(*row);
    }
    flowed
}
