//! Operators: those of the scenario, and the person who sees to a deployment that waits for one.

use rollout::command::{Command, Request};
use rollout::core::{Input, check};
use rollout::event::Actor;
use rollout::model::{CanaryStep, Span};
use rollout::state::{Awaits, State};

use super::World;
use crate::checks::Violation;
use crate::scenario::id;

pub(super) fn request(command: Command) -> Request {
    let actor = Actor::operator("ana", 1000);
    Request { key: "key".to_owned(), actor, revision: None, command }
}

/// Nothing goes on before somebody says so.
pub(crate) fn waits(state: &State) -> bool {
    let asks = state.awaits.is_some() || state.pause.is_some();
    asks && state.active.is_empty() && state.end.is_none() || state.started_at.is_none()
}

impl World {
    pub(super) fn command(&mut self, command: Command) -> Result<(), Violation> {
        self.say(|| format!("OPERATOR {command:?}"));
        self.input(Input::Command(request(command)))
    }

    pub(super) fn waits_for_a_person(&self) -> bool {
        self.live.as_ref().is_some_and(|e| e.listens() && waits(&e.state))
    }

    /// How long the rest may take at most: every deadline of every instance, both ways, one after the other.
    pub(super) fn bound(&self) -> u64 {
        let policy = &self.scenario.plan.policy;
        let (health, strategy) = (&policy.health, &policy.strategy);
        let looks = (health.timeout + health.interval).times(u64::from(health.retries + health.rise) + 2);
        let drain = policy.drain.timeout.times(11) + Span::from_secs(10).times(7);
        let verify = health.deadline.times(4) + health.start_timeout + strategy.min_healthy_time + looks;
        let one = looks + drain + policy.update.timeout + verify + Span::from_secs(60);
        let all = one.times(2) + strategy.batch_pause + strategy.approval_timeout;
        let total = self.machines.len() as u64;
        let late = self.scenario.faults.iter().map(|(_, fault)| match fault {
            crate::scenario::Fault::Clock { jump, .. } => jump.unsigned_abs(),
            crate::scenario::Fault::UpdateLate { takes, .. } => *takes,
            _ => 0,
        });
        let steps = policy.canary.iter().flat_map(|canary| &canary.steps).map(|step| match step {
            CanaryStep::Pause { lasts } => lasts.unwrap_or(strategy.approval_timeout),
            _ => Span::from_secs(20),
        });
        let measured = policy.analysis.as_ref().map_or(Span::ZERO, |analysis| analysis.interval.times(50));
        let hooks = policy.hooks.iter().map(|hook| hook.timeout.times(u64::from(hook.retries) + 1) + Span::from_secs(5));
        let hooks = hooks.fold(Span::ZERO, |all, one| all + one).times(2 * total + 6);
        let between = steps.fold(Span::ZERO, |all, one| all + one + measured) + measured.times(total) + hooks;
        let rest = between + Span::from_secs(30).times(total) + strategy.progress_timeout + health.timeout + Span::from_secs(200);
        all.times(total + 1).as_millis() + rest.as_millis() + 2 * late.sum::<u64>()
    }

    /// What a person does about a deployment that waits for one: in the end, gives up. True if something was done.
    pub(super) fn operate(&mut self) -> Result<bool, Violation> {
        if !self.waits_for_a_person() {
            return Ok(false);
        }
        let Some(engine) = &self.live else { return Ok(false) };
        let state = &engine.state;
        // The order to begin may have been lost with the controller; who gave it sees that, and gives it again.
        if state.started_at.is_none() {
            self.asked += 1;
            let started = Command::Start;
            return if self.asked > 50 { Err(self.endless("it does not begin")) } else { self.command(started).map(|()| true) };
        }
        // Who has more to say says it now.
        if !self.command_at.is_empty() {
            let (_, command) = self.command_at.remove(0);
            return self.command(command).map(|()| true);
        }
        // Some questions are left to their deadline.
        let has_deadline = state.awaits.is_some() && state.pause.is_none();
        // What goes on by itself is mostly left to it.
        if !state.is_held_up() && state.pause.is_some() && self.rng.percent(95) {
            return Ok(false);
        }
        if has_deadline && (!self.scenario.attended || self.left_alone == Some(state.seq) || self.rng.percent(25)) {
            self.left_alone = Some(state.seq);
            return Ok(false);
        }
        self.asked += 1;
        if self.asked > 80 {
            return Err(self.endless("it does not end whatever one does"));
        }
        let command = self.choose();
        self.limit = self.now + self.bound();
        self.command(command)?;
        Ok(true)
    }

    fn choose(&mut self) -> Command {
        let reason = String::new();
        let instance = id(usize::try_from(self.rng.below(self.machines.len() as u64)).unwrap_or(0));
        let Some(engine) = &self.live else { return Command::Resume };
        let state = &engine.state;
        let cancel = Command::Cancel { reason: reason.clone() };
        if self.asked > 25 {
            return if self.asked.is_multiple_of(2) { cancel } else { Command::Resume };
        }
        if state.pause.is_none() {
            return match (state.awaits, self.rng.below(4)) {
                (Some(Awaits::Approval | Awaits::Promotion), 0..=2) => Command::Promote { full: self.rng.percent(30) },
                (Some(Awaits::Release), 0..=2) => {
                    let held = state.instances.iter().find(|(_, i)| i.held.is_some()).map(|(id, _)| id.clone());
                    let instance = held.unwrap_or(instance);
                    if self.rng.percent(70) { Command::Release { instance } } else { Command::Skip { instance, reason } }
                }
                _ => cancel,
            };
        }
        let allowed = |command: &Command| check(state, command).is_ok();
        match self.rng.below(8) {
            0 => Command::Rollback { reason, only: None },
            1 if allowed(&cancel) => cancel,
            2 => Command::Skip { instance, reason },
            3 => Command::Retry { instance },
            4 => Command::Rollback { reason, only: Some(instance) },
            _ => Command::Resume,
        }
    }
}
