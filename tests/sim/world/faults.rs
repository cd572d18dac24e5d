//! What goes wrong in the world, and how it is mended.

use super::{Due, Healing, Lb, World};
use crate::scenario::Fault;

impl World {
    pub(super) fn fault(&mut self, fault: &Fault) {
        let now = self.now;
        match *fault {
            Fault::Crash { kind, down, outlived } => self.armed = Some((kind, down, outlived)),
            Fault::Stop { lasts, takeover } => self.stop(lasts, takeover, false),
            Fault::Suspend { lasts } => self.stop(lasts, None, true),
            Fault::Clock { jump, living } => self.set_clock(jump, living),
            Fault::Link { lasts } => {
                self.reader.linked = false;
                self.schedule(now + lasts, Due::Link);
            }
            Fault::Reload { balancer } => {
                for n in 0..self.machines.len() {
                    // What was added at run time is forgotten.
                    if self.scenario.plan.members[n].rotation == rollout::model::Rotation::Missing {
                        self.machines[n].lb[balancer] = Lb::Unknown;
                        self.disturbed(n);
                        continue;
                    }
                    if matches!(self.machines[n].lb[balancer], Lb::Ours | Lb::Theirs) {
                        self.machines[n].lb[balancer] = Lb::In;
                        self.disturbed(n);
                    }
                }
            }
            Fault::BalancerDown { balancer, lasts } => {
                self.balancers_down[balancer] += 1;
                self.heals(lasts, Healing::Balancer(balancer));
            }
            Fault::Maintenance { instance, .. } | Fault::Drained { instance, .. }
                if self.machines[instance].lb.contains(&Lb::Unknown) => {}
            Fault::Maintenance { instance, lasts } => {
                self.machines[instance].lb.fill(Lb::Maintenance);
                self.machines[instance].theirs_at = now;
                self.disturbed(instance);
                self.heals_if(lasts, Healing::Rotation(instance, Lb::Maintenance));
            }
            Fault::Drained { instance, lasts } => {
                // Put in and taken out between two looks: to whoever looks, ours was never undone.
                let unseen = self.machines[instance].slipped_at.is_some_and(|at| self.unseen_slip(at));
                for lb in &mut self.machines[instance].lb {
                    if *lb == Lb::In {
                        *lb = if unseen { Lb::Ours } else { Lb::Theirs };
                    }
                }
                self.machines[instance].theirs_at = now;
                self.disturbed(instance);
                self.heals_if(lasts, Healing::Rotation(instance, Lb::Theirs));
            }
            Fault::Dies { instance, lasts } => {
                self.machines[instance].up = false;
                self.disturbed(instance);
                self.heals_if(lasts, Healing::Process(instance));
            }
            Fault::Sick { instance, lasts } => self.ill(instance, lasts),
            Fault::Flaps { instance, lasts } => {
                let mut at = 0;
                while at < lasts {
                    self.schedule(now + at, Due::Ill(instance, 1500));
                    at += 4000;
                }
            }
            Fault::AllSick { lasts } => (0..self.machines.len()).for_each(|n| self.ill(n, lasts)),
            Fault::SlowStart { instance, lasts } => self.machines[instance].omens.slow = Some(lasts),
            Fault::UpdateFails { instance, done } => self.machines[instance].omens.fails = Some(done),
            Fault::UpdateHangs { instance } => self.machines[instance].omens.hangs = true,
            Fault::UpdateLies { instance } => self.machines[instance].omens.lies = true,
            Fault::UpdateLate { instance, takes } => self.machines[instance].omens.late = Some(takes),
            Fault::SourceDown { lasts } => self.source_ails(0, lasts),
            Fault::SourceEmpty { lasts } => self.source_ails(1, lasts),
            Fault::Errors { lasts } => self.source_ails(2, lasts),
            Fault::NoWeights { lasts } => self.source_ails(3, lasts),
            Fault::DiskFull { lasts } => {
                self.disk_full += 1;
                self.heals(lasts, Healing::Disk);
            }
        }
    }

    fn source_ails(&mut self, how: usize, lasts: u64) {
        self.source[how] += 1;
        self.heals(lasts, Healing::Source(how));
    }

    fn heals_if(&mut self, lasts: Option<u64>, healing: Healing) {
        if let Some(lasts) = lasts {
            self.heals(lasts, healing);
        }
    }

    fn heals(&mut self, lasts: u64, healing: Healing) {
        // What still goes wrong when the world heals ends then.
        let at = (self.now + lasts).min(self.heals_at.max(self.now));
        self.schedule(at, Due::Heal(healing));
    }

    pub(super) fn ill(&mut self, n: usize, lasts: u64) {
        self.machines[n].ills += 1;
        self.disturbed(n);
        self.heals(lasts, Healing::Ill(n));
    }

    pub(super) fn heal(&mut self, healing: Healing) {
        match healing {
            Healing::Rotation(n, was) => {
                for lb in &mut self.machines[n].lb {
                    if *lb == was {
                        *lb = Lb::In;
                    }
                }
                self.disturbed(n);
            }
            Healing::Process(n) => {
                // While a command is at work on it, that command decides.
                self.machines[n].up |= self.machines[n].works.is_empty() && !self.machines[n].unused;
                self.disturbed(n);
            }
            Healing::Ill(n) => {
                self.machines[n].ills -= 1;
                self.disturbed(n);
            }
            Healing::Started(n) => {
                self.machines[n].starting = false;
                self.refresh(n);
            }
            Healing::Balancer(balancer) => {
                self.balancers_down[balancer] -= 1;
                self.aware_since = self.aware_since.max(self.now);
            }
            Healing::Source(how) => self.source[how] -= 1,
            Healing::Disk => {
                self.disk_full -= 1;
                self.disk_since = self.now;
                self.schedule(self.now + 2000, Due::Resumed);
            }
        }
    }

    /// The last faults are over: omens that never came about are forgotten.
    pub(super) fn heal_all(&mut self) {
        self.healed = true;
        self.armed = None;
        for machine in &mut self.machines {
            machine.omens = super::Omens::default();
        }
    }

    /// Somebody or something else changed the instance.
    pub(super) fn disturbed(&mut self, n: usize) {
        self.machines[n].disturbed_at = Some(self.now);
        self.refresh(n);
    }

    /// Notes since when it serves, or does not, or is in rotation against our order.
    pub(super) fn refresh(&mut self, n: usize) {
        let (serves, now) = (self.serves(n), self.now);
        let machine = &mut self.machines[n];
        if serves {
            machine.unfit_since = None;
            machine.fit_since.get_or_insert(now);
        } else {
            machine.fit_since = None;
            machine.unfit_since.get_or_insert(now);
        }
        if machine.taken && machine.lb.contains(&Lb::In) {
            machine.slipped_at.get_or_insert(now);
        } else {
            machine.slipped_at = None;
        }
    }

    pub(crate) fn is_sick(&self, n: usize) -> bool {
        let machine = &self.machines[n];
        let bad = machine.version == self.scenario.plan.version && self.scenario.bad_on.contains(&n);
        bad || machine.ills > 0
    }

    pub(crate) fn is_well(&self, n: usize) -> bool {
        self.machines[n].up && !self.machines[n].starting && !self.is_sick(n)
    }

    /// Takes requests, and answers them well.
    pub(crate) fn serves(&self, n: usize) -> bool {
        self.machines[n].is_in() && self.is_well(n)
    }
}
