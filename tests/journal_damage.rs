//! A damaged journal: whatever is done to its files, what is read is what was written, or an error with place and remedy.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rollout::event::Event;
use rollout::journal::{Sqlite, decode, service_dir};
use rollout::model::DeploymentId;
use rollout::ports::{DeploymentRow, Journal as _, JournalError, Past};
use rollout::state::State;
use rusqlite::Connection;

/// The files of a store, by what follows its name; `None` is not there.
#[derive(Clone)]
struct Files {
    main: Option<Vec<u8>>,
    wal: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

/// A store, and what is in it, newest first.
struct Recorded {
    files: Files,
    past: Vec<(DeploymentRow, Vec<Event>)>,
}

fn base() -> tempfile::TempDir {
    // Memory, if there is some: thousands of stores are written.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn store(base: &Path) -> PathBuf {
    service_dir(base, "demo", "default").join("journal.sqlite3")
}

fn beside(base: &Path, suffix: &str) -> PathBuf {
    let mut name = store(base).into_os_string();
    name.push(suffix);
    name.into()
}

fn id(number: u32) -> DeploymentId {
    DeploymentId::new("demo", number)
}

/// The events of a real deployment that was interrupted, under the number `number`.
fn real(number: u32, count: usize) -> Vec<Event> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/interrupted-layout-1.sql")).unwrap();
    let bodies = text.lines().filter(|line| line.starts_with("INSERT INTO events")).map(|line| {
        let body = &line[line.find('{').unwrap()..=line.rfind('}').unwrap()];
        let body = (1..=4).fold(body.replace("''", "'"), |body, n| body.replace(&format!("@{n}@"), &format!("800{n}")));
        decode(&body.replace("\"demo-1\"", &format!("\"demo-{number}\""))).unwrap()
    });
    bodies.take(count).collect()
}

fn row(events: &[Event], status: &str) -> DeploymentRow {
    let state = State::replay(events).unwrap();
    let last = events.last().unwrap().at;
    DeploymentRow {
        id: state.plan.deployment.clone(),
        version: state.plan.version.to_string(),
        status: status.to_owned(),
        started_by: state.plan.started_by.clone(),
        planned_at: state.planned_at,
        ended_at: (status == "completed").then_some(last),
    }
}

/// Three deployments, the newest interrupted. `closed`: the log is folded in; else it is as a killed engine leaves it.
fn recorded(closed: bool) -> Recorded {
    let base = base();
    let journal = Sqlite::open(base.path(), "demo", "default").unwrap();
    let mut past = Vec::new();
    for (number, count, status) in [(1, 9, "completed"), (2, 14, "completed"), (3, 20, "in_progress")] {
        let events = real(number, count);
        let done = row(&events, status);
        for turn in events.chunks(3) {
            let ends = turn.last() == events.last();
            journal.append(turn, &if ends { done.clone() } else { row(&events, "in_progress") }).unwrap();
        }
        past.insert(0, (done, events));
    }
    let journal = (!closed).then_some(journal);
    let read = |suffix| fs::read(beside(base.path(), suffix)).ok().filter(|bytes| !bytes.is_empty());
    let files = Files { main: read(""), wal: read("-wal"), last: read("-last") };
    assert_eq!(files.wal.is_some(), !closed);
    assert!(files.last.is_some());
    drop(journal);
    Recorded { files, past }
}

fn lay(base: &Path, files: &Files) {
    for (suffix, bytes) in [("", &files.main), ("-wal", &files.wal), ("-last", &files.last), ("-shm", &None)] {
        match bytes {
            Some(bytes) => fs::write(beside(base, suffix), bytes).unwrap(),
            None => drop(fs::remove_file(beside(base, suffix))),
        }
    }
}

/// What came of reading a store.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Exactly what was written.
    Exact,
    /// Some of it, or nothing, and an error for the rest.
    Named(Vec<String>),
}

