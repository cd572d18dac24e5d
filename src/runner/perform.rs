//! Performs effects: starts what is wanted and not in flight, gives up what is in flight and no longer wanted.
//!
//! Imports: core, state, effect, event, ports, model, the bus. May not: decide; every outcome goes back as an input.

mod between;
mod scene;
mod spare;

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::core::{Input, wanted_for, wanted_for_fleet};
use crate::effect::{Effect, EffectKind, Outcome};
use crate::model::{InstanceId, LbStats, Rotation, Sample, SampleResult, Span, Target, Version};
use crate::os::{failpoint, program};
use crate::ports::{FleetError, HookOrder, TrafficError, UpdateOrder};
use crate::state::State;

use super::bus::Trouble;
use super::meter::Meter;
use super::survey::{patient, survey};
use super::{Bus, Parts};
use scene::Scene;

/// Inputs on their way to the core: outcomes and samples of all instances at work in one turn's time.
pub(super) const INPUTS: usize = 4096;
/// Probes under way at once: a bastion host has 1,024 descriptors by default.
const PROBES: usize = 256;
/// Between two tries of an act that did not succeed yet.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two looks at something that is about to change: a tenth of the time waited so far, within these.
const LOOK_MIN: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_millis(250);

/// Everything in flight.
pub(super) struct Performer {
    hands: Hands,
    in_flight: HashMap<Option<InstanceId>, Vec<(Effect, AbortHandle)>>,
    tasks: JoinSet<()>,
    shut_down: bool,
}

/// What a task needs.
#[derive(Clone)]
struct Hands {
    parts: Parts,
    bus: Bus,
    inputs: mpsc::Sender<Input>,
    probes: Arc<Semaphore>,
    meter: Arc<Mutex<Meter>>,
}

impl Performer {
    pub(super) fn new(parts: Parts, bus: Bus, inputs: mpsc::Sender<Input>) -> Self {
        let hands = Hands { parts, bus, inputs, probes: Arc::new(Semaphore::new(PROBES)), meter: Arc::default() };
        Self { hands, in_flight: HashMap::new(), tasks: JoinSet::new(), shut_down: false }
    }

    /// Brings what is in flight in line with what `state` wants of these instances and of the fleet.
    pub(super) fn reconcile(&mut self, state: &State, instances: impl IntoIterator<Item = usize>) {
        for index in instances {
            let Some((id, _)) = state.instances.get_index(index) else { continue };
            self.align(state, Some(id.clone()), wanted_for(state, index));
        }
        self.align(state, None, wanted_for_fleet(state));
        while self.tasks.try_join_next().is_some() {}
    }

    fn align(&mut self, state: &State, whose: Option<InstanceId>, wanted: Vec<Effect>) {
        let flying = self.in_flight.entry(whose).or_default();
        flying.retain(|(effect, task)| {
            let keep = wanted.contains(effect);
            if !keep {
                task.abort();
            }
            keep
        });
        for effect in wanted {
            if !flying.iter().any(|(e, _)| *e == effect) {
                tracing::debug!(target: "effect", "{} starts", effect.id);
                let task = self.tasks.spawn(perform(self.hands.clone(), effect.clone(), Scene::of(state, &effect)));
                flying.push((effect, task));
            }
        }
    }

    /// True while a driver brings an instance to a version.
    pub(super) fn is_updating(&self) -> bool {
        let flying = self.in_flight.values().flatten();
        flying
            .into_iter()
            .any(|(effect, task)| matches!(effect.kind, EffectKind::Update { .. } | EffectKind::Retire) && !task.is_finished())
    }

    /// Gives everything up and waits until all of it has let go, the programs that ran included.
    pub(super) async fn shutdown(&mut self) {
        self.shut_down = true;
        self.tasks.shutdown().await;
        program::stopped(None).await;
    }

    /// Nothing begins any more.
    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down
    }
}

