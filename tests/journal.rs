//! The journal on a real disk: order, all or none, privacy, damage, and the frozen stored form.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and names what it skips"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;

use rollout::event::{Actor, AfterReturn, Cause, Ending, Event, EventKind, FORMAT, Found, Predecessor, Step, Takeover};
use rollout::journal::{Memory, Sqlite, decode, encode, service_dir};
use rollout::model::{
    AnalysisPolicy, Before, Canary, CanaryStep, Check, Confirm, Count, DeploymentId, DeploymentKind, DrainPolicy, Evidence,
    Finding, HealthPolicy, Hook, HookAt, HookClass, InstanceId, LbStats, Measurement, Member, OnDrainTimeout, OnFailure, Pacing,
    Plan, Policy, Quantity, RollbackPolicy, Rolling, Rotation, Seq, Span, Target, Timestamp, Unit, UpdatePolicy, Version,
    VipStats, Zones,
};
use rollout::ports::{DeploymentRow, Journal, JournalError};

#[path = "journal/kinds.rs"]
mod kinds;

use kinds::*;

fn row(number: u32, status: &str) -> DeploymentRow {
    DeploymentRow {
        id: id(number),
        version: "v2".to_owned(),
        status: status.to_owned(),
        started_by: "ann".to_owned(),
        planned_at: at(0),
        ended_at: (status == "completed").then(|| at(99)),
    }
}

fn open(base: &Path) -> Sqlite {
    Sqlite::open(base, "shop", "default").unwrap()
}

fn file(base: &Path) -> PathBuf {
    service_dir(base, "shop", "default").join("journal.sqlite3")
}

/// The store after a deployment of all kinds was written and closed.
fn written(base: &Path) -> PathBuf {
    open(base).append(&events(1), &row(1, "completed")).unwrap();
    file(base)
}

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/journal/v{format}.jsonl"))
}

fn stored(format: u32) -> Vec<Event> {
    fs::read_to_string(golden(format)).unwrap().lines().map(|line| decode(line).unwrap()).collect()
}

#[test]
fn golden_file_of_format_1_reads_as_it_always_did() {
    assert_eq!(stored(1), numbered(kinds_of_1(), 1), "an event of format 1 reads back differently");
}

#[test]
fn golden_file_of_format_2_reads_as_it_always_did() {
    assert_eq!(stored(2), numbered(kinds_of_2(), 1), "an event of format 2 reads back differently");
}

#[test]
fn golden_file_of_format_3_reads_as_it_always_did() {
    assert_eq!(stored(3), numbered(kinds_of_3(), 1), "an event of format 3 reads back differently");
}

#[test]
fn golden_file_of_format_4_reads_as_it_always_did() {
    assert_eq!(stored(4), numbered(kinds_of_4(), 1), "an event of format 4 reads back differently");
}

#[test]
fn golden_file_of_format_5_reads_as_it_always_did() {
    assert_eq!(stored(5), numbered(kinds_of_5(), 1), "an event of format 5 reads back differently");
}

#[test]
fn golden_file_of_this_format_reads_back_and_holds_every_kind() {
    let (expected, file) = (events(1), golden(FORMAT));
    if std::env::var_os("ROLLOUT_WRITE_GOLDEN").is_some() {
        assert!(!file.exists(), "format {FORMAT} is frozen: a change of the stored form needs a new number and a new file");
        let lines: String = expected.iter().map(|e| encode(e).unwrap() + "\n").collect();
        fs::write(&file, lines).unwrap();
    }
    let stored = stored(FORMAT);
    assert_eq!(stored, expected, "an event of format {FORMAT} reads back differently");
    for (line, event) in fs::read_to_string(&file).unwrap().lines().zip(&expected) {
        assert_eq!(encode(event).unwrap(), line, "an event is written differently under the same format number");
    }
    for number in 0..KINDS {
        assert!(stored.iter().any(|e| number_of(&e.kind) == number), "kind {number} is not in the golden file");
    }
}

#[test]
fn what_is_written_reads_back_after_a_reopen() {
    let base = tempfile::tempdir().unwrap();
    let (all, id) = (events(1), id(1));
    {
        let journal = open(base.path());
        assert_eq!(journal.next_id().unwrap(), id);
        assert_eq!(journal.read(&id).unwrap(), []);
        assert_eq!(journal.list().unwrap(), []);
        for (n, event) in all.iter().enumerate() {
            let status = if n + 1 == all.len() { "completed" } else { "in_progress" };
            journal.append(std::slice::from_ref(event), &row(1, status)).unwrap();
        }
        journal.append(&events(2)[..1], &row(2, "pending")).unwrap();
    }
    let journal = open(base.path());
    assert_eq!(journal.read(&id).unwrap(), all);
    assert_eq!(journal.list().unwrap(), [row(2, "pending"), row(1, "completed")]);
    assert_eq!(journal.next_id().unwrap().to_string(), "shop-3");
}

