//! The engine's log on the whole screen: what is kept of it, which of it is shown, and where it is looked at.
//!
//! tui-logger keeps the levels of every target, here and in the pane of the fleet. It keeps its records to itself, so that
//! nothing in them can be searched, wrapped or counted: the lines are kept here. What passes and what matches is found once
//! for each line, so that a frame costs what it shows.
//!
//! Imports: tui parts, event, model. May not: draw; send.

use std::collections::VecDeque;
use std::fmt;

use ::log::{Level, LevelFilter};
use tui_logger::LevelConfig;

use super::app::{App, Tone};
use super::confirm::Overlay;
use super::keys::{Action, Key};
use super::log::part;
use super::tab::Tab;
use super::update::Cmd;
use super::view;
use crate::event::{Actor, Event, EventKind, clean};
use crate::model::{InstanceId, Seq, Timestamp};
use crate::ports::LogLine;

/// Lines that are kept.
pub(super) const KEPT: usize = 10_000;
/// Characters that are kept of a line.
const LINE: usize = 1_000;
/// Parts of the program that are told apart; there are not so many.
const TARGETS: usize = 40;
/// Longer than anyone looks for.
const LONGEST: usize = 80;

/// What keys mean here: their label, and their words for help.
pub(super) const KEYS: [(Action, &str, &str); 11] = [
    (Action::Filter, "search", "look for a text"),
    (Action::NextFailure, "next", "next match of the search"),
    (Action::PreviousFailure, "", "the match before"),
    (Action::OnlyThis, "instance", "only the selected one's lines"),
    (Action::Wrap, "wrap", "wrap long lines, or cut them"),
    (Action::Follow, "follow", "follow the newest line"),
    (Action::Pane, "target", "next part of the program"),
    (Action::Left, "", "fewer levels of that part"),
    (Action::Right, "", "more levels of that part"),
    (Action::Enter, "", "that part alone, or all again"),
    (Action::Fitting, "", "every line again"),
];

/// A line that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// When.
    pub(super) at: Timestamp,
    /// None: somebody did this.
    pub(super) level: Option<Level>,
    /// The part of the program, or who did it.
    pub(super) target: String,
    /// What it says.
    pub(super) text: String,
}

/// The log, and where it is looked at. Lines are numbered as they come.
#[derive(Default)]
pub struct Logs {
    kept: VecDeque<Kept>,
    /// The number of the first one that is kept.
    first: u64,
    /// Those that are shown, ascending.
    shown: VecDeque<u64>,
    /// Those of them that match the search.
    matches: VecDeque<u64>,
    /// The levels by target, as tui-logger keeps them.
    levels: LevelConfig,
    targets: Vec<String>,
    /// The one whose levels are changed; none is all of them.
    pub(super) target: Option<usize>,
    /// Only that one is shown.
    pub(super) alone: bool,
    /// Only lines that name it.
    pub(super) instance: Option<InstanceId>,
    /// What is looked for.
    pub(super) search: String,
    /// The match that was gone to.
    pub(super) found: Option<u64>,
    /// The last line on the screen; none follows the newest.
    bottom: Option<u64>,
    /// What came after this is new since it was followed.
    stopped: u64,
    /// Long lines take several rows.
    pub(super) wrap: bool,
    /// Lines that never came.
    pub(super) lost: u64,
    /// The engine's number of its last line.
    last: u64,
    /// The last fact that was looked at: a replay that goes back tells it again.
    told: Seq,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("kept", &self.kept.len()).field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Logs {
    /// Takes a line of the engine in.
    pub(super) fn take_line(&mut self, line: &LogLine) {
        let gap = line.number.saturating_sub(self.last + 1);
        self.lost += if self.last > 0 { gap } else { 0 };
        self.last = line.number;
        let target = clean(part(&line.target)).into_owned();
        if !self.targets.contains(&target) && self.targets.len() < TARGETS {
            let focused = self.target.and_then(|at| self.targets.get(at)).cloned();
            self.targets.push(target.clone());
            self.targets.sort_unstable();
            self.target = focused.and_then(|focused| self.targets.iter().position(|target| *target == focused));
        }
        let level = Some(line.level.parse().unwrap_or(Level::Info));
        let text = clean(&line.message).chars().take(LINE).collect();
        self.keep(Kept { at: line.at, level, target, text });
    }

    /// Takes in what somebody did: it explains the lines around it.
    pub(super) fn take_event(&mut self, event: &Event) {
        if event.seq <= self.told {
            return;
        }
        self.told = event.seq;
        if let Some(by) = operator(&event.kind) {
            let target = clean(&by.name()).into_owned();
            self.keep(Kept { at: event.at, level: None, target, text: clean(&event.kind.words()).into_owned() });
        }
    }

    fn keep(&mut self, line: Kept) {
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
            self.first += 1;
            for of in [&mut self.shown, &mut self.matches] {
                if of.front().is_some_and(|number| *number < self.first) {
                    of.pop_front();
                }
            }
        }
        let number = self.end();
        if self.passes(&line) {
            self.shown.push_back(number);
            if self.is_match(&line) {
                self.matches.push_back(number);
            }
        }
        self.kept.push_back(line);
    }

