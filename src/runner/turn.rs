//! The loop: an input, one turn of the core, one append, one publication, then the effects. The order never changes.
//!
//! Imports: core, state, event, command, ports, model, the bus and the performer. May not: decide.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::command::{Command, Request};
use crate::core::{Input, Observed, check, next_deadline, turn};
use crate::event::{Actor, Event, EventKind, FORMAT, Takeover};
use crate::model::{DeploymentId, Plan, Seq, Timestamp};
use crate::os::failpoint;
use crate::os::logring::{FACTS, LogRing};
use crate::ports::{DeploymentRow, Journal, JournalError};
use crate::state::{Illegal, State, Status};

use super::Parts;
use super::bus::{Asked, Bus, COMMANDS, Trouble};
use super::perform::{INPUTS, Performer};

/// How often the latest readings go out to readers.
const PROGRESS: Duration = Duration::from_millis(200);
/// Between two tries of an append that failed.
const APPEND_AGAIN: Duration = Duration::from_secs(1);

/// A running engine.
#[derive(Debug)]
pub struct Handle {
    /// Where readers and commands meet it.
    pub bus: Bus,
    /// Signals to the process, as names: the first stops it at a safe point, the second at once.
    pub signals: mpsc::Sender<&'static str>,
    /// The one task of the engine.
    task: JoinSet<Stopped>,
}

/// Why an engine stopped.
#[derive(Debug)]
pub enum Stopped {
    /// The deployment ended.
    Ended(Box<State>),
    /// A signal stopped it; the journal holds where it was.
    Signalled(Box<State>),
    /// This program contradicted itself; the journal holds where it was.
    Fault(String),
}

impl Handle {
    /// Waits for the end.
    pub async fn stopped(mut self) -> Stopped {
        match self.task.join_next().await {
            Some(Ok(stopped)) => stopped,
            Some(Err(error)) => Stopped::Fault(format!("the engine's task ended: {error}")),
            None => Stopped::Fault("the engine's task had ended already".to_owned()),
        }
    }
}

/// Stores the plan and starts an engine on it. Nothing is touched until `Command::Start`.
///
/// # Errors
/// Fails if the plan cannot be stored.
pub fn start(parts: Parts, plan: Plan, logs: LogRing) -> Result<Handle, JournalError> {
    let at = (parts.clock)();
    let deployment = plan.deployment.clone();
    let kind = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan) };
    let event = Event { seq: Seq(1), at, deployment: deployment.clone(), kind };
    let state = State::begin(&event).map_err(|illegal| damaged(&deployment, &illegal))?;
    parts.journal.append(std::slice::from_ref(&event), &row(&state))?;
    Ok(launch(parts, state, vec![event], None, logs))
}

/// How an engine takes a deployment over.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// From whom.
    pub takeover: Takeover,
    /// What was chosen already; without it the engine waits, paused, until somebody chooses.
    pub then: Option<Request>,
}

/// Starts an engine on a journal whose engine is gone. It takes over paused, and does at once what was chosen.
///
/// # Errors
/// Fails if the journal cannot be read or contradicts itself.
pub fn continued(parts: Parts, deployment: &DeploymentId, recovery: Recovery, logs: LogRing) -> Result<Handle, JournalError> {
    let events = parts.journal.read(deployment)?;
    let state = State::replay(&events).map_err(|illegal| damaged(deployment, &illegal))?;
    Ok(launch(parts, state, events, Some(recovery), logs))
}

fn damaged(deployment: &DeploymentId, illegal: &Illegal) -> JournalError {
    JournalError::Damaged { deployment: deployment.clone(), seq: illegal.seq.0, reason: illegal.reason.clone() }
}

fn launch(parts: Parts, state: State, events: Vec<Event>, recovery: Option<Recovery>, logs: LogRing) -> Handle {
    let (bus, asked) = Bus::new(state.clone(), events, logs);
    let (inputs, arriving) = mpsc::channel(INPUTS);
    let (signals, signalled) = mpsc::channel(COMMANDS);
    let performer = Performer::new(parts.clone(), bus.clone(), inputs);
    let run = Run {
        parts,
        state,
        observed: Observed::default(),
        bus: bus.clone(),
        performer,
        signalled,
        stopping: 0,
        unsaved: false,
        lost: None,
    };
    let sources = Sources { asked, arriving };
    let mut task = JoinSet::new();
    task.spawn(run.run(sources, recovery));
    Handle { bus, signals, task }
}

struct Sources {
    asked: mpsc::Receiver<Asked>,
    arriving: mpsc::Receiver<Input>,
}

