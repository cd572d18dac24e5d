//! A simulated fleet with its balancers, journal and strangers, and controllers that can die at any append. Virtual time.
//!
//! The world is the truth: what is checked is checked against it, not against the controller's opinion.

mod acts;
mod engine;
mod faults;
mod machine;
mod operator;
mod reader;
mod store;
mod takeover;
mod work;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rollout::command::Command;
use rollout::core::{Input, next_deadline, waiting};
use rollout::event::{Event, EventKind, FORMAT};
use rollout::model::{InstanceId, Seq, Survey, Timestamp};
use rollout::state::State;

use crate::checks::{Checks, Violation, at_the_end};
use crate::rng::Rng;
use crate::scenario::{Crash, Scenario};
pub(crate) use engine::{Engine, Flight};
pub(crate) use machine::{Lb, Machine, Omens, Work};
use reader::Reader;
use store::Store;

/// When the world begins, by the wall.
const BEGIN: u64 = 1_000_000_000;
/// A run that takes more steps than this goes round in circles.
const STEPS: u64 = 400_000;

/// A rule of the shell around the core that is broken on purpose, to see that its check can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Acts begin before what orders them is stored.
    ActFirst,
    /// An operator is answered before the command is stored.
    AnswerFirst,
    /// A driver starts a second command beside the first.
    TwoCommands,
    /// A driver carries out an order again that it has carried out.
    Forgetful,
    /// A console misses a fact when its link comes back.
    LossyLink,
    /// A full disk is never tried again.
    NoSecondTry,
    /// A new controller cannot begin after the death of the old one.
    NoSuccessor,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A fault of the scenario, by its place.
    Fault(usize),
    /// A command of the scenario, by its place.
    Command(usize),
    /// An act in flight comes to its end, or to its next look.
    Act {
        slot: usize,
        number: u64,
    },
    /// An order that was carried out reaches the world once more.
    Again {
        slot: usize,
    },
    /// A driver's command ends.
    Work {
        instance: usize,
        serial: u64,
    },
    Heal(Healing),
    /// An instance fails its checks for so long.
    Ill(usize, u64),
    /// A controller is started, if none lives.
    Restart,
    /// Another controller replaces the one of this epoch, which is stopped.
    Takeover(u64),
    /// The one of this epoch runs again.
    Wake(u64),
    /// An append is tried again.
    Append,
    /// By now it must have been.
    Resumed,
    Link,
    /// The faults are over.
    HealAll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Healing {
    Rotation(usize, Lb),
    Process(usize),
    Ill(usize),
    Started(usize),
    Balancer(usize),
    Disk,
    Source(usize),
}

/// All of it.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) store: Store,
    pub(crate) appends: usize,
    pub(crate) crashes: usize,
    /// Crash at this append, in this way: for the exhaustive runs.
    pub(crate) crash_at: Vec<(usize, Crash)>,
    pub(crate) crash_down: u64,
    /// Commands as soon as so many appends were made, first to last.
    pub(crate) command_at: Vec<(usize, Command)>,
    pub(crate) facts: Vec<String>,
    pub(crate) tracing: bool,
    pub(crate) sabotage: Option<Sabotage>,
    /// Since when whoever controls could see what there is to be seen.
    pub(crate) aware_since: u64,
    pub(crate) balancers_down: Vec<u32>,
    /// What is wrong with what is measured: it cannot be asked, it has no data, everybody errs; and that no weights are taken.
    pub(crate) source: [u32; 4],
    /// When what is being stored was decided.
    pub(crate) decided_at: u64,
    checks: Checks,
    live: Option<Engine>,
    /// Replaced while it was stopped; it does not know.
    stale: Option<Engine>,
    reader: Reader,
    queue: BTreeMap<(u64, u64), Due>,
    scheduled: u64,
    flown: u64,
    fleet: BTreeMap<InstanceId, Survey>,
    disk_full: u32,
    disk_since: u64,
    armed: Option<(Crash, u64, bool)>,
    wall_skew: i64,
    heals_at: u64,
    healed: bool,
    limit: u64,
    asked: u32,
    left_alone: Option<Seq>,
    rng: Rng,
    hash: DefaultHasher,
}

/// A run that ended well.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) hash: u64,
    pub(crate) events: usize,
}

impl World {
    pub(crate) fn new(scenario: Scenario, tracing: bool) -> Self {
        let machines: Vec<Machine> = scenario.plan.members.iter().map(|m| Machine::of(m, scenario.balancers)).collect();
        let mut world = Self {
            now: 0,
            checks: Checks::new(&scenario.plan),
            store: Store::default(),
            appends: 0,
            crashes: 0,
            crash_at: Vec::new(),
            crash_down: 7000,
            command_at: Vec::new(),
            facts: Vec::new(),
            tracing,
            sabotage: None,
            aware_since: 0,
            balancers_down: vec![0; scenario.balancers],
            source: [0; 4],
            decided_at: 0,
            live: None,
            stale: None,
            reader: Reader::default(),
            queue: BTreeMap::new(),
            scheduled: 0,
            flown: 0,
            fleet: BTreeMap::new(),
            disk_full: 0,
            disk_since: 0,
            armed: None,
            wall_skew: 0,
            heals_at: scenario.heals_at(),
            healed: false,
            limit: u64::MAX,
            asked: 0,
            left_alone: None,
            rng: Rng::new(scenario.seed ^ 0xACE),
            hash: DefaultHasher::new(),
            machines,
            scenario,
        };
        (0..world.machines.len()).for_each(|n| world.refresh(n));
        for place in 0..world.scenario.faults.len() {
            world.schedule(world.scenario.faults[place].0, Due::Fault(place));
        }
        for place in 0..world.scenario.commands.len() {
            world.schedule(world.scenario.commands[place].0, Due::Command(place));
        }
        world.schedule(world.heals_at, Due::HealAll);
        world
    }

