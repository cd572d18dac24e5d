//! A recorded deployment in the same screens: a console of its own whose facts come from the journal, forwards and backwards.
//! What is live goes on behind it.
//!
//! Imports: tui parts, session, event, state, model. May not: draw; send anything to an engine.

use std::collections::VecDeque;

use super::Exit;
use super::app::{App, Dirt, Fact, Tone, is_grave};
use super::chart::Chart;
use super::history::History;
use super::keys::{Action, Key};
use super::tab::Tab;
use super::timeline::Capacity;
use super::update::{Cmd, Msg, update};
use super::view::plain_arrows;
use crate::event::{Event, EventKind, FORMAT};
use crate::model::{Evidence, InstanceId, Sample, SampleResult, Seq, Span, Timestamp};
use crate::ports::{Progress, Reading, Snapshot, Story, Turn};
use crate::state::State;

/// How long a whole deployment plays at the usual speed.
const WHOLE: Span = Span::from_secs(30);
/// How long a time plays at most in which nothing happens.
const GAP: Span = Span::from_secs(3);
/// Speeds, in quarters of the usual one.
const SPEEDS: [u64; 6] = [1, 2, 4, 8, 16, 32];
/// Instances whose states are kept in checkpoints, all in all: what bounds their memory.
const KEPT: usize = 40_000;
/// The most checkpoints, and the fewest.
const CHECKPOINTS: (usize, usize) = (32, 4);
/// A checkpoint is made so many facts before where a step back ends, so that the next one is quick.
const NEAR: usize = 200;

/// Where a replay stands: what the line above the screen shows.
#[derive(Debug, Clone)]
pub struct Scrub {
    /// Facts taken in so far, of how many.
    pub at: usize,
    /// How many there are.
    pub of: usize,
    /// The time of the first one.
    pub begin: Timestamp,
    /// The time of the last one.
    pub end: Timestamp,
    /// The turns, by time.
    pub marks: Vec<(Timestamp, Turn)>,
    /// It plays.
    pub playing: bool,
    /// Which of the speeds.
    speed: usize,
}

impl Scrub {
    /// The speed in words, if it is not the usual one.
    pub fn speed(&self) -> &'static str {
        ["x1/4", "x1/2", "", "x2", "x4", "x8"].get(self.speed).copied().unwrap_or_default()
    }
}

/// Everything that facts change, after some of them.
#[derive(Debug, Clone)]
struct Checkpoint {
    at: usize,
    state: State,
    progress: Progress,
    facts: VecDeque<Fact>,
    charts: Vec<Chart>,
    histories: Vec<History>,
    capacity: Capacity,
    logs: (u64, Seq),
}

/// A replay.
#[derive(Debug)]
pub struct Replay {
    /// The screens.
    pub app: App,
    events: Vec<Event>,
    /// By the number of facts up to and with it.
    marks: Vec<usize>,
    /// Ever later.
    checkpoints: Vec<Checkpoint>,
    near: Option<Checkpoint>,
    every: usize,
}

impl App {
    /// What is to be drawn: this, or the replay that lies over it.
    pub fn shown(&self) -> &Self {
        self.runs.replay.as_ref().map_or(self, |replay| &replay.app)
    }

    /// The replay that is open plays by itself.
    pub(super) fn plays(&self) -> bool {
        self.shown().runs.scrub.as_ref().is_some_and(|scrub| scrub.playing)
    }
}

/// Opens the replay of this story.
pub(super) fn open(app: &mut App, story: Story) -> Result<(), String> {
    let replay = Replay::new(app, story)?;
    app.runs.replay = Some(Box::new(replay));
    app.dirt = Dirt::Now;
    Ok(())
}

impl App {
    /// Nothing but the replay of this story: out of it is out of the console.
    pub(super) fn begin_with(&mut self, story: Story) -> Result<(), String> {
        self.runs.alone = true;
        open(self, story)
    }
}

/// A key while a replay is open.
pub(super) fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    let Some(replay) = app.runs.replay.as_mut() else { return Vec::new() };
    match replay.on_key(key) {
        Some(cmds) => cmds,
        None if app.runs.alone => vec![Cmd::Exit(Exit::Left)],
        None => {
            app.runs.replay = None;
            Vec::new()
        }
    }
}

