//! The socket's file: bound without a race, open only to those who share its directory, one engine at a time, removed at the end.
//!
//! Imports: os. May not: read or write a byte of the protocol.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::os::file::{self, SOCKET_PATH_MAX};
use crate::os::sharing::{Kind, Look, Sharing};

/// Why the control socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// One engine for each service and environment.
    #[error("an engine already runs here{}: {path}; `rollout attach` shows it", pid.map(|p| format!(" (pid {p})")).unwrap_or_default())]
    AlreadyRuns {
        /// The socket.
        path: String,
        /// The engine's process, if it could be told.
        pid: Option<i32>,
    },
    /// The place does not do.
    #[error("control socket {path}: {reason}")]
    Place {
        /// The socket.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The system refused.
    #[error("control socket {path}: cannot {doing}: {source}")]
    Io {
        /// The socket.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A bound socket. Dropping it removes the file, and then lets another engine in.
#[derive(Debug)]
pub(super) struct Bound {
    path: PathBuf,
    /// Who may connect.
    sharing: Sharing,
    /// Device and inode of the socket's file: what lies there later may be another's.
    file: (u64, u64),
    /// Locked for as long as this lives; the kernel unlocks it when the process ends, however it ends.
    _lock: File,
}

/// The process that serves the socket at `path`, if one does and has room for one more who asks.
pub fn engine_pid(path: &Path) -> Option<i32> {
    let credentials = rustix::net::sockopt::socket_peercred(&dial(path).ok()?).ok()?;
    Some(credentials.pid.as_raw_nonzero().get())
}

/// Connects without waiting: one that listens and accepts nobody would hold us for ever.
fn dial(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Whether somebody listens there, even if nobody is let in just now.
fn is_served(path: &Path) -> bool {
    matches!(dial(path), Ok(_) | Err(Errno::AGAIN))
}

/// Binds `path`. What is left of an engine that died is replaced.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, Bound), ControlError> {
    let io = |doing| move |source| ControlError::Io { path: path.display().to_string(), doing, source };
    let sharing = check_place(path)?;
    let lock = lock(path)?;
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() && is_served(path) => {
            return Err(ControlError::AlreadyRuns { path: path.display().to_string(), pid: engine_pid(path) });
        }
        Ok(meta) if !meta.file_type().is_socket() => {
            let remedy = format!("look what it is, then run `mv {0} {0}.aside`", path.display());
            return Err(place(path, &format!("something that is no socket lies there (a link is not followed); {remedy}")));
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io("look at it")(e)),
    }
    // Under another name first: at `path` there is never a socket with another mode, or one that does not listen yet. The name is
    // shorter than any that passed the check of the length.
    let draft = path.with_file_name(format!(".s{}", std::process::id()));
    match fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io("remove a leftover")(e)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&draft).map_err(io("bind it"))?;
    let finish = || {
        fs::set_permissions(&draft, Permissions::from_mode(sharing.mode(Kind::File)))?;
        listener.set_nonblocking(true)?;
        let meta = fs::symlink_metadata(&draft)?;
        fs::rename(&draft, path)?;
        Ok((meta.dev(), meta.ino()))
    };
    let file = finish().map_err(io("put it in place"))?;
    Ok((listener, Bound { path: path.to_owned(), sharing, file, _lock: lock }))
}

impl Bound {
    /// The socket's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Who may connect.
    pub(super) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Removes the socket's file, so that nobody new connects.
    pub(super) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control socket could not be removed");
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.remove();
    }
}

fn place(path: &Path, reason: &str) -> ControlError {
    ControlError::Place { path: path.display().to_string(), reason: reason.to_owned() }
}

/// Fails unless the socket fits the kernel's limit and its directory is ours alone, or our group's. Says which.
fn check_place(path: &Path) -> Result<Sharing, ControlError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_MAX {
        return Err(place(path, &format!("the path is longer than {SOCKET_PATH_MAX} bytes; choose a shorter [journal] dir")));
    }
    let dir = path.parent().unwrap_or_else(|| Path::new("/"));
    let meta = fs::symlink_metadata(dir).map_err(|e| place(path, &format!("its directory cannot be used: {e}")))?;
    let (look, sharing) = (Look::of(&meta), Sharing::by(Look::of(&meta)));
    if matches!(sharing, Sharing::Group(_)) {
        let checked = sharing.check_us(dir).and_then(|()| sharing.check(dir, Kind::Dir, false));
        return checked.map(|()| sharing).map_err(|why| place(path, &format!("its directory {why}")));
    }
    if !meta.is_dir() || look.uid != rustix::process::geteuid().as_raw() || look.mode & 0o077 != 0 {
        let reason = format!(
            "its directory must be ours alone, but belongs to uid {} with mode {:04o}; run `chmod 700 {}` as its owner",
            look.uid,
            look.mode,
            dir.display()
        );
        return Err(place(path, &reason));
    }
    Ok(sharing)
}

/// Takes the lock beside the socket and writes our process id into it.
fn lock(path: &Path) -> Result<File, ControlError> {
    let io = |doing| move |source| ControlError::Io { path: path.display().to_string(), doing, source };
    let lock_path = path.with_extension("lock");
    let mut file = file::open_lock(&lock_path).map_err(io("open its lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let told = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(ControlError::AlreadyRuns { path: path.display().to_string(), pid: engine_pid(path).or(told) });
        }
        Err(TryLockError::Error(e)) => return Err(io("lock it")(e)),
    }
    // Only for people and messages: a full disk must not keep an engine from starting.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::warn!(path = %lock_path.display(), %error, "the process id could not be written");
    }
    Ok(file)
}
