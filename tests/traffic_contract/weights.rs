//! Shares of the traffic: what a weight is worth in real requests, and what was served.
//!
//! Imports: the shared parts, traffic, model. May not: sleep without a condition.

use std::collections::BTreeMap;
use std::time::Duration;

use rollout::model::{InstanceId, Rotation, Served, Target};
use rollout::ports::TrafficError;
use rollout::traffic::{self, HaproxySettings, Settings};
use tokio::time::Instant;

use crate::common::wait_for;
use crate::demo::Demo;
use crate::haproxy::Haproxy;
use crate::nginx::Nginx;
use crate::world::{Instances, World, ask, counts, rotation, until};

/// A balancer whose servers somebody can give a weight.
pub(crate) trait Weighs: World {
    /// Somebody else gives web-02 the weight 0.
    async fn without_weight(&self);
}

impl Weighs for Haproxy {
    async fn without_weight(&self) {
        self.command("set server shop/web-02 weight 0").await.expect("HAProxy answers");
    }
}

impl Weighs for Demo {
    async fn without_weight(&self) {
        self.command("set server shop/web-02 weight 0").await.expect("it answers");
    }
}

fn fleet(world: &impl World) -> Vec<Target> {
    (1..=3).map(|number| world.instances().target(number)).collect()
}

fn percents(of: &[(&str, u16)]) -> BTreeMap<InstanceId, u16> {
    of.iter().map(|(id, percent)| (InstanceId::new(id).expect("an id"), *percent)).collect()
}

/// Orders the weights until they are confirmed.
async fn weigh(world: &impl World, of: &[(&str, u16)]) {
    let (fleet, of) = (fleet(world), percents(of));
    wait_for("weights", async || world.driver().weigh(&fleet, &of).await.ok()).await;
}

async fn all_serve(world: &impl World) {
    for number in 1..=3 {
        until(world, number, Rotation::Serving).await;
    }
}

/// Each gets its share of a thousand requests, within two requests.
async fn share(world: &impl World, weights: [u32; 3]) {
    let sum: u32 = weights.iter().sum();
    let rounds = 1000_u32.div_ceil(sum);
    let counts = counts(world.front(), sum * rounds).await;
    for (count, weight) in counts.iter().zip(weights) {
        assert!(count.abs_diff(weight * rounds) <= 2, "{counts:?} for {weights:?} times {rounds}");
    }
}

/// Parts of a weight of 1, less and more than all of it, and back.
pub(crate) async fn a_weight_is_a_share_of_the_requests(world: impl World) {
    all_serve(&world).await;
    assert!(world.driver().weighs());
    assert_eq!(world.driver().check_weights().await, Vec::<String>::new());
    weigh(&world, &[("web-01", 22)]).await;
    share(&world, [11, 50, 50]).await;
    weigh(&world, &[("web-01", 22)]).await;
    share(&world, [11, 50, 50]).await;
    weigh(&world, &[("web-01", 1), ("web-03", 1)]).await;
    share(&world, [1, 100, 1]).await;
    weigh(&world, &[("web-02", 9900)]).await;
    share(&world, [1, 99, 1]).await;
    weigh(&world, &[]).await;
    share(&world, [1, 1, 1]).await;
    weigh(&world, &[]).await;
}

/// Weights and drains do not undo each other.
pub(crate) async fn weights_hold_while_one_is_out(world: impl World) {
    all_serve(&world).await;
    let first = world.instances().target(1);
    world.driver().take_out(&first).await.expect("out");
    weigh(&world, &[("web-01", 50), ("web-02", 50)]).await;
    assert_eq!(rotation(&world, 1).await, Some(Rotation::Draining));
    share(&world, [0, 1, 2]).await;
    wait_for("in", async || world.driver().admit(&first).await.ok()).await;
    share(&world, [1, 1, 2]).await;
    weigh(&world, &[]).await;
    share(&world, [1, 1, 1]).await;
}

