//! `[health]`, the part that the prober needs: how an instance is looked at, and where it reports its version.
//!
//! Imports: config's reader, the probe's settings, model. May not: reach anything.

use std::collections::BTreeMap;
use std::path::Path;

use super::secret::Text;
use super::section::{Placed, Section};
use super::template::OF_A_SERVER;
use super::value::shown;
use super::{argv, statuses, tls};
use crate::model::{InstanceId, Span};
use crate::os::extract::Extract;
use crate::os::program::{Environment, Program};
use crate::probe::{
    Aside, ExecSettings, GrpcSettings, HttpSettings, HttpVersion, Kind, Places, Settings, Startup, VersionSettings,
};

/// The kinds of probes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Http,
    Grpc,
    Tcp,
    Exec,
}

const PROBES: [(&str, Probe); 4] = [("http", Probe::Http), ("grpc", Probe::Grpc), ("tcp", Probe::Tcp), ("exec", Probe::Exec)];

/// Where the version is reported.
enum Source {
    Header(String),
    Answer(Extract),
    Command(Vec<String>, Extract),
}

/// What is known of the file besides the table.
pub(super) struct Around<'a> {
    pub(super) service: &'a str,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
    /// `[[fleet.instance]] health`.
    pub(super) asides: Vec<Own>,
}

/// Where one instance is asked.
pub(super) struct Own {
    pub(super) id: InstanceId,
    pub(super) place: super::fault::Place,
    pub(super) aside: Aside,
}

/// Reads what the prober needs of `[health]`.
pub(super) fn read(section: &mut Section<'_>, around: Around<'_>, (timeout, max_latency): (Span, Option<Span>)) -> Settings {
    let probe = choice(section);
    let source = version(section, probe);
    let env = argv::env(section);
    let program = |argv| Program { service: around.service.to_owned(), argv, env: env.clone() };
    let (answer, command) = match source {
        Some(Source::Command(argv, extract)) => (None, Some(VersionSettings { program: program(argv), extract })),
        Some(Source::Header(name)) => (Some(HttpVersion::Header(name)), None),
        Some(Source::Answer(extract)) => (Some(HttpVersion::Body(extract)), None),
        None => (None, None),
    };
    let kind = kind(section, probe, (around.service, &env), answer);
    let all = aside(section, probe);
    let tls = tls::read(section, around.base);
    let mut instances = BTreeMap::new();
    for Own { id, place, aside } in around.asides {
        match (probe, &aside.path) {
            (Probe::Http, _) | (Probe::Grpc | Probe::Tcp, None) => {}
            (Probe::Exec, _) => {
                section.elsewhere(place, "fleet.instance.health", "is for a probe that connects; yours is \"exec\"");
            }
            (Probe::Grpc | Probe::Tcp, Some(_)) => {
                section.elsewhere(place, "fleet.instance.health.path", "is for probe = \"http\"");
            }
        }
        instances.insert(id, aside);
    }
    let places = Places { all, instances };
    let startup = startup(section, (around.service, &places));
    let secured = |kind: &Kind| matches!(kind, Kind::Http(_) | Kind::Grpc(_));
    if tls.is_some() && !secured(&kind) && !startup.as_ref().is_some_and(|startup| secured(&startup.probe)) {
        section.fault(section.place(), "tls", "is for probe = \"http\" and \"grpc\"; remove it, or change the probe");
    }
    Settings { probe: kind, version: command, timeout, max_latency, places, tls, startup }
}

fn choice(section: &mut Section<'_>) -> Probe {
    section.choice("probe", &PROBES, &[]).map_or(Probe::Http, |probe| probe.value)
}

/// What a kind needs; keys of other kinds are refused.
fn kind(section: &mut Section<'_>, probe: Probe, (service, env): (&str, &Environment), version: Option<HttpVersion>) -> Kind {
    let only = |section: &mut Section<'_>, keys: &[&str], of: &str| {
        for key in keys {
            section.misplaced(key, &format!("is for probe = \"{of}\"; remove it, or change the probe"));
        }
    };
    if probe != Probe::Http {
        only(section, &["path", "status"], "http");
    }
    if probe != Probe::Grpc {
        only(section, &["service"], "grpc");
    }
    if probe != Probe::Exec {
        only(section, &["command"], "exec");
    }
    match probe {
        Probe::Http => Kind::Http(HttpSettings { path: path(section), status: statuses::read(section), version }),
        Probe::Grpc => {
            let service = section.plain("service").map(|service| service.value).unwrap_or_default();
            let version = match version {
                Some(HttpVersion::Header(name)) => Some(name),
                Some(HttpVersion::Body(_)) | None => None,
            };
            Kind::Grpc(GrpcSettings { service, version })
        }
        Probe::Tcp => Kind::Tcp,
        Probe::Exec => {
            let argv = argv::read(section, "command", &OF_A_SERVER).unwrap_or_default();
            section.require(
                "command",
                "is missing; add the command that checks an instance: command = [\"/opt/check\", \"{{ instance.host }}\"]",
            );
            let version = match version {
                Some(HttpVersion::Body(extract)) => Some(extract),
                Some(HttpVersion::Header(_)) | None => None,
            };
            let program = Program { service: service.to_owned(), argv, env: env.clone() };
            Kind::Exec(ExecSettings { program, version })
        }
    }
}

