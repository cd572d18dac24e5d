//! One append, and what becomes of a turn whose events cannot be stored.
//!
//! Imports: event, command, ports, state, its siblings. May not: let anything be shown or begin that is not on disk.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::super::bus::Trouble;
use super::{PROGRESS, Run, Stop};
use crate::command::Refusal;
use crate::event::Event;
use crate::model::Timestamp;
use crate::os::failpoint;
use crate::ports::{DeploymentRow, Journal, JournalError};
use crate::state::State;

/// Between two tries of an append that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// An append that takes longer is a trouble to tell, whatever comes of it. Longer than the store waits for another reader.
const SLOW: Duration = Duration::from_secs(6);

impl Run {
    /// Nothing is shown or done before it is on disk. Without a journal the engine holds: what is in flight goes on,
    /// nothing new begins, until it is mended or the engine is stopped (`false`).
    pub(super) async fn store(&mut self, events: &[Event]) -> bool {
        loop {
            let attempt = attempt(self, events);
            match self.meanwhile(attempt).await {
                None => return false,
                Some(Ok(())) => break,
                Some(Err(Failed::Fenced(why))) => {
                    self.lose(why);
                    return false;
                }
                Some(Err(Failed::Refused(why))) => self.hold(why),
            }
            if self.meanwhile(tokio::time::sleep(AGAIN)).await.is_none() {
                return false;
            }
        }
        self.mended();
        true
    }

    /// For what is given up rather than held: false if the events are certainly not stored.
    pub(super) async fn try_to_store(&mut self, events: &[Event]) -> bool {
        match attempt(self, events).await {
            Ok(()) => {
                self.mended();
                return true;
            }
            Err(Failed::Fenced(why)) => {
                self.lose(why);
                return false;
            }
            Err(Failed::Refused(why)) => self.hold(why),
        }
        let (journal, deployment) = (self.parts.journal.clone(), self.state.plan.deployment.clone());
        let read = tokio::task::spawn_blocking(move || journal.read(&deployment)).await;
        match read {
            Ok(Ok(stored)) if stored.last().map(|e| e.seq) < events.last().map(|e| e.seq) => false,
            // Stored, and only the answer was lost; or nobody can say, and it must be stored before anything else.
            Ok(Ok(_) | Err(_)) | Err(_) => self.store(events).await,
        }
    }

    /// Where nothing waits to be stored, something else must tell that the journal takes events again.
    pub(super) async fn look_whether_mended(&mut self) {
        if self.looked.elapsed() < AGAIN {
            return;
        }
        self.looked = Instant::now();
        let journal = self.parts.journal.clone();
        let Ok(looked) = tokio::task::spawn_blocking(move || journal.check_writable()).await else { return };
        match looked {
            Ok(()) => self.mended(),
            Err(error) => self.hold(error.to_string()),
        }
    }

    /// Waits for `what`; `None` if the engine is to leave before. While the journal takes nothing, orders to stop are
    /// heard, commands are refused, and readings go out.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let (mut what, mut slow) = (pin!(what), pin!(tokio::time::sleep(SLOW)));
        let mut flush = tokio::time::interval(PROGRESS);
        loop {
            let held = self.held.is_some();
            tokio::select! {
                biased;
                done = &mut what => return Some(done),
                Some(stop) = self.stops.recv(), if held => {
                    let (Stop::AtSafePoint(name) | Stop::Now(name)) = stop;
                    tracing::warn!(target: "engine", "{name}: stopping; nothing can be journalled");
                    (self.stopping, self.unrecorded) = (Some(stop), Some(stop));
                }
                Some((request, answer)) = self.asked.recv(), if held => {
                    drop(answer.send(Err(self.cannot_record(request.command.verb()))));
                }
                () = &mut slow, if !held => self.hold(format!("no answer from the disk in {}s", SLOW.as_secs())),
                _ = flush.tick(), if held => self.tell(),
            }
            if self.held.is_some() && self.may_leave() {
                return None;
            }
        }
    }

    pub(super) fn hold(&mut self, why: String) {
        if self.held.as_ref() != Some(&why) {
            tracing::error!(target: "journal", "{why}; nothing new begins until this is mended");
            self.bus.trouble(Trouble::Journal, Some(format!("cannot journal, nothing new begins: {why}")));
            self.bus.flush((self.parts.clock)());
        }
        self.held = Some(why);
    }

    fn mended(&mut self) {
        if self.held.take().is_some() {
            tracing::warn!(target: "journal", "the journal takes events again; it goes on");
            self.bus.trouble(Trouble::Journal, None);
            self.mended = true;
        }
    }

    /// Another engine has the lease: this one must do nothing more.
    fn lose(&mut self, why: String) {
        tracing::error!(target: "journal", "{why}; stopping at once");
        self.lost = Some(why);
    }

    pub(super) fn cannot_record(&self, verb: &str) -> Refusal {
        let why = self.held.as_deref().or(self.lost.as_deref()).unwrap_or_default();
        let message =
            format!("{verb} cannot be recorded and is not done: {why}; nothing new begins until this is mended, then ask again");
        Refusal { message }
    }
}

/// Why an append stored nothing.
enum Failed {
    /// Another engine has the lease.
    Fenced(String),
    /// It may do better later.
    Refused(String),
}

/// One append on a thread that may wait for the disk.
fn attempt(run: &Run, events: &[Event]) -> impl Future<Output = Result<(), Failed>> + use<> {
    let (journal, batch, row) = (run.parts.journal.clone(), events.to_vec(), row(&run.state));
    let last = events.last().map(|e| e.seq.0);
    async move {
        match tokio::task::spawn_blocking(move || append(journal.as_ref(), &batch, &row)).await {
            Ok(Ok(())) => Ok(()),
            // An earlier try had its effect, only its answer was lost: nobody else writes under this lease.
            Ok(Err(JournalError::Gap { last: stored, .. })) if Some(stored) == last => Ok(()),
            Ok(Err(error @ JournalError::Fenced { .. })) => Err(Failed::Fenced(error.to_string())),
            Ok(Err(error)) => Err(Failed::Refused(error.to_string())),
            Err(error) => Err(Failed::Refused(error.to_string())),
        }
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
pub(super) fn row(state: &State) -> DeploymentRow {
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
