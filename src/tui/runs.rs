//! Earlier deployments: the list of them, which one is selected, and the way into the replay of one.
//!
//! Imports: tui parts, session, model. May not: draw; send.

use super::app::{App, Dirt, Tone};
use super::keys::{Action, Key};
use super::replay::{self, Replay, Scrub};
use super::tab::Tab;
use super::update::Cmd;
use super::view;
use crate::model::DeploymentId;
use crate::ports::{Chapter, Chapters, Story};

/// Longer than anyone types, short enough for a line.
const LONGEST: usize = 60;

/// The past of the service, as far as it was told.
#[derive(Debug, Default)]
pub struct Runs {
    /// What was told last; none before the first answer, or where nobody tells.
    pub told: Option<Chapters>,
    /// Why it could not be told.
    pub trouble: Option<String>,
    /// It was asked for, and the answer is on its way.
    pub asked: bool,
    /// What the rows must contain.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// A deployment, not a row: the list may grow above it.
    selected: Option<DeploymentId>,
    /// The one whose story was asked for.
    wanted: Option<DeploymentId>,
    /// The replay that is open, over everything else.
    pub replay: Option<Box<Replay>>,
    /// Of the console in a replay: where that stands.
    pub scrub: Option<Scrub>,
    /// There is nothing behind the replay: out of it is out of the console.
    pub(super) alone: bool,
}

impl Runs {
    /// The deployments that pass the filter, newest first.
    pub fn shown(&self) -> Vec<&Chapter> {
        let all = self.told.as_ref().map(|told| told.all.as_slice()).unwrap_or_default();
        all.iter().filter(|chapter| passes(chapter, &self.filter)).collect()
    }

    /// The selected one's place among them.
    pub fn position(&self) -> usize {
        self.shown().iter().position(|chapter| Some(&chapter.id) == self.selected.as_ref()).unwrap_or(0)
    }

    /// The selected one.
    pub fn selection(&self) -> Option<&Chapter> {
        self.shown().get(self.position()).copied()
    }

    fn select(&mut self, position: usize) {
        let shown = self.shown();
        let id = shown.get(position.min(shown.len().saturating_sub(1))).map(|chapter| chapter.id.clone());
        self.selected = id;
    }
}

/// Every word of the filter must be in the row, or must not if it begins with `!`.
fn passes(chapter: &Chapter, filter: &str) -> bool {
    let Chapter { id, version, status, started_by, damage, .. } = chapter;
    let damaged = if damage.is_some() { "damaged" } else { "" };
    let text = format!("{id} {version} {status} {started_by} {damaged}").to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| match word.strip_prefix('!') {
        Some("") => true,
        Some(word) => !text.contains(word),
        None => text.contains(word),
    })
}

/// The screen opens: what it shows is asked for anew.
pub(super) fn open(app: &mut App) -> Vec<Cmd> {
    app.open(Tab::History);
    // A key that is held asks once.
    if app.runs.asked { Vec::new() } else { ask(app) }
}

/// A deployment has ended: what is known of the past is old, if anything is.
pub(super) fn outdated(app: &mut App) -> Vec<Cmd> {
    if app.runs.told.is_some() || app.tab == Tab::History { ask(app) } else { Vec::new() }
}

fn ask(app: &mut App) -> Vec<Cmd> {
    app.runs.asked = true;
    vec![Cmd::Past]
}

/// The answer: the past, none where nobody tells it, or why it cannot be told.
pub(super) fn take_past(app: &mut App, told: Result<Option<Chapters>, String>) -> Vec<Cmd> {
    let runs = &mut app.runs;
    runs.asked = false;
    match told {
        Ok(told) => {
            (runs.told, runs.trouble) = (told, None);
            let position = runs.position();
            runs.select(position);
        }
        // What was told before stands.
        Err(why) => runs.trouble = Some(why),
    }
    app.dirt = Dirt::Now;
    Vec::new()
}

/// The story of the deployment that is to be replayed.
pub(super) fn take_story(app: &mut App, id: &DeploymentId, story: Result<Option<Story>, String>) -> Vec<Cmd> {
    app.dirt = Dirt::Now;
    if app.runs.wanted.as_ref() != Some(id) || app.tab != Tab::History {
        return Vec::new();
    }
    app.runs.wanted = None;
    app.message = None;
    if app.overlay.is_some() {
        // A question that is open must not go on behind it.
        app.say(format!("{id} is read; ask for it again once this is answered"), Tone::Plain);
        return Vec::new();
    }
    match story {
        Ok(Some(story)) => {
            if let Err(why) = replay::open(app, story) {
                app.say(why, Tone::Refused);
            }
        }
        Ok(None) => app.say(format!("{id} is not told here; rollout replay {id}"), Tone::Refused),
        Err(why) => app.say(why, Tone::Refused),
    }
    Vec::new()
}

/// Keys that are taken before all others: those of a replay, and those of the filter while it is typed.
pub(super) fn on_key(app: &mut App, key: Key) -> Option<Vec<Cmd>> {
    if app.runs.replay.is_some() {
        return Some(replay::on_key(app, key));
    }
    let runs = &mut app.runs;
    if !runs.typing {
        return None;
    }
    let position = runs.position();
    match key {
        Key::Enter => runs.typing = false,
        Key::Esc | Key::Ctrl('c') => {
            runs.typing = false;
            runs.filter.clear();
        }
        Key::Backspace if runs.filter.is_empty() => runs.typing = false,
        Key::Backspace => drop(runs.filter.pop()),
        Key::Ctrl('u') => runs.filter.clear(),
        Key::Up => runs.select(position.saturating_sub(1)),
        Key::Down => runs.select(position + 1),
        Key::Char(c) if runs.filter.chars().count() < LONGEST => runs.filter.push(c),
        _ => return Some(app.aside(key).into_iter().collect()),
    }
    Some(Vec::new())
}

/// What keys mean here alone.
pub(super) const KEYS: [(Action, &str, &str); 3] = [
    (Action::Enter, "replay", "replay the selected deployment"),
    (Action::Filter, "filter", "filter the deployments"),
    (Action::Back, "back", "back; clears the filter"),
];

/// What `action` means here.
pub(super) fn on_action(app: &mut App, action: Action) -> Option<Vec<Cmd>> {
    let page = view::runs_page(app.size);
    let runs = &mut app.runs;
    let here = runs.position();
    match action {
        Action::Up | Action::Previous => runs.select(here.saturating_sub(1)),
        Action::Down | Action::Next => runs.select(here + 1),
        Action::PageUp => runs.select(here.saturating_sub(page)),
        Action::PageDown => runs.select(here + page),
        Action::First => runs.select(0),
        Action::Last => runs.select(usize::MAX),
        Action::Filter => runs.typing = true,
        Action::Back if !runs.filter.is_empty() => runs.filter.clear(),
        Action::Enter | Action::Inspect => return Some(wanted(app)),
        _ => return None,
    }
    Some(Vec::new())
}

/// The story of the selected one is to be replayed.
fn wanted(app: &mut App) -> Vec<Cmd> {
    let Some(id) = app.runs.selection().map(|chapter| chapter.id.clone()) else {
        app.say("there is no deployment to replay", Tone::Refused);
        return Vec::new();
    };
    if app.runs.wanted.as_ref() == Some(&id) {
        return Vec::new();
    }
    app.say(format!("reading {id}"), Tone::Plain);
    app.runs.wanted = Some(id.clone());
    vec![Cmd::Story(id)]
}
