//! One event of one instance, one change of it.
//!
//! Imports: event, model, state's nouns. May not: decide; look at anything but the instance.

use crate::event::{AfterReturn, Cause, EventKind, Found, Step};
use crate::model::{Evidence, Rotation, Seq, Span, Timestamp, Version};
use crate::mutant::{self, Mutant};

use super::{Failure, Goal, Halt, Instance, Phase};

/// What folding an instance's event needs of the rest.
pub(super) struct Context<'a> {
    pub(super) wanted: Option<&'a Version>,
    pub(super) deadline: Span,
    pub(super) updates: u32,
    pub(super) seq: Seq,
}

impl Instance {
    fn enter(&mut self, phase: Phase, at: Timestamp, until: Option<Timestamp>) {
        self.phase = phase;
        self.since = at;
        self.until = until;
    }

    fn fail(&mut self, step: Step, reason: &str, at: Timestamp, evidence: &Evidence) {
        self.failure = Some(Failure { step, reason: reason.to_owned(), at, evidence: evidence.clone() });
        self.down = true;
        if self.goal == Goal::Forward && step != Step::EndCheck {
            self.verdict = Some(false);
        }
    }

    fn fail_where_it_stands(&mut self, step: Step, reason: &str, at: Timestamp, evidence: &Evidence) {
        self.fail(step, reason, at, evidence);
        // One that was not updated is not taken out because it could not be put back.
        let returning = matches!(self.phase, Phase::Returning { .. });
        let evict = self.serving && !returning || self.phase == Phase::Admitting;
        (self.serving, self.slipped) = (evict, false);
        self.enter(Phase::Failed, at, evict.then(|| at + EVICTION));
    }

    /// Its failure stays what it was.
    fn give_up_eviction(&mut self, reason: &str) {
        if let Some(failure) = &mut self.failure {
            failure.reason = format!("{}; {reason}", failure.reason);
        }
        self.until = None;
    }

    fn skip(&mut self, reason: &str, found: Found, wanted: Option<&Version>, at: Timestamp) {
        self.skipped = Some(reason.to_owned());
        self.held = None;
        self.ours &= !self.spare;
        match found {
            Found::AtVersion => {
                (self.serving, self.down) = (true, false);
                self.version = wanted.cloned();
            }
            Found::Out => (self.serving, self.down) = (false, true),
            Found::Unfit => self.down = true,
            Found::AsItWas => {}
        }
        self.enter(Phase::Skipped, at, None);
    }

    /// Where it begins again: at its return if it was going back, else like any other.
    fn retry(&mut self, at: Timestamp) {
        (self.discounted, self.skipped) = (false, None);
        let phase = if (&self.phase, self.goal) == (&Phase::Failed, Goal::Back) {
            Phase::Restoring
        } else {
            self.batch = None;
            Phase::Pending
        };
        if self.goal == Goal::Forward {
            self.verdict = None;
        }
        self.enter(phase, at, None);
    }

    /// It is in rotation against our order: before its update it is drained anew, later it is taken out meanwhile.
    fn lose_drain(&mut self, attempt: u32, at: Timestamp, until: Timestamp) {
        self.serving = true;
        match self.phase {
            Phase::Draining | Phase::Drained => {
                self.slips += 1;
                self.attempt = attempt;
                self.enter(Phase::TakingOut, at, Some(until));
            }
            Phase::Failed => {
                self.down = true;
                self.until = Some(until);
            }
            _ => {
                self.slipped = true;
                self.slips += 1;
            }
        }
    }

    fn hold(&mut self, by: Halt) {
        self.held = Some(by).filter(|_| !mutant::is(Mutant::LoseHeld));
        self.batch = None;
    }

    /// Confirmed out: its drain begins, if it is not further on.
    fn confirm_out(&mut self, sessions: Option<u32>, at: Timestamp, until: Timestamp) {
        self.slipped = false;
        match self.phase {
            Phase::TakingOut => {
                self.sessions = sessions;
                self.enter(Phase::Draining, at, Some(until));
            }
            Phase::Failed => self.until = None,
            _ => {}
        }
    }

    /// Its update is its end.
    fn stop(&mut self, attempt: u32, at: Timestamp, until: Timestamp) {
        (self.attempt, self.version) = (attempt, None);
        (self.serving, self.slipped) = (false, false);
        self.enter(Phase::Updating, at, Some(until));
    }

    fn retire(&mut self, at: Timestamp) {
        (self.ours, self.down) = (false, true);
        self.skipped = Some("extra capacity, stopped".to_owned());
        self.enter(Phase::Skipped, at, None);
    }

    fn go_back(&mut self, at: Timestamp) {
        self.goal = Goal::Back;
        // The order to admit may have had its effect: only a drain that is read back makes it sure.
        self.serving |= self.phase == Phase::Admitting;
        self.enter(Phase::Restoring, at, None);
    }

    fn back_in_service(&mut self) {
        (self.serving, self.ours, self.foreign) = (true, false, false);
    }
}

/// How long taking out a failed instance is tried.
const EVICTION: Span = Span::from_secs(30);

