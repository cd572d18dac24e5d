//! `[traffic] driver = "caddy"`.
//!
//! Imports: config's reader, the driver's settings, model. May not: reach anything.

use super::nginx;
use super::section::Section;
use super::value::shown;
use crate::model::Span;
use crate::traffic::CaddySettings;

/// Reads the keys of the driver; `None` if one is missing.
pub(super) fn read(section: &mut Section<'_>, service: &str) -> Option<CaddySettings> {
    let admin = admin(section);
    let handler = handler(section);
    let server = nginx::server(section);
    let timeout = section.positive_span("timeout", Span::from_secs(5)).value;
    Some(CaddySettings { service: service.to_owned(), admin, handler: handler?, server, timeout })
}

/// One or several.
fn admin(section: &mut Section<'_>) -> Vec<String> {
    const FORM: &str = "write \"http://127.0.0.1:2019\" or \"unix//run/caddy/admin.sock\"";
    let Some(list) = section.texts("admin") else { return vec!["http://127.0.0.1:2019".to_owned()] };
    if list.sound && list.value.is_empty() {
        section.fault(list.place, "admin", format!("is empty; {FORM}"));
    }
    let mut seen: Vec<String> = Vec::new();
    for (place, text) in list.value {
        if !is_address(&text.full) {
            section.fault(place, "admin", format!("{} is neither http://host:port nor unix//path; {FORM}", shown(&text.raw)));
        } else if seen.contains(&text.full) {
            section.fault(place, "admin", format!("{} is there twice; name every balancer once", shown(&text.raw)));
        }
        seen.push(text.full);
    }
    seen
}

fn is_address(text: &str) -> bool {
    let socket = text.strip_prefix("unix/").or_else(|| text.strip_prefix("unix:"));
    if socket.is_some_and(|path| path.starts_with('/')) {
        return true;
    }
    let host = text.strip_prefix("http://").and_then(|host| host.trim_end_matches('/').rsplit_once(':'));
    host.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['@', '/']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// By its `@id`, or by its path in the configuration.
fn handler(section: &mut Section<'_>) -> Option<String> {
    let id = section.text("id");
    let handler = section.text("handler");
    match (id, handler) {
        (Some(id), Some(handler)) => {
            section.fault_with(handler.place, id.place, "handler", "contradicts id; write only one of the two");
            None
        }
        (Some(id), None) => {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if id.value.full.is_empty() || !id.value.full.chars().all(good) {
                section.fault(id.place, "id", format!("{} is no id; write letters, digits and - _ .", shown(&id.value.raw)));
            }
            Some(format!("/id/{}", id.value.full))
        }
        (None, Some(handler)) => {
            let path = &handler.value.full;
            if !path.starts_with('/') || path.contains(char::is_whitespace) {
                let remedy = format!(
                    "{} is no path; write one like \"/apps/http/servers/srv0/routes/0/handle/0\"",
                    shown(&handler.value.raw)
                );
                section.fault(handler.place, "handler", remedy);
            }
            Some(format!("/config{path}"))
        }
        (None, None) => {
            let remedy = "is missing; give the reverse_proxy handler an \"@id\" in Caddy's configuration and add id = \"shop\", \
                or add its path: handler = \"/apps/http/servers/srv0/routes/0/handle/0\"";
            section.require("id", remedy);
            None
        }
    }
}
