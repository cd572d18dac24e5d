//! Where a service keeps its state, and whether that place can be trusted.
//!
//! The `[journal] dir` decides by its mode who has part in all below it; `os::sharing` is the rule and its table. Both ways
//! trust root, the administrator's access lists, and whoever may rename the directories above.
//!
//! Private (the usual): we trust nobody else. What another user owns or could have written is refused.
//!
//! Shared (setgid, and its group can write): the members of the group trust each other with all of it. One of them could
//! change the history, stand in for the engine at its socket, or have another member's engine signal a process by a forged
//! record, and nothing here prevents that: they may deploy anyway. Nobody else is trusted: the world has no right on what lies
//! within, the owner of each thing that is opened must be a member or root, and so must the owner of the directory itself,
//! who could open it to others. A member's file that is made world-writable, of another group, or replaced by a link, by
//! whatever mistake, is refused. For strangers there is no moment in between: they cannot make a name in a directory that is
//! the group's alone, so what was looked at is still there when it is opened by its path, as SQLite and sockets must be.
//! What can be done on the handle that was looked at, is (`os::sharing`, `os::file`).
//!
//! Imports: ports, os. May not: open a database or a socket.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::os::file::{self, SOCKET_PATH_MAX};
use crate::os::sharing::{Kind, Look, Sharing};
use crate::os::{trust, users};
use crate::ports::JournalError;

/// Bits that let the group or others write.
const WRITE_BY_OTHERS: u32 = 0o022;
/// Bits that let others do anything.
const WORLD_WRITES: u32 = 0o002;
/// The sticky bit: others may add names, but not replace ours.
const STICKY: u32 = 0o1000;

/// The directory of all state of `service` in `env`, under the `[journal] dir`.
pub fn service_dir(base: &Path, service: &str, env: &str) -> PathBuf {
    base.join(format!("{service}.{env}"))
}

/// The engine's log file of `service` in `env`.
pub fn log_path(base: &Path, service: &str, env: &str) -> PathBuf {
    service_dir(base, service, env).join("engine.log")
}

/// The control socket of `service` in `env`.
///
/// # Errors
/// Fails if the path is longer than the kernel allows for a socket.
pub fn socket_path(base: &Path, service: &str, env: &str) -> Result<PathBuf, JournalError> {
    let path = service_dir(base, service, env).join("engine.sock");
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_MAX {
        let reason = format!(
            "the path of the control socket has {length} bytes, the kernel allows {SOCKET_PATH_MAX}; choose a shorter [journal] dir"
        );
        return Err(refused(&path, reason));
    }
    Ok(path)
}

/// Makes the directory of `service` in `env` if it is missing, and checks that only those can change what lies in it who
/// may; says who that is.
///
/// # Errors
/// Fails with the remedy if the place cannot be trusted, or is not for us.
pub fn prepare(base: &Path, service: &str, env: &str) -> Result<(PathBuf, Sharing), JournalError> {
    check_name(base, service)?;
    check_name(base, env)?;
    let dir = service_dir(base, service, env);
    let cannot = |e: io::Error| refused(&dir, format!("cannot make the directory: {e}"));
    // Sharing is somebody's word about this very directory: one that we make ourselves is private.
    DirBuilder::new().recursive(true).mode(Sharing::Private.mode(Kind::Dir)).create(base).map_err(cannot)?;
    let meta = metadata(base)?;
    let sharing = sharing_of(base, &meta)?;
    let mode = Look::of(&meta).mode;
    if sharing == Sharing::Private && mode & WRITE_BY_OTHERS != 0 && mode & STICKY == 0 {
        let reason = format!(
            "the directory can be written by others (mode {mode:04o}); run `chmod go-w {0}`, or `chmod 2770 {0}` to share it with its group, or choose another [journal] dir",
            base.display()
        );
        return Err(refused(base, reason));
    }
    let created = file::create_dir(&dir);
    // What lies there and is none says so itself.
    if created.is_ok() || !is_missing(&dir)? {
        check(sharing, &dir, Kind::Dir, true)?;
    }
    created.map_err(cannot)?;
    Ok((dir, sharing))
}

