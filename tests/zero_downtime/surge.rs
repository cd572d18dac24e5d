//! Extra capacity: more instances than usual while the fleet is updated, never fewer.

use rollout::model::Rotation;
use serde_json::Value;

use crate::balancers::Balancer;
use crate::fleets::Kind;
use crate::load::Load;
use crate::site::Site;

const NEVER_FEWER: &str = "max_unavailable = 0\nmax_surge = 1\nmin_serving = 3\n";

/// HAProxy begins with everybody up, and nothing runs there.
fn spare_is_down(site: &Site) {
    site.wait("the spare is down", async || (site.rotation("web-4").await == Rotation::Down).then_some(()));
}

/// A spare that the balancer knows by its own configuration, down while nothing runs there.
#[test]
fn a_spare_is_started_first_and_stopped_last_and_never_fewer_serve() {
    let Some(site) = Site::start(Kind::Process, Balancer::Haproxy, (3, 1), NEVER_FEWER) else { return };
    spare_is_down(&site);
    let load = Load::start(&site);
    let plan = site.run(&["plan", "v2"]);
    assert!(plan.out.contains("web-4"), "{}", plan.out);
    let deployed = site.run(&["deploy", "v2", "--yes", "--output", "json"]);
    let summary = deployed.summary();
    assert_eq!((deployed.code, &summary["status"]), (Some(0), &Value::from("completed")), "{}", deployed.out);
    assert_eq!((&summary["total"], &summary["updated"], &summary["exposed"]), (&3.into(), &3.into(), &4.into()), "{summary}");
    assert_eq!((&summary["vip"]["failed"], &summary["max_out"]), (&0.into(), &1.into()), "{summary}");
    assert!(!site.runs("web-4"), "it is stopped");
    site.wait("the spare gets nothing", async || (site.rotation("web-4").await == Rotation::Draining).then_some(()));
    // The same once more, from where that left the spare; this time nobody asks for JSON.
    let again = site.run(&["deploy", "v3", "--yes"]);
    assert_eq!(again.code, Some(0), "{}{}", again.out, again.err);
    load.ended();
}

/// Nobody of the fleet is touched by a version that does not even come up.
#[test]
fn a_bad_version_ends_at_the_spare() {
    let Some(site) = Site::start(Kind::Process, Balancer::Haproxy, (3, 1), NEVER_FEWER) else { return };
    spare_is_down(&site);
    let deployed = site.run(&["deploy", "v2", "--yes", "--output", "json", "--set", "update.start=[\"false\"]"]);
    let summary = deployed.summary();
    assert_eq!((deployed.code, &summary["status"]), (Some(3), &Value::from("rolled_back")), "{summary} {}", deployed.err);
    assert_eq!((&summary["exposed"], &summary["untouched"]), (&1.into(), &3.into()), "{summary}");
    assert!(!site.runs("web-4"));
}
