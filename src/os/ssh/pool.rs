//! The connections of this process by host, as many as its open files allow.
//!
//! Imports: os' process, its siblings. May not: run a program (that is `remote`).

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::{file, process};
use super::master::Master;
use super::{Options, Run, remote};
use crate::os::child::Finished;

/// Programs that run at once; each takes up to seven open files while it begins.
const RUNS_MAX: u64 = 32;
/// Logins at once. With more, a small host here is late for its own timeouts, and a jump host's sshd drops some (`MaxStartups`
/// is 10 where nobody changed it).
const CONNECTING_MAX: usize = 8;
/// Connections that are held; each takes two open files.
const HELD_MAX: u64 = 256;
/// What open files are left to others.
const OTHERS: u64 = 300;
/// A connection that was not used for so long is closed when another one is made.
const IDLE: Duration = Duration::from_mins(1);
/// As many sockets have names as short as this, and ssh adds 17 bytes while it makes one.
const NAME_MAX: usize = 20 + 1 + 17;

/// Runs programs on hosts. Dropped, it closes its connections when the last program has ended.
pub struct Pool {
    pub(super) inner: Arc<Inner>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    options: Options,
    /// Of the sockets, made with the first connection; nobody else may enter it.
    dir: Mutex<Option<Arc<TempDir>>>,
    names: AtomicU64,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    /// Room for programs.
    pub(super) room: Semaphore,
    /// Room for logins.
    connecting: Semaphore,
    held_max: usize,
}

/// A host, and its connection if there is one. Whoever needs one makes it while the others wait.
struct Host {
    master: tokio::sync::Mutex<Option<Arc<Master>>>,
    used: Mutex<Instant>,
}

impl Pool {
    /// Connects to nobody yet.
    pub fn new(options: Options) -> Self {
        let files = process::open_files_max().unwrap_or(1024);
        let held_max = (files.saturating_sub(OTHERS + 7 * RUNS_MAX) / 2).clamp(8, HELD_MAX);
        let room = files.saturating_sub(2 * held_max).saturating_div(12).clamp(4, RUNS_MAX);
        let count = |number: u64| usize::try_from(number).unwrap_or(8);
        let (room, held_max) = (Semaphore::new(count(room)), count(held_max));
        let (names, hosts) = (AtomicU64::new(0), Mutex::default());
        Self {
            inner: Arc::new(Inner {
                options,
                dir: Mutex::default(),
                names,
                hosts,
                room,
                connecting: Semaphore::new(CONNECTING_MAX),
                held_max,
            }),
        }
    }

    /// Runs a program on `host`, a name that ssh knows, to its end, whatever that is. Dropping the future ends it: see
    /// [`super::stopped`].
    ///
    /// # Errors
    /// Fails with a sentence if it was not started: nothing has happened then.
    pub async fn run(&self, host: &str, run: Run<'_>) -> Result<Finished, String> {
        let fault = |why: String| format!("{}: {why}", super::super::text::sanitise_within(host, 100));
        remote::run(Arc::clone(&self.inner), host, run).await.map_err(fault)
    }
}

impl Inner {
    /// The connection to `host`, made if there is none. Nothing on the host has happened if it fails.
    pub(super) async fn master(&self, host: &str) -> Result<Arc<Master>, String> {
        if host.is_empty() || host.starts_with('-') || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("is no name of a host; write a name or address that ssh knows".to_owned());
        }
        let entry = self.entry(host);
        let mut master = entry.master.lock().await;
        if let Some(master) = master.as_ref().filter(|master| !master.over.is_cancelled()) {
            return Ok(Arc::clone(master));
        }
        *master = None;
        let dir = self.dir().map_err(|e| format!("cannot make a directory for ssh's sockets: {e}; look at TMPDIR"))?;
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let _connecting = self.connecting.acquire().await.map_err(|e| e.to_string())?;
        let made = Arc::new(Master::connect(host, &self.options, (dir.path(), name)).await?);
        *master = Some(Arc::clone(&made));
        Ok(made)
    }

    /// That connection is no good any more.
    pub(super) async fn lost(&self, host: &str, lost: &Arc<Master>) {
        let entry = self.entry(host);
        let mut master = entry.master.lock().await;
        if master.as_ref().is_some_and(|master| Arc::ptr_eq(master, lost)) {
            *master = None;
        }
    }

    /// This host's entry; those that were not used for long, or are too many, are closed.
    fn entry(&self, host: &str) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        let now = Instant::now();
        if !hosts.contains_key(host) {
            // One that somebody uses has a second owner.
            hosts.retain(|_, host| Arc::strong_count(host) > 1 || host.in_use() || now - *lock(&host.used) < IDLE);
            while hosts.len() >= self.held_max {
                let idle = hosts.iter().filter(|(_, host)| Arc::strong_count(host) == 1 && !host.in_use());
                let Some(oldest) = idle.min_by_key(|(_, host)| *lock(&host.used)).map(|(name, _)| name.clone()) else { break };
                hosts.remove(&oldest);
            }
        }
        let fresh = || Arc::new(Host { master: tokio::sync::Mutex::default(), used: Mutex::new(now) });
        let entry = Arc::clone(hosts.entry(host.to_owned()).or_insert_with(fresh));
        *lock(&entry.used) = now;
        entry
    }

    /// Made anew if somebody tidied it away.
    fn dir(&self) -> io::Result<Arc<TempDir>> {
        let mut dir = lock(&self.dir);
        if let Some(dir) = dir.as_ref().filter(|dir| dir.path().is_dir()) {
            return Ok(Arc::clone(dir));
        }
        let usual = std::env::temp_dir();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        // The random end of a name has six letters.
        let short = usual.as_os_str().len() + 1 + prefix.len() + 6 + 1 + NAME_MAX <= file::SOCKET_PATH_MAX;
        let parent = if short { usual } else { PathBuf::from("/tmp") };
        remove_left(&parent);
        let made = Arc::new(tempfile::Builder::new().prefix(&prefix).tempdir_in(parent)?);
        *dir = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Host {
    fn in_use(&self) -> bool {
        let used = |master: &Option<Arc<Master>>| master.as_ref().is_some_and(|master| Arc::strong_count(master) > 1);
        self.master.try_lock().map_or(true, |master| used(&master))
    }
}

/// How such a directory's name begins; the process' id follows.
const PREFIX: &str = "rollout-ssh-";

/// Removes what processes of ours left that were killed.
fn remove_left(parent: &Path) {
    let us = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<i32>().ok());
        let ours = entry.path().symlink_metadata().is_ok_and(|about| about.is_dir() && about.uid() == us);
        if pid.is_some_and(|pid| process::stat(pid).is_none()) && ours {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// The maps behind these locks are whole after every statement: a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
