//! The engine's loop on a journal that fails: it holds, it mends, it can be stopped, and it never waits for what it has.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use rollout::clock::SystemClock;
use rollout::command::{Command, Request};
use rollout::core::{PlanRequest, Planned, Selection, plan};
use rollout::event::{Actor, Event, EventKind};
use rollout::journal::Memory;
use rollout::model::{
    Count, DeploymentId, InstanceId, LbStats, Observation, Plan, Policy, Rotation, Sample, SampleResult, Span, Target, Version,
};
use rollout::os::logring::LogRing;
use rollout::os::text::sanitise;
use rollout::ports::{
    DeploymentRow, Engine as _, FleetDriver, FleetError, Journal, JournalError, Prober, TrafficDriver, TrafficError, UpdateOrder,
};
use rollout::runner::{Handle, Parts, Stop, Stopped, start, survey};

/// A fleet in which everything works at once.
#[derive(Default)]
struct Works {
    updated: Mutex<BTreeMap<InstanceId, Version>>,
    out: Mutex<std::collections::BTreeSet<InstanceId>>,
}

impl FleetDriver for Works {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        let version = self.updated.lock().unwrap().get(&target.id).cloned().or_else(|| Version::new("v1").ok());
        Box::pin(async { Ok(Observation { version, running: Some(true), ended: None }) })
    }

    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        self.updated.lock().unwrap().insert(order.target.id.clone(), order.version.clone());
        Box::pin(async { Ok(()) })
    }
}

impl TrafficDriver for Works {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        let out = self.out.lock().unwrap().clone();
        let rotation = move |id: &InstanceId| if out.contains(id) { Rotation::Draining } else { Rotation::Serving };
        Box::pin(async move { Ok(targets.iter().map(|t| (t.id.clone(), rotation(&t.id))).collect()) })
    }

    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        self.out.lock().unwrap().insert(target.id.clone());
        Box::pin(async { Ok(Some(0)) })
    }

    fn sessions<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(Some(0)) })
    }

    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        self.out.lock().unwrap().remove(&target.id);
        Box::pin(async { Ok(()) })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Prober for Works {
    fn probe<'a>(&'a self, _target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        let at = SystemClock::new().now();
        let sample = Sample {
            at,
            latency: Span::from_millis(1),
            result: SampleResult::Pass { status: Some(200) },
            version: expect.cloned(),
        };
        Box::pin(async { sample })
    }
}

/// Stores, and then says that it has not: a lost answer to a commit.
struct Forgetful {
    stored: Memory,
    forgets: AtomicBool,
}

impl Journal for Forgetful {
    fn next_id(&self) -> Result<DeploymentId, JournalError> {
        self.stored.next_id()
    }

