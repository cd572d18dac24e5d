//! Reads an Ansible inventory by the program that knows it: `ansible-inventory`.
//!
//! The file that is made asks that program again for every plan, so that the inventory stays the only truth.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::haproxy::Server;
use super::source::{Group, Sort};
use crate::os::child::End;
use crate::os::program::{Environment, Limits, Program};

/// The longest that the program may take: it starts slowly.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest inventory.
const ROOM: usize = 32 * 1024 * 1024;

/// Whether a text looks like an inventory: groups in brackets, or YAML with hosts.
pub(super) fn is_one(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| (line.starts_with('[') && line.ends_with(']')) || line == "hosts:" || line == "all:")
}

/// Every group with a host.
pub(super) async fn read(file: &Path) -> Result<Vec<Group>, String> {
    let file = std::path::absolute(file).map_err(|e| e.to_string())?.display().to_string();
    let command: Vec<String> = ["ansible-inventory", "-i", &file, "--list"].map(str::to_owned).to_vec();
    if file.contains("{{") || file.contains("{%") {
        return Err("it is an inventory whose path has braces, which stand for something else in rollout.toml".to_owned());
    }
    let program = Program { service: String::new(), argv: command.clone(), env: Environment::default() };
    let install = |why: String| format!("it looks like an inventory of Ansible, and {why} (apt install ansible-core)");
    program.check().map_err(install)?;
    let finished = program.print("init", Limits::within(PATIENCE), ROOM).await?;
    if finished.end != End::Exit(0) || !finished.whole {
        return Err(format!("ansible-inventory: {}", finished.words()));
    }
    let inventory: Value =
        serde_json::from_slice(&finished.stdout).map_err(|e| format!("ansible-inventory prints no JSON: {e}"))?;
    let groups = inventory.as_object().into_iter().flatten().filter(|(name, _)| *name != "_meta");
    let groups = groups.filter_map(|(name, group)| {
        let hosts = group.get("hosts").and_then(Value::as_array)?.iter().filter_map(Value::as_str);
        let servers: Vec<Server> =
            hosts.map(|host| Server { name: host.to_owned(), host: host.to_owned(), port: 8080 }).collect();
        let mut found =
            Group { name: name.clone(), servers, sort: Sort::Ansible { command: command.clone() }, ..Group::default() };
        let at = |host: &Server| inventory.pointer("/_meta/hostvars").and_then(|all| all.get(&host.name)?.get("rollout_port"));
        if found.servers.iter().any(|host| at(host).is_none()) {
            found.notes.push("fleet.port is a guess; a host's own is what its variable rollout_port says".to_owned());
        }
        Some(found)
    });
    Ok(groups.collect())
}
