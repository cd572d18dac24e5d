//! The journal: its records as text, deployments of changed records, and the files of a store.

use std::fs;
use std::path::{Path, PathBuf};

use rollout::event::Event;
use rollout::journal::{Sqlite, decode, encode, service_dir};
use rollout::ports::{DeploymentRow, Journal as _};
use rollout::state::State;

use crate::harness::{Random, Target, mutated, run};

/// The records of a whole deployment.
fn golden() -> Vec<Vec<u8>> {
    let text = include_str!("../journal/v3.jsonl");
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

const WORDS: [&str; 16] = [
    "\"seq\":",
    "\"type\":",
    "null",
    "18446744073709551616",
    "-1",
    "1e400",
    "\"\\ud800\"",
    "{}",
    "[]",
    "\"web-99\"",
    "\"deployment\":\"x-1\"",
    "[[[[[[[[",
    "{\"a\":",
    "\"at\":",
    "true",
    "\u{0}",
];

/// What is taken for a record is one: written and read again it is the same, and a deployment that has it is folded or refused.
#[test]
fn records() {
    let lines = golden();
    let sound: Vec<Event> = lines.iter().map(|line| decode(std::str::from_utf8(line).unwrap()).unwrap()).collect();
    let mut turn = 0;
    run(Target { name: "journal", cases: 5000, words: &WORDS, more: lines }, |input| {
        let text = String::from_utf8_lossy(input);
        let Ok(event) = decode(&text) else { return Ok(()) };
        let stored = encode(&event).map_err(|e| e.to_string())?;
        if decode(&stored).map_err(|e| format!("{e}: {stored}"))? != event {
            return Err(format!("another event comes back: {stored}"));
        }
        turn += 1;
        let mut events = sound.clone();
        let at = Random::new(turn).below(events.len());
        if let Some(place) = events.get_mut(at) {
            *place = Event { seq: place.seq, deployment: place.deployment.clone(), ..event };
        }
        // A record that is illegal in its state is an error, and the state is shown as any other.
        if let Ok(state) = State::replay(&events) {
            state.headline();
            rollout::state::Summary::of(&state, (None, None));
        }
        Ok(())
    });
}

/// One store as it was written.
struct Stored {
    base: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
    row: DeploymentRow,
    events: Vec<Event>,
}

fn store() -> Stored {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let events: Vec<Event> = golden().iter().map(|line| decode(std::str::from_utf8(line).unwrap()).unwrap()).collect();
    let events = events.iter().scan(None, |state: &mut Option<State>, event| {
        // As far as they are one deployment.
        let next = match state.take() {
            None => State::begin(event).ok(),
            Some(mut state) => state.apply(event).is_ok().then_some(state),
        };
        *state = next;
        state.is_some().then(|| event.clone())
    });
    let events: Vec<Event> = events.collect();
    let state = State::replay(&events).unwrap();
    let (id, started_by) = (state.plan.deployment.clone(), state.plan.started_by.clone());
    let service = id.service().to_owned();
    let row = DeploymentRow {
        id,
        version: state.plan.version.to_string(),
        status: "in_progress".to_owned(),
        started_by,
        planned_at: state.planned_at,
        ended_at: None,
    };
    let journal = Sqlite::open(base.path(), &service, "default").unwrap();
    for turn in events.chunks(4) {
        journal.append(turn, &row).unwrap();
    }
    let home = service_dir(base.path(), &service, "default");
    let names = ["journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-last"].map(|name| home.join(name));
    let files = names.map(|path| (path.clone(), fs::read(&path).unwrap())).to_vec();
    drop(journal);
    Stored { base, files, row, events }
}

/// Whatever becomes of one of its files: what is read is what was written, or what is wrong is named.
#[test]
fn stores() {
    let stored = store();
    let service = stored.row.id.service().to_owned();
    let others: Vec<Vec<u8>> = stored.files.iter().map(|(_, bytes)| bytes.clone()).collect();
    let (mut exact, mut named) = (0, 0);
    run(Target { name: "store", cases: 400, words: &WORDS, more: Vec::new() }, |input| {
        // The input chooses the file and how it is changed, so that it is short enough to be kept.
        let choice = input.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let mut random = Random::new(choice);
        let spoilt = random.below(stored.files.len());
        for (at, (path, bytes)) in stored.files.iter().enumerate() {
            let bytes = if at == spoilt { changed(&mut random, bytes, &others) } else { bytes.clone() };
            fs::write(path, bytes).unwrap();
        }
        fs::remove_file(stored.files.first().unwrap().0.with_extension("sqlite3-shm")).ok();
        let Ok(Some(journal)) = Sqlite::view(stored.base.path(), &service, "default") else {
            named += 1;
            return Ok(());
        };
        match (journal.list(), journal.read(&stored.row.id)) {
            (Ok(rows), Ok(events)) if rows == [stored.row.clone()] && events == stored.events => exact += 1,
            (Ok(rows), Ok(events)) => return Err(format!("another history: {} rows, {} events", rows.len(), events.len())),
            (Ok(rows), Err(_)) if rows != [stored.row.clone()] => return Err(format!("other rows: {rows:?}")),
            (Err(error), _) | (_, Err(error)) => {
                named += 1;
                if !error.to_string().contains("journal") {
                    return Err(format!("not named: {error}"));
                }
            }
        }
        Ok(())
    });
    assert!(exact > 10 && named > 100, "{exact} as written, {named} named: the mutations do not reach what they are for");
}

/// A few bytes, or a piece of another file.
fn changed(random: &mut Random, bytes: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match random.below(4) {
        0 => bytes = mutated(random, &[bytes], &WORDS),
        1 => bytes.truncate(random.below(bytes.len() + 1)),
        2 => {
            for _ in 0..=random.below(8) {
                let (at, bit) = (random.below(bytes.len()), 1 << random.below(8));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
        }
        _ => {
            // A sector of something else, as a broken disk writes it.
            let other = others.get(random.below(others.len())).map(Vec::as_slice).unwrap_or_default();
            let (from, to) = (random.below(other.len() / 512 + 1) * 512, random.below(bytes.len() / 512 + 1) * 512);
            let sector = other.get(from..(from + 512).min(other.len())).unwrap_or_default().to_vec();
            for (offset, byte) in sector.into_iter().enumerate() {
                if let Some(place) = bytes.get_mut(to + offset) {
                    *place = byte;
                }
            }
        }
    }
    bytes
}
