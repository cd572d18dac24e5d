//! Processes of this machine, told apart even when a pid is used again: what `/proc` says, signals to groups, marks.
//!
//! Imports: nothing. May not: start a process, wait, know what a process is for.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Resource, Signal};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for another one: a pid is used again, its start time within a boot is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid; also the id of its group, as it was started as a leader.
    pub pid: i32,
    /// In clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// Which boot.
    pub boot_id: String,
}

/// The part of `/proc/PID/stat` that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Dead, but not yet waited for by its parent.
    pub zombie: bool,
    /// Held by SIGSTOP or its like: it lives, and does nothing.
    pub stopped: bool,
    /// Who started it, or who took it over when that one ended.
    pub parent: i32,
    /// The process group.
    pub group: i32,
    /// In clock ticks since boot.
    pub start_time: u64,
}

/// The id of the running boot.
///
/// # Errors
/// Fails if `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// What `/proc` says of a pid; `None` if there is no such process.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in the second field is in parentheses and may contain anything, parentheses and spaces included.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let (_pid_and_name, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        stopped: *fields.first()? == "T",
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

/// Whether this process ignores SIGHUP, as whoever started it (`nohup`) may have ordered.
pub fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// The process with this pid now, to be recognised later; `None` if there is none.
pub fn identify(pid: i32) -> Option<ProcessId> {
    Some(ProcessId { pid, start_time: stat(pid)?.start_time, boot_id: boot_id().ok()? })
}

/// True if that very process is there and not a zombie.
pub fn alive(process: &ProcessId) -> bool {
    stat(process.pid).is_some_and(|now| now.start_time == process.start_time && !now.zombie)
        && boot_id().is_ok_and(|boot| boot == process.boot_id)
}

/// True if that very process is there, but stopped.
pub fn is_stopped(process: &ProcessId) -> bool {
    alive(process) && stat(process.pid).is_some_and(|now| now.stopped)
}

/// Kills that very process, and no other that got its pid meanwhile. One that is gone is no error.
///
/// # Errors
/// Fails if it is not ours to kill.
pub fn kill(process: &ProcessId) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    // The descriptor holds on to the process that has the pid now; only then is it compared.
    let opened = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    if !alive(process) {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(opened, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Signals every process of a group. A group that is gone is no error.
///
/// # Errors
/// Fails if the group is not ours to signal.
pub fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    let Some(group) = group_pid(group) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{group} is no process group of ours")));
    };
    match rustix::process::kill_process_group(group, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Groups 0 (our own), 1 (init's) and below are never meant.
fn group_pid(group: i32) -> Option<Pid> {
    if group > 1 { Pid::from_raw(group) } else { None }
}

/// True if a group has a member that is not a zombie.
pub fn group_lives(group: i32) -> bool {
    let exists = group_pid(group).is_some_and(|id| rustix::process::test_kill_process_group(id) != Err(rustix::io::Errno::SRCH));
    // Zombies count for the kernel; where nobody waits for them they would count for ever.
    exists
        && (stat(group).is_some_and(|leader| leader.group == group && !leader.zombie)
            || processes().any(|(_, now)| now.group == group))
}

/// All processes but zombies, with their group.
fn processes() -> impl Iterator<Item = (i32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        stat(pid).filter(|now| !now.zombie).map(|now| (pid, now))
    })
}

/// What members of a group have started in groups of their own, and what those have started: `timeout` does so, and a shell
/// with job control. Only as long as their parents live can it be told whose they are.
pub fn escaped(group: i32) -> Vec<ProcessId> {
    let all: Vec<(i32, Stat)> = processes().collect();
    let mut family: Vec<i32> = all.iter().filter(|(_, now)| now.group == group).map(|(pid, _)| *pid).collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = all.iter().filter(|(pid, now)| now.parent == parent && !family.contains(pid)).map(|(pid, _)| *pid);
        let children: Vec<i32> = children.collect();
        family.extend(children);
        next += 1;
    }
    let outside = |pid: &&i32| all.iter().any(|(other, now)| other == *pid && now.group != group);
    family.iter().filter(outside).filter_map(|pid| identify(*pid)).collect()
}

/// True if the group of a leader that has ended may still be there. Its number is not given away before the group is gone, so a
/// process that has it now is of another group.
pub fn group_remains(leader: &ProcessId) -> bool {
    boot_id().is_ok_and(|boot| boot == leader.boot_id)
        && stat(leader.pid).is_none_or(|now| now.start_time == leader.start_time)
        && group_lives(leader.pid)
}

/// True if a group has a living member that carries all `marks` in the environment it was started with.
pub fn group_is_marked(group: i32, marks: &[String]) -> bool {
    processes().any(|(pid, now)| now.group == group && has_marks(pid, marks))
}

/// The living group leader that carries all `marks`, each `NAME=value`, in the environment it was started with; the
/// oldest, as its descendants inherit the marks.
pub fn marked_leader(marks: &[String]) -> Option<ProcessId> {
    let leaders = processes().filter(|(pid, now)| now.group == *pid && has_marks(*pid, marks));
    leaders.min_by_key(|(_, now)| now.start_time).and_then(|(pid, _)| identify(pid))
}

/// Unreadable environments (other users' processes) carry no mark of ours.
fn has_marks(pid: i32, marks: &[String]) -> bool {
    let environ = fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap_or_default();
    marks.iter().all(|mark| environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
}

/// How many files this process may have open at once; `None` if there is no limit.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"42 (a) R 1 (x)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        assert_eq!(parse_stat(line), Some(Stat { zombie: false, stopped: false, parent: 1, group: 42, start_time: 987_654 }));
        for garbage in [&b""[..], b")", b"1 (x) S", b"\xff\xfe) Z a b c", b"1 (x) S 1 not-a-number"] {
            assert_eq!(parse_stat(garbage), None);
        }
    }

    #[test]
    fn this_process_is_alive_and_its_namesakes_are_not() {
        let this = identify(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(alive(&this));
        assert!(!alive(&ProcessId { start_time: this.start_time + 1, ..this.clone() }));
        assert!(!alive(&ProcessId { boot_id: "another boot".to_owned(), ..this }));
    }

    #[test]
    fn groups_that_are_not_one_are_refused() {
        for group in [-1, 0, 1] {
            assert!(signal_group(group, Signal::TERM).is_err(), "{group}");
        }
    }
}
