//! Where the history is kept: whether it can be written, whether it can be read, and who holds the lock.

use std::path::Path;

use rustix::fs::Access;

use super::finding::Finding;
use crate::app::Place;
use crate::app::past::{last_row, past};
use crate::config::Config;
use crate::journal::{self, Holder, Lease};
use crate::os::sharing::Sharing;
use crate::os::text::counted;
use crate::os::users;
use crate::ports::Past;
use crate::state::State;

const KIND: &str = "store";

/// Looks at the store of the service without making anything in it.
pub(super) fn look(config: &Config, place: &Place, runs: Option<&State>) -> Vec<Finding> {
    let mut findings = vec![directory(&place.base, &place.dir())];
    if let Err(failure) = place.socket() {
        findings.push(Finding::missing(KIND, "control socket", &failure.message, ""));
    }
    match past(config) {
        Ok(Past { rows, damaged }) if rows.is_empty() && damaged.is_empty() => {
            findings.push(Finding::ok(KIND, "journal", "empty; the first deployment makes it"));
        }
        Ok(Past { rows, damaged }) => {
            findings.push(Finding::ok(KIND, "journal", &format!("{} can be read", counted(rows.len(), "deployment"))));
            findings.extend(damaged.iter().map(|damage| Finding::missing(KIND, "journal", &damage.to_string(), "")));
        }
        Err(failure) => findings.push(Finding::missing(KIND, "journal", &failure.message, "")),
    }
    findings.push(lock(config, place, runs));
    findings
}

/// The directory, or the nearest one above it that is there, must be writable.
fn directory(base: &Path, dir: &Path) -> Finding {
    let there = dir.ancestors().find(|dir| dir.symlink_metadata().is_ok()).unwrap_or_else(|| Path::new("/"));
    let subject = dir.display().to_string();
    let whose = match journal::sharing(base) {
        // Its remedy is part of the sentence.
        Err(error) => return Finding::missing(KIND, &subject, &error.to_string(), ""),
        Ok(Some(Sharing::Group(gid))) => format!("shared by group {}", users::group(gid)),
        Ok(Some(Sharing::Private) | None) => "private".to_owned(),
    };
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    // By the rights of who will write: `access` asks for the real user, who is the same here.
    match rustix::fs::access(there, wanted) {
        _ if !there.is_dir() => {
            let message = format!("{} is no directory", there.display());
            Finding::missing(KIND, &subject, &message, "move it away, or write another journal.dir")
        }
        Ok(()) if there == dir => Finding::ok(KIND, &subject, &format!("{whose}, can be written")),
        Ok(()) => Finding::ok(KIND, &subject, &format!("{whose}, will be made")),
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
    if let Some(holder) = Lease::look(&place.base, &place.service, &place.env).filter(Holder::lives) {
        let (pid, login) = (holder.process.pid, &holder.login);
        let (how, remedy) = if holder.is_stopped() {
            ("is stopped", format!("let it go on with: kill -CONT {pid}, or take over with: rollout recover"))
        } else {
            ("does not answer", format!("look at process {pid}; take its lease with: rollout recover --steal {pid}"))
        };
        let message = format!("held by engine {pid} of {login} for {}, which {how}", holder.what);
        return Finding::missing(KIND, "lock", &message, &remedy);
    }
    let open = last_row(config).ok().flatten().filter(|row| row.ended_at.is_none());
    if let Some(row) = open {
        let message = format!("{} to {} was interrupted while {}", row.id, row.version, row.status);
        return Finding::missing(KIND, "lock", &message, "take it over with: rollout recover");
    }
    Finding::ok(KIND, "lock", "free")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::app::check::finding::Level;

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(directory(dir.path(), dir.path()).level, Level::Ok);
        assert!(directory(dir.path(), &dir.path().join("a/b")).message.contains("private, will be made"));
        assert!(!dir.path().join("a").exists());
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o2770)).unwrap();
        assert!(directory(dir.path(), dir.path()).message.starts_with("shared by group "));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let finding = directory(dir.path(), &file.join("shop.default"));
        assert!(finding.level == Level::Missing && finding.message.contains("is no directory"), "{finding:?}");
    }
}
