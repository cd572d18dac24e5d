//! The console on a service in which nothing runs: how the fleet is, what was last, and the line in which a deployment is
//! asked for.
//!
//! Imports: tui parts, state, model. May not: draw; send.

use super::Exit;
use super::app::{App, Dirt, Fact, Link, Tone};
use super::keys::{Action, Key};
use super::tab::Tab;
use super::update::Cmd;
use crate::command::refused_read_only;
use crate::model::{DeploymentId, Span, Timestamp, Version};
use crate::state::{Instance, Phase, State};

/// The longest that a version may be.
const LONGEST: usize = 128;

/// What is known where nothing runs.
#[derive(Debug, Clone, Default)]
pub struct Idle {
    /// The last deployment, if there was one.
    pub last: Option<Last>,
    /// What came of what was asked for: a refusal, or that there is nothing to do.
    pub notice: Option<String>,
    /// The version as it is typed.
    pub typing: Option<String>,
}

/// The last deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Which.
    pub id: DeploymentId,
    /// To which version.
    pub version: String,
    /// How it ended, in one of the contract's words.
    pub status: String,
    /// When.
    pub ended_at: Timestamp,
    /// By whom.
    pub started_by: String,
}

impl App {
    /// Nothing runs: there is no plan to tell of.
    pub fn begin_idle(&mut self, idle: Idle) {
        self.idle = Some(idle);
        self.facts.clear();
        let text = format!("watching {} instances; nothing is touched", self.state.instances.len());
        self.remember(Fact { at: self.now, text, grave: false });
    }

    /// The line that says how it stands: the deployment, or the fleet where there is none.
    pub fn headline(&self) -> String {
        if self.idle.is_some() { fleet(&self.state) } else { self.state.headline() }
    }

    /// What was last and what can be done, where nothing runs; or what came of what was asked for.
    pub(super) fn idle_sentence(&self) -> Option<(String, String, bool)> {
        let idle = self.idle.as_ref()?;
        let hint = |action| self.fixed.keys.hint(action);
        let keys = format!("; {} deploys, {} history", hint(Action::Deploy), hint(Action::Open(Tab::History)));
        if let Some(notice) = &idle.notice {
            return Some((notice.clone(), String::new(), true));
        }
        let last = idle.last.as_ref().map_or_else(
            || "no deployment yet".to_owned(),
            |last| {
                let Last { id, version, status, ended_at, started_by } = last;
                format!("last: {id} {version} {status} {} by {started_by}", ago(self.now.since(*ended_at)))
            },
        );
        Some((last, keys, false))
    }

    /// Why nothing that acts is possible here, and what is.
    pub(super) fn idle_refusal(&self, action: Action) -> Option<String> {
        let idle = self.idle.as_ref()?;
        Some(match (action, &idle.last) {
            (Action::Rollback | Action::BackAlone, Some(last)) => {
                let quit = self.fixed.keys.hint(Action::Quit);
                format!("nothing runs; {quit}, then `rollout rollback` undoes {} as a deployment of its own", last.id)
            }
            _ => format!("nothing runs; {} deploys a version", self.fixed.keys.hint(Action::Deploy)),
        })
    }

    /// What has become another thing since `before` is a fact of its own, where no engine tells any.
    pub(super) fn tell_changes(&mut self, before: &State) {
        if self.idle.is_none() {
            return;
        }
        let told: Vec<Fact> = self
            .state
            .instances
            .iter()
            .filter_map(|(id, now)| {
                let then = before.instances.get(id)?;
                let text = change(then, now)?;
                Some(Fact { at: now.since, text: format!("{id} {text}"), grave: now.phase == Phase::Failed })
            })
            .collect();
        for fact in told {
            self.remember(fact);
        }
    }
}

/// What became of an instance, in words; none if it is as it was, or was not known before.
fn change(then: &Instance, now: &Instance) -> Option<String> {
    let known = then.phase != Phase::Pending;
    match (&now.phase, &now.failure, &now.skipped) {
        (Phase::Failed, Some(failure), _) if then.phase != Phase::Failed => Some(format!("fails: {}", failure.reason)),
        (Phase::Skipped, _, Some(why)) if then.phase != Phase::Skipped => Some(why.clone()),
        (Phase::Healthy, ..) if known && then.phase != Phase::Healthy => Some("serves again".to_owned()),
        (Phase::Healthy, ..) if known && then.version != now.version => {
            Some(format!("runs {} now", now.version.as_ref().map_or("?", Version::as_str)))
        }
        _ => None,
    }
}

