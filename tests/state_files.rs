//! Every file that we keep, at every opening: what another user could have written or planted there is refused with the command
//! that mends it, nothing is written where a link points to, and nothing that is no file holds anybody up.
//!
//! Imports: the library, `common`, `second_user`. May not: leave a process behind.
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test ends where it cannot go on")]

mod common;
mod second_user;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollout::control::{ControlError, Door};
use rustix::fs::{CWD, FileType, mknodat};
use second_user::{ANN, EVE, ROOT, Ran, User, command, mode, must};
use tempfile::TempDir;
use tokio::time::Instant;

/// Longer than any of these verbs takes, and shorter than what waits for a FIFO's other end.
const NEVER: &str = "60";

/// What is put in the place of a file, or done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoil {
    GroupWrites,
    WorldWrites,
    Foreign,
    Link,
    HardLink,
    Fifo,
    Device,
    Dir,
}

const ALL: [Spoil; 8] = [
    Spoil::GroupWrites,
    Spoil::WorldWrites,
    Spoil::Foreign,
    Spoil::Link,
    Spoil::HardLink,
    Spoil::Fifo,
    Spoil::Device,
    Spoil::Dir,
];

/// A service of one instance, whose version is in a file.
struct Site {
    dir: TempDir,
    exe: PathBuf,
    who: User,
}

impl Site {
    /// With one deployment behind it, so that every file is there.
    fn start(who: User) -> Option<Self> {
        if !second_user::are_there() {
            return None;
        }
        let (dir, exe) = second_user::place();
        let site = Self { dir, exe, who };
        let home = site.home();
        fs::create_dir(&home).unwrap();
        site.take(&home, 0o755);
        for (path, text) in [(home.join("rollout.toml"), site.config()), (home.join("version"), "v1\n".to_owned())] {
            fs::write(&path, text).unwrap();
            site.take(&path, 0o644);
        }
        fs::write(site.precious(), "precious").unwrap();
        site.take(&site.precious(), 0o600);
        site.deploys();
        Some(site)
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn precious(&self) -> PathBuf {
        self.home().join("precious")
    }

    fn service(&self) -> PathBuf {
        self.home().join("state/shop.default")
    }

    fn take(&self, path: &Path, bits: u32) {
        chown(path, Some(self.who.uid), Some(self.who.gid)).unwrap();
        mode(path, bits);
    }

    fn config(&self) -> String {
        let (version, state) = (self.home().join("version"), self.home().join("state"));
        format!(
            r#"
[service]
name = "shop"
[fleet]
driver = "command"
instances = ["web-01"]
port = 1
[update]
command = ["/bin/sh", "-c", "echo $1 > {0}", "sh", "{{{{ version }}}}"]
observe = ["/bin/cat", "{0}"]
[traffic]
driver = "none"
[drain]
timeout = "0s"
[health]
probe = "exec"
command = ["/bin/true"]
interval = "100ms"
rise = 1
[strategy]
batch_size = 1
batch_pause = "10ms"
max_unavailable = 1
[journal]
dir = "{1}"
"#,
            version.display(),
            state.display()
        )
    }

    fn run(&self, verb: &[&str]) -> Ran {
        let mut timeout = command(self.who, "/usr/bin/timeout");
        timeout.arg(NEVER).arg(&self.exe).arg("--config").arg(self.home().join("rollout.toml")).args(verb);
        let ran = Ran::of(timeout.output().unwrap());
        assert_ne!(ran.code, Some(124), "{verb:?} hangs: {}", ran.said());
        ran
    }

    fn deploy(&self) -> Ran {
        self.run(&["deploy", "v2", "--yes", "--allow-outage", "--restart"])
    }

    fn deploys(&self) {
        let ran = self.deploy();
        assert_eq!(ran.code, Some(0), "{}", ran.said());
    }

    /// Does it; `false` where it would be the same as another.
    fn spoil(&self, path: &Path, how: Spoil) {
        let put = |put: &dyn Fn()| {
            if path.symlink_metadata().is_ok() {
                fs::rename(path, aside(path, "kept")).unwrap();
            }
            put();
            lchown(path, Some(self.who.uid), Some(self.who.gid)).unwrap();
        };
        match how {
            Spoil::GroupWrites => mode(path, 0o660),
            Spoil::WorldWrites => mode(path, 0o602),
            Spoil::Foreign => chown(path, Some(EVE.uid), None).unwrap(),
            Spoil::Link => put(&|| symlink(self.precious(), path).unwrap()),
            Spoil::HardLink => put(&|| fs::hard_link(self.precious(), path).unwrap()),
            Spoil::Fifo => put(&|| mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap()),
            // Major 1, minor 3: what is written there is gone.
            Spoil::Device => put(&|| mknodat(CWD, path, FileType::CharacterDevice, 0o600.into(), 0x103).unwrap()),
            Spoil::Dir => put(&|| fs::create_dir(path).unwrap()),
        }
    }

    fn assert_precious(&self, what: &str) {
        let meta = fs::symlink_metadata(self.precious()).unwrap();
        assert_eq!(fs::read_to_string(self.precious()).unwrap(), "precious", "{what}");
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, self.who.uid), "{what}");
    }
}

