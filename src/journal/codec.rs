//! Event ⇄ stored JSON. The stored form is frozen by `tests/journal/v2.jsonl, that of older formats by the files beside it`.
//!
//! Imports: event. May not: know where the text is stored.

use crate::event::{Event, FORMAT};

/// Why a stored text is not an event.
#[derive(Debug, thiserror::Error)]
#[error("not an event of format {FORMAT}: {0}")]
pub struct DecodeError(#[from] serde_json::Error);

/// The event as one line of JSON.
///
/// # Errors
/// Fails if serde cannot write it, which no event of this crate causes.
pub fn encode(event: &Event) -> Result<String, serde_json::Error> {
    serde_json::to_string(event)
}

/// The event that a stored line holds.
///
/// # Errors
/// Fails if the line is not an event of a format that this program knows.
pub fn decode(line: &str) -> Result<Event, DecodeError> {
    Ok(serde_json::from_str(line)?)
}
