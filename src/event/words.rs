//! Facts in words: one short sentence each, the same on screen, in headless output and in notifications.
//!
//! Imports: event, model. May not: know a zone, a colour or a width.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{AfterReturn, Ending, EventKind, Predecessor, Step, Takeover};
use crate::model::text::{is_harmless, judged};
use crate::model::{Evidence, InstanceId, Version};

/// The text without anything that a terminal would obey: each such character becomes `?`.
pub fn clean(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(judged(text).map(|(c, hidden)| if hidden { '?' } else { c }).collect())
    }
}

impl Ending {
    /// As people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::RolledBack => "rolled back",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Step {
    /// To follow "failed".
    pub fn words(self) -> &'static str {
        match self {
            Self::Drain => "while draining",
            Self::Update => "in its update",
            Self::Health => "its health gate",
            Self::Admit => "on its way back into rotation",
            Self::Watch => "while being watched",
            Self::EndCheck => "the end check",
        }
    }
}

impl EventKind {
    /// The fact in one short sentence.
    pub fn words(&self) -> String {
        let text = if self.instance().is_some() { self.instance_words() } else { self.deployment_words() };
        match clean(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(cleaned) => cleaned,
        }
    }

    fn deployment_words(&self) -> String {
        match self {
            Self::DeploymentPlanned { plan, .. } => {
                let by = &plan.started_by;
                let total = plan.total();
                let instances = if total == 1 { "instance" } else { "instances" };
                let over =
                    plan.policy.overrides.iter().map(|freeze| because(format!("; overrides {}", freeze.name), &freeze.reason));
                let over: String = over.collect();
                format!("planned: {} {} to {} on {total} {instances}, by {by}{over}", plan.service, plan.env, plan.version)
            }
            Self::DeploymentStarted { by } => format!("started by {}", by.name_and_place()),
            Self::EngineRecovered { takeover } => took_over(takeover),
            Self::JournalMended => "the journal takes events again; open deadlines run anew".to_owned(),
            Self::EngineWoke { asleep } => format!("the engine had stood still for {asleep}; deadlines wait that much longer"),
            Self::DeploymentPaused { by, reason, .. } => because(format!("paused by {}", by.name_and_place()), reason),
            Self::DeploymentResumed { by } => format!("resumed by {}", by.name_and_place()),
            Self::CancelRequested { by, reason } => because(format!("cancel asked for by {}", by.name_and_place()), reason),
            Self::CommandsStopped { by, reason } => {
                because(format!("running commands stopped by {}", by.name_and_place()), reason)
            }
            Self::ApprovalAwaited { batch, .. } => format!("batch {batch} waits for approval of the next"),
            Self::BatchApproved { by, full: false } => format!("next batch approved by {}", by.name_and_place()),
            Self::BatchApproved { by, full: true } => format!("all further batches approved by {}", by.name_and_place()),
            Self::StepStarted { step, .. } => format!("step {step} started"),
            Self::StepCompleted { step, by: None, .. } => format!("step {step} done"),
            Self::StepCompleted { step, by: Some(by), full: false } => format!("step {step} promoted by {}", by.name_and_place()),
            Self::StepCompleted { by: Some(by), full: true, .. } => {
                format!("all further steps promoted by {}", by.name_and_place())
            }
            Self::WeightsOrdered { weights, .. } => format!("ordered at the balancers: {}", weights_words(weights)),
            Self::WeightsSet { weights } => format!("the balancers confirmed {}", weights_words(weights)),
            Self::AnalysisMeasured { check, finding, reason, .. } => format!("{check}: {}, {reason}", finding.word()),
            Self::HookStarted { hook, attempt: 1, .. } => format!("hook {hook} started"),
            Self::HookStarted { hook, attempt, .. } => format!("hook {hook} started again, try {attempt}"),
            Self::HookEnded { hook, failure: None, .. } => format!("hook {hook} succeeded"),
            Self::HookEnded { hook, failure: Some(why), again: false, .. } => format!("hook {hook} failed: {why}"),
            Self::HookEnded { hook, failure: Some(why), again: true, .. } => format!("hook {hook} failed, trying again: {why}"),
            Self::ReleaseAwaited { .. } => "only held instances are left; they wait for their release".to_owned(),
            Self::ThresholdCrossed { failed, finished, reason, .. } if reason.is_empty() => {
                format!("failure threshold crossed: {failed} failed of {finished} finished")
            }
            // The reason has the numbers.
            Self::ThresholdCrossed { reason, .. } => because("failure threshold crossed".to_owned(), reason),
            Self::RollbackStarted { by, reason, .. } => because(format!("rollback started by {}", by.name_and_place()), reason),
            Self::BatchStarted { batch, members } => format!("batch {batch} started: {}", names(members)),
            Self::BatchVerified { batch, .. } => format!("batch {batch} has its verdicts; bake began"),
            Self::BatchCompleted { batch } => format!("batch {batch} done"),
            Self::EndCheckStarted { .. } => "end check: reading every instance's version and rotation".to_owned(),
            Self::EndCheckFinished { mismatches: 0 } => "end check: versions and rotation are as recorded".to_owned(),
            Self::EndCheckFinished { mismatches } => format!("end check: {mismatches} not as they must be"),
            Self::DeploymentEnded { ending, reason, vip, .. } => {
                let text = because(ending.words().to_owned(), reason);
                match vip {
                    Some(vip) => format!("{text}; {} of {} requests failed", thousands(vip.failed), thousands(vip.requests)),
                    None => text,
                }
            }
            _ => String::new(),
        }
    }

