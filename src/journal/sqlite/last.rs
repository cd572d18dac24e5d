//! A note beside the store of the last record that was stored: what the store itself cannot know once its tail is gone.
//!
//! Whoever deletes the write-ahead log while nobody has it open takes away committed records, and the main file alone looks
//! whole. The note is written after each commit, over itself and without a sync, so it costs nothing and is never ahead of
//! what was committed; after a power cut it may be behind, which says less but nothing wrong.
//!
//! Imports: ports. May not: keep a record from being stored.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{beside, link};
use crate::model::Timestamp;

/// The length of the file. Short enough to be written in one piece.
const LENGTH: usize = 96;

/// The last record that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) deployment: u32,
    pub(super) seq: u64,
    pub(super) chain: u64,
    pub(super) at: Timestamp,
}

/// The note's file. Its name begins with the store's, so that both are moved away together.
pub(super) fn path(store: &Path) -> PathBuf {
    beside(store, "-last")
}

impl Last {
    /// Reads the note. One that is not there or not whole says nothing.
    pub(super) fn read(store: &Path) -> Option<Self> {
        let mut text = String::new();
        let file = open(&path(store), OpenOptions::new().read(true)).ok()?;
        file.take(LENGTH as u64 + 1).read_to_string(&mut text).ok()?;
        let (body, sum) = text.trim_end().rsplit_once(' ')?;
        if text.len() != LENGTH || u64::from_str_radix(sum, 16).ok()? != link(0, body) {
            return None;
        }
        let mut parts = body.split(' ');
        Some(Self {
            deployment: parts.next()?.parse().ok()?,
            seq: parts.next()?.parse().ok()?,
            chain: u64::from_str_radix(parts.next()?, 16).ok()?,
            at: Timestamp::from_millis(parts.next()?.parse().ok()?),
        })
    }

    /// Writes the note over the old one.
    pub(super) fn write(self, store: &Path) -> io::Result<()> {
        let body = format!("{} {} {:016x} {}", self.deployment, self.seq, self.chain, self.at.as_millis());
        let line = format!("{body} {:016x}", link(0, &body));
        let path = path(store);
        let file = match open(&path, OpenOptions::new().write(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(store, &path)?,
            opened => opened?,
        };
        file.write_all_at(format!("{line:<width$}\n", width = LENGTH - 1).as_bytes(), 0)
    }
}

/// As private as the store.
fn create(store: &Path, path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(fs::metadata(store)?.permissions().mode() & 0o777))?;
    Ok(file)
}

/// Whose it is was looked at with the store; this is for every commit. A link is not followed, a FIFO not waited for, and
/// what has another name is not written to.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.nlink() <= 1 {
        return Ok(file);
    }
    Err(io::Error::other("is not a regular file of its own; move it away"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_one_that_is_not_whole_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("journal.sqlite3");
        File::create(&store).unwrap().set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Last::read(&store), None);
        let most = Last { deployment: u32::MAX, seq: u64::from(u32::MAX), chain: u64::MAX, at: Timestamp::from_millis(1 << 44) };
        let least = Last { deployment: 1, seq: 1, chain: 0, at: Timestamp::from_millis(0) };
        for last in [most, least] {
            last.write(&store).unwrap();
            assert_eq!(Last::read(&store), Some(last));
        }
        let whole = fs::read(path(&store)).unwrap();
        assert_eq!(whole.len(), LENGTH);
        assert_eq!(fs::metadata(path(&store)).unwrap().permissions().mode() & 0o777, 0o640);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fs::write(path(&store), bytes).unwrap();
                assert!([None, Some(least)].contains(&Last::read(&store)), "byte {at}");
            }
            fs::write(path(&store), &whole[..at]).unwrap();
            assert_eq!(Last::read(&store), None, "{at} bytes");
        }
        fs::remove_file(path(&store)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path(&store)).unwrap();
        assert!(least.write(&store).is_err(), "a link is not followed");
        assert_eq!(Last::read(&store), None);
    }
}
