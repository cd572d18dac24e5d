//! What anybody writes to standard error while the screen is up: it is kept, and told once the terminal is given back.
//!
//! Imports: event's rule of harmless text. May not: lose the way back.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;

use crate::event::clean;

/// As much of it as is told.
const TOLD: u64 = 16 * 1024;

/// Standard error, turned away from the terminal until `restore`.
#[derive(Debug)]
pub(in crate::tui) struct Stray {
    before: OwnedFd,
    kept: File,
}

impl Stray {
    /// Turns it away. `None` where it is no terminal: then it disturbs nobody.
    pub(in crate::tui) fn catch() -> io::Result<Option<Self>> {
        if !io::stderr().is_terminal() {
            return Ok(None);
        }
        let before = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        let kept = tempfile::tempfile()?;
        rustix::stdio::dup2_stderr(&kept)?;
        Ok(Some(Self { before, kept }))
    }

    /// Turns it back, and gives what was written meanwhile: lines with nothing in them that a terminal obeys.
    pub(in crate::tui) fn restore(mut self) -> String {
        // It may be gone, with whoever would read it.
        rustix::stdio::dup2_stderr(&self.before).unwrap_or_default();
        let mut bytes = Vec::new();
        let read = self.kept.seek(SeekFrom::Start(0)).and_then(|_| self.kept.take(TOLD).read_to_end(&mut bytes));
        if read.is_err() {
            return String::new();
        }
        String::from_utf8_lossy(&bytes).lines().map(|line| clean(line).into_owned() + "\r\n").collect()
    }
}
