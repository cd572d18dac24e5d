//! What must hold whatever happens. Each check has the number of its invariant.

use std::collections::BTreeMap;

use rollout::effect::Effect;
use rollout::event::{Ending, Event, EventKind};
use rollout::model::{InstanceId, Version};
use rollout::state::{Goal, Instance, Phase, State, Summary};

use crate::world::{Lb, Machine, World};

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) id: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(id: &'static str, what: String) -> Self {
        Self { id, what }
    }
}

/// Most facts about one instance within one minute: more is a hot loop (S17).
const FACTS_PER_MINUTE: usize = 120;

/// What the checks remember.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Instances that served when they were taken out, and are not back: true in a rollback.
    taken: BTreeMap<InstanceId, bool>,
    recent: BTreeMap<InstanceId, Vec<u64>>,
    /// Found while an act was started.
    pub(crate) pending: Option<Violation>,
}

fn number(id: &InstanceId) -> usize {
    id.as_str().strip_prefix("web-").and_then(|n| n.parse().ok()).expect("an instance of the scenario")
}

impl Checks {
    /// What was decided and never stored did not happen.
    pub(crate) fn forget(&mut self, before: &State) {
        self.taken.retain(|id, _| before.instance(id).is_some_and(|i| i.ours));
    }

    /// Before the events are stored.
    pub(crate) fn at_append(&mut self, before: &State, events: &[Event], world: &World) -> Result<(), Violation> {
        let mut state = before.clone();
        for event in events {
            self.one(&state, event, world)?;
            state.apply(event).map_err(|illegal| Violation::new("S12", illegal.to_string()))?;
            let tally = state.tally();
            let sum: u32 = rollout::model::InstanceState::ALL.iter().map(|s| tally.of(*s)).sum();
            if sum != state.total() {
                return Err(Violation::new("S11", format!("{sum} instances are shown, there are {}", state.total())));
            }
        }
        Ok(())
    }

    fn one(&mut self, state: &State, event: &Event, world: &World) -> Result<(), Violation> {
        let violation = |id, what: String| Err(Violation::new(id, format!("at {}: {what}", event.seq.0)));
        if let Some(instance) = event.kind.instance() {
            let recent = self.recent.entry(instance.clone()).or_default();
            recent.retain(|at| at + 60_000 > world.now);
            recent.push(world.now);
            if recent.len() > FACTS_PER_MINUTE {
                return violation("S17", format!("{instance}: {} facts within a minute", recent.len()));
            }
            if state.instance(instance).is_some_and(|i| i.excluded) && !matches!(event.kind, EventKind::RotationChanged { .. }) {
                return violation("S5", format!("{instance} has no part in it: {}", event.kind.words()));
            }
        }
        match &event.kind {
            EventKind::DrainStarted { instance, .. } => self.drain(state, instance, world),
            EventKind::InstanceReturned { instance } | EventKind::InstanceAdmitted { instance, .. } => {
                self.taken.remove(instance);
                Ok(())
            }
            EventKind::UpdateStarted { instance, version, .. } => {
                let forward = state.instance(instance).is_some_and(|i| i.goal == Goal::Forward);
                if forward && *version != state.plan.version {
                    return violation("S10", format!("{instance} goes forward to {version}"));
                }
                if forward && state.cancel.is_some() {
                    return violation("S9", format!("{instance} is updated after a cancel"));
                }
                if forward && state.rollback.is_some() {
                    return violation("S10", format!("{instance} goes forward in a rollback"));
                }
                Ok(())
            }
            EventKind::InstanceCheckStarted { instance, .. } if state.pause.is_some() || state.cancel.is_some() => {
                violation("S9p", format!("{instance} is taken during a pause or after a cancel"))
            }
            _ => Ok(()),
        }
    }