/// Who gave a server the weight 0 took it out, and must put it back.
pub(crate) async fn who_was_taken_out_by_its_weight_stays_out(world: impl Weighs) {
    all_serve(&world).await;
    world.without_weight().await;
    for of in [&[("web-01", 50), ("web-02", 50)][..], &[]] {
        weigh(&world, of).await;
        assert_eq!(rotation(&world, 2).await, Some(Rotation::Draining));
        share(&world, if of.is_empty() { [1, 0, 1] } else { [1, 0, 2] }).await;
    }
}

async fn served(world: &impl World) -> [Served; 3] {
    let served = world.driver().served(&fleet(world)).await.expect("counters");
    [1, 2, 3].map(|number| served[&world.instances().target(number).id])
}

/// Requests, errors and requests without an answer are counted for whom they went to; so is the time.
pub(crate) async fn what_was_served_is_what_was_sent(world: impl Weighs) {
    all_serve(&world).await;
    let before = served(&world).await;
    weigh(&world, &[("web-01", 50)]).await;
    let sent = counts(world.front(), 500).await;
    for number in [2, 3] {
        world.driver().take_out(&world.instances().target(number)).await.expect("out");
    }
    for _ in 0..7 {
        assert_eq!(ask(world.front(), "/500").await, "500");
    }
    for _ in 0..3 {
        assert_eq!(ask(world.front(), "/closed").await, "502");
    }
    // What is over for the client may still be counted by the balancer.
    let after = wait_for("the last request is counted", async || {
        let after = served(&world).await;
        (after[0].requests - before[0].requests == u64::from(sent[0]) + 10).then_some(after)
    })
    .await;
    let more = [0, 1, 2].map(|at| (after[at].requests - before[at].requests, after[at].errors - before[at].errors));
    assert_eq!(more, [(u64::from(sent[0]) + 10, 10), (u64::from(sent[1]), 0), (u64::from(sent[2]), 0)]);
    assert!(after.iter().all(|served| served.response_ms.is_some_and(|mean| mean < 1000)), "{after:?}");
    let unknown = world.instances().target(4);
    assert_eq!(world.driver().served(std::slice::from_ref(&unknown)).await, Ok(BTreeMap::new()));
}

async fn haproxy() -> Option<Haproxy> {
    let world = Haproxy::new(Instances::start().await).await?;
    all_serve(&world).await;
    Some(world)
}

