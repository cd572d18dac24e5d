//! A service on `v1` behind its balancer, driven by the program's own binary.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::MutexGuard;

use rollout::config::{self, Config};
use rollout::model::{DeploymentId, EffectId, Rotation, Target, Version};
use rollout::ports::{StopOrder, UpdateOrder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::balancers::{self, Balancer, Running};
use crate::common::{free_port, server, temp_dir, wait_for};
use crate::fleet::{Ran, alone, rollout};
use crate::fleets::{self, Fleet, Kind};

/// An instance or a spare.
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) port: u16,
}

/// All of it; it ends with the value.
pub(crate) struct Site {
    pub(crate) balancer: Balancer,
    port: u16,
    config: Config,
    file: PathBuf,
    runtime: Runtime,
    _balancer: Running,
    _fleet: Fleet,
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Site {
    /// So many instances and spares; `more` is added to `[strategy]`. `None` if a server is missing, which has been said.
    pub(crate) fn start(kind: Kind, balancer: Balancer, (instances, spares): (usize, usize), more: &str) -> Option<Self> {
        let alone = alone();
        server("hey")?;
        let dir = temp_dir();
        let member = |n: usize| Member { id: format!("web-{n}"), port: free_port() };
        let mut all: Vec<Member> = (1..=instances + spares).map(member).collect();
        let port = free_port();
        let running = balancers::start(balancer, dir.path(), port, &all)?;
        let fleet = fleets::prepare(kind, dir.path())?;
        let spares = all.split_off(instances);
        let file = dir.path().join("rollout.toml");
        let text = format!(
            "[service]\nname = \"shop\"\n\n[fleet]\n{}\n{}\n{}
[drain]\ntimeout = \"10s\"\n
[health]\ninterval = \"200ms\"\nversion = {{ json = \"/version\" }}\n
[vip]\nurl = \"http://127.0.0.1:{port}/\"\nrate = 20\n
[strategy]\nbatch_size = 2\nbatch_pause = \"300ms\"\n{more}
[journal]\ndir = \"{}\"\n",
            fleet.config,
            fleets::members(&all, &spares),
            running.config,
            dir.path().join("state").display(),
        );
        std::fs::write(&file, text).unwrap();
        let config = config::load(&file, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        rollout::fleet::prepare(&config.fleet).unwrap();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(bring_up(&config));
        Some(Self { balancer, port, config, file, runtime, _balancer: running, _fleet: fleet, dir, _alone: alone })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(rollout());
        command.arg("--config").arg(&self.file).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// Requests of our probe that met the end of their connection.
    pub(crate) fn kept_connections_lost(&self) -> u64 {
        self.log().lines().filter(|line| line.contains("on a kept connection: connection ")).count() as u64
    }

    /// What the engine's log says of requests that failed.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("state/shop.default/engine.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("request")).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the status fulfils `condition`.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let status = || serde_json::from_str(self.run(&["status", "--output", "json"]).out.trim()).ok();
        self.runtime.block_on(wait_for(what, async || status().filter(|status| condition(status))))
    }

    /// Waits until `look` finds something; it may ask the balancer and the fleet.
    pub(crate) fn wait<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
        self.runtime.block_on(wait_for(what, look))
    }

    /// What the balancer says of an instance or a spare.
    pub(crate) async fn rotation(&self, id: &str) -> Rotation {
        let target = self.everybody().find(|target| target.id.as_str() == id).unwrap().clone();
        let traffic = rollout::traffic::build(&self.config.traffic).unwrap();
        traffic.read(std::slice::from_ref(&target)).await.unwrap()[&target.id]
    }

    /// Whether anything runs at its place.
    pub(crate) fn runs(&self, id: &str) -> bool {
        let target = self.everybody().find(|target| target.id.as_str() == id).unwrap().clone();
        let fleet = rollout::fleet::build(&self.config.fleet).unwrap();
        self.runtime.block_on(fleet.observe(&target)).unwrap().running != Some(false)
    }

    fn everybody(&self) -> impl Iterator<Item = &Target> {
        self.config.targets.iter().chain(self.config.spares())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let socket = self.dir.path().join("state/shop.default/engine.sock");
        if let Some(pid) = rollout::control::engine_pid(&socket).and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
        let fleet = rollout::fleet::build(&self.config.fleet).unwrap();
        self.runtime.block_on(async {
            for target in self.everybody() {
                let effect = EffectId::new(&DeploymentId::new("shop", 0), Some(&target.id), "stop", 1);
                let version = Version::new("v1").unwrap();
                fleet.stop(&StopOrder { effect, target: target.clone(), version }).await.ok();
            }
        });
    }
}

/// Everybody on `v1`, serving.
async fn bring_up(config: &Config) {
    let fleet = rollout::fleet::build(&config.fleet).unwrap_or_else(|why| panic!("{why}"));
    let traffic = rollout::traffic::build(&config.traffic).unwrap_or_else(|why| panic!("{why}"));
    let started = config.targets.iter().map(async |target| {
        let effect = EffectId::new(&DeploymentId::new("shop", 0), Some(&target.id), "update", 1);
        let order = UpdateOrder { effect, target: target.clone(), version: Version::new("v1").unwrap(), previous: None };
        fleet.update(&order).await.unwrap_or_else(|why| panic!("{why}"));
    });
    futures::future::join_all(started).await;
    wait_for("the fleet serves", async || {
        let read = traffic.read(&config.targets).await.ok()?;
        config.targets.iter().all(|t| read.get(&t.id) == Some(&Rotation::Serving)).then_some(())
    })
    .await;
}
