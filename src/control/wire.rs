//! What goes over the control socket: paths, headers, bodies, names of the frames of the event stream.
//!
//! Imports: command, model, os. May not: do I/O.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::model::Seq;
use crate::os::failpoint;

/// The protocol's number. It changes when an old client would misread a new engine.
pub const PROTOCOL: u32 = 1;
/// [`PROTOCOL`], or what a test has made of it.
pub fn protocol() -> u32 {
    failpoint::protocol(PROTOCOL)
}

/// Carries [`PROTOCOL`] in every answer; in a request it is checked if it is there.
pub const PROTOCOL_HEADER: &str = "rollout-protocol";
/// Carries the program's version in every answer.
pub const PROGRAM_HEADER: &str = "rollout-version";
/// In a request: [`ACCESS_VIEW`] says that whoever sends it only watches. The engine then refuses every command.
pub const ACCESS_HEADER: &str = "rollout-access";
/// The one value of [`ACCESS_HEADER`].
pub const ACCESS_VIEW: &str = "view";
/// In a command: the IP address from which its sender is logged in. It is journalled as the sender's word.
pub const FROM_HEADER: &str = "rollout-from";
/// The program's version.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// `GET`: a [`crate::ports::Snapshot`].
pub const DEPLOYMENT: &str = "/v1/deployment";
/// `GET ?after=SEQ`: the event stream.
pub const EVENTS: &str = "/v1/events";
/// `GET ?after=NUMBER`: the kept log lines.
pub const LOGS: &str = "/v1/logs";
/// `POST`: an [`Order`]; answered by a [`crate::command::Receipt`], or with status 409 by a [`crate::command::Refusal`].
pub const COMMANDS: &str = "/v1/commands";

/// The longest body of a request. A command has some hundred bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// The longest idempotency key.
pub const KEY_MAX: usize = 128;

/// Names of frames in the event stream.
pub mod frame {
    /// An [`crate::event::Event`]; its `id:` is its sequence number.
    pub const EVENT: &str = "event";
    /// A [`crate::ports::Progress`]: what changed.
    pub const PROGRESS: &str = "progress";
    /// A [`crate::ports::LogLine`].
    pub const LOG: &str = "log";
    /// A [`crate::ports::Snapshot`]: events were skipped, go on from this.
    pub const RESYNC: &str = "resync";
    /// Nothing follows.
    pub const CLOSED: &str = "closed";
}

/// A command as it is posted: `{"command":"pause","reason":"…","key":"…","revision":12}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Chosen by the sender; the same key twice is one command. Without one, every post is a new command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The position that the sender had seen when deciding, if that matters to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Seq>,
    /// The verb.
    #[serde(flatten)]
    pub command: Command,
}

/// Where a listing or a stream begins: right after this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// 0: from the first.
    #[serde(default)]
    pub after: u64,
}

/// The body of every answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Why, and what to do instead.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_flat_and_read_back() {
        let order =
            Order { key: Some("k1".to_owned()), revision: Some(Seq(12)), command: Command::Pause { reason: "look".to_owned() } };
        let json = serde_json::to_string(&order).unwrap();
        assert_eq!(json, r#"{"key":"k1","revision":12,"command":"pause","reason":"look"}"#);
        assert_eq!(serde_json::from_str::<Order>(&json).unwrap(), order);
        let bare: Order = serde_json::from_str(r#"{"command":"resume"}"#).unwrap();
        assert_eq!(bare, Order { key: None, revision: None, command: Command::Resume });
        for bad in [r#"{"command":"explode"}"#, r#"{"command":"pause","actor":{"who":"engine"}}"#, "{}", "[]", "nonsense"] {
            assert!(serde_json::from_str::<Order>(bad).is_err(), "{bad}");
        }
    }
}
