//! The fold of all events: the only place where a fact changes what is known. Runner, recovery, consoles and replay use it.
//!
//! Imports: event, model. May not: decide, read a clock, see a sample.

mod apply;
mod fold;
mod instance;
mod steps;
mod summary;
mod transitions;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::event::{Actor, Cause, Ending, Event, EventKind, Exception};
use crate::model::{InstanceId, InstanceState, LbStats, Member, Plan, Seq, Span, Timestamp, VipStats};
use crate::mutant::{self, Mutant};

pub use apply::Illegal;
pub use instance::{Failure, Goal, Instance, Phase};
pub use steps::{CheckRun, HookRun, Measured, StepRun, Weighing};
pub use summary::{DrainSummary, Summary};

/// The state of a deployment as people see it. The words are those of the product's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Planned; nothing is touched yet.
    Pending,
    /// Under way.
    InProgress,
    /// Takes no new instance.
    Paused,
    /// Ended as planned.
    Completed,
    /// Everything touched is going back.
    RollingBack,
    /// Ended with everything touched gone back.
    RolledBack,
    /// Ended badly.
    Failed,
    /// Ended by an operator.
    Cancelled,
    /// Its engine died; it can be recovered.
    Interrupted,
}

impl Status {
    /// The contract's word, e.g. `in_progress`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Who stopped the flow, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// By whom.
    pub by: Actor,
    /// Why, in words; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Why, for programs, if it is a pause.
    #[serde(default)]
    pub cause: Cause,
    /// The event that says it.
    #[serde(default)]
    pub seq: Seq,
    /// The engine ends it by itself, once the analysis can tell again: meanwhile all clocks and all judgement go on.
    #[serde(default)]
    pub passing: bool,
}

/// A look at untouched instances: whether they fail as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Probes that began earlier do not count.
    pub from: Timestamp,
    /// Until when it waits for them.
    pub until: Timestamp,
    /// Who is looked at, by index.
    pub peers: BTreeSet<usize>,
}

/// What a person is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaits {
    /// That it begins.
    Start,
    /// That the next batch may begin.
    Approval,
    /// That a canary step is promoted.
    Promotion,
    /// What to do about the failures.
    Answer,
    /// That held instances, the only ones left, are released.
    Release,
}

/// A rollback under way or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// By whom.
    pub by: Actor,
    /// Why, in words.
    pub reason: String,
    /// From when `rollback_ms` counts.
    pub since: Timestamp,
    /// Update end to deciding verdict, if a verdict decided.
    pub detect: Option<Span>,
    /// When the last instance was restored (so far).
    pub restored_at: Option<Timestamp>,
    /// When it began, or went on after somebody or something had held it up.
    #[serde(default)]
    pub at: Timestamp,
}

/// The batch at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// From 1.
    pub number: u32,
    /// Who is in it.
    pub members: Vec<InstanceId>,
    /// When it began.
    pub started_at: Timestamp,
    /// The end of its bake, once every member has its verdict.
    pub bake_until: Option<Timestamp>,
}

/// How the deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How.
    pub ending: Ending,
    /// In words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What the probe through the balancer counted.
    pub vip: Option<VipStats>,
    /// What the balancers themselves counted over the run.
    #[serde(default)]
    pub lb: Option<LbStats>,
}

/// How many instances show each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [u32; 10],
}

