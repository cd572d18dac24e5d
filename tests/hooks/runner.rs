//! The runner of hooks, with real programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rollout::hook::{HookSettings, build};
use rollout::model::{DeploymentId, EffectId, Span};
use rollout::os::process;
use rollout::os::program::{Environment, Program};
use rollout::ports::{HookOrder, HookRunner};
use tempfile::TempDir;

use crate::common::{temp_dir, wait_for};

/// A hook that is a script; `$0` is a directory of the test.
fn script(name: &str, script: &str, dir: &Path) -> HookSettings {
    let argv = ["sh", "-c", script, &dir.display().to_string(), "{{ version }}"].map(str::to_owned).to_vec();
    let env = Environment(vec![("OWN".to_owned(), "own value".to_owned())]);
    HookSettings { name: name.to_owned(), program: Program { service: "shop".to_owned(), argv, env } }
}

fn runner(text: &str) -> (Arc<dyn HookRunner>, TempDir) {
    let dir = temp_dir();
    let runner = build(&[script("smoke", text, dir.path())]).unwrap().unwrap();
    (runner, dir)
}

fn order(attempt: u32, timeout: Span) -> HookOrder {
    let facts = [("HOOK", "smoke"), ("AT", "step"), ("VERSION", "v2"), ("PREVIOUS", "v0,v1"), ("INSTANCES", "web-01,web-02")];
    HookOrder {
        effect: EffectId::new(&DeploymentId::new("shop", 7), None, "hook-smoke-1", attempt),
        hook: "smoke".to_owned(),
        timeout,
        facts: facts.map(|(name, value)| (name, value.to_owned())).to_vec(),
    }
}

const PATIENT: Span = Span::from_secs(60);

/// The number in a file that a script writes whole.
async fn number_in(path: &Path) -> i32 {
    wait_for("a script's number", async || fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok()).await
}

#[tokio::test]
async fn only_exit_code_0_is_a_success_and_a_failure_has_its_last_words() {
    let (good, _dir) = runner("echo fine; echo noise >&2");
    assert_eq!(good.run(&order(1, PATIENT)).await, Ok(()));
    let (bad, _dir) = runner("echo fine; echo asking >&2; echo 'no room left' >&2; exit 7");
    assert_eq!(bad.run(&order(1, PATIENT)).await, Err("exit code 7: asking | no room left".to_owned()));
    let (killed, _dir) = runner("kill -9 $$");
    assert_eq!(killed.run(&order(1, PATIENT)).await, Err("signal 9".to_owned()));
    let other = HookOrder { hook: "smokes".to_owned(), ..order(1, PATIENT) };
    assert_eq!(bad.run(&other).await, Err("hook smokes is not in the configuration".to_owned()));
}

#[test]
fn a_program_that_is_not_there_is_found_before_anything_begins() {
    let dir = temp_dir();
    let mut settings = script("smoke", "", dir.path());
    settings.program.argv[0] = "no-such-program".to_owned();
    let why = build(&[settings]).map(drop).unwrap_err();
    assert_eq!(why, "[hooks.smoke] command: no-such-program is in no directory of PATH; install it or write its absolute path");
    assert!(build(&[]).unwrap().is_none());
}

#[tokio::test]
async fn its_environment_says_of_the_deployment_what_is_documented_and_nothing_of_ours() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "something of ours that it must not see");
    let (runner, dir) = runner(r#"env -0 > "$0/env"; echo "$1" > "$0/argument""#);
    runner.run(&order(3, PATIENT)).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("argument")).unwrap(), "v2\n");
    let text = fs::read_to_string(dir.path().join("env")).unwrap();
    let env: BTreeMap<&str, &str> = text.split('\0').filter_map(|line| line.split_once('=')).collect();
    let own: Vec<(&str, &str)> = env.iter().filter(|(name, _)| name.starts_with("ROLLOUT_")).map(|(n, v)| (*n, *v)).collect();
    let expected = [
        ("ROLLOUT_AT", "step"),
        ("ROLLOUT_EFFECT", "shop-7/*/hook-smoke-1/3"),
        ("ROLLOUT_HOOK", "smoke"),
        ("ROLLOUT_INSTANCES", "web-01,web-02"),
        ("ROLLOUT_PREVIOUS", "v0,v1"),
        ("ROLLOUT_VERSION", "v2"),
    ];
    assert_eq!(own, expected);
    assert_eq!(env.get("OWN"), Some(&"own value"));
    let known = rollout::os::program::INHERITED;
    let of_the_shell = ["PWD", "_", "SHLVL", "OLDPWD"];
    let others: Vec<&&str> = env
        .keys()
        .filter(|name| **name != "OWN" && !name.starts_with("ROLLOUT_") && !known.contains(name) && !of_the_shell.contains(name))
        .collect();
    assert_eq!(others, Vec::<&&str>::new());
}

#[tokio::test]
async fn one_that_does_not_end_is_ended_with_all_that_it_started() {
    let (runner, dir) =
        runner(r#"trap "" TERM; sleep 600 & echo $$ > "$0/group"; echo 'still at it' >&2; while :; do sleep 600; done"#);
    let why = runner.run(&order(1, Span::from_millis(1500))).await.unwrap_err();
    assert_eq!(why, "it did not end in time and was stopped: still at it");
    let group = number_in(&dir.path().join("group")).await;
    assert!(!process::group_lives(group), "nothing of it is left");
}

#[tokio::test]
async fn one_that_nobody_waits_for_any_more_leaves_nothing_and_the_next_begins_only_then() {
    // The first ignores SIGTERM; the second says whether the first is there.
    let (runner, dir) = runner(
        r#"if [ -f "$0/first" ]; then
            read -r first < "$0/first"; kill -0 "$first" 2>/dev/null && echo both > "$0/both"; echo 1 > "$0/second"; exit 0
        fi
        trap "" TERM; sleep 600 & echo $$ > "$0/first"; while :; do sleep 600; done"#,
    );
    let first = {
        let runner = runner.clone();
        tokio::spawn(async move { runner.run(&order(1, PATIENT)).await })
    };
    let group = number_in(&dir.path().join("first")).await;
    assert!(process::group_lives(group));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    runner.run(&order(2, PATIENT)).await.unwrap();
    assert!(!process::group_lives(group));
    assert!(dir.path().join("second").exists() && !dir.path().join("both").exists(), "never two at once");
}
