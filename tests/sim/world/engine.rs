//! Controllers: one turn after the other, each stored before anything is done about it; and their deaths.
//!
//! This is the program's shell (`src/runner`) without its tasks: what it starts and gives up after which facts is the same.

use std::collections::VecDeque;

use rollout::command::Command;
use rollout::core::{Input, Observed, check, turn, wanted, wanted_for, wanted_for_fleet};
use rollout::effect::{Effect, EffectKind};
use rollout::event::{Event, EventKind};
use rollout::model::Timestamp;
use rollout::state::State;

use super::{BEGIN, Due, Sabotage, World};
use crate::checks::{Violation, waiting};
use crate::scenario::Crash;

/// Between two tries of an append that failed.
const APPEND_AGAIN: u64 = 1000;

/// An act in flight.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) effect: Effect,
    /// It came to its end; it stays until it is no longer wanted, as in the program, but is never performed again.
    pub(crate) over: bool,
    /// How often it was looked at.
    pub(crate) looks: u32,
    /// Of a watch: passes in a row that it has seen.
    pub(crate) passes: u32,
}

/// A turn that is decided and not stored.
pub(crate) struct Unsaved {
    pub(super) events: Vec<Event>,
    asked: Option<Command>,
}

/// A controller.
pub(crate) struct Engine {
    pub(crate) epoch: u64,
    pub(crate) state: State,
    /// The fold of what the journal stores, decoded: must equal `state`.
    pub(crate) mirror: State,
    pub(crate) observed: Observed,
    /// By instance; the last are those of the fleet as a whole.
    pub(crate) flights: Vec<Vec<Flight>>,
    pub(crate) unsaved: Option<Unsaved>,
    pub(crate) stopped_until: Option<u64>,
    /// It stands still since then, while its clock goes on.
    pub(crate) stopped_since: Option<u64>,
    /// Its clock ahead of the world's.
    pub(super) skew: i64,
    pub(super) sleeping_since: Option<u64>,
    pub(super) inbox: VecDeque<Input>,
    started: u64,
}

impl Engine {
    /// Its clock.
    pub(crate) fn clock(&self, now: u64) -> Timestamp {
        let now = self.sleeping_since.unwrap_or(now);
        Timestamp::from_millis((BEGIN + now).saturating_add_signed(self.skew))
    }

    /// It takes the next input at once.
    pub(crate) fn listens(&self) -> bool {
        self.unsaved.is_none() && self.stopped_until.is_none()
    }
}

impl World {
    /// A controller comes up on what the journal holds: the same fold, and nothing else.
    pub(super) fn boot(&mut self, epoch: u64) -> Result<(), Violation> {
        let events = self.store.read()?;
        let state = State::replay(&events).map_err(|illegal| Violation::new("L5", illegal.to_string()))?;
        // As the program's own clock: it begins no earlier than what is journalled.
        let wall = (BEGIN + self.now).saturating_add_signed(self.wall_skew).max(state.at.as_millis());
        let skew = i64::try_from(wall).expect("a time") - i64::try_from(BEGIN + self.now).expect("a time");
        self.aware_since = self.now;
        self.live = Some(Engine {
            epoch,
            mirror: state.clone(),
            observed: Observed::default(),
            flights: vec![Vec::new(); state.instances.len() + 1],
            unsaved: None,
            stopped_until: None,
            stopped_since: None,
            skew,
            sleeping_since: None,
            inbox: VecDeque::new(),
            started: self.now,
            state,
        });
        Ok(())
    }

    /// What reaches the controller; nobody hears it while there is none.
    pub(super) fn input(&mut self, input: Input) -> Result<(), Violation> {
        let Some(engine) = &mut self.live else { return Ok(()) };
        if engine.listens() {
            return self.turn(&input);
        }
        if !matches!(input, Input::Tick) {
            engine.inbox.push_back(input);
        }
        Ok(())
    }

    pub(super) fn drain_inbox(&mut self) -> Result<(), Violation> {
        while let Some(input) = self.live.as_mut().filter(|e| e.listens()).and_then(|e| e.inbox.pop_front()) {
            self.turn(&input)?;
        }
        Ok(())
    }

    /// One turn: decide, store, then act.
    fn turn(&mut self, input: &Input) -> Result<(), Violation> {
        let Some(engine) = &mut self.live else { return Ok(()) };
        let mut asked = None;
        if let Input::Command(request) = input {
            if check(&engine.state, &request.command).is_err() {
                return Ok(());
            }
            asked = Some(request.command.clone());
        }
        if self.sabotage == Some(Sabotage::AnswerFirst)
            && let Some(command) = &asked
        {
            let seq = engine.state.seq.next();
            self.checks.answered(command, seq, self.store.last())?;
        }
        let clock = engine.clock(self.now);
        let events = turn(&mut engine.state, &mut engine.observed, clock, input)
            .map_err(|illegal| Violation::new("S12", illegal.to_string()))?;
        if events.is_empty() {
            if let Some(command) = asked {
                let seq = engine.state.seq;
                self.checks.answered(&command, seq, self.store.last())?;
            }
            return if matches!(input, Input::Tick) { self.explains() } else { Ok(()) };
        }
        engine.unsaved = Some(Unsaved { events, asked });
        self.decided_at = self.now;
        if let Some((kind, down, outlived)) = self.dies() {
            return self.die(kind, down, outlived);
        }
        if self.sabotage == Some(Sabotage::ActFirst) {
            self.reconcile(None)?;
        }
        self.save()
    }