pub(super) fn fold_instance(instance: &mut Instance, kind: &EventKind, at: Timestamp, context: &Context<'_>) {
    match kind {
        EventKind::InstanceCheckStarted { until, .. } => instance.enter(Phase::Checking, at, Some(*until)),
        EventKind::InstanceCheckDropped { .. } => instance.enter(Phase::Pending, at, None),
        EventKind::InstanceSkipped { reason, found, .. } => instance.skip(reason, *found, context.wanted, at),
        EventKind::InstanceHeld { by, reason, .. } => {
            let (by, reason) = (by.clone(), reason.clone());
            instance.hold(Halt { by, reason, at, cause: Cause::Asked, seq: context.seq, passing: false });
        }
        EventKind::InstanceReleased { .. } => instance.held = None,
        EventKind::InstanceRetried { .. } => instance.retry(at),
        EventKind::InstanceDiscounted { .. } => instance.discounted = true,
        EventKind::RotationChanged { rotation, .. } => {
            instance.serving = *rotation == Rotation::Serving;
            instance.foreign = !instance.serving;
            instance.ours &= !instance.serving;
        }
        EventKind::DrainLost { attempt, until, .. } => instance.lose_drain(*attempt, at, *until),
        EventKind::DrainStarted { attempt, until, .. } => {
            if instance.goal == Goal::Forward {
                instance.taken_at = Some(at);
            }
            instance.ours = true;
            // One that was touched goes on without being put back in; the others were just seen in rotation.
            instance.foreign &= instance.exposed;
            (instance.slipped, instance.slips) = (false, 0);
            instance.attempt = *attempt;
            instance.extensions = 0;
            instance.enter(Phase::TakingOut, at, Some(*until));
        }
        EventKind::InstanceTakenOut { sessions, until, .. } => {
            instance.serving = false;
            instance.ours = true;
            instance.confirm_out(*sessions, at, *until);
        }
        EventKind::DrainExtended { sessions, until, .. } => {
            instance.extensions += 1;
            instance.sessions = Some(*sessions);
            instance.until = Some(*until);
        }
        EventKind::DrainFinished { .. } => instance.enter(Phase::Drained, at, None),
        EventKind::UpdateStarted { attempt, until, .. } => {
            instance.attempt = *attempt;
            instance.order = context.updates;
            instance.version = None;
            instance.exposed = true;
            instance.serving = false;
            instance.ours = true;
            instance.slipped = false;
            instance.enter(Phase::Updating, at, Some(*until));
        }
        EventKind::UpdateFinished { start_until, until, .. } => {
            instance.updated_at = Some(at);
            instance.enter(Phase::Verifying { start_until: *start_until }, at, Some(*until));
        }
        EventKind::HealthPassed { .. } => {
            instance.slipped = false;
            // The gate's deadline is the instance's; the balancer has its own time.
            instance.enter(Phase::Admitting, at, Some(at + context.deadline));
        }
        EventKind::InstanceAdmitted { settle_until, .. } => {
            instance.back_in_service();
            instance.enter(Phase::Settling { settle_until: *settle_until }, at, Some(*settle_until + context.deadline));
        }
        EventKind::InstanceFailed { reason, .. } if instance.phase == Phase::Failed => instance.give_up_eviction(reason),
        EventKind::InstanceFailed { step, reason, evidence, .. } => instance.fail_where_it_stands(*step, reason, at, evidence),
        EventKind::ReturnStarted { attempt, then, until, reason, .. } => {
            instance.attempt = *attempt;
            if *then == AfterReturn::Failed {
                instance.fail(Step::Drain, reason, at, &Evidence::default());
                instance.down = false;
            }
            instance.enter(Phase::Returning { then: then.clone() }, at, Some(*until));
        }
        EventKind::InstanceReturned { .. } => {
            instance.back_in_service();
            let failed = instance.phase == Phase::Returning { then: AfterReturn::Failed };
            instance.enter(if failed { Phase::Failed } else { Phase::Pending }, at, None);
        }
        EventKind::RestoreStarted { .. } | EventKind::RetireStarted { .. } => instance.go_back(at),
        EventKind::StopStarted { attempt, until, .. } => instance.stop(*attempt, at, *until),
        EventKind::InstanceRetired { .. } => instance.retire(at),
        EventKind::InstanceHealthy { .. } => {
            instance.version = context.wanted.cloned();
            instance.verdict = Some(true);
            instance.took = instance.taken_at.map(|taken| at.since(taken));
            instance.down = false;
            instance.enter(Phase::Healthy, at, None);
        }
        EventKind::InstanceRestored { .. } => {
            instance.down = false;
            instance.enter(Phase::RolledBack, at, None);
        }
        // It has failed and is listed for that: what it runs is put right.
        EventKind::EndCheckMismatch { version, .. } if instance.phase == Phase::Failed => instance.version.clone_from(version),
        EventKind::EndCheckMismatch { version, serving, reason, .. } => {
            instance.fail(Step::EndCheck, reason, at, &Evidence::default());
            instance.version.clone_from(version);
            // In rotation at some balancers only, it may still be somebody else's doing that it is out at the others.
            (instance.serving, instance.foreign) = (*serving, !instance.ours && (instance.foreign || !*serving));
            instance.enter(Phase::Failed, at, serving.then(|| at + EVICTION));
        }
        _ => {}
    }
}