/// What was there before.
fn put_back(path: &Path) {
    let kept = aside(path, "kept");
    if kept.symlink_metadata().is_ok() {
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir(path).unwrap();
        }
        fs::rename(kept, path).unwrap();
    }
    for left in ["aside", "own"] {
        let left = aside(path, left);
        if left.is_dir() && !left.is_symlink() {
            fs::remove_dir(left).unwrap();
        } else {
            fs::remove_file(left).ok();
        }
    }
    if path.symlink_metadata().is_ok_and(|meta| meta.nlink() > 1) {
        fs::remove_file(path).unwrap();
    }
}

fn aside(path: &Path, word: &str) -> PathBuf {
    PathBuf::from(format!("{}.{word}", path.display()))
}

/// The command in the refusal that mends it.
fn remedy(said: &str, path: &Path) -> String {
    let commands = said.split('`').skip(1).step_by(2);
    let shown = path.display().to_string();
    let mut of_path = commands.filter(|command| command.contains(&shown) && !command.starts_with("ps "));
    of_path.next().unwrap_or_else(|| panic!("no command for {shown} in: {said}")).to_owned()
}

#[test]
fn every_file_is_refused_until_it_is_mended_and_no_link_is_written_through() {
    let Some(site) = Site::start(ANN) else { return };
    let (base, service) = (site.home().join("state"), site.service());
    let files = [
        "journal.sqlite3",
        "journal.sqlite3-last",
        "journal.backup.sqlite3",
        "lease",
        "engine.lock",
        "engine.log",
        "engine.stderr",
    ];
    let (mut tried, begun) = (0, Instant::now());
    for file in files {
        let path = service.join(file);
        assert!(path.is_file(), "{file} is not there: the table is out of date");
        for how in ALL {
            let what = format!("{file}, {how:?}");
            site.spoil(&path, how);
            let refused = site.deploy();
            let said = refused.said();
            assert_eq!(refused.code, Some(6), "{what}: {said}");
            assert!(said.contains(&path.display().to_string()), "{what}: {said}");
            site.assert_precious(&what);
            must(ROOT, &remedy(&said, &path));
            put_back(&path);
            tried += 1;
        }
    }
    // As SQLite leaves them when an engine is killed.
    for suffix in ["-wal", "-shm"] {
        let path = service.join(format!("journal.sqlite3{suffix}"));
        for how in ALL {
            let what = format!("{suffix}, {how:?}");
            fs::write(&path, "").unwrap();
            site.take(&path, 0o600);
            site.spoil(&path, how);
            let refused = site.run(&["status"]);
            assert!(
                refused.code != Some(0) && refused.said().contains(&path.display().to_string()),
                "{what}: {}",
                refused.said()
            );
            site.assert_precious(&what);
            must(ROOT, &remedy(&refused.said(), &path));
            put_back(&path);
            fs::remove_file(&path).ok();
            tried += 1;
        }
    }
    for (dir, hows) in [(&base, &[Spoil::GroupWrites, Spoil::WorldWrites, Spoil::Foreign][..]), (&service, &ALL)] {
        for how in hows.iter().filter(|how| ![Spoil::HardLink, Spoil::Dir].contains(how)) {
            let what = format!("{}, {how:?}", dir.display());
            match how {
                Spoil::GroupWrites => mode(dir, 0o770),
                Spoil::WorldWrites => mode(dir, 0o703),
                _ => site.spoil(dir, *how),
            }
            let refused = site.deploy();
            assert!(refused.code == Some(6), "{what}: {}", refused.said());
            site.assert_precious(&what);
            if !(*dir == base && *how == Spoil::Foreign) {
                must(ROOT, &remedy(&refused.said(), dir));
            }
            if ![Spoil::GroupWrites, Spoil::WorldWrites, Spoil::Foreign].contains(how) {
                fs::rename(aside(dir, "kept"), dir).unwrap();
                fs::remove_file(aside(dir, "aside")).unwrap();
            }
            site.take(dir, 0o700);
            tried += 1;
        }
    }
    site.deploys();
    second_user::print(&format!("{tried} refusals, each mended by its own command, in {:?}", begun.elapsed()));
}

