//! `[traffic]`: who sends the traffic, by its driver.
//!
//! Imports: config's reader, the drivers' settings, model. May not: reach anything.

use std::collections::BTreeMap;

use super::fault::shown_key;
use super::section::{Placed, Section, text_of};
use super::template::{self, OF_A_SERVER};
use super::value::shown;
use super::{argv, caddy, haproxy, nginx, statuses};
use crate::model::{Rotation, Span};
use crate::os::extract::Extract;
use crate::os::text::nearest;
use crate::traffic::{self, Asked, CommandSettings, HttpSettings, Request, STATES};

/// The drivers.
#[derive(Clone, Copy)]
enum Driver {
    Haproxy,
    Nginx,
    Caddy,
    Command,
    Http,
    None,
}

const DRIVERS: [(&str, Driver); 6] = [
    ("haproxy", Driver::Haproxy),
    ("nginx", Driver::Nginx),
    ("caddy", Driver::Caddy),
    ("command", Driver::Command),
    ("http", Driver::Http),
    ("none", Driver::None),
];

const LATER: [(&str, &str); 1] = [("aws", "use driver = \"command\" with the aws program, as in examples/aws.toml")];

/// Reads `[traffic]`; `None` if it is faulty.
pub(super) fn read(root: &mut Section<'_>, service: &str) -> Option<traffic::Settings> {
    let mut section = root.table("traffic");
    let driver = section.choice("driver", &DRIVERS, &LATER);
    section.require("driver", "is missing; add driver = \"haproxy\", \"nginx\", \"caddy\", \"command\", \"http\" or \"none\"");
    // What else stands here may be right for the driver that was meant.
    let Placed { value: driver, place, .. } = driver?;
    let settings = match driver {
        Driver::Haproxy => haproxy::read(&mut section, service).map(traffic::Settings::Haproxy),
        Driver::Nginx => nginx::read(&mut section, service).map(|it| traffic::Settings::Nginx(Box::new(it))),
        Driver::Caddy => caddy::read(&mut section, service).map(|it| traffic::Settings::Caddy(Box::new(it))),
        Driver::Command => command(&mut section, service).map(|it| traffic::Settings::Command(Box::new(it))),
        Driver::Http => http(&mut section, service).map(|it| traffic::Settings::Http(Box::new(it))),
        Driver::None => {
            let text = "takes nothing out of rotation: requests to an instance fail while it is updated, unless something else drains it";
            section.warn_at(place, "driver", text);
            Some(traffic::Settings::None)
        }
    };
    section.finish();
    settings
}

const NO_STATE: &str = "is missing; nothing counts that is not read back: add what tells an instance's state";

fn command(section: &mut Section<'_>, service: &str) -> Option<CommandSettings> {
    let out = argv::read(section, "out", &OF_A_SERVER);
    section.require(
        "out",
        "is missing; add the command that takes an instance out: out = [\"/opt/lb\", \"out\", \"{{ instance.id }}\"]",
    );
    let into = argv::read(section, "in", &OF_A_SERVER);
    section
        .require("in", "is missing; add the command that puts an instance in: in = [\"/opt/lb\", \"in\", \"{{ instance.id }}\"]");
    let asked = |asked: argv::Asked| Asked { argv: asked.argv, answer: asked.answer };
    let state = argv::asked(section, "state", &OF_A_SERVER).map(asked);
    section.require("state", NO_STATE);
    let sessions = argv::asked(section, "sessions", &OF_A_SERVER).map(asked);
    let list = argv::read(section, "list", &["service"]);
    let states = states(section);
    let env = argv::env(section);
    let timeout = section.positive_span("timeout", Span::from_secs(10)).value;
    let service = service.to_owned();
    Some(CommandSettings { service, out: out?, into: into?, state: state?, list, sessions, states, env, timeout })
}

