//! The port between an engine and whoever watches it: a snapshot, updates, commands.
//!
//! Imports: event, command, state, model. May not: tell whether the engine is in this process.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Chapters, Story};
use crate::command::{Command, Receipt, Refusal, Request};
use crate::event::Event;
use crate::model::{DeploymentId, InstanceId, LbStats, Sample, Seq, Timestamp, VipStats};
use crate::state::State;

/// All that is known at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// Number of the stored form of events and state.
    pub format: u32,
    /// The last event that `state` holds.
    pub seq: Seq,
    /// The fold of all events so far.
    pub state: State,
    /// The latest of what is not journalled.
    pub progress: Progress,
}

/// What only the latest matters of. As an update it holds only what changed since the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it was put together, by the engine's clock.
    pub at: Timestamp,
    /// The latest reading of each instance.
    pub readings: BTreeMap<InstanceId, Reading>,
    /// What the probe through the balancer has counted so far.
    pub vip: Option<VipStats>,
    /// What the balancers themselves have counted so far.
    #[serde(default)]
    pub lb: Option<LbStats>,
    /// Troubles of the engine as a whole, in words; empty if there are none.
    pub troubles: Vec<String>,
}

impl Progress {
    /// Takes over what `newer` holds.
    pub fn merge(&mut self, newer: Self) {
        self.at = newer.at;
        self.readings.extend(newer.readings);
        if newer.vip.is_some() {
            self.vip = newer.vip;
        }
        if newer.lb.is_some() {
            self.lb = newer.lb;
        }
        self.troubles = newer.troubles;
    }
}

/// The latest of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The last probe.
    pub sample: Option<Sample>,
    /// Passes in a row.
    pub passes: u32,
    /// Misses in a row.
    pub misses: u32,
    /// Connections left while it drains.
    pub sessions: Option<u32>,
    /// The last trouble of an act on it that is being retried, in words.
    pub trouble: Option<String>,
}

/// One line of the engine's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// 1, 2, 3, … within the engine's life; a gap means that lines were dropped.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Part of the program.
    pub target: String,
    /// The text, sanitised.
    pub message: String,
}

/// What a watcher receives after its snapshot.
#[derive(Debug, Clone)]
pub enum Update {
    /// A fact. Never lost and in order, unless `Resync` says so.
    Event(Event),
    /// The latest of what is not journalled.
    Progress(Progress),
    /// A line of the engine's log.
    Log(LogLine),
    /// The watcher was too slow or the link broke: start again from this.
    Resync(Box<Snapshot>),
    /// The link to the engine is down; it is being tried again.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// The engine is gone before the end. If another takes the deployment over, what that one says follows.
    Gone,
    /// Nothing follows.
    Closed,
}

/// Why a session could not.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine refused; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine cannot be reached or answered something else than it should.
    #[error("{0}")]
    Link(String),
}

/// A running engine, as seen by a front door.
pub trait Session: Send + Sync {
    /// All that is known now.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>>;

    /// The newest facts up to and with `until`, at most so many, oldest first; none where nobody tells them.
    fn past(&self, _until: Seq, _most: u64) -> BoxFuture<'_, Result<Vec<Event>, SessionError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The deployments of the service; none where nobody tells them.
    fn deployments(&self) -> BoxFuture<'static, Result<Option<Chapters>, SessionError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// All that the journal says of one deployment; none where nobody tells it.
    fn story(&self, _id: DeploymentId) -> BoxFuture<'static, Result<Option<Story>, SessionError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The next update after the last snapshot. Cancelling the call loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Update>;

    /// Sends a command and waits for the answer.
    fn send(&self, command: Command, revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>>;
}

/// A stream of updates of one watcher.
pub trait Feed: Send {
    /// The next update. Cancelling the call loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Update>;
}

/// A running engine, as seen by the control socket's server.
pub trait Engine: Send + Sync {
    /// All that is known now.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>>;

    /// Everything after the event `after` (`Seq(0)`: from the first): what is past at once, then live. A watcher that
    /// is too slow gets `Resync`. `Closed` once the deployment has ended and all is handed over.
    fn subscribe(&self, after: Seq) -> Box<dyn Feed>;

    /// Carries a command out and answers.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Receipt, SessionError>>;

    /// The kept log lines after number `after`.
    fn logs(&self, after: u64) -> Vec<LogLine>;
}
