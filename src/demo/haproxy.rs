//! A real HAProxy in the demo's place for a balancer: its configuration and its command line.
//!
//! Imports: nothing. May not: start it (that is `world`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

/// What its configuration is made of.
#[derive(Debug, Clone)]
pub struct HaproxySetup<'a> {
    /// Where the runtime API listens.
    pub admin_socket: &'a Path,
    /// Where the frontend listens on 127.0.0.1.
    pub port: u16,
    /// The backend's name.
    pub backend: &'a str,
    /// Name and port (on 127.0.0.1) of each server.
    pub servers: &'a [(String, u16)],
    /// Time between two health checks of a server, in milliseconds.
    pub check_ms: u64,
}

/// The text of `haproxy.cfg`.
///
/// `retries 0` and no `option redispatch`: a request that meets a broken server fails where everybody can see it.
pub fn config(setup: &HaproxySetup<'_>) -> String {
    let HaproxySetup { admin_socket, port, backend, servers, check_ms } = setup;
    let mut text = format!(
        "global
    stats socket {} mode 600 level admin
    maxconn 4000

defaults
    mode http
    retries 0
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 10s
    timeout check 1s
    http-reuse safe

frontend fe_demo
    bind 127.0.0.1:{port}
    default_backend {backend}

backend {backend}
    balance roundrobin
    option httpchk GET /health
    http-check expect status 200
    default-server check inter {check_ms}ms rise 2 fall 2
",
        // In a quoted word a backslash and a quote are escaped.
        quoted(admin_socket),
    );
    for (name, port) in *servers {
        // Writing to a string cannot fail.
        writeln!(text, "    server {name} 127.0.0.1:{port}").ok();
    }
    text
}

/// The arguments that make `haproxy` run FILE in the foreground.
pub fn arguments(file: &Path) -> [OsString; 3] {
    ["-db".into(), "-f".into(), file.into()]
}

fn quoted(path: &Path) -> String {
    let mut text = String::from("\"");
    for c in path.to_string_lossy().chars() {
        if matches!(c, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_named_and_nothing_is_retried() {
        let servers = [("web-01".to_owned(), 8101), ("web-02".to_owned(), 8102)];
        let setup = HaproxySetup {
            admin_socket: Path::new("/tmp/a \"b\"/lb.sock"),
            port: 8080,
            backend: "be_demo",
            servers: &servers,
            check_ms: 200,
        };
        let text = config(&setup);
        for line in [
            "    stats socket \"/tmp/a \\\"b\\\"/lb.sock\" mode 600 level admin",
            "    retries 0",
            "    bind 127.0.0.1:8080",
            "    default-server check inter 200ms rise 2 fall 2",
            "    server web-01 127.0.0.1:8101",
            "    server web-02 127.0.0.1:8102",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("redispatch"));
    }
}
