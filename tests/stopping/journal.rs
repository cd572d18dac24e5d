//! A journal that takes nothing while a deployment runs, or before one begins: a full disk, a directory that is moved
//! away or deleted, a read-only filesystem.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rollout::demo::world::Lb;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{server, servers_are_required};
use crate::fleet::{Fleet, alone, read};
use crate::slow::send;

/// Says to a test that it runs in a mount namespace of its own.
const MOUNTS: &str = "ROLLOUT_TEST_OWN_MOUNTS";

/// Runs this test again in a mount namespace of its own, where it may mount; true where it is there.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
fn in_own_mounts(test: &str) -> bool {
    if std::env::var_os(MOUNTS).is_some() {
        return true;
    }
    let Some(unshare) = server("unshare") else { return false };
    // A user namespace lets anybody mount, unless the system forbids it.
    let flags = if rustix::process::getuid().is_root() { "-m" } else { "-Urm" };
    if !Command::new(&unshare).args([flags, "true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        assert!(!servers_are_required(), "required, but not allowed: unshare {flags}");
        println!("skipped: unshare {flags} (this system does not allow it)");
        return false;
    }
    let _alone = alone();
    let me = std::env::current_exe().unwrap();
    let ran = Command::new(unshare).arg(flags).arg(me).args(["--exact", test, "--nocapture"]).env(MOUNTS, "1").output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success() && said(&ran.stdout).contains("1 passed"), "{}{}", said(&ran.stdout), said(&ran.stderr));
    false
}

