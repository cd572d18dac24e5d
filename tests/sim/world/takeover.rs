//! Who controls after a death, a stop or a sleep: successors, and those that do not know that they were replaced.

use rollout::command::Command;
use rollout::core::{Input, check, turn};
use rollout::event::{Actor, Takeover};
use rollout::model::Span;

use super::operator::request;
use super::{Due, Sabotage, World};
use crate::checks::Violation;

/// The program notices that it stood still from this on.
const ASLEEP: u64 = 5000;

impl World {
    /// The successor of a controller that died or was replaced.
    pub(super) fn restart(&mut self) -> Result<(), Violation> {
        if self.live.is_some() {
            return Ok(());
        }
        if self.sabotage == Some(Sabotage::NoSuccessor) {
            return Err(Violation::new("L5", "a second start fails after the death of the first".to_owned()));
        }
        let epoch = self.store.take_over();
        self.boot(epoch)?;
        self.works_left();
        self.checks.same_story(self.live.as_ref().map(|e| &e.state))?;
        self.input(Input::Recovered(Takeover::default()))?;
        if let Some(engine) = &self.live
            && self.scenario.takes_over_paused
            && check(&engine.state, &Command::Pause { reason: String::new() }).is_ok()
        {
            let mut pause = request(Command::Pause { reason: "its engine had died".to_owned() });
            pause.actor = Actor::Engine;
            self.input(Input::Command(pause))?;
        }
        self.input(Input::Tick)?;
        self.limit = self.limit.max(self.now + self.bound());
        Ok(())
    }

    pub(super) fn stop(&mut self, lasts: u64, takeover: Option<u64>, asleep: bool) {
        let until = (self.now + lasts).min(self.heals_at.max(self.now));
        let (now, Some(engine)) = (self.now, &mut self.live) else { return };
        if engine.stopped_until.is_some() {
            return;
        }
        engine.stopped_until = Some(until);
        engine.sleeping_since = asleep.then_some(now);
        engine.stopped_since = (!asleep).then_some(now);
        let epoch = engine.epoch;
        if let Some(after) = takeover {
            self.schedule((now + after).min(until), Due::Takeover(epoch));
        }
        self.schedule(until, Due::Wake(epoch));
    }

    /// Another controller takes over from one that is stopped: it kills it and its commands before it begins. The last
    /// thing that the old one was about to do may still come through.
    pub(super) fn replace(&mut self, epoch: u64) -> Result<(), Violation> {
        let stopped = self.live.take_if(|e| e.epoch == epoch && e.stopped_until.is_some());
        let Some(mut engine) = stopped else { return Ok(()) };
        self.say(|| "TAKEOVER".to_owned());
        engine.flights.iter_mut().for_each(Vec::clear);
        self.checks.died(&engine.mirror);
        self.works_orphaned(false);
        self.reader.linked = false;
        self.stale = Some(engine);
        self.crashes += 1;
        self.restart()?;
        self.link()
    }

    pub(super) fn wake(&mut self, epoch: u64) -> Result<(), Violation> {
        if self.stale.as_ref().is_some_and(|e| e.epoch == epoch) {
            return self.wake_stale();
        }
        let now = self.now;
        let Some(engine) = self.live.as_mut().filter(|e| e.epoch == epoch) else { return Ok(()) };
        if let Some(since) = engine.sleeping_since.take() {
            engine.skew -= i64::try_from(now - since).expect("a time");
            // A clock that was behind is so much further behind.
            self.aware_since += if self.aware_since > since { now - since } else { 0 };
        }
        engine.stopped_until = None;
        self.aware_since = self.aware_since.max(now);
        // One that was asleep with its machine has a clock that was so, too, and notices nothing.
        let stood = engine.stopped_since.take().map(|since| now - since).filter(|stood| *stood >= ASLEEP);
        if self.live.as_ref().is_some_and(|e| e.unsaved.is_some()) {
            return self.save();
        }
        if let Some(stood) = stood {
            self.input(Input::Woke { asleep: Span::from_millis(stood) })?;
        }
        self.drain_inbox()
    }

    /// S7: whatever a replaced controller decides, nothing of it is stored, and so nothing of it is done.
    fn wake_stale(&mut self) -> Result<(), Violation> {
        let Some(mut engine) = self.stale.take() else { return Ok(()) };
        self.say(|| "the one that was replaced wakes".to_owned());
        let mut inputs: Vec<Input> = engine.inbox.drain(..).filter(|i| !matches!(i, Input::Command(_))).collect();
        inputs.push(Input::Tick);
        inputs.push(Input::Command(request(Command::Hold { instance: crate::scenario::id(0), reason: String::new() })));
        inputs.push(Input::Command(request(Command::Pause { reason: String::new() })));
        let clock = engine.clock(self.now);
        let mut events = engine.unsaved.take().map(|u| u.events).unwrap_or_default();
        for input in inputs {
            if events.is_empty() {
                let turned = turn(&mut engine.state, &mut engine.observed, clock, &input);
                events = turned.map_err(|illegal| Violation::new("S12", illegal.to_string()))?;
            }
        }
        if !events.is_empty() && self.store.append(engine.epoch, &events, &mut self.hash).is_ok() {
            let what = events[0].kind.words();
            return Err(Violation::new("S7", format!("epoch {} is over, and yet it is stored: {what}", engine.epoch)));
        }
        Ok(())
    }

    pub(super) fn set_clock(&mut self, jump: i64, living: bool) {
        self.wall_skew += jump;
        if living && let Some(engine) = &mut self.live {
            engine.skew += jump;
            // Until its clock is where it was, what it sees looks old.
            let behind = if jump < 0 { jump.unsigned_abs() } else { 0 };
            self.aware_since = self.aware_since.max(self.now) + behind;
        }
    }
}
