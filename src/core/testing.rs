//! A deployment for tests beside the code: three lines bring it to any point.
//!
//! Imports: state, event, model, core. May not: be part of a build that is not a test.

use crate::command::{Command, Request};
use crate::effect::Outcome;
use crate::event::{Actor, Event, EventKind, FORMAT};
use crate::model::{
    DeploymentId, DeploymentKind, EffectId, InstanceId, Member, Plan, Policy, Rotation, Sample, SampleResult, Seq, Span, Survey,
    Target, Timestamp, Version,
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
        self.outcome(number, Outcome::Updated);
        self.passes(number, 2);
        self.outcome(number, Outcome::Admitted);
    }

    /// The end check finds every instance as `versions` says.
    pub(super) fn end_check(&mut self, version: impl Fn(u32) -> &'static str) -> Vec<EventKind> {
        let surveys = (1..=self.state.total()).map(|n| (id(n), Ok(self.survey(n, version(n))))).collect();
        let effect = super::wanted_for_fleet(&self.state).pop().expect("the end check is wanted").id;
        self.input(&Input::Outcome { effect, outcome: Outcome::FleetSurveyed { surveys, vip: None, lb: None } })
    }

    pub(super) fn word(&self, number: u32) -> &'static str {
        self.state.instance(&id(number)).unwrap().shown().word()
    }
}
