//! One instance on its way: check, drain, update, prove, admit, settle. Outcomes, samples and deadlines move it on.
//!
//! Imports: state, event, effect, model, core's parts. May not: look at other instances, but for the budget.

use crate::effect::Outcome;
use crate::event::{AfterReturn, Cause, EventKind, Found, Step};
use crate::model::{
    Before, EffectId, Evidence, InstanceId, LatencyGate, Member, OnDrainTimeout, Rotation, Span, Survey, Timestamp,
};
use crate::mutant::{self, Mutant};
use crate::state::{Goal, Instance, Phase, State};

use super::observed::{Latency, is_in_rotation};
use super::{Observed, budget, canary, judge, pause, rollback, wanted};

/// How long a balancer may take to confirm an order before the engine stops and says so.
pub(super) const ORDER_TIMEOUT: Span = Span::from_secs(10);
/// How often a drain that somebody undid is ordered again, before the engine stops and says so.
const MAX_SLIPS: u32 = 5;
/// How often a falling drain may be given its time again.
const MAX_EXTENSIONS: u32 = 10;

/// One instance and all that a decision about it may look at.
struct Scene<'a> {
    state: &'a State,
    observed: &'a Observed,
    now: Timestamp,
    id: &'a InstanceId,
    instance: &'a Instance,
}

type Decision = Option<Vec<EventKind>>;

fn scene<'a>(state: &'a State, observed: &'a Observed, now: Timestamp, index: usize) -> Option<Scene<'a>> {
    let (id, instance) = state.instances.get_index(index)?;
    Some(Scene { state, observed, now, id, instance })
}

/// As `advance`, for the instance of a sample.
pub(super) fn advance_by_id(state: &State, observed: &Observed, now: Timestamp, id: &InstanceId) -> Decision {
    advance(state, observed, now, state.instances.get_index_of(id)?)
}

/// What time and samples alone decide of the instance.
pub(super) fn advance(state: &State, observed: &Observed, now: Timestamp, index: usize) -> Decision {
    let scene = scene(state, observed, now, index)?;
    match &scene.instance.phase {
        Phase::Checking => scene.checking(),
        Phase::TakingOut => scene.taking_out(),
        Phase::Draining => scene.draining(),
        Phase::Drained if scene.back() && scene.instance.spare => Some(scene.order_stop()),
        Phase::Drained => Some(scene.turned_back().unwrap_or_else(|| scene.order_update())),
        Phase::Updating if mutant::is(Mutant::TrustTheDead) && state.recovered_at == Some(scene.instance.since) => {
            Some(scene.updated())
        }
        Phase::Updating => scene.expired().then(|| {
            let timeout = state.plan.policy.update.timeout;
            scene.failed(Step::Update, format!("its update did not end within {timeout}"))
        }),
        Phase::Verifying { .. } => scene.verifying(),
        Phase::Admitting => scene.expired().then(|| scene.failed(Step::Admit, scene.not_serving())),
        Phase::Settling { settle_until } => scene.settling(*settle_until),
        Phase::Healthy => scene.watched(),
        Phase::Returning { .. } => scene.expired().then(|| scene.failed(Step::Admit, scene.not_serving())),
        Phase::Restoring => Some(scene.restore()),
        Phase::Failed => scene.evicting(),
        Phase::Pending | Phase::Skipped | Phase::RolledBack => None,
    }
}

/// When `advance` may decide something by time alone.
pub(super) fn deadlines(state: &State, index: usize) -> impl Iterator<Item = Timestamp> {
    let instance = state.instances.get_index(index).map(|(_, instance)| instance);
    let settle = instance.and_then(|i| match i.phase {
        Phase::Settling { settle_until } => Some(settle_until),
        _ => None,
    });
    instance.and_then(|i| i.until).into_iter().chain(settle)
}

