//! A host of its own: a real sshd on loopback, with keys and a configuration of ssh that nobody else reads.
//!
//! Imports: the tests' common. May not: know what is run there.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rollout::os::ssh;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::{free_port, server, temp_dir, wait_for};

/// Where a host listens, and its server.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    sshd: Option<Child>,
}

/// Some hosts, the user who reaches them, and what ssh needs for that.
pub(crate) struct Hosts {
    sshd: PathBuf,
    keygen: PathBuf,
    pub(crate) all: Vec<Host>,
    pub(crate) dir: TempDir,
}

impl Hosts {
    /// So many hosts, `host-1` and so on, each at an address of its own. `None` where a program is missing.
    pub(crate) fn start(count: usize) -> Option<Self> {
        let (Some(sshd), Some(_), Some(keygen)) = (server("sshd"), server("ssh"), server("ssh-keygen")) else { return None };
        let mut hosts = Self { sshd, keygen, all: Vec::new(), dir: temp_dir() };
        if rustix::process::geteuid().is_root() {
            // Where it gives up its privileges.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        hosts.key("key");
        for n in 1..=count {
            let address = Ipv4Addr::new(127, 0, u8::try_from(n / 250).unwrap(), u8::try_from(n % 250 + 1).unwrap());
            hosts.all.push(Host { name: format!("host-{n}"), address, port: free_port(), sshd: None });
            hosts.key(&format!("host-{n}"));
            hosts.up(n - 1);
        }
        hosts.know();
        hosts.write_config("");
        hosts.wait();
        Some(hosts)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A home for whoever logs in, and what tests write there.
    pub(crate) fn home(&self) -> PathBuf {
        let home = self.path("home");
        fs::create_dir_all(&home).unwrap();
        home
    }

    /// A new key of its own, in place of one that is there.
    pub(crate) fn key(&self, name: &str) {
        for file in [self.path(name), self.path(&format!("{name}.pub"))] {
            fs::remove_file(file).ok();
        }
        let made = Command::new(&self.keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.path(name)).status();
        assert!(made.is_ok_and(|status| status.success()), "{name}");
    }

    /// Their keys as they are now, in `known_hosts`.
    pub(crate) fn know(&self) {
        let line = |host: &Host| {
            let key = fs::read_to_string(self.path(&format!("{}.pub", host.name))).unwrap();
            format!("[{}]:{} {key}", host.address, host.port)
        };
        fs::write(self.path("known_hosts"), self.all.iter().map(line).collect::<String>()).unwrap();
    }

    /// The user's configuration of ssh: `more`, then a table for each host.
    pub(crate) fn write_config(&self, more: &str) {
        let login = rollout::os::users::login(rustix::process::getuid().as_raw()).expect("a login");
        let table = |host: &Host| {
            format!(
                "Host {}\n  HostName {}\n  Port {}\n  User {login}\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
                 UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
                host.name,
                host.address,
                host.port,
                self.path("key").display(),
                self.path("known_hosts").display()
            )
        };
        let tables: String = self.all.iter().map(table).collect();
        fs::write(self.path("ssh_config"), format!("{more}{tables}")).unwrap();
    }

    /// Starts the server of a host.
    pub(crate) fn up(&mut self, at: usize) {
        let home = self.home();
        let host = &self.all[at];
        let settings = [
            format!("ListenAddress {}:{}", host.address, host.port),
            format!("HostKey {}", self.path(&host.name).display()),
            format!("AuthorizedKeysFile {}", self.path("key.pub").display()),
            "PidFile none".to_owned(),
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
            "UseDNS no".to_owned(),
            "PermitRootLogin yes".to_owned(),
            "PasswordAuthentication yes".to_owned(),
            "MaxStartups 400:30:500".to_owned(),
            // Root's own start files may be slow, and nothing of ours belongs into its home.
            format!("SetEnv HOME={} ROLLOUT_TEST_HOST={}", home.display(), host.name),
        ];
        let file = self.path(&format!("{}.sshd", host.name));
        fs::write(&file, settings.join("\n") + "\n").unwrap();
        let log = fs::File::create(self.path(&format!("{}.log", host.name))).unwrap();
        let mut command = Command::new(&self.sshd);
        command.args(["-D", "-e", "-f"]).arg(file);
        let sshd = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.all[at].sshd = Some(sshd);
    }

    /// Until they all listen.
    pub(crate) fn wait(&self) {
        let listens = |host: &Host| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(wait_for(&host.name, async || TcpStream::connect((host.address, host.port)).ok()));
        };
        // The caller may have a runtime of its own.
        std::thread::scope(|scope| {
            scope.spawn(|| self.all.iter().filter(|host| host.sshd.is_some()).for_each(listens));
        });
    }

    /// Ends the server of a host and every connection to it.
    pub(crate) fn down(&mut self, at: usize) {
        let Some(mut sshd) = self.all[at].sshd.take() else { return };
        for child in sessions_of(sshd.id()) {
            kill_process(child, Signal::KILL).ok();
        }
        sshd.kill().ok();
        sshd.wait().ok();
    }

    /// The processes that serve connections of a host.
    pub(crate) fn sessions(&self, at: usize) -> Vec<Pid> {
        self.all[at].sshd.as_ref().map(|sshd| sessions_of(sshd.id())).unwrap_or_default()
    }

    /// How the engine reaches them.
    pub(crate) fn options(&self) -> ssh::Options {
        ssh::Options { config: Some(self.path("ssh_config")), ..ssh::Options::default() }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for at in 0..self.all.len() {
            self.down(at);
        }
    }
}

/// The clients of ssh with this configuration.
pub(crate) fn clients(config: &Path) -> Vec<Pid> {
    let config = config.to_string_lossy().into_owned();
    let ours = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.starts_with("ssh\0") && words.contains(&config)
    };
    processes().filter(ours).filter_map(Pid::from_raw).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The processes that serve connections of a server.
fn sessions_of(sshd: u32) -> Vec<Pid> {
    let sshd = i32::try_from(sshd).unwrap();
    let its = |pid: &i32| rollout::os::process::stat(*pid).is_some_and(|stat| stat.parent == sshd);
    processes().filter(its).filter_map(Pid::from_raw).collect()
}
