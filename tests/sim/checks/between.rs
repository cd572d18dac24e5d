//! S18 and what is promised of hooks: shares are never exceeded, a step is judged by what was measured, a closed gate lets
//! nothing new be taken, and what cleans up has run before the end.

use std::collections::{BTreeMap, BTreeSet};

use rollout::effect::{Effect, EffectKind};
use rollout::event::{Cause, Event, EventKind};
use rollout::model::{CanaryStep, DeploymentKind, HookClass, InstanceId, Measurement, Plan};

use super::{Checks, Violation};
use crate::world::{Lb, World};

type Checked = Result<(), Violation>;

fn violation(id: &'static str, what: String) -> Checked {
    Err(Violation::new(id, what))
}

/// What the stored facts say of steps, weights, the analysis and hooks.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one deployment")]
#[derive(Debug, Default)]
pub(super) struct Between {
    /// The step at work or done last, from 1.
    step: u32,
    at_work: bool,
    over: bool,
    /// Conclusive passes since the step began, by check.
    passes: BTreeMap<String, u32>,
    weights: Option<(u32, BTreeMap<InstanceId, u16>)>,
    hook: Option<(String, u32, u32)>,
    cleaned: BTreeSet<String>,
    closed: bool,
    /// Somebody tried one again: by count there may be one more than a step asks for.
    retried: bool,
}

impl Checks {
    /// S6: what is done to the fleet as a whole is on record.
    pub(super) fn act_on_fleet(&self, effect: &Effect, world: &World) -> Checked {
        let ordered =
            match &effect.kind {
                EffectKind::Weigh { weights } => self.between.weights.as_ref().is_some_and(|(order, ordered)| {
                    ordered == weights && effect.id.as_str().ends_with(&format!("/weigh/{order}"))
                }),
                EffectKind::RunHook { hook, round, attempt, .. } => {
                    self.between.hook.as_ref().is_some_and(|run| *run == (hook.clone(), *round, *attempt))
                }
                _ => return Ok(()),
            };
        if world.store.forged {
            return violation("S7", format!("{} is ordered by one that was replaced", effect.id));
        }
        if ordered { Ok(()) } else { violation("S6", format!("{} was never ordered", effect.id)) }
    }

