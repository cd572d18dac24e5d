//! A real fleet for a test: the demo's instances and balancer, driven by the program's own binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollout::config::{self, Config};
use rollout::demo::world::{Lb, Spec, World};
use rollout::model::{DeploymentId, EffectId, InstanceId, Rotation, Span, Target, Version};
use rollout::ports::UpdateOrder;
use serde_json::Value;

use crate::common::wait_for;

/// The program.
pub(crate) fn rollout() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rollout"))
}

/// One fleet at a time: two would take each other the processor away, and a failed request would prove nothing.
static ALONE: Mutex<()> = Mutex::new(());

/// Holds until the value is dropped.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    // A test that failed while it held the lock left nothing behind that matters.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Instances on `v1` behind a balancer; all of it ends with the value.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) config: Config,
    pub(crate) sets: Vec<String>,
    runtime: Arc<tokio::runtime::Runtime>,
    _alone: MutexGuard<'static, ()>,
}

impl Fleet {
    pub(crate) fn start(instances: u32, lb: Lb, sets: &[&str]) -> Self {
        let alone = alone();
        let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let (world, config) = runtime.block_on(async {
            let world = World::prepare(&Spec { instances, lb, instance_exe: rollout() }).await.unwrap();
            let config = config::load(&world.config_path(), &sets, &|_| None).unwrap_or_else(|e| panic!("{e}"));
            rollout::fleet::prepare(&config.fleet).unwrap();
            let traffic = rollout::traffic::build(&config.traffic).unwrap();
            for target in &config.targets {
                bring(&config, target, "v1").await;
            }
            wait_for("the fleet serves", async || {
                let read = traffic.read(&config.targets).await.ok()?;
                config.targets.iter().all(|t| read.get(&t.id) == Some(&Rotation::Serving)).then_some(())
            })
            .await;
            (world, config)
        });
        Self { world, config, sets, runtime, _alone: alone }
    }

    /// Brings one instance to a version, past all deployments.
    pub(crate) fn update(&self, instance: &InstanceId, version: &str) {
        let target = self.config.targets.iter().find(|target| target.id == *instance).unwrap();
        self.runtime.block_on(bring(&self.config, target, version));
    }

    /// `rollout --config … --set … ARGS`, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(rollout());
        command.arg("--config").arg(self.world.config_path());
        for set in &self.sets {
            command.args(["--set", set]);
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Starts it in the background.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub(crate) fn service_dir(&self) -> PathBuf {
        self.world.state_dir().join("demo.default")
    }

    /// What `status --output json` says, if it says anything.
    pub(crate) fn status(&self) -> Option<Value> {
        serde_json::from_str(self.run(&["status", "--output", "json"]).out.trim()).ok()
    }

    /// Waits until the status fulfils `condition`.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let found = wait_for(what, async || self.status().filter(|status| condition(status)));
        self.runtime.block_on(found)
    }

    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        self.runtime.block_on(wait_for(what, async || look()))
    }

    /// The process that runs the deployment.
    pub(crate) fn engine_pid(&self) -> Option<i32> {
        rollout::control::engine_pid(&self.service_dir().join("engine.sock"))
    }

    /// The log of the instances and of the balancer: time in milliseconds and text, in order.
    pub(crate) fn logs(&self) -> Vec<(u64, String)> {
        let mut files = vec![self.world.balancer_log()];
        for target in &self.config.targets {
            files.push(self.world.processes_dir().join(format!("{}.log", target.id)));
        }
        let lines = files.iter().flat_map(|file| read(file).lines().map(ToOwned::to_owned).collect::<Vec<_>>());
        let mut lines: Vec<(u64, String)> = lines
            .filter_map(|line| {
                let (at, text) = line.split_once(' ')?;
                let at: rollout::model::Timestamp = serde_json::from_value(Value::from(at)).ok()?;
                Some((at.as_millis(), text.to_owned()))
            })
            .collect();
        lines.sort();
        lines
    }
}

async fn bring(config: &Config, target: &Target, version: &str) {
    let effect = EffectId::new(&DeploymentId::new("demo", 0), Some(&target.id), version, 1);
    let order = UpdateOrder { effect, target: target.clone(), version: Version::new(version).unwrap(), previous: None };
    rollout::fleet::build(&config.fleet).unwrap().update(&order).await.unwrap();
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(pid) = self.engine_pid().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
        self.runtime.block_on(rollout::fleet::stop_recorded(&self.world.processes_dir(), Span::from_millis(500)));
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn ended(child: Child) -> Self {
        Self::of(child.wait_with_output().unwrap())
    }

    /// Every line of standard output, as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    pub(crate) fn summaries(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["type"] == "summary").collect()
    }

    pub(crate) fn summary(&self) -> Value {
        self.summaries().pop().unwrap_or_else(|| panic!("no summary: {self:?}"))
    }
}
