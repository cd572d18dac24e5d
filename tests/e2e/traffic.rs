//! Zero downtime as somebody else's tool sees it: a real HAProxy that never retries, and `hey` beside our own probe.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rollout::demo::world::Lb;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::server;
use crate::fleet::{Fleet, Ran};

/// Requests from outside; they end with the test.
struct Hey(Option<Child>);

impl Drop for Hey {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// With and without connections that are kept.
fn hey(program: &Path, url: &str, keep: bool) -> Hey {
    let mut command = Command::new(program);
    command.args(["-z", "120s", "-q", "20", "-c", "5", "-t", "5"]);
    if !keep {
        command.arg("-disable-keepalive");
    }
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Hey(Some(command.spawn().unwrap()))
}

/// Ends it as Ctrl-C does, and reads its report: statuses with their counts, and errors.
fn report(mut hey: Hey) -> (Vec<(u16, u64)>, String) {
    let hey = hey.0.take().unwrap();
    kill_process(Pid::from_raw(i32::try_from(hey.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let out = Ran::ended(hey).out;
    let statuses = out.lines().filter_map(|line| {
        let (status, rest) = line.trim().strip_prefix('[')?.split_once("]\t")?;
        Some((status.parse().ok()?, rest.split_whitespace().next()?.parse().ok()?))
    });
    let errors = out.split_once("Error distribution:").map(|(_, errors)| errors.trim().to_owned()).unwrap_or_default();
    (statuses.collect(), errors)
}

fn assert_nothing_failed(hey: Hey, what: &str) {
    let (statuses, errors) = report(hey);
    assert_eq!(errors, "", "{what}");
    let total: u64 = statuses.iter().map(|(_, n)| n).sum();
    assert!(total > 100, "{what}: only {total} requests");
    assert!(statuses.iter().all(|(status, _)| *status == 200), "{what}: {statuses:?}");
}

#[test]
fn a_real_haproxy_and_hey_see_no_failure_over_a_deploy_and_a_forced_rollback() {
    let (Some(_), Some(program)) = (server("haproxy"), server("hey")) else { return };
    let fleet = Fleet::start(8, Lb::Haproxy, &["strategy.batch_pause=300ms"]);
    let slow = format!("{}/slow?ms=200", fleet.world.url());
    let fast = format!("{}/", fleet.world.url());
    let load = [(&fast, true), (&fast, false), (&slow, true), (&slow, false)];
    let load: Vec<(String, Hey)> =
        load.iter().map(|(url, keep)| (format!("{url} keep-alive {keep}"), hey(&program, url, *keep))).collect();

    let deployed = fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    assert_eq!((deployed.code, &deployed.summary()["vip"]["failed"]), (Some(0), &Value::from(0)), "{}", deployed.err);

    let deploy = fleet.spawn(&["deploy", "v3", "--yes", "--output", "json"]);
    fleet.until("half of them are updated", |s| s["deployment"] == "demo-2" && s["updated"].as_u64() >= Some(4));
    assert_eq!(fleet.run(&["rollback"]).code, Some(0));
    let back = Ran::ended(deploy);
    let summary = back.summary();
    assert_eq!((back.code, &summary["status"]), (Some(3), &Value::from("rolled_back")), "{summary}");
    assert_eq!(summary["vip"]["failed"], 0);
    assert_eq!(summary["drain"]["connections_cut"], 0);
    for (what, hey) in load {
        assert_nothing_failed(hey, &what);
    }
}