    /// The number of the next line.
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// How far it has come, to be gone back to.
    pub(super) fn mark(&self) -> (u64, Seq) {
        (self.end(), self.told)
    }

    /// Goes back: what came after is not there yet.
    pub(super) fn go_back(&mut self, (end, told): (u64, Seq)) {
        let keep = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.truncate(keep);
        self.told = told;
        self.found = self.found.filter(|number| *number < end);
        self.bottom = self.bottom.filter(|number| *number < end);
        self.sift();
    }

    fn passes(&self, line: &Kept) -> bool {
        let of_instance = self.instance.as_ref().is_none_or(|id| view::names(&line.text, id.as_str()));
        let alone = self.focused().filter(|_| self.alone).is_none_or(|target| line.target == target);
        of_instance && alone && line.level.is_none_or(|level| level <= self.level_of(&line.target))
    }

    fn is_match(&self, line: &Kept) -> bool {
        !self.search.is_empty() && find(&line.text, &self.search, 0).is_some()
    }

    /// Looks at all lines again.
    fn sift(&mut self) {
        let numbered = || (self.first..).zip(&self.kept).filter(|(_, line)| self.passes(line));
        let shown = numbered().map(|(number, _)| number).collect();
        let matches = numbered().filter(|(_, line)| self.is_match(line)).map(|(number, _)| number).collect();
        (self.shown, self.matches) = (shown, matches);
    }

    /// The levels of a target that are shown.
    pub(super) fn level_of(&self, target: &str) -> LevelFilter {
        let default = self.levels.get_default_display_level().unwrap_or(LevelFilter::Trace);
        self.levels.get(target).unwrap_or(default)
    }

    /// All parts of the program that said something, by name.
    pub(super) fn targets(&self) -> &[String] {
        &self.targets
    }

    /// The target whose levels are changed.
    pub(super) fn focused(&self) -> Option<&str> {
        self.target.and_then(|at| self.targets.get(at)).map(String::as_str)
    }

