//! What an engine left running when it was killed is found again, by its process or by its mark, and ended as a group. A
//! test binary of its own: the place of the files is the whole process's. A test that needs another place, or another user,
//! runs itself again in a process of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says why")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rollout::os::child::{self, OUTPUT_BYTES_MAX, Run};
use rollout::os::process::{self, ProcessId};
use rollout::os::running::{self, Running};
use rustix::process::Signal;
use tokio::time::Instant;

mod common;

use common::{copy_program, wait_for};

#[tokio::test]
async fn what_a_killed_engine_left_running_is_ended_as_a_group() {
    let dir = tempfile::tempdir().unwrap();
    running::keep_in(dir.path()).unwrap();
    assert_eq!(running::left(dir.path()), []);
    let argv: Vec<String> = ["sh", "-c", "trap '' TERM; sleep 60 & while :; do sleep 0.02; done"].map(str::to_owned).into();
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH".to_owned(), path)];
    let deadline = Instant::now() + Duration::from_mins(1);
    let limits = Run {
        about: "web-01",
        argv: &argv,
        env: &env,
        deadline,
        grace: Duration::from_secs(1),
        may_leave: false,
        changes: true,
        room: OUTPUT_BYTES_MAX,
    };
    let mut program = Box::pin(child::run(limits));
    let begun = wait_for("the program's file", async || running::left(dir.path()).pop());
    let left = tokio::select! {
        ended = &mut program => panic!("it ended: {ended:?}"),
        left = begun => left,
    };
    assert_eq!(left.words, "sh web-01", "no arguments: they may hold secrets");
    let found = left.process.clone().unwrap();
    assert!(process::alive(&found));

    // The engine died before it wrote down which process it is: the mark in the environment finds it.
    let file = dir.path().join(format!("{}.json", left.mark));
    fs::write(&file, b"{ half").unwrap();
    assert_eq!(running::left(dir.path()).pop().unwrap().process, Some(found.clone()));
    // What is written of another process with the same pid is not believed.
    let other = Running { process: Some(ProcessId { start_time: 1, ..found.clone() }), ..left.clone() };
    let unmarked = Running { mark: "0".to_owned(), ..other };
    let stale = dir.path().join("0.json");
    fs::write(&stale, serde_json::to_vec(&unmarked).unwrap()).unwrap();

    let _killed_and_never_dropped = std::mem::ManuallyDrop::new(program);
    let ended = running::end_left(dir.path(), Duration::from_millis(200)).await.unwrap();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(!process::group_lives(found.pid), "all of it, although it ignores SIGTERM");
    assert!(!file.exists() && !stale.exists());
    assert_eq!(running::end_left(dir.path(), Duration::ZERO).await.unwrap(), []);
}

/// Set where a test runs itself again.
const AGAIN: &str = "ORPHANS_AGAIN";

fn again() -> Option<PathBuf> {
    std::env::var_os(AGAIN).map(PathBuf::from)
}

/// Runs the test of this name again, in this directory.
fn run_again(mut command: Command, name: &str, dir: &Path) {
    let ran = command.args(["--exact", name, "--nocapture"]).env(AGAIN, dir).current_dir("/").output().unwrap();
    assert!(ran.status.success(), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
}

fn this() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// What a program sees: the names of the files in `dir`, then its own mark in brackets.
async fn seen(dir: &Path, changes: bool) -> String {
    let script = format!("ls {}; echo \"[$ROLLOUT_COMMAND]\"", dir.display());
    let argv = ["sh".to_owned(), "-c".to_owned(), script];
    let env = [("PATH".to_owned(), std::env::var("PATH").unwrap())];
    let deadline = Instant::now() + Duration::from_mins(1);
    let run = Run {
        about: "web-01",
        argv: &argv,
        env: &env,
        deadline,
        grace: Duration::ZERO,
        may_leave: false,
        changes,
        room: OUTPUT_BYTES_MAX,
    };
    String::from_utf8(child::run(run).await.unwrap().stdout).unwrap()
}

fn mark_of(shown: &str) -> &str {
    shown.trim_end().rsplit_once('[').unwrap().1.trim_end_matches(']')
}

#[tokio::test]
async fn only_what_changes_something_has_a_file() {
    let Some(dir) = again() else {
        let dir = tempfile::tempdir().unwrap();
        return run_again(Command::new(this()), "only_what_changes_something_has_a_file", dir.path());
    };
    running::keep_in(&dir).unwrap();
    assert_eq!(seen(&dir, false).await, "[]\n");
    let shown = seen(&dir, true).await;
    let mark = mark_of(&shown);
    assert_eq!(shown, format!("{mark}.json\n[{mark}]\n"));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "it goes with its program");
}

