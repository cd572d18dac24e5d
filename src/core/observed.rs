//! What was seen of each instance since this engine began: volatile, empty after a crash, never part of a replay.
//!
//! Imports: state, event, model, core's `Input`. May not: decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::effect::Outcome;
use crate::event::{Event, EventKind};
use crate::model::{Evidence, InstanceId, LatencyGate, LbStats, Rotation, Sample, SampleResult, Span, Timestamp, VipStats};
use crate::state::{Instance, Phase, State};

use super::{Input, wanted};

/// Latencies kept as evidence.
const KEPT: usize = 16;

/// What the latency gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Latency {
    /// Nothing yet: there are only so many samples.
    TooFew(usize),
    /// Their 99th percentile is this.
    TooSlow(Span),
    /// They are enough, and fast enough.
    Fine,
}

/// The latest of one instance.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Passes in a row.
    pub passes: u32,
    /// Misses in a row.
    pub misses: u32,
    /// When the run of misses began.
    pub first_miss_at: Option<Timestamp>,
    /// When the run of passes began.
    pub passing_since: Option<Timestamp>,
    /// The process is known to be gone.
    pub exited: Option<String>,
    /// The last probe.
    pub last: Option<Sample>,
    /// Connections left while it drains.
    pub sessions: Option<u32>,
    /// The last trouble of an act that is being retried.
    pub trouble: Option<String>,
    /// Probes that began earlier do not count.
    since: Timestamp,
    /// When it was last confirmed out: readings of the balancers that began earlier do not count.
    out_since: Option<Timestamp>,
    latencies: VecDeque<Option<u64>>,
    /// Of the latest passes in rotation, as many as the latency gate looks at.
    in_rotation: VecDeque<Span>,
}

impl Seen {
    /// So many misses in a row, or the process is gone.
    pub fn is_failing(&self, retries: u32) -> bool {
        self.exited.is_some() || self.misses >= retries.max(1)
    }

    fn note(&mut self, sample: &Sample, (in_grace, late): (bool, bool)) {
        if sample.at < self.since {
            return;
        }
        let latency = sample.passed().then(|| sample.latency.as_millis());
        match &sample.result {
            SampleResult::Pass { .. } => {
                if late {
                    (self.passes, self.passing_since) = (0, None);
                } else {
                    self.passing_since.get_or_insert(sample.at);
                    self.passes += 1;
                }
                (self.misses, self.first_miss_at, self.exited) = (0, None, None);
            }
            SampleResult::NotListening | SampleResult::Starting { .. } if in_grace => {
                (self.passes, self.passing_since) = (0, None);
            }
            SampleResult::NotListening
            | SampleResult::Starting { .. }
            | SampleResult::Exited { .. }
            | SampleResult::Miss { .. } => {
                if let SampleResult::Exited { how } = &sample.result {
                    self.exited = Some(how.clone());
                }
                self.first_miss_at.get_or_insert(sample.at);
                self.misses += 1;
                (self.passes, self.passing_since) = (0, None);
            }
        }
        if self.latencies.len() == KEPT {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
        self.last = Some(sample.clone());
    }

    /// What the latency gate says of the passes since it was admitted.
    pub(super) fn latency(&self, gate: &LatencyGate) -> Latency {
        let wanted = usize::try_from(gate.samples.max(1)).unwrap_or(usize::MAX);
        if self.in_rotation.len() < wanted {
            return Latency::TooFew(self.in_rotation.len());
        }
        let mut sorted: Vec<Span> = self.in_rotation.iter().copied().collect();
        sorted.sort_unstable();
        // The smallest that at least 99 of 100 are no slower than.
        let rank = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
        match sorted.get(rank) {
            Some(p99) if *p99 > gate.p99 => Latency::TooSlow(*p99),
            Some(_) => Latency::Fine,
            None => Latency::TooFew(0),
        }
    }

    /// What a decision of this moment rests on.
    pub fn evidence(&self) -> Evidence {
        let mut sorted: Vec<u64> = self.latencies.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let quantile = |percent: usize| sorted.get((sorted.len().saturating_sub(1)) * percent / 100).copied();
        Evidence {
            passes: self.passes,
            misses: self.misses,
            first_miss_at: self.first_miss_at,
            last: self.last.as_ref().map(Sample::words),
            p50_ms: quantile(50),
            p99_ms: quantile(99),
            latencies_ms: self.latencies.iter().copied().collect(),
        }
    }
}

/// The latest of all.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    seen: BTreeMap<InstanceId, Seen>,
    /// Those whose last probe was a miss.
    missing: BTreeSet<InstanceId>,
    /// What the balancers said last.
    rotations: BTreeMap<InstanceId, Rotation>,
    /// What the probe through the balancer counted, once it has ended.
    pub vip: Option<VipStats>,
    /// What the balancers themselves counted over the run, once it has ended.
    pub lb: Option<LbStats>,
    /// The last trouble of an act on the whole fleet.
    pub trouble: Option<String>,
}

impl Observed {
    /// What was seen of an instance, if anything was.
    pub fn of(&self, id: &InstanceId) -> Option<&Seen> {
        self.seen.get(id)
    }

    /// Those whose last probe was a miss.
    pub(super) fn missing(&self) -> &BTreeSet<InstanceId> {
        &self.missing
    }

    /// A reading of the balancers that began at `at` is newer than what is known of the instance.
    pub(super) fn is_news(&self, id: &InstanceId, instance: &Instance, at: Timestamp) -> bool {
        at >= instance.since && self.of(id).and_then(|s| s.out_since).is_none_or(|out| at >= out)
    }

