//! One rule for all that we keep on disk: whose it may be, and with which mode.
//!
//! A directory that is setgid and that its group can write is *shared* with that group; every other one is *private*. What
//! lies in a directory is shared or private as the directory is.
//!
//! |         | directories | files | owner                            | group         | others  |
//! |---------|-------------|-------|----------------------------------|---------------|---------|
//! | private | 0700        | 0600  | who runs this                    | any           | nothing |
//! | shared  | 2770        | 0660  | any member of the group, or root | the directory's | nothing |
//!
//! What only lets others read is mended by its owner in passing; what others could have written is refused.
//!
//! Imports: users. May not: know what is in a file. All calls block.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::users;

const SETGID: u32 = 0o2000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// Of a mode, what is ours to set.
const ALL_BITS: u32 = 0o7777;

/// Who has part in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// One user.
    Private,
    /// The members of a group, and root.
    Group(u32),
}

/// What something is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
}

/// What the kernel says of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits, with setuid, setgid and sticky.
    pub mode: u32,
}

impl Look {
    /// Of what was looked at already.
    pub fn of(meta: &Metadata) -> Self {
        Self { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & ALL_BITS }
    }
}

/// Who asks, and what the lists of users say.
#[derive(Clone, Copy)]
struct Asker<'a> {
    uid: u32,
    is_member: &'a dyn Fn(u32, u32) -> bool,
}

impl Sharing {
    /// Of what lies in a directory; a link to it is followed.
    ///
    /// # Errors
    /// Fails if it cannot be looked at.
    pub fn within(dir: &Path) -> io::Result<Self> {
        fs::metadata(dir).map(|meta| Self::by(Look::of(&meta)))
    }

    /// Of what lies at `path`, whether it is there or not.
    ///
    /// # Errors
    /// Fails if its directory cannot be looked at.
    pub fn around(path: &Path) -> io::Result<Self> {
        Self::within(parent(path))
    }

    /// By what the kernel says of a directory.
    pub fn by(dir: Look) -> Self {
        let shared = dir.mode & SETGID != 0 && dir.mode & GROUP_WRITES != 0;
        if shared { Self::Group(dir.gid) } else { Self::Private }
    }

    /// The mode of what is made.
    pub fn mode(self, kind: Kind) -> u32 {
        match (self, kind) {
            (Self::Private, Kind::Dir) => 0o700,
            (Self::Private, Kind::File) => 0o600,
            (Self::Group(_), Kind::Dir) => 0o2770,
            (Self::Group(_), Kind::File) => 0o660,
        }
    }

    /// Fails unless we have part in it ourselves.
    ///
    /// # Errors
    /// The sentence for the user, without the path.
    pub fn check_us(self, place: &Path) -> Result<(), String> {
        let us = rustix::process::geteuid().as_raw();
        let Self::Group(gid) = self else { return Ok(()) };
        if us == 0 || users::we_have(gid) {
            return Ok(());
        }
        let group = users::group(gid);
        if users::is_member(us, gid) {
            let remedy = format!("log in anew, or run `newgrp {group}`");
            return Err(format!("is shared by group {group}, which you joined after you had logged in; {remedy}"));
        }
        let (login, us) = (users::login(us).unwrap_or_else(|| us.to_string()), users::user(us));
        let remedy = format!("`usermod -aG {group} {login}` as root, then log in anew");
        let place = place.display();
        Err(format!("is for the members of group {group}, which shares {place}; you are {us} and not one of them: {remedy}"))
    }

    /// Looks at what lies at `path`, without following a link, and fails unless it can be trusted. With `mend` a wrong mode
    /// that did no harm yet is set right, of the very thing that was looked at. Root, who only looks, may do so in another
    /// user's private directory; what root made there would be closed to its user.
    ///
    /// # Errors
    /// The sentence for the user, without the path.
    pub fn check(self, path: &Path, kind: Kind, mend: bool) -> Result<(), String> {
        // Only a handle: it needs no right to read, and closing it takes no lock of SQLite's away.
        let handle = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let handle = handle.map_err(|e| io::Error::from(e).to_string())?;
        let uid = rustix::process::geteuid().as_raw();
        let stat = rustix::fs::fstat(&handle).map_err(|e| io::Error::from(e).to_string())?;
        let uid = if mend { uid } else { self.on_behalf(uid, stat.st_uid, path).map_err(|e| e.to_string())? };
        let asker = Asker { uid, is_member: &users::is_member };
        if let Some(mode) = self.to_mend(&handle, (kind, asker), path)?.filter(|_| mend) {
            let set = fs::set_permissions(format!("/proc/self/fd/{}", handle.as_raw_fd()), Permissions::from_mode(mode));
            set.map_err(|e| format!("cannot be given mode {mode:04o}: {e}"))?;
        }
        Ok(())
    }

