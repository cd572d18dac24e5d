//! A journal that lasts as long as the process: for tests and dry runs.
//!
//! Imports: ports, event, model. May not: be used where a deployment must survive its engine.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Event;
use crate::model::DeploymentId;
use crate::ports::{DeploymentRow, Journal, JournalError};

/// Events in memory, under the same rules as on disk.
#[derive(Debug)]
pub struct Memory {
    service: String,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    deployments: BTreeMap<u32, (DeploymentRow, Vec<Event>)>,
    refusal: Option<String>,
}

impl Memory {
    /// An empty journal of `service`.
    pub fn new(service: &str) -> Self {
        Self { service: service.to_owned(), kept: Mutex::default() }
    }

    /// From now on every append fails with `reason`, as on a full disk; `None` makes it work again.
    pub fn refuse(&self, reason: Option<&str>) {
        self.kept().refusal = reason.map(str::to_owned);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store_error(&self, reason: String) -> JournalError {
        JournalError::Store { path: format!("of {} in memory", self.service), reason }
    }
}

impl Journal for Memory {
    fn next_id(&self) -> Result<DeploymentId, JournalError> {
        let last = self.kept().deployments.last_key_value().map_or(0, |(number, _)| *number);
        let next = last.checked_add(1).ok_or_else(|| self.store_error("no deployment numbers are left".to_owned()))?;
        Ok(DeploymentId::new(&self.service, next))
    }

    fn append(&self, events: &[Event], row: &DeploymentRow) -> Result<(), JournalError> {
        let mut kept = self.kept();
        if let Some(reason) = &kept.refusal {
            return Err(self.store_error(reason.clone()));
        }
        let number = row.id.number();
        let stored = kept.deployments.get(&number).map_or(0, |(_, events)| events.len() as u64);
        continues(events, row, stored)?;
        if events.is_empty() {
            return Ok(());
        }
        let (kept_row, kept_events) = kept.deployments.entry(number).or_insert_with(|| (row.clone(), Vec::new()));
        *kept_row = row.clone();
        kept_events.extend_from_slice(events);
        Ok(())
    }

    fn check_writable(&self) -> Result<(), JournalError> {
        self.kept().refusal.clone().map_or(Ok(()), |reason| Err(self.store_error(reason)))
    }

    fn read(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        Ok(self.kept().deployments.get(&deployment.number()).map_or_else(Vec::new, |(_, events)| events.clone()))
    }

    fn list(&self) -> Result<Vec<DeploymentRow>, JournalError> {
        Ok(self.kept().deployments.values().rev().map(|(row, _)| row.clone()).collect())
    }
}

/// Fails unless `events` are those of `row`'s deployment that come right after number `last`, without a gap.
pub(super) fn continues(events: &[Event], row: &DeploymentRow, last: u64) -> Result<(), JournalError> {
    let mut last = last;
    for event in events {
        if event.deployment != row.id || event.seq.0 != last + 1 {
            return Err(JournalError::Gap { deployment: event.deployment.clone(), last, got: event.seq.0 });
        }
        last = event.seq.0;
    }
    Ok(())
}
