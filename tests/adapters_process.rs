//! The process driver against real processes.
//!
//! Imports: fleet, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{temp_dir, wait_for};
use rollout::fleet::{self, ProcessSettings, Settings, stop_recorded};
use rollout::model::{DeploymentId, EffectId, InstanceId, Span, Target, Version};
use rollout::os::program::Environment;
use rollout::ports::{FleetDriver, FleetError, UpdateOrder};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// Says `ready VERSION`, then idles; on SIGTERM it says `bye` and ends with code 7.
const POLITE: &str = "trap 'echo bye; exit 7' TERM; echo ready $0; while :; do sleep 0.02; done";
/// Does not end on SIGTERM.
const STUBBORN: &str = "trap '' TERM; echo ready $0; while :; do sleep 0.02; done";

/// A directory, and whatever a test started in it; all of it ends with the test, also if that fails.
struct World {
    dir: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        for record in self.records() {
            let json: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap_or_default()).unwrap_or_default();
            if let Some(pid) =
                json.pointer("/process/pid").and_then(serde_json::Value::as_i64).and_then(|pid| i32::try_from(pid).ok())
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
                && fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|environ| contains(&environ, self.path().as_os_str().as_encoded_bytes()))
            {
                rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

impl World {
    fn new() -> Self {
        Self { dir: temp_dir() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("the directory")
    }

    fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
    }

    fn settings(&self, start: &[&str], stop_timeout: Span) -> Settings {
        Settings::Process(ProcessSettings {
            service: "shop".to_owned(),
            start: start.iter().map(|element| (*element).to_owned()).collect(),
            env: Environment(vec![("SHOP_TOKEN".to_owned(), "t0ken".to_owned())]),
            withheld: Vec::new(),
            stop_timeout,
            dir: self.dir.path().to_owned(),
        })
    }

    /// A driver whose instances run a shell script; `$0` is the version.
    fn driver(&self, script: &str, stop_timeout: Span) -> Arc<dyn FleetDriver> {
        fleet::build(&self.settings(&["sh", "-c", script, "{{ version }}"], stop_timeout)).expect("settings that work")
    }

    fn record(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path().join("web-01.json")).expect("a record")).expect("JSON")
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.record().pointer("/process/pid").and_then(serde_json::Value::as_i64).expect("a pid")).expect("a pid")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("web-01.log")).unwrap_or_default()
    }

    async fn logged(&self, text: &str) {
        wait_for(text, async || self.log().contains(text).then_some(())).await;
    }
}

fn target() -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port: 8080, zone: None, labels: std::collections::BTreeMap::default() }
}

fn order(version: &str, attempt: u32) -> UpdateOrder {
    let (target, deployment) = (target(), DeploymentId::new("shop", 1));
    let effect = EffectId::new(&deployment, Some(&target.id), "update", attempt);
    UpdateOrder { effect, target, version: Version::new(version).expect("a version"), previous: None }
}

/// There and not a zombie.
fn alive(pid: i32) -> bool {
    rollout::os::process::stat(pid).is_some_and(|stat| !stat.zombie)
}

async fn wait_until_dead(pid: i32) {
    wait_for("a process to end", async || (!alive(pid)).then_some(())).await;
}

#[tokio::test]
async fn an_update_replaces_the_process_and_repeats_nothing() {
    let world = World::new();
    let driver = world.driver(POLITE, Span::from_secs(5));
    let before = driver.observe(&target()).await.expect("an observation");
    assert_eq!((before.version, before.running), (None, Some(false)), "nothing was ever started");

    driver.update(&order("v1", 1)).await.expect("an update");
    world.logged("ready v1").await;
    let first = world.pid();
    let seen = driver.observe(&target()).await.expect("an observation");
    assert_eq!((seen.version, seen.running, seen.ended), (Some(Version::new("v1").expect("v1")), Some(true), None));
    let mode = |file: &str| fs::metadata(world.path().join(file)).expect(file).permissions().mode() & 0o777;
    assert_eq!((mode("web-01.json"), mode("web-01.log")), (0o600, 0o600));
    let stat = rollout::os::process::stat(first).expect("a process");
    assert_eq!(stat.group, first, "it leads a group of its own");

    driver.update(&order("v1", 1)).await.expect("the same order again");
    assert_eq!(world.pid(), first, "the same order is one update");

    driver.update(&order("v2", 2)).await.expect("an update");
    world.logged("ready v2").await;
    assert!(!alive(first), "the old one is gone before the new one starts");
    assert!(world.log().contains("bye"), "it was asked to end before it was made to: {}", world.log());
    assert_ne!(world.pid(), first);

    driver.update(&order("v2", 3)).await.expect("another order of the same version");
    assert_eq!(world.log().matches("bye").count(), 2, "another order restarts, whatever the version");
}

