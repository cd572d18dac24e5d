//! The line after `:` — the verbs of the command line, completed with Tab, asking what their keys ask.
//!
//! What was typed before the line was drawn is text of it like everything else. A verb that needs an answer opens the same
//! question as its key, on the instance that was named, and that question takes no answer before it has been read.
//!
//! Imports: tui parts, model. May not: send a command that its key would not.

use super::allowed::command_on;
use super::app::{App, Tone};
use super::chooser;
use super::confirm::Overlay;
use super::filter::Filter;
use super::keymap::action_names;
use super::keys::{Action, KEYMAP, Key};
use super::list::Sort;
use super::tab::Tab;
use super::update::{Cmd, on_action, order};
use crate::model::{InstanceId, InstanceState};

/// Longer than anyone types: a verb, an instance and a reason.
const LONGEST: usize = 200;
/// Lines that are kept for Up and Down.
const KEPT: usize = 100;
/// More candidates than these help nobody.
const CANDIDATES: usize = 200;

/// The line, what was typed in it before, and what Tab has found.
#[derive(Debug, Default)]
pub struct CommandLine {
    text: String,
    /// Oldest first.
    history: Vec<String>,
    /// The one of it that is in the line, and what was typed before that.
    recalled: Option<(usize, String)>,
    /// What Tab goes through.
    completing: Option<Completing>,
}

#[derive(Debug)]
struct Completing {
    /// The line before the word that is completed.
    before: String,
    found: Vec<String>,
    at: usize,
}

/// What follows a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Reason,
    Instance,
    InstanceAndReason,
    Full,
}

/// What a verb does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Act(Action, Takes),
    Filter,
    Sort,
    Tab,
    Theme,
    Goto,
}

/// The verbs, those of the command line first. Every action has its name besides.
const VERBS: [(&str, Does); 18] = [
    ("pause", Does::Act(Action::Pause, Takes::Reason)),
    ("resume", Does::Act(Action::Resume, Takes::Nothing)),
    ("cancel", Does::Act(Action::Cancel, Takes::Reason)),
    ("rollback", Does::Act(Action::Rollback, Takes::Reason)),
    ("promote", Does::Act(Action::Promote, Takes::Full)),
    ("retry", Does::Act(Action::Retry, Takes::Instance)),
    ("skip", Does::Act(Action::Skip, Takes::InstanceAndReason)),
    ("hold", Does::Act(Action::Hold, Takes::InstanceAndReason)),
    ("release", Does::Act(Action::Release, Takes::Instance)),
    ("back-alone", Does::Act(Action::BackAlone, Takes::InstanceAndReason)),
    ("goto", Does::Goto),
    ("filter", Does::Filter),
    ("sort", Does::Sort),
    ("tab", Does::Tab),
    ("theme", Does::Theme),
    ("help", Does::Act(Action::Help, Takes::Nothing)),
    ("quit", Does::Act(Action::Quit, Takes::Nothing)),
    ("q", Does::Act(Action::Quit, Takes::Nothing)),
];

impl CommandLine {
    /// What is typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What may follow, and which of it was taken.
    pub fn candidates(&self, app: &App) -> (Vec<String>, Option<usize>) {
        match &self.completing {
            Some(completing) => (completing.found.clone(), Some(completing.at)),
            None => (found(app, &self.text).1, None),
        }
    }

    fn type_anew(&mut self, text: String) {
        self.text = text;
        self.completing = None;
    }

    /// The line before this one in the history, or after it.
    fn recall(&mut self, back: bool) {
        let at = match (&self.recalled, back) {
            (None, true) => self.history.len().checked_sub(1),
            (Some((at, _)), true) => Some(at.saturating_sub(1)),
            (Some((at, _)), false) => Some(at + 1),
            (None, false) => None,
        };
        let Some(at) = at else { return };
        let typed = self.recalled.take().map_or_else(|| self.text.clone(), |(_, typed)| typed);
        match self.history.get(at).cloned() {
            Some(line) => {
                self.type_anew(line);
                self.recalled = Some((at, typed));
            }
            None => self.type_anew(typed),
        }
    }

    fn remember(&mut self, line: &str) {
        if self.history.last().is_none_or(|last| last != line) {
            self.history.push(line.to_owned());
        }
        if self.history.len() > KEPT {
            self.history.remove(0);
        }
    }
}

/// Opens the line, empty.
pub(super) fn open(app: &mut App) {
    app.command_line.type_anew(String::new());
    app.command_line.recalled = None;
    app.overlay = Some(Overlay::Command);
}

/// Keys while a command is typed.
pub(super) fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    let line = &mut app.command_line;
    match key {
        Key::Enter => {
            app.overlay = None;
            let text = line.text.trim().to_owned();
            if text.is_empty() {
                return Vec::new();
            }
            line.remember(&text);
            return run(app, &text);
        }
        Key::Esc | Key::Ctrl('c') => app.overlay = None,
        Key::Backspace if line.text.is_empty() => app.overlay = None,
        Key::Backspace => {
            let mut rest = line.text.chars();
            rest.next_back();
            let rest = rest.as_str().to_owned();
            line.type_anew(rest);
        }
        Key::Ctrl('u') => line.type_anew(String::new()),
        Key::Up => line.recall(true),
        Key::Down => line.recall(false),
        Key::Tab => complete(app, true),
        Key::BackTab => complete(app, false),
        Key::Char(c) if line.text.chars().count() < LONGEST => {
            let text = format!("{}{c}", line.text);
            line.type_anew(text);
        }
        _ => return app.aside(key).into_iter().collect(),
    }
    Vec::new()
}

