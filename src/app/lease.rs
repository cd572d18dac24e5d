//! Who may take a service's lease from whom, and what is ended before the new holder acts.

use std::time::Duration;

use super::{Failure, Place, REFUSED};
use crate::event::{Predecessor, Takeover};
use crate::journal::{Holder, Lease, Sqlite, Taking};
use crate::os::{process, running};

/// A killed engine is gone at once, unless the kernel holds it.
const GONE: Duration = Duration::from_secs(5);
/// An engine that has ended stays for its readers to fetch the end.
const LINGER: Duration = Duration::from_secs(12);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL for what an engine left running.
const GRACE: Duration = Duration::from_secs(5);

/// From whom a lease may be taken. From the dead always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// From nobody else.
    Free,
    /// From one that is stopped.
    Stopped,
    /// From this process, whatever it does.
    Steal(i32),
}

/// A lease, and how it was come by.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) holder: Holder,
    pub(super) takeover: Takeover,
}

/// Takes the lease. A holder that may be taken from is killed first, so that it never acts again.
pub(super) async fn take(place: &Place, holder: Holder, right: Right) -> Result<Held, Failure> {
    let mut takeover = Takeover { by: holder.login.clone(), ..Takeover::default() };
    let deadline = tokio::time::Instant::now() + LINGER;
    loop {
        let taking = Lease::take(&place.base, (&place.service, &place.env), &holder).map_err(Failure::refused)?;
        let other = match taking {
            Taking::Taken { lease, dead } => {
                takeover.from = takeover.from.or_else(|| dead.map(|dead| dead.process.pid));
                return Ok(Held { lease, holder, takeover });
            }
            Taking::Held(other) => other,
        };
        match other {
            Some(other) if takeover.from == Some(other.process.pid) => {}
            Some(other) => {
                takeover.predecessor = kill(&other, right)?;
                takeover.from = Some(other.process.pid);
            }
            None => {}
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Failure::refused("another engine of this service is just starting or ending; try again in a moment"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Kills the holder if that is right, or says who it is and what can be done.
fn kill(other: &Holder, right: Right) -> Result<Predecessor, Failure> {
    let (pid, predecessor) = (other.process.pid, may(other, right)?);
    process::kill(&other.process).map_err(|e| {
        Failure::refused(format!(
            "{}, and this user cannot kill it ({e}); have {} or root run: kill -KILL {pid}, then rollout recover",
            words(other),
            other.login
        ))
    })?;
    Ok(predecessor)
}

/// Whether the lease may be taken from this living holder, and what it is found at.
pub(super) fn may(other: &Holder, right: Right) -> Result<Predecessor, Failure> {
    let pid = other.process.pid;
    Ok(match right {
        Right::Steal(meant) if meant == pid => Predecessor::Live,
        Right::Steal(meant) => {
            return Err(Failure::refused(format!("process {meant} does not hold the lease; {}", words(other))));
        }
        Right::Stopped if other.is_stopped() => Predecessor::Stopped,
        Right::Stopped => {
            return Err(Failure::refused(format!(
                "nothing to recover: {}; watch it with: rollout attach. If it does not answer, take its lease with: rollout recover --steal {pid}",
                words(other)
            )));
        }
        Right::Free if other.is_stopped() => {
            return Err(Failure::refused(format!(
                "{}, but that process is stopped; let it go on with: kill -CONT {pid}, or take over with: rollout recover",
                words(other)
            )));
        }
        Right::Free => {
            return Err(Failure { code: REFUSED, message: format!("{}; watch it with: rollout attach", words(other)) });
        }
    })
}

/// `shop-142 to v42 is under way (engine 4711, by ana)`.
fn words(holder: &Holder) -> String {
    format!("{} is under way (engine {}, by {})", holder.what, holder.process.pid, holder.login)
}

/// A holder whose lock was taken away from under it, by somebody who removed the file, holds the lease all the same: the
/// store knows it.
pub(super) async fn without_lock(held: &mut Held, store: &Sqlite, right: Right) -> Result<(), Failure> {
    let last = store.last_holder().map_err(Failure::refused)?;
    let Some(last) = last.filter(|last| last.process != held.holder.process) else { return Ok(()) };
    held.takeover.from = held.takeover.from.or(Some(last.process.pid));
    let mut deadline = tokio::time::Instant::now() + GONE;
    let mut killed = false;
    while last.lives() {
        // One that has given its lease back is about to be gone.
        let late = tokio::time::Instant::now() > deadline;
        if killed && late {
            return Err(Failure::refused(format!("engine {} was killed and is still there", last.process.pid)));
        }
        if !killed && (late || last.is_stopped()) {
            held.takeover.predecessor = kill(&last, right)?;
            (killed, deadline) = (true, tokio::time::Instant::now() + GONE);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Ends the commands that the holder before left running, and keeps note of ours from here on.
pub(super) async fn clear(held: &mut Held, place: &Place) -> Result<(), Failure> {
    let dir = commands(place);
    let left = running::end_left(&dir, GRACE).await.map_err(Failure::refused)?;
    held.takeover.commands = left.into_iter().map(|running| running.words).collect();
    running::keep_in(&dir).map_err(|e| Failure::refused(format!("cannot make {}: {e}", dir.display())))
}

/// Writes down who holds the lease now, and for what. From here on the store takes events from this engine alone.
pub(super) fn claim(held: &mut Held, store: &Sqlite, what: String) -> Result<(), Failure> {
    held.holder.what = what;
    held.lease.claim(&held.holder).map_err(|e| Failure::refused(format!("cannot write the lease: {e}")))?;
    let predecessor = serde_json::to_string(&held.takeover).map_err(Failure::refused)?;
    held.takeover.epoch = store.claim(&held.holder, &predecessor).map_err(Failure::refused)?;
    Ok(())
}

/// Where the files of running commands are.
pub(super) fn commands(place: &Place) -> std::path::PathBuf {
    place.dir().join("commands")
}
