//! The real HAProxy in front of the instances: what it counts of each of them between two measurements.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollout::analysis::{self, BalancerMeasure, CheckSettings, Settings, Source, World};
use rollout::clock::SystemClock;
use rollout::model::{Measurement, Span};
use rollout::ports::{Analyst, TrafficDriver};
use rollout::probe::{self, HttpSettings, Kind};
use rollout::traffic::{self, HaproxySettings};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use crate::common::{free_port, server, temp_dir, wait_for};
use crate::servers::Server;
use crate::world::{Fleet, check, values};

struct Haproxy {
    dir: TempDir,
    process: Option<Server>,
    port: u16,
    /// Users.
    _load: AbortOnDropHandle<()>,
}

impl Haproxy {
    async fn start(fleet: &Fleet) -> Option<Self> {
        let (program, dir, port) = (server("haproxy")?, temp_dir(), free_port());
        let mut servers = String::new();
        for instance in &fleet.instances {
            writeln!(servers, "  server {} 127.0.0.1:{}", instance.target.id, instance.target.port).expect("a text");
        }
        let config = format!(
            "global\n  stats socket {}/admin level admin\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  \
             timeout server 30s\n  retries 0\nlisten shop\n  bind 127.0.0.1:{port}\n  balance roundrobin\n{servers}",
            dir.path().display()
        );
        std::fs::write(dir.path().join("haproxy.cfg"), config).expect("a file");
        let mut command = Command::new(program);
        command.args(["-db", "-f"]).arg(dir.path().join("haproxy.cfg"));
        let process = Some(Server::start(&mut command, &[port]).await);
        let load = async move {
            let client = rollout::os::http::client(|builder| builder).expect("a client");
            let mut ticks = tokio::time::interval(Duration::from_millis(3));
            loop {
                ticks.tick().await;
                client.get(format!("http://127.0.0.1:{port}/")).send().await.ok();
            }
        };
        Some(Self { dir, process, port, _load: AbortOnDropHandle::new(tokio::spawn(load)) })
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        let settings = HaproxySettings {
            service: "shop".to_owned(),
            sockets: vec![format!("unix:{}", self.dir.path().join("admin").display())],
            backend: "shop".to_owned(),
            server: "{{ instance.id }}".to_owned(),
            add: "check".to_owned(),
            await_slow_start: false,
            timeout: Span::from_secs(2),
        };
        traffic::build(&traffic::Settings::Haproxy(settings)).expect("settings that work")
    }

    async fn begin_anew(&mut self) {
        self.process = None;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(self.dir.path().join("haproxy.cfg"));
        self.process = Some(Server::start(&mut command, &[self.port]).await);
    }
}

fn analyst(traffic: Arc<dyn TrafficDriver>, measure: BalancerMeasure) -> Arc<dyn Analyst> {
    let clock = SystemClock::new().port();
    let http = HttpSettings { path: "/".to_owned(), status: vec![(200, 299)], version: None };
    let prober = probe::build(&probe::Settings::new(Kind::Http(http), Span::from_secs(1)), clock.clone()).expect("a prober");
    let checks = vec![CheckSettings { min_samples: 20, ..check(Source::Balancer(measure)) }];
    let world = World { clock, traffic, prober, vip: None };
    analysis::build(&Settings { service: "shop".to_owned(), checks }, &world).expect("settings that work")
}

/// Instances that only the balancer asks.
async fn fleet(fails_every: [u64; 3]) -> Fleet {
    let fleet = Fleet::start(fails_every).await;
    for instance in &fleet.instances {
        instance.behaviour.is_used.store(false, Ordering::Relaxed);
    }
    fleet
}

#[tokio::test]
async fn the_balancers_count_tells_touched_from_untouched() {
    let fleet = fleet([5, 0, 0]).await;
    let Some(mut haproxy) = Haproxy::start(&fleet).await else { return };
    let (errors, compared) = (analyst(haproxy.driver(), BalancerMeasure::ErrorRate), fleet.compared());
    let first = errors.measure("errors", &compared).await;
    assert!(matches!(&first, Measurement::Nothing { why } if why.contains("from here on")), "{first:?}");
    let enough = |said: &Measurement| matches!(said, Measurement::Value { samples: Some(20..), .. });
    let said = wait_for("twenty requests", async || Some(errors.measure("errors", &compared).await).filter(enough)).await;
    let (touched, untouched) = values(&said).expect("a value");
    assert!((0.1..0.3).contains(&touched) && untouched == Some(0.0), "every fifth: {said:?}");

    // It has a beginning of its own again, and goes on to count.
    haproxy.begin_anew().await;
    fleet.instances[0].behaviour.fails_every.store(2, Ordering::Relaxed);
    let worse = |said: &Measurement| enough(said) && values(said).is_some_and(|(touched, _)| touched > 0.35);
    wait_for("a half that fails", async || Some(errors.measure("errors", &compared).await).filter(worse)).await;

    let response = analyst(haproxy.driver(), BalancerMeasure::ResponseTime);
    let timed = |said: &Measurement| values(said).is_some_and(|(touched, other)| touched < 1.0 && other.is_some());
    wait_for("response times", async || Some(response.measure("errors", &compared).await).filter(timed)).await;
}

/// G10: a balancer that cannot be asked is an error, and one that does not count says nothing.
#[tokio::test]
async fn g10_a_balancer_that_is_away_is_an_error() {
    let fleet = fleet([0, 0, 0]).await;
    let Some(mut haproxy) = Haproxy::start(&fleet).await else { return };
    let (errors, compared) = (analyst(haproxy.driver(), BalancerMeasure::ErrorRate), fleet.compared());
    haproxy.process = None;
    let away = errors.measure("errors", &compared).await;
    assert!(matches!(&away, Measurement::Error { why } if why.contains("admin")), "{away:?}");
    let uncounted = analyst(traffic::build(&traffic::Settings::None).expect("a driver"), BalancerMeasure::ErrorRate);
    let said = uncounted.measure("errors", &compared).await;
    let expected = Measurement::Nothing { why: "the balancer does not count per instance".to_owned() };
    assert_eq!(said, expected);
}
