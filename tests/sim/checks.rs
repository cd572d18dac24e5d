//! What must hold whatever happens. The head of `main.rs` says which invariant is asked where.
//!
//! The checks keep books of their own from the stored facts and hold them against the world; the controller's state is only
//! looked at where it is what is checked.

mod between;
mod end;
mod orders;
pub(crate) mod waiting;

use std::collections::VecDeque;

use rollout::command::Command;
use rollout::effect::{Effect, EffectKind};
use rollout::event::{AfterReturn, Event, EventKind, Step};
use rollout::model::{InstanceState, Plan, Rotation, Seq, Timestamp, Version};
use rollout::state::State;

use crate::scenario::number;
use crate::world::{Work, World};
use between::Between;

pub(crate) use end::at_the_end;

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

/// Most facts about one instance within one minute, and most orders on it: more is a hot loop (S17).
const FACTS_PER_MINUTE: usize = 120;
const ORDERS_PER_MINUTE: usize = 30;

/// What the stored facts say of one instance.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one instance")]
#[derive(Debug, Default)]
struct Row {
    attempt: u32,
    slips: u32,
    /// Orders that stand, by the word and the number in their effects' ids.
    ordered: Vec<(&'static str, u32)>,
    ours: bool,
    /// It failed in rotation and is being taken out of it.
    leaving: bool,
    failed: bool,
    /// It failed once: whoever tries it again takes nothing away.
    fell: bool,
    back: bool,
    held: bool,
    discounted: bool,
    verdict: Option<bool>,
    /// The fact that ordered its update, and to which version.
    update: Option<(Seq, Version)>,
    ran: Option<Seq>,
    drain_until: Option<Timestamp>,
    facts: VecDeque<u64>,
    orders: VecDeque<u64>,
}

/// What the checks remember.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one deployment")]
#[derive(Debug, Default)]
pub(crate) struct Checks {
    rows: Vec<Row>,
    last: Seq,
    started: bool,
    paused: bool,
    cancelled: bool,
    rolled: bool,
    /// It is held up by the engine until the analysis speaks again.
    passing: bool,
    /// The check at the end has begun.
    ending: bool,
    between: Between,
    crossed: u32,
    /// The fold of what was stored when the last controller died.
    legacy: Option<Box<State>>,
}

impl Checks {
    pub(crate) fn new(plan: &Plan) -> Self {
        let row = |m: &rollout::model::Member| Row { discounted: m.excluded.is_some(), ..Row::default() };
        Self { rows: plan.members.iter().map(row).collect(), last: Seq(1), ..Self::default() }
    }

    /// S12: what a controller leaves behind …
    pub(crate) fn died(&mut self, folded: &State) {
        self.legacy = Some(Box::new(folded.clone()));
    }

