//! The engine in this process, with real drivers where the fault is theirs, and hosts that update in memory.
//!
//! Imports: runner, core, journal, ports, model. May not: sleep without a condition.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rollout::clock::SystemClock;
use rollout::command::{Command, Refusal, Request};
use rollout::core::{PlanRequest, Planned, Selection, plan};
use rollout::event::{Actor, Event, EventKind};
use rollout::journal::Memory;
use rollout::model::{
    Count, DeploymentId, InstanceId, LbStats, Observation, Policy, Rotation, Sample, SampleResult, Span, Target, Version,
};
use rollout::os::logring::LogRing;
use rollout::ports::{
    Engine as _, FleetDriver, FleetError, Journal as _, Prober, Snapshot, TrafficDriver, TrafficError, UpdateOrder,
};
use rollout::runner::{Handle, Parts, Stopped, start, survey};
use rollout::state::State;
use tokio::sync::Semaphore;

/// The longest that a test waits for a deployment; only a failing test ever waits that long.
const LONGEST: Duration = Duration::from_secs(30);

/// What an update does to the instance itself.
type Effect = Box<dyn Fn(&InstanceId, &Version) + Send + Sync>;

/// Hosts whose updates are remembered, and may be held back.
pub(crate) struct Hosts {
    versions: Mutex<BTreeMap<InstanceId, Version>>,
    updates: Mutex<Vec<String>>,
    /// One permit lets one update end.
    pub(crate) gate: Semaphore,
    effect: Effect,
}

impl Hosts {
    /// Updates end at once.
    pub(crate) fn ready(effect: impl Fn(&InstanceId, &Version) + Send + Sync + 'static) -> Arc<Self> {
        Self::with(1000, effect)
    }

    /// Updates wait for permits.
    pub(crate) fn gated() -> Arc<Self> {
        Self::gated_with(|_, _| ())
    }

    pub(crate) fn gated_with(effect: impl Fn(&InstanceId, &Version) + Send + Sync + 'static) -> Arc<Self> {
        Self::with(0, effect)
    }

    fn with(permits: usize, effect: impl Fn(&InstanceId, &Version) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            versions: Mutex::default(),
            updates: Mutex::default(),
            gate: Semaphore::new(permits),
            effect: Box::new(effect),
        })
    }

    /// Updates that were begun, in order, as `web-01 v2`.
    pub(crate) fn updates(&self) -> Vec<String> {
        lock(&self.updates).clone()
    }
}

impl FleetDriver for Hosts {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        let version = lock(&self.versions).get(&target.id).cloned().or_else(|| Version::new("v1").ok());
        Box::pin(async { Ok(Observation { version, running: Some(true), ended: None }) })
    }

    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        lock(&self.updates).push(format!("{} {}", order.target.id, order.version));
        Box::pin(async {
            self.gate.acquire().await.expect("a permit").forget();
            lock(&self.versions).insert(order.target.id.clone(), order.version.clone());
            (self.effect)(&order.target.id, &order.version);
            Ok(())
        })
    }
}

/// A balancer that obeys, in memory.
#[derive(Default)]
pub(crate) struct Obeys(Mutex<BTreeSet<InstanceId>>);

impl TrafficDriver for Obeys {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        let out = lock(&self.0).clone();
        let rotation = move |id: &InstanceId| if out.contains(id) { Rotation::Draining } else { Rotation::Serving };
        Box::pin(async move { Ok(targets.iter().map(|t| (t.id.clone(), rotation(&t.id))).collect()) })
    }

    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        lock(&self.0).insert(target.id.clone());
        Box::pin(async { Ok(Some(0)) })
    }

    fn sessions<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(Some(0)) })
    }

    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        lock(&self.0).remove(&target.id);
        Box::pin(async { Ok(()) })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A probe that always passes: the fault is the balancer's.
pub(crate) struct Passes;

impl Prober for Passes {
    fn probe<'a>(&'a self, _target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        let (at, result) = (SystemClock::new().now(), SampleResult::Pass { status: Some(200) });
        let sample = Sample { at, latency: Span::from_millis(1), result, version: expect.cloned() };
        Box::pin(async { sample })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The contract's rules with short times, one instance after the other.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.strategy.batch_size = vec![Count::Absolute(1)];
    policy.strategy.batch_pause = Span::from_millis(50);
    policy.strategy.max_unavailable = Count::Absolute(1);
    policy.strategy.progress_timeout = Span::ZERO;
    policy.drain.timeout = Span::from_secs(1);
    policy.health.interval = Span::from_millis(50);
    policy.health.watch_interval = Span::from_millis(50);
    policy.health.timeout = Span::from_millis(500);
    policy.health.start_timeout = Span::from_secs(3);
    policy.health.deadline = Span::from_secs(5);
    policy.health.expects_version = true;
    policy.rollback.max_unavailable = Count::Absolute(1);
    policy
}

/// What a test puts together.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) traffic: Arc<dyn TrafficDriver>,
    pub(crate) prober: Arc<dyn Prober>,
    pub(crate) targets: Vec<Target>,
    pub(crate) policy: Policy,
}