/// The directory of `service` in `env` to look at, and who has part in it; makes nothing. `None` if there is none.
pub(super) fn find(base: &Path, service: &str, env: &str) -> Result<Option<(PathBuf, Sharing)>, JournalError> {
    let Some(sharing) = sharing(base)? else { return Ok(None) };
    let dir = service_dir(base, service, env);
    if is_missing(&dir)? {
        return Ok(None);
    }
    check(sharing, &dir, Kind::Dir, false)?;
    Ok(Some((dir, sharing)))
}

/// Fails unless only those can have put something in the directory of `service` in `env` who may. If there is none, that is
/// well.
///
/// # Errors
/// Fails with the remedy if the place cannot be trusted, or is not for us.
pub fn look(base: &Path, service: &str, env: &str) -> Result<(), JournalError> {
    find(base, service, env).map(drop)
}

/// Who has part in a `[journal] dir`; `None` if it is not there.
///
/// # Errors
/// Fails with the remedy if its mode or owner do not do, or if it is not for us.
pub fn sharing(base: &Path) -> Result<Option<Sharing>, JournalError> {
    if is_missing(base)? {
        return Ok(None);
    }
    sharing_of(base, &metadata(base)?).map(Some)
}

fn sharing_of(base: &Path, meta: &Metadata) -> Result<Sharing, JournalError> {
    let look = Look::of(meta);
    let sharing = Sharing::by(look);
    // Whoever can put another directory in its place decides what we read.
    trust::look_to(base).map_err(|e| refused(base, e.to_string()))?;
    let Sharing::Group(gid) = sharing else {
        let us = rustix::process::geteuid().as_raw();
        if look.uid != us && look.uid != 0 && us != 0 {
            let reason = format!(
                "belongs to {}, who could put other files in it; choose another [journal] dir, or share it with a group: see the README",
                users::user(look.uid)
            );
            return Err(refused(base, reason));
        }
        return Ok(sharing);
    };
    sharing.check_us(base).map_err(|why| refused(base, why))?;
    let (path, group) = (base.display(), users::group(gid));
    if look.mode & WORLD_WRITES != 0 {
        let mode = look.mode;
        let reason = format!(
            "is shared by group {group}, but everybody can write it (mode {mode:04o}); look who did, then run `chmod 2770 {path}`"
        );
        return Err(refused(base, reason));
    }
    if look.uid != 0 && look.uid != rustix::process::geteuid().as_raw() && !users::is_member(look.uid, gid) {
        let owner = users::user(look.uid);
        let reason = format!(
            "is shared by group {group}, but belongs to {owner}, who is not of it and could open it to anybody; run `chown root {path}` as root"
        );
        return Err(refused(base, reason));
    }
    Ok(sharing)
}

/// Fails unless `path` is what it should be, and only those could have changed it who may. With `mend`, a harmless
/// difference is set right.
pub(super) fn check(sharing: Sharing, path: &Path, kind: Kind, mend: bool) -> Result<(), JournalError> {
    sharing.check(path, kind, mend).map_err(|why| refused(path, why))
}

pub(super) fn is_missing(path: &Path) -> Result<bool, JournalError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(refused(path, e.to_string())),
    }
}

/// Fails if a name cannot be part of a directory's name.
fn check_name(base: &Path, name: &str) -> Result<(), JournalError> {
    let fits = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let reason =
        || format!("{name:?} cannot name a service or environment: it must not be empty, begin with a dot or hold a slash");
    if fits { Ok(()) } else { Err(refused(base, reason())) }
}

fn metadata(path: &Path) -> Result<Metadata, JournalError> {
    fs::metadata(path).map_err(|e: io::Error| refused(path, e.to_string()))
}

