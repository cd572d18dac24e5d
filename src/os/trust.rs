//! Whether somebody else could have written what we are about to obey: a file, and every directory and link on the way to it.
//!
//! The rule of sudo and ssh. What is on the way must belong to us or to root, and not everybody may write it; a directory that
//! everybody can write does if it is sticky, as /tmp is, for then nobody can replace what belongs to us. What the members of
//! a group can write is their word, too: root or we gave it to them. So what they own below it is accepted, and the
//! group is named to whoever asks.
//!
//! Imports: users. May not: read what is in a file. All calls block.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use super::sharing::Look;
use super::users;

const GROUP_WRITES: u32 = 0o020;
const WORLD_WRITES: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// As many links as the kernel follows.
const LINKS_MAX: u32 = 40;
/// Set by sudo: who became root. What is theirs is ours.
const SUDO: &str = "SUDO_UID";

/// A file that nobody else could have written, but the members of some groups.
#[derive(Debug)]
pub struct Trusted {
    /// Opened to be read.
    pub file: File,
    /// Who besides us and root could have changed it.
    pub groups: Vec<Group>,
}

/// A group whose members can write something on the way to a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Its number.
    pub gid: u32,
    /// What they can write.
    pub path: PathBuf,
}

/// Opens a file to read what it says and to do it.
///
/// # Errors
/// Fails if somebody else could have written it, with what to do, or if it cannot be opened.
pub fn open(path: &Path) -> io::Result<Trusted> {
    let way = walk(path, false)?;
    // Neither a link nor a FIFO that took its place is waited for: nobody could have put it there but us, root or the groups.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&way.end)?;
    let meta = file.metadata()?;
    if !meta.is_file() || (meta.dev(), meta.ino()) != way.file {
        return Err(io::Error::other("was replaced just now; try again"));
    }
    Ok(Trusted { file, groups: way.groups })
}

/// Who besides us and root could change a file.
///
/// # Errors
/// Fails if anybody could, with what to do, or if it is no file that can be looked at.
pub fn look(path: &Path) -> io::Result<Vec<Group>> {
    walk(path, false).map(|way| way.groups)
}

/// Fails if anybody but us, root and the members of groups could put something else in the place of a file or directory. What
/// it is itself is the asker's to judge.
///
/// # Errors
/// As [`look`].
pub fn look_to(path: &Path) -> io::Result<()> {
    walk(path, true).map(drop)
}

/// The way to a file, once every part of it was looked at.
struct Way {
    /// Without a link.
    end: PathBuf,
    /// Device and inode of what lies there.
    file: (u64, u64),
    groups: Vec<Group>,
}

/// Whom a look asks for, and what it has seen so far.
struct Asking<'a> {
    /// Who may own what is on the way, besides root.
    ours: &'a [u32],
    groups: BTreeSet<Group>,
    faults: Vec<Fault>,
}

impl Asking<'_> {
    /// A way with `..` comes by twice.
    fn add(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// By what somebody else could change what is said there.
#[derive(PartialEq, Eq)]
enum Fault {
    /// A directory in which everybody can replace what is in it.
    OpenDir(PathBuf, u32),
    /// The file itself, which everybody can write.
    OpenFile(PathBuf, u32),
    /// It belongs to this user.
    Others(PathBuf, u32),
}

/// A directory on the way.
struct Dir {
    path: PathBuf,
    mode: u32,
    /// Whose members could put something of theirs in it.
    groups: BTreeSet<u32>,
}

/// Who may own what is on the way, besides root.
fn ours() -> Vec<u32> {
    let us = rustix::process::geteuid().as_raw();
    let sudo = std::env::var(SUDO).ok().filter(|_| us == 0).and_then(|uid| uid.parse().ok());
    std::iter::once(us).chain(sudo).collect()
}

/// With `only_to`, what lies at the end is not looked at. All that is wrong on the way is said at once.
fn walk(path: &Path, only_to: bool) -> io::Result<Way> {
    let mut asking = Asking { ours: &ours(), groups: BTreeSet::new(), faults: Vec::new() };
    let found = go(path, only_to, &mut asking);
    let Asking { groups, faults, .. } = asking;
    if faults.is_empty() {
        let (end, file) = found?;
        return Ok(Way { end, file, groups: groups.into_iter().collect() });
    }
    Err(io::Error::other(words(&faults)))
}

/// Where the way ends, without a link, and device and inode of what lies there. Once there is a fault, it goes after no link:
/// that may be the work of somebody who wants a command run on what it names.
fn go(path: &Path, only_to: bool, asking: &mut Asking<'_>) -> io::Result<(PathBuf, (u64, u64))> {
    let root = Dir { path: PathBuf::from("/"), mode: 0, groups: BTreeSet::new() };
    let top = enter(&root, PathBuf::from("/"), Look::of(&fs::symlink_metadata("/")?), asking);
    let mut dirs = vec![top];
    let mut ahead = parts(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => dirs.truncate(1),
            Some(Component::ParentDir) if dirs.len() > 1 => drop(dirs.pop()),
            Some(Component::Normal(name)) => {
                let Some(above) = dirs.last() else { break };
                let here = above.path.join(name);
                let meta = fs::symlink_metadata(&here)?;
                let look = Look::of(&meta);
                if meta.is_symlink() {
                    owner(above, &here, look, asking);
                    links += 1;
                    if links > LINKS_MAX || !asking.faults.is_empty() {
                        return Err(io::Error::from(rustix::io::Errno::LOOP));
                    }
                    ahead.extend(parts(&fs::read_link(&here)?));
                } else if only_to && ahead.is_empty() {
                    return Ok((here, (meta.dev(), meta.ino())));
                } else if meta.is_dir() {
                    let dir = enter(above, here, look, asking);
                    dirs.push(dir);
                } else {
                    return if ahead.is_empty() {
                        end(above, here, &meta, asking)
                    } else {
                        Err(io::Error::from(io::ErrorKind::NotADirectory))
                    };
                }
            }
            _ => {}
        }
    }
    Err(io::Error::from(io::ErrorKind::IsADirectory))
}

