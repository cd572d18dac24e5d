//! The tables, how the file comes to be, how it is opened, and SQLite's errors in words.
//!
//! Imports: ports, os. May not: read or write an event.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::super::place::refused;
use super::{backup, read};
use crate::os::sharing::{Kind, Sharing};
use crate::ports::JournalError;

/// The file's name in the service's directory.
pub(super) const FILE: &str = "journal.sqlite3";

/// The number of the tables' layout, kept as `user_version`.
pub(super) const LAYOUT: i64 = 3;

/// Since this layout a deployment's line has a checksum, and the store knows what was removed from it.
pub(super) const SUMMED: i64 = 3;

/// `chain` is a checksum over the record and all before it; a deployment's row repeats the last one, and `sum` is one over
/// the row. Up to number `removed` deployments may be missing.
const TABLES: &str = "
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    service TEXT NOT NULL,
    env TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE deployments (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    started_by TEXT NOT NULL,
    planned_at INTEGER NOT NULL,
    ended_at INTEGER,
    format INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    sum INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE events (
    deployment INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    chain INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (deployment, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    holder TEXT NOT NULL,
    predecessor TEXT NOT NULL
) STRICT;
";

/// What layout 2 added: who held the lease when, and under which lease each event was stored.
const TO_2: &str = "
ALTER TABLE events ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
CREATE TABLE leases (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    holder TEXT NOT NULL,
    predecessor TEXT NOT NULL
) STRICT;
";

/// What layout 3 added: the checksum of a deployment's line, and up to where old deployments were removed.
const TO_3: &str = "
ALTER TABLE store ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
";

/// Makes the store under another name and then gives it its own: a file of that name is never half made, so an empty
/// one is a damaged one. If another process was faster, its store stays.
///
/// SQLite gives `-wal` and `-shm` the mode of the file, whoever makes them.
pub(super) fn create(home: &Path, path: &Path, sharing: Sharing, owner: (&str, &str)) -> Result<(), JournalError> {
    let cannot = |e: &io::Error| refused(path, format!("cannot make the store: {e}"));
    let draft = tempfile::Builder::new().prefix(".journal.").tempfile_in(home).map_err(|e| cannot(&e))?;
    fill(draft.path(), owner).map_err(|e| explain(path, &e))?;
    draft.as_file().set_permissions(Permissions::from_mode(sharing.mode(Kind::File))).map_err(|e| cannot(&e))?;
    draft.as_file().sync_all().map_err(|e| cannot(&e))?;
    match draft.persist_noclobber(path) {
        Ok(_) => {}
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) => return Err(cannot(&e.error)),
    }
    File::open(home).and_then(|dir| dir.sync_all()).map_err(|e| cannot(&e))
}

fn fill(path: &Path, (service, env): (&str, &str)) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set(&connection, "journal_mode", "WAL")?;
    let tx = connection.transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO store (one, service, env) VALUES (1, ?1, ?2)", [service, env])?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()?;
    connection.close().map_err(|(_, e)| e)
}

/// Some pragmas answer with a row, some do not.
pub(super) fn set(connection: &Connection, pragma: &str, value: &str) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    })
}

/// Opens an existing store.
pub(super) fn connect(path: &Path, busy: Duration) -> Result<Connection, JournalError> {
    try_connect(path, busy).map_err(|e| explain(path, &e))
}

/// Opens an existing store to look at it. On a read-only or full filesystem SQLite cannot make the file that readers
/// share; if there is nothing but the main file, that file alone is the whole truth.
pub(super) fn connect_to_look(path: &Path, busy: Duration) -> Result<Connection, JournalError> {
    let opened = try_connect(path, busy).or_else(|error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::DiskFull) if !has_wal(path) => {
            connect_unchanging(path)
        }
        _ => Err(error),
    });
    opened.map_err(|e| explain(path, &e))
}

/// Whether the last to close the store folds the write-ahead log into the file.
pub(super) fn fold_on_close(connection: &Connection, fold: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !fold).map(drop)
}

