//! `[health]`, the part that the prober needs: how an instance is looked at, and where it reports its version.
//!
//! Imports: config's reader, the probe's settings, model. May not: reach anything.

use super::section::{Placed, Section};
use super::template::OF_A_SERVER;
use super::value::shown;
use super::{argv, statuses};
use crate::model::Span;
use crate::os::extract::Extract;
use crate::os::program::{Environment, Program};
use crate::probe::{ExecSettings, HttpSettings, HttpVersion, Kind, Settings, VersionSettings};

/// The kinds of probes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Http,
    Tcp,
    Exec,
}

const PROBES: [(&str, Probe); 3] = [("http", Probe::Http), ("tcp", Probe::Tcp), ("exec", Probe::Exec)];

/// Where the version is reported.
enum Source {
    Header(String),
    Answer(Extract),
    Command(Vec<String>, Extract),
}

/// Reads what the prober needs of `[health]`.
pub(super) fn read(section: &mut Section<'_>, service: &str, timeout: Span) -> Settings {
    let probe = section.choice("probe", &PROBES, &[]).map_or(Probe::Http, |probe| probe.value);
    let source = version(section, probe);
    let env = argv::env(section);
    let program = |argv, env: &Environment| Program { service: service.to_owned(), argv, env: env.clone() };
    let (answer, command) = match source {
        Some(Source::Command(argv, extract)) => (None, Some(VersionSettings { program: program(argv, &env), extract })),
        Some(Source::Header(name)) => (Some(HttpVersion::Header(name)), None),
        Some(Source::Answer(extract)) => (Some(HttpVersion::Body(extract)), None),
        None => (None, None),
    };
    let kind = match probe {
        Probe::Http => {
            section.misplaced("command", "is for probe = \"exec\"; write path, or change the probe");
            Kind::Http(HttpSettings { path: path(section), status: statuses::read(section), version: answer })
        }
        Probe::Tcp => {
            only_http(section);
            section.misplaced("command", "is for probe = \"exec\"; remove it, or change the probe");
            Kind::Tcp
        }
        Probe::Exec => {
            only_http(section);
            let argv = argv::read(section, "command", &OF_A_SERVER).unwrap_or_default();
            section.require(
                "command",
                "is missing; add the command that checks an instance: command = [\"/opt/check\", \"{{ instance.host }}\"]",
            );
            let version = match answer {
                Some(HttpVersion::Body(extract)) => Some(extract),
                Some(HttpVersion::Header(_)) | None => None,
            };
            Kind::Exec(ExecSettings { program: program(argv, &env), version })
        }
    };
    Settings { probe: kind, version: command, timeout }
}

fn only_http(section: &mut Section<'_>) {
    for key in ["path", "status"] {
        section.misplaced(key, "is for probe = \"http\"; remove it, or change the probe");
    }
}

fn path(section: &mut Section<'_>) -> String {
    let Some(Placed { value: path, place, .. }) = section.text("path") else { return "/health".to_owned() };
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
        } else if probe != Probe::Http {
            section.fault(header.place, "header", "is for probe = \"http\"; write version = { command = […] }");
        }
    }
    if in_answer && probe == Probe::Tcp {
        let key = if section.had("json") { "json" } else { "regex" };
        section.fault(place, key, "needs an answer to look in, and tcp has none; write version = { command = […] }");
    }
    section.finish();
    match (header, command) {
        (_, Some(command)) => Some(Source::Command(command, extract)),
        (Some(header), None) => Some(Source::Header(header.value.full)),
        (None, None) => in_answer.then_some(Source::Answer(extract)),
    }
}
