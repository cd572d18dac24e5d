//! `[fleet.discover]`: where the instances are asked for when a plan is made.
//!
//! Imports: config's reader, the fleet's settings. May not: ask.

use std::net::SocketAddr;

use super::argv;
use super::docker;
use super::section::Section;
use super::value::shown;
use crate::fleet::discover::{CommandSource, DnsSource, DockerSource, Records, Source};
use crate::model::Span;
use crate::os::program::Program;

/// Reads every table of it; `None` if there is none. `port`: whether the fleet has one for all.
/// `host`: theirs, if it has one.
pub(super) fn read(parent: &mut Section<'_>, service: &str, (host, port): (Option<&str>, bool)) -> Option<Vec<Source>> {
    let mut section = parent.table("discover");
    let sources =
        [balancer(&mut section), dns(&mut section, port), containers(&mut section, host), command(&mut section, service)];
    let sources: Vec<Source> = sources.into_iter().flatten().collect();
    let (present, place) = (section.present(), section.place());
    let any = ["balancer", "dns", "docker", "command"].iter().any(|table| section.had(table));
    if present && !any {
        section.fault(
            place,
            "balancer",
            "is missing, and so is any other source; add [fleet.discover.balancer], .dns, .docker or .command",
        );
    }
    section.finish();
    present.then_some(sources)
}

fn balancer(parent: &mut Section<'_>) -> Option<Source> {
    let section = parent.table("balancer");
    let present = section.present();
    section.finish();
    present.then_some(Source::Balancer)
}

fn dns(parent: &mut Section<'_>, port: bool) -> Option<Source> {
    const FORM: &str = "write name = \"web.internal\" for its addresses, or srv = \"_http._tcp.web.internal\" for its services";
    let mut section = parent.table("dns");
    let (name, srv) = (section.plain("name"), section.plain("srv"));
    for (key, given) in [("name", &name), ("srv", &srv)] {
        let label = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if let Some(given) = given.as_ref().filter(|given| given.value.len() > 253 || !given.value.chars().all(label)) {
            section.fault(given.place, key, format!("{} is no name that DNS could have", shown(&given.value)));
        }
    }
    let server = section.plain("server").and_then(|server| {
        let address = server.value.parse::<SocketAddr>().ok();
        let address = address.or_else(|| Some(SocketAddr::new(server.value.parse().ok()?, 53)));
        if address.is_none() {
            let remedy = format!("{} is no address; write one like \"10.0.0.2\" or \"127.0.0.1:8600\"", shown(&server.value));
            section.fault(server.place, "server", remedy);
        }
        address
    });
    let timeout = section.positive_span("timeout", Span::from_secs(10)).value;
    let (present, place) = (section.present(), section.place());
    let records = match (name, srv) {
        (Some(name), None) => {
            if !port {
                section.elsewhere(
                    name.place,
                    "fleet.port",
                    "is missing, and an address in DNS has none; add port = 8080 to [fleet]",
                );
            }
            Some(Records::Addresses(name.value))
        }
        (None, Some(srv)) => Some(Records::Services(srv.value)),
        (Some(_), Some(srv)) => {
            section.fault(srv.place, "srv", format!("contradicts name; {FORM}"));
            None
        }
        (None, None) => {
            if present && !section.had("name") && !section.had("srv") {
                section.fault(place, "name", format!("is missing; {FORM}"));
            }
            None
        }
    };
    section.finish();
    Some(Source::Dns(DnsSource { records: records?, server, timeout }))
}

fn containers(parent: &mut Section<'_>, host: Option<&str>) -> Option<Source> {
    const FORM: &str = "write what the service's containers have and no others: labels = [\"app=shop\"]";
    let mut section = parent.table("docker");
    let daemon = docker::daemon(&mut section, None);
    let mut labels = Vec::new();
    if let Some(list) = section.texts("labels") {
        if list.value.is_empty() && list.sound {
            section.fault(list.place, "labels", format!("is empty, which is every container; {FORM}"));
        }
        for (place, label) in list.value {
            if label.full.is_empty() || label.full.starts_with('=') {
                section.fault(place, "labels", format!("{} is no label; {FORM}", shown(&label.raw)));
            }
            labels.push(label.full);
        }
    }
    let present = section.present();
    if present {
        section.require("labels", &format!("is missing; {FORM}"));
    }
    let here = daemon.host.starts_with("unix://");
    if present && !here && host.is_none() {
        let remedy = "is missing, and a daemon elsewhere tells only the ports; add host = \"web-01.internal\" to [fleet]";
        section.elsewhere(section.place(), "fleet.host", remedy);
    }
    section.finish();
    let address = host.unwrap_or("127.0.0.1").to_owned();
    present.then_some(Source::Docker(DockerSource { daemon, labels, here, address }))
}

fn command(parent: &mut Section<'_>, service: &str) -> Option<Source> {
    let mut section = parent.table("command");
    let argv = argv::read(&mut section, "command", &["service"]);
    if section.present() {
        section.require(
            "command",
            "is missing; add the program that prints the instances: command = [\"ansible-inventory\", \"--list\"]",
        );
    }
    let env = argv::env(&mut section);
    let group = section.plain("group").map_or_else(|| "all".to_owned(), |group| group.value);
    let timeout = section.positive_span("timeout", Span::from_secs(30)).value;
    section.finish();
    let program = Program { service: service.to_owned(), argv: argv?, env };
    Some(Source::Command(CommandSource { program, group, timeout }))
}
