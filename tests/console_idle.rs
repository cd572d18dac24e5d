//! The console where nothing runs, and the replay of what ran: the real program in a real terminal, a real fleet.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]
#![allow(clippy::allow_attributes, reason = "the shared parts have uses elsewhere")]
#![allow(dead_code, reason = "the shared parts have uses elsewhere")]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
mod fleet;
#[path = "terminal/pty.rs"]
mod pty;

use fleet::Fleet;
use pty::{Place, Terminal};
use rollout::demo::world::Lb;
use rollout::model::InstanceId;

/// A fleet of four whose checks a busy machine does not fail.
fn steady(sets: &[&str]) -> Fleet {
    let patient = ["vip.rate=20", "health.timeout=10s", "health.retries=10", "health.deadline=3m", "health.watch_interval=200ms"];
    Fleet::start(4, Lb::Builtin, &[&patient[..], sets].concat())
}

fn terminal(fleet: &Fleet, args: &[&str]) -> Terminal {
    Terminal::start_with(fleet, args, Place::Leader, (100, 30), &[])
}

/// The question is answered once it counts: a `y` before that is not taken.
fn confirm(fleet: &Fleet, terminal: &mut Terminal, until: &str) {
    fleet.wait("the answer counts", || {
        terminal.press("y");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        terminal.text().contains(until).then_some(())
    });
}

#[test]
fn where_nothing_runs_the_fleet_is_shown_and_nothing_is_touched() {
    let fleet = steady(&["health.retries=1"]);
    let mut terminal = terminal(&fleet, &[]);
    terminal.shows(&fleet, "4 of 4 serving, v1");
    let text = terminal.text();
    for what in ["[IDLE]", "no deployment yet; d deploys, 6 history", "nobody is sick", "web-03", "healthy"] {
        assert!(text.contains(what), "{what}: {text}");
    }
    for (key, why) in [("p", "nothing runs; d deploys"), ("R", "nothing runs"), ("s", "nothing runs; d deploys")] {
        terminal.press(key);
        terminal.shows(&fleet, why);
        // Another key is another message.
        terminal.press("k");
        fleet.wait("the message goes", || (!terminal.text().contains(why)).then_some(()));
    }
    terminal.press("6");
    terminal.shows(&fleet, "no deployment yet");
    terminal.press("1");
    // One runs something else, past all deployments: the console sees it by itself.
    fleet.update(&InstanceId::new("web-02").unwrap(), "v9");
    terminal.shows(&fleet, "v1 on 3, v9 on 1");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
    assert!(!fleet.service_dir().join("journal.sqlite3").exists(), "no journal is written");
    assert_eq!(fleet.run(&["history"]).code, Some(0));
    let ran = fleet.run(&[]);
    assert!(ran.out.contains("no deployment yet") && ran.out.contains("to deploy: rollout deploy VERSION"), "{ran:?}");
}

#[test]
fn somebody_else_deploys_and_the_console_goes_over_and_comes_back() {
    let fleet = steady(&["strategy.batch_pause=2s"]);
    let mut terminal = terminal(&fleet, &[]);
    terminal.shows(&fleet, "4 of 4 serving, v1");
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    terminal.shows(&fleet, "[RUN]");
    terminal.shows(&fleet, "4/4 updated, 0 failed, done");
    terminal.press("q");
    terminal.shows(&fleet, "[IDLE]");
    terminal.shows(&fleet, "4 of 4 serving, v2");
    terminal.shows(&fleet, "last: demo-1 v2 completed just now by");
    terminal.press("6");
    terminal.shows(&fleet, "demo-1");
    terminal.shows(&fleet, "4/4 updated, 0 failed, done");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
}

#[test]
fn a_version_is_typed_planned_confirmed_and_rolled_out() {
    let fleet = steady(&["strategy.batch_pause=0s"]);
    let mut terminal = terminal(&fleet, &[]);
    terminal.shows(&fleet, "4 of 4 serving, v1");
    terminal.press("d");
    terminal.shows(&fleet, "deploy VERSION:");
    terminal.press("-x\r");
    terminal.shows(&fleet, "version");
    terminal.press("\x15");
    terminal.press("v1\r");
    terminal.shows(&fleet, "nothing to do: all 4 instances run v1 and serve");
    terminal.press("d");
    terminal.shows(&fleet, "deploy VERSION:");
    terminal.press("v2\r");
    terminal.shows(&fleet, "[PLANNED]");
    assert_eq!(fleet.status().unwrap()["status"], "pending", "nothing begins by itself");
    terminal.press("s");
    confirm(&fleet, &mut terminal, "updated, 0 failed, batch");
    terminal.shows(&fleet, "4/4 updated, 0 failed, done");
    terminal.press("q");
    terminal.shows(&fleet, "[IDLE]");
    terminal.shows(&fleet, "4 of 4 serving, v2");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
    let summary = fleet.run(&["show", "1", "--output", "json"]).summary();
    assert_eq!((&summary["status"], &summary["updated"]), (&"completed".into(), &4.into()));
}

