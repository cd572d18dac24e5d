//! A deployment outlives the link to the machine that it runs on: a real sshd, a console in a terminal behind it, and a client
//! that is killed in every phase; a real fleet behind a real HAProxy that never retries, with requests of another tool all the
//! time.
//!
//! Imports: the e2e fleet. May not: sleep without a condition.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

#[path = "ssh_drop/bastion.rs"]
mod bastion;
#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;
#[path = "e2e/hey.rs"]
mod hey;
#[path = "ssh_drop/terminal.rs"]
mod terminal;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;

use bastion::{Bastion, front_doors};
use common::server;
use fleet::{Fleet, rollout};
use hey::{Hey, assert_nothing_failed, hey};
use rollout::demo::world::Lb;
use rollout::model::InstanceState;
use rollout::ports::Snapshot;
use rollout::state::Status;
use serde_json::Value;
use terminal::{Terminal, wait};

/// Whether a deployment is in a phase.
type IsInIt = Box<dyn Fn(&Snapshot) -> bool>;

/// What the engine says of itself, at this moment.
fn snapshot(fleet: &Fleet) -> Option<Snapshot> {
    let mut engine = UnixStream::connect(fleet.service_dir().join("engine.sock")).ok()?;
    engine.write_all(b"GET /v1/deployment HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    engine.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn shows(state: InstanceState) -> impl Fn(&Snapshot) -> bool {
    move |now| now.state.instances.values().any(|instance| instance.shown() == state)
}

/// A line of shell for `rollout ARGS` on this fleet.
fn line(fleet: &Fleet, args: &str) -> String {
    let sets: Vec<String> = fleet.sets.iter().map(|set| format!("--set {set} ")).collect();
    format!("exec {} --config {} {}{args}", rollout().display(), fleet.world.config_path().display(), sets.concat())
}

/// Requests past the balancer, which keep every instance from stopping at once.
fn hold(fleet: &Fleet) -> Vec<TcpStream> {
    let request = |port: u16| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(b"GET /slow?ms=2500 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        stream
    };
    fleet.config.targets.iter().map(|target| request(target.port)).collect()
}

/// The link drops while a deployment runs that is in a phase; nothing is left of the console.
fn drop_in(fleet: &Fleet, mut terminal: Terminal, phase: &str, is_in_it: impl Fn(&Snapshot) -> bool) {
    terminal.question();
    let held = (phase == "updating").then(|| hold(fleet));
    terminal.press("y");
    let at = fleet.wait(phase, || snapshot(fleet).filter(|now| is_in_it(now)));
    terminal.drop_link();
    no_console_is_left(fleet);
    drop(held);
    let now = snapshot(fleet).unwrap_or_else(|| panic!("{phase}: the engine is gone"));
    assert!(now.seq >= at.seq, "{phase}");
}

fn no_console_is_left(fleet: &Fleet) {
    let config = fleet.world.config_path();
    fleet.wait("the console is gone", || front_doors(&rollout(), &config).is_empty().then_some(()));
}

#[test]
fn a_dropped_link_in_any_phase_fails_no_request() {
    let (Some(_), Some(program)) = (server("haproxy"), server("hey")) else { return };
    // Few requests: what else runs on this machine must not decide whether one is answered in time.
    let sets = ["strategy.batch_pause=700ms", "health.interval=150ms", "health.rise=4", "update.stop_timeout=2s", "vip.rate=40"];
    let fleet = Fleet::start(4, Lb::Haproxy, &sets);
    let Some(bastion) = Bastion::start() else { return };
    // Answers that take a while: a drain waits for them.
    let load: Vec<(&str, Hey)> = [("/", true), ("/", false), ("/slow?ms=500", true)]
        .map(|(path, keep)| (path, hey(&program, &[&fleet.world.url(), path].concat(), keep)))
        .into();

    let phases: [(&str, &str, IsInIt); 5] = [
        ("draining", "v2", Box::new(shows(InstanceState::Draining))),
        ("updating", "v3", Box::new(shows(InstanceState::Updating))),
        ("health_checking", "v4", Box::new(shows(InstanceState::HealthChecking))),
        ("the pause after a batch", "v5", Box::new(|now| now.state.batch.as_ref().is_some_and(|b| b.bake_until.is_some()))),
        ("rolling back", "v6-bad", Box::new(|now| now.state.status() == Status::RollingBack)),
    ];
    for (phase, version, is_in_it) in phases {
        let terminal = bastion.terminal(&line(&fleet, &["deploy ", version].concat()));
        drop_in(&fleet, terminal, phase, is_in_it);
        let attached = fleet.run(&["attach", "--output", "json"]);
        assert!(attached.out.contains("\"attached\""), "{phase}: {attached:?}");
        let wanted = if phase == "rolling back" { (Some(3), "rolled_back") } else { (Some(0), "completed") };
        let summary = attached.summary();
        assert_eq!((attached.code, summary["status"].as_str()), (wanted.0, Some(wanted.1)), "{phase}: {summary}");
        assert_eq!((&summary["vip"]["failed"], &summary["exceptions"]), (&Value::from(0), &Value::Array(vec![])), "{phase}");
        fleet.wait("its engine has left", || fleet.engine_pid().is_none().then_some(()));
    }

    // As a person comes back: over a new link, to the screen, and to its end. A shell that ignores hang-ups changes nothing.
    let terminal = bastion.terminal(&["trap '' HUP; ", &line(&fleet, "deploy v7")].concat());
    drop_in(&fleet, terminal, "draining", shows(InstanceState::Draining));
    let mut again = bastion.terminal(&line(&fleet, "attach"));
    again.shows("[RUN]");
    again.shows("[DONE]");
    again.press("q");
    assert_eq!(again.ended(), 0, "{}", again.text());
    for (what, hey) in load {
        assert_nothing_failed(hey, what);
    }
}

/// A plan that was not confirmed when the link dropped can be confirmed over another; if nobody comes, the engine ends it.
#[test]
fn a_dropped_link_at_the_question_touches_nothing() {
    let fleet = Fleet::start(2, Lb::Builtin, &["strategy.max_unavailable=1", "strategy.approval_timeout=1m"]);
    let Some(bastion) = Bastion::start() else { return };
    let mut terminal = bastion.terminal(&line(&fleet, "deploy v2"));
    terminal.question();
    terminal.drop_link();
    no_console_is_left(&fleet);
    assert_eq!(snapshot(&fleet).unwrap().state.status(), Status::Pending);

    let mut again = bastion.terminal(&line(&fleet, "attach"));
    again.question();
    again.drop_link();
    no_console_is_left(&fleet);
    let ended = fleet.until("the engine ends by itself", |status| status["status"] == "cancelled");
    assert_eq!((&ended["untouched"], &ended["exposed"]), (&Value::from(2), &Value::from(0)), "{ended}");
    let events = fleet.run(&["events", "demo-1", "--output", "json"]).lines();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["deployment_planned", "cancel_requested", "deployment_ended"]);
    assert_eq!((&events[1]["by"]["who"], &events[1]["reason"]), (&"engine".into(), &"nobody watches the plan any more".into()));
    fleet.wait("its engine has left", || fleet.engine_pid().is_none().then_some(()));
    let next = fleet.run(&["deploy", "v2", "--yes"]);
    assert_eq!(next.code, Some(0), "{next:?}");
}

