//! What the console knows: the fold of the engine's updates, and what is open on the screen.
//!
//! Imports: session, state, core, tui parts. May not: do I/O, read a clock, draw.

use std::collections::VecDeque;
use std::fmt;

use jiff::tz::TimeZone;
use tui_logger::TuiWidgetState;

use super::confirm::{Ask, Overlay};
use super::keys::Action;
use super::theme::Theme;
use crate::command::{Command, Refusal};
use crate::core::{self, Consequence, Forecast, Waiting};
use crate::event::{Event, EventKind};
use crate::model::{InstanceId, InstanceState, SampleResult, Span, Timestamp};
use crate::ports::{Progress, Reading, Snapshot};
use crate::state::{State, Status};

/// Facts that are kept for the events pane: more than any screen is high.
const FACTS: usize = 500;
/// Samples of a sparkline: as many as a card is wide.
const SAMPLES: usize = 40;
/// How long a message stays.
const MESSAGE_STAYS: Span = Span::from_secs(10);
/// A sparkline takes one sample in this time, so that it can be read and costs few bytes.
const SAMPLE_EVERY: Span = Span::from_secs(1);
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
    pub forecast: fn(&State, Timestamp) -> Option<Forecast>,
    /// What a command would do.
    pub consequence: fn(&State, &Command, Timestamp) -> Result<Consequence, Refusal>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self { waiting: core::waiting, forecast: core::forecast, consequence: core::consequence }
    }
}

/// What does not change while the console runs.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// Colours and glyphs.
    pub theme: Theme,
    /// Nothing may be sent.
    pub read_only: bool,
    /// A rollback takes the service's name.
    pub protected: bool,
    /// Colour of the environment's stripe.
    pub stripe: Option<String>,
    /// What Enter does once the deployment has ended, as a sentence.
    pub next: Option<String>,
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
    /// The engine is gone.
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

/// One probe in a sparkline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Passed in so many milliseconds.
    Passed(u64),
    /// Not a pass.
    Missed,
    /// Down because it is being updated: no news.
    Down,
}

/// The latencies of one instance, as shown.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// The last one, to two digits, steady against small changes; `None` for none or a miss.
    pub latency: Option<u64>,
    /// Oldest first.
    pub samples: VecDeque<Mark>,
    last: Timestamp,
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
    /// Facts since the console began, oldest first.
    pub facts: VecDeque<Fact>,
    /// By place in the plan.
    pub charts: Vec<Chart>,
    /// The link.
    pub link: Link,
    /// When the engine was last heard.
    pub heard_at: Timestamp,
    /// By the clock of this machine.
    pub now: Timestamp,
    /// The time left, and when that was told.
    pub forecast: Option<(Timestamp, Option<Forecast>)>,
    /// Place in the plan of the selected instance.
    pub selected: usize,
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
    numbers: u64,
}

impl App {
    /// The console on what is known now.
    pub fn new(snapshot: Snapshot, fixed: Fixed, now: Timestamp, size: (u16, u16)) -> Self {
        let mut app = Self {
            fixed,
            charts: Vec::new(),
            state: snapshot.state,
            progress: Progress::default(),
            facts: VecDeque::new(),
            link: Link::Up,
            heard_at: now,
            now,
            forecast: None,
            selected: 0,
            pane: Pane::Both,
            overlay: None,
            message: None,
            message_since: None,
            next: None,
            leaving: false,
            size,
            dirt: Dirt::Now,
            log: LogView(TuiWidgetState::new().set_default_display_level(log::LevelFilter::Trace)),
            numbers: 0,
        };
        app.charts = vec![Chart::default(); app.state.instances.len()];
        app.take_progress(snapshot.progress);
        app.facts.push_back(Fact { at: app.state.at, text: opening(&app.state), grave: false });
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
        self.state = snapshot.state;
        self.charts.resize(self.state.instances.len(), Chart::default());
        self.selected = self.selected.min(self.state.instances.len().saturating_sub(1));
        self.take_progress(snapshot.progress);
        self.heard();
        if missed {
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
        if self.state.apply(event).is_err() {
            return false;
        }
        let grave = matches!(
            event.kind,
            EventKind::InstanceFailed { .. }
                | EventKind::RollbackStarted { .. }
                | EventKind::ThresholdCrossed { .. }
                | EventKind::EndCheckMismatch { .. }
        );
        self.remember(Fact { at: event.at, text: event.kind.words(), grave });
        if event.kind.is_terminal() || matches!(event.kind, EventKind::BatchCompleted { .. } | EventKind::RollbackStarted { .. })
        {
            self.reckon_anew();
        }
        self.open_next();
        self.dirt = Dirt::Now;
        true
    }

    /// Takes readings in. They are shown with the next second.
    pub(super) fn take_progress(&mut self, newer: Progress) {
        for (id, reading) in &newer.readings {
            let Some((index, _, instance)) = self.state.instances.get_full(id) else { continue };
            if let Some(chart) = self.charts.get_mut(index) {
                chart.take(reading, instance.is_active());
            }
        }
        if newer.troubles != self.progress.troubles {
            self.dirt = Dirt::Now;
        }
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
        if self.state.end.is_none() {
            let stale = self.forecast.is_none_or(|(told, _)| now.since(told) >= FORECAST_EVERY);
            if stale {
                self.forecast = Some((now, (self.fixed.oracle.forecast)(&self.state, now)));
            }
            self.dirt = Dirt::Now;
        } else if self.dirt == Dirt::Calm || self.link != Link::Up && self.link != Link::Closed {
            self.dirt = Dirt::Now;
        }
    }

    fn remember(&mut self, fact: Fact) {
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
            (Some(Overlay::Ask(ask)), _) if !ask.armed && super::view::fits_question(self.size) => Some(ask.id),
            (None, Some(next)) if !next.armed => Some(next.id),
            _ => None,
        }
    }