/// What is still to be gone, the next one last.
fn parts(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// Goes into a directory.
fn enter(above: &Dir, path: PathBuf, look: Look, asking: &mut Asking<'_>) -> Dir {
    owner(above, &path, look, asking);
    let mode = look.mode;
    if mode & WORLD_WRITES != 0 && mode & STICKY == 0 {
        asking.add(Fault::OpenDir(path.clone(), mode));
    }
    // What is ours in a sticky directory is out of the reach of those who can write the directory.
    let is_kept = above.mode & STICKY != 0 && is_ours(look.uid, asking.ours);
    let mut inner = if is_kept { BTreeSet::new() } else { above.groups.clone() };
    if is_of_group(look) {
        inner.insert(look.gid);
        if mode & STICKY == 0 {
            asking.groups.insert(Group { gid: look.gid, path: path.clone() });
        }
    }
    Dir { path, mode, groups: inner }
}

/// The file at the end of the way.
fn end(above: &Dir, path: PathBuf, meta: &Metadata, asking: &mut Asking<'_>) -> io::Result<(PathBuf, (u64, u64))> {
    let look = Look::of(meta);
    if !meta.is_file() {
        return Err(io::Error::other("is not a regular file; name one that is"));
    }
    owner(above, &path, look, asking);
    if look.mode & WORLD_WRITES != 0 {
        asking.add(Fault::OpenFile(path.clone(), look.mode));
    }
    if is_of_group(look) {
        asking.groups.insert(Group { gid: look.gid, path: path.clone() });
    }
    Ok((path, (meta.dev(), meta.ino())))
}

/// Whether the members of its group, and not just everybody, can write it. Those of root's own are root.
fn is_of_group(look: Look) -> bool {
    look.mode & GROUP_WRITES != 0 && look.mode & WORLD_WRITES == 0 && look.gid != 0
}

fn is_ours(uid: u32, ours: &[u32]) -> bool {
    uid == 0 || ours.contains(&uid)
}

/// It is a fault if it belongs to somebody who has no part in the directory that it lies in.
fn owner(above: &Dir, path: &Path, look: Look, asking: &mut Asking<'_>) {
    if is_ours(look.uid, asking.ours) {
        return;
    }
    match above.groups.iter().copied().find(|gid| users::is_member(look.uid, *gid)) {
        Some(gid) => drop(asking.groups.insert(Group { gid, path: path.to_owned() })),
        None => asking.add(Fault::Others(path.to_owned(), look.uid)),
    }
}

/// The sentence for the user, with all that mends it.
fn words(faults: &[Fault]) -> String {
    let (mut said, mut open, mut others, mut owner) = (Vec::new(), Vec::new(), Vec::new(), None);
    for fault in faults {
        let (Fault::OpenDir(path, _) | Fault::OpenFile(path, _) | Fault::Others(path, _)) = fault;
        let shown = path.display().to_string();
        match fault {
            Fault::OpenDir(_, mode) => {
                said.push(format!("lies in {shown}, where everybody can replace what is in it (mode {mode:04o})"));
                open.push(shown);
            }
            Fault::OpenFile(_, mode) => {
                said.push(format!("can be written by everybody (mode {mode:04o}), so it may be another user who says this"));
                open.push(shown);
            }
            Fault::Others(_, uid) => {
                said.push(format!("can be changed by {}, to whom {shown} belongs", users::user(*uid)));
                others.push(shown);
                owner = Some(*uid);
            }
        }
    }
    let mut remedies = Vec::new();
    if !open.is_empty() {
        remedies.push(format!("run `chmod o-w {}`", open.join(" ")));
    }
    if let Some(uid) = owner {
        let as_them = if rustix::process::geteuid().is_root() {
            format!("run rollout as that user (`sudo -u '#{uid}' rollout …`, in a container `--user {uid}`), or ")
        } else {
            String::new()
        };
        remedies
            .push(format!("{as_them}run `chown -h root {}` as root, or copy it to a directory of your own", others.join(" ")));
    }
    format!("{}; look what it says now, then {}", said.join(", and it "), remedies.join(", and "))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A directory of ours with a file in it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let file = inner.join("file");
        fs::write(&file, "x").unwrap();
        for path in [dir.path(), &dir.path().join("a"), &inner] {
            mode(path, 0o755);
        }
        mode(&file, 0o644);
        (dir, file)
    }

    fn refused(path: &Path) -> String {
        look(path).unwrap_err().to_string()
    }

    #[test]
    fn what_everybody_can_write_is_refused_wherever_it_is_on_the_way() {
        let (dir, file) = place();
        assert_eq!(look(&file).unwrap(), []);
        mode(&file, 0o646);
        assert!(refused(&file).contains(&format!("`chmod o-w {}`", file.display())), "{}", refused(&file));
        mode(&file, 0o644);
        for above in [dir.path(), &dir.path().join("a"), &dir.path().join("a/b")] {
            mode(above, 0o777);
            assert!(refused(&file).contains(&format!("`chmod o-w {}`", above.display())), "{}", refused(&file));
            mode(above, 0o1777);
            assert_eq!(look(&file).unwrap(), [], "sticky");
            mode(above, 0o755);
        }
        open(&file).unwrap();
    }

    /// As in a checkout of a CI runner with umask 0000.
    #[test]
    fn all_that_is_wrong_is_said_at_once_with_what_mends_it() {
        let (dir, file) = place();
        let (above, inner) = (dir.path().join("a"), dir.path().join("a/b"));
        let all = [above.as_path(), &inner, &file];
        for path in all {
            mode(path, 0o777);
        }
        let remedy = format!("`chmod o-w {} {} {}`", above.display(), inner.display(), file.display());
        assert!(refused(&file).contains(&remedy), "{}", refused(&file));
        // Behind a fault, nobody else's link leads to what a command is to be run on.
        let link = inner.join("link");
        symlink(&file, &link).unwrap();
        let remedy = format!("`chmod o-w {} {}`", above.display(), inner.display());
        assert!(refused(&link).contains(&remedy), "{}", refused(&link));
        if std::os::unix::fs::chown(&inner, Some(4_000_000_001), None).is_ok() {
            std::os::unix::fs::chown(&file, Some(4_000_000_001), None).unwrap();
            let said = refused(&file);
            let remedy = format!("`chown -h root {} {}`", inner.display(), file.display());
            assert!(said.contains("`chmod o-w ") && said.contains(&remedy) && said.contains("--user 4000000001"), "{said}");
        }
    }

    #[test]
    fn links_are_followed_by_the_same_rule() {
        let (dir, file) = place();
        let (open_to_all, link) = (dir.path().join("open"), dir.path().join("link"));
        fs::create_dir(&open_to_all).unwrap();
        symlink(&file, open_to_all.join("there")).unwrap();
        symlink("open/../open/there", &link).unwrap();
        open(&link).unwrap();
        mode(&open_to_all, 0o777);
        assert!(refused(&link).contains(&format!("`chmod o-w {}`", open_to_all.display())), "{}", refused(&link));
        let circle = dir.path().join("circle");
        symlink(&circle, &circle).unwrap();
        assert!(refused(&circle).contains("symbolic links"), "{}", refused(&circle));
        assert_eq!(look(&dir.path().join("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(look(&file.join("x")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn what_is_no_file_is_refused_and_never_waited_for() {
        let (dir, _) = place();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/null")] {
            assert!(refused(path).contains("not a regular file"), "{}", refused(path));
            assert!(open(path).is_err());
        }
        assert_eq!(look(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn who_else_could_have_written_it_is_named() {
        const GROUP: u32 = 4_000_000_010;
        let (dir, file) = place();
        let above = dir.path().join("a");
        if std::os::unix::fs::chown(&above, None, Some(GROUP)).is_err() {
            return;
        }
        std::os::unix::fs::chown(&file, None, Some(GROUP)).unwrap();
        assert_eq!(look(&file).unwrap(), []);
        mode(&file, 0o664);
        mode(&above, 0o2775);
        let of = |path: &Path| Group { gid: GROUP, path: path.to_owned() };
        assert_eq!(look(&file).unwrap(), [of(&above), of(&file)]);
        mode(&above, 0o3775);
        assert_eq!(look(&file).unwrap(), [of(&file)], "in a sticky directory they cannot replace what is ours");
        // A stranger's, in a directory of ours and in one of a group that the stranger is not of.
        std::os::unix::fs::chown(&file, Some(4_000_000_001), None).unwrap();
        assert!(refused(&file).contains("can be changed by uid 4000000001"), "{}", refused(&file));
        assert!(refused(&file).contains(&format!("`chown -h root {}`", file.display())));
    }
}
