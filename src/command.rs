//! What an operator may ask of a running engine, and how it answers.
//!
//! Imports: event, model. May not: decide whether a command is allowed (that is `core::operate`).

use serde::{Deserialize, Serialize};

use crate::event::Actor;
use crate::model::{InstanceId, Seq};

/// A verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Begin a planned deployment.
    Start,
    /// Take no new instance.
    Pause {
        /// Why, in words.
        #[serde(default)]
        reason: String,
    },
    /// Take instances again.
    Resume,
    /// Bring what is under way to rest, then end. Given again, it stops the commands that run.
    Cancel {
        /// Why, in words.
        #[serde(default)]
        reason: String,
    },
    /// Bring everything touched back.
    Rollback {
        /// Why, in words.
        #[serde(default)]
        reason: String,
        /// This failed instance alone, and the deployment goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<InstanceId>,
    },
    /// Confirm that the next batch may begin.
    Promote {
        /// And all that follow.
        #[serde(default)]
        full: bool,
    },
    /// Try a failed or skipped instance again.
    Retry {
        /// Which.
        instance: InstanceId,
    },
    /// Leave an instance alone, and do not let it hold the budget.
    Skip {
        /// Which.
        instance: InstanceId,
        /// Why, in words.
        #[serde(default)]
        reason: String,
    },
    /// Do not take this instance until it is released.
    Hold {
        /// Which.
        instance: InstanceId,
        /// Why, in words.
        #[serde(default)]
        reason: String,
    },
    /// End a hold.
    Release {
        /// Which.
        instance: InstanceId,
    },
}

impl Command {
    /// The verb, as on the command line.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Cancel { .. } => "cancel",
            Self::Rollback { .. } => "rollback",
            Self::Promote { .. } => "promote",
            Self::Retry { .. } => "retry",
            Self::Skip { .. } => "skip",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
        }
    }
}

/// Why a session that only watches does not take this verb: the same words from the engine, a key and the command line.
pub fn refused_read_only(verb: &str) -> String {
    format!("{verb} is refused: this is a read-only session")
}

impl Command {
    /// The same with what `change` makes of its reason.
    #[must_use]
    pub fn with_reason(mut self, change: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Pause { reason }
            | Self::Cancel { reason }
            | Self::Rollback { reason, .. }
            | Self::Skip { reason, .. }
            | Self::Hold { reason, .. } => *reason = change(reason),
            Self::Start | Self::Resume | Self::Promote { .. } | Self::Retry { .. } | Self::Release { .. } => {}
        }
        self
    }
}

/// A command on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the sender; the same key twice is one command.
    pub key: String,
    /// Set by the engine from the peer's credentials, never by the sender.
    #[serde(skip_deserializing, default = "unknown_actor")]
    pub actor: Actor,
    /// The position that the sender had seen when deciding, if that matters to it.
    #[serde(default)]
    pub revision: Option<Seq>,
    /// The verb.
    #[serde(flatten)]
    pub command: Command,
}

fn unknown_actor() -> Actor {
    Actor::Engine
}

/// The engine did it, or it was done already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The journal's position that holds the command.
    pub seq: Seq,
    /// What follows, in words.
    pub message: String,
}

/// The engine did not do it, and nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Refusal {
    /// Why, and what to do instead.
    pub message: String,
}
