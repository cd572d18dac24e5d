//! What a new rollout.toml is made of, and its text.

use std::net::IpAddr;
use std::path::Path;

use super::haproxy::{Backend, Check, Haproxy, Server};
use super::source::{Group, Sort};
use crate::app::Failure;
use crate::model::InstanceId;

/// Everything that a new file needs to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) service: String,
    /// A pattern of names, each its own host unless there is one for all; used if `each` is empty.
    pub(super) pattern: String,
    pub(super) host: String,
    /// One for all, or a range.
    pub(super) port: String,
    /// The instances one by one.
    pub(super) each: Vec<Server>,
    pub(super) driver: Driver,
    pub(super) socket: String,
    pub(super) backend: String,
    /// Template of a server's name, if it is not the instance's id.
    pub(super) server: Option<String>,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    /// Where users reach the service.
    pub(super) urls: Vec<String>,
    /// What else than HAProxy it is from.
    pub(super) origin: Option<Origin>,
}

/// A group of instances in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) group: String,
    pub(super) sort: Sort,
}

/// How an instance is brought to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// Local processes.
    Process,
    /// Programs that know how: over ssh, or on this machine.
    Command,
}

impl Driver {
    /// By its word.
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Process, Self::Command].into_iter().find(|driver| driver.word() == word)
    }

    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Command => "command",
        }
    }
}

