//! Files that are whole or not there, and open to nobody but those who share their directory (see `sharing`).
//!
//! Imports: sharing. May not: know what is in a file; follow a link, wait for a FIFO, touch a device. All calls block.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, OFlags, RenameFlags};
use tempfile::NamedTempFile;

use super::sharing::{Kind, Sharing, no_file, parent};

/// The longest path of a Unix socket in bytes: `sun_path` has 108, the last is a NUL.
pub const SOCKET_PATH_MAX: usize = 107;

/// Creates a directory and its parents, as far as they are missing.
///
/// # Errors
/// Fails if it cannot be made.
pub fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_dir(above)?;
    }
    let made = match Sharing::within(above)? {
        Sharing::Private => DirBuilder::new().mode(Sharing::Private.mode(Kind::Dir)).create(path),
        shared @ Sharing::Group(_) => create_shared_dir(above, path, shared.mode(Kind::Dir)),
    };
    match made {
        // Somebody else was faster.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Under another name first: whoever shares it never finds it closed by our umask. Its group is that of the directory
/// above, which is setgid.
fn create_shared_dir(above: &Path, path: &Path, mode: u32) -> io::Result<()> {
    let draft = tempfile::Builder::new().prefix(".new-").tempdir_in(above)?;
    fs::set_permissions(draft.path(), Permissions::from_mode(mode))?;
    rustix::fs::renameat_with(CWD, draft.path(), CWD, path, RenameFlags::NOREPLACE)?;
    // It lives on under its own name.
    drop(draft.keep());
    Ok(())
}

/// Replaces a file by `bytes`, durably and in one step: a reader, or we after a crash, find the old or the new whole.
///
/// # Errors
/// Fails if the directory cannot be written; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = draft(path)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|e| e.error)?;
    File::open(parent(path))?.sync_all()
}

/// Opens a file to append to it, and makes it if it is missing. A link is not followed.
///
/// # Errors
/// Fails if it cannot be opened, or if those who share its directory cannot trust it.
pub fn open_append(path: &Path) -> io::Result<File> {
    open_or_make(path, OpenOptions::new().append(true))
}

/// As [`open_append`], of a file that nobody turns while it is written: one that is longer than `max` becomes `NAME.1` first.
///
/// # Errors
/// As [`open_append`].
pub fn open_append_within(path: &Path, max: u64) -> io::Result<File> {
    let file = open_append(path)?;
    if file.metadata()?.len() <= max {
        return Ok(file);
    }
    turn(path)
}

/// Begins a file anew, to append to it; what it was so far becomes `NAME.1`. Whatever somebody puts in its place meanwhile
/// is replaced, not written to.
///
/// # Errors
/// Fails if the directory cannot be written; the file then stays as it is.
pub fn turn(path: &Path) -> io::Result<File> {
    let new = draft(path)?;
    rustix::fs::fcntl_setfl(&new, OFlags::APPEND)?;
    let mut old = path.as_os_str().to_owned();
    old.push(".1");
    match fs::rename(path, old) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => new.persist(path).map_err(|e| e.error),
    }
}

/// Makes a file anew, or empties it. A crash may leave it half written. A link is not followed.
///
/// # Errors
/// As [`open_append`].
pub fn open_empty(path: &Path) -> io::Result<File> {
    // Emptied only when it is known to be ours.
    let file = open_or_make(path, OpenOptions::new().write(true))?;
    file.set_len(0)?;
    Ok(file)
}

/// Reads a file, as far as `most` bytes. A link is not followed.
///
/// # Errors
/// Fails if it is not there, if it is longer, or if those who share its directory cannot trust it.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_read(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("has more than {most} bytes: it is not what was written there")));
    }
    Ok(bytes)
}

/// Opens a file to read it. A link is not followed.
///
/// # Errors
/// As [`read`].
pub fn open_read(path: &Path) -> io::Result<File> {
    let sharing = Sharing::around(path)?;
    let file = match open(path, OpenOptions::new().read(true)) {
        // Whoever may not open it hears why, if the rule knows.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Err(sharing.check(path, Kind::File, false).err().map_or(e, io::Error::other));
        }
        opened => opened?,
    };
    sharing.trust(&file, path)?;
    Ok(file)
}

/// Opens a file to lock it and to read who holds it, and makes it if it is missing. What it holds stays. A link is not
/// followed.
///
/// # Errors
/// As [`open_append`].
pub fn open_lock(path: &Path) -> io::Result<File> {
    open_or_make(path, OpenOptions::new().read(true).write(true))
}

