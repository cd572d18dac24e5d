//! One controller: who may take a deployment from whom, with real engines on a real fleet; and what `recover` offers.
//!
//! Imports: the e2e fleet. May not: sleep without a condition.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

use fleet::{Fleet, Ran};
use rollout::demo::world::Lb;
use rollout::os::process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn gone(fleet: &Fleet, pid: i32) {
    fleet.wait("the process is gone", || process::stat(pid).is_none_or(|stat| stat.zombie).then_some(()));
}

/// A deployment of `v2` on six instances with two of them done, and its engine.
fn under_way(fleet: &Fleet) -> i32 {
    let deploy = fleet.run(&["deploy", "v2", "--yes", "--detach"]);
    assert_eq!(deploy.code, Some(0), "{}", deploy.err);
    fleet.until("two are done", |s| s["updated"].as_u64() >= Some(2));
    fleet.engine_pid().unwrap()
}

fn six() -> Fleet {
    Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=1s"])
}

fn killed(fleet: &Fleet) -> i32 {
    let pid = under_way(fleet);
    signal(pid, Signal::KILL);
    gone(fleet, pid);
    pid
}

/// The words of the takeover in the journal.
fn takeover(fleet: &Fleet) -> String {
    let events = fleet.run(&["events", "demo-1"]).out;
    events.lines().rev().find(|line| line.contains(" took ")).unwrap_or_else(|| panic!("{events}")).to_owned()
}

#[test]
fn a_second_start_names_what_is_under_way_and_how_to_watch_it() {
    let fleet = six();
    let pid = under_way(&fleet);
    for verb in [&["deploy", "v3", "--yes"][..], &["recover"], &["recover", "--steal", "1"]] {
        let refused = fleet.run(verb);
        assert_eq!(refused.code, Some(6), "{verb:?}: {}", refused.err);
        assert!(refused.err.contains("demo-1 to v2 is under way"), "{verb:?}: {}", refused.err);
    }
    let refused = fleet.run(&["deploy", "v3", "--yes"]).err;
    assert!(refused.contains(&format!("engine {pid}, by root")) || !rustix::process::geteuid().is_root(), "{refused}");
    assert!(refused.contains("rollout attach"), "{refused}");
    assert_eq!(fleet.engine_pid(), Some(pid), "untouched");
}

#[test]
fn of_many_that_start_at_once_one_begins() {
    let fleet = Fleet::start(2, Lb::Builtin, &["strategy.max_unavailable=1"]);
    let starts: Vec<_> = (0..12).map(|_| fleet.spawn(&["deploy", "v2", "--yes", "--detach"])).collect();
    let ran: Vec<Ran> = starts.into_iter().map(Ran::ended).collect();
    let begun = ran.iter().filter(|ran| ran.code == Some(0) && ran.out.contains("has begun")).count();
    assert_eq!(begun, 1, "{ran:?}");
    for other in ran.iter().filter(|ran| !ran.out.contains("has begun")) {
        assert_eq!(other.code, Some(6), "{other:?}");
        assert!(other.err.contains("is under way") || other.err.contains("try again"), "{}", other.err);
    }
    fleet.until("it ends", |s| s["status"] == "completed");
}

/// The socket of a stopped engine takes connections and answers nothing.
#[test]
fn a_stopped_engine_is_killed_by_whoever_takes_over() {
    let fleet = six();
    let pid = under_way(&fleet);
    signal(pid, Signal::STOP);
    fleet.wait("it is stopped", || process::stat(pid).is_some_and(|stat| stat.stopped).then_some(()));
    let refused = fleet.run(&["deploy", "v3", "--yes"]);
    assert_eq!(refused.code, Some(6), "{}", refused.err);
    assert!(refused.err.contains(&format!("kill -CONT {pid}")) && refused.err.contains("rollout recover"), "{}", refused.err);

    let recovered = fleet.run(&["recover", "--continue", "--output", "json"]);
    let summary = recovered.summary();
    assert_eq!((recovered.code, &summary["status"]), (Some(0), &Value::from("completed")), "{}{}", recovered.out, recovered.err);
    assert_eq!(summary["updated"], 6);
    gone(&fleet, pid);
    let words = takeover(&fleet);
    assert!(words.contains(&format!("engine {pid}, which was stopped and has been killed")), "{words}");
    assert_eq!(recovered.lines()[0]["engine"]["stopped"], true);
}

#[test]
fn a_lease_is_stolen_only_from_the_process_that_is_named() {
    let fleet = six();
    let pid = under_way(&fleet);
    let refused = fleet.run(&["recover", "--steal", "1", "--continue"]);
    assert_eq!(refused.code, Some(6), "{}", refused.err);
    assert!(refused.err.contains("process 1 does not hold the lease"), "{}", refused.err);
    let stolen = fleet.run(&["recover", "--steal", &pid.to_string(), "--rollback", "--output", "json"]);
    assert_eq!((stolen.code, &stolen.summary()["status"]), (Some(3), &Value::from("rolled_back")), "{}", stolen.err);
    gone(&fleet, pid);
    let words = takeover(&fleet);
    assert!(words.contains(&format!("took the lease from engine {pid}, which was at work and has been killed")), "{words}");
}

