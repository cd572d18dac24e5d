//! Where the history is kept: whether it can be written, whether it can be read, and who holds the lock.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Access;

use super::finding::Finding;
use crate::app::past::rows;
use crate::app::{Place, lease_path};
use crate::config::Config;
use crate::os::text::counted;
use crate::state::State;

const KIND: &str = "store";

/// Looks at the store of the service without making anything in it.
pub(super) fn look(config: &Config, place: &Place, runs: Option<&State>) -> Vec<Finding> {
    let mut findings = vec![directory(&place.dir())];
    if let Err(failure) = place.socket() {
        findings.push(Finding::missing(KIND, "control socket", &failure.message, ""));
    }
    match rows(config) {
        Ok(rows) if rows.is_empty() => findings.push(Finding::ok(KIND, "journal", "empty; the first deployment makes it")),
        Ok(rows) => findings.push(Finding::ok(KIND, "journal", &format!("{} can be read", counted(rows.len(), "deployment")))),
        Err(failure) => findings.push(Finding::missing(KIND, "journal", &failure.message, "")),
    }
    findings.push(lock(config, place, runs));
    findings
}

/// The directory, or the nearest one above it that is there, must be writable.
fn directory(dir: &Path) -> Finding {
    let there = dir.ancestors().find(|dir| dir.symlink_metadata().is_ok()).unwrap_or_else(|| Path::new("/"));
    let subject = dir.display().to_string();
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    // By the rights of who will write: `access` asks for the real user, who is the same here.
    match rustix::fs::access(there, wanted) {
        _ if !there.is_dir() => {
            let message = format!("{} is no directory", there.display());
            Finding::missing(KIND, &subject, &message, "move it away, or write another journal.dir")
        }
        Ok(()) if there == dir => Finding::ok(KIND, &subject, "can be written"),
        Ok(()) => Finding::ok(KIND, &subject, "will be made"),
        Err(error) => {
            let message = format!("{} cannot be written: {}", there.display(), std::io::Error::from(error));
            let remedy = format!("give this user the right to write in {}, or write another journal.dir", there.display());
            Finding::missing(KIND, &subject, &message, &remedy)
        }
    }
}

/// Who holds the lock of the service, if somebody does.
fn lock(config: &Config, place: &Place, runs: Option<&State>) -> Finding {
    if let Some(State { plan, .. }) = runs {
        let message = format!("held: {} to {} is under way, by {}", plan.deployment, plan.version, plan.started_by);
        return Finding::doubt(KIND, "lock", &message, "wait for its end, or watch it with: rollout attach");
    }
    let path = lease_path(&place.dir());
    if let Some(holder) = holder(&path) {
        let message = format!("held by process {holder}, which does not answer");
        return Finding::missing(KIND, "lock", &message, &format!("look at process {holder}; when it is gone the lock is free"));
    }
    let open = rows(config).ok().and_then(|rows| rows.into_iter().next()).filter(|row| row.ended_at.is_none());
    if let Some(row) = open {
        let message = format!("{} to {} was interrupted while {}", row.id, row.version, row.status);
        return Finding::missing(KIND, "lock", &message, "take it over with: rollout recover");
    }
    Finding::ok(KIND, "lock", "free")
}

/// The process that holds the lock on a file, by the kernel's list: asking for the lock itself could be in its way.
fn holder(path: &Path) -> Option<u32> {
    let inode = path.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, &inode)
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fe:01:131074 0 EOF`
fn holder_in(locks: &str, inode: &str) -> Option<u32> {
    let mut rows = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.find_map(|row| match row.as_slice() {
        [_, "FLOCK", _, "WRITE", pid, file, ..] if file.rsplit(':').next() == Some(inode) => pid.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::check::finding::Level;

    #[test]
    fn the_kernels_list_names_the_holder() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:01:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 fe:01:131074 0 EOF\n\
            2: -> FLOCK  ADVISORY  WRITE 4712 fe:01:131074 0 EOF\n3: FLOCK  ADVISORY  READ 9 fe:01:6 0 EOF\n";
        assert_eq!(holder_in(locks, "131074"), Some(4711));
        assert_eq!(holder_in(locks, "5"), None, "another kind of lock");
        assert_eq!(holder_in(locks, "6"), None, "shared");
    }

    #[test]
    fn a_held_lock_is_found_and_not_disturbed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let file = std::fs::File::create(&path).unwrap();
        assert_eq!(holder(&path), None);
        file.try_lock().unwrap();
        assert_eq!(holder(&path), Some(std::process::id()));
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(directory(dir.path()).level, Level::Ok);
        assert!(directory(&dir.path().join("a/b")).message.contains("will be made"));
        assert!(!dir.path().join("a").exists());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let finding = directory(&file.join("shop.default"));
        assert!(finding.level == Level::Missing && finding.message.contains("is no directory"), "{finding:?}");
    }
}
