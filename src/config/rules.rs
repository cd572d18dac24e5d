//! `[drain]`, `[health]` (what the engine decides by), `[strategy]` and `[rollback]`: the rules of a deployment.
//!
//! Imports: config's reader, model. May not: decide anything by the rules.

use super::section::{Placed, Section};
use super::steps::Steps;
use crate::model::{
    Before, Canary, Confirm, Count, DrainPolicy, HealthPolicy, LatencyGate, OnDrainTimeout, OnFailure, Pacing, Policy,
    RollbackPolicy, Rolling, Span, UpdatePolicy, Zones,
};

/// More passes, misses or failures than these are a slip.
const MANY: u32 = 100_000;

/// `[drain]`.
pub(super) struct Drain {
    pub(super) timeout: Placed<Span>,
    on_timeout: OnDrainTimeout,
}

/// `[health]`, the part that the engine decides by.
pub(super) struct Health {
    pub(super) timeout: Placed<Span>,
    pub(super) interval: Placed<Span>,
    pub(super) rise: Placed<u32>,
    pub(super) retries: Placed<u32>,
    pub(super) start_timeout: Placed<Span>,
    pub(super) deadline: Placed<Span>,
    watch_interval: Placed<Span>,
    before: Before,
    pub(super) max_latency: Option<Placed<Span>>,
    pub(super) latency: Option<Gate>,
}

/// `health.latency`.
pub(super) struct Gate {
    pub(super) p99: Span,
    pub(super) samples: Placed<u32>,
}

/// `[strategy]`.
pub(super) struct Strategy {
    /// `None` if it is not given, or is none.
    pub(super) kind: Option<Placed<Kind>>,
    /// It was written, whatever it is.
    pub(super) has_kind: bool,
    pub(super) steps: Steps,
    pub(super) batch_size: Placed<Vec<Count>>,
    pub(super) batch_pause: Placed<Span>,
    pub(super) max_unavailable: Placed<Count>,
    pub(super) max_surge: Placed<Count>,
    pub(super) min_serving: Placed<Count>,
    pub(super) min_healthy_time: Placed<Span>,
    pacing: Pacing,
    pub(super) zones: Placed<Zones>,
    confirm: Confirm,
    pub(super) progress_timeout: Placed<Span>,
    approval_timeout: Placed<Span>,
}

/// `strategy.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rolling,
    Canary,
}

impl Strategy {
    /// The steps, if the deployment goes by them.
    pub(super) fn canary(&self) -> Option<Canary> {
        let chosen = self.kind.as_ref().is_some_and(|kind| kind.value == Kind::Canary);
        // Whether the balancers take weights is known when the plan is made.
        chosen.then(|| Canary { steps: self.steps.list.iter().map(|step| step.value.clone()).collect(), weighted: false })
    }
}

/// `[rollback]`.
pub(super) struct Rollback {
    threshold: Placed<Count>,
    max_failures: Placed<u32>,
    on_failure: OnFailure,
    pub(super) max_unavailable: Placed<Count>,
}

/// All rules, with their places.
pub(super) struct Rules {
    pub(super) drain: Drain,
    pub(super) health: Health,
    pub(super) strategy: Strategy,
    pub(super) rollback: Rollback,
}

impl Rules {
    /// The rules as the engine takes them.
    pub(super) fn policy(&self, update_timeout: Span, expects_version: bool) -> Policy {
        let Self { drain, health, strategy, rollback } = self;
        Policy {
            strategy: Rolling {
                batch_size: strategy.batch_size.value.clone(),
                batch_pause: strategy.batch_pause.value,
                max_unavailable: strategy.max_unavailable.value,
                min_serving: strategy.min_serving.value,
                min_healthy_time: strategy.min_healthy_time.value,
                pacing: strategy.pacing,
                zones: strategy.zones.value,
                confirm: strategy.confirm,
                progress_timeout: strategy.progress_timeout.value,
                approval_timeout: strategy.approval_timeout.value,
            },
            drain: DrainPolicy { timeout: drain.timeout.value, on_timeout: drain.on_timeout },
            update: UpdatePolicy { timeout: update_timeout },
            health: HealthPolicy {
                timeout: health.timeout.value,
                interval: health.interval.value,
                rise: health.rise.value,
                retries: health.retries.value,
                start_timeout: health.start_timeout.value,
                deadline: health.deadline.value,
                watch_interval: health.watch_interval.value,
                before: health.before,
                expects_version,
                latency: health.latency.as_ref().map(|gate| LatencyGate { p99: gate.p99, samples: gate.samples.value }),
            },
            rollback: RollbackPolicy {
                threshold_percent: match rollback.threshold.value {
                    Count::Percent(percent) => percent,
                    Count::Absolute(_) => 0,
                },
                max_failures: rollback.max_failures.value,
                on_failure: rollback.on_failure,
                max_unavailable: rollback.max_unavailable.value,
            },
            canary: strategy.canary(),
            analysis: None,
            hooks: Vec::new(),
            overrides: Vec::new(),
        }
    }
}

/// Reads `[drain]`.
pub(super) fn read_drain(root: &mut Section<'_>) -> Drain {
    let mut section = root.table("drain");
    let defaults = Policy::default().drain;
    let timeout = section.span("timeout", defaults.timeout);
    let words = [("force", OnDrainTimeout::Force), ("extend", OnDrainTimeout::Extend), ("fail", OnDrainTimeout::Fail)];
    let on_timeout = section.choice("on_timeout", &words, &[]).map_or(defaults.on_timeout, |choice| choice.value);
    section.finish();
    Drain { timeout, on_timeout }
}

