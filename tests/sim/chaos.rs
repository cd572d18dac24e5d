//! Chance, by seed: what fails, who is sick, when the controller dies and what operators do; and what must hold whatever happens.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use rollout::command::Command;
use rollout::core::check;
use rollout::effect::{Effect, EffectKind};
use rollout::event::{Ending, EventKind};
use rollout::model::{
    Before, Confirm, Count, InstanceId, OnDrainTimeout, OnFailure, Pacing, Plan, Rotation, Span, Timestamp, Version, Zones,
};
use rollout::state::{Instance, Phase, State, Summary};

use crate::plan;
use crate::world::{Crash, Script, World};

/// What becomes of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It ends badly, without effect.
    Fails,
    /// It never ends; its effect may have come about all the same.
    Stuck {
        after_effect: bool,
    },
}

/// All chance of a run.
#[derive(Debug, Clone)]
pub(crate) struct Chaos {
    seed: u64,
    asked: u32,
}

impl Chaos {
    fn draw(&self, what: impl Hash, below: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        hasher.finish() % below
    }

    pub(crate) fn of(&self, effect: &Effect) -> Fault {
        let drawn = self.draw(("effect", effect.id.to_string()), 100);
        let stuck = Fault::Stuck { after_effect: self.draw(("after", effect.id.to_string()), 2) == 0 };
        match effect.kind {
            EffectKind::Update { .. } if drawn < 8 => Fault::Fails,
            EffectKind::Update { .. } if drawn < 10 => Fault::Stuck { after_effect: true },
            EffectKind::TakeOut | EffectKind::Admit if drawn < 6 => stuck,
            EffectKind::AwaitIdle | EffectKind::Survey if drawn < 6 => Fault::Stuck { after_effect: false },
            _ => Fault::None,
        }
    }

    /// Fails its probes while it runs that version.
    pub(crate) fn is_sick(&self, id: &InstanceId, version: &Version) -> bool {
        self.draw(("sick", id, version), if version.as_str() == "v2" { 10 } else { 40 }) == 0
    }

    pub(crate) fn crash(&self, append: usize) -> Option<(usize, Crash)> {
        match self.draw(("crash", append), 40) {
            0 => Some((append, Crash::BeforeEffects)),
            1 => Some((append, Crash::AfterEffects)),
            _ => None,
        }
    }

    /// Whether somebody reloads the balancer at this moment.
    pub(crate) fn reloads(&self, now: Timestamp) -> bool {
        self.draw(("reload", now.as_millis()), 150) == 0
    }

    /// Whom somebody else takes out, or puts back, at this moment, if anybody.
    pub(crate) fn stranger(&self, now: Timestamp, fleet: usize) -> Option<usize> {
        let somebody = self.draw(("somebody", now.as_millis()), 200) == 0;
        somebody.then(|| usize::try_from(self.draw(("whom", now.as_millis()), fleet as u64)).unwrap())
    }

    /// A command on an instance of the fleet; it may be refused.
    fn on_one(&self, drawn: u64, ids: &[InstanceId]) -> Command {
        let instance = ids[usize::try_from(self.draw(("one", drawn), ids.len() as u64)).unwrap()].clone();
        let reason = String::new();
        match drawn % 6 {
            0 | 1 => Command::Retry { instance },
            2 => Command::Skip { instance, reason },
            3 => Command::Hold { instance, reason },
            4 => Command::Release { instance },
            _ => Command::Rollback { reason, only: Some(instance) },
        }
    }

    /// What the operator does about a deployment that waits for one: in the end, one that gives up.
    pub(crate) fn operator(&mut self, state: &State) -> Command {
        self.asked += 1;
        let reason = String::new();
        let cancel = Command::Cancel { reason: reason.clone() };
        let ids: Vec<InstanceId> = state.instances.keys().cloned().collect();
        let one = self.on_one(u64::from(self.asked), &ids);
        match self.draw(("asked", self.asked), 5) {
            0 if self.asked < 10 && check(state, &one).is_ok() => one,
            1 if state.rollback.is_none() => Command::Rollback { reason, only: None },
            2 if check(state, &cancel).is_ok() => cancel,
            _ if self.asked > 20 && self.asked.is_multiple_of(2) => cancel,
            _ => Command::Resume,
        }
    }

