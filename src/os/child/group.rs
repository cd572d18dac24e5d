//! The process groups of programs that run, and the ending of those that nobody waits for any more.
//!
//! Imports: os' process. May not: start a program.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::process::{self, ProcessId};
use super::KILL_TIMEOUT;

/// How often a group that is to end is looked at.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// Every group of this process by its id. In a static, as the groups themselves are: whoever ends the process must find
/// them all.
static GROUPS: LazyLock<watch::Sender<BTreeMap<i32, Entry>>> = LazyLock::new(watch::Sender::default);

/// Owns the tasks that wait for programs: they outlast whoever asked for a run.
pub(in crate::os) static WAITING: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

struct Entry {
    about: String,
    /// Nobody waits for the program any more: it is being ended.
    stopping: bool,
}

/// Waits until every program that was given up has ended: those of `about`, or all.
pub(in crate::os) async fn stopped(about: Option<&str>) {
    let over = |groups: &BTreeMap<i32, Entry>| {
        !groups.values().any(|entry| entry.stopping && about.is_none_or(|about| about == entry.about))
    };
    // The other end is a static: it does not go away.
    drop(GROUPS.subscribe().wait_for(over).await);
}

/// Kills every program that runs, without waiting for anything: for the last moment of this process.
pub fn kill_all() {
    for group in GROUPS.borrow().keys() {
        signal(*group, Signal::KILL);
    }
}

/// As far as it can be told whose they are.
fn signal_escaped(escaped: &[ProcessId], signal: Signal) {
    for process in escaped.iter().filter(|process| process::alive(process)) {
        if let Some(pid) = Pid::from_raw(process.pid)
            && let Err(e) = rustix::process::kill_process(pid, signal)
        {
            tracing::debug!("cannot signal process {}: {e}", process.pid);
        }
    }
}

/// For the last moment of this process: those that were given up have so long to end; what is left is killed, and waited for.
pub async fn end_all(grace: Duration) {
    timeout(grace, stopped(None)).await.ok();
    kill_all();
    let mut groups = GROUPS.subscribe();
    timeout(KILL_TIMEOUT, groups.wait_for(BTreeMap::is_empty)).await.map(drop).ok();
}

fn signal(group: i32, signal: Signal) {
    if let Err(e) = process::signal_group(group, signal) {
        tracing::debug!("cannot signal process group {group}: {e}");
    }
}

/// A process group, killed when this is dropped before it was released.
pub(in crate::os) struct Group {
    id: i32,
    ours: bool,
    /// What its members had started in groups of their own when it was first told to end.
    escaped: Mutex<Vec<ProcessId>>,
}

impl Group {
    /// The group of a program that was just started.
    pub(in crate::os) fn begin(id: i32, about: &str) -> Self {
        GROUPS.send_modify(|groups| {
            groups.insert(id, Entry { about: about.to_owned(), stopping: false });
        });
        Self { id, ours: true, escaped: Mutex::default() }
    }

    /// A group that is left alone when this is dropped.
    pub(super) const fn of_another_engine(id: i32) -> Self {
        Self { id, ours: false, escaped: Mutex::new(Vec::new()) }
    }

    pub(in crate::os) fn signal(&self, which: Signal) {
        // Before the signal: when their parents have ended, nobody can tell any more whose they were.
        let mut escaped = self.escaped.lock().unwrap_or_else(PoisonError::into_inner);
        let more = process::escaped(self.id).into_iter().filter(|process| !escaped.contains(process));
        let more: Vec<ProcessId> = more.collect();
        escaped.extend(more);
        signal(self.id, which);
        signal_escaped(&escaped, which);
    }

    /// It, or what is known to come of it.
    pub(super) fn lives(&self) -> bool {
        let escaped = self.escaped.lock().unwrap_or_else(PoisonError::into_inner);
        process::group_lives(self.id) || escaped.iter().any(process::alive)
    }

    /// Ends what is left of it.
    pub(in crate::os) async fn sweep(&self, grace: Duration) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + grace;
        while self.lives() {
            if Instant::now() >= deadline {
                return self.signal(Signal::KILL);
            }
            sleep(POLL).await;
        }
    }

    /// It is over: its number may be used again by others.
    pub(in crate::os) fn release(&mut self) {
        if std::mem::take(&mut self.ours) {
            GROUPS.send_modify(|groups| {
                groups.remove(&self.id);
            });
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ours {
            self.signal(Signal::KILL);
            self.release();
        }
    }
}

/// Ends the program when this is dropped, if it still runs.
pub(super) struct Stopper {
    group: i32,
    token: CancellationToken,
}

impl Stopper {
    pub(super) fn of(group: &Group) -> Self {
        Self { group: group.id, token: CancellationToken::new() }
    }

    /// Cancelled once the program is to end.
    pub(super) fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // Noted here and not by the task that ends it: whoever asks from now on must wait for it. One that has ended by
        // itself is no longer among them.
        GROUPS.send_if_modified(|groups| {
            if let Some(entry) = groups.get_mut(&self.group) {
                entry.stopping = true;
            }
            false
        });
        self.token.cancel();
    }
}