    fn append(&self, events: &[Event], row: &DeploymentRow) -> Result<(), JournalError> {
        self.stored.append(events, row)?;
        if self.forgets.swap(false, Ordering::SeqCst) {
            return Err(JournalError::Store { path: "here".to_owned(), reason: "the disk did not answer".to_owned() });
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), JournalError> {
        self.stored.check_writable()
    }

    fn read(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError> {
        self.stored.read(deployment)
    }

    fn list(&self) -> Result<Vec<DeploymentRow>, JournalError> {
        self.stored.list()
    }
}

/// The contract's rules with short times, one instance after the other.
fn policy() -> Policy {
    let short = Span::from_millis(20);
    let mut policy = Policy::default();
    policy.strategy.batch_size = vec![Count::Absolute(1)];
    policy.strategy.batch_pause = short;
    policy.strategy.max_unavailable = Count::Absolute(1);
    policy.strategy.progress_timeout = Span::ZERO;
    policy.drain.timeout = short;
    policy.health.interval = short;
    policy.health.watch_interval = short;
    policy.health.rise = 1;
    policy.health.expects_version = true;
    policy.rollback.max_unavailable = Count::Absolute(1);
    policy
}

fn parts(journal: Arc<dyn Journal>) -> Parts {
    let clock = SystemClock::new().port();
    let world = Arc::new(Works::default());
    Parts {
        clock,
        fleet: world.clone(),
        traffic: world.clone(),
        prober: world,
        vip: None,
        analyst: None,
        hooks: None,
        journal,
        words: Arc::new(sanitise),
    }
}

async fn planned(parts: &Parts) -> Plan {
    let target = |n: u32| Target {
        id: InstanceId::new(&format!("web-{n}")).unwrap(),
        host: "127.0.0.1".to_owned(),
        port: 1,
        zone: None,
        labels: BTreeMap::new(),
    };
    let targets: Vec<Target> = (1..=3).map(target).collect();
    let request = PlanRequest {
        deployment: parts.journal.next_id().unwrap(),
        env: "default".to_owned(),
        version: Version::new("v2").unwrap(),
        started_by: "ana".to_owned(),
        policy: policy(),
        surveys: survey(parts, &targets).await.unwrap(),
        targets,
        allow_outage: false,
        restart: false,
        selection: Selection::default(),
        left_out: std::collections::BTreeSet::new(),
        spares: Vec::new(),
        undo: None,
    };
    match plan(request).unwrap() {
        Planned::Plan(plan) => *plan,
        Planned::AlreadyThere(_) => unreachable!("it runs v1"),
    }
}

async fn engine(journal: Arc<dyn Journal>) -> Handle {
    let parts = parts(journal);
    let plan = planned(&parts).await;
    start(parts, plan, LogRing::new()).unwrap()
}

fn begin() -> Request {
    let actor = Actor::operator("ana", 1000);
    Request { key: "k".to_owned(), actor, revision: None, command: Command::Start }
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_engine_that_cannot_journal_can_still_be_stopped() {
    let journal = Arc::new(Memory::new("shop"));
    let handle = engine(journal.clone()).await;
    journal.refuse(Some("no space left on device"));
    handle.stop.send(Stop::AtSafePoint("SIGTERM")).await.unwrap();
    let stopped = tokio::time::timeout(SOON, handle.stopped()).await.expect("it stops");
    assert!(matches!(stopped, Stopped::Signalled(_)), "{stopped:?}");
    journal.refuse(None);
    let stored = journal.read(&DeploymentId::new("shop", 1)).unwrap();
    assert_eq!(stored.len(), 1, "only the plan is in the journal: it can be taken over");
}

#[tokio::test]
async fn on_a_full_disk_a_command_is_refused_and_readers_are_told_until_there_is_room() {
    let journal = Arc::new(Memory::new("shop"));
    let handle = engine(journal.clone()).await;
    journal.refuse(Some("no space left on device"));
    let bus = handle.bus.clone();
    let refused = tokio::time::timeout(SOON, bus.send(begin())).await.expect("an answer").unwrap_err().to_string();
    assert!(refused.contains("start cannot be recorded and is not done") && refused.contains("no space left"), "{refused}");
    let told = bus.snapshot().await.unwrap();
    assert!(told.progress.troubles[0].contains("nothing new begins"), "{:?}", told.progress.troubles);
    assert!(told.state.started_at.is_none(), "nothing is shown that is not stored");
    journal.refuse(None);
    let mended = async {
        while !bus.snapshot().await.unwrap().progress.troubles.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, mended).await.expect("it is seen by itself that there is room");
    bus.send(begin()).await.unwrap();
    assert!(matches!(tokio::time::timeout(SOON, handle.stopped()).await.unwrap(), Stopped::Ended(_)));
    let kinds = journal.read(&DeploymentId::new("shop", 1)).unwrap();
    let begun = kinds.iter().filter(|event| matches!(event.kind, EventKind::DeploymentStarted { .. })).count();
    assert_eq!(begun, 1, "the refused one left nothing behind");
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_waited_for_again() {
    let journal = Arc::new(Forgetful { stored: Memory::new("shop"), forgets: AtomicBool::new(false) });
    let handle = engine(journal.clone()).await;
    journal.forgets.store(true, Ordering::SeqCst);
    tokio::time::timeout(SOON, handle.bus.send(begin())).await.expect("it is stored: the command is answered").unwrap();
    assert!(matches!(tokio::time::timeout(SOON, handle.stopped()).await.unwrap(), Stopped::Ended(_)));
}