    /// S1, S2, S9 and S10 at every order, against the world.
    pub(crate) fn check(&self, world: &World, state: &State, from: usize) {
        let seed = self.seed;
        let orders = |kind: &EventKind| matches!(kind, EventKind::DrainStarted { .. } | EventKind::UpdateStarted { .. });
        if !world.journal[from..].iter().any(|e| orders(&e.kind)) {
            return;
        }
        let before = State::replay(&world.journal[..from]).unwrap();
        let (mut cancelled, mut back) = (before.cancel.is_some(), before.rollback.is_some());
        let holds = |i: &Instance| (i.ours || !i.serving) && !i.discounted;
        let mut out: Vec<&InstanceId> = before.instances.iter().filter(|(_, i)| holds(i)).map(|(id, _)| id).collect();
        let max = state.plan.policy.strategy.max_unavailable.floor_min_one_of(state.total()) as usize;
        for event in &world.journal[from..] {
            match &event.kind {
                EventKind::CancelRequested { .. } => cancelled = true,
                EventKind::RollbackStarted { .. } => back = true,
                EventKind::DrainStarted { instance, .. } => {
                    let machine = &world.machines[instance];
                    let serves = machine.rotation == Rotation::Serving && !self.is_sick(instance, &machine.version);
                    if !back && !out.contains(&instance) && serves {
                        assert!(out.len() < max, "seed {seed}: {instance} is taken out, {out:?} are out, {max} may be");
                        // As far as it can know: what a stranger did is seen at the last look.
                        let others = state.instances.iter().filter(|(id, i)| *id != instance && i.serving && !i.ours);
                        assert!(others.count() >= 1, "seed {seed}: {instance} is taken out, and nobody else serves");
                    }
                    out.push(instance);
                }
                EventKind::InstanceReturned { instance } | EventKind::InstanceAdmitted { instance, .. } => {
                    out.retain(|id| *id != instance);
                }
                EventKind::UpdateStarted { instance, version, .. } if *version == state.plan.version => {
                    assert!(!back, "seed {seed}: {instance} goes forward in a rollback");
                    assert!(!cancelled, "seed {seed}: {instance} is updated after a cancel");
                }
                _ => {}
            }
        }
    }
}

fn scenario(seed: u64) -> (Plan, Script, Chaos) {
    let chaos = Chaos { seed, asked: 0 };
    let pick = |what: &str, below| chaos.draw(what, below);
    let mut plan = plan(1);
    let template = plan.members[0].clone();
    let total = 2 + pick("total", 7);
    let member = |n: u64| {
        let mut member = template.clone();
        if chaos.draw(("unknown", n), 25) == 0 {
            (member.previous, member.healthy) = (None, false);
        }
        member.target.id = InstanceId::new(&format!("web-{n}")).unwrap();
        member.target.zone = Some(["a", "b"][usize::try_from(n % 2).unwrap()].to_owned());
        match chaos.draw(("found", n), 40) {
            0 => (member.left_out, member.rotation, member.healthy) = (true, Rotation::Draining, false),
            1 => (member.at_version, member.previous) = (true, Some(member.wanted.clone())),
            _ => {}
        }
        if total > 3 && chaos.draw(("excluded", n), 15) == 0 {
            member.at_version = false;
            member.excluded = Some("excluded by ana".to_owned());
        }
        member
    };
    plan.members = (1..=total).map(member).collect();
    let policy = &mut plan.policy;
    policy.strategy.batch_size = vec![Count::Absolute(1 + u32::try_from(pick("batch", 4)).unwrap())];
    policy.strategy.max_unavailable = Count::Absolute(1 + u32::try_from(pick("max", 3)).unwrap());
    policy.strategy.progress_timeout = Span::from_secs([0, 30, 600][usize::try_from(pick("progress", 3)).unwrap()]);
    policy.strategy.min_healthy_time = Span::from_secs(pick("steady", 2) * 5);
    policy.drain.on_timeout =
        [OnDrainTimeout::Force, OnDrainTimeout::Extend, OnDrainTimeout::Fail][usize::try_from(pick("drain", 3)).unwrap()];
    policy.rollback.threshold_percent = [0, 10, 60, 100][usize::try_from(pick("threshold", 4)).unwrap()];
    policy.rollback.max_unavailable = Count::Absolute(1 + u32::try_from(pick("back", 2)).unwrap());
    policy.rollback.on_failure =
        [OnFailure::Rollback, OnFailure::Pause, OnFailure::Continue][usize::try_from(pick("policy", 3)).unwrap()];
    if pick("ask", 4) == 0 {
        policy.rollback.on_failure = OnFailure::Ask;
    }
    policy.strategy.approval_timeout = Span::from_secs(60);
    policy.strategy.pacing = if pick("pacing", 3) == 0 { Pacing::Window } else { Pacing::Batch };
    policy.strategy.zones = if pick("zones", 3) == 0 { Zones::OneByOne } else { Zones::Any };
    policy.strategy.confirm = if pick("confirm", 5) == 0 { Confirm::Batch } else { Confirm::None };
    policy.health.before = if pick("before", 2) == 0 { Before::First } else { Before::Skip };
    let says = String::new;
    let mut script = Script::new();
    for n in 0..pick("commands", 5) {
        let at = 2 + usize::try_from(chaos.draw(("at", n), 60)).unwrap();
        let ids: Vec<InstanceId> = plan.members.iter().map(|m| m.target.id.clone()).collect();
        script.push(match chaos.draw(("command", n), 12) {
            8..=10 => (at, chaos.on_one(chaos.draw(("on one", n), 600), &ids)),
            11 => (at, Command::Promote { full: chaos.draw(("full", n), 2) == 0 }),
            0..=2 => (at, Command::Pause { reason: says() }),
            3 | 4 => (at, Command::Resume),
            5 | 6 => (at, Command::Cancel { reason: says() }),
            7.. => (at, Command::Rollback { reason: says(), only: None }),
        });
    }
    script.sort_by_key(|(at, _)| *at);
    (plan, script, chaos)
}

