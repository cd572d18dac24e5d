//! The demo's small world: a private directory, reserved ports, the effective `rollout.toml`, and a balancer at work.
//!
//! Imports: model, its siblings haproxy, proxy, reserve. May not: start an instance (the fleet driver does), or leave anything behind.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::effective::{self, Places};
use super::haproxy::{self, HaproxySetup};
use super::reserve::Reserved;
use crate::model::{InstanceId, Target};

/// The smallest fleet: with one instance nothing would serve while it is updated.
pub const INSTANCES_MIN: u32 = 2;
/// The largest fleet that a demo on one machine is meant for.
pub const INSTANCES_MAX: u32 = 500;
/// The backend's name at the balancer.
pub const BACKEND: &str = "be_demo";
/// Requests a second of the probe through the balancer. At this rate six slow requests are under way at any time: a
/// drain that does not wait for them cuts some in every run, and the probe says so.
pub const VIP_RATE: u32 = 320;
/// As before, for a large fleet, whose processes need the machine.
pub const VIP_RATE_LARGE: u32 = 120;
/// From how many instances on a fleet is large.
const LARGE: usize = 50;

/// Longest path of the world's directory. The path of a Unix socket has at most 107 bytes, and the engine's lies deeper.
const DIR_MAX: usize = 56;
/// How long the balancer may take to answer for the first time.
const BALANCER_START: Duration = Duration::from_secs(10);
/// How long it may take to end when asked to.
const BALANCER_STOP: Duration = Duration::from_secs(2);
/// How often to look whether it answers.
const LOOK: Duration = Duration::from_millis(20);

/// Which balancer stands before the instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Lb {
    /// The small one of this program.
    #[default]
    Builtin,
    /// A real HAProxy.
    Haproxy,
}

/// What kind of world.
#[derive(Debug, Clone)]
pub struct Spec {
    /// How many instances, from 2.
    pub instances: u32,
    /// Which balancer.
    pub lb: Lb,
    /// This program: it is also the instances' and the built-in balancer's.
    pub instance_exe: PathBuf,
}

/// Why there is no world, or why it did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The size is out of range.
    #[error("a demo has {INSTANCES_MIN} to {INSTANCES_MAX} instances, not {0}")]
    Instances(u32),
    /// A file, directory or port is not to be had.
    #[error("the demo cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// HAProxy is wanted and not there.
    #[error("haproxy is not installed: apt install haproxy, or leave --lb out to use the built-in balancer")]
    NoHaproxy,
    /// The balancer ended or did not answer; `log` is what it said.
    #[error("the demo's balancer {what}; its log says: {log}")]
    Balancer {
        /// What happened.
        what: String,
        /// The end of its log.
        log: String,
    },
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> WorldError {
    move |source| WorldError::Io { what, source }
}

/// A prepared world. Dropping it kills the balancer and removes the directory; instances must have been stopped before.
#[derive(Debug)]
pub struct World {
    // First, so that the balancer ends before its directory goes.
    balancer: Option<Child>,
    targets: Vec<Target>,
    port: u16,
    exe: PathBuf,
    _reserved: Vec<Reserved>,
    dir: TempDir,
}

impl World {
    /// Makes the directory, reserves the ports, writes the effective file, starts the balancer and waits until it answers.
    ///
    /// # Errors
    /// Fails, leaving nothing behind, if any of that does not work.
    pub async fn prepare(spec: &Spec) -> Result<Self, WorldError> {
        if !(INSTANCES_MIN..=INSTANCES_MAX).contains(&spec.instances) {
            return Err(WorldError::Instances(spec.instances));
        }
        let dir = directory().map_err(io_error("make its directory"))?;
        let mut reserved = Vec::new();
        for _ in 0..=spec.instances {
            reserved.push(Reserved::any().map_err(io_error("reserve a port"))?);
        }
        let port = reserved.last().map_or(0, Reserved::port);
        let targets =
            (1..=spec.instances).zip(&reserved).map(|(number, reserved)| target(number, spec.instances, reserved.port()));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let mut world = Self { balancer: None, targets, port, exe: spec.instance_exe.clone(), _reserved: reserved, dir };
        fs::write(world.config_path(), effective_config(&world)).map_err(io_error("write its rollout.toml"))?;
        world.start_balancer(spec.lb).await?;
        Ok(world)
    }

