//! What lies between batches: canary steps, weights, the analysis and hooks, as the journal says.
//!
//! Imports: event, model, state's nouns. May not: decide.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Awaits, State};
use crate::event::EventKind;
use crate::model::{CanaryStep, Finding, Hook, HookClass, InstanceId, Measurement, Span, Timestamp};

/// A canary step at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRun {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// The end of a timed pause.
    pub until: Option<Timestamp>,
}

/// Weights on their way to the balancers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighing {
    /// Which order it is, from 1.
    pub order: u32,
    /// In percent of each instance's own, where that is not all of it.
    pub weights: BTreeMap<InstanceId, u16>,
    /// Whose weight this order, or one before it that nobody confirmed, may have changed.
    pub unsure: BTreeSet<InstanceId>,
    /// When they were ordered, or began to be waited for anew.
    pub ordered_at: Timestamp,
    /// Until when the balancers must confirm.
    pub until: Timestamp,
}

/// What a check of the analysis said so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRun {
    /// Passes since the step or the bake at work began.
    pub passes: u32,
    /// Failed measurements since the deployment began, or somebody went on who had seen them.
    pub failures: u32,
    /// Measurements in a row that say the untouched instances are no better.
    pub common: u32,
    /// Measurements in a row that said nothing.
    pub inconclusive: u32,
    /// The last one.
    pub last: Option<Measured>,
}

/// One measurement and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// When.
    pub at: Timestamp,
    /// What the source said.
    pub measurement: Measurement,
    /// What that means.
    pub finding: Finding,
    /// Why, in words, with the limit.
    pub reason: String,
}

/// A hook that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// Its name.
    pub name: String,
    /// Which time it is its turn, from 1.
    pub round: u32,
    /// From 1.
    pub attempt: u32,
    /// When this try began.
    pub started_at: Timestamp,
    /// Until when it must end.
    pub until: Timestamp,
    /// It failed and is about to be tried again.
    pub failed: bool,
}

