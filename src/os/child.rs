//! Runs a program to its end: no shell, no input, bounded output, bounded time, and nothing left behind.
//!
//! Imports: os' own, process, running and text, its children. May not: know what a program is for, judge its exit code, put anything on a
//! terminal.
//!
//! A program gets a process group of its own, which is ended as a whole: SIGTERM, time to finish, SIGKILL. What it prints
//! is read to its end, kept up to a cap, and never waited for once the program itself has ended: a grandchild that holds
//! the pipe open costs a fifth of a second. Dropping the future ends the group in the same way, in a task of its own:
//! `program::stopped` waits for that. Where the runtime ends before it, the group is killed at once.

mod group;

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::group::Stopper;
use super::running::Entry;
use super::{own, process, text};

pub(super) use group::{Group, WAITING, stopped};
pub use group::{end_all, kill_all};

/// As much of an output as is kept from its beginning.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// As much of an output as is kept from its end, for messages.
const TAIL_BYTES_MAX: usize = 4 * 1024;
/// Lines of the end that a message shows.
const LINES_SHOWN: usize = 3;
/// After the program ended, what it had printed is in the pipe; whoever holds that open longer is not waited for.
const DRAIN: Duration = Duration::from_millis(200);
/// After SIGKILL a group is gone at once, unless the kernel holds one of its processes.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that is slept at once, so that a standstill is seen.
const SLICE: Duration = Duration::from_secs(1);
/// A sleep that took so much longer was a standstill of us all (SIGSTOP, a machine on hold), which is nobody's time.
const STANDSTILL: Duration = Duration::from_secs(5);

/// What to run, and its limits.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// On whose account: `program::stopped` waits by this name.
    pub about: &'a str,
    /// Program and arguments.
    pub argv: &'a [String],
    /// The whole environment.
    pub env: &'a [(String, String)],
    /// When it is told to end.
    pub deadline: Instant,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// A success may leave processes running in its group, as one does that starts a service.
    pub may_leave: bool,
    /// It changes something, so that an engine that takes over must find it: it has a file while it runs (see `running`).
    pub changes: bool,
    /// As much of its output as is kept from the beginning: [`OUTPUT_BYTES_MAX`] for all but inventories.
    pub room: usize,
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("program", &self.argv.first()).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal, which was not ours.
    Signal(i32),
    /// It was still there at its deadline and was ended.
    Deadline,
    /// Nobody can say: the link to its host was lost.
    Lost,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub end: End,
    /// The beginning of what it printed.
    pub stdout: Vec<u8>,
    /// The beginning of what it printed to standard error.
    pub stderr: Vec<u8>,
    /// `stdout` is all that it printed there.
    pub whole: bool,
    /// What it left behind when it ended, in words.
    pub left: Option<&'static str>,
    /// Its last lines, of stderr if there are any.
    tail: String,
}

impl Finished {
    /// Of its outputs.
    pub(super) fn of<O, E>(end: End, stdout: Captured<O>, stderr: Captured<E>, left: Option<&'static str>) -> Self {
        let tail = if stderr.total == 0 { last_lines(&stdout) } else { last_lines(&stderr) };
        let whole = stdout.total == stdout.head.len();
        Self { end, whole, stdout: stdout.head, stderr: stderr.head, left, tail }
    }

    /// With these last words instead of its own; they are harmless already.
    pub(super) fn with_last_words(self, tail: String) -> Self {
        Self { tail, ..self }
    }

    /// How it ended and its last words: `exit code 7: no space left on device`.
    pub fn words(&self) -> String {
        let how = match self.end {
            End::Exit(code) => format!("exit code {code}"),
            End::Signal(signal) => format!("signal {signal}"),
            End::Deadline => "it did not end in time and was stopped".to_owned(),
            End::Lost => "the link to its host was lost".to_owned(),
        };
        if self.tail.is_empty() { how } else { format!("{how}: {}", self.tail) }
    }
}

/// Runs it.
///
/// # Errors
/// Fails with a sentence if it could not be started: nothing has happened then.
pub async fn run(run: Run<'_>) -> Result<Finished, String> {
    let running = Running::start(run)?;
    let stopper = Stopper::of(&running.group);
    let limits = Limits { deadline: run.deadline, grace: run.grace, may_leave: run.may_leave };
    // A task of its own: it ends the program also where nobody waits for it any more.
    let ended = WAITING.spawn(running.until_its_end(limits, stopper.token()));
    ended.await.map_err(|e| format!("what came of it was lost: {e}"))
}

