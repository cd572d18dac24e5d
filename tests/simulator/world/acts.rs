//! What the acts of a controller do to the world, and what it hears of them.

use std::collections::BTreeMap;

use rollout::core::Input;
use rollout::effect::{EffectKind, Outcome};
use rollout::model::{InstanceId, Rotation, Sample, SampleResult, Span, Survey, Timestamp, Version};
use rollout::state::State;

use super::{AGAIN, Flight, Lb, World, index};
use crate::scenario::id;

impl World {
    fn survey(&self, instance: usize) -> Survey {
        let machine = &self.machines[instance];
        let healthy = machine.up && !self.is_sick(instance);
        Survey {
            version: Some(machine.version.clone()),
            rotation: machine.rotation(healthy),
            health: self.sample(instance, None),
        }
    }

    fn sample(&self, instance: usize, expect: Option<&Version>) -> Sample {
        let machine = &self.machines[instance];
        let skew = self.controller.as_ref().map_or(0, |c| c.skew);
        let result = if !machine.up {
            SampleResult::NotListening
        } else if self.is_sick(instance) {
            SampleResult::Miss { reason: "status 503".to_owned() }
        } else if expect.is_some_and(|e| *e != machine.version) {
            SampleResult::Miss { reason: format!("reports {}", machine.version) }
        } else {
            SampleResult::Pass { status: Some(200) }
        };
        Sample { at: Timestamp::from_millis(self.wall(skew)), latency: Span::from_millis(5), result, version: None }
    }

    /// What an act does to the world, what the controller hears of it, and after how long it looks again.
    pub(super) fn perform(&mut self, flight: &Flight, state: &State) -> (Option<Input>, Option<u64>) {
        let effect = &flight.effect;
        let down = self.balancer_down.iter().any(|until| self.now < *until);
        let outcome = |outcome| (Some(Input::Outcome { effect: effect.id.clone(), outcome }), None);
        let trouble =
            |why: &str| (Some(Input::Trouble { instance: effect.instance.clone(), trouble: why.to_owned() }), Some(AGAIN));
        let at = Timestamp::from_millis(self.wall(self.controller.as_ref().map_or(0, |c| c.skew)));
        let Some(instance) = index(effect) else {
            if down {
                let every = if let EffectKind::WatchRotation { every } = effect.kind { every.as_millis() } else { AGAIN };
                return (None, Some(every.max(100)));
            }
            let total = self.machines.len();
            return match &effect.kind {
                EffectKind::SurveyFleet => {
                    let surveys = (0..total).map(|n| (id(n), Ok(self.survey(n)))).collect();
                    outcome(Outcome::FleetSurveyed { surveys, vip: None, lb: None })
                }
                EffectKind::WatchRotation { every } => {
                    let of = |n: usize| (id(n), self.machines[n].rotation(self.machines[n].up && !self.is_sick(n)));
                    let rotations: BTreeMap<InstanceId, Rotation> = (0..total).map(of).collect();
                    (Some(Input::Rotations { at, rotations }), Some(every.as_millis().max(100)))
                }
                _ => (None, None),
            };
        };
        match &effect.kind {
            EffectKind::Survey if down => trouble("no balancer"),
            EffectKind::Survey => outcome(Outcome::Surveyed { survey: self.survey(instance) }),
            EffectKind::TakeOut | EffectKind::Admit | EffectKind::AwaitIdle if down => trouble("a balancer cannot be reached"),
            EffectKind::TakeOut | EffectKind::Admit if self.machines[instance].lb.contains(&Lb::Maintenance) => {
                trouble("in maintenance, which we did not order")
            }
            EffectKind::TakeOut => {
                let late = self.now + self.rng.below(9000);
                let machine = &mut self.machines[instance];
                if machine.lb.contains(&Lb::In) {
                    machine.sessions_until = late;
                }
                machine.lb.fill(Lb::Drain);
                machine.slipped = false;
                let left = u32::from(machine.sessions_until > self.now) * 3;
                outcome(Outcome::TakenOut { sessions: Some(left) })
            }
            EffectKind::AwaitIdle => self.await_idle(instance, flight, at),
            EffectKind::Admit => {
                let fit = self.machines[instance].up && !self.is_sick(instance);
                self.checks.admits(instance, state, self.machines[instance].passes);
                self.machines[instance].lb.fill(Lb::In);
                if fit { outcome(Outcome::Admitted) } else { trouble("down by its own check") }
            }
            EffectKind::Update { version, .. } => self.update(instance, flight, version),
            EffectKind::Watch { every, expect, .. } => {
                let sample = self.sample(instance, expect.as_ref());
                let machine = &mut self.machines[instance];
                machine.passes = if sample.passed() { machine.passes + 1 } else { 0 };
                (Some(Input::Sample { instance: id(instance), sample }), Some(every.as_millis().max(10)))
            }
            EffectKind::SurveyFleet | EffectKind::WatchRotation { .. } => (None, None),
        }
    }

    fn await_idle(&mut self, instance: usize, flight: &Flight, at: Timestamp) -> (Option<Input>, Option<u64>) {
        let machine = &self.machines[instance];
        if machine.lb.contains(&Lb::In) {
            let rotation = machine.rotation(machine.up && !self.is_sick(instance));
            let slipped = rotation == Rotation::Serving || rotation == Rotation::Down;
            let rotations = BTreeMap::from([(id(instance), rotation)]);
            return (slipped.then_some(Input::Rotations { at, rotations }), Some(250));
        }
        if self.now < machine.sessions_until {
            let sessions = 1 + u32::try_from((machine.sessions_until - self.now) / 1000).unwrap_or(0);
            return (Some(Input::Sessions { instance: id(instance), sessions }), Some(250));
        }
        (Some(Input::Outcome { effect: flight.effect.id.clone(), outcome: Outcome::Idle }), None)
    }

    fn update(&mut self, instance: usize, flight: &Flight, version: &Version) -> (Option<Input>, Option<u64>) {
        let now = self.now;
        let machine = &mut self.machines[instance];
        let outcome = |outcome| (Some(Input::Outcome { effect: flight.effect.id.clone(), outcome }), None);
        if std::mem::take(&mut machine.hangs) {
            return (None, None);
        }
        machine.up = true;
        machine.passes = 0;
        machine.updated_at = now;
        if std::mem::take(&mut machine.fails) {
            return outcome(Outcome::UpdateFailed { reason: "exit code 1".to_owned() });
        }
        if std::mem::take(&mut machine.lies) {
            return outcome(Outcome::Updated);
        }
        // Drivers are idempotent on the id of the effect.
        if machine.updates.last() != Some(&flight.effect.id) {
            machine.updates.push(flight.effect.id.clone());
            machine.version = version.clone();
        }
        outcome(Outcome::Updated)
    }
}
