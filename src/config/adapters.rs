//! `[update]`, `[traffic]`, `[health]` (what the prober needs) and `[vip]`: the settings of the adapters.
//!
//! Imports: config's reader, the adapters' settings, model. May not: reach anything.

use std::path::PathBuf;

use super::fault::Place;
use super::secret::Text;
use super::section::{Placed, Section};
use super::template::{self, OF_A_COMMAND, OF_A_SERVER};
use super::value::shown;
use crate::fleet::{self, ProcessSettings};
use crate::model::{Policy, Span};
use crate::probe::{HttpSettings, VersionSource, VipSettings};
use crate::traffic::{self, HaproxySettings};

/// What `[update]` says.
pub(super) struct Update {
    pub(super) timeout: Placed<Span>,
    pub(super) stop_timeout: Placed<Span>,
    start: Vec<String>,
}

impl Update {
    /// The settings of the process driver.
    pub(super) fn process(&self, service: &str, dir: PathBuf) -> fleet::Settings {
        fleet::Settings::Process(ProcessSettings {
            service: service.to_owned(),
            start: self.start.clone(),
            stop_timeout: self.stop_timeout.value,
            dir,
        })
    }
}

/// Reads `[update]`.
pub(super) fn read_update(root: &mut Section<'_>) -> Update {
    let mut section = root.table("update");
    let timeout = section.positive_span("timeout", Policy::default().update.timeout);
    let stop_timeout = section.span("stop_timeout", Span::from_secs(5));
    let start = section.texts("start");
    section.require(
        "start",
        "is missing; add the command that runs an instance: start = [\"/opt/shop/bin/shop\", \"--port={{ instance.port }}\"]",
    );
    for key in ["command", "observe", "stop"] {
        section.later(key, "the process driver starts and stops by itself: write start");
    }
    for key in ["ssh", "docker", "systemd"] {
        section.later(key, "use fleet.driver = \"process\" with start");
    }
    let start = start.map(|start| command(&section, "start", start)).unwrap_or_default();
    section.finish();
    Update { timeout, stop_timeout, start }
}

/// A command as the templates of its arguments.
fn command(section: &Section<'_>, key: &str, argv: Placed<Vec<(Place, Text)>>) -> Vec<String> {
    if argv.sound {
        match argv.value.first() {
            None => section.fault(argv.place, key, "is empty; write the program and its arguments"),
            Some((place, program)) if program.full.trim().is_empty() => {
                section.fault(*place, key, "has no program; write its name or absolute path first");
            }
            Some((place, program)) if argv.value.len() == 1 && program.raw.contains(' ') => {
                let remedy = "is one text with spaces; no shell splits it: write each argument as a text of its own";
                section.fault(*place, key, remedy);
            }
            Some((place, program)) if program.full.contains('/') && !program.full.starts_with(['/', '{']) => {
                section.fault(*place, key, format!("{} is a relative path; write an absolute one", shown(&program.raw)));
            }
            Some(_) => {}
        }
    }
    let check = |(place, text): (Place, Text)| {
        if let Err(remedy) = template::check(&text.raw, &OF_A_COMMAND) {
            section.fault(place, key, remedy);
        }
        text.template
    };
    argv.value.into_iter().map(check).collect()
}

const TRAFFIC_LATER: [(&str, &str); 6] = [
    ("nginx", "use driver = \"haproxy\""),
    ("caddy", "use driver = \"haproxy\""),
    ("command", "use driver = \"haproxy\""),
    ("http", "use driver = \"haproxy\""),
    ("aws", "use driver = \"haproxy\""),
    ("none", "use driver = \"haproxy\""),
];

/// Reads `[traffic]`; `None` if it is faulty.
pub(super) fn read_traffic(root: &mut Section<'_>, service: &str) -> Option<traffic::Settings> {
    let mut section = root.table("traffic");
    let driver = section.choice("driver", &[("haproxy", ())], &TRAFFIC_LATER);
    section.require("driver", "is missing; add driver = \"haproxy\"");
    if driver.is_none() && section.had("driver") {
        // What else stands here may be right for the driver that was meant.
        return None;
    }
    let sockets = sockets(&mut section);
    let backend = section.text("backend").map(|backend| {
        if !is_haproxy_name(&backend.value.full) {
            section.fault(backend.place, "backend", format!("{} is no backend's name", shown(&backend.value.raw)));
        }
        backend.value.full
    });
    section.require("backend", "is missing; add the name of the backend: backend = \"shop\"");
    let server = section.text("server").map(|server| {
        if let Err(remedy) = template::check(&server.value.raw, &OF_A_SERVER) {
            section.fault(server.place, "server", remedy);
        }
        server.value.template
    });
    let server = server.unwrap_or_else(|| "{{ instance.id }}".to_owned());
    let timeout = section.positive_span("timeout", Span::from_secs(2)).value;
    section.finish();
    let service = service.to_owned();
    Some(traffic::Settings::Haproxy(HaproxySettings { service, sockets, backend: backend?, server, timeout }))
}