    /// S1 and S2: only what serves counts, for only that lowers what serves.
    fn drain(&mut self, state: &State, instance: &InstanceId, world: &World) -> Result<(), Violation> {
        let serves = |id: &InstanceId| world.machines[number(id)].serves(world.is_sick(number(id)));
        // One that recovered a moment ago is not known to.
        if !serves(instance) || !world.is_known_to_be_well(number(instance)) {
            return Ok(());
        }
        let back = state.rollback.is_some() || state.instance(instance).is_some_and(|i| i.goal == Goal::Back);
        let policy = &state.plan.policy;
        let max = if back { policy.rollback.max_unavailable } else { policy.strategy.max_unavailable };
        let max = max.floor_min_one_of(state.total()) as usize;
        let on_its_way = |id: &InstanceId| state.instance(id).is_some_and(|i| !i.discounted && (!back || i.is_active()));
        let out = self.taken.iter().filter(|(id, _)| *id != instance && on_its_way(id)).count();
        if out >= max && !self.taken.contains_key(instance) {
            return Err(Violation::new("S1", format!("{instance} is taken out while {:?} are, {max} may be", self.taken.keys())));
        }
        // As far as the controller can know, or as it is: what dies or recovers unseen is not its doing.
        let known = |(id, i): &(&InstanceId, &Instance)| *id != instance && (serves(id) || i.serving && !i.ours && !i.down);
        let others = state.instances.iter().filter(known).count();
        let floor = policy.strategy.min_serving.ceil_of(state.total()) as usize;
        if others < floor {
            return Err(Violation::new("S2", format!("{instance} is taken out, {others} others serve, {floor} must")));
        }
        self.taken.insert(instance.clone(), back);
        Ok(())
    }

    /// S3 and S8: an update begins on an instance that is out at every balancer, unless a stranger put it in meanwhile.
    pub(crate) fn update_begins(&mut self, instance: usize, effect: &Effect, state: &State, machine: &Machine) {
        let out = machine.lb.iter().all(|lb| *lb != Lb::In) || machine.slipped;
        let strangers =
            machine.lb.contains(&Lb::Maintenance) || state.instances.get_index(instance).is_some_and(|(_, i)| i.slipped);
        if !out && !strangers && !machine.updates.contains(&effect.id) {
            self.pending = Some(Violation::new("S3", format!("web-{instance} is updated while it is in rotation")));
        }
    }

    /// S4: what was updated comes back only after it passed its checks.
    pub(crate) fn admits(&mut self, instance: usize, state: &State, passes: u32) {
        let Some((_, i)) = state.instances.get_index(instance) else { return };
        if i.phase == Phase::Admitting
            && passes == 0
            && state.recovered_at.is_none()
            && i.updated_at.is_some_and(|at| at > i.since)
        {
            self.pending = Some(Violation::new("S4", format!("web-{instance} is put back unproven")));
        }
        if !i.ours {
            self.pending = Some(Violation::new("S5", format!("web-{instance} is put back, but was not taken out by us")));
        }
    }

    /// S11 and S15: what the end says is what the world is.
    pub(crate) fn at_the_end(state: &State, world: &World) -> Result<(), Violation> {
        let Some(end) = &state.end else { return Ok(()) };
        let s = Summary::of(state, (None, None));
        if s.total != s.updated + s.failed + s.rolled_back + s.skipped + s.untouched {
            return Err(Violation::new("S11", format!("{s:?}")));
        }
        let listed: Vec<InstanceId> = state.exceptions().into_iter().map(|e| e.instance).collect();
        for (id, instance) in &state.instances {
            let machine = &world.machines[number(id)];
            if listed.contains(id) || instance.excluded {
                continue;
            }
            if state.started_at.is_none() || machine.updates.is_empty() && !served_at_first(state, id) {
                continue;
            }
            let name = format!("{} ({}): {id} {:?} {:?}", state.status().word(), end.reason, machine.version, machine.lb);
            // What a stranger or a death did in the moment after the last reading is nobody's lie.
            let ours = machine.lb.contains(&Lb::Drain);
            if ours {
                return Err(Violation::new("L4", format!("left drained and not listed: {name}")));
            }
            let previous = state.member(id).and_then(|m| m.previous.as_ref());
            let expected: Option<&Version> = match end.ending {
                Ending::Completed if instance.phase == Phase::Healthy => Some(&state.plan.version),
                Ending::RolledBack if !machine.updates.is_empty() => previous,
                _ => None,
            };
            if expected.is_some_and(|version| *version != machine.version) {
                return Err(Violation::new("S15", name));
            }
        }
        Ok(())
    }
}

fn served_at_first(state: &State, id: &InstanceId) -> bool {
    state.member(id).is_some_and(rollout::model::Member::serves)
}