    pub(super) fn of_between(&mut self, event: &Event, world: &World) -> Checked {
        let plan = &world.scenario.plan;
        let books = &mut self.between;
        match &event.kind {
            EventKind::StepStarted { step, .. } => {
                (books.step, books.at_work) = (*step, true);
                books.passes.clear();
            }
            EventKind::StepCompleted { step, by, full } => {
                books.at_work = false;
                books.over |= *full;
                if by.is_none() && !full {
                    return self.judged(*step, plan);
                }
            }
            EventKind::AnalysisMeasured { check, measurement, .. } => {
                let max = plan.policy.analysis.as_ref().and_then(|p| p.checks.iter().find(|c| c.name == *check)?.max);
                let passes = match measurement {
                    Measurement::Value { touched, .. } => max.is_some_and(|max| *touched <= max),
                    Measurement::Nothing { .. } | Measurement::Error { .. } => false,
                };
                *books.passes.entry(check.clone()).or_default() += u32::from(passes);
            }
            EventKind::WeightsOrdered { order, weights, .. } => books.weights = Some((*order, weights.clone())),
            EventKind::HookStarted { hook, round, attempt, .. } => books.hook = Some((hook.clone(), *round, *attempt)),
            EventKind::HookEnded { hook, failure, again, .. } => {
                let planned = plan.policy.hooks.iter().find(|planned| planned.name == *hook);
                let class = planned.map_or(HookClass::BestEffort, |planned| planned.class);
                if !again && class == HookClass::Cleanup {
                    books.cleaned.insert(hook.clone());
                }
                let undoes = matches!(plan.kind, DeploymentKind::Rollback { .. });
                let gate = class == HookClass::Gate && failure.is_some() && !again;
                books.closed |= gate && !self.rolled && !self.cancelled && !undoes;
            }
            EventKind::InstanceRetried { .. } => books.retried = true,
            EventKind::DeploymentPaused { cause: Cause::Hook, .. }
            | EventKind::RollbackStarted { .. }
            | EventKind::CancelRequested { .. } => books.closed = false,
            EventKind::InstanceCheckStarted { instance, .. } if books.closed => {
                return violation("HOOK", format!("{instance} is taken although a gate failed"));
            }
            EventKind::DeploymentEnded { .. } if self.started => {
                let mut tidy = plan.policy.hooks.iter().filter(|hook| hook.class == HookClass::Cleanup);
                if let Some(left) = tidy.find(|hook| !books.cleaned.contains(&hook.name)) {
                    return violation("HOOK", format!("it has ended, and {} has not cleaned up", left.name));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// S18: a step of analysis is over when every check has passed so often, by what was measured and not by what was said.
    fn judged(&self, step: u32, plan: &Plan) -> Checked {
        let canary = plan.policy.canary.as_ref();
        let (Some(CanaryStep::Analysis { passes }), Some(policy)) =
            (canary.and_then(|c| c.steps.get(step as usize - 1)), &plan.policy.analysis)
        else {
            return Ok(());
        };
        let found = |name: &str| self.between.passes.get(name).copied().unwrap_or(0);
        match policy.checks.iter().find(|check| found(&check.name) < *passes) {
            Some(check) => {
                violation("S18", format!("step {step} is over, and {} has passed {} of {passes}", check.name, found(&check.name)))
            }
            None => Ok(()),
        }
    }

    /// S18: at no balancer more than the step's share goes to those that were brought to the new version. Others that do not
    /// serve by their own or somebody else's doing count as if they did.
    pub(crate) fn share(&self, world: &World) -> Checked {
        let (plan, books) = (&world.scenario.plan, &self.between);
        let Some(canary) = &plan.policy.canary else { return Ok(()) };
        let done = !books.at_work && books.step as usize >= canary.steps.len();
        if self.rolled || self.cancelled || books.over || done || self.ending {
            return Ok(());
        }
        let carries = |n: usize| {
            let machine = &world.machines[n];
            machine.version == plan.version && !machine.runs.is_empty() && machine.slipped_at.is_none()
        };
        let total = f64::from(plan.total());
        // Until what a step asks for is there, it may be what the one before asked for.
        let asked = |step: u32| match canary.percent(step).filter(|_| canary.weighted) {
            Some(percent) => f64::from(percent),
            None => f64::from(canary.instances(step, plan.total())) * 100.0 / total,
        };
        let allowed = asked(books.step).max(asked(books.step.saturating_sub(1)));
        if books.retried && (!canary.weighted || canary.percent(books.step).is_none()) {
            return Ok(());
        }
        // Where extra capacity is lost, what it bore falls on all others until the balancers know.
        if (0..plan.members.len()).any(|n| plan.members[n].spare && self.rows[n].verdict.is_some() && !world.serves(n)) {
            return Ok(());
        }
        // With nobody left on the old version there is nothing to share.
        let exposed = |n: &usize| !plan.members[*n].spare && self.rows[*n].update.is_some();
        if (0..plan.members.len()).filter(exposed).count() as u64 >= u64::from(plan.total()) {
            return Ok(());
        }
        for balancer in 0..world.scenario.balancers {
            let (mut new, mut old, mut least) = (0.0, 0.0, true);
            for (n, machine) in world.machines.iter().enumerate() {
                let at_work = self.rows[n].ours && !self.rows[n].fell;
                if carries(n) && machine.lb[balancer] == Lb::In {
                    new += f64::from(machine.weights[balancer]);
                    least &= machine.weights[balancer] == 1;
                } else if !plan.members[n].spare && !at_work {
                    old += 100.0;
                }
            }
            let share = if new > 0.0 { new * 100.0 / (new + old) } else { 0.0 };
            if share > allowed + 1e-6 && !least {
                return violation("S18", format!("{share:.2}% goes to the new version at step {}, {allowed}% may", books.step));
            }
        }
        Ok(())
    }
}