    /// In rotation by order, but not serving, says the balancer.
    pub(super) fn is_down_at_balancer(&self, id: &InstanceId) -> bool {
        self.rotations.get(id) == Some(&Rotation::Down)
    }

    /// Why it does not serve, in a few words, as far as anything was seen.
    pub(super) fn trouble_of(&self, id: &InstanceId) -> Option<String> {
        let not_serving = self.rotations.get(id).filter(|r| **r != Rotation::Serving).map(|r| r.words().to_owned());
        let missed = self.of(id).and_then(|s| s.last.as_ref()).filter(|s| !s.passed()).map(Sample::words);
        missed.or(not_serving)
    }

    /// The evidence about an instance.
    pub fn evidence(&self, id: &InstanceId) -> Evidence {
        self.of(id).map(Seen::evidence).unwrap_or_default()
    }

    /// `: why`, if a retried act on the instance is in trouble, else nothing.
    pub(super) fn because(&self, id: &InstanceId) -> String {
        self.of(id).and_then(|s| s.trouble.as_ref()).map(|t| format!(": {t}")).unwrap_or_default()
    }

    /// Takes in what an input says about the world.
    pub(super) fn note(&mut self, state: &State, now: Timestamp, input: &Input) {
        match input {
            Input::Sample { instance, sample } => self.sampled((state, now), instance, sample),
            Input::Sessions { instance, sessions } => self.entry(instance).sessions = Some(*sessions),
            Input::Trouble { instance: Some(instance), trouble } => self.entry(instance).trouble = Some(trouble.clone()),
            Input::Trouble { instance: None, trouble } => self.trouble = Some(trouble.clone()),
            Input::Outcome { outcome: Outcome::FleetSurveyed { surveys, vip, lb }, .. } => {
                (self.vip, self.lb) = (*vip, *lb);
                let read = surveys.iter().filter_map(|(id, survey)| Some((id.clone(), survey.as_ref().ok()?.rotation)));
                self.rotations.extend(read);
            }
            Input::Outcome { effect, outcome: Outcome::Surveyed { survey } } => {
                // Newer than what was seen before: the budget must not count by one and the last look by the other.
                let wanted = |index: &&usize| wanted::wanted_for(state, **index).iter().any(|w| w.id == *effect);
                if let Some((id, _)) = state.active.iter().find(wanted).and_then(|&index| state.instances.get_index(index)) {
                    self.rotations.insert(id.clone(), survey.rotation);
                    self.sampled((state, now), id, &survey.health);
                }
            }
            // A reading may be of one instance alone.
            Input::Rotations { at, rotations } => {
                let news = |(id, _): &(&InstanceId, &Rotation)| state.instance(id).is_some_and(|i| self.is_news(id, i, *at));
                let news: Vec<_> = rotations.iter().filter(news).map(|(id, rotation)| (id.clone(), *rotation)).collect();
                self.rotations.extend(news);
            }
            Input::Tick
            | Input::Mended
            | Input::Woke { .. }
            | Input::Measured { .. }
            | Input::Recovered(_)
            | Input::Command(_)
            | Input::Outcome { .. } => {}
        }
    }

    /// Forgets what an event makes old.
    pub(super) fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::UpdateFinished { instance, .. } => {
                *self.entry(instance) = Seen { since: event.at, ..Seen::default() };
            }
            EventKind::DrainStarted { instance, .. } | EventKind::ReturnStarted { instance, .. } => {
                let seen = self.entry(instance);
                (seen.trouble, seen.sessions) = (None, None);
            }
            EventKind::InstanceTakenOut { instance, sessions, .. } => {
                let seen = self.entry(instance);
                (seen.trouble, seen.sessions, seen.out_since) = (None, *sessions, Some(event.at));
            }
            EventKind::InstanceAdmitted { instance, .. } | EventKind::InstanceReturned { instance } => {
                self.rotations.remove(instance);
                let seen = self.entry(instance);
                seen.trouble = None;
                // How fast it was without users says nothing.
                seen.in_rotation.clear();
            }
            _ => {}
        }
    }

    fn sampled(&mut self, (state, now): (&State, Timestamp), id: &InstanceId, sample: &Sample) {
        let in_grace = match state.instance(id).map(|i| &i.phase) {
            Some(Phase::Verifying { start_until }) => sample.at < *start_until,
            Some(_) | None => false,
        };
        // What waited behind a full disk tells of a world that has gone on since: the next look, with what it saw, may be
        // waiting behind it. A miss counts all the same.
        let late = now > sample.at + sample.latency + state.plan.policy.health.interval;
        let settling = matches!(state.instance(id).map(|i| &i.phase), Some(Phase::Settling { .. }));
        let entry = self.entry(id);
        entry.note(sample, (in_grace, late));
        if let Some(gate) = state.plan.policy.health.latency.filter(|_| settling && !late && sample.passed()) {
            entry.in_rotation.push_back(sample.latency);
            while entry.in_rotation.len() > usize::try_from(gate.samples.max(1)).unwrap_or(usize::MAX) {
                entry.in_rotation.pop_front();
            }
        }
        if sample.passed() {
            self.missing.remove(id);
        } else {
            self.missing.insert(id.clone());
        }
    }

    fn entry(&mut self, id: &InstanceId) -> &mut Seen {
        self.seen.entry(id.clone()).or_default()
    }
}

/// In rotation, says the balancer, or at least not taken out by anybody.
pub(super) fn is_in_rotation(rotation: Rotation) -> bool {
    matches!(rotation, Rotation::Serving | Rotation::Down)
}
