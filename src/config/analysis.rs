//! `[analysis]`: what is measured while the new version serves, by whom, and within which limits.
//!
//! Imports: config's reader, the sources' settings, model. May not: reach anything; judge.

use std::path::Path;

use super::fault::Place;
use super::limit::{self, Counted, Limit, UNITS};
use super::section::{Placed, Section};
use super::template::{self, OF_A_CHECK};
use super::value::shown;
use super::{argv, tls, traffic};
use crate::analysis::{
    Answer, BalancerMeasure, CheckSettings, CommandSettings, HttpSettings, ProbeMeasure, PrometheusSettings, Range, Reduce,
    Settings, Source, WebSettings, can_be_swapped,
};
use crate::model::{AnalysisPolicy, Check, Quantity, Span};
use crate::os::extract::{Extract, Extractor};
use crate::os::template::names_in;

/// More failures or samples than these are a slip.
const MANY: u32 = 100_000;
/// More points than these Prometheus refuses.
const POINTS_MAX: u64 = 11_000;

/// What is known of the file besides the table.
pub(super) struct Around<'a> {
    pub(super) service: &'a str,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
    /// `[traffic]`, unless it is faulty.
    pub(super) traffic: Option<&'a crate::traffic::Settings>,
    /// `[vip]` is given.
    pub(super) vip: bool,
}

impl Around<'_> {
    /// Whether the balancers count what each instance answers; if nothing is known of them, they do.
    fn counts(&self) -> bool {
        self.traffic.is_none_or(|traffic| matches!(traffic, crate::traffic::Settings::Haproxy(_)))
    }
}

/// The kinds of sources.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prometheus,
    Balancer,
    Probe,
    Vip,
    Command,
    Http,
}

const SOURCES: [(&str, Kind); 6] = [
    ("prometheus", Kind::Prometheus),
    ("balancer", Kind::Balancer),
    ("probe", Kind::Probe),
    ("vip", Kind::Vip),
    ("command", Kind::Command),
    ("http", Kind::Http),
];

/// Which keys are for which sources.
const KEYS: [(&str, &[Kind]); 16] = [
    ("url", &[Kind::Prometheus, Kind::Http]),
    ("headers", &[Kind::Prometheus, Kind::Http]),
    ("tls", &[Kind::Prometheus, Kind::Http]),
    ("query", &[Kind::Prometheus]),
    ("scope", &[Kind::Prometheus]),
    ("range", &[Kind::Prometheus]),
    ("step", &[Kind::Prometheus]),
    ("reduce", &[Kind::Prometheus]),
    ("control", &[Kind::Prometheus, Kind::Command, Kind::Http]),
    ("samples", &[Kind::Prometheus, Kind::Command, Kind::Http]),
    ("measure", &[Kind::Balancer, Kind::Probe]),
    ("command", &[Kind::Command]),
    ("env", &[Kind::Command]),
    ("json", &[Kind::Command, Kind::Http]),
    ("regex", &[Kind::Command, Kind::Http]),
    ("unit", &[Kind::Prometheus, Kind::Command, Kind::Http]),
];