/// So much time went by while it plays.
pub(super) fn beat(app: &mut App, passed: Span) -> Vec<Cmd> {
    if let Some(replay) = app.runs.replay.as_mut() {
        replay.play(passed);
        app.dirt = Dirt::Now;
    }
    Vec::new()
}

/// The terminal has another size.
pub(super) fn resize(app: &mut App) {
    let size = app.size;
    if let Some(replay) = app.runs.replay.as_mut() {
        update(&mut replay.app, Msg::Resize(size.0, size.1));
    }
}

/// What is grave in the live deployment is said in the replay, too.
pub(super) fn meanwhile(app: &mut App, event: &Event) {
    if let Some(replay) = app.runs.replay.as_mut()
        && (is_grave(&event.kind) || event.kind.is_terminal() || matches!(event.kind, EventKind::DeploymentPaused { .. }))
    {
        replay.app.say(format!("meanwhile, {}: {}; Esc leads back", event.deployment, event.kind.words()), Tone::Refused);
    }
}

impl Replay {
    fn new(live: &App, story: Story) -> Result<Self, String> {
        let Story { events, damage } = story;
        let cannot = |why: &str| damage.clone().unwrap_or_else(|| why.to_owned());
        let first = events.first().ok_or_else(|| cannot("nothing is recorded"))?;
        let state = State::begin(first).map_err(|illegal| cannot(&illegal.to_string()))?;
        let end = events.last().map_or(first.at, |last| last.at);
        let every = Self::spacing(state.instances.len(), events.len());
        let snapshot = Snapshot { format: FORMAT, seq: Seq(1), state, progress: Progress::default() };
        let mut fixed = live.fixed.clone();
        (fixed.next, fixed.demo) = (None, false);
        let mut app = App::new(snapshot, fixed, first.at, live.size);
        app.wire.clipboard = live.wire.clipboard;
        let turns = || events.iter().enumerate().filter_map(|(index, event)| Some((index + 1, event.at, Turn::of(&event.kind)?)));
        let marks = turns().map(|(_, at, turn)| (at, turn)).collect();
        app.runs.scrub = Some(Scrub { at: 1, of: events.len(), begin: first.at, end, marks, playing: false, speed: 2 });
        if let Some(damage) = damage {
            app.say(format!("{damage}; this is what comes before"), Tone::Refused);
        } else {
            let hint = |action| live.fixed.keys.hint(action);
            let (play, back, on) = (hint(Action::Play), hint(Action::Left), hint(Action::Right));
            let text = format!("{play} plays, {back} and {on} step, {} goes to the next mark", hint(Action::NextMark));
            app.say(plain_arrows(&text), Tone::Plain);
        }
        let marks = turns().map(|(at, ..)| at).collect();
        let mut replay = Self { app, events, marks, checkpoints: Vec::new(), near: None, every };
        replay.checkpoints.push(replay.checkpoint(1));
        Ok(replay)
    }

    fn spacing(instances: usize, events: usize) -> usize {
        let (most, fewest) = CHECKPOINTS;
        let checkpoints = (KEPT / instances.max(1)).clamp(fewest, most);
        events.div_ceil(checkpoints).max(64)
    }

    fn at(&self) -> usize {
        self.app.runs.scrub.as_ref().map_or(1, |scrub| scrub.at)
    }

    /// `None` leaves it.
    fn on_key(&mut self, key: Key) -> Option<Vec<Cmd>> {
        self.app.dirt = Dirt::Now;
        let wanted = if self.app.overlay.is_some() { None } else { self.app.fixed.keys.action(key, false) };
        let pages = matches!(self.app.tab, Tab::Fleet | Tab::Instance);
        let here = self.at();
        match wanted {
            Some(Action::Quit | Action::Open(Tab::History)) => return None,
            Some(Action::Back) if self.app.tab == Tab::Fleet && self.app.list.filter.is_empty() => return None,
            Some(Action::Left) => self.go(here.saturating_sub(1)),
            Some(Action::Right) => self.go(here + 1),
            Some(Action::First) => self.go(1),
            Some(Action::Last) => self.go(usize::MAX),
            Some(Action::PreviousMark) => self.turn_to(false),
            Some(Action::NextMark) => self.turn_to(true),
            Some(Action::PageUp) if pages => self.turn_to(false),
            Some(Action::PageDown) if pages => self.turn_to(true),
            Some(Action::Play) => self.toggle(),
            Some(Action::Faster) => self.speed(true),
            Some(Action::Slower) => self.speed(false),
            _ => {
                let cmds = update(&mut self.app, Msg::Key(key));
                // `:quit`, and the answer to it.
                if cmds.iter().any(|cmd| matches!(cmd, Cmd::Exit(_))) {
                    return None;
                }
                let is_ours = |cmd: &Cmd| !matches!(cmd, Cmd::Send { .. } | Cmd::Refresh);
                return Some(cmds.into_iter().filter(is_ours).collect());
            }
        }
        Some(Vec::new())
    }

