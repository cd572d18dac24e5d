//! What the console knows: the fold of the engine's updates, and what is open on the screen.
//!
//! Imports: session, state, core, tui parts. May not: do I/O, read a clock, draw.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use jiff::tz::TimeZone;
use tui_logger::TuiWidgetState;

use super::chart::Chart;
use super::chooser::Themes;
use super::command_line::CommandLine;
use super::confirm::{Ask, Overlay};
use super::drain::Drain;
use super::help::Help;
use super::history::History;
use super::idle::Idle;
use super::keymap::Keymap;
use super::list::List;
use super::logs::Logs;
use super::plan::PlanView;
use super::runs::Runs;
use super::tab::Tab;
use super::theme::Theme;
use super::timeline::{self, Timeline};
use super::wire::Wire;
use crate::command::{Command, Refusal};
use crate::core::{self, Capacity, Consequence, Forecast, Waiting};
use crate::event::{Event, EventKind};
use crate::model::{Finding, InstanceId, InstanceState, Span, Timestamp};
use crate::ports::{LogLine, Progress, Reading, Snapshot};
use crate::state::{Phase, State};

/// Facts that are kept for the events pane: more than any screen is high.
const FACTS: usize = 500;
/// Log lines that are kept for the view of one instance.
const LINES: usize = 1000;
/// How long a message stays.
const MESSAGE_STAYS: Span = Span::from_secs(10);
/// How long the shown time left stays as it is.
const FORECAST_EVERY: Span = Span::from_secs(5);
/// Without a word from a running engine for this long, the screen says so.
pub(super) const SILENCE: Span = Span::from_secs(10);

/// The pure questions to the core. Tests answer them themselves.
#[derive(Debug, Clone, Copy)]
pub struct Oracle {
    /// Why it waits.
    pub waiting: fn(&State) -> Option<Waiting>,
    /// The time left.
    pub forecast: fn(&State, &[Span], Timestamp) -> Option<Forecast>,
    /// How many serve, and how many will at least.
    pub capacity: fn(&State) -> Capacity,
    /// What a command would do.
    pub consequence: fn(&State, &Command, Timestamp) -> Result<Consequence, Refusal>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self { waiting: core::waiting, forecast: core::forecast, capacity: core::capacity, consequence: core::consequence }
    }
}

/// What does not change while the console runs.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// Colours and glyphs: those of the chooser, once it was opened.
    pub theme: Theme,
    /// Nothing may be sent.
    pub read_only: bool,
    /// The keys as they are bound.
    pub keys: Keymap,
    /// A rollback takes the service's name.
    pub protected: bool,
    /// Colour of the environment's stripe.
    pub stripe: Option<String>,
    /// Fleet and history go with the console: there is nothing to look at later.
    pub demo: bool,
    /// What Enter does once the deployment has ended, as a sentence.
    pub next: Option<String>,
    /// How long instances took in earlier deployments, from the order of the drain to the verdict.
    pub earlier: Vec<Span>,
    /// The zone of times on the screen.
    pub zone: TimeZone,
    /// The questions to the core.
    pub oracle: Oracle,
}

/// How the engine can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    Up,
    /// It is being tried again.
    Down {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// The engine is gone; another may take the deployment over.
    Gone {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing follows.
    Closed,
}

/// How urgently the screen must be drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirt {
    /// Not at all.
    #[default]
    Clean,
    /// With the next second: readings.
    Calm,
    /// Soon: log lines.
    Soon,
    /// At once: facts and keys.
    Now,
}

/// What the lower pane shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// Events, and the log beside them where there is room.
    Both,
    /// Events.
    Events,
    /// The engine's log.
    Log,
}

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// What was done.
    Plain,
    /// What was not.
    Refused,
}

/// A fact of the events pane.
#[derive(Debug, Clone)]
pub struct Fact {
    /// When.
    pub at: Timestamp,
    /// In words.
    pub text: String,
    /// A failure or a rollback.
    pub grave: bool,
}

impl Fact {
    /// What an event says.
    pub(super) fn of(event: &Event) -> Self {
        Self { at: event.at, text: event.kind.words(), grave: is_grave(&event.kind) }
    }
}

