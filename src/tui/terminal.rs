//! The terminal: taken over and given back, whatever happens in between; and the thread that writes to it.
//!
//! Imports: nothing of this crate. May not: know what is on the screen.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc as std_mpsc;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Alternate screen, blank, no cursor. Nothing else is switched on, so nothing else has to be undone.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[m\x1b[2J\x1b[?25l";
/// The synchronized update is ended first: a frame may have been cut off in it.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[m\x1b[?25h\x1b[?1049l";
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
        let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        if !isatty(input) || !isatty(output) {
            return Err(io::Error::other("standard input or output is no terminal"));
        }
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

    /// Columns and rows; none after a hang-up.
    pub(super) fn size(&self) -> (u16, u16) {
        tcgetwinsize(&self.output).map_or((0, 0), |size| (size.ws_col, size.ws_row))
    }
}

/// What is needed to give the terminal back. In a static, because a panic hook has nothing else.
struct Saved {
    tty: Tty,
    modes: Termios,
}

static TAKEN: Mutex<Option<Saved>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Takes the terminal over: raw mode, alternate screen. Until `give_back`, or a panic.
pub(super) fn take_over(tty: &Tty) -> io::Result<()> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
    let modes = tcgetattr(&tty.input)?;
    let mut raw = modes.clone();
    raw.make_raw();
    let saved = Saved { tty: Tty { input: tty.input()?, output: tty.output()? }, modes };
    *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
    tcsetattr(&tty.input, OptionalActions::Now, &raw)?;
    write_bounded(&tty.output, ENTER);
    Ok(())
}

/// False once a panic has given it back.
pub(super) fn is_ours() -> bool {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Gives the terminal back; a second time does nothing. A terminal that is gone or takes nothing is not waited for.
pub(super) fn give_back() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(saved) = taken {
        write_bounded(&saved.tty.output, LEAVE);
        // It may be gone; there is nobody to tell.
        tcsetattr(&saved.tty.input, OptionalActions::Now, &saved.modes).unwrap_or_default();
    }
}

/// Writes as long as the terminal takes it.
fn write_bounded(fd: &OwnedFd, mut bytes: &[u8]) {
    let patience = Timespec::try_from(PATIENCE).unwrap_or_default();
    while !bytes.is_empty() {
        let mut fds = [PollFd::new(fd, PollFlags::OUT)];
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