#[test]
fn an_engine_whose_lock_was_removed_keeps_its_lease() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=1m"]);
    let pid = under_way(&fleet);
    std::fs::remove_file(fleet.service_dir().join("lease")).unwrap();
    std::fs::remove_file(fleet.service_dir().join("engine.sock")).unwrap();
    let refused = fleet.run(&["recover", "--continue"]);
    assert_eq!(refused.code, Some(6), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains(&format!("engine {pid}")), "{}", refused.err);
    signal(pid, Signal::KILL);
}

#[test]
fn what_is_in_the_middle_can_be_settled() {
    let fleet = six();
    let pid = killed(&fleet);
    let report = fleet.run(&["recover", "--settle"]);
    assert_eq!(report.code, Some(5), "{}{}", report.out, report.err);
    assert!(report.out.contains(&format!("process {pid}")) && report.out.contains("is gone"), "{}", report.out);
    for choice in ["  continue  ", "  settle    ", "  rollback  ", "  world     read just now"] {
        assert!(report.out.contains(choice), "{choice}: {}", report.out);
    }
    let summary = fleet.run(&["show", "demo-1", "--output", "json"]).summary();
    assert_eq!((&summary["status"], &summary["vip"]["failed"]), (&Value::from("cancelled"), &Value::from(0)), "{summary}");
    assert_eq!(summary["exceptions"], Value::Array(vec![]), "all in rotation");
    assert!(summary["updated"].as_u64() >= Some(2) && summary["updated"].as_u64() < Some(6), "{summary}");
}

#[test]
fn what_is_in_the_middle_can_be_rolled_back() {
    let fleet = six();
    killed(&fleet);
    let back = fleet.run(&["recover", "--rollback", "--output", "json"]);
    let summary = back.summary();
    assert_eq!((back.code, &summary["status"]), (Some(3), &Value::from("rolled_back")), "{}{}", back.out, back.err);
    assert!(summary["rolled_back"].as_u64() >= Some(2), "{summary}");
    let offers = back.lines()[0]["choices"].clone();
    let names: Vec<&Value> = offers.as_array().unwrap().iter().map(|offer| &offer["choice"]).collect();
    assert_eq!(names, ["continue", "settle", "rollback"]);
    assert!(offers.as_array().unwrap().iter().all(|offer| offer["refused"].is_null()), "{offers}");
}