async fn perform(hands: Hands, effect: Effect, scene: Scene) {
    let began = Instant::now();
    if let EffectKind::Update { .. } = effect.kind {
        failpoint::pass("task.perform");
    }
    let outcome = match (&effect.kind, &scene.target) {
        (EffectKind::SurveyFleet, _) => hands.survey_fleet(&scene).await,
        (EffectKind::WatchRotation { every }, _) => {
            hands.watch_rotation(&scene.fleet, *every).await;
            return;
        }
        (EffectKind::Watch { every, expect, attentive, startup }, Some(target)) => {
            let watch = Watch { every: *every, expect: expect.clone(), attentive: *attentive, startup: *startup };
            hands.watch(target, watch).await;
            return;
        }
        (EffectKind::Weigh { weights }, _) => hands.weigh(&scene.fleet, weights).await,
        (EffectKind::HoldWeights { weights, every }, _) => {
            hands.hold_weights(&scene.fleet, weights, *every).await;
            return;
        }
        (EffectKind::Measure { check, every }, _) => {
            hands.measure(&scene, check, *every).await;
            return;
        }
        (EffectKind::RunHook { hook, round, attempt, timeout }, _) => {
            let facts = hands.bus.with_state(|state| between::facts(state, hook, (*round, *attempt)));
            let order = HookOrder { effect: effect.id.clone(), hook: hook.clone(), timeout: *timeout, facts };
            hands.run_hook(&order).await
        }
        (EffectKind::Survey, Some(target)) => hands.survey(target, (scene.retries, scene.interval)).await,
        (EffectKind::TakeOut, Some(target)) => hands.take_out(target, scene.spare).await,
        (EffectKind::AwaitIdle, Some(target)) => hands.await_idle(target).await,
        (EffectKind::Admit, Some(target)) => hands.admit(target, scene.added).await,
        (EffectKind::Update { version, previous }, Some(target)) => {
            let order = UpdateOrder {
                effect: effect.id.clone(),
                target: target.clone(),
                version: version.clone(),
                previous: previous.clone(),
            };
            hands.update(&order).await
        }
        (EffectKind::Retire, Some(target)) => hands.retire(effect.id.clone(), target, (scene.version.clone(), scene.added)).await,
        (_, None) => {
            tracing::error!(target: "effect", "{} is about an instance that is not in the plan", effect.id);
            return;
        }
    };
    let who = effect.instance.as_ref().map_or("the fleet", InstanceId::as_str);
    tracing::info!(target: "effect", "{who}: {} took {}", effect.kind.word(), Span::from(began.elapsed()));
    failpoint::hit("effect", 1);
    hands.say(Input::Outcome { effect: effect.id, outcome }).await;
}

/// How an instance is watched.
struct Watch {
    every: Span,
    expect: Option<Version>,
    attentive: bool,
    startup: bool,
}

impl Hands {
    async fn say(&self, input: Input) {
        // The engine is gone: so is the reason for this task.
        drop(self.inputs.send(input).await);
    }

    async fn trouble(&self, target: Option<&Target>, trouble: &str) {
        let instance = target.map(|t| t.id.clone());
        if let Some(id) = &instance {
            tracing::warn!(target: "effect", "{id}: {trouble}");
            self.bus.reading(id, |r| r.trouble = Some(trouble.to_owned()));
        } else {
            tracing::warn!(target: "effect", "{trouble}");
        }
        self.say(Input::Trouble { instance, trouble: trouble.to_owned() }).await;
    }

    fn well(&self, target: &Target) {
        self.bus.reading(&target.id, |r| r.trouble = None);
    }

