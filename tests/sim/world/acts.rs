//! What the acts of a controller do to the world, and what it hears of them.

use std::collections::BTreeMap;

use rollout::core::{Input, groups};
use rollout::effect::{Effect, EffectKind, Outcome};
use rollout::model::{InstanceId, Measurement, Quantity, Rotation, Sample, SampleResult, Span, Survey, Timestamp, Version};

use super::{Due, Flight, Lb, World};
use crate::checks::Violation;
use crate::scenario::{Fate, id, number};

/// Between two tries of an act that did not succeed.
const AGAIN: u64 = 500;
/// Between two looks at something that is about to change.
const LOOK: u64 = 250;

/// What is heard of an act, and after how long it looks again.
type Heard = (Option<Input>, Option<u64>);

/// The instance that an act is about.
pub(super) fn slot_of(effect: &Effect) -> Option<usize> {
    effect.instance.as_ref().map(number)
}

impl World {
    pub(super) fn act(&mut self, slot: usize, number: u64) -> Result<(), Violation> {
        let Some(engine) = &self.live else { return Ok(()) };
        let flights = &engine.flights[slot];
        let Some(flight) = flights.iter().find(|f| f.number == number && !f.over) else { return Ok(()) };
        // Its own requests stand still while the controller does.
        if let Some(until) = engine.stopped_until {
            self.schedule(until, Due::Act { slot, number });
            return Ok(());
        }
        let flight = flight.clone();
        let (heard, again) = self.perform(&flight)?;
        if let Some(later) = again {
            self.schedule(self.now + later, Due::Act { slot, number });
        }
        let shared = matches!(flight.effect.kind, EffectKind::Weigh { .. } | EffectKind::Admit | EffectKind::TakeOut);
        if shared {
            self.checks.share(self)?;
        }
        let orders = matches!(flight.effect.kind, EffectKind::TakeOut | EffectKind::Admit);
        if orders && again.is_none() && self.rng.percent(self.scenario.repeats) {
            self.repeats(slot, &flight)?;
        }
        if let Some(flight) = self.live.as_mut().and_then(|e| e.flights[slot].iter_mut().find(|f| f.number == number)) {
            flight.looks += 1;
            flight.over = again.is_none() && heard.is_some();
        }
        match heard {
            Some(input) => self.input(input),
            None => Ok(()),
        }
    }

    /// S13: an order that was carried out is carried out again, once or twice, at once or a little later.
    fn repeats(&mut self, slot: usize, flight: &Flight) -> Result<(), Violation> {
        for _ in 0..=self.rng.below(2) {
            let before = self.machines[slot].essence();
            drop(self.perform(flight)?);
            if self.machines[slot].essence() != before {
                return Err(Violation::new("S13", format!("{} given twice is not as given once", flight.effect.id)));
            }
        }
        let at = self.now + self.rng.below(2000);
        self.schedule(at, Due::Again { slot });
        Ok(())
    }

    /// The same later, while nothing else has been ordered on the instance.
    pub(super) fn again(&mut self, slot: usize) -> Result<(), Violation> {
        let Some(effect) = self.checks.latest_order(slot) else { return Ok(()) };
        let stable = self.machines[slot].works.is_empty() && self.machines[slot].slipped_at.is_none();
        let kind = match effect.0 {
            "take-out" if self.machines[slot].taken => EffectKind::TakeOut,
            "admit" if self.machines[slot].is_in() => EffectKind::Admit,
            _ => return Ok(()),
        };
        let down = self.balancers_down.iter().any(|down| *down > 0);
        if !stable || down || self.machines[slot].lb.contains(&Lb::Maintenance) {
            return Ok(());
        }
        let before = self.machines[slot].essence();
        if kind == EffectKind::TakeOut {
            self.take_out(slot);
        } else {
            self.admit(slot)?;
        }
        if self.machines[slot].essence() != before {
            return Err(Violation::new("S13", format!("web-{slot}: {} given again later is not as given once", effect.0)));
        }
        Ok(())
    }

    fn at(&self) -> Timestamp {
        self.live.as_ref().map_or_else(Timestamp::default, |e| e.clock(self.now))
    }

    fn survey(&self, n: usize) -> Survey {
        let version = self.scenario.plan.members[n].previous.is_some() || !self.machines[n].runs.is_empty();
        Survey {
            version: version.then(|| self.machines[n].version.clone()),
            rotation: self.machines[n].rotation(self.is_well(n)),
            health: self.sample(n, None, false),
        }
    }