/// An instance of the plan that somebody stopped meanwhile is shown before anything is chosen.
#[test]
fn the_world_is_looked_at_first_and_differences_are_shown() {
    let fleet = six();
    killed(&fleet);
    let recorded = std::fs::read_to_string(fleet.world.processes_dir().join("web-01.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let died = i32::try_from(recorded["process"]["pid"].as_i64().unwrap()).unwrap();
    signal(died, Signal::KILL);
    gone(&fleet, died);
    let report = fleet.run(&["recover", "--output", "json"]);
    assert_eq!(report.code, Some(0), "{}", report.err);
    let rows = report.lines()[0]["instances"].clone();
    let row = rows.as_array().unwrap().iter().find(|row| row["instance"] == "web-01").unwrap_or_else(|| panic!("{rows}")).clone();
    assert_eq!(row["differs"], true);
    assert!(row["now"].as_str().unwrap().contains("not listening"), "{row}");
    assert_eq!(report.lines().pop().unwrap()["type"], "taken_over");
    assert_eq!(fleet.until("it is paused", |s| s["status"] == "paused")["status"], "paused");
}

/// The fleet's configuration with this `[update]` in place of its own.
fn commanded(fleet: &Fleet, dir: &std::path::Path, update: &str) -> std::path::PathBuf {
    let text = std::fs::read_to_string(fleet.world.config_path()).unwrap();
    let (before, rest) = text.split_once("[update]").unwrap();
    let after = rest.split_once("\n[").unwrap().1;
    let config = dir.join("rollout.toml");
    let before = before.replace("driver = \"process\"", "driver = \"command\"");
    let before: Vec<&str> = before.lines().filter(|line| !line.starts_with("dir =")).collect();
    std::fs::write(&config, format!("{}\n{update}\n[{after}", before.join("\n")).replace("version = ", "# version = ")).unwrap();
    config
}

/// An update command that outlives its engine is named, and ended with its group before anything else is done.
#[test]
fn a_command_that_outlives_its_engine_is_named_and_ended() {
    let fleet = Fleet::start(2, Lb::Builtin, &["strategy.max_unavailable=1"]);
    let dir = common::temp_dir();
    let script = "if [ $1 = v2 ]; then sleep 300 & echo $$ > pid.new; mv pid.new pid; wait; fi";
    let here = dir.path().display();
    let update = format!(
        "[update]\ncommand = [\"sh\", \"-c\", \"cd {here}; {script}\", \"update\", \"{{{{ version }}}}\"]\nobserve = [\"echo\", \"v1\"]\n"
    );
    let config = commanded(&fleet, dir.path(), &update);
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(fleet::rollout());
        Ran::of(command.arg("--config").arg(&config).args(args).output().unwrap())
    };
    let begun = run(&["deploy", "v2", "--yes", "--detach"]);
    assert_eq!(begun.code, Some(0), "{}", begun.err);
    let group =
        fleet.wait("the command runs", || std::fs::read_to_string(dir.path().join("pid")).ok()?.trim().parse::<i32>().ok());
    let engine = fleet.engine_pid().unwrap();
    signal(engine, Signal::KILL);
    gone(&fleet, engine);
    assert!(process::group_lives(group), "it outlives the engine");

    let report = run(&["recover", "--settle"]);
    assert!(report.out.contains(&format!("sh web-01 (process {group}); it is ended first")), "{}{}", report.out, report.err);
    assert!(!process::group_lives(group), "ended with its group");
    assert_eq!(report.code, Some(5), "{}{}", report.out, report.err);
    let words = takeover(&fleet);
    assert!(words.contains("what it left running was ended: sh web-01"), "{words}");
}

/// What was under way when the engine died is only let go on by the choice that means the same.
#[test]
fn a_choice_that_is_under_way_already_goes_on() {
    let fleet = six();
    under_way(&fleet);
    let mut asked = fleet.spawn(&["rollback"]);
    let pid = fleet.engine_pid().unwrap();
    fleet.until("it rolls back", |s| s["status"] == "rolling_back");
    signal(pid, Signal::KILL);
    gone(&fleet, pid);
    asked.wait().unwrap();
    // A refused start takes nothing over: who died with the lease stays known.
    assert_eq!(fleet.run(&["deploy", "v3", "--yes"]).code, Some(6));
    let back = fleet.run(&["recover", "--rollback", "--output", "json"]);
    assert_eq!((back.code, &back.summary()["status"]), (Some(3), &Value::from("rolled_back")), "{}{}", back.out, back.err);
    assert_eq!(back.lines()[0]["engine"]["pid"], pid);
}

#[test]
fn what_was_being_cancelled_is_settled_by_letting_it_go_on() {
    let fleet = six();
    let pid = under_way(&fleet);
    fleet.until("the next batch is at work", |s| s["batches"].as_u64() >= Some(2));
    assert_eq!(fleet.run(&["cancel"]).code, Some(0));
    signal(pid, Signal::KILL);
    gone(&fleet, pid);
    if fleet.status().unwrap()["status"] == "cancelled" {
        return; // It was faster.
    }
    let settled = fleet.run(&["recover", "--settle", "--output", "json"]);
    let summary = settled.summary();
    assert_eq!((settled.code, &summary["status"]), (Some(5), &Value::from("cancelled")), "{}{}", settled.out, settled.err);
    assert_eq!(summary["exceptions"], Value::Array(vec![]), "nothing was stopped half-way");
}

/// The socket's place is taken before anything is stored or done.
#[test]
fn an_engine_that_nobody_could_reach_takes_nothing_over() {
    let fleet = six();
    killed(&fleet);
    let socket = fleet.service_dir().join("engine.sock");
    std::fs::remove_file(&socket).unwrap();
    std::fs::create_dir(&socket).unwrap();
    let before = fleet.run(&["events", "demo-1"]).out;
    let refused = fleet.run(&["recover", "--continue"]);
    assert_eq!(refused.code, Some(6), "{}{}", refused.out, refused.err);
    assert_eq!(fleet.run(&["events", "demo-1"]).out, before);
    std::fs::remove_dir(&socket).unwrap();
    assert_eq!(fleet.run(&["recover", "--continue"]).code, Some(0));
}

/// An engine that is stopped before anything began takes along what it was asking.
#[test]
fn an_engine_that_ends_early_leaves_no_program() {
    let fleet = Fleet::start(2, Lb::Builtin, &["strategy.max_unavailable=1"]);
    let dir = common::temp_dir();
    let here = dir.path().display();
    let script = format!(
        "trap 'sleep 0.1; : > ended; exit' TERM; cd {here}; echo $$ $PPID > pids.new; mv pids.new pids; while :; do sleep 0.02; done"
    );
    let update = format!(
        "[update]\ncommand = [\"true\"]\nobserve = [\"sh\", \"-c\", \"{script}\"]\nobserve_timeout = \"10m\"\ntimeout = \"1h\"\n"
    );
    let config = commanded(&fleet, dir.path(), &update);
    let mut command = std::process::Command::new(fleet::rollout());
    command.arg("--config").arg(&config).args(["deploy", "v2", "--yes", "--detach"]);
    let deploy = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let pids = fleet.wait("it is asked", || std::fs::read_to_string(dir.path().join("pids")).ok());
    let pids: Vec<i32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    let [program, engine] = pids[..] else { panic!("{pids:?}") };
    signal(engine, Signal::TERM);
    gone(&fleet, engine);
    assert!(!process::group_lives(program));
    assert!(dir.path().join("ended").exists(), "it had its time to end");
    let ran = Ran::ended(deploy);
    assert!(ran.err.contains("nothing is touched"), "{ran:?}");
}
