//! What the README says of the control socket, with `curl` on a real engine; and who gave a command, as the journal has it.
//!
//! Imports: the e2e fleet. May not: sleep without a condition.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use common::server;
use fleet::{Fleet, Ran};
use rollout::demo::world::Lb;
use serde_json::Value;

/// A deployment of eight that rests after its first batch, until somebody approves the next.
fn waiting() -> Fleet {
    let fleet = Fleet::start(8, Lb::Builtin, &["strategy.confirm=\"batch\"", "strategy.batch_pause=0s"]);
    let deploy = fleet.run(&["deploy", "v2", "--yes", "--detach"]);
    assert_eq!(deploy.code, Some(0), "{}", deploy.err);
    fleet.until("it waits for approval", |_| fleet.run(&["status"]).out.contains("waits for approval"));
    fleet
}

/// The lines of the README's block of `curl`s.
fn examples() -> Vec<&'static str> {
    let readme = include_str!("../README.md");
    let section = readme.split_once("### The control socket").expect("the section").1;
    let block = section.split_once("```sh\n").expect("its block").1.split_once("```").expect("the end of the block").0;
    block.lines().collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {} {}", ran.out, ran.err))
}

#[test]
fn the_examples_of_the_readme_do_what_it_says() {
    let Some(_curl) = server("curl") else { return };
    let fleet = waiting();
    let socket = fleet.service_dir().join("engine.sock");
    let examples = examples();
    assert!(examples[0].starts_with("socket=~/"), "{}", examples[0]);
    let answers: Vec<Ran> = examples[1..]
        .iter()
        .map(|line| {
            // The stream goes on until somebody leaves.
            let line = line.replace("curl ", if line.contains(" -N ") { "curl -sS -m 3 " } else { "curl -sS " });
            let script = format!("socket='{}'\n{line}", socket.display());
            Ran::of(Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).output().unwrap())
        })
        .collect();
    let [deployment, events, logs, hold, pause, resume] = answers.as_slice() else { panic!("{examples:?}") };
    let snapshot = json(deployment);
    assert_eq!(snapshot["state"]["plan"]["version"], "v2");
    assert!(snapshot["seq"].is_u64() && snapshot["state"]["turned"].is_u64() && snapshot["progress"]["readings"].is_object());
    let ids: Vec<u64> = events.out.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (1..=snapshot["seq"].as_u64().unwrap()).collect::<Vec<_>>(), "every fact, once, in order");
    for frame in ["event: event", "event: progress"] {
        assert!(events.out.contains(frame), "{frame}: {}", events.out);
    }
    assert!(json(logs).as_array().is_some_and(|lines| lines.iter().all(|line| line["number"].is_u64())));
    assert!(json(hold)["message"].as_str().unwrap().contains("web-07"), "{}", hold.out);
    assert!(json(pause)["message"].as_str().unwrap().contains("paus"), "{}", pause.out);
    let (seq, turned) = (json(pause)["seq"].as_u64().unwrap(), json(resume));
    let is_late = seq > 57;
    assert_eq!(turned["message"].as_str().unwrap().contains("has moved on since you looked"), is_late, "{}", resume.out);
    let told = fleet.run(&["events", "demo-1"]).out;
    for words in ["web-07 held by root: new disk", "paused by root: graphs"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(fleet.run(&["cancel"]).code, Some(0));
    fleet.until("it is over", |status| status["status"] == "cancelled" || status["finished_at"].is_string());
}

/// `rollout ARGS`, logged in by ssh as somebody else who became what the tests run as.
fn as_somebody(fleet: &Fleet, login: Option<u32>, args: &[&str]) -> Ran {
    let mut command = fleet.command(args);
    command.env("SSH_CONNECTION", "2001:db8::7 50022 2001:db8::1 22");
    if let Some(uid) = login {
        // What PAM does at a login: the kernel keeps it over `su` and `sudo`.
        let program = command.get_program().to_owned();
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut login = Command::new("sh");
        login.arg("-c").arg(format!("echo {uid} > /proc/self/loginuid && exec \"$@\"")).arg("sh").arg(program).args(args);
        login.env("SSH_CONNECTION", "2001:db8::7 50022 2001:db8::1 22").stdin(Stdio::null());
        return Ran::of(login.process_group(0).output().unwrap());
    }
    Ran::of(command.output().unwrap())
}

#[test]
fn the_journal_has_who_gave_a_command_from_where_and_why() {
    let fleet = waiting();
    let paused = as_somebody(&fleet, None, &["pause", "--reason", "p99 is up"]);
    assert_eq!(paused.code, Some(0), "{}", paused.err);
    let told = fleet.run(&["events", "demo-1"]).out;
    let me = rollout::os::users::login(rustix::process::getuid().as_raw()).unwrap();
    assert!(told.contains(&format!("paused by {me} from 2001:db8::7: p99 is up")), "{told}");
    let events = fleet.run(&["events", "demo-1", "--output", "json"]).out;
    let pause = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|e| !e["reason"].is_null()).unwrap();
    assert_eq!(
        (&pause["by"]["uid"], &pause["by"]["from"]),
        (&Value::from(rustix::process::getuid().as_raw()), &"2001:db8::7".into())
    );

    // Only root may say as whom a session began; and where the kernel keeps no such number, there is nothing to show.
    if rustix::process::getuid().is_root() && std::path::Path::new("/proc/self/loginuid").exists() {
        let resumed = as_somebody(&fleet, Some(65_534), &["resume"]);
        assert_eq!(resumed.code, Some(0), "{}", resumed.err);
        let told = fleet.run(&["events", "demo-1"]).out;
        assert!(told.contains("resumed by root (nobody) from 2001:db8::7"), "{told}");
    }
    let log = std::fs::read_to_string(fleet.service_dir().join("engine.log")).unwrap();
    assert!(log.contains("from 2001:db8::7: pause (paused)"), "{log}");
    fleet.run(&["cancel"]);
}

/// What the console's keys do not offer, the engine refuses.
#[test]
fn a_session_that_only_watches_is_refused_by_the_engine() {
    let Some(curl) = server("curl") else { return };
    let fleet = waiting();
    let socket = fleet.service_dir().join("engine.sock");
    let mut asked = Command::new(curl);
    asked.args(["-sS", "-w", "%{http_code}", "-H", "rollout-access: view", "-d", r#"{"command":"cancel"}"#, "--unix-socket"]);
    let refused = Ran::of(asked.arg(&socket).arg("http://rollout/v1/commands").output().unwrap());
    assert!(refused.out.contains("read-only session") && refused.out.ends_with("409"), "{}", refused.out);
    for (args, why) in [
        (&["--read-only", "cancel"][..], "by --read-only"),
        (&["--set", "console.read_only=true", "cancel"], "by [console] read_only of "),
        (&["--set", "console.read_only=true", "deploy", "v3", "--yes"], "by [console] read_only of "),
    ] {
        let refused = fleet.run(args);
        assert_eq!(refused.code, Some(6), "{args:?}");
        assert!(refused.err.contains("this is a read-only session") && refused.err.contains(why), "{}", refused.err);
    }
    let status = fleet.status().unwrap();
    assert_eq!(status["status"], "in_progress");
    fleet.run(&["cancel"]);
}