    /// As [`Sharing::check`] with `mend`, of a file that was opened to write. In a private directory of another user, root
    /// works with what is that user's.
    ///
    /// # Errors
    /// Says why it cannot be trusted.
    pub fn settle(self, file: &File, path: &Path) -> io::Result<()> {
        let mode = self.trust(file, path)?;
        mode.map_or(Ok(()), |mode| file.set_permissions(Permissions::from_mode(mode)))
    }

    /// As [`Sharing::settle`], of a file that was opened to read: nothing is mended. The mode that would be set.
    ///
    /// # Errors
    /// Says why it cannot be trusted.
    pub(super) fn trust(self, file: &File, path: &Path) -> io::Result<Option<u32>> {
        let us = rustix::process::geteuid().as_raw();
        let asker = Asker { uid: self.on_behalf(us, file.metadata()?.uid(), path)?, is_member: &users::is_member };
        self.to_mend(file, (Kind::File, asker), path).map_err(io::Error::other)
    }

    /// As whom we ask for what belongs to `owner`: root works with what a private directory's owner has there.
    fn on_behalf(self, us: u32, owner: u32, path: &Path) -> io::Result<u32> {
        let is_its_owners = us == 0 && self == Self::Private && fs::metadata(parent(path))?.uid() == owner;
        Ok(if is_its_owners { owner } else { us })
    }

    fn to_mend(self, what: impl AsFd, (kind, asker): (Kind, Asker<'_>), path: &Path) -> Result<Option<u32>, String> {
        let stat = rustix::fs::fstat(what).map_err(|e| io::Error::from(e).to_string())?;
        match (kind, FileType::from_raw_mode(stat.st_mode)) {
            (Kind::Dir, FileType::Directory) => {}
            (Kind::File, FileType::RegularFile) if stat.st_nlink <= 1 => {}
            (Kind::File, FileType::RegularFile) => {
                let (names, path) = (stat.st_nlink, path.display());
                return Err(format!(
                    "has {names} names (hard links), so whatever is written there changes another file as well; give it a file of \
                     its own: `cp -p {path} {path}.own && mv {path}.own {path}`"
                ));
            }
            (Kind::Dir, _) => return Err(not_a("directory", path)),
            (Kind::File, _) => return Err(no_file(path)),
        }
        self.judge(kind, Look { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & ALL_BITS }, asker, path)
    }

    /// The rule. `Some` is the mode that is to be set; the error is the sentence for the user.
    fn judge(self, kind: Kind, look: Look, asker: Asker<'_>, path: &Path) -> Result<Option<u32>, String> {
        let (Look { uid, gid, mode }, path) = (look, path.display());
        let wanted = self.mode(kind);
        let bad_bits = match self {
            Self::Private => GROUP_WRITES | OTHERS_WRITE,
            Self::Group(_) => OTHERS_WRITE,
        };
        match self {
            Self::Private if uid != asker.uid => {
                let (owner, us) = (users::user(uid), users::user(asker.uid));
                // Taken from its owner, it would be closed to an engine of theirs.
                let remedy = match asker.uid {
                    0 => format!("run as its owner (`sudo -u '#{uid}' rollout …`)"),
                    us => format!("run as its owner, have root run `chown {us} {path}`"),
                };
                return Err(format!("belongs to {owner}, not to you, {us}; {remedy}, or choose another [journal] dir"));
            }
            Self::Group(group) if uid != 0 && uid != asker.uid && !(asker.is_member)(uid, group) => {
                let (owner, group) = (users::user(uid), users::group(group));
                let remedy = format!("look what they did there, then run `chown root {path}` as root");
                return Err(format!("belongs to {owner}, who is not of group {group} that shares it; {remedy}"));
            }
            Self::Group(group) if gid != group => {
                let (theirs, ours) = (users::group(gid), users::group(group));
                let remedy = match kind {
                    Kind::File => format!("`chgrp {ours} {path} && chmod {wanted:04o} {path}`"),
                    // Made when it was private: what lies in it must be handed over as well.
                    Kind::Dir => format!(
                        "`chgrp -R {ours} {path} && find {path} -type d -exec chmod 2770 {{}} + && find {path} ! -type d -exec chmod 0660 {{}} +`"
                    ),
                };
                return Err(format!("is of group {theirs}, not of {ours} that shares it; its owner or root can run {remedy}"));
            }
            Self::Private | Self::Group(_) => {}
        }
        if mode & bad_bits != 0 {
            let mended = if self == Self::Private { "go-w".to_owned() } else { format!("{wanted:04o}") };
            return Err(format!(
                "can be written by others (mode {mode:04o}), so what it says cannot be trusted; look who could have, then run `chmod {mended} {path}`"
            ));
        }
        let differs = match self {
            // What a setgid parent hands down means nothing without the group's right to write.
            Self::Private => mode & 0o777 != wanted,
            Self::Group(_) => mode != wanted,
        };
        if differs && uid != asker.uid && asker.uid != 0 {
            let owner = if uid == 0 { "root".to_owned() } else { format!("{} or root", users::user(uid)) };
            return Err(format!(
                "has mode {mode:04o}, not {wanted:04o} for its group alone; {owner} can run `chmod {wanted:04o} {path}`"
            ));
        }
        Ok(differs.then_some(wanted))
    }
}

/// What to say of something else in place of a file.
pub(super) fn no_file(path: &Path) -> String {
    not_a("regular file", path)
}

fn not_a(kind: &str, path: &Path) -> String {
    format!("is not a {kind} (a link is not followed); look what it is, then run `mv {0} {0}.aside`", path.display())
}

/// The directory that `path` lies in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that no list of users has.
    const US: u32 = 4_000_000_001;
    const MEMBER: u32 = 4_000_000_002;
    const STRANGER: u32 = 4_000_000_003;
    const GROUP: u32 = 4_000_000_010;
    const OTHER_GROUP: u32 = 4_000_000_011;