    fn sample(&self, n: usize, expect: Option<&Version>, attentive: bool) -> Sample {
        let machine = &self.machines[n];
        let result = if !machine.up && machine.works.is_empty() && attentive && n.is_multiple_of(2) {
            SampleResult::Exited { how: "exit code 1".to_owned() }
        } else if !machine.up || machine.starting {
            SampleResult::NotListening
        } else if self.is_sick(n) {
            SampleResult::Miss { reason: "status 503".to_owned() }
        } else if expect.is_some_and(|e| *e != machine.version) {
            SampleResult::Miss { reason: format!("reports {}", machine.version) }
        } else {
            SampleResult::Pass { status: Some(200) }
        };
        Sample { at: self.at(), latency: Span::from_millis(5), result, version: None }
    }

    /// What an act does to the world, what the controller hears of it, and after how long it looks again.
    pub(super) fn perform(&mut self, flight: &Flight) -> Result<Heard, Violation> {
        let effect = &flight.effect;
        let down = self.balancers_down.iter().any(|down| *down > 0);
        let outcome = |outcome| (Some(Input::Outcome { effect: effect.id.clone(), outcome }), None);
        let trouble =
            |why: &str| (Some(Input::Trouble { instance: effect.instance.clone(), trouble: why.to_owned() }), Some(AGAIN));
        let Some(n) = slot_of(effect) else { return Ok(self.perform_on_fleet(flight, down)) };
        let maintained = self.machines[n].lb.contains(&Lb::Maintenance);
        Ok(match &effect.kind {
            EffectKind::Survey if down => trouble("no balancer"),
            EffectKind::Survey => outcome(Outcome::Surveyed { survey: self.survey(n) }),
            EffectKind::TakeOut | EffectKind::Admit if maintained => trouble("in maintenance, which we did not order"),
            EffectKind::TakeOut if !down && self.machines[n].lb.iter().all(|lb| *lb == Lb::Unknown) => {
                outcome(Outcome::TakenOut { sessions: Some(0) })
            }
            EffectKind::Retire => outcome(self.retire(n, down)?),
            EffectKind::TakeOut => {
                let left = self.take_out(n);
                if down { trouble("a balancer cannot be reached") } else { outcome(Outcome::TakenOut { sessions: Some(left) }) }
            }
            EffectKind::AwaitIdle if down => trouble("a balancer cannot be reached"),
            EffectKind::AwaitIdle => self.await_idle(n, flight),
            EffectKind::Admit => {
                self.admit(n)?;
                if down {
                    trouble("a balancer cannot be reached")
                } else if self.is_well(n) {
                    outcome(Outcome::Admitted)
                } else {
                    trouble("down by its own check")
                }
            }
            EffectKind::Update { .. } => {
                let done = self.machines[n].works.is_empty() && self.machines[n].runs.last() == Some(&effect.id);
                if done { outcome(Outcome::Updated) } else { (None, None) }
            }
            EffectKind::Watch { every, expect, attentive, .. } => self.watch(n, flight, (*every, expect.as_ref(), *attentive)),
            EffectKind::SurveyFleet
            | EffectKind::WatchRotation { .. }
            | EffectKind::Weigh { .. }
            | EffectKind::HoldWeights { .. }
            | EffectKind::Measure { .. }
            | EffectKind::RunHook { .. } => (None, None),
        })
    }

    fn watch(&mut self, n: usize, flight: &Flight, (every, expect, attentive): (Span, Option<&Version>, bool)) -> Heard {
        let sample = self.sample(n, expect, attentive);
        let (passed, now) = (sample.passed(), self.now);
        let machine = &mut self.machines[n];
        machine.passes = if passed { machine.passes + 1 } else { 0 };
        machine.passed_at = if passed { now } else { machine.passed_at };
        let news = !passed || flight.passes == 0;
        let starting = attentive && sample.result == SampleResult::NotListening;
        if let Some(engine) = &mut self.live
            && let Some(flight) = engine.flights[n].iter_mut().find(|f| f.number == flight.number)
        {
            flight.passes = if passed { flight.passes + 1 } else { 0 };
        }
        let every = every.as_millis().max(10);
        let next = if starting { (every / 10).max(200) } else { every };
        ((attentive || news).then(|| Input::Sample { instance: id(n), sample }), Some(next))
    }

