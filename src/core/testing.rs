//! A deployment for tests beside the code: three lines bring it to any point.
//!
//! Imports: state, event, model, core. May not: be part of a build that is not a test.

use crate::command::{Command, Request};
use crate::effect::{EffectKind, Outcome};
use crate::event::{Actor, Event, EventKind, FORMAT};
use crate::model::{
    AnalysisPolicy, Canary, CanaryStep, Check, DeploymentId, DeploymentKind, EffectId, Hook, HookAt, HookClass, InstanceId,
    Measurement, Member, Plan, Policy, Quantity, Rotation, Sample, SampleResult, Seq, Span, Survey, Target, Timestamp, Unit,
    Version,
};
use crate::state::State;

use super::{Input, Observed, turn, wanted};

/// `web-01` …
pub(super) fn id(number: u32) -> InstanceId {
    InstanceId::new(&format!("web-{number:02}")).unwrap()
}

/// The contract's defaults.
pub(super) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.health.expects_version = true;
    policy
}

/// A fleet of `total` on `v1`, all serving.
pub(super) fn members(total: u32) -> Vec<Member> {
    (1..=total)
        .map(|n| Member {
            target: Target {
                id: id(n),
                host: "127.0.0.1".to_owned(),
                port: 8080,
                zone: None,
                labels: std::collections::BTreeMap::new(),
            },
            previous: Some(Version::new("v1").unwrap()),
            wanted: Version::new("v2").unwrap(),
            rotation: Rotation::Serving,
            healthy: true,
            health: "200 in 5ms".to_owned(),
            at_version: false,
            excluded: None,
            left_out: false,
            spare: false,
        })
        .collect()
}

pub(super) fn cancel() -> Command {
    Command::Cancel { reason: String::new() }
}

pub(super) fn rollback() -> Command {
    Command::Rollback { reason: String::new(), only: None }
}

pub(super) fn pause() -> Command {
    Command::Pause { reason: String::new() }
}

/// Steps before the rest; with weights.
#[expect(clippy::unnecessary_wraps, reason = "as a policy has it")]
pub(super) fn weighted(steps: Vec<CanaryStep>) -> Option<Canary> {
    Some(Canary { steps, weighted: true })
}

pub(super) fn percent(percent: u8) -> CanaryStep {
    CanaryStep::Weight { percent }
}

/// One check of the share of errors, which must not be above one in a hundred.
pub(super) fn one_check() -> AnalysisPolicy {
    AnalysisPolicy {
        checks: vec![Check {
            name: "error_rate".to_owned(),
            unit: Unit::Share,
            max: Quantity::new(0.01),
            min: None,
            max_ratio: None,
            min_samples: 10,
        }],
        interval: Span::from_secs(10),
        max_failures: 0,
        max_inconclusive: 3,
        from_step: 1,
    }
}

/// A hook of half a minute that is tried once.
pub(super) fn a_hook(name: &str, at: HookAt, class: HookClass) -> Hook {
    Hook { name: name.to_owned(), at, class, timeout: Span::from_secs(30), retries: 0 }
}

/// A deployment from `v1` to `v2` and its past.
#[derive(Clone)]
pub(super) struct Fixture {
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) observed: Observed,
    pub(super) now: Timestamp,
    pub(super) events: Vec<Event>,
    /// Untouched instances answer well when they are looked at.
    pub(super) peers_are_well: bool,
}

impl Fixture {
    pub(super) fn new(total: u32) -> Self {
        Self::of(Plan {
            deployment: DeploymentId::new("shop", 1),
            kind: DeploymentKind::Deploy,
            service: "shop".to_owned(),
            env: "default".to_owned(),
            version: Version::new("v2").unwrap(),
            started_by: "ana".to_owned(),
            members: members(total),
            restart: false,
            policy: policy(),
        })
    }