    /// To that fact, and it stands there.
    fn go(&mut self, target: usize) {
        self.app.message = None;
        self.seek(target);
        if let Some(scrub) = &mut self.app.runs.scrub {
            scrub.playing = false;
        }
        let at = self.events.get(self.at().saturating_sub(1)).map(|event| event.at);
        self.stand(at.unwrap_or_default());
    }

    fn turn_to(&mut self, forward: bool) {
        let here = self.at();
        let found = if forward {
            self.marks.iter().find(|mark| **mark > here)
        } else {
            self.marks.iter().rev().find(|mark| **mark < here)
        };
        match found.copied() {
            Some(mark) => self.go(mark),
            None if forward => self.app.say("there is no mark after this", Tone::Refused),
            None => self.app.say("there is no mark before this", Tone::Refused),
        }
    }

    fn toggle(&mut self) {
        let at_end = self.at() >= self.events.len();
        let plays = self.app.runs.scrub.as_ref().is_some_and(|scrub| scrub.playing);
        if at_end && !plays {
            self.go(1);
        }
        self.app.message = None;
        if let Some(scrub) = &mut self.app.runs.scrub {
            scrub.playing = !plays;
        }
    }

    fn speed(&mut self, faster: bool) {
        let Some(scrub) = &mut self.app.runs.scrub else { return };
        scrub.speed = if faster { (scrub.speed + 1).min(SPEEDS.len() - 1) } else { scrub.speed.saturating_sub(1) };
    }

    /// Plays on: so much time of whoever watches went by.
    fn play(&mut self, passed: Span) {
        let Some(scrub) = self.app.runs.scrub.as_ref().filter(|scrub| scrub.playing) else { return };
        let whole = scrub.end.since(scrub.begin).as_millis();
        let passed = passed.as_millis().saturating_mul(SPEEDS.get(scrub.speed).copied().unwrap_or(4)) / 4;
        let on = passed.saturating_mul(whole) / WHOLE.as_millis();
        // Nothing happens for hours, as before somebody came to confirm: that is passed over.
        let (before, next) = (self.app.state.at, self.events.get(self.at()).map_or(scrub.end, |event| event.at));
        let over = next.since(before).as_millis().saturating_mul(passed) / GAP.as_millis();
        let now = (self.app.now + Span::from_millis(on.max(over).max(1))).min(scrub.end);
        let target = self.events.partition_point(|event| event.at <= now);
        self.seek(target.max(self.at()));
        self.stand(now);
        let over = self.at() >= self.events.len();
        if let Some(scrub) = self.app.runs.scrub.as_mut().filter(|_| over) {
            scrub.playing = false;
        }
    }

    /// It is that late in the recorded time.
    fn stand(&mut self, now: Timestamp) {
        let app = &mut self.app;
        (app.now, app.heard_at, app.forecast) = (now, now, None);
        app.tick(now);
        app.dirt = Dirt::Now;
    }

    /// The facts that are taken in.
    pub(super) fn told(&self) -> &[Event] {
        self.events.get(..self.at()).unwrap_or_default()
    }

