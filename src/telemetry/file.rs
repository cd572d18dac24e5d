//! A log file with a bounded size: once it is full it becomes `NAME.1` and a new one begins.
//!
//! Imports: nothing. May not: fail its caller; a log that cannot be written is no reason to stop a deployment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
    /// Opens `path` to append to it, private to us.
    pub(super) fn open(path: &Path, max: u64) -> io::Result<Self> {
        let file = append_to(path)?;
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
        let turned = fs::rename(&self.path, old).and_then(|()| append_to(&self.path));
        if let Ok(file) = turned {
            self.file = file;
        }
        self.size = 0;
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}
