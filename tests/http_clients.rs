//! The program's requests: straight to where the configuration says. No proxy of the environment is asked, no redirect is
//! followed, no answer is read without end, and nobody is believed whose certificate is not right.
//!
//! Imports: the program. May not: sleep.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod common;
#[path = "outside/servers.rs"]
mod servers;
#[path = "outside/site.rs"]
mod site;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{free_port, server, wait_for};
use servers::{Server, response};
use site::{Site, words};
use tokio::net::TcpStream;

/// Counts who comes.
struct Trap {
    server: Server,
    caught: Arc<AtomicUsize>,
}

impl Trap {
    async fn set() -> Self {
        let caught = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&caught);
        let server = Server::start(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            response("200 OK", b"X-Version: v1\r\n", b"in")
        })
        .await;
        Self { server, caught }
    }

    fn is_empty(&self) -> bool {
        self.caught.load(Ordering::SeqCst) == 0
    }
}

/// An instance, a balancer and an address for users, all at one port; `https` names another address for users.
fn configure(site: &Site, port: u16, https: Option<u16>) {
    let at = site.at();
    let vip = https.map_or_else(|| format!("http://127.0.0.1:{port}/"), |port| format!("https://localhost:{port}/"));
    let text = format!(
        r#"[service]
name = "shop"
[fleet]
driver = "command"
dir = "{at}/fleet"
[[fleet.instance]]
id = "web-01"
host = "127.0.0.1"
port = {port}
[update]
command = ["true"]
observe = ["echo", "v1"]
[traffic]
driver = "http"
out = {{ url = "http://127.0.0.1:{port}/out" }}
in = {{ url = "http://127.0.0.1:{port}/in" }}
state = {{ url = "http://127.0.0.1:{port}/state" }}
[health]
timeout = "2s"
version = {{ header = "X-Version" }}
[vip]
url = "{vip}"
rate = 5
[journal]
dir = "{at}/journal"
"#
    );
    site.write("rollout.toml", text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_is_not_asked() {
    let trap = Trap::set().await;
    let proxy = format!("http://127.0.0.1:{}", trap.server.port);
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let site = Site::new(names.map(|name| (name, proxy.as_str())));
    let world = Server::start(|_| response("200 OK", b"X-Version: v1\r\n", b"in")).await;
    configure(&site, world.port, None);
    let checked = site.run(&["check"]).await;
    assert_eq!(checked.status.code(), Some(0), "{}", words(&checked));
    // Nobody listens there: a client that asks a proxy would be answered.
    configure(&site, free_port(), Some(free_port()));
    let checked = site.run(&["check"]).await;
    assert_eq!(checked.status.code(), Some(4), "{}", words(&checked));
    assert!(trap.is_empty(), "{}", words(&checked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_is_followed_by_any_client() {
    let trap = Trap::set().await;
    let location = format!("Location: http://127.0.0.1:{}/\r\nX-Version: v1\r\n", trap.server.port);
    let site = Site::new([]);
    let world = Server::start(move |_| response("302 Found", location.as_bytes(), b"in")).await;
    configure(&site, world.port, None);
    let checked = words(&site.run(&["check"]).await);
    assert!(
        checked.contains("[traffic] state of web-01: status 302") && checked.contains("redirects to http://127.0.0.1:"),
        "{checked}"
    );
    assert!(trap.is_empty(), "{checked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_read_in_part() {
    let site = Site::new([]);
    // More than any machine could keep, if it were kept; the other side notices when nobody reads any more.
    let endless = b"x".repeat(32 * 1024 * 1024);
    let world = Server::start(move |asked| {
        if asked.path() == "/" { response("200 OK", b"", b"") } else { response("200 OK", b"X-Version: v1\r\n", &endless) }
    })
    .await;
    configure(&site, world.port, None);
    let checked = words(&site.run(&["check"]).await);
    assert!(checked.contains("is no known state"), "an answer that was cut off is no state: {checked}");
    assert!(checked.len() < 4000, "{}", checked.len());
}

/// A server of `openssl`. It ends with the value.
struct Secure(Child);

impl Drop for Secure {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let Some(openssl) = server("openssl") else { return };
    let site = Site::new([]);
    let (key, certificate) = (site.path("key.pem"), site.path("certificate.pem"));
    let mut request = Command::new(&openssl);
    request.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    let made = request.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl");
    assert!(made.status.success(), "{}", words(&made));
    let port = free_port();
    let mut serve = Command::new(&openssl);
    serve.args(["s_server", "-quiet", "-www", "-accept", &port.to_string(), "-key"]).arg(&key).arg("-cert").arg(&certificate);
    let _secure = Secure(serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("openssl"));
    wait_for("the server", async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
    let world = Server::start(|_| response("200 OK", b"X-Version: v1\r\n", b"in")).await;
    configure(&site, world.port, Some(port));
    let checked = words(&site.run(&["check"]).await);
    assert!(checked.contains("MISSING  vip") && checked.contains("its certificate is self-signed"), "{checked}");
}
