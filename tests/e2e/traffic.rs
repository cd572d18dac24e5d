//! Zero downtime as somebody else's tool sees it: a real HAProxy that never retries, and `hey` beside our own probe.

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::common::server;
use crate::fleet::{Fleet, Ran};
use crate::hey::{Hey, assert_nothing_failed, hey};

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