/// The rules that both journals keep.
fn keeps_order_all_or_none(journal: &dyn Journal) {
    let all = events(1);
    let gap = |events: &[Event], status: &str| match journal.append(events, &row(1, status)) {
        Err(JournalError::Gap { last, got, .. }) => (last, got),
        other => panic!("{other:?}"),
    };
    assert_eq!(gap(&all[1..3], "failed"), (0, 2), "the first must be number 1");
    assert_eq!(journal.list().unwrap(), [], "a refused append leaves no row");
    journal.append(&all[..3], &row(1, "pending")).unwrap();
    assert_eq!(gap(&all[..3], "failed"), (3, 1), "a repetition");
    assert_eq!(gap(&all[4..6], "failed"), (3, 5), "a hole before");
    assert_eq!(gap(&[all[3].clone(), all[5].clone()], "failed"), (4, 6), "a hole within: nothing of the turn is stored");
    assert_eq!(gap(&[all[3].clone(), events(2)[4].clone()], "failed"), (4, 5), "another deployment's event");
    assert_eq!(journal.read(&id(1)).unwrap(), all[..3]);
    assert_eq!(journal.list().unwrap(), [row(1, "pending")], "a refused append leaves the row as it was");
    journal.append(&[], &row(1, "failed")).unwrap();
    assert_eq!(journal.list().unwrap(), [row(1, "pending")], "no events, no change");
    journal.append(&all[3..], &row(1, "completed")).unwrap();
    assert_eq!(journal.read(&id(1)).unwrap(), all);
    assert_eq!(journal.list().unwrap(), [row(1, "completed")]);
}

#[test]
fn sqlite_keeps_order_all_or_none() {
    let base = tempfile::tempdir().unwrap();
    keeps_order_all_or_none(&open(base.path()));
}

#[test]
fn memory_keeps_order_all_or_none() {
    let journal = Memory::new("shop");
    keeps_order_all_or_none(&journal);
    journal.refuse(Some("the disk is full"));
    let (next, row) = (events(2), row(2, "pending"));
    assert!(journal.append(&next[..1], &row).unwrap_err().to_string().contains("the disk is full"));
    journal.refuse(None);
    journal.append(&next[..1], &row).unwrap();
}

#[test]
fn of_two_that_take_the_same_number_one_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(2);
    let contend = || {
        let journal = open(base.path());
        barrier.wait();
        let id = journal.next_id().unwrap();
        barrier.wait();
        let n = id.number();
        (n, journal.append(&events(n)[..1], &row(n, "pending")))
    };
    let ends = std::thread::scope(|scope| {
        let other = scope.spawn(contend);
        [contend(), other.join().unwrap()]
    });
    assert_eq!(ends.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(ends.iter().filter(|(_, end)| end.is_ok()).count(), 1);
    assert!(ends.iter().any(|(_, end)| matches!(end, Err(JournalError::Gap { last: 1, got: 1, .. }))), "{ends:?}");
}

#[test]
fn a_second_handle_sees_and_continues_what_the_first_wrote() {
    let base = tempfile::tempdir().unwrap();
    let (one, two, all) = (open(base.path()), open(base.path()), events(1));
    one.append(&all[..2], &row(1, "pending")).unwrap();
    assert_eq!(two.read(&id(1)).unwrap(), all[..2]);
    two.append(&all[2..4], &row(1, "paused")).unwrap();
    assert!(matches!(one.append(&all[2..4], &row(1, "paused")), Err(JournalError::Gap { last: 4, got: 3, .. })));
    one.append(&all[4..], &row(1, "completed")).unwrap();
    assert_eq!(two.read(&id(1)).unwrap(), all);
}

#[test]
fn a_journal_is_found_only_where_there_is_one() {
    let base = tempfile::tempdir().unwrap();
    assert!(Sqlite::view(base.path(), "shop", "default").unwrap().is_none());
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0, "looking makes nothing");
    written(base.path());
    let seen = Sqlite::view(base.path(), "shop", "default").unwrap().unwrap();
    assert_eq!(seen.read(&id(1)).unwrap(), events(1));
    let stranger = seen.read(&DeploymentId::new("web", 1)).unwrap_err().to_string();
    assert!(stranger.contains("holds the deployments of shop"), "{stranger}");
}

