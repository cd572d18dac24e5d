//! Several operators on one host: real users of a real group deploy, watch and steer the same service; another user cannot.
//!
//! Imports: the library, `common`. May not: leave a user, a group or a process behind.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

mod common;
#[path = "shared_dir/operators.rs"]
mod operators;
#[path = "shared_dir/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use common::server;
use operators::Who;
use site::{Site, lines, summary};

/// The setting that leaves time to look.
const SLOWLY: &[&str] = &["strategy.batch_pause=400ms"];

/// All that lies below a directory, itself included.
fn below(dir: &Path) -> Vec<PathBuf> {
    let inner = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let inner = inner.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] });
    std::iter::once(dir.to_owned()).chain(inner).collect()
}

/// Everything is the group's and nobody else's; the users who own something.
fn assert_shared(site: &Site) -> BTreeSet<u32> {
    let gid = site.operators.gid();
    let all = below(&site.state());
    for path in &all {
        // A file of SQLite's may go between two looks.
        let Ok(meta) = fs::symlink_metadata(path) else { continue };
        let wanted = if meta.is_dir() { 0o2770 } else { 0o660 };
        assert_eq!((meta.mode() & 0o7777, meta.gid()), (wanted, gid), "{}", path.display());
    }
    let owner = |path: &PathBuf| fs::symlink_metadata(path).ok().map(|meta| meta.uid());
    all.iter().filter_map(owner).collect()
}

/// What an operator's command left in the journal: its kind, and whose login.
fn commands_by(site: &Site, who: Who, id: &str) -> Vec<String> {
    let login = site.operators.login(who);
    let events = lines(&site.run(Who::Ann, &["events", id, "--output", "json"]));
    let of_them = events.iter().filter(|event| event.to_string().contains(&format!("\"login\":\"{login}\"")));
    of_them.map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Every way in is closed to somebody outside of the group, and says what to do.
fn assert_closed_to(site: &Site, who: Who) {
    let group = site.operators.group();
    let login = site.operators.login(who);
    let verbs: &[&[&str]] = &[
        &["status"],
        &["history"],
        &["show", "1"],
        &["events", "1"],
        &["attach", "--output", "json"],
        &["pause"],
        &["resume"],
        &["cancel"],
        &["rollback"],
        &["recover", "--detach"],
        &["plan", "v9"],
        &["deploy", "v9", "--yes"],
        &["check"],
        &[],
    ];
    for verb in verbs {
        let ran = site.run(who, verb);
        let said = format!("{}{}", ran.out, ran.err);
        assert_ne!(ran.code, Some(0), "{verb:?}: {said}");
        let remedy = format!("usermod -aG {group} {login}");
        assert!(said.contains(&format!("group {group}")) && said.contains(&remedy), "{verb:?}: {said}");
        assert!(!said.contains("shop-1") && !said.contains("no deployment"), "{verb:?}: {said}");
    }
    let mut tried = 0;
    for path in below(&site.state()) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let by = if meta.is_dir() { "ls" } else { "cat" };
        if !meta.file_type().is_socket() {
            let read = site.operators.shell(who, &format!("{by} {}", path.display()));
            assert!(read.code != Some(0) && read.out.is_empty(), "{}", path.display());
            assert!(read.err.contains("Permission denied"), "{}", read.err);
            tried += 1;
        }
    }
    assert!(tried > 8, "{tried}");
    let curl = format!("curl -sS --max-time 5 --unix-socket {} http://rollout/v1/deployment", site.socket().display());
    let read = site.operators.shell(who, &curl);
    assert!(read.code != Some(0) && read.out.is_empty(), "{read:?}");
}

