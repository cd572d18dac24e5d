//! Deployments of the demo's fleet that go through hooks and steps.

use std::fs;

use rollout::os::process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::calm;
use crate::common::temp_dir;
use crate::fleet::{Fleet, Ran};

/// `hooks.NAME` as a script.
fn hook(name: &str, at: &str, script: &str, more: &str) -> String {
    format!("hooks.{name}={{ at = \"{at}\", command = [\"sh\", \"-c\", {}]{more} }}", Value::from(script))
}

fn status_of(ran: &Ran) -> (Option<i32>, String) {
    (ran.code, ran.summary()["status"].as_str().unwrap().to_owned())
}

fn events(fleet: &Fleet, id: &str) -> String {
    fleet.run(&["events", id]).out
}

fn happened(fleet: &Fleet, what: &str) {
    fleet.wait(what, || events(fleet, "demo-1").contains(what).then_some(()));
}

#[test]
fn a_gate_that_fails_before_the_deployment_leaves_everything_untouched() {
    let dir = temp_dir();
    let tries = dir.path().join("tries");
    let script =
        format!("echo $ROLLOUT_ATTEMPT $ROLLOUT_TOTAL $ROLLOUT_STATUS >> {}; echo 'not today' >&2; exit 3", tries.display());
    let ready = hook("ready", "before-deployment", &script, ", retries = 1");
    let fleet = calm(3, &[&ready]);
    let ran = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!(status_of(&ran), (Some(3), "rolled_back".to_owned()), "{}{}", ran.out, ran.err);
    let summary = ran.summary();
    assert_eq!((&summary["exposed"], &summary["untouched"], &summary["max_out"]), (&0.into(), &3.into(), &0.into()), "{summary}");
    assert_eq!(fs::read_to_string(&tries).unwrap(), "1 3 in_progress\n2 3 in_progress\n");
    let said = events(&fleet, "demo-1");
    assert!(said.contains("hook ready failed: exit code 3: not today") && !said.contains("batch 1"), "{said}");
    let log = fs::read_to_string(fleet.service_dir().join("engine.log")).unwrap();
    assert!(log.contains("ready: stderr: not today"), "{log}");
}

#[test]
fn a_best_effort_that_fails_is_listed_and_decides_nothing_and_a_cleanup_always_comes() {
    let dir = temp_dir();
    let path = dir.path().display();
    let notify = hook(
        "notify",
        "after-batch",
        &format!("echo $ROLLOUT_ROUND $ROLLOUT_UPDATED $ROLLOUT_INSTANCES >> {path}/notify; exit 1"),
        ", class = \"best-effort\"",
    );
    let told = hook("told", "before-batch", &format!("echo $ROLLOUT_ROUND $ROLLOUT_INSTANCES >> {path}/told"), "");
    let tidy = hook("tidy", "after-deployment", &format!("echo $ROLLOUT_STATUS >> {path}/tidy"), ", class = \"cleanup\"");
    let fleet = calm(4, &[&notify, &told, &tidy]);
    let ran = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!(status_of(&ran), (Some(0), "completed".to_owned()), "{}{}", ran.out, ran.err);
    assert_eq!(fs::read_to_string(dir.path().join("notify")).unwrap(), "1 2 web-01,web-02\n2 4 web-03,web-04\n");
    assert_eq!(fs::read_to_string(dir.path().join("told")).unwrap(), "1 web-01,web-02\n2 web-03,web-04\n");
    assert!(events(&fleet, "demo-1").contains("hook notify failed: exit code 1"));

    let bad = fleet.run(&["deploy", "v3-bad", "--yes", "--output", "json"]);
    assert_eq!(status_of(&bad), (Some(3), "rolled_back".to_owned()), "{}", bad.err);
    let tidied = fs::read_to_string(dir.path().join("tidy")).unwrap();
    assert_eq!(tidied.lines().collect::<Vec<_>>(), ["in_progress", "rolling_back"]);
}

const STEPS: &str = "strategy.steps=[{ instances = 1 }, { pause = \"promote\" }, { instances = \"50%\" }, { run = \"smoke\" }, \
                     { pause = \"promote\" }]";