/// Takes what all candidates have in common, or goes through them.
fn complete(app: &mut App, forward: bool) {
    if let Some(completing) = &mut app.command_line.completing {
        let count = completing.found.len().max(1);
        completing.at = (completing.at + if forward { 1 } else { count - 1 }) % count;
        let taken = completing.found.get(completing.at).map_or("", String::as_str);
        app.command_line.text = format!("{}{taken}", completing.before);
        return;
    }
    let text = app.command_line.text.clone();
    let (before, found) = found(app, &text);
    match found.as_slice() {
        [] => {}
        // What follows a colon belongs to the same word.
        [only] if only.ends_with(':') => app.command_line.type_anew(format!("{before}{only}")),
        [only] => app.command_line.type_anew(format!("{before}{only} ")),
        several => {
            let common = several.iter().skip(1).fold(several.first().cloned().unwrap_or_default(), |a, b| common(&a, b));
            if before.len() + common.len() > text.len() {
                app.command_line.type_anew(format!("{before}{common}"));
                return;
            }
            let at = if forward { 0 } else { several.len() - 1 };
            let taken = several.get(at).map_or("", String::as_str);
            app.command_line.text = format!("{before}{taken}");
            app.command_line.completing = Some(Completing { before, found, at });
        }
    }
}

/// What two words begin with.
fn common(a: &str, b: &str) -> String {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

/// The line before its last word, and what that word may become.
fn found(app: &App, text: &str) -> (String, Vec<String>) {
    let at = text.rfind(' ').map_or(0, |at| at + 1);
    let (before, word) = text.split_at(at);
    let mut words = before.split_whitespace();
    let Some(verb) = words.next() else { return (String::new(), verbs(word)) };
    let first = words.next().is_none();
    let of = |all: &mut dyn Iterator<Item = String>| all.filter(|one| one.starts_with(word)).take(CANDIDATES).collect();
    let ids = || app.state.instances.keys().map(ToString::to_string);
    let found: Vec<String> = match does(verb) {
        Some(Does::Act(_, Takes::Instance | Takes::InstanceAndReason) | Does::Goto) if first => of(&mut ids()),
        Some(Does::Act(_, Takes::Full)) if first => of(&mut ["--full".to_owned()].into_iter()),
        Some(Does::Sort) if first => of(&mut Sort::ALL.into_iter().map(|sort| sort.word().to_owned())),
        Some(Does::Tab) if first => of(&mut Tab::ALL.into_iter().map(|tab| Action::Open(tab).name())),
        Some(Does::Theme) if first => of(&mut app.themes.files().iter().map(|theme| theme.name.clone())),
        Some(Does::Filter) => of(&mut filters(app, word).into_iter().chain(ids())),
        _ => Vec::new(),
    };
    (before.to_owned(), found)
}

/// Verbs that begin so; with nothing typed, those of the command line.
fn verbs(begun: &str) -> Vec<String> {
    let mut found: Vec<String> = VERBS.iter().map(|(verb, _)| (*verb).to_owned()).filter(|verb| verb.len() > 1).collect();
    if !begun.is_empty() {
        let others: Vec<String> = action_names().into_iter().filter(|name| !found.contains(name)).collect();
        found.extend(others);
    }
    found.retain(|verb| verb.starts_with(begun));
    found
}

/// What the words of a filter may be.
fn filters(app: &App, word: &str) -> Vec<String> {
    let (not, word) = word.strip_prefix('!').map_or(("", word), |rest| ("!", rest));
    let Some((field, _)) = word.split_once(':') else {
        return ["state:", "zone:", "version:"].iter().map(|field| format!("{not}{field}")).collect();
    };
    let members = &app.state.plan.members;
    let mut values: Vec<String> = match field {
        "state" => InstanceState::ALL.iter().map(|state| state.word().to_owned()).collect(),
        "zone" => members.iter().filter_map(|member| member.target.zone.clone()).collect(),
        "version" => {
            let versions = members.iter().flat_map(|member| member.previous.iter().chain([&member.wanted]));
            versions.map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    values.sort_unstable();
    values.dedup();
    values.into_iter().map(|value| format!("{not}{field}:{value}")).collect()
}

/// What a verb does.
fn does(verb: &str) -> Option<Does> {
    let of_list = VERBS.iter().find(|(name, _)| *name == verb).map(|(_, does)| *does);
    of_list.or_else(|| {
        let named = KEYMAP.iter().find(|binding| binding.action.name() == verb)?;
        Some(Does::Act(named.action, Takes::Nothing))
    })
}

/// Does what the line says.
fn run(app: &mut App, line: &str) -> Vec<Cmd> {
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let done = match does(verb) {
        Some(Does::Act(action, takes)) => act(app, action, takes, rest),
        Some(Does::Filter) => {
            app.open(Tab::Fleet);
            app.set_filter(rest);
            Ok(Vec::new())
        }
        Some(Does::Sort) => sort(app, rest),
        Some(Does::Tab) => tab(app, rest),
        Some(Does::Theme) => theme(app, rest),
        Some(Does::Goto) => goto(app, rest),
        None => Err(unknown("verb", verb, &verbs_all())),
    };
    done.unwrap_or_else(|why| {
        app.say(format!(":{verb}: {why}"), Tone::Refused);
        Vec::new()
    })
}

fn verbs_all() -> Vec<String> {
    VERBS.iter().map(|(verb, _)| (*verb).to_owned()).chain(action_names()).collect()
}

/// An act by its name: refused in the words of its key, asked for by its question.
fn act(app: &mut App, action: Action, takes: Takes, rest: &str) -> Result<Vec<Cmd>, String> {
    let (first, others) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (instance, reason, full) = match takes {
        Takes::Nothing if !rest.is_empty() => return Err("takes nothing after it".to_owned()),
        Takes::Reason => (None, rest, false),
        Takes::Full if rest == "--full" => (None, "", true),
        Takes::Full if !rest.is_empty() => return Err("takes nothing, or --full".to_owned()),
        Takes::Nothing | Takes::Full => (None, "", false),
        Takes::Instance if !others.is_empty() => return Err("takes one instance".to_owned()),
        Takes::Instance => (Some(first), "", false),
        Takes::InstanceAndReason => (Some(first), others.trim(), false),
    };
    if reason.starts_with('-') {
        return Err(format!("{:?} is no reason, and there are no options here", super::text::clip(reason, 20)));
    }
    let action = if full { Action::PromoteAll } else { action };
    if !action.acts() {
        return Ok(on_action(app, action));
    }
    let instance = match instance {
        // Without a name it is the selected one, as for the key.
        None | Some("") => app.selected_id(),
        Some(name) => Some(instance_of(app, name)?),
    };
    if let Some(refusal) = app.refusal_on(action, instance.as_ref()) {
        app.say(refusal, Tone::Refused);
        return Ok(Vec::new());
    }
    let command = command_on(action, instance.as_ref(), reason.to_owned());
    Ok(command.map_or_else(Vec::new, |command| order(app, command)))
}

fn instance_of(app: &App, name: &str) -> Result<InstanceId, String> {
    let ids = &app.state.instances;
    if let Some((id, _)) = ids.iter().find(|(id, _)| id.as_str() == name) {
        return Ok(id.clone());
    }
    Err(unknown("instance", name, &ids.keys().map(ToString::to_string).collect::<Vec<_>>()))
}

fn sort(app: &mut App, by: &str) -> Result<Vec<Cmd>, String> {
    if by.is_empty() {
        app.set_sort(false);
        return Ok(Vec::new());
    }
    let words: Vec<String> = Sort::ALL.into_iter().map(|sort| sort.word().to_owned()).collect();
    let sort = Sort::ALL.into_iter().find(|sort| sort.word() == by).ok_or_else(|| unknown("order", by, &words))?;
    app.sort_by(sort);
    Ok(Vec::new())
}

fn tab(app: &mut App, name: &str) -> Result<Vec<Cmd>, String> {
    let names: Vec<String> = Tab::ALL.into_iter().map(|tab| Action::Open(tab).name()).collect();
    let tab = Tab::ALL.into_iter().find(|tab| Action::Open(*tab).name() == name);
    let tab = tab.ok_or_else(|| unknown("screen", name, &names))?;
    Ok(on_action(app, Action::Open(tab)))
}

/// Another theme, for this session.
fn theme(app: &mut App, name: &str) -> Result<Vec<Cmd>, String> {
    chooser::put_on(app, name)?;
    app.say(format!("theme {name}"), Tone::Plain);
    // Every cell may have another colour.
    Ok(vec![Cmd::Repaint])
}

fn goto(app: &mut App, name: &str) -> Result<Vec<Cmd>, String> {
    let id = instance_of(app, name)?;
    let Some(index) = app.state.instances.get_index_of(&id) else { return Ok(Vec::new()) };
    if !app.list.shown().contains(&index) {
        app.list.filter = Filter::default();
        app.refilter();
        app.say(format!("{id} was not in the filter, which is cleared"), Tone::Plain);
    }
    app.list.follow = false;
    app.selected = index;
    Ok(Vec::new())
}

/// What there is not, and what was probably meant.
fn unknown(what: &str, name: &str, all: &[String]) -> String {
    let distance = |one: &String| strsim::damerau_levenshtein(one, name);
    let near = all.iter().map(|one| (distance(one), one)).min_by_key(|(distance, _)| *distance);
    let near = near.filter(|(distance, one)| *distance <= (name.chars().count().max(one.len()) / 2).max(1));
    let near = near.map_or_else(String::new, |(_, near)| format!("; the nearest is {near}"));
    format!("there is no {what} {:?}{near}", super::text::clip(name, 40))
}