/// Of one run.
#[derive(Clone, Copy)]
struct Limits {
    deadline: Instant,
    grace: Duration,
    may_leave: bool,
}

fn end_of(status: Result<&ExitStatus, &io::Error>) -> End {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exit(code),
            (None, signal) => End::Signal(signal.unwrap_or(0)),
        },
        // Nobody can say how it ended; that is what an unknown signal says too.
        Err(_) => End::Signal(0),
    }
}

/// A program on its way.
struct Running {
    child: Child,
    /// For an engine that takes over; gone when the program is.
    entry: Option<Entry>,
    group: Group,
    stdout: Captured<ChildStdout>,
    stderr: Captured<ChildStderr>,
}

impl Running {
    fn start(run: Run<'_>) -> Result<Self, String> {
        let (program, arguments) = run.argv.split_first().ok_or("the command is empty")?;
        let mut entry = Entry::begin(&run);
        let started = tokio::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(run.env.iter().map(|(name, value)| (name, value)))
            .envs(entry.as_ref().map(Entry::mark))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = started.map_err(|e| format!("cannot start {}: {e}", text::sanitise(program)))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        own::give_back_core_file(id);
        if let Some(entry) = &mut entry {
            entry.started(process::identify(id));
        }
        let stdout = Captured::new(child.stdout.take(), run.room);
        let stderr = Captured::new(child.stderr.take(), OUTPUT_BYTES_MAX);
        Ok(Self { child, entry, group: Group::begin(id, run.about), stdout, stderr })
    }

    /// Until it ends by itself, runs out of time or is stopped.
    async fn until_its_end(mut self, limits: Limits, stop: CancellationToken) -> Finished {
        let status = tokio::select! {
            status = self.ended_by(limits.deadline) => status,
            () = stop.cancelled() => None,
        };
        if status.is_none() {
            self.group.signal(Signal::TERM);
            // One that was stopped for reaching for a terminal hears nothing else.
            self.group.signal(Signal::CONT);
            self.ended_by(Instant::now() + limits.grace).await;
            self.group.signal(Signal::KILL);
            self.ended_by(Instant::now() + KILL_TIMEOUT).await;
        }
        let end = status.map_or(End::Deadline, |status| end_of(status.as_ref()));
        let held = timeout(DRAIN, self.read_to_end()).await.is_err();
        let group_lives = self.group.lives();
        let left = match (group_lives, held) {
            (true, _) => Some("processes of its group"),
            (false, true) => Some("a process that holds its output, in a group of its own"),
            (false, false) => None,
        };
        if group_lives && !(limits.may_leave && end == End::Exit(0)) {
            self.group.sweep(limits.grace.min(DRAIN)).await;
        }
        // Before it counts as over: this process may end in the next moment.
        drop(self.entry.take());
        self.group.release();
        Finished::of(end, self.stdout, self.stderr, left)
    }

    /// Reads along until it ends; `None` if it is there longer than that. A standstill does not count.
    async fn ended_by(&mut self, mut deadline: Instant) -> Option<io::Result<ExitStatus>> {
        loop {
            let until = deadline.min(Instant::now() + SLICE);
            // Its end comes before its deadline where both are there, and the deadline before what it prints without end.
            tokio::select! {
                biased;
                status = self.child.wait() => return Some(status),
                () = sleep_until(until) => {}
                () = self.stdout.step() => {}
                () = self.stderr.step() => {}
            }
            let now = Instant::now();
            deadline = later(deadline, until, now);
            if now >= deadline {
                // It may have ended without our having been told yet.
                return self.child.try_wait().transpose();
            }
        }
    }

    async fn read_to_end(&mut self) {
        while self.stdout.pipe.is_some() || self.stderr.pipe.is_some() {
            tokio::select! {
                () = self.stdout.step() => {}
                () = self.stderr.step() => {}
            }
        }
    }
}

/// The deadline after a sleep that was to end by `until` and did `now`.
fn later(deadline: Instant, until: Instant, now: Instant) -> Instant {
    let gap = now.saturating_duration_since(until);
    if gap >= STANDSTILL { deadline + gap } else { deadline }
}

