//! A first file from the containers that a Docker daemon runs.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::{DEFAULT_SOCKET, name_of, quoted};
use crate::app::Failure;
use crate::app::args::InitArgs;
use crate::fleet::docker::{DaemonSettings, Found, containers};
use crate::model::InstanceId;

/// The daemon that `--from` names: `docker`, or its address. `None` if it names a file.
pub(super) fn daemon(from: &Path) -> Option<String> {
    let text = from.to_str()?;
    if text == "docker" && !from.exists() {
        let given = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        return Some(given.unwrap_or_else(|| DaemonSettings::default().host));
    }
    ["unix://", "ssh://", "tcp://"].iter().any(|scheme| text.starts_with(scheme)).then(|| text.to_owned())
}

/// The text of the file, and what could not be taken over.
pub(super) async fn from_docker(host: &str, args: &InitArgs) -> Result<(String, Vec<String>), Failure> {
    let settings = DaemonSettings { host: host.to_owned(), ..DaemonSettings::default() };
    let found = containers(&settings, &[]).await;
    let found =
        found.map_err(|why| Failure::usage(format!("cannot read the containers: {why}; docker ps shows whether you may")))?;
    draft(host, &found, args)
}

fn draft(host: &str, found: &[Found], args: &InitArgs) -> Result<(String, Vec<String>), Failure> {
    let mut by_image: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for one in found.iter().filter(|one| one.port.is_some()) {
        by_image.entry(repository(&one.image)).or_default().push(one);
    }
    let list = by_image.keys().copied().collect::<Vec<_>>().join(", ");
    let (image, group) = match (&args.backend, by_image.len()) {
        (_, 0) => return Err(Failure::usage(format!("{host} runs no container that publishes a port"))),
        (Some(name), _) => by_image
            .get_key_value(name.as_str())
            .ok_or_else(|| Failure::usage(format!("{host} runs no container of an image {name}; there are: {list}")))?,
        (None, 1) => by_image.first_key_value().ok_or_else(|| Failure::usage(format!("{host} runs nothing")))?,
        (None, _) => {
            let why = format!("{host} runs containers of several images; choose one with --backend: {list}");
            return Err(Failure::usage(why));
        }
    };
    let mut notes = Vec::new();
    let mut instances = Vec::new();
    for one in group {
        if InstanceId::new(&one.name).is_err() {
            notes.push(format!("container {} is left out: its name is no id of an instance", one.name));
            continue;
        }
        let (name, port) = (quoted(&one.name), one.port.unwrap_or_default());
        let address = quoted(one.address.as_deref().unwrap_or("127.0.0.1"));
        instances.push(format!("\n[[fleet.instance]]\nid = {name}\nhost = {address}\nport = {port}\n"));
    }
    let service = args.service.clone().unwrap_or_else(|| name_of(image.rsplit('/').next().unwrap_or(image)));
    notes.push("which balancer sends them traffic is a guess: correct [traffic]".to_owned());
    if found.iter().any(|one| one.port.is_none()) {
        notes.push("containers that publish no port were passed over".to_owned());
    }
    let daemon = if host == DaemonSettings::default().host { String::new() } else { format!("host = {}\n", quoted(host)) };
    let text = format!(
        "# rollout deploys {shown} by this file. Every key and its default: rollout.toml at the top of rollout's sources, or\n\
         # rollout schema for your editor. Check it with: rollout check\n\n\
         [service]\nname = {shown}\n\n[fleet]\ndriver = \"docker\"\n{}\n\
         # A new container is given all that the old one was, but for its image; the old one is kept for the way back.\n\
         [update.docker]\n{daemon}image = {image}\n\n\
         [traffic]\ndriver = \"haproxy\"\nsockets = [\"unix:{DEFAULT_SOCKET}\"]\nbackend = {shown}\n\n\
         [health]\npath = \"/health\"\n# Where an instance reports its version, so that a wrong one is noticed:\n\
         # version = {{ header = \"X-Version\" }}\n\n\
         # Proves that no request fails: sends this many a second through the balancer while a deployment runs.\n\
         # [vip]\n# url = \"http://127.0.0.1/\"\n# rate = 10\n\n\
         [strategy]\nbatch_size = 1\nmax_unavailable = 1\nmin_serving = \"50%\"\n",
        instances.concat(),
        shown = quoted(&service),
        image = quoted(&format!("{image}:{{{{ version }}}}")),
    );
    Ok((text, notes))
}

/// The reference without its tag or digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    match image.rfind(':') {
        Some(colon) if colon > name => image.get(..colon).unwrap_or(image),
        Some(_) | None => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, image: &str, port: Option<u16>) -> Found {
        let address = Some("127.0.0.1".to_owned());
        Found { name: name.to_owned(), image: image.to_owned(), address, port, container_port: port, labels: BTreeMap::new() }
    }

    fn args(backend: Option<&str>) -> InitArgs {
        InitArgs { from: None, backend: backend.map(str::to_owned), service: None, print: false }
    }

    #[test]
    fn containers_of_one_image_become_a_fleet() {
        let all = [
            found("shop-1", "r.example.com:5000/team/shop:v1", Some(8081)),
            found("shop-2", "r.example.com:5000/team/shop:v2", Some(8082)),
            found("_odd", "r.example.com:5000/team/shop:v2", Some(8083)),
            found("db", "postgres:15", None),
        ];
        let (text, notes) = draft("unix:///run/d.sock", &all, &args(None)).unwrap();
        let config = super::super::read(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(config.service.name, "shop");
        assert_eq!(
            config.targets.iter().map(|t| (t.id.as_str(), t.port)).collect::<Vec<_>>(),
            [("shop-1", 8081), ("shop-2", 8082)]
        );
        assert!(
            text.contains("image = \"r.example.com:5000/team/shop:{{ version }}\"") && text.contains("/run/d.sock"),
            "{text}"
        );
        assert!(notes.iter().any(|note| note.contains("_odd")), "{notes:?}");
    }

    #[test]
    fn which_image_is_meant_is_asked() {
        let all = [found("a-1", "a:1", Some(1)), found("b-1", "b:1", Some(2))];
        let failure = draft("unix:///d.sock", &all, &args(None)).unwrap_err();
        assert!(failure.message.contains("--backend: a, b"), "{}", failure.message);
        assert!(draft("unix:///d.sock", &all, &args(Some("b"))).unwrap().0.contains("b-1"));
        assert!(draft("unix:///d.sock", &[], &args(None)).unwrap_err().message.contains("no container"));
    }
}
