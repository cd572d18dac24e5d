//! Canaries before everybody's eyes: a real balancer with weights, a real Prometheus that reads real instances, real requests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::common::{free_port, server};
use crate::fleet::{Fleet, Ran};
use crate::hey::{Rate, hey_at, shares};

/// A Prometheus that reads the instances of a fleet. It ends with the value.
struct Prometheus {
    child: Option<Child>,
    port: u16,
    dir: tempfile::TempDir,
    program: std::path::PathBuf,
}

impl Prometheus {
    fn start(program: std::path::PathBuf, targets: &[u16]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let targets: Vec<String> = targets.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let config = format!(
            "global:\n  scrape_interval: 250ms\nscrape_configs:\n  - job_name: demo\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let mut prometheus = Self { child: None, port: free_port(), dir, program };
        prometheus.resume();
        prometheus
    }

    /// Starts it, with what it knew.
    fn resume(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg(format!("--config.file={}", self.dir.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", self.dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ten instances behind a real HAProxy, a Prometheus, and a canary that it judges.
struct Stage {
    fleet: Fleet,
    prometheus: Prometheus,
    hey: std::path::PathBuf,
}

const ANALYSIS: &str = r#"
[analysis]
interval = "500ms"

[analysis.errors]
source = "prometheus"
url = "http://127.0.0.1:PORT"
query = 'sum(increase(http_requests_total{code="500",instance=~"{{ touched }}"}[4s])) / sum(increase(http_requests_total{instance=~"{{ touched }}"}[4s]))'
max = "1%"
"#;

impl Stage {
    fn new(steps: &str) -> Option<Self> {
        let (_haproxy, hey, program) = (server("haproxy")?, server("hey")?, server("prometheus")?);
        let fleet = Fleet::start(10, Lb::Haproxy, &["strategy.batch_pause=200ms", "rollback.max_unavailable=5"]);
        let ports: Vec<u16> = fleet.config.targets.iter().map(|target| target.port).collect();
        let prometheus = Prometheus::start(program, &ports);
        let path = fleet.world.config_path();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replacen("kind = \"rolling\"", &format!("kind = \"canary\"\nsteps = {steps}"), 1);
        assert!(text.contains("kind = \"canary\""), "{text}");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.write_all(ANALYSIS.replace("PORT", &prometheus.port.to_string()).as_bytes()).unwrap();
        Some(Self { fleet, prometheus, hey })
    }

    /// Requests that reach every instance, ended by the caller.
    fn load(&self) -> crate::hey::Hey {
        hey_at(&self.hey, &self.fleet.world.url(), false, Rate { each: 50, users: 8 })
    }

    fn said(&self, words: &str) {
        self.fleet.wait(words, || self.fleet.run(&["events", "demo-1"]).out.contains(words).then_some(()));
    }
}

fn measured(ran: &Ran) -> Vec<Value> {
    ran.lines().into_iter().filter(|line| line["type"] == "analysis_measured").collect()
}

#[test]
fn a_canary_that_prometheus_finds_well_goes_on_to_the_whole_fleet() {
    let Some(stage) = Stage::new("[{ weight = 10 }, { analysis = 3 }, { weight = 40 }, { pause = \"300ms\" }]") else { return };
    let load = stage.load();
    let ran = stage.fleet.run(&["deploy", "v2", "--yes", "--output", "json"]);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["updated"], &summary["vip"]["failed"]), (Some(0), &10.into(), &0.into()), "{summary}");
    let passes = measured(&ran).iter().filter(|line| line["finding"] == "pass").count();
    assert!(passes >= 3, "{:?}", measured(&ran));
    let steps: Vec<Value> = ran.lines().into_iter().filter(|line| line["type"] == "step_completed").collect();
    assert_eq!(steps.len(), 4, "{steps:?}");
    let (statuses, errors) = shares(load);
    assert_eq!((errors.as_str(), statuses.len()), ("", 1), "{statuses:?}");
}

/// Two of a hundred answers of the new version are errors, which no health check sees. At a tenth of the traffic that is two
/// of a thousand for the users, until it went back.
#[test]
fn a_canary_with_two_percent_errors_goes_back_and_few_saw_it() {
    let Some(stage) = Stage::new("[{ weight = 10 }, { analysis = 50 }]") else { return };
    let load = stage.load();
    let ran = stage.fleet.run(&["deploy", "v2-errors", "--yes", "--output", "json"]);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["status"], &summary["exposed"]), (Some(3), &"rolled_back".into(), &1.into()), "{summary}");
    let failed = measured(&ran).into_iter().find(|line| line["finding"] == "fail").expect("a failed measurement");
    assert!(failed["touched"].as_f64().unwrap() > 0.01 && failed["untouched"].as_f64().unwrap() < 0.001, "{failed}");
    assert!(ran.out.contains("analysis failed: errors is"), "{}", ran.out);
    let (statuses, errors) = shares(load);
    assert_eq!(errors, "");
    let count = |wanted: u16| statuses.iter().find(|(status, _)| *status == wanted).map_or(0, |(_, count)| *count);
    let (well, ill) = (count(200), count(500));
    println!("{ill} of {} requests met an error", well + ill);
    assert!(ill > 0 && ill * 200 < well, "at most one in 200 of all requests met an error: {statuses:?}");
}

#[test]
fn a_prometheus_that_is_away_holds_the_canary_and_it_goes_on_when_it_is_back() {
    let Some(mut stage) = Stage::new("[{ weight = 10 }, { analysis = 8 }]") else { return };
    let load = stage.load();
    let deploy = stage.fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    stage.said("step 2 started");
    stage.prometheus.stop();
    stage.said("errors: inconclusive");
    let status = stage.fleet.run(&["status"]).out;
    assert!(status.contains("step 2 is an analysis") || status.contains("analysis"), "{status}");
    stage.prometheus.resume();
    let ran = Ran::ended(deploy);
    let summary = ran.summary();
    assert_eq!((ran.code, &summary["updated"], &summary["vip"]["failed"]), (Some(0), &10.into(), &0.into()), "{summary}");
    let (statuses, errors) = shares(load);
    assert_eq!((errors.as_str(), statuses.len()), ("", 1), "{statuses:?}");
}

/// As a reload of the balancer does: it forgets the weights that were set while it ran.
#[test]
fn weights_that_a_balancer_forgets_are_ordered_again() {
    let Some(_haproxy) = server("haproxy") else { return };
    let steps = "strategy.steps=[{ weight = 2 }, { pause = \"promote\" }]";
    let fleet = Fleet::start(4, Lb::Haproxy, &["strategy.kind=canary", steps, "strategy.batch_pause=100ms"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.wait("it waits to be promoted", || fleet.run(&["events", "demo-1"]).out.contains("step 2 started").then_some(()));
    // srv_uweight: what it has now.
    let weights = || -> Vec<u32> {
        let said = asked(&fleet, "show servers state be_demo");
        let rows = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter_map(|row| row.get(3).filter(|name| name.starts_with("web-")).and(row.get(7)?.parse().ok())).collect()
    };
    let before = weights();
    assert_eq!(before.len(), 4, "{}", asked(&fleet, "show servers state be_demo"));
    assert!(before[1] >= 10 * before[0], "one of four, at 2% of the traffic: {before:?}");
    asked(&fleet, "set server be_demo/web-01 weight 100%");
    assert_ne!(weights(), before);
    fleet.wait("the weight is as before", || (weights() == before).then_some(()));
    assert_eq!(fleet.run(&["promote"]).code, Some(0));
    let summary = Ran::ended(deploy).summary();
    assert_eq!((&summary["updated"], &summary["vip"]["failed"]), (&4.into(), &0.into()), "{summary}");
    assert_eq!(weights(), [1; 4], "as they are configured");
}

/// What HAProxy answers.
fn asked(fleet: &Fleet, command: &str) -> String {
    let mut socket = UnixStream::connect(fleet.world.admin_socket()).unwrap();
    socket.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).unwrap();
    said
}