impl Draft {
    /// The usual, to be changed.
    pub(super) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            driver: Driver::Process,
            pattern: "web-[01:04]".to_owned(),
            host: String::new(),
            port: "8080".to_owned(),
            each: Vec::new(),
            socket: format!("unix:{DEFAULT_SOCKET}"),
            backend: service.to_owned(),
            server: None,
            path: "/health".to_owned(),
            status: None,
            urls: Vec::new(),
            origin: None,
        }
    }

    /// From a group of another file. The notes say what could not be taken over.
    pub(super) fn of_group(group: &Group, file: &Path, service: Option<&str>) -> Result<(Self, Vec<String>), Failure> {
        let mut notes = group.notes.clone();
        if group.servers.is_empty() {
            let why = notes.join("\n");
            return Err(Failure::usage(format!("{} {} has nobody who can be taken over:\n{why}", group.sort.word(), group.name)));
        }
        let file = std::path::absolute(file).map_or_else(|_| file.display().to_string(), |file| file.display().to_string());
        notes.push(match &group.sort {
            Sort::Nginx => "who sends the traffic is not filled in: see [traffic]".to_owned(),
            Sort::Compose { .. } => "which balancer sends the traffic is not known: see [traffic]".to_owned(),
            Sort::Ansible { .. } => {
                format!("the {} hosts of {} are asked for whenever a plan is made; which balancer they have is not known: see [traffic]", group.servers.len(), group.name)
            }
        });
        notes.push("health.path is a guess".to_owned());
        let each =
            if let Sort::Ansible { .. } = group.sort { Vec::new() } else { distinct(&group.servers).map_err(Failure::usage)? };
        let draft = Self {
            driver: Driver::Command,
            service: service.map_or_else(|| name_of(&group.name), str::to_owned),
            each,
            urls: group.urls.clone(),
            origin: Some(Origin { file, group: group.name.clone(), sort: group.sort.clone() }),
            ..Self::new(&group.name)
        };
        Ok((draft, notes))
    }

    /// From a backend of an HAProxy configuration. The notes say what could not be taken over.
    pub(super) fn of(haproxy: &Haproxy, backend: &Backend, service: Option<&str>) -> Result<(Self, Vec<String>), Failure> {
        let mut notes = [haproxy.notes.clone(), backend.notes.clone()].concat();
        if backend.servers.is_empty() {
            let why = notes.join("\n");
            return Err(Failure::usage(format!("backend {} has no server that can be taken over:\n{why}", backend.name)));
        }
        let (each, server) = named(&backend.servers).map_err(Failure::usage)?;
        let socket = haproxy.sockets.iter().find(|socket| socket.admin).or_else(|| haproxy.sockets.first());
        match socket {
            None => notes.push(format!("global has no stats socket; add: stats socket {DEFAULT_SOCKET} mode 660 level admin")),
            Some(socket) if !socket.admin => {
                notes.push(format!("the stats socket {} lacks \"level admin\"; add it, or orders are refused", socket.address));
            }
            Some(_) => {}
        }
        let Check { path, status } = &backend.check;
        if path.is_none() {
            notes.push(format!("backend {} has no option httpchk; health.path is a guess", backend.name));
        }
        let draft = Self {
            // Whatever runs there was not started by rollout, so the driver of its own processes could not stop it.
            driver: Driver::Command,
            service: service.map_or_else(|| name_of(&backend.name), str::to_owned),
            each,
            socket: socket.map_or_else(|| format!("unix:{DEFAULT_SOCKET}"), |socket| socket.address.clone()),
            server,
            path: path.clone().unwrap_or_else(|| "/health".to_owned()),
            status: status.as_ref().and_then(|status| status.parse().ok()),
            urls: backend.urls.clone(),
            ..Self::new(&backend.name)
        };
        Ok((draft, notes))
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = vec![format!(
            "# rollout deploys {service} by this file. Every key and its default: rollout.toml at the top of rollout's sources, or\n\
             # rollout schema for your editor. Check it with: rollout check\n\n\
             [service]\nname = {service}\n\n[fleet]\ndriver = {driver}\n",
            service = quoted(&self.service),
            driver = quoted(self.driver.word()),
        )];
        if let Some(Origin { group, sort: Sort::Ansible { command }, .. }) = &self.origin {
            let command = command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
            text.push(format!(
                "port = {}\n\n# Asked whenever a plan is made. Of a host, ansible_host is where it is, rollout_port and rollout_zone what they say.\n\
                 [fleet.discover.command]\ncommand = [{command}]\ngroup = {}\n",
                self.port,
                quoted(group)
            ));
        } else if self.each.is_empty() {
            let port = if self.port.parse::<u16>().is_ok() { self.port.clone() } else { quoted(&self.port) };
            let host = if self.host.is_empty() { String::new() } else { format!("host = {}\n", quoted(&self.host)) };
            text.push(format!("instances = [{}]\n{host}port = {port}\n", quoted(&self.pattern)));
        }
        for Server { name, host, port } in &self.each {
            let host = if host == name { String::new() } else { format!("host = {}\n", quoted(host)) };
            text.push(format!("\n[[fleet.instance]]\nid = {}\n{host}port = {port}\n", quoted(name)));
        }
        text.push(self.update());
        text.push(self.traffic());
        let status = self.status.map_or_else(String::new, |status| format!("status = [{status}]\n"));
        text.push(format!(
            "\n[health]\npath = {}\n{status}# Where an instance reports its version, so that a wrong one is noticed:\n\
             # version = {{ header = \"X-Version\" }}\n",
            quoted(&self.path)
        ));
        let url = self.urls.first().map_or("http://127.0.0.1/", String::as_str);
        text.push(format!(
            "\n# Proves that no request fails: sends this many a second through the balancer while a deployment runs.\n\
             # [vip]\n# url = {}\n# rate = 10\n",
            quoted(url)
        ));
        text.push("\n[strategy]\nbatch_size = 1\nmax_unavailable = 1\nmin_serving = \"50%\"\n".to_owned());
        text.concat()
    }

    /// All instances are on this machine.
    fn is_local(&self) -> bool {
        let here = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback());
        if self.each.is_empty() { here(&self.host) } else { self.each.iter().all(|server| here(&server.host)) }
    }

    /// Who sends the traffic.
    fn traffic(&self) -> String {
        let Some(Origin { file, group, sort }) = &self.origin else {
            let server = self.server.as_deref().map_or_else(String::new, |server| format!("server = {}\n", quoted(server)));
            let (socket, backend) = (quoted(&self.socket), quoted(&self.backend));
            return format!("\n[traffic]\ndriver = \"haproxy\"\nsockets = [{socket}]\nbackend = {backend}\n{server}");
        };
        let who = match sort {
            Sort::Nginx => format!("nginx sends it, by upstream {group} of {file}"),
            Sort::Compose { .. } | Sort::Ansible { .. } => format!("{file} does not tell who sends it"),
        };
        format!(
            "\n# WITHOUT A BALANCER THAT OBEYS, REQUESTS FAIL WHILE AN INSTANCE IS UPDATED: {who}.\n\
             # CHANGE IT to one that takes an instance out and puts it back, as the examples show: haproxy, command, http.\n\
             [traffic]\ndriver = \"none\"\n"
        )
    }

    /// By the compose file, whose image must have the version as its tag.
    fn composed(file: &str, image: &str) -> String {
        let compose = format!("\"docker\", \"compose\", \"--file\", {}", quoted(file));
        format!(
            "\n# How one instance is brought to a version: its service is made anew from {image}:VERSION. In the compose file the\n\
             # image must be {image}:${{VERSION}}. CHANGE IT if yours is another way.\n\
             [update]\ncommand = [\"env\", \"VERSION={{{{ version }}}}\", {compose}, \"up\", \"--detach\", \"--no-deps\", \"{{{{ instance.id }}}}\"]\n\
             idempotent = true\n\n\
             # Prints the tag that runs.\n\
             [update.observe]\ncommand = [{compose}, \"images\", \"--format\", \"json\", \"{{{{ instance.id }}}}\"]\njson = \"/0/Tag\"\n"
        )
    }

    fn update(&self) -> String {
        if let Some(Origin { file, sort: Sort::Compose { image }, .. }) = &self.origin {
            return Self::composed(file, image);
        }
        let service = &self.service;
        match self.driver {
            Driver::Process => format!(
                "\n# The command that runs one instance of a version on this machine. CHANGE IT to yours: no shell is involved,\n\
                 # every argument is a text of its own. SIGTERM ends the old one. It stops only what it started itself: end the\n\
                 # instances that run already and deploy with --set health.before=first, or take driver = \"command\".\n\
                 [update]\nstart = [{}, \"--port={{{{ instance.port }}}}\"]\n",
                quoted(&format!("/opt/{service}/{{{{ version }}}}/bin/{service}"))
            ),
            Driver::Command if self.is_local() => {
                let release = quoted(&format!("/srv/{service}/releases/{{{{ version }}}}"));
                let link = quoted(&format!("/srv/{service}/{{{{ instance.id }}}}"));
                let unit = quoted(&format!("{service}@{{{{ instance.id }}}}"));
                format!(
                    "\n# How one instance is brought to a version, here by a link to its release and a systemd unit {service}@.service that\n\
                     # runs what is behind /srv/{service}/%i. CHANGE IT to yours: no shell is involved, every argument is a text of its\n\
                     # own. Put \"sudo\", \"-n\" before systemctl if this user may not restart units.\n\
                     [update]\ncommand = [\"ln\", \"-sfn\", {release}, {link}]\nstart = [\"systemctl\", \"restart\", {unit}]\n\
                     idempotent = true\n\n\
                     # Prints the version that the instance was brought to.\n\
                     [update.observe]\ncommand = [\"readlink\", {link}]\nregex = \"releases/(\\\\S+)\"\n"
                )
            }
            Driver::Command => {
                let ssh = "\"ssh\", \"-o\", \"BatchMode=yes\", \"-o\", \"ConnectTimeout=5\", \"{{ instance.host }}\"";
                let link = quoted(&format!("ln -sfn /srv/{service}/releases/{{{{ version }}}} /srv/{service}/current"));
                let start = quoted(&format!("sudo systemctl restart {service}"));
                let observe = quoted(&format!("systemctl is-active --quiet {service} && readlink /srv/{service}/current"));
                format!(
                    "\n# How one instance is brought to a version, here over ssh with systemd. CHANGE IT to yours: no shell is involved\n\
                     # on this machine, every argument is a text of its own. It may run twice after a lost connection: idempotent.\n\
                     [update]\ncommand = [{ssh}, {link}]\nstart = [{ssh}, {start}]\nidempotent = true\n\n\
                     # Prints the version that runs; systemctl exits with 3 if none does.\n\
                     [update.observe]\ncommand = [{ssh}, {observe}]\nregex = \"releases/(\\\\S+)\"\nnot_running = 3\n"
                )
            }
        }
    }
}

