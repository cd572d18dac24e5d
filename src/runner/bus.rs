//! Fan-out to readers: the facts in order, the latest of everything else, and a snapshot for whoever fell behind.
//!
//! Imports: event, state, command, ports, model, os. May not: wait for a reader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::command::{Command, Receipt, Refusal, Request};
use crate::event::{Actor, Event, FORMAT};
use crate::model::{DeploymentId, InstanceId, LbStats, Seq, Timestamp, VipStats};
use crate::os::logring::LogRing;
use crate::ports::{Engine, Feed, LogLine, Progress, Reading, Session, SessionError, Snapshot, Update};
use crate::state::State;

use super::Words;

/// Updates that a reader may be behind before it starts again from a snapshot: seconds of a busy rollout, a few MB at most.
const BACKLOG: usize = 4096;
/// Between two looks whether readers are left.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);
/// Commands waiting for the engine.
pub(super) const COMMANDS: usize = 64;

/// A command and where its answer goes.
pub(super) type Asked = (Request, oneshot::Sender<Result<Receipt, Refusal>>);

/// What all of the engine depends on, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Nothing can be stored.
    Journal,
    /// The balancers cannot be read.
    Balancers,
    /// Where the engine runs, it may not live to the end.
    Place,
    /// The fleet is not what it was when the plan was made.
    Fleet,
}

/// What readers share with the engine.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Mutex<Shared>>,
    updates: broadcast::Sender<Update>,
    commands: mpsc::Sender<Asked>,
    logs: LogRing,
    words: Words,
}

