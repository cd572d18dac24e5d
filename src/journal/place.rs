//! Where a service keeps its state, and whether that place can be trusted.
//!
//! Imports: ports, os. May not: open a database or a socket.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::os::file::SOCKET_PATH_MAX;
use crate::ports::JournalError;

/// Bits that let the group or others write.
const WRITE_BY_OTHERS: u32 = 0o022;
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

/// Makes the directory if it is missing and checks that nobody else can change what lies in it.
pub(super) fn prepare(base: &Path, service: &str, env: &str) -> Result<PathBuf, JournalError> {
    check_name(base, service)?;
    check_name(base, env)?;
    let dir = service_dir(base, service, env);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|e| refused(&dir, format!("cannot make the directory: {e}")))?;
    let base_meta = metadata(base)?;
    if base_meta.mode() & WRITE_BY_OTHERS != 0 && base_meta.mode() & STICKY == 0 {
        let reason = format!(
            "the directory can be written by others (mode {:04o}); run `chmod go-w {}` or choose another [journal] dir",
            base_meta.mode() & 0o7777,
            base.display()
        );
        return Err(refused(base, reason));
    }
    let meta = check_dir(&dir)?;
    if meta.mode() & 0o777 != 0o700 {
        let set = fs::set_permissions(&dir, Permissions::from_mode(0o700));
        set.map_err(|e| refused(&dir, format!("cannot set mode 0700: {e}")))?;
    }
    Ok(dir)
}

/// Fails unless `dir` is a real directory of ours that only we can write.
pub(super) fn check_dir(dir: &Path) -> Result<Metadata, JournalError> {
    let meta = fs::symlink_metadata(dir).map_err(|e| refused(dir, e.to_string()))?;
    if !meta.is_dir() {
        return Err(refused(dir, "is not a directory (a link is not followed); move it away".to_owned()));
    }
    check_owner(dir, &meta, "[journal] dir")?;
    check_mode(dir, &meta)?;
    Ok(meta)
}

/// Fails unless `file` is a real file of ours that only we can write.
pub(super) fn check_file(file: &Path) -> Result<Metadata, JournalError> {
    let meta = fs::symlink_metadata(file).map_err(|e| refused(file, e.to_string()))?;
    if !meta.is_file() {
        return Err(refused(file, "is not a regular file; move it away".to_owned()));
    }
    check_owner(file, &meta, "[journal] dir")?;
    check_mode(file, &meta)?;
    Ok(meta)
}

/// Fails if a name cannot be part of a directory's name.
fn check_name(base: &Path, name: &str) -> Result<(), JournalError> {
    let fits = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let reason =
        || format!("{name:?} cannot name a service or environment: it must not be empty, begin with a dot or hold a slash");
    if fits { Ok(()) } else { Err(refused(base, reason())) }
}

fn check_owner(path: &Path, meta: &Metadata, setting: &str) -> Result<(), JournalError> {
    let ours = rustix::process::geteuid().as_raw();
    if meta.uid() == ours {
        return Ok(());
    }
    let reason = format!("belongs to uid {}, not to you (uid {ours}); run as its owner or choose another {setting}", meta.uid());
    Err(refused(path, reason))
}

fn check_mode(path: &Path, meta: &Metadata) -> Result<(), JournalError> {
    if meta.mode() & WRITE_BY_OTHERS == 0 {
        return Ok(());
    }
    let mode = meta.mode() & 0o7777;
    let reason = format!(
        "can be written by others (mode {mode:04o}), so what it says cannot be trusted; look who could have, then run `chmod go-w {}`",
        path.display()
    );
    Err(refused(path, reason))
}

fn metadata(path: &Path) -> Result<Metadata, JournalError> {
    fs::metadata(path).map_err(|e: io::Error| refused(path, e.to_string()))
}

/// Fails if `dir` lies on a network filesystem: SQLite's write-ahead log needs memory shared between processes.
pub(super) fn check_local(dir: &Path) -> Result<(), JournalError> {
    const REMOTE: [(u64, &str); 5] =
        [(0x6969, "NFS"), (0x517B, "SMB"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2"), (0x5346_414F, "AFS")];
    let stat = rustix::fs::statfs(dir).map_err(|e| refused(dir, format!("cannot tell the filesystem: {e}")))?;
    let kind = u64::try_from(stat.f_type).unwrap_or_default();
    match REMOTE.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(refused(
            dir,
            format!("lies on a network filesystem ({name}), where a journal is not safe; choose a local [journal] dir"),
        )),
        None => Ok(()),
    }
}

pub(super) fn refused(path: &Path, reason: String) -> JournalError {
    JournalError::Store { path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(prepare(base.path(), "shop", "default").unwrap(), dir);
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_place_that_others_can_write_is_refused_with_the_remedy() {
        let base = tempfile::tempdir().unwrap();
        let dir = prepare(base.path(), "shop", "default").unwrap();
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
}
