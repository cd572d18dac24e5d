//! The command driver against real processes; the numbers in names are those of the catalogue of faults.
//!
//! Imports: fleet, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{temp_dir, wait_for};
use rollout::fleet::{self, CommandSettings, Settings, Step};
use rollout::model::{DeploymentId, EffectId, InstanceId, Observation, Span, Target, Version};
use rollout::os::extract::Extract;
use rollout::os::process;
use rollout::os::program::Environment;
use rollout::ports::{FleetDriver, FleetError, UpdateOrder};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// A directory that stands for a host: `VERSION` is what runs there, `log` what was done.
struct Host {
    dir: TempDir,
}

impl Host {
    /// With `v1` running.
    fn new() -> Self {
        let host = Self { dir: temp_dir() };
        fs::write(host.file("VERSION"), "v1\n").expect("a version");
        host
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// A script that runs in the host's directory; `$1` is the version, `$2` the version before.
    fn script(&self, script: &str) -> Vec<String> {
        let dir = self.dir.path().display();
        let script = format!("cd {dir} || exit 99; {script}");
        ["sh", "-c", &script, "{{ instance.id }}", "{{ version }}"].map(str::to_owned).to_vec()
    }

    /// Observes by the file `VERSION`; one step that runs `script`.
    fn settings(&self, script: &str) -> CommandSettings {
        CommandSettings {
            service: "shop".to_owned(),
            observe: vec!["cat".to_owned(), self.file("VERSION").display().to_string()],
            version: Extract::FirstLine,
            not_running: Vec::new(),
            steps: vec![Step { name: "command", argv: self.script(script) }],
            env: Environment::default(),
            timeout: Span::from_secs(8),
            stop_timeout: Span::from_millis(200),
            observe_timeout: Span::from_secs(2),
            idempotent: false,
            dir: self.dir.path().to_owned(),
        }
    }

    fn driver(&self, script: &str) -> Arc<dyn FleetDriver> {
        build(self.settings(script))
    }

    /// Waits until a script has written its pid into the file.
    async fn pid(&self, name: &str) -> i32 {
        wait_for(name, async || self.read(name).trim().parse().ok()).await
    }
}

fn build(settings: CommandSettings) -> Arc<dyn FleetDriver> {
    fleet::build(&Settings::Command(settings)).expect("settings that work")
}

fn target() -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port: 8080, zone: None, labels: std::collections::BTreeMap::default() }
}

fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

fn order(to: &str, attempt: u32) -> UpdateOrder {
    let (target, deployment) = (target(), DeploymentId::new("shop", 1));
    let effect = EffectId::new(&deployment, Some(&target.id), "update", attempt);
    UpdateOrder { effect, target, version: version(to), previous: Some(version("v1")) }
}

async fn failed(driver: &Arc<dyn FleetDriver>, order: &UpdateOrder) -> String {
    match driver.update(order).await {
        Err(FleetError::Failed(why)) => why,
        other => panic!("not failed: {other:?}"),
    }
}

async fn unknown(driver: &Arc<dyn FleetDriver>, order: &UpdateOrder) -> String {
    match driver.update(order).await {
        Err(FleetError::Unknown(why)) => why,
        other => panic!("not unknown: {other:?}"),
    }
}

async fn gone(pid: i32) {
    wait_for("a process to end", async || process::stat(pid).is_none_or(|stat| stat.zombie).then_some(())).await;
}

#[tokio::test]
async fn an_update_runs_its_steps_in_order_and_shows() {
    let host = Host::new();
    let mut settings = host.settings("echo command $1 >> log; echo $1 > VERSION");
    settings.steps.insert(0, Step { name: "stop", argv: host.script("echo stop from {{ previous }} >> log") });
    settings.steps.push(Step { name: "start", argv: host.script("echo start $0 >> log") });
    let driver = build(settings);
    let before = driver.observe(&target()).await.expect("an observation");
    assert_eq!(before, Observation { version: Some(version("v1")), running: None, ended: None });
    driver.update(&order("v2", 1)).await.expect("an update");
    assert_eq!(host.read("log"), "stop from v1\ncommand v2\nstart web-01\n");
    assert_eq!(driver.observe(&target()).await.expect("an observation").version, Some(version("v2")));
    // The same order once more: it is done.
    driver.update(&order("v2", 1)).await.expect("nothing to do");
    assert_eq!(host.read("log").lines().count(), 3);
    // Another order to the same version is a restart: all of it.
    driver.update(&order("v2", 2)).await.expect("a restart");
    assert_eq!(host.read("log").lines().count(), 6);
}

