//! Reads an nginx configuration with what it includes: upstreams, their servers, and where users reach them.
//!
//! It understands the directives that say so and passes over all others. What it cannot use becomes a note.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::haproxy::Server;
use super::source::{Group, Sort};

/// Files that are read at most: includes may lead in circles.
const FILES: usize = 200;
/// Levels of blocks and includes.
const DEPTH: usize = 20;
/// The longest file.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A directive with its words, and the block behind it.
#[derive(Debug, PartialEq, Eq)]
struct Directive {
    words: Vec<String>,
    block: Vec<Directive>,
}

/// Whether a text looks like one of nginx: no other file opens these blocks in this way.
pub(super) fn is_one(text: &str) -> bool {
    let opens = |line: &str| {
        let (before, after) = line.split_once('{').unwrap_or((line, ""));
        let words: Vec<&str> = before.split_whitespace().collect();
        let known = matches!(words.as_slice(), ["http" | "server" | "events"] | ["upstream", _]);
        known && line.contains('{') && !after.starts_with('{')
    };
    text.lines().map(str::trim).any(opens)
}

/// Every upstream with a server, and what could not be taken over.
pub(super) fn parse(file: &Path, text: &str) -> (Vec<Group>, Vec<String>) {
    let base = file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    let read = file.canonicalize().into_iter().collect();
    let mut reader = Reader { base, read, files: 0, groups: Vec::new(), sites: Vec::new(), notes: Vec::new() };
    reader.file(text, 0);
    reader.done()
}

struct Reader {
    /// Where relative includes begin.
    base: PathBuf,
    /// One that is included twice, or includes itself, is read once.
    read: BTreeSet<PathBuf>,
    files: usize,
    groups: Vec<Group>,
    /// Where users come in, and which upstreams they are passed to.
    sites: Vec<(Vec<String>, Vec<String>)>,
    notes: Vec<String>,
}

impl Reader {
    fn file(&mut self, text: &str, depth: usize) {
        let words = words(text);
        let mut words = words.into_iter();
        let directives = block(&mut words, 0);
        self.take(&directives, depth);
    }

    fn take(&mut self, directives: &[Directive], depth: usize) {
        if depth > DEPTH {
            return;
        }
        for directive in directives {
            match directive.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["include", pattern] => self.include(pattern, depth),
                ["upstream", name] => self.upstream(name, &directive.block),
                ["server"] => self.site(&directive.block),
                _ => self.take(&directive.block, depth + 1),
            }
        }
    }

    fn include(&mut self, pattern: &str, depth: usize) {
        let path = self.base.join(pattern);
        let mut found = matching(&path);
        if found.is_empty() && !pattern.contains('*') {
            self.notes.push(format!("{} is included, but cannot be found", path.display()));
        }
        found.sort();
        for file in found {
            if file.canonicalize().is_ok_and(|file| !self.read.insert(file)) {
                continue;
            }
            self.files += 1;
            let small = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
            match std::fs::read(&file) {
                Ok(bytes) if small && self.files <= FILES => self.file(&String::from_utf8_lossy(&bytes), depth + 1),
                Ok(_) => self.notes.push(format!("{} is passed over: there is too much to read", file.display())),
                Err(e) => self.notes.push(format!("{} cannot be read: {e}", file.display())),
            }
        }
    }

    fn upstream(&mut self, name: &str, block: &[Directive]) {
        let mut group = Group { name: name.to_owned(), sort: Sort::Nginx, ..Group::default() };
        for directive in block {
            match directive.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["server", address, options @ ..] => {
                    match server(address) {
                        Ok(server) => group.servers.push(server),
                        Err(why) => group.notes.push(format!("upstream {name}: server {address} is left out: {why}")),
                    }
                    for odd in ["down", "backup"].iter().filter(|odd| options.contains(odd)) {
                        group.notes.push(format!(
                            "upstream {name}: server {address} is marked {odd}; remove it if it is not to be deployed to"
                        ));
                    }
                }
                ["zone" | "keepalive" | "least_conn" | "ip_hash" | "hash" | "random" | "keepalive_timeout", ..] | [] => {}
                [other, ..] => group.notes.push(format!("upstream {name}: {other} is not taken over")),
            }
        }
        self.groups.push(group);
    }

    fn site(&mut self, block: &[Directive]) {
        let (mut ports, mut names, mut passed) = (Vec::new(), Vec::new(), Vec::new());
        let mut left: Vec<&Directive> = block.iter().collect();
        while let Some(directive) = left.pop() {
            left.extend(&directive.block);
            match directive.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["listen", address, options @ ..] => ports.push((address.to_string(), options.contains(&"ssl"))),
                ["server_name", name, ..] if !name.contains(['*', '~', '$']) && *name != "_" => names.push(name.to_string()),
                ["proxy_pass" | "grpc_pass", to] => {
                    let plain = to.split_once("://").map_or(*to, |(_, rest)| rest);
                    passed.push(plain.split(['/', ':']).next().unwrap_or_default().to_owned());
                }
                _ => {}
            }
        }
        let name = names.into_iter().next().unwrap_or_else(|| "127.0.0.1".to_owned());
        let urls = ports.iter().filter_map(|(address, ssl)| {
            let port: u16 = address.rsplit(':').next()?.parse().ok()?;
            Some(match (ssl, port) {
                (true, 443) => format!("https://{name}/"),
                (true, port) => format!("https://{name}:{port}/"),
                (false, 80) => format!("http://{name}/"),
                (false, port) => format!("http://{name}:{port}/"),
            })
        });
        self.sites.push((urls.collect(), passed));
    }

    fn done(mut self) -> (Vec<Group>, Vec<String>) {
        for group in &mut self.groups {
            let reached = self.sites.iter().filter(|(_, passed)| passed.contains(&group.name));
            group.urls.extend(reached.flat_map(|(urls, _)| urls.clone()));
        }
        self.groups.retain(|group| !group.servers.is_empty() || !group.notes.is_empty());
        (self.groups, self.notes)
    }
}

