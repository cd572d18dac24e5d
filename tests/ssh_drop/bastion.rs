//! A bastion of its own: a real sshd on loopback, and terminals that reach it by a real ssh.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::{free_port, server, temp_dir};
use crate::fleet::Fleet;

/// An sshd with keys of its own; it ends with the value.
pub(crate) struct Bastion {
    sshd: Child,
    ssh: PathBuf,
    dir: TempDir,
}

impl Bastion {
    /// `None` where its programs are missing: the test is skipped.
    pub(crate) fn start(fleet: &Fleet) -> Option<Self> {
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
        fleet.wait("sshd listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        Some(bastion)
    }

    /// A terminal with a login in it, in which a line of shell runs.
    pub(crate) fn terminal(&self, line: &str) -> Terminal {
        let pair = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(&self.ssh);
        command.args(["-tt", "-F"]);
        command.arg(self.dir.path().join("ssh_config"));
        command.args(["bastion", line]);
        command.env("TERM", "xterm-256color");
        let ssh = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0)));
        let (mut reader, into) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                into.lock().unwrap().process(&chunk[..n]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Terminal { ssh, keys, shown, _master: pair.master }
    }
}

impl Drop for Bastion {
    fn drop(&mut self) {
        self.sshd.kill().ok();
        self.sshd.wait().ok();
    }
}

/// A terminal on the bastion.
pub(crate) struct Terminal {
    ssh: Box<dyn portable_pty::Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    shown: Arc<Mutex<vt100::Parser>>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    pub(crate) fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    pub(crate) fn shows(&self, fleet: &Fleet, text: &str) {
        fleet.wait(&format!("the screen shows {text:?}"), || self.text().contains(text).then_some(()));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Opens the question before a deployment. What is typed before it is armed does not count; it says so by "(off)".
    pub(crate) fn question(&mut self, fleet: &Fleet) {
        self.shows(fleet, "[PLANNED]");
        self.press("s");
        fleet.wait("the question is armed", || {
            let screen = self.text();
            (screen.contains("y start") && !screen.contains("(off)")).then_some(())
        });
    }

    /// The link drops: the client is gone without a word.
    pub(crate) fn drop_link(mut self) {
        let pid = self.ssh.process_id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        self.ssh.wait().unwrap();
    }

    /// The exit code of the line, once it has ended.
    pub(crate) fn ended(&mut self, fleet: &Fleet) -> u32 {
        fleet.wait("the login ends", || self.ssh.try_wait().unwrap()).exit_code()
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
