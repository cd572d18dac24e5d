//! What the balancers say against what was ordered: lost drains are restored, others' orders are respected.
//!
//! Imports: state, event, model, core's parts. May not: put in rotation what somebody else took out.

use std::collections::BTreeMap;

use crate::event::EventKind;
use crate::model::{InstanceId, Rotation, Timestamp};
use crate::state::{Instance, Phase, State};

use super::Observed;
use super::observed::is_in_rotation;
use super::pipeline::ORDER_TIMEOUT;
use crate::mutant::{self, Mutant};

/// What a reading of the balancers, begun at `at`, leads to.
pub(super) fn noticed(
    (state, observed): (&State, &Observed),
    now: Timestamp,
    at: Timestamp,
    rotations: &BTreeMap<InstanceId, Rotation>,
) -> Vec<EventKind> {
    let known = rotations.iter().filter_map(|(id, rotation)| Some((id, state.instance(id)?, *rotation)));
    // A reading that began before the last fact about an instance may be older than that.
    let fresh = known.filter(|(id, instance, _)| observed.is_news(id, instance, at));
    fresh.filter_map(|(id, instance, rotation)| of_one(id, instance, rotation, now)).collect()
}

fn of_one(id: &InstanceId, instance: &Instance, rotation: Rotation, now: Timestamp) -> Option<EventKind> {
    let lost =
        || EventKind::DrainLost { instance: id.clone(), rotation, attempt: instance.attempt + 1, until: now + ORDER_TIMEOUT };
    let back = || EventKind::RotationChanged { instance: id.clone(), rotation };
    match instance.phase {
        // Whatever is there is not ours.
        Phase::Pending | Phase::Skipped if instance.spare => None,
        _ if instance.is_late_return() && instance.ours => (rotation == Rotation::Serving).then(back),
        Phase::Draining | Phase::Drained | Phase::Updating | Phase::Verifying { .. } | Phase::Failed if instance.ours => {
            (rotation.is_in() && !instance.serving && !mutant::is(Mutant::ForgetReloads)).then(lost)
        }
        // The balancer's own check may come and go; that is no order of anybody.
        Phase::Pending | Phase::Healthy | Phase::Settling { .. } | Phase::Skipped | Phase::RolledBack | Phase::Failed
            if !instance.ours =>
        {
            let changed = if instance.serving { !is_in_rotation(rotation) } else { rotation == Rotation::Serving };
            changed.then(|| EventKind::RotationChanged { instance: id.clone(), rotation })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::core::testing::{Fixture, id, rollback};
    use crate::core::{Input, wanted};
    use crate::effect::{EffectKind, Outcome};
    use crate::model::Span;

    fn read(run: &mut Fixture, number: u32, rotation: Rotation) -> Vec<EventKind> {
        run.now = run.now + Span::from_millis(10);
        run.input(&Input::Rotations { at: run.now, rotations: BTreeMap::from([(id(number), rotation)]) })
    }

    /// reliability F6: a reload by somebody else forgets our drains.
    #[test]
    fn a_drain_that_a_reload_undid_is_ordered_again_before_the_update() {
        let mut run = Fixture::new(4).started();
        run.check(1);
        run.outcome(1, Outcome::TakenOut { sessions: Some(3) });
        let events = read(&mut run, 1, Rotation::Serving);
        assert!(matches!(events.as_slice(), [EventKind::DrainLost { .. }]), "{events:?}");
        assert_eq!(run.act(1).unwrap().as_str().split('/').next_back(), Some("2"), "a new attempt is wanted");
        run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
        assert_eq!(run.word(1), "updating");
    }

    #[test]
    fn one_put_back_during_its_update_is_taken_out_while_the_update_goes_on() {
        let mut run = Fixture::new(4).started();
        run.check(1);
        run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
        let update = run.act(1).unwrap();
        read(&mut run, 1, Rotation::Down);
        let acts: Vec<_> = wanted(&run.state).into_iter().filter(|e| e.instance == Some(id(1))).collect();
        assert!(acts.iter().any(|e| e.id == update), "the update is not ordered twice: {acts:?}");
        let again = acts.iter().find(|e| e.kind == EffectKind::TakeOut).expect("it is taken out meanwhile").id.clone();
        assert!(run.state.instance(&id(1)).unwrap().serving, "it may be serving: that is the truth");
        run.input(&Input::Outcome { effect: again, outcome: Outcome::TakenOut { sessions: Some(1) } });
        assert!(!run.state.instance(&id(1)).unwrap().serving);
        run.outcome(1, Outcome::Updated);
        run.passes(1, 2);
        run.outcome(1, Outcome::Admitted);
        assert_eq!(run.word(1), "healthy");
    }

    #[test]
    fn a_reading_older_than_the_order_says_nothing() {
        let mut run = Fixture::new(4).started();
        run.check(1);
        let before = run.now;
        run.now = run.now + Span::from_secs(1);
        run.outcome(1, Outcome::TakenOut { sessions: Some(3) });
        let old = Input::Rotations { at: before, rotations: BTreeMap::from([(id(1), Rotation::Serving)]) };
        assert_eq!(run.input(&old), []);
    }

    /// Found by the simulator: while it settled nobody looked whose order it was, and a rollback put it back.
    #[test]
    fn one_that_somebody_else_takes_out_while_it_settles_is_not_put_back_by_a_rollback() {
        let mut run = Fixture::new(2).with(|p| p.strategy.min_healthy_time = Span::from_secs(60)).started();
        run.bring_to_healthy(1);
        assert_eq!(run.word(1), "health_checking");
        let events = read(&mut run, 1, Rotation::Draining);
        assert!(matches!(events.as_slice(), [EventKind::RotationChanged { .. }]), "{events:?}");
        run.command(rollback());
        run.taken_out(1);
        run.outcome(1, Outcome::Updated);
        run.passes(1, 2);
        assert_eq!(run.word(1), "failed");
        assert!(run.state.exceptions().iter().any(|e| e.reason.contains("somebody else took it out")));
    }

    /// Found by the simulator: of two balancers one was reloaded, and both together were read as draining.
    #[test]
    fn a_drain_that_one_of_two_balancers_forgot_is_ordered_again() {
        let both = [Rotation::Draining, Rotation::Serving];
        assert_eq!(Rotation::together(both.into_iter()), Rotation::Partly);
        assert_eq!(Rotation::together([Rotation::Serving, Rotation::Down].into_iter()), Rotation::Down);
        assert_eq!(Rotation::together([Rotation::Draining, Rotation::Maintenance].into_iter()), Rotation::Maintenance);
        assert_eq!(Rotation::together([Rotation::Serving, Rotation::Missing].into_iter()), Rotation::Missing);
        assert_eq!(Rotation::together(std::iter::empty()), Rotation::Missing);
        let mut run = Fixture::new(4).started();
        run.check(1);
        run.taken_out(1);
        let events = read(&mut run, 1, Rotation::Partly);
        assert!(matches!(events.as_slice(), [EventKind::DrainLost { .. }]), "{events:?}");
        assert!(matches!(read(&mut run, 4, Rotation::Partly).as_slice(), [EventKind::RotationChanged { .. }]));
        assert_eq!(run.word(4), "pending", "who drained that one at one balancer only is somebody else");
    }

    /// reliability F5: what somebody else took out is not ours to put back; it uses the budget up.
    #[test]
    fn another_ones_maintenance_is_noted_counted_and_left_alone() {
        let mut run = Fixture::new(6).started();
        let events = read(&mut run, 6, Rotation::Maintenance);
        assert!(matches!(events.as_slice(), [EventKind::RotationChanged { .. }]), "{events:?}");
        assert_eq!(read(&mut run, 6, Rotation::Maintenance), [], "said once");
        assert!(run.act(6).is_none(), "nothing is ordered on it");
        assert!(crate::core::budget::out(&run.state, &run.observed).contains(&&id(6)));
        read(&mut run, 6, Rotation::Serving);
        assert!(!crate::core::budget::out(&run.state, &run.observed).contains(&&id(6)));
        run.command(Command::Pause { reason: String::new() });
    }
}
