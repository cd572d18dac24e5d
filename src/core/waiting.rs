//! Why it waits, as a value: what is awaited, by whom, and until when.
//!
//! Imports: state, model, core's parts. May not: act.

use std::collections::BTreeSet;
use std::fmt;

use super::{analysis, budget, canary, judge, operate};
use crate::event::Actor;
use crate::model::{CanaryStep, InstanceId, InstanceState, Timestamp};
use crate::mutant::{self, Mutant};
use crate::state::{Awaits, Goal, Instance, Phase, State};

/// What is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// In words, without the time: `web-03 and web-04 to pass their health checks`.
    pub what: String,
    /// Who holds it up, in plan order.
    pub instances: Vec<InstanceId>,
    /// Until when at the latest, if there is a deadline.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What may hold an instance up, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hold {
    Settle,
    Health,
    Admit,
    Weigh,
    Update,
    Stop,
    Drain,
    TakeOut,
    Return,
    Check,
    Evict,
    Needed,
}

/// Why `state` does not move on at this moment; `None` once the deployment has ended.
pub fn waiting(state: &State) -> Option<Waiting> {
    if state.end.is_some() {
        return None;
    }
    let simple = |what: String, until: Option<Timestamp>| Some(Waiting { what, instances: Vec::new(), until });
    if state.started_at.is_none() {
        return simple("waiting for someone to start it; nothing is touched yet".to_owned(), state.approval_until);
    }
    let in_flight = in_flight(state);
    if let Some(look) = state.look.as_ref().filter(|_| judge::is_open(state)) {
        let what = "failures crossed the threshold; looking whether untouched instances fail as well".to_owned();
        return simple(what, Some(look.until));
    }
    if let Some(pause) = &state.pause {
        let by = if pause.by == Actor::Engine { "by the engine" } else { "" };
        let who = if by.is_empty() { format!("by {}", pause.by.name()) } else { by.to_owned() };
        let why = if pause.reason.starts_with("asked for by") { String::new() } else { format!(": {}", pause.reason) };
        if let Some(waiting) = in_flight.or_else(|| hook(state)) {
            return Some(Waiting { what: format!("pausing {who}{why}; {}", waiting.what), ..waiting });
        }
        let until = state.approval_until.filter(|_| state.awaits == Some(Awaits::Answer));
        if pause.passing {
            let or = ways_out(state, false);
            return simple(format!("paused {who}{why}; {or}"), state.progress_until);
        }
        let or = match until {
            Some(_) => "unanswered, everything goes back".to_owned(),
            None => ways_out(state, pause.reason.contains("resume")),
        };
        return simple(format!("paused {who}{why}; {or}"), until);
    }
    if in_flight.is_some() {
        return in_flight;
    }
    if let Some(until) = state.end_check_until {
        return simple("reading every instance's version and rotation once more".to_owned(), Some(until));
    }
    if let Some(waiting) = hook(state) {
        return Some(waiting);
    }
    if let Some(batch) = &state.batch
        && let Some(until) = batch.bake_until
    {
        let failed = batch.members.iter().filter(|id| state.instance(id).is_some_and(|i| i.shown() == InstanceState::Failed));
        let verdict = match failed.count() {
            0 => "is verified".to_owned(),
            n => format!("is over, {n} of {} failed", batch.members.len()),
        };
        let (what, until) = match analysis::awaited(state) {
            Some(said) => (format!("watched, the analysis has yet to speak for it: {said}"), state.progress_until),
            None => ("watching it before the next".to_owned(), Some(until)),
        };
        let what = format!("batch {} {verdict}; {what}", batch.number);
        return Some(Waiting { what, instances: batch.members.clone(), until });
    }
    if let Some(waiting) = between(state) {
        return Some(waiting);
    }
    match state.awaits {
        Some(Awaits::Approval) => {
            let what = format!("batch {} is done; the next waits for approval (promote)", state.batches);
            simple(what, state.approval_until)
        }
        Some(Awaits::Release) => {
            let held: Vec<InstanceId> =
                state.instances.iter().filter(|(_, i)| i.shown() == InstanceState::Held).map(|(id, _)| id.clone()).collect();
            let what = format!("only held instances are left ({}); release or skip them", names(held.iter()));
            Some(Waiting { what, instances: held, until: state.approval_until })
        }
        Some(Awaits::Start | Awaits::Answer | Awaits::Promotion) | None => {
            simple("about to go on".to_owned(), state.progress_until)
        }
    }
}

