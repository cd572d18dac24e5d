//! A simulated fleet with its balancer, and a controller that can be killed after every append.

use std::collections::BTreeMap;

use rollout::command::{Command, Request};
use rollout::core::{Input, Observed, next_deadline, turn, wanted};
use rollout::effect::{Effect, EffectKind, Outcome};
use rollout::event::{Actor, Event, EventKind, FORMAT};
use rollout::model::{EffectId, InstanceId, Member, Plan, Rotation, Sample, SampleResult, Seq, Span, Survey, Timestamp, Version};
use rollout::state::State;

use crate::chaos::{Chaos, Fault};

/// One instance as it really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) version: Version,
    pub(crate) rotation: Rotation,
    /// Updates that really ran, by their ids.
    pub(crate) updates: Vec<EffectId>,
    /// A reload put it in rotation behind the controller's back.
    pub(crate) slipped: bool,
    /// Somebody else took it out, and has not put it back.
    pub(crate) foreign: bool,
}

/// When the controller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// After the append, before any act that it orders.
    BeforeEffects,
    /// After those acts had their effect, before their outcomes are known.
    AfterEffects,
}

/// What happens from outside: at which append, which command.
pub(crate) type Script = Vec<(usize, Command)>;

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) machines: BTreeMap<InstanceId, Machine>,
    pub(crate) journal: Vec<Event>,
    pub(crate) appends: usize,
    /// Passes the probe: by version.
    pub(crate) bad: Option<Version>,
    pub(crate) crash: Option<(usize, Crash)>,
    pub(crate) crashes: usize,
    /// What goes wrong by chance, if anything.
    pub(crate) chaos: Option<Chaos>,
    script: Script,
    in_flight: Vec<(Timestamp, Effect)>,
}

