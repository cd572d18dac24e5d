//! A store that an older program left, with an interrupted deployment in it, is taken over by today's.
//!
//! `tests/journal/interrupted-*.sql` are such stores as text: what programs of that time left when they were killed in
//! mid-rollout, but for the ports of the instances, which stand as `@1@`, `@2@`, … To record one more:
//! `ROLLOUT_RECORD=PROGRAM:NAME cargo test --test e2e -- --ignored record_an_interrupted_store`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rollout::demo::world::Lb;
use rollout::event::{Event, EventKind};
use rollout::journal::{Sqlite, decode};
use rollout::model::DeploymentId;
use rollout::ports::Journal as _;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;

use crate::fleet::{Fleet, read};

const INSTANCES: u32 = 4;
const SETS: [&str; 3] = ["strategy.batch_pause=500ms", "strategy.batch_size=1", "strategy.max_unavailable=1"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/journal/interrupted-{name}.sql"))
}

/// The checksum chain of layout 1, as it was: FNV-1a over the record, seeded by its predecessor's.
fn link(previous: u64, body: &str) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325 ^ previous;
    body.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Puts the store of the fixture where `fleet` has its journal, with the ports of `fleet`.
fn lay_down(fleet: &Fleet, name: &str) {
    let ports = fleet.config.targets.iter().enumerate();
    let text =
        ports.fold(read(&fixture(name)), |text, (n, target)| text.replace(&format!("@{}@", n + 1), &target.port.to_string()));
    let dir = fleet.service_dir();
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let store = Connection::open(dir.join("journal.sqlite3")).unwrap();
    store.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    store.execute_batch(&text).unwrap();
    let mut records = store.prepare("SELECT deployment, seq, body FROM events ORDER BY deployment, seq").unwrap();
    let records: Vec<(u32, i64, String)> =
        records.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap().map(Result::unwrap).collect();
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for (deployment, seq, body) in records {
        let chain = link(last.get(&deployment).copied().unwrap_or(0), &body);
        last.insert(deployment, chain);
        let (chain, sql) = (chain.cast_signed(), "UPDATE events SET chain = ?1 WHERE deployment = ?2 AND seq = ?3");
        store.execute(sql, rusqlite::params![chain, deployment, seq]).unwrap();
        store.execute("UPDATE deployments SET chain = ?1 WHERE number = ?2", rusqlite::params![chain, deployment]).unwrap();
    }
    fs::set_permissions(dir.join("journal.sqlite3"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn stored(fleet: &Fleet) -> Vec<Event> {
    let journal = Sqlite::view(&fleet.world.state_dir(), "demo", "default").unwrap().unwrap();
    journal.read(&DeploymentId::new("demo", 1)).unwrap()
}

/// The store is as the older program left it, and its fleet as it was then: some on `v2`, the rest on `v1`.
fn interrupted(name: &str) -> Fleet {
    let fleet = Fleet::start(INSTANCES, Lb::Builtin, &SETS);
    lay_down(&fleet, name);
    for event in stored(&fleet) {
        if let EventKind::UpdateFinished { instance, .. } = event.kind {
            fleet.update(&instance, "v2");
        }
    }
    fleet
}

#[expect(clippy::indexing_slicing, reason = "a test ends at the first surprise")]
fn is_taken_over(name: &str, layout: i64) {
    let fleet = interrupted(name);
    let path = fleet.service_dir().join("journal.sqlite3");
    let layout_now =
        || -> i64 { Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |r| r.get(0)).unwrap() };
    assert_eq!(layout_now(), layout);
    let before = stored(&fleet);
    assert_eq!(fleet.status().unwrap()["status"], "interrupted");
    assert_eq!(fleet.run(&["history", "--output", "json"]).lines()[0]["status"], "interrupted");
    let refused = fleet.run(&["deploy", "v3", "--yes"]);
    assert_eq!(refused.code, Some(6), "{}", refused.err);
    assert!(refused.err.contains("rollout recover"), "{}", refused.err);

    let recover = fleet.run(&["recover", "--detach"]);
    assert_eq!(recover.code, Some(0), "{}", recover.err);
    fleet.until("it came up paused", |s| s["status"] == "paused");
    assert_eq!(fleet.run(&["resume"]).code, Some(0));
    let attached = fleet.run(&["attach", "--output", "json"]);
    let summary = attached.summary();
    assert_eq!((attached.code, &summary["status"]), (Some(0), &Value::from("completed")), "{summary}");
    assert_eq!((&summary["updated"], &summary["exceptions"]), (&Value::from(INSTANCES), &Value::Array(vec![])), "{summary}");
    let after = stored(&fleet);
    assert_eq!(after[..before.len()], before, "what was written stays as it was");
    assert!(after.len() > before.len());
}

#[test]
fn a_deployment_interrupted_under_format_1_is_taken_over() {
    is_taken_over("format-1", 1);
}

#[test]
fn a_deployment_interrupted_under_layout_1_is_taken_over() {
    is_taken_over("layout-1", 1);
}

#[test]
fn a_deployment_interrupted_under_layout_2_is_taken_over() {
    is_taken_over("layout-2", 2);
}

/// The store as statements, ports replaced by their place in the plan.
fn dump(store: &Connection) -> String {
    let layout: i64 = store.pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
    let mut text = String::new();
    let mut tables = store.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid").unwrap();
    let tables = tables.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).unwrap();
    for (name, sql) in tables.map(Result::unwrap) {
        writeln!(text, "{sql};").unwrap();
        let mut rows = store.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let width = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = (0..width).map(|n| match row.get::<_, Cell>(n).unwrap() {
                Cell::Null => "NULL".to_owned(),
                Cell::Integer(number) => number.to_string(),
                Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
                other => panic!("{other:?}"),
            });
            writeln!(text, "INSERT INTO {name} VALUES ({});", cells.collect::<Vec<_>>().join(", ")).unwrap();
        }
    }
    writeln!(text, "PRAGMA user_version = {layout};").unwrap();
    let plan =
        text.lines().find_map(|line| Some(line.get(line.find("'{\"seq\":1,")? + 1..line.rfind('\'')?)?.to_owned())).unwrap();
    let EventKind::DeploymentPlanned { plan, .. } = decode(&plan).unwrap().kind else { panic!("{plan}") };
    for (n, member) in plan.members.iter().enumerate() {
        text = text.replace(&member.target.port.to_string(), &format!("@{}@", n + 1));
    }
    text
}