    /// The open question, if one is.
    pub(super) fn ask(&mut self) -> Option<&mut Ask> {
        match &mut self.overlay {
            Some(Overlay::Ask(ask)) => Some(ask),
            Some(Overlay::Help | Overlay::Leave) | None => None,
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

    /// Why `action` cannot be done now, in words.
    ///
    /// # Errors
    /// Fails with the reason.
    pub fn allowed(&self, action: Action) -> Result<(), String> {
        let status = self.state.status();
        let acts = matches!(action, Action::Start | Action::Pause | Action::Resume | Action::Cancel | Action::Rollback);
        if !acts {
            return Ok(());
        }
        let refuse = |why: &str| Err(why.to_owned());
        if self.fixed.read_only {
            return refuse("this is a read-only session");
        }
        if self.state.end.is_some() {
            return refuse("the deployment has ended");
        }
        match &self.link {
            Link::Up => {}
            Link::Down { .. } => return refuse("the link to the engine is down; nothing was sent"),
            Link::Closed => return refuse("the engine is gone"),
        }
        match action {
            Action::Start if status != Status::Pending => refuse("it has started already"),
            Action::Pause if status == Status::Pending => refuse("it has not started"),
            Action::Pause if status == Status::RollingBack => refuse("it is rolling back, which needs no pause"),
            Action::Pause if self.state.cancel.is_some() => refuse("it is being cancelled"),
            Action::Resume if status != Status::Paused => refuse("it is not paused"),
            Action::Rollback if status == Status::Pending => refuse("nothing has been touched; C cancels the plan"),
            Action::Rollback if self.state.rollback.is_some() && status == Status::RollingBack => {
                refuse("it is rolling back already")
            }
            _ => Ok(()),
        }
    }
}

/// What the events pane begins with.
fn opening(state: &State) -> String {
    match state.seq.0 {
        0 | 1 => EventKind::DeploymentPlanned { format: crate::event::FORMAT, plan: Box::new(state.plan.clone()) }.words(),
        n => format!("attached after {n} facts; {}", state.headline()),
    }
}

impl Chart {
    /// Takes a reading in; `at_work`: it is out by our doing, so that nobody listening is no news.
    fn take(&mut self, reading: &Reading, at_work: bool) {
        let Some(sample) = &reading.sample else { return };
        let mark = match &sample.result {
            SampleResult::Pass { .. } => Mark::Passed(sample.latency.as_millis()),
            SampleResult::NotListening if at_work => Mark::Down,
            SampleResult::NotListening | SampleResult::Exited { .. } | SampleResult::Miss { .. } => Mark::Missed,
        };
        self.latency = match (self.latency, mark) {
            // Small changes are not news.
            (Some(shown), Mark::Passed(ms)) if shown.abs_diff(ms) * 10 <= shown => Some(shown),
            (_, Mark::Passed(ms)) => Some(two_digits(ms)),
            (_, Mark::Missed | Mark::Down) => None,
        };
        let missed = mark == Mark::Missed && sample.at > self.last;
        if self.samples.is_empty() || sample.at.since(self.last) >= SAMPLE_EVERY || missed {
            self.last = sample.at;
            if self.samples.len() >= SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(mark);
        }
    }
}

/// Rounded to two significant digits.
fn two_digits(ms: u64) -> u64 {
    let mut unit = 1;
    while ms / unit >= 100 {
        unit *= 10;
    }
    (ms + unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::two_digits;

    #[test]
    fn latencies_have_two_digits() {
        for (ms, shown) in [(0, 0), (7, 7), (99, 99), (104, 100), (106, 110), (1_249, 1_200), (12_345, 12_000)] {
            assert_eq!(two_digits(ms), shown);
        }
    }
}