/// S11 and S15: what the end says is what the world is.
fn assert_honest(world: &World, state: &State, seed: u64) {
    let end = state.end.as_ref().unwrap();
    let s = Summary::of(state, (None, None));
    assert_eq!(s.total, s.updated + s.failed + s.rolled_back + s.skipped + s.untouched, "seed {seed}");
    let listed: Vec<InstanceId> = state.exceptions().into_iter().map(|e| e.instance).collect();
    for (id, machine) in &world.machines {
        // Of one that did not serve to begin with, and was never reached, nothing is said.
        let left_alone = machine.updates.is_empty() && !state.member(id).unwrap().healthy;
        let excluded = state.instance(id).unwrap().excluded;
        assert!(!(machine.foreign && machine.rotation == Rotation::Serving), "seed {seed}: {id} was put back against an order");
        // Taken out by somebody else after the last reading: the journal says it, too late for the list.
        let excluded = excluded || state.instance(id).unwrap().foreign;
        if excluded || listed.contains(id) || left_alone && end.ending != Ending::Completed {
            continue;
        }
        let name = format!("seed {seed}, {} ({}): {id} {machine:?}", state.status().word(), end.reason);
        assert_eq!(machine.rotation, Rotation::Serving, "{name}");
        let previous = state.member(id).unwrap().previous.as_ref();
        // An operator, or the plan, wanted it left as it was.
        if state.instance(id).unwrap().phase == Phase::Skipped && Some(&machine.version) == previous {
            continue;
        }
        match end.ending {
            Ending::Completed => assert_eq!(machine.version, state.plan.version, "{name}"),
            Ending::RolledBack if !machine.updates.is_empty() => assert_eq!(Some(&machine.version), previous, "{name}"),
            Ending::RolledBack | Ending::Failed | Ending::Cancelled => {}
        }
    }
}

#[test]
fn whatever_happens_it_ends_and_tells_the_truth() {
    let (seeds, mut endings) = (4000, std::collections::BTreeMap::new());
    let only = std::env::var("ROLLOUT_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..seeds, |seed: u64| seed..seed + 1) {
        let (plan, script, chaos) = scenario(seed);
        let mut world = World::new(&plan, script);
        for (n, machine) in world.machines.values_mut().enumerate() {
            // Somebody was there between the plan and the first look.
            match chaos.draw(("stranger", n), 25) {
                0 => machine.rotation = Rotation::Maintenance,
                1 => machine.version = plan.version.clone(),
                _ => {}
            }
        }
        world.chaos = Some(chaos);
        let state = world.run();
        if only.is_some() {
            world.journal.iter().for_each(|e| println!("{:>4} {} {}", e.seq.0, e.at, e.kind.words()));
        }
        assert_honest(&world, &state, seed);
        *endings.entry((state.status().word(), state.exit_code())).or_insert(0) += 1;
    }
    println!("{seeds} seeds: {endings:?}");
    assert!(only.is_some() || endings.len() >= 6, "too few kinds of end were reached: {endings:?}");
}
