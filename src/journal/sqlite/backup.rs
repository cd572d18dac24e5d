//! A copy of the journal beside it, made whenever a deployment has ended: then at most the one under way is not in it.
//!
//! Imports: ports, model, os. May not: fail a deployment; put a damaged copy in the place of a sound one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rusqlite::{Connection, OpenFlags};

use super::read::Reading;
use super::{Sqlite, refused, schema};
use crate::model::{DeploymentId, Timestamp};
use crate::os::sharing::{Kind, Sharing};
use crate::ports::JournalError;

/// The copy's name.
const FILE: &str = "journal.backup.sqlite3";
/// Its name while it is made. There is one engine at a time, so one name will do, and what was left of it is found again.
const DRAFT: &str = "journal.backup.draft";

/// The copy's path.
pub(super) fn path(store: &Path) -> PathBuf {
    store.with_file_name(FILE)
}

impl Sqlite {
    /// Replaces the copy by one of now. If that fails, the old one stays and the log says why.
    pub fn back_up(&self) {
        let made = make(&self.connection(), &self.path);
        if let Err(error) = made {
            tracing::warn!(target: "journal", "the journal has no new backup: {error}");
        }
    }
}

/// Before the layout is changed.
pub(super) fn before_migration(connection: &Connection, store: &Path) {
    if let Err(error) = make(connection, store) {
        tracing::warn!(target: "journal", "the journal has no backup from before its layout changed: {error}");
    }
}

/// Copies the store under another name, proves the copy, and gives it its own: a copy of that name is always whole.
pub(super) fn make(connection: &Connection, store: &Path) -> Result<(), JournalError> {
    let (draft, place) = (store.with_file_name(DRAFT), path(store));
    let cannot = |e: &io::Error| refused(&place, format!("cannot be made: {e}"));
    discard(&draft).map_err(|e| cannot(&e))?;
    let made = copy(connection, store, &draft).and_then(|()| {
        fs::rename(&draft, &place).map_err(|e| cannot(&e))?;
        let home = store.parent().map_or_else(|| Ok(()), |home| File::open(home)?.sync_all());
        home.map_err(|e| cannot(&e))
    });
    if made.is_err() {
        // What cannot be removed now is removed before the next one is made.
        discard(&draft).ok();
    }
    made
}

fn copy(connection: &Connection, store: &Path, draft: &Path) -> Result<(), JournalError> {
    let cannot = |e: io::Error| refused(draft, format!("cannot be made: {e}"));
    let mode = fs::metadata(store).map_err(cannot)?.permissions().mode() & 0o777;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(cannot)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(cannot)?;
    let failed = |e: rusqlite::Error| schema::explain(draft, &e);
    connection.execute("VACUUM INTO ?1", [draft.to_string_lossy()]).map_err(|e| schema::explain(store, &e))?;
    let copied = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let mut copied = copied.map_err(failed)?;
    schema::set(&copied, "journal_mode", "WAL").map_err(failed)?;
    let tx = copied.transaction().map_err(failed)?;
    let service: String = tx.query_row("SELECT service FROM store", [], |row| row.get(0)).map_err(failed)?;
    Reading::new(&tx, store, &service, None)?.check_all()?;
    drop(tx);
    copied.close().map_err(|(_, e)| failed(e))?;
    file.sync_all().map_err(cannot)
}

fn discard(draft: &Path) -> io::Result<()> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(super::beside(draft, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// What to do about a damaged store.
pub(super) fn remedy(store: &Path) -> String {
    let home = store.parent().unwrap_or(store);
    let mut steps = vec![format!("cd {}", home.display())];
    if ["", "-wal", "-shm", "-last"].iter().any(|suffix| super::beside(store, suffix).symlink_metadata().is_ok()) {
        let names = std::iter::once("damaged".to_owned()).chain((2..1000).map(|n| format!("damaged-{n}")));
        let name = names.into_iter().find(|name| home.join(name).symlink_metadata().is_err()).unwrap_or_default();
        steps.push(format!("mkdir {name}"));
        steps.push(format!("mv journal.sqlite3* {name}/"));
    }
    match described(store) {
        Some(what) => {
            steps.push(format!("cp -p {FILE} journal.sqlite3"));
            format!("{what}; to go back to it: {}", steps.join(" && "))
        }
        None => format!("restore it from a backup, or move it away to begin a new history: {}", steps.join(" && ")),
    }
}

/// The copy, with its date and what is in it; `None` if there is none that can be read.
fn described(store: &Path) -> Option<String> {
    let place = path(store);
    let made = fs::symlink_metadata(&place).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let made = Timestamp::from_millis(u64::try_from(made.as_millis()).ok()?);
    Sharing::around(&place).ok()?.check(&place, Kind::File, false).ok()?;
    let connection = schema::connect_unchanging(&place).ok()?;
    let service: String = connection.query_row("SELECT service FROM store", [], |row| row.get(0)).ok()?;
    let newest: Option<u32> = connection.query_row("SELECT max(number) FROM deployments", [], |row| row.get(0)).ok()?;
    let holds =
        newest.map_or_else(|| "no deployment yet".to_owned(), |n| format!("everything up to {}", DeploymentId::new(&service, n)));
    Some(format!("{FILE} of {made} beside it holds {holds}"))
}