/// Reads `[analysis]`; `None` if it is not there.
pub(super) fn read(root: &mut Section<'_>, around: &Around<'_>) -> Option<(AnalysisPolicy, Settings)> {
    let mut section = root.table("analysis");
    let interval = section.positive_span("interval", Span::from_secs(10)).value;
    let timeout = section.positive_span("timeout", Span::from_secs(5)).value;
    let max_failures = section.number("max_failures", 0, (0, MANY)).value;
    let max_inconclusive = section.number("max_inconclusive", 4, (1, MANY)).value;
    let min_samples = section.number("min_samples", 20, (0, MANY));
    let from_step = section.number("from_step", 1, (1, 1000)).value;
    let usual = Usual { timeout, min_samples };
    let mut both: Vec<(Check, CheckSettings)> = shortcuts(&mut section, around, &usual);
    let mut begun = ["error_rate", "response_time", "p99"].iter().any(|key| section.had(key));
    for (name, place, mut table) in section.tables() {
        begun = true;
        if !is_name(&name) {
            section.fault(place, &super::fault::shown_key(&name), "is no name; write up to 40 letters, digits, _ and -");
            continue;
        }
        both.extend(check(&mut table, &name, around, &usual));
        table.finish();
    }
    let present = section.present();
    if present && !begun {
        let remedy = "measures nothing; add error_rate = \"1%\", or a table [analysis.NAME] with a source and a limit";
        section.fault(section.place(), "error_rate", remedy);
    }
    section.finish();
    let (judged, checks) = both.into_iter().unzip();
    let policy = AnalysisPolicy { checks: judged, interval, max_failures, max_inconclusive, from_step };
    present.then(|| (policy, Settings { service: around.service.to_owned(), checks }))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// What a check has where it says nothing of it.
struct Usual {
    timeout: Span,
    min_samples: Placed<u32>,
}

/// How many samples a value needs. Where nobody said, of the balancer's requests so many that a single error among them is
/// within half of the limit: else the first one would decide.
fn samples((given, number): (bool, u32), source: &Source, max: Option<Quantity>) -> u64 {
    let number = u64::from(number);
    let twice = Quantity::new(2.0).unwrap_or_default();
    match (source, max.filter(|_| !given).and_then(|max| max.goes_into(twice))) {
        (Source::Balancer(BalancerMeasure::ErrorRate), Some(enough)) => number.max(enough),
        _ => number,
    }
}

/// `error_rate`, `response_time` and `p99`: a limit each, of the nearest source.
fn shortcuts(section: &mut Section<'_>, around: &Around<'_>, usual: &Usual) -> Vec<(Check, CheckSettings)> {
    let errors =
        if around.counts() { Source::Balancer(BalancerMeasure::ErrorRate) } else { Source::Probe(ProbeMeasure::ErrorRate) };
    let known = [
        ("error_rate", errors, Counted::Share),
        ("response_time", Source::Balancer(BalancerMeasure::ResponseTime), Counted::Seconds),
        ("p99", Source::Probe(ProbeMeasure::Latency(0.99)), Counted::Seconds),
    ];
    let mut checks = Vec::new();
    for (name, source, counted) in known {
        let Some(limit) = limit::read(section, name) else { continue };
        if name == "response_time" && !around.counts() {
            section.fault(limit.place, name, format!("{NO_COUNTS}; write p99, which is of our own probes"));
        }
        match limit.value.known(counted) {
            Ok(max) => {
                let limits = Limits { max: Some(max), min: None, max_ratio: None };
                let samples = samples((usual.min_samples.given, usual.min_samples.value), &source, limits.max);
                checks.push(both(name, (source, counted), &limits, (usual.timeout, samples)));
            }
            Err(remedy) => section.fault(limit.place, name, remedy),
        }
    }
    checks
}

const NO_COUNTS: &str = "needs a balancer that counts what each instance answers, and of the drivers only \"haproxy\" does";

/// The limits of a check.
struct Limits {
    max: Option<Quantity>,
    min: Option<Quantity>,
    max_ratio: Option<Quantity>,
}

/// What is judged, and what is asked.
fn both(
    name: &str,
    (source, counted): (Source, Counted),
    limits: &Limits,
    (timeout, min_samples): (Span, u64),
) -> (Check, CheckSettings) {
    let &Limits { max, min, max_ratio } = limits;
    let check = Check { name: name.to_owned(), unit: counted.unit(), max, min, max_ratio, min_samples };
    let (name, factor, compares) = (name.to_owned(), counted.factor(), max_ratio.is_some());
    (check, CheckSettings { name, source, timeout, min_samples, factor, compares })
}

/// Reads `[analysis.NAME]`; `None` if it is faulty.
fn check(section: &mut Section<'_>, name: &str, around: &Around<'_>, usual: &Usual) -> Option<(Check, CheckSettings)> {
    let kind = section.choice("source", &SOURCES, &[]);
    section
        .require("source", "is missing; add source = \"prometheus\", \"balancer\", \"probe\", \"vip\", \"command\" or \"http\"");
    let (max, min) = (limit::read(section, "max"), limit::read(section, "min"));
    let max_ratio = limit::ratio(section, "max_ratio");
    if !["max", "min", "max_ratio"].iter().any(|key| section.had(key)) {
        let remedy = "is missing, and so are min and max_ratio: any value would pass; add a limit, like max = \"1%\"";
        section.fault(section.place(), "max", remedy);
    }
    let timeout = section.positive_span("timeout", usual.timeout).value;
    let min_samples = section.number("min_samples", usual.min_samples.value, (0, MANY));
    let Some(kind) = kind else {
        // What else stands here may be right for the source that was meant.
        for (key, _) in KEYS {
            section.take(key);
        }
        return None;
    };
    for (key, kinds) in KEYS.iter().filter(|(_, kinds)| !kinds.contains(&kind.value)) {
        let words: Vec<String> =
            SOURCES.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(word, _)| format!("\"{word}\"")).collect();
        section.misplaced(key, &format!("is for source = {}; remove it, or change the source", words.join(" and ")));
    }
    let (source, fixed, controlled) = source(section, &kind, around);
    let counted = fixed.unwrap_or_else(|| unit(section, max.as_ref().or(min.as_ref())));
    let bound = |key: &str, limit: Option<Placed<Limit>>| {
        let limit = limit?;
        let quantity = if fixed.is_some() { limit.value.known(counted) } else { limit.value.quantity(counted) };
        quantity.map_err(|remedy| section.fault(limit.place, key, remedy)).ok()
    };
    let (most, least) = (bound("max", max.clone()), bound("min", min));
    if let (Some(most), Some(least), Some(max)) = (most, least, &max)
        && least > most
    {
        section.fault(max.place, "max", "is less than min: nothing could pass; exchange the two");
    }
    if let Some(ratio) = max_ratio.as_ref().filter(|_| !controlled) {
        let remedy = match kind.value {
            Kind::Vip => "compares with the untouched instances, and the probe through the balancer cannot tell them apart",
            Kind::Prometheus | Kind::Balancer | Kind::Probe | Kind::Command | Kind::Http => {
                "needs a word of the untouched instances: name {{ touched }} or {{ version }} alone, so that they can be asked for \
                 the same way, or add control"
            }
        };
        section.fault(ratio.place, "max_ratio", remedy);
    }
    let limits = Limits { max: most, min: least, max_ratio: max_ratio.map(|ratio| ratio.value) };
    let source = source?;
    let samples = samples((min_samples.given || usual.min_samples.given, min_samples.value), &source, limits.max);
    Some(both(name, (source, counted), &limits, (timeout, samples)))
}