    fn perform_on_fleet(&mut self, flight: &Flight, down: bool) -> Heard {
        let effect = &flight.effect;
        let total = self.machines.len();
        match &effect.kind {
            EffectKind::WatchRotation { every } => {
                let every = every.as_millis().max(LOOK);
                let of = |n: usize| (id(n), self.machines[n].rotation(self.is_well(n)));
                let rotations: BTreeMap<InstanceId, Rotation> = (0..total).map(of).collect();
                ((!down).then(|| Input::Rotations { at: self.at(), rotations }), Some(every))
            }
            EffectKind::SurveyFleet if down => {
                // What was read before is not taken for what is.
                self.fleet.clear();
                let trouble = "the balancers cannot be read".to_owned();
                (Some(Input::Trouble { instance: None, trouble }), Some(AGAIN))
            }
            EffectKind::SurveyFleet => {
                // What does not serve is looked at again before it is believed.
                if flight.looks == 0 {
                    self.fleet.clear();
                }
                for n in (0..total).filter(|n| !self.scenario.plan.members[*n].spare) {
                    if self.fleet.get(&id(n)).is_none_or(|s| s.rotation != Rotation::Serving) {
                        self.fleet.insert(id(n), self.survey(n));
                        self.machines[n].looked_at = Some(self.now);
                    }
                }
                let health = &self.scenario.plan.policy.health;
                let doubtful = self.fleet.values().any(|s| s.rotation != Rotation::Serving);
                if doubtful && flight.looks + 1 < health.retries {
                    return (None, Some(health.interval.as_millis().max(10)));
                }
                self.machines.iter_mut().for_each(|machine| machine.read_at = machine.looked_at);
                let surveys = self.fleet.iter().map(|(id, survey)| (id.clone(), Ok(survey.clone()))).collect();
                let outcome = Outcome::FleetSurveyed { surveys, vip: None, lb: None };
                (Some(Input::Outcome { effect: effect.id.clone(), outcome }), None)
            }
            EffectKind::Weigh { weights } => self.weigh(effect, weights, down),
            EffectKind::HoldWeights { weights, every } => {
                drop(self.weigh(effect, weights, down));
                (None, Some(every.as_millis().max(LOOK)))
            }
            EffectKind::Measure { check, every } => {
                let input = Input::Measured { check: check.clone(), at: self.at(), measurement: self.measure(check) };
                (Some(input), Some(every.as_millis().max(LOOK)))
            }
            EffectKind::RunHook { hook, round, attempt, .. } => {
                let failure = match self.scenario.fate(hook, *round, *attempt) {
                    Fate::Hangs => return (None, None),
                    _ if flight.looks == 0 => return (None, Some(300 + self.rng.below(3000))),
                    Fate::Fails => Some("exit code 1".to_owned()),
                    Fate::Passes => None,
                };
                let outcome = Outcome::HookEnded { failure };
                (Some(Input::Outcome { effect: effect.id.clone(), outcome }), None)
            }
            _ => (None, None),
        }
    }

    /// At every balancer that can be reached.
    fn weigh(&mut self, effect: &Effect, weights: &BTreeMap<InstanceId, u16>, down: bool) -> Heard {
        let (refused, down) = (self.source[3] > 0, down || self.source[3] > 0);
        let reachable: Vec<bool> = self.balancers_down.iter().map(|down| *down == 0 && !refused).collect();
        for (n, machine) in self.machines.iter_mut().enumerate() {
            let weight = weights.get(&id(n)).copied().unwrap_or(100);
            let reached = machine.weights.iter_mut().zip(&reachable).filter(|(_, reachable)| **reachable);
            reached.for_each(|(at, _)| *at = weight);
        }
        if down {
            let trouble = "a balancer does not take weights".to_owned();
            return (Some(Input::Trouble { instance: None, trouble }), Some(AGAIN));
        }
        let outcome = Outcome::Weighed { weights: weights.clone() };
        (Some(Input::Outcome { effect: effect.id.clone(), outcome }), None)
    }

