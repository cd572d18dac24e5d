//! A simulated fleet with its balancers, journal and strangers, and a controller that can die at any append. Virtual time.
//!
//! The world is the truth: what is checked is checked against it, not against the controller's opinion.

mod acts;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rollout::command::{Command, Request};
use rollout::core::{Input, Observed, check, next_deadline, turn, waiting, wanted};
use rollout::effect::{Effect, EffectKind};
use rollout::event::{Actor, Event, EventKind, FORMAT, Takeover};
use rollout::journal::{decode, encode};
use rollout::model::{EffectId, Rotation, Seq, Timestamp, Version};
use rollout::state::State;

use crate::checks::{Checks, Violation};
use crate::rng::Rng;
use crate::scenario::{Crash, Fault, Scenario, id, version};

/// When the world begins, by the wall.
const BEGIN: u64 = 1_000_000_000;
/// A run that is not over after so much virtual time is stuck.
const FOREVER: u64 = 24 * 3_600_000;
/// Between two tries of an act that did not succeed.
const AGAIN: u64 = 500;

/// What a balancer was told of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lb {
    In,
    Drain,
    Maintenance,
}

/// One instance as it really is.
#[expect(clippy::struct_excessive_bools, reason = "independent truths about one instance")]
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) version: Version,
    pub(crate) up: bool,
    pub(crate) lb: Vec<Lb>,
    /// In rotation behind the controller's back since it was taken out.
    pub(crate) slipped: bool,
    /// Updates that really ran, by their ids.
    pub(crate) updates: Vec<EffectId>,
    /// When its last update ended.
    pub(crate) updated_at: u64,
    /// Checks passed in a row on the version it runs, since its last update.
    pub(crate) passes: u32,
    sessions_until: u64,
    /// When it last came up by itself, or was put back by others.
    up_since: u64,
    sick_until: u64,
    fails: bool,
    hangs: bool,
    lies: bool,
}

impl Machine {
    pub(crate) fn serves(&self, sick: bool) -> bool {
        self.up && !sick && self.lb.iter().all(|lb| *lb == Lb::In)
    }

    fn rotation(&self, healthy: bool) -> Rotation {
        let of = |lb: &Lb| match lb {
            Lb::In if healthy => Rotation::Serving,
            Lb::In => Rotation::Down,
            Lb::Drain => Rotation::Draining,
            Lb::Maintenance => Rotation::Maintenance,
        };
        self.lb.iter().map(of).max().unwrap_or(Rotation::Missing)
    }
}

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    /// A fault of the scenario, by its place.
    Fault(usize),
    /// A command of the scenario, by its place.
    Command(usize),
    /// An act comes to its end, or to its next look.
    Act(u64),
    /// A stranger ends his maintenance, an instance comes back.
    Heal(usize, Healing),
    /// The controller is started again.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Healing {
    Maintenance,
    Process,
}

/// An act in flight.
#[derive(Debug, Clone)]
struct Flight {
    number: u64,
    effect: Effect,
    /// It came to its end; it stays until it is no longer wanted, as in the runner, but is never performed again.
    over: bool,
}

/// The controller while it lives.
struct Controller {
    state: State,
    /// The fold of what the journal stores, decoded: must equal `state`.
    mirror: State,
    observed: Observed,
    flights: Vec<Flight>,
    /// Its clock ahead of the world's.
    skew: i64,
}