    /// Stores what was decided. A journal that takes nothing holds it up, and it alone.
    pub(super) fn save(&mut self) -> Result<(), Violation> {
        let full = self.disk_full > 0;
        let (now, no_second_try) = (self.now, self.sabotage == Some(Sabotage::NoSecondTry));
        let Some(engine) = self.live.as_mut().filter(|e| e.stopped_until.is_none()) else { return Ok(()) };
        if engine.unsaved.is_none() {
            return Ok(());
        }
        if full {
            self.say(|| "the journal takes nothing".to_owned());
            if !no_second_try {
                self.schedule(now + APPEND_AGAIN, Due::Append);
            }
            return Ok(());
        }
        let Some(Unsaved { events, asked }) = engine.unsaved.take() else { return Ok(()) };
        // While nothing could be stored, nothing could be done about what was seen.
        let late = self.now > self.decided_at;
        self.aware_since = self.aware_since.max(if late { self.now } else { 0 });
        self.keep(&events)?;
        self.reconcile(Some(&events))?;
        if let (Some(command), Some(engine)) = (asked, &self.live) {
            self.checks.answered(&command, engine.state.seq, self.store.last())?;
        }
        if late {
            self.input(Input::Mended)?;
        }
        self.drain_inbox()?;
        // What came due while nothing could be stored is due now; the program looks once a second.
        if late {
            self.input(Input::Tick)?;
        }
        // Nothing is decided together with a takeover: what is due follows at once.
        let takeover = matches!(events.as_slice(), [Event { kind: EventKind::EngineRecovered { .. }, .. }]);
        if takeover { Ok(()) } else { self.explains() }
    }

    /// L7: once space is there again it goes on by itself.
    pub(super) fn resumed(&self) -> Result<(), Violation> {
        let stuck = self.disk_full == 0
            && self.now >= self.disk_since + 2000
            && self.live.as_ref().is_some_and(|e| e.unsaved.is_some() && e.stopped_until.is_none());
        if stuck {
            return Err(Violation::new("L7", "the journal takes appends again, and gets none".to_owned()));
        }
        Ok(())
    }

    /// The append itself, and what must hold of it.
    fn keep(&mut self, events: &[Event]) -> Result<(), Violation> {
        let Some(mut engine) = self.live.take() else { return Ok(()) };
        for event in events {
            self.say(|| format!("{:>4} {}", event.seq.0, event.kind.words()));
        }
        let from = self.store.events.len();
        let stored = self.store.append(engine.epoch, events, &mut self.hash);
        stored.map_err(|_stale| Violation::new("S7", "the only controller is taken for a stale one".to_owned()))?;
        self.appends += 1;
        for event in &self.store.events[from..] {
            engine.mirror.apply(event).map_err(|illegal| Violation::new("S12", illegal.to_string()))?;
        }
        if engine.mirror != engine.state {
            return Err(Violation::new("S12", "the journal tells another story than the live state".to_owned()));
        }
        if !(self.sabotage == Some(Sabotage::LossyLink) && self.reader.seen().0.is_multiple_of(7)) {
            self.reader.hear(events)?;
        }
        let mut checks = std::mem::take(&mut self.checks);
        let checked = checks.at_append(events, &engine.state, self);
        self.checks = checks;
        self.live = Some(engine);
        checked
    }

    fn dies(&mut self) -> Option<(Crash, u64, bool)> {
        if self.live.as_ref().is_some_and(|e| e.state.end.is_some()) {
            return None;
        }
        let at = self.appends + 1;
        if let Some(place) = self.crash_at.iter().position(|(append, _)| *append == at) {
            return Some((self.crash_at.remove(place).1, self.crash_down, false));
        }
        self.armed.take()
    }

    fn die(&mut self, kind: Crash, down: u64, outlived: bool) -> Result<(), Violation> {
        self.crashes += 1;
        self.say(|| format!("CRASH {kind:?}"));
        let Some(unsaved) = self.live.as_mut().and_then(|e| e.unsaved.take()) else { return Ok(()) };
        let survives = matches!(kind, Crash::BeforeEffects | Crash::AfterEffects);
        if survives {
            self.keep(&unsaved.events)?;
        } else {
            self.appends += 1;
        }
        if kind == Crash::AfterEffects {
            self.reconcile(Some(&unsaved.events))?;
            self.half_done()?;
        }
        let Some(engine) = self.live.take() else { return Ok(()) };
        self.checks.died(&engine.mirror);
        self.works_orphaned(outlived);
        self.reader.linked = false;
        self.schedule(self.now + down, Due::Restart);
        self.schedule(self.now + down + 1, Due::Link);
        Ok(())
    }

