//! What stays of a journal: the backup beside it, and the deployments that `[journal] keep` leaves in it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollout::event::{Actor, Cause, Event, EventKind};
use rollout::journal::{Sqlite, service_dir};
use rollout::model::{DeploymentId, Seq, Timestamp};
use rollout::ports::{DeploymentRow, Journal as _};
use rusqlite::Connection;

fn id(number: u32) -> DeploymentId {
    DeploymentId::new("shop", number)
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + second * 1000)
}

fn open(base: &Path) -> Sqlite {
    Sqlite::open(base, "shop", "default").unwrap()
}

fn home(base: &Path) -> PathBuf {
    service_dir(base, "shop", "default")
}

fn events(number: u32, count: u64) -> Vec<Event> {
    let kind = EventKind::DeploymentPaused { by: Actor::Engine, reason: "x".repeat(300), cause: Cause::Asked, until: None };
    (1..=count).map(|seq| Event { seq: Seq(seq), at: at(seq), deployment: id(number), kind: kind.clone() }).collect()
}

fn write(journal: &Sqlite, number: u32, status: &str) -> DeploymentRow {
    let row = DeploymentRow {
        id: id(number),
        version: format!("v{number}"),
        status: status.to_owned(),
        started_by: "ann".to_owned(),
        planned_at: at(0),
        ended_at: (status != "in_progress").then(|| at(99)),
    };
    journal.append(&events(number, 8), &row).unwrap();
    row
}

fn numbers(journal: &Sqlite) -> Vec<u32> {
    journal.list().unwrap().iter().map(|row| row.id.number()).collect()
}

/// Runs the commands that a message tells, as whoever reads it would.
fn follow(message: &str) {
    let commands = &message[message.find("cd /").unwrap()..];
    let ran = Command::new("sh").args(["-ec", commands]).output().unwrap();
    assert!(ran.status.success(), "{commands}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn going_back_to_the_backup_is_what_the_message_of_the_damage_says() {
    let base = tempfile::tempdir().unwrap();
    let journal = open(base.path());
    let rows: Vec<DeploymentRow> = (1..=3).map(|number| write(&journal, number, "completed")).collect();
    fs::set_permissions(journal.path(), fs::Permissions::from_mode(0o640)).unwrap();
    journal.back_up();
    let backup = home(base.path()).join("journal.backup.sqlite3");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o640, "as private as the journal");
    fs::set_permissions(journal.path(), fs::Permissions::from_mode(0o600)).unwrap();
    write(&journal, 4, "in_progress");
    drop(journal);
    let mut bytes = fs::read(home(base.path()).join("journal.sqlite3")).unwrap();
    bytes.truncate(5000);
    fs::write(home(base.path()).join("journal.sqlite3"), bytes).unwrap();

    let error = Sqlite::open(base.path(), "shop", "default").and_then(|journal| journal.list()).unwrap_err().to_string();
    assert!(error.contains("journal.backup.sqlite3 of 20") && error.contains("holds everything up to shop-3"), "{error}");
    follow(&error);
    let journal = open(base.path());
    assert_eq!(journal.list().unwrap(), [rows[2].clone(), rows[1].clone(), rows[0].clone()]);
    assert_eq!(journal.read(&id(2)).unwrap(), events(2, 8));
    let mode: String = Connection::open(journal.path()).unwrap().pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
    assert_eq!(mode, "wal");
    write(&journal, 4, "completed");
    assert_eq!(numbers(&journal), [4, 3, 2, 1]);
}

#[test]
fn without_a_backup_the_message_says_how_to_begin_anew() {
    let base = tempfile::tempdir().unwrap();
    write(&open(base.path()), 1, "completed");
    fs::write(home(base.path()).join("journal.sqlite3"), "not a database at all").unwrap();
    let error = Sqlite::open(base.path(), "shop", "default").unwrap_err().to_string();
    assert!(error.contains("begin a new history"), "{error}");
    follow(&error);
    assert_eq!(numbers(&open(base.path())), [] as [u32; 0]);
    assert!(home(base.path()).join("damaged/journal.sqlite3").exists(), "nothing is thrown away");
}

#[test]
fn a_journal_that_is_gone_is_brought_back_from_its_backup() {
    let base = tempfile::tempdir().unwrap();
    let journal = open(base.path());
    write(&journal, 1, "completed");
    journal.back_up();
    drop(journal);
    fs::remove_file(home(base.path()).join("journal.sqlite3")).unwrap();
    let error = Sqlite::open(base.path(), "shop", "default").unwrap_err().to_string();
    assert!(error.contains("is gone") && error.contains("holds everything up to shop-1"), "{error}");
    follow(&error);
    assert_eq!(numbers(&open(base.path())), [1]);
    for name in ["journal.sqlite3", "journal.sqlite3-last"] {
        fs::remove_file(home(base.path()).join(name)).unwrap_or_default();
    }
    let error = Sqlite::open(base.path(), "shop", "default").unwrap_err().to_string();
    assert!(error.contains("though journal.backup.sqlite3 beside it"), "{error}");
    follow(&error);
    assert_eq!(numbers(&open(base.path())), [1]);
}