/// `unit`, else what the limit looks like.
fn unit(section: &mut Section<'_>, limit: Option<&Placed<Limit>>) -> Counted {
    let given = section.choice("unit", &UNITS, &[]).map(|unit| unit.value);
    given.or_else(|| limit.and_then(|limit| limit.value.suggests())).unwrap_or(Counted::Plain)
}

/// The source, what it counts in if that is not to be said, and whether it tells how the untouched are.
fn source(section: &mut Section<'_>, kind: &Placed<Kind>, around: &Around<'_>) -> (Option<Source>, Option<Counted>, bool) {
    match kind.value {
        Kind::Prometheus => {
            let (settings, controlled) = prometheus(section, around);
            (settings.map(|settings| Source::Prometheus(Box::new(settings))), None, controlled)
        }
        Kind::Balancer => {
            let words = [("error_rate", BalancerMeasure::ErrorRate), ("response_time", BalancerMeasure::ResponseTime)];
            let measure = section.choice("measure", &words, &[]).map_or(BalancerMeasure::ErrorRate, |measure| measure.value);
            if !around.counts() {
                section.fault(kind.place, "source", format!("{NO_COUNTS}; write source = \"probe\""));
            }
            let counted = if measure == BalancerMeasure::ErrorRate { Counted::Share } else { Counted::Seconds };
            (Some(Source::Balancer(measure)), Some(counted), true)
        }
        Kind::Probe => {
            let words = [
                ("error_rate", ProbeMeasure::ErrorRate),
                ("p50", ProbeMeasure::Latency(0.5)),
                ("p90", ProbeMeasure::Latency(0.9)),
                ("p95", ProbeMeasure::Latency(0.95)),
                ("p99", ProbeMeasure::Latency(0.99)),
            ];
            let measure = section.choice("measure", &words, &[]).map_or(ProbeMeasure::ErrorRate, |measure| measure.value);
            let counted = if measure == ProbeMeasure::ErrorRate { Counted::Share } else { Counted::Seconds };
            (Some(Source::Probe(measure)), Some(counted), true)
        }
        Kind::Vip => {
            if !around.vip {
                let remedy = "\"vip\" is the probe through the balancer, which is not there; add [vip] with url and rate";
                section.fault(kind.place, "source", remedy);
            }
            (Some(Source::Vip), Some(Counted::Share), false)
        }
        Kind::Command => {
            let argv = argv::read(section, "command", &OF_A_CHECK);
            section.require("command", "is missing; add the program that prints the number: command = [\"/opt/measure\"]");
            let env = argv::env(section);
            let answer = answer(section);
            let controlled = answer.control.is_some() || argv.as_ref().is_some_and(can_be_swapped);
            let settings = argv.map(|argv| CommandSettings { argv, env, answer });
            (settings.map(|settings| Source::Command(Box::new(settings))), None, controlled)
        }
        Kind::Http => {
            let url = url(section, "http://metrics:8080/errors?of={{ touched }}", true);
            let (headers, tls) = (traffic::headers(section), secured(section, around.base));
            let answer = answer(section);
            let controlled = answer.control.is_some() || url.as_ref().is_some_and(|url| can_be_swapped([url]));
            let settings = url.map(|url| HttpSettings { web: WebSettings { url, headers, tls }, answer });
            (settings.map(|settings| Source::Http(Box::new(settings))), None, controlled)
        }
    }
}