#[test]
#[ignore = "makes a fixture, with a program of another time"]
fn record_an_interrupted_store() {
    let order = std::env::var("ROLLOUT_RECORD").unwrap();
    let (program, name) = order.split_once(':').unwrap();
    let fleet = Fleet::start(INSTANCES, Lb::Builtin, &SETS);
    let run = |args: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--config").arg(fleet.world.config_path()).args(SETS.iter().flat_map(|set| ["--set", set])).args(args);
        command.stdin(Stdio::null()).status().unwrap()
    };
    assert!(run(&["deploy", "v2", "--yes", "--detach"]).success());
    fleet.until("it is under way", |s| s["updated"].as_u64() >= Some(2));
    let journal = fleet.service_dir().join("journal.sqlite3");
    let updating = "SELECT count(*) FROM events WHERE body LIKE '%update_started%'";
    fleet.wait("the third is being updated", || {
        let store = Connection::open(&journal).unwrap();
        (store.query_row(updating, [], |r| r.get::<_, u32>(0)).unwrap() >= 3).then_some(())
    });
    let pid = rustix::process::Pid::from_raw(fleet.engine_pid().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    fleet.wait("its socket is dead", || fleet.engine_pid().is_none().then_some(()));
    fs::write(fixture(name), dump(&Connection::open(&journal).unwrap())).unwrap();
}
