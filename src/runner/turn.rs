//! The loop: an input, one turn of the core, one append, one publication, then the effects. The order never changes.
//!
//! Imports: core, state, event, command, ports, model, its children, the bus and the performer. May not: decide.

mod store;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::command::{Command, Receipt, Refusal, Request};
use crate::core::{Input, Observed, check, check_request, next_deadline, turn};
use crate::event::{Actor, Event, EventKind, FORMAT, Takeover};
use crate::model::{DeploymentId, Plan, Seq, Span};
use crate::os::failpoint;
use crate::os::logring::{FACTS, LogRing};
use crate::ports::JournalError;
use crate::state::{Illegal, State, Status};

use super::Parts;
use super::bus::{Asked, Bus, COMMANDS};
use super::perform::{INPUTS, Performer};

/// How often the latest readings go out to readers.
const PROGRESS: Duration = Duration::from_millis(200);
/// The loop turns at least every [`PROGRESS`]; one that took so long was kept from running.
const ASLEEP: Duration = Duration::from_secs(5);
/// A running engine.
#[derive(Debug)]
pub struct Handle {
    /// Where readers and commands meet it.
    pub bus: Bus,
    /// Orders to stop.
    pub stop: mpsc::Sender<Stop>,
    /// The one task of the engine.
    task: JoinSet<Stopped>,
}