fn prometheus(section: &mut Section<'_>, around: &Around<'_>) -> (Option<PrometheusSettings>, bool) {
    let url = url(section, "http://prometheus:9090", false);
    let (headers, tls) = (traffic::headers(section), secured(section, around.base));
    let scopes = [("instances", false), ("service", true)];
    let everybody = section.choice("scope", &scopes, &[]).is_some_and(|scope| scope.value);
    let query = promql(section, "query", !everybody);
    section.require(
        "query",
        "is missing; add query = 'sum(rate(errors_total{instance=~\"{{ touched }}\"}[1m]))', or another that gives one number",
    );
    let control = promql(section, "control", false);
    let samples = promql(section, "samples", false);
    let range = range(section);
    let controlled = control.is_some() || query.as_ref().is_none_or(|query| can_be_swapped([query]));
    let settings = url.zip(query).map(|(url, query)| PrometheusSettings {
        web: WebSettings { url, headers, tls },
        query,
        control,
        samples,
        range,
    });
    (settings, controlled)
}

/// A template in PromQL; `grouped` if it must say whom it is about.
fn promql(section: &mut Section<'_>, key: &str, grouped: bool) -> Option<String> {
    let text = section.text(key)?;
    let names = names_in(&text.value.raw);
    if let Err(remedy) = template::check(&text.value.raw, &OF_A_CHECK) {
        section.fault(text.place, key, remedy);
    } else if text.value.full.trim().is_empty() {
        section.fault(text.place, key, "is empty; write a query that gives one number");
    } else if grouped && !names.iter().any(|name| name == "version" || name.starts_with("touched")) {
        let remedy = "does not say whom it measures; write instance=~\"{{ touched }}\" or version=\"{{ version }}\" in each selector, \
                      or scope = \"service\" if it is about all instances together";
        section.fault(text.place, key, remedy);
    }
    Some(text.value.template)
}

