//! A deployment by the program itself: instances that scripts stop and start, behind a real HAProxy.
//!
//! Imports: the demo's world, the drivers. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{server, temp_dir, wait_for};
use rollout::config::{self, Config};
use rollout::demo::world::{Lb, Spec, World};
use rollout::model::{DeploymentId, EffectId, Rotation, Version};
use rollout::ports::UpdateOrder;
use serde_json::Value;
use tempfile::TempDir;

const SECRET: &str = "tok-12345678";

/// Ends the process of an instance and waits until it is gone.
const STOP: &str = r#"
cd "$1" || exit 99
[ -f "$0.pid" ] || exit 0
read -r pid < "$0.pid"
kill "$pid" 2>/dev/null
while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
rm -f "$0.pid""#;
/// Installs a version; two of them cannot be.
const INSTALL: &str = r#"
cd "$1" || exit 99
case "$2" in
v4*) echo "fetching with $TOKEN" >&2; echo "no space left on device" >&2; exit 7 ;;
v5*) exit 0 ;;
esac
echo "$2" > "$0.version""#;
/// Starts what is installed, in a session of its own.
const START: &str = r#"
cd "$1" || exit 99
read -r version < "$0.version"
setsid "$3" demo-instance --id "$0" --port "$2" --version "$version" >> "$0.log" 2>&1 < /dev/null &
echo $! > "$0.pid""#;
/// Prints the version; exit code 3 if nothing runs.
const OBSERVE: &str = r#"
cd "$1" || exit 99
read -r pid < "$0.pid" 2>/dev/null || exit 3
grep -q '^State:.[RSDI]' "/proc/$pid/status" 2>/dev/null || exit 3
cat "$0.version""#;

/// Speaks to HAProxy as an operator's own script might: `order` sends a command, `state` and `sessions` read a server.
const BALANCER: &str = r#"
use IO::Socket::UNIX;
my ($path, $what, $server) = @ARGV;
my $socket = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!\n";
if ($what eq "drain" || $what eq "ready") {
    print $socket "set server be_demo/$server state $what\n";
    print <$socket>;
} elsif ($what eq "sessions") {
    print $socket "show stat\n";
    while (<$socket>) {
        my @field = split /,/;
        print $field[4] if $field[0] eq "be_demo" && $field[1] eq $server;
    }
} else {
    print $socket "show servers state be_demo\n";
    while (<$socket>) {
        my ($server_name, $up, $admin) = (split / /)[3, 5, 6];
        next unless defined $admin && $server_name eq $server;
        # One that was taken out is out, whatever the balancer's own check says.
        print $admin & 1 ? "maintenance" : $admin & 8 ? "drained" : $up == 2 ? "running" : "down";
    }
}
"#;

/// Four instances on `v1` that scripts take care of; all of it ends with the value.
struct Fleet {
    world: World,
    config: Config,
    sets: Vec<String>,
    dir: TempDir,
}

fn toml(argv: &[&str]) -> String {
    Value::from(argv.iter().map(|element| Value::from(*element)).collect::<Vec<_>>()).to_string()
}

fn env(name: &str) -> Option<String> {
    (name == "SHOP_TOKEN").then(|| SECRET.to_owned())
}

impl Fleet {
    /// `more` are further settings, which may use the path of the balancer's socket.
    async fn start(more: impl FnOnce(&str) -> Vec<String>) -> Self {
        let (dir, exe) = (temp_dir(), PathBuf::from(env!("CARGO_BIN_EXE_rollout")));
        let world = World::prepare(&Spec { instances: 4, lb: Lb::Haproxy, instance_exe: exe.clone() }).await.expect("a world");
        let (path, exe) = (dir.path().display().to_string(), exe.display().to_string());
        let script =
            |script: &str, more: &[&str]| toml(&[&["sh", "-c", script, "{{ instance.id }}", path.as_str()], more].concat());
        let sets = [
            "fleet.driver=command".to_owned(),
            format!("fleet.dir={path}"),
            format!("update.stop={}", script(STOP, &[])),
            format!("update.command={}", script(INSTALL, &["{{ version }}"])),
            format!("update.start={}", script(START, &["{{ instance.port }}", exe.as_str()])),
            format!("update.observe={{ command = {}, not_running = 3 }}", script(OBSERVE, &[])),
            "update.env={ TOKEN = \"${SHOP_TOKEN}\" }".to_owned(),
            "strategy.batch_pause=300ms".to_owned(),
        ];
        let sets = [sets.to_vec(), more(&world.admin_socket().display().to_string())].concat();
        let config = config::load(&world.config_path(), &sets, &env).unwrap_or_else(|e| panic!("{e}"));
        let fleet = rollout::fleet::build(&config.fleet).expect("a fleet");
        let traffic = rollout::traffic::build(&config.traffic).expect("a balancer");
        for target in &config.targets {
            let effect = EffectId::new(&DeploymentId::new("demo", 0), Some(&target.id), "update", 1);
            let version = Version::new("v1").expect("a version");
            fleet.update(&UpdateOrder { effect, target: target.clone(), version, previous: None }).await.expect("an update");
        }
        wait_for("the fleet serves", async || {
            let read = traffic.read(&config.targets).await.ok()?;
            config.targets.iter().all(|t| read.get(&t.id) == Some(&Rotation::Serving)).then_some(())
        })
        .await;
        Self { world, config, sets, dir }
    }