/// How an engine is to stop, and what asks for it: `SIGTERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing new begins; it leaves when no instance is in the middle.
    AtSafePoint(&'static str),
    /// The commands that run are ended and awaited.
    Now(&'static str),
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
    parts.journal.append(std::slice::from_ref(&event), &store::row(&state))?;
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
    let (bus, asked) = Bus::new(state.clone(), events, logs, parts.words.clone());
    let (inputs, arriving) = mpsc::channel(INPUTS);
    let (stop, stops) = mpsc::channel(COMMANDS);
    let performer = Performer::new(parts.clone(), bus.clone(), inputs);
    let run = Run {
        parts,
        state,
        observed: Observed::default(),
        bus: bus.clone(),
        performer,
        asked,
        arriving,
        stops,
        stopping: None,
        unrecorded: None,
        held: None,
        mended: false,
        looked: Instant::now(),
        unsaved: false,
        lost: None,
    };
    let mut task = JoinSet::new();
    task.spawn(run.run(recovery));
    Handle { bus, stop, task }
}

struct Run {
    parts: Parts,
    state: State,
    observed: Observed,
    bus: Bus,
    performer: Performer,
    asked: mpsc::Receiver<Asked>,
    arriving: mpsc::Receiver<Input>,
    stops: mpsc::Receiver<Stop>,
    /// The last order to stop.
    stopping: Option<Stop>,
    /// It came while nothing could be journalled.
    unrecorded: Option<Stop>,
    /// Why the journal takes nothing: nothing new begins.
    held: Option<String>,
    /// It takes events again, and what could not be done meanwhile must not count as late.
    mended: bool,
    /// When that was looked at last.
    looked: Instant,
    /// It was stopped while the journal took nothing: what the state holds beyond it never happened.
    unsaved: bool,
    /// Another engine has the lease.
    lost: Option<String>,
}

/// Every source turned into one thing.
enum Arrival {
    Input(Input),
    Asked(Asked),
    Stop(Stop),
    Flush,
}

impl Run {
    async fn run(mut self, recovery: Option<Recovery>) -> Stopped {
        let mut outcome = self.turns(recovery).await;
        self.performer.shutdown().await;
        if outcome.is_ok() {
            outcome = self.record_what_came().await;
        }
        self.bus.flush((self.parts.clock)());
        self.bus.close();
        match outcome {
            Ok(()) if let Some(lost) = self.lost.take() => Stopped::Fault(lost),
            Ok(()) if self.state.end.is_some() && !self.unsaved => Stopped::Ended(Box::new(self.state)),
            Ok(()) => Stopped::Signalled(Box::new(self.state)),
            Err(illegal) => Stopped::Fault(illegal.to_string()),
        }
    }

    async fn turns(&mut self, recovery: Option<Recovery>) -> Result<(), Illegal> {
        self.performer.reconcile(&self.state, 0..0);
        if let Some(recovery) = recovery {
            self.take_over(recovery).await?;
        }
        self.performer.reconcile(&self.state, 0..self.state.instances.len());
        let mut flush = tokio::time::interval(PROGRESS);
        flush.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.state.end.is_none() && !self.may_leave() {
            if std::mem::take(&mut self.mended) {
                self.turn(&Input::Mended).await?;
                continue;
            }
            let wait = self.until_deadline();
            let waits_since = Instant::now();
            let arrival = tokio::select! {
                biased;
                Some(stop) = self.stops.recv() => Arrival::Stop(stop),
                Some(asked) = self.asked.recv() => Arrival::Asked(asked),
                Some(input) = self.arriving.recv() => Arrival::Input(input),
                _ = flush.tick() => Arrival::Flush,
                () = tokio::time::sleep(wait) => Arrival::Input(Input::Tick),
            };
            failpoint::hit("task.turn", self.state.seq.0);
            // Only the wait counts: how long the journal took is told apart.
            let asleep = waits_since.elapsed();
            if asleep >= ASLEEP {
                self.turn(&Input::Woke { asleep: Span::from(asleep) }).await?;
            }
            match arrival {
                Arrival::Input(input) => self.turn(&input).await?,
                Arrival::Asked(asked) => self.answer(asked).await?,
                Arrival::Stop(stop) => self.stop(stop).await?,
                Arrival::Flush => self.progress().await,
            }
            if let Some(stop) = self.unrecorded.take() {
                self.stop(stop).await?;
            }
        }
        Ok(())
    }

    /// It was told to stop, and is where it can: with no instance in the middle, or with its commands ended.
    fn may_leave(&self) -> bool {
        if self.lost.is_some() {
            return true;
        }
        match self.stopping {
            None => false,
            // What an instance waits for cannot be recorded; only what a command does to it must come to its end.
            Some(Stop::AtSafePoint(_)) if self.held.is_some() => !self.performer.is_updating(),
            Some(Stop::AtSafePoint(_)) => self.state.active.is_empty(),
            Some(Stop::Now(_)) => true,
        }
    }

    /// Outcomes that came while it was stopping are facts; nothing follows from them any more but their record.
    async fn record_what_came(&mut self) -> Result<(), Illegal> {
        while self.state.end.is_none() && !self.unsaved {
            let Ok(input) = self.arriving.try_recv() else { break };
            if matches!(input, Input::Outcome { .. }) {
                self.turn(&input).await?;
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
            self.unsaved = true;
        }
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
        if self.performer.is_shut_down() {
            return;
        }
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

    async fn progress(&mut self) {
        if self.held.is_some() {
            self.look_whether_mended().await;
        }
        self.tell();
    }

    /// The latest readings go out.
    fn tell(&self) {
        if let Some(vip) = &self.parts.vip {
            for failure in vip.failures() {
                tracing::warn!(target: "vip", "request through the balancer failed: {failure}");
            }
            self.bus.probed(vip.stats());
        }
        self.bus.flush((self.parts.clock)());
    }

    async fn answer(&mut self, (request, answer): Asked) -> Result<(), Illegal> {
        let (who, verb) = (request.actor.name_and_place().into_owned(), request.command.verb());
        let allowed = match self.leaving(&request.command).or_else(|| begun_meanwhile(&self.state, &request)) {
            Some(refusal) => Err(refusal),
            None => check_request(&self.state, &request),
        };
        let answered = match allowed {
            Ok(receipt) => self.obey(request).await?.map(|()| Receipt { seq: self.state.seq, ..receipt }),
            Err(refusal) => Err(refusal),
        };
        match &answered {
            Ok(receipt) => tracing::info!(target: "operator", "{who}: {verb} ({})", receipt.message),
            Err(refusal) => tracing::info!(target: "operator", "{who}: {verb} refused: {refusal}"),
        }
        // Who asked may have gone; the command stands.
        drop(answer.send(answered));
        Ok(())
    }

    /// Carries an allowed command out, or leaves everything as it was: what is answered is recorded.
    async fn obey(&mut self, request: Request) -> Result<Result<(), Refusal>, Illegal> {
        let before = (self.state.clone(), self.observed.clone());
        let verb = request.command.verb();
        let now = (self.parts.clock)();
        let events = turn(&mut self.state, &mut self.observed, now, &Input::Command(request))?;
        if !events.is_empty() {
            if !self.try_to_store(&events).await {
                (self.state, self.observed) = before;
                return Ok(Err(self.cannot_record(verb)));
            }
            self.follow(events);
        }
        Ok(Ok(()))
    }

    /// An engine that is to stop begins nothing new.
    fn leaving(&self, command: &Command) -> Option<Refusal> {
        let (Stop::AtSafePoint(name) | Stop::Now(name)) = self.stopping?;
        let rests =
            matches!(command, Command::Pause { .. } | Command::Cancel { .. } | Command::Hold { .. } | Command::Skip { .. });
        let message = format!(
            "{name} stops this engine at the next safe point; then take the deployment over with: rollout recover, and {} again",
            command.verb()
        );
        (!rests).then_some(Refusal { message })
    }

    async fn order(&mut self, command: Command, actor: Actor) -> Result<(), Illegal> {
        if check(&self.state, &command).is_ok() {
            self.turn(&Input::Command(Request { key: String::new(), actor, revision: None, command })).await?;
        }
        Ok(())
    }

    async fn stop(&mut self, stop: Stop) -> Result<(), Illegal> {
        self.stopping = Some(stop);
        let (name, reason) = match stop {
            Stop::Now(name) if self.performer.is_updating() => (name, format!("stopped by {name}, with the commands that ran")),
            Stop::AtSafePoint(name) | Stop::Now(name) => (name, format!("stopped by {name}")),
        };
        let command = match self.state.status() {
            Status::Pending => Command::Cancel { reason },
            Status::InProgress
            | Status::Paused
            | Status::Completed
            | Status::RollingBack
            | Status::RolledBack
            | Status::Failed
            | Status::Cancelled
            | Status::Interrupted => Command::Pause { reason },
        };
        let how = match stop {
            Stop::AtSafePoint(_) => "stopping at the next safe point; a second signal ends the commands that run",
            Stop::Now(_) => "ending the commands that run; a third signal leaves at once",
        };
        tracing::warn!(target: "engine", "{name}: {how}");
        self.order(command, Actor::Signal { name: name.to_owned() }).await
    }
}

/// The engine by itself ends only a plan that nobody has begun.
fn begun_meanwhile(state: &State, request: &Request) -> Option<Refusal> {
    let begun = request.actor == Actor::Engine && state.started_at.is_some();
    begun.then(|| Refusal { message: "it has begun".to_owned() })
}