/// A failure or a rollback.
pub(super) const fn is_grave(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::InstanceFailed { .. }
            | EventKind::RollbackStarted { .. }
            | EventKind::ThresholdCrossed { .. }
            | EventKind::CommandsStopped { .. }
            | EventKind::DrainLost { .. }
            | EventKind::EndCheckMismatch { .. }
            | EventKind::HookEnded { failure: Some(_), again: false, .. }
            | EventKind::AnalysisMeasured { finding: Finding::Fail, .. }
    )
}

/// Enter after the end: it counts only once the end was on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextGate {
    /// Its number.
    pub id: u64,
    /// It counts.
    pub armed: bool,
}

/// The log pane's place.
pub struct LogView(pub TuiWidgetState);

impl fmt::Debug for LogView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogView")
    }
}

/// Everything that is drawn.
#[derive(Debug)]
pub struct App {
    /// What does not change.
    pub fixed: Fixed,
    /// The deployment.
    pub state: State,
    /// The latest readings.
    pub progress: Progress,
    /// The newest facts, oldest first.
    pub facts: VecDeque<Fact>,
    /// By place in the plan.
    pub charts: Vec<Chart>,
    /// By place in the plan.
    pub histories: Vec<History>,
    /// What happened before this is not known here.
    pub known_from: Option<Timestamp>,
    /// The engine's log, oldest first.
    pub lines: VecDeque<LogLine>,
    /// The link.
    pub link: Link,
    /// When the engine was last heard.
    pub heard_at: Timestamp,
    /// By the clock of this machine.
    pub now: Timestamp,
    /// The time left, and when that was told.
    pub forecast: Option<(Timestamp, Option<Forecast>)>,
    /// What a rollback would do, as told with the time left; `None` if there is nothing to bring back.
    pub back: Option<Consequence>,
    /// Of those that drain now, by place in the plan.
    pub(super) drains: BTreeMap<usize, Drain>,
    /// Place in the plan of the selected instance.
    pub selected: usize,
    /// Which instances the grid shows, and in which order.
    pub list: List,
    /// The place of the timeline, and what it keeps.
    pub timeline: Timeline,
    /// The place of the plan.
    pub plan: PlanView,
    /// The screen that is open.
    pub tab: Tab,
    /// Earlier deployments, and the replay of one.
    pub runs: Runs,
    /// Nothing runs: what is known instead of a deployment.
    pub idle: Option<Idle>,
    /// Where Esc leads from one instance.
    pub(super) came_from: Tab,
    /// The lower pane.
    pub pane: Pane,
    /// What lies over the screen.
    pub overlay: Option<Overlay>,
    /// The message line.
    pub message: Option<(String, Tone)>,
    /// The first second that saw the message.
    message_since: Option<Timestamp>,
    /// Enter after the end.
    pub next: Option<NextGate>,
    /// Leave once it has ended.
    pub leaving: bool,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Why it must be drawn.
    pub dirt: Dirt,
    /// The log pane's place.
    pub log: LogView,
    /// The way to the terminal.
    pub wire: Wire,
    /// The page with the keys.
    pub help: Help,
    /// The line in which a command is typed.
    pub command_line: CommandLine,
    /// The screen of the log.
    pub logs: Logs,
    /// Which themes there are, and which one is tried.
    pub themes: Themes,
    numbers: u64,
}

impl App {
    /// The console on what is known now.
    pub fn new(snapshot: Snapshot, fixed: Fixed, now: Timestamp, size: (u16, u16)) -> Self {
        let mut app = Self {
            themes: Themes::of(&fixed.theme),
            fixed,
            charts: Vec::new(),
            histories: snapshot.state.instances.values().map(History::of).collect(),
            known_from: (snapshot.state.seq.0 > 1).then_some(snapshot.state.at),
            lines: VecDeque::new(),
            state: snapshot.state,
            progress: Progress::default(),
            facts: VecDeque::new(),
            link: Link::Up,
            heard_at: now,
            now,
            forecast: None,
            back: None,
            drains: BTreeMap::new(),
            selected: 0,
            list: List::default(),
            timeline: Timeline::default(),
            plan: PlanView::default(),
            tab: Tab::Fleet,
            runs: Runs::default(),
            idle: None,
            came_from: Tab::Fleet,
            pane: Pane::Both,
            overlay: None,
            message: None,
            message_since: None,
            next: None,
            leaving: false,
            size,
            dirt: Dirt::Now,
            log: LogView(TuiWidgetState::new().set_default_display_level(log::LevelFilter::Trace)),
            wire: Wire::default(),
            help: Help::default(),
            command_line: CommandLine::default(),
            logs: Logs::default(),
            numbers: 0,
        };
        app.charts = vec![Chart::default(); app.state.instances.len()];
        app.take_progress(snapshot.progress);
        app.facts.push_back(Fact { at: app.state.at, text: opening(&app.state), grave: false });
        app.sort();
        app.timeline.count(&app.state, app.state.at);
        app.open_next();
        app
    }

