//! What is seen of a fleet in which nothing runs, in the form in which the console knows a deployment: nobody is at work,
//! who is well is healthy, who is sick has failed, who is out of rotation is left alone.

use crate::config::Config;
use crate::event::{Event, EventKind, FORMAT, Step};
use crate::model::{DeploymentId, DeploymentKind, Evidence, Member, Plan, Rotation, Sample, Seq, Target, Timestamp, Version};
use crate::ports::Reading;
use crate::state::{Failure, Phase, State};

/// What was seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// By the probe.
    Probed(usize, Sample),
    /// By the driver.
    Observed(usize, Option<Version>),
    /// At the balancers.
    Rotation(usize, Rotation),
}

/// One instance as it was seen last.
#[derive(Debug, Clone, Default)]
struct One {
    sample: Option<Sample>,
    passes: u32,
    misses: u32,
    version: Option<Version>,
    rotation: Option<Rotation>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) state: State,
    all: Vec<One>,
    retries: u32,
}

impl Fleet {
    /// Of which nothing is known yet.
    pub(super) fn new(config: &Config, at: Timestamp) -> Result<Self, String> {
        let unknown = Version::new("unknown").map_err(|error| error.to_string())?;
        let policy = config.policy();
        let retries = policy.health.retries.max(1);
        let plan = Plan {
            deployment: DeploymentId::new(&config.service.name, 0),
            kind: DeploymentKind::Deploy,
            service: config.service.name.clone(),
            env: config.service.env.clone(),
            members: config.targets.iter().map(|target| member(target, &unknown)).collect(),
            version: unknown,
            started_by: String::new(),
            restart: false,
            policy,
        };
        let kind = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan) };
        let event = Event { seq: Seq(1), at, deployment: DeploymentId::new(&config.service.name, 0), kind };
        let mut state = State::begin(&event).map_err(|illegal| illegal.to_string())?;
        // Nobody is waited for.
        (state.awaits, state.approval_until) = (None, None);
        Ok(Self { all: vec![One::default(); state.instances.len()], state, retries })
    }

    /// Takes in what was seen. Of whom, and whether that instance is another thing now.
    pub(super) fn take(&mut self, seen: Seen, now: Timestamp) -> (usize, bool) {
        let index = match &seen {
            Seen::Probed(index, _) | Seen::Observed(index, _) | Seen::Rotation(index, _) => *index,
        };
        let Some(one) = self.all.get_mut(index) else { return (index, false) };
        match seen {
            Seen::Probed(_, sample) => {
                (one.passes, one.misses) =
                    if sample.passed() { (one.passes.saturating_add(1), 0) } else { (0, one.misses.saturating_add(1)) };
                one.version = sample.version.clone().or_else(|| one.version.take());
                one.sample = Some(sample);
            }
            Seen::Observed(_, version) => one.version = version.or_else(|| one.version.take()),
            Seen::Rotation(_, rotation) => one.rotation = Some(rotation),
        }
        (index, self.settle(index, now))
    }

    /// What the console shows of an instance, from what was seen of it.
    fn settle(&mut self, index: usize, now: Timestamp) -> bool {
        let (Some(one), Some((_, instance))) = (self.all.get(index), self.state.instances.get_index_mut(index)) else {
            return false;
        };
        let Some(sample) = &one.sample else { return false };
        // One miss of one that was well is not news yet.
        let was_well = instance.phase == Phase::Healthy;
        let sick = one.misses >= if was_well { self.retries } else { 1 };
        let serving = one.rotation == Some(Rotation::Serving);
        let (phase, skipped) = match one.rotation {
            _ if sick => (Phase::Failed, None),
            None => (Phase::Pending, None),
            Some(Rotation::Serving) => (Phase::Healthy, None),
            Some(rotation) => (Phase::Skipped, Some(format!("is {}", rotation.words()))),
        };
        let changed = (&instance.phase, instance.serving, &instance.skipped, &instance.version)
            != (&phase, serving, &skipped, &one.version);
        if instance.phase != phase {
            instance.since = now;
            let reason = sample.words();
            instance.failure =
                (phase == Phase::Failed).then(|| Failure { step: Step::Watch, reason, at: now, evidence: Evidence::default() });
        }
        instance.down = matches!(phase, Phase::Failed | Phase::Skipped);
        (instance.phase, instance.serving, instance.skipped) = (phase, serving, skipped);
        instance.version.clone_from(&one.version);
        changed
    }

    /// The latest of an instance.
    pub(super) fn reading(&self, index: usize) -> Reading {
        let One { sample, passes, misses, .. } = self.all.get(index).cloned().unwrap_or_default();
        Reading { sample, passes, misses, ..Reading::default() }
    }

    /// The version was told by the probe itself.
    pub(super) fn tells_version(&self, index: usize) -> bool {
        self.all.get(index).and_then(|one| one.sample.as_ref()).is_some_and(|sample| sample.version.is_some())
    }
}

fn member(target: &Target, unknown: &Version) -> Member {
    Member {
        target: target.clone(),
        previous: None,
        wanted: unknown.clone(),
        rotation: Rotation::Serving,
        healthy: true,
        health: String::new(),
        at_version: true,
        excluded: None,
        left_out: false,
        spare: false,
    }
}
