//! The journal in SQLite: write-ahead log, synced at every commit, one transaction a turn.
//!
//! Imports: ports, event, model, os. May not: change or drop a stored event; begin anew where something was.

mod backup;
mod last;
mod read;
mod retention;
mod schema;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use self::last::Last;
use self::read::Reading;
use super::codec;
use super::lease::Holder;
use super::local;
use super::memory::continues;
use super::place::{self, is_missing, refused};
use crate::event::{Event, FORMAT};
use crate::model::DeploymentId;
use crate::os::sharing::{Kind, Sharing};
use crate::ports::{DeploymentRow, Journal, JournalError, Past};

/// How long a call waits for another process that holds the store.
const BUSY: Duration = Duration::from_secs(5);

/// The journal of one service in one environment.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    service: String,
    /// Device and inode of the file that is open: the one at `path` must be the same.
    file: Option<(u64, u64)>,
    /// The layout number, if it is newer than ours: then it is only read.
    newer: Option<i64>,
    /// The number of the lease under which we append; 0 before there was any.
    epoch: AtomicU64,
    connection: Mutex<Connection>,
}

/// What a deployment's row says of its events.
struct Head {
    last_seq: u64,
    chain: u64,
    format: u32,
}

impl Sqlite {
    /// Opens the journal `<dir>/<service>.<env>/journal.sqlite3`, and makes it if there is none.
    ///
    /// # Errors
    /// Fails if the place cannot be trusted, the store is damaged or of another service, or the disk refuses.
    pub fn open(dir: &Path, service: &str, env: &str) -> Result<Self, JournalError> {
        let (home, sharing) = place::prepare(dir, service, env)?;
        local::check(&home)?;
        let path = home.join(schema::FILE);
        if is_missing(&path)? {
            read::missing(&path).map_or(Ok(()), Err)?;
            schema::create(&home, &path, sharing, (service, env))?;
        }
        check_files(sharing, &path, true)?;
        let mut store = Self::on(schema::connect(&path, BUSY)?, path, service, env)?;
        if store.newer.is_none() {
            let path = store.path.clone();
            schema::migrate(store.connection.get_mut().unwrap_or_else(PoisonError::into_inner), &path)?;
        }
        Ok(store)
    }

    /// Opens the journal to look at it: makes nothing, and works on a read-only filesystem. `None` if there is none.
    ///
    /// # Errors
    /// Fails if the place cannot be trusted, the store is damaged or of another service, or the disk refuses.
    pub fn view(dir: &Path, service: &str, env: &str) -> Result<Option<Self>, JournalError> {
        let Some((home, sharing)) = place::find(dir, service, env)? else { return Ok(None) };
        let path = home.join(schema::FILE);
        if is_missing(&path)? {
            return read::missing(&path).map_or(Ok(None), Err);
        }
        check_files(sharing, &path, false)?;
        Self::on(schema::connect_to_look(&path, BUSY)?, path, service, env).map(Some)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn on(connection: Connection, path: PathBuf, service: &str, env: &str) -> Result<Self, JournalError> {
        let newer = schema::check(&connection, &path, service, env)?;
        let file = identity(&path).ok();
        Ok(Self { path, file, service: service.to_owned(), newer, epoch: AtomicU64::new(0), connection: Mutex::new(connection) })
    }

    /// Writes down that `holder` has the lease now, and under which number. From here on this store takes events from us
    /// alone: whoever has an older number, or none, is refused.
    ///
    /// # Errors
    /// Fails if the store does.
    pub fn claim(&self, holder: &Holder, predecessor: &str) -> Result<u64, JournalError> {
        let mut connection = self.connection();
        self.check_writable_in(FORMAT)?;
        let mut claim = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let epoch = newest_epoch(&tx)? + 1;
            let holder = serde_json::to_string(holder).unwrap_or_default();
            tx.execute(
                "INSERT INTO leases (epoch, holder, predecessor) VALUES (?1, ?2, ?3)",
                params![epoch.cast_signed(), holder, predecessor],
            )?;
            tx.commit()?;
            Ok(epoch)
        };
        let epoch = claim().map_err(|e: rusqlite::Error| self.failed(&e))?;
        self.epoch.store(epoch, Ordering::Relaxed);
        Ok(epoch)
    }

    /// Who took the lease last.
    ///
    /// # Errors
    /// Fails if the store does.
    pub fn last_holder(&self) -> Result<Option<Holder>, JournalError> {
        let sql = "SELECT holder FROM leases ORDER BY epoch DESC LIMIT 1";
        let found: Option<String> =
            self.connection().query_row(sql, [], |row| row.get(0)).optional().map_err(|e| self.failed(&e))?;
        Ok(found.and_then(|text| serde_json::from_str(&text).ok()))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &rusqlite::Error) -> JournalError {
        schema::explain(&self.path, error)
    }

