//! What the engine's process keeps to itself: no file of whoever started it stays open, and its memory, which holds
//! secrets, is never written to a core file.
//!
//! Imports: nothing. May not: change what the programs that it starts may do.

use std::os::fd::RawFd;
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Standard input, output and error.
const STANDARD: RawFd = 2;
/// The kernel writes no core file that is so short, and with this very number it calls no program that collects them either
/// (it would with 0).
const NO_CORE: u64 = 1;

/// What the limit was, for the programs that are started.
static CORE: OnceLock<Rlimit> = OnceLock::new();

/// Closes every file that came from whoever started this process: a pipe that somebody waits for, the file of a lock. To be
/// called before anything is opened.
pub fn close_inherited() {
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > STANDARD) {
        // The listing itself is among them, and closed already.
        nix::unistd::close(fd).ok();
    }
}

/// From now on no core file is written of this process. Not by `PR_SET_DUMPABLE`: that would close `/proc` of this process to
/// its own user, by which engines recognise each other.
pub fn without_core_file() {
    let limit = getrlimit(Resource::Core);
    if limit.maximum.is_none_or(|most| most >= NO_CORE)
        && setrlimit(Resource::Core, Rlimit { current: Some(NO_CORE), ..limit }).is_ok()
    {
        // Once a process.
        CORE.set(limit).ok();
    }
}

/// A program that was just started may write its core file, if we could at first.
pub fn give_back_core_file(program: i32) {
    if let (Some(limit), Some(pid)) = (CORE.get(), Pid::from_raw(program)) {
        // One that has ended already, or has become another user, keeps ours.
        prlimit(Some(pid), Resource::Core, *limit).ok();
    }
}
