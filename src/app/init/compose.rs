//! Reads a compose file: its services by image, each with the ports that it publishes.
//!
//! Variables in it are not filled in, and no other file is read. What it cannot use becomes a note.

use serde_json::Value;

use super::haproxy::Server;
use super::source::{Group, Sort};

/// The file, if it is one.
pub(super) fn read(text: &str) -> Option<Value> {
    let document: Value = serde_saphyr::from_str(text).ok()?;
    document.get("services")?.is_object().then_some(document)
}

/// Services of the same image are a group.
pub(super) fn parse(document: &Value) -> (Vec<Group>, Vec<String>) {
    let (mut groups, mut notes): (Vec<Group>, Vec<String>) = (Vec::new(), Vec::new());
    let services = document.get("services").and_then(Value::as_object);
    for (name, service) in services.into_iter().flatten() {
        let text = |key: &str| service.get(key).and_then(Value::as_str);
        let Some(image) = text("image") else {
            notes.push(format!("service {name} has no image, so no version of it could be chosen; it is left out"));
            continue;
        };
        let (repository, tag) = split(image);
        let servers = match published(service) {
            Ok(ports) if ports.is_empty() => {
                notes.push(format!("service {name} publishes no port, so nobody could look at it; it is left out"));
                continue;
            }
            Ok(ports) => ports,
            Err(why) => {
                notes.push(format!("service {name}: {why}; it is left out"));
                continue;
            }
        };
        let several = servers.len() > 1;
        let servers = servers.into_iter().enumerate().map(|(index, (host, port))| {
            let name = if several { format!("{name}-{}", index + 1) } else { name.clone() };
            Server { name, host, port }
        });
        let short = repository.rsplit('/').next().unwrap_or(repository).to_owned();
        let same = |group: &Group| matches!(&group.sort, Sort::Compose { image } if image == repository);
        if !groups.iter().any(same) {
            groups.push(Group { name: short, sort: Sort::Compose { image: repository.to_owned() }, ..Group::default() });
        }
        let group = groups.iter_mut().find(|group| same(group));
        let Some(group) = group else { continue };
        group.servers.extend(servers);
        if tag.is_none_or(|tag| tag == "latest") {
            group.notes.push(format!("service {name} has no tag that names a version ({image}); deploy by tags"));
        }
        if several {
            group.notes.push(format!("service {name} publishes several ports: they are taken for its replicas, which compose does not update one by one; make each a service of its own"));
        }
        if service.get("depends_on").is_some() {
            group.notes.push(format!("service {name} depends on others, which are left alone"));
        }
    }
    (groups, notes)
}

/// Repository and tag.
fn split(image: &str) -> (&str, Option<&str>) {
    let plain = image.split_once('@').map_or(image, |(plain, _digest)| plain);
    match plain.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (plain, None),
    }
}

/// Where the first port inside is published, once for each replica.
fn published(service: &Value) -> Result<Vec<(String, u16)>, String> {
    let mut found: Vec<(u16, String, u16)> = Vec::new();
    for port in service.get("ports").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| port.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let (host, outside, inside) = match port {
            Value::String(short) => {
                let short = short.strip_suffix("/tcp").unwrap_or(short);
                if short.ends_with("/udp") {
                    continue;
                }
                let Some((outer, inside)) = short.rsplit_once(':') else { continue };
                match outer.rsplit_once(':') {
                    Some((host, outside)) => (host.trim_matches(['[', ']']).to_owned(), outside.to_owned(), inside.to_owned()),
                    None => (String::new(), outer.to_owned(), inside.to_owned()),
                }
            }
            Value::Object(_) => {
                let Some(outside) = text("published") else { continue };
                (text("host_ip").unwrap_or_default(), outside, text("target").unwrap_or_default())
            }
            _ => continue,
        };
        let host = if host.is_empty() || host == "0.0.0.0" || host == "::" { "127.0.0.1".to_owned() } else { host };
        let (outside, inside) = (range(&outside)?, range(&inside)?);
        // A range inside is of several ports of one container.
        let port = inside.first().copied().unwrap_or(0);
        found.extend(outside.into_iter().map(|outside| (port, host.clone(), outside)));
    }
    let first = found.iter().map(|(inside, ..)| *inside).min();
    Ok(found.into_iter().filter(|(inside, ..)| Some(*inside) == first).map(|(_, host, port)| (host, port)).collect())
}

/// `8080`, or `8001-8003`.
fn range(text: &str) -> Result<Vec<u16>, String> {
    let port = |text: &str| {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        port.ok_or_else(|| format!("{text:?} is no port (variables are not filled in)"))
    };
    match text.split_once('-') {
        Some((first, last)) => Ok((port(first)?..=port(last)?).take(1000).collect()),
        None => Ok(vec![port(text)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_one_image_are_a_group() {
        let text = "x-common: &common\n  image: registry.example:5000/team/shop:v1\n  restart: always\nservices:\n  web-1:\n    <<: *common\n    \
                    ports: [\"127.0.0.1:8001:8080\", \"9001:9090\"]\n  web-2:\n    <<: *common\n    ports:\n      - target: 8080\n        \
                    published: \"8002\"\n  api:\n    image: api\n    ports: [\"8100-8102:80\"]\n  db:\n    image: postgres:16\n  tool:\n    build: .\n  \
                    odd:\n    image: odd:1\n    ports: [\"${PORT}:80\"]\n";
        let document = read(text).unwrap();
        let (groups, notes) = parse(&document);
        let told: Vec<String> = groups
            .iter()
            .map(|g| {
                format!(
                    "{}: {}",
                    g.name,
                    g.servers.iter().map(|s| format!("{}={}:{}", s.name, s.host, s.port)).collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "shop: web-1=127.0.0.1:8001 web-2=127.0.0.1:8002",
                "api: api-1=127.0.0.1:8100 api-2=127.0.0.1:8101 api-3=127.0.0.1:8102"
            ]
        );
        assert!(matches!(&groups[0].sort, Sort::Compose { image } if image == "registry.example:5000/team/shop"));
        let said = notes.join("\n");
        for part in ["db publishes no port", "tool has no image", "odd: \"${PORT}\" is no port"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(groups[1].notes.iter().any(|note| note.contains("no tag")), "{:?}", groups[1].notes);
    }

    #[test]
    fn what_is_none_is_none() {
        for text in ["", "a: b", "services: []", "[web]\nweb-1\n", "{{{", "services:\n  - x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