    fn of(plan: Plan) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let kind = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan.clone()) };
        let event = Event { seq: Seq(1), at: now, deployment: plan.deployment.clone(), kind };
        let state = State::begin(&event).unwrap();
        Self { plan, state, observed: Observed::default(), now, events: vec![event], peers_are_well: true }
    }

    pub(super) fn with<T>(mut self, change: impl FnOnce(&mut Policy) -> T) -> Self {
        change(&mut self.plan.policy);
        Self::of(self.plan)
    }

    pub(super) fn with_member(mut self, number: usize, change: impl FnOnce(&mut Member)) -> Self {
        change(&mut self.plan.members[number - 1]);
        Self::of(self.plan)
    }

    /// With so many spares behind the fleet: nothing runs there yet, and no balancer knows them.
    pub(super) fn with_spares(mut self, spares: u32) -> Self {
        let total = self.plan.total();
        let spare = |member: Member| Member {
            spare: true,
            previous: None,
            rotation: Rotation::Missing,
            healthy: false,
            health: "not listening".to_owned(),
            ..member
        };
        self.plan.members.extend(members(total + spares).into_iter().skip(total as usize).map(spare));
        Self::of(self.plan)
    }

    /// What a look at a place finds where nothing runs yet.
    pub(super) fn nothing_there(&self, rotation: Rotation) -> Survey {
        let health = Sample { at: self.now, latency: Span::ZERO, result: SampleResult::NotListening, version: None };
        Survey { version: None, rotation, health }
    }

    pub(super) fn started(mut self) -> Self {
        self.command(Command::Start);
        self
    }

    pub(super) fn input(&mut self, input: &Input) -> Vec<EventKind> {
        let mut events = self.one_input(input);
        while self.peers_are_well && self.state.is_looking() {
            let look = self.state.look.clone().unwrap();
            let unseen = |id: &InstanceId| self.observed.of(id).and_then(|s| s.last.as_ref()).is_none_or(|s| s.at < look.from);
            let peers = look.peers.iter().map(|&index| self.state.instances.get_index(index).unwrap().0.clone());
            let Some(peer) = peers.into_iter().find(|id| unseen(id)) else { break };
            let result = SampleResult::Pass { status: Some(200) };
            let sample = Sample { at: self.now, latency: Span::from_millis(5), result, version: None };
            events.extend(self.one_input(&Input::Sample { instance: peer, sample }));
        }
        events
    }

    fn one_input(&mut self, input: &Input) -> Vec<EventKind> {
        let events = turn(&mut self.state, &mut self.observed, self.now, input).unwrap();
        assert_eq!(State::replay(self.events.iter().chain(&events)).unwrap(), self.state, "replay equals the live state");
        self.events.extend(events.iter().cloned());
        events.into_iter().map(|e| e.kind).collect()
    }

    pub(super) fn command(&mut self, command: Command) -> Vec<EventKind> {
        let actor = Actor::operator("ana", 1000);
        self.input(&Input::Command(Request { key: "k".to_owned(), actor, revision: None, command }))
    }

    pub(super) fn wait(&mut self, span: Span) -> Vec<EventKind> {
        self.now = self.now + span;
        self.input(&Input::Tick)
    }

    /// The id of the act that is wanted on the instance, other than its watch.
    pub(super) fn act(&self, number: u32) -> Option<EffectId> {
        let acts = wanted(&self.state).into_iter().filter(|e| e.instance == Some(id(number)));
        acts.filter(|e| e.kind.word() != "watch").map(|e| e.id).next()
    }

    pub(super) fn outcome(&mut self, number: u32, outcome: Outcome) -> Vec<EventKind> {
        let effect = self.act(number).unwrap_or_else(|| panic!("no act is wanted on {}", id(number)));
        self.input(&Input::Outcome { effect, outcome })
    }

    pub(super) fn sample(&mut self, number: u32, result: SampleResult) -> Vec<EventKind> {
        self.now = self.now + Span::from_millis(10);
        let sample = Sample { at: self.now, latency: Span::from_millis(5), result, version: None };
        self.input(&Input::Sample { instance: id(number), sample })
    }

    pub(super) fn passes(&mut self, number: u32, times: u32) {
        for _ in 0..times {
            self.sample(number, SampleResult::Pass { status: Some(200) });
        }
    }

    pub(super) fn misses(&mut self, number: u32, times: u32) {
        for _ in 0..times {
            self.sample(number, SampleResult::Miss { reason: "status 503".to_owned() });
        }
    }

    pub(super) fn survey(&self, number: u32, version: &str) -> Survey {
        let _ = number;
        Survey {
            version: Some(Version::new(version).unwrap()),
            rotation: Rotation::Serving,
            health: Sample {
                at: self.now,
                latency: Span::from_millis(5),
                result: SampleResult::Pass { status: Some(200) },
                version: None,
            },
        }
    }

    /// The last look finds it well: its drain is ordered.
    pub(super) fn check(&mut self, number: u32) {
        let survey = self.survey(number, "v1");
        self.outcome(number, Outcome::Surveyed { survey });
    }

    /// Checked, drained and updated: the gate is open.
    pub(super) fn bring_to_gate(&mut self, number: u32) {
        self.check(number);
        self.outcome(number, Outcome::TakenOut { sessions: Some(0) });
        self.outcome(number, Outcome::Updated);
    }

    /// All the way to healthy.
    pub(super) fn bring_to_healthy(&mut self, number: u32) {
        self.bring_to_gate(number);
        self.passes(number, 2);
        self.outcome(number, Outcome::Admitted);
    }

    /// Every balancer confirms that it is out, and nothing is left to end.
    pub(super) fn taken_out(&mut self, number: u32) {
        self.outcome(number, Outcome::TakenOut { sessions: Some(0) });
    }

    /// From `Restoring` back to serving.
    pub(super) fn restore(&mut self, number: u32) {
        self.taken_out(number);
        self.restore_rest(number);
    }

    /// From `Updating` back to serving.
    pub(super) fn restore_rest(&mut self, number: u32) {
        self.outcome(number, Outcome::Updated);
        self.passes(number, 2);
        self.outcome(number, Outcome::Admitted);
    }

    /// The end check finds every instance as `versions` says.
    pub(super) fn end_check(&mut self, version: impl Fn(u32) -> &'static str) -> Vec<EventKind> {
        let surveys = (1..=self.state.total()).map(|n| (id(n), Ok(self.survey(n, version(n))))).collect();
        let effect = self.fleet_act("survey-fleet").expect("the end check is wanted").id;
        self.input(&Input::Outcome { effect, outcome: Outcome::FleetSurveyed { surveys, vip: None, lb: None } })
    }

    /// The act of this kind that is wanted on the fleet as a whole.
    pub(super) fn fleet_act(&self, word: &str) -> Option<crate::effect::Effect> {
        super::wanted_for_fleet(&self.state).into_iter().find(|effect| effect.kind.word() == word)
    }

    /// The balancers confirm the weights that are wanted.
    pub(super) fn weigh(&mut self) -> Vec<EventKind> {
        let effect = self.fleet_act("weigh").expect("weights are wanted");
        let EffectKind::Weigh { weights } = effect.kind else { unreachable!() };
        self.input(&Input::Outcome { effect: effect.id, outcome: Outcome::Weighed { weights } })
    }

    /// The hook that runs ends.
    pub(super) fn hook_ends(&mut self, failure: Option<&str>) -> Vec<EventKind> {
        let effect = self.fleet_act("hook").expect("a hook is wanted").id;
        self.input(&Input::Outcome { effect, outcome: Outcome::HookEnded { failure: failure.map(str::to_owned) } })
    }

    /// The name of the hook that runs.
    pub(super) fn hook(&self) -> Option<String> {
        match self.fleet_act("hook")?.kind {
            EffectKind::RunHook { hook, .. } => Some(hook),
            _ => None,
        }
    }

    /// A check is measured, a moment later.
    pub(super) fn measured(&mut self, check: &str, measurement: Measurement) -> Vec<EventKind> {
        self.now = self.now + Span::from_millis(10);
        self.input(&Input::Measured { check: check.to_owned(), at: self.now, measurement })
    }

    /// A share of errors, of those on the new version and of the untouched.
    pub(super) fn errors(&mut self, touched: f64, untouched: Option<f64>) -> Vec<EventKind> {
        let quantity = |value: f64| Quantity::new(value).unwrap();
        let (touched, untouched) = (quantity(touched), untouched.map(quantity));
        self.measured("error_rate", Measurement::Value { touched, untouched, samples: Some(100) })
    }

    /// Its source says nothing.
    pub(super) fn nothing(&mut self) -> Vec<EventKind> {
        self.measured("error_rate", Measurement::Nothing { why: "no data".to_owned() })
    }

    /// What it says that it waits for.
    pub(super) fn waits_for(&self) -> String {
        let waiting = super::waiting(&self.state).expect("it has not ended");
        let until = waiting.until.filter(|until| *until <= self.now);
        assert_eq!(until, None, "{} is over already", waiting.what);
        waiting.what
    }

    /// The way of one that is taken in a canary: as `bring_to_healthy`, with the weights confirmed when they are wanted.
    pub(super) fn bring_to_carry(&mut self, number: u32) {
        self.bring_to_gate(number);
        if self.fleet_act("weigh").is_some() {
            self.weigh();
        }
        self.passes(number, 2);
        self.outcome(number, Outcome::Admitted);
    }

    pub(super) fn word(&self, number: u32) -> &'static str {
        self.state.instance(&id(number)).unwrap().shown().word()
    }
}
