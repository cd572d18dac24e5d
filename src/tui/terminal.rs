//! The terminal: taken over and given back, whatever happens in between; and the thread that writes to it.
//!
//! Imports: tui::wire. May not: know what is on the screen.

use std::backtrace::Backtrace;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, OnceLock, mpsc as std_mpsc};
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::queue;
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{
    Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    window_size,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::mpsc;

use super::wire::{DISABLE, POP_TITLE, Stray};

/// How long a terminal that takes nothing is waited for while leaving.
const PATIENCE: Duration = Duration::from_millis(200);

/// The two ends of the terminal.
#[derive(Debug)]
pub(super) struct Tty {
    input: OwnedFd,
    output: OwnedFd,
}

impl Tty {
    /// Standard input and output, which must be terminals.
    pub(super) fn open() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other("standard input or output is no terminal"));
        }
        let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        Ok(Self { input: input.try_clone_to_owned()?, output: output.try_clone_to_owned()? })
    }

    /// Another handle on the input.
    pub(super) fn input(&self) -> io::Result<OwnedFd> {
        self.input.try_clone()
    }

    /// Another handle on the output.
    pub(super) fn output(&self) -> io::Result<OwnedFd> {
        self.output.try_clone()
    }
}

/// Columns and rows of the terminal; none after a hang-up. (`size` would start `tput` then.)
pub(super) fn size() -> (u16, u16) {
    window_size().map_or((0, 0), |size| (size.columns, size.rows))
}

/// True between `take_over` and `give_back`. In a static, because a panic hook has nothing else.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The title is ours; the mouse's reports are on.
static TITLE: AtomicBool = AtomicBool::new(false);
static MOUSE: AtomicBool = AtomicBool::new(false);
/// Standard error while the screen is up.
static STRAY: Mutex<Option<Stray>> = Mutex::new(None);
static HOOK: Once = Once::new();
/// Where what is known of a panic was written.
static DETAILS: OnceLock<PathBuf> = OnceLock::new();

/// Takes the terminal over: raw mode, alternate screen, pasted text marked as such. Until `give_back`, or a panic.
pub(super) fn take_over() -> io::Result<()> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            // Without a place for it, what the hook before says has to do.
            if let Ok(path) = write_details(info) {
                DETAILS.set(path).unwrap_or_default();
            }
            before(info);
        }));
    });
    enable_raw_mode()?;
    // What was typed before this was on the screen was typed at something else.
    tcflush(rustix::stdio::stdin(), QueueSelector::IFlush).unwrap_or_default();
    TAKEN.store(true, Ordering::SeqCst);
    let mut enter = Vec::new();
    queue!(enter, EnterAlternateScreen, SetAttribute(Attribute::Reset), Clear(ClearType::All), Hide, EnableBracketedPaste)?;
    write_bounded(rustix::stdio::stdout(), &enter);
    if let Ok(mut stray) = STRAY.try_lock() {
        // Where it cannot be turned away, it stays as it is.
        *stray = Stray::catch().unwrap_or_default();
    }
    Ok(())
}

/// What frames have switched on in the terminal, to be undone with the rest: the title, the mouse.
pub(super) fn switched_on((title, mouse): (bool, bool)) {
    TITLE.fetch_or(title, Ordering::SeqCst);
    // A frame that switches it off may not have been written yet.
    MOUSE.fetch_or(mouse, Ordering::SeqCst);
}

/// What happened and how it came there, in a file of its own that only its user may read.
fn write_details(info: &PanicHookInfo<'_>) -> io::Result<PathBuf> {
    let (mut file, path) = tempfile::Builder::new().prefix("rollout-console-").suffix(".txt").tempfile()?.keep()?;
    writeln!(file, "rollout {}: {info}\n{}", env!("CARGO_PKG_VERSION"), Backtrace::force_capture())?;
    Ok(path)
}

/// Where what is known of the first panic is to be found.
pub(super) fn details() -> Option<&'static Path> {
    DETAILS.get().map(PathBuf::as_path)
}

