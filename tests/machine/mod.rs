//! A whole Linux host: systemd, logind, sshd, sudo, in a container of systemd's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{server, servers_are_required};

const PACKAGES: &str = "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo";

/// The tree of a host that is not booted yet.
pub(crate) struct Tree {
    root: PathBuf,
}

/// A booted host; its power goes off with the value.
pub(crate) struct Machine {
    nspawn: Child,
}

/// Whether a command succeeds, in silence.
fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A minimal Debian, made once and kept among the build's files. `None`, with a word, if its packages cannot be had.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
fn debian() -> Option<PathBuf> {
    let among = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let kept = among.join("bookworm-logind");
    // Another run may be making it.
    let lock = fs::File::create(among.join("bookworm.lock")).expect("a lock");
    lock.lock().expect("a lock");
    if !kept.exists() {
        // Under another name until it is whole.
        let making = tempfile::tempdir_in(among).expect("a directory");
        let root = making.path().join("root");
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), "bookworm"]).arg(&root);
        let made = debootstrap.stdin(Stdio::null()).output().expect("debootstrap runs");
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stdout);
            let last = said.lines().last().unwrap_or_default();
            assert!(!servers_are_required(), "debootstrap bookworm: {last}");
            println!("skipped: debootstrap bookworm: {last}");
            return None;
        }
        fs::rename(&root, &kept).expect("kept");
    }
    Some(kept)
}

/// Whether we are root, without whom no container boots.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

impl Tree {
    /// A host's tree in `dir`. `None` where there can be none: the test is skipped.
    pub(crate) fn new(dir: &Path) -> Option<Self> {
        let needed = ["debootstrap", "systemd-nspawn", "ssh", "ssh-keygen"];
        if needed.iter().any(|program| server(program).is_none()) || !is_root() {
            return None;
        }
        let (debian, root) = (debian()?, dir.join("root"));
        assert!(succeeds(Command::new("cp").args(["-a", "--reflink=auto"]).arg(debian).arg(&root)));
        Some(Self { root })
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn write(&self, path: &str, mode: u32, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("mode");
    }

    /// A user who can log in with a key, and with nothing else.
    pub(crate) fn user(&self, login: &str, uid: u32, home: &str) {
        for (path, line) in [
            ("etc/passwd", format!("{login}:x:{uid}:{uid}::{home}:/bin/sh")),
            ("etc/group", format!("{login}:x:{uid}:")),
            ("etc/shadow", format!("{login}:*:19000:0:99999:7:::")),
        ] {
            let old = fs::read_to_string(self.path(path)).expect("a file");
            fs::write(self.path(path), format!("{old}{line}\n")).expect("written");
        }
        let home = self.path(home.trim_start_matches('/'));
        fs::create_dir_all(&home).expect("a home");
        std::os::unix::fs::chown(home, Some(uid), Some(uid)).expect("its owner");
    }

    /// Its sshd listens on this port of loopback: it shares our network. Returns the client's configuration, for every name.
    pub(crate) fn sshd(&self, dir: &Path, port: u16, more: &str) -> PathBuf {
        let key = dir.join("key");
        assert!(succeeds(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)));
        let public = fs::read_to_string(dir.join("key.pub")).expect("a key");
        self.write("etc/ssh/authorized", 0o644, &public);
        let settings = format!("Port {port}\nListenAddress 127.0.0.1\nAuthorizedKeysFile /etc/ssh/authorized\n{more}");
        self.write("etc/ssh/sshd_config", 0o644, &settings);
        let (known, key, config) = (dir.join("known_hosts"), key.display(), dir.join("ssh_config"));
        let known = known.display();
        let text = format!(
            "Host *\nHostName 127.0.0.1\nPort {port}\nIdentityFile {key}\nStrictHostKeyChecking accept-new\nUserKnownHostsFile \
             {known}\n"
        );
        fs::write(&config, text).expect("written");
        config
    }

    /// Switches it on.
    pub(crate) fn boot(&self) -> Machine {
        let mut nspawn = Command::new("systemd-nspawn");
        // It shares the network; two of one name would be in each other's way.
        let name = self.root.parent().and_then(Path::file_name).and_then(|name| name.to_str()).expect("a name");
        nspawn.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--machine", name, "--directory"]).arg(&self.root);
        nspawn.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Machine { nspawn: nspawn.spawn().expect("a container") }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process: all others go with it, and so does nspawn.
        let nspawn = self.nspawn.id();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).unwrap_or_default();
        for pid in children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            kill_process(pid, Signal::KILL).ok();
        }
        if let Some(pid) = i32::try_from(nspawn).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
        self.nspawn.wait().ok();
    }
}