fn http(section: &mut Section<'_>, service: &str) -> Option<HttpSettings> {
    const FORM: &str = "is missing; add the request: { method = \"PUT\", url = \"http://…/{{ instance.id }}\", body = \"…\" }";
    let out = request(section, "out", "POST");
    section.require("out", FORM);
    let into = request(section, "in", "POST");
    section.require("in", FORM);
    let state = request(section, "state", "GET");
    section.require("state", NO_STATE);
    let sessions = request(section, "sessions", "GET");
    let states = states(section);
    let headers = headers(section);
    let timeout = section.positive_span("timeout", Span::from_secs(2)).value;
    let service = service.to_owned();
    Some(HttpSettings { service, out: out?, into: into?, state: state?, sessions, states, headers, timeout })
}

fn request(parent: &mut Section<'_>, key: &str, method: &str) -> Option<Request> {
    let asks = method == "GET";
    let mut section = parent.table(key);
    let given = section.text("method");
    if let Some(given) = &given
        && !matches!(given.value.full.as_str(), "GET" | "PUT" | "POST" | "PATCH" | "DELETE")
    {
        let remedy = format!("{} is no method; write GET, PUT, POST, PATCH or DELETE", shown(&given.value.raw));
        section.fault(given.place, "method", remedy);
    }
    let url = template_of(&mut section, "url");
    if section.present() {
        section.require("url", "is missing; add url = \"http://balancer:8404/servers/{{ instance.id }}\"");
    }
    let body = template_of(&mut section, "body");
    let status = statuses::read(&mut section);
    let answer = if asks { argv::extract(&mut section) } else { Extract::FirstLine };
    let present = section.present();
    section.finish();
    if !present {
        return None;
    }
    let method = given.map_or_else(|| method.to_owned(), |given| given.value.full);
    Some(Request { method, url: url?, body, status, answer })
}

fn template_of(section: &mut Section<'_>, key: &str) -> Option<String> {
    let text = section.text(key)?;
    if let Err(remedy) = template::check(&text.value.raw, &OF_A_SERVER) {
        section.fault(text.place, key, remedy);
    }
    // A part that comes from the environment or the instance is not known here.
    if key == "url" && !text.value.full.starts_with("http://") && !text.value.full.starts_with("https://") {
        section.fault(text.place, key, format!("{} is no http:// or https:// address", shown(&text.value.raw)));
    }
    Some(text.value.template)
}

/// Reads `headers = { Authorization = "Bearer ${TOKEN}" }`.
pub(super) fn headers(parent: &mut Section<'_>) -> Vec<(String, String)> {
    let mut section = parent.table("headers");
    let mut headers = Vec::new();
    for (name, entry) in section.rest() {
        let text = text_of(entry.node.value);
        let good = reqwest::header::HeaderName::try_from(name.as_str()).is_ok();
        match text {
            Ok(_) if !good => section.fault(entry.key, &shown_key(&name), "is no header's name"),
            Ok(text) if reqwest::header::HeaderValue::try_from(text.full.as_str()).is_err() => {
                section.fault(entry.node.place, &shown_key(&name), "has characters that no header can have");
            }
            Ok(text) => headers.push((name, text.full)),
            Err(remedy) => section.fault(entry.node.place, &shown_key(&name), remedy),
        }
    }
    headers
}

/// `states = { healthy = "in" }`: what the words of the balancer mean.
fn states(parent: &mut Section<'_>) -> BTreeMap<String, Rotation> {
    let words = || STATES.iter().map(|(word, _)| *word);
    let mut section = parent.table("states");
    let mut states = BTreeMap::new();
    for (word, entry) in section.rest() {
        let text = match text_of(entry.node.value) {
            Ok(text) => text,
            Err(remedy) => {
                section.fault(entry.node.place, &shown_key(&word), remedy);
                continue;
            }
        };
        if let Some((_, rotation)) = STATES.iter().find(|(known, _)| *known == text.full) {
            states.insert(word, *rotation);
            continue;
        }
        let near = nearest(&text.raw, words());
        let near = near.map_or_else(String::new, |near| format!("; the nearest is \"{near}\""));
        let known: Vec<String> = words().map(|word| format!("\"{word}\"")).collect();
        let remedy = format!("{} is no state{near}; write one of {}", shown(&text.raw), known.join(", "));
        section.fault(entry.node.place, &shown_key(&word), remedy);
    }
    states
}
