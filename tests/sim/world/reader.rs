//! A console that loses its link and comes back: snapshot, then events (L6).

use rollout::event::Event;
use rollout::model::Seq;
use rollout::state::State;

use crate::checks::Violation;

#[derive(Debug, Default)]
pub(crate) struct Reader {
    state: Option<State>,
    pub(crate) linked: bool,
}

impl Reader {
    /// It meets an engine: the first time, and every other time after that, by a snapshot as it goes over the wire; else by
    /// the events after those that it has.
    pub(crate) fn link(&mut self, published: &State, events: &[Event]) -> Result<(), Violation> {
        self.linked = true;
        match &mut self.state {
            Some(state) if state.seq.0.is_multiple_of(2) => {
                let after = state.seq;
                let missed: Vec<Event> = events.iter().filter(|e| e.seq > after && e.seq <= published.seq).cloned().collect();
                self.hear(&missed)
            }
            _ => {
                let wire = serde_json::to_vec(published).expect("a snapshot can be written");
                let read = serde_json::from_slice(&wire).map_err(|e| Violation::new("L6", format!("a snapshot: {e}")))?;
                self.state = Some(read);
                Ok(())
            }
        }
    }

    /// Facts go out.
    pub(crate) fn hear(&mut self, events: &[Event]) -> Result<(), Violation> {
        let Some(state) = self.state.as_mut().filter(|_| self.linked) else { return Ok(()) };
        for event in events {
            state.apply(event).map_err(|illegal| Violation::new("L6", illegal.to_string()))?;
        }
        Ok(())
    }

    /// The last thing that it saw.
    pub(crate) fn seen(&self) -> Seq {
        self.state.as_ref().map_or(Seq(0), |s| s.seq)
    }

    /// It shows what the engine holds.
    pub(crate) fn agrees(&self, published: &State) -> Result<(), Violation> {
        if self.state.as_ref().is_some_and(|state| state == published) {
            return Ok(());
        }
        Err(Violation::new(
            "L6",
            format!("a console at {} shows another state than the engine at {}", self.seen(), published.seq),
        ))
    }
}