    async fn survey(&self, target: &Target, patience: (u32, Span)) -> Outcome {
        loop {
            match patient(&self.parts, target, patience).await {
                Ok(survey) => return Outcome::Surveyed { survey },
                Err(why) => self.trouble(Some(target), &why).await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What cannot be read, or does not serve, is looked at again before it is believed.
    async fn survey_fleet(&self, scene: &Scene) -> Outcome {
        let mut surveys = loop {
            match survey(&self.parts, &scene.fleet).await {
                Ok(surveys) => break surveys,
                Err(error) => self.trouble(None, &error.to_string()).await,
            }
            tokio::time::sleep(AGAIN).await;
        };
        for _ in 1..scene.retries {
            let in_doubt = |target: &&Target| !matches!(surveys.get(&target.id), Some(Ok(s)) if s.rotation == Rotation::Serving);
            let doubtful: Vec<Target> = scene.fleet.iter().filter(in_doubt).cloned().collect();
            if doubtful.is_empty() {
                break;
            }
            tokio::time::sleep(scene.interval.to_std()).await;
            if let Ok(again) = survey(&self.parts, &doubtful).await {
                surveys.extend(again);
            }
        }
        let vip = match &self.parts.vip {
            Some(vip) => vip.stop().await,
            None => None,
        };
        let lb = self.read_counters().await;
        Outcome::FleetSurveyed { surveys: surveys.into_iter().collect(), vip, lb }
    }

    /// Who is in rotation, again and again. A balancer that cannot be read now is read the next time; who depends on it
    /// will say so.
    async fn watch_rotation(&self, fleet: &[Target], every: Span) {
        let every = every.to_std().max(LOOK_MAX);
        // A watch that was given up may have left the word of its trouble.
        let mut lost = true;
        loop {
            let (at, began) = ((self.parts.clock)(), Instant::now());
            failpoint::pass("task.rotation");
            match self.parts.traffic.read(fleet).await {
                Ok(rotations) => {
                    if std::mem::take(&mut lost) {
                        self.bus.trouble(Trouble::Balancers, None);
                    }
                    self.say(Input::Rotations { at, rotations }).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut lost, true) {
                        tracing::warn!(target: "effect", "the balancers cannot be read: {error}");
                    }
                    self.bus.trouble(Trouble::Balancers, Some(format!("the balancers cannot be read: {error}")));
                }
            }
            if let Some(lb) = self.read_counters().await {
                self.bus.counted(lb);
            }
            tokio::time::sleep_until(began + every).await;
        }
    }

    async fn read_counters(&self) -> Option<LbStats> {
        let read = self.parts.traffic.counters().await;
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(counters) => meter.read(&counters),
            Err(error) => tracing::warn!(target: "effect", "the balancers' counters cannot be read: {error}"),
        }
        meter.total()
    }

    /// In rotation although it was taken out: a reload by somebody else, for example. The core decides what follows.
    async fn has_slipped(&self, target: &Target) -> bool {
        let at = (self.parts.clock)();
        let Ok(rotations) = self.parts.traffic.read(std::slice::from_ref(target)).await else { return false };
        let slipped = rotations.values().any(|r| r.is_in());
        if slipped {
            self.say(Input::Rotations { at, rotations }).await;
        }
        slipped
    }

    async fn take_out(&self, target: &Target, spare: bool) -> Outcome {
        loop {
            if spare && self.is_unknown(target).await {
                return Outcome::TakenOut { sessions: Some(0) };
            }
            match self.parts.traffic.take_out(target).await {
                Ok(sessions) => {
                    self.bus.reading(&target.id, |r| (r.sessions, r.trouble) = (sessions, None));
                    return Outcome::TakenOut { sessions };
                }
                Err(error) => self.trouble(Some(target), &error.to_string()).await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn await_idle(&self, target: &Target) -> Outcome {
        let began = Instant::now();
        loop {
            match self.parts.traffic.sessions(target).await {
                // Without connections because it is out, not because it was quiet for a moment.
                Ok(Some(0)) if self.has_slipped(target).await => tokio::time::sleep(LOOK_MAX).await,
                Ok(Some(0)) => {
                    self.bus.reading(&target.id, |r| (r.sessions, r.trouble) = (Some(0), None));
                    return Outcome::Idle;
                }
                Ok(sessions) => {
                    self.bus.reading(&target.id, |r| (r.sessions, r.trouble) = (sessions, None));
                    if let Some(sessions) = sessions {
                        self.say(Input::Sessions { instance: target.id.clone(), sessions }).await;
                    }
                    tokio::time::sleep(look_after(began)).await;
                }
                Err(error) => {
                    self.trouble(Some(target), &error.to_string()).await;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn admit(&self, target: &Target, added: bool) -> Outcome {
        let began = Instant::now();
        loop {
            let known = if added { self.parts.traffic.add(target).await } else { Ok(()) };
            let admitted = match known {
                Ok(()) => self.parts.traffic.admit(target).await,
                Err(error) => Err(error),
            };
            match admitted {
                Ok(()) => {
                    self.bus.reading(&target.id, |r| (r.sessions, r.trouble) = (None, None));
                    return Outcome::Admitted;
                }
                Err(TrafficError::NotConfirmed(why)) => {
                    // The balancer's own check takes its time: no trouble, but the reason if the deadline comes.
                    self.say(Input::Trouble { instance: Some(target.id.clone()), trouble: why }).await;
                    tokio::time::sleep(look_after(began)).await;
                }
                Err(error) => {
                    self.trouble(Some(target), &error.to_string()).await;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Started, outcome unknown: observe before anything else.
    async fn update(&self, order: &UpdateOrder) -> Outcome {
        let reason = match self.parts.fleet.update(order).await {
            Ok(()) => {
                self.well(&order.target);
                return Outcome::Updated;
            }
            Err(FleetError::Failed(reason)) => return Outcome::UpdateFailed { reason },
            Err(FleetError::Unknown(reason) | FleetError::Unreachable(reason)) => reason,
        };
        self.trouble(Some(&order.target), &format!("outcome of the update unknown: {reason}")).await;
        loop {
            match self.parts.fleet.observe(&order.target).await {
                Ok(seen) if seen.version.as_ref() == Some(&order.version) && seen.running != Some(false) => {
                    return Outcome::Updated;
                }
                Ok(seen) => {
                    let runs = seen.version.map_or_else(|| "an unknown version".to_owned(), |v| v.to_string());
                    return Outcome::UpdateFailed { reason: format!("{reason}; it runs {runs}") };
                }
                Err(error) => self.trouble(Some(&order.target), &error.to_string()).await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn watch(&self, target: &Target, mut watch: Watch) {
        if !watch.attentive {
            tokio::time::sleep(spread(&target.id, watch.every)).await;
        }
        let every = watch.every.to_std().max(Duration::from_millis(10));
        let (mut passes, mut misses) = (0_u32, 0_u32);
        loop {
            let began = Instant::now();
            let sample = {
                let Ok(_permit) = self.probes.acquire().await else { return };
                failpoint::pass("task.probe");
                self.look(target, &mut watch).await
            };
            let news = if sample.passed() { passes == 0 } else { true };
            (passes, misses) = if sample.passed() { (passes + 1, 0) } else { (0, misses + 1) };
            self.bus.reading(&target.id, |r| {
                (r.passes, r.misses, r.sample) = (passes, misses, Some(sample.clone()));
            });
            // Where nobody listens yet, looking again soon costs nothing, and the start is seen when it happens.
            let starting = watch.attentive && sample.result == SampleResult::NotListening;
            if watch.attentive || news {
                self.say(Input::Sample { instance: target.id.clone(), sample }).await;
            }
            tokio::time::sleep_until(began + if starting { (every / 10).max(LOOK_MIN) } else { every }).await;
        }
    }

    /// A probe; where nobody listens, the driver is asked whether the process is gone.
    async fn look(&self, target: &Target, watch: &mut Watch) -> Sample {
        let begun = if watch.startup { self.parts.prober.started(target).await } else { None };
        let mut sample = match begun {
            Some(not_yet) if !not_yet.passed() => not_yet,
            Some(_) | None => {
                watch.startup = false;
                self.parts.prober.probe(target, watch.expect.as_ref()).await
            }
        };
        if watch.attentive
            && sample.result == SampleResult::NotListening
            && let Ok(seen) = self.parts.fleet.observe(target).await
            && seen.running == Some(false)
        {
            let how = seen.ended.unwrap_or_else(|| "gone".to_owned());
            sample.result = SampleResult::Exited { how };
        }
        sample
    }
}

/// How long until the next look at something that was waited for since `began`.
fn look_after(began: Instant) -> Duration {
    (began.elapsed() / 10).clamp(LOOK_MIN, LOOK_MAX)
}

/// Spreads the probes of a large fleet over the interval, each instance always at the same place in it.
fn spread(id: &InstanceId, every: Span) -> Duration {
    let mut hasher = std::hash::DefaultHasher::new();
    id.hash(&mut hasher);
    Duration::from_millis(hasher.finish() % every.as_millis().max(1))
}