impl Recorded {
    /// Reads the store as an engine (`open`) or as a viewer does, and panics if anything is not as it was and not named.
    fn looked_at(&self, base: &Path, what: &str, opened: Result<Sqlite, JournalError>) -> Outcome {
        let named = |error: JournalError| Outcome::Named(vec![checked(what, &error)]);
        let journal = match opened {
            Ok(journal) => journal,
            Err(error) => return named(error),
        };
        let Past { rows, damaged } = match journal.past() {
            Ok(past) => past,
            Err(error) => return named(error),
        };
        let mut errors: BTreeSet<String> = damaged.iter().map(|error| checked(what, error)).collect();
        for row in &rows {
            assert!(self.past.iter().any(|(written, _)| written == row), "{what}: another line: {row:?}");
        }
        let lost = self.past.iter().filter(|(written, _)| !rows.contains(written)).count();
        assert!(lost == 0 || !errors.is_empty(), "{what}: {lost} lines are gone without a word");
        match (Past { rows, damaged }).latest() {
            Ok(latest) => assert_eq!(latest.as_ref(), Some(&self.past[0].0), "{what}: a fresh start over what was there"),
            Err(error) => drop(errors.insert(checked(what, &error))),
        }
        for (written, events) in &self.past {
            match journal.read(&written.id) {
                Ok(read) => assert_eq!(&read, events, "{what}: another history of {}", written.id),
                Err(error) => drop(errors.insert(checked(what, &error))),
            }
        }
        assert!(store(base).exists());
        if errors.is_empty() { Outcome::Exact } else { Outcome::Named(errors.into_iter().collect()) }
    }

    fn outcome(&self, base: &Path, what: &str, files: &Files) -> Outcome {
        lay(base, files);
        let seen = match Sqlite::view(base, "demo", "default") {
            Ok(None) => panic!("{what}: no journal is seen"),
            Ok(Some(journal)) => self.looked_at(base, what, Ok(journal)),
            Err(error) => self.looked_at(base, what, Err(error)),
        };
        let opened = self.looked_at(base, what, Sqlite::open(base, "demo", "default"));
        assert_eq!(matches!(seen, Outcome::Exact), matches!(opened, Outcome::Exact), "{what}: {seen:?} but {opened:?}");
        if seen != Outcome::Exact {
            let now = |suffix| fs::read(beside(base, suffix)).unwrap_or_default();
            let was = |bytes: &Option<Vec<u8>>| bytes.clone().unwrap_or_default();
            assert_eq!(now("-last"), was(&files.last), "{what}: the note is left as found");
            assert!(now("") == was(&files.main) && now("-wal") == was(&files.wal), "{what}: left as found");
        }
        seen
    }
}

/// An error that names the deployment and its record, or the file, and what to do.
fn checked(what: &str, error: &JournalError) -> String {
    let text = error.to_string();
    let place = match error {
        JournalError::Damaged { seq, .. } => text.contains("journal of demo-") && *seq > 0,
        JournalError::Line { .. } => text.contains("journal of demo-"),
        _ => text.contains("journal.sqlite3"),
    };
    let remedies =
        ["&& mv journal.sqlite3* damaged/", "newer rollout", "not of \"demo\"", "is read-only here", "the disk failed"];
    assert!(place && remedies.iter().any(|remedy| text.contains(remedy)), "{what}: {text}");
    text
}

/// With `ROLLOUT_DAMAGE=all` all places, else a sample of them that is another one for each kind of damage.
fn places(length: usize, step: usize, salt: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var_os("ROLLOUT_DAMAGE").is_some_and(|value| value == "all");
    let step = if all { 1 } else { step };
    (salt % step..length).step_by(step)
}

#[test]
fn a_flipped_bit_anywhere_is_named_or_harmless() {
    let recorded = recorded(true);
    let (base, good) = (prepared(), recorded.files.main.clone().unwrap());
    let (mut named, mut harmless) = (0, 0);
    for at in places(good.len(), 41, 5) {
        let mut files = recorded.files.clone();
        files.main.as_mut().unwrap()[at] ^= 1 << (at * 7 % 8);
        match recorded.outcome(base.path(), &format!("byte {at} of the file"), &files) {
            Outcome::Exact => harmless += 1,
            Outcome::Named(_) => named += 1,
        }
    }
    assert!(named > 200 && harmless > 20, "{named} named, {harmless} harmless, of {} bytes", good.len());
}

fn prepared() -> tempfile::TempDir {
    let base = base();
    drop(Sqlite::open(base.path(), "demo", "default").unwrap());
    base
}

#[test]
fn a_file_cut_short_or_with_a_page_of_zeroes_is_named_or_harmless() {
    let recorded = recorded(true);
    let (base, good) = (prepared(), recorded.files.main.clone().unwrap());
    let (mut named, mut zeroes) = (0, 0);
    let pages = good.len() / 4096;
    let odd = [0, 1, 15, 16, 99, 100, 101, 511, 512, 1024, 2048, 4095, 4097];
    let lengths = (0..pages).map(|page| page * 4096).chain(odd).chain((1..pages).map(|page| page * 4096 + 2000));
    for length in lengths {
        let mut files = recorded.files.clone();
        files.main.as_mut().unwrap().truncate(length);
        named += usize::from(recorded.outcome(base.path(), &format!("cut to {length}"), &files) != Outcome::Exact);
    }
    assert!(named >= pages, "a file cut short is never whole");
    for page in 0..pages {
        let mut files = recorded.files.clone();
        files.main.as_mut().unwrap()[page * 4096..(page + 1) * 4096].fill(0);
        zeroes += usize::from(recorded.outcome(base.path(), &format!("page {page} of zeroes"), &files) != Outcome::Exact);
    }
    assert!(zeroes >= pages - 1, "only that of the leases is not needed to read: {zeroes} of {pages}");
}

