//! A log file with a bounded size: once it is full it becomes `NAME.1` and a new one begins.
//!
//! Imports: os. May not: fail its caller; a log that cannot be written is no reason to stop a deployment.

use std::fs::File;
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
        if let Ok(file) = file::turn(&self.path) {
            self.file = file;
        }
        self.size = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Between the old file's leaving and the new one's coming somebody else's link is in its place: nothing is written there.
    #[test]
    fn a_race_for_the_place_of_the_new_file_gives_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("engine.log"), dir.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        let mut log = LogFile::open(&path, 200).unwrap();
        let both = [path.clone(), dir.path().join("engine.log.1")];
        let stop = Arc::new(AtomicBool::new(false));
        let planter = {
            let (stop, path, precious) = (Arc::clone(&stop), path, precious.clone());
            std::thread::spawn(move || {
                let mut planted = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    if symlink(&precious, &path).is_ok() {
                        planted += 1;
                        fs::remove_file(&path).ok();
                    }
                }
                planted
            })
        };
        let mut lines = 0_u32;
        while lines < 20_000 {
            log.line(&format!("{lines:060}"));
            lines += 1;
            for file in &both {
                // The planter may have taken it away.
                assert!(fs::metadata(file).map_or(0, |it| it.len()) <= 200, "{} grew", file.display());
            }
        }
        stop.store(true, Ordering::Relaxed);
        let count = planter.join().unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{count} links were planted");
    }

    #[test]
    fn what_lies_where_the_old_file_goes_is_replaced_and_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("engine.log"), dir.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        let mut log = LogFile::open(&path, 200).unwrap();
        symlink(&precious, dir.path().join("engine.log.1")).unwrap();
        for n in 0..20 {
            log.line(&format!("{n:060}"));
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(fs::symlink_metadata(dir.path().join("engine.log.1")).unwrap().is_file());
    }
}
