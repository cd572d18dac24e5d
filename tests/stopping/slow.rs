//! A fleet whose update is a program that takes its time and writes down what happens to it, and an engine that is this
//! process's own child.

use std::path::PathBuf;
use std::process::{Child, ExitStatus};

use rollout::command::Command as Order;
use rollout::control::Client;
use rollout::demo::world::Lb;
use rollout::os::process;
use rollout::ports::Session as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::temp_dir;
use crate::fleet::{Fleet, Ran, read};

/// Waits while the file `hold` is there. Told to end, it takes three tenths of a second for its own affairs, or none.
const UPDATE: &str = r#"
cd "$1" || exit 99
echo "$0 began $$" >> log
trap '[ -e deaf ] && : || { echo "$0 told" >> log; trap "" TERM; sleep 0.3; echo "$0 cleaned" >> log; exit 143; }' TERM
while [ -e hold ]; do sleep 0.02; done
echo "$2" > "$0.version"
echo "$0 ended" >> log"#;
/// Waits while the file `blind` is there.
const OBSERVE: &str = r#"
cd "$1" || exit 99
[ -e blind ] && echo "$0 began $$" >> log
while [ -e blind ]; do sleep 0.02; done
cat "$0.version" 2>/dev/null || echo v1"#;

pub(crate) fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Two instances that such a program updates, one after the other.
pub(crate) struct Slow {
    pub(crate) fleet: Fleet,
    dir: TempDir,
}

impl Slow {
    pub(crate) fn start(sets: &[&str]) -> Self {
        let dir = temp_dir();
        let mut fleet =
            Fleet::start(2, Lb::Builtin, &["strategy.batch_pause=100ms", "strategy.batch_size=1", "strategy.max_unavailable=1"]);
        let path = dir.path().display().to_string();
        let script = |script: &str, more: &[&str]| {
            let argv = [&["sh", "-c", script, "{{ instance.id }}", path.as_str()], more].concat();
            Value::from(argv.into_iter().map(Value::from).collect::<Vec<_>>()).to_string()
        };
        fleet.sets.extend([
            "fleet.driver=command".to_owned(),
            format!("fleet.dir={path}"),
            format!("update.command={}", script(UPDATE, &["{{ version }}"])),
            "update.start=[\"true\"]".to_owned(),
            "update.idempotent=true".to_owned(),
            format!("update.observe={}", script(OBSERVE, &[])),
            format!("health.version={{ command = {}, regex = \"(.+)\" }}", script(OBSERVE, &[])),
        ]);
        fleet.sets.extend(sets.iter().map(ToString::to_string));
        Self { fleet, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// From now on updates wait.
    pub(crate) fn hold(&self) {
        std::fs::write(self.file("hold"), "").unwrap();
    }

    pub(crate) fn let_go(&self) {
        std::fs::remove_file(self.file("hold")).unwrap();
    }

    /// From now on updates do not hear SIGTERM.
    pub(crate) fn make_deaf(&self) {
        std::fs::write(self.file("deaf"), "").unwrap();
    }

    /// From now on nobody is told which version an instance runs.
    pub(crate) fn make_blind(&self) {
        std::fs::write(self.file("blind"), "").unwrap();
    }

    /// What updates wrote down since the last [`Slow::forget`].
    pub(crate) fn log(&self) -> String {
        read(&self.file("log"))
    }

    pub(crate) fn forget(&self) {
        std::fs::write(self.file("log"), "").unwrap();
    }

    /// The process group of the first program that wrote its own down.
    pub(crate) fn group(&self) -> i32 {
        self.fleet.wait("an update runs", || {
            let log = self.log();
            log.lines().find_map(|line| line.split_once(" began ")?.1.parse().ok())
        })
    }

    /// An engine of its own, told to begin.
    pub(crate) fn engine(&self, version: &str) -> Engine {
        let mut child = self.fleet.spawn(&["engine", "--version", version, "--started-by", "ana"]);
        let socket = self.fleet.service_dir().join("engine.sock");
        let pid = i32::try_from(child.id()).unwrap();
        self.fleet.wait("its socket", || {
            assert!(child.try_wait().unwrap().is_none(), "it did not come up");
            (self.fleet.engine_pid() == Some(pid)).then_some(())
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::connect(&socket).await.unwrap();
            client.send(Order::Start, None).await.unwrap();
        });
        Engine { child, pid }
    }

    /// Waits until the engine's log has this.
    pub(crate) fn logged(&self, text: &str) {
        let path = self.fleet.service_dir().join("engine.log");
        self.fleet.wait(text, || read(&path).contains(text).then_some(()));
    }

    pub(crate) fn new_log(&self) {
        std::fs::write(self.fleet.service_dir().join("engine.log"), "").ok();
    }

    /// Brings everything back, whatever became of the deployment, so that the next one begins as this one did.
    pub(crate) fn restore(&self) {
        if self.fleet.status().unwrap()["status"] == "interrupted" {
            assert_eq!(self.fleet.run(&["recover", "--detach"]).code, Some(0));
        }
        let back = self.fleet.run(&["rollback", "--reason", "again"]);
        assert_eq!(back.code, Some(0), "{}{}", back.out, back.err);
        self.fleet.wait("no engine", || self.fleet.engine_pid().is_none().then_some(()));
        self.forget();
        self.new_log();
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        std::fs::remove_file(self.file("hold")).ok();
        // Whatever a failed test left.
        for line in self.log().lines() {
            if let Some(group) = line.split_once(" began ").and_then(|(_, group)| group.parse().ok()) {
                process::signal_group(group, Signal::KILL).ok();
            }
        }
    }
}

/// An engine that this process waits for itself.
pub(crate) struct Engine {
    child: Child,
    pub(crate) pid: i32,
}

impl Engine {
    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

/// Facts of the last deployment of a kind.
pub(crate) fn facts(fleet: &Fleet, kind: &str) -> Vec<Value> {
    let id = fleet.status().unwrap()["deployment"].as_str().unwrap().to_owned();
    let ran: Ran = fleet.run(&["events", &id, "--output", "json"]);
    ran.lines().into_iter().filter(|line| line["type"] == kind).collect()
}
