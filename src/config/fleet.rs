//! `[fleet]`: which instances there are, and where.
//!
//! Imports: config's reader, model. May not: reach an instance.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::discover;
use super::document::{Node, Value};
use super::fault::{Faults, Place};
use super::hosts::{self, LARGEST_FLEET, TOO_MANY};
use super::probe::{self, Own};
use super::section::{Placed, Section, plain_of};
use super::update::Driver;
use super::value::shown;
use crate::fleet::discover::Source;
use crate::model::{InstanceId, Target};

/// What `[fleet]` says.
pub(super) struct Fleet {
    /// `None` if it is faulty.
    pub(super) driver: Option<Driver>,
    pub(super) targets: Vec<Target>,
    /// Where `max_surge` finds room.
    pub(super) spares: Vec<Target>,
    /// `[fleet.discover]`.
    pub(super) discover: Option<Discover>,
    /// Every instance is in `targets`, but for those whose id or address was taken already.
    pub(super) whole: bool,
    /// `health` of single instances.
    pub(super) asides: Vec<Own>,
    /// `dir`, if given.
    pub(super) dir: Option<String>,
}

/// Whom to ask for instances, and what those have that tell no more than their ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Discover {
    /// Each table of `[fleet.discover]`.
    pub sources: Vec<Source>,
    /// `host` of `[fleet]`.
    pub host: Option<String>,
    /// `port` of `[fleet]`, if it is one for all.
    pub port: Option<u16>,
}

/// Where the instances of `instances` are that have no table of their own.
struct Defaults {
    host: Option<String>,
    ports: Vec<u16>,
    /// One port for each instance, in order, instead of the same for all.
    in_turn: bool,
}

impl Defaults {
    /// The one port that all have who have none of their own.
    fn for_all(&self) -> Option<u16> {
        if self.in_turn { None } else { self.ports.first().copied() }
    }

    fn port(&self, index: usize) -> Option<u16> {
        if self.in_turn { self.ports.get(index).copied() } else { self.ports.first().copied() }
    }
}

const DRIVERS: [(&str, Driver); 5] = [
    ("process", Driver::Process),
    ("ssh", Driver::Ssh),
    ("systemd", Driver::Systemd),
    ("docker", Driver::Docker),
    ("command", Driver::Command),
];

const LATER: [(&str, &str); 2] =
    [("swarm", "use driver = \"command\" with docker"), ("kubernetes", "use driver = \"command\", as in examples/kubectl.toml")];

/// Reads `[fleet]`.
pub(super) fn read_fleet(root: &mut Section<'_>, service: &str, faults: &Faults) -> Fleet {
    let mut section = root.table("fleet");
    let driver = section.choice("driver", &DRIVERS, &LATER).map(|driver| driver.value);
    section.require("driver", "is missing; add driver = \"process\", \"ssh\", \"systemd\", \"docker\" or \"command\"");
    let dir = section.text("dir").map(|dir| dir.value.full);
    let defaults = defaults(&mut section);
    let port = defaults.for_all();
    let sources = discover::read(&mut section, service, (defaults.host.as_deref(), port.is_some()));
    let mut roll =
        Roll { targets: Vec::new(), ids: HashMap::new(), addresses: HashMap::new(), faults, asides: Vec::new(), failed: false };
    let list = listed(&mut section, "instances", &defaults, &mut roll);
    tables(&mut section, "instance", &defaults, &mut roll);
    if roll.targets.is_empty() && !roll.failed && sources.is_none() {
        section.fault(
            list.unwrap_or_else(|| section.place()),
            "instances",
            "names nobody; add instances = [\"web-[01:20]\"], a table [[fleet.instance]] for each, or [fleet.discover]",
        );
    }
    let fleet = roll.targets.len();
    listed(&mut section, "spares", &defaults, &mut roll);
    tables(&mut section, "spare", &defaults, &mut roll);
    let spares = roll.targets.split_off(fleet);
    let discover = sources.map(|sources| Discover { sources, host: defaults.host.clone(), port });
    let fleet = Fleet { driver, discover, whole: !roll.failed, targets: roll.targets, spares, asides: roll.asides, dir };
    section.finish();
    fleet
}