    /// Runs to the end of the deployment.
    pub(crate) fn run(&mut self) -> Result<Report, Violation> {
        let plan = self.scenario.plan.clone();
        let (at, deployment) = (Timestamp::from_millis(BEGIN), plan.deployment.clone());
        let planned = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan) };
        let epoch = self.store.take_over();
        let first = [Event { seq: Seq(1), at, deployment, kind: planned }];
        self.store
            .append(epoch, &first, &mut self.hash)
            .map_err(|_stale| Violation::new("S7", "the first is stale".to_owned()))?;
        self.appends += 1;
        self.boot(epoch)?;
        self.link()?;
        self.command(Command::Start)?;
        for _ in 0..STEPS {
            if let Some(state) = self.over() {
                self.link()?;
                self.reader.agrees(&state)?;
                at_the_end(&state, self)?;
                let hash = self.hash.clone().finish();
                return Ok(Report { events: self.store.events.len(), state, hash });
            }
            self.next()?;
            if self.healed && self.now > self.limit && !self.waits_for_a_person() {
                return Err(self.endless("no end in sight"));
            }
        }
        Err(self.endless("round in circles"))
    }

    fn endless(&self, how: &str) -> Violation {
        let why = self.live.as_ref().and_then(|e| waiting(&e.state)).map(|w| w.what);
        Violation::new("L1", format!("{how} after {} s: {why:?}", self.now / 1000))
    }

    /// The last state, once the end is stored.
    fn over(&self) -> Option<State> {
        let engine = self.live.as_ref().filter(|e| e.unsaved.is_none() && e.state.end.is_some())?;
        Some(engine.state.clone())
    }

    fn schedule(&mut self, at: u64, due: Due) {
        self.scheduled += 1;
        self.queue.insert((at, self.scheduled), due);
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.tracing {
            let fact = format!("{:>8} {}", self.now, what());
            self.facts.push(fact);
        }
    }

    /// Takes the next thing that is due.
    fn next(&mut self) -> Result<(), Violation> {
        if self.command_at.first().is_some_and(|(at, _)| self.appends >= *at) && self.live.as_ref().is_some_and(Engine::listens) {
            let (_, command) = self.command_at.remove(0);
            return self.command(command);
        }
        if self.healed && self.operate()? {
            return Ok(());
        }
        let deadline = self.live.as_ref().filter(|e| e.listens()).and_then(|e| {
            let wall = e.clock(self.now);
            next_deadline(&e.state, wall).map(|at| self.now + at.since(wall).as_millis())
        });
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let tick = match (queued, deadline) {
            // What falls together may come either way round.
            (Some(at), Some(deadline)) => deadline < at || deadline == at && self.rng.percent(50),
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => return Err(Violation::new("L2", "nothing is in flight, and no time is set".to_owned())),
        };
        if tick {
            self.now = self.now.max(deadline.unwrap_or(self.now));
            return self.input(Input::Tick);
        }
        let Some(((at, _), due)) = self.queue.pop_first() else { return Ok(()) };
        self.now = self.now.max(at);
        self.happen(due)
    }

    fn happen(&mut self, due: Due) -> Result<(), Violation> {
        match due {
            Due::Fault(place) => {
                let (_, fault) = self.scenario.faults[place].clone();
                self.say(|| format!("FAULT {fault:?}"));
                place.hash(&mut self.hash);
                self.fault(&fault);
                Ok(())
            }
            Due::Command(place) => {
                let (_, command) = self.scenario.commands[place].clone();
                self.command(command)
            }
            Due::Act { slot, number } => self.act(slot, number),
            Due::Again { slot } => self.again(slot),
            Due::Work { instance, serial } => self.work_ends(instance, serial),
            Due::Heal(healing) => {
                self.say(|| format!("HEAL {healing:?}"));
                self.heal(healing);
                Ok(())
            }
            Due::Ill(n, lasts) => {
                if !self.healed {
                    self.ill(n, lasts);
                }
                Ok(())
            }
            Due::Restart => self.restart(),
            Due::Takeover(epoch) => self.replace(epoch),
            Due::Wake(epoch) => self.wake(epoch),
            Due::Append => self.save(),
            Due::Resumed => self.resumed(),
            Due::Link => self.link(),
            Due::HealAll => {
                self.say(|| "HEALED".to_owned());
                self.heal_all();
                self.limit = self.now + self.bound();
                Ok(())
            }
        }
    }

    pub(crate) fn checks(&self) -> &Checks {
        &self.checks
    }

    fn link(&mut self) -> Result<(), Violation> {
        let Some(engine) = self.live.as_ref().filter(|_| !self.reader.linked) else { return Ok(()) };
        self.reader.link(&engine.mirror, &self.store.events)
    }
}