    /// Errors, if the new version makes them or everybody does; how long requests take is always the same.
    fn measure(&self, check: &str) -> Measurement {
        let [down, empty, errors, _] = self.source;
        if down > 0 {
            return Measurement::Error { why: "connection refused".to_owned() };
        }
        if empty > 0 {
            return Measurement::Nothing { why: "no data".to_owned() };
        }
        let share = |errs: bool| Quantity::new(if errs && check == "error_rate" { 0.05 } else { 0.001 }).expect("a quantity");
        let untouched = self.live.as_ref().is_some_and(|engine| !groups(&engine.state).untouched.is_empty());
        let others = untouched.then(|| share(errors > 0));
        Measurement::Value { touched: share(self.scenario.worse || errors > 0), untouched: others, samples: Some(100) }
    }

    /// Out at every balancer that can be reached; the connections left.
    fn take_out(&mut self, n: usize) -> u32 {
        let (late, now) = (self.now + self.rng.below(9000), self.now);
        let unknown = self.unseen(self.machines[n].theirs_at);
        let down = self.balancers_down.clone();
        let machine = &mut self.machines[n];
        if machine.lb.contains(&Lb::In) {
            machine.sessions_until = late;
        }
        for (lb, _) in machine.lb.iter_mut().zip(&down).filter(|(_, down)| **down == 0) {
            // Whose drain it was a moment ago nobody can tell.
            if *lb != Lb::Unknown && (*lb != Lb::Theirs || unknown) {
                *lb = Lb::Ours;
            }
        }
        machine.taken = true;
        self.refresh(n);
        u32::from(self.machines[n].sessions_until > now) * 3
    }

    fn admit(&mut self, n: usize) -> Result<(), Violation> {
        let down = self.balancers_down.clone();
        let machine = &mut self.machines[n];
        if machine.lb.contains(&Lb::Theirs) && !machine.lb.contains(&Lb::In) {
            let known = !self.unseen(self.machines[n].theirs_at);
            if known {
                return Err(Violation::new("S5", format!("web-{n} is put back, but somebody else took it out")));
            }
        }
        let machine = &mut self.machines[n];
        for (lb, _) in machine.lb.iter_mut().zip(&down).filter(|(_, down)| **down == 0) {
            *lb = Lb::In;
        }
        machine.taken = false;
        self.refresh(n);
        Ok(())
    }

    /// What runs on a spare ends, and what the balancers learnt of it is forgotten.
    fn retire(&mut self, n: usize, down: bool) -> Result<Outcome, Violation> {
        if let Some(work) = self.machines[n].works.iter().find(|w| !(w.remote && w.given_up)) {
            return Err(Violation::new("S8", format!("web-{n} is stopped while {} is at work", work.id)));
        }
        let added = self.scenario.plan.members[n].rotation == Rotation::Missing;
        let machine = &mut self.machines[n];
        let slipped = machine.slipped_at;
        if machine.lb.contains(&Lb::In) && machine.up && slipped.is_none_or(|at| !self.unseen_slip(at)) {
            return Err(Violation::new("S3", format!("web-{n} is stopped while it is in rotation")));
        }
        let machine = &mut self.machines[n];
        (machine.up, machine.starting, machine.unused) = (false, false, true);
        if added && !down {
            machine.lb.fill(Lb::Unknown);
        }
        self.refresh(n);
        Ok(if added && down {
            Outcome::UpdateFailed { reason: "it is stopped, but a balancer cannot be reached".to_owned() }
        } else {
            Outcome::Updated
        })
    }

    fn await_idle(&mut self, n: usize, flight: &Flight) -> Heard {
        let machine = &self.machines[n];
        if self.now < machine.sessions_until {
            let sessions = 1 + u32::try_from((machine.sessions_until - self.now) / 1000).unwrap_or(0);
            return (Some(Input::Sessions { instance: id(n), sessions }), Some(LOOK));
        }
        let rotation = machine.rotation(self.is_well(n));
        if rotation.is_in() {
            let rotations = BTreeMap::from([(id(n), rotation)]);
            return (Some(Input::Rotations { at: self.at(), rotations }), Some(LOOK));
        }
        (Some(Input::Outcome { effect: flight.effect.id.clone(), outcome: Outcome::Idle }), None)
    }

    /// What happened at `at` need not have been seen yet.
    pub(crate) fn unseen(&self, at: u64) -> bool {
        let health = &self.scenario.plan.policy.health;
        let probes = health.watch_interval.times(u64::from(health.retries.max(1)) + 2);
        let slack = health.interval.times(2).as_millis() + 2000;
        self.now <= at.max(self.aware_since) + probes.as_millis() + slack
    }
}