fn open_or_make(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let sharing = Sharing::around(path)?;
    let opened = match open(path, options) {
        Err(e) if e.kind() == ErrorKind::NotFound => make(path).and_then(|()| open(path, options)),
        opened => opened,
    };
    // Whoever may not open it hears why, if the rule knows.
    let file = opened.map_err(|e| sharing.check(path, Kind::File, false).err().map_or(e, io::Error::other))?;
    sharing.settle(&file, path)?;
    Ok(file)
}

/// Opens what is a file. Opening alone does something to a device, and waits for ever at a FIFO: so it is looked at first, and
/// what takes its place then is still not waited for.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other(no_file(path)));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

/// An empty file, which has its mode before it has its name: whoever shares it never finds it closed. If another was faster,
/// theirs stays.
fn make(path: &Path) -> io::Result<()> {
    match draft(path)?.persist_noclobber(path) {
        Err(e) if e.error.kind() != ErrorKind::AlreadyExists => Err(e.error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A file beside `path` with the mode that `path` is to have. It vanishes unless it gets that name.
fn draft(path: &Path) -> io::Result<NamedTempFile> {
    let draft = NamedTempFile::new_in(parent(path))?;
    let mode = Sharing::around(path)?.mode(Kind::File);
    draft.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
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
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "nothing else is left");
        let log = inner.join("x.log");
        open_append(&log).unwrap().write_all(b"one\n").unwrap();
        open_append(&log).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"one\ntwo\n");
        assert_eq!(mode(&log), 0o600);
    }

    #[test]
    fn in_a_shared_directory_all_is_made_for_the_group() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), Permissions::from_mode(0o2770)).unwrap();
        let inner = base.path().join("fleet/shop");
        create_dir(&inner).unwrap();
        create_dir(&inner).unwrap();
        for dir in [&inner, &base.path().join("fleet")] {
            assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o7777, 0o2770, "{}", dir.display());
        }
        let file = |name: &str| inner.join(name);
        write_atomic(&file("record.json"), b"x").unwrap();
        open_append(&file("x.log")).unwrap().write_all(b"one\n").unwrap();
        open_lock(&file("lease")).unwrap();
        for name in ["record.json", "x.log", "lease"] {
            assert_eq!(mode(&file(name)), 0o660, "{name}");
        }
        // What was private before is opened to the group by its owner; what the world could have written is refused.
        fs::set_permissions(file("x.log"), Permissions::from_mode(0o600)).unwrap();
        open_append(&file("x.log")).unwrap();
        assert_eq!(mode(&file("x.log")), 0o660);
        fs::set_permissions(file("lease"), Permissions::from_mode(0o666)).unwrap();
        assert!(open_lock(&file("lease")).unwrap_err().to_string().contains("written by others"));
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 3, "nothing else is left");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_long_makes_way_for_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.stderr");
        for round in 0..9 {
            open_append_within(&path, 10).unwrap().write_all(format!("words {round}\n").as_bytes()).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"words 8\n");
        assert_eq!(fs::read(dir.path().join("engine.stderr.1")).unwrap(), b"words 6\nwords 7\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_a_file_of_its_own_is_neither_read_nor_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("record.json"), dir.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        let tries: [(&str, &dyn Fn()); 3] = [
            ("a link is not followed", &|| std::os::unix::fs::symlink(&precious, &path).unwrap()),
            ("hard links", &|| fs::hard_link(&precious, &path).unwrap()),
            ("not a regular file", &|| {
                rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            }),
        ];
        for (why, plant) in tries {
            plant();
            let errors = [
                read(&path, 100).map(drop),
                open_empty(&path).map(drop),
                open_append(&path).map(drop),
                open_lock(&path).map(drop),
            ];
            for error in errors {
                let said = error.unwrap_err().to_string();
                assert!(said.contains(why) && said.contains(&path.display().to_string()), "{said}");
            }
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{why}");
            fs::remove_file(&path).unwrap();
        }
        write_atomic(&path, b"four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(read(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("lease"), dir.path().join("elsewhere"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(open_lock(&link).unwrap_err().to_string().contains("a link is not followed") && open_append(&link).is_err());
        assert!(!target.exists());
        fs::write(&target, "precious").unwrap();
        assert!(open_lock(&link).is_err() && open_append(&link).is_err());
    }
}
