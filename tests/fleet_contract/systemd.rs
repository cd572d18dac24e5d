//! Units of systemd on a whole host, reached over ssh.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rollout::fleet::{self, HostsSettings, ReleaseSettings, Settings, SshSettings, UnitSettings};
use rollout::model::Target;
use rollout::os::ssh;
use rollout::ports::{FleetDriver, FleetError};
use tempfile::TempDir;

use crate::common::{free_port, temp_dir, wait_for};
use crate::local::{commands, words};
use crate::machine::{Machine, Tree};
use crate::{World, order, target};

/// What an instance is: told by its release, counted when it starts.
const UNIT: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nTimeoutStartSec=infinity\n\
                    ExecStartPre=/srv/start %i\nExecStart=/bin/sleep infinity\nKillMode=control-group\n";
const START: &str = "#!/bin/sh\nversion=$(cat \"/srv/$1/current/version\") || exit 1\necho \"$version\" >>\"/srv/$1/starts\"\n\
                     case $version in bad*) echo 'no such plug-in' >&2; exit 3;; slow*) sleep 1000;; esac\n";

/// One host for all worlds at a time: they do not share instances.
struct Host {
    tree: Tree,
    options: ssh::Options,
    dir: TempDir,
    _machine: Machine,
}

static HOST: Mutex<Weak<Host>> = Mutex::new(Weak::new());
static WORLDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The systemd driver.
pub(crate) struct Units {
    host: Arc<Host>,
    name: String,
    records: TempDir,
}

fn boot() -> Option<Host> {
    let dir = temp_dir();
    let tree = Tree::new(dir.path())?;
    tree.write("etc/systemd/system/shop@.service", 0o644, UNIT);
    tree.write("srv/start", 0o755, START);
    let port = free_port();
    let config = tree.sshd(dir.path(), port, "PermitRootLogin yes\nMaxStartups 100\n");
    let key = fs::read_to_string(tree.path("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    fs::write(dir.path().join("known_hosts"), format!("[127.0.0.1]:{port} {key}")).unwrap();
    for version in ["v1", "v2", "v3", "bad2", "slow2", "v1+b.2_3", "v0-..-", "v9.9_rc+1"] {
        let source = dir.path().join("builds").join(version);
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("version"), version).unwrap();
    }
    let machine = tree.boot();
    let options = ssh::Options { config: Some(config), user: Some("root".to_owned()), ..ssh::Options::default() };
    let listens = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(wait_for("the host to boot", async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()));
    };
    std::thread::spawn(listens).join().unwrap();
    Some(Host { tree, options, dir, _machine: machine })
}

impl Units {
    pub(crate) fn new() -> Option<Self> {
        let mut shared = HOST.lock().unwrap_or_else(PoisonError::into_inner);
        let host = match shared.upgrade() {
            Some(host) => host,
            None => Arc::new(boot()?),
        };
        *shared = Arc::downgrade(&host);
        let name = format!("w{}", WORLDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Some(Self { host, name, records: temp_dir() })
    }

    fn build(&self, unit: &str) -> Result<Arc<dyn FleetDriver>, String> {
        let mut settings = commands(self.records.path(), self.records.path().join("records"), "sh");
        (settings.observe, settings.steps) = (Vec::new(), Vec::new());
        // On their host, worlds of one service and environment would end each other's steps.
        let env = self.name.clone();
        let source = format!("{}/{{{{ version }}}}", self.host.dir.path().join("builds").display());
        let path = format!("/srv/{}-{{{{ instance.id }}}}", self.name);
        let release = Some(ReleaseSettings { source, path, keep: 3 });
        let ssh = Some(SshSettings { host: "{{ instance.host }}".to_owned(), options: self.host.options.clone() });
        let unit = format!("{unit}@{}-{{{{ instance.id }}}}.service", self.name);
        let unit = Some(UnitSettings { unit, user: false, sudo: false, journal_lines: 5 });
        let settings = Settings::Hosts(Box::new(HostsSettings { commands: settings, env, ssh, release, unit }));
        fleet::prepare(&settings)?;
        fleet::build(&settings)
    }
}

impl World for Units {
    fn driver(&self) -> Arc<dyn FleetDriver> {
        self.build("shop").unwrap()
    }

    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String> {
        self.build("no-such")
    }

    fn starts(&self, target: &Target) -> usize {
        let file = self.host.tree.path(&format!("srv/{}-{}/starts", self.name, target.id));
        fs::read_to_string(file).unwrap_or_default().lines().count()
    }

    fn cut(&mut self) -> bool {
        // It is the others' host as well; the ssh driver's promise is this one's.
        false
    }
}

#[tokio::test]
async fn a_unit_that_fails_says_why_and_one_that_dies_is_seen() {
    let Some(world) = Units::new() else { return };
    let (driver, one) = (world.driver(), target(1));
    driver.update(&order(&one, "v1", None, 1)).await.unwrap();
    let failed = driver.update(&order(&one, "bad2", Some("v1"), 2)).await.unwrap_err();
    let FleetError::Failed(why) = &failed else { panic!("{failed:?}") };
    for part in ["restart of", "Result=exit-code", "status=3", "no such plug-in"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(why.len() < 1500, "{why}");
    driver.update(&order(&one, "v1", Some("bad2"), 3)).await.unwrap();
    // The link says another version, which nobody has started: nobody knows then what runs.
    let kill = words(&["systemctl", "kill", "-s", "KILL", &format!("shop@{}-{}.service", world.name, one.id)]);
    let link = words(&["ln", "-sfn", "releases/bad2", &format!("/srv/{}-{}/current", world.name, one.id)]);
    let pool = ssh::Pool::new(world.host.options.clone());
    let run = async |argv: &[String]| {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        let grace = std::time::Duration::from_secs(1);
        let run = ssh::Run { about: "x", argv, env: &[], deadline, grace, may_leave: false, fence: None, input: None };
        pool.run("any", run).await.unwrap()
    };
    // Beyond what clocks may differ by.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    run(&link).await;
    let seen = driver.observe(&one).await.unwrap();
    assert_eq!((seen.version, seen.running), (None, Some(true)));
    run(&kill).await;
    let ended = wait_for("its end", async || driver.observe(&one).await.ok().filter(|seen| seen.running == Some(false))).await;
    assert!(ended.ended.as_deref().is_some_and(|how| how.contains("Result=signal") && how.contains("status 9")), "{ended:?}");
}