impl Setting {
    fn parts(&self) -> (Parts, Arc<Memory>) {
        let journal = Arc::new(Memory::new("shop"));
        let parts = Parts {
            clock: SystemClock::new().port(),
            fleet: self.hosts.clone(),
            traffic: self.traffic.clone(),
            prober: self.prober.clone(),
            vip: None,
            analyst: None,
            hooks: None,
            journal: journal.clone(),
            words: Arc::new(rollout::os::text::sanitise),
        };
        (parts, journal)
    }

    async fn plan(&self, parts: &Parts, allow_outage: bool) -> Result<Planned, Refusal> {
        plan(PlanRequest {
            deployment: DeploymentId::new("shop", 1),
            env: "default".to_owned(),
            version: Version::new("v2").expect("a version"),
            started_by: "ana".to_owned(),
            policy: self.policy.clone(),
            surveys: survey(parts, &self.targets).await.expect("the balancers can be read"),
            targets: self.targets.clone(),
            allow_outage,
            restart: false,
            selection: Selection::default(),
            left_out: BTreeSet::new(),
            spares: Vec::new(),
            undo: None,
        })
    }

    /// The plan's refusal, in words.
    pub(crate) async fn refusal(&self) -> String {
        let (parts, _) = self.parts();
        self.plan(&parts, false).await.expect_err("it is refused").to_string()
    }

    /// Plans and begins.
    pub(crate) async fn begin(&self) -> Engine {
        self.begin_with(false).await
    }

    pub(crate) async fn begin_with(&self, allow_outage: bool) -> Engine {
        let (parts, journal) = self.parts();
        let planned = self.plan(&parts, allow_outage).await.expect("a plan");
        let Planned::Plan(plan) = planned else { panic!("there is something to do: {planned:?}") };
        let handle = start(parts, *plan, LogRing::new()).expect("an engine");
        let engine = Engine { handle, journal };
        engine.send(Command::Start).await;
        engine
    }
}

/// A deployment under way.
pub(crate) struct Engine {
    handle: Handle,
    journal: Arc<Memory>,
}

impl Engine {
    pub(crate) async fn send(&self, command: Command) {
        let actor = Actor::operator("ana", 1000);
        let request = Request { key: format!("{command:?}"), actor, revision: None, command };
        self.handle.bus.send(request).await.expect("it is done");
    }

    /// Looks at it until `look` finds something. Longer than any of the engine's own deadlines here.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Snapshot) -> Option<T>) -> T {
        let looking = async {
            loop {
                let now = self.handle.bus.snapshot().await.unwrap_or_else(|e| panic!("{what}: {e}"));
                if let Some(found) = look(&now) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONGEST, looking).await.unwrap_or_else(|_| panic!("in vain: {what}; {:?}", self.kinds()))
    }

    /// Waits for the instance to have that word, e.g. `updating`.
    pub(crate) async fn word(&self, id: &str, word: &str) {
        let what = format!("{id} {word}");
        self.until(&what, |now| (instance(&now.state, id).shown().word() == word).then_some(())).await;
    }

    /// The trouble that is shown for an instance, once it contains `part`.
    pub(crate) async fn trouble(&self, id: &str, part: &str) -> String {
        let id = InstanceId::new(id).expect("an id");
        self.until(part, |now| now.progress.readings.get(&id)?.trouble.clone().filter(|text| text.contains(part))).await
    }

    /// Waits for the pause, and returns why.
    pub(crate) async fn paused(&self) -> String {
        self.until("a pause", |now| now.state.pause.as_ref().map(|halt| halt.reason.clone())).await
    }

    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        kinds(&self.journal)
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Ended {
        let bus = self.handle.bus.clone();
        let Ok(stopped) = tokio::time::timeout(LONGEST, self.handle.stopped()).await else {
            let now = bus.snapshot().await.map(|now| (now.state.pause, now.state.active, now.progress.readings));
            panic!("it does not end: {now:?}, {:?}", kinds(&self.journal));
        };
        let Stopped::Ended(state) = stopped else { panic!("it ended otherwise: {stopped:?}") };
        Ended { state: *state, kinds: kinds(&self.journal) }
    }
}

fn kinds(journal: &Memory) -> Vec<EventKind> {
    let events = journal.read(&DeploymentId::new("shop", 1)).expect("a journal");
    events.into_iter().map(|event: Event| event.kind).collect()
}

/// A deployment that is over.
pub(crate) struct Ended {
    pub(crate) state: State,
    pub(crate) kinds: Vec<EventKind>,
}

impl Ended {
    pub(crate) fn status(&self) -> &'static str {
        self.state.status().word()
    }

    /// Why an instance is listed as failed.
    pub(crate) fn failure(&self, id: &str) -> String {
        instance(&self.state, id).failure.as_ref().unwrap_or_else(|| panic!("{id} failed")).reason.clone()
    }

    pub(crate) fn word(&self, id: &str) -> &'static str {
        instance(&self.state, id).shown().word()
    }

    /// The instances that need a person, as `web-01: why`.
    pub(crate) fn exceptions(&self) -> Vec<String> {
        self.state.exceptions().iter().map(|e| format!("{}: {}", e.instance, e.reason)).collect()
    }
}

pub(crate) fn instance<'a>(state: &'a State, id: &str) -> &'a rollout::state::Instance {
    state.instance(&InstanceId::new(id).expect("an id")).expect("it is in the plan")
}
