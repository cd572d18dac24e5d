//! A scenario: fleet, rules, faults, strangers and operators, all fixed before the run, so that it can be read, run again,
//! and made smaller. `draw` makes one of a seed.

use std::collections::BTreeMap;
use std::fmt;

use rollout::command::Command;
use rollout::model::{DeploymentId, DeploymentKind, InstanceId, Member, Plan, Policy, Rotation, Span, Target, Version};

/// How the controller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Before the append is written.
    BeforeWrite,
    /// After it is written, before it is durable: the tail is lost.
    BeforeSync,
    /// After it is durable, before any act that it orders.
    BeforeEffects,
    /// After those acts had their effect, before their outcomes are known.
    AfterEffects,
    /// In the middle of writing: a torn record, which is never half believed.
    Torn,
}

impl Crash {
    pub(crate) const ALL: [Self; 5] = [Self::BeforeWrite, Self::BeforeSync, Self::BeforeEffects, Self::AfterEffects, Self::Torn];
}

/// What goes wrong. Instances by number, balancers by number; what lasts for `None` lasts for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The controller dies at its next append and is back after a while; its commands go with it, or outlive it.
    Crash { kind: Crash, down: u64, outlived: bool },
    /// The controller is stopped for a while (SIGSTOP); meanwhile another one may take over.
    Stop { lasts: u64, takeover: Option<u64> },
    /// The controller's host sleeps: its clock stands still as well.
    Suspend { lasts: u64 },
    /// The wall clock is set; with `living`, the clock of the controller that lives goes along.
    Clock { jump: i64, living: bool },
    /// A console loses its link and comes back.
    Link { lasts: u64 },
    /// Somebody reloads a balancer: it forgets who is drained.
    Reload { balancer: usize },
    /// A balancer cannot be reached.
    BalancerDown { balancer: usize, lasts: u64 },
    /// Somebody puts an instance in maintenance.
    Maintenance { instance: usize, lasts: Option<u64> },
    /// Somebody drains an instance.
    Drained { instance: usize, lasts: Option<u64> },
    /// An instance's process dies.
    Dies { instance: usize, lasts: Option<u64> },
    /// An instance fails its checks, whatever its version.
    Sick { instance: usize, lasts: u64 },
    /// An instance fails its checks now and then.
    Flaps { instance: usize, lasts: u64 },
    /// Something that all instances need is gone.
    AllSick { lasts: u64 },
    /// After its next update the instance is not listening for a while.
    SlowStart { instance: usize, lasts: u64 },
    /// The next update of the instance fails, before or after it did its work.
    UpdateFails { instance: usize, done: bool },
    /// The next update of the instance never ends.
    UpdateHangs { instance: usize },
    /// The next update of the instance says that it is done, and changed nothing.
    UpdateLies { instance: usize },
    /// The next update of the instance takes so long, on a host where nobody can stop it.
    UpdateLate { instance: usize, takes: u64 },
    /// The journal takes nothing.
    DiskFull { lasts: u64 },
    /// What is measured for the analysis cannot be asked.
    SourceDown { lasts: u64 },
    /// It is asked, and has no data.
    SourceEmpty { lasts: u64 },
    /// The balancers take no weights, and all else.
    NoWeights { lasts: u64 },
    /// Everybody answers with errors that no check of an instance sees.
    Errors { lasts: u64 },
}

/// How a hook ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    Fails,
    /// It never ends.
    Hangs,
}

impl Fault {
    /// The same on another instance, if it is about one.
    pub(crate) fn on(mut self, number: usize) -> Self {
        match &mut self {
            Self::Maintenance { instance, .. }
            | Self::Drained { instance, .. }
            | Self::Dies { instance, .. }
            | Self::Sick { instance, .. }
            | Self::Flaps { instance, .. }
            | Self::SlowStart { instance, .. }
            | Self::UpdateFails { instance, .. }
            | Self::UpdateHangs { instance }
            | Self::UpdateLies { instance }
            | Self::UpdateLate { instance, .. } => *instance = number,
            _ => {}
        }
        self
    }
}

/// Something at a time, in virtual milliseconds since the start.
pub(crate) type Timed<T> = (u64, T);

/// All of a run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) balancers: usize,
    /// Instances on which the new version is sick.
    pub(crate) bad_on: Vec<usize>,
    /// Every order is carried out again in so many of a hundred cases (S13).
    pub(crate) repeats: u64,
    /// A controller that takes over pauses first, as the program does, so that a person can choose.
    pub(crate) takes_over_paused: bool,
    /// Updates end exactly at their deadline in so many of a hundred cases.
    pub(crate) on_time: u64,
    /// Somebody answers questions that have a deadline.
    pub(crate) attended: bool,
    /// The new version answers with errors that no check of an instance sees.
    pub(crate) worse: bool,
    /// How the tries of each hook end, in turn.
    pub(crate) fates: BTreeMap<String, Vec<Fate>>,
    pub(crate) faults: Vec<Timed<Fault>>,
    pub(crate) commands: Vec<Timed<Command>>,
}