/// `20 of 20 serving, v2`.
fn fleet(state: &State) -> String {
    let known = state.instances.values().filter(|i| i.phase != Phase::Pending);
    let serving = known.clone().filter(|i| i.phase == Phase::Healthy).count();
    let (known, all) = (known.count(), state.instances.len());
    if known < all {
        return format!("looking at {all} instances, {serving} of {known} serving");
    }
    format!("{serving} of {all} serving, {}", versions(state))
}

/// The version, or how many run which.
pub(super) fn versions(state: &State) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for instance in state.instances.values() {
        let version = instance.version.as_ref().map_or("unknown", Version::as_str);
        match counts.iter_mut().find(|(one, _)| *one == version) {
            Some((_, count)) => *count += 1,
            None => counts.push((version, 1)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    match counts.as_slice() {
        [] => "nobody".to_owned(),
        [(one, _)] => (*one).to_owned(),
        [(first, most), (second, less)] => format!("{first} on {most}, {second} on {less}"),
        [(first, most), ..] => format!("{first} on {most}, {} versions", counts.len()),
    }
}

/// `3h ago`.
fn ago(span: Span) -> String {
    let minutes = span.as_millis() / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes}m ago"),
        60..2880 => format!("{}h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

/// `d`: a version is asked for.
pub(super) fn deploy(app: &mut App) -> Vec<Cmd> {
    let read_only = app.fixed.read_only;
    let Some(idle) = &mut app.idle else {
        let key = app.fixed.keys.hint(Action::Deploy);
        let text = format!("a deployment is shown here; once none runs, `rollout` shows the fleet, and {key} deploys from there");
        app.say(text, Tone::Refused);
        return Vec::new();
    };
    if read_only {
        app.say(refused_read_only("deploy"), Tone::Refused);
        return Vec::new();
    }
    idle.notice = None;
    idle.typing = Some(String::new());
    Vec::new()
}

/// Keys while a version is typed: they are text.
pub(super) fn on_key(app: &mut App, key: Key) -> Option<Vec<Cmd>> {
    let typing = app.idle.as_mut()?.typing.as_mut()?;
    // What was wrong with it was read, or is being mended.
    app.message = None;
    match key {
        Key::Esc | Key::Ctrl('c') => drop(app.idle.as_mut()?.typing.take()),
        Key::Backspace if typing.is_empty() => drop(app.idle.as_mut()?.typing.take()),
        Key::Backspace => drop(typing.pop()),
        Key::Ctrl('u') => typing.clear(),
        Key::Char(c) if typing.chars().count() < LONGEST => typing.push(c),
        Key::Enter => match Version::new(typing) {
            Ok(version) => return Some(vec![Cmd::Exit(Exit::Deploy(version))]),
            Err(error) => app.say(error.to_string(), Tone::Refused),
        },
        _ => return Some(app.aside(key).into_iter().collect()),
    }
    Some(Vec::new())
}

/// There is nothing to look at but the fleet: what was here is over, and something else begins.
pub(super) fn closed(app: &mut App) -> Option<Vec<Cmd>> {
    app.idle.as_ref()?;
    app.dirt = Dirt::Now;
    if app.is_typing() {
        // What is being typed must not become keys of a console of something else.
        app.link = Link::Closed;
        let key = app.fixed.keys.hint(Action::Back);
        app.say(format!("a deployment has begun; {key} leads to it"), Tone::Refused);
        return Some(Vec::new());
    }
    Some(vec![Cmd::Exit(Exit::Next)])
}

/// What was being typed while a deployment began is over: now that one is shown.
pub(super) fn leaves(app: &App) -> bool {
    app.idle.is_some() && app.link == Link::Closed && !app.is_typing()
}

impl App {
    /// Nobody is listed; that says something only of those who were looked at.
    pub(super) fn idle_health(&self) -> String {
        match self.state.instances.values().filter(|i| i.phase == Phase::Pending).count() {
            0 => "nobody is sick or out of rotation".to_owned(),
            n => format!("{n} not looked at yet"),
        }
    }

    /// Keys are text now, or are about something that lies over the screen.
    pub(super) fn is_typing(&self) -> bool {
        let version = self.idle.as_ref().is_some_and(|idle| idle.typing.is_some());
        version || self.runs.typing || self.runs.replay.is_some() || self.overlay.is_some()
    }
}