#[tokio::test]
async fn a_process_sees_what_env_gives_it() {
    let world = World::new();
    let driver = world.driver("echo \"token $SHOP_TOKEN\"; exec sleep 600", Span::ZERO);
    driver.update(&order("v1", 1)).await.expect("an update");
    world.logged("token t0ken").await;
}

#[tokio::test]
async fn who_forgets_the_driver_is_left_no_zombies() {
    let world = World::new();
    let driver = world.driver(POLITE, Span::from_secs(5));
    driver.update(&order("v1", 1)).await.expect("an update");
    world.logged("ready v1").await;
    let pid = world.pid();
    drop(driver);
    assert!(alive(pid), "it goes on without its driver");
    rollout::os::process::signal_group(pid, rustix::process::Signal::KILL).expect("a signal");
    let gone = async || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(());
    wait_for("its end, waited for by somebody", gone).await;
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_after_the_timeout_and_not_before() {
    let world = World::new();
    let driver = world.driver(STUBBORN, Span::from_millis(300));
    driver.update(&order("v1", 1)).await.expect("an update");
    world.logged("ready v1").await;
    let (first, began) = (world.pid(), Instant::now());
    driver.update(&order("v2", 2)).await.expect("an update");
    let took = began.elapsed();
    assert!(!alive(first));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_mins(1), "{took:?}");

    let at_once = world.driver(STUBBORN, Span::ZERO);
    world.logged("ready v2").await;
    let began = Instant::now();
    at_once.update(&order("v3", 3)).await.expect("an update");
    assert!(began.elapsed() < Duration::from_secs(2), "no time to finish was granted, none was waited: {:?}", began.elapsed());
}

#[tokio::test]
async fn grandchildren_end_with_their_group_even_if_their_parent_is_already_gone() {
    let world = World::new();
    let script =
        "sh -c 'trap \"\" TERM; echo grandchild $$; while :; do sleep 0.02; done' & trap 'exit 0' TERM; echo ready; wait; wait";
    let driver = world.driver(script, Span::from_millis(200));
    let grandchild = async |n: usize| {
        wait_for("a grandchild", async || {
            let log = world.log();
            let line = log.lines().filter_map(|line| line.strip_prefix("grandchild ")).nth(n)?;
            line.parse::<i32>().ok()
        })
        .await
    };
    driver.update(&order("v1", 1)).await.expect("an update");
    let first = grandchild(0).await;
    assert!(alive(first));
    driver.update(&order("v2", 2)).await.expect("an update");
    assert!(!alive(first), "the leader ended at SIGTERM, the grandchild did not; it was killed");

    let second = grandchild(1).await;
    let leader = rustix::process::Pid::from_raw(world.pid()).expect("a pid");
    rustix::process::kill_process(leader, rustix::process::Signal::KILL).expect("a signal");
    wait_until_dead(world.pid()).await;
    assert!(alive(second), "it outlives its leader");
    let seen = driver.observe(&target()).await.expect("an observation");
    assert_eq!((seen.running, seen.ended.as_deref()), (Some(false), Some("signal 9")));
    driver.update(&order("v3", 3)).await.expect("an update");
    assert!(!alive(second), "what is left of a group is swept before the next start");
}

