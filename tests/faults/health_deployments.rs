//! What a deployment does when its instances fail it: the engine and its probe with instances that listen.
//!
//! Imports: the shared parts. May not: sleep without a condition.

use std::sync::Arc;
use std::time::Duration;

use rollout::command::Command;
use rollout::event::{Cause, EventKind};
use rollout::model::{Before, Count, SampleResult, Span};
use rollout::ports::Reading;
use rollout::probe::{HttpSettings, Kind, Places, Startup};
use tokio::time::Instant;

use crate::answers::{built, prober};
use crate::engine::{Ended, Hosts, Obeys, Setting, policy};
use crate::sites::{Health, Site, Sites};

fn setting(sites: &Sites, hosts: Arc<Hosts>) -> Setting {
    let traffic = Arc::new(Obeys::default());
    Setting { hosts, traffic, prober: prober(), targets: sites.targets(), policy: policy() }
}

/// An update that works.
fn works(site: &Site, version: &str) {
    site.runs(version);
    site.set(Health::Well);
}

/// The first failure, in words.
fn first_failure(ended: &Ended) -> String {
    let failed = ended.kinds.iter().find_map(|kind| match kind {
        EventKind::InstanceFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    failed.unwrap_or_else(|| panic!("nothing failed: {:?}", ended.kinds))
}

/// E1: "web-02: status 503", skipped and listed; it uses the budget up, so `max_unavailable = 1` is refused with the ways out.
#[tokio::test]
async fn e01_an_instance_that_was_unhealthy_before_is_skipped_and_counted() {
    let sites = Sites::new(4).await;
    sites.site("web-02").set(Health::Sick);
    let hosts = Hosts::ready(sites.effect(works));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    let refusal = setting.refusal().await;
    for part in ["web-02", "--exclude", "health.before"] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    setting.policy.strategy.max_unavailable = Count::Absolute(2);
    let ended = setting.begin().await.end().await;
    assert_eq!((ended.status(), ended.word("web-02")), ("completed", "skipped"));
    assert_eq!(hosts.updates(), ["web-01 v2", "web-03 v2", "web-04 v2"], "it is not touched");
    let listed = ended.exceptions();
    assert!(listed.len() == 1 && listed[0].starts_with("web-02: ") && listed[0].contains("503"), "{listed:?}");
}

/// E1: with `before = "first"` it is updated before all others and outside the budget; with `"abort"` the deployment is refused.
#[tokio::test]
async fn e01_an_instance_that_was_unhealthy_before_may_go_first_or_stop_the_deployment() {
    let sites = Sites::new(3).await;
    sites.site("web-02").set(Health::Sick);
    let hosts = Hosts::ready(sites.effect(works));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    setting.policy.health.before = Before::Abort;
    let refusal = setting.refusal().await;
    assert!(refusal.contains("web-02") && refusal.contains("503"), "{refusal}");
    setting.policy.health.before = Before::First;
    let ended = setting.begin().await.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]), "the update cured it");
    assert_eq!(hosts.updates(), ["web-02 v2", "web-01 v2", "web-03 v2"]);
}

/// E2: passes and misses in turn: "not proven healthy within 1s"; the deadline does not move.
#[tokio::test]
async fn e02_one_that_flaps_fails_by_its_deadline() {
    let sites = Sites::new(3).await;
    let hosts = Hosts::ready(sites.effect(|site, version| {
        site.runs(version);
        site.set(if version == "v2" { Health::Flapping } else { Health::Well });
    }));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    setting.policy.health.deadline = Span::from_secs(1);
    let began = Instant::now();
    let ended = setting.begin().await.end().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!((ended.status(), ended.exceptions()), ("rolled_back", vec![]));
    let why = first_failure(&ended);
    assert!(why.contains("not proven healthy within 1s"), "{why}");
    assert_eq!(hosts.updates(), ["web-01 v2", "web-01 v1"]);
}