impl Tally {
    /// How many show `state`.
    pub fn of(&self, state: InstanceState) -> u32 {
        self.counts.get(state as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, state: InstanceState) {
        if let Some(count) = self.counts.get_mut(state as usize) {
            *count += 1;
        }
    }
}

/// Everything that the journal says of one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The last event that this holds.
    pub seq: Seq,
    /// When that was.
    pub at: Timestamp,
    /// The last event that changed what a command would mean: a start, a pause, a rollback, a question, and the like. Which
    /// instance is where is not of that kind.
    #[serde(default)]
    pub turned: Seq,
    /// The plan, frozen.
    pub plan: Plan,
    /// Every instance, in plan order.
    pub instances: IndexMap<InstanceId, Instance>,
    /// When the plan was fixed.
    pub planned_at: Timestamp,
    /// When the deployment began.
    pub started_at: Option<Timestamp>,
    /// When an engine last took it over from a dead one.
    #[serde(default)]
    pub recovered_at: Option<Timestamp>,
    /// The pause, if it is paused.
    pub pause: Option<Halt>,
    /// The request to end, if there is one.
    pub cancel: Option<Halt>,
    /// The request to end at once, without the commands that ran.
    #[serde(default)]
    pub stopped: Option<Halt>,
    /// The rollback, if there is one.
    pub rollback: Option<Rollback>,
    /// The batch at work.
    pub batch: Option<Batch>,
    /// How many batches have begun.
    pub batches: u32,
    /// Batches that may be followed by another, where a person has to confirm that.
    #[serde(default)]
    pub approved: u32,
    /// Canary steps that are done.
    #[serde(default)]
    pub steps_done: u32,
    /// Batches that belong to the steps: the rest counts from there.
    #[serde(default)]
    pub rest_after: u32,
    /// The canary step at work.
    #[serde(default)]
    pub step: Option<StepRun>,
    /// Weights that the balancers confirmed, in percent of each instance's own, where that is not all of it.
    #[serde(default)]
    pub weights: BTreeMap<InstanceId, u16>,
    /// Weights that were ordered and are not confirmed yet.
    #[serde(default)]
    pub weighing: Option<Weighing>,
    /// How often weights were ordered.
    #[serde(default)]
    pub weight_orders: u32,
    /// What the checks of the analysis said so far, by name.
    #[serde(default)]
    pub analysis: BTreeMap<String, CheckRun>,
    /// When the step or the bake at work began: what was measured before does not speak for it.
    #[serde(default)]
    pub judged_since: Timestamp,
    /// The hook that runs.
    #[serde(default)]
    pub hook: Option<HookRun>,
    /// The last round of each hook that is done with, by name.
    #[serde(default)]
    pub hooks_done: BTreeMap<String, u32>,
    /// Hooks whose last try failed, in order, with the reason.
    #[serde(default)]
    pub hook_failures: Vec<(String, String)>,
    /// A gate among them that nothing has followed from yet, in words.
    #[serde(default)]
    pub closed_gate: Option<String>,
    /// Failed so far, as of the last `ThresholdCrossed`.
    pub crossed: u32,
    /// The look at untouched instances before that is acted on.
    #[serde(default)]
    pub look: Option<Look>,
    /// Failed so far, as of the last time that the threshold was acted on.
    pub judged: u32,
    /// Instances with something under way, by index.
    pub active: BTreeSet<usize>,
    /// How many are out by our doing now.
    pub out: u32,
    /// The most that were out by our doing at once.
    pub max_out: u32,
    /// Drains that ran out of time.
    pub drains_forced: u32,
    /// Connections that they cut.
    pub connections_cut: u32,
    /// Until when some instance must finish.
    pub progress_until: Option<Timestamp>,
    /// What a person is waited for.
    #[serde(default)]
    pub awaits: Option<Awaits>,
    /// Until when a person must act.
    pub approval_until: Option<Timestamp>,
    /// Until when the check at the end must have read everything; set once it began.
    pub end_check_until: Option<Timestamp>,
    /// Mismatches that it found; set once it is over.
    pub end_checked: Option<u32>,
    /// How it ended.
    pub end: Option<End>,
    /// Updates ordered so far: gives each its place in time.
    pub updates: u32,
}

impl State {
    /// The state after the first event, which must be `DeploymentPlanned`.
    ///
    /// # Errors
    /// Fails if it is another event.
    pub fn begin(event: &Event) -> Result<Self, Illegal> {
        let EventKind::DeploymentPlanned { plan, .. } = &event.kind else {
            return Err(Illegal { seq: event.seq, reason: "the first event must be deployment_planned".to_owned() });
        };
        if event.seq != Seq(1) {
            return Err(Illegal { seq: event.seq, reason: "the first event must have number 1".to_owned() });
        }
        Ok(Self {
            seq: event.seq,
            at: event.at,
            turned: event.seq,
            instances: plan.members.iter().map(|m| (m.target.id.clone(), Instance::planned(m, event.at))).collect(),
            planned_at: event.at,
            started_at: None,
            recovered_at: None,
            pause: None,
            cancel: None,
            stopped: None,
            rollback: None,
            batch: None,
            batches: 0,
            approved: 0,
            steps_done: 0,
            rest_after: 0,
            step: None,
            weights: BTreeMap::new(),
            weighing: None,
            weight_orders: 0,
            analysis: BTreeMap::new(),
            judged_since: event.at,
            hook: None,
            hooks_done: BTreeMap::new(),
            hook_failures: Vec::new(),
            closed_gate: None,
            crossed: 0,
            look: None,
            judged: 0,
            active: BTreeSet::new(),
            out: 0,
            max_out: 0,
            drains_forced: 0,
            connections_cut: 0,
            progress_until: None,
            awaits: Some(Awaits::Start),
            approval_until: Some(event.at + plan.policy.strategy.approval_timeout),
            end_check_until: None,
            end_checked: None,
            end: None,
            updates: 0,
            plan: plan.as_ref().clone(),
        })
    }