/// The hook that runs.
fn hook(state: &State) -> Option<Waiting> {
    let run = state.hook.as_ref().filter(|run| !run.failed)?;
    let again = if run.attempt > 1 { format!(", try {}", run.attempt) } else { String::new() };
    let what = format!("hook {} has yet to end{again}", run.name);
    Some(Waiting { what, instances: Vec::new(), until: Some(run.until) })
}

/// What a canary waits for between two batches.
fn between(state: &State) -> Option<Waiting> {
    let simple = |what: String, until: Option<Timestamp>| Some(Waiting { what, instances: Vec::new(), until });
    if let Some(ordered) = &state.weighing {
        let named: BTreeSet<&InstanceId> = ordered.weights.keys().chain(state.weights.keys()).collect();
        let instances = named.into_iter().cloned().collect();
        let what = "the balancers have yet to confirm the weights of the instances".to_owned();
        return Some(Waiting { what, instances, until: Some(ordered.until) });
    }
    let number = state.step.as_ref()?.number;
    match state.canary_step()? {
        CanaryStep::Pause { lasts: Some(_) } => {
            simple(format!("step {number} is a pause; promote ends it"), state.step.as_ref().and_then(|run| run.until))
        }
        CanaryStep::Pause { lasts: None } => {
            simple(format!("step {number} waits for a person (promote); unanswered, everything goes back"), state.approval_until)
        }
        CanaryStep::Analysis { passes } => {
            let missing = analysis::awaited(state).unwrap_or_else(|| format!("{passes} passes of each check"));
            simple(format!("step {number} is an analysis: {missing}"), state.progress_until)
        }
        CanaryStep::Weight { .. } | CanaryStep::Instances { .. } | CanaryStep::Run { .. } => None,
    }
}

/// What may be done about a pause, of what changes anything; the reason may say already when to resume.
fn ways_out(state: &State, resume_is_said: bool) -> String {
    let cancel = state.cancel.is_none().then_some("cancel");
    let back = (state.rollback.is_none() && !operate::is_rollback(state)).then_some("roll back");
    match (resume_is_said, [cancel, back].into_iter().flatten().collect::<Vec<_>>().as_slice()) {
        (_, []) => "resume to go on".to_owned(),
        (true, ways) => format!("else {}", ways.join(" or ")),
        (false, [one]) => format!("resume or {one}"),
        (false, ways) => format!("resume, {}", ways.join(" or ")),
    }
}

/// The latest step that any instance under way is at, with all that are at it.
fn in_flight(state: &State) -> Option<Waiting> {
    let held: Vec<(Hold, &InstanceId, &Instance)> = state
        .active
        .iter()
        .filter_map(|&index| state.instances.get_index(index))
        .filter_map(|(id, instance)| Some((hold(state, id, instance)?, id, instance)))
        .collect();
    let first = held.iter().map(|(hold, ..)| *hold).max()?;
    let at_it: Vec<&(Hold, &InstanceId, &Instance)> = held.iter().filter(|(hold, ..)| *hold == first).collect();
    let names = names(at_it.iter().map(|(_, id, _)| *id));
    let plural = at_it.len() > 1;
    let back = at_it.iter().any(|(.., i)| i.goal == Goal::Back);
    let (their, they) = if plural { ("their", "have") } else { ("its", "has") };
    let what = match first {
        Hold::Check => format!("looking at {names} before touching {}", if plural { "them" } else { "it" }),
        Hold::TakeOut => format!("the balancer has yet to confirm the drain of {names}"),
        Hold::Drain => format!("{names} {they} connections that are still ending"),
        Hold::Stop => format!("{names}, extra capacity, {they} yet to be stopped"),
        Hold::Update if back => format!("{names} {they} yet to go back to {their} earlier version"),
        Hold::Update => format!("{names} {they} yet to be updated to {}", state.plan.version),
        Hold::Health => format!("{names} {they} yet to pass {their} health checks"),
        Hold::Admit => format!("the balancer has yet to report {names} as serving"),
        Hold::Weigh => format!("the balancers have yet to confirm the weight of {names}"),
        Hold::Settle if state.plan.policy.health.latency.is_some() => {
            format!("{names} must stay healthy a while and prove fast enough")
        }
        Hold::Settle => format!("{names} must stay healthy a while"),
        Hold::Return => format!("{names} {} put back in rotation", if plural { "are being" } else { "is being" }),
        Hold::Needed => format!("{names} failed, but too few others serve to take {} out", if plural { "them" } else { "it" }),
        Hold::Evict => format!("{names} failed and {} taken out of rotation", if plural { "are being" } else { "is being" }),
    };
    let until = at_it.iter().filter_map(|(.., i)| i.until).min();
    let instances = at_it.into_iter().map(|(_, id, _)| (*id).clone()).collect();
    Some(Waiting { what, instances, until })
}