#[test]
fn a_canary_waits_at_its_steps_until_it_is_promoted() {
    let dir = temp_dir();
    let smoke = hook("smoke", "step", &format!("echo $ROLLOUT_UPDATED > {}/smoke", dir.path().display()), "");
    let fleet = calm(4, &["strategy.kind=canary", STEPS, &smoke]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    happened(&fleet, "step 2 started");
    assert_eq!(fleet.status().unwrap()["updated"], 1);
    let promoted = fleet.run(&["promote"]);
    assert_eq!(promoted.code, Some(0), "{}", promoted.err);
    happened(&fleet, "step 5 started");
    assert_eq!(fleet.status().unwrap()["updated"], 2);
    assert_eq!(fs::read_to_string(dir.path().join("smoke")).unwrap(), "2\n");
    assert_eq!(fleet.run(&["promote", "--full"]).code, Some(0));
    fleet.until("it ends", |status| status["status"] == "completed");
    let summary = fleet.run(&["show", "demo-1", "--output", "json"]).summary();
    assert_eq!((&summary["updated"], &summary["vip"]["failed"]), (&4.into(), &0.into()), "{summary}");

    // Without its steps, which is said.
    let rolling = fleet.run(&["deploy", "v3", "--yes", "--output", "json", "--strategy", "rolling"]);
    assert_eq!(status_of(&rolling), (Some(0), "completed".to_owned()), "{}", rolling.err);
    assert!(rolling.err.contains("does not go through strategy.steps"), "{}", rolling.err);
    assert!(!events(&fleet, "demo-2").contains("step "), "{}", events(&fleet, "demo-2"));
}

#[test]
fn promote_full_at_the_first_step_goes_on_by_the_rolling_rules() {
    let smoke = hook("smoke", "step", "exit 9", "");
    let fleet = calm(4, &["strategy.kind=canary", STEPS, &smoke]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    happened(&fleet, "step 2 started");
    assert_eq!(fleet.run(&["promote", "--full"]).code, Some(0));
    fleet.until("it ends", |status| status["status"] == "completed");
    assert!(!events(&fleet, "demo-1").contains("step 3"), "all further steps are done with");
}

#[test]
fn a_gate_that_fails_in_the_middle_takes_the_canary_back() {
    let dir = temp_dir();
    let note = |name: &str| format!("echo $ROLLOUT_AT >> {}/{name}", dir.path().display());
    let smoke = hook("smoke", "step", "echo 'login fails' >&2; exit 1", "");
    let (before, after) =
        (hook("flag", "before-rollback", &note("order"), ""), hook("told", "after-rollback", &note("order"), ""));
    let steps = "strategy.steps=[{ instances = 1 }, { run = \"smoke\" }]";
    let fleet = calm(4, &["strategy.kind=canary", steps, &smoke, &before, &after]);
    let ran = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!(status_of(&ran), (Some(3), "rolled_back".to_owned()), "{}{}", ran.out, ran.err);
    let summary = ran.summary();
    assert_eq!(
        (&summary["exposed"], &summary["rolled_back"], &summary["vip"]["failed"]),
        (&1.into(), &1.into(), &0.into()),
        "{summary}"
    );
    assert!(events(&fleet, "demo-1").contains("hook smoke failed: exit code 1: login fails"));
    assert_eq!(fs::read_to_string(dir.path().join("order")).unwrap(), "before-rollback\nafter-rollback\n");
}

#[test]
fn a_rollback_after_the_end_has_the_hooks_of_a_rollback_and_no_steps() {
    let dir = temp_dir();
    let note = format!("echo $ROLLOUT_AT >> {}/order", dir.path().display());
    let hooks = [
        hook("ready", "before-deployment", &note, ""),
        hook("flag", "before-rollback", &note, ""),
        hook("told", "after-rollback", &note, ""),
    ];
    let steps = "strategy.steps=[{ instances = 1 }, { pause = \"100ms\" }]";
    let sets = ["strategy.kind=canary", steps, &hooks[0], &hooks[1], &hooks[2]];
    let fleet = calm(3, &sets);
    assert_eq!(status_of(&fleet.run(&["deploy", "v2", "--yes", "--output", "json"])), (Some(0), "completed".to_owned()));
    let back = fleet.run(&["rollback", "--yes", "--output", "json"]);
    assert_eq!(status_of(&back), (Some(0), "completed".to_owned()), "{}", back.err);
    let order = fs::read_to_string(dir.path().join("order")).unwrap();
    assert_eq!(order, "before-deployment\nbefore-rollback\nafter-rollback\n");
    assert!(!events(&fleet, "demo-2").contains("step "), "{}", events(&fleet, "demo-2"));
}

/// The first run outlives its engine; whoever takes over ends it before the hook runs again.
#[test]
fn a_hook_of_a_dead_engine_never_runs_twice_at_once() {
    let dir = temp_dir();
    let path = dir.path().display();
    let script = format!(
        "if [ -f {path}/first ]; then read -r pid < {path}/first; grep -q '^State:.[RSDT]' /proc/$pid/status 2>/dev/null && echo both > {path}/both; \
         echo $ROLLOUT_EFFECT >> {path}/effects; exit 0; fi; \
         echo $ROLLOUT_EFFECT >> {path}/effects; echo $$ > {path}/first; exec sleep 600"
    );
    let migrate = hook("migrate", "before-deployment", &script, "");
    let fleet = calm(3, &[&migrate]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let first = dir.path().join("first");
    let pid: i32 = fleet.wait("the hook runs", || fs::read_to_string(&first).ok()?.strip_suffix('\n')?.parse().ok());
    let engine = fleet.engine_pid().unwrap();
    kill_process(Pid::from_raw(engine).unwrap(), Signal::KILL).unwrap();
    fleet.wait("the engine is gone", || process::stat(engine).is_none_or(|stat| stat.zombie).then_some(()));
    assert!(process::group_lives(pid), "it outlives its engine");

    let recovered = fleet.run(&["recover", "--continue", "--output", "json"]);
    assert_eq!(status_of(&recovered), (Some(0), "completed".to_owned()), "{}", recovered.err);
    assert!(!process::group_lives(pid), "it was ended");
    assert!(!dir.path().join("both").exists(), "before the hook ran again");
    let effects = fs::read_to_string(dir.path().join("effects")).unwrap();
    let effects: Vec<&str> = effects.lines().collect();
    assert_eq!(effects, ["demo-1/*/hook-migrate-1/1"; 2], "the same order, so that it can tell");
}

#[test]
fn a_freeze_refuses_a_deployment_until_it_is_overridden_by_name_and_never_a_rollback() {
    let freeze = "freeze.long={ from = \"2020-01-01\", to = \"2199-12-31\", reason = \"stock-taking\" }";
    let open = "windows={ open = [\"Mon-Sun 00:00-24:00\"], timezone = \"UTC\" }";
    let fleet = calm(2, &["strategy.max_unavailable=1", open, freeze]);
    let refused = fleet.run(&["deploy", "v2", "--yes"]);
    assert_eq!(refused.code, Some(6), "{}", refused.err);
    let why = "freeze long (stock-taking) ends on Wed 2200-01-01 00:00 UTC";
    assert!(refused.err.contains(why) && refused.err.contains("--override-freeze long"), "{}", refused.err);
    assert!(fleet.run(&["history"]).out.contains("no deployment yet"), "nothing is journalled");
    let plan = fleet.run(&["plan", "v2", "--output", "json"]).lines().remove(0);
    assert!(plan["warnings"].to_string().contains(why), "{plan}");
    let slip = fleet.run(&["deploy", "v2", "--yes", "--override-freeze", "lung"]);
    assert_eq!(slip.code, Some(2), "{}", slip.err);
    assert!(slip.err.contains("lung is not there; there are: windows, long"), "{}", slip.err);

    let given = ["deploy", "v2", "--yes", "--output", "json", "--override-freeze", "long", "--reason", "the till is down"];
    let ran = fleet.run(&given);
    assert_eq!(status_of(&ran), (Some(0), "completed".to_owned()), "{}{}", ran.out, ran.err);
    assert!(events(&fleet, "demo-1").contains("overrides long: the till is down"), "{}", events(&fleet, "demo-1"));
    let back = fleet.run(&["rollback", "--yes", "--output", "json"]);
    assert_eq!(status_of(&back), (Some(0), "completed".to_owned()), "{}", back.err);
}

#[test]
fn what_a_hook_prints_is_in_the_engines_log_harmless_bounded_and_without_secrets() {
    const SECRET: &str = "s3cret-token-77";
    let script = "printf 'red \\033[31m text\\n\\n'; echo \"with $TOKEN\" >&2; i=0; \
                  while [ $i -lt 300 ]; do i=$((i+1)); echo \"line $i.\"; done; exit 1";
    let noisy = hook("noisy", "before-deployment", script, ", class = \"best-effort\", env = { TOKEN = \"${HOOK_TOKEN}\" }");
    let fleet = calm(2, &["strategy.max_unavailable=1"]);
    let mut deploy = fleet.command(&["--set", &noisy, "deploy", "v2", "--yes", "--output", "json"]);
    let ran = Ran::of(deploy.env("HOOK_TOKEN", SECRET).output().unwrap());
    assert_eq!(status_of(&ran), (Some(0), "completed".to_owned()), "{}{}", ran.out, ran.err);
    let log = fs::read_to_string(fleet.service_dir().join("engine.log")).unwrap();
    assert!(log.contains("hook: noisy: red \\u{1b}[31m text"), "{log}");
    assert!(log.contains("noisy: stderr: with ${HOOK_TOKEN}"), "{log}");
    assert!(log.contains("line 199.") && !log.contains("line 200.") && log.contains("noisy: and more"), "{log}");
    assert!(events(&fleet, "demo-1").contains("hook noisy failed: exit code 1: with ${HOOK_TOKEN}"));
    let journal = fs::read(fleet.service_dir().join("journal.sqlite3")).unwrap();
    for shown in [log, ran.out, ran.err, String::from_utf8_lossy(&journal).into_owned()] {
        assert!(!shown.contains(SECRET));
    }
}
