//! A scenario: fleet, rules, faults, strangers and operators, all drawn up front from one seed, so that it can be read,
//! run again, and made smaller.

use std::collections::BTreeMap;
use std::fmt;

use rollout::command::Command;
use rollout::model::{
    Before, Confirm, Count, DeploymentId, DeploymentKind, InstanceId, Member, OnDrainTimeout, OnFailure, Pacing, Plan, Policy,
    Rotation, Span, Target, Version, Zones,
};

use crate::rng::Rng;

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

/// What goes wrong. Instances by number, balancers by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The controller dies at its next append and is back after a while, with a clock that may have jumped.
    Crash { kind: Crash, down: u64, jump: i64 },
    /// Somebody reloads a balancer: it forgets who is drained.
    Reload { balancer: usize },
    /// A balancer cannot be reached.
    BalancerDown { balancer: usize, lasts: u64 },
    /// Somebody puts an instance in maintenance, for a while or for good.
    Maintenance { instance: usize, lasts: Option<u64> },
    /// An instance's process dies, for a while or for good.
    Dies { instance: usize, lasts: Option<u64> },
    /// An instance fails its checks, whatever its version.
    Sick { instance: usize, lasts: u64 },
    /// Something that all instances need is gone.
    AllSick { lasts: u64 },
    /// The next update of the instance fails.
    UpdateFails { instance: usize },
    /// The next update of the instance never ends.
    UpdateHangs { instance: usize },
    /// The next update of the instance says that it is done, and changed nothing.
    UpdateLies { instance: usize },
    /// The journal takes nothing.
    DiskFull { lasts: u64 },
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
    pub(crate) faults: Vec<Timed<Fault>>,
    pub(crate) commands: Vec<Timed<Command>>,
}

pub(crate) fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

