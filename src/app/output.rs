//! The output of a command that follows a deployment: once it cannot be written, the command follows without it, for what
//! counts is how the deployment ends.
//!
//! Imports: nothing. May not: outlive a reader that has left (`… | head`).

use std::io::{self, ErrorKind, Write};

use super::complain;

/// An output that may be lost.
pub(super) struct Lossy<W> {
    out: W,
    lost: bool,
}

impl<W: Write> Lossy<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, lost: false }
    }

    fn kept<T>(&mut self, written: io::Result<T>, as_if: T) -> io::Result<T> {
        match written {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {
                complain(&format!("the output cannot be written ({error}); following to the end without it"));
                self.lost = true;
                Ok(as_if)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lost {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        self.kept(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.lost {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.kept(flushed, ())
    }
}