/// What the end of an act decides. An act that is no longer wanted decides nothing.
pub(super) fn outcome(
    state: &State,
    observed: &Observed,
    now: Timestamp,
    (effect, outcome): (&EffectId, &Outcome),
) -> Vec<EventKind> {
    if let Outcome::FleetSurveyed { surveys, .. } = outcome {
        let awaited = wanted::wanted_for_fleet(state).iter().any(|w| w.id == *effect);
        return if awaited { super::ending::surveyed(state, surveys) } else { Vec::new() };
    }
    let found = state.active.iter().find(|&&index| wanted::wanted_for(state, index).iter().any(|w| w.id == *effect));
    let Some(scene) = found.and_then(|&index| scene(state, observed, now, index)) else { return Vec::new() };
    let instance = scene.id.clone();
    match (outcome, &scene.instance.phase) {
        (Outcome::Surveyed { survey }, Phase::Checking) => scene.surveyed(survey),
        (Outcome::TakenOut { sessions }, Phase::TakingOut | Phase::Failed) => scene.taken_out(*sessions),
        (Outcome::TakenOut { sessions }, Phase::Updating | Phase::Verifying { .. }) if scene.instance.slipped => {
            scene.taken_out(*sessions)
        }
        (Outcome::Idle, Phase::Draining) => vec![EventKind::DrainFinished { instance, cut: 0, forced: false }],
        (Outcome::Updated, Phase::Updating) if scene.back() && scene.instance.spare => {
            vec![EventKind::InstanceRetired { instance }]
        }
        (Outcome::Updated, Phase::Updating) => scene.updated(),
        (Outcome::UpdateFailed { reason }, Phase::Updating) => scene.failed(Step::Update, reason.clone()),
        (Outcome::Admitted, Phase::Returning { .. }) => vec![EventKind::InstanceReturned { instance }],
        (Outcome::Admitted, Phase::Admitting) => {
            let settle = match scene.instance.goal {
                Goal::Forward => state.plan.policy.strategy.min_healthy_time,
                Goal::Back => Span::ZERO,
            };
            vec![EventKind::InstanceAdmitted { instance, settle_until: now + settle }]
        }
        _ => Vec::new(),
    }
}

/// The act ordered when an instance is taken: also used for the first look.
pub(super) fn check_deadline(state: &State, now: Timestamp) -> Timestamp {
    let health = &state.plan.policy.health;
    now + ORDER_TIMEOUT + (health.timeout + health.interval).times(u64::from(health.retries))
}