/// `10.0.0.1:8080`, `web.internal`, `[::1]:80`.
fn server(address: &str) -> Result<Server, String> {
    if address.starts_with("unix:") {
        return Err("it is a socket of this machine, which no probe reaches".to_owned());
    }
    if address.contains('$') {
        return Err("it is only known while nginx runs".to_owned());
    }
    let closed = address.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match address.get(closed..).and_then(|rest| rest.rfind(':')) {
        Some(at) => (address.get(..closed + at).unwrap_or_default(), address.get(closed + at + 1..).unwrap_or_default()),
        None => (address, "80"),
    };
    let port: u16 = port.parse().map_err(|_none| format!("{port:?} is no port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { name: host.clone(), host, port })
}

/// The files that a path with stars in its last part stands for.
fn matching(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains('*') {
        return if path.is_file() { vec![path.to_owned()] } else { Vec::new() };
    }
    let parts: Vec<&str> = name.split('*').collect();
    let entries = path.parent().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
    files.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| fits(name, &parts))).collect()
}

/// Whether a name has all `parts` in their order, the first at its beginning and the last at its end.
fn fits(name: &str, parts: &[&str]) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    middle.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = rest.get(at + part.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

/// Words, with `{`, `}` and `;` as words of their own; comments are gone.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, '\\') => word.extend(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if word.is_empty() => drop(chars.by_ref().find(|c| *c == '\n')),
            // A variable in braces.
            (None, '{') if word.ends_with('$') => {
                word.push(c);
                word.extend(chars.by_ref().take_while(|c| *c != '}'));
            }
            (None, '{' | '}' | ';') => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
                words.push(c.to_string());
            }
            (None, c) if c.is_whitespace() => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            (_, c) => word.push(c),
        }
    }
    words
}

/// Directives up to the end of the block.
fn block(words: &mut std::vec::IntoIter<String>, depth: usize) -> Vec<Directive> {
    let (mut directives, mut current) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            ";" => directives.push(Directive { words: std::mem::take(&mut current), block: Vec::new() }),
            "{" if depth < DEPTH => {
                let block = block(words, depth + 1);
                directives.push(Directive { words: std::mem::take(&mut current), block });
            }
            "{" => current.clear(),
            "}" => return directives,
            _ => current.push(word),
        }
    }
    directives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_found_with_what_is_included() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        let shop = "upstream shop { # the shop\n zone shop 64k; server 10.0.0.1:8080 max_fails=3;\n server web-2.internal;\n\
                    server [fd00::1]:81 backup; server unix:/run/x; queue 10; }\n\
                    server { listen 443 ssl; server_name shop.example; location / { proxy_pass http://shop/; } }";
        std::fs::write(dir.path().join("conf.d/shop.conf"), shop).unwrap();
        std::fs::write(dir.path().join("conf.d/shop.conf.old"), "upstream old { server a; }").unwrap();
        let top =
            "events {}\nhttp { log_format x '{\"a\":\"$b;\"}'; include conf.d/*.conf; include gone.conf; include nginx.conf; }";
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, top).unwrap();
        let (groups, notes) = parse(&file, top);
        let shop = &groups[0];
        assert!(groups.iter().all(|group| group.name == "shop"), "{groups:?}");
        let servers: Vec<(&str, u16)> = shop.servers.iter().map(|s| (s.host.as_str(), s.port)).collect();
        assert_eq!(servers, [("10.0.0.1", 8080), ("web-2.internal", 80), ("fd00::1", 81)]);
        assert_eq!(shop.urls, ["https://shop.example/"]);
        let said = shop.notes.join("\n");
        assert!(
            said.contains("unix:/run/x is left out") && said.contains("marked backup") && said.contains("queue is not"),
            "{said}"
        );
        assert!(notes.iter().any(|note| note.contains("gone.conf")), "{notes:?}");
    }

    #[test]
    fn whatever_is_read_ends() {
        for text in
            ["{", "}", "upstream {{{{", "\"", "\\", &"a{".repeat(100_000), &"}".repeat(1000), "server;", "upstream a { server; }"]
        {
            parse(Path::new("/nowhere/nginx.conf"), text);
        }
    }
}