    /// What is moved away or deleted is still written to, and nobody would ever read it.
    fn check_in_place(&self) -> Result<(), JournalError> {
        let reason = match identity(&self.path) {
            Ok(now) if Some(now) == self.file => return Ok(()),
            Ok(_) => "is another file than the one that was opened: put that back in its place",
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                "was moved away or deleted: put it back in its place, with what lies beside it; if it is lost, end this engine \
                 with SIGTERM and look at every instance"
            }
            Err(e) => return Err(refused(&self.path, e.to_string())),
        };
        Err(refused(&self.path, reason.to_owned()))
    }

    /// The events of a deployment up to the first record that is not as it was written, and what is wrong with that one.
    ///
    /// # Errors
    /// Fails if nothing of it can be read.
    pub fn read_sound(&self, deployment: &DeploymentId) -> Result<(Vec<Event>, Option<JournalError>), JournalError> {
        self.check_service(deployment)?;
        self.reading(|reading| reading.read(deployment))
    }

    /// Fails if a newer program wrote the deployment: then only that one continues it.
    ///
    /// # Errors
    /// Fails if that is so, or if the store does.
    pub fn check_resumable(&self, deployment: &DeploymentId) -> Result<(), JournalError> {
        let mut connection = self.connection();
        let tx = connection.transaction().map_err(|e| self.failed(&e))?;
        let head = self.head(&tx, deployment.number())?;
        self.check_writable_in(head.map_or(FORMAT, |head| head.format))
    }

    /// Reads in one transaction: everything of the same moment.
    fn reading<T>(&self, read: impl FnOnce(&Reading<'_>) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let last = Last::read(&self.path);
        let mut connection = self.connection();
        let tx = connection.transaction().map_err(|e| self.failed(&e))?;
        read(&Reading::new(&tx, &self.path, &self.service, last)?)
    }

    /// The records are stored already: a note that cannot be written takes nothing away from them.
    fn note(&self, connection: &Connection, last: Last) {
        // A failure leaves a larger log behind, nothing else.
        schema::fold_on_close(connection, true).ok();
        if let Err(error) = last.write(&self.path) {
            tracing::warn!(target: "journal", "cannot write {}: {error}", last::path(&self.path).display());
        }
    }

    fn check_service(&self, id: &DeploymentId) -> Result<(), JournalError> {
        if id.service() == self.service {
            return Ok(());
        }
        Err(refused(&self.path, format!("holds the deployments of {}, and {id} is none of them", self.service)))
    }

    fn check_writable_in(&self, stored_format: u32) -> Result<(), JournalError> {
        let (what, found, known) = match self.newer {
            Some(layout) => ("layout", layout, schema::LAYOUT),
            None if stored_format > FORMAT => ("format", i64::from(stored_format), i64::from(FORMAT)),
            None => return Ok(()),
        };
        let reason = format!(
            "written by a newer rollout ({what} {found}, this one knows {known}): it can be shown, but only the newer one continues it"
        );
        Err(refused(&self.path, reason))
    }

    fn insert(&self, tx: &Transaction<'_>, events: &[Event], mut chain: u64) -> Result<u64, JournalError> {
        let sql = "INSERT INTO events (deployment, seq, at, body, chain, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let epoch = self.epoch.load(Ordering::Relaxed).cast_signed();
        let mut statement = tx.prepare_cached(sql).map_err(|e| self.failed(&e))?;
        for event in events {
            let body =
                codec::encode(event).map_err(|e| refused(&self.path, format!("event {} cannot be written: {e}", event.seq)))?;
            chain = link(chain, &body);
            let (seq, at) = (event.seq.0.cast_signed(), event.at.as_millis().cast_signed());
            let values = params![event.deployment.number(), seq, at, body, chain.cast_signed(), epoch];
            statement.execute(values).map_err(|e| self.failed(&e))?;
        }
        Ok(chain)
    }

    fn update_row(&self, tx: &Transaction<'_>, row: &DeploymentRow, head: &Head) -> Result<(), JournalError> {
        let sql =
            "INSERT INTO deployments (number, version, status, started_by, planned_at, ended_at, format, last_seq, chain, sum)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
            ON CONFLICT (number) DO UPDATE SET version = ?2, status = ?3, started_by = ?4, planned_at = ?5, ended_at = ?6,
                format = ?7, last_seq = ?8, chain = ?9, sum = ?10";
        let values = params![
            row.id.number(),
            row.version,
            row.status,
            row.started_by,
            row.planned_at.as_millis().cast_signed(),
            row.ended_at.map(|at| at.as_millis().cast_signed()),
            head.format,
            head.last_seq.cast_signed(),
            head.chain.cast_signed(),
            read::sum(row, head).cast_signed(),
        ];
        tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(|e| self.failed(&e))?;
        Ok(())
    }

    fn head(&self, tx: &Transaction<'_>, number: u32) -> Result<Option<Head>, JournalError> {
        let read = |row: &Row<'_>| {
            let (last_seq, chain): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Head { last_seq: last_seq.cast_unsigned(), chain: chain.cast_unsigned(), format: row.get(2)? })
        };
        let mut statement = tx
            .prepare_cached("SELECT last_seq, chain, format FROM deployments WHERE number = ?1")
            .map_err(|e| self.failed(&e))?;
        statement.query_row([number], read).optional().map_err(|e| self.failed(&e))
    }
}