/// The log of a killed engine, torn at every border of a frame and within, flipped, deleted: named, thanks to the note.
#[test]
fn a_damaged_log_is_named() {
    let recorded = recorded(false);
    let (base, good) = (prepared(), recorded.files.wal.clone().unwrap());
    assert_eq!(recorded.outcome(base.path(), "as it was", &recorded.files), Outcome::Exact);
    let mut gone = recorded.files.clone();
    gone.wal = None;
    let Outcome::Named(errors) = recorded.outcome(base.path(), "no log", &gone) else { panic!("not noticed") };
    assert!(errors.iter().any(|e| e.contains("record 20 of demo-3 was stored at") && e.contains("rm /")), "{errors:?}");

    let frames = (good.len() - 32) / (24 + 4096);
    let borders = (0..frames).map(|frame| 32 + frame * (24 + 4096));
    let lengths = [0, 1, 31].into_iter().chain(borders.flat_map(|border| [border, border + 1, border + 24, border + 2000]));
    for length in lengths {
        let mut files = recorded.files.clone();
        files.wal.as_mut().unwrap().truncate(length);
        let outcome = recorded.outcome(base.path(), &format!("log cut to {length}"), &files);
        assert_ne!(outcome, Outcome::Exact, "log cut to {length}");
    }
    let mut named = 0;
    for at in places(good.len(), 211, 3) {
        let mut files = recorded.files.clone();
        files.wal.as_mut().unwrap()[at] ^= 1 << (at * 7 % 8);
        named += usize::from(recorded.outcome(base.path(), &format!("byte {at} of the log"), &files) != Outcome::Exact);
    }
    assert!(named > 100, "{named}");
}

/// Without the note a lost log is not seen. Even then what is left are whole turns, in order, as they were written.
#[test]
fn a_log_and_its_note_lost_together_leave_whole_turns() {
    let recorded = recorded(false);
    let (base, good) = (prepared(), recorded.files.wal.clone().unwrap());
    for border in (0..=(good.len() - 32) / (24 + 4096)).map(|frame| 32 + frame * (24 + 4096)) {
        let files = Files { wal: Some(good[..border].to_vec()), last: None, ..recorded.files.clone() };
        lay(base.path(), &files);
        let journal = Sqlite::open(base.path(), "demo", "default").unwrap();
        for (written, events) in &recorded.past {
            let read = journal.read(&written.id).unwrap();
            assert_eq!(read, events[..read.len()], "{border}");
            assert!(read.len() % 3 == 0 || read.len() == events.len(), "{border}: a turn is whole or not there");
        }
        journal.list().unwrap();
    }
}

#[test]
fn a_damaged_note_takes_nothing_away() {
    let recorded = recorded(true);
    let base = prepared();
    let good = recorded.files.last.clone().unwrap();
    let cut = (0..good.len()).map(|length| Some(good[..length].to_vec()));
    let flipped = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        Some(bytes)
    });
    for last in cut.chain(flipped).chain([None]) {
        let files = Files { last, ..recorded.files.clone() };
        assert_eq!(recorded.outcome(base.path(), "note", &files), Outcome::Exact);
    }
}