    /// The effective `rollout.toml`.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("rollout.toml")
    }

    /// The directory that holds everything of the demo.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `[journal] dir`.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// `[fleet] dir`: records and logs of the instances' processes.
    pub fn processes_dir(&self) -> PathBuf {
        self.dir.path().join("processes")
    }

    /// Where the balancer's runtime API listens.
    pub fn admin_socket(&self) -> PathBuf {
        self.dir.path().join("lb.sock")
    }

    /// What the balancer wrote to its standard output and error.
    pub fn balancer_log(&self) -> PathBuf {
        self.dir.path().join("balancer.log")
    }

    /// Where clients reach the service: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The instances, none of them started.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Stops the balancer and removes the directory. The instances must have been stopped before.
    ///
    /// # Errors
    /// Fails if the directory cannot be removed.
    pub async fn close(mut self) -> Result<(), WorldError> {
        if let Some(mut balancer) = self.balancer.take() {
            signal_group(&balancer, Signal::TERM);
            if timeout(BALANCER_STOP, balancer.wait()).await.is_err() {
                signal_group(&balancer, Signal::KILL);
                balancer.wait().await.map_err(io_error("end its balancer"))?;
            }
        }
        self.dir.close().map_err(io_error("remove its directory"))
    }

    async fn start_balancer(&mut self, lb: Lb) -> Result<(), WorldError> {
        let (program, arguments) = self.balancer_command(lb)?;
        let output = File::create(self.balancer_log()).map_err(io_error("write its balancer's log"))?;
        let errors = output.try_clone().map_err(io_error("write its balancer's log"))?;
        let balancer = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A group of its own: Ctrl-C at the terminal is not for it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(io_error("start its balancer"))?;
        let balancer = self.balancer.insert(balancer);
        let socket = self.dir.path().join("lb.sock");
        let until = Instant::now() + BALANCER_START;
        let what = loop {
            if answers(&socket).await {
                return Ok(());
            }
            match balancer.try_wait() {
                Ok(None) if Instant::now() < until => sleep(LOOK).await,
                Ok(None) => break format!("did not answer within {} s", BALANCER_START.as_secs()),
                Ok(Some(status)) => break format!("ended at once ({status})"),
                Err(error) => break format!("cannot be watched: {error}"),
            }
        };
        Err(WorldError::Balancer { what, log: last_lines(&self.balancer_log()) })
    }

    fn balancer_command(&self, lb: Lb) -> Result<(PathBuf, Vec<OsString>), WorldError> {
        let count = u64::try_from(self.targets.len()).unwrap_or(u64::MAX);
        // At most 200 checks a second in all, on a machine that runs the whole fleet too.
        let at_least_ms = count.saturating_mul(5);
        let admin_socket = self.admin_socket();
        match lb {
            Lb::Builtin => {
                let mut arguments: Vec<OsString> = vec!["demo-proxy".into(), "--port".into(), self.port.to_string().into()];
                arguments.extend(["--admin-socket".into(), admin_socket.into(), "--backend".into(), BACKEND.into()]);
                arguments.extend(["--check-ms".into(), at_least_ms.max(250).to_string().into()]);
                for target in &self.targets {
                    arguments.extend(["--server".into(), format!("{}=127.0.0.1:{}", target.id, target.port).into()]);
                }
                Ok((self.exe.clone(), arguments))
            }
            Lb::Haproxy => {
                let program = find_haproxy().ok_or(WorldError::NoHaproxy)?;
                let servers: Vec<_> = self.targets.iter().map(|target| (target.id.to_string(), target.port)).collect();
                let text = haproxy::config(&HaproxySetup {
                    admin_socket: &admin_socket,
                    port: self.port,
                    backend: BACKEND,
                    servers: &servers,
                    check_ms: at_least_ms.max(200),
                });
                let file = self.dir.path().join("haproxy.cfg");
                fs::write(&file, text).map_err(io_error("write its haproxy.cfg"))?;
                Ok((program, haproxy::arguments(&file).into()))
            }
        }
    }
}

/// Where `haproxy` is: on the path, or where Debian puts it, which is not on everybody's path.
pub fn find_haproxy() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    folders.map(|folder| folder.join("haproxy")).find(|file| file.is_file())
}

/// A private directory whose path leaves room for sockets in it.
fn directory() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("rollout-demo-").permissions(Permissions::from_mode(0o700));
    let dir = builder.tempdir()?;
    if dir.path().as_os_str().as_bytes().len() <= DIR_MAX {
        return Ok(dir);
    }
    builder.tempdir_in("/tmp")
}

