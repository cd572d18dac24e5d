//! What a deployment does when its nginx or its Caddy fails it: the engine with the real balancer.
//!
//! Imports: the shared parts, model. May not: sleep without a condition.

use std::fs;
use std::sync::Arc;

use rollout::model::Span;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::caddy::Caddy;
use crate::common::wait_for;
use crate::engine::{Hosts, Passes, Setting, instance, policy};
use crate::nginx::Nginx;
use crate::world::{Front, Instances, World};

/// web-01 and web-02, one after the other.
fn setting(world: &impl World, hosts: Arc<Hosts>) -> Setting {
    let targets = vec![world.instances().target(1), world.instances().target(2)];
    let mut policy = policy();
    policy.health.deadline = Span::from_secs(20);
    policy.drain.timeout = Span::from_secs(20);
    Setting { hosts, traffic: world.driver(), prober: Arc::new(Passes), targets, policy }
}

/// F2: killed before anything is out, while an instance drains, and while it is updated: nothing more is touched, it is said,
/// and all goes on when the balancer is back.
async fn f02_in_each_phase(mut world: impl World) {
    for phase in ["pending", "draining", "updating"] {
        let hosts = Hosts::gated();
        let setting = setting(&world, Arc::clone(&hosts));
        let held = if phase == "draining" { Some(held(&world).await) } else { None };
        let engine = setting.begin().await;
        if phase != "pending" {
            engine.word("web-01", phase).await;
        }
        world.kill();
        drop(held);
        hosts.gate.add_permits(2);
        if phase == "updating" {
            engine.trouble("web-01", "").await;
            let second = engine.until("a state", |now| Some(instance(&now.state, "web-02").shown().word())).await;
            assert_eq!(second, "pending", "nothing else is touched");
        }
        world.start().await;
        let ended = engine.end().await;
        assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]), "{phase}");
        assert_eq!(hosts.updates(), ["web-01 v2", "web-02 v2"], "{phase}");
        assert!(ended.state.max_out <= 1, "{phase}");
    }
}

/// A request that web-01 is at work on until it is dropped.
async fn held(world: &impl World) -> UnixStream {
    for other in [2, 3] {
        world.driver().take_out(&world.instances().target(other)).await.expect("out");
    }
    let Front::Unix(front) = world.front() else { panic!("a socket") };
    let mut stream = UnixStream::connect(front).await.expect("the front");
    stream.write_all(b"GET /held HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await.expect("a request");
    let first = world.instances().target(1);
    wait_for("it is held", async || (world.driver().sessions(&first).await == Ok(Some(1))).then_some(())).await;
    for other in [2, 3] {
        world.driver().admit(&world.instances().target(other)).await.expect("in");
    }
    stream
}

#[tokio::test]
async fn f02_an_nginx_that_goes_away_holds_the_deployment_until_it_is_back() {
    let Some(world) = Nginx::new(Instances::start().await).await else { return };
    f02_in_each_phase(world).await;
}

#[tokio::test]
async fn f02_a_caddy_that_goes_away_holds_the_deployment_until_it_is_back() {
    let Some(world) = Caddy::new(Instances::start().await).await else { return };
    f02_in_each_phase(world).await;
}

/// F8: nginx refuses its configuration: the instance is not updated, nginx's words stand at it; mended, it goes on.
#[tokio::test]
async fn f08_an_instance_whose_drain_nginx_refuses_is_not_updated() {
    let Some(world) = Nginx::new(Instances::start().await).await else { return };
    let (hosts, main) = (Hosts::ready(|_, _| ()), world.dir.path().join("nginx.conf"));
    let good = fs::read_to_string(&main).expect("the file");
    fs::write(&main, format!("bogus on;\n{good}")).expect("the file");
    let engine = setting(&world, Arc::clone(&hosts)).begin().await;
    let text = engine.trouble("web-01", "refused the change").await;
    assert!(text.contains("unknown directive \"bogus\""), "{text}");
    assert_eq!(hosts.updates(), Vec::<String>::new());
    fs::write(&main, good).expect("the file");
    let ended = engine.end().await;
    assert_eq!((ended.status(), hosts.updates().len()), ("completed", 2));
}

/// F10: nginx refuses to put it back: it stays out, is listed as ours, nothing else is touched; mended, it goes on.
#[tokio::test]
async fn f10_an_instance_that_nginx_does_not_put_back_stays_out_until_it_does() {
    let Some(world) = Nginx::new(Instances::start().await).await else { return };
    let (hosts, main) = (Hosts::gated(), world.dir.path().join("nginx.conf"));
    let engine = setting(&world, Arc::clone(&hosts)).begin().await;
    engine.word("web-01", "updating").await;
    let good = fs::read_to_string(&main).expect("the file");
    fs::write(&main, format!("bogus on;\n{good}")).expect("the file");
    hosts.gate.add_permits(2);
    engine.trouble("web-01", "refused the change").await;
    let (out, second) = engine
        .until("a state", |now| Some((instance(&now.state, "web-01").ours, instance(&now.state, "web-02").shown().word())))
        .await;
    assert!(out && second == "pending", "{second}");
    fs::write(&main, good).expect("the file");
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]));
}