    fn deploy(&self, version: &str, more: &[&str]) -> Output {
        // A deployment that waits for a person would wait for ever.
        let mut command = Command::new("timeout");
        command.args(["120", env!("CARGO_BIN_EXE_rollout"), "--config"]).arg(self.world.config_path());
        for set in self.sets.iter().map(String::as_str).chain(more.iter().copied()) {
            command.args(["--set", set]);
        }
        command.args(["deploy", version, "--yes", "--output", "json"]).env("SHOP_TOKEN", SECRET);
        command.stdin(Stdio::null()).output().expect("the program runs")
    }

    fn versions(&self) -> Vec<String> {
        let version = |id: &str| fs::read_to_string(self.dir.path().join(format!("{id}.version"))).unwrap_or_default();
        self.config.targets.iter().map(|target| version(target.id.as_str()).trim().to_owned()).collect()
    }

    fn pids(&self) -> Vec<i32> {
        let pid = |id: &str| fs::read_to_string(self.dir.path().join(format!("{id}.pid"))).ok()?.trim().parse().ok();
        self.config.targets.iter().filter_map(|target| pid(target.id.as_str())).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let engine = rollout::control::engine_pid(&self.world.state_dir().join("demo.default/engine.sock"));
        for pid in self.pids().into_iter().chain(engine).filter_map(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn summary(output: &Output) -> Value {
    let found = lines(output).into_iter().find(|line| line["type"] == "summary");
    found.unwrap_or_else(|| panic!("no summary: {}", String::from_utf8_lossy(&output.stderr)))
}

fn reason(output: &Output) -> String {
    let failed = lines(output).into_iter().find(|line| line["type"] == "instance_failed").expect("a failure");
    failed.get("reason").and_then(Value::as_str).expect("a reason").to_owned()
}

#[tokio::test]
async fn a_fleet_of_scripts_is_deployed_and_brought_back_without_a_failed_request() {
    if server("haproxy").is_none() {
        return;
    }
    let fleet = Fleet::start(|_socket| Vec::new()).await;
    let pids = fleet.pids();
    // D8: found before anything is touched.
    let missing = fleet.deploy("v2", &["update.stop=[\"no-such-program\"]"]);
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned() + &String::from_utf8_lossy(&missing.stdout);
    assert!(said.contains("no-such-program is in no directory of PATH"), "{said}");
    assert_eq!(fleet.pids(), pids, "nothing was touched");

    let good = fleet.deploy("v2", &[]);
    let done = summary(&good);
    assert_eq!((good.status.code(), &done["status"], &done["updated"]), (Some(0), &"completed".into(), &4.into()), "{done}");
    assert_eq!(done["vip"]["failed"], 0, "{done}");
    assert_eq!(fleet.versions(), ["v2"; 4]);

    let bad = fleet.deploy("v3-bad", &[]);
    let done = summary(&bad);
    assert_eq!((bad.status.code(), &done["status"]), (Some(3), &"rolled_back".into()), "{done}");
    assert_eq!(done["vip"]["failed"], 0, "{done}");
    assert_eq!(fleet.versions(), ["v2"; 4]);

    // D2: the step fails, and its last lines are shown without the secret that it prints.
    let failing = fleet.deploy("v4", &[]);
    assert_eq!((failing.status.code(), &summary(&failing)["status"]), (Some(3), &"rolled_back".into()));
    assert!(
        reason(&failing).ends_with("exit code 7: fetching with ${SHOP_TOKEN} | no space left on device"),
        "{}",
        reason(&failing)
    );
    assert!(!String::from_utf8_lossy(&failing.stdout).contains(SECRET));
    assert_eq!(fleet.versions(), ["v2"; 4]);

    // D9: the step succeeds and does nothing.
    let idle = fleet.deploy("v5", &[]);
    assert_eq!((idle.status.code(), &summary(&idle)["status"]), (Some(3), &"rolled_back".into()));
    assert!(reason(&idle).contains("observe shows: still v2, not v5"), "{}", reason(&idle));
    assert_eq!(summary(&idle)["vip"]["failed"], 0);

    // A process that ends at once is seen by observe's exit code, long before any deadline.
    let crash = fleet.deploy("v6-crash", &[]);
    assert_eq!((crash.status.code(), &summary(&crash)["status"]), (Some(3), &"rolled_back".into()));
    assert_eq!(fleet.versions(), ["v2"; 4]);
}

#[tokio::test]
async fn a_balancer_driven_by_commands_loses_no_request() {
    if server("haproxy").is_none() || server("perl").is_none() {
        return;
    }
    let fleet = Fleet::start(|socket| {
        let ask = |what: &str| toml(&["perl", "-e", BALANCER, socket, what, "{{ instance.id }}"]);
        let states = "{ running = \"in\", drained = \"out\" }";
        let (out, into, state, sessions) = (ask("drain"), ask("ready"), ask("state"), ask("sessions"));
        let driver = "driver = \"command\"";
        vec![format!(
            "traffic={{ {driver}, out = {out}, in = {into}, state = {state}, sessions = {sessions}, states = {states} }}"
        )]
    })
    .await;
    assert!(matches!(fleet.config.traffic, rollout::traffic::Settings::Command(_)));
    let good = fleet.deploy("v2", &[]);
    let done = summary(&good);
    assert_eq!((good.status.code(), &done["status"], &done["updated"]), (Some(0), &"completed".into(), &4.into()), "{done}");
    assert_eq!((&done["vip"]["failed"], &done["drain"]["forced"]), (&0.into(), &0.into()), "{done}");
    let bad = fleet.deploy("v3-bad", &[]);
    assert_eq!((bad.status.code(), &summary(&bad)["vip"]["failed"]), (Some(3), &0.into()), "{}", summary(&bad));
}