#[test]
fn a_backup_is_replaced_by_a_sound_one_or_not_at_all() {
    let base = tempfile::tempdir().unwrap();
    let journal = open(base.path());
    write(&journal, 1, "completed");
    journal.back_up();
    let backup = home(base.path()).join("journal.backup.sqlite3");
    let first = fs::read(&backup).unwrap();
    write(&journal, 2, "completed");
    let sql = "UPDATE events SET body = replace(body, 'xxx', 'yyy') WHERE deployment = 1 AND seq = 4";
    Connection::open(journal.path()).unwrap().execute_batch(sql).unwrap();
    journal.back_up();
    assert_eq!(fs::read(&backup).unwrap(), first, "a damaged journal does not take the place of a sound copy");
    let sql = "UPDATE events SET body = replace(body, 'yyy', 'xxx') WHERE deployment = 1 AND seq = 4";
    Connection::open(journal.path()).unwrap().execute_batch(sql).unwrap();
    // What a backup that was cut short leaves behind is no hindrance.
    for name in ["journal.backup.draft", "journal.backup.draft-journal"] {
        fs::write(home(base.path()).join(name), "half").unwrap();
    }
    journal.back_up();
    assert_ne!(fs::read(&backup).unwrap(), first);
    drop(journal);
    let mut left: Vec<_> =
        fs::read_dir(home(base.path())).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["journal.backup.sqlite3", "journal.sqlite3", "journal.sqlite3-last"]);
}

#[test]
fn a_backup_that_cannot_be_made_is_no_failure() {
    let base = tempfile::tempdir().unwrap();
    let journal = open(base.path());
    write(&journal, 1, "completed");
    fs::create_dir(home(base.path()).join("journal.backup.draft")).unwrap();
    journal.back_up();
    assert!(!home(base.path()).join("journal.backup.sqlite3").exists());
    assert_eq!(numbers(&journal), [1]);
}

#[test]
fn a_backup_is_made_before_the_layout_changes() {
    let base = tempfile::tempdir().unwrap();
    drop(open(base.path()));
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/interrupted-layout-1.sql")).unwrap();
    let path = home(base.path()).join("journal.sqlite3");
    fs::remove_file(&path).unwrap();
    let older = Connection::open(&path).unwrap();
    older.execute_batch(&text).unwrap();
    older.execute_batch("DELETE FROM events; DELETE FROM deployments; UPDATE store SET service = 'shop'").unwrap();
    drop(older);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let layout =
        |path: &Path| -> i64 { Connection::open(path).unwrap().pragma_query_value(None, "user_version", |r| r.get(0)).unwrap() };
    let seen = Sqlite::view(base.path(), "shop", "default").unwrap().unwrap();
    assert_eq!(numbers(&seen), [] as [u32; 0]);
    assert_eq!(layout(&path), 1, "looking changes nothing");
    write(&open(base.path()), 1, "completed");
    assert_eq!(layout(&home(base.path()).join("journal.backup.sqlite3")), 1);
    assert_eq!(layout(&path), 3);
}

#[test]
fn the_oldest_ended_deployments_are_removed_and_their_numbers_stay_taken() {
    let base = tempfile::tempdir().unwrap();
    let journal = open(base.path());
    let ends = |number| if number == 2 { "completed" } else { "rolled_back" };
    let rows: Vec<DeploymentRow> = (1..=14).map(|number| write(&journal, number, ends(number))).collect();
    journal.keep(20);
    assert_eq!(numbers(&journal).len(), 14);
    journal.keep(10);
    assert_eq!(numbers(&journal), [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 2], "the last good one stays");
    assert_eq!(journal.read(&id(2)).unwrap(), events(2, 8));
    assert_eq!(journal.read(&id(1)).unwrap(), []);
    assert_eq!(journal.list().unwrap()[0], rows[13]);
    assert_eq!(journal.next_id().unwrap(), id(15));
    write(&journal, 15, "in_progress");
    journal.keep(10);
    assert_eq!(numbers(&journal).len(), 12, "what has not ended does not count, and stays");
    write(&journal, 16, "completed");
    journal.keep(10);
    assert_eq!(numbers(&journal), [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6]);
    drop(journal);
    let journal = open(base.path());
    assert_eq!(journal.next_id().unwrap(), id(17));
    // A hole that we did not make is still damage.
    let sql = "DELETE FROM deployments WHERE number = 9; DELETE FROM events WHERE deployment = 9";
    Connection::open(journal.path()).unwrap().execute_batch(sql).unwrap();
    let error = journal.list().unwrap_err().to_string();
    assert!(error.contains("shop-9: it is missing"), "{error}");
    journal.keep(3);
    assert_eq!(journal.past().unwrap().rows.len(), 10, "nothing is removed from a damaged journal");
}

#[test]
fn the_space_of_what_was_removed_is_used_again() {
    let base = tempfile::tempdir().unwrap();
    let journal = open(base.path());
    for number in 1..=40 {
        write(&journal, number, "completed");
    }
    let pages =
        || -> i64 { Connection::open(journal.path()).unwrap().pragma_query_value(None, "page_count", |r| r.get(0)).unwrap() };
    let before = pages();
    for number in 41..=120 {
        journal.keep(20);
        write(&journal, number, "completed");
    }
    assert!(pages() <= before, "{} pages, {before} before", pages());
    assert_eq!(numbers(&journal).len(), 21);
}