    /// Acts that had begun have their effect, although nobody will hear of it.
    fn half_done(&mut self) -> Result<(), Violation> {
        let Some(engine) = &self.live else { return Ok(()) };
        let flights: Vec<Flight> = engine.flights.iter().flatten().filter(|f| !f.over).cloned().collect();
        for flight in flights {
            let looks = matches!(
                flight.effect.kind,
                EffectKind::Watch { .. }
                    | EffectKind::WatchRotation { .. }
                    | EffectKind::HoldWeights { .. }
                    | EffectKind::Measure { .. }
            );
            if self.rng.percent(30) || looks {
                continue;
            }
            match (super::acts::slot_of(&flight.effect), &flight.effect.kind) {
                (Some(n), EffectKind::Update { .. }) => {
                    let serials: Vec<u64> = self.machines[n].works.iter().map(|w| w.serial).collect();
                    let engine = self.live.take();
                    for serial in serials {
                        self.work_ends(n, serial)?;
                    }
                    self.live = engine;
                }
                _ => drop(self.perform(&flight)?),
            }
        }
        Ok(())
    }

    /// Starts what is wanted and not in flight, gives up what is in flight and no longer wanted: after these facts, or all.
    fn reconcile(&mut self, after: Option<&[Event]>) -> Result<(), Violation> {
        let Some(mut engine) = self.live.take() else { return Ok(()) };
        let total = engine.state.instances.len();
        let mut touched: Vec<usize> = (0..total).collect();
        let all = |event: &Event| event.kind.instance().is_none() && !matches!(event.kind, EventKind::BatchVerified { .. });
        if let Some(events) = after.filter(|events| !events.iter().any(all) && engine.started < self.now) {
            touched = events.iter().filter_map(|e| engine.state.instances.get_index_of(e.kind.instance()?)).collect();
            let evicting = |index: &usize| engine.state.instances.get_index(*index).is_some_and(|(_, i)| i.is_evicting());
            touched.extend(engine.state.active.iter().copied().filter(evicting));
        }
        touched.sort_unstable();
        touched.dedup();
        let aligned = touched.into_iter().try_for_each(|index| {
            let wanted = wanted_for(&engine.state, index);
            self.align(&mut engine, index, wanted)
        });
        let wanted_of_fleet = wanted_for_fleet(&engine.state);
        let fleet = aligned.and_then(|()| self.align(&mut engine, total, wanted_of_fleet));
        let flying = engine.flights.iter().map(Vec::len).sum::<usize>();
        // What is started after some facts must be what is wanted after all.
        let all_there = !self.appends.is_multiple_of(8) || wanted(&engine.state).len() == flying;
        self.live = Some(engine);
        fleet?;
        if !all_there {
            return Err(Violation::new("L2", "something is wanted that nobody began, or in flight and not wanted".to_owned()));
        }
        Ok(())
    }

    fn align(&mut self, engine: &mut Engine, slot: usize, wanted: Vec<Effect>) -> Result<(), Violation> {
        let flying = std::mem::take(&mut engine.flights[slot]);
        for flight in flying {
            if wanted.contains(&flight.effect) {
                engine.flights[slot].push(flight);
            } else if matches!(flight.effect.kind, EffectKind::Update { .. }) && !flight.over {
                self.work_given_up(slot, &flight.effect);
            }
        }
        for effect in wanted {
            if engine.flights[slot].iter().any(|f| f.effect == effect) {
                continue;
            }
            self.flown += 1;
            let number = self.flown;
            let mut checks = std::mem::take(&mut self.checks);
            let checked = checks.act_begins(&effect, engine.epoch, self);
            self.checks = checks;
            checked?;
            let takes = match &effect.kind {
                EffectKind::Watch { every, attentive: false, .. } => self.rng.below(every.as_millis().max(1)),
                _ if self.rng.percent(5) => 0,
                _ => 5 + self.rng.below(40),
            };
            if let EffectKind::Update { version, .. } = &effect.kind {
                self.work_begins(slot, &effect, version)?;
            }
            engine.flights[slot].push(Flight { number, effect, over: false, looks: 0, passes: 0 });
            self.schedule(self.now + takes, Due::Act { slot, number });
        }
        Ok(())
    }

    /// L2 and L3, whenever it comes to rest.
    fn explains(&self) -> Result<(), Violation> {
        match &self.live {
            Some(engine) if engine.listens() => waiting::explains(engine, self),
            _ => Ok(()),
        }
    }
}