    /// … is what its successor begins with.
    pub(crate) fn same_story(&mut self, replayed: Option<&State>) -> Result<(), Violation> {
        match (self.legacy.take(), replayed) {
            (Some(legacy), Some(replayed)) if *legacy != *replayed => Err(Violation::new(
                "S12",
                "the journal read anew tells another story than it told while it was written".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// S6: nobody is told that something is done before it is stored. S9: from then on it binds.
    pub(crate) fn answered(&mut self, command: &Command, seq: Seq, stored: Seq) -> Result<(), Violation> {
        if seq > stored {
            return Err(Violation::new("S6", format!("{} is confirmed at {seq}, {stored} is stored", command.verb())));
        }
        match command {
            Command::Pause { .. } if self.started => (self.paused, self.passing) = (true, false),
            Command::Cancel { .. } => self.cancelled = true,
            Command::Hold { instance, .. } => self.rows[number(instance)].held = true,
            Command::Release { instance } | Command::Skip { instance, .. } => self.rows[number(instance)].held = false,
            _ => {}
        }
        Ok(())
    }

    /// S6, S3, S5, S7 and S17: before an act that changes the world begins.
    pub(crate) fn act_begins(&mut self, effect: &Effect, epoch: u64, world: &World) -> Result<(), Violation> {
        let Some(n) = effect.instance.as_ref().map(number) else { return self.act_on_fleet(effect, world) };
        if !matches!(effect.kind, EffectKind::TakeOut | EffectKind::Admit | EffectKind::Update { .. } | EffectKind::Retire) {
            return Ok(());
        }
        if epoch != world.store.epoch || world.store.forged {
            return Err(Violation::new("S7", format!("{} is ordered under epoch {epoch}, which is over", effect.id)));
        }
        if self.last != world.store.last() {
            return Err(Violation::new("S6", format!("the books end at {}, the journal at {}", self.last, world.store.last())));
        }
        let row = &mut self.rows[n];
        let mut parts = effect.id.as_str().rsplit('/');
        let (attempt, step) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !row.ordered.iter().any(|(w, a)| *w == step && a.to_string() == attempt) {
            return Err(Violation::new("S6", format!("{} was never ordered; these were: {:?}", effect.id, row.ordered)));
        }
        if world.scenario.plan.members[n].excluded.is_some() {
            return Err(Violation::new("S5", format!("{} is about an instance that has no part in it", effect.id)));
        }
        row.orders.retain(|at| at + 60_000 > world.now);
        row.orders.push_back(world.now);
        if row.orders.len() > ORDERS_PER_MINUTE {
            return Err(Violation::new("S17", format!("{} acts on web-{n} within a minute", row.orders.len())));
        }
        match &effect.kind {
            EffectKind::Update { version, .. } => self.update_begins(n, version, world),
            EffectKind::TakeOut if self.rows[n].failed && !self.rows[n].ours => {
                self.floor(n, world)?;
                self.rows[n].leaving = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// S13: one order, one run.
    pub(crate) fn ran(&mut self, n: usize, work: &Work) -> Result<(), Violation> {
        let row = &mut self.rows[n];
        let Some((seq, version)) = &row.update else { return Ok(()) };
        if work.given_up || work.version != *version {
            return Ok(());
        }
        if row.ran == Some(*seq) {
            return Err(Violation::new("S13", format!("the update of web-{n} that {seq} ordered has run twice")));
        }
        row.ran = Some(*seq);
        Ok(())
    }

    /// The order on the instance that stands, if there is one only.
    pub(crate) fn latest_order(&self, n: usize) -> Option<(&'static str, u32)> {
        let [order] = self.rows[n].ordered.as_slice() else { return None };
        Some(*order)
    }

    /// All that is asked of facts, as they are stored; `state` has them all.
    pub(crate) fn at_append(&mut self, events: &[Event], state: &State, world: &World) -> Result<(), Violation> {
        for (place, event) in events.iter().enumerate() {
            let before = place.checked_sub(1).map(|p| &events[p].kind);
            self.of_deployment(event, world)?;
            self.of_between(event, world)?;
            if let Some(instance) = event.kind.instance() {
                let n = number(instance);
                self.of_instance(n, event, (before, world))?;
                self.rows[n].note(event);
            }
            self.last = event.seq;
        }
        self.share(world)?;
        let tally = state.tally();
        let sum: u32 = InstanceState::ALL.iter().map(|s| tally.of(*s)).sum();
        if sum != state.total() {
            return Err(Violation::new("S11", format!("{sum} instances are shown, there are {}", state.total())));
        }
        Ok(())
    }
}

impl Row {
    fn note(&mut self, event: &Event) {
        let again = self.slips + 1;
        match &event.kind {
            EventKind::DrainStarted { attempt, .. } => {
                (self.attempt, self.ours, self.failed, self.slips) = (*attempt, true, false, 0);
                self.ordered = vec![("take-out", *attempt)];
            }
            EventKind::DrainLost { attempt, .. } => {
                let taking = self.ordered.first().is_some_and(|(word, _)| *word == "take-out");
                if self.failed {
                    self.ordered = vec![("take-out", self.attempt)];
                } else if taking {
                    (self.attempt, self.slips) = (*attempt, again);
                    self.ordered = vec![("take-out", *attempt)];
                } else {
                    self.slips = again;
                    self.ordered.push(("take-out-again", again));
                }
            }
            EventKind::InstanceTakenOut { until, .. } => {
                (self.drain_until, self.ours, self.leaving) = (Some(*until), true, false);
            }
            EventKind::DrainExtended { until, .. } => self.drain_until = Some(*until),
            EventKind::UpdateStarted { attempt, version, .. } => {
                (self.attempt, self.ours) = (*attempt, true);
                self.update = Some((event.seq, version.clone()));
                self.ordered = vec![("update", *attempt)];
            }
            EventKind::HealthPassed { .. } => self.ordered = vec![("admit", self.attempt)],
            EventKind::ReturnStarted { attempt, then, .. } => {
                self.attempt = *attempt;
                self.ordered = vec![("admit", *attempt)];
                if *then == AfterReturn::Failed {
                    self.verdict = Some(false);
                }
            }
            EventKind::InstanceAdmitted { .. }
            | EventKind::InstanceReturned { .. }
            | EventKind::RotationChanged { rotation: Rotation::Serving, .. } => self.ours = false,
            EventKind::InstanceHealthy { .. } => self.verdict = Some(true),
            EventKind::InstanceFailed { step, .. } => {
                if !self.failed && !self.back && *step != Step::EndCheck {
                    self.verdict = Some(false);
                }
                (self.failed, self.fell, self.leaving) = (true, true, false);
                self.ordered = vec![("take-out", self.attempt)];
            }
            EventKind::EndCheckMismatch { .. } => {
                self.failed = true;
                self.ordered = vec![("take-out", self.attempt)];
            }
            EventKind::InstanceRetried { .. } => {
                (self.discounted, self.failed) = (false, false);
                if !self.back {
                    self.verdict = None;
                }
            }
            EventKind::RestoreStarted { .. } | EventKind::RetireStarted { .. } => (self.back, self.failed) = (true, false),
            EventKind::StopStarted { attempt, .. } => {
                self.attempt = *attempt;
                self.ordered = vec![("retire", *attempt)];
            }
            EventKind::InstanceRetired { .. } => {
                self.ours = false;
                self.ordered = Vec::new();
            }
            EventKind::InstanceDiscounted { .. } => self.discounted = true,
            EventKind::InstanceReleased { .. } | EventKind::InstanceSkipped { .. } => self.held = false,
            _ => {}
        }
    }
}
