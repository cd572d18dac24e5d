//! Who is in the fleet, by somebody outside: one file a source; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: believe what it is told (`app` does that), remember it, touch an
//! instance.

mod command;
mod dns;
mod docker;

use std::fmt;
use std::net::SocketAddr;

use super::docker::DaemonSettings;
use crate::model::{Found, Span};
use crate::os::program::Program;
use crate::ports::TrafficDriver;

/// The most that is read from one source.
pub const MOST: usize = 10_000;

/// One table of `[fleet.discover]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// `[fleet.discover.balancer]`: whom the balancers of `[traffic]` know.
    Balancer,
    /// `[fleet.discover.dns]`.
    Dns(DnsSource),
    /// `[fleet.discover.docker]`.
    Docker(DockerSource),
    /// `[fleet.discover.command]`.
    Command(CommandSource),
}

/// `[fleet.discover.dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSource {
    /// What is asked for.
    pub records: Records,
    /// `server`: who is asked; the system's own resolver if not given.
    pub server: Option<SocketAddr>,
    /// `timeout`: for all of it.
    pub timeout: Span,
}

/// What DNS is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// `name`: its addresses, each an instance, at the fleet's port.
    Addresses(String),
    /// `srv`: its services, each an instance with a host and a port of its own.
    Services(String),
}

/// `[fleet.discover.docker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerSource {
    /// The daemon that is asked; its `host` is no template.
    pub daemon: DaemonSettings,
    /// `labels`: what a container must have, all of it.
    pub labels: Vec<String>,
    /// The daemon is on this machine: what it publishes on the loopback address can be reached.
    pub here: bool,
    /// Where a container is that is published on all addresses.
    pub address: String,
}

/// `[fleet.discover.command]`.
#[derive(Clone, PartialEq)]
pub struct CommandSource {
    /// `command` and `env`.
    pub program: Program,
    /// `group`: of an inventory as Ansible has them, those of this group.
    pub group: String,
    /// `timeout`.
    pub timeout: Span,
}

/// Without what may come from the environment.
impl fmt::Debug for CommandSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSource").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Source {
    /// Its table.
    pub fn table(&self) -> &'static str {
        match self {
            Self::Balancer => "fleet.discover.balancer",
            Self::Dns(_) => "fleet.discover.dns",
            Self::Docker(_) => "fleet.discover.docker",
            Self::Command(_) => "fleet.discover.command",
        }
    }
}

/// Asks a source. What it says may be in any order, and of any sense.
///
/// # Errors
/// Fails with a sentence if it does not answer in its time, answers something else, or names more than [`MOST`].
pub async fn find(source: &Source, traffic: &dyn TrafficDriver) -> Result<Vec<Found>, String> {
    let found = match source {
        Source::Balancer => traffic.members().await.map_err(|e| e.to_string())?,
        Source::Dns(dns) => dns::find(dns).await?,
        Source::Docker(docker) => docker::find(docker).await?,
        Source::Command(command) => command::find(command).await?,
    };
    if found.len() > MOST {
        return Err(format!("names {} instances, more than the {MOST} that are read", found.len()));
    }
    Ok(found)
}