struct Shared {
    state: State,
    events: Vec<Event>,
    progress: Progress,
    troubles: BTreeMap<Trouble, String>,
    /// What changed since the last progress went out.
    news: Option<Progress>,
    over: bool,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Bus {
    pub(super) fn new(state: State, events: Vec<Event>, logs: LogRing, words: Words) -> (Self, mpsc::Receiver<Asked>) {
        let (updates, _) = broadcast::channel(BACKLOG);
        let (commands, asked) = mpsc::channel(COMMANDS);
        let shared = Shared { state, events, progress: Progress::default(), troubles: BTreeMap::new(), news: None, over: false };
        (Self { shared: Arc::new(Mutex::new(shared)), updates, commands, logs, words }, asked)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A reader that panicked while holding the lock left plain data behind: it is as good as before.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stored facts go out.
    pub(super) fn publish(&self, events: Vec<Event>) {
        let mut shared = self.lock();
        for event in events {
            if let Err(illegal) = shared.state.apply(&event) {
                tracing::error!(target: "engine", "the mirror for readers refused an event: {illegal}");
            }
            shared.events.push(event.clone());
            // Nobody listening is no error.
            drop(self.updates.send(Update::Event(event)));
        }
    }

    /// Changes the latest reading of an instance.
    /// What `look` finds in the latest state.
    pub(super) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    pub(super) fn reading(&self, id: &InstanceId, change: impl FnOnce(&mut Reading)) {
        let mut shared = self.lock();
        let reading = shared.progress.readings.entry(id.clone()).or_default();
        change(reading);
        let reading = reading.clone();
        shared.news.get_or_insert_default().readings.insert(id.clone(), reading);
    }

    /// Changes what the probe through the balancer counted.
    pub(super) fn probed(&self, vip: Option<VipStats>) {
        let mut shared = self.lock();
        if shared.progress.vip != vip {
            shared.progress.vip = vip;
            shared.news.get_or_insert_default();
        }
    }

    /// Changes what is in trouble of the engine as a whole, or that it no longer is.
    pub(super) fn trouble(&self, what: Trouble, why: Option<String>) {
        let mut shared = self.lock();
        match why {
            Some(why) => shared.troubles.insert(what, why),
            None => shared.troubles.remove(&what),
        };
        let troubles: Vec<String> = shared.troubles.values().cloned().collect();
        if shared.progress.troubles != troubles {
            shared.progress.troubles = troubles;
            shared.news.get_or_insert_default();
        }
    }

    /// Where the engine runs, it may not live to the end.
    pub fn doubt(&self, why: String) {
        self.trouble(Trouble::Place, Some(why));
    }

    /// The fleet is not the one that was planned for; `None`: it is.
    pub fn differs(&self, how: Option<String>) {
        self.trouble(Trouble::Fleet, how);
    }

    /// Changes what the balancers counted.
    pub(super) fn counted(&self, lb: LbStats) {
        let mut shared = self.lock();
        if shared.progress.lb != Some(lb) {
            shared.progress.lb = Some(lb);
            shared.news.get_or_insert_default();
        }
    }

    /// Sends what changed since the last time, if anything did.
    pub(super) fn flush(&self, now: Timestamp) {
        let mut shared = self.lock();
        let Some(mut news) = shared.news.take() else { return };
        news.at = now;
        news.vip = shared.progress.vip;
        news.lb = shared.progress.lb;
        news.troubles.clone_from(&shared.progress.troubles);
        shared.progress.at = now;
        drop(self.updates.send(Update::Progress(news)));
    }

    /// Nothing follows.
    pub(super) fn close(&self) {
        self.lock().over = true;
        drop(self.updates.send(Update::Closed));
    }

    /// Whose updates these are.
    pub fn deployment(&self) -> DeploymentId {
        self.lock().state.plan.deployment.clone()
    }

    /// A plan that nobody has begun yet.
    pub fn is_only_planned(&self) -> bool {
        let shared = self.lock();
        shared.state.started_at.is_none() && shared.state.end.is_none()
    }

    /// It looks at everything once more, or has ended.
    pub fn is_ending(&self) -> bool {
        let shared = self.lock();
        shared.state.end_check_until.is_some() || shared.state.end.is_some()
    }

    /// Somebody follows what happens.
    pub fn is_watched(&self) -> bool {
        self.updates.receiver_count() > 0
    }

    /// Waits until every reader has let go.
    pub async fn read_to_the_end(&self) {
        while self.is_watched() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn snapshot_now(&self) -> Snapshot {
        let shared = self.lock();
        Snapshot { format: FORMAT, seq: shared.state.seq, state: shared.state.clone(), progress: shared.progress.clone() }
    }

    fn feed(&self, after: Seq) -> BusFeed {
        let shared = self.lock();
        let past = shared.events.iter().filter(|e| e.seq > after).cloned().map(Update::Event).collect();
        let live = self.updates.subscribe();
        BusFeed { bus: self.clone(), past, live, logs: self.logs.subscribe(), over: shared.over }
    }
}

impl Engine for Bus {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        Box::pin(async { Ok(self.snapshot_now()) })
    }

    fn subscribe(&self, after: Seq) -> Box<dyn Feed> {
        Box::new(self.feed(after))
    }

    /// A reason is made harmless here, whoever gives it.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let commands = self.commands.clone();
        let request = Request { command: request.command.with_reason(|reason| (self.words)(reason.trim())), ..request };
        Box::pin(async move {
            let gone = || SessionError::Link("the engine has ended".to_owned());
            let (answer, answered) = oneshot::channel();
            commands.send((request, answer)).await.map_err(|_closed| gone())?;
            Ok(answered.await.map_err(|_dropped| gone())??)
        })
    }

    fn logs(&self, after: u64) -> Vec<LogLine> {
        self.logs.after(after)
    }
}

struct BusFeed {
    bus: Bus,
    past: std::collections::VecDeque<Update>,
    live: broadcast::Receiver<Update>,
    logs: broadcast::Receiver<LogLine>,
    over: bool,
}

impl Feed for BusFeed {
    fn next(&mut self) -> BoxFuture<'_, Update> {
        Box::pin(async move {
            if let Some(update) = self.past.pop_front() {
                return update;
            }
            if self.over {
                return Update::Closed;
            }
            loop {
                tokio::select! {
                    biased;
                    update = self.live.recv() => return match update {
                        Ok(update) => update,
                        Err(broadcast::error::RecvError::Lagged(_)) => {
                            let shared_over = self.bus.lock().over;
                            self.live = self.bus.updates.subscribe();
                            self.over = shared_over;
                            Update::Resync(Box::new(self.bus.snapshot_now()))
                        }
                        Err(broadcast::error::RecvError::Closed) => Update::Closed,
                    },
                    line = self.logs.recv() => if let Ok(line) = line { return Update::Log(line) },
                }
            }
        })
    }
}

/// A session in the engine's own process: for tests, and for whoever needs no socket.
#[derive(Debug)]
pub struct LocalSession {
    bus: Bus,
    feed: Option<BusFeed>,
}

impl std::fmt::Debug for BusFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusFeed").finish_non_exhaustive()
    }
}

impl LocalSession {
    /// A session with the engine behind `bus`.
    pub fn new(bus: Bus) -> Self {
        Self { bus, feed: None }
    }
}

impl Session for LocalSession {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        Engine::snapshot(&self.bus)
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        let feed = self.feed.get_or_insert_with(|| self.bus.feed(Seq(0)));
        feed.next()
    }

    fn send(&self, command: Command, revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let actor = Actor::operator("local", rustix::process::getuid().as_raw());
        let key = uuid::Uuid::now_v7().to_string();
        Engine::send(&self.bus, Request { key, actor, revision, command })
    }
}
