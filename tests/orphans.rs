//! What an engine left running when it was killed is found again, by its process or by its mark, and ended as a group. A
//! test binary of its own: the place of the files is the whole process's.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::time::Duration;

use rollout::os::child::{self, Run};
use rollout::os::process::{self, ProcessId};
use rollout::os::running;
use tokio::time::Instant;

mod common;

use common::wait_for;

#[tokio::test]
async fn what_a_killed_engine_left_running_is_ended_as_a_group() {
    let dir = tempfile::tempdir().unwrap();
    running::keep_in(dir.path()).unwrap();
    assert_eq!(running::left(dir.path()), []);
    let argv: Vec<String> = ["sh", "-c", "trap '' TERM; sleep 60 & while :; do sleep 0.02; done"].map(str::to_owned).into();
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH".to_owned(), path)];
    let deadline = Instant::now() + Duration::from_mins(1);
    let limits = Run { about: "web-01", argv: &argv, env: &env, deadline, grace: Duration::from_secs(1), may_leave: false };
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
    std::fs::write(&file, b"{ half").unwrap();
    assert_eq!(running::left(dir.path()).pop().unwrap().process, Some(found.clone()));
    // What is written of another process with the same pid is not believed.
    let other = running::Running { process: Some(ProcessId { start_time: 1, ..found.clone() }), ..left.clone() };
    let unmarked = running::Running { mark: "0".to_owned(), ..other };
    let stale = dir.path().join("0.json");
    std::fs::write(&stale, serde_json::to_vec(&unmarked).unwrap()).unwrap();

    let _killed_and_never_dropped = std::mem::ManuallyDrop::new(program);
    let ended = running::end_left(dir.path(), Duration::from_millis(200)).await.unwrap();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(!process::group_lives(found.pid), "all of it, although it ignores SIGTERM");
    assert!(!file.exists() && !stale.exists());
    assert_eq!(running::end_left(dir.path(), Duration::ZERO).await.unwrap(), []);
}
