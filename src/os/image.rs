//! The program that a process runs, as a file that can be executed although it was replaced or removed since.
//!
//! Imports: its siblings process and sharing, users. May not: execute what another user could have put there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{Mode, OFlags};

use super::process::{self, ProcessId};
use super::sharing::Look;
use super::users;

/// A program that is held open.
#[derive(Debug)]
pub struct Image {
    file: File,
}

/// The program of `process`, which runs as `uid`.
///
/// # Errors
/// Fails, with why, if it cannot be had, or if it is not for us to execute: the process must be ours or root's, and so must
/// the file, which neither everybody may write nor the members of a group that is neither root's nor our own.
pub fn of(process: &ProcessId, uid: u32) -> Result<Image, String> {
    let us = rustix::process::geteuid().as_raw();
    let is_ours = |uid: u32| uid == us || uid == 0;
    if !is_ours(uid) {
        return Err(format!("it runs as {}, whose programs are not yours to run", users::user(uid)));
    }
    // Only a name: a program that may be executed but not read will do.
    let opened = rustix::fs::open(format!("/proc/{}/exe", process.pid), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let file = File::from(opened.map_err(|e| format!("its program cannot be opened: {}", io::Error::from(e)))?);
    if !process::alive(process) {
        return Err("it has ended".to_owned());
    }
    let meta = file.metadata().map_err(|e| format!("its program cannot be looked at: {e}"))?;
    let look = Look::of(&meta);
    if !is_ours(look.uid) || others_write(look, rustix::process::getegid().as_raw()) {
        let (owner, group, mode) = (users::user(look.uid), users::group(look.gid), look.mode);
        return Err(format!(
            "its program belongs to {owner} and group {group} with mode {mode:04o}, so others could have changed it"
        ));
    }
    Ok(Image { file })
}

/// Whether somebody besides the owner could have changed it.
fn others_write(Look { gid, mode, .. }: Look, our_group: u32) -> bool {
    mode & 0o002 != 0 || (mode & 0o020 != 0 && gid != 0 && gid != our_group)
}

/// Where the program of a process lies, by its first word; that is told of every user's processes.
pub fn path_of(pid: i32) -> Option<PathBuf> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = String::from_utf8_lossy(words.split(|byte| *byte == 0).next()?).into_owned();
    Some(PathBuf::from(first)).filter(|path| path.is_absolute())
}

impl Image {
    /// Becomes that program. Returns only if that failed.
    pub fn become_it(&self, name: OsString, arguments: impl Iterator<Item = OsString>, (key, value): (&str, &str)) -> io::Error {
        Command::new(format!("/proc/self/fd/{}", self.file.as_raw_fd())).arg0(name).args(arguments).env(key, value).exec()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn this() -> ProcessId {
        process::identify(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn what_a_group_of_others_can_write_is_not_trusted() {
        let of = |gid, mode| others_write(Look { uid: 0, gid, mode }, 1000);
        assert!(!of(50, 0o755) && !of(0, 0o775) && !of(1000, 0o775));
        assert!(of(50, 0o775) && of(1000, 0o757) && of(0, 0o757));
    }

    #[test]
    fn our_own_program_is_ours_and_a_strangers_is_not() {
        let us = rustix::process::geteuid().as_raw();
        let image = of(&this(), us).unwrap();
        let ours = fs::metadata(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(image.file.metadata().unwrap().ino(), ours.ino());
        let refused = of(&this(), us + 12345).unwrap_err();
        assert!(refused.contains("not yours to run"), "{refused}");
        let earlier = ProcessId { start_time: this().start_time - 1, ..this() };
        assert_eq!(of(&earlier, us).unwrap_err(), "it has ended", "another process has its number now");
        assert!(path_of(this().pid).is_none_or(|path| path.is_absolute()));
    }
}