fn defaults(section: &mut Section<'_>) -> Defaults {
    let host = section.plain("host").filter(|host| host_or_fault(section, host)).map(|host| host.value);
    let Some(super::document::Entry { node, .. }) = section.take("port") else {
        return Defaults { host, ports: Vec::new(), in_turn: false };
    };
    let (ports, in_turn) = match &node.value {
        Value::Integer(n) => (port_of(*n).map(|port| vec![port]), false),
        Value::Text(text) => (ports_of(&text.full), true),
        Value::Fraction(_) | Value::Other(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) => (None, false),
    };
    if ports.is_none() {
        let remedy = "is no port; write a number from 1 to 65535 for all, or \"[8001:8020]\" for one each in turn";
        section.fault(node.place, "port", remedy);
    }
    // With a faulty port the instances are still worth looking at, each at a port of its own.
    Defaults { host, in_turn: in_turn || ports.is_none(), ports: ports.unwrap_or_else(|| (1..=u16::MAX).collect()) }
}

fn port_of(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

fn ports_of(range: &str) -> Option<Vec<u16>> {
    let (first, last, _) = hosts::bounds(range.strip_prefix('[')?.strip_suffix(']')?).ok()?;
    (first..=last).map(|port| u16::try_from(port).ok().filter(|port| *port > 0)).collect()
}

fn host_or_fault(section: &Section<'_>, host: &Placed<String>) -> bool {
    let good = is_host(&host.value);
    if !good {
        section.fault(host.place, "host", format!("{} is neither a host name nor an address", shown(&host.value)));
    }
    good
}

/// Whether it is a host name or an address.
pub fn is_host(host: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    host.parse::<IpAddr>().is_ok()
        || (host.len() <= 253 && host.starts_with(|c: char| c.is_ascii_alphanumeric()) && host.chars().all(name))
}

/// The fleet as it grows, and who is already in it.
struct Roll<'a> {
    targets: Vec<Target>,
    ids: HashMap<InstanceId, Place>,
    addresses: HashMap<(String, u16), (InstanceId, Place)>,
    faults: &'a Faults,
    asides: Vec<Own>,
    failed: bool,
}

impl Roll<'_> {
    /// Takes one in; false if its id or address is taken, which is then recorded.
    fn add(&mut self, place: Place, key: &str, target: Target) -> bool {
        if self.targets.len() >= LARGEST_FLEET {
            self.fault(place, key, TOO_MANY.to_owned());
            return false;
        }
        if let Some(first) = self.ids.get(&target.id) {
            let remedy = format!("names {} a second time; every id must be its own", target.id);
            self.faults.add_second(place, *first, key, remedy);
            return false;
        }
        let address = (target.host.to_lowercase(), target.port);
        if let Some((other, first)) = self.addresses.get(&address) {
            let Target { id, host, port, .. } = &target;
            let remedy = format!("puts {id} at {host}:{port}, where {other} is already; every address must be its own");
            self.faults.add_second(place, *first, key, remedy);
            return false;
        }
        self.ids.insert(target.id.clone(), place);
        self.addresses.insert(address, (target.id.clone(), place));
        self.targets.push(target);
        true
    }

    fn fault(&mut self, place: Place, key: &str, remedy: String) {
        self.faults.add(place, key, remedy);
        self.failed = true;
    }
}

/// `instances = ["web-[01:20]"]` or `spares`, and where it is.
fn listed(section: &mut Section<'_>, key: &str, defaults: &Defaults, roll: &mut Roll<'_>) -> Option<Place> {
    let list = section.list(key)?;
    let key = &format!("fleet.{key}");
    // Counted by what is named, not by what gets in, so that a list of slips ends soon.
    let mut room = LARGEST_FLEET;
    for Node { place, value } in list.value {
        if room == 0 {
            roll.fault(place, key, TOO_MANY.to_owned());
            break;
        }
        let names = match plain_of(value).and_then(|pattern| expand(&pattern, room)) {
            Ok(names) => names,
            Err(remedy) => {
                roll.fault(place, key, remedy);
                continue;
            }
        };
        room = room.saturating_sub(names.len());
        for name in names {
            let Some(port) = defaults.port(roll.targets.len()) else {
                roll.fault(place, key, no_port(defaults, &name));
                break;
            };
            let host = defaults.host.clone().unwrap_or_else(|| name.clone());
            let added = InstanceId::new(&name)
                .map_err(|_| bad_id(&name))
                .map(|id| roll.add(place, key, Target { id, host, port, zone: None, labels: BTreeMap::new() }));
            match added {
                Ok(true) => {}
                // One fault for a pattern is enough.
                Ok(false) => break,
                Err(remedy) => {
                    roll.fault(place, key, remedy);
                    break;
                }
            }
        }
    }
    Some(list.place)
}

