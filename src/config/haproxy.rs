//! `[traffic] driver = "haproxy"`.
//!
//! Imports: config's reader, the driver's settings, model. May not: reach anything.

use super::secret::Text;
use super::section::Section;
use super::template::{self, OF_A_SERVER};
use super::value::shown;
use crate::model::Span;
use crate::traffic::HaproxySettings;

/// Reads the keys of the driver; `None` if one is missing.
pub(super) fn read(section: &mut Section<'_>, service: &str) -> Option<HaproxySettings> {
    let sockets = sockets(section);
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
    let add = add(section);
    let await_slow_start = section.flag("await_slow_start", false).value;
    let service = service.to_owned();
    Some(HaproxySettings { service, sockets, backend: backend?, server, add, await_slow_start, timeout })
}

/// The words behind a new server's address. A `;` or the end of a line would begin another command.
fn add(section: &mut Section<'_>) -> String {
    let Some(add) = section.text("add") else { return "check".to_owned() };
    if add.value.full.chars().any(|c| c.is_control() || ";\\\"'".contains(c)) {
        let remedy = format!("{} is no list of a server's keywords; write one like \"check inter 1s\"", shown(&add.value.raw));
        section.fault(add.place, "add", remedy);
    }
    add.value.full
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