struct Run {
    parts: Parts,
    state: State,
    observed: Observed,
    bus: Bus,
    performer: Performer,
    signalled: mpsc::Receiver<&'static str>,
    stopping: u8,
    /// It was stopped while the journal took nothing: what the state holds beyond it never happened.
    unsaved: bool,
    /// Another engine has the lease.
    lost: Option<String>,
}

/// Every source turned into one thing.
enum Arrival {
    Input(Input),
    Asked(Asked),
    Signal(&'static str),
    Flush,
}

impl Run {
    async fn run(mut self, mut sources: Sources, recovery: Option<Recovery>) -> Stopped {
        let outcome = self.turns(&mut sources, recovery).await;
        self.performer.shutdown().await;
        self.bus.flush((self.parts.clock)());
        self.bus.close();
        match outcome {
            Ok(()) if let Some(lost) = self.lost.take() => Stopped::Fault(lost),
            Ok(()) if self.state.end.is_some() && !self.unsaved => Stopped::Ended(Box::new(self.state)),
            Ok(()) => Stopped::Signalled(Box::new(self.state)),
            Err(illegal) => Stopped::Fault(illegal.to_string()),
        }
    }

    async fn turns(&mut self, sources: &mut Sources, recovery: Option<Recovery>) -> Result<(), Illegal> {
        self.performer.reconcile(&self.state, 0..0);
        if let Some(recovery) = recovery {
            self.take_over(recovery).await?;
        }
        self.performer.reconcile(&self.state, 0..self.state.instances.len());
        let mut flush = tokio::time::interval(PROGRESS);
        flush.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.state.end.is_none() {
            let wait = self.until_deadline();
            let arrival = tokio::select! {
                biased;
                Some(name) = self.signalled.recv() => Arrival::Signal(name),
                Some(asked) = sources.asked.recv() => Arrival::Asked(asked),
                Some(input) = sources.arriving.recv() => Arrival::Input(input),
                _ = flush.tick() => Arrival::Flush,
                () = tokio::time::sleep(wait) => Arrival::Input(Input::Tick),
            };
            match arrival {
                Arrival::Input(input) => self.turn(&input).await?,
                Arrival::Asked(asked) => self.answer(asked).await?,
                Arrival::Signal(name) => self.signal(name).await?,
                Arrival::Flush => self.progress(),
            }
            if self.stopping > 1 || self.stopping == 1 && self.state.active.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What was chosen is decided in the same breath, so that nothing is done that the choice rules out.
    async fn take_over(&mut self, Recovery { takeover, then }: Recovery) -> Result<(), Illegal> {
        if let (Some(_), Some(vip)) = (self.state.started_at, &self.parts.vip) {
            vip.start();
        }
        let now = (self.parts.clock)();
        let mut events = turn(&mut self.state, &mut self.observed, now, &Input::Recovered(takeover))?;
        let pause = Command::Pause { reason: "its engine was gone".to_owned() };
        let pause = Request { key: String::new(), actor: Actor::Engine, revision: None, command: pause };
        for request in [Some(pause), then].into_iter().flatten() {
            if check(&self.state, &request.command).is_ok() {
                events.extend(turn(&mut self.state, &mut self.observed, now, &Input::Command(request))?);
            }
        }
        self.keep(events).await;
        Ok(())
    }

    fn until_deadline(&self) -> Duration {
        // With nothing due, a look once a second costs nothing and forgives a missed wake-up.
        let now = (self.parts.clock)();
        next_deadline(&self.state, now).map_or(Duration::from_secs(1), |at| at.since(now).to_std())
    }

    async fn turn(&mut self, input: &Input) -> Result<(), Illegal> {
        let now = (self.parts.clock)();
        let events = turn(&mut self.state, &mut self.observed, now, input)?;
        self.keep(events).await;
        Ok(())
    }

    async fn keep(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        if self.store(&events).await {
            self.follow(events);
        } else {
            (self.unsaved, self.stopping) = (true, 2);
        }
    }

    /// Nothing is shown or done before it is on disk. Without a journal the engine holds: what is in flight goes on,
    /// nothing new begins, until it is mended or a signal stops the engine (`false`).
    async fn store(&mut self, events: &[Event]) -> bool {
        let row = row(&self.state);
        let last = events.last().map(|e| e.seq.0);
        loop {
            let (journal, batch, row) = (self.parts.journal.clone(), events.to_vec(), row.clone());
            let stored = tokio::task::spawn_blocking(move || append(journal.as_ref(), &batch, &row)).await;
            let why = match stored {
                Ok(Ok(())) => break,
                // An earlier try had its effect, only its answer was lost: nobody else writes under this lease.
                Ok(Err(JournalError::Gap { last: stored, .. })) if Some(stored) == last => break,
                Ok(Err(error @ JournalError::Fenced { .. })) => {
                    tracing::error!(target: "journal", "{error}; stopping at once");
                    self.lost = Some(error.to_string());
                    return false;
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::error!(target: "journal", "{why}; nothing new begins until this is mended");
            self.bus.trouble(Trouble::Journal, Some(format!("cannot journal, nothing new begins: {why}")));
            self.bus.flush((self.parts.clock)());
            tokio::select! {
                () = tokio::time::sleep(APPEND_AGAIN) => {}
                Some(name) = self.signalled.recv() => {
                    tracing::warn!(target: "engine", "{name}: stopping at once, for nothing can be journalled");
                    return false;
                }
            }
        }
        self.bus.trouble(Trouble::Journal, None);
        true
    }

    fn follow(&mut self, events: Vec<Event>) {
        let mut touched: Vec<usize> = Vec::new();
        let mut all = false;
        for event in &events {
            tracing::info!(target: FACTS, "{}", event.kind.words());
            match event.kind.instance() {
                Some(id) => touched.extend(self.state.instances.get_index_of(id)),
                None => {
                    // A batch's beginning and end change how closely its members are watched.
                    all |= !matches!(event.kind, EventKind::BatchVerified { .. });
                }
            }
            if let (EventKind::DeploymentStarted { .. }, Some(vip)) = (&event.kind, &self.parts.vip) {
                vip.start();
            }
        }
        self.bus.publish(events);
        if all {
            self.performer.reconcile(&self.state, 0..self.state.instances.len());
        } else {
            // Whether a failed instance may be taken out depends on how many others serve.
            let evicting = |index: &usize| self.state.instances.get_index(*index).is_some_and(|(_, i)| i.is_evicting());
            touched.extend(self.state.active.iter().copied().filter(evicting));
            touched.sort_unstable();
            touched.dedup();
            self.performer.reconcile(&self.state, touched);
        }
    }

    fn progress(&mut self) {
        if let Some(vip) = &self.parts.vip {
            for failure in vip.failures() {
                tracing::warn!(target: "vip", "request through the balancer failed: {failure}");
            }
            self.bus.probed(vip.stats());
        }
        self.bus.flush((self.parts.clock)());
    }

    async fn answer(&mut self, (request, answer): Asked) -> Result<(), Illegal> {
        let checked = check(&self.state, &request.command);
        if let Ok(receipt) = checked {
            tracing::info!(target: "operator", "{}: {} ({})", request.actor.name(), request.command.verb(), receipt.message);
            self.turn(&Input::Command(request)).await?;
            // Who asked may have gone; the command stands.
            drop(answer.send(Ok(crate::command::Receipt { seq: self.state.seq, ..receipt })));
        } else if let Err(refusal) = checked {
            tracing::info!(target: "operator", "{}: {} refused: {refusal}", request.actor.name(), request.command.verb());
            drop(answer.send(Err(refusal)));
        }
        Ok(())
    }

    async fn order(&mut self, command: Command, actor: Actor) -> Result<(), Illegal> {
        if check(&self.state, &command).is_ok() {
            self.turn(&Input::Command(Request { key: String::new(), actor, revision: None, command })).await?;
        }
        Ok(())
    }

    /// The first signal takes nothing new and waits for a safe point; the second stops at once.
    async fn signal(&mut self, name: &'static str) -> Result<(), Illegal> {
        self.stopping = self.stopping.saturating_add(1);
        let actor = Actor::Signal { name: name.to_owned() };
        let command = match self.state.status() {
            Status::Pending => Command::Cancel { reason: format!("stopped by {name}") },
            Status::InProgress
            | Status::Paused
            | Status::Completed
            | Status::RollingBack
            | Status::RolledBack
            | Status::Failed
            | Status::Cancelled
            | Status::Interrupted => Command::Pause { reason: format!("stopped by {name}") },
        };
        tracing::warn!(target: "engine", "{name}: stopping at the next safe point; once more stops at once");
        self.order(command, actor).await
    }
}

fn append(journal: &dyn Journal, batch: &[Event], row: &DeploymentRow) -> Result<(), JournalError> {
    let last = batch.last().map_or(0, |event| event.seq.0);
    if failpoint::hit("append", last) {
        return Err(JournalError::Store { path: "of a test".to_owned(), reason: "failpoint".to_owned() });
    }
    journal.append(batch, row)?;
    failpoint::hit("appended", last);
    Ok(())
}

/// The deployment's line in the history.
fn row(state: &State) -> DeploymentRow {
    let ended_at: Option<Timestamp> = state.end.as_ref().map(|end| end.at);
    DeploymentRow {
        id: state.plan.deployment.clone(),
        version: state.plan.version.to_string(),
        status: state.status().word().to_owned(),
        started_by: state.plan.started_by.clone(),
        planned_at: state.planned_at,
        ended_at,
    }
}