fn refused(result: Result<(), TrafficError>) -> String {
    match result {
        Err(TrafficError::Refused(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// "backend shop at … balances by leastconn, where a weight is no share of the requests": nothing is ordered, and all is well
/// where nothing is to be put back.
#[tokio::test]
async fn where_a_weight_is_no_share_it_is_refused() {
    let Some(mut world) = haproxy().await else { return };
    let mut before = "roundrobin";
    for algorithm in ["static-rr", "source", "leastconn", "first", "uri\n  hash-type consistent"] {
        world.reconfigure(&format!("balance {before}"), &format!("balance {algorithm}")).await;
        before = algorithm;
        let (driver, fleet) = (world.driver(), fleet(&world));
        let text = refused(driver.weigh(&fleet, &percents(&[("web-01", 50)])).await);
        let name = algorithm.split('\n').next().expect("a name");
        assert!(text.contains(&format!("balances by {name}, where a weight is no share")), "{text}");
        assert!(text.contains("use steps with `instances` instead of `weight`, or `balance roundrobin`"), "{text}");
        assert_eq!(driver.check_weights().await, [text]);
        assert_eq!(world.weights().await, ["1", "1", "1"]);
        assert_eq!(driver.weigh(&fleet, &BTreeMap::new()).await, Ok(()));
    }
}

/// With `balance random` a share is met on average.
#[tokio::test]
async fn random_goes_by_weight_on_average() {
    let Some(mut world) = haproxy().await else { return };
    world.reconfigure("balance roundrobin", "balance random(1)").await;
    all_serve(&world).await;
    weigh(&world, &[("web-01", 10)]).await;
    let [first, ..] = counts(world.front(), 2100).await;
    // 100 are due; eight times the standard deviation to either side.
    assert!((20..=180).contains(&first), "{first} of 2100 for a share of 1 in 21");
}

/// A reload forgets all weights; ordering again gives them again, and a count goes on.
#[tokio::test]
async fn a_reload_forgets_the_weights_and_asking_again_gives_them_again() {
    let Some(mut world) = haproxy().await else { return };
    let (driver, fleet) = (world.driver(), fleet(&world));
    let of = percents(&[("web-01", 22)]);
    driver.weigh(&fleet, &of).await.expect("weights");
    counts(world.front(), 300).await;
    let sum = |served: &BTreeMap<InstanceId, Served>| served.values().map(|served| served.requests).sum::<u64>();
    let before = wait_for("all are counted", async || driver.served(&fleet).await.ok().filter(|served| sum(served) >= 300)).await;
    world.reload().await;
    assert_eq!(world.weights().await, ["1", "1", "1"]);
    driver.weigh(&fleet, &of).await.expect("weights");
    assert_eq!(world.weights().await, ["11", "50", "50"]);
    all_serve(&world).await;
    share(&world, [11, 50, 50]).await;
    let after = driver.served(&fleet).await.expect("counters");
    assert!(before.iter().all(|(id, served)| after[id].requests > served.requests), "{before:?} {after:?}");
    assert!(sum(&after) - sum(&before) < 1300, "and nothing is counted twice: {before:?} {after:?}");
}

/// Every balancer gets the weights; one that is gone is named, and the other has them all the same. What they served adds up.
#[tokio::test]
async fn every_balancer_gets_the_weights() {
    let (Some(world), Some(mut other)) = (haproxy().await, haproxy().await) else { return };
    let mut settings = world.settings();
    settings.sockets.extend(other.settings().sockets);
    let driver = traffic::build(&Settings::Haproxy(settings)).expect("settings that work");
    let fleet = fleet(&world);
    driver.weigh(&fleet, &percents(&[("web-01", 50)])).await.expect("weights");
    assert_eq!([world.weights().await, other.weights().await], [["1", "2", "2"], ["1", "2", "2"]]);
    share(&world, [1, 2, 2]).await;
    share(&other, [1, 2, 2]).await;
    let sum = async || Some(driver.served(&fleet).await.ok()?.values().map(|served| served.requests).sum::<u64>());
    wait_for("all are counted", async || (sum().await? >= 2000).then_some(())).await;

    other.kill();
    let error = driver.weigh(&fleet, &percents(&[("web-01", 10)])).await.expect_err("one is gone");
    let name = other.dir.path().display().to_string();
    assert!(matches!(&error, TrafficError::Unreachable(text) if text.contains(&name)), "{error:?}");
    assert_eq!(world.weights().await, ["1", "10", "10"]);
}

/// Weights of the configuration are what a share is of; who is no instance of the fleet keeps its proportion.
#[tokio::test]
async fn configured_weights_are_what_percentages_are_of() {
    let Some(mut world) = haproxy().await else { return };
    for (number, weight) in [(1, 10), (2, 20), (3, 30)] {
        let port = world.instances().ports[number - 1];
        world.reconfigure(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{port} weight {weight}")).await;
    }
    all_serve(&world).await;
    let (driver, fleet) = (world.driver(), vec![world.instances().target(1), world.instances().target(2)]);
    driver.weigh(&fleet, &percents(&[("web-01", 25)])).await.expect("weights");
    share(&world, [1, 8, 12]).await;
    driver.weigh(&fleet, &BTreeMap::new()).await.expect("weights");
    assert_eq!(world.weights().await, ["10", "20", "30"]);
    share(&world, [1, 2, 3]).await;
}

/// More orders than one line of HAProxy's runtime API holds.
#[tokio::test]
async fn hundreds_of_servers_are_weighed() {
    let Some(mut world) = haproxy().await else { return };
    let port = world.instances().ports[2];
    let many = format!("127.0.0.1:{port}\n  server-template web-of-many- 600 127.0.0.1:{port} no-check");
    world.reconfigure(&format!("127.0.0.1:{port}"), &many).await;
    let (driver, fleet) = (world.driver(), fleet(&world));
    driver.weigh(&fleet, &percents(&[("web-01", 22)])).await.expect("weights");
    let weights = world.weights().await;
    assert_eq!((weights.len(), weights[0].as_str()), (603, "11"));
    assert!(weights.iter().skip(1).all(|weight| weight == "50"), "{weights:?}");
    driver.weigh(&fleet, &BTreeMap::new()).await.expect("weights");
    assert!(world.weights().await.iter().all(|weight| weight == "1"));
}

/// A server that starts slowly takes its weight, and one that the balancer does not know is named.
#[tokio::test]
async fn a_slow_start_takes_weights_and_an_unknown_server_none() {
    let Some(mut world) = haproxy().await else { return };
    world.start_slowly().await;
    let (driver, first) = (world.driver(), world.instances().target(1));
    driver.take_out(&first).await.expect("out");
    world.command("set server shop/web-01 health down").await.expect("HAProxy answers");
    wait_for("it is up again", async || driver.admit(&first).await.ok()).await;
    weigh(&world, &[("web-01", 50)]).await;
    assert_eq!(world.weights().await, ["1", "2", "2"]);
    let patient = HaproxySettings { await_slow_start: true, ..world.settings() };
    let patient = traffic::build(&Settings::Haproxy(patient)).expect("settings that work");
    wait_for("its whole share", async || patient.admit(&first).await.ok()).await;
    share(&world, [1, 2, 2]).await;

    let fleet = [first, world.instances().target(4)];
    let text = refused(driver.weigh(&fleet, &percents(&[("web-04", 50)])).await);
    assert!(text.contains("has no server shop/web-04; see [traffic] server"), "{text}");
    assert_eq!(world.weights().await, ["1", "2", "2"]);
}

/// The mean response time is of what the server took.
#[tokio::test]
async fn a_response_time_is_what_the_server_took() {
    let Some(world) = haproxy().await else { return };
    for number in [2, 3] {
        world.driver().take_out(&world.instances().target(number)).await.expect("out");
    }
    let before = served(&world).await[0].requests;
    let asked = ask(world.front(), "/held");
    let held = async {
        let held = &world.instances().held[0];
        wait_for("a held request", async || (held.load(std::sync::atomic::Ordering::SeqCst) == 1).then_some(())).await;
        let began = Instant::now();
        let long = Duration::from_millis(before * 60 + 60);
        wait_for("a while", async || (began.elapsed() >= long).then_some(())).await;
        world.instances().release.add_permits(1);
    };
    let (answer, ()) = tokio::join!(asked, held);
    assert_eq!(answer, "web-01");
    let mean = wait_for("its time", async || served(&world).await[0].response_ms.filter(|mean| *mean >= 50)).await;
    assert!(mean < 30_000, "{mean}");
}

/// nginx's file is as it was once the weights are back, and where clients are bound to servers nothing is ordered.
#[tokio::test]
async fn nginx_gets_its_own_weights_back() {
    let Some(world) = Nginx::new(Instances::start().await).await else { return };
    let before = std::fs::read_to_string(world.file()).expect("the file");
    weigh(&world, &[("web-02", 10)]).await;
    let weighed = std::fs::read_to_string(world.file()).expect("the file");
    assert!(weighed.contains(" weight=1; # rack 7") && weighed.contains("# weights before rollout:"), "{weighed}");
    let log = || std::fs::read_to_string(world.dir.path().join("error.log")).expect("a log").matches(", reconfiguring").count();
    let reloads = log();
    weigh(&world, &[("web-02", 10)]).await;
    assert_eq!(log(), reloads, "what is so already needs no reload");
    weigh(&world, &[]).await;
    assert_eq!(std::fs::read_to_string(world.file()).expect("the file"), before);

    let bound = before.replace("upstream shop {", "upstream shop {\n    ip_hash;");
    std::fs::write(world.file(), &bound).expect("the file");
    world.reload();
    let (driver, fleet) = (world.driver(), fleet(&world));
    let text = refused(driver.weigh(&fleet, &percents(&[("web-02", 10)])).await);
    assert!(text.contains("goes by ip_hash, where a weight is no share"), "{text}");
    assert_eq!(driver.check_weights().await, [text]);
    assert_eq!(driver.weigh(&fleet, &BTreeMap::new()).await, Ok(()));
    assert_eq!(std::fs::read_to_string(world.file()).expect("the file"), bound);
}
