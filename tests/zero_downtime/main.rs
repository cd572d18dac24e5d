//! Zero downtime as strangers see it: every balancer with every kind of fleet, requests by a tool that is not ours, with and
//! without connections that are kept, slow ones among them, and websockets. A deployment and a forced rollback; nothing fails.
//!
//! Imports: the program's own binary, its drivers to begin with. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says why")]
#![expect(clippy::indexing_slicing, reason = "what a summary lacks is null, and fails")]
#![expect(clippy::print_stdout, reason = "what was measured is worth reading")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;
#[path = "../e2e/hey.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod hey;

mod balancers;
#[path = "../docker/site.rs"]
#[allow(clippy::allow_attributes, reason = "shared with docker, which uses more of it")]
#[allow(dead_code, reason = "shared with docker, which uses more of it")]
mod daemon;
mod fleets;
mod instance;
mod load;
mod site;
#[path = "../remote/sshd.rs"]
#[allow(clippy::allow_attributes, reason = "shared with remote, which uses more of it")]
#[allow(dead_code, reason = "shared with remote, which uses more of it")]
mod sshd;
mod surge;

use balancers::Balancer;
use fleets::Kind;
use load::Load;
use serde_json::Value;
use site::Site;

/// Two at a time, half of them updated, then all of them back.
fn deploys_and_rolls_back(kind: Kind, balancer: Balancer) {
    let Some(site) = Site::start(kind, balancer, (6, 0), "") else { return };
    let load = Load::start(&site);
    let deployed = site.run(&["deploy", "v2", "--yes", "--output", "json"]);
    let summary = deployed.summary();
    assert_eq!((deployed.code, &summary["status"]), (Some(0), &Value::from("completed")), "{summary} {}", deployed.err);

    let deploy = site.spawn(&["deploy", "v3", "--yes", "--output", "json"]);
    site.until("half of them are updated", |s| s["deployment"] == "shop-2" && s["updated"].as_u64() >= Some(3));
    assert_eq!(site.run(&["rollback"]).code, Some(0));
    let back = fleet::Ran::ended(deploy);
    let rolled = back.summary();
    assert_eq!((back.code, &rolled["status"]), (Some(3), &Value::from("rolled_back")), "{rolled} {}", back.err);
    for summary in [&summary, &rolled] {
        // A reload closes kept connections. Whoever sends at that very moment asks again, as `hey` does; our probe counts it.
        let excused = if balancer.reloads() { site.kept_connections_lost() } else { 0 };
        assert!(summary["vip"]["failed"].as_u64() <= Some(excused), "{summary}\n{}", site.log());
        assert_eq!(summary["drain"]["connections_cut"], 0, "{summary}");
        assert!(summary["max_out"].as_u64() <= Some(2), "{summary}");
    }
    let seen = load.ended();
    println!("{kind:?} behind {balancer:?}: {seen}");
}

#[test]
fn processes_behind_haproxy() {
    deploys_and_rolls_back(Kind::Process, Balancer::Haproxy);
}

#[test]
fn processes_behind_nginx() {
    deploys_and_rolls_back(Kind::Process, Balancer::Nginx);
}

#[test]
fn processes_behind_caddy() {
    deploys_and_rolls_back(Kind::Process, Balancer::Caddy);
}

#[test]
fn hosts_over_ssh_behind_haproxy() {
    deploys_and_rolls_back(Kind::Ssh, Balancer::Haproxy);
}

#[test]
fn hosts_over_ssh_behind_nginx() {
    deploys_and_rolls_back(Kind::Ssh, Balancer::Nginx);
}

#[test]
fn hosts_over_ssh_behind_caddy() {
    deploys_and_rolls_back(Kind::Ssh, Balancer::Caddy);
}

#[test]
fn containers_behind_haproxy() {
    deploys_and_rolls_back(Kind::Docker, Balancer::Haproxy);
}

#[test]
fn containers_behind_nginx() {
    deploys_and_rolls_back(Kind::Docker, Balancer::Nginx);
}

#[test]
fn containers_behind_caddy() {
    deploys_and_rolls_back(Kind::Docker, Balancer::Caddy);
}
