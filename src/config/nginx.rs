//! `[traffic] driver = "nginx"`.
//!
//! Imports: config's reader, the driver's settings, model. May not: reach anything.

use super::secret::Text;
use super::section::{Placed, Section};
use super::ssh;
use super::template::{self, OF_A_SERVER};
use super::value::shown;
use crate::model::Span;
use crate::traffic::NginxSettings;

/// Reads the keys of the driver; `None` if one is missing.
pub(super) fn read(section: &mut Section<'_>, service: &str) -> Option<NginxSettings> {
    let upstream_file = section.text("upstream_file").map(|path| absolute(section, "upstream_file", path));
    section.require(
        "upstream_file",
        "is missing; add the file with the upstream block: upstream_file = \"/etc/nginx/rollout/shop.conf\"",
    );
    let upstream = section.text("upstream").map(|name| name.value.full);
    section.require("upstream", "is missing; add the block's name: upstream = \"shop\"");
    let server = server(section);
    let test = argv(section, "test", &["nginx", "-t"]);
    let reload = argv(section, "reload", &["nginx", "-s", "reload"]);
    let pid_file = section.text("pid_file").map(|path| absolute(section, "pid_file", path));
    let pid_file = pid_file.unwrap_or_else(|| "/run/nginx.pid".to_owned());
    let hosts = hosts(section);
    let mut table = section.table("ssh");
    if table.present() && hosts.is_empty() {
        section.fault(table.place(), "ssh", "is for nginx on other hosts; name them: hosts = [\"lb-1\"]");
    }
    let ssh = ssh::options(&mut table);
    table.finish();
    let timeout = section.positive_span("timeout", Span::from_secs(5)).value;
    let (service, upstream_file, upstream) = (service.to_owned(), upstream_file?, upstream?);
    Some(NginxSettings { service, upstream_file, upstream, server, test, reload, pid_file, hosts, ssh, timeout })
}

/// `server`: an instance's address as the balancer knows it.
pub(super) fn server(section: &mut Section<'_>) -> String {
    let server = section.text("server").map(|server| {
        if let Err(remedy) = template::check(&server.value.raw, &OF_A_SERVER) {
            section.fault(server.place, "server", remedy);
        }
        server.value.template
    });
    server.unwrap_or_else(|| "{{ instance.host }}:{{ instance.port }}".to_owned())
}

/// Names that ssh knows.
fn hosts(section: &mut Section<'_>) -> Vec<String> {
    let Some(list) = section.texts("hosts") else { return Vec::new() };
    let mut seen: Vec<String> = Vec::new();
    for (place, text) in list.value {
        let bad = text.full.is_empty()
            || text.full.starts_with('-')
            || text.full.contains(|c: char| c.is_whitespace() || c.is_control());
        if bad {
            section.fault(place, "hosts", format!("{} is no name of a host; write one that ssh knows", shown(&text.raw)));
        } else if seen.contains(&text.full) {
            section.fault(place, "hosts", format!("{} is there twice; name every balancer once", shown(&text.raw)));
        }
        seen.push(text.full);
    }
    seen
}

fn absolute(section: &Section<'_>, key: &str, path: Placed<Text>) -> String {
    if !path.value.full.starts_with('/') {
        section.fault(path.place, key, format!("{} is no absolute path; begin it with /", shown(&path.value.raw)));
    }
    path.value.full
}

/// A command that concerns no instance: no templates.
fn argv(section: &mut Section<'_>, key: &str, default: &[&str]) -> Vec<String> {
    let Some(list) = section.texts(key) else { return default.iter().map(|word| (*word).to_owned()).collect() };
    if list.sound && list.value.first().is_none_or(|(_, program)| program.full.is_empty()) {
        section.fault(list.place, key, "is empty; its first element must name a program");
    }
    list.value.into_iter().map(|(_, text)| text.full).collect()
}