/// Reads `range`, `step` and `reduce`.
fn range(section: &mut Section<'_>) -> Option<Range> {
    let length = section.span_if_given("range");
    let step = section.span_if_given("step");
    let words = [("max", Reduce::Max), ("mean", Reduce::Mean), ("last", Reduce::Last)];
    let reduce = section.choice("reduce", &words, &[]);
    let Some(length) = length else {
        let places = [("step", step.map(|it| it.place)), ("reduce", reduce.map(|it| it.place))];
        for (key, place) in places.into_iter().filter(|_| !section.had("range")) {
            if let Some(place) = place {
                section.fault(place, key, "is for a range query; add range = \"5m\", or remove it");
            }
        }
        return None;
    };
    if !section.had("reduce") {
        let remedy = "is missing; a range has many points: add reduce = \"max\", \"mean\" or \"last\"";
        section.fault(length.place, "reduce", remedy);
    }
    let usual = Span::from_secs(15).min(length.value);
    let (step, at) = step.map_or((usual, length.place), |step| (step.value, step.place));
    if step > length.value {
        section.fault(at, "step", format!("is {step}, longer than range = {}; make it shorter", length.value));
    } else if length.value.as_millis() / step.as_millis().max(1) > POINTS_MAX {
        section.fault(at, "step", format!("gives more than {POINTS_MAX} points, which Prometheus refuses; make it longer"));
    }
    Some(Range { length: length.value, step, reduce: reduce?.value })
}

/// Reads `url`; it may name instances if it is to be a template.
fn url(section: &mut Section<'_>, example: &str, is_template: bool) -> Option<String> {
    let text = section.text("url");
    section.require("url", &format!("is missing; add url = \"{example}\""));
    let text = text?;
    let faulty = template::check(&text.value.raw, &OF_A_CHECK).err().filter(|_| is_template);
    if let Some(remedy) = faulty {
        section.fault(text.place, "url", remedy);
    } else if !["http://", "https://"].iter().any(|scheme| text.value.full.starts_with(scheme)) {
        section.fault(text.place, "url", format!("{} is no http:// or https:// address", shown(&text.value.raw)));
    }
    Some(if is_template { text.value.template } else { text.value.full })
}

/// Reads `[analysis.NAME.tls]`.
fn secured(section: &mut Section<'_>, base: &Path) -> Option<crate::os::tls::Settings> {
    let place = section.place();
    let settings = tls::read(section, base)?;
    if settings.server_name.is_some() {
        section.fault(place, "tls.server_name", "cannot be another than the host in url; write the name there");
    }
    Some(settings)
}

/// Where in an answer the numbers are.
fn answer(section: &mut Section<'_>) -> Answer {
    let value = argv::extract(section);
    let control = pointer(section, "control", &value);
    let samples = pointer(section, "samples", &value);
    Answer { value, control, samples }
}

fn pointer(section: &mut Section<'_>, key: &str, value: &Extract) -> Option<String> {
    let text = section.text(key)?;
    let at: Place = text.place;
    let pointer = text.value.full;
    if !matches!(value, Extract::Json(_)) {
        section.fault(at, key, "is a place in JSON; add json = \"/error_rate\" for the number itself");
    } else if pointer.is_empty() || Extractor::new(&Extract::Json(pointer.clone())).is_err() {
        section.fault(at, key, format!("{} is no JSON pointer; write one like \"/requests\"", shown(&text.value.raw)));
    }
    Some(pointer)
}
