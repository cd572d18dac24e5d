//! Who did something, as the journal keeps it.
//!
//! Imports: nothing. May not: ask the system for anything.

// A noun; the part of `std` with the same name is about connections.
use core::net::IpAddr;
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum Actor {
    /// The engine by its rules.
    Engine,
    /// A person or a program at the control socket.
    Operator {
        /// Login name, or the number if it has none.
        login: String,
        /// User id as the kernel told it.
        uid: u32,
        /// The login name with which the session began, where it is another (`sudo`, `su`), by the kernel's audit id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logged_in_as: Option<String>,
        /// The address of the SSH client, as the sender said: the kernel does not know it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
    /// A signal to the engine's process.
    Signal {
        /// `SIGTERM`, `SIGINT`.
        name: String,
    },
}

impl Actor {
    /// An operator of whom no more is known.
    pub fn operator(login: impl Into<String>, uid: u32) -> Self {
        Self::Operator { login: login.into(), uid, logged_in_as: None, from: None }
    }

    /// The name to show: `ana`, or `root (ana)` for what ana did as root.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Engine => "the engine".into(),
            Self::Operator { login, logged_in_as: Some(person), .. } => format!("{login} ({person})").into(),
            Self::Operator { login, .. } => login.into(),
            Self::Signal { name } => name.into(),
        }
    }

    /// The name and from where: `ana from 203.0.113.7`.
    pub fn name_and_place(&self) -> Cow<'_, str> {
        match self {
            Self::Operator { from: Some(from), .. } => format!("{} from {from}", self.name()).into(),
            Self::Operator { from: None, .. } | Self::Engine | Self::Signal { .. } => self.name(),
        }
    }
}
