//! A program in a terminal of its own, and what the kernel tells of its process.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::common::PATIENCE;
use crate::fleet::{Fleet, read, rollout};

/// How each frame begins: the terminal is to show nothing before its end.
const FRAME: &[u8] = b"\x1b[?2026h";

/// How the program stands to its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It leads its session: a hang-up is a signal to it.
    Leader,
    /// It leads its session and was started with SIGHUP ignored.
    Deaf,
    /// A shell that ignores SIGHUP leads the session.
    Follower,
    /// The terminal is not that of its session: no signal ever comes.
    Stranger,
    /// An interactive shell with job control, which a test types the command into.
    Shell,
}

/// A terminal with a program in it.
pub(crate) struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// While set, nothing is read from the terminal.
    stalled: Arc<AtomicBool>,
    /// The reader closes its end after what it reads next.
    closed: Arc<AtomicBool>,
    place: Place,
    pub(crate) command: String,
}

impl Terminal {
    /// `rollout ARGS` in 80 columns and 24 rows.
    pub(crate) fn start(fleet: &Fleet, args: &[&str], place: Place) -> Self {
        Self::start_with(fleet, args, place, (80, 24), &[])
    }

    pub(crate) fn start_with(fleet: &Fleet, args: &[&str], place: Place, (cols, rows): (u16, u16), env: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let program: Vec<String> = {
            let command = fleet.command(args);
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_str().unwrap().to_owned()).collect()
        };
        let wrapped: Vec<&str> = match place {
            Place::Leader => vec![],
            Place::Deaf => vec!["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"],
            Place::Follower => vec!["sh", "-c", "trap '' HUP; \"$@\"; true", "sh"],
            Place::Stranger => vec!["sh", "-c", "trap '' HUP; setsid \"$@\"; true", "sh"],
            Place::Shell => vec!["sh", "-i"],
        };
        let words = wrapped.into_iter().map(str::to_owned).chain(program.iter().filter(|_| place != Place::Shell).cloned());
        let mut command = CommandBuilder::from_argv(words.map(Into::into).collect());
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "COLORTERM", "ENV", "TMUX"] {
            command.env_remove(name);
        }
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("PS1", "$ ")].iter().chain(env) {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0)));
        let (bytes, stalled) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicBool>::default());
        let closed = Arc::<AtomicBool>::default();
        let keys = pair.master.take_writer().unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (into, all, stall, done) = (Arc::clone(&shown), Arc::clone(&bytes), Arc::clone(&stalled), Arc::clone(&closed));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                while stall.load(Ordering::SeqCst) {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                if done.load(Ordering::SeqCst) {
                    return;
                }
                match reader.read(&mut chunk) {
                    Ok(n) if n > 0 => {
                        into.lock().unwrap().process(&chunk[..n]);
                        all.lock().unwrap().extend_from_slice(&chunk[..n]);
                    }
                    _ => return,
                }
            }
        });
        let quoted: Vec<String> = program.iter().map(|word| format!("'{word}'")).collect();
        let command = quoted.join(" ");
        Self { master: Some(pair.master), keys: Some(keys), child, shown, bytes, stalled, closed, place, command }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.press_bytes(keys.as_bytes());
    }

    pub(crate) fn press_bytes(&mut self, keys: &[u8]) {
        let writer = self.keys.as_mut().unwrap();
        writer.write_all(keys).unwrap();
        writer.flush().unwrap();
    }

    pub(crate) fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    pub(crate) fn shows(&self, fleet: &Fleet, what: &str) {
        let end = Instant::now() + PATIENCE / 2;
        // With what it shows instead.
        fleet.wait(what, || {
            let text = self.text();
            assert!(Instant::now() < end, "the screen does not show {what:?}: {text}");
            text.contains(what).then_some(())
        });
    }

    /// From now on nothing is read from it, or all is again.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }

    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        self.shown.lock().unwrap().screen_mut().set_size(rows.max(2).try_into().unwrap(), cols.max(2).try_into().unwrap());
        let master = self.master.as_ref().unwrap();
        master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    pub(crate) fn modes(&self) -> String {
        let modes = self.master.as_ref().unwrap().get_termios().unwrap();
        format!("{:?} {:?} {:?}", modes.local_flags, modes.input_flags, modes.output_flags)
    }

    pub(crate) fn is_alternate(&self) -> bool {
        self.shown.lock().unwrap().screen().alternate_screen()
    }

    pub(crate) fn hides_cursor(&self) -> bool {
        self.shown.lock().unwrap().screen().hide_cursor()
    }

    /// The process of the program itself.
    pub(crate) fn pid(&self) -> i32 {
        let child = i32::try_from(self.child.process_id().unwrap()).unwrap();
        match self.place {
            Place::Leader | Place::Deaf => child,
            Place::Follower | Place::Stranger | Place::Shell => {
                let program = rollout();
                let is_it = |pid: &i32| parent(*pid) == Some(child) && executable(*pid) == Some(program.clone());
                processes().into_iter().find(is_it).expect("the program runs")
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// The frames that were begun on it so far.
    pub(crate) fn frames(&self) -> usize {
        frames(&self.bytes.lock().unwrap())
    }

    /// Everything that was written to it so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// The terminal is gone: nobody has its other end open any more.
    pub(crate) fn hang_up(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // The reader waits in `read`, which holds the other end open: a whole paint wakes it.
        self.press("\u{c}");
        self.stall(false);
        self.keys = None;
        self.master = None;
    }

    /// The exit code, once it has ended.
    pub(crate) fn ended(&mut self, fleet: &Fleet) -> u32 {
        fleet.wait("the end of the program", || self.child.try_wait().unwrap()).exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.stall(false);
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The frames that begin in what a terminal was written.
pub(crate) fn frames(bytes: &[u8]) -> usize {
    bytes.windows(FRAME.len()).filter(|bytes| *bytes == FRAME).count()
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn processes() -> Vec<i32> {
    let names = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn executable(pid: i32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// What the kernel says of a process after its name; nothing of one that has ended.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = read(format!("/proc/{pid}/stat").as_ref());
    let fields: Vec<String> = text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    (fields.first()? != "Z").then_some(fields)
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

pub(crate) fn lives(pid: i32) -> bool {
    stat(pid).is_some()
}

/// The processor time that a process has used so far, in milliseconds.
pub(crate) fn used(pid: i32) -> Option<u64> {
    let fields = stat(pid)?;
    let ticks: u64 = fields.get(11..13)?.iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Some(ticks * 10)
}