#[tokio::test]
async fn how_a_process_ended_is_told_by_its_parent_only() {
    let world = World::new();
    let driver = world.driver("exit 3", Span::from_secs(1));
    driver.update(&order("v1-crash", 1)).await.expect("it was started; what it does then is for the probe");
    let ended = async |driver: &Arc<dyn FleetDriver>| {
        wait_for("its end", async || {
            let seen = driver.observe(&target()).await.expect("an observation");
            assert_eq!(seen.version, Some(Version::new("v1-crash").expect("a version")));
            (seen.running == Some(false)).then_some(seen.ended)
        })
        .await
    };
    assert_eq!(ended(&driver).await.as_deref(), Some("exit code 3"));
    assert_eq!(ended(&world.driver("exit 3", Span::from_secs(1))).await.as_deref(), Some("gone"));
    driver.update(&order("v1-crash", 1)).await.expect("the same order, but nothing runs");
    assert_eq!(ended(&driver).await.as_deref(), Some("exit code 3"));
}

#[tokio::test]
async fn another_driver_finds_the_process_and_takes_over() {
    let world = World::new();
    let first_driver = world.driver(POLITE, Span::from_secs(5));
    first_driver.update(&order("v1", 1)).await.expect("an update");
    world.logged("ready v1").await;
    drop(first_driver);
    let pid = world.pid();
    assert!(alive(pid), "it outlives its driver");

    let second = world.driver(POLITE, Span::from_secs(5));
    let seen = second.observe(&target()).await.expect("an observation");
    assert_eq!((seen.version, seen.running), (Some(Version::new("v1").expect("v1")), Some(true)));
    second.update(&order("v1", 1)).await.expect("the same order");
    assert_eq!(world.pid(), pid, "the order was already carried out");
    second.update(&order("v2", 2)).await.expect("an update");
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_process_started_just_before_a_crash_is_found_by_its_mark() {
    let world = World::new();
    world.driver(POLITE, Span::from_secs(5)).update(&order("v1", 1)).await.expect("an update");
    world.logged("ready v1").await;
    let pid = world.pid();
    // What a crash between the start and the writing down of the pid leaves.
    let mut record = world.record();
    record["process"] = serde_json::Value::Null;
    fs::write(world.path().join("web-01.json"), record.to_string()).expect("a forged record");

    let driver = world.driver(POLITE, Span::from_secs(5));
    assert_eq!(driver.observe(&target()).await.expect("an observation").running, Some(true));
    assert!(world.record()["process"].is_null(), "observing changes nothing");
    driver.update(&order("v1", 1)).await.expect("the same order");
    assert_eq!(world.pid(), pid, "it was adopted, not started a second time");

    fs::write(world.path().join("web-01.json"), record.to_string()).expect("a forged record");
    driver.update(&order("v2", 2)).await.expect("another order");
    assert!(!alive(pid), "it was found and stopped");

    // A crash before the start.
    record["effect"] = "shop-1/web-01/update/99".into();
    let lost = world.pid();
    fs::write(world.path().join("web-01.json"), record.to_string()).expect("a forged record");
    let seen = driver.observe(&target()).await.expect("an observation");
    assert_eq!((seen.running, seen.ended.as_deref(), seen.version), (Some(false), Some("not started"), None));
    let group = rustix::process::Pid::from_raw(lost).expect("a pid");
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("a signal");
}

#[tokio::test]
async fn a_pid_that_is_used_again_is_never_touched() {
    let world = World::new();
    let driver = world.driver(POLITE, Span::from_millis(200));
    let mut stranger = std::process::Command::new("sleep").arg("60").spawn().expect("a stranger");
    let pid = i32::try_from(stranger.id()).expect("a pid");
    let genuine = rollout::os::process::identify(pid).expect("its identity");
    for forged in [(genuine.start_time + 1, genuine.boot_id.clone()), (genuine.start_time, "another boot".to_owned())] {
        let record = serde_json::json!({
            "version": "v1", "effect": "shop-1/web-01/update/1",
            "process": { "pid": pid, "start_time": forged.0, "boot_id": forged.1 },
        });
        fs::write(world.path().join("web-01.json"), record.to_string()).expect("a forged record");
        let seen = driver.observe(&target()).await.expect("an observation");
        assert_eq!((seen.running, seen.ended.as_deref()), (Some(false), Some("gone")));
        driver.update(&order("v2", 2)).await.expect("an update");
        assert!(alive(pid), "the stranger lives");
        assert_eq!(stop_recorded(&world.path(), Span::ZERO).await, Vec::<String>::new());
    }
    assert!(stranger.try_wait().expect("its state").is_none(), "the stranger was never signalled");
    stranger.kill().expect("its end");
    stranger.wait().expect("its end");
}

#[tokio::test]
async fn a_dropped_update_leaves_what_observing_can_tell() {
    let world = World::new();
    let driver = world.driver(STUBBORN, Span::from_secs(30));
    driver.update(&order("v1", 1)).await.expect("an update");
    world.logged("ready v1").await;
    let pid = world.pid();
    assert!(timeout(Duration::from_millis(50), driver.update(&order("v2", 2))).await.is_err(), "it waits for the old one");
    let seen = driver.observe(&target()).await.expect("an observation");
    assert_eq!((seen.version, seen.running), (Some(Version::new("v1").expect("v1")), Some(true)));
    world.driver(STUBBORN, Span::ZERO).update(&order("v2", 2)).await.expect("the order again");
    assert!(!alive(pid));
    world.logged("ready v2").await;
}

#[tokio::test]
async fn a_program_that_cannot_run_is_named_with_the_remedy() {
    let world = World::new();
    let driver = fleet::build(&world.settings(&["/no/such/program", "{{ version }}"], Span::from_secs(1))).expect("settings");
    let error = driver.update(&order("v1", 1)).await.expect_err("there is no such program");
    let FleetError::Failed(text) = &error else { panic!("the driver knows that it failed: {error:?}") };
    for part in ["web-01", "/no/such/program", "No such file", "[update] start"] {
        assert!(text.contains(part), "{text}");
    }
    let seen = driver.observe(&target()).await.expect("an observation");
    assert_eq!((seen.running, seen.version), (Some(false), None), "nothing claims to run the new version");

    let zoned = fleet::build(&world.settings(&["sleep", "{{ instance.zone }}"], Span::from_secs(1))).expect("settings");
    assert!(zoned.update(&order("v1", 1)).await.expect_err("no zone").to_string().contains("instance.zone"));
    for bad in [&["sleep", "{{ verzion }}"][..], &[]] {
        assert!(fleet::build(&world.settings(bad, Span::ZERO)).err().expect("a bad template").contains("[update] start"));
    }
}

#[tokio::test]
async fn a_damaged_record_stops_everything_and_says_what_to_do() {
    let world = World::new();
    let driver = world.driver(POLITE, Span::from_secs(1));
    fs::write(world.path().join("web-01.json"), b"{ \"version\": ").expect("a damaged record");
    for error in [driver.observe(&target()).await.map(drop), driver.update(&order("v2", 2)).await] {
        let FleetError::Unknown(text) = error.expect_err("nothing is known") else { panic!("another kind of error") };
        assert!(text.contains("web-01.json") && text.contains("remove the file"), "{text}");
    }
}

#[tokio::test]
async fn a_fleet_is_stopped_by_its_records_and_only_that_fleet() {
    let (ours, other) = (World::new(), World::new());
    for world in [&ours, &other] {
        world.driver(POLITE, Span::from_secs(5)).update(&order("v1", 1)).await.expect("an update");
        world.logged("ready v1").await;
    }
    // The same order in two fleets, and no pid in the record of ours: only the mark can tell them apart.
    let mut record = ours.record();
    let pid = ours.pid();
    record["process"] = serde_json::Value::Null;
    fs::write(ours.path().join("web-01.json"), record.to_string()).expect("a forged record");
    assert_eq!(stop_recorded(&ours.path(), Span::from_secs(5)).await, Vec::<String>::new());
    assert!(!alive(pid) && ours.records().is_empty());
    assert!(alive(other.pid()), "the other fleet goes on");
    assert_eq!(stop_recorded(Path::new("/no/such/fleet"), Span::ZERO).await, Vec::<String>::new());

    fs::write(ours.path().join("web-02.json"), "garbage").expect("a damaged record");
    let troubles = stop_recorded(&ours.path(), Span::ZERO).await;
    assert!(troubles.len() == 1 && troubles[0].contains("web-02.json"), "{troubles:?}");
}
