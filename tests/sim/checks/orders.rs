//! What may be ordered when: the budget, the floor, the order of steps, the gate, operators' words, the way back.

use rollout::event::{Actor, Cause, Event, EventKind};
use rollout::model::{DeploymentKind, Version};

use super::{Checks, FACTS_PER_MINUTE, Violation};
use crate::scenario::number;
use crate::world::{Lb, World};

type Checked = Result<(), Violation>;

fn violation(id: &'static str, what: String) -> Checked {
    Err(Violation::new(id, what))
}

impl Checks {
    pub(super) fn of_deployment(&mut self, event: &Event, world: &World) -> Checked {
        match &event.kind {
            EventKind::DeploymentStarted { .. } => self.started = true,
            EventKind::DeploymentPaused { by, cause, reason, .. } => {
                self.paused = true;
                self.passing = *by == Actor::Engine && *cause == Cause::Analysis && reason.contains("by itself");
            }
            EventKind::DeploymentResumed { by } => {
                if *by == Actor::Engine && !self.passing {
                    return violation("S9p", format!("{}: the engine ends a pause that is not its own to end", event.seq));
                }
                (self.paused, self.passing) = (false, false);
            }
            EventKind::DeploymentEnded { .. } => self.paused = false,
            EventKind::EndCheckStarted { .. } => self.ending = true,
            EventKind::CancelRequested { .. } => (self.paused, self.cancelled) = (false, true),
            EventKind::RollbackStarted { by, .. } => {
                if self.rolled || matches!(world.scenario.plan.kind, DeploymentKind::Rollback { .. }) {
                    return violation("S10", format!("{}: a rollback of a rollback", event.seq));
                }
                if *by == Actor::Engine && self.paused && !self.passing {
                    // The only way out of a pause without a person is that nobody answered.
                    let words = event.kind.words();
                    if !words.contains("nobody answered") {
                        return violation("S9p", format!("{}: during a pause: {words}", event.seq));
                    }
                }
                (self.rolled, self.paused, self.cancelled) = (true, false, false);
            }
            EventKind::ThresholdCrossed { failed, finished, .. } => {
                self.crossed = *failed;
                return self.threshold((*failed, *finished), world);
            }
            _ => {}
        }
        Ok(())
    }

    /// G7: strictly above the share, or more than the number; counted from the verdicts themselves.
    fn threshold(&self, (failed, finished): (u32, u32), world: &World) -> Checked {
        let count = |which: &dyn Fn(Option<bool>) -> bool| self.rows.iter().filter(|r| which(r.verdict)).count();
        let (bad, all) = (count(&|v| v == Some(false)), count(&|v| v.is_some()));
        let policy = &world.scenario.plan.policy.rollback;
        let above = u64::from(failed) * 100 > u64::from(policy.threshold_percent) * u64::from(finished);
        if (bad, all) != (failed as usize, finished as usize) || !above && failed <= policy.max_failures {
            let rule = format!("{}%, {} failures", policy.threshold_percent, policy.max_failures);
            return violation("G7", format!("crossed at {failed} of {finished}; it is {bad} of {all}, {rule} are allowed"));
        }
        Ok(())
    }

