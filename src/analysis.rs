//! What measures for the analysis: one file a source; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter; judge what was measured.
//!
//! A source is asked twice where it can tell instances apart: for those on the new version, and, with the same template filled
//! in the other way round, for those that were not touched.

mod balancer;
mod command;
mod http;
mod probe;
mod prometheus;
mod reading;
mod reply;
mod sides;
mod vip;
mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

pub use self::sides::can_be_swapped;

use self::reading::{Frame, Said};
use crate::model::{Measurement, Span};
use crate::os::extract::Extract;
use crate::os::program::Environment;
use crate::os::tls;
use crate::ports::{Analyst, Clock, Compared, Prober, TrafficDriver, VipProber};

/// `[analysis]`, the part that the sources need.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `[service] name`, for templates.
    pub service: String,
    /// In the order of the policy; names are unique.
    pub checks: Vec<CheckSettings>,
}

/// `[analysis.NAME]`, or a shortcut.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSettings {
    /// Its name.
    pub name: String,
    /// Who is asked, and for what.
    pub source: Source,
    /// `timeout`: one deadline over all of a measurement.
    pub timeout: Span,
    /// `min_samples`: a source that counts does not begin anew before it has so many.
    pub min_samples: u64,
    /// By how much what the source says is multiplied: 0.01 where it counts in percent, 0.001 in milliseconds.
    pub factor: f64,
    /// `max_ratio` is given: without a word of the untouched instances nothing is said.
    pub compares: bool,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// `"prometheus"`: a query.
    Prometheus(Box<PrometheusSettings>),
    /// `"balancer"`: what the balancers counted since the last measurement.
    Balancer(BalancerMeasure),
    /// `"probe"`: probes of our own, as those of `[health]`.
    Probe(ProbeMeasure),
    /// `"vip"`: what the probe through the balancer counted since the last measurement.
    Vip,
    /// `"command"`: a program that prints a number.
    Command(Box<CommandSettings>),
    /// `"http"`: an endpoint that answers with a number.
    Http(Box<HttpSettings>),
}

/// `source = "balancer"`: `measure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalancerMeasure {
    /// `"error_rate"`: the share of requests with a status of 5xx or no answer.
    ErrorRate,
    /// `"response_time"`: the balancer's own mean over the latest answers of each instance.
    ResponseTime,
}

/// `source = "probe"`: `measure`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProbeMeasure {
    /// `"error_rate"`: the share that is no pass.
    ErrorRate,
    /// `"p50"` to `"p99"`: this quantile of the latencies of those that passed, from 0 to 1.
    Latency(f64),
}

/// `source = "prometheus"`.
#[derive(Debug, Clone, PartialEq)]
pub struct PrometheusSettings {
    /// How its interface is reached.
    pub web: WebSettings,
    /// `query`: a template in PromQL.
    pub query: String,
    /// `control`: the query for the untouched instances, where it is not the same the other way round.
    pub control: Option<String>,
    /// `samples`: the query that says on how many requests the answer rests.
    pub samples: Option<String>,
    /// `range`: a range query, and what becomes of its points.
    pub range: Option<Range>,
}

/// `range`, `step` and `reduce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// How far it looks back.
    pub length: Span,
    /// Between two points.
    pub step: Span,
    /// What becomes of the points.
    pub reduce: Reduce,
}

/// From the points of a range to one number. Points that are not a number are gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// The largest.
    Max,
    /// Their mean.
    Mean,
    /// The latest.
    Last,
}

/// `source = "http"`: a GET.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSettings {
    /// How the endpoint is reached; its address is a template.
    pub web: WebSettings,
    /// Where in its answer the number is.
    pub answer: Answer,
}

/// `source = "command"`.
#[derive(Clone, PartialEq)]
pub struct CommandSettings {
    /// Program and arguments, each a template.
    pub argv: Vec<String>,
    /// What it needs in its environment.
    pub env: Environment,
    /// Where in what it prints the number is.
    pub answer: Answer,
}