impl Journal for Sqlite {
    fn next_id(&self) -> Result<DeploymentId, JournalError> {
        let last: Option<u32> = self
            .connection()
            .query_row("SELECT max(number) FROM deployments", [], |row| row.get(0))
            .map_err(|e| self.failed(&e))?;
        let next = last.unwrap_or(0).checked_add(1);
        let next = next.ok_or_else(|| refused(&self.path, "no deployment numbers are left".to_owned()))?;
        Ok(DeploymentId::new(&self.service, next))
    }

    fn append(&self, events: &[Event], row: &DeploymentRow) -> Result<(), JournalError> {
        self.check_service(&row.id)?;
        self.check_in_place()?;
        let mut connection = self.connection();
        // Immediate: what is read in here is still true when it is written.
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.failed(&e))?;
        let head = self.head(&tx, row.id.number())?.unwrap_or(Head { last_seq: 0, chain: 0, format: FORMAT });
        self.check_writable_in(head.format)?;
        let newest = newest_epoch(&tx).map_err(|e| self.failed(&e))?;
        let ours = self.epoch.load(Ordering::Relaxed);
        if ours != newest {
            return Err(JournalError::Fenced { ours, newest });
        }
        continues(events, row, head.last_seq)?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        let chain = self.insert(&tx, events, head.chain)?;
        // What an older program began is of our format from here on: that one would not understand it.
        self.update_row(&tx, row, &Head { last_seq: last.seq.0, chain, format: FORMAT })?;
        tx.commit().map_err(|e| self.failed(&e))?;
        self.note(&connection, Last { deployment: row.id.number(), seq: last.seq.0, chain, at: last.at });
        Ok(())
    }

    fn check_writable(&self) -> Result<(), JournalError> {
        self.check_in_place()?;
        self.check_writable_in(FORMAT)?;
        let mut connection = self.connection();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.failed(&e))?;
        // Only a commit that writes a page says whether there is room for one.
        tx.execute("UPDATE store SET service = service", []).map_err(|e| self.failed(&e))?;
        tx.commit().map_err(|e| self.failed(&e))
    }

    fn read(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        let (events, error) = self.read_sound(deployment)?;
        error.map_or(Ok(events), Err)
    }

    fn list(&self) -> Result<Vec<DeploymentRow>, JournalError> {
        let past = self.past()?;
        past.damaged.into_iter().next().map_or(Ok(past.rows), Err)
    }

    fn past(&self) -> Result<Past, JournalError> {
        self.reading(|reading| {
            let past = reading.past()?;
            if past.damaged.is_empty() {
                reading.fold_on_close();
            }
            Ok(past)
        })
    }
}

/// The number of the newest lease; 0 if there was none.
fn newest_epoch(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    let newest: Option<i64> = tx.prepare_cached("SELECT max(epoch) FROM leases")?.query_row([], |row| row.get(0))?;
    Ok(newest.unwrap_or(0).cast_unsigned())
}

/// FNV-1a over the record, seeded by its predecessor's: finds bit rot, and records that were dropped or swapped. It is
/// no proof against whoever may write the file.
fn link(previous: u64, body: &str) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325 ^ previous;
    body.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Fails unless the store and what lies beside it can be trusted: SQLite opens it by its path, and looks at nothing.
fn check_files(sharing: Sharing, store: &Path, mend: bool) -> Result<(), JournalError> {
    place::check(sharing, store, Kind::File, mend)?;
    let beside = ["-wal", "-shm", "-journal", "-last"].map(|suffix| beside(store, suffix));
    for path in beside.into_iter().chain([backup::path(store)]) {
        if !is_missing(&path)?
            && let Err(error) = place::check(sharing, &path, Kind::File, mend)
            // The last one to close the store takes two of them away.
            && !is_missing(&path)?
        {
            return Err(error);
        }
    }
    Ok(())
}

/// The file beside the store whose name is the store's and `suffix`.
fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
