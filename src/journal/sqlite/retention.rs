//! Old deployments are removed, so that the journal does not grow for ever. Their space is used again; the file stays as large.
//!
//! Imports: ports. May not: remove what has not ended, what a rollback goes back to, or anything of a damaged store.

use rusqlite::{Transaction, TransactionBehavior};

use super::Sqlite;
use super::last::Last;
use super::read::Reading;
use crate::ports::{DeploymentRow, JournalError};

impl Sqlite {
    /// Removes the oldest ended deployments until `most` of them are left. If that fails, the log says why.
    pub fn keep(&self, most: u32) {
        match self.trim(most) {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(target: "journal", "removed the {removed} oldest deployments, as journal.keep = {most} says");
            }
            Err(error) => tracing::warn!(target: "journal", "old deployments stay: {error}"),
        }
    }

    fn trim(&self, most: u32) -> Result<usize, JournalError> {
        let last = Last::read(&self.path);
        let mut connection = self.connection();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.failed(&e))?;
        let past = Reading::new(&tx, &self.path, &self.service, last)?.past()?;
        if let Some(error) = past.damaged.into_iter().next() {
            return Err(error);
        }
        let old = beyond(&past.rows, most);
        remove(&tx, &old).and_then(|()| tx.commit()).map_err(|e| self.failed(&e))?;
        Ok(old.len())
    }
}

/// The numbers of what is removed, of `rows` from the newest to the oldest. The newest completed one stays: its version is
/// the last that is known to be good.
fn beyond(rows: &[DeploymentRow], most: u32) -> Vec<u32> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let good = rows.iter().find(|row| row.status == "completed").map(|row| &row.id);
    let ended = rows.iter().filter(|row| row.ended_at.is_some()).skip(most);
    ended.filter(|row| Some(&row.id) != good).map(|row| row.id.number()).collect()
}

fn remove(tx: &Transaction<'_>, numbers: &[u32]) -> rusqlite::Result<()> {
    for number in numbers {
        tx.prepare_cached("DELETE FROM events WHERE deployment = ?1")?.execute([number])?;
        tx.prepare_cached("DELETE FROM deployments WHERE number = ?1")?.execute([number])?;
        tx.prepare_cached("UPDATE store SET removed = max(removed, ?1)")?.execute([number])?;
    }
    Ok(())
}