/// What Debian's HAProxy listens on.
pub(super) const DEFAULT_SOCKET: &str = "/run/haproxy/admin.sock";

/// Ids for servers, and the template that gives the server's name back where it is not the id.
fn named(servers: &[Server]) -> Result<(Vec<Server>, Option<String>), String> {
    if servers.iter().all(|s| s.name == format!("{}:{}", s.host, s.port)) {
        // Named by their addresses, which are no ids.
        let id = |s: &Server| Server { name: format!("{}-{}", s.host.replace(':', "."), s.port), ..s.clone() };
        return Ok((servers.iter().map(id).collect(), Some("{{ instance.host }}:{{ instance.port }}".to_owned())));
    }
    if let Some(bad) = servers.iter().find(|s| InstanceId::new(&s.name).is_err()) {
        return Err(format!(
            "server {} has a name that is no id (letters, digits and . _ - beginning with a letter or digit); rename it in \
             HAProxy's configuration, or write the file by hand",
            bad.name
        ));
    }
    Ok((servers.to_vec(), None))
}

/// Ids for servers that are named by their hosts, or not at all.
fn distinct(servers: &[Server]) -> Result<Vec<Server>, String> {
    let alone = |server: &Server| servers.iter().filter(|other| other.name == server.name).count() == 1;
    let plain = servers.iter().all(|server| alone(server) && InstanceId::new(&server.name).is_ok());
    let id = |s: &Server| Server { name: format!("{}-{}", s.name.replace(':', "."), s.port), ..s.clone() };
    let named: Vec<Server> = if plain { servers.to_vec() } else { servers.iter().map(id).collect() };
    match named.iter().find(|server| InstanceId::new(&server.name).is_err()) {
        Some(bad) => Err(format!(
            "{} is no id (letters, digits and . _ - beginning with a letter or digit); write the file by hand",
            bad.name
        )),
        None => Ok(named),
    }
}

/// A service's name out of a backend's.
pub(super) fn name_of(backend: &str) -> String {
    let plain: String = backend.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let name = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    name.chars().take(63).collect()
}

/// A text as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
