//! What the programs that the engine starts are given, and nothing else: environment, files, limits; and what its own process
//! keeps of whoever started it.
//!
//! Imports: the program. May not: sleep.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod common;
#[path = "outside/servers.rs"]
mod servers;
#[path = "outside/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::fs;

use common::{free_port, wait_for};
use rollout::model::Span;
use rustix::process::{Pid, Signal, kill_process};
use servers::{Server, response};
use site::{Site, words};

/// Starts a program as a script of an operator might: with a file of a lock, another umask and core files.
const STARTER: &str = "umask 027; ulimit -S -c 64; exec 9>\"$0\"; exec \"$@\"";
/// Writes down what it is given; then it is an update that hangs.
const SHOWS: &str = "cd \"$0\" || exit 99; ls /proc/self/fd > fds; cat \"/proc/$$/limits\" > limits; umask > umask; echo \"$OLDPWD\" > cwd; echo $$ > pid; \
    env > env.new; mv env.new env; exec sleep 600";
/// The standard ones, and the listing itself.
const FILES: [&str; 4] = ["0", "1", "2", "3"];
/// With what a configuration reads and what it does not.
const ENVIRONMENT: [(&str, &str); 4] =
    [("SHOP_TOKEN", "given-to-commands"), ("VIP_KEY", "of-rollout-alone"), ("COLOUR", "blue"), ("ROLLOUT_LOG", "info")];

/// A service of one instance behind nothing, which `update` is to start.
fn configure(site: &Site, (driver, update): (&str, &str), (instance, vip): (u16, u16)) {
    let at = site.at();
    let text = format!(
        r#"[service]
name = "shop"
[fleet]
driver = "{driver}"
dir = "{at}/fleet"
[[fleet.instance]]
id = "web-01"
host = "127.0.0.1"
port = {instance}
[update]
{update}
env = {{ TOKEN = "${{SHOP_TOKEN}}" }}
[traffic]
driver = "none"
[health]
probe = "tcp"
before = "first"
[drain]
timeout = "0s"
[vip]
url = "http://127.0.0.1:{vip}/?key=${{VIP_KEY}}"
rate = 5
[journal]
dir = "{at}/journal"
"#
    );
    site.write("rollout.toml", text);
}

/// Deploys it, and waits for what the update shows of itself.
async fn shown(site: &Site) -> String {
    let mut starter = tokio::process::Command::new("sh");
    let deploy = site.rollout(&["deploy", "v2", "--yes", "--detach", "--allow-outage", "--no-rollback-for", "web-01"]);
    let deploy = deploy.as_std();
    starter.args(["-c", STARTER]).arg(site.path("lock")).arg(deploy.get_program()).args(deploy.get_args());
    starter.env_clear().envs(deploy.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let begun = starter.current_dir(site.path("")).output().await.expect("the program");
    assert_eq!(begun.status.code(), Some(0), "{}", words(&begun));
    wait_for("the update", async || Some(site.read("env")).filter(|env| !env.is_empty())).await
}

/// The names of the variables.
fn names(env: &str) -> BTreeSet<&str> {
    env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect()
}

/// The soft and the hard limit of core files.
fn core_limit(limits: &str) -> Vec<&str> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a limit");
    line.split_whitespace().take(2).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_its_standard_files_and_the_documented_environment() {
    let site = Site::new(ENVIRONMENT);
    let instance = Server::start(|_| response("200 OK", b"", b"")).await;
    let at = site.at();
    let update = format!("command = ['sh', '-c', '{SHOWS}', '{at}']\nobserve = ['echo', 'v1']\nstop_timeout = \"100ms\"");
    configure(&site, ("command", &update), (instance.port, instance.port));
    let env = shown(&site).await;
    assert_eq!(site.read("fds").split_whitespace().collect::<Vec<_>>(), FILES);
    assert_eq!(site.read("umask"), "0027", "that of whoever deploys");
    assert_eq!(site.read("cwd"), at, "that of whoever deploys");
    assert!(env.contains("TOKEN=given-to-commands"), "{env}");
    let ours = ["TOKEN", "ROLLOUT_SERVICE", "ROLLOUT_INSTANCE", "ROLLOUT_EFFECT", "ROLLOUT_COMMAND", "PWD", "OLDPWD", "_"];
    let strange: Vec<&str> =
        names(&env).into_iter().filter(|name| !ours.contains(name) && !rollout::os::program::INHERITED.contains(name)).collect();
    assert!(strange.is_empty() && !env.contains("COLOUR") && !env.contains("of-rollout-alone"), "{strange:?}");
    // Its core file may be as long as for whoever deploys: 64 blocks of 512 or 1024 bytes. The engine, which has all
    // secrets in its memory, writes none; and no lock is held by it.
    let engine = site.engine().await;
    let limit = |limits: &str| core_limit(limits).first().and_then(|soft| soft.parse::<u64>().ok());
    assert!(matches!(limit(&site.read("limits")), Some(32_768 | 65_536)), "{}", site.read("limits"));
    let limits = fs::read_to_string(format!("/proc/{engine}/limits")).expect("its limits");
    assert_eq!(limit(&limits), Some(1), "{limits}");
    let open = fs::read_dir(format!("/proc/{engine}/fd")).expect("its files").flatten();
    let open: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    assert!(open.len() > 3 && !open.contains(&site.path("lock")), "{open:?}");
    site.kill_engine().await;
    // What it left running.
    kill_process(Pid::from_raw(site.read("pid").parse().expect("a pid")).expect("a process"), Signal::KILL).expect("ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_the_fleet_has_the_environment_without_the_secrets_of_others() {
    let site = Site::new(ENVIRONMENT);
    let vip = Server::start(|_| response("200 OK", b"", b"")).await;
    let update = format!("start = ['sh', '-c', '{SHOWS}', '{}']", site.at());
    configure(&site, ("process", &update), (free_port(), vip.port));
    let env = shown(&site).await;
    let files = site.read("fds");
    let limits = site.read("limits");
    site.kill_engine().await;
    let trouble = rollout::fleet::stop_recorded(&site.path("fleet"), Span::ZERO).await;
    assert!(trouble.is_empty(), "{trouble:?}");
    assert!(env.contains("TOKEN=given-to-commands") && env.contains("COLOUR=blue"), "{env}");
    assert!(!names(&env).contains("SHOP_TOKEN") && !env.contains("VIP_KEY") && !env.contains("of-rollout-alone"), "{env}");
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), FILES);
    assert_ne!(core_limit(&limits).first(), Some(&"1"), "{limits}");
}