fn hold(state: &State, id: &InstanceId, instance: &Instance) -> Option<Hold> {
    Some(match instance.phase {
        Phase::Checking => Hold::Check,
        Phase::TakingOut => Hold::TakeOut,
        Phase::Draining => Hold::Drain,
        Phase::Drained | Phase::Updating if instance.spare && instance.goal == Goal::Back => Hold::Stop,
        Phase::Drained | Phase::Updating | Phase::Restoring => Hold::Update,
        Phase::Verifying { .. } => Hold::Health,
        Phase::Admitting if mutant::is(Mutant::NameTheWrongStep) => Hold::Update,
        Phase::Admitting if !canary::is_weighed(state, id) => Hold::Weigh,
        Phase::Admitting => Hold::Admit,
        Phase::Settling { .. } => Hold::Settle,
        Phase::Returning { .. } => Hold::Return,
        Phase::Failed if !budget::may_evict(state, id) => Hold::Needed,
        Phase::Failed => Hold::Evict,
        Phase::Pending | Phase::Healthy | Phase::Skipped | Phase::RolledBack => return None,
    })
}

/// `web-03`, `web-03 and web-04`, `web-03, web-04 and 3 more`.
fn names<'a>(ids: impl Iterator<Item = &'a InstanceId>) -> String {
    let all: Vec<&str> = ids.map(InstanceId::as_str).collect();
    match all.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::core::testing::{Fixture, cancel, id};
    use crate::effect::Outcome;
    use crate::model::{OnFailure, Span};

    /// What failed and is needed is not being taken out, and what changes nothing is no way out of a pause.
    #[test]
    fn it_promises_nothing_that_does_not_happen() {
        let said = |run: &Fixture| waiting(&run.state).map(|w| w.what).unwrap_or_default();
        let mut run = Fixture::new(2).with(|p| p.rollback.on_failure = OnFailure::Continue).started();
        run.bring_to_healthy(1);
        run.bring_to_healthy(2);
        run.misses(1, 3);
        assert_eq!(said(&run), "web-01 failed and is being taken out of rotation");
        run.misses(2, 3);
        let evicting = |n: u32| run.act(n).is_some();
        assert!(!evicting(2), "nobody else serves");
        run.command(Command::Pause { reason: String::new() });
        run.command(cancel());
        run.command(Command::Pause { reason: String::new() });
        run.wait(Span::from_secs(40));
        assert!(!said(&run).contains("cancel"), "it is being cancelled already: {}", said(&run));
    }

    #[test]
    fn every_moment_of_a_deployment_has_its_sentence() {
        let said = |run: &Fixture| waiting(&run.state).map(|w| w.what).unwrap_or_default();
        let mut run = Fixture::new(4);
        assert!(said(&run).contains("someone to start it"));
        run.command(Command::Start);
        assert_eq!(said(&run), "looking at web-01 and web-02 before touching them");
        run.check(1);
        assert_eq!(said(&run), "looking at web-02 before touching it");
        run.check(2);
        assert_eq!(said(&run), "the balancer has yet to confirm the drain of web-01 and web-02");
        run.outcome(1, Outcome::TakenOut { sessions: Some(3) });
        run.outcome(2, Outcome::TakenOut { sessions: Some(0) });
        assert_eq!(said(&run), "web-01 has connections that are still ending");
        run.outcome(1, Outcome::Idle);
        assert_eq!(said(&run), "web-01 and web-02 have yet to be updated to v2");
        run.outcome(1, Outcome::Updated);
        run.outcome(2, Outcome::Updated);
        assert_eq!(said(&run), "web-01 and web-02 have yet to pass their health checks");
        assert_eq!(waiting(&run.state).unwrap().until, Some(run.now + Span::from_secs(60)));
        run.command(Command::Pause { reason: String::new() });
        assert!(said(&run).starts_with("pausing by ana; web-01 and web-02 have yet"));
        for n in [1, 2] {
            run.passes(n, 2);
            run.outcome(n, Outcome::Admitted);
        }
        assert_eq!(said(&run), "paused by ana; resume, cancel or roll back");
        run.command(Command::Resume);
        assert_eq!(said(&run), "batch 1 is verified; watching it before the next");
        assert_eq!(waiting(&run.state).unwrap().instances, vec![id(1), id(2)]);
    }
}
