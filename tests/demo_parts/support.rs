//! What the tests of the demo's pieces share: real processes, raw HTTP, the runtime API, and waiting for a condition.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rollout::model::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Longest wait for anything.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// The demo's own logs carry the wall clock; here nobody reads it.
pub(crate) fn clock() -> Timestamp {
    Timestamp::from_millis(0)
}

/// Polls until `condition` yields something, within a bound.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let poll = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(BOUND, poll).await.unwrap_or_else(|_| panic!("no {what} within {BOUND:?}"))
}

/// The program: it is also the instances' and the built-in balancer's.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rollout"))
}

/// A running instance.
pub(crate) struct Instance {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
}

impl Instance {
    pub(crate) fn start(dir: &Path, id: &str, version: &str, port: u16) -> Self {
        let log = dir.join(format!("{id}-{version}.log"));
        let child = Command::new(program())
            .args(["demo-instance", "--id", id, "--port", &port.to_string(), "--version", version])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, port, log }
    }

    /// Starts one and waits until it listens.
    pub(crate) async fn listening(dir: &Path, id: &str, version: &str) -> Self {
        let instance = Self::start(dir, id, version, free_port());
        until("listening instance", || async { TcpStream::connect((Ipv4Addr::LOCALHOST, instance.port)).await.ok() }).await;
        instance
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn temp() -> TempDir {
    tempfile::Builder::new().prefix("demo-parts-").tempdir().unwrap()
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Sends a GET on a connection of its own.
pub(crate) async fn send(port: u16, path: &str, agent: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let text = format!("GET {path} HTTP/1.1\r\nHost: demo\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    Ok(stream)
}

/// Reads the answer to the end of the connection.
pub(crate) async fn receive(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    if headers.get("content-length").is_some_and(|length| length.parse() != Ok(body.len())) {
        return None;
    }
    Some(Answer { status, headers, body: body.to_owned() })
}

/// A whole GET; `None` if there was no whole answer.
pub(crate) async fn get(port: u16, path: &str) -> Option<Answer> {
    receive(send(port, path, "test").await.ok()?).await
}

/// One line to a runtime API.
pub(crate) async fn ask(socket: &Path, line: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

/// `show stat` as one map a row, by the row's `svname`.
pub(crate) async fn stat(socket: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = ask(socket, "show stat").await.unwrap();
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
    let rows = lines.filter(|line| !line.is_empty()).map(|line| {
        let row: BTreeMap<String, String> =
            names.iter().map(ToString::to_string).zip(line.split(',').map(str::to_owned)).collect();
        (row["svname"].clone(), row)
    });
    rows.collect()
}

/// Waits until a server's column has a value.
pub(crate) async fn column(socket: &Path, server: &str, name: &str, value: &str) {
    let what = format!("{name} {value} of {server}");
    until(&what, || async { (stat(socket).await.get(server)?.get(name)? == value).then_some(()) }).await;
}

/// The program, or `None` with a word on the terminal; where servers are required its absence is a failure.
pub(crate) fn haproxy() -> Option<PathBuf> {
    let found = rollout::demo::world::find_haproxy();
    if found.is_none() {
        assert!(std::env::var_os("ROLLOUT_REQUIRE_SERVERS").is_none_or(|value| value != "1"), "haproxy is required and missing");
        eprintln!("skipped: haproxy (apt install haproxy)");
    }
    found
}