fn sockets(section: &mut Section<'_>) -> Vec<String> {
    const FORM: &str = "write \"unix:/run/haproxy/admin.sock\" or \"host:port\"";
    let list = section.texts("sockets");
    section.require("sockets", "is missing; add where the runtime API listens: sockets = [\"unix:/run/haproxy/admin.sock\"]");
    let Some(list) = list else { return Vec::new() };
    if list.sound && list.value.is_empty() {
        section.fault(list.place, "sockets", format!("is empty; {FORM}"));
    }
    let mut seen: Vec<String> = Vec::new();
    for (place, Text { raw, full, .. }) in list.value {
        if let Err(remedy) = socket(&full) {
            section.fault(place, "sockets", format!("{} {remedy}; {FORM}", shown(&raw)));
        } else if seen.contains(&full) {
            section.fault(place, "sockets", format!("{} is there twice; name every balancer once", shown(&raw)));
        }
        seen.push(full);
    }
    seen
}

fn socket(address: &str) -> Result<(), &'static str> {
    /// What fits in `sun_path`, its final NUL apart.
    const LONGEST_PATH: usize = 107;
    let path = address.strip_prefix("unix:").or_else(|| address.starts_with('/').then_some(address));
    match path {
        Some(path) if !path.starts_with('/') => Err("is not an absolute path"),
        Some(path) if path.len() > LONGEST_PATH => Err("is longer than the 107 bytes that a socket's path may have"),
        Some(_) => Ok(()),
        None => match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
            Some(_) | None => Err("is neither a socket's path nor host:port"),
        },
    }
}

/// The characters that HAProxy allows in names of backends.
fn is_haproxy_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
}

/// Reads what the prober needs of `[health]`.
pub(super) fn read_probe(section: &mut Section<'_>, timeout: Span) -> HttpSettings {
    let path = section.text("path").map_or_else(
        || "/health".to_owned(),
        |path| {
            let full = &path.value.full;
            if !full.starts_with('/') || full.chars().any(|c| c.is_whitespace() || c.is_control()) {
                section.fault(path.place, "path", format!("{} is no path; write one like \"/health\"", shown(&path.value.raw)));
            }
            path.value.full
        },
    );
    let status = statuses(section);
    let version = version_source(section);
    HttpSettings { path, timeout, status, version }
}

fn statuses(section: &mut Section<'_>) -> Vec<(u16, u16)> {
    use super::document::Value;
    const FORM: &str = "write statuses like 200 or \"200-299\"";
    let Some(list) = section.list("status") else { return vec![(200, 299)] };
    if list.value.is_empty() {
        section.fault(list.place, "status", format!("is empty; {FORM}"));
    }
    let mut ranges = Vec::new();
    for node in list.value {
        let range = match &node.value {
            Value::Integer(n) => u16::try_from(*n).ok().map(|n| (n, n)),
            Value::Text(text) => match text.full.split_once('-') {
                Some((from, to)) => from.parse().ok().zip(to.parse().ok()),
                None => text.full.parse().ok().map(|n| (n, n)),
            },
            Value::Other(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) => None,
        };
        match range {
            Some((from, to)) if from <= to && from >= 100 && to <= 599 => ranges.push((from, to)),
            Some(_) | None => section.fault(node.place, "status", format!("is no status from 100 to 599; {FORM}")),
        }
    }
    ranges
}

fn version_source(parent: &mut Section<'_>) -> Option<VersionSource> {
    const FORM: &str = "write version = { header = \"X-Version\" } or { json = \"/version\" }";
    let mut section = parent.table("version");
    let (header, json) = (section.text("header"), section.text("json"));
    for key in ["regex", "command"] {
        section.later(key, "let the instance report its version in a header or in JSON");
    }
    let given = ["header", "json", "regex", "command"].iter().filter(|key| section.had(key)).count();
    let (present, place) = (section.present(), section.place());
    if present && given != 1 {
        parent.fault(place, "version", format!("needs exactly one source; {FORM}"));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let source = match (header, json) {
        (Some(header), _) => {
            if header.value.full.is_empty() || !header.value.full.chars().all(token) {
                section.fault(header.place, "header", format!("{} is no header's name", shown(&header.value.raw)));
            }
            Some(VersionSource::Header(header.value.full))
        }
        (None, Some(json)) => {
            if !json.value.full.starts_with('/') {
                let remedy = format!("{} is no JSON pointer; write one like \"/version\"", shown(&json.value.raw));
                section.fault(json.place, "json", remedy);
            }
            Some(VersionSource::Json(json.value.full))
        }
        (None, None) => None,
    };
    section.finish();
    source
}

/// Reads `[vip]`.
pub(super) fn read_vip(root: &mut Section<'_>) -> Option<VipSettings> {
    const MOST: u32 = 10_000;
    let mut section = root.table("vip");
    if !section.present() {
        // Taken all the same, so that the keys are known when they stand elsewhere.
        section.take("url");
        section.take("rate");
        return None;
    }
    let urls = section.texts("url");
    section.require("url", "is missing; add url = \"http://shop.example/\"");
    let rate = section.number_if_given("rate", (1, MOST));
    section.require("rate", "is missing; add the requests per second: rate = 20");
    if let Some(urls) = &urls {
        if urls.sound && urls.value.is_empty() {
            section.fault(urls.place, "url", "is empty; write url = \"http://shop.example/\"");
        }
        for (place, url) in &urls.value {
            let good = reqwest::Url::parse(&url.full).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !good {
                section.fault(*place, "url", format!("{} is no http:// or https:// address", shown(&url.raw)));
            }
        }
    }
    section.finish();
    let urls = urls?.value.into_iter().map(|(_, url)| url.full).collect();
    Some(VipSettings { urls, rate: rate?.value })
}