#[tokio::test]
async fn arguments_are_never_split_and_the_environment_is_what_was_given() {
    let host = Host::new();
    let mut settings = host.settings("env > env; printf '%s' \"$2\" > argument; echo $1 > VERSION");
    settings.env = Environment(vec![("TOKEN".to_owned(), "s3cret value".to_owned())]);
    settings.steps.iter_mut().for_each(|step| step.argv.push("$(touch hacked); \"{{ service }}\" 'x'".to_owned()));
    assert!(!format!("{settings:?}").contains("s3cret"));
    let driver = build(settings);
    driver.update(&order("v2", 1)).await.expect("an update");
    assert_eq!(host.read("argument"), "$(touch hacked); \"shop\" 'x'");
    assert!(!host.file("hacked").exists());
    let env = host.read("env");
    let has = |line: &str| env.lines().any(|l| l == line);
    assert!(has("TOKEN=s3cret value") && has("ROLLOUT_INSTANCE=web-01") && has("ROLLOUT_SERVICE=shop"), "{env}");
    assert!(env.lines().any(|l| l.starts_with("PATH=")) && env.lines().any(|l| l.starts_with("ROLLOUT_EFFECT=")), "{env}");
    assert!(!env.contains("CARGO"), "what was not asked for is not passed on: {env}");
}