/// No file may become longer than nothing, as on a full disk: the empty one and the mark are enough to find the program.
#[tokio::test]
async fn on_a_full_disk_a_program_still_has_its_mark() {
    let Some(dir) = again() else {
        let dir = tempfile::tempdir().unwrap();
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]).arg(this());
        return run_again(limited, "on_a_full_disk_a_program_still_has_its_mark", dir.path());
    };
    running::keep_in(&dir).unwrap();
    let shown = seen(&dir, true).await;
    let mark = mark_of(&shown);
    assert!(!mark.is_empty() && shown.starts_with(&format!("{mark}.json\n")), "{shown}");
    fs::remove_dir(&dir).unwrap();
    assert_ne!(mark_of(&seen(&dir, true).await), "", "not even an empty file");
}

/// A group of which only a child of the leader is left, and the file of that leader.
struct Headless {
    dir: tempfile::TempDir,
    leader: ProcessId,
}

impl Headless {
    fn new(may_leave: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 300 & read line"]).env(running::MARK, "m").process_group(0);
        let mut sh = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let leader = process::identify(sh.id().try_into().unwrap()).unwrap();
        sh.stdin.take().unwrap().write_all(b"\n").unwrap();
        sh.wait().unwrap();
        assert!(process::group_lives(leader.pid) && !process::alive(&leader));
        let this = Self { dir, leader };
        this.write(Some(this.leader.clone()), may_leave);
        this
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("m.json")
    }

    fn write(&self, process: Option<ProcessId>, may_leave: bool) {
        let running = Running { mark: "m".to_owned(), words: "sh web-01".to_owned(), process, may_leave };
        fs::write(self.file(), serde_json::to_vec(&running).unwrap()).unwrap();
    }
}

impl Drop for Headless {
    fn drop(&mut self) {
        process::signal_group(self.leader.pid, Signal::KILL).ok();
    }
}

#[tokio::test]
async fn a_service_is_not_ended_with_the_step_that_started_it() {
    let started = Headless::new(true);
    assert_eq!(running::end_left(started.dir.path(), Duration::ZERO).await.unwrap(), []);
    assert!(process::group_lives(started.leader.pid) && !started.file().exists());

    let left = Headless::new(false);
    assert_eq!(running::end_left(left.dir.path(), Duration::ZERO).await.unwrap().len(), 1);
    assert!(!process::group_lives(left.leader.pid) && !left.file().exists());
}

/// Nobody.
const OTHER: u32 = 65_534;