    /// The line with this number.
    pub(super) fn line(&self, number: u64) -> Option<&Kept> {
        self.kept.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// How many lines are kept.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The lines that are shown, by number.
    pub(super) fn shown(&self) -> &VecDeque<u64> {
        &self.shown
    }

    /// How many lines match, and which of them was gone to, from 1.
    pub(super) fn matching(&self) -> (usize, Option<usize>) {
        let at = self.found.and_then(|found| self.matches.binary_search(&found).ok());
        (self.matches.len(), at.map(|at| at + 1))
    }

    /// The place among those shown of the last one on the screen.
    pub(super) fn place(&self) -> usize {
        let last = self.shown.len().saturating_sub(1);
        self.bottom.map_or(last, |bottom| self.shown.partition_point(|number| *number <= bottom).saturating_sub(1).min(last))
    }

    /// None while the newest is followed, else how many lines came since.
    pub(super) fn waiting(&self) -> Option<usize> {
        self.bottom.map(|_| self.shown.len() - self.shown.partition_point(|number| *number < self.stopped))
    }

    /// Looks at another place; at the last line it follows again.
    fn look_at(&mut self, place: usize) {
        if place + 1 >= self.shown.len() {
            self.bottom = None;
            return;
        }
        if self.bottom.is_none() {
            self.stopped = self.end();
        }
        self.bottom = self.shown.get(place).copied();
    }

    /// The next match downwards, or upwards; around the end. What to say of it.
    fn next_match(&mut self, down: bool) -> Option<&'static str> {
        // From where it was looked at; a new search begins at what is on the screen.
        let here = self.found.or_else(|| self.shown.get(self.place()).map(|number| number + u64::from(!down)))?;
        let found = if down {
            self.matches.get(self.matches.partition_point(|number| *number <= here))
        } else {
            self.matches.partition_point(|number| *number < here).checked_sub(1).and_then(|at| self.matches.get(at))
        };
        let around = if down { self.matches.front() } else { self.matches.back() };
        let said = found.is_none().then_some(if down { "from the top again" } else { "from the bottom again" });
        self.found = found.or(around).copied();
        said
    }
}

/// Who did it, if it was no rule of the engine.
fn operator(kind: &EventKind) -> Option<&Actor> {
    let (EventKind::DeploymentStarted { by }
    | EventKind::DeploymentPaused { by, .. }
    | EventKind::DeploymentResumed { by }
    | EventKind::CancelRequested { by, .. }
    | EventKind::CommandsStopped { by, .. }
    | EventKind::RollbackStarted { by, .. }
    | EventKind::BatchApproved { by, .. }
    | EventKind::StepCompleted { by: Some(by), .. }
    | EventKind::InstanceHeld { by, .. }
    | EventKind::InstanceReleased { by, .. }
    | EventKind::InstanceRetried { by, .. }
    | EventKind::InstanceDiscounted { by, .. }) = kind
    else {
        return None;
    };
    (!matches!(by, Actor::Engine)).then_some(by)
}

/// Where `wanted` is in `text` from byte `from` on; capitals are like small letters.
pub(super) fn find(text: &str, wanted: &str, from: usize) -> Option<usize> {
    let (text, wanted) = (text.as_bytes().get(from..)?, wanted.as_bytes());
    text.windows(wanted.len().max(1)).position(|window| window.eq_ignore_ascii_case(wanted)).map(|at| at + from)
}

/// What `action` means here.
pub(super) fn on_action(app: &mut App, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => scroll(app, action),
        Action::Follow => app.logs.bottom = None,
        Action::Filter => app.overlay = Some(Overlay::Search),
        Action::NextFailure | Action::PreviousFailure => go_to_match(app, action == Action::NextFailure),
        Action::Pane => {
            let logs = &mut app.logs;
            logs.target = logs.target.map_or(Some(0), |at| Some(at + 1)).filter(|at| *at < logs.targets.len());
            logs.alone &= logs.target.is_some();
            logs.sift();
        }
        Action::Left | Action::Right => relevel(app, action == Action::Right),
        Action::Enter if app.logs.target.is_some() => {
            app.logs.alone = !app.logs.alone;
            app.logs.sift();
        }
        Action::Wrap => app.logs.wrap = !app.logs.wrap,
        Action::Fitting => {
            let logs = &mut app.logs;
            (logs.levels, logs.target, logs.alone, logs.instance) = (LevelConfig::new(), None, false, None);
            logs.sift();
            tell_pane(app);
        }
        Action::Previous | Action::Next if app.logs.instance.is_some() => {
            view::walk(app, action);
            app.logs.instance = app.selected_id();
            app.logs.sift();
        }
        Action::Back if !app.logs.search.is_empty() => look_for(app, String::new()),
        Action::Back if app.logs.bottom.is_some() => app.logs.bottom = None,
        _ => return None,
    }
    Some(Vec::new())
}

/// The lines that name the selected instance, or all again; from another screen it leads here.
pub(super) fn only_this(app: &mut App) {
    let wanted = app.selected_id().filter(|id| app.tab != Tab::Logs || app.logs.instance.as_ref() != Some(id));
    app.open(Tab::Logs);
    app.logs.instance = wanted;
    app.logs.sift();
}