impl Scenario {
    /// A calm run of `plan`.
    pub(crate) fn calm(plan: Plan) -> Self {
        Self {
            seed: 7,
            plan,
            balancers: 1,
            bad_on: Vec::new(),
            repeats: 0,
            takes_over_paused: false,
            on_time: 0,
            attended: false,
            worse: false,
            fates: BTreeMap::new(),
            faults: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// How a try of a hook ends: always the same, however often it is begun.
    pub(crate) fn fate(&self, hook: &str, round: u32, attempt: u32) -> Fate {
        let fates = self.fates.get(hook).map(Vec::as_slice).unwrap_or_default();
        fates.get((round + attempt) as usize % fates.len().max(1)).copied().unwrap_or(Fate::Passes)
    }

    /// From then on nothing new goes wrong, what can be mended is, and nobody commands unless asked.
    pub(crate) fn heals_at(&self) -> u64 {
        let faults = self.faults.iter().map(|(at, _)| *at);
        faults.chain(self.commands.iter().map(|(at, _)| *at)).max().map_or(0, |at| at + 5000)
    }
}

pub(crate) fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

pub(crate) fn id(number: usize) -> InstanceId {
    InstanceId::new(&format!("web-{number}")).expect("an id")
}

/// The number in an instance's id.
pub(crate) fn number(id: &InstanceId) -> usize {
    id.as_str().strip_prefix("web-").and_then(|n| n.parse().ok()).expect("an instance of the scenario")
}

/// A fleet of `total` on versions of their own, by the contract's defaults.
pub(crate) fn plain(total: usize) -> Plan {
    let member = |n: usize| Member {
        target: Target {
            id: id(n),
            host: "127.0.0.1".to_owned(),
            port: 8080,
            zone: Some(["a", "b"][n % 2].to_owned()),
            labels: BTreeMap::new(),
        },
        previous: Some(version(["v1", "v1.1", "v1.2"][n % 3])),
        wanted: version("v2"),
        rotation: Rotation::Serving,
        healthy: true,
        health: "200 in 5ms".to_owned(),
        at_version: false,
        excluded: None,
        left_out: false,
        spare: false,
    };
    let mut policy = Policy::default();
    policy.health.expects_version = true;
    policy.strategy.approval_timeout = Span::from_secs(120);
    Plan {
        deployment: DeploymentId::new("shop", 1),
        kind: DeploymentKind::Deploy,
        service: "shop".to_owned(),
        env: "default".to_owned(),
        version: version("v2"),
        started_by: "ana".to_owned(),
        members: (0..total).map(member).collect(),
        restart: false,
        policy,
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { strategy, drain, rollback, health, update, canary, analysis, hooks, .. } = &self.plan.policy;
        writeln!(
            f,
            "{} instances, {} balancers, v2 is bad on {:?}{}{}",
            self.plan.members.len(),
            self.balancers,
            self.bad_on,
            if self.plan.restart { ", --restart" } else { "" },
            if self.takes_over_paused { ", takes over paused" } else { "" },
        )?;
        writeln!(f, "  {strategy:?}\n  {drain:?} {update:?} {rollback:?}\n  {health:?}\n  {:?}", self.plan.kind)?;
        writeln!(f, "  {canary:?}\n  {analysis:?}, worse {}\n  {hooks:?}\n  {:?}", self.worse, self.fates)?;
        writeln!(f, "  repeats {}%, updates exactly on time {}%", self.repeats, self.on_time)?;
        for m in self.plan.members.iter().filter(|m| m.excluded.is_some() || !m.serves() || m.at_version || m.previous.is_none())
        {
            writeln!(
                f,
                "  {}{}: excluded {}, healthy {}, {:?}, at version {}, left out {}, runs {:?}",
                m.target.id,
                if m.spare { " (spare)" } else { "" },
                m.excluded.is_some(),
                m.healthy,
                m.rotation,
                m.at_version,
                m.left_out,
                m.previous
            )?;
        }
        for (at, fault) in &self.faults {
            writeln!(f, "  {at:>7} ms  {fault:?}")?;
        }
        for (at, command) in &self.commands {
            writeln!(f, "  {at:>7} ms  {command:?}")?;
        }
        Ok(())
    }
}