/// Reads `port` and `host`, for the kinds that connect.
fn aside(section: &mut Section<'_>, probe: Probe) -> Aside {
    if probe == Probe::Exec {
        section.misplaced("port", "is for a probe that connects; a command has {{ instance.port }}");
    }
    if matches!(probe, Probe::Exec | Probe::Tcp) {
        section.misplaced("host", "is for probe = \"http\" and \"grpc\"; remove it, or change the probe");
    }
    Aside { path: None, port: port(section), host: host(section) }
}

/// Reads `health = { path = …, port = …, host = … }` of an instance.
pub(super) fn of_instance(section: &mut Section<'_>) -> Aside {
    let path = section.text("path").map(|given| checked_path(section, given));
    Aside { path, port: port(section), host: host(section) }
}

fn port(section: &mut Section<'_>) -> Option<u16> {
    section.number_if_given("port", (1, 65_535)).and_then(|port| u16::try_from(port.value).ok())
}

fn host(section: &mut Section<'_>) -> Option<String> {
    let host = section.plain("host")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if !host.value.chars().all(good) {
        section.fault(host.place, "host", format!("{} is no name of a host", shown(&host.value)));
    }
    Some(host.value)
}

/// Reads `[health.startup]`; `None` if it is not there.
fn startup(parent: &mut Section<'_>, (service, places): (&str, &Places)) -> Option<Startup> {
    let mut section = parent.table("startup");
    let probe = choice(&mut section);
    let env = argv::env(&mut section);
    let kind = kind(&mut section, probe, (service, &env), None);
    let mut all = aside(&mut section, probe);
    (all.port, all.host) = (all.port.or(places.all.port), all.host.or_else(|| places.all.host.clone()));
    let present = section.present();
    section.finish();
    // The path of an instance is that of its health.
    let instances = places.instances.iter().map(|(id, own)| (id.clone(), Aside { path: None, ..own.clone() })).collect();
    present.then_some(Startup { probe: kind, places: Places { all, instances } })
}

fn path(section: &mut Section<'_>) -> String {
    section.text("path").map_or_else(|| "/health".to_owned(), |given| checked_path(section, given))
}

fn checked_path(section: &Section<'_>, Placed { value: path, place, .. }: Placed<Text>) -> String {
    if !path.full.starts_with('/') || path.full.chars().any(|c| c.is_whitespace() || c.is_control()) {
        section.fault(place, "path", format!("{} is no path; write one like \"/health\"", shown(&path.raw)));
    }
    path.full
}

fn version(parent: &mut Section<'_>, probe: Probe) -> Option<Source> {
    const FORM: &str =
        "write version = { header = \"X-Version\" }, { json = \"/version\" }, { regex = \"…\" } or { command = […] }";
    let mut section = parent.table("version");
    let header = section.text("header");
    let command = argv::read(&mut section, "command", &OF_A_SERVER);
    let extract = argv::extract(&mut section);
    // With a command, json and regex say where in its output.
    let in_answer = command.is_none() && (section.had("json") || section.had("regex"));
    let given = [section.had("header"), section.had("command"), in_answer].iter().filter(|given| **given).count();
    let (present, place) = (section.present(), section.place());
    if present && given != 1 {
        parent.fault(place, "version", format!("needs exactly one source; {FORM}"));
    }
    if let Some(header) = &header {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if header.value.full.is_empty() || !header.value.full.chars().all(token) {
            section.fault(header.place, "header", format!("{} is no header's name", shown(&header.value.raw)));
        } else if !matches!(probe, Probe::Http | Probe::Grpc) {
            section.fault(header.place, "header", "is for probe = \"http\" and \"grpc\"; write version = { command = […] }");
        }
    }
    if in_answer && matches!(probe, Probe::Tcp | Probe::Grpc) {
        let key = if section.had("json") { "json" } else { "regex" };
        section.fault(place, key, "needs a text to look in, and this probe has none; write version = { command = […] }");
    }
    section.finish();
    match (header, command) {
        (_, Some(command)) => Some(Source::Command(command, extract)),
        (Some(header), None) => Some(Source::Header(header.value.full)),
        (None, None) => in_answer.then_some(Source::Answer(extract)),
    }
}
