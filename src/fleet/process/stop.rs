//! Ending a process group: SIGTERM, time to finish, SIGKILL, proof that it is gone.
//!
//! Imports: model, os. May not: decide whether a group is ours (that is `record`).

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::record::{self, Found, Record};
use crate::model::Span;
use crate::os::process;
use crate::ports::FleetError;

/// How often a stopping process is looked at: one small read.
const POLL: Duration = Duration::from_millis(5);
/// How often the rest of its group is looked for: that reads all of `/proc`.
const POLL_REMAINS: Duration = Duration::from_millis(25);
/// After SIGKILL a group is gone at once, unless the kernel holds one of its processes (dead disk, debugger).
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends whatever of `record` is still there. `reap` is called while waiting: a child of ours stays a zombie until
/// somebody waits for it. Dropping the future leaves the group alive or ended, never half signalled: the next call
/// starts again from what is there.
pub(super) async fn stop(record: &Record, path: &Path, timeout: Span, reap: impl Fn()) -> Result<(), FleetError> {
    reap();
    let group = match record.find(path) {
        Found::Running(process) => process.pid,
        Found::Remains { group } => group,
        Found::Gone => return Ok(()),
    };
    signal(group, Signal::TERM)?;
    if !timeout.is_zero() && gone(group, timeout.to_std(), &reap).await {
        return Ok(());
    }
    signal(group, Signal::KILL)?;
    if gone(group, KILL_TIMEOUT, &reap).await {
        return Ok(());
    }
    Err(FleetError::Unknown(format!(
        "process group {group} is still there {}s after SIGKILL; see what holds it with `ps -o pid,stat,wchan,args -g {group}`",
        KILL_TIMEOUT.as_secs()
    )))
}

/// Waits until no process of the group is left; false if that takes longer than `timeout`.
async fn gone(group: i32, timeout: Duration, reap: &impl Fn()) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        reap();
        if !process::group_lives(group) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        let leads = process::stat(group).is_some_and(|leader| !leader.zombie);
        tokio::time::sleep(if leads { POLL } else { POLL_REMAINS }).await;
    }
}

fn signal(group: i32, signal: Signal) -> Result<(), FleetError> {
    process::signal_group(group, signal).map_err(|e| {
        FleetError::Failed(format!("cannot signal process group {group}: {e}; it must run as the user who runs rollout"))
    })
}

/// Ends every process recorded in `dir`, all at once, and removes the records of those that are gone. Returns, in
/// words, what could not be ended; nothing if all are gone. For a fleet that is to vanish, such as the demo's.
pub async fn stop_recorded(dir: &Path, stop_timeout: Span) -> Vec<String> {
    let records = match recorded(dir) {
        Ok(records) => records,
        Err(e) => return vec![format!("{}: {e}", dir.display())],
    };
    let stops = records.iter().map(async |path| {
        let stopped = match record::read(path) {
            Ok(Some(record)) => stop(&record, path, stop_timeout, || ()).await.map_err(|e| e.to_string()),
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        };
        stopped.and_then(|()| std::fs::remove_file(path).map_err(|e| format!("{}: {e}", path.display()))).err()
    });
    futures::future::join_all(stops).await.into_iter().flatten().collect()
}

/// The record files in `dir`, by their real path, which is what the processes carry in their environment.
fn recorded(dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut records = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            records.push(path);
        }
    }
    Ok(records)
}
