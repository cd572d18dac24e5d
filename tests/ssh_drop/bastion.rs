//! A bastion of its own: a real sshd on loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::common::{free_port, server, temp_dir};
use crate::terminal::{Terminal, wait};

/// An sshd with keys of its own; it ends with the value.
pub(crate) struct Bastion {
    sshd: Child,
    ssh: PathBuf,
    dir: TempDir,
}

impl Bastion {
    /// `None` where its programs are missing: the test is skipped.
    pub(crate) fn start() -> Option<Self> {
        let (Some(sshd), Some(ssh), Some(keygen)) = (server("sshd"), server("ssh"), server("ssh-keygen")) else { return None };
        let (dir, port) = (temp_dir(), free_port());
        let path = |name: &str| dir.path().join(name);
        for name in ["host_key", "key"] {
            let made = Command::new(&keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name)).status();
            assert!(made.is_ok_and(|status| status.success()), "{name}");
        }
        if rustix::process::geteuid().is_root() {
            // Where it gives up its privileges.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let (host_key, authorized) = (path("host_key"), path("key.pub"));
        let settings = [
            format!("ListenAddress 127.0.0.1:{port}"),
            format!("HostKey {}", host_key.display()),
            format!("AuthorizedKeysFile {}", authorized.display()),
            "PidFile none".to_owned(),
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
            "PermitRootLogin yes".to_owned(),
        ];
        fs::write(path("sshd_config"), settings.join("\n") + "\n").unwrap();
        let login = rollout::os::users::login(rustix::process::getuid().as_raw()).expect("a login");
        let settings = [
            "Host bastion".to_owned(),
            "HostName 127.0.0.1".to_owned(),
            format!("Port {port}"),
            format!("User {login}"),
            format!("IdentityFile {}", path("key").display()),
            "IdentitiesOnly yes".to_owned(),
            "StrictHostKeyChecking accept-new".to_owned(),
            format!("UserKnownHostsFile {}", path("known_hosts").display()),
        ];
        fs::write(path("ssh_config"), settings.join("\n") + "\n").unwrap();
        let log = fs::File::create(path("sshd.log")).unwrap();
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(path("sshd_config"));
        let sshd = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let bastion = Self { sshd, ssh, dir };
        wait("sshd listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        Some(bastion)
    }

    /// A terminal with a login in it, in which a line of shell runs.
    pub(crate) fn terminal(&self, line: &str) -> Terminal {
        Terminal::open(&self.ssh, &self.dir.path().join("ssh_config"), "bastion", line)
    }
}

impl Drop for Bastion {
    fn drop(&mut self) {
        self.sshd.kill().ok();
        self.sshd.wait().ok();
    }
}

/// The front doors of a fleet's deployments: every process of the program with that configuration but the engine.
pub(crate) fn front_doors(exe: &Path, config: &Path) -> Vec<i32> {
    let words = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = pids.filter(|pid| {
        let words = words(pid);
        let words: Vec<&str> = words.split('\0').collect();
        words.first().map(Path::new) == Some(exe) && words.iter().any(|w| Path::new(w) == config) && !words.contains(&"engine")
    });
    ours.filter_map(|pid| pid.parse().ok()).collect()
}
