//! `State::apply`: one event, one change. Rejects what cannot follow.
//!
//! Imports: event, model, state's parts. May not: decide; everything that it writes is in the event or follows from it.

use crate::event::{Actor, Cause, Event, EventKind};
use crate::model::{InstanceId, OnFailure, Seq, Span, Timestamp};
use crate::mutant::{self, Mutant};

use super::fold::{Context, fold_instance};
use super::transitions::may_follow;
use super::{Awaits, Batch, End, Halt, Look, Phase, Rollback, State};

/// An event that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} cannot follow: {reason}")]
pub struct Illegal {
    /// The event.
    pub seq: Seq,
    /// Why, in words.
    pub reason: String,
}

impl State {
    /// Takes one event in.
    ///
    /// # Errors
    /// Fails, changing nothing, if the event is not the next one or its phase cannot follow.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        let illegal = |reason: String| Illegal { seq: event.seq, reason };
        if event.seq != self.seq.next() {
            return Err(illegal(format!("expected number {}", self.seq.next())));
        }
        if self.end.is_some() {
            return Err(illegal("the deployment has ended".to_owned()));
        }
        if let Some(id) = event.kind.instance() {
            let index = self.instances.get_index_of(id).ok_or_else(|| illegal(format!("{id} is not in the plan")))?;
            self.apply_instance(index, event).map_err(illegal)?;
        } else {
            self.apply_deployment(event).map_err(illegal)?;
        }
        self.seq = event.seq;
        self.at = event.at;
        if event.kind.turns() {
            self.turned = event.seq;
        }
        Ok(())
    }

    fn apply_deployment(&mut self, event: &Event) -> Result<(), String> {
        let at = event.at;
        match &event.kind {
            EventKind::DeploymentPlanned { .. } => return Err("a deployment is planned once".to_owned()),
            EventKind::DeploymentStarted { .. } => {
                self.started_at = Some(at);
                self.go_on(at);
            }
            // Nobody could act meanwhile: what could not be done is not late.
            EventKind::JournalMended => self.rearm(at),
            EventKind::EngineWoke { asleep } => self.put_off(at, *asleep),
            EventKind::EngineRecovered { .. } => {
                self.rearm(if mutant::is(Mutant::KeepOldDeadlines) { self.at } else { at });
                self.recovered_at = Some(at);
            }
            EventKind::DeploymentPaused { by, reason, cause, until } => {
                self.hold_still(halt((by, reason), *cause, event), *until);
            }
            EventKind::DeploymentResumed { by } => self.resume(by, at),
            EventKind::CancelRequested { by, reason } => {
                self.cancel = Some(halt((by, reason), Cause::Asked, event));
                (self.step, self.hook, self.closed_gate) = (None, None, None);
                self.end_pause(at);
                self.look = None;
                self.answered();
                self.progress_until = None;
            }
            EventKind::CommandsStopped { by, reason } => self.stopped = Some(halt((by, reason), Cause::Asked, event)),
            EventKind::ThresholdCrossed { failed, look_until, .. } => {
                self.crossed = *failed;
                self.look = look_until.map(|until| Look { from: at, until, peers: self.peers() });
            }
            EventKind::RollbackStarted { by, reason, since, detect } => {
                let (by, reason, since, detect) = (by.clone(), reason.clone(), *since, *detect);
                self.roll_back(Rollback { by, reason, since, detect, restored_at: None, at });
            }
            EventKind::ApprovalAwaited { until, .. } => self.await_person(Awaits::Approval, *until),
            EventKind::BatchApproved { full, .. } => {
                self.approved = if *full { u32::MAX } else { self.batches };
                self.go_on(at);
            }
            EventKind::StepStarted { .. }
            | EventKind::StepCompleted { .. }
            | EventKind::WeightsOrdered { .. }
            | EventKind::WeightsSet { .. }
            | EventKind::AnalysisMeasured { .. }
            | EventKind::HookStarted { .. }
            | EventKind::HookEnded { .. } => self.apply_between(&event.kind, at)?,
            EventKind::ReleaseAwaited { until } => self.await_person(Awaits::Release, *until),
            EventKind::BatchStarted { batch, members } => self.start_batch(*batch, members, at)?,
            EventKind::BatchVerified { batch, bake_until } => {
                self.batch_at_work(*batch)?.bake_until = Some(*bake_until);
                self.judge_anew(at);
                // A bake is no lack of progress.
                self.arm_progress(*bake_until);
            }
            EventKind::BatchCompleted { batch } => {
                self.batch_at_work(*batch)?;
                self.batch = None;
            }
            EventKind::EndCheckStarted { until } => {
                self.end_check_until = Some(*until);
                self.answered();
                self.progress_until = None;
            }
            EventKind::EndCheckFinished { mismatches } => self.end_checked = Some(*mismatches),
            EventKind::DeploymentEnded { ending, reason, vip, lb } => {
                self.end = Some(End { ending: *ending, reason: reason.clone(), at, vip: *vip, lb: *lb });
                self.pause = None;
                self.progress_until = None;
                self.answered();
            }
            EventKind::InstanceCheckStarted { .. }
            | EventKind::InstanceCheckDropped { .. }
            | EventKind::InstanceSkipped { .. }
            | EventKind::InstanceHeld { .. }
            | EventKind::InstanceReleased { .. }
            | EventKind::InstanceRetried { .. }
            | EventKind::InstanceDiscounted { .. }
            | EventKind::RotationChanged { .. }
            | EventKind::DrainLost { .. }
            | EventKind::DrainStarted { .. }
            | EventKind::InstanceTakenOut { .. }
            | EventKind::DrainExtended { .. }
            | EventKind::DrainFinished { .. }
            | EventKind::UpdateStarted { .. }
            | EventKind::UpdateFinished { .. }
            | EventKind::HealthPassed { .. }
            | EventKind::InstanceAdmitted { .. }
            | EventKind::InstanceHealthy { .. }
            | EventKind::InstanceFailed { .. }
            | EventKind::ReturnStarted { .. }
            | EventKind::InstanceReturned { .. }
            | EventKind::RestoreStarted { .. }
            | EventKind::InstanceRestored { .. }
            | EventKind::RetireStarted { .. }
            | EventKind::StopStarted { .. }
            | EventKind::InstanceRetired { .. }
            | EventKind::EndCheckMismatch { .. } => return Err("an instance's event without an instance".to_owned()),
        }
        Ok(())
    }

    fn roll_back(&mut self, rollback: Rollback) {
        self.rollback = Some(rollback);
        (self.pause, self.look) = (None, None);
        // It overrules an earlier cancel; a later one ends the rollback where it is.
        (self.cancel, self.stopped) = (None, None);
        (self.batch, self.step, self.hook, self.closed_gate) = (None, None, None, None);
        self.answered();
        self.progress_until = None;
        self.read_again_at_the_end();
    }

    /// Nothing new is taken. Clocks for progress and for people stop; one that this pause itself sets runs.
    fn hold_still(&mut self, mut pause: Halt, until: Option<Timestamp>) {
        // An analysis that has not failed and stops it cannot tell, and may yet.
        pause.passing = pause.by == Actor::Engine && pause.cause == Cause::Analysis && !self.has_failed_check();
        // Where a pause is what a crossed threshold leads to, this one answers it.
        let answers =
            pause.cause.answers_failures() || matches!(self.plan.policy.rollback.on_failure, OnFailure::Pause | OnFailure::Ask);
        if !self.is_held_up() && !pause.passing && answers {
            self.judged = self.judged.max(self.crossed);
        }
        if pause.cause == Cause::Hook {
            self.closed_gate = None;
        }
        // What it waits for by itself is not waited for without end.
        if !pause.passing {
            self.progress_until = None;
        }
        self.pause = Some(pause);
        match until {
            Some(until) => self.await_person(Awaits::Answer, until),
            None if self.awaits == Some(Awaits::Answer) => self.answered(),
            None => {}
        }
    }

    pub(super) fn await_person(&mut self, what: Awaits, until: Timestamp) {
        self.awaits = Some(what);
        self.approval_until = Some(until);
        self.progress_until = None;
    }

    /// No person is waited for.
    fn answered(&mut self) {
        (self.awaits, self.approval_until) = (None, None);
    }

    /// Failures that crossed the threshold during the pause are acted on now: after a look as of now.
    fn look_anew(&mut self, at: Timestamp) {
        let health = &self.plan.policy.health;
        let until = at + health.timeout + health.interval;
        let needed = self.look.is_some() && self.crossed > self.judged;
        self.look = needed.then(|| Look { from: at, until, peers: self.peers() });
    }

    /// What is still to change is not what a check at the end has read.
    fn read_again_at_the_end(&mut self) {
        (self.end_check_until, self.end_checked) = (None, None);
    }

    pub(super) fn go_on(&mut self, at: Timestamp) {
        self.answered();
        self.arm_progress(at);
    }

    /// A held instance leaves its batch, a released one may join another.
    fn regroup(&mut self, id: &InstanceId, at: Timestamp) {
        if let Some(batch) = &mut self.batch {
            batch.members.retain(|member| member != id);
        }
        if self.awaits == Some(Awaits::Release) {
            self.go_on(at);
        }
    }

    fn start_batch(&mut self, number: u32, members: &[InstanceId], at: Timestamp) -> Result<(), String> {
        if self.batch.is_some() || number != self.batches + 1 {
            return Err(format!("batch {number} cannot begin now"));
        }
        for id in members {
            if let Some(instance) = self.instances.get_mut(id) {
                instance.batch = Some(number);
            }
        }
        self.batches = number;
        self.batch = Some(Batch { number, members: members.to_vec(), started_at: at, bake_until: None });
        Ok(())
    }

    fn batch_at_work(&mut self, number: u32) -> Result<&mut Batch, String> {
        self.batch.as_mut().filter(|b| b.number == number).ok_or_else(|| format!("batch {number} is not at work"))
    }

    pub(super) fn arm_progress(&mut self, at: Timestamp) {
        let timeout = self.plan.policy.strategy.progress_timeout;
        let by_itself = !self.is_held_up() && self.awaits.is_none();
        let expected = self.rollback.is_none() && self.cancel.is_none() && by_itself && self.end_check_until.is_none();
        self.progress_until = (!timeout.is_zero() && expected).then(|| at + timeout);
    }

    /// The time of a pause does not count.
    fn end_pause(&mut self, at: Timestamp) {
        if let Some(pause) = self.pause.take() {
            let lasted = at.since(pause.at);
            self.end_check_until = self.end_check_until.map(|until| until + lasted);
            self.approval_until = self.approval_until.map(|until| until + lasted);
            if let Some(step) = &mut self.step {
                step.until = step.until.map(|until| until + lasted);
            }
        }
    }

    fn resume(&mut self, by: &Actor, at: Timestamp) {
        let cause = self.pause.as_ref().map(|pause| pause.cause);
        // The engine goes on where it was: what is late stays late.
        if *by == Actor::Engine && self.pause.as_ref().is_some_and(|pause| pause.passing) {
            return self.end_pause(at);
        }
        // Whoever goes on has seen what stopped it; what was measured during a pause of another kind is acted on now.
        if matches!(cause, Some(Cause::Analysis | Cause::CommonCause | Cause::NoProgress)) {
            self.accept_measurements();
        }
        self.end_pause(at);
        self.look_anew(at);
        self.await_weights_anew(at);
        if let Some(rollback) = &mut self.rollback {
            rollback.at = at;
        }
        match self.awaits {
            Some(Awaits::Approval | Awaits::Release | Awaits::Promotion) => {}
            Some(Awaits::Start | Awaits::Answer) | None => {
                self.go_on(at);
                self.ask_for_promotion();
            }
        }
    }

    /// Every open deadline runs anew in full: after a crash nobody knows how long nobody looked.
    fn rearm(&mut self, at: Timestamp) {
        let late = at.since(self.at);
        let again = |until: &mut Option<Timestamp>| *until = until.map(|u| u + late);
        if let Some(look) = &mut self.look {
            (look.from, look.until) = (at, look.until + late);
        }
        again(&mut self.approval_until);
        again(&mut self.end_check_until);
        if self.progress_until.is_some() {
            self.arm_progress(at);
        }
        if let Some(batch) = &mut self.batch {
            again(&mut batch.bake_until);
        }
        if let Some(step) = &mut self.step {
            again(&mut step.until);
        }
        self.await_weights_anew(at);
        if let Some(rollback) = &mut self.rollback {
            rollback.at = at;
        }
        if let Some(hook) = &mut self.hook {
            // What was left of it when it began is what is left now: nobody knows what became of it.
            hook.until = at + hook.until.since(hook.started_at);
            hook.started_at = at;
        }
        for &index in &self.active {
            if let Some((_, instance)) = self.instances.get_index_mut(index) {
                // What was left of the phase when it began is what is left now.
                instance.until = instance.until.map(|until| at + until.since(instance.since));
                match &mut instance.phase {
                    Phase::Verifying { start_until } => *start_until = at + start_until.since(instance.since),
                    Phase::Settling { settle_until } => *settle_until = at + settle_until.since(instance.since),
                    Phase::Pending
                    | Phase::Checking
                    | Phase::TakingOut
                    | Phase::Draining
                    | Phase::Drained
                    | Phase::Updating
                    | Phase::Admitting
                    | Phase::Healthy
                    | Phase::Failed
                    | Phase::Skipped
                    | Phase::Returning { .. }
                    | Phase::Restoring
                    | Phase::RolledBack => {}
                }
                instance.since = at;
            }
        }
    }

    /// Every open deadline is that much later: nothing could happen meanwhile.
    fn put_off(&mut self, at: Timestamp, by: Span) {
        let later = |until: &mut Option<Timestamp>| *until = until.map(|until| until + by);
        if let Some(look) = &mut self.look {
            (look.from, look.until) = (at, look.until + by);
        }
        later(&mut self.approval_until);
        later(&mut self.end_check_until);
        later(&mut self.progress_until);
        if let Some(batch) = &mut self.batch {
            later(&mut batch.bake_until);
        }
        if let Some(rollback) = &mut self.rollback {
            rollback.at = rollback.at + by;
        }
        self.put_off_between(by);
        for &index in &self.active {
            let Some((_, instance)) = self.instances.get_index_mut(index) else { continue };
            later(&mut instance.until);
            // A later recovery counts from here what was left.
            instance.since = instance.since + by;
            if let Phase::Verifying { start_until: until } | Phase::Settling { settle_until: until } = &mut instance.phase {
                *until = *until + by;
            }
        }
    }

    fn apply_instance(&mut self, index: usize, event: &Event) -> Result<(), String> {
        let at = event.at;
        let wanted = self.plan.members.get(index).map(|m| m.wanted.clone());
        let deadline = self.plan.policy.health.deadline;
        let updates = self.updates + 1;
        let Some((id, instance)) = self.instances.get_index_mut(index) else { return Err("no such instance".to_owned()) };
        let was_ours = instance.ours;
        if !may_follow(instance, &event.kind) {
            return Err(format!("{id} is {:?}", instance.phase));
        }
        fold_instance(instance, &event.kind, at, &Context { wanted: wanted.as_ref(), deadline, updates, seq: event.seq });
        let (ours, active, failed) = (instance.ours, instance.is_active(), instance.verdict == Some(false));
        let spare = instance.spare;
        match &event.kind {
            EventKind::InstanceHeld { instance, .. } | EventKind::InstanceReleased { instance, .. } => self.regroup(instance, at),
            // What failed and is tried again has not failed: if it does so again, that is news.
            EventKind::InstanceRetried { instance, .. } => {
                let failures = self.failures();
                (self.crossed, self.judged) = (self.crossed.min(failures), self.judged.min(failures));
                self.regroup(instance, at);
                self.read_again_at_the_end();
                // Somebody is there: time to see what comes of it.
                if self.awaits == Some(Awaits::Answer) {
                    self.approval_until = Some(at + self.plan.policy.strategy.approval_timeout);
                }
            }
            // Somebody has seen to this failure: that is the answer to it, and to no other.
            EventKind::InstanceDiscounted { .. } if failed => self.judged = self.crossed.min(self.judged + 1),
            EventKind::RestoreStarted { .. } if self.rollback.is_none() => {
                if failed {
                    self.judged = self.crossed.min(self.judged + 1);
                }
                self.read_again_at_the_end();
            }
            EventKind::UpdateStarted { .. } => self.updates = updates,
            EventKind::DrainFinished { cut, forced, .. } => {
                self.drains_forced += u32::from(*forced);
                self.connections_cut += cut;
            }
            EventKind::InstanceHealthy { .. } | EventKind::InstanceFailed { .. } | EventKind::InstanceSkipped { .. }
                if self.progress_until.is_some() =>
            {
                self.arm_progress(at);
            }
            EventKind::InstanceRestored { .. } => {
                if let Some(rollback) = &mut self.rollback {
                    rollback.restored_at = Some(at);
                }
            }
            _ => {}
        }
        // Extra capacity is none that the fleet lacks.
        let (was_ours, ours) = (was_ours && !spare, ours && !spare);
        match (was_ours, ours) {
            (false, true) => self.out += 1,
            (true, false) => self.out -= 1,
            (false, false) | (true, true) => {}
        }
        self.max_out = self.max_out.max(self.out);
        if active {
            self.active.insert(index);
        } else {
            self.active.remove(&index);
        }
        Ok(())
    }
}

fn halt((by, reason): (&Actor, &str), cause: Cause, event: &Event) -> Halt {
    Halt { by: by.clone(), reason: reason.to_owned(), at: event.at, cause, seq: event.seq, passing: false }
}
