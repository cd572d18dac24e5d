//! The journal in SQLite: write-ahead log, synced at every commit, one transaction a turn.
//!
//! Imports: ports, event, model, os. May not: change or drop a stored event; begin anew where something was.

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

use super::codec;
use super::lease::Holder;
use super::memory::continues;
use super::place::{self, is_missing, refused};
use crate::event::{Event, EventKind, FORMAT};
use crate::model::{DeploymentId, Timestamp};
use crate::os::sharing::Kind;
use crate::ports::{DeploymentRow, Journal, JournalError};

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
        place::check_local(&home)?;
        let path = home.join(schema::FILE);
        if is_missing(&path)? {
            schema::create(&home, &path, sharing, (service, env))?;
        }
        place::check(sharing, &path, Kind::File, true)?;
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
            return Ok(None);
        }
        place::check(sharing, &path, Kind::File, false)?;
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
        let sql = "INSERT INTO deployments (number, version, status, started_by, planned_at, ended_at, format, last_seq, chain)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (number) DO UPDATE SET version = ?2, status = ?3, started_by = ?4, planned_at = ?5, ended_at = ?6,
                last_seq = ?8, chain = ?9";
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
        let head = self.head(&tx, row.id.number())?.unwrap_or_else(|| Head { last_seq: 0, chain: 0, format: format_of(events) });
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
        self.update_row(&tx, row, &Head { last_seq: last.seq.0, chain, format: head.format })?;
        tx.commit().map_err(|e| self.failed(&e))
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
        self.check_service(deployment)?;
        let mut connection = self.connection();
        // One transaction: row and events of the same moment.
        let tx = connection.transaction().map_err(|e| self.failed(&e))?;
        let head = self.head(&tx, deployment.number())?;
        let mut reader = Reader { deployment, format: head.as_ref().map_or(FORMAT, |h| h.format), chain: 0, events: Vec::new() };
        let mut statement = tx
            .prepare_cached("SELECT seq, body, chain FROM events WHERE deployment = ?1 ORDER BY seq")
            .map_err(|e| self.failed(&e))?;
        let mut rows = statement.query([deployment.number()]).map_err(|e| self.failed(&e))?;
        loop {
            match rows.next() {
                Ok(Some(row)) => reader.take(row)?,
                Ok(None) => break,
                Err(error) if schema::is_damage(&error) => return Err(reader.damaged(error.to_string())),
                Err(error) => return Err(self.failed(&error)),
            }
        }
        reader.finish(head.as_ref())
    }

    fn list(&self) -> Result<Vec<DeploymentRow>, JournalError> {
        let sql = "SELECT number, version, status, started_by, planned_at, ended_at FROM deployments ORDER BY number DESC";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(|e| self.failed(&e))?;
        let time = |ms: i64| Timestamp::from_millis(ms.cast_unsigned());
        let rows = statement.query_map([], |row| {
            Ok(DeploymentRow {
                id: DeploymentId::new(&self.service, row.get(0)?),
                version: row.get(1)?,
                status: row.get(2)?,
                started_by: row.get(3)?,
                planned_at: time(row.get(4)?),
                ended_at: row.get::<_, Option<i64>>(5)?.map(time),
            })
        });
        rows.and_then(Iterator::collect).map_err(|e| self.failed(&e))
    }
}

/// Checks record after record while they are read.
struct Reader<'a> {
    deployment: &'a DeploymentId,
    format: u32,
    chain: u64,
    events: Vec<Event>,
}

impl Reader<'_> {
    /// The number of the record that must come next.
    fn expected(&self) -> u64 {
        self.events.len() as u64 + 1
    }

    fn damaged(&self, reason: String) -> JournalError {
        JournalError::Damaged { deployment: self.deployment.clone(), seq: self.expected(), reason }
    }

    fn take(&mut self, row: &Row<'_>) -> Result<(), JournalError> {
        let read = || Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?));
        let (seq, body, chain) = read().map_err(|e: rusqlite::Error| self.damaged(e.to_string()))?;
        if seq.cast_unsigned() != self.expected() {
            return Err(self.damaged(format!("it is missing, record {seq} follows")));
        }
        let expected = link(self.chain, &body);
        if chain.cast_unsigned() != expected {
            return Err(self.damaged("its checksum does not match: it was changed after it was written".to_owned()));
        }
        let event = codec::decode(&body).map_err(|e| match self.format {
            newer if newer > FORMAT => self.damaged(format!("written by a newer rollout in format {newer}: {e}")),
            _ => self.damaged(e.to_string()),
        })?;
        if event.seq.0 != self.expected() || event.deployment != *self.deployment {
            return Err(self.damaged(format!("it holds event {} of {}", event.seq, event.deployment)));
        }
        self.chain = expected;
        self.events.push(event);
        Ok(())
    }

    fn finish(self, head: Option<&Head>) -> Result<Vec<Event>, JournalError> {
        let (last, chain) = head.map_or((0, 0), |h| (h.last_seq, h.chain));
        let found = self.events.len() as u64;
        if found < last {
            return Err(self.damaged(format!("it is missing, the history counts {last} records")));
        }
        if found > last || chain != self.chain {
            return Err(self.damaged(format!("the history counts {last} records with another checksum, {found} were found")));
        }
        Ok(self.events)
    }
}

/// The number of the newest lease; 0 if there was none.
fn newest_epoch(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    let newest: Option<i64> = tx.prepare_cached("SELECT max(epoch) FROM leases")?.query_row([], |row| row.get(0))?;
    Ok(newest.unwrap_or(0).cast_unsigned())
}

/// The format that a new deployment's first event declares.
fn format_of(events: &[Event]) -> u32 {
    match events.first().map(|event| &event.kind) {
        Some(EventKind::DeploymentPlanned { format, .. }) => *format,
        Some(_) | None => FORMAT,
    }
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