pub(super) fn refused(path: &Path, reason: String) -> JournalError {
    JournalError::Store { path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn the_socket_path_has_a_limit_and_says_so() {
        let fits = "/".to_owned() + &"d".repeat(SOCKET_PATH_MAX - "//shop.default/engine.sock".len());
        let path = socket_path(Path::new(&fits), "shop", "default").unwrap();
        assert_eq!(path.as_os_str().len(), SOCKET_PATH_MAX);
        std::os::unix::net::SocketAddr::from_pathname(&path).unwrap();

        let error = socket_path(Path::new(&(fits + "d")), "shop", "default").unwrap_err().to_string();
        assert!(error.contains("108 bytes") && error.contains("shorter [journal] dir"), "{error}");
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let base = tempfile::tempdir().unwrap();
        for bad in ["", "../x", "a/b", ".hidden", "nul\0"] {
            let error = prepare(base.path(), bad, "default").unwrap_err().to_string();
            assert!(error.contains("cannot name a service"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_directory_is_made_private_whatever_the_mode_found() {
        let base = tempfile::tempdir().unwrap();
        let dir = service_dir(base.path(), "shop", "default");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(prepare(base.path(), "shop", "default").unwrap(), (dir.clone(), Sharing::Private));
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_place_that_others_can_write_is_refused_with_the_remedy() {
        let base = tempfile::tempdir().unwrap();
        let (dir, _) = prepare(base.path(), "shop", "default").unwrap();
        for (path, mode) in [(dir.as_path(), 0o770), (dir.as_path(), 0o707), (base.path(), 0o777)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let error = prepare(base.path(), "shop", "default").unwrap_err().to_string();
            assert!(error.contains("written by others") && error.contains("chmod go-w"), "{mode:o}: {error}");
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        }
        fs::set_permissions(base.path(), Permissions::from_mode(0o1777)).unwrap();
        prepare(base.path(), "shop", "default").unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), service_dir(base.path(), "shop", "default")).unwrap();
        let error = prepare(base.path(), "shop", "default").unwrap_err().to_string();
        assert!(error.contains("not a directory"), "{error}");
    }

    #[test]
    fn a_setgid_directory_that_its_group_can_write_is_shared() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), Permissions::from_mode(0o2770)).unwrap();
        let gid = fs::metadata(base.path()).unwrap().gid();
        let (dir, sharing) = prepare(base.path(), "shop", "default").unwrap();
        assert_eq!(sharing, Sharing::Group(gid));
        let mode = || fs::metadata(&dir).unwrap().mode() & 0o7777;
        assert_eq!(mode(), 0o2770);
        // It was private before: its owner opens it to the group.
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        prepare(base.path(), "shop", "default").unwrap();
        assert_eq!(mode(), 0o2770);
        assert_eq!(find(base.path(), "shop", "default").unwrap(), Some((dir.clone(), Sharing::Group(gid))));
        assert_eq!(find(base.path(), "shop", "test").unwrap(), None);

        fs::set_permissions(base.path(), Permissions::from_mode(0o2777)).unwrap();
        let error = prepare(base.path(), "shop", "default").unwrap_err().to_string();
        assert!(error.contains("everybody can write it (mode 2777)") && error.contains("chmod 2770"), "{error}");
        assert!(find(base.path(), "shop", "default").is_err(), "nor to look at");
    }

    #[test]
    fn a_directory_that_we_make_ourselves_is_private_even_within_a_shared_one() {
        let above = tempfile::tempdir().unwrap();
        fs::set_permissions(above.path(), Permissions::from_mode(0o2770)).unwrap();
        let base = above.path().join("state");
        assert_eq!(sharing(&base).unwrap(), None);
        let (dir, sharing) = prepare(&base, "shop", "default").unwrap();
        assert_eq!(sharing, Sharing::Private);
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
    }
}
