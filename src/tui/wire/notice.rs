//! What is worth calling a person for: told by the terminal's bell or its notifications, and not often.
//!
//! Imports: event, model, state, tui::app. May not: send.

use crate::event::{Actor, Event, EventKind};
use crate::model::{Seq, Span, Timestamp};
use crate::state::{Awaits, State};

/// At most one call in this time; of what comes meanwhile, the last is told then.
const APART: Span = Span::from_secs(10);
/// A link that was away for longer is worth a word when it is back.
const AWAY: Span = Span::from_secs(30);

/// How a person is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signal {
    /// Not at all.
    #[default]
    None,
    /// The bell.
    Bell,
    /// A notification as iTerm2 and others know it.
    Osc9,
    /// A notification as rxvt and others know it.
    Osc777,
}

/// `[console.notify]`: for what, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notify {
    /// The first instance failed.
    pub failed: Signal,
    /// It waits for a person: an approval, an answer, or a pause of the engine.
    pub waiting: Signal,
    /// It has ended.
    pub ended: Signal,
    /// The link to the engine is back after half a minute, and something happened meanwhile.
    pub link: Signal,
}

/// What was told, and what waits to be told.
#[derive(Debug, Clone, Default)]
pub(in crate::tui) struct Notices {
    notify: Notify,
    /// A failure was told.
    failed: bool,
    last: Option<Timestamp>,
    waits: Option<(Signal, String)>,
}

/// How it stood before something arrived.
#[derive(Debug, Clone, Copy)]
pub(in crate::tui) struct Before {
    awaits: Option<Awaits>,
    ended: bool,
    seq: Seq,
    /// Since when there was no link.
    down: Option<Timestamp>,
}

impl Before {
    pub(in crate::tui) fn of(state: &State, down: Option<Timestamp>) -> Self {
        Self { awaits: state.awaits, ended: state.end.is_some(), seq: state.seq, down }
    }
}

impl Notices {
    pub(in crate::tui) fn new(notify: Notify) -> Self {
        Self { notify, ..Self::default() }
    }

    /// Something arrived: keeps what is worth a call.
    pub(in crate::tui) fn judge(&mut self, before: Before, state: &State, event: Option<&Event>, now: Timestamp) {
        let plan = &state.plan;
        let said = |what: &str| format!("{} {}: {what}", plan.service, plan.env);
        let headline = || said(&state.headline());
        if state.end.is_some() && !before.ended {
            self.keep(self.notify.ended, headline());
            return;
        }
        if let Some(since) = before.down {
            self.back(now.since(since), before.seq, state);
        }
        let Some(event) = event else { return };
        match &event.kind {
            EventKind::InstanceFailed { instance, reason, .. } if !self.failed => {
                self.failed = true;
                self.keep(self.notify.failed, said(&format!("{instance} failed: {reason}")));
            }
            EventKind::DeploymentPaused { by: Actor::Engine, reason, .. } => {
                self.keep(self.notify.waiting, said(&format!("paused by the engine: {reason}")));
            }
            _ if state.awaits != before.awaits && matches!(state.awaits, Some(Awaits::Approval | Awaits::Answer)) => {
                self.keep(self.notify.waiting, headline());
            }
            _ => {}
        }
    }

    /// A link, to the engine or to the terminal, is back after this time; what was known before ended with `seq`.
    pub(in crate::tui) fn back(&mut self, away: Span, seq: Seq, state: &State) {
        if away > AWAY && state.seq != seq {
            let (plan, away, headline) = (&state.plan, away.as_millis() / 1000, state.headline());
            self.keep(self.notify.link, format!("{} {}: link back after {away}s; {headline}", plan.service, plan.env));
        }
    }

    fn keep(&mut self, signal: Signal, text: String) {
        if signal != Signal::None {
            self.waits = Some((signal, text));
        }
    }

    /// Something is to be told, now or soon.
    pub(in crate::tui) fn owes(&self) -> bool {
        self.waits.is_some()
    }

    /// What is to be told now.
    pub(in crate::tui) fn take(&mut self, now: Timestamp) -> Option<(Signal, String)> {
        if self.last.is_some_and(|last| now.since(last) < APART) {
            return None;
        }
        let told = self.waits.take();
        if told.is_some() {
            self.last = Some(now);
        }
        told
    }
}
