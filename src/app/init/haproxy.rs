//! Reads an HAProxy configuration: who answers for a backend, where the runtime API listens, what is checked.
//!
//! It understands the lines that say so and passes over all others. What it cannot use becomes a note.

mod words;

use self::words::words;

/// What a configuration says that a rollout needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Haproxy {
    /// Where the runtime API listens.
    pub(super) sockets: Vec<Socket>,
    /// Backends and `listen` sections that have servers.
    pub(super) backends: Vec<Backend>,
    /// `frontend` sections: what they bind, and the backends that they name.
    fronts: Vec<Front>,
    /// What was not understood, with its line.
    pub(super) notes: Vec<String>,
}

/// A `stats socket`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// In the form of `traffic.sockets`.
    pub(super) address: String,
    /// It may change the state of servers.
    pub(super) admin: bool,
}

/// A backend.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
    /// What HAProxy itself asks.
    pub(super) check: Check,
    /// Where users reach it.
    pub(super) urls: Vec<String>,
    /// What of it is left out, and why.
    pub(super) notes: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What HAProxy asks of a server.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) path: Option<String>,
    pub(super) status: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Front {
    urls: Vec<String>,
    backends: Vec<String>,
}

/// The section that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Global,
    Defaults,
    Frontend,
    Backend,
    Listen,
    Other,
}

const SECTIONS: [(&str, Part); 18] = [
    ("global", Part::Global),
    ("defaults", Part::Defaults),
    ("frontend", Part::Frontend),
    ("backend", Part::Backend),
    ("listen", Part::Listen),
    ("peers", Part::Other),
    ("resolvers", Part::Other),
    ("userlist", Part::Other),
    ("cache", Part::Other),
    ("program", Part::Other),
    ("ring", Part::Other),
    ("http-errors", Part::Other),
    ("mailers", Part::Other),
    ("fcgi-app", Part::Other),
    ("log-forward", Part::Other),
    ("crt-store", Part::Other),
    ("log-profile", Part::Other),
    ("traces", Part::Other),
];

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Haproxy {
    let mut reader = Reader { found: Haproxy::default(), part: Part::Other, defaults: Check::default(), line: 0 };
    for (index, line) in text.lines().enumerate() {
        reader.line = index + 1;
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        reader.take(&words);
    }
    reader.found.join()
}

impl Haproxy {
    /// Gives each backend the addresses of the frontends that lead to it; drops those without servers.
    fn join(mut self) -> Self {
        for backend in &mut self.backends {
            let fronts = self.fronts.iter().filter(|front| front.backends.contains(&backend.name));
            backend.urls.extend(fronts.flat_map(|front| front.urls.clone()));
        }
        self.backends.retain(|backend| !backend.servers.is_empty() || !backend.notes.is_empty());
        self
    }
}

struct Reader {
    found: Haproxy,
    part: Part,
    defaults: Check,
    line: usize,
}

impl Reader {
    fn take(&mut self, words: &[&str]) {
        let Some((first, rest)) = words.split_first() else { return };
        if let Some((_, part)) = SECTIONS.iter().find(|(name, _)| name == first) {
            self.begin(*part, rest.first().copied().unwrap_or_default());
            return;
        }
        match (self.part, *first, rest) {
            (Part::Global, "stats", ["socket", address, options @ ..]) => self.socket(address, options),
            (Part::Defaults, _, _) => check(&mut self.defaults, first, rest),
            (Part::Frontend | Part::Listen, "bind", [addresses, options @ ..]) => self.bind(addresses, options),
            (Part::Frontend, "default_backend" | "use_backend", [name, ..]) => {
                if let Some(front) = self.found.fronts.last_mut() {
                    front.backends.push((*name).to_owned());
                }
            }
            (Part::Backend | Part::Listen, "server", [name, address, options @ ..]) => self.server(name, address, options),
            (Part::Backend | Part::Listen, "server-template", [prefix, ..]) => {
                let note =
                    format!("line {}: server-template {prefix} takes its addresses from DNS; add them as instances", self.line);
                self.note(note);
            }
            (Part::Backend | Part::Listen, _, _) => {
                if let Some(backend) = self.found.backends.last_mut() {
                    check(&mut backend.check, first, rest);
                }
            }
            (Part::Global | Part::Frontend | Part::Other, _, _) => {}
        }
    }