    pub(super) fn of_instance(&mut self, n: usize, event: &Event, (before, world): (Option<&EventKind>, &World)) -> Checked {
        let row = &mut self.rows[n];
        row.facts.retain(|at| at + 60_000 > world.now);
        row.facts.push_back(world.now);
        if row.facts.len() > FACTS_PER_MINUTE {
            return violation("S17", format!("web-{n}: {} facts within a minute", row.facts.len()));
        }
        let excluded = world.scenario.plan.members[n].excluded.is_some();
        if excluded && !matches!(event.kind, EventKind::RotationChanged { .. }) {
            return violation("S5", format!("web-{n} has no part in it: {}", event.kind.words()));
        }
        let prompt = world.decided_at == world.now;
        let row = &self.rows[n];
        match &event.kind {
            EventKind::InstanceCheckStarted { .. } if row.held => violation("S9", format!("web-{n} is held, and taken")),
            EventKind::InstanceCheckStarted { .. } if self.paused => violation("S9p", format!("web-{n} is taken during a pause")),
            EventKind::InstanceCheckStarted { .. } if self.cancelled || self.rolled => {
                violation("S9", format!("web-{n} is taken after a cancel, or on a way back"))
            }
            EventKind::DrainStarted { .. } => {
                let asked = matches!(before, Some(EventKind::InstanceRetried { .. }));
                if self.paused && !row.back && !asked {
                    return violation("S9p", format!("web-{n} is drained during a pause"));
                }
                if prompt { self.drain(n, world) } else { Ok(()) }
            }
            EventKind::DrainFinished { forced, .. } => {
                let (over, open) = (row.drain_until.is_some_and(|until| event.at >= until), world.machines[n].sessions_until);
                if prompt && open > world.now && (!over || !forced) {
                    return violation(
                        "S3",
                        format!("web-{n}: its drain is over, and connections are open for {} ms", open - world.now),
                    );
                }
                Ok(())
            }
            EventKind::UpdateStarted { version, .. } => self.ordered_update(n, version, world),
            EventKind::RestoreStarted { version, .. } => {
                if self.rolled && self.paused {
                    return violation("S9p", format!("web-{n} goes back during a pause"));
                }
                if world.scenario.plan.members[n].previous.as_ref() != Some(version) {
                    return violation("S10", format!("web-{n} goes back to {version}, which is not its own"));
                }
                Ok(())
            }
            EventKind::RetireStarted { .. } => self.retires(n, world),
            EventKind::HealthPassed { .. } if prompt => self.gate(n, world),
            _ => Ok(()),
        }
    }

    /// Extra capacity that serves goes when the fleet is at rest, and not before.
    fn retires(&self, n: usize, world: &World) -> Checked {
        let plan = &world.scenario.plan;
        if !plan.members[n].spare || self.paused {
            return violation("S9p", format!("web-{n} is retired during a pause, or is none to be"));
        }
        let at_work = |other: &usize| !plan.members[*other].spare && self.rows[*other].ours && !self.rows[*other].failed;
        let at_work: Vec<usize> = (0..plan.members.len()).filter(at_work).collect();
        if world.known_to_serve(n) && !at_work.is_empty() {
            return violation("S1", format!("web-{n}, extra capacity, goes while {at_work:?} are out"));
        }
        Ok(())
    }

    fn ordered_update(&self, n: usize, version: &Version, world: &World) -> Checked {
        let (row, member) = (&self.rows[n], &world.scenario.plan.members[n]);
        if row.back {
            if member.previous.as_ref() != Some(version) {
                return violation("S10", format!("web-{n} goes back to {version}, which is not its own"));
            }
            return Ok(());
        }
        if self.cancelled {
            return violation("S9", format!("web-{n} is updated after a cancel"));
        }
        if self.rolled || member.wanted != *version {
            return violation("S10", format!("web-{n} goes forward to {version}, on a way back or not as planned"));
        }
        Ok(())
    }

    /// S3 and S8: an update begins on an instance that is out at every balancer.
    pub(super) fn update_begins(&self, n: usize, version: &Version, world: &World) -> Checked {
        if self.rows[n].update.as_ref().is_none_or(|(_, ordered)| ordered != version) {
            return violation("S10", format!("web-{n} is brought to {version}, ordered was another"));
        }
        let machine = &world.machines[n];
        // Who put it in a moment ago need not have been seen.
        let slipped = machine.slipped_at.is_some_and(|at| world.unseen_slip(at));
        let done = !machine.runs.is_empty() && machine.works.is_empty() && machine.version == *version;
        if machine.lb.contains(&Lb::In) && !slipped && !done {
            return violation("S3", format!("web-{n} is updated while it is in rotation"));
        }
        Ok(())
    }

    /// S3: what is at work and slipped back into rotation is taken out again.
    pub(crate) fn slips(&self, world: &World) -> Checked {
        for (n, (machine, row)) in world.machines.iter().zip(&self.rows).enumerate() {
            let at_work = row.ordered.first().is_some_and(|(word, _)| *word == "update") && row.ours && !row.failed;
            let reachable = world.balancers_down.iter().all(|down| *down == 0) && !machine.lb.contains(&Lb::Maintenance);
            if at_work && reachable && machine.slipped_at.is_some_and(|at| !world.unseen_slip(at)) {
                return violation("S3", format!("web-{n} is in rotation in the middle of its update, and nobody minds"));
            }
        }
        Ok(())
    }

