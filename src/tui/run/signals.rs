//! The signals that concern a console, as reasons to wake.
//!
//! Imports: tui::run. May not: decide what one means.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Wake;

/// Signals that concern a console.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    window: Signal,
    pub(super) continued: Signal,
    user: Signal,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            window: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Wake {
        tokio::select! {
            _ = self.terminate.recv() => Wake::Stop,
            _ = self.interrupt.recv() => Wake::Stop,
            _ = self.quit.recv() => Wake::Stop,
            _ = self.hang_up.recv() => Wake::HungUp,
            _ = self.window.recv() => Wake::Resized,
            _ = self.continued.recv() => Wake::Continued,
            _ = self.user.recv() => Wake::Look,
        }
    }
}