fn scroll(app: &mut App, action: Action) {
    let rows = view::log_rows(app.size);
    let logs = &mut app.logs;
    let here = logs.place();
    // Cut lines fill the screen from the first one on; wrapped ones may take more rows than there are.
    let least = if logs.wrap { 0 } else { rows.saturating_sub(1) };
    let place = match action {
        Action::Up => here.saturating_sub(1),
        Action::Down => here + 1,
        Action::PageUp => here.saturating_sub(rows),
        Action::PageDown => here + rows,
        Action::First => 0,
        _ => usize::MAX - 1,
    };
    logs.look_at(place.max(least));
}

/// Fewer or more levels of the target that is chosen, or of all.
fn relevel(app: &mut App, more: bool) {
    let logs = &mut app.logs;
    let change = |level: LevelFilter| {
        let at = LevelFilter::iter().position(|one| one == level).unwrap_or_default();
        LevelFilter::iter().nth(if more { at + 1 } else { at.saturating_sub(1) }).unwrap_or(level)
    };
    if let Some(target) = logs.focused().map(str::to_owned) {
        let level = change(logs.level_of(&target));
        logs.levels.set(&target, level);
    } else {
        // All together: what differed is one again.
        let level = change(logs.levels.get_default_display_level().unwrap_or(LevelFilter::Trace));
        logs.levels = LevelConfig::new();
        logs.levels.set_default_display_level(level);
    }
    logs.sift();
    tell_pane(app);
}

/// The pane of the fleet shows the same levels.
fn tell_pane(app: &mut App) {
    let mut state = std::mem::take(&mut app.log.0);
    state = state.set_default_display_level(app.logs.level_of(""));
    for target in &app.logs.targets {
        state = state.set_level_for_target(target, app.logs.level_of(target));
    }
    app.log.0 = state;
}

fn look_for(app: &mut App, text: String) {
    app.logs.search = text;
    app.logs.found = None;
    app.logs.sift();
}

fn go_to_match(app: &mut App, down: bool) {
    if app.logs.search.is_empty() {
        let key = app.fixed.keys.hint(Action::Filter);
        app.say(format!("nothing is looked for; {key} does"), Tone::Refused);
        return;
    }
    let said = app.logs.next_match(down);
    let rows = view::log_rows(app.size);
    let logs = &mut app.logs;
    let Some(found) = logs.found else {
        app.say("no line has it", Tone::Refused);
        return;
    };
    let place = logs.shown.partition_point(|number| *number < found);
    let here = logs.place();
    let in_sight = place <= here && place + rows > here && !logs.wrap;
    if !in_sight {
        // In the middle: what was said before and after belongs to it.
        let middle = if logs.wrap { 0 } else { rows / 2 };
        logs.look_at((place + middle).max(if logs.wrap { 0 } else { rows.saturating_sub(1) }));
    } else if logs.bottom.is_none() {
        logs.stopped = logs.end();
        logs.bottom = logs.shown.get(here).copied();
    }
    if let Some(said) = said {
        app.say(said, Tone::Plain);
    }
}

/// Keys while the search is typed.
pub(super) fn on_search_key(app: &mut App, key: Key) -> Vec<Cmd> {
    let text = app.logs.search.clone();
    match key {
        Key::Enter => {
            app.overlay = None;
            if !text.is_empty() {
                go_to_match(app, false);
            }
        }
        Key::Esc | Key::Ctrl('c') => {
            app.overlay = None;
            look_for(app, String::new());
        }
        Key::Backspace if text.is_empty() => app.overlay = None,
        Key::Backspace => {
            let mut rest = text.chars();
            rest.next_back();
            look_for(app, rest.as_str().to_owned());
        }
        Key::Ctrl('u') => look_for(app, String::new()),
        Key::Char(c) if text.chars().count() < LONGEST => look_for(app, format!("{text}{c}")),
        _ => return app.aside(key).into_iter().collect(),
    }
    Vec::new()
}
