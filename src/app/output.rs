//! The output of a command that follows a deployment: once it cannot be written, the command follows without it, for what
//! counts is how the deployment ends.
//!
//! Imports: nothing. May not: outlive a reader that has left (`… | head`).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use super::complain;

/// As long as an output may take nothing that somebody else made non-blocking (whoever shares the terminal or the pipe).
const STALL_TIMEOUT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// An output that may be lost.
pub(super) struct Lossy<W> {
    out: W,
    lost: bool,
}

impl<W: Write + AsFd> Lossy<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, lost: false }
    }

    /// Does it, also where the output takes nothing for a while.
    fn patiently<T>(&mut self, mut act: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match act(&mut self.out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && gets_room(&self.out) => {}
                done => return done,
            }
        }
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

impl<W: Write + AsFd> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lost {
            return Ok(bytes.len());
        }
        let written = self.patiently(|out| out.write(bytes));
        self.kept(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.lost {
            return Ok(());
        }
        let flushed = self.patiently(Write::flush);
        self.kept(flushed, ())
    }
}

/// Waits until it takes something; `false` if that does not come. What is broken shows with the next write.
fn gets_room(out: &impl AsFd) -> bool {
    match poll(&mut [PollFd::new(out, PollFlags::OUT)], Some(&STALL_TIMEOUT)) {
        Ok(ready) => ready > 0,
        Err(error) => error == rustix::io::Errno::INTR,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// The reader comes only when the pipe is full.
    #[test]
    fn what_somebody_made_non_blocking_loses_nothing() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let mut full = writer.try_clone().unwrap();
        let mut before = 0;
        while let Ok(length) = full.write(&[b'.'; 4096]) {
            before += length;
        }
        drop(full);
        let said = vec![b'x'; 200_000];
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let mut out = Lossy::new(writer);
        out.write_all(&said).unwrap();
        out.flush().unwrap();
        assert!(!out.lost);
        drop(out);
        assert_eq!(reading.join().unwrap().len(), before + said.len());
    }
}