impl Scene<'_> {
    fn expired(&self) -> bool {
        self.instance.until.is_some_and(|until| self.now >= until)
    }

    fn back(&self) -> bool {
        self.instance.goal == Goal::Back
    }

    /// Nothing new may go forward: what is not updated yet goes back in rotation.
    fn halted(&self) -> bool {
        let cancelled = self.state.cancel.is_some() && !mutant::is(Mutant::IgnoreCancel);
        let going_back = self.state.rollback.is_some() && !mutant::is(Mutant::ForwardAfterRollback);
        !self.back() && (cancelled || going_back)
    }

    /// Nothing new is taken.
    fn paused(&self) -> bool {
        self.state.pause.is_some() && !mutant::is(Mutant::IgnorePause)
    }

    fn failed(&self, step: Step, reason: String) -> Vec<EventKind> {
        let evidence = match step {
            Step::Health | Step::Watch | Step::Admit => self.observed.evidence(self.id),
            Step::Drain | Step::Update | Step::EndCheck => Evidence::default(),
        };
        vec![EventKind::InstanceFailed { instance: self.id.clone(), step, reason, evidence }]
    }

    fn not_serving(&self) -> String {
        if self.instance.phase == Phase::Admitting && !canary::is_weighed(self.state, self.id) {
            let why = self.observed.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            return format!("the balancers do not confirm its weight{why}");
        }
        format!("the balancer does not report it as serving{}", self.observed.because(self.id))
    }

    fn return_to_rotation(&self, reason: &str, then: AfterReturn) -> EventKind {
        EventKind::ReturnStarted {
            instance: self.id.clone(),
            reason: reason.to_owned(),
            attempt: self.instance.attempt + 1,
            then,
            until: self.now + self.state.plan.policy.health.deadline,
        }
    }

    /// Straight back in rotation, if that is where it came from and it was not touched before: what is known to be broken
    /// stays out, failed.
    fn put_back(&self, reason: &str, then: AfterReturn) -> EventKind {
        if self.instance.spare && !self.instance.exposed {
            let (instance, reason) = (self.id.clone(), reason.to_owned());
            return EventKind::InstanceSkipped { instance, reason, found: Found::AsItWas };
        }
        let repaired = self.state.member(self.id).is_some_and(Member::is_left_out);
        if self.instance.exposed || repaired {
            let (instance, reason) = (self.id.clone(), reason.to_owned());
            return EventKind::InstanceFailed { instance, step: Step::Drain, reason, evidence: Evidence::default() };
        }
        self.return_to_rotation(reason, then)
    }

    /// On a cancel or a rollback an instance that is not updated yet goes straight back in. One that was to be tried again
    /// has failed: it is not put back unproven.
    fn turned_back(&self) -> Decision {
        self.halted().then(|| {
            let reason = if self.state.rollback.is_some() { "rollback before its update" } else { "cancelled before its update" };
            vec![self.put_back(reason, AfterReturn::Untouched)]
        })
    }

    fn checking(&self) -> Decision {
        if self.halted() || self.paused() {
            return Some(vec![EventKind::InstanceCheckDropped { instance: self.id.clone() }]);
        }
        self.expired().then(|| {
            let reason = format!("could not be checked before it was touched{}", self.observed.because(self.id));
            vec![EventKind::InstanceSkipped { instance: self.id.clone(), reason, found: Found::Unfit }]
        })
    }

    fn surveyed(&self, survey: &Survey) -> Vec<EventKind> {
        let instance = self.id.clone();
        if self.halted() || self.paused() || judge::is_open(self.state) {
            return vec![EventKind::InstanceCheckDropped { instance }];
        }
        let Some(member) = self.state.member(self.id) else { return Vec::new() };
        if member.spare {
            return self.spare_surveyed(survey);
        }
        let there = survey.version.as_ref() == Some(&member.wanted) && !self.state.plan.restart;
        let left_out = member.left_out && survey.rotation == Rotation::Draining;
        let skip = if left_out {
            None
        } else if !is_in_rotation(survey.rotation) {
            Some((Found::Out, format!("{}, not by this deployment", survey.rotation.words())))
        } else if there && survey.health.passed() && survey.rotation == Rotation::Serving {
            Some((Found::AtVersion, format!("already at {}", member.wanted)))
        } else if self.state.plan.policy.health.before == Before::First {
            None
        } else if !survey.health.passed() {
            Some((Found::Unfit, format!("unhealthy before it was touched: {}", survey.health.words())))
        } else if survey.rotation == Rotation::Down {
            Some((Found::Out, format!("{} before it was touched", survey.rotation.words())))
        } else {
            None
        };
        if let Some((found, reason)) = skip {
            return vec![EventKind::InstanceSkipped { instance, reason, found }];
        }
        // Others may have died during the look.
        let serves = survey.rotation == Rotation::Serving && survey.health.passed();
        if budget::may_go_on(self.state, self.observed, (self.id, serves)).is_ok() {
            return self.take_out();
        }
        let dropped = EventKind::InstanceCheckDropped { instance: instance.clone() };
        // It counts as out no longer: by that it was taken outside the budget.
        let back = serves && !self.instance.serving;
        let back = back.then_some(EventKind::RotationChanged { instance, rotation: survey.rotation });
        [dropped].into_iter().chain(back).collect()
    }

    /// A spare serves nothing yet. One that the balancer knows is taken out before anything runs there: it would be in
    /// rotation before it is proven.
    fn spare_surveyed(&self, survey: &Survey) -> Vec<EventKind> {
        let foreign = match survey.rotation {
            Rotation::Missing => return self.order_update(),
            Rotation::Draining if self.state.member(self.id).is_some_and(|m| m.left_out) => return self.take_out(),
            Rotation::Down => return self.take_out(),
            Rotation::Serving | Rotation::Partly => "in rotation already",
            Rotation::Draining | Rotation::Maintenance => survey.rotation.words(),
        };
        let reason = format!("{foreign}, not by this deployment: no extra capacity");
        vec![EventKind::InstanceSkipped { instance: self.id.clone(), reason, found: Found::AsItWas }]
    }

    fn order_stop(&self) -> Vec<EventKind> {
        vec![EventKind::StopStarted {
            instance: self.id.clone(),
            attempt: self.instance.attempt + 1,
            until: self.now + self.state.plan.policy.update.timeout,
        }]
    }

    fn take_out(&self) -> Vec<EventKind> {
        vec![EventKind::DrainStarted {
            instance: self.id.clone(),
            attempt: self.instance.attempt + 1,
            until: self.now + ORDER_TIMEOUT,
        }]
    }

    fn taking_out(&self) -> Decision {
        if let Some(events) = self.turned_back() {
            return Some(events);
        }
        if self.expired() && mutant::is(Mutant::TrustUnconfirmedDrain) {
            return Some(self.taken_out(Some(0)));
        }
        let reason = if self.instance.slips > MAX_SLIPS {
            format!("its drain was undone {} times by somebody else", self.instance.slips)
        } else if self.expired() {
            format!("its drain was not confirmed within {ORDER_TIMEOUT}{}", self.observed.because(self.id))
        } else {
            return None;
        };
        if self.back() {
            return Some(self.failed(Step::Drain, reason));
        }
        // Without a confirmed drain nothing may be updated: stop here, put it back, and let a person look.
        let back_in = self.put_back(&reason, AfterReturn::Untouched);
        let pause = self.state.pause.is_none().then(|| pause(Cause::Traffic, format!("{}: {reason}", self.id)));
        Some([back_in].into_iter().chain(pause).collect())
    }

    fn taken_out(&self, sessions: Option<u32>) -> Vec<EventKind> {
        let instance = self.id.clone();
        let until = self.now + self.state.plan.policy.drain.timeout;
        let taken = EventKind::InstanceTakenOut { instance: instance.clone(), sessions, until };
        let idle = sessions == Some(0) || mutant::is(Mutant::SkipDrain);
        if idle && self.instance.phase == Phase::TakingOut {
            return vec![taken, EventKind::DrainFinished { instance, cut: 0, forced: false }];
        }
        vec![taken]
    }

    fn draining(&self) -> Decision {
        if let Some(events) = self.turned_back() {
            return Some(events);
        }
        if !self.expired() {
            return None;
        }
        let instance = self.id.clone();
        let drain = &self.state.plan.policy.drain;
        let left = self.observed.of(self.id).and_then(|s| s.sessions).or(self.instance.sessions).unwrap_or(0);
        if left == 0 {
            return Some(vec![EventKind::DrainFinished { instance, cut: 0, forced: false }]);
        }
        let falling = self.instance.sessions.is_none_or(|before| left < before);
        Some(match drain.on_timeout {
            OnDrainTimeout::Extend if falling && self.instance.extensions < MAX_EXTENSIONS => {
                vec![EventKind::DrainExtended { instance, sessions: left, until: self.now + drain.timeout }]
            }
            OnDrainTimeout::Fail if !self.back() && !self.instance.exposed => {
                let reason = format!("{left} connections did not end within {}", drain.timeout);
                vec![self.put_back(&reason, AfterReturn::Failed)]
            }
            OnDrainTimeout::Force | OnDrainTimeout::Extend | OnDrainTimeout::Fail => {
                vec![EventKind::DrainFinished { instance, cut: left, forced: true }]
            }
        })
    }

    fn order_update(&self) -> Vec<EventKind> {
        let Some(member) = self.state.member(self.id) else { return Vec::new() };
        let version = if self.back() { member.previous.clone() } else { Some(member.wanted.clone()) };
        let Some(version) = version else {
            return self.failed(Step::Update, "its earlier version is not known".to_owned());
        };
        vec![EventKind::UpdateStarted {
            instance: self.id.clone(),
            version,
            attempt: self.instance.attempt + 1,
            until: self.now + self.state.plan.policy.update.timeout,
        }]
    }

    fn updated(&self) -> Vec<EventKind> {
        let (health, now) = (&self.state.plan.policy.health, self.now);
        vec![EventKind::UpdateFinished {
            instance: self.id.clone(),
            start_until: now + health.start_timeout,
            until: now + health.deadline,
        }]
    }

    fn verifying(&self) -> Decision {
        let health = &self.state.plan.policy.health;
        let seen = self.observed.of(self.id);
        let last = seen.and_then(|s| s.last.as_ref()).map(|s| format!(": {}", s.words())).unwrap_or_default();
        if let Some(how) = seen.and_then(|s| s.exited.as_ref()) {
            return Some(self.failed(Step::Health, format!("its process ended: {how}")));
        }
        if mutant::is(Mutant::AdmitWithoutGate) {
            return Some(vec![EventKind::HealthPassed { instance: self.id.clone(), evidence: Evidence::default() }]);
        }
        if let Some(seen) = seen {
            if seen.misses >= health.retries.max(1) {
                return Some(self.failed(Step::Health, format!("{} failed checks in a row{last}", seen.misses)));
            }
            let rise = if mutant::is(Mutant::AdmitOnFirstPass) { 1 } else { health.rise.max(1) };
            if seen.passes >= rise && self.instance.foreign && !mutant::is(Mutant::ReadmitForeign) {
                let reason = "it passes its checks, but somebody else took it out of rotation: it is not put back";
                return Some(self.failed(Step::Admit, reason.to_owned()));
            }
            if seen.passes >= rise {
                return Some(vec![EventKind::HealthPassed { instance: self.id.clone(), evidence: seen.evidence() }]);
            }
        }
        self.expired().then(|| self.failed(Step::Health, format!("not proven healthy within {}{last}", health.deadline)))
    }

    fn settling(&self, settle_until: Timestamp) -> Decision {
        let instance = self.id.clone();
        let evidence = self.observed.evidence(self.id);
        if self.back() {
            return Some(vec![EventKind::InstanceRestored { instance, evidence }]);
        }
        if let Some(events) = self.watched() {
            return Some(events);
        }
        // One miss starts the time anew (Nomad's `min_healthy_time`).
        let needed = self.state.plan.policy.strategy.min_healthy_time;
        let steady = needed.is_zero()
            || self
                .observed
                .of(self.id)
                .is_some_and(|s| s.misses == 0 && s.passing_since.is_some_and(|p| self.now >= p + needed));
        let gate = self.state.plan.policy.health.latency.as_ref();
        let latency = gate.and_then(|gate| self.slowness(gate));
        if self.now >= settle_until && steady && latency.is_none() {
            return Some(vec![EventKind::InstanceHealthy { instance, evidence }]);
        }
        let why = latency.filter(|_| steady).unwrap_or_else(|| format!("not steadily healthy for {needed}"));
        self.expired().then(|| self.failed(Step::Watch, why))
    }

    /// Why the latency gate is not open; too few samples are neither good nor bad, only not enough.
    fn slowness(&self, gate: &LatencyGate) -> Option<String> {
        let LatencyGate { p99, samples } = gate;
        match self.observed.of(self.id).map_or(Latency::TooFew(0), |seen| seen.latency(gate)) {
            Latency::Fine => None,
            Latency::TooSlow(found) => {
                Some(format!("the 99th percentile of its last {samples} checks is {found}, health.latency allows {p99}"))
            }
            Latency::TooFew(found) => {
                Some(format!("only {found} of the {samples} passes that health.latency needs came before the deadline"))
            }
        }
    }

    /// A finished instance that fails later counts, unless it is about to go back anyway.
    fn watched(&self) -> Decision {
        if self.state.rollback.is_some() && rollback::can_go_back(self.state, self.id, self.instance) {
            return None;
        }
        let seen = self.observed.of(self.id)?;
        if !seen.is_failing(self.state.plan.policy.health.retries) {
            return None;
        }
        let why = match (&seen.exited, &seen.last) {
            (Some(how), _) => format!("its process ended: {how}"),
            (None, Some(last)) => format!("{} failed checks in a row: {}", seen.misses, last.words()),
            (None, None) => format!("{} failed checks in a row", seen.misses),
        };
        Some(self.failed(Step::Watch, format!("after it was healthy, {why}")))
    }

    /// It could not be taken out in time: it stays listed as it is, and holds nothing up.
    fn evicting(&self) -> Decision {
        (self.instance.is_evicting() && self.expired()).then(|| {
            let why = if budget::may_evict(self.state, self.id) {
                self.observed.because(self.id)
            } else {
                ": too few others serve".to_owned()
            };
            self.failed(Step::Drain, format!("it could not be taken out of rotation{why}"))
        })
    }

    /// Back to its own version. The drain is ordered even where it was: whoever put it back meanwhile is met before the
    /// update, not in it.
    fn restore(&self) -> Vec<EventKind> {
        self.take_out()
    }
}
