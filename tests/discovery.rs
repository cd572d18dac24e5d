//! A fleet that is asked for: plans, deployments and rollbacks on it, and what a source may not do to them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

use std::fs;

use fleet::{Fleet, Ran};
use rollout::demo::world::Lb;
use serde_json::{Value, json};

/// The fleet of the file, asked for instead by `source`, a table of `[fleet.discover]`.
fn asked(fleet: &Fleet, source: &str) {
    let path = fleet.world.config_path();
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("\n[[fleet.instance]]").unwrap();
    let (_, after) = rest.split_once("\n[update]").unwrap();
    fs::write(&path, format!("{before}\n{source}\n\n[update]{after}")).unwrap();
}

/// What the inventory names from now on.
fn names(fleet: &Fleet, ids: &[&str]) {
    let target = |id: &&str| fleet.config.targets.iter().find(|target| target.id.as_str() == *id).unwrap();
    let entry = |id: &&str| {
        let target = target(id);
        json!({"id": id, "host": target.host, "port": target.port, "zone": target.zone})
    };
    // In an order that no plan should have.
    let list: Vec<Value> = ids.iter().rev().map(entry).collect();
    fs::write(inventory(fleet), Value::from(list).to_string()).unwrap();
}

fn inventory(fleet: &Fleet) -> std::path::PathBuf {
    fleet.world.config_path().with_file_name("inventory.json")
}

fn by_command(fleet: &Fleet) {
    asked(fleet, &format!("[fleet.discover.command]\ncommand = [\"cat\", \"{}\"]", inventory(fleet).display()));
}

fn refused(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.code, Some(6), "{ran:?}");
    for part in parts {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

fn plan(fleet: &Fleet, more: &[&str]) -> Value {
    let ran = fleet.run(&[&["plan", "v9", "--output", "json"], more].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.lines()[0].clone()
}

fn warning(plan: &Value, part: &str) -> Option<String> {
    let warnings = plan["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap().to_owned());
    warnings.into_iter().find(|warning| warning.contains(part))
}

#[test]
fn a_fleet_that_is_asked_for_is_deployed_to_and_compared_with_the_last_one() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=100ms", "strategy.batch_size=1", "vip.rate=20"]);
    by_command(&fleet);
    names(&fleet, &["web-01", "web-02", "web-03"]);
    let first = plan(&fleet, &[]);
    let order: Vec<&str> = first["batches"].as_array().unwrap().iter().map(|b| b["members"][0].as_str().unwrap()).collect();
    assert_eq!(order, ["web-01", "web-02", "web-03"], "always the same");
    assert_eq!(warning(&first, "since "), None, "there is no earlier one");
    let done = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!((done.code, &done.summary()["updated"]), (Some(0), &json!(3)), "{done:?}");

    // Another one, and one that is gone.
    names(&fleet, &["web-01", "web-03", "web-04"]);
    assert_eq!(warning(&plan(&fleet, &[]), "since ").unwrap(), "since demo-1: web-02 is gone; web-04 is new");
    let check = fleet.run(&["check", "--output", "json"]);
    let found = check.lines().into_iter().find(|line| line.to_string().contains("fleet.discover.command")).expect("a finding");
    assert!(found.to_string().contains("3 instances; since demo-1: web-02 is gone; web-04 is new"), "{found}");
    let done = fleet.run(&["deploy", "v3", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("since demo-1: web-02 is gone; web-04 is new"), "{}", done.err);

    // Whom it hardly has anything in common with.
    names(&fleet, &["web-02", "web-04"]);
    refused(
        &fleet.run(&["plan", "v4"]),
        &["of the 3 instances of demo-2 only 1 are left", "--allow-new-fleet", "nothing is touched"],
    );
    refused(&fleet.run(&["deploy", "v4", "--yes"]), &["--allow-new-fleet"]);
    assert!(warning(&plan(&fleet, &["--allow-new-fleet"]), "web-01, web-03 are gone").is_some());

    // What makes no sense.
    let bad = |text: &str, parts: &[&str]| {
        fs::write(inventory(&fleet), text).unwrap();
        for verb in [["plan", "v4"].as_slice(), &["deploy", "v4", "--yes"]] {
            refused(&fleet.run(verb), parts);
        }
    };
    bad("[]", &["[fleet.discover.command] names nobody", "nothing is touched"]);
    bad("oh no", &["prints no JSON"]);
    bad(r#"[{"id":"a","port":1},{"id":"a","port":2}]"#, &["names a twice"]);
    bad(r#"[{"id":"a b","port":1}]"#, &["\"a b\", which is no id"]);
    fs::remove_file(inventory(&fleet)).unwrap();
    refused(&fleet.run(&["plan", "v4"]), &["exit code 1", "inventory.json"]);
    let check = fleet.run(&["check"]);
    assert_eq!(check.code, Some(4));
    assert!(check.out.contains("fleet.discover.command") && check.out.contains("exit code 1"), "{}", check.out);

    // The way back does not hang on it.
    let back = fleet.run(&["rollback", "--yes", "--output", "json"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    let summary = back.summary();
    assert_eq!((&summary["deployment"], &summary["total"]), (&json!("demo-3"), &json!(3)), "the fleet of demo-2: {summary}");
    assert!(back.err.contains("this is the fleet of demo-2"), "{}", back.err);
}

/// H2: hosts that come or go under way: the plan stands, and who is not in it is named.
#[test]
fn h02_who_comes_under_way_is_named_and_not_touched() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=700ms", "strategy.batch_size=1", "vip.rate=20"]);
    by_command(&fleet);
    names(&fleet, &["web-01", "web-02", "web-03"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes"]);
    fleet.until("the first is updated", |status| status["updated"].as_u64() >= Some(1));
    names(&fleet, &["web-01", "web-02", "web-04"]);
    let done = Ran::ended(deploy);
    assert_eq!(done.code, Some(0), "{done:?}");
    let said = "the fleet has changed since the plan: web-03 is gone; web-04 is new; new ones are not in this deployment; the \
                others stay in it as they were planned";
    let log = fleet::read(&fleet.service_dir().join("engine.log"));
    assert!(log.contains(said), "{log}");
    let summary = fleet.status().unwrap();
    assert_eq!((&summary["total"], &summary["updated"]), (&json!(3), &json!(3)), "web-03 was ours to the end: {summary}");
}

/// From the balancer itself.
#[test]
fn the_servers_of_a_backend_are_a_fleet() {
    if common::server("haproxy").is_none() {
        return;
    }
    let fleet = Fleet::start(3, Lb::Haproxy, &["strategy.batch_pause=100ms", "vip.rate=20"]);
    asked(&fleet, "[fleet.discover.balancer]");
    let done = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!((done.code, &done.summary()["updated"]), (Some(0), &json!(3)), "{done:?}");
    let check = fleet.run(&["check"]);
    assert!(check.out.contains("fleet.discover.balancer") && check.out.contains("3 instances"), "{}", check.out);
}
