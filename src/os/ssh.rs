//! Programs on other hosts, over the user's own ssh: its configuration, agent, jump hosts and known hosts.
//!
//! Imports: os' child and text, its children. May not: know what a program is for, accept a host's key.
//!
//! One connection a host, shared by all that runs there and made anew when it is lost. A program is run by a short script
//! ([`WRAPPER`]) that ends its process group when it is given up, when its time is over, and when the link or this process
//! is gone; what it needs (arguments, environment) goes through its input, so that no shell but that script reads it and
//! nobody sees a secret in a list of processes. A step has a fence: on its host, one at a time has its name.

mod master;
mod pool;
mod quote;
mod remote;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::Instant;

pub use self::pool::Pool;
pub use self::quote::quote;
pub use self::remote::stopped;

/// What runs on the host; its lines of comment are not sent.
pub const WRAPPER: &str = include_str!("ssh/wrapper.sh");

/// How to reach hosts, where the user's own configuration of ssh does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `ssh -l`.
    pub user: Option<String>,
    /// `ssh -p`.
    pub port: Option<u16>,
    /// `ssh -F`.
    pub config: Option<PathBuf>,
    /// `ssh -i`, and no other key.
    pub identity: Option<PathBuf>,
    /// `ssh -J`.
    pub jump: Option<String>,
    /// Until a host that was asked for a connection has one: address, keys and login together.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let connect_timeout = Duration::from_secs(10);
        Self { user: None, port: None, config: None, identity: None, jump: None, connect_timeout }
    }
}

/// What to run, and its limits.
pub struct Run<'a> {
    /// On whose account: [`stopped`] waits by this name.
    pub about: &'a str,
    /// Program and arguments.
    pub argv: &'a [String],
    /// What it has in its environment besides what its login gives it.
    pub env: &'a [(String, String)],
    /// When it is told to end, here and on the host.
    pub deadline: Instant,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// A success may leave processes running in its group, as one does that starts a service.
    pub may_leave: bool,
    /// It changes something: on its host, nothing else with this name runs beside it. Letters, digits and `. _ -`.
    pub fence: Option<&'a str>,
    /// What it reads. Such a program is not ended as a group: it ends when its input does.
    pub input: Option<Box<dyn AsyncRead + Send + Unpin>>,
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("program", &self.argv.first()).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