    /// The state after all `events`.
    ///
    /// # Errors
    /// Fails at the first event that cannot follow, or if there is none.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Illegal> {
        let mut events = events.into_iter();
        let first = events.next().ok_or_else(|| Illegal { seq: Seq(0), reason: "the journal is empty".to_owned() })?;
        let mut state = Self::begin(first)?;
        for event in events {
            state.apply(event)?;
        }
        if mutant::is(Mutant::ReplayForgets) {
            state.max_out = 0;
        }
        Ok(state)
    }

    /// The state of the deployment as people see it. `Interrupted` is never among them: that takes a look at the engine.
    pub fn status(&self) -> Status {
        match (&self.end, &self.pause, &self.rollback, self.started_at) {
            (Some(end), ..) => match end.ending {
                Ending::Completed => Status::Completed,
                Ending::RolledBack => Status::RolledBack,
                Ending::Failed => Status::Failed,
                Ending::Cancelled => Status::Cancelled,
            },
            (None, Some(_), ..) => Status::Paused,
            (None, None, Some(_), _) => Status::RollingBack,
            (None, None, None, Some(_)) => Status::InProgress,
            (None, None, None, None) => Status::Pending,
        }
    }

    /// An instance by id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id)
    }

    /// The plan's entry of an instance.
    pub fn member(&self, id: &InstanceId) -> Option<&Member> {
        self.plan.members.get(self.instances.get_index_of(id)?)
    }

    /// How many instances of the fleet show each state.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for instance in self.instances.values().filter(|i| !i.spare) {
            tally.add(instance.shown());
        }
        tally
    }

    /// Instances that have their verdict in this run: healthy or failed, whether or not they went back since.
    pub fn finished(&self) -> u32 {
        count(self.instances.values().filter(|i| i.verdict.is_some()))
    }

    /// Those of `finished` that failed.
    pub fn failures(&self) -> u32 {
        count(self.instances.values().filter(|i| i.verdict == Some(false)))
    }

    /// How many instances the fleet has. Spares are not among them.
    pub fn total(&self) -> u32 {
        self.plan.total()
    }

    /// It serves, but on another version than its mates: why it is listed.
    fn left_behind(&self, instance: &Instance) -> Option<String> {
        let everything_went_back = self.rollback.is_some() && self.end.is_some();
        match instance.phase {
            Phase::Healthy if everything_went_back && !instance.spare => {
                Some(format!("serves, but still on {}", self.plan.version))
            }
            Phase::RolledBack if self.rollback.is_none() && self.cancel.is_none() => {
                let why = instance.failure.as_ref().map_or("", |f| f.reason.as_str());
                Some(format!("serves, but went back alone: {why}"))
            }
            _ => None,
        }
    }

    /// Untouched instances that served to begin with, by index: what happens to them is not the deployment's doing.
    pub fn untouched(&self) -> Vec<usize> {
        (0..self.instances.len()).filter(|&index| self.is_untouched(index)).collect()
    }

    /// Whether the instance at `index` is one of those.
    pub fn is_untouched(&self, index: usize) -> bool {
        let serves = self.plan.members.get(index).is_some_and(Member::serves);
        let left_alone = |i: &Instance| matches!(i.phase, Phase::Pending | Phase::Skipped) && !i.exposed && !i.ours;
        serves && self.instances.get_index(index).is_some_and(|(_, i)| left_alone(i))
    }

    /// Those of `untouched` that are looked at when failures crossed the threshold: at most thirty, from everywhere.
    fn peers(&self) -> BTreeSet<usize> {
        const ENOUGH: usize = 30;
        let all = self.untouched();
        let stride = all.len().div_ceil(ENOUGH).max(1);
        all.into_iter().step_by(stride).collect()
    }

    /// Failures crossed the threshold, and untouched instances are looked at before that is acted on.
    pub fn is_looking(&self) -> bool {
        self.look.is_some() && self.crossed > self.judged && !self.is_held_up()
    }

    /// Somebody has to say that it goes on. While it only waits for the analysis to speak, what fails is acted on.
    pub fn is_held_up(&self) -> bool {
        self.pause.as_ref().is_some_and(|pause| !pause.passing)
    }

    /// Instances that did not end as planned, in plan order. What is under way in a running deployment is none.
    pub fn exceptions(&self) -> Vec<Exception> {
        let over = self.end.is_some();
        self.exceptions_of(over, |instance| over || !instance.is_active() || instance.is_evicting())
    }

    /// As `exceptions`, of a deployment whose engine is gone: what was under way needs a person.
    pub fn exceptions_if_dead(&self) -> Vec<Exception> {
        self.exceptions_of(true, |_| true)
    }

    /// Nobody will give it its whole weight again: why it is listed.
    fn reduced(&self, id: &InstanceId, instance: &Instance) -> Option<String> {
        let unsure = self.weighing.as_ref().is_some_and(|ordered| ordered.unsure.contains(id));
        let weight = self.weight_of(id);
        (instance.serving && (unsure || weight != 100)).then(|| {
            let known =
                if unsure { "perhaps not at its whole weight".to_owned() } else { format!("at {weight}% of its own weight") };
            format!("serves, but {known}: the balancers did not confirm it; set it at the balancer")
        })
    }

    fn exceptions_of(&self, over: bool, which: impl Fn(&Instance) -> bool) -> Vec<Exception> {
        self.instances
            .iter()
            .filter(|(_, instance)| which(instance))
            .filter_map(|(id, instance)| {
                let left_running = || (over && instance.spare).then(|| instance.left_running()).flatten();
                let reduced = || over.then(|| self.reduced(id, instance)).flatten();
                let reason =
                    instance.complaint().or_else(left_running).or_else(reduced).or_else(|| self.left_behind(instance))?;
                Some(Exception { instance: id.clone(), state: instance.shown(), version: instance.version.clone(), reason })
            })
            .collect()
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