fn expand(pattern: &str, room: usize) -> Result<Vec<String>, String> {
    match pattern.rsplit_once(':') {
        // Not within a range that is not closed.
        Some((name, port))
            if name.rfind('[') <= name.rfind(']') && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Err(format!("{} has a port; write {} here and port = {port} in [fleet]", shown(pattern), shown(name)))
        }
        _ => hosts::expand(pattern, room).map_err(|remedy| format!("{} {remedy}", shown(pattern))),
    }
}

fn no_port(defaults: &Defaults, name: &str) -> String {
    if defaults.in_turn {
        format!("has no port left for {}; write as many ports as instances", shown(name))
    } else {
        "has no port; add port = 8080 to [fleet], or \"[8001:8020]\" for one each in turn".to_owned()
    }
}

fn bad_id(name: &str) -> String {
    format!("{} is no id; write up to 63 letters, digits and . _ - beginning with a letter or digit", shown(name))
}

/// `[[fleet.instance]]` or `[[fleet.spare]]`.
fn tables(section: &mut Section<'_>, key: &str, defaults: &Defaults, roll: &mut Roll<'_>) {
    let Some(list) = section.list(key) else { return };
    for node in list.value {
        match section.item(key, node) {
            Some(item) => table(item, key, defaults, roll),
            None => roll.failed = true,
        }
    }
}

fn table(mut section: Section<'_>, key: &str, defaults: &Defaults, roll: &mut Roll<'_>) {
    let (key_of_id, key_of_port) = (&format!("fleet.{key}.id"), &format!("fleet.{key}.port"));
    let id = section.plain("id");
    section.require("id", "is missing; add id = \"web-01\"");
    let host = section.plain("host").filter(|host| host_or_fault(&section, host)).map(|host| host.value);
    let port = section.number_if_given("port", (1, 65_535));
    let zone = section.plain("zone").map(|zone| zone.value);
    let mut free = section.table("labels");
    let mut labels = BTreeMap::new();
    for (key, entry) in free.rest() {
        match plain_of(entry.node.value) {
            Ok(value) => drop(labels.insert(key, value)),
            Err(remedy) => free.fault(entry.node.place, &super::fault::shown_key(&key), remedy),
        }
    }
    let mut aside = section.table("health");
    let own = aside.present().then(|| (aside.place(), probe::of_instance(&mut aside)));
    if own.is_none() {
        // Taken all the same, so that the keys are known.
        probe::of_instance(&mut aside);
    }
    aside.finish();
    let faulty_port = port.is_none() && section.had("port");
    let port = port.map_or_else(|| defaults.port(roll.targets.len()), |port| u16::try_from(port.value).ok());
    let Some(id) = id.filter(|_| !faulty_port) else {
        roll.failed = true;
        return section.finish();
    };
    let place = id.place;
    match (InstanceId::new(&id.value), port) {
        (Ok(id), Some(port)) => {
            let host = host.or_else(|| defaults.host.clone()).unwrap_or_else(|| id.to_string());
            if let Some((place, aside)) = own {
                roll.asides.push(Own { id: id.clone(), place, aside });
            }
            roll.add(place, key_of_id, Target { id, host, port, zone, labels });
        }
        (Err(_), _) => roll.fault(place, key_of_id, bad_id(&id.value)),
        (Ok(_), None) => roll.fault(place, key_of_port, no_port(defaults, &id.value)),
    }
    section.finish();
}