/// E3: nobody listens for a while after the update: no miss is counted until `start_timeout`, then "not listening" fails it.
#[tokio::test]
async fn e03_a_slow_start_is_waited_for_and_one_without_end_is_not() {
    let sites = Sites::new(2).await;
    let hosts = Hosts::gated_with(sites.effect(|site, version| {
        site.runs(version);
        site.set(Health::Away);
    }));
    let mut slow = setting(&sites, Arc::clone(&hosts));
    slow.policy.strategy.batch_pause = Span::from_secs(20);
    let engine = slow.begin().await;
    hosts.gate.add_permits(1);
    let retries = slow.policy.health.retries;
    engine
        .until("more refused probes than may fail it", |now| {
            let refused = |reading: &&Reading| reading.sample.as_ref().is_some_and(|s| s.result == SampleResult::NotListening);
            now.progress.readings.values().find(refused).filter(|reading| reading.misses > 2 * retries).map(drop)
        })
        .await;
    engine.word("web-01", "health_checking").await;
    sites.site("web-01").set(Health::Well);
    engine.word("web-01", "healthy").await;
    drop(engine);

    let sites = Sites::new(2).await;
    let hosts = Hosts::ready(sites.effect(|site, version| {
        site.runs(version);
        site.set(if version == "v2" { Health::Away } else { Health::Well });
    }));
    let mut never = setting(&sites, hosts);
    never.policy.health.start_timeout = Span::from_millis(500);
    let began = Instant::now();
    let ended = never.begin().await.end().await;
    assert!(began.elapsed() >= Duration::from_millis(500) && began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(ended.status(), "rolled_back");
    let why = first_failure(&ended);
    assert!(why.contains("not listening"), "{why}");
}

/// E3: it listens at once, but answers with errors while it warms up: with a startup probe that is waited for, and what
/// its health says before that is not even asked.
#[tokio::test]
async fn e03_one_that_warms_up_is_waited_for_where_that_is_asked_apart() {
    let startup = Startup {
        probe: Kind::Http(HttpSettings { path: "/started".to_owned(), status: vec![(200, 299)], version: None }),
        places: Places::default(),
    };
    let sites = Sites::new(2).await;
    let hosts = Hosts::gated_with(sites.effect(|site, version| {
        site.runs(version);
        site.set(Health::Warming);
    }));
    let mut patient = setting(&sites, Arc::clone(&hosts));
    patient.prober = built(|settings| settings.startup = Some(startup.clone()));
    patient.policy.strategy.batch_pause = Span::from_secs(20);
    let engine = patient.begin().await;
    hosts.gate.add_permits(1);
    let retries = patient.policy.health.retries;
    engine
        .until("more looks at a start than misses may be", |now| {
            let starting =
                |reading: &&Reading| reading.sample.as_ref().is_some_and(|s| matches!(s.result, SampleResult::Starting { .. }));
            now.progress.readings.values().find(starting).filter(|reading| reading.misses > 2 * retries).map(drop)
        })
        .await;
    engine.word("web-01", "health_checking").await;
    sites.site("web-01").set(Health::Well);
    engine.word("web-01", "healthy").await;
    drop(engine);

    // Without it the errors count; and with it they do, once it has begun.
    for (start, startup) in [(Health::Warming, None), (Health::Sick, Some(startup))] {
        let sites = Sites::new(2).await;
        let hosts = Hosts::ready(sites.effect(move |site, version| {
            site.runs(version);
            site.set(if version == "v2" { start } else { Health::Well });
        }));
        let mut setting = setting(&sites, hosts);
        setting.prober = built(|settings| settings.startup = startup);
        let ended = setting.begin().await.end().await;
        assert_eq!(ended.status(), "rolled_back");
        assert_eq!(first_failure(&ended), "3 failed checks in a row: status 503");
    }
}

/// E6: 200, but slower than users would wait: "200 in 900ms, max_latency is 500ms" is no pass.
#[tokio::test]
async fn e06_a_pass_that_takes_too_long_is_none() {
    let sites = Sites::new(2).await;
    let hosts = Hosts::ready(sites.effect(works));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    setting.prober = built(|settings| settings.max_latency = Some(Span::from_millis(40)));
    sites.all(Health::Slow);
    let refusal = setting.refusal().await;
    assert!(refusal.contains("200 in ") && refusal.contains("max_latency is 40ms"), "{refusal}");
    assert_eq!(hosts.updates(), Vec::<String>::new());
}

/// E4, E5: the update says that it worked, but the old process still has the port: "reports v1, not v2".
#[tokio::test]
async fn e05_an_old_process_that_still_answers_fails_the_gate() {
    let sites = Sites::new(2).await;
    let hosts = Hosts::ready(|_, _| ());
    let ended = setting(&sites, Arc::clone(&hosts)).begin().await.end().await;
    assert_eq!(ended.status(), "rolled_back");
    let why = first_failure(&ended);
    assert!(why.contains("reports v1, not v2"), "{why}");
    assert_eq!(hosts.updates(), ["web-01 v2", "web-01 v1"]);
}

/// E12: it passed the gate and fails in the bake: "after it was healthy, 3 failed checks in a row: status 503", and it goes back.
#[tokio::test]
async fn e12_one_that_fails_in_the_bake_counts() {
    let sites = Sites::new(3).await;
    let hosts = Hosts::ready(sites.effect(works));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    setting.policy.strategy.batch_pause = Span::from_secs(20);
    let engine = setting.begin().await;
    engine.word("web-01", "healthy").await;
    sites.site("web-01").set(Health::Sick);
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("rolled_back", vec![]));
    let why = first_failure(&ended);
    assert!(why.contains("after it was healthy") && why.contains("503"), "{why}");
    assert_eq!(hosts.updates(), ["web-01 v2", "web-01 v1"]);
}