fn mount(args: &[&str], at: &Path) {
    let ran = Command::new("mount").args(args).arg(at).output().unwrap();
    assert!(ran.status.success(), "mount {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A small disk for the journal.
fn small_disk(fleet: &Fleet) {
    let dir = fleet.world.state_dir();
    fs::create_dir_all(&dir).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=768k,mode=700", "tmpfs"], &dir);
}

/// Takes what room there is, with a file that can be removed again.
fn fill(fleet: &Fleet) {
    let mut file = File::options().append(true).create(true).open(fleet.world.state_dir().join("filler")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

fn empty(fleet: &Fleet) {
    fs::remove_file(fleet.world.state_dir().join("filler")).unwrap();
}

/// A deploy whose output can be read while it runs.
fn deploy(fleet: &Fleet, version: &str) -> Child {
    let out = File::create(output(fleet)).unwrap();
    let errors = out.try_clone().unwrap();
    fleet.command(&["deploy", version, "--yes", "--output", "json"]).stdout(out).stderr(errors).spawn().unwrap()
}

fn gone(fleet: &Fleet, pid: i32) {
    fleet.wait("the engine has left", || rollout::os::process::stat(pid).is_none_or(|stat| stat.zombie).then_some(()));
}

fn output(fleet: &Fleet) -> std::path::PathBuf {
    fleet.world.dir().join("deploy.out")
}

fn ended(fleet: &Fleet, mut deploy: Child) -> (Option<i32>, String) {
    let status = fleet.wait("the deploy command ends", || deploy.try_wait().unwrap());
    (status.code(), read(&output(fleet)))
}

fn summary(text: &str) -> Value {
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.into_iter().find(|line| line["type"] == "summary").unwrap_or_else(|| panic!("no summary: {text}"))
}

/// Updates that were begun, by the instances' own logs: one line for each process that started.
fn started(fleet: &Fleet, version: &str) -> usize {
    fleet.logs().iter().filter(|(_, line)| line.contains("start") && line.contains(version)).count()
}

const PACE: &[&str] = &["strategy.batch_pause=500ms", "strategy.batch_size=1", "strategy.max_unavailable=1"];

#[test]
fn a_full_disk_holds_a_deployment_until_there_is_room() {
    if !in_own_mounts("journal::a_full_disk_holds_a_deployment_until_there_is_room") {
        return;
    }
    let fleet = Fleet::start(4, Lb::Builtin, PACE);
    small_disk(&fleet);
    let deploy = deploy(&fleet, "v2");
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(1));
    fill(&fleet);
    let held = fleet.until("it is told", |s| s["troubles"].as_array().is_some_and(|t| !t.is_empty()));
    let trouble = held["troubles"][0].as_str().unwrap();
    assert!(trouble.contains("cannot journal, nothing new begins") && trouble.contains("the disk is full"), "{trouble}");
    for verb in [&["pause"][..], &["cancel"], &["rollback"]] {
        let refused = fleet.run(verb);
        assert_eq!(refused.code, Some(6), "{verb:?}: {}", refused.err);
        assert!(refused.err.contains("cannot be recorded and is not done"), "{verb:?}: {}", refused.err);
    }
    let begun = started(&fleet, "v2");
    assert!(begun < 4, "{begun}");
    let text = fleet.run(&["status"]).out;
    assert!(text.contains("TROUBLE: cannot journal"), "{text}");
    assert_eq!(started(&fleet, "v2"), begun, "nothing new began meanwhile");
    assert!(read(&output(&fleet)).contains("cannot journal"), "whoever watches reads it too");
    empty(&fleet);
    let (code, text) = ended(&fleet, deploy);
    let summary = summary(&text);
    assert_eq!((code, &summary["status"], &summary["updated"]), (Some(0), &Value::from("completed"), &Value::from(4)), "{text}");
    assert_eq!(summary["vip"]["failed"], 0);
    let shown = fleet.run(&["show", "demo-1", "--output", "json"]).summary();
    assert_eq!(shown["status"], "completed", "the journal is whole");
}

#[test]
fn an_engine_on_a_full_disk_is_stopped_by_one_signal() {
    if !in_own_mounts("journal::an_engine_on_a_full_disk_is_stopped_by_one_signal") {
        return;
    }
    let fleet = Fleet::start(4, Lb::Builtin, PACE);
    small_disk(&fleet);
    let deploy = deploy(&fleet, "v2");
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(1));
    fill(&fleet);
    fleet.until("it is told", |s| s["troubles"].as_array().is_some_and(|t| !t.is_empty()));
    let pid = fleet.engine_pid().unwrap();
    send(pid, Signal::TERM);
    gone(&fleet, pid);
    let (_code, text) = ended(&fleet, deploy);
    assert!(text.contains("rollout recover"), "{text}");
    let looked = fleet.run(&["status"]);
    assert!(looked.code == Some(0) && looked.out.contains("interrupted"), "{looked:?}");
    empty(&fleet);
    assert_eq!(fleet.run(&["recover", "--detach"]).code, Some(0));
    assert_eq!(fleet.run(&["resume"]).code, Some(0));
    let ran = fleet.run(&["attach", "--output", "json"]);
    assert_eq!((ran.code, &ran.summary()["updated"]), (Some(0), &Value::from(4)), "{ran:?}");
}

#[test]
fn on_a_full_or_read_only_disk_nothing_is_begun_and_all_can_be_looked_at() {
    if !in_own_mounts("journal::on_a_full_or_read_only_disk_nothing_is_begun_and_all_can_be_looked_at") {
        return;
    }
    let fleet = Fleet::start(2, Lb::Builtin, PACE);
    small_disk(&fleet);
    let first = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    let refused = |why: &[&str]| {
        let ran = fleet.run(&["deploy", "v3", "--yes"]);
        assert_eq!(ran.code, Some(6), "{ran:?}");
        assert!(why.iter().any(|why| ran.err.contains(why)), "{ran:?}");
        assert_eq!(started(&fleet, "v3"), 0, "nothing is touched");
        for verb in [&["status"][..], &["history"], &["show", "demo-1"], &["events", "demo-1"]] {
            let looked = fleet.run(verb);
            assert_eq!(looked.code, Some(0), "{verb:?}: {}", looked.err);
            assert!(looked.out.contains("demo-1") || looked.out.contains("web-01"), "{verb:?}: {}", looked.out);
        }
    };
    fill(&fleet);
    refused(&["disk is full", "No space left"]);
    empty(&fleet);
    mount(&["-o", "remount,ro"], &fleet.world.state_dir());
    refused(&["Read-only", "read-only"]);
    mount(&["-o", "remount,rw"], &fleet.world.state_dir());
    assert_eq!(fleet.run(&["deploy", "v3", "--yes"]).code, Some(0), "it works again");
}

/// Written to, but never found again: an engine does not go on with a journal that is not in its place.
#[test]
fn a_journal_that_is_moved_away_holds_the_deployment_until_it_is_back() {
    let fleet = Fleet::start(4, Lb::Builtin, PACE);
    let deploy = deploy(&fleet, "v2");
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(1));
    let (here, away) = (fleet.service_dir(), fleet.world.dir().join("away"));
    fs::rename(&here, &away).unwrap();
    let told = "was moved away or deleted: put it back in its place";
    fleet.wait("it is told", || read(&output(&fleet)).contains(told).then_some(()));
    let begun = started(&fleet, "v2");
    assert!(begun < 4, "{begun}");
    fs::rename(&away, &here).unwrap();
    let (code, text) = ended(&fleet, deploy);
    let summary = summary(&text);
    assert_eq!((code, &summary["status"], &summary["updated"]), (Some(0), &Value::from("completed"), &Value::from(4)), "{text}");
    assert_eq!(summary["vip"]["failed"], 0);
    assert_eq!(fleet.run(&["show", "demo-1", "--output", "json"]).summary()["updated"], 4, "the journal is whole");
}

#[test]
fn a_journal_that_is_deleted_holds_the_deployment_until_a_signal_ends_the_engine() {
    let fleet = Fleet::start(4, Lb::Builtin, PACE);
    let deploy = deploy(&fleet, "v2");
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(1));
    let pid = fleet.engine_pid().unwrap();
    fs::remove_dir_all(fleet.service_dir()).unwrap();
    let told = "if it is lost, end this engine with SIGTERM and look at every instance";
    fleet.wait("it is told", || read(&output(&fleet)).contains(told).then_some(()));
    let begun = started(&fleet, "v2");
    assert!(begun < 4, "{begun}");
    send(pid, Signal::TERM);
    let (code, text) = ended(&fleet, deploy);
    gone(&fleet, pid);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("the engine is gone, and its journal with it; look at the instances"), "{text}");
    assert_eq!(started(&fleet, "v2"), begun, "nothing new began meanwhile");
}
