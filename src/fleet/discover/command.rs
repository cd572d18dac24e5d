//! A program that prints who there is: a list of our own shape, or an inventory as Ansible's `--list` has it.
//!
//! Imports: model, os, the settings. May not: take more of an inventory's variables than it must, since some are secrets.
//!
//! Of a host in an inventory: `ansible_host` is where it is, `rollout_port` and `rollout_zone` are what they say.
//! `ansible_port` is that of its sshd and no business of ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::CommandSource;
use crate::model::Found;
use crate::os::child::End;
use crate::os::program::Limits;
use crate::os::text;

/// More than any inventory that is read has: some tell all about each host.
const ROOM: usize = 32 * 1024 * 1024;

/// Runs the program and reads what it prints.
pub(super) async fn find(source: &CommandSource) -> Result<Vec<Found>, String> {
    let CommandSource { program, group, timeout } = source;
    let finished = program.print("discovery", Limits::within(timeout.to_std()), ROOM).await?;
    match finished.end {
        End::Exit(0) if finished.whole => read(&finished.stdout, group),
        End::Exit(0) => Err(format!("prints more than {} MiB", ROOM >> 20)),
        End::Exit(_) | End::Signal(_) | End::Deadline | End::Lost => Err(finished.words()),
    }
}

/// One entry of our own shape; what else it has is passed over.
#[derive(Deserialize)]
struct Entry {
    id: String,
    host: Option<String>,
    port: Option<u16>,
    zone: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn read(printed: &[u8], group: &str) -> Result<Vec<Found>, String> {
    const FORM: &str = "print [{\"id\": \"web-01\", \"host\": \"10.0.0.1\", \"port\": 8080}, …], or an inventory as ansible-inventory --list does";
    match serde_json::from_slice::<Value>(printed) {
        Ok(Value::Array(list)) => list.into_iter().enumerate().map(|(index, entry)| own(index + 1, entry)).collect(),
        Ok(Value::Object(inventory)) => of_inventory(&inventory, group),
        Ok(_) => Err(format!("prints JSON that is neither a list nor an inventory; {FORM}")),
        Err(e) => Err(format!("prints no JSON ({}); {FORM}", text::sanitise(&e.to_string()))),
    }
}

fn own(number: usize, entry: Value) -> Result<Found, String> {
    let read = serde_json::from_value::<Entry>(entry);
    let Entry { id, host, port, zone, labels } =
        read.map_err(|e| format!("its entry {number} cannot be read: {}", text::sanitise(&e.to_string())))?;
    Ok(Found { id, host, port, zone, labels })
}

fn of_inventory(inventory: &Map<String, Value>, group: &str) -> Result<Vec<Found>, String> {
    let groups: Vec<&str> = inventory.keys().map(String::as_str).filter(|name| *name != "_meta").collect();
    if !groups.contains(&group) {
        let shown = groups.iter().take(10).map(|name| text::sanitise(name)).collect::<Vec<_>>().join(", ");
        return Err(format!("has no group {group:?}; it has: {}", if shown.is_empty() { "none" } else { &shown }));
    }
    let variables = inventory.get("_meta").and_then(|meta| meta.get("hostvars"));
    let (mut names, mut seen, mut left) = (BTreeSet::new(), BTreeSet::new(), vec![group]);
    while let Some(group) = left.pop() {
        // Groups may hold each other.
        if !seen.insert(group) {
            continue;
        }
        // The oldest form has a list of hosts in the group's stead.
        let hosts =
            inventory.get(group).map(|group| if group.is_array() { group } else { group.get("hosts").unwrap_or(&Value::Null) });
        names.extend(texts(hosts));
        left.extend(texts(inventory.get(group).and_then(|group| group.get("children"))));
    }
    names.into_iter().map(|name| host(name, variables.and_then(|all| all.get(name)))).collect()
}

fn host(name: &str, variables: Option<&Value>) -> Result<Found, String> {
    let text = |key: &str| variables.and_then(|all| all.get(key)).and_then(Value::as_str).map(str::to_owned);
    let port = match variables.and_then(|all| all.get("rollout_port")) {
        None => None,
        Some(value) => {
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok()).and_then(|port| u16::try_from(port).ok());
            Some(number.ok_or_else(|| format!("rollout_port of {} is no port", text::sanitise(name)))?)
        }
    };
    let host = text("ansible_host").unwrap_or_else(|| name.to_owned());
    Ok(Found { id: name.to_owned(), host: Some(host), port, zone: text("rollout_zone"), labels: BTreeMap::new() })
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(printed: &str, group: &str) -> Result<Vec<String>, String> {
        let found = read(printed.as_bytes(), group)?;
        Ok(found.iter().map(|f| format!("{}={}:{:?}", f.id, f.host.as_deref().unwrap_or("-"), f.port)).collect())
    }

    #[test]
    fn both_shapes_are_read() {
        let own = r#"[{"id":"b","host":"h","port":7,"zone":"z","labels":{"a":"b"},"more":1},{"id":"a"}]"#;
        assert_eq!(ids(own, "all").unwrap(), ["b=h:Some(7)", "a=-:None"]);
        assert_eq!(ids("[]", "all").unwrap(), Vec::<String>::new());
        let inventory = r#"{"_meta":{"hostvars":{"w1":{"ansible_host":"10.0.0.1","ansible_port":22,"rollout_port":"80"},"db":{}}},
            "all":{"children":["ungrouped","web","db"]},"web":{"children":["blue"],"hosts":["w2"]},
            "blue":{"hosts":["w1"],"children":["web"]},"db":{"hosts":["db"]},"old":["w3"]}"#;
        assert_eq!(ids(inventory, "web").unwrap(), ["w1=10.0.0.1:Some(80)", "w2=w2:None"]);
        assert_eq!(ids(inventory, "all").unwrap().len(), 3);
        assert_eq!(ids(inventory, "old").unwrap(), ["w3=w3:None"]);
        assert!(ids(inventory, "wbe").unwrap_err().contains("no group \"wbe\"; it has: all, web"));
    }

    #[test]
    fn everything_else_is_refused_in_words() {
        for (printed, part) in [
            ("", "prints no JSON"),
            ("<html>", "prints no JSON"),
            ("7", "neither a list nor an inventory"),
            ("{}", "it has: none"),
            (r#"[{"host":"h"}]"#, "entry 1 cannot be read: missing field `id`"),
            (r#"[{"id":"a"},{"id":"b","port":70000}]"#, "entry 2"),
            (r#"{"all":["w"],"_meta":{"hostvars":{"w":{"rollout_port":"x"}}}}"#, "rollout_port of w is no port"),
        ] {
            let why = ids(printed, "all").unwrap_err();
            assert!(why.contains(part), "{printed}: {why}");
        }
    }
}