fn target(number: u32, of: u32, port: u16) -> Result<Target, WorldError> {
    let name = if of < 100 { format!("web-{number:02}") } else { format!("web-{number:03}") };
    let id =
        InstanceId::new(&name).map_err(|error| WorldError::Io { what: "name an instance", source: io::Error::other(error) })?;
    let zone = ["a", "b", "c"].iter().cycle().nth((number as usize).wrapping_sub(1) % 3).map(|zone| (*zone).to_owned());
    Ok(Target { id, host: "127.0.0.1".to_owned(), port, zone, labels: std::collections::BTreeMap::new() })
}

/// The text of the demo's effective `rollout.toml`.
fn effective_config(world: &World) -> String {
    effective::config(&Places {
        targets: &world.targets,
        exe: &world.exe.to_string_lossy(),
        processes: &world.processes_dir().to_string_lossy(),
        socket: &world.admin_socket().to_string_lossy(),
        backend: BACKEND,
        url: &world.url(),
        rate: if world.targets.len() < LARGE { VIP_RATE } else { VIP_RATE_LARGE },
        state: &world.state_dir().to_string_lossy(),
    })
}

/// True if the runtime API behind the socket answers.
async fn answers(socket: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"show info\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        io::Result::Ok(answer.contains("Uptime_sec:"))
    };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}

/// Signals the balancer's process group. One that is gone needs no signal.
fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        kill_process_group(pid, signal).ok();
    }
}

fn last_lines(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let whole = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = whole.lines().rev().take(5).collect();
    if lines.is_empty() { "(nothing)".to_owned() } else { lines.into_iter().rev().collect::<Vec<_>>().join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(instances: u32, exe: &str) -> World {
        let targets = (1..=instances).map(|n| target(n, instances, 8100 + u16::try_from(n).unwrap()).unwrap()).collect();
        let dir = directory().unwrap();
        World { balancer: None, targets, port: 8080, exe: exe.into(), _reserved: Vec::new(), dir }
    }

    #[test]
    fn the_effective_file_reads_back_with_every_instance_and_the_templates_whole() {
        let world = world(20, "/opt/a \"b\"/rollout");
        let table: toml::Table = effective_config(&world).parse().unwrap();
        let instances = table["fleet"]["instance"].as_array().unwrap();
        assert_eq!(instances.len(), 20);
        assert_eq!(instances[3]["id"].as_str(), Some("web-04"));
        assert_eq!(instances[3]["zone"].as_str(), Some("a"));
        assert_eq!(instances[4]["zone"].as_str(), Some("b"));
        let start: Vec<_> = table["update"]["start"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(
            start,
            [
                "/opt/a \"b\"/rollout",
                "demo-instance",
                "--id",
                "{{ instance.id }}",
                "--port",
                "{{ instance.port }}",
                "--version",
                "{{ version }}"
            ]
        );
        let urls = table["vip"]["url"].as_array().unwrap();
        assert_eq!(urls.iter().filter(|url| url.as_str().unwrap().ends_with("/slow?ms=200")).count() * 10, urls.len());
        assert_eq!(table["traffic"]["sockets"][0].as_str(), Some(format!("unix:{}", world.admin_socket().display()).as_str()));
        assert_eq!(table["health"]["version"]["header"].as_str(), Some("X-Version"));
    }

    #[test]
    fn names_keep_their_order_when_sorted() {
        for of in [2, 20, 99, 100, 200, 500] {
            let names: Vec<_> = (1..=of).map(|n| target(n, of, 1).unwrap().id).collect();
            assert!(names.is_sorted(), "{of}");
        }
    }

    #[test]
    fn the_directory_is_private_and_its_path_short_enough_for_sockets() {
        let dir = directory().unwrap();
        assert!(dir.path().as_os_str().len() <= DIR_MAX, "{}", dir.path().display());
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn a_size_out_of_range_is_refused() {
        let spec = Spec { instances: 1, lb: Lb::Builtin, instance_exe: "rollout".into() };
        let error = World::prepare(&spec).await.unwrap_err();
        assert_eq!(error.to_string(), "a demo has 2 to 500 instances, not 1");
    }

    #[tokio::test]
    async fn a_balancer_that_ends_at_once_is_told_with_its_log() {
        let spec = Spec { instances: 2, lb: Lb::Builtin, instance_exe: "/bin/false".into() };
        let error = World::prepare(&spec).await.unwrap_err().to_string();
        assert!(error.contains("ended at once") && error.contains("(nothing)"), "{error}");
    }
}