    /// What it is to be; owner, group and mode; who asks; the mode to set or a part of the refusal.
    type Row = (Kind, (u32, u32, u32), u32, Result<Option<u32>, &'static str>);

    fn hold(sharing: Sharing, table: &[Row]) {
        for (kind, look, us, wanted) in table {
            let said = judged(sharing, *kind, *look, *us);
            match (wanted, &said) {
                (Ok(wanted), Ok(said)) => assert_eq!(said, wanted, "{look:?} {us}"),
                (Err(wanted), Err(said)) => assert!(said.contains(wanted), "{look:?} {us}: {said}"),
                _ => panic!("{look:?} {us}: {said:?}"),
            }
        }
    }

    fn judged(sharing: Sharing, kind: Kind, (uid, gid, mode): (u32, u32, u32), us: u32) -> Result<Option<u32>, String> {
        let is_member = |uid, gid| gid == GROUP && (uid == US || uid == MEMBER);
        sharing.judge(kind, Look { uid, gid, mode }, Asker { uid: us, is_member: &is_member }, Path::new("/p"))
    }

    #[test]
    fn a_directory_is_shared_if_it_is_setgid_and_its_group_writes() {
        let by = |mode| Sharing::by(Look { uid: 0, gid: GROUP, mode });
        for mode in [0o2770, 0o2775, 0o2730, 0o3770, 0o2777] {
            assert_eq!(by(mode), Sharing::Group(GROUP), "{mode:o}");
        }
        for mode in [0o700, 0o770, 0o777, 0o1777, 0o2700, 0o2755, 0o4770] {
            assert_eq!(by(mode), Sharing::Private, "{mode:o}");
        }
    }

    #[test]
    fn what_is_private_is_its_owners_alone() {
        let table: &[Row] = &[
            (Kind::Dir, (US, GROUP, 0o700), US, Ok(None)),
            (Kind::File, (US, GROUP, 0o600), US, Ok(None)),
            (Kind::Dir, (US, GROUP, 0o2700), US, Ok(None)),
            (Kind::Dir, (US, GROUP, 0o755), US, Ok(Some(0o700))),
            (Kind::File, (US, GROUP, 0o644), US, Ok(Some(0o600))),
            (Kind::File, (US, GROUP, 0o400), US, Ok(Some(0o600))),
            (Kind::File, (US, GROUP, 0o660), US, Err("chmod go-w /p")),
            (Kind::File, (US, GROUP, 0o602), US, Err("written by others (mode 0602)")),
            (Kind::Dir, (US, GROUP, 0o2770), US, Err("chmod go-w /p")),
            (Kind::File, (MEMBER, GROUP, 0o600), US, Err("belongs to uid 4000000002, not to you")),
            (Kind::File, (0, 0, 0o600), US, Err("belongs to root (uid 0), not to you")),
            (Kind::File, (US, GROUP, 0o600), 0, Err("run as its owner")),
        ];
        hold(Sharing::Private, table);
    }

    #[test]
    fn what_is_shared_is_the_groups_and_nobody_elses() {
        let table: &[Row] = &[
            (Kind::Dir, (US, GROUP, 0o2770), US, Ok(None)),
            (Kind::Dir, (MEMBER, GROUP, 0o2770), US, Ok(None)),
            (Kind::Dir, (0, GROUP, 0o2770), US, Ok(None)),
            (Kind::File, (US, GROUP, 0o660), US, Ok(None)),
            (Kind::File, (MEMBER, GROUP, 0o660), US, Ok(None)),
            (Kind::File, (0, GROUP, 0o660), US, Ok(None)),
            (Kind::File, (MEMBER, GROUP, 0o660), 0, Ok(None)),
            // Its owner and root mend what is closed to the group or open to read for others; somebody else cannot.
            (Kind::File, (US, GROUP, 0o600), US, Ok(Some(0o660))),
            (Kind::File, (US, GROUP, 0o664), US, Ok(Some(0o660))),
            (Kind::File, (MEMBER, GROUP, 0o664), 0, Ok(Some(0o660))),
            (Kind::Dir, (US, GROUP, 0o770), US, Ok(Some(0o2770))),
            (Kind::Dir, (US, GROUP, 0o3770), US, Ok(Some(0o2770))),
            (Kind::File, (MEMBER, GROUP, 0o600), US, Err("chmod 0660 /p")),
            (Kind::File, (MEMBER, GROUP, 0o664), US, Err("uid 4000000002 or root can run `chmod 0660")),
            (Kind::Dir, (MEMBER, GROUP, 0o2750), US, Err("chmod 2770 /p")),
            (Kind::File, (US, GROUP, 0o662), US, Err("chmod 0660 /p")),
            (Kind::Dir, (0, GROUP, 0o2777), US, Err("written by others (mode 2777)")),
            (Kind::File, (US, OTHER_GROUP, 0o660), US, Err("chgrp 4000000010 /p && chmod 0660 /p")),
            (Kind::Dir, (0, 0, 0o2770), US, Err("is of group root, not of 4000000010")),
            (Kind::File, (STRANGER, GROUP, 0o660), US, Err("who is not of group 4000000010")),
            (Kind::File, (STRANGER, GROUP, 0o660), 0, Err("chown root /p")),
        ];
        hold(Sharing::Group(GROUP), table);
    }

    #[test]
    fn a_link_is_not_followed_and_what_was_looked_at_is_what_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(Sharing::Private.check(&link, Kind::File, true).unwrap_err().contains("a link is not followed"));
        assert!(Sharing::Private.check(dir.path(), Kind::File, true).unwrap_err().contains("not a regular file"));
        assert!(Sharing::Private.check(&file, Kind::Dir, true).unwrap_err().contains("not a directory"));
        let mode = || fs::metadata(&file).unwrap().mode() & ALL_BITS;
        Sharing::Private.check(&file, Kind::File, false).unwrap();
        assert_eq!(mode(), 0o644);
        Sharing::Private.check(&file, Kind::File, true).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_path_has_a_directory_even_if_it_does_not_name_it() {
        assert_eq!(parent(Path::new("x")), Path::new("."));
        assert_eq!(parent(Path::new("/a/x")), Path::new("/a"));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }
}