    /// Folds to where so many facts are taken in.
    fn seek(&mut self, target: usize) {
        let target = target.clamp(1, self.events.len());
        let here = self.at();
        let best = self.checkpoints.iter().chain(&self.near).filter(|kept| kept.at <= target).max_by_key(|kept| kept.at);
        if let Some(kept) = best.filter(|kept| target < here || kept.at > here).cloned() {
            self.restore(kept);
        }
        let near = (target < here && target.saturating_sub(self.at()) > 2 * NEAR).then(|| target - NEAR);
        while self.at() < target {
            if !self.take_next() {
                break;
            }
            if Some(self.at()) == near {
                self.near = Some(self.checkpoint(self.at()));
            }
        }
    }

    /// Takes the next fact in. One that cannot follow is as damaged as one that cannot be read.
    fn take_next(&mut self) -> bool {
        let at = self.at();
        let Some(event) = self.events.get(at) else { return false };
        self.app.now = event.at;
        if !self.app.take_event(event) {
            self.app
                .say(format!("fact {} does not follow from those before; this is what comes before", event.seq), Tone::Refused);
            self.events.truncate(at);
            if let Some(scrub) = &mut self.app.runs.scrub {
                scrub.of = at;
            }
            return false;
        }
        if let Some((instance, evidence)) = evidence(&event.kind) {
            let interval = self.app.state.plan.policy.health.interval;
            take_latencies(&mut self.app, instance, evidence, (event.at, interval));
        }
        if let Some(scrub) = &mut self.app.runs.scrub {
            scrub.at = at + 1;
        }
        let last = self.checkpoints.last().map_or(0, |kept| kept.at);
        if at + 1 >= last + self.every {
            self.checkpoints.push(self.checkpoint(at + 1));
        }
        true
    }

    fn checkpoint(&self, at: usize) -> Checkpoint {
        let App { state, progress, facts, charts, histories, timeline, logs, .. } = &self.app;
        Checkpoint {
            at,
            state: state.clone(),
            progress: progress.clone(),
            facts: facts.clone(),
            charts: charts.clone(),
            histories: histories.clone(),
            capacity: timeline.counted(),
            logs: logs.mark(),
        }
    }

    fn restore(&mut self, kept: Checkpoint) {
        let app = &mut self.app;
        let Checkpoint { at, state, progress, facts, charts, histories, capacity, logs } = kept;
        (app.state, app.progress, app.facts, app.charts, app.histories) = (state, progress, facts, charts, histories);
        app.timeline.count_from(capacity);
        // How it is looked at stays; what is in it goes back.
        app.logs.go_back(logs);
        app.refilter();
        if let Some(scrub) = &mut app.runs.scrub {
            scrub.at = at;
        }
    }
}

/// What a decision rests on.
fn evidence(kind: &EventKind) -> Option<(&InstanceId, &Evidence)> {
    match kind {
        EventKind::HealthPassed { instance, evidence }
        | EventKind::InstanceHealthy { instance, evidence }
        | EventKind::InstanceFailed { instance, evidence, .. }
        | EventKind::InstanceRestored { instance, evidence } => Some((instance, evidence)),
        _ => None,
    }
}

/// The checks that the decision rests on, as far as they are recorded: their latencies, and how often they were made.
fn take_latencies(app: &mut App, id: &InstanceId, evidence: &Evidence, (at, interval): (Timestamp, Span)) {
    let Some(index) = app.state.instances.get_index_of(id) else { return };
    let touched = app.state.instances.get_index(index).is_some_and(|(_, instance)| instance.taken_at.is_some());
    let count = evidence.latencies_ms.len();
    let mut last = None;
    for (number, latency) in evidence.latencies_ms.iter().enumerate() {
        let before = interval.times(u64::try_from(count - number - 1).unwrap_or(0));
        let sample = Sample {
            at: Timestamp::from_millis(at.as_millis().saturating_sub(before.as_millis())),
            latency: Span::from_millis(latency.unwrap_or(0)),
            result: match latency {
                Some(_) => SampleResult::Pass { status: None },
                None => SampleResult::Miss { reason: evidence.last.clone().unwrap_or_else(|| "no pass".to_owned()) },
            },
            version: None,
        };
        let reading = Reading { sample: Some(sample), passes: evidence.passes, misses: evidence.misses, ..Reading::default() };
        if let Some(chart) = app.charts.get_mut(index) {
            chart.take(&reading, (false, touched), false);
        }
        last = Some(reading);
    }
    if let Some(reading) = last {
        app.progress.readings.insert(id.clone(), reading);
    }
}