/// Opens a store that nobody changes, without making anything beside it.
pub(super) fn connect_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri(path), flags)
}

/// Opens the file and touches it once: only then SQLite says what it cannot do.
fn try_connect(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy)?;
    // What only looks, or finds damage, must not fold the write-ahead log into the file and delete it: it may be all there is.
    fold_on_close(&connection, false)?;
    set(&connection, "synchronous", "FULL")?;
    layout(&connection)?;
    Ok(connection)
}

fn has_wal(path: &Path) -> bool {
    fs::metadata(super::beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

/// `path` as SQLite's URI for a file that nobody changes.
fn uri(path: &Path) -> String {
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("file:{escaped}?immutable=1")
}

pub(super) fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings an older layout up to today's, in one step: a crash leaves the old one or the new one.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), JournalError> {
    if layout(connection).map_err(|e| explain(path, &e))? == LAYOUT {
        return Ok(());
    }
    backup::before_migration(connection, path);
    let mut migrated = || {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if layout(&tx)? == 1 {
            tx.execute_batch(TO_2)?;
        }
        if layout(&tx)? < SUMMED {
            tx.execute_batch(TO_3)?;
            read::sum_all(&tx)?;
        }
        tx.pragma_update(None, "user_version", LAYOUT)?;
        tx.commit()
    };
    migrated().map_err(|e: rusqlite::Error| explain(path, &e))
}

/// Fails unless this is the journal of `service` in `env`. The layout's number if it is newer than ours.
pub(super) fn check(connection: &Connection, path: &Path, service: &str, env: &str) -> Result<Option<i64>, JournalError> {
    let layout = layout(connection).map_err(|e| explain(path, &e))?;
    if layout < 1 {
        return Err(refused(path, format!("is damaged or not a journal of rollout (layout {layout}); {}", backup::remedy(path))));
    }
    if layout < SUMMED && connection.prepare("SELECT sum FROM deployments").is_ok() {
        return Err(refused(path, format!("is damaged: the number of its layout was changed; {}", backup::remedy(path))));
    }
    let owner: Option<(String, String)> = connection
        .query_row("SELECT service, env FROM store", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(|e| explain(path, &e))?;
    match owner {
        Some((s, e)) if s == service && e == env => Ok((layout > LAYOUT).then_some(layout)),
        Some((s, e)) => Err(refused(path, format!("is the journal of service {s:?} in {e:?}, not of {service:?} in {env:?}"))),
        None => Err(refused(path, format!("does not say whose journal it is; {}", backup::remedy(path)))),
    }
}

/// True if the stored bytes are at fault. Our own statements are sound: a table or column that they miss was there.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown),
        None => matches!(
            error,
            E::FromSqlConversionFailure(..)
                | E::IntegralValueOutOfRange(..)
                | E::InvalidColumnType(..)
                | E::SqlInputError { .. }
                | E::Utf8Error(..)
        ),
    }
}

const FULL: &str = "the disk is full; nothing of this was stored, free some space";

/// True if the filesystem has no room left for us.
fn is_full(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_bavail == 0)
}

/// SQLite's error in words, with what to do.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> JournalError {
    let said = error.to_string();
    let reason = match error.sqlite_error_code() {
        _ if is_damage(error) => format!("is damaged ({said}); {}", backup::remedy(path)),
        Some(ErrorCode::DiskFull) => FULL.to_owned(),
        // Without room for the file that readers share, SQLite only says that the disk failed.
        Some(ErrorCode::SystemIoFailure) if is_full(path) => FULL.to_owned(),
        Some(ErrorCode::ReadOnly) => "is read-only here; nothing of this was stored".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("another process kept it locked for {}s; `fuser {}` names it", super::BUSY.as_secs(), path.display())
        }
        Some(ErrorCode::SystemIoFailure) => format!("the disk failed ({said}); nothing of this was stored"),
        _ => said,
    };
    refused(path, reason)
}
