//! How long it will still take, with its spread, from what this run has shown so far.
//!
//! Imports: state, model. May not: act.

use crate::model::{Span, Timestamp};
use crate::state::State;

/// Time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// If every batch takes as long as the shortest so far.
    pub low: Span,
    /// If every batch takes as long as the median so far.
    pub likely: Span,
    /// If every batch takes as long as the longest so far.
    pub high: Span,
}

/// The time left; `None` while nothing has been measured, or when it does not run forward.
pub fn forecast(_state: &State, _now: Timestamp) -> Option<Forecast> {
    None
}
