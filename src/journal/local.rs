//! Whether a directory lies on a filesystem that a journal can be trusted to.
//!
//! The write-ahead log of SQLite is read through memory that its processes share (`-shm`), and the lease is a lock of the kernel:
//! both must hold for everybody who reaches the directory. On a filesystem that several hosts reach, other hosts see neither, so
//! two engines would begin, and a reader elsewhere would read half of a turn.
//!
//! Imports: ports, os. May not: know what a journal is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::place::refused;
use crate::ports::JournalError;

/// What `statfs` says of filesystems that other hosts reach, over a network or on a disk that they share.
const SHARED: [(u64, &str); 20] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0xAAD7_AAEA, "PanFS"),
    (0x786F_4256, "a folder shared by VirtualBox"),
    (0xBACB_ACBC, "a folder shared by VMware"),
    (0x7C7C_6673, "a folder shared by Parallels"),
];

/// All that programs provide: sshfs and GlusterFS as well as what a container without root has for its own disk.
const FUSE: u64 = 0x6573_5546;
/// Of those, what lies on a disk of this host.
const LOCAL_FUSE: [&str; 7] =
    ["fuseblk", "fuse.fuse-overlayfs", "fuse.bindfs", "fuse.gocryptfs", "fuse.encfs", "fuse.mergerfs", "fuse.unionfs-fuse"];

/// Fails if `dir` lies on a filesystem that other hosts reach.
pub(super) fn check(dir: &Path) -> Result<(), JournalError> {
    let stat = rustix::fs::statfs(dir).map_err(|e| refused(dir, format!("cannot tell the filesystem: {e}")))?;
    let mounts = || {
        let device = fs::metadata(dir).map(|meta| meta.dev()).unwrap_or_default();
        mounted_as(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), device)
    };
    match shared(u64::try_from(stat.f_type).unwrap_or_default(), mounts) {
        Some(name) => Err(refused(
            dir,
            format!("lies on a network filesystem ({name}), where a journal is not safe; choose a local [journal] dir"),
        )),
        None => Ok(()),
    }
}

/// The name of a filesystem that other hosts reach.
fn shared(magic: u64, mounted_as: impl FnOnce() -> Option<String>) -> Option<String> {
    if magic == FUSE {
        // One that nobody knows may be anything.
        let name = mounted_as().unwrap_or_else(|| "FUSE".to_owned());
        return (!LOCAL_FUSE.contains(&name.as_str())).then_some(name);
    }
    SHARED.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
}

/// The type of the filesystem on a device: `36 35 98:0 /root /place rw … - TYPE source options`.
fn mounted_as(mountinfo: &str, device: u64) -> Option<String> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let line = mountinfo.lines().find(|line| line.split(' ').nth(2) == Some(wanted.as_str()))?;
    line.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_hosts_reach_is_refused_by_name() {
        let of = |magic| shared(magic, || None);
        for (magic, name) in SHARED {
            assert_eq!(of(magic).as_deref(), Some(name));
        }
        // ext4, XFS, Btrfs, ZFS, F2FS, tmpfs, overlayfs, ramfs, squashfs, eCryptfs, bcachefs.
        for local in [
            0xEF53,
            0x5846_5342,
            0x9123_683E,
            0x2FC1_2FC1,
            0xF2F5_2010,
            0x0102_1994,
            0x794C_7630,
            0x8584_58F6,
            0x7371_7368,
            0xF15F,
            0xCA45_1A4E,
        ] {
            assert_eq!(of(local), None, "{local:x}");
        }
    }

    #[test]
    fn of_what_programs_provide_the_type_decides() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            40 21 0:44 / /home/ana/remote rw,nosuid - fuse.sshfs ana@host:/ rw,user_id=1000\n\
            41 21 0:45 / /var rw shared:3 master:1 - fuse.fuse-overlayfs fuse-overlayfs rw\n\
            42 21 0:46 / /mnt rw - virtiofs share rw\n";
        let at = |minor: u32| shared(FUSE, || mounted_as(mounts, rustix::fs::makedev(0, minor)));
        assert_eq!(at(44).as_deref(), Some("fuse.sshfs"));
        assert_eq!(at(45), None);
        assert_eq!(at(46).as_deref(), Some("virtiofs"));
        assert_eq!(at(47).as_deref(), Some("FUSE"), "what nobody knows");
        assert_eq!(mounted_as(mounts, rustix::fs::makedev(8, 1)).as_deref(), Some("ext4"));
    }

    #[test]
    fn this_machine_has_a_place_for_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        let device = fs::metadata("/proc").unwrap().dev();
        assert_eq!(mounted_as(&fs::read_to_string("/proc/self/mountinfo").unwrap(), device).as_deref(), Some("proc"));
    }
}
