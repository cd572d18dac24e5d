//! Three instances, one of them on the new version, and a check about them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rollout::analysis::{self, CheckSettings, PrometheusSettings, Settings, Source, WebSettings, World};
use rollout::clock::SystemClock;
use rollout::model::{Measurement, Quantity, Span, Version};
use rollout::ports::{Analyst, Compared, VipProber};
use rollout::probe::{self, HttpSettings, Kind};
use rollout::traffic;
use tempfile::TempDir;

use crate::common::{free_port, server, temp_dir};
use crate::instances::Instance;
use crate::servers::Server;

/// `web-1` is touched, the others are not.
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Instance>,
}

impl Fleet {
    /// `fails_every`: of each instance in turn.
    pub(crate) async fn start(fails_every: [u64; 3]) -> Self {
        let mut instances = Vec::new();
        for (number, every) in fails_every.into_iter().enumerate() {
            let version = if number == 0 { "v2" } else { "v1" };
            instances.push(Instance::start(&format!("web-{}", number + 1), version, every).await);
        }
        Self { instances }
    }

    pub(crate) fn compared(&self) -> Compared {
        let (touched, untouched) = self.instances.split_at(1);
        let of = |instances: &[Instance]| instances.iter().map(|instance| instance.target.clone()).collect();
        Compared {
            touched: of(touched),
            untouched: of(untouched),
            version: Version::new("v2").expect("a version"),
            previous: Version::new("v1").ok(),
        }
    }
}

/// A check by this source, with what all of them have.
pub(crate) fn check(source: Source) -> CheckSettings {
    let name = "errors".to_owned();
    CheckSettings { name, source, timeout: Span::from_secs(5), min_samples: 0, factor: 1.0, compares: false }
}

pub(crate) fn analyst(check: CheckSettings, vip: Option<Arc<dyn VipProber>>) -> Result<Arc<dyn Analyst>, String> {
    let http = HttpSettings { path: "/".to_owned(), status: vec![(200, 299)], version: None };
    let clock = SystemClock::new().port();
    let prober = probe::build(&probe::Settings::new(Kind::Http(http), Span::from_secs(1)), clock.clone())?;
    let traffic = traffic::build(&traffic::Settings::None)?;
    analysis::build(&Settings { service: "shop".to_owned(), checks: vec![check] }, &World { clock, traffic, prober, vip })
}

/// One measurement by a source that is asked.
pub(crate) async fn measured(check: CheckSettings, compared: &Compared) -> Measurement {
    analyst(check, None).expect("settings that work").measure("errors", compared).await
}

/// The quantities of a value: touched and untouched.
pub(crate) fn values(measurement: &Measurement) -> Option<(f64, Option<f64>)> {
    match measurement {
        Measurement::Value { touched, untouched, .. } => Some((touched.value(), untouched.map(Quantity::value))),
        Measurement::Nothing { .. } | Measurement::Error { .. } => None,
    }
}

/// A real Prometheus, which ends with its value.
pub(crate) struct Prometheus {
    program: PathBuf,
    dir: TempDir,
    pub(crate) port: u16,
    process: Option<Server>,
    scheme: &'static str,
}

impl Prometheus {
    /// `None` if it is not installed. `web`: its own file about TLS.
    pub(crate) async fn start(fleet: &Fleet, web: Option<&str>) -> Option<Self> {
        let (program, dir) = (server("prometheus")?, temp_dir());
        let targets: Vec<String> =
            fleet.instances.iter().map(|instance| format!("'127.0.0.1:{}'", instance.target.port)).collect();
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n  - job_name: shop\n    \
             static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
        if let Some(web) = web {
            std::fs::write(dir.path().join("web.yml"), web).expect("a file");
        }
        let scheme = if web.is_some() { "https" } else { "http" };
        let mut it = Self { program, dir, port: free_port(), process: None, scheme };
        it.begin().await;
        Some(it)
    }

    /// Starts it, again.
    pub(crate) async fn begin(&mut self) {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let mut command = Command::new(&self.program);
        command.arg(format!("--config.file={}", at("prometheus.yml")));
        command.arg(format!("--storage.tsdb.path={}", at("data")));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        if Path::new(&at("web.yml")).exists() {
            command.arg(format!("--web.config.file={}", at("web.yml")));
        }
        self.process = Some(Server::start(&mut command, &[self.port]).await);
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.process = None;
    }

    pub(crate) fn server(&self) -> &Server {
        self.process.as_ref().expect("it runs")
    }

    pub(crate) fn settings(&self, query: &str) -> PrometheusSettings {
        let url = format!("{}://127.0.0.1:{}/", self.scheme, self.port);
        let web = WebSettings { url, ..WebSettings::default() };
        PrometheusSettings { web, query: query.to_owned(), control: None, samples: None, range: None }
    }

    /// One measurement by a query.
    pub(crate) async fn measure(&self, query: &str, compared: &Compared) -> Measurement {
        measured(check(Source::Prometheus(Box::new(self.settings(query)))), compared).await
    }
}

/// Of whom a template speaks, the share of requests that failed in the last two seconds.
pub(crate) fn error_share(selector: &str) -> String {
    format!("sum(rate(http_requests_total{{{selector},code=~\"5..\"}}[2s])) / sum(rate(http_requests_total{{{selector}}}[2s]))")
}