#[test]
fn services_whose_directories_have_one_name_are_told_apart() {
    let base = tempfile::tempdir().unwrap();
    Sqlite::open(base.path(), "a.b", "c").unwrap();
    let error = Sqlite::open(base.path(), "a", "b.c").unwrap_err().to_string();
    assert!(error.contains("is the journal of service \"a.b\" in \"c\""), "{error}");
}

/// The checksum over the line of the deployment below, if its format were 7: FNV-1a, seeded by the last record's.
fn sum_of_format_7() -> i64 {
    let link = |previous: u64, text: &str| {
        let seed = 0xcbf2_9ce4_8422_2325 ^ previous;
        text.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let chain = events(1)[..3].iter().fold(0, |chain, event| link(chain, &encode(event).unwrap()));
    link(chain, &format!("1\0v2\0pending\0ann\0{}\0-1\07\03", at(0).as_millis())).cast_signed()
}

#[test]
fn a_newer_layout_or_format_is_shown_but_not_continued() {
    let newer_format = format!("UPDATE deployments SET format = 7, sum = {}", sum_of_format_7());
    for sql in ["PRAGMA user_version = 7", &newer_format] {
        let base = tempfile::tempdir().unwrap();
        open(base.path()).append(&events(1)[..3], &row(1, "pending")).unwrap();
        rusqlite::Connection::open(file(base.path())).unwrap().execute_batch(sql).unwrap();
        let journal = open(base.path());
        let error = journal.append(&events(1)[3..4], &row(1, "pending")).unwrap_err().to_string();
        assert!(error.contains("newer rollout") && error.contains(" 7, this one knows "), "{error}");
        assert_eq!(journal.read(&id(1)).unwrap(), events(1)[..3]);
        assert_eq!(journal.list().unwrap(), [row(1, "pending")]);
    }
}

#[test]
fn a_damaged_record_is_named() {
    let cases = [
        ("UPDATE events SET body = replace(body, 'web-01', 'web-02') WHERE seq = 20", 20, "checksum"),
        ("DELETE FROM events WHERE seq = 5", 5, "missing, record 6 follows"),
        ("DELETE FROM events WHERE seq > 30", 31, "missing, the history counts 84"),
        ("UPDATE events SET body = (SELECT body FROM events WHERE seq = 8) WHERE seq = 9", 9, "checksum"),
        ("UPDATE events SET body = '' WHERE seq = 1", 1, "checksum"),
        ("DELETE FROM deployments", 70, "counts 0 records"),
    ];
    for (sql, record, why) in cases {
        let base = tempfile::tempdir().unwrap();
        let path = written(base.path());
        assert_eq!(events(1).len(), 84);
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
        match open(base.path()).read(&id(1)) {
            Err(JournalError::Damaged { seq, reason, .. }) => {
                assert_eq!(seq, record, "{sql}: {reason}");
                assert!(reason.contains(why), "{sql}: {reason}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn an_emptied_or_foreign_file_is_never_begun_anew() {
    for content in [&b""[..], b"not a database, but long enough to look like one if nobody reads it", &[0; 4096]] {
        let base = tempfile::tempdir().unwrap();
        let path = written(base.path());
        fs::write(&path, content).unwrap();
        let error = Sqlite::open(base.path(), "shop", "default").unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("restore it from a backup"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content, "it is left as found");
    }
}

/// Whatever bit of the file is flipped: an error, or exactly the events that were written. Never other events.
#[test]
fn a_flipped_bit_is_an_error_or_harmless() {
    let base = tempfile::tempdir().unwrap();
    let path = written(base.path());
    let (good, all) = (fs::read(&path).unwrap(), events(1));
    let (mut found, mut harmless) = (0, 0);
    for at in (0..good.len()).step_by(61) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        match Sqlite::open(base.path(), "shop", "default").and_then(|journal| journal.read(&id(1))) {
            Ok(read) if read == all => harmless += 1,
            Ok(read) => panic!("byte {at}: {} other events were read", read.len()),
            Err(_) => found += 1,
        }
    }
    assert!(found > 50 && harmless > 50, "{found} found, {harmless} harmless of {} bytes", good.len());
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = written(base.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    let error = Sqlite::open(base.path(), "shop", "default").unwrap_err().to_string();
    assert!(error.contains("written by others") && error.contains("chmod go-w"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    open(base.path());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let dir = service_dir(base.path(), "shop", "default");
    written(base.path());
    if let Err(error) = std::os::unix::fs::chown(&dir, Some(65_534), None) {
        println!("skipped: a directory of another user (needs root: {error})");
        return;
    }
    let error = Sqlite::open(base.path(), "shop", "default").unwrap_err().to_string();
    assert!(error.contains("belongs to nobody (uid 65534)") && error.contains("choose another [journal] dir"), "{error}");
}

/// Runs the ignored test `name` of this program in a shell that first does `before`, with `directory` in its environment.
fn run_after(before: &str, name: &str, directory: &Path) -> std::process::Output {
    let script = format!("{before} && exec \"$0\" --exact {name} --ignored --nocapture");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
    command.env("ROLLOUT_TEST_DIR", directory).output().unwrap()
}

fn given_directory() -> PathBuf {
    std::env::var_os("ROLLOUT_TEST_DIR").unwrap().into()
}

fn can_mount() -> bool {
    let can = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let can = can.is_ok_and(|o| o.status.success());
    if !can {
        println!("skipped: a filesystem of its own (needs root and unshare, apt install util-linux)");
    }
    can
}

fn assert_passed(output: &std::process::Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let base = tempfile::tempdir().unwrap();
    for umask in ["0000", "0077", "0777"] {
        let dir = base.path().join(umask);
        let mut command = Command::new("sh");
        let script = format!("umask {umask} && exec \"$0\" --exact child_writes_and_looks_at_modes --ignored --nocapture");
        command.args(["-c", &script]).arg(std::env::current_exe().unwrap()).env("ROLLOUT_TEST_DIR", &dir);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        assert_passed(&command.output().unwrap());
    }
}

#[test]
#[ignore = "run by modes_do_not_depend_on_the_umask"]
fn child_writes_and_looks_at_modes() {
    let base = given_directory();
    let journal = open(&base);
    journal.append(&events(1), &row(1, "completed")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&service_dir(&base, "shop", "default")), 0o700);
    for name in ["journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm", "journal.sqlite3-last"] {
        assert_eq!(mode(&service_dir(&base, "shop", "default").join(name)), 0o600, "{name}");
    }
    let names = fs::read_dir(service_dir(&base, "shop", "default")).unwrap().count();
    assert_eq!(names, 4, "nothing else is left there");
}

#[test]
fn a_full_disk_takes_whole_turns_or_nothing() {
    let base = tempfile::tempdir().unwrap();
    if can_mount() {
        let mount = "mount -t tmpfs -o size=256k,mode=0700 none \"$ROLLOUT_TEST_DIR\"";
        assert_passed(&run_after(mount, "child_fills_the_disk", base.path()));
    }
}

#[test]
#[ignore = "run by a_full_disk_takes_whole_turns_or_nothing"]
fn child_fills_the_disk() {
    let base = given_directory();
    let journal = open(&base);
    let filler = EventKind::DeploymentPaused { by: Actor::Engine, reason: "x".repeat(700), cause: Cause::Asked, until: None };
    let turn = |turn: u64| -> Vec<Event> {
        let seqs = (turn * 5 + 1)..=(turn * 5 + 5);
        seqs.map(|s| Event { seq: Seq(s), at: at(s), deployment: id(1), kind: filler.clone() }).collect()
    };
    let mut turns = 0;
    let error = loop {
        match journal.append(&turn(turns), &row(1, "paused")) {
            Ok(()) => turns += 1,
            Err(error) => break error.to_string(),
        }
        assert!(turns < 1000, "256 KiB cannot hold that");
    };
    assert!(turns > 0 && error.contains("nothing of this was stored"), "{error}");
    assert_eq!(journal.read(&id(1)).unwrap().len() as u64, turns * 5);
    drop(journal);
    assert_eq!(open(&base).read(&id(1)).unwrap().len() as u64, turns * 5);
}

#[test]
fn a_read_only_disk_is_shown_but_not_written() {
    if !can_mount() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    written(base.path());
    let mount = "mount --bind \"$ROLLOUT_TEST_DIR\" \"$ROLLOUT_TEST_DIR\" && mount -o remount,bind,ro \"$ROLLOUT_TEST_DIR\"";
    assert_passed(&run_after(mount, "child_reads_what_it_cannot_write", base.path()));
}

#[test]
#[ignore = "run by a_read_only_disk_is_shown_but_not_written"]
fn child_reads_what_it_cannot_write() {
    let base = given_directory();
    let seen = Sqlite::view(&base, "shop", "default").unwrap().unwrap();
    assert_eq!(seen.read(&id(1)).unwrap(), events(1));
    assert_eq!(seen.list().unwrap(), [row(1, "completed")]);
    let error = seen.append(&events(2)[..1], &row(2, "pending")).unwrap_err().to_string();
    assert!(error.contains("is read-only here"), "{error}");
    match Sqlite::open(&base, "shop", "default").and_then(|journal| journal.append(&events(2)[..1], &row(2, "pending"))) {
        Ok(()) => panic!("written on a read-only disk"),
        Err(error) => println!("{error}"),
    }
}