/// Records and lines deleted, doubled, swapped and edited by SQL, with and without the counters that go with them.
#[test]
fn what_is_changed_by_sql_is_named() {
    let cases = [
        "DELETE FROM events WHERE deployment = 3 AND seq = 5",
        "DELETE FROM events WHERE deployment = 3 AND seq > 12",
        "DELETE FROM events WHERE deployment = 3",
        "DELETE FROM events",
        "DELETE FROM deployments",
        "DELETE FROM deployments WHERE number = 2",
        "DELETE FROM deployments WHERE number = 3",
        "DELETE FROM deployments; DELETE FROM events",
        "DELETE FROM deployments WHERE number = 1; DELETE FROM events WHERE deployment = 1",
        "DELETE FROM deployments WHERE number = 2; DELETE FROM events WHERE deployment = 2",
        "DELETE FROM deployments WHERE number = 3; DELETE FROM events WHERE deployment = 3",
        "DELETE FROM events WHERE deployment = 3 AND seq > 12; UPDATE deployments SET last_seq = 12,
            chain = (SELECT chain FROM events WHERE deployment = 3 AND seq = 12) WHERE number = 3",
        "DELETE FROM events WHERE deployment = 2 AND seq > 12; UPDATE deployments SET last_seq = 12,
            chain = (SELECT chain FROM events WHERE deployment = 2 AND seq = 12) WHERE number = 2",
        "DELETE FROM events WHERE deployment = 2 AND seq = 5; UPDATE events SET seq = seq - 1 WHERE deployment = 2 AND seq > 5;
            UPDATE deployments SET last_seq = last_seq - 1 WHERE number = 2",
        "INSERT INTO events SELECT deployment, 21, at, body, chain, epoch FROM events WHERE deployment = 3 AND seq = 20",
        "INSERT INTO events SELECT deployment, 21, at, body, chain, epoch FROM events WHERE deployment = 3 AND seq = 20;
            UPDATE deployments SET last_seq = 21 WHERE number = 3",
        "INSERT INTO events SELECT 4, seq, at, body, chain, epoch FROM events WHERE deployment = 3",
        "UPDATE events SET seq = -7 WHERE deployment = 2 AND seq = 7; UPDATE events SET seq = 7 WHERE deployment = 2 AND seq = 8;
            UPDATE events SET seq = 8 WHERE deployment = 2 AND seq = -7",
        "UPDATE events SET body = replace(body, 'web-0', 'web-1') WHERE deployment = 3 AND seq = 8",
        "UPDATE events SET body = (SELECT body FROM events WHERE deployment = 2 AND seq = 8) WHERE deployment = 3 AND seq = 8",
        "UPDATE events SET body = '' WHERE deployment = 1 AND seq = 1",
        "UPDATE events SET chain = chain + 1 WHERE deployment = 1 AND seq = 9",
        "UPDATE deployments SET status = 'completed' WHERE number = 3",
        "UPDATE deployments SET status = 'completed', ended_at = 1795254348305 WHERE number = 3",
        "UPDATE deployments SET ended_at = NULL WHERE number = 2",
        "UPDATE deployments SET version = 'v9' WHERE number = 2",
        "UPDATE deployments SET started_by = 'nobody' WHERE number = 1",
        "UPDATE deployments SET planned_at = 0 WHERE number = 1",
        "UPDATE deployments SET format = 1 WHERE number = 3",
        "UPDATE deployments SET last_seq = 12 WHERE number = 3",
        "UPDATE deployments SET number = 7 WHERE number = 3",
        "UPDATE deployments SET number = 7 WHERE number = 3; UPDATE events SET deployment = 7 WHERE deployment = 3",
        "UPDATE deployments SET sum = 0",
        "UPDATE store SET service = 'shop'",
        "UPDATE store SET removed = 2; DELETE FROM deployments WHERE number = 3; DELETE FROM events WHERE deployment = 3",
        "DELETE FROM store",
        "DROP TABLE events",
        "DROP TABLE deployments",
        "ALTER TABLE deployments DROP COLUMN sum",
        "ALTER TABLE events RENAME TO records",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 2",
    ];
    let recorded = recorded(true);
    let base = prepared();
    for sql in cases {
        lay(base.path(), &recorded.files);
        Connection::open(store(base.path())).unwrap().execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let files = Files { main: Some(fs::read(store(base.path())).unwrap()), ..recorded.files.clone() };
        let outcome = recorded.outcome(base.path(), sql, &files);
        assert_ne!(outcome, Outcome::Exact, "{sql}");
    }
}

#[test]
fn a_store_that_is_gone_is_not_begun_anew_while_anything_of_it_is_left() {
    let recorded = recorded(false);
    for files in [
        Files { main: None, ..recorded.files.clone() },
        Files { main: None, wal: None, ..recorded.files.clone() },
        Files { main: None, wal: recorded.files.wal, last: None },
    ] {
        let base = prepared();
        lay(base.path(), &files);
        for opened in
            [Sqlite::view(base.path(), "demo", "default").map(drop), Sqlite::open(base.path(), "demo", "default").map(drop)]
        {
            let error = checked("gone", &opened.unwrap_err());
            assert!(error.contains("is gone, though journal.sqlite3-"), "{error}");
        }
        assert!(!store(base.path()).exists());
    }
    let base = prepared();
    lay(base.path(), &Files { main: None, wal: None, last: None });
    assert!(Sqlite::view(base.path(), "demo", "default").unwrap().is_none());
    assert_eq!(Sqlite::open(base.path(), "demo", "default").unwrap().next_id().unwrap(), id(1));
}
