//! What the fleet's driver could not start or stop is found out before anything is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, Ran, rollout};

/// `update.start` with a program for each version: a link to this one, where the version is there.
fn by_version(dir: &tempfile::TempDir, fleet: &Fleet) -> String {
    let mut start = vec![format!("{}/{{{{ version }}}}/bin/shop", dir.path().display())];
    let rollout::fleet::Settings::Process(settings) = &fleet.config.fleet else { panic!("the demo drives processes") };
    start.extend(settings.start.iter().skip(1).cloned());
    let start: Vec<String> = start.iter().map(|word| format!("{word:?}")).collect();
    format!("update.start=[{}]", start.join(", "))
}

fn install(dir: &tempfile::TempDir, version: &str) {
    let bin = dir.path().join(version).join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(rollout(), bin.join("shop")).unwrap();
}

fn untouched(fleet: &Fleet, ran: &Ran) {
    assert_eq!(ran.code, Some(6), "{}{}", ran.out, ran.err);
    let check = fleet.run(&["check"]);
    assert!(check.out.contains("3 of 3 instances serve") && check.out.contains("v1 on 3"), "{}", check.out);
}

#[test]
fn a_version_that_is_not_there_is_refused_before_anything_is_drained() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_pause=100ms"]);
    let dir = tempfile::tempdir().unwrap();
    let start = by_version(&dir, &fleet);
    for args in [&["plan", "v9"][..], &["deploy", "v9", "--yes"]] {
        let ran = fleet.run(&[args, &["--set", &start]].concat());
        untouched(&fleet, &ran);
        for part in ["v9 cannot be started", "[update] start", "/v9/bin/shop is not there", "install it"] {
            assert!(ran.err.contains(part), "{part}: {}", ran.err);
        }
        assert_eq!(ran.err.matches("/v9/bin/shop").count(), 1, "once for all instances: {}", ran.err);
    }
    install(&dir, "v2");
    let plan = fleet.run(&["plan", "v2", "--output", "json", "--set", &start]);
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    let line = &plan.lines()[0];
    assert_eq!((&line["rollback_ready"], &line["rollback"]["ready"]), (&Value::from(false), &Value::from(0)));
    let warnings = line["warnings"].to_string();
    assert!(warnings.contains("rollback is not ready: v1 cannot be started") && warnings.contains("/v1/bin/shop"), "{warnings}");
    let check = fleet.run(&["check", "--set", &start]);
    assert!(check.code == Some(0) && check.out.contains("could not be started again"), "{}", check.out);

    install(&dir, "v1");
    let plan = fleet.run(&["plan", "v2", "--output", "json", "--set", &start]);
    assert_eq!((&plan.lines()[0]["rollback_ready"], plan.out.contains("not ready")), (&Value::from(true), false), "{}", plan.out);
    // There, but not to be executed.
    let closed = dir.path().join("v3/bin/shop");
    fs::create_dir_all(closed.parent().unwrap()).unwrap();
    fs::write(&closed, "").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = fleet.run(&["deploy", "v3", "--yes", "--set", &start]);
    untouched(&fleet, &ran);
    assert!(ran.err.contains("cannot execute it"), "{}", ran.err);
    let ran = fleet.run(&["deploy", "v2", "--yes", "--set", &start]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn an_instance_that_somebody_else_started_is_refused() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_pause=100ms"]);
    let record = fleet.world.processes_dir().join("web-02.json");
    let kept = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    for args in [&["plan", "v2"][..], &["deploy", "v2", "--yes"]] {
        let ran = fleet.run(args);
        untouched(&fleet, &ran);
        for part in ["web-02 runs, but rollout did not start it", "stop it", "driver = \"command\""] {
            assert!(ran.err.contains(part), "{part}: {}", ran.err);
        }
    }
    let check = fleet.run(&["check"]);
    assert!(check.code == Some(4) && check.out.contains("web-02: runs, but rollout did not start it"), "{}", check.out);
    assert_eq!(fleet.run(&["plan", "v2", "--exclude", "web-02"]).code, Some(0), "it has no part in it");
    fs::write(&record, kept).unwrap();
    assert_eq!(fleet.run(&["deploy", "v2", "--yes"]).code, Some(0));
}
