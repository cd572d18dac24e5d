//! Which containers a daemon runs.
//!
//! Imports: the daemon, model. May not: change anything.

use std::collections::BTreeMap;

use bollard::models::{ContainerSummary, PortSummary};

use super::daemon::{Daemon, Trouble};
use super::scene::label;
use super::settings::DaemonSettings;

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The reference that it was made from.
    pub image: String,
    /// Where its published port is reached from the daemon's host: an address, or `None` for all of its addresses.
    pub address: Option<String>,
    /// Its published TCP port, the one of the lowest port inside if there are several; `None` if it publishes none.
    pub port: Option<u16>,
    /// The port inside that belongs to it.
    pub container_port: Option<u16>,
    /// Its labels, those of its image too.
    pub labels: BTreeMap<String, String>,
}

/// The running containers that carry all of `labels` (`"app"` or `"app=shop"`; none for all containers), by name, at the daemon of `settings`, whose
/// `host` is taken as it is, without templates. Containers that `rollout` keeps for the way back do not run and are not
/// among them.
///
/// # Errors
/// Fails with a sentence if the daemon cannot be reached or does not answer.
pub async fn containers(settings: &DaemonSettings, labels: &[String]) -> Result<Vec<Found>, String> {
    let daemon = Daemon::new(&settings.host, settings)?;
    let found = daemon.list(false, labels).await.map_err(|trouble: Trouble| trouble.words().to_owned())?;
    let mut found: Vec<Found> = found.into_iter().filter_map(of_summary).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Whether a label is one that `rollout` gave.
pub fn is_own_label(key: &str) -> bool {
    key.starts_with(label::PREFIX)
}

fn of_summary(summary: ContainerSummary) -> Option<Found> {
    let names = summary.names.unwrap_or_default();
    // A name with a second slash is one that a link gives.
    let name = names.iter().find_map(|name| Some(name.strip_prefix('/')?).filter(|name| !name.contains('/')))?.to_owned();
    let mut ports = summary.ports.unwrap_or_default();
    ports.retain(|port| port.public_port.is_some() && port.typ.is_none_or(|typ| typ.to_string() == "tcp"));
    // IPv4 before IPv6: both are listed where a port is open to all.
    ports.sort_by_key(|port| (port.private_port, port.ip.as_deref().is_some_and(|ip| ip.contains(':'))));
    let first: Option<&PortSummary> = ports.first();
    let open = |ip: &String| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
    Some(Found {
        name,
        image: summary.image.unwrap_or_default(),
        address: first.and_then(|port| port.ip.clone()).filter(|ip| !open(ip)),
        port: first.and_then(|port| port.public_port),
        container_port: first.map(|port| port.private_port),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
    })
}
