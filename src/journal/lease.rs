//! One engine at a time for a service and environment: a lock that is the kernel's, and beside it who holds it.
//!
//! Imports: model, os, the place. May not: open a database, decide who may take a lease from whom.
//!
//! The lock goes with its process, however that ends. What the file says is for those who find it locked: process,
//! start time and boot, so that a pid that is used again is not taken for the holder. A holder that ends by itself
//! empties the file; what is found in an unlocked file was left by one that died.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place;
use crate::model::Timestamp;
use crate::os::file;
use crate::os::process::{self, ProcessId};
use crate::ports::JournalError;

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The engine.
    pub process: ProcessId,
    /// Its user.
    pub uid: u32,
    /// The login of whoever had it started.
    pub login: String,
    /// Since when.
    pub since: Timestamp,
    /// For what, in words: `shop-142 to v42`.
    pub what: String,
}

impl Holder {
    /// This process, from now on.
    ///
    /// # Errors
    /// Fails if `/proc` is not there.
    pub fn this(login: String, since: Timestamp, what: String) -> Result<Self, JournalError> {
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let process = process::identify(pid)
            .ok_or_else(|| place::refused(Path::new("/proc"), "does not show this process; mount /proc".to_owned()))?;
        Ok(Self { process, uid: rustix::process::geteuid().as_raw(), login, since, what })
    }

    /// That very process is there.
    pub fn lives(&self) -> bool {
        process::alive(&self.process)
    }

    /// It is there, but stopped.
    pub fn is_stopped(&self) -> bool {
        process::is_stopped(&self.process)
    }
}

/// What came of trying to take a lease.
#[derive(Debug)]
pub enum Taking {
    /// It is ours.
    Taken {
        /// For as long as this lives.
        lease: Lease,
        /// Who held it and died.
        dead: Option<Holder>,
    },
    /// Somebody else holds it; `None` in the moment before it has said who it is, or after it has ended.
    Held(Option<Holder>),
}

/// A lease that is held. It goes when this is dropped.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
    /// Who died with it, as long as we have taken nothing over: if we never do, the name stays.
    dead: Option<Holder>,
}

impl Lease {
    /// Takes the lease of `service` in `env` for `holder`, if nobody has it.
    ///
    /// # Errors
    /// Fails if the place cannot be trusted or the file cannot be locked.
    pub fn take(base: &Path, (service, env): (&str, &str), holder: &Holder) -> Result<Taking, JournalError> {
        let path = place::prepare(base, service, env)?.0.join(FILE);
        let cannot = |doing: &str, e: &io::Error| place::refused(&path, format!("cannot {doing} it: {e}"));
        let mut file = file::open_lock(&path).map_err(|e| cannot("open", &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Taking::Held(read(&mut file))),
            Err(TryLockError::Error(e)) => return Err(cannot("lock", &e)),
        }
        let dead = read(&mut file);
        if let Some(dead) = &dead
            && dead.lives()
            && dead.process != holder.process
        {
            // Its own file was taken away and another put in its place: the lock proves nothing then.
            return Ok(Taking::Held(Some(dead.clone())));
        }
        let lease = Self { file, path: path.clone(), dead: dead.clone() };
        lease.write(holder).map_err(|e| cannot("write", &e))?;
        Ok(Taking::Taken { lease, dead })
    }

    /// Who holds the lease, or held it when it died; looked up without touching the lock.
    pub fn look(base: &Path, service: &str, env: &str) -> Option<Holder> {
        read(&mut file::open_read(&place::service_dir(base, service, env).join(FILE)).ok()?)
    }

    /// Says for whom and what: from here on it is ours, and whoever had it before is history.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn claim(&mut self, holder: &Holder) -> io::Result<()> {
        self.write(holder)?;
        self.dead = None;
        Ok(())
    }

    /// In one call and over what is there, so that nobody finds it empty in between; blanks at the end are no text.
    fn write(&self, holder: &Holder) -> io::Result<()> {
        let mut text = serde_json::to_vec(holder)?;
        let before = usize::try_from(self.file.metadata()?.len()).unwrap_or_default().min(READ_MAX);
        text.resize(text.len().max(before), b' ');
        self.file.write_all_at(&text, 0)
    }

    /// Its deployment needs it no longer, and its process is about to go: who comes next waits for that moment.
    pub fn ends(&self) {
        let ended = match &self.dead {
            Some(dead) => self.write(dead),
            None => self.file.set_len(0),
        };
        if let Err(e) = ended {
            tracing::warn!("cannot give back {}: {e}", self.path.display());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ends();
    }
}

/// The lock's file in the service's directory.
const FILE: &str = "lease";
/// More than any holder's text has.
const READ_MAX: usize = 64 * 1024;

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(READ_MAX as u64).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: (&str, &str) = ("shop", "default");

    fn holder() -> Holder {
        Holder::this("ana".to_owned(), Timestamp::from_millis(5), "shop-1 to v2".to_owned()).unwrap()
    }

    fn take(base: &Path) -> Taking {
        Lease::take(base, SHOP, &holder()).unwrap()
    }

    #[test]
    fn a_lease_is_held_once_and_names_its_holder() {
        let base = tempfile::tempdir().unwrap();
        let Taking::Taken { lease, dead: None } = take(base.path()) else { panic!("nobody holds it") };
        let Taking::Held(Some(found)) = take(base.path()) else { panic!("it is held") };
        assert_eq!(found, holder());
        assert!(found.lives() && !found.is_stopped());
        assert_eq!(Lease::look(base.path(), "shop", "default"), Some(holder()));
        drop(lease);
        assert_eq!(Lease::look(base.path(), "shop", "default"), None, "given back, it names nobody");
        assert!(matches!(take(base.path()), Taking::Taken { dead: None, .. }));
    }

    #[test]
    fn who_died_with_it_is_named() {
        let base = tempfile::tempdir().unwrap();
        let Taking::Taken { lease, .. } = take(base.path()) else { panic!("nobody holds it") };
        let gone = Holder { process: ProcessId { start_time: 1, ..holder().process }, ..holder() };
        let path = lease.path.clone();
        drop(lease);
        // Same pid, another start: a pid that was used again is not the holder.
        std::fs::write(path, serde_json::to_string(&gone).unwrap()).unwrap();
        let Taking::Taken { dead, lease } = take(base.path()) else { panic!("it is dead") };
        assert_eq!(dead.as_ref(), Some(&gone));
        // A start that is refused takes nothing over: the dead one's name stays for who does.
        drop(lease);
        let Taking::Taken { dead, mut lease } = take(base.path()) else { panic!("it is dead") };
        assert_eq!(dead, Some(gone));
        lease.claim(&holder()).unwrap();
        drop(lease);
        assert_eq!(Lease::look(base.path(), "shop", "default"), None);
    }

    #[test]
    fn nonsense_in_the_file_is_nobody() {
        let base = tempfile::tempdir().unwrap();
        drop(take(base.path()));
        std::fs::write(place::service_dir(base.path(), "shop", "default").join(FILE), b"engine \xff process 1").unwrap();
        assert!(matches!(take(base.path()), Taking::Taken { dead: None, .. }));
    }
}
