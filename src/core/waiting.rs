//! Why it waits, as a value: what is awaited, by whom, and until when.
//!
//! Imports: state, model. May not: act.

use std::fmt;

use crate::model::{InstanceId, Timestamp};
use crate::state::State;

/// What is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// In words, without the time: `web-03 and web-04 pass their health checks`.
    pub what: String,
    /// Who holds it up, in plan order.
    pub instances: Vec<InstanceId>,
    /// Until when at the latest, if there is a deadline.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting for {}", self.what)
    }
}

/// Why `state` does not move on at this moment; `None` once the deployment has ended.
pub fn waiting(state: &State) -> Option<Waiting> {
    state.end.is_none().then(|| Waiting { what: String::new(), instances: Vec::new(), until: None })
}
