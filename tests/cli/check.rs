//! `check`: what is there, what is missing, and nothing changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, Ran, rollout};

fn found<'a>(lines: &'a [Value], kind: &str, level: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind && line["level"] == level).collect()
}

#[test]
fn what_is_there_is_said_and_nothing_is_changed() {
    let fleet = Fleet::start(3, Lb::Builtin, &[]);
    let ran = fleet.run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    for part in ["3 of 3 instances serve", "3 of 3 pass their check; v1 on 3", "requests answered", "lock: free", "all there"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!fleet.service_dir().exists(), "looking makes nothing");
    let lines = fleet.run(&["check", "--output", "json"]).lines();
    assert!(lines.iter().all(|line| line["type"].is_string()), "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!((&last["type"], &last["ok"], &last["missing"]), (&Value::from("checked"), &Value::from(true), &Value::from(0)));
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let fleet = Fleet::start(3, Lb::Builtin, &[]);
    let pid = rustix::process::Pid::from_raw(
        fs::read_to_string(fleet.world.processes_dir().join("web-02.json"))
            .ok()
            .and_then(|record| serde_json::from_str::<Value>(&record).ok())
            .and_then(|record| find_pid(&record))
            .expect("the driver's record of web-02"),
    );
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
    fleet.wait("web-02 is gone", || fleet.run(&["check"]).out.contains("web-02: 127.0.0.1").then_some(()));
    let ran = fleet.run(&[
        "check",
        "--output",
        "json",
        "--set",
        "vip.url=http://127.0.0.1:1/",
        "--set",
        "traffic.server=x{{ instance.id }}",
    ]);
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    let lines = ran.lines();
    let instance = found(&lines, "instance", "missing");
    assert!(
        instance.len() == 1 && instance[0]["subject"] == "web-02" && instance[0]["remedy"].as_str().unwrap().contains("start it"),
        "{lines:?}"
    );
    assert_eq!(found(&lines, "vip", "missing").len(), 1, "{lines:?}");
    assert!(!found(&lines, "balancer", "missing").is_empty(), "{lines:?}");
    let gone = fleet.run(&["check", "--set", "traffic.sockets=/nowhere/haproxy.sock"]);
    assert!(gone.code == Some(4) && gone.out.contains("the balancer at /nowhere/haproxy.sock cannot be reached"), "{}", gone.out);
    assert!(gone.out.contains("→ start it, correct its address in [traffic]"), "{}", gone.out);
}

/// Who is out by a deployment's own doing is told apart from who was taken out by somebody else.
#[test]
fn what_a_deployment_left_out_is_said_with_its_name() {
    let sets = ["strategy.batch_pause=100ms", "strategy.batch_size=1", "rollback.on_failure=continue", "strategy.min_serving=1"];
    let fleet = Fleet::start(3, Lb::Builtin, &sets);
    let deploy = fleet.run(&["deploy", "v2-bad", "--yes", "--only", "web-01"]);
    assert_eq!(deploy.code, Some(4), "{}{}", deploy.out, deploy.err);
    let said = |ran: &Ran| {
        let lines = ran.lines();
        let doubts = found(&lines, "balancer", "doubt");
        assert!(doubts.len() == 1 && doubts[0]["subject"] == "web-01", "{lines:?}");
        (doubts[0]["message"].as_str().unwrap().to_owned(), doubts[0]["remedy"].as_str().unwrap().to_owned())
    };
    let (message, remedy) = said(&fleet.run(&["check", "--output", "json"]));
    assert!(message.ends_with("left out of rotation by demo-1"), "{message}");
    assert_eq!(remedy, "the next deployment takes it first, and puts it back");

    // A later deployment that had no part in it does not take the blame.
    let later = fleet.run(&["deploy", "v3", "--yes", "--only", "web-02"]);
    assert!(later.out.contains("demo-2"), "{}{}", later.out, later.err);
    let (message, _) = said(&fleet.run(&["check", "--output", "json"]));
    assert!(message.ends_with("left out of rotation by demo-1"), "{message}");

    let deploy = fleet.run(&["deploy", "v4", "--yes"]);
    assert_eq!(deploy.code, Some(0), "{}{}", deploy.out, deploy.err);
    let lines = fleet.run(&["check", "--output", "json"]).lines();
    assert!(found(&lines, "balancer", "doubt").is_empty(), "{lines:?}");
}

fn find_pid(record: &Value) -> Option<i32> {
    match record {
        Value::Object(fields) => {
            fields.get("pid").and_then(|pid| i32::try_from(pid.as_i64()?).ok()).or_else(|| fields.values().find_map(find_pid))
        }
        _ => None,
    }
}

#[test]
fn a_faulty_file_ends_with_two_and_reaches_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollout.toml");
    fs::write(&file, "[service]\nnam = 1\n").unwrap();
    let check = |args: &[&str]| {
        Ran::of(Command::new(rollout()).arg("--config").arg(&file).arg("check").args(args).stdin(Stdio::null()).output().unwrap())
    };
    let text = check(&[]);
    assert!(text.code == Some(2) && text.err.contains("the nearest known is name"), "{text:?}");
    let json = check(&["--output", "json"]);
    assert_eq!(json.code, Some(2));
    let lines = json.lines();
    assert!(found(&lines, "config", "missing").len() >= 3 && lines.last().unwrap()["ok"] == false, "{lines:?}");
}

/// A directory that this user cannot write, and a deployment that holds the lock.
#[test]
fn the_store_is_looked_at() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.confirm=batch"]);
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let ran = fleet.run(&["check", "--set", &format!("journal.dir={}", closed.display())]);
    // Root may write everywhere.
    if !rustix::process::geteuid().is_root() {
        assert!(ran.code == Some(4) && ran.out.contains("cannot be written"), "{}", ran.out);
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = fleet.run(&["check", "--set", &format!("journal.dir={}", file.display())]);
    assert!(ran.code == Some(4) && ran.out.contains("is no directory"), "{}", ran.out);

    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let held = fleet.run(&["check"]);
    assert!(held.out.contains("demo-1 to v2 is under way"), "{}", held.out);
    let engine = rustix::process::Pid::from_raw(fleet.engine_pid().unwrap()).unwrap();
    rustix::process::kill_process(engine, rustix::process::Signal::KILL).unwrap();
    fleet.wait("the engine is gone", || fleet.engine_pid().is_none().then_some(()));
    let dead = fleet.run(&["check"]);
    assert!(dead.code == Some(4) && dead.out.contains("rollout recover"), "{}", dead.out);
}

/// The engine raises its limit of open files by itself, and says so where it cannot.
#[test]
fn the_limit_of_open_files_is_raised_or_named() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.confirm=batch"]);
    let limited = |limit: &str, args: &[&str]| {
        let command = fleet.command(args);
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("ulimit {limit} 64 && exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
        Ran::of(sh.stdin(Stdio::null()).output().unwrap())
    };
    let check = limited("-n", &["check"]);
    assert!(
        check.code == Some(0) && check.out.contains("may have 64 files open") && check.out.contains("LimitNOFILE"),
        "{}",
        check.out
    );
    let plan = limited("-n", &["plan", "v2"]);
    assert!(plan.out.contains("may have 64 files open"), "{}{}", plan.out, plan.err);

    let soft = limited("-Sn", &["deploy", "v2", "--yes", "--detach"]);
    assert_eq!(soft.code, Some(0), "{}", soft.err);
    let limits = fs::read_to_string(format!("/proc/{}/limits", fleet.engine_pid().unwrap())).unwrap();
    let row = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = row.split_ascii_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft > 64, "{row}");
}
