//! A log file with a bounded size: once it is full it becomes `NAME.1` and a new one begins.
//!
//! Imports: os. May not: fail its caller; a log that cannot be written is no reason to stop a deployment.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::os::file;

/// The longest file: at info a deployment of 1,000 instances writes about a megabyte.
pub(super) const SIZE_MAX: u64 = 10 * 1024 * 1024;

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    max: u64,
}

impl LogFile {
    /// Opens `path` to append to it.
    pub(super) fn open(path: &Path, max: u64) -> io::Result<Self> {
        let file = file::open_append(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, max })
    }

    /// Appends a line. What the disk refuses is lost; the ring still has it.
    pub(super) fn line(&mut self, text: &str) {
        let line = format!("{text}\n");
        if self.size > 0 && self.size + line.len() as u64 > self.max {
            self.turn();
        }
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.size += line.len() as u64;
        }
    }

    /// Begins a new file. If that fails the old one goes on, rather too long than lost.
    fn turn(&mut self) {
        let mut old = self.path.as_os_str().to_owned();
        old.push(".1");
        let turned = fs::rename(&self.path, old).and_then(|()| file::open_append(&self.path));
        if let Ok(file) = turned {
            self.file = file;
        }
        self.size = 0;
    }
}