    fn instance_words(&self) -> String {
        match self {
            Self::InstanceCheckStarted { instance, .. } => format!("{instance} last look before it is touched"),
            Self::InstanceCheckDropped { instance } => format!("{instance} not taken after all"),
            Self::InstanceSkipped { instance, reason, .. } if reason.starts_with("skipped ") => format!("{instance} {reason}"),
            Self::InstanceSkipped { instance, reason, .. } => format!("{instance} skipped: {reason}"),
            Self::InstanceHeld { instance, by, reason } => because(format!("{instance} held by {}", by.name_and_place()), reason),
            Self::InstanceReleased { instance, by } => format!("{instance} released by {}", by.name_and_place()),
            Self::InstanceRetried { instance, by } => format!("{instance} tried again, asked for by {}", by.name_and_place()),
            Self::InstanceDiscounted { instance, by, reason } => {
                because(format!("{instance} no longer holds the budget, says {}", by.name_and_place()), reason)
            }
            Self::RotationChanged { instance, rotation } => {
                format!("{instance} is {}, not by this deployment", rotation.words())
            }
            Self::DrainLost { instance, rotation, .. } => {
                format!("{instance} is {} although it was taken out; taking it out again", rotation.words())
            }
            Self::RetireStarted { instance } => format!("{instance} is extra capacity that is needed no more"),
            Self::StopStarted { instance, .. } => format!("{instance} stop ordered"),
            Self::InstanceRetired { instance } => format!("{instance} stopped"),
            Self::DrainStarted { instance, .. } => format!("{instance} drain ordered"),
            Self::InstanceTakenOut { instance, sessions: Some(left), .. } => {
                format!("{instance} out of rotation, {} left", connections(*left))
            }
            Self::InstanceTakenOut { instance, sessions: None, .. } => format!("{instance} out of rotation"),
            Self::DrainExtended { instance, sessions, .. } => {
                format!("{instance} given more time to drain, {} left", connections(*sessions))
            }
            Self::DrainFinished { instance, cut, forced: true } => {
                format!("{instance} drain ran out of time, {} cut", connections(*cut))
            }
            Self::DrainFinished { instance, .. } => format!("{instance} drained"),
            Self::UpdateStarted { instance, version, .. } => format!("{instance} update to {version} ordered"),
            Self::UpdateFinished { instance, .. } => format!("{instance} updated; health gate began"),
            Self::HealthPassed { instance, evidence } => format!("{instance} passed its health gate{}", last(evidence)),
            Self::InstanceAdmitted { instance, .. } => format!("{instance} back in rotation"),
            Self::InstanceHealthy { instance, evidence } => format!("{instance} healthy{}", last(evidence)),
            Self::InstanceFailed { instance, step, reason, .. } => format!("{instance} FAILED {}: {reason}", step.words()),
            Self::ReturnStarted { instance, reason, then, .. } => match then {
                AfterReturn::Untouched => because(format!("{instance} going back into rotation untouched"), reason),
                AfterReturn::Failed => because(format!("{instance} going back into rotation, listed as failed"), reason),
            },
            Self::InstanceReturned { instance } => format!("{instance} back in rotation as it was"),
            Self::RestoreStarted { instance, version } => format!("{instance} goes back to {version}"),
            Self::InstanceRestored { instance, evidence } => format!("{instance} restored{}", last(evidence)),
            Self::EndCheckMismatch { instance, version, reason, .. } => {
                let runs = version.as_ref().map_or("an unknown version", Version::as_str);
                format!("{instance} is not as it must be ({runs}): {reason}")
            }
            _ => String::new(),
        }
    }
}