#[test]
fn what_lies_where_the_socket_belongs_is_refused_and_left_alone() {
    let Some(site) = Site::start(ANN) else { return };
    let socket = site.service().join("engine.sock");
    for how in [Spoil::Link, Spoil::HardLink, Spoil::Fifo, Spoil::Device, Spoil::Dir] {
        site.spoil(&socket, how);
        let refused = site.deploy();
        assert!(refused.code == Some(6) && refused.said().contains("no socket lies there"), "{how:?}: {}", refused.said());
        site.assert_precious(&format!("{how:?}"));
        must(ROOT, &remedy(&refused.said(), &socket));
        put_back(&socket);
    }
    // One that nobody serves is what a killed engine leaves.
    drop(UnixListener::bind(&socket).unwrap());
    site.take(&socket, 0o600);
    site.deploys();
}

/// Neither an earlier log nor the record of a command that ran is written through, waited for, or in the way.
#[test]
fn what_is_only_replaced_or_removed_never_holds_anybody_up() {
    let Some(site) = Site::start(ANN) else { return };
    let record = site.service().join("commands/0192f0c4-0000-7000-8000-000000000000.json");
    let old = site.service().join("engine.log.1");
    assert!(record.parent().unwrap().is_dir(), "the records lie elsewhere now");
    for how in [Spoil::Link, Spoil::HardLink, Spoil::Fifo, Spoil::Device] {
        for path in [&record, &old] {
            site.spoil(path, how);
        }
        site.deploys();
        site.assert_precious(&format!("{how:?}"));
        assert!(record.symlink_metadata().is_err(), "{how:?}: the record of what has ended stays");
        fs::remove_file(&old).unwrap();
    }
}

/// How far an update has come, and which process runs, are read before something is done about it.
#[test]
fn a_planted_record_of_a_process_is_not_believed() {
    let Some(site) = Site::start(ANN) else { return };
    let text = site.config();
    let (head, tail) = (text.split("[update]").next().unwrap(), text.split("[traffic]").nth(1).unwrap());
    let start = "[update]\nstart = [\"/bin/sleep\", \"1000\"]\n[traffic]";
    let config = format!("{head}{start}{tail}").replace("\"command\"", "\"process\"");
    fs::write(site.home().join("rollout.toml"), config).unwrap();
    let fleet = site.home().join("state/fleet/shop/default");
    let record = fleet.join("web-01.json");
    must(ANN, &format!("mkdir -p -m 700 {}", fleet.display()));
    // A process of hers that we are to stop.
    let forged = r#"{"version":"v1","effect":"shop-1/web-01/update/1","process":{"pid":1,"start_time":1,"boot_id":"x"}}"#;
    for how in ALL {
        fs::write(&record, forged).unwrap();
        site.take(&record, 0o600);
        site.spoil(&record, how);
        let ran = site.run(&["check"]);
        let said = ran.said();
        assert!(ran.code == Some(4) && said.contains(&record.display().to_string()), "{how:?}: {said}");
        site.assert_precious(&format!("{how:?}"));
        must(ROOT, &remedy(&said, &record));
        put_back(&record);
        fs::remove_file(&record).ok();
    }
    mode(&fleet, 0o703);
    let refused = site.run(&["deploy", "v2", "--yes", "--allow-outage"]);
    let command = format!("`chmod o-w {}`", fleet.display());
    assert!(refused.code == Some(6) && refused.said().contains(&command), "{}", refused.said());
}