/// All of it.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) journal: Vec<String>,
    pub(crate) appends: usize,
    pub(crate) crashes: usize,
    /// Crash at this append, in this way: for the exhaustive runs.
    pub(crate) crash_at: Vec<(usize, Crash)>,
    pub(crate) facts: Vec<String>,
    checks: Checks,
    controller: Option<Controller>,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    due: Vec<Due>,
    next_flight: u64,
    balancer_down: Vec<u64>,
    all_sick_until: u64,
    disk_full_until: u64,
    armed: Option<(Crash, u64, i64)>,
    rng: Rng,
    asked: u32,
    hash: DefaultHasher,
    tracing: bool,
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
        let unknown = version("v0");
        let machine = |previous: &Option<Version>, up: bool| Machine {
            version: previous.clone().unwrap_or_else(|| unknown.clone()),
            up,
            lb: vec![Lb::In; scenario.balancers],
            slipped: false,
            updates: Vec::new(),
            updated_at: 0,
            passes: 0,
            sessions_until: 0,
            up_since: 0,
            sick_until: 0,
            fails: false,
            hangs: false,
            lies: false,
        };
        let machines = scenario.plan.members.iter().map(|m| machine(&m.previous, m.healthy)).collect();
        let mut world = Self {
            now: 0,
            machines,
            journal: Vec::new(),
            appends: 0,
            crashes: 0,
            crash_at: Vec::new(),
            facts: Vec::new(),
            checks: Checks::default(),
            controller: None,
            queue: BinaryHeap::new(),
            due: Vec::new(),
            next_flight: 0,
            balancer_down: vec![0; scenario.balancers],
            all_sick_until: 0,
            disk_full_until: 0,
            armed: None,
            rng: Rng::new(scenario.seed ^ 0xACE),
            asked: 0,
            hash: DefaultHasher::new(),
            tracing,
            scenario,
        };
        for (place, (at, _)) in world.scenario.faults.clone().iter().enumerate() {
            world.schedule(*at, Due::Fault(place));
        }
        for (place, (at, _)) in world.scenario.commands.clone().iter().enumerate() {
            world.schedule(*at, Due::Command(place));
        }
        world
    }

    fn schedule(&mut self, at: u64, due: Due) {
        let place = self.due.len();
        self.due.push(due);
        self.queue.push(Reverse((at.max(self.now), place as u64, place)));
    }

    fn say(&mut self, fact: impl FnOnce() -> String) {
        if self.tracing {
            let line = format!("{:>8} {}", self.now, fact());
            self.facts.push(line);
        }
    }

    /// Runs to the end of the deployment.
    pub(crate) fn run(&mut self) -> Result<Report, Violation> {
        let plan = self.scenario.plan.clone();
        let kind = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan.clone()) };
        let event = Event { seq: Seq(1), at: Timestamp::from_millis(BEGIN), deployment: plan.deployment, kind };
        self.store(std::slice::from_ref(&event));
        self.boot(0);
        self.input(&Input::Command(request(Command::Start)))?;
        for _ in 0..200_000 {
            if let Some(controller) = &self.controller
                && controller.state.end.is_some()
            {
                let state = controller.state.clone();
                Checks::at_the_end(&state, self)?;
                let events = self.journal.len();
                return Ok(Report { state, hash: self.hash.finish(), events });
            }
            self.operate()?;
            self.next()?;
            if self.now > FOREVER {
                break;
            }
        }
        let why = self.controller.as_ref().and_then(|c| waiting(&c.state)).map(|w| w.what);
        Err(Violation::new("L1", format!("no end in sight after {} s: {why:?}", self.now / 1000)))
    }

    /// Takes the next thing that is due.
    fn next(&mut self) -> Result<(), Violation> {
        let deadline = self.controller.as_ref().and_then(|c| {
            let wall = Timestamp::from_millis(self.wall(c.skew));
            next_deadline(&c.state, wall).map(|at| self.now + at.since(wall).as_millis())
        });
        let queued = self.queue.peek().map(|Reverse((at, ..))| *at);
        match (queued, deadline) {
            (Some(at), Some(deadline)) if deadline < at => {
                self.now = self.now.max(deadline);
                self.input(&Input::Tick)
            }
            (Some(_), _) => {
                let Some(Reverse((at, _, place))) = self.queue.pop() else { return Ok(()) };
                self.now = self.now.max(at);
                self.happen(&self.due[place].clone())
            }
            (None, Some(deadline)) => {
                self.now = self.now.max(deadline);
                self.input(&Input::Tick)
            }
            (None, None) => Err(Violation::new("L2", "nothing is in flight, and no time is set".to_owned())),
        }
    }

    fn happen(&mut self, due: &Due) -> Result<(), Violation> {
        match *due {
            Due::Fault(place) => {
                let (_, fault) = self.scenario.faults[place].clone();
                self.say(|| format!("FAULT {fault:?}"));
                self.fault(&fault);
                Ok(())
            }
            Due::Command(place) => {
                let (_, command) = self.scenario.commands[place].clone();
                self.command(command)
            }
            Due::Act(number) => self.act(number),
            Due::Heal(instance, healing) => {
                let now = self.now;
                let machine = &mut self.machines[instance];
                match healing {
                    Healing::Maintenance => {
                        for lb in &mut machine.lb {
                            if *lb == Lb::Maintenance {
                                *lb = Lb::In;
                            }
                        }
                    }
                    Healing::Process => machine.up = true,
                }
                machine.up_since = now;
                Ok(())
            }
            Due::Restart => {
                if self.controller.is_none() {
                    let jump = self.armed.take().map_or(0, |(.., jump)| jump);
                    self.boot(jump);
                    self.input(&Input::Recovered(Takeover::default()))?;
                }
                Ok(())
            }
        }
    }

    fn fault(&mut self, fault: &Fault) {
        let until = |lasts: u64, now: u64| now + lasts;
        match fault {
            Fault::Crash { kind, down, jump } => self.armed = Some((*kind, *down, *jump)),
            Fault::Reload { balancer } => {
                for machine in &mut self.machines {
                    if machine.lb[*balancer] == Lb::Drain {
                        machine.lb[*balancer] = Lb::In;
                        machine.slipped = true;
                    }
                }
            }
            Fault::BalancerDown { balancer, lasts } => self.balancer_down[*balancer] = until(*lasts, self.now),
            Fault::Maintenance { instance, lasts } => {
                self.machines[*instance].lb.fill(Lb::Maintenance);
                if let Some(lasts) = lasts {
                    self.schedule(self.now + lasts, Due::Heal(*instance, Healing::Maintenance));
                }
            }
            Fault::Dies { instance, lasts } => {
                self.machines[*instance].up = false;
                if let Some(lasts) = lasts {
                    self.schedule(self.now + lasts, Due::Heal(*instance, Healing::Process));
                }
            }
            Fault::Sick { instance, lasts } => self.machines[*instance].sick_until = until(*lasts, self.now),
            Fault::AllSick { lasts } => self.all_sick_until = until(*lasts, self.now),
            Fault::UpdateFails { instance } => self.machines[*instance].fails = true,
            Fault::UpdateHangs { instance } => self.machines[*instance].hangs = true,
            Fault::UpdateLies { instance } => self.machines[*instance].lies = true,
            Fault::DiskFull { lasts } => self.disk_full_until = until(*lasts, self.now),
        }
    }

    pub(crate) fn is_sick(&self, instance: usize) -> bool {
        let machine = &self.machines[instance];
        let bad = machine.version == self.scenario.plan.version && self.scenario.bad_on.contains(&instance);
        bad || self.now < machine.sick_until || self.now < self.all_sick_until
    }

    /// It has been well for longer than any two readings are apart, and the last check saw that.
    pub(crate) fn is_known_to_be_well(&self, instance: usize) -> bool {
        let machine = &self.machines[instance];
        let ill = machine.sick_until.max(self.all_sick_until).max(machine.up_since);
        machine.passes > 0 && (ill == 0 || self.now > ill + 11_000)
    }

    fn wall(&self, skew: i64) -> u64 {
        (BEGIN + self.now).saturating_add_signed(skew)
    }

    /// A controller comes up on what the journal holds: the same fold, and nothing else.
    fn boot(&mut self, jump: i64) {
        let events: Vec<Event> = self.journal.iter().map(|line| decode(line).expect("what is stored reads back")).collect();
        let state = State::replay(&events).expect("what is stored can be folded");
        // As the program's own clock: it begins no earlier than what is journalled, and never goes back.
        let wall = (BEGIN + self.now).saturating_add_signed(jump).max(state.at.as_millis());
        let skew = i64::try_from(wall).expect("a time") - i64::try_from(BEGIN + self.now).expect("a time");
        self.controller =
            Some(Controller { mirror: state.clone(), state, observed: Observed::default(), flights: Vec::new(), skew });
    }

    fn store(&mut self, events: &[Event]) {
        for event in events {
            let line = encode(event).expect("an event can be written");
            line.hash(&mut self.hash);
            self.journal.push(line);
        }
        self.appends += 1;
    }

    /// One turn: decide, store, then act.
    fn input(&mut self, input: &Input) -> Result<(), Violation> {
        let Some(mut controller) = self.controller.take() else { return Ok(()) };
        let wall = Timestamp::from_millis(self.wall(controller.skew));
        let before = controller.state.clone();
        let events = turn(&mut controller.state, &mut controller.observed, wall, input)
            .map_err(|illegal| Violation::new("S12", illegal.to_string()))?;
        if !events.is_empty() {
            // A journal that takes nothing holds everything up.
            self.now = self.now.max(self.disk_full_until);
            for event in &events {
                self.say(|| format!("{:>4} {}", event.seq.0, event.kind.words()));
            }
            let mut checks = std::mem::take(&mut self.checks);
            let checked = checks.at_append(&before, &events, self);
            self.checks = checks;
            checked?;
            if let Some((kind, down)) = self.dies(&controller.state) {
                self.crashes += 1;
                self.say(|| format!("CRASH {kind:?}"));
                let survives = matches!(kind, Crash::BeforeEffects | Crash::AfterEffects);
                if survives {
                    self.store(&events);
                } else {
                    self.appends += 1;
                    self.checks.forget(&before);
                }
                if kind == Crash::AfterEffects {
                    self.half_done(&controller);
                }
                self.schedule(self.now + down, Due::Restart);
                return Ok(());
            }
            self.store(&events);
            for event in &events {
                let stored = decode(&encode(event).expect("written")).expect("read");
                controller.mirror.apply(&stored).map_err(|illegal| Violation::new("S12", illegal.to_string()))?;
            }
            if controller.mirror != controller.state {
                return Err(Violation::new("S12", "the journal tells another story than the live state".to_owned()));
            }
        }
        self.reconcile(&mut controller);
        let said = waiting(&controller.state);
        if controller.state.end.is_none() && said.is_none_or(|w| w.what.is_empty()) {
            return Err(Violation::new("L3", "it cannot say what it waits for".to_owned()));
        }
        self.controller = Some(controller);
        Ok(())
    }

    fn dies(&mut self, state: &State) -> Option<(Crash, u64)> {
        if state.end.is_some() {
            return None;
        }
        let at = self.appends + 1;
        if let Some(place) = self.crash_at.iter().position(|(append, _)| *append == at) {
            return Some((self.crash_at.remove(place).1, 7000));
        }
        let (kind, down, jump) = self.armed.take()?;
        self.armed = Some((kind, down, jump)).filter(|_| jump != 0);
        Some((kind, down))
    }

    /// Acts that had begun have their effect, although nobody will hear of it.
    fn half_done(&mut self, controller: &Controller) {
        for effect in wanted(&controller.state) {
            let known = controller.flights.iter().any(|f| f.effect == effect);
            if !matches!(effect.kind, EffectKind::Watch { .. } | EffectKind::WatchRotation { .. })
                && (known || self.rng.percent(50))
            {
                let flight = Flight { number: 0, effect, over: false };
                drop(self.perform(&flight, &controller.state));
            }
        }
    }

    /// Starts what is wanted and not in flight, gives up what is in flight and no longer wanted.
    fn reconcile(&mut self, controller: &mut Controller) {
        let wanted = wanted(&controller.state);
        let (kept, given_up): (Vec<Flight>, Vec<Flight>) =
            controller.flights.drain(..).partition(|flight| wanted.contains(&flight.effect));
        controller.flights = kept;
        for flight in given_up.iter().filter(|flight| !flight.over) {
            if let (EffectKind::Update { .. }, Some(instance)) = (&flight.effect.kind, index(&flight.effect)) {
                // Its process group is killed: nothing runs, and nobody knows how far it got.
                self.machines[instance].up = false;
            }
        }
        for effect in wanted {
            if !controller.flights.iter().any(|f| f.effect == effect) {
                self.next_flight += 1;
                let number = self.next_flight;
                let takes = match (&effect.kind, index(&effect)) {
                    (EffectKind::Update { .. }, Some(instance)) => {
                        self.checks.update_begins(instance, &effect, &controller.state, &self.machines[instance]);
                        self.machines[instance].up = false;
                        1000 + self.rng.below(4000)
                    }
                    (EffectKind::Watch { every, attentive: false, .. }, _) => self.rng.below(every.as_millis().max(1)),
                    _ => 5 + self.rng.below(40),
                };
                controller.flights.push(Flight { number, effect, over: false });
                self.schedule(self.now + takes, Due::Act(number));
            }
        }
    }

    fn act(&mut self, number: u64) -> Result<(), Violation> {
        let Some(controller) = &mut self.controller else { return Ok(()) };
        let Some(place) = controller.flights.iter().position(|f| f.number == number) else { return Ok(()) };
        let flight = controller.flights[place].clone();
        let state = controller.state.clone();
        if let Some(violation) = self.checks.pending.take() {
            return Err(violation);
        }
        let (input, again) = self.perform(&flight, &state);
        // The same order given twice must leave the same world: every effect is performed again now and then.
        if again.is_none() && self.rng.percent(5) && !matches!(flight.effect.kind, EffectKind::Update { .. }) {
            drop(self.perform(&flight, &state));
        }
        if let Some(later) = again {
            self.schedule(self.now + later, Due::Act(number));
        } else if input.is_some()
            && let Some(controller) = &mut self.controller
        {
            controller.flights[place].over = true;
        }
        match input {
            Some(input) => self.input(&input),
            None => Ok(()),
        }
    }

    fn command(&mut self, command: Command) -> Result<(), Violation> {
        let allowed = self.controller.as_ref().is_some_and(|c| check(&c.state, &command).is_ok());
        self.say(|| format!("OPERATOR {command:?}{}", if allowed { "" } else { " (refused)" }));
        if allowed { self.input(&Input::Command(request(command))) } else { Ok(()) }
    }

    /// What a person does about a deployment that waits for one: in the end, gives up.
    fn operate(&mut self) -> Result<(), Violation> {
        let Some(controller) = &self.controller else { return Ok(()) };
        let state = &controller.state;
        // The order to begin may have been lost with the controller; who gave it sees that, and gives it again.
        if state.started_at.is_none() {
            return self.command(Command::Start);
        }
        let waits = state.pause.is_some() && state.active.is_empty() && state.end.is_none();
        let more = self.scenario.commands.iter().any(|(at, _)| *at >= self.now) || self.now < self.last_fault();
        if !waits || more {
            return Ok(());
        }
        self.asked += 1;
        let reason = String::new();
        let cancel = Command::Cancel { reason: reason.clone() };
        let command = match self.rng.below(6) {
            0 if state.rollback.is_none() => Command::Rollback { reason, only: None },
            1 if check(state, &cancel).is_ok() => cancel,
            2 if self.asked < 8 => {
                let instance = id(usize::try_from(self.rng.below(self.machines.len() as u64)).unwrap_or(0));
                Command::Skip { instance, reason }
            }
            _ if self.asked > 20 && self.asked.is_multiple_of(2) => cancel,
            _ => Command::Resume,
        };
        self.command(command)
    }

    fn last_fault(&self) -> u64 {
        self.scenario.faults.last().map_or(0, |(at, _)| *at + 1)
    }
}

/// The instance that an act is about.
pub(crate) fn index(effect: &Effect) -> Option<usize> {
    effect.instance.as_ref().and_then(|id| id.as_str().strip_prefix("web-")?.parse().ok())
}

fn request(command: Command) -> Request {
    let actor = Actor::Operator { login: "ana".to_owned(), uid: 1000 };
    Request { key: "key".to_owned(), actor, revision: None, command }
}