    /// S4: the last so many checks passed, all after its update ended, on the right version.
    fn gate(&self, n: usize, world: &World) -> Checked {
        let (machine, health) = (&world.machines[n], &world.scenario.plan.policy.health);
        let wanted = self.rows[n].update.as_ref().map(|(_, version)| version);
        if machine.passes < health.rise.max(1) || !machine.works.is_empty() {
            return violation("S4", format!("web-{n} is put back after {} passes of {}", machine.passes, health.rise));
        }
        if health.expects_version && wanted != Some(&machine.version) {
            return violation("S4", format!("web-{n} is put back on {}, wanted was {wanted:?}", machine.version));
        }
        Ok(())
    }

    /// S1, where it costs capacity; and S2.
    fn drain(&self, n: usize, world: &World) -> Checked {
        let row = &self.rows[n];
        if row.ours || !world.known_to_serve(n) {
            return Ok(());
        }
        let (plan, back) = (&world.scenario.plan, row.back);
        if plan.members[n].spare {
            return self.floor(n, world);
        }
        let spares = plan.spares() > 0;
        let max = if back { plan.policy.rollback.max_unavailable } else { plan.policy.strategy.max_unavailable };
        let max = if spares && !back { max.floor_of(plan.total()) } else { max.floor_min_one_of(plan.total()) } as usize;
        let max = if back { max.max(1) } else { max } + self.extra(world);
        let counts = |other: &usize| {
            let row = &self.rows[*other];
            // On the way back only those on their way hold the budget.
            let out = if back { row.ours && !row.failed } else { row.ours || world.known_to_be_out(*other) };
            *other != n && out && !row.discounted && !plan.members[*other].spare
        };
        let out: Vec<usize> = (0..plan.members.len()).filter(counts).collect();
        if out.len() >= max {
            return violation("S1", format!("web-{n} is taken out while {out:?} are, {max} may be"));
        }
        self.floor(n, world)
    }

    /// It was extra capacity that serves, as far as anybody can know.
    fn is_extra(&self, n: usize, world: &World) -> bool {
        let row = &self.rows[n];
        world.scenario.plan.members[n].spare
            && row.verdict == Some(true)
            && !row.ours
            && !row.failed
            && !row.leaving
            && !row.back
            && !world.known_to_be_out(n)
    }

    fn extra(&self, world: &World) -> usize {
        (0..self.rows.len()).filter(|n| self.is_extra(*n, world)).count()
    }

    /// S2: as many others serve as must, as far as anybody can know.
    pub(super) fn floor(&self, n: usize, world: &World) -> Checked {
        if !world.known_to_serve(n) {
            return Ok(());
        }
        let plan = &world.scenario.plan;
        let floor = plan.policy.strategy.min_serving.ceil_of(plan.total()) as usize;
        let serves = |other: &usize| {
            if plan.members[*other].spare {
                return *other != n && self.is_extra(*other, world);
            }
            *other != n && !self.rows[*other].ours && !self.rows[*other].leaving && !world.known_to_be_out(*other)
        };
        let others = (0..plan.members.len()).filter(serves).count();
        if others < floor {
            return violation("S2", format!("web-{n} is taken out, {others} others serve, {floor} must"));
        }
        Ok(())
    }
}

impl World {
    /// It serves, and has for longer than any two looks are apart.
    pub(crate) fn known_to_serve(&self, n: usize) -> bool {
        self.machines[n].fit_since.is_some_and(|since| since == 0 || !self.unseen(since))
    }

    /// It does not serve, and whoever looks must have seen that.
    pub(crate) fn known_to_be_out(&self, n: usize) -> bool {
        self.machines[n].unfit_since.is_some_and(|since| !self.unseen(since))
    }

    /// In rotation since so short a time that the balancers need not have been read since.
    pub(crate) fn unseen_slip(&self, at: u64) -> bool {
        let blind = self.balancers_down.iter().any(|down| *down > 0);
        let every = self.scenario.plan.policy.health.interval.as_millis();
        blind || self.now <= at.max(self.aware_since) + 2 * every + 3000
    }
}

/// The numbers of instances that a text names.
pub(super) fn named(ids: &[rollout::model::InstanceId]) -> impl Iterator<Item = usize> {
    ids.iter().map(number)
}