impl World {
    pub(crate) fn new(plan: &Plan, script: Script) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let unknown = Version::new("v0").unwrap();
        let machine = |member: &Member| Machine {
            version: member.previous.as_ref().unwrap_or(&unknown).clone(),
            rotation: member.rotation,
            updates: Vec::new(),
            slipped: false,
            foreign: false,
        };
        let machines = plan.members.iter().map(|m| (m.target.id.clone(), machine(m))).collect();
        let kind = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan.clone()) };
        let journal = vec![Event { seq: Seq(1), at: now, deployment: plan.deployment.clone(), kind }];
        Self {
            now,
            machines,
            journal,
            appends: 1,
            bad: None,
            crash: None,
            crashes: 0,
            chaos: None,
            script,
            in_flight: Vec::new(),
        }
    }

    /// Runs to the end of the deployment and returns its last state.
    pub(crate) fn run(&mut self) -> State {
        let mut state = State::replay(&self.journal).unwrap();
        let mut observed = Observed::default();
        let mut input = Input::Command(request(Command::Start));
        for _ in 0..100_000 {
            let events = turn(&mut state, &mut observed, self.now, &input).unwrap();
            if !events.is_empty() {
                let before = self.journal.len();
                self.journal.extend(events);
                self.appends += 1;
                match &self.chaos {
                    None => self.check(&state),
                    Some(chaos) => chaos.check(self, &state, before),
                }
                if self.dies(&state) {
                    state = State::replay(&self.journal).unwrap();
                    observed = Observed::default();
                    input = Input::Recovered(rollout::event::Takeover::default());
                    continue;
                }
            }
            if state.end.is_some() {
                assert_eq!(State::replay(&self.journal).unwrap(), state, "the journal tells the whole story");
                return state;
            }
            self.reconcile(&state);
            input = self.next_input(&state);
        }
        let last: Vec<String> = self.journal.iter().rev().take(12).map(|e| format!("{} {}", e.at, e.kind.words())).collect();
        panic!("no end in sight: {:?}\n{}", rollout::core::waiting(&state), last.join("\n"));
    }

    /// Starts what is wanted and not in flight, gives up what is in flight and no longer wanted.
    fn reconcile(&mut self, state: &State) {
        let wanted = wanted(state);
        self.in_flight.retain(|(_, effect)| wanted.contains(effect));
        for effect in wanted {
            if !self.in_flight.iter().any(|(_, e)| *e == effect) {
                let takes = match &effect.kind {
                    EffectKind::Update { .. } => 3000,
                    EffectKind::AwaitIdle => 700,
                    EffectKind::Watch { .. } | EffectKind::Survey => 5,
                    EffectKind::TakeOut | EffectKind::Admit | EffectKind::SurveyFleet => 20,
                    EffectKind::WatchRotation { .. } => 10,
                };
                self.in_flight.push((self.now + Span::from_millis(takes), effect));
            }
        }
    }

    fn next_input(&mut self, state: &State) -> Input {
        let idle = state.pause.is_some() && state.active.is_empty();
        if idle
            && self.script.is_empty()
            && let Some(chaos) = &mut self.chaos
        {
            return Input::Command(request(chaos.operator(state)));
        }
        if let Some(index) = self.script.iter().position(|(at, _)| *at <= self.appends || idle) {
            return Input::Command(request(self.script.remove(index).1));
        }
        let next = self.in_flight.iter().enumerate().min_by_key(|(i, (at, _))| (*at, *i)).map(|(i, (at, _))| (i, *at));
        let deadline = next_deadline(state, self.now);
        match (next, deadline) {
            (Some((_, at)), Some(deadline)) if deadline < at => {
                self.now = self.now.max(deadline);
                Input::Tick
            }
            (Some((index, at)), _) => {
                self.now = self.now.max(at);
                let (_, effect) = self.in_flight.remove(index);
                self.perform(&effect)
            }
            (None, Some(deadline)) => {
                self.now = self.now.max(deadline);
                Input::Tick
            }
            (None, None) => panic!("nothing to wait for: {:?}", rollout::core::waiting(state)),
        }
    }

    fn survey(&self, id: &InstanceId) -> Survey {
        let machine = &self.machines[id];
        let sick = self.chaos.as_ref().is_some_and(|chaos| chaos.is_sick(id, &machine.version));
        let result =
            if sick { SampleResult::Miss { reason: "status 503".to_owned() } } else { SampleResult::Pass { status: Some(200) } };
        let health = Sample { at: self.now, latency: Span::from_millis(5), result, version: None };
        Survey { version: Some(machine.version.clone()), rotation: machine.rotation, health }
    }

    /// The act's effect on the world, and what the controller hears of it.
    fn perform(&mut self, effect: &Effect) -> Input {
        match self.chaos.as_ref().map(|chaos| chaos.of(effect)) {
            Some(Fault::Stuck { after_effect }) => {
                if after_effect {
                    self.act(effect);
                }
                self.in_flight.push((self.now + Span::from_secs(100_000), effect.clone()));
                return Input::Trouble { instance: effect.instance.clone(), trouble: "no answer".to_owned() };
            }
            Some(Fault::Fails) => {
                return Input::Outcome {
                    effect: effect.id.clone(),
                    outcome: Outcome::UpdateFailed { reason: "exit code 1".to_owned() },
                };
            }
            Some(Fault::None) | None => {}
        }
        self.act(effect)
    }

    fn act(&mut self, effect: &Effect) -> Input {
        let id = effect.instance.clone();
        let outcome = |outcome| Input::Outcome { effect: effect.id.clone(), outcome };
        match (&effect.kind, id) {
            (EffectKind::SurveyFleet, _) => {
                let surveys = self.machines.keys().map(|id| (id.clone(), Ok(self.survey(id)))).collect();
                outcome(Outcome::FleetSurveyed { surveys, vip: None, lb: None })
            }
            (EffectKind::WatchRotation { every }, _) => {
                self.in_flight.push((self.now + *every, effect.clone()));
                if self.chaos.as_ref().is_some_and(|chaos| chaos.reloads(self.now)) {
                    self.reload();
                }
                if let Some(whom) = self.chaos.as_ref().and_then(|chaos| chaos.stranger(self.now, self.machines.len())) {
                    self.stranger(whom);
                }
                let rotations = self.machines.iter().map(|(id, machine)| (id.clone(), machine.rotation)).collect();
                Input::Rotations { at: self.now, rotations }
            }
            (EffectKind::Survey, Some(id)) => outcome(Outcome::Surveyed { survey: self.survey(&id) }),
            // A balancer's driver does not touch what is in maintenance.
            (EffectKind::TakeOut | EffectKind::Admit, Some(id)) if self.machines[&id].foreign => {
                self.in_flight.push((self.now + Span::from_millis(500), effect.clone()));
                Input::Trouble { instance: Some(id), trouble: "in maintenance, which we did not order".to_owned() }
            }
            (EffectKind::TakeOut, Some(id)) => {
                let machine = self.machine(&id);
                (machine.rotation, machine.slipped) = (Rotation::Draining, false);
                outcome(Outcome::TakenOut { sessions: Some(2) })
            }
            (EffectKind::AwaitIdle, Some(_)) => outcome(Outcome::Idle),
            (EffectKind::Admit, Some(id)) => {
                self.machine(&id).rotation = Rotation::Serving;
                outcome(Outcome::Admitted)
            }
            (EffectKind::Update { version, .. }, Some(id)) => {
                let machine = self.machine(&id);
                assert!(machine.rotation != Rotation::Serving || machine.slipped, "{id} is updated while it serves");
                // Drivers are idempotent on the id of the effect.
                if machine.updates.last() != Some(&effect.id) {
                    machine.updates.push(effect.id.clone());
                    machine.version = version.clone();
                }
                outcome(Outcome::Updated)
            }
            (EffectKind::Watch { every, expect, .. }, Some(id)) => {
                let version = self.machines[&id].version.clone();
                let sick = self.chaos.as_ref().is_some_and(|chaos| chaos.is_sick(&id, &version));
                let good = !sick && self.bad.as_ref() != Some(&version) && expect.as_ref().is_none_or(|e| *e == version);
                let result = if good {
                    SampleResult::Pass { status: Some(200) }
                } else {
                    SampleResult::Miss { reason: "status 503".to_owned() }
                };
                self.in_flight.push((self.now + *every, effect.clone()));
                Input::Sample {
                    instance: id,
                    sample: Sample { at: self.now, latency: Span::from_millis(5), result, version: None },
                }
            }
            (_, None) => unreachable!("only the readings are about the whole fleet"),
        }
    }

    /// Somebody else reloads the balancer: it forgets who was drained.
    fn reload(&mut self) {
        for machine in self.machines.values_mut().filter(|m| m.rotation == Rotation::Draining) {
            (machine.rotation, machine.slipped) = (Rotation::Serving, true);
        }
    }

    /// Somebody puts an instance in maintenance, or ends that.
    fn stranger(&mut self, whom: usize) {
        let machine = self.machines.values_mut().nth(whom).unwrap();
        machine.foreign = !machine.foreign;
        machine.rotation = if machine.foreign { Rotation::Maintenance } else { Rotation::Serving };
        machine.slipped = !machine.foreign;
    }

    fn machine(&mut self, id: &InstanceId) -> &mut Machine {
        self.machines.get_mut(id).unwrap()
    }

    fn dies(&mut self, state: &State) -> bool {
        let crash = self.crash.or_else(|| self.chaos.as_ref()?.crash(self.appends).filter(|_| self.crashes < 3));
        let Some((at, kind)) = crash else { return false };
        if at != self.appends || state.end.is_some() {
            return false;
        }
        self.crashes += 1;
        if kind == Crash::AfterEffects {
            self.reconcile(state);
            for (_, effect) in self.in_flight.clone() {
                if !matches!(effect.kind, EffectKind::Watch { .. } | EffectKind::WatchRotation { .. }) {
                    self.perform(&effect);
                }
            }
        }
        self.in_flight.clear();
        self.now = self.now + Span::from_secs(7);
        true
    }

    /// The budget and the floor, looked up in the world and not in the controller's opinion.
    fn check(&self, state: &State) {
        let out = self.machines.values().filter(|m| m.rotation != Rotation::Serving).count();
        let max = state.plan.policy.strategy.max_unavailable.floor_of(state.total()) as usize;
        assert!(out <= max, "{out} are out, {max} may be");
        assert!(self.machines.len() - out >= 1, "nobody serves");
    }
}

pub(crate) fn request(command: Command) -> Request {
    let actor = Actor::Operator { login: "ana".to_owned(), uid: 1000 };
    Request { key: "key".to_owned(), actor, revision: None, command }
}
