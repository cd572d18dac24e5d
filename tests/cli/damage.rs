//! Every verb on a journal that is damaged, gone, or of a newer program: what is whole is shown, the rest is named.

use std::fs;
use std::path::PathBuf;

use rollout::demo::world::Lb;
use rusqlite::Connection;

use crate::fleet::{Fleet, Ran};

const SETS: [&str; 3] = ["strategy.batch_pause=100ms", "strategy.batch_size=1", "strategy.max_unavailable=1"];

fn file(fleet: &Fleet, suffix: &str) -> PathBuf {
    fleet.service_dir().join(format!("journal.sqlite3{suffix}"))
}

fn sql(fleet: &Fleet, sql: &str) {
    Connection::open(file(fleet, "")).unwrap().execute_batch(sql).unwrap();
}

/// It was refused with exit code 6, and says all of this.
fn refused(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.code, Some(6), "{}{}", ran.out, ran.err);
    for part in parts {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

/// The verbs that look, with what each must say.
fn all_refused(fleet: &Fleet, verbs: &[&[&str]], parts: &[&str]) {
    for verb in verbs {
        refused(&fleet.run(verb), parts);
    }
}

const REMEDY: &str = "journal.backup.sqlite3 of 20";

fn follow(ran: &Ran) {
    let commands = &ran.err[ran.err.find("cd /").unwrap()..];
    assert!(std::process::Command::new("sh").args(["-ec", commands]).status().unwrap().success(), "{commands}");
}

fn versions(fleet: &Fleet) -> String {
    let check = fleet.run(&["check", "--output", "json"]);
    let line = check.lines().into_iter().find(|line| line["kind"] == "instance").unwrap();
    line["message"].as_str().unwrap().split("; ").nth(1).unwrap().to_owned()
}

#[test]
fn a_damaged_journal_is_named_by_every_verb_and_what_is_whole_is_shown() {
    let fleet = Fleet::start(2, Lb::Builtin, &SETS);
    for version in ["v2", "v3"] {
        assert_eq!(fleet.run(&["deploy", version, "--yes"]).code, Some(0));
    }
    let good = fs::read(file(&fleet, "")).unwrap();
    assert!(fleet.service_dir().join("journal.backup.sqlite3").exists(), "made by itself after each end");

    // A record of an old deployment.
    sql(&fleet, "UPDATE events SET body = replace(body, 'web-0', 'web-1') WHERE deployment = 1 AND seq = 4");
    let record = ["journal of demo-1: record 4", "holds everything up to demo-2", REMEDY, "cp -p"];
    all_refused(&fleet, &[&["show", "1"], &["show", "demo-1", "--output", "json"], &["events", "1"]], &record);
    assert_eq!(fleet.run(&["events", "1", "--output", "json"]).lines().len(), 3, "what comes before it is shown");
    for verb in [&["show", "2"][..], &["events", "2"], &["status"], &["history"], &["plan", "v4"]] {
        let ran = fleet.run(verb);
        assert_eq!(ran.code, Some(0), "{verb:?}: {}", ran.err);
    }

    // A line of the history.
    fs::write(file(&fleet, ""), &good).unwrap();
    sql(&fleet, "UPDATE deployments SET status = 'rolled_back' WHERE number = 1");
    let line = ["journal of demo-1: its line in the history was changed", REMEDY];
    let history = fleet.run(&["history", "--output", "json"]);
    refused(&history, &line);
    assert_eq!(history.lines().len(), 1);
    assert_eq!(history.lines()[0]["deployment"], "demo-2");
    assert!(fleet.run(&["history"]).out.contains("demo-2"));
    all_refused(&fleet, &[&["show", "1"], &["events", "1"]], &line);
    assert_eq!(fleet.run(&["show", "2"]).code, Some(0));
    let check = fleet.run(&["check"]);
    assert!(check.code != Some(0) && check.out.contains("demo-1: its line in the history was changed"), "{}", check.out);

    // The newest deployment: nothing may follow what nobody knows.
    fs::write(file(&fleet, ""), &good).unwrap();
    sql(&fleet, "DELETE FROM events WHERE deployment = 2 AND seq = 7");
    let record = ["journal of demo-2: record 7", "it is missing", REMEDY];
    all_refused(&fleet, &[&["show", "2"], &["events", "2"], &["status"], &["deploy", "v4", "--yes"], &["plan", "v4"]], &record);
    refused(&fleet.run(&["rollback", "--yes"]), &record);
    sql(&fleet, "UPDATE deployments SET ended_at = NULL WHERE number = 2");
    let line = ["journal of demo-2: its line in the history was changed", REMEDY];
    let verbs: [&[&str]; 7] =
        [&["status"], &["deploy", "v4", "--yes"], &["recover"], &["plan", "v4"], &["pause"], &["attach"], &["rollback"]];
    all_refused(&fleet, &verbs, &line);

    // The whole file, and then no file.
    fs::write(file(&fleet, ""), &good[..5000]).unwrap();
    let all: [&[&str]; 8] = [
        &["history"],
        &["show", "1"],
        &["events", "1"],
        &["status"],
        &["deploy", "v4", "--yes"],
        &["recover"],
        &["plan", "v4"],
        &[],
    ];
    all_refused(&fleet, &all, &["is damaged", REMEDY]);
    fs::remove_file(file(&fleet, "")).unwrap();
    all_refused(&fleet, &all, &["is gone, though journal.sqlite3-last beside it", REMEDY]);
    assert_eq!(versions(&fleet), "v3 on 2", "nothing was touched");

    follow(&fleet.run(&["status"]));
    assert_eq!(fleet.run(&["history", "--output", "json"]).lines().len(), 2);
    assert_eq!(fleet.run(&["deploy", "v4", "--yes"]).code, Some(0));
    assert_eq!(fleet.run(&["show", "3"]).code, Some(0));
}

#[test]
fn a_lost_log_of_an_interrupted_deployment_is_named_and_not_taken_over() {
    let fleet = Fleet::start(3, Lb::Builtin, &SETS);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes"]).code, Some(0));
    assert_eq!(fleet.run(&["deploy", "v3", "--yes", "--detach"]).code, Some(0));
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(1));
    let pid = rustix::process::Pid::from_raw(fleet.engine_pid().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    fleet.wait("its socket is dead", || fleet.engine_pid().is_none().then_some(()));
    fs::remove_file(file(&fleet, "-wal")).unwrap();
    fs::remove_file(file(&fleet, "-shm")).unwrap();
    let lost = ["journal of demo-2: record 1 cannot be read: it is missing", "journal.sqlite3-wal", "rm /", "up to demo-1"];
    let verbs: [&[&str]; 7] =
        [&["status"], &["deploy", "v4", "--yes"], &["recover"], &["plan", "v4"], &["show", "2"], &["events", "2"], &["pause"]];
    all_refused(&fleet, &verbs, &lost);
    let history = fleet.run(&["history", "--output", "json"]);
    refused(&history, &lost);
    assert_eq!(history.lines()[0]["deployment"], "demo-1");
    assert_eq!(fleet.run(&["show", "1"]).code, Some(0));
    follow(&history);
    assert_eq!(fleet.run(&["history", "--output", "json"]).lines().len(), 1);
    assert_eq!(fleet.run(&["plan", "v4"]).code, Some(0), "the world is read anew");
}

/// FNV-1a, seeded by what came before: the checksums of the store.
fn link(previous: u64, text: &str) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325 ^ previous;
    text.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Makes demo-1 what a program of format 9 would have written, whose record `unknown` nobody here understands.
fn from_the_future(fleet: &Fleet, unknown: u32) {
    let store = Connection::open(file(fleet, "")).unwrap();
    let bodies: Vec<(u32, String)> = {
        let mut all = store.prepare("SELECT seq, body FROM events WHERE deployment = 1 ORDER BY seq").unwrap();
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let mut chain = 0;
    for (seq, body) in &bodies {
        let body = if *seq == unknown { body.replace("\"type\":\"", "\"type\":\"future_") } else { body.clone() };
        chain = link(chain, &body);
        let sql = "UPDATE events SET body = ?1, chain = ?2 WHERE deployment = 1 AND seq = ?3";
        store.execute(sql, rusqlite::params![body, chain.cast_signed(), seq]).unwrap();
    }
    let fields = "number||char(0)||version||char(0)||status||char(0)||started_by||char(0)||planned_at||char(0)||
        coalesce(ended_at, -1)||char(0)||'9'||char(0)||last_seq";
    let line: Vec<u8> = store
        .query_row(&format!("SELECT CAST({fields} AS BLOB) FROM deployments WHERE number = 1"), [], |row| row.get(0))
        .unwrap();
    let sum = link(chain, &String::from_utf8(line).unwrap());
    let sql = "UPDATE deployments SET format = 9, chain = ?1, sum = ?2 WHERE number = 1";
    store.execute(sql, [chain.cast_signed(), sum.cast_signed()]).unwrap();
    fs::remove_file(file(fleet, "-last")).unwrap();
}

#[test]
fn what_a_newer_program_wrote_is_shown_but_not_continued() {
    let fleet = Fleet::start(3, Lb::Builtin, &SETS);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(1));
    let pid = rustix::process::Pid::from_raw(fleet.engine_pid().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    fleet.wait("its socket is dead", || fleet.engine_pid().is_none().then_some(()));
    let shown = |what: &str| {
        for verb in [&["history"][..], &["show", "1"], &["events", "1"], &["status"]] {
            let ran = fleet.run(verb);
            assert!(ran.code == Some(0) && ran.out.contains("demo-1") | verb.contains(&"events"), "{what} {verb:?}: {ran:?}");
        }
    };
    let layout: i64 = Connection::open(file(&fleet, "")).unwrap().pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
    sql(&fleet, "PRAGMA user_version = 9");
    shown("layout");
    let both = format!("layout 9, this one knows {layout}");
    refused(&fleet.run(&["recover", "--detach"]), &["written by a newer rollout", &both]);
    refused(&fleet.run(&["deploy", "v3", "--yes"]), &["written by a newer rollout", &both]);
    sql(&fleet, &format!("PRAGMA user_version = {layout}"));

    from_the_future(&fleet, 0);
    shown("format");
    let both = format!("format 9, this one knows {}", rollout::event::FORMAT);
    refused(&fleet.run(&["recover", "--detach"]), &["written by a newer rollout", &both]);

    from_the_future_again(&fleet);
    assert_eq!(fleet.run(&["history"]).code, Some(0));
    for verb in [&["show", "1"][..], &["events", "1"], &["recover", "--detach"]] {
        refused(&fleet.run(verb), &["newer rollout", &both]);
    }
    assert_eq!(fleet.run(&["events", "1", "--output", "json"]).lines().len(), 4, "what can be read is shown");
    assert_eq!(fleet.engine_pid(), None);
}

fn from_the_future_again(fleet: &Fleet) {
    fs::write(file(fleet, "-last"), "").unwrap();
    from_the_future(fleet, 5);
}
