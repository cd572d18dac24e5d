//! Drivers' commands: they run in the world, not in the controller, and may outlive it.

use std::hash::Hash as _;

use rollout::core::{Input, wanted};
use rollout::effect::{Effect, Outcome};
use rollout::model::{EffectId, Version};

use super::{Due, Healing, Sabotage, Work, World};
use crate::checks::Violation;

impl World {
    /// The driver is told to bring the instance to `version`.
    pub(super) fn work_begins(&mut self, n: usize, effect: &Effect, version: &Version) -> Result<(), Violation> {
        // It observes first: what was done by this very order is done, what is being done is awaited.
        let machine = &self.machines[n];
        let forgetful = self.sabotage == Some(Sabotage::Forgetful);
        if machine.runs.last() == Some(&effect.id) && machine.works.is_empty() && !forgetful {
            return Ok(());
        }
        let beside = self.sabotage == Some(Sabotage::TwoCommands);
        if machine.works.iter().any(|w| w.id == effect.id) && !beside {
            return Ok(());
        }
        // A host that nobody reaches does as it likes: what was given up there cannot be waited for.
        if let Some(other) = machine.works.iter().find(|w| !(w.remote && w.given_up)) {
            return Err(Violation::new("S8", format!("web-{n}: {} begins while {} is at work", effect.id, other.id)));
        }
        self.scheduled += 1;
        let serial = self.scheduled;
        let machine = &mut self.machines[n];
        let omens = std::mem::take(&mut machine.omens);
        machine.up = false;
        machine.starting = false;
        machine.unused = false;
        let (id, version, remote) = (effect.id.clone(), version.clone(), omens.late.is_some());
        machine.omens = super::Omens { late: None, ..omens };
        machine.works.push(Work { serial, id, version, remote, given_up: false });
        self.refresh(n);
        let timeout = self.scenario.plan.policy.update.timeout.as_millis();
        let takes = match omens.late {
            Some(late) => late,
            // Exactly on time now and then.
            None if self.rng.percent(self.scenario.on_time) => timeout.min(200_000),
            None => 1000 + self.rng.below(4000),
        };
        if omens.hangs {
            self.machines[n].omens.hangs = false;
        } else {
            self.schedule(self.now + takes, Due::Work { instance: n, serial });
        }
        Ok(())
    }

    pub(super) fn work_ends(&mut self, n: usize, serial: u64) -> Result<(), Violation> {
        let now = self.now;
        let machine = &mut self.machines[n];
        let Some(place) = machine.works.iter().position(|w| w.serial == serial) else { return Ok(()) };
        let work = machine.works.remove(place);
        (n, work.id.as_str(), now).hash(&mut self.hash);
        let omens = std::mem::take(&mut machine.omens);
        machine.up = machine.works.is_empty();
        machine.passes = 0;
        let effective = omens.fails != Some(false) && !omens.lies;
        if effective {
            machine.version = work.version.clone();
            machine.runs.push(work.id.clone());
        }
        machine.starting = omens.slow.is_some();
        if work.given_up {
            machine.disturbed_at = Some(now);
        }
        self.refresh(n);
        self.say(|| format!("     web-{n}: {} ends, {omens:?}", work.id));
        if let Some(lasts) = omens.slow {
            self.schedule(now + lasts, Due::Heal(Healing::Started(n)));
        }
        // One that changed nothing, and of which nobody heard, may run again.
        if effective {
            self.checks.ran(n, &work)?;
        }
        let failed = (omens.fails.is_some()).then(|| Outcome::UpdateFailed { reason: "exit code 1".to_owned() });
        self.reports(n, &work, failed.unwrap_or(Outcome::Updated))
    }

    /// Whoever waits for this order hears of it.
    fn reports(&mut self, n: usize, work: &Work, outcome: Outcome) -> Result<(), Violation> {
        let Some(engine) = &mut self.live else { return Ok(()) };
        let Some(flight) = engine.flights[n].iter_mut().find(|f| f.effect.id == work.id && !f.over) else { return Ok(()) };
        flight.over = true;
        self.input(Input::Outcome { effect: work.id.clone(), outcome })
    }

    /// The command's process group is killed, where it can be: nothing runs then, and nobody knows how far it got.
    pub(super) fn work_given_up(&mut self, n: usize, effect: &Effect) {
        self.end_works(n, |w| w.id == effect.id, true);
    }

    /// A controller's death, or its replacement: its commands are killed with it, where they can be, or outlive it.
    pub(super) fn works_orphaned(&mut self, outlived: bool) {
        if !outlived {
            (0..self.machines.len()).for_each(|n| self.end_works(n, |_| true, false));
        }
    }

    /// A successor ends what still runs and nobody wants any more, before it does anything.
    pub(super) fn works_left(&mut self) {
        let Some(engine) = &self.live else { return };
        let wanted: Vec<EffectId> = wanted(&engine.state).into_iter().map(|effect| effect.id).collect();
        (0..self.machines.len()).for_each(|n| self.end_works(n, |work| !wanted.contains(&work.id), true));
    }

    fn end_works(&mut self, n: usize, which: impl Fn(&Work) -> bool, given_up: bool) {
        let machine = &mut self.machines[n];
        machine.works.retain(|w| !which(w) || w.remote);
        for work in machine.works.iter_mut().filter(|w| which(w)) {
            work.given_up |= given_up;
        }
        self.refresh(n);
    }
}
