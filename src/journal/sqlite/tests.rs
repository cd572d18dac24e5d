//! Tests of the SQLite journal on real files.

use super::*;
use crate::event::{Actor, Cause, EventKind};
use crate::model::{Seq, Timestamp};

fn turn(number: u32, from: u64, count: u64) -> (Vec<Event>, DeploymentRow) {
    let id = DeploymentId::new("shop", number);
    let kind = EventKind::DeploymentPaused { by: Actor::Engine, reason: "x".repeat(500), cause: Cause::Asked, until: None };
    let at = Timestamp::from_millis(1_790_000_000_000);
    let events =
        (from..from + count).map(|seq| Event { seq: Seq(seq), at, deployment: id.clone(), kind: kind.clone() }).collect();
    let row = DeploymentRow {
        id,
        version: "v2".to_owned(),
        status: "paused".to_owned(),
        started_by: "ann".to_owned(),
        planned_at: at,
        ended_at: None,
    };
    (events, row)
}

#[test]
fn a_full_store_takes_nothing_says_so_and_works_again_once_there_is_room() {
    let base = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(base.path(), "shop", "default").unwrap();
    let (first, row) = turn(1, 1, 3);
    journal.append(&first, &row).unwrap();

    let pages: i64 = journal.connection().pragma_query_value(None, "page_count", |r| r.get(0)).unwrap();
    journal.connection().pragma_update_and_check(None, "max_page_count", pages + 1, |_| Ok(())).unwrap();
    let (more, row) = turn(1, 4, 200);
    let error = journal.append(&more, &row).unwrap_err().to_string();
    assert!(error.contains("the disk is full; nothing of this was stored"), "{error}");
    assert_eq!(journal.read(&row.id).unwrap(), first);

    journal.connection().pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())).unwrap();
    journal.append(&more, &row).unwrap();
    assert_eq!(journal.read(&row.id).unwrap().len(), 203);
}

#[test]
fn commits_are_synced_and_written_ahead() {
    let base = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(base.path(), "shop", "default").unwrap();
    let pragma =
        |name: &str| journal.connection().pragma_query_value(None, name, |r| r.get::<_, rusqlite::types::Value>(0)).unwrap();
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".to_owned()));
    assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
}

#[test]
fn a_store_held_by_another_is_waited_for_and_then_named() {
    let base = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(base.path(), "shop", "default").unwrap();
    journal.connection().busy_timeout(Duration::from_millis(50)).unwrap();
    let mut other = Connection::open(journal.path()).unwrap();
    let hold = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let (events, row) = turn(1, 1, 1);
    let error = journal.append(&events, &row).unwrap_err().to_string();
    assert!(error.contains("another process kept it locked") && error.contains("fuser"), "{error}");
    hold.rollback().unwrap();
    journal.append(&events, &row).unwrap();
}

#[test]
fn a_single_changed_byte_changes_the_checksum() {
    let body = r#"{"seq":1,"instance":"web-07"}"#;
    for at in 0..body.len() {
        let mut bytes = body.as_bytes().to_vec();
        bytes[at] ^= 1;
        assert_ne!(link(7, &String::from_utf8(bytes).unwrap()), link(7, body), "byte {at}");
    }
    assert_ne!(link(7, body), link(8, body));
}
