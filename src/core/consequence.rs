//! What a command would do if it were given now.
//!
//! Imports: state, command, model. May not: act.

use crate::command::{Command, Refusal};
use crate::model::{InstanceId, Span, Timestamp};
use crate::state::State;

/// What follows from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consequence {
    /// Instances that will be acted on, in the order in which they are taken.
    pub changes: Vec<InstanceId>,
    /// In words: `8 healthy on v413, 3 in progress`.
    pub will_change: String,
    /// In words: `7 pending, 1 skipped: already v412`.
    pub will_not: String,
    /// In words: `those out of rotation at once, then newest first, 2 at a time`.
    pub order: String,
    /// How many serve now.
    pub serving: u32,
    /// The fewest that will serve.
    pub lowest_serving: u32,
    /// About how long it takes, if that can be told.
    pub takes: Option<Span>,
    /// How it ends, in words.
    pub then: String,
}

/// What `command` would do, or why it would be refused.
///
/// # Errors
/// Fails with the engine's own refusal.
pub fn consequence(_state: &State, _command: &Command, _now: Timestamp) -> Result<Consequence, Refusal> {
    Err(Refusal { message: "not known".to_owned() })
}