    fn begin(&mut self, part: Part, name: &str) {
        self.part = part;
        match part {
            Part::Defaults => self.defaults = Check::default(),
            Part::Frontend => self.found.fronts.push(Front::default()),
            Part::Backend | Part::Listen => {
                let (name, check) = (name.to_owned(), self.defaults.clone());
                self.found.backends.push(Backend { name, check, ..Backend::default() });
            }
            Part::Global | Part::Other => {}
        }
    }

    fn note(&mut self, note: String) {
        match self.found.backends.last_mut().filter(|_| matches!(self.part, Part::Backend | Part::Listen)) {
            Some(backend) => backend.notes.push(note),
            None => self.found.notes.push(note),
        }
    }

    fn socket(&mut self, address: &str, options: &[&str]) {
        let admin = options.windows(2).any(|pair| pair == ["level", "admin"]);
        let path = address.strip_prefix("unix@").unwrap_or(address);
        let address = if path.starts_with('/') {
            Some(format!("unix:{path}"))
        } else {
            host_and_port(address).map(|(host, port)| format!("{}:{port}", reachable(&host)))
        };
        match address {
            Some(address) => self.found.sockets.push(Socket { address, admin }),
            None => self.note(format!("line {}: a stats socket at {path} cannot be used from outside", self.line)),
        }
    }

    fn bind(&mut self, addresses: &str, options: &[&str]) {
        let scheme = if options.contains(&"ssl") { "https" } else { "http" };
        let standard = if scheme == "http" { 80 } else { 443 };
        let urls = addresses.split(',').filter_map(|address| {
            let (host, port) = host_and_port(address)?;
            let host = reachable(&host);
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Some(if port == standard { format!("{scheme}://{host}/") } else { format!("{scheme}://{host}:{port}/") })
        });
        let urls: Vec<String> = urls.collect();
        match self.part {
            Part::Listen => self.found.backends.last_mut().map(|backend| backend.urls.extend(urls)),
            _ => self.found.fronts.last_mut().map(|front| front.urls.extend(urls)),
        };
    }

    fn server(&mut self, name: &str, address: &str, options: &[&str]) {
        let line = self.line;
        if let Some(left_out) = ["backup", "disabled"].iter().find(|word| options.contains(word)) {
            return self.note(format!("line {line}: server {name} is {left_out} and so is left out"));
        }
        if address.contains('$') {
            return self
                .note(format!("line {line}: the address of server {name} comes from HAProxy's environment; add it by hand"));
        }
        match host_and_port(address) {
            Some((host, port)) if !host.is_empty() => {
                let server = Server { name: name.to_owned(), host, port };
                if let Some(backend) = self.found.backends.last_mut() {
                    backend.servers.push(server);
                }
            }
            Some(_) | None => self.note(format!("line {line}: server {name} at {address} has no host and port; add it by hand")),
        }
    }
}

/// What a section says about its checks.
fn check(check: &mut Check, first: &str, rest: &[&str]) {
    let path = |text: &str| text.starts_with('/').then(|| text.to_owned());
    match (first, rest) {
        ("option", ["httpchk"]) => {
            check.path.get_or_insert_with(|| "/".to_owned());
        }
        ("option", ["httpchk", uri]) => check.path = path(uri),
        ("option", ["httpchk", _method, uri, ..]) => check.path = path(uri),
        ("http-check", ["send", sent @ ..]) => {
            if let Some(uri) = sent.windows(2).find_map(|pair| matches!(pair, ["uri", _]).then(|| pair.get(1)).flatten()) {
                check.path = path(uri);
            }
        }
        ("http-check", ["expect", "status", status]) => check.status = Some((*status).to_owned()),
        _ => {}
    }
}

/// `10.0.0.1:80`, `ipv4@10.0.0.1:80`, `[::1]:80`, `*:80`, `:80`; `None` if it is anything else.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let address =
        ["ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@"].iter().find_map(|family| address.strip_prefix(family)).unwrap_or(address);
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:*".contains(c);
    host.chars().all(plain).then(|| (host.to_owned(), port))
}

/// Where this machine reaches what listens there.
fn reachable(host: &str) -> String {
    match host {
        "" | "*" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests;
