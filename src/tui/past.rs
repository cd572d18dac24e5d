//! What happened before the console came: its facts fill the screen, and the gravest of them is said in the first frame.
//!
//! Imports: session, event, state, model, tui parts. May not: do I/O, decide.

use super::app::{App, Fact, Fixed, Tone, is_grave};
use super::text::time_of_day;
use crate::event::{Event, EventKind};
use crate::model::{Seq, Timestamp};
use crate::ports::Snapshot;
use crate::state::State;

impl App {
    /// The console on what is known now and on what became known before, oldest first.
    pub fn attached(past: &[Event], snapshot: Snapshot, fixed: Fixed, now: Timestamp, size: (u16, u16)) -> Self {
        let mut app = match past.first().filter(|first| first.seq == Seq(1)).and_then(|first| State::begin(first).ok()) {
            Some(first) => Self::from_the_beginning(first, past, snapshot, (fixed, now, size)),
            None => Self::in_the_middle(past, snapshot, (fixed, now, size)),
        };
        if let Some((text, tone)) = app.notice(past) {
            app.say(text, tone);
        }
        app
    }

    /// All is told again from the plan on, so that every phase of every instance is known.
    fn from_the_beginning(
        first: State,
        past: &[Event],
        snapshot: Snapshot,
        (fixed, now, size): (Fixed, Timestamp, (u16, u16)),
    ) -> Self {
        let begun = Snapshot { state: first, seq: Seq(1), ..snapshot.clone() };
        let mut app = Self::new(begun, fixed.clone(), now, size);
        let told = past.iter().all(|event| app.take_event(event));
        if !told || app.state != snapshot.state {
            return Self::in_the_middle(past, snapshot, (fixed, now, size));
        }
        app.take_progress(snapshot.progress);
        app
    }

    /// Facts without the state that they met: what they say is known, phases are not.
    fn in_the_middle(past: &[Event], snapshot: Snapshot, (fixed, now, size): (Fixed, Timestamp, (u16, u16))) -> Self {
        let mut app = Self::new(snapshot, fixed, now, size);
        if past.is_empty() {
            return app;
        }
        app.facts.clear();
        for event in past {
            let fact = Fact::of(event);
            app.logs.take_event(event);
            if let Some((index, ..)) = event.kind.instance().and_then(|id| app.state.instances.get_full(id))
                && let Some(history) = app.histories.get_mut(index)
            {
                history.remember(fact.clone(), &event.kind);
            }
            app.remember(fact);
        }
        app
    }

    /// What whoever comes now must know of the past: why it stands still, and what went wrong last.
    fn notice(&self, past: &[Event]) -> Option<(String, Tone)> {
        if self.state.end.is_some() {
            // How it ended is on the screen.
            return None;
        }
        let matters = |event: &&Event| match event.kind {
            // Those that are over are history.
            EventKind::DeploymentPaused { .. } => self.state.pause.is_some(),
            EventKind::CancelRequested { .. } => self.state.cancel.is_some(),
            EventKind::EngineRecovered { .. } => true,
            _ => is_grave(&event.kind),
        };
        let found: Vec<&Event> = past.iter().filter(matters).collect();
        let (last, before) = found.split_last()?;
        let more = match before.len() {
            0 => String::new(),
            n => format!(" (and {n} before, in the events)"),
        };
        let at = time_of_day(last.at, &self.fixed.zone);
        let tone = if found.iter().any(|event| is_grave(&event.kind)) { Tone::Refused } else { Tone::Plain };
        Some((format!("{at} {}{more}", last.kind.words()), tone))
    }
}