#[test]
fn members_of_the_group_share_one_deployment_and_nobody_else_sees_it() {
    let Some(site) = Site::start() else { return };
    let deploy = site.spawn(Who::Ann, SLOWLY, &["deploy", "v2", "--yes", "--output", "json"]);
    site.until(Who::Bob, "it is under way", |s| s["updated"].as_u64() >= Some(1));

    // Bob, in the group by another way than Ann and with another umask, has every verb.
    assert!(site.run(Who::Bob, &["history"]).out.contains("shop-1"));
    let paused = site.run(Who::Bob, &["pause", "--reason", "looking"]);
    assert_eq!(paused.code, Some(0), "{}", paused.err);
    site.until(Who::Bob, "it is paused", |s| s["status"] == "paused");
    assert_eq!(commands_by(&site, Who::Bob, "1").len(), 1, "by his login");
    let refused = site.run(Who::Bob, &["deploy", "v3", "--yes"]);
    assert_eq!(refused.code, Some(6));
    assert!(refused.err.contains("rollout attach"), "one at a time: {}", refused.err);
    let check = site.run(Who::Bob, &["check"]);
    assert!(check.out.contains(&format!("shared by group {}", site.operators.group())), "{}", check.out);
    assert_shared(&site);
    assert_closed_to(&site, Who::Eve);
    assert_eq!(site.run(Who::Root, &["status"]).code, Some(0), "root may look everywhere");

    if server("curl").is_some() {
        let curl = format!("curl -sS --unix-socket {} http://rollout/v1/deployment", site.socket().display());
        let read = site.operators.shell(Who::Bob, &curl);
        assert!(read.out.contains("shop-1"), "{read:?}");
    }

    let attached = site.spawn(Who::Bob, &[], &["attach", "--output", "json"]);
    let resumed = site.run(Who::Bob, &["resume"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    let (deploy, attached) = (site::ended(deploy), site::ended(attached));
    for ran in [&deploy, &attached] {
        let summary = summary(ran);
        assert_eq!((ran.code, &summary["status"], &summary["updated"]), (Some(0), &"completed".into(), &3.into()), "{ran:?}");
        assert_eq!(summary["started_by"], site.operators.login(Who::Ann));
    }
    assert_eq!(commands_by(&site, Who::Bob, "1").len(), 2, "paused and resumed");

    // The next one is Bob's: his engine writes on in Ann's files.
    let next = site.run(Who::Bob, &["deploy", "v3", "--yes", "--output", "json"]);
    assert_eq!((next.code, &summary(&next)["previous"]["v2"]), (Some(0), &Value::from(3)), "{next:?}");
    assert_eq!(summary(&next)["started_by"], site.operators.login(Who::Bob));
    let owners = assert_shared(&site);
    assert!(owners.contains(&site.operators.uid(Who::Ann)), "{owners:?}");
    let back = site.run(Who::Ann, &["rollback", "--output", "json"]);
    assert_eq!(back.code, Some(0), "what Bob deployed is undone by Ann: {back:?}");
    assert_eq!(lines(&site.run(Who::Bob, &["history", "--output", "json"])).len(), 3);
    assert_closed_to(&site, Who::Eve);
}

#[test]
fn a_member_takes_over_what_anothers_killed_engine_left() {
    let Some(site) = Site::start() else { return };
    let deploy = site.spawn(Who::Ann, SLOWLY, &["deploy", "v2", "--yes", "--output", "json"]);
    site.until(Who::Bob, "it is under way", |s| s["updated"].as_u64() >= Some(1));
    let pid = rollout::control::engine_pid(&site.socket()).and_then(Pid::from_raw).unwrap();
    // Hers to end, and root's: he hears whom to ask.
    kill_process(pid, Signal::STOP).unwrap();
    let refused = site.run(Who::Bob, &["recover", "--detach"]);
    let remedy = format!("have {} or root run: kill -KILL {}", site.operators.login(Who::Ann), pid.as_raw_nonzero());
    assert_eq!(refused.code, Some(6));
    assert!(refused.err.contains(&remedy), "{}", refused.err);
    kill_process(pid, Signal::KILL).unwrap();
    site.wait("its socket is dead", || rollout::control::engine_pid(&site.socket()).is_none().then_some(()));
    drop(site::ended(deploy));
    // It left its socket, its write-ahead log and its locks behind.
    let recovered = site.run(Who::Bob, &["recover", "--detach"]);
    assert_eq!(recovered.code, Some(0), "{}", recovered.err);
    site.until(Who::Ann, "it came up paused", |s| s["status"] == "paused");
    assert_shared(&site);
    assert_eq!(site.run(Who::Ann, &["resume"]).code, Some(0));
    let attached = site.run(Who::Ann, &["attach", "--output", "json"]);
    assert_eq!((attached.code, &summary(&attached)["updated"]), (Some(0), &Value::from(3)), "{attached:?}");
}

#[test]
fn what_root_made_first_is_the_groups_too() {
    let Some(site) = Site::start() else { return };
    for (who, version) in [(Who::Root, "v2"), (Who::Ann, "v3"), (Who::Root, "v4"), (Who::Bob, "v5")] {
        let ran = site.run(who, &["deploy", version, "--yes", "--output", "json"]);
        assert_eq!(ran.code, Some(0), "{version}: {ran:?}");
        assert!(assert_shared(&site).contains(&0));
    }
    assert_eq!(lines(&site.run(Who::Ann, &["history", "--output", "json"])).len(), 4);
}

/// What a mistake of an operator or of root makes of a shared directory: refused by those who cannot mend it, with the
/// command that does, and mended by just that command.
#[test]
fn what_does_not_do_is_refused_with_a_command_that_mends_it() {
    let Some(site) = Site::start() else { return };
    assert_eq!(site.run(Who::Ann, &["deploy", "v2", "--yes"]).code, Some(0));
    let (state, dir, journal) = (site.state(), site.service_dir(), site.service_dir().join("journal.sqlite3"));
    let group = site.operators.group();
    let eve = site.operators.uid(Who::Eve);
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let own = |path: &Path, uid: Option<u32>, gid: Option<u32>| std::os::unix::fs::chown(path, uid, gid).unwrap();
    let table: &[(&str, &dyn Fn(), String)] = &[
        ("not of group", &|| own(&journal, Some(eve), None), format!("chown root {}", journal.display())),
        ("of group root", &|| own(&journal, None, Some(0)), format!("chgrp {group} {0} && chmod 0660 {0}", journal.display())),
        ("everybody can write", &|| mode(&state, 0o2777), format!("chmod 2770 {}", state.display())),
        ("who is not of it", &|| own(&state, Some(eve), None), format!("chown root {}", state.display())),
        ("written by others", &|| mode(&journal, 0o666), format!("chmod 0660 {}", journal.display())),
        ("for its group alone", &|| mode(&journal, 0o640), format!("chmod 0660 {}", journal.display())),
        ("written by others", &|| mode(&dir, 0o2777), format!("chmod 2770 {}", dir.display())),
        ("for its group alone", &|| mode(&dir, 0o770), format!("chmod 2770 {}", dir.display())),
    ];
    for (why, spoil, remedy) in table {
        spoil();
        for verb in [&["status"][..], &["deploy", "v3", "--yes"]] {
            let refused = site.run(Who::Bob, verb);
            // To look takes no more than that what is seen can be trusted.
            assert_ne!(refused.code, Some(0), "{why} {verb:?}");
            assert!(refused.err.contains(why) && refused.err.contains(remedy.as_str()), "{why} {verb:?}: {}", refused.err);
        }
        let mended = site.operators.shell(Who::Root, remedy);
        assert_eq!(mended.code, Some(0), "{remedy}: {}", mended.err);
        let status = site.run(Who::Bob, &["status"]);
        assert_eq!(status.code, Some(0), "after {remedy}: {}", status.err);
    }

    // A link in place of a file: nothing is written where it points to.
    let precious = site.dir().join("precious");
    fs::write(&precious, "precious").unwrap();
    own(&precious, Some(site.operators.uid(Who::Bob)), None);
    for name in ["journal.sqlite3", "engine.log", "engine.stderr", "lease", "engine.lock"] {
        let file = dir.join(name);
        fs::rename(&file, dir.join("aside")).unwrap();
        std::os::unix::fs::symlink(&precious, &file).unwrap();
        let refused = site.run(Who::Bob, &["deploy", "v3", "--yes"]);
        assert_eq!(refused.code, Some(6), "{name}: {refused:?}");
        fs::rename(dir.join("aside"), &file).unwrap();
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(site.run(Who::Bob, &["deploy", "v3", "--yes"]).code, Some(0));
}

/// Local processes are whose engine started them: another operator hears it before anything is touched.
#[test]
fn processes_of_another_operator_are_left_alone() {
    let Some(site) = Site::start() else { return };
    let file = site.processes_file();
    let with = |who, args: &[&str]| site.run(who, &[&["--config", file.to_str().unwrap()][..], args].concat());

    let first = with(Who::Ann, &["--set", "health.before=first", "deploy", "v1", "--yes"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    for verb in [&["plan", "v2"][..], &["deploy", "v2", "--yes"]] {
        let refused = with(Who::Bob, verb);
        assert_eq!(refused.code, Some(6), "{verb:?}: {refused:?}");
        assert!(format!("{}{}", refused.out, refused.err).contains("was started by another user"), "{verb:?}: {refused:?}");
    }
    assert_eq!(lines(&with(Who::Bob, &["history", "--output", "json"])).len(), 1, "nothing was begun");
    assert_shared(&site);
    let next = with(Who::Ann, &["deploy", "v2", "--yes"]);
    assert_eq!(next.code, Some(0), "{next:?}");
}

/// The commands of the README that turn a private directory into a shared one.
#[test]
fn a_private_directory_becomes_a_shared_one() {
    let Some(site) = Site::start() else { return };
    let state = site.state();
    fs::remove_dir(&state).unwrap();
    let ann = site.operators.login(Who::Ann);
    let made = site.operators.shell(Who::Root, &format!("install -d -m 0700 -o {ann} -g {ann} {}", state.display()));
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert_eq!(site.run(Who::Ann, &["deploy", "v2", "--yes"]).code, Some(0));
    let refused = site.run(Who::Bob, &["status"]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("share it with a group") && !refused.err.contains("no deployment"), "{}", refused.err);

    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter(|l| l.starts_with("sudo ") && l.contains("/var/lib/rollout")).collect();
    let [install, rest @ ..] = commands.as_slice() else { panic!("the README lacks the commands") };
    assert!(install.starts_with("sudo install -d -m 2770 -g deployers /var/lib/rollout"), "{install}");
    assert_eq!(rest.len(), 3, "{rest:?}");
    for command in commands {
        let command = command.trim_start_matches("sudo ").replace("/var/lib/rollout", &state.display().to_string());
        let ran = site.operators.shell(Who::Root, &command.replace("deployers", &site.operators.group()));
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.err);
    }
    let next = site.run(Who::Bob, &["deploy", "v3", "--yes"]);
    assert_eq!(next.code, Some(0), "{next:?}");
    assert_shared(&site);
}
