//! `[update.docker]`, for `[fleet] driver = "docker"`; how a daemon is reached, for `[fleet.discover.docker]` too.
//!
//! Imports: config's reader, the driver's settings. May not: reach anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::argv;
use super::fault::shown_key;
use super::section::{Section, text_of};
use super::template::{self, OF_A_COMMAND, OF_A_SERVER};
use super::value::shown;
use crate::fleet::docker::{DaemonSettings, DockerSettings, First, Pull, TlsFiles};
use crate::model::Span;
use crate::os::program::Environment;

const PULL: [(&str, Pull); 3] = [("missing", Pull::Missing), ("always", Pull::Always), ("never", Pull::Never)];
const POLICIES: &str = "write \"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:5\"";

/// Reads the keys of the driver; service and times are filled in when they are known. `None` if one is missing.
pub(super) fn read(update: &mut Section<'_>, env: Environment) -> Option<DockerSettings> {
    let mut section = update.table("docker");
    let daemon = daemon(&mut section, Some(&OF_A_SERVER));
    let image = template(
        &mut section,
        "image",
        &["version", "service", "instance.id", "instance.host", "instance.port", "instance.zone"],
    );
    section.require("image", "is missing; add the image of a version: image = \"registry.example.com/shop:{{ version }}\"");
    let container = template(&mut section, "container", &OF_A_SERVER);
    let pull = section.choice("pull", &PULL, &[]).map_or(Pull::Missing, |pull| pull.value);
    let credentials = file(&mut section, "credentials");
    let keep_old = section.flag("keep_old", true).value;
    let await_healthy = section.flag("await_healthy", false).value;
    let first = first(&mut section);
    section.finish();
    Some(DockerSettings {
        service: String::new(),
        daemon,
        image: image?,
        container: container.unwrap_or_else(|| "{{ instance.id }}".to_owned()),
        pull,
        credentials,
        keep_old,
        await_healthy,
        env,
        first,
        timeout: Span::ZERO,
        stop_timeout: Span::ZERO,
    })
}

/// How a daemon is reached; `variables`: what the template of its host may use, `None` if it is taken as it is.
pub(super) fn daemon(section: &mut Section<'_>, variables: Option<&[&str]>) -> DaemonSettings {
    let usual = DaemonSettings::default();
    let host = section.text("host");
    let insecure = section.flag("insecure", false);
    let (ca, cert, key) = (file(section, "ca_file"), file(section, "cert_file"), file(section, "key_file"));
    for (one, other, there, lacks) in
        [("cert_file", "key_file", cert.is_some(), key.is_none()), ("key_file", "cert_file", key.is_some(), cert.is_none())]
    {
        if there && lacks && !section.had(other) {
            section.fault(section.place(), one, format!("needs {other} too: a certificate and its key go together"));
        }
    }
    if ca.is_none() && !section.had("ca_file") && (cert.is_some() || key.is_some()) {
        section.fault(section.place(), "ca_file", "is missing; add who signed the daemon's certificate");
    }
    let own = cert.zip(key);
    let tls = ca.map(|ca| TlsFiles { ca, own });
    if let Some(host) = &host {
        let text = &host.value.raw;
        if !["unix://", "ssh://", "tcp://"].iter().any(|scheme| text.starts_with(scheme)) {
            let there = if variables.is_some() { "{{ instance.host }}" } else { "HOST" };
            let remedy = format!("is no daemon; write unix:///var/run/docker.sock, ssh://USER@{there} or tcp://HOST:2376");
            section.fault(host.place, "host", format!("{} {remedy}", shown(text)));
        } else if variables.is_none() && text.contains("{{") {
            let remedy = "is a template, and no instance is known yet; write ssh://USER@HOST";
            section.fault(host.place, "host", format!("{} {remedy}", shown(text)));
        } else if let Some(Err(remedy)) = variables.map(|variables| template::check(text, variables)) {
            section.fault(host.place, "host", remedy);
        } else if text.starts_with("tcp://") && tls.is_none() && !insecure.value && !section.had("ca_file") && !is_here(text) {
            let remedy = "has no TLS: whoever can connect is root there; add ca_file, cert_file and key_file, or write ssh://";
            section.fault(host.place, "host", format!("{} {remedy}", shown(text)));
        }
    }
    if insecure.value {
        let text = "lets a daemon be used without TLS: whoever can connect to it, or sits in between, is root there";
        section.warn_at(insecure.place, "insecure", text);
    }
    let ssh_options = section.texts("ssh_options").map(|options| options.value).unwrap_or_default();
    let ssh_options = ssh_options.into_iter().map(|(_, option)| option.full).collect();
    let host = host.map(|host| if variables.is_some() { host.value.template } else { host.value.full });
    DaemonSettings { host: host.unwrap_or(usual.host), tls, insecure: insecure.value, ssh_options }
}

