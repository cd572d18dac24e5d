//! The demo's effective `rollout.toml`: the file at the top of the repository, with this demo's places put in.
//!
//! Imports: model. May not: write a file.

use std::fmt::Write as _;

use crate::model::Target;

/// The file that teaches the format, and whose rules the demo follows.
const TAUGHT: &str = include_str!("../../rollout.toml");

/// What is known only once the demo's world is there.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) targets: &'a [Target],
    /// This program: it is also the instances'.
    pub(super) exe: &'a str,
    /// Records and logs of the instances.
    pub(super) processes: &'a str,
    /// The balancer's runtime API.
    pub(super) socket: &'a str,
    pub(super) backend: &'a str,
    /// Where clients reach the service.
    pub(super) url: &'a str,
    /// Requests a second of the probe through the balancer.
    pub(super) rate: u32,
    /// `[journal] dir`.
    pub(super) state: &'a str,
}

/// The text. Tables that name places are written anew, all others are taken over with their comments.
pub(super) fn config(places: &Places<'_>) -> String {
    let mut config = "# The demo's effective configuration. It lasts as long as the demo does.\n\
        # Pauses and intervals are shorter than the defaults, which stand beside them.\n"
        .to_owned();
    for (name, text) in tables(TAUGHT) {
        config.push('\n');
        match name {
            "fleet" => fleet(&mut config, places),
            "update" => config.push_str(&with_line(text, "start", &start(places))),
            "traffic" => traffic(&mut config, places),
            "vip" => vip(&mut config, places),
            "journal" => config.extend(["[journal]\ndir = ", &string(places.state), "\n"]),
            _ => config.push_str(text),
        }
    }
    config
}

/// The tables of a file by name, each from its header to the comment of the next one.
fn tables(file: &str) -> Vec<(&str, &str)> {
    let mut starts: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    for line in file.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            starts.push((at, name));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([file.len()]);
    let whole = starts.iter().zip(ends).filter_map(|((start, name), end)| Some((*name, file.get(*start..end)?)));
    // What stands before a header, after a blank line, belongs to the table that follows.
    whole.map(|(name, text)| (name, text.split("\n\n#").next().unwrap_or(text).trim_end_matches('\n'))).collect()
}

/// `table` with the line of `key` replaced.
fn with_line(table: &str, key: &str, line: &str) -> String {
    let lines = table.lines().map(|old| if old.starts_with(&format!("{key} =")) { line } else { old });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn start(places: &Places<'_>) -> String {
    let program = string(places.exe);
    format!(
        "start = [{program}, \"demo-instance\", \"--id\", \"{{{{ instance.id }}}}\", \"--port\", \"{{{{ instance.port }}}}\", \
         \"--version\", \"{{{{ version }}}}\"]"
    )
}

fn fleet(config: &mut String, places: &Places<'_>) {
    config.extend(["[fleet]\ndriver = \"process\"\ndir = ", &string(places.processes), "\n"]);
    for target in places.targets {
        let zone = target.zone.as_deref().unwrap_or_default();
        let (id, host, port) = (string(target.id.as_str()), string(&target.host), target.port);
        // Writing to a string cannot fail.
        writeln!(config, "\n[[fleet.instance]]\nid = {id}\nhost = {host}\nport = {port}\nzone = {}", string(zone)).ok();
    }
}

fn traffic(config: &mut String, places: &Places<'_>) {
    let (socket, backend) = (string(&format!("unix:{}", places.socket)), string(places.backend));
    config.extend(["[traffic]\ndriver = \"haproxy\"\nsockets = [", &socket, "]\nbackend = ", &backend, "\n"]);
}

/// Every tenth request takes 200 ms, as long as a real one may.
fn vip(config: &mut String, places: &Places<'_>) {
    let mut urls = vec![string(&format!("{}/", places.url)); 9];
    urls.push(string(&format!("{}/slow?ms=200", places.url)));
    let urls = urls.join(",\n    ");
    writeln!(config, "[vip]\nurl = [\n    {urls},\n]\nrate = {}", places.rate).ok();
}

/// A string as TOML writes it.
fn string(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_taught_file_is_found_once_and_whole() {
        let names: Vec<&str> = tables(TAUGHT).into_iter().map(|(name, _)| name).collect();
        let expected = "service fleet update traffic drain health vip strategy rollback journal env.default console";
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
        for (name, text) in tables(TAUGHT) {
            let table: toml::Table = text.parse().unwrap();
            assert!(table.contains_key(name.split('.').next().unwrap()), "{name}");
        }
    }
}