/// Somebody else's hand is in the directory above at the moment of binding: nothing is written, nor made open, where they
/// point.
#[tokio::test]
async fn a_race_for_the_sockets_place_gives_nothing_away() {
    let dir = common::temp_dir();
    mode(dir.path(), 0o700);
    let (path, precious) = (dir.path().join("engine.sock"), dir.path().join("precious"));
    fs::write(&precious, "precious").unwrap();
    mode(&precious, 0o600);
    let stop = Arc::new(AtomicBool::new(false));
    let planter = {
        let (stop, precious) = (Arc::clone(&stop), precious.clone());
        let places = [path.clone(), dir.path().join(format!(".s{}", std::process::id())), dir.path().join("engine.lock")];
        std::thread::spawn(move || {
            let mut planted = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                for place in &places {
                    planted += u32::from(symlink(&precious, place).is_ok());
                    fs::remove_file(place).ok();
                }
            }
            planted
        })
    };
    let (mut bound, mut refused) = (0, 0);
    for _ in 0..2000 {
        match Door::bind(&path) {
            Ok(door) => {
                bound += 1;
                drop(door);
            }
            Err(ControlError::Io { .. } | ControlError::Place { .. }) => refused += 1,
            Err(error @ ControlError::AlreadyRuns { .. }) => panic!("{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let links = planter.join().expect("the planter");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(fs::symlink_metadata(&precious).unwrap().mode() & 0o7777, 0o600);
    second_user::print(&format!("bound {bound} times, refused {refused}, while {links} links were planted"));
    assert!(bound > 0 && refused > 0 && links > 100, "they never met: {bound} {refused} {links}");
}

/// A second user has no part in the state of the first, whatever they try.
#[test]
fn another_user_reads_and_plants_nothing() {
    let Some(site) = Site::start(ANN) else { return };
    for line in
        ["ls {}", "cat {}/journal.sqlite3", "touch {}/x", "mkfifo {}/lease", "ln -s /etc/passwd {}/engine.log", "rm -rf {}"]
    {
        let ran = second_user::shell(EVE, &line.replace("{}", &site.service().display().to_string()));
        assert!(ran.code != Some(0) && ran.said().contains("ermission denied"), "{line}: {}", ran.said());
    }
    let ran =
        Ran::of(command(EVE, &site.exe).arg("--config").arg(site.home().join("rollout.toml")).args(["status"]).output().unwrap());
    assert_eq!(ran.code, Some(2), "the file is not hers: {}", ran.said());
    site.deploys();
}

/// Root looks at the service of another user as that user does, and leaves nothing that would be closed to them; only what
/// writes is to be run as its owner.
#[test]
fn root_looks_at_what_is_another_users_and_takes_nothing_away() {
    let Some(site) = Site::start(ANN) else { return };
    let (service, version) = (site.service(), fs::read(site.home().join("version")).unwrap());
    let as_root = |verb: &[&str]| {
        let mut sudo = command(ROOT, &site.exe);
        sudo.env("SUDO_UID", ANN.uid.to_string()).arg("--config").arg(site.home().join("rollout.toml"));
        Ran::of(sudo.args(verb).output().unwrap())
    };
    for verb in [&["status"][..], &["history"], &["show", "shop-1"]] {
        let ran = as_root(verb);
        assert_eq!(ran.code, Some(0), "{verb:?}: {}", ran.said());
    }
    let paused = as_root(&["pause"]);
    assert_eq!(paused.said(), site.run(&["pause"]).said(), "no engine runs: that is all there is to say");
    assert!(!paused.said().contains("belongs to"), "{}", paused.said());
    let refused = as_root(&["deploy", "v3", "--yes", "--allow-outage"]);
    let said = refused.said();
    assert!(refused.code != Some(0) && said.contains("run as its owner (`sudo -u '#1' rollout …`)"), "{said}");
    assert!(!said.contains("chown"), "it would be closed to its user: {said}");
    assert_eq!(fs::read(site.home().join("version")).unwrap(), version);
    for entry in fs::read_dir(&service).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), ANN.uid, "{}", entry.path().display());
    }
    site.deploys();
}

/// Slow enough not to be taken for a hang, quick enough for whoever is called at night.
#[test]
fn a_listener_that_never_answers_is_named_within_seconds() {
    let Some(site) = Site::start(ANN) else { return };
    let socket = site.service().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    site.take(&socket, 0o600);
    let begun = Instant::now();
    let ran = site.run(&["status"]);
    let took = begun.elapsed();
    let pid = std::process::id();
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(ran.said().contains(&format!("process {pid} listens at {}", socket.display())), "{}", ran.said());
    assert!(ran.said().contains(&format!("ps -fp {pid}")) && ran.said().contains("completed"), "{}", ran.said());
    drop(listener);
}
