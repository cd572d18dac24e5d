//! A Docker daemon of its own, images made of one static program, and the driver for it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use rollout::config::{self, Config};
use rollout::model::{DeploymentId, EffectId, Target, Version};
use rollout::ports::{FleetDriver, FleetError, UpdateOrder};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{server, temp_dir, wait_for};

/// What a container runs that answers on 8080 and ends politely.
pub(crate) const SERVES: &str = "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait";

static BRIDGES: AtomicU32 = AtomicU32::new(0);
static CLIENT: LazyLock<reqwest::Client> =
    LazyLock::new(|| rollout::os::http::client(|builder| builder.pool_max_idle_per_host(0)).expect("a client"));

/// A daemon. With the value it ends, and all that it runs or made.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    /// Its address.
    pub(crate) host: String,
    bridge: String,
    address: String,
    extra: Vec<String>,
    daemon: Option<Child>,
}

impl Site {
    /// `None` where its programs are missing, or we are not root: the test is skipped.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_on(None).await
    }

    /// With a disk of so many megabytes.
    pub(crate) async fn start_small(megabytes: u32) -> Option<Self> {
        Self::start_on(Some(megabytes)).await
    }

    #[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
    async fn start_on(disk: Option<u32>) -> Option<Self> {
        let missing = ["docker", "dockerd", "busybox", "ip"].map(server).iter().any(Option::is_none);
        if missing {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        let (dir, number) = (temp_dir(), BRIDGES.fetch_add(1, Ordering::Relaxed));
        let bridge = format!("rl{}x{number}", std::process::id());
        let address = format!("10.{}.{}.1/24", 200 + std::process::id() % 50, number + 1);
        let host = format!("unix://{}/d.sock", dir.path().display());
        let mut site = Self { dir, host, bridge, address, extra: Vec::new(), daemon: None };
        let bridge = site.bridge.clone();
        run(Command::new("ip").args(["link", "add", "name", &bridge, "type", "bridge"]));
        run(Command::new("ip").args(["addr", "add", &site.address, "dev", &bridge]));
        run(Command::new("ip").args(["link", "set", &bridge, "up"]));
        if let Some(megabytes) = disk {
            fs::create_dir(site.path("data")).unwrap();
            let room = format!("size={megabytes}m");
            run(Command::new("mount").args(["-t", "tmpfs", "-o", &room, "tmpfs"]).arg(site.path("data")));
        }
        site.up().await;
        Some(site)
    }

    /// More arguments for the daemon, from its next start on.
    pub(crate) fn also(&mut self, extra: &[String]) {
        self.extra.extend_from_slice(extra);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) async fn up(&mut self) {
        let mut command = Command::new("dockerd");
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(self.path(name));
        }
        // Published ports are served by docker's own proxy: nothing of the host's packet filter is touched.
        command.args(["--iptables=false", "--ip-forward=false", "--ip-masq=false", "--bridge", &self.bridge]);
        command.args(["--host", &self.host, "--insecure-registry", "127.0.0.0/8"]).args(&self.extra);
        let log = File::options().create(true).append(true).open(self.path("dockerd.log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.daemon = Some(child.expect("a daemon"));
        let log = self.path("dockerd.log");
        wait_for("the daemon", async || {
            let ended = self.daemon.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the daemon ended:\n{}", fs::read_to_string(&log).unwrap_or_default());
            self.ask(&["version"]).is_ok().then_some(())
        })
        .await;
    }

    /// Ends the daemon with a signal; its containers may go on.
    pub(crate) fn down(&mut self, signal: Signal) {
        if let Some(mut child) = self.daemon.take() {
            rustix::process::kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).ok();
            child.wait().ok();
        }
        if signal == Signal::KILL {
            // It went with its daemon; where nobody reaps orphans the next one would take it for alive.
            fs::remove_file(self.path("exec/containerd/containerd.pid")).ok();
        }
    }

    /// What docker's own client says, or its complaint.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("docker");
        let output = command.args(["--host", &self.host]).args(args).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// As [`Self::ask`], which must succeed.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        self.ask(args).unwrap_or_else(|why| panic!("docker {args:?}: {why}"))
    }

    /// All of a container.
    pub(crate) fn inspect(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.docker(&["inspect", "--type=container", name])).unwrap();
        all[0].clone()
    }

    /// Names of all containers, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.docker(&["ps", "--all", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Makes an image whose `/www/version` says its tag, from lines of a Dockerfile.
    pub(crate) fn image(&self, reference: &str, lines: &[&str]) {
        let version = reference.rsplit(':').next().unwrap();
        let root = self.path(&format!("root-{version}"));
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("www")).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::copy(server("busybox").unwrap(), root.join("bin/busybox")).unwrap();
        fs::set_permissions(root.join("bin/busybox"), Permissions::from_mode(0o755)).unwrap();
        for applet in ["sh", "httpd", "sleep", "cat", "tail", "test", "touch", "wget"] {
            if !root.join("bin").join(applet).exists() {
                std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
            }
        }
        fs::write(root.join("www/version"), version).unwrap();
        fs::write(root.join("www/health"), "ok").unwrap();
        self.image_of(&root, reference, lines);
    }

    /// Makes an image of a directory.
    pub(crate) fn image_of(&self, root: &Path, reference: &str, lines: &[&str]) {
        let archive = self.path("root.tar");
        run(Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&archive).arg("."));
        let changes: Vec<String> = lines.iter().map(|line| format!("--change={line}")).collect();
        let mut args = vec!["import"];
        args.extend(changes.iter().map(String::as_str));
        self.docker(&[&args[..], &[archive.to_str().unwrap(), reference]].concat());
    }

    /// An image that serves.
    pub(crate) fn serving(&self, reference: &str) {
        self.image(reference, &[&format!("CMD [\"/bin/sh\", \"-c\", \"{SERVES}\"]")]);
    }

    /// The configuration of one instance at a port, with more lines for `[update.docker]`.
    pub(crate) fn config(&self, port: u16, docker: &str) -> Config {
        self.config_with(port, docker, "")
    }

    /// As [`Self::config`], with more lines for `[update]`.
    pub(crate) fn config_with(&self, port: u16, docker: &str, update: &str) -> Config {
        let host = if docker.contains("host = ") { String::new() } else { format!("host = \"{}\"\n", self.host) };
        let image = if docker.contains("image = ") { "" } else { "image = \"shop:{{ version }}\"\n" };
        let text = format!(
            "[service]\nname = \"shop\"\n[fleet]\ndriver = \"docker\"\ninstances = [\"web-1\"]\nhost = \"127.0.0.1\"\nport = {port}\n\
             [update]\ntimeout = \"40s\"\nstop_timeout = \"2s\"\n{update}[update.docker]\n{host}{image}{docker}\n\
             [traffic]\ndriver = \"none\"\n[journal]\ndir = \"{}\"\n",
            self.path("journal").display()
        );
        config::read(&self.path("rollout.toml"), &text, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The driver for it.
    pub(crate) fn driver(&self, port: u16, docker: &str) -> (Arc<dyn FleetDriver>, Target) {
        driver(&self.config(port, docker))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            // What it left running is only found again by a daemon.
            let runtime = std::thread::scope(|scope| {
                scope
                    .spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(self.up()))
                    .join()
            });
            drop(runtime);
        }
        for (list, remove) in [(["ps", "-aq"], ["rm", "-fv"]), (["network", "ls"], ["network", "rm"])] {
            let list: Vec<&str> =
                if list[0] == "ps" { list.to_vec() } else { vec!["network", "ls", "-q", "--filter=type=custom"] };
            let found = self.ask(&list).unwrap_or_default();
            if !found.is_empty() {
                drop(self.ask(&[&remove[..], &found.lines().collect::<Vec<_>>()].concat()));
            }
        }
        self.down(Signal::TERM);
        // One that outlived a daemon that was killed.
        let containerd = fs::read_to_string(self.path("exec/containerd/containerd.pid")).unwrap_or_default();
        if let Some(pid) = containerd.trim().parse().ok().and_then(Pid::from_raw) {
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
        // A daemon that was killed has not taken its own away either.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(self.dir.path()));
        for at in ours.collect::<Vec<_>>().into_iter().rev() {
            drop(Command::new("umount").args(["-l", at]).output());
        }
        drop(Command::new("ip").args(["link", "delete", &self.bridge]).output());
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn driver(config: &Config) -> (Arc<dyn FleetDriver>, Target) {
    rollout::fleet::prepare(&config.fleet).unwrap();
    (rollout::fleet::build(&config.fleet).unwrap(), config.targets[0].clone())
}

pub(crate) fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

/// The order of an attempt within a deployment.
pub(crate) fn order(target: &Target, (from, to): (&str, &str), (deployment, attempt): (u32, u32)) -> UpdateOrder {
    let effect = EffectId::new(&DeploymentId::new("shop", deployment), Some(&target.id), "update", attempt);
    let previous = Some(from).filter(|from| !from.is_empty()).map(version);
    UpdateOrder { effect, target: target.clone(), version: version(to), previous }
}

/// Carries out the order of an attempt within a deployment.
pub(crate) async fn update(
    driver: &dyn FleetDriver,
    target: &Target,
    from_to: (&str, &str),
    number: (u32, u32),
) -> Result<(), FleetError> {
    driver.update(&order(target, from_to, number)).await
}

/// What a container answers at its published port.
pub(crate) async fn answer(port: u16, path: &str) -> Option<String> {
    let url = format!("http://127.0.0.1:{port}/{path}");
    let response = CLIENT.get(url).send().await.ok()?;
    if response.status().is_success() { response.text().await.ok() } else { None }
}

/// Waits until the port answers with a version.
pub(crate) async fn serves(port: u16, version: &str) {
    wait_for(&format!("{version} at {port}"), async || (answer(port, "version").await.as_deref() == Some(version)).then_some(()))
        .await;
}