#[tokio::test]
async fn observe_reads_lines_json_and_regex_and_what_does_not_run() {
    let host = Host::new();
    let observing = |script: &str, version: Extract| {
        let observe = host.script(script).into_iter().take(3).collect();
        build(CommandSettings { observe, version, not_running: vec![3], ..host.settings("true") })
    };
    let seen = async |script: &str, extract: Extract| observing(script, extract).observe(&target()).await;
    let running = |text: &str| Ok(Observation { version: Some(version(text)), running: Some(true), ended: None });
    assert_eq!(seen("echo; echo ' v7 '; echo more", Extract::FirstLine).await, running("v7"));
    assert_eq!(seen("echo '{\"image\": {\"tag\": \"v8\"}}'", Extract::Json("/image/tag".to_owned())).await, running("v8"));
    assert_eq!(seen("echo image: shop:v9", Extract::Regex("shop:(\\S+)".to_owned())).await, running("v9"));
    let stopped = seen("echo no such container >&2; exit 3", Extract::FirstLine).await.expect("an observation");
    assert_eq!((stopped.version, stopped.running), (None, Some(false)));
    assert_eq!(stopped.ended.as_deref(), Some("exit code 3: no such container"));
    for (script, extract, part) in [
        ("exit 1", Extract::FirstLine, "exit code 1"),
        ("true", Extract::FirstLine, "no version: the answer is empty"),
        ("echo 'a b'", Extract::FirstLine, "\"a b\" is no version"),
        ("echo {}", Extract::Json("/x".to_owned()), "leads nowhere"),
        ("exit 255", Extract::FirstLine, "exit code 255"),
    ] {
        match seen(script, extract).await {
            Err(FleetError::Unreachable(why)) => assert!(why.contains(part) && why.contains("web-01"), "{script}: {why}"),
            other => panic!("{script}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn d01_a_hanging_command_is_stopped_and_its_outcome_unknown() {
    let host = Host::new();
    let short = |script: &str| {
        let (timeout, observe_timeout) = (Span::from_millis(2000), Span::from_millis(500));
        build(CommandSettings { timeout, observe_timeout, ..host.settings(script) })
    };
    // It ends when told to, and its last words are heard.
    let began = Instant::now();
    let why = unknown(&short("trap 'echo cleaning up; exit 0' TERM; echo $$ > pid; sleep 999 & wait"), &order("v2", 1)).await;
    assert!(why.contains("did not end in time") && why.contains("cleaning up"), "{why}");
    gone(host.pid("pid").await).await;
    // It does not listen: killed, with what it started.
    let why =
        unknown(&short("trap '' TERM; sleep 998 & echo $! > child; echo $$ > pid2; wait; sleep 997"), &order("v2", 2)).await;
    assert!(why.contains("did not end in time"), "{why}");
    gone(host.pid("pid2").await).await;
    gone(host.pid("child").await).await;
    assert!(began.elapsed() < Duration::from_secs(8));
    // Where the version stays, observing cannot decide.
    let mut restart = order("v1", 3);
    restart.previous = Some(version("v1"));
    let why = failed(&short("sleep 999"), &restart).await;
    assert!(why.contains("unknown, as the version stays v1"), "{why}");
}

#[tokio::test]
async fn d02_a_failing_command_fails_with_its_code_and_last_lines() {
    let host = Host::new();
    for code in [1, 2, 7, 126, 127] {
        let script = format!("echo fetching; echo one >&2; echo 'no space left' >&2; exit {code}");
        let why = failed(&host.driver(&script), &order("v2", code)).await;
        assert_eq!(why, format!("command of web-01: exit code {code}: one | no space left"));
    }
    let why = failed(&host.driver("echo only stdout; exit 9"), &order("v2", 99)).await;
    assert_eq!(why, "command of web-01: exit code 9: only stdout");
}

#[tokio::test]
async fn d02_nothing_follows_a_step_that_failed() {
    let host = Host::new();
    let mut settings = host.settings("echo command >> log");
    settings.steps.insert(0, Step { name: "stop", argv: host.script("echo stop >> log; exit 5") });
    let why = failed(&build(settings), &order("v2", 1)).await;
    assert!(why.starts_with("stop of web-01: exit code 5"), "{why}");
    assert_eq!(host.read("log"), "stop\n");
}

#[tokio::test]
async fn d03_a_lost_connection_is_unknown_and_only_idempotent_steps_run_again() {
    let host = Host::new();
    let dies = "echo x >> tries; echo lost >&2; exit 255";
    let why = unknown(&host.driver(dies), &order("v2", 1)).await;
    assert!(why.contains("exit code 255: lost"), "{why}");
    assert_eq!(host.read("tries"), "x\n", "not declared idempotent: once");
    let why = unknown(&host.driver("echo $1 > VERSION; kill -9 $$"), &order("v2", 2)).await;
    assert!(why.contains("signal 9"), "{why}");
    assert_eq!(host.read("VERSION"), "v2\n", "it did its work before: observing will show");

    let idempotent = |script: &str| build(CommandSettings { idempotent: true, ..host.settings(script) });
    let third = "echo x >> tries; [ $(wc -l < tries) -ge 4 ] || exit 255; echo $1 > VERSION";
    idempotent(third).update(&order("v3", 3)).await.expect("the third try");
    assert_eq!(host.read("tries").lines().count(), 4);
    fs::write(host.file("tries"), "").expect("a file");
    unknown(&idempotent(dies), &order("v4", 4)).await;
    assert_eq!(host.read("tries").lines().count(), 3, "a bounded number of tries");
    // A failure that was said is none of the transport's.
    fs::write(host.file("tries"), "").expect("a file");
    failed(&idempotent("echo x >> tries; exit 1"), &order("v4", 5)).await;
    assert_eq!(host.read("tries").lines().count(), 1);
}

#[tokio::test]
async fn d03_an_unknown_outcome_before_the_last_step_is_a_failure() {
    let host = Host::new();
    let mut settings = host.settings("echo command >> log");
    settings.steps.insert(0, Step { name: "stop", argv: host.script("exit 255") });
    let why = failed(&build(settings), &order("v2", 1)).await;
    assert!(why.contains("what it did is unknown, and more steps were to follow"), "{why}");
    assert_eq!(host.read("log"), "");
}

#[tokio::test]
async fn d04_an_interrupted_update_goes_on_behind_what_is_done() {
    let host = Host::new();
    let steps = |idempotent: bool| {
        let mut settings =
            host.settings("echo command >> log; if [ -e hang ]; then echo $$ > pid; sleep 999; fi; echo $1 > VERSION");
        settings.steps.insert(0, Step { name: "stop", argv: host.script("echo stop >> log") });
        build(CommandSettings { idempotent, ..settings })
    };
    fs::write(host.file("hang"), "").expect("a file");
    let order = order("v2", 1);
    {
        let driver = steps(true);
        let mut update = driver.update(&order);
        let pid = tokio::select! {
            done = &mut update => panic!("{done:?}"),
            pid = host.pid("pid") => pid,
        };
        // The engine dies here.
        drop(update);
        gone(pid).await;
    }
    fs::remove_file(host.file("hang")).expect("a file");
    // Another engine: what was done is not repeated; the step in doubt is not, unless that does no harm.
    let why = unknown(&steps(false), &order).await;
    assert!(why.contains("command was interrupted when the engine ended"), "{why}");
    assert_eq!(host.read("log"), "stop\ncommand\n");
    steps(true).update(&order).await.expect("the rest");
    assert_eq!(host.read("log"), "stop\ncommand\ncommand\n");
    assert_eq!(host.read("VERSION"), "v2\n");
}

#[tokio::test]
async fn d05_endless_binary_output_is_read_capped_and_made_harmless() {
    let host = Host::new();
    let lots = "head -c 50000000 /dev/zero; printf 'not \\033[2Jharmless \\377\\376' >&2; exit 4";
    let why = failed(&host.driver(lots), &order("v2", 1)).await;
    assert!(why.starts_with("command of web-01: exit code 4: not \\u{1b}[2Jharmless "), "{why}");
    let no_newline = failed(&host.driver("head -c 3000000 /dev/zero | tr '\\0' x; exit 4"), &order("v2", 2)).await;
    assert!(no_newline.len() < 300 && no_newline.ends_with('…'), "{no_newline}");
    // An endless one ends at its deadline.
    let (timeout, observe_timeout) = (Span::from_millis(1200), Span::from_millis(200));
    let endless = build(CommandSettings { timeout, observe_timeout, ..host.settings("exec cat /dev/urandom") });
    unknown(&endless, &order("v2", 3)).await;
    // An answer that is cut off is no answer.
    let observe = host.script("printf '{\"version\": \"v1\", \"x\": \"'; head -c 100000 /dev/zero | tr '\\0' x; echo '\"}'");
    let version = Extract::Json("/version".to_owned());
    let big = build(CommandSettings { observe: observe.into_iter().take(3).collect(), version, ..host.settings("true") });
    let why = big.observe(&target()).await.expect_err("too long").to_string();
    assert!(why.contains("over 64 KiB"), "{why}");
}

#[tokio::test]
async fn d06_grandchild_holds_stdout() {
    let host = Host::new();
    let began = Instant::now();
    // Started by a step that succeeded: it may be the service itself, and goes on.
    let driver = host.driver("sleep 30 & echo $! > service; echo $1 > VERSION");
    timeout(Duration::from_secs(25), driver.update(&order("v2", 1))).await.expect("no hang").expect("an update");
    let service = host.pid("service").await;
    assert!(process::stat(service).is_some_and(|stat| !stat.zombie), "what runs the service stays");
    rustix::process::kill_process(rustix::process::Pid::from_raw(service).expect("a pid"), rustix::process::Signal::KILL)
        .expect("ours");
    // Left behind by one that failed: swept.
    let why = failed(&host.driver("sleep 31 & echo $! > left; exit 3"), &order("v2", 2)).await;
    assert!(why.contains("exit code 3"), "{why}");
    gone(host.pid("left").await).await;
    // Left behind by a look: swept, and the answer counts.
    let observe = host.script("sleep 32 & echo $! > look; echo v5").into_iter().take(3).collect();
    let looking = build(CommandSettings { observe, ..host.settings("true") });
    assert_eq!(looking.observe(&target()).await.expect("an answer").version, Some(version("v5")));
    gone(host.pid("look").await).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn d07_grandchild_escapes_its_group() {
    let host = Host::new();
    let driver =
        host.driver("setsid sh -c 'echo $$ > escaped; exec sleep 33' & while [ ! -s escaped ]; do sleep 0.01; done; exit 6");
    let why = timeout(Duration::from_secs(25), failed(&driver, &order("v2", 1))).await.expect("a bounded wait");
    assert!(why.contains("exit code 6"), "{why}");
    let escaped = rustix::process::Pid::from_raw(host.pid("escaped").await).expect("a pid");
    rustix::process::kill_process(escaped, rustix::process::Signal::KILL).expect("it escaped and goes on");
}

/// `timeout` makes a group of its own, and so does a shell with job control: what they run ends with the step all the same.
#[tokio::test]
async fn what_runs_in_a_group_of_its_own_ends_with_a_step_that_ran_out_of_time() {
    let host = Host::new();
    for (number, script) in (1..).zip([
        "timeout 60 sh -c 'echo $$ > inner; sleep 50; echo late > VERSION'; true",
        "set -m; (echo 0 > x; exec sh -c 'trap \"\" TERM; echo $$ > inner; while :; do sleep 0.1; done') & wait",
    ]) {
        let (timeout, observe_timeout) = (Span::from_millis(1500), Span::from_millis(200));
        let driver = build(CommandSettings { timeout, observe_timeout, ..host.settings(script) });
        let why = unknown(&driver, &order("v2", number)).await;
        assert!(why.contains("did not end in time"), "{why}");
        gone(host.pid("inner").await).await;
        fs::remove_file(host.file("inner")).expect("a file");
    }
}

#[tokio::test]
async fn d08_a_missing_program_is_found_before_anything_is_touched() {
    let host = Host::new();
    let refused = |argv: &[&str]| {
        let argv = argv.iter().map(|element| (*element).to_owned()).collect();
        let steps = vec![Step { name: "start", argv }];
        fleet::build(&Settings::Command(CommandSettings { steps, ..host.settings("true") })).err().expect("refused")
    };
    let why = refused(&["no-such-program-at-all"]);
    assert_eq!(why, "[update] start: no-such-program-at-all is in no directory of PATH; install it or write its absolute path");
    assert!(refused(&["/no/such/program"]).contains("is not there"));
    let plain = host.file("VERSION").display().to_string();
    assert!(refused(&[&plain]).contains("this user cannot execute it"), "a file without the x bit");
    assert!(refused(&["sh", "{{ verison }}"]).contains("verison"));
    let observe = vec!["no-such-program-at-all".to_owned()];
    let why = fleet::build(&Settings::Command(CommandSettings { observe, ..host.settings("true") })).err().expect("refused");
    assert!(why.starts_with("[update] observe: "), "{why}");
}

#[tokio::test]
async fn d08_what_cannot_be_started_fails_cleanly() {
    let host = Host::new();
    // More than the kernel takes.
    let mut settings = host.settings("true");
    settings.steps.iter_mut().for_each(|step| step.argv.push("x".repeat(3_000_000)));
    let why = failed(&build(settings), &order("v2", 1)).await;
    assert!(why.contains("cannot start sh") && why.contains("rgument list too long"), "{why}");
    // It was there when it was checked.
    let program = host.file("vanishing");
    fs::copy("/bin/true", &program).expect("a program");
    let steps = vec![Step { name: "start", argv: vec![program.display().to_string()] }];
    let driver = build(CommandSettings { steps, ..host.settings("true") });
    fs::remove_file(&program).expect("gone");
    let why = failed(&driver, &order("v2", 2)).await;
    assert!(why.contains("cannot start") && why.contains("No such file"), "{why}");
}

#[tokio::test]
async fn d09_success_without_effect_is_a_failure() {
    let host = Host::new();
    let why = failed(&host.driver("true"), &order("v2", 1)).await;
    assert_eq!(why, "every step of web-01 succeeded, but observe shows: still v1, not v2");
    let observe = host.script("exit 3").into_iter().take(3).collect();
    let stopped = build(CommandSettings { observe, not_running: vec![3], ..host.settings("true") });
    assert!(failed(&stopped, &order("v2", 2)).await.contains("observe shows: nothing runs"));
    fs::remove_file(host.file("VERSION")).expect("a file");
    let why = unknown(&host.driver("true"), &order("v2", 3)).await;
    assert!(why.contains("observe of web-01: exit code 1: cat:"), "{why}");
}

#[tokio::test]
async fn d13_a_prompt_fails_fast_and_is_shown() {
    let host = Host::new();
    let began = Instant::now();
    let asks = "printf 'root@web-01 password: ' >&2; read -r answer || exit 5; echo $1 > VERSION";
    let why = failed(&host.driver(asks), &order("v2", 1)).await;
    assert_eq!(why, "command of web-01: exit code 5: root@web-01 password:");
    assert!(began.elapsed() < host.settings("true").timeout.to_std(), "it did not wait for an answer");
    assert_eq!(host.read("VERSION"), "v1\n");
}

#[tokio::test]
async fn dropping_an_update_leaves_no_process_behind() {
    let host = Host::new();
    let driver = host.driver("trap '' TERM; sleep 996 & echo $! > child; echo $$ > pid; wait");
    let order = order("v2", 1);
    let mut update = driver.update(&order);
    let (pid, child) = tokio::select! {
        done = &mut update => panic!("{done:?}"),
        pids = async { (host.pid("pid").await, host.pid("child").await) } => pids,
    };
    drop(update);
    gone(pid).await;
    gone(child).await;
}