/// `text: reason`, or `text` alone.
fn because(text: String, reason: &str) -> String {
    // Who asked is in the text already.
    if reason.is_empty() || reason.starts_with("asked for by ") { text } else { format!("{text}: {reason}") }
}

fn took_over(takeover: &Takeover) -> String {
    let engine = takeover.from.map_or_else(|| "the engine before".to_owned(), |pid| format!("engine {pid}"));
    let by = if takeover.by.is_empty() { "a new engine" } else { &takeover.by };
    let how = match takeover.predecessor {
        Predecessor::Gone if takeover.from.is_none() => format!("{by} took over"),
        Predecessor::Gone => format!("{by} took over from {engine}, which was gone"),
        Predecessor::Stopped => format!("{by} took over from {engine}, which was stopped and has been killed"),
        Predecessor::Live => format!("{by} took the lease from {engine}, which was at work and has been killed"),
    };
    let ended = match takeover.commands.as_slice() {
        [] => String::new(),
        commands => format!("; what it left running was ended: {}", commands.join(", ")),
    };
    format!("{how}{ended}; open deadlines run anew")
}

fn last(evidence: &Evidence) -> String {
    evidence.last.as_ref().map_or_else(String::new, |last| format!(" ({last})"))
}

fn connections(n: u32) -> String {
    format!("{n} connection{}", if n == 1 { "" } else { "s" })
}

/// Names, at most six of them.
fn names(members: &[InstanceId]) -> String {
    let shown: Vec<&str> = members.iter().take(6).map(InstanceId::as_str).collect();
    match members.len().saturating_sub(shown.len()) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

/// A number in groups of three: `12,345`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn weights_words(weights: &BTreeMap<InstanceId, u16>) -> String {
    match weights.values().next() {
        None => "that every instance has its own weight".to_owned(),
        Some(first) if weights.values().all(|weight| weight == first) => {
            let whom: Vec<InstanceId> = weights.keys().cloned().collect();
            format!("{first}% of its own weight for {}", names(&whom))
        }
        Some(_) => format!("the weights of {} instances", weights.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, Cause};
    use crate::model::{Timestamp, VipStats};

    fn paused(reason: String, login: &str) -> EventKind {
        let by = Actor::operator(login.to_owned(), 1);
        EventKind::DeploymentPaused { by, reason, cause: Cause::Asked, until: None }
    }

    #[test]
    fn facts_read_like_sentences() {
        let web = InstanceId::new("web-03").unwrap();
        let cases = [
            (
                EventKind::InstanceTakenOut { instance: web.clone(), sessions: Some(1), until: Timestamp::default() },
                "web-03 out of rotation, 1 connection left",
            ),
            (
                EventKind::DrainFinished { instance: web.clone(), cut: 4, forced: true },
                "web-03 drain ran out of time, 4 connections cut",
            ),
            (
                EventKind::InstanceFailed {
                    instance: web.clone(),
                    step: Step::Health,
                    reason: "status 503".to_owned(),
                    evidence: Evidence::default(),
                },
                "web-03 FAILED its health gate: status 503",
            ),
            (paused(String::new(), "ana"), "paused by ana"),
            (
                EventKind::BatchStarted { batch: 2, members: vec![web; 8] },
                "batch 2 started: web-03 web-03 web-03 web-03 web-03 web-03 and 2 more",
            ),
            (
                EventKind::DeploymentEnded {
                    ending: Ending::Completed,
                    reason: String::new(),
                    vip: Some(VipStats { requests: 12_345, ..VipStats::default() }),
                    lb: None,
                },
                "completed; 0 of 12,345 requests failed",
            ),
        ];
        for (kind, words) in cases {
            assert_eq!(kind.words(), words);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let kind = paused("\u{202e}x\r\u{9b}31m\u{200b}".to_owned(), "a\u{1b}[2Jna");
        assert_eq!(kind.words(), "paused by a?[2Jna: ?x??31m?");
    }
}