/// Without what may come from the environment.
impl fmt::Debug for CommandSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSettings").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// Where the numbers of one answer are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// That of the instances asked for.
    pub value: Extract,
    /// `control`: a JSON pointer to that of the untouched instances, where one answer has both.
    pub control: Option<String>,
    /// `samples`: a JSON pointer to the number of requests or the like that it rests on.
    pub samples: Option<String>,
}

/// Where something is asked by HTTP.
#[derive(Clone, Default, PartialEq)]
pub struct WebSettings {
    /// `url`.
    pub url: String,
    /// `headers`: of every request.
    pub headers: Vec<(String, String)>,
    /// `[analysis.NAME.tls]`: whom to trust, and what to show.
    pub tls: Option<tls::Settings>,
}

/// Without what may come from the environment.
impl fmt::Debug for WebSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSettings").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// What of the engine's other parts a source may ask.
#[derive(Clone)]
pub struct World {
    /// For the ends of a range.
    pub clock: Clock,
    /// The balancers, which count.
    pub traffic: Arc<dyn TrafficDriver>,
    /// Our own probes.
    pub prober: Arc<dyn Prober>,
    /// The probe through the balancer, if there is one.
    pub vip: Option<Arc<dyn VipProber>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// What measures by `settings`.
///
/// # Errors
/// Fails with a sentence if a source cannot work with its settings (a template that is none, a certificate that cannot be
/// read, a program that is not there).
pub fn build(settings: &Settings, world: &World) -> Result<Arc<dyn Analyst>, String> {
    let mut checks = BTreeMap::new();
    for check in &settings.checks {
        let source = source(check, &settings.service, world).map_err(|why| format!("[analysis.{}] {why}", check.name))?;
        checks.insert(check.name.clone(), (source, Frame { factor: check.factor, compares: check.compares }));
    }
    Ok(Arc::new(Sources(checks)))
}

fn source(check: &CheckSettings, service: &str, world: &World) -> Result<Box<dyn Asked>, String> {
    let about = About { service: service.to_owned(), check: check.name.clone(), timeout: check.timeout };
    Ok(match &check.source {
        Source::Prometheus(settings) => Box::new(prometheus::Prometheus::new(settings, about, world.clock.clone())?),
        Source::Balancer(measure) => Box::new(balancer::Balancer::new(*measure, world.traffic.clone(), check)),
        Source::Probe(measure) => Box::new(probe::Probes::new(*measure, world.prober.clone(), check)),
        Source::Vip => {
            let vip = world.vip.clone().ok_or("source = \"vip\" needs [vip]")?;
            Box::new(vip::Vip::new(vip, check.min_samples))
        }
        Source::Command(settings) => Box::new(command::Command::new(settings, about)?),
        Source::Http(settings) => Box::new(http::Http::new(settings, about)?),
    })
}

/// What every source knows of its check.
struct About {
    /// `[service] name`.
    service: String,
    /// The check's name.
    check: String,
    /// Over all of a measurement.
    timeout: Span,
}

/// One source of one check. It keeps its deadline itself.
trait Asked: Send + Sync {
    /// Asks once; there are touched instances.
    fn ask<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Said>;
}

/// The sources by the names of their checks.
struct Sources(BTreeMap<String, (Box<dyn Asked>, Frame)>);

impl Analyst for Sources {
    fn measure<'a>(&'a self, check: &'a str, compared: &'a Compared) -> BoxFuture<'a, Measurement> {
        Box::pin(async move {
            let Some((source, frame)) = self.0.get(check) else {
                return Measurement::Error { why: format!("check {check} is not in the configuration") };
            };
            if compared.touched.is_empty() {
                return Measurement::Nothing { why: "no instance serves with the new version".to_owned() };
            }
            source.ask(compared).await.measurement(*frame, !compared.untouched.is_empty())
        })
    }
}
