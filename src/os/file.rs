//! Files that are whole or not there, and private.
//!
//! Imports: nothing. May not: know what is in a file. All calls block.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The longest path of a Unix socket in bytes: `sun_path` has 108, the last is a NUL.
pub const SOCKET_PATH_MAX: usize = 107;

/// Creates a directory and its parents, those that were missing with mode 0700.
///
/// # Errors
/// Fails if it cannot be made.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file by `bytes`, durably and in one step: a reader, or we after a crash, find the old or the new whole.
/// Mode 0600.
///
/// # Errors
/// Fails if the directory cannot be written; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file needs a directory"))?;
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()
}

/// Opens a file to append to it; a new one has mode 0600.
///
/// # Errors
/// Fails if it cannot be opened.
pub fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Makes a file anew, or empties it; a new one has mode 0600. A crash may leave it half written.
///
/// # Errors
/// Fails if it cannot be opened.
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}

/// Opens a file to lock it and to read who holds it; a new one has mode 0600. What it holds stays.
///
/// # Errors
/// Fails if it cannot be opened.
pub fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).write(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_directories_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        create_dir(&inner).unwrap();
        create_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("record.json");
        write_atomic(&file, b"a longer first content").unwrap();
        write_atomic(&file, b"second").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"second");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "nothing else is left");
        let log = inner.join("x.log");
        open_append(&log).unwrap().write_all(b"one\n").unwrap();
        open_append(&log).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"one\ntwo\n");
        assert_eq!(mode(&log), 0o600);
    }
}