/// Reads what the engine decides by of `[health]`; the section goes on to the prober's settings.
pub(super) fn read_health(section: &mut Section<'_>) -> Health {
    let defaults = Policy::default().health;
    let words = [("skip", Before::Skip), ("first", Before::First), ("abort", Before::Abort)];
    Health {
        timeout: section.positive_span("timeout", defaults.timeout),
        interval: section.positive_span("interval", defaults.interval),
        rise: section.number("rise", defaults.rise, (1, MANY)),
        retries: section.number("retries", defaults.retries, (1, MANY)),
        start_timeout: section.span("start_timeout", defaults.start_timeout),
        deadline: section.positive_span("deadline", defaults.deadline),
        watch_interval: section.positive_span("watch_interval", defaults.watch_interval),
        before: section.choice("before", &words, &[]).map_or(defaults.before, |choice| choice.value),
        max_latency: section.span_if_given("max_latency"),
        latency: read_gate(section),
    }
}

/// Reads `health.latency = { p99 = "300ms", samples = 20 }`.
fn read_gate(parent: &mut Section<'_>) -> Option<Gate> {
    let mut section = parent.table("latency");
    let p99 = section.span_if_given("p99");
    let samples = section.number("samples", 20, (2, 1000));
    if section.present() {
        section.require("p99", "is missing; add how fast it must be: p99 = \"300ms\"");
    }
    section.finish();
    Some(Gate { p99: p99?.value, samples })
}

/// Reads `[strategy]`.
pub(super) fn read_strategy(root: &mut Section<'_>) -> Strategy {
    let mut section = root.table("strategy");
    let defaults = Policy::default().strategy;
    let kinds = [("rolling", Kind::Rolling), ("canary", Kind::Canary)];
    let kind = section.choice("kind", &kinds, &[("blue-green", "use kind = \"rolling\" or \"canary\"")]);
    let has_kind = section.had("kind");
    let steps = Steps::read(&mut section);
    let pacing = section.choice("pacing", &[("batch", Pacing::Batch), ("window", Pacing::Window)], &[]);
    let zones = section.choice("zones", &[("any", Zones::Any), ("one-by-one", Zones::OneByOne)], &[]);
    let confirm = section.choice("confirm", &[("none", Confirm::None), ("batch", Confirm::Batch)], &[]);
    let strategy = Strategy {
        kind,
        has_kind,
        steps,
        batch_size: section.counts("batch_size", defaults.batch_size.first().copied().unwrap_or(Count::Absolute(1))),
        batch_pause: section.span("batch_pause", defaults.batch_pause),
        max_unavailable: section.count("max_unavailable", defaults.max_unavailable),
        max_surge: section.count("max_surge", Count::Absolute(0)),
        min_serving: section.count("min_serving", defaults.min_serving),
        min_healthy_time: section.span("min_healthy_time", defaults.min_healthy_time),
        pacing: pacing.map_or(defaults.pacing, |choice| choice.value),
        zones: zones.unwrap_or_else(|| Placed { value: defaults.zones, place: section.place(), given: false, sound: true }),
        confirm: confirm.map_or(defaults.confirm, |choice| choice.value),
        progress_timeout: section.span("progress_timeout", defaults.progress_timeout),
        approval_timeout: section.positive_span("approval_timeout", defaults.approval_timeout),
    };
    section.finish();
    strategy
}

/// Reads `[rollback]`.
pub(super) fn read_rollback(root: &mut Section<'_>, strategy: &Strategy) -> Rollback {
    let mut section = root.table("rollback");
    let defaults = Policy::default().rollback;
    let on_failure = on_failure(&mut section);
    let threshold = section.count("threshold", Count::Percent(defaults.threshold_percent));
    if let (true, Count::Absolute(n)) = (threshold.sound, threshold.value) {
        let remedy = format!("is a count; write a share like \"{}%\", or use max_failures = {n}", n.min(100));
        section.fault(threshold.place, "threshold", remedy);
    }
    let max_failures = section.number("max_failures", defaults.max_failures, (0, MANY));
    let max_unavailable = section.count("max_unavailable", strategy.max_unavailable.value);
    section.finish();
    Rollback { threshold, max_failures, on_failure, max_unavailable }
}

/// `auto = false` is `on_failure = "pause"` in other words; both given must agree.
fn on_failure(section: &mut Section<'_>) -> OnFailure {
    let words = [
        ("rollback", OnFailure::Rollback),
        ("pause", OnFailure::Pause),
        ("ask", OnFailure::Ask),
        ("continue", OnFailure::Continue),
    ];
    let auto = section.flag("auto", true);
    let chosen = section.choice("on_failure", &words, &[]);
    let by_auto = if auto.value { OnFailure::Rollback } else { OnFailure::Pause };
    let Some(chosen) = chosen else { return by_auto };
    if auto.given && auto.sound && chosen.value != by_auto {
        let remedy = match (auto.value, chosen.value) {
            (false, _) => "contradicts auto = false, which means \"pause\"; remove one of the two",
            (true, OnFailure::Rollback | OnFailure::Pause | OnFailure::Ask | OnFailure::Continue) => {
                "contradicts auto = true, which means \"rollback\"; remove one of the two"
            }
        };
        section.fault_with(chosen.place, auto.place, "on_failure", remedy);
    }
    chosen.value
}
