//! DNS: the addresses of a name, or its services with their hosts and ports.
//!
//! Imports: model, os, the settings. May not: follow an address further, keep an answer for the next time.
//!
//! A name that has addresses of both kinds is a fleet of machines that have two each: only the IPv4 ones are taken.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use super::{DnsSource, Records};
use crate::model::Found;
use crate::os::text;

/// Asks for the records.
pub(super) async fn find(source: &DnsSource) -> Result<Vec<Found>, String> {
    let resolver = resolver(source.server)?;
    let name = match &source.records {
        Records::Addresses(name) | Records::Services(name) => name,
    };
    let asked = async {
        match &source.records {
            Records::Addresses(name) => addresses(&resolver, name).await,
            Records::Services(name) => services(&resolver, name).await,
        }
    };
    let late = |_elapsed| format!("{name}: no answer in {}", source.timeout);
    tokio::time::timeout(source.timeout.to_std(), asked).await.map_err(late)?
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let builder = match server {
        None => TokioResolver::builder_tokio().map_err(|e| format!("the system's resolver cannot be read: {}", words(&e)))?,
        Some(server) => {
            let at = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
            let server = NameServerConfig::new(server.ip(), true, connections);
            TokioResolver::builder_with_config(ResolverConfig::from_name_servers(vec![server]), TokioRuntimeProvider::default())
        }
    };
    builder.build().map_err(|e| format!("DNS cannot be asked: {}", words(&e)))
}

/// An answer, or none if the name is there but has no such records.
fn answered(name: &str, answer: Result<Lookup, NetError>) -> Result<Option<Lookup>, String> {
    match answer {
        Ok(lookup) => Ok(Some(lookup)),
        Err(e) if e.is_nx_domain() => Err(format!("{name}: there is no such name")),
        Err(e) if e.is_no_records_found() => Ok(None),
        Err(e) => Err(format!("{name}: {}", words(&e))),
    }
}

async fn addresses(resolver: &TokioResolver, name: &str) -> Result<Vec<Found>, String> {
    let four = answered(name, resolver.ipv4_lookup(name).await)?;
    let mut found: Vec<String> =
        of(four.as_ref(), |data| if let RData::A(address) = data { Some(address.0.to_string()) } else { None });
    if found.is_empty() {
        let six = answered(name, resolver.ipv6_lookup(name).await)?;
        found = of(six.as_ref(), |data| if let RData::AAAA(address) = data { Some(address.0.to_string()) } else { None });
    }
    if found.is_empty() {
        return Err(format!("{name}: it has no address"));
    }
    found.sort();
    found.dedup();
    Ok(found.into_iter().map(|address| Found { id: id_of(&address), host: Some(address), ..Found::default() }).collect())
}

async fn services(resolver: &TokioResolver, name: &str) -> Result<Vec<Found>, String> {
    let lookup = answered(name, resolver.srv_lookup(name).await)?;
    let service = |data: &RData| {
        let RData::SRV(service) = data else { return None };
        let host = service.target.to_utf8().trim_end_matches('.').to_owned();
        Some((host, service.port))
    };
    let mut found: Vec<(String, u16)> = of(lookup.as_ref(), service);
    // A lone dot says that the service is not there.
    found.retain(|(host, _)| !host.is_empty());
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(format!("{name}: it has no service"));
    }
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (host, _) in &found {
        *times.entry(host.clone()).or_default() += 1;
    }
    let several = |host: &String| times.get(host).is_some_and(|times| *times > 1);
    let id = |host: &String, port: u16| if several(host) { format!("{host}-{port}") } else { host.clone() };
    Ok(found
        .into_iter()
        .map(|(host, port)| Found { id: id(&host, port), host: Some(host), port: Some(port), ..Found::default() })
        .collect())
}

fn of<T>(lookup: Option<&Lookup>, take: impl Fn(&RData) -> Option<T>) -> Vec<T> {
    lookup.into_iter().flat_map(Lookup::answers).filter_map(|record| take(&record.data)).collect()
}

/// An address as an id: that of IPv6 has characters that an id has not.
fn id_of(address: &str) -> String {
    if address.contains(':') { format!("ip6-{}", address.replace(':', "-")) } else { address.to_owned() }
}

fn words(error: &NetError) -> String {
    text::sanitise(&error.to_string())
}