pub(crate) fn id(number: usize) -> InstanceId {
    InstanceId::new(&format!("web-{number}")).expect("an id")
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

/// The scenario of a seed. Each class of faults is off in every other run (swarm testing), so that runs differ in kind.
pub(crate) fn draw(seed: u64) -> Scenario {
    let mut rng = Rng::new(seed);
    let total = 2 + usize::try_from(if rng.percent(80) { rng.below(5) } else { rng.below(14) }).expect("small");
    let mut plan = plain(total);
    draw_rules(&mut plan.policy, &mut rng);
    for member in &mut plan.members {
        if rng.percent(3) {
            (member.previous, member.healthy, member.health) = (None, false, "no answer in 5s".to_owned());
        }
        if total > 3 && rng.percent(5) {
            member.excluded = Some("excluded by ana".to_owned());
        }
    }
    let bad_on = match rng.below(4) {
        0 => (0..total).collect(),
        1 => (0..total).filter(|_| rng.percent(25)).collect(),
        _ => Vec::new(),
    };
    let balancers = 1 + usize::from(rng.percent(30));
    let faults = draw_faults(&mut rng, total, balancers);
    let commands = draw_commands(&mut rng, total);
    Scenario { seed, plan, balancers, bad_on, faults, commands }
}

fn draw_rules(policy: &mut Policy, rng: &mut Rng) {
    let small = |rng: &mut Rng, from: u64, n: u64| u32::try_from(from + rng.below(n)).expect("small");
    let strategy = &mut policy.strategy;
    strategy.batch_size = vec![Count::Absolute(small(rng, 1, 4))];
    if rng.percent(30) {
        strategy.batch_size.insert(0, Count::Absolute(1));
    }
    strategy.max_unavailable = Count::Absolute(small(rng, 1, 3));
    strategy.min_serving = Count::Absolute(small(rng, 0, 3));
    strategy.batch_pause = Span::from_secs(*rng.pick(&[0, 1, 10]));
    strategy.progress_timeout = Span::from_secs(*rng.pick(&[0, 90, 600]));
    strategy.min_healthy_time = Span::from_secs(*rng.pick(&[0, 0, 5]));
    strategy.pacing = if rng.percent(30) { Pacing::Window } else { Pacing::Batch };
    strategy.zones = if rng.percent(30) { Zones::OneByOne } else { Zones::Any };
    strategy.confirm = if rng.percent(15) { Confirm::Batch } else { Confirm::None };
    policy.drain.timeout = Span::from_secs(*rng.pick(&[0, 1, 5]));
    policy.drain.on_timeout = *rng.pick(&[OnDrainTimeout::Force, OnDrainTimeout::Extend, OnDrainTimeout::Fail]);
    policy.rollback.threshold_percent = *rng.pick(&[0, 10, 60, 100]);
    policy.rollback.max_unavailable = Count::Absolute(small(rng, 1, 2));
    policy.rollback.on_failure =
        *rng.pick(&[OnFailure::Rollback, OnFailure::Rollback, OnFailure::Pause, OnFailure::Ask, OnFailure::Continue]);
    policy.health.before = if rng.percent(30) { Before::First } else { Before::Skip };
}

fn draw_faults(rng: &mut Rng, total: usize, balancers: usize) -> Vec<Timed<Fault>> {
    let on: Vec<bool> = (0..11).map(|_| rng.percent(50)).collect();
    let count = rng.below(7);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = rng.below(90_000);
        let instance = usize::try_from(rng.below(total as u64)).expect("small");
        let balancer = usize::try_from(rng.below(balancers as u64)).expect("small");
        let lasts = 200 + rng.below(40_000);
        let forever = rng.percent(40);
        let class = usize::try_from(rng.below(11)).expect("small");
        let fault = match class {
            0 => Fault::Crash {
                kind: *rng.pick(&Crash::ALL),
                down: 100 + rng.below(30_000),
                jump: *rng.pick(&[0, 0, -3_600_000, 3_600_000]),
            },
            1 => Fault::Reload { balancer },
            2 => Fault::BalancerDown { balancer, lasts },
            3 => Fault::Maintenance { instance, lasts: (!forever).then_some(lasts) },
            4 => Fault::Dies { instance, lasts: (!forever).then_some(lasts) },
            5 => Fault::Sick { instance, lasts },
            6 => Fault::AllSick { lasts },
            7 => Fault::UpdateFails { instance },
            8 => Fault::UpdateHangs { instance },
            9 => Fault::UpdateLies { instance },
            _ => Fault::DiskFull { lasts },
        };
        if on[class] {
            faults.push((at, fault));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw_commands(rng: &mut Rng, total: usize) -> Vec<Timed<Command>> {
    let mut commands: Vec<Timed<Command>> = Vec::new();
    for _ in 0..rng.below(5) {
        let at = rng.below(90_000);
        let instance = id(usize::try_from(rng.below(total as u64)).expect("small"));
        let reason = String::new();
        let command = match rng.below(12) {
            0..=2 => Command::Pause { reason },
            3 => Command::Resume,
            4 | 5 => Command::Cancel { reason },
            6 => Command::Rollback { reason, only: None },
            7 => Command::Retry { instance },
            8 => Command::Skip { instance, reason },
            9 => Command::Hold { instance, reason },
            10 => Command::Release { instance },
            _ => Command::Rollback { reason, only: Some(instance) },
        };
        // The same key pressed twice is common.
        if rng.percent(20) {
            commands.push((at + 1, command.clone()));
        }
        commands.push((at, command));
    }
    commands.sort_by_key(|(at, _)| *at);
    commands
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { strategy, drain, rollback, health, .. } = &self.plan.policy;
        writeln!(
            f,
            "seed {}: {} instances, {} balancers, v2 is bad on {:?}",
            self.seed,
            self.plan.members.len(),
            self.balancers,
            self.bad_on
        )?;
        writeln!(f, "  {strategy:?}\n  {drain:?} {rollback:?} before {:?}", health.before)?;
        for member in self.plan.members.iter().filter(|m| m.excluded.is_some() || !m.healthy) {
            writeln!(f, "  {}: excluded {}, healthy {}", member.target.id, member.excluded.is_some(), member.healthy)?;
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