    /// Puts a text in the message line, for a while.
    pub(super) fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.message = Some((text.into(), tone));
        self.message_since = None;
    }

    /// The next second reckons the time left; until then the last word stands.
    fn reckon_anew(&mut self) {
        if let Some((told, _)) = &mut self.forecast {
            *told = Timestamp::default();
        }
    }

    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Starts again from this; what is open on the screen stays.
    pub(super) fn resync(&mut self, snapshot: Snapshot) {
        let missed = snapshot.state.seq != self.state.seq;
        let before = std::mem::replace(&mut self.state, snapshot.state);
        self.tell_changes(&before);
        self.charts.resize(self.state.instances.len(), Chart::default());
        self.histories.resize(self.state.instances.len(), History::default());
        for (history, instance) in self.histories.iter_mut().zip(self.state.instances.values()) {
            history.follow(instance, instance.since);
        }
        self.selected = self.selected.min(self.state.instances.len().saturating_sub(1));
        self.take_progress(snapshot.progress);
        self.heard();
        self.sort();
        self.timeline.count(&self.state, self.state.at);
        if missed {
            self.known_from = Some(self.state.at);
            self.remember(Fact { at: self.state.at, text: "link back; some facts are not listed here".to_owned(), grave: false });
        }
        self.reckon_anew();
        self.open_next();
        self.dirt = Dirt::Now;
    }

    /// Takes a fact in. `false` if it cannot follow: then all must be read again.
    #[must_use]
    pub(super) fn take_event(&mut self, event: &Event) -> bool {
        self.heard();
        if event.seq <= self.state.seq {
            return true;
        }
        let news = self.state.is_news(&event.kind);
        if self.state.apply(event).is_err() {
            return false;
        }
        if news {
            self.tell(event, &Fact::of(event));
        }
        self.timeline.note(&self.state, event);
        if event.kind.is_terminal() || matches!(event.kind, EventKind::BatchCompleted { .. } | EventKind::RollbackStarted { .. })
        {
            self.reckon_anew();
        }
        self.open_next();
        self.dirt = Dirt::Now;
        true
    }

    /// Keeps a fact: for all, and for the instance that it is about.
    fn tell(&mut self, event: &Event, fact: &Fact) {
        self.remember(fact.clone());
        self.logs.take_event(event);
        let Some(id) = event.kind.instance() else {
            // A fact of the whole deployment may move many.
            for (history, instance) in self.histories.iter_mut().zip(self.state.instances.values()) {
                history.follow(instance, event.at);
            }
            if !self.list.filter.is_empty() {
                self.refilter();
            }
            return;
        };
        let Some((index, _, instance)) = self.state.instances.get_full(id) else { return };
        if let Some(history) = self.histories.get_mut(index) {
            history.follow(instance, event.at);
            history.remember(fact.clone(), &event.kind);
        }
        self.relist(index);
    }

    /// Keeps a line of the log for the view of one instance.
    pub(super) fn take_line(&mut self, line: &LogLine) {
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.clone());
        self.logs.take_line(line);
        self.dirt = self.dirt.max(Dirt::Soon);
    }

    /// Takes readings in. They are shown with the next second.
    pub(super) fn take_progress(&mut self, newer: Progress) {
        let lite = self.wire.meter.is_lite();
        for (id, reading) in &newer.readings {
            let Some((index, _, instance)) = self.state.instances.get_full(id) else { continue };
            if let Some(chart) = self.charts.get_mut(index) {
                chart.take(reading, (instance.is_active(), instance.taken_at.is_some()), lite);
            }
            if instance.phase == Phase::Draining
                && let Some(left) = reading.sessions
            {
                self.drains.entry(index).or_default().take(newer.at, left);
            }
        }
        if newer.troubles != self.progress.troubles {
            self.dirt = Dirt::Now;
        }
        self.drains.retain(|index, _| self.state.instances.get_index(*index).is_some_and(|(_, i)| i.phase == Phase::Draining));
        self.progress.merge(newer);
        self.dirt = self.dirt.max(Dirt::Calm);
    }

    /// The engine spoke.
    pub(super) fn heard(&mut self) {
        self.heard_at = self.now;
        if self.link != Link::Up {
            self.link = Link::Up;
            self.dirt = Dirt::Now;
        }
    }

    /// Time went on.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.now = now;
        let since = *self.message_since.get_or_insert(now);
        if self.message.is_some() && now.since(since) >= MESSAGE_STAYS {
            self.message = None;
            self.dirt = Dirt::Now;
        }
        timeline::tick(self);
        if self.state.end.is_none() {
            let stale = self.forecast.is_none_or(|(told, _)| now.since(told) >= FORECAST_EVERY);
            if stale {
                if self.list.filter.is_of_a_moment() {
                    self.refilter();
                }
                self.forecast = Some((now, (self.fixed.oracle.forecast)(&self.state, &self.fixed.earlier, now)));
                let back = Command::Rollback { reason: String::new(), only: None };
                let going_back = self.state.rollback.is_some();
                self.back = (self.fixed.oracle.consequence)(&self.state, &back, now).ok().filter(|_| !going_back);
            }
            self.dirt = Dirt::Now;
        } else if self.dirt == Dirt::Calm || matches!(self.link, Link::Down { .. }) {
            self.dirt = Dirt::Now;
        }
    }

    /// Keeps a fact for the events pane.
    pub(super) fn remember(&mut self, fact: Fact) {
        if self.facts.len() >= FACTS {
            self.facts.pop_front();
        }
        self.facts.push_back(fact);
    }

    fn open_next(&mut self) {
        if self.state.end.is_some() && self.fixed.next.is_some() && self.next.is_none() {
            let id = self.number();
            self.next = Some(NextGate { id, armed: false });
        }
    }

    /// The number of what has to be seen before it may be answered.
    pub fn unseen(&self) -> Option<u64> {
        match (&self.overlay, &self.next) {
            _ if self.runs.replay.is_some() => None,
            (Some(Overlay::Ask(ask)), _) if !ask.armed && super::view::fits_question(self.size) => Some(ask.id),
            (None, Some(next)) if !next.armed => Some(next.id),
            _ => None,
        }
    }

    /// The open question, if one is.
    pub(super) fn ask(&mut self) -> Option<&mut Ask> {
        match &mut self.overlay {
            Some(Overlay::Ask(ask)) => Some(ask),
            Some(Overlay::Help | Overlay::Leave | Overlay::Filter | Overlay::Command | Overlay::Search | Overlay::Themes)
            | None => None,
        }
    }

    /// How long the engine has been silent, if that is too long.
    pub fn silent_for(&self) -> Option<Span> {
        let silent = self.now.since(self.heard_at);
        (self.state.started_at.is_some() && self.state.end.is_none() && self.link == Link::Up && silent >= SILENCE)
            .then_some(silent)
    }

    /// The id at a place in the plan.
    pub fn id_at(&self, index: usize) -> Option<&InstanceId> {
        self.state.instances.get_index(index).map(|(id, _)| id)
    }

    /// The latest reading of an instance.
    pub fn reading(&self, id: &InstanceId) -> Option<&Reading> {
        self.progress.readings.get(id)
    }

    /// Instances that need a person, in plan order: failed and held ones.
    pub fn exceptions(&self) -> impl Iterator<Item = (usize, &InstanceId, InstanceState)> {
        self.state.instances.iter().enumerate().filter_map(|(index, (id, instance))| {
            let shown = instance.shown();
            // While it runs, what is at work is not an exception yet.
            let over = self.state.end.is_some() || shown == InstanceState::Skipped;
            let listed = matches!(shown, InstanceState::Failed | InstanceState::Held) || over && instance.complaint().is_some();
            listed.then_some((index, id, shown))
        })
    }
}

/// What the events pane begins with.
fn opening(state: &State) -> String {
    match state.seq.0 {
        0 | 1 => EventKind::DeploymentPlanned { format: crate::event::FORMAT, plan: Box::new(state.plan.clone()) }.words(),
        n => format!("attached after {n} facts; {}", state.headline()),
    }
}