/// An address on this machine; what a template makes of one is seen when it is rendered.
fn is_here(host: &str) -> bool {
    let name = host.trim_start_matches("tcp://");
    name.starts_with("127.") || name.starts_with("localhost") || name.starts_with("[::1]") || name.contains("{{")
}

fn template(section: &mut Section<'_>, key: &str, variables: &[&str]) -> Option<String> {
    let text = section.text(key)?;
    if let Err(remedy) = template::check(&text.value.raw, variables) {
        section.fault(text.place, key, remedy);
    } else if key == "image" && !text.value.raw.contains("version") {
        section.fault(
            text.place,
            key,
            format!("{} is the same for all versions; end it with \":{{{{ version }}}}\"", shown(&text.value.raw)),
        );
    }
    Some(text.value.template)
}

fn file(section: &mut Section<'_>, key: &str) -> Option<PathBuf> {
    let path = section.text(key)?;
    if !path.value.full.starts_with('/') {
        section.fault(path.place, key, format!("{} is a relative path; write an absolute one", shown(&path.value.raw)));
        return None;
    }
    Some(PathBuf::from(path.value.full))
}

/// What the first container of an instance is made of.
fn first(section: &mut Section<'_>) -> First {
    let port = section.number_if_given("container_port", (1, 65_535)).and_then(|port| u16::try_from(port.value).ok());
    let mut mounts = Vec::new();
    for (place, text) in section.texts("mounts").map(|mounts| mounts.value).unwrap_or_default() {
        let parts: Vec<&str> = text.raw.split(':').collect();
        if !matches!(parts.as_slice(), [source, target] | [source, target, _] if !source.is_empty() && target.starts_with('/')) {
            let form = "write \"/srv/shop:/data\", \"volume:/data\" or \"/srv/shop:/data:ro\"";
            section.fault(place, "mounts", format!("{} is no mount; {form}", shown(&text.raw)));
        } else if let Err(remedy) = template::check(&text.raw, &OF_A_COMMAND) {
            section.fault(place, "mounts", remedy);
        }
        mounts.push(text.template);
    }
    let networks = section.texts("networks").map(|networks| networks.value).unwrap_or_default();
    let networks = networks.into_iter().map(|(_, network)| network.full).collect();
    let restart = section.text("restart").map(|restart| {
        if !crate::fleet::docker::is_restart_policy(&restart.value.full) {
            section.fault(restart.place, "restart", format!("{} is no restart policy; {POLICIES}", shown(&restart.value.raw)));
        }
        restart.value.full
    });
    let command = argv::arguments(section, "command", &OF_A_COMMAND);
    let mut table = section.table("labels");
    let mut labels = BTreeMap::new();
    for (name, entry) in table.rest() {
        let place = entry.node.place;
        let read = text_of(entry.node.value).and_then(|text| template::check(&text.raw, &OF_A_COMMAND).map(|()| text));
        match read {
            Ok(text) => drop(labels.insert(name, text.template)),
            Err(remedy) => table.fault(place, &shown_key(&name), remedy),
        }
    }
    First { port, mounts, networks, labels, restart, command }
}