/// What another member of a shared directory left cannot be read or ended; it is not forgotten either.
#[tokio::test]
async fn what_another_user_left_is_refused_and_kept() {
    const NAME: &str = "what_another_user_left_is_refused_and_kept";
    if let Some(dir) = again() {
        let refused = running::end_left(&dir, Duration::ZERO).await.unwrap_err();
        let stored: Running = serde_json::from_slice(&fs::read(dir.join("m.json")).unwrap()).unwrap();
        let expected = match &stored.process {
            Some(process) => format!("sh web-01 (process {}), which the engine before left running, cannot", process.pid),
            None => "sh web-01, which an engine of root (uid 0) was about to run".to_owned(),
        };
        assert!(refused.starts_with(&expected), "{refused}");
        return assert!(stored.process.is_some() || refused.ends_with(&format!("remove {}/m.json", dir.display())), "{refused}");
    }
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can be two users");
    }
    let left = Headless::new(false);
    // A directory that a group shares, with the other user in it.
    chown(left.dir.path(), None, Some(OTHER)).unwrap();
    fs::set_permissions(left.dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    // Where this binary is, another user may not look.
    let copy = left.dir.path().join("orphans");
    copy_program(&this(), &copy);
    for process in [Some(left.leader.clone()), None] {
        left.write(process, false);
        chown(left.file(), None, Some(OTHER)).unwrap();
        fs::set_permissions(left.file(), fs::Permissions::from_mode(0o660)).unwrap();
        let mut other = Command::new(&copy);
        other.uid(OTHER).gid(OTHER);
        run_again(other, NAME, left.dir.path());
        assert!(left.file().exists() && process::group_lives(left.leader.pid));
    }
}

/// Each of them ends only once all were told to: one after the other, they would be killed.
#[tokio::test]
async fn all_that_is_left_is_ended_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let mut programs = Vec::new();
    for n in 1..=3 {
        let wait = "until [ -e told1 ] && [ -e told2 ] && [ -e told3 ]; do sleep 0.02; done";
        let script = format!("trap ': > told{n}; {wait}; : > ended{n}; exit' TERM; : > ready{n}; while :; do sleep 0.02; done");
        let mut command = Command::new("sh");
        let child = command.args(["-c", &script]).current_dir(here).process_group(0).spawn().unwrap();
        let process = process::identify(child.id().try_into().unwrap());
        let running = Running { mark: n.to_string(), words: "sh".to_owned(), process, may_leave: false };
        fs::write(here.join(format!("{n}.json")), serde_json::to_vec(&running).unwrap()).unwrap();
        wait_for("it is ready", async || here.join(format!("ready{n}")).exists().then_some(())).await;
        programs.push(child);
    }
    assert_eq!(running::end_left(here, Duration::from_secs(20)).await.unwrap().len(), 3);
    for (n, mut program) in (1..).zip(programs) {
        program.wait().unwrap();
        assert!(here.join(format!("ended{n}")).exists(), "{n} was killed");
    }
}

/// An engine that ends while a program is still in its grace, or running, leaves neither it nor its file.
#[tokio::test]
async fn at_the_end_of_an_engine_nothing_runs_any_more() {
    let Some(dir) = again() else {
        let dir = tempfile::tempdir().unwrap();
        return run_again(Command::new(this()), "at_the_end_of_an_engine_nothing_runs_any_more", dir.path());
    };
    running::keep_in(&dir).unwrap();
    let argv: Vec<String> = ["sh", "-c", "trap '' TERM; while :; do sleep 0.02; done"].map(str::to_owned).into();
    let env = [("PATH".to_owned(), std::env::var("PATH").unwrap())];
    let (deadline, grace) = (Instant::now() + Duration::from_mins(5), Duration::from_mins(5));
    let run =
        Run { about: "web-01", argv: &argv, env: &env, deadline, grace, may_leave: false, changes: true, room: OUTPUT_BYTES_MAX };
    let begun = wait_for("both files", async || Some(running::left(&dir)).filter(|left| left.len() == 2));
    let (mut given_up, mut kept) = (Box::pin(child::run(run)), Box::pin(child::run(run)));
    let left = tokio::select! {
        _ = &mut given_up => panic!("it ended"),
        _ = &mut kept => panic!("it ended"),
        left = begun => left,
    };
    drop(given_up);
    child::end_all(Duration::ZERO).await;
    for running in left {
        assert!(!process::group_lives(running.process.unwrap().pid));
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "no file either");
}