/// False once a panic has given it back.
pub(super) fn is_ours() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Gives the terminal back; a second time does nothing. A terminal that is gone or takes nothing is not waited for.
pub(super) fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut leave = Vec::new();
    // The synchronized update is ended first: a frame may have been cut off in it. Only what was switched on is undone.
    let reset = SetAttribute(Attribute::Reset);
    queue!(leave, EndSynchronizedUpdate, reset, DisableBracketedPaste, Show).unwrap_or_default();
    if MOUSE.swap(false, Ordering::SeqCst) {
        leave.extend_from_slice(DISABLE);
    }
    if TITLE.swap(false, Ordering::SeqCst) {
        leave.extend_from_slice(POP_TITLE);
    }
    queue!(leave, LeaveAlternateScreen).unwrap_or_default();
    write_bounded(rustix::stdio::stdout(), &leave);
    // It may be gone; there is nobody to tell.
    disable_raw_mode().unwrap_or_default();
    let stray = STRAY.try_lock().ok().and_then(|mut stray| stray.take());
    if let Some(stray) = stray {
        write_bounded(rustix::stdio::stderr(), stray.restore().as_bytes());
    }
}

/// Writes as long as the terminal takes it.
fn write_bounded(fd: BorrowedFd<'_>, mut bytes: &[u8]) {
    let patience = Timespec::try_from(PATIENCE).unwrap_or_default();
    while !bytes.is_empty() {
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        let ready = poll(&mut fds, Some(&patience)).unwrap_or(0);
        if ready == 0 || !fds.iter().all(|fd| fd.revents() == PollFlags::OUT) {
            return;
        }
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_gone) => return,
        }
    }
}

/// The thread that writes frames, one `write` each. At most one frame is on its way.
#[derive(Debug)]
pub(super) struct Writer {
    frames: std_mpsc::SyncSender<Vec<u8>>,
    written: mpsc::UnboundedReceiver<io::Result<()>>,
    busy: bool,
}

impl Writer {
    /// Writes to `output`.
    pub(super) fn start(output: OwnedFd) -> io::Result<Self> {
        let (frames, waiting) = std_mpsc::sync_channel::<Vec<u8>>(1);
        let (done, written) = mpsc::unbounded_channel();
        // It is not joined: a terminal that takes nothing holds it in `write` for as long as it likes.
        std::thread::Builder::new().name("console-output".to_owned()).spawn(move || {
            for frame in waiting {
                if done.send(write_all(&output, &frame)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { frames, written, busy: false })
    }

    /// True while a frame is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Sends a frame on its way. Nothing may be on its way.
    pub(super) fn send(&mut self, frame: Vec<u8>) {
        self.busy = self.frames.try_send(frame).is_ok();
    }

    /// Waits until the frame is written; for ever if none is on its way. Cancelling loses nothing.
    pub(super) async fn written(&mut self) -> io::Result<()> {
        if !self.busy {
            std::future::pending::<()>().await;
        }
        let result = self.written.recv().await;
        self.busy = false;
        result.unwrap_or_else(|| Err(io::Error::other("the writing thread is gone")))
    }

    /// Waits until nothing is on its way, but not long. `false` if something still is.
    pub(super) async fn settle(&mut self) -> bool {
        !self.busy || tokio::time::timeout(Duration::from_millis(500), self.written()).await.is_ok()
    }
}

fn write_all(output: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// True where the locale is not UTF-8 or the terminal is known to lack the glyphs.
pub(super) fn needs_ascii(env: impl Fn(&str) -> Option<String>) -> bool {
    let term = env("TERM").unwrap_or_default();
    if term == "linux" || term == "dumb" || term.is_empty() || term.starts_with("vt") {
        return true;
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env(name).filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_uppercase();
    !(locale.contains("UTF-8") || locale.contains("UTF8"))
}

#[cfg(test)]
mod tests {
    use super::needs_ascii;

    #[test]
    fn ascii_where_the_glyphs_are_not_known() {
        let with = |pairs: &'static [(&str, &str)]| {
            needs_ascii(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(!with(&[("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")]));
        assert!(!with(&[("TERM", "tmux"), ("LC_ALL", "C.utf8"), ("LANG", "C")]));
        assert!(with(&[("TERM", "xterm"), ("LANG", "C")]));
        assert!(with(&[("TERM", "xterm"), ("LC_ALL", "POSIX"), ("LANG", "en_US.UTF-8")]));
        assert!(with(&[("TERM", "linux"), ("LANG", "en_US.UTF-8")]));
        assert!(with(&[("TERM", "vt220"), ("LANG", "en_US.UTF-8")]));
    }
}