impl State {
    /// The canary step at work, as planned.
    pub fn canary_step(&self) -> Option<&CanaryStep> {
        let number = self.step.as_ref()?.number;
        self.plan.policy.canary.as_ref()?.steps.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Takes in what happened to steps, weights, the analysis and hooks.
    pub(super) fn apply_between(&mut self, kind: &EventKind, at: Timestamp) -> Result<(), String> {
        match kind {
            EventKind::StepStarted { step, until } => {
                let steps = self.plan.policy.canary.as_ref().map_or(0, |canary| canary.steps.len());
                let next = self.steps_done.checked_add(1).filter(|next| usize::try_from(*next).is_ok_and(|n| n <= steps));
                if self.step.is_some() || self.batch.is_some() || next != Some(*step) {
                    return Err(format!("step {step} cannot begin now"));
                }
                self.step = Some(StepRun { number: *step, started_at: at, until: *until });
                self.judge_anew(at);
                match (self.canary_step(), until) {
                    (Some(CanaryStep::Pause { lasts: None }), Some(until)) => self.await_person(Awaits::Promotion, *until),
                    // A pause is no lack of progress.
                    (_, Some(until)) => self.arm_progress(*until),
                    (_, None) => self.arm_progress(at),
                }
            }
            EventKind::StepCompleted { step, full, .. } => {
                if self.step.as_ref().is_none_or(|at_work| at_work.number != *step) {
                    return Err(format!("step {step} is not at work"));
                }
                // Whoever cuts a step short does not wait for its hook.
                if let Some(CanaryStep::Run { hook }) = self.canary_step()
                    && self.hook.as_ref().is_some_and(|run| run.name == *hook)
                {
                    self.hook = None;
                }
                self.step = None;
                self.steps_done = if *full { u32::MAX } else { *step };
                self.rest_after = self.batches;
                self.go_on(at);
            }
            EventKind::WeightsOrdered { order, weights, until } => self.order_weights(*order, weights, (at, *until))?,
            EventKind::WeightsSet { weights } => {
                self.weights.clone_from(weights);
                self.weighing.take_if(|ordered| ordered.weights == *weights);
            }
            EventKind::AnalysisMeasured { check, measurement, finding, reason } => {
                let run = self.analysis.entry(check.clone()).or_default();
                run.note(Measured { at, measurement: measurement.clone(), finding: *finding, reason: reason.clone() });
            }
            EventKind::HookStarted { hook, round, attempt, until } => {
                let run = HookRun {
                    name: hook.clone(),
                    round: *round,
                    attempt: *attempt,
                    started_at: at,
                    until: *until,
                    failed: false,
                };
                self.hook = Some(run);
                self.arm_progress(*until);
            }
            EventKind::HookEnded { hook, round, failure, again } => {
                let Some(run) = self.hook.as_mut().filter(|run| run.name == *hook && run.round == *round) else {
                    return Err(format!("hook {hook} does not run"));
                };
                run.failed = *again;
                if !again {
                    self.end_hook(hook, *round, failure.as_deref());
                    self.arm_progress(at);
                }
            }
            _ => return Err("not an event between batches".to_owned()),
        }
        Ok(())
    }

    fn order_weights(
        &mut self,
        order: u32,
        weights: &BTreeMap<InstanceId, u16>,
        (ordered_at, until): (Timestamp, Timestamp),
    ) -> Result<(), String> {
        if self.weight_orders.checked_add(1) != Some(order) {
            return Err(format!("order {order} of weights cannot follow {}", self.weight_orders));
        }
        let mut unsure = self.weighing.take().map(|before| before.unsure).unwrap_or_default();
        let named: BTreeSet<&InstanceId> = weights.keys().chain(self.weights.keys()).collect();
        unsure.extend(named.into_iter().filter(|id| weights.get(*id) != self.weights.get(*id)).cloned());
        self.weight_orders = order;
        self.weighing = Some(Weighing { order, weights: weights.clone(), unsure, ordered_at, until });
        Ok(())
    }

    fn end_hook(&mut self, hook: &str, round: u32, failure: Option<&str>) {
        self.hook = None;
        self.hooks_done.insert(hook.to_owned(), round);
        let Some(why) = failure else { return };
        self.hook_failures.push((hook.to_owned(), why.to_owned()));
        let gate = self.hook_named(hook).is_some_and(|hook| hook.class == HookClass::Gate);
        // On the way back, and once it is to end, nothing follows from it.
        if gate && self.rollback.is_none() && self.cancel.is_none() {
            self.closed_gate = Some(format!("hook {hook} failed: {why}"));
        }
    }

    /// A question that came between is answered: the step still waits for a person.
    pub(super) fn ask_for_promotion(&mut self) {
        let until = self.step.as_ref().and_then(|step| step.until);
        if let (Some(CanaryStep::Pause { lasts: None }), Some(until)) = (self.canary_step(), until) {
            self.await_person(Awaits::Promotion, until);
        }
    }

    /// The hook of that name, as planned.
    pub fn hook_named(&self, name: &str) -> Option<&Hook> {
        self.plan.policy.hooks.iter().find(|hook| hook.name == name)
    }

    /// A check has failed too often.
    pub fn has_failed_check(&self) -> bool {
        let most = self.plan.policy.analysis.as_ref().map_or(u32::MAX, |policy| policy.max_failures);
        self.analysis.values().any(|run| run.failures > most)
    }

    /// A step or a bake begins: only what is measured from here on speaks for it.
    pub(super) fn judge_anew(&mut self, at: Timestamp) {
        self.judged_since = at;
        for run in self.analysis.values_mut() {
            run.passes = 0;
        }
    }

    /// Somebody who has seen the failed measurements goes on.
    pub(super) fn accept_measurements(&mut self) {
        for run in self.analysis.values_mut() {
            (run.failures, run.inconclusive, run.common) = (0, 0, 0);
        }
    }

    /// Whether the fact is worth a line to whoever reads along: a measurement that says what the one before said is not.
    pub fn is_news(&self, kind: &EventKind) -> bool {
        let EventKind::AnalysisMeasured { check, finding, .. } = kind else { return true };
        let before = self.analysis.get(check).and_then(|run| run.last.as_ref());
        before.is_none_or(|before| before.finding != *finding)
    }

    /// Time begins anew for what the balancers have yet to confirm.
    pub(super) fn await_weights_anew(&mut self, at: Timestamp) {
        if let Some(weighing) = &mut self.weighing {
            weighing.until = at + weighing.until.since(weighing.ordered_at);
            weighing.ordered_at = at;
        }
    }

    /// It is that much later for steps, weights and hooks.
    pub(super) fn put_off_between(&mut self, by: Span) {
        if let Some(step) = &mut self.step {
            step.until = step.until.map(|until| until + by);
        }
        if let Some(weighing) = &mut self.weighing {
            (weighing.until, weighing.ordered_at) = (weighing.until + by, weighing.ordered_at + by);
        }
        if let Some(hook) = &mut self.hook {
            (hook.until, hook.started_at) = (hook.until + by, hook.started_at + by);
        }
    }

    /// The confirmed weight of an instance, in percent of its own.
    pub fn weight_of(&self, id: &InstanceId) -> u16 {
        self.weights.get(id).copied().unwrap_or(100)
    }
}

impl CheckRun {
    fn note(&mut self, measured: Measured) {
        match measured.finding {
            Finding::Pass => self.passes += 1,
            Finding::Fail => self.failures += 1,
            Finding::Common | Finding::Inconclusive => {}
        }
        self.common = if measured.finding == Finding::Common { self.common + 1 } else { 0 };
        self.inconclusive = if measured.finding == Finding::Inconclusive { self.inconclusive + 1 } else { 0 };
        self.last = Some(measured);
    }
}