/// E12: a finished instance dies while another one is updated: it counts, and both go back.
#[tokio::test]
async fn e12_a_finished_instance_that_dies_later_counts() {
    let sites = Sites::new(3).await;
    let hosts = Hosts::gated_with(sites.effect(works));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    setting.policy.strategy.max_unavailable = Count::Absolute(2);
    let engine = setting.begin().await;
    hosts.gate.add_permits(1);
    engine.word("web-02", "updating").await;
    sites.site("web-01").set(Health::Away);
    engine.until("the rollback", |now| now.state.rollback.as_ref().map(|_| ())).await;
    hosts.gate.add_permits(10);
    let ended = engine.end().await;
    assert_eq!((ended.status(), ended.exceptions()), ("rolled_back", vec![]));
    let why = first_failure(&ended);
    assert!(why.contains("after it was healthy"), "{why}");
    let updates = hosts.updates();
    assert!(updates.contains(&"web-01 v1".to_owned()) && !updates.contains(&"web-03 v2".to_owned()), "{updates:?}");
}

/// E13: everything fails at once, the untouched as well: "2 of 3 untouched instances fail together … not this deployment's doing", paused, nothing goes
/// back; when it has passed, `resume` goes on.
#[tokio::test]
async fn e13_instances_that_all_fail_at_once_pause_the_deployment() {
    for health in [Health::Sick, Health::Away] {
        let sites = Sites::new(4).await;
        let hosts = Hosts::gated_with(sites.effect(Site::runs));
        let mut setting = setting(&sites, Arc::clone(&hosts));
        setting.policy.health.deadline = Span::from_secs(20);
        setting.policy.health.start_timeout = Span::from_secs(20);
        let engine = setting.begin().await;
        engine.word("web-01", "updating").await;
        sites.all(health);
        let why = engine.paused().await;
        assert!(why.contains("of 3 untouched instances fail together") && why.contains("not this deployment's doing"), "{why}");
        let cause = engine.until("why", |now| now.state.pause.as_ref().map(|halt| halt.cause)).await;
        assert_eq!(cause, Cause::CommonCause);
        sites.all(Health::Well);
        hosts.gate.add_permits(10);
        engine.word("web-01", "healthy").await;
        // What still looks ill when it goes on pauses it again.
        engine.until("all are well", |now| now.progress.readings.values().all(|r| r.passes > 1).then_some(())).await;
        engine.send(Command::Resume).await;
        let ended = engine.end().await;
        assert_eq!((ended.status(), ended.exceptions()), ("completed", vec![]), "{health:?}");
        assert!(ended.state.rollback.is_none());
        assert_eq!(hosts.updates(), ["web-01 v2", "web-02 v2", "web-03 v2", "web-04 v2"]);
    }
}

/// E13: the new version's failure and the common cause come together: the common cause is judged first, nothing goes back.
#[tokio::test]
async fn e13_a_failure_that_untouched_instances_share_is_not_blamed_on_the_version() {
    let sites = Sites::new(4).await;
    let all = sites.targets().iter().map(|target| sites.site(target.id.as_str())).collect::<Vec<_>>();
    let hosts = Hosts::ready(sites.effect(move |site, version| {
        site.runs(version);
        if site.is("web-02") {
            // What they share breaks at the moment of this update.
            for site in &all {
                site.set(Health::Sick);
            }
        }
    }));
    let mut setting = setting(&sites, Arc::clone(&hosts));
    setting.policy.health.deadline = Span::from_secs(2);
    let engine = setting.begin().await;
    let why = engine.paused().await;
    assert!(why.contains("untouched instances fail"), "{why}");
    assert!(engine.until("a state", |now| Some(now.state.rollback.is_none())).await, "nothing goes back");
    assert_eq!(hosts.updates(), ["web-01 v2", "web-02 v2"]);
}
