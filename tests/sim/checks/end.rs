//! S11, S15, S5 and L4 at the end: what it says of every instance is what the world is.

use rollout::event::Ending;
use rollout::model::{InstanceState, Rotation, Version};
use rollout::state::{State, Summary};

use super::Violation;
use crate::scenario::number;
use crate::world::{Lb, Machine, World};

pub(crate) fn at_the_end(state: &State, world: &World) -> Result<(), Violation> {
    let Some(end) = &state.end else { return Ok(()) };
    let s = Summary::of(state, (None, None));
    if s.total != s.updated + s.failed + s.rolled_back + s.skipped + s.untouched {
        return Err(Violation::new("S11", format!("{s:?}")));
    }
    let listed = state.exceptions();
    for (n, machine) in world.machines.iter().enumerate() {
        let named = listed.iter().any(|e| number(&e.instance) == n) || end.reason.contains("did not confirm the weights");
        if machine.weights.iter().any(|weight| *weight != 100) && !named {
            return Err(Violation::new("S18", format!("it has ended, and web-{n} is left with weights {:?}", machine.weights)));
        }
    }
    for (id, instance) in &state.instances {
        let (n, machine) = (number(id), &world.machines[number(id)]);
        let member = &world.scenario.plan.members[n];
        let shown = instance.shown();
        let said = format!("{} ({}): web-{n} {shown}", state.status().word(), end.reason);
        let is = format!("it runs {} and is {:?}", machine.version, machine.lb);
        let lie = |id: &'static str| Err(Violation::new(id, format!("{said}, but {is}")));
        // What others did after the last reading is nobody's lie.
        let changed = machine.disturbed_at.is_some_and(|at| at >= machine.read_at.unwrap_or(0));
        if instance.excluded {
            if !machine.runs.is_empty() || machine.taken {
                return lie("S5");
            }
            continue;
        }
        // No driver can tell what runs there.
        let unknown = member.previous.is_none() && machine.runs.is_empty();
        let changed = changed || unknown;
        if let Some(exception) = listed.iter().find(|e| e.instance == *id) {
            let wrong = exception.version.as_ref().is_some_and(|version| *version != machine.version);
            if wrong && !changed && state.started_at.is_some() {
                return Err(Violation::new("S15", format!("{said}, listed on {:?}, but {is}", exception.version)));
            }
            continue;
        }
        if member.spare {
            let used = machine.up || machine.lb.contains(&Lb::In) && member.rotation == Rotation::Missing;
            if used && !machine.runs.is_empty() && !changed {
                return lie("S15");
            }
            continue;
        }
        if machine.lb.contains(&Lb::Ours) && machine.taken {
            return lie("L4");
        }
        if changed || state.started_at.is_none() {
            continue;
        }
        let own = member.previous.as_ref();
        let expected: Option<&Version> = match shown {
            InstanceState::Healthy => Some(&member.wanted),
            InstanceState::RolledBack => own,
            _ if end.ending == Ending::RolledBack && !machine.runs.is_empty() => own,
            // Never touched, or given back as it was.
            _ if machine.runs.is_empty() => None,
            _ => own,
        };
        if expected.is_some_and(|version| *version != machine.version) {
            return lie("S15");
        }
        let proven = matches!(shown, InstanceState::Healthy | InstanceState::RolledBack);
        if proven && !serves_at_the_end(machine, world, n) {
            return lie("S15");
        }
        let unfinished = !proven && shown != InstanceState::Skipped;
        if end.ending == Ending::Completed && unfinished {
            return lie("S15");
        }
    }
    Ok(())
}

/// In rotation, and well unless that changed so lately that nobody need have seen it.
fn serves_at_the_end(machine: &Machine, world: &World, n: usize) -> bool {
    machine.is_in() && !world.known_to_be_out(n)
}