/// Ends a group that another engine left running. It may be there still if it is not ours to signal.
pub(super) async fn end(group: i32, grace: Duration) {
    let group = Group::of_another_engine(group);
    group.sweep(grace).await;
    let deadline = Instant::now() + KILL_TIMEOUT;
    while group.lives() && Instant::now() < deadline {
        sleep(group::POLL).await;
    }
}

/// An output as far as it is kept.
pub(super) struct Captured<R> {
    /// `None` at its end.
    pipe: Option<R>,
    buffer: Box<[u8]>,
    head: Vec<u8>,
    room: usize,
    tail: Vec<u8>,
    total: usize,
}

impl<R: AsyncRead + Unpin> Captured<R> {
    pub(super) fn new(pipe: Option<R>, room: usize) -> Self {
        Self { pipe, buffer: vec![0; 8 * 1024].into(), head: Vec::new(), room, tail: Vec::new(), total: 0 }
    }

    /// Reads once; waits for ever at the end. Cancelling it loses nothing.
    pub(super) async fn step(&mut self) {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        match pipe.read(&mut self.buffer).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(length) => self.keep(length),
        }
    }

    /// More may come.
    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// What follows `mark` in it, if that has come with its whole line; from there on nothing of it is kept, and no more is
    /// read.
    pub(super) fn cut_at(&mut self, mark: &[u8]) -> Option<String> {
        let at = self.tail.windows(mark.len()).rposition(|window| window == mark)?;
        let behind = self.tail.get(at + mark.len()..)?;
        let line = behind.get(..behind.iter().position(|byte| *byte == b'\n')?)?;
        let line = String::from_utf8_lossy(line).into_owned();
        self.total = self.total.saturating_sub(self.tail.len() - at);
        self.tail.truncate(at);
        self.head.truncate(self.total);
        self.pipe = None;
        Some(line)
    }

    /// Takes over so many bytes of the buffer.
    fn keep(&mut self, length: usize) {
        let chunk = self.buffer.get(..length).unwrap_or_default();
        let room = self.room - self.head.len();
        self.head.extend(chunk.iter().take(room));
        self.tail.extend(chunk);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..excess);
        self.total = self.total.saturating_add(chunk.len());
    }
}

/// The last lines that say something, harmless and short. What came before them is a `…`: nobody may take the end of a
/// secret for a line.
fn last_lines<R>(capture: &Captured<R>) -> String {
    let tail = String::from_utf8_lossy(&capture.tail);
    let lines: Vec<&str> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let skipped = lines.len().saturating_sub(LINES_SHOWN);
    let cut = if skipped > 0 || capture.total > capture.tail.len() { "…" } else { "" };
    let last: Vec<String> = lines.iter().skip(skipped).map(|line| text::sanitise(line)).collect();
    format!("{cut}{}", last.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_moves_the_deadline_and_being_late_does_not() {
        let until = Instant::now();
        let deadline = until + Duration::from_secs(30);
        let after = |gap| later(deadline, until, until + gap).duration_since(deadline);
        assert_eq!(after(Duration::ZERO), Duration::ZERO);
        assert_eq!(after(STANDSTILL.mul_f32(0.9)), Duration::ZERO);
        assert_eq!(after(Duration::from_mins(10)), Duration::from_mins(10));
        assert_eq!(later(deadline, deadline, until), deadline, "it woke before");
    }

    /// As after a standstill: its end and its deadline are both there, and the draw may not decide.
    #[tokio::test]
    async fn one_that_ended_meanwhile_has_ended_however_late_it_is() {
        let argv = ["/bin/sh".to_owned(), "-c".to_owned(), "exit 7".to_owned()];
        for passed in [Duration::ZERO, Duration::from_secs(2), Duration::from_mins(1)] {
            let deadline = Instant::now().checked_sub(passed).unwrap();
            let grace = Duration::from_secs(5);
            let run = Run { about: "late", argv: &argv, env: &[], deadline, grace, may_leave: false, changes: false, room: 0 };
            let mut running = Running::start(run).unwrap();
            let id = rustix::process::Pid::from_raw(i32::try_from(running.child.id().unwrap()).unwrap()).unwrap();
            // Until it has ended, but without taking its end away.
            let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(id), ended).unwrap();
            let status = running.ended_by(deadline).await.expect("it has ended").unwrap();
            assert_eq!(end_of(Ok(&status)), End::Exit(7), "{passed:?}");
        }
    }
}
