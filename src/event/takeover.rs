//! How an engine came by the lease of a deployment that another one had begun.
//!
//! Imports: nothing. May not: decide who may take it.

use serde::{Deserialize, Serialize};

/// What became of the engine whose lease another one took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predecessor {
    /// It had ended, by a signal or by its death.
    #[default]
    Gone,
    /// It was stopped (SIGSTOP), and was killed.
    Stopped,
    /// It was at work, and was killed because somebody said so.
    Live,
}

/// How an engine came by the lease of a deployment that another one had begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// The new lease's number; every lease of a service has a higher one than those before it. 0: not known.
    #[serde(default)]
    pub epoch: u64,
    /// The engine's process before, where it left its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// What had become of it.
    #[serde(default)]
    pub predecessor: Predecessor,
    /// Login of who took over.
    #[serde(default)]
    pub by: String,
    /// Commands of the engine before that still ran and were ended, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

impl Takeover {
    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}