#[test]
fn a_deployment_that_is_refused_says_why_on_the_screen_of_the_fleet() {
    let fleet = steady(&["strategy.batch_size=1", "strategy.max_unavailable=1"]);
    let mut terminal = terminal(&fleet, &[]);
    terminal.shows(&fleet, "4 of 4 serving, v1");
    // One is sick: that leaves no room for another.
    fleet.update(&InstanceId::new("web-03").unwrap(), "v3-bad");
    terminal.shows(&fleet, "3 of 4 serving");
    terminal.shows(&fleet, "✗ web-03 status 503");
    let refused = fleet.run(&["deploy", "v2", "--yes"]);
    assert_eq!(refused.code, Some(6), "{refused:?}");
    terminal.press("d");
    terminal.shows(&fleet, "deploy VERSION:");
    terminal.press("v2\r");
    let said = refused.err.trim().trim_start_matches("rollout: ").split_whitespace().take(6).collect::<Vec<_>>().join(" ");
    terminal.shows(&fleet, &said);
    terminal.shows(&fleet, "3 of 4 serving");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
    let mut reader = self::terminal(&fleet, &["--read-only"]);
    reader.shows(&fleet, "3 of 4 serving");
    reader.press("d");
    reader.shows(&fleet, "deploy is refused: this is a read-only session");
    reader.press("q");
    assert_eq!(reader.ended(&fleet), 0);
}

#[test]
fn a_replay_is_what_was_recorded_and_needs_no_engine_and_nothing_to_write() {
    let fleet = steady(&["strategy.batch_pause=0s", "health.retries=3"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes"]).code, Some(0));
    assert_eq!(fleet.run(&["deploy", "v3-bad", "--yes"]).code, Some(3));
    let shown = fleet.run(&["show", "2", "--output", "json"]).summary();
    let without = fleet.run(&["replay", "2"]);
    assert_eq!(without.code, Some(2), "{without:?}");
    assert!(without.err.contains("rollout events demo-2"), "{without:?}");
    assert_eq!(fleet.run(&["replay", "9"]).code, Some(2));
    // Whoever reads the store leaves what SQLite keeps beside it.
    let files = || {
        let names =
            std::fs::read_dir(fleet.service_dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
        names.sort();
        names
    };
    let before = files();
    let mut terminal = terminal(&fleet, &["replay", "2"]);
    terminal.shows(&fleet, "[REPLAY]");
    terminal.shows(&fleet, "0/4 updated, 0 failed, planned");
    terminal.press("p");
    terminal.shows(&fleet, "this is a replay of demo-2");
    terminal.press("\x1b[F");
    let restored = shown["rolled_back"].as_u64().unwrap();
    terminal.shows(&fleet, &format!("rolled back: {restored}/{restored} restored"));
    terminal.shows(&fleet, "[ROLLED BACK]");
    terminal.press("{{");
    terminal.shows(&fleet, "FAILED");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
    assert_eq!(files(), before, "nothing is left behind");

    // What is damaged is replayed up to there, and the history lists it as that.
    let store = rusqlite::Connection::open(fleet.service_dir().join("journal.sqlite3")).unwrap();
    store.execute_batch("UPDATE events SET body = replace(body, 'web-0', 'web-1') WHERE deployment = 1 AND seq = 4").unwrap();
    drop(store);
    let mut terminal = self::terminal(&fleet, &["replay", "1"]);
    terminal.shows(&fleet, "record 4");
    terminal.press("\x1b[F");
    terminal.shows(&fleet, "3/3");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
    let mut terminal = self::terminal(&fleet, &[]);
    terminal.shows(&fleet, "last: demo-2 v3-bad rolled_back");
    terminal.press("6");
    terminal.shows(&fleet, "damaged");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
}

#[test]
fn an_interrupted_deployment_is_pointed_to_as_ever() {
    let fleet = steady(&["strategy.batch_pause=60s"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("the first batch is through", |s| s["updated"].as_u64() == Some(2));
    let engine = fleet.engine_pid().unwrap();
    pty::send(engine, rustix::process::Signal::KILL);
    fleet.wait("the engine is gone", || (!pty::lives(engine)).then_some(()));
    let mut terminal = terminal(&fleet, &[]);
    terminal.shows(&fleet, "rollout recover");
    assert_eq!(terminal.ended(&fleet), 0);
}