/// Two consoles show the same deployment, either may steer it, and it needs neither.
#[test]
fn two_consoles_show_the_same_and_the_engine_survives_both() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=2s", "strategy.batch_size=1", "vip.rate=40"]);
    let Some(bastion) = Bastion::start() else { return };
    let mut first = bastion.terminal(&line(&fleet, "deploy v2"));
    first.question();
    first.press("y");
    first.shows("[RUN]");
    let mut second = bastion.terminal(&line(&fleet, "attach"));
    second.shows("[RUN]");
    second.press("p");
    for console in [&first, &second] {
        console.shows("[PAUSED by");
    }
    wait("it rests", || snapshot(&fleet).filter(|now| now.state.active.is_empty()));
    // The counts, the reason, and of every instance its name, state and version; latencies are as old as the console.
    let facts = |console: &Terminal| {
        let text = console.text();
        let mut facts: Vec<String> = text.lines().skip(1).take(2).map(|line| line.trim_end().to_owned()).collect();
        facts.extend(text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // A row of the list, behind its signs; not of the history, behind its time of day.
            let name = words.iter().position(|word| word.starts_with("web-"))?;
            words.first().filter(|first| first.chars().count() <= 2)?;
            let version = words.iter().find(|word| matches!(**word, "v1" | "v2"))?;
            Some(format!("{} {version}", words.get(name..name + 2)?.join(" ")))
        }));
        facts
    };
    let seen = wait("both show the same", || Some(facts(&first)).filter(|seen| *seen == facts(&second)));
    assert!(seen.len() >= 6 && seen.contains(&"web-01 healthy v2".to_owned()), "{seen:?}");
    first.press("r");
    first.armed("y resume");
    first.press("y");
    second.shows("[RUN]");

    first.drop_link();
    second.shows("[RUN]");
    second.drop_link();
    no_console_is_left(&fleet);
    let attached = fleet.run(&["attach", "--output", "json"]);
    let summary = attached.summary();
    assert_eq!((attached.code, &summary["updated"]), (Some(0), &Value::from(4)), "{summary}");
}
