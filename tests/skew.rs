//! A console of one version and an engine of another: a real second program, whose file differs in the number of the protocol.
//!
//! Imports: the e2e fleet, the shared directory's site. May not: sleep without a condition.
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
#[path = "shared_dir/operators.rs"]
#[allow(clippy::allow_attributes, reason = "shared with shared_dir, which uses more of it")]
#[allow(dead_code, reason = "shared with shared_dir, which uses more of it")]
mod operators;
#[path = "shared_dir/site.rs"]
#[allow(clippy::allow_attributes, reason = "shared with shared_dir, which uses more of it")]
#[allow(dead_code, reason = "shared with shared_dir, which uses more of it")]
mod site;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::{Fleet, Ran, rollout};
use operators::Who;
use rollout::demo::world::Lb;
use serde_json::Value;
use site::Site;

/// How the program's file says which protocol it speaks; only that of the tests does.
const MARK: &[u8] = b"ROLLOUT_FAILPOINT_PROTOCOL+";

/// The program in another version, in a directory.
fn other_version(dir: &Path) -> PathBuf {
    let mut bytes = fs::read(rollout()).unwrap();
    let mark = bytes.windows(MARK.len()).position(|window| window == MARK).unwrap() + MARK.len();
    assert_eq!(bytes[mark], b'0');
    bytes[mark] = b'1';
    let path = dir.join("rollout-other");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// `program ARGS` on the fleet.
fn run(fleet: &Fleet, program: &Path, args: &[&str]) -> Ran {
    let usual = fleet.command(args);
    Ran::of(Command::new(program).args(usual.get_args()).stdin(std::process::Stdio::null()).output().unwrap())
}

#[test]
fn attach_and_the_verbs_go_on_as_the_engines_own_program() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=600ms", "vip.rate=40"]);
    let other = other_version(fleet.world.dir());
    let begun = run(&fleet, &other, &["deploy", "v2", "--yes", "--detach"]);
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let paused = fleet.run(&["pause"]);
    assert_eq!(paused.code, Some(0), "{paused:?}");
    assert!(paused.err.contains("(protocol 2): going on as its own program"), "{}", paused.err);
    // An upgrade has removed the old program.
    fs::remove_file(&other).unwrap();
    let status = fleet.run(&["status", "--output", "json"]);
    assert_eq!((status.code, &status.lines()[0]["version"]), (Some(0), &Value::from("v2")), "{status:?}");
    // Its engine is not taken for dead.
    assert_eq!(fleet.run(&["show", "demo-1", "--output", "json"]).summary()["status"], "paused");
    assert_eq!(fleet.run(&["recover"]).code, Some(6));
    assert_eq!(fleet.run(&["resume"]).code, Some(0));

    // Once, and no further.
    let once = Ran::of(fleet.command(&["attach"]).env("ROLLOUT_REEXEC", "1").output().unwrap());
    assert_eq!(once.code, Some(6), "{once:?}");
    let says = |part: &str| once.err.contains(part);
    assert!(says("speaks protocol 2, this rollout") && says("executed for it already"), "{}", once.err);

    let attached = fleet.run(&["attach", "--output", "json"]);
    let summary = attached.summary();
    assert_eq!((attached.code, &summary["status"]), (Some(0), &Value::from("completed")), "{attached:?}");
    fleet.wait("its engine has left", || fleet.engine_pid().is_none().then_some(()));
    // The next engine is ours again, and nothing is to be said.
    let next = fleet.run(&["deploy", "v3", "--yes"]);
    assert_eq!((next.code, next.err.contains("its own program")), (Some(0), false), "{next:?}");
}

#[test]
fn a_program_of_another_user_is_named_and_not_executed() {
    let Some(site) = Site::start() else { return };
    let other = other_version(site.dir());
    let config = site.dir().join("rollout.toml");
    let theirs = |args: &[&str]| {
        let mut command = site.operators.command(Who::Ann, &other);
        site::Ran::of(command.arg("--config").arg(&config).args(args).output().unwrap())
    };
    let begun = theirs(&["--set", "strategy.batch_pause=20s", "deploy", "v2", "--yes", "--detach"]);
    assert_eq!(begun.code, Some(0), "{begun:?}");
    for who in [Who::Bob, Who::Root] {
        let refused = site.run(who, &["attach"]);
        assert_eq!(refused.code, Some(6), "{who:?}: {refused:?}");
        let says = |part: &str| refused.err.contains(part);
        assert!(says("speaks protocol 2, this rollout") && says("not yours to run"), "{who:?}: {}", refused.err);
        assert!(says(&format!("it was started as {}", other.display())), "{who:?}: {}", refused.err);
        assert!(says(&site.operators.login(Who::Ann)), "{who:?}: {}", refused.err);
    }
    let cancelled =
        site.operators.command(Who::Ann, &site.dir().join("rollout")).arg("--config").arg(&config).arg("cancel").output();
    let cancelled = site::Ran::of(cancelled.unwrap());
    assert_eq!(cancelled.code, Some(0), "her own other version does: {cancelled:?}");
}
