//! What an effect is about, as far as its performance needs it.
//!
//! Imports: state, effect, model. May not: act.

use crate::effect::{Effect, EffectKind};
use crate::model::{Rotation, Span, Target, Version};
use crate::runner::targets;
use crate::state::State;

/// What an effect is about.
pub(super) struct Scene {
    pub(super) target: Option<Target>,
    /// It is extra capacity, which the balancers may not know.
    pub(super) spare: bool,
    /// No balancer knew it at the beginning.
    pub(super) added: bool,
    pub(super) version: Version,
    pub(super) fleet: Vec<Target>,
    pub(super) retries: u32,
    pub(super) interval: Span,
}

impl Scene {
    pub(super) fn of(state: &State, effect: &Effect) -> Self {
        let health = &state.plan.policy.health;
        let member = effect.instance.as_ref().and_then(|id| state.member(id));
        let (target, spare) = (member.map(|m| m.target.clone()), member.is_some_and(|m| m.spare));
        let fleet = match effect.kind {
            // What was extra capacity is there no more.
            EffectKind::SurveyFleet => targets(state, |member| !member.spare),
            _ if target.is_none() => targets(state, |_| true),
            _ => Vec::new(),
        };
        // Nothing runs yet where extra capacity is to be: looking again would not help.
        let retries = if spare { 1 } else { health.retries };
        let added = member.is_some_and(|m| m.spare && m.rotation == Rotation::Missing);
        Self { target, spare, added, version: state.plan.version.clone(), fleet, retries, interval: health.interval }
    }
}
