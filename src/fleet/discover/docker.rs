//! The containers that a daemon runs, by their labels.
//!
//! Imports: the docker driver's list of them, model, os, the settings. May not: take a label that the driver itself gave.

use std::net::IpAddr;

use super::DockerSource;
use crate::fleet::docker::{self, containers};
use crate::model::Found;
use crate::os::text;

/// Asks the daemon. A container's name is the id; its label `zone` is the zone.
pub(super) async fn find(source: &DockerSource) -> Result<Vec<Found>, String> {
    let found = containers(&source.daemon, &source.labels).await?;
    Ok(found.into_iter().map(|found| of(found, source)).collect())
}

fn of(found: docker::Found, source: &DockerSource) -> Found {
    let docker::Found { name, address, port, mut labels, .. } = found;
    let reached = |address: &String| source.here || !address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let host = Some(address.filter(reached).unwrap_or_else(|| source.address.clone()));
    // Whoever made the image may have written anything; the driver's own labels change with every update.
    labels.retain(|key, value| !docker::is_own_label(key) && *key == text::sanitise(key) && *value == text::sanitise(value));
    let zone = labels.get("zone").filter(|zone| !zone.is_empty()).cloned();
    Found { id: name, host, port, zone, labels }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fleet::docker::DaemonSettings;

    #[test]
    fn a_container_is_where_it_can_be_reached_from_here() {
        let source = |here, address: &str| DockerSource {
            daemon: DaemonSettings::default(),
            labels: Vec::new(),
            here,
            address: address.to_owned(),
        };
        let found = |address: Option<&str>| docker::Found {
            name: "shop-1".to_owned(),
            image: "shop:v1".to_owned(),
            address: address.map(str::to_owned),
            port: Some(8081),
            container_port: Some(8080),
            labels: BTreeMap::from(
                [("zone", "a"), ("rollout.version", "v1"), ("about", "two\nlines")].map(|(k, v)| (k.to_owned(), v.to_owned())),
            ),
        };
        for (here, address, host) in [
            (true, Some("127.0.0.1"), "127.0.0.1"),
            (true, Some("10.0.0.7"), "10.0.0.7"),
            (true, None, "web-01"),
            (false, Some("127.0.0.1"), "web-01"),
            (false, Some("::1"), "web-01"),
            (false, Some("10.0.0.7"), "10.0.0.7"),
            (false, None, "web-01"),
        ] {
            let expected = Found {
                id: "shop-1".to_owned(),
                host: Some(host.to_owned()),
                port: Some(8081),
                zone: Some("a".to_owned()),
                labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            };
            assert_eq!(of(found(address), &source(here, "web-01")), expected, "{here} {address:?}");
        }
    }
}
