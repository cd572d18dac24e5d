//! A real HAProxy before two instances that behave as they are told.
//!
//! Imports: traffic, model, ports. May not: sleep without a condition.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rollout::model::{InstanceId, Rotation, Span, Target};
use rollout::ports::{TrafficDriver, TrafficError};
use rollout::traffic::{self, HaproxySettings, Settings};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::common::{server, temp_dir, wait_for};

/// Two instances and one HAProxy in master-worker mode before them, checking them every 50 ms.
pub(crate) struct World {
    haproxy: Child,
    binary: PathBuf,
    /// Of web-01 and web-02.
    pub(crate) ports: [u16; 2],
    pub(crate) dir: TempDir,
    /// Whether the health checks of web-01 and web-02 pass.
    pub(crate) healthy: [Arc<AtomicBool>; 2],
    /// `/held` is answered once there is a permit.
    pub(crate) release: Arc<Semaphore>,
    _servers: JoinSet<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

impl World {
    /// `None` if HAProxy is not installed.
    pub(crate) async fn new() -> Option<Self> {
        let binary = server("haproxy")?;
        let (dir, mut servers) = (temp_dir(), JoinSet::new());
        let (healthy, release) = ([true, true].map(|yes| Arc::new(AtomicBool::new(yes))), Arc::new(Semaphore::new(0)));
        let mut ports = [0; 2];
        for ((port, name), healthy) in ports.iter_mut().zip(["web-01", "web-02"]).zip(&healthy) {
            let told = Told { name, healthy: Arc::clone(healthy), release: Arc::clone(&release) };
            *port = instance(told, &mut servers).await;
        }
        std::fs::write(dir.path().join("haproxy.cfg"), configuration(dir.path(), ports)).expect("a file");
        let haproxy = start(&binary, dir.path(), &[]);
        let world = Self { haproxy, binary, ports, dir, healthy, release, _servers: servers };
        world.wait_until("web-01", Rotation::Serving).await;
        world.wait_until("web-02", Rotation::Serving).await;
        Some(world)
    }

    pub(crate) fn socket(&self, name: &str) -> String {
        format!("unix:{}", self.dir.path().join(name).display())
    }

    /// The runtime API on a port, which is forwarded to the socket: HAProxy could not choose a free one by itself.
    pub(crate) async fn over_tcp(&self, tasks: &mut JoinSet<()>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let socket = self.dir.path().join("admin");
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let socket = socket.clone();
                served.spawn(async move {
                    if let Ok(mut real) = UnixStream::connect(socket).await {
                        // How a conversation ends is for the driver to find out.
                        tokio::io::copy_bidirectional(&mut client, &mut real).await.ok();
                    }
                });
            }
        });
        address
    }

    pub(crate) fn driver(&self) -> Arc<dyn TrafficDriver> {
        driver(&[self.socket("admin")])
    }

    /// Ends it, its workers included.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.haproxy.wait().ok();
    }

    pub(crate) fn start(&mut self) {
        self.haproxy = start(&self.binary, self.dir.path(), &[]);
    }

    /// What the master does on `systemctl reload haproxy`.
    pub(crate) async fn reload(&self) {
        // While it loads, a master does not hear the signal. /proc tells when it listens for it.
        let status = format!("/proc/{}/status", self.haproxy.id());
        wait_for("the master is ready", async || {
            let status = std::fs::read_to_string(&status).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught & (1 << (Signal::USR2.as_raw() - 1)) != 0).then_some(())
        })
        .await;
        self.signal(Signal::USR2);
    }

    /// What an init script without a master does: a new process, which tells the old one to finish.
    pub(crate) fn replace(&mut self, old: &str) {
        let next = start(&self.binary, self.dir.path(), &["-sf", old]);
        let mut master = std::mem::replace(&mut self.haproxy, next);
        master.kill().ok();
        master.wait().ok();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.haproxy.id()).ok().and_then(Pid::from_raw);
        // Once it has ended there is nobody to tell.
        pid.map(|pid| kill_process(pid, signal).ok());
    }

    /// A raw command, as another person would give it; `None` if nobody answers.
    pub(crate) async fn try_command(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir.path().join("admin")).await.ok()?;
        stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.ok()?;
        Some(reply)
    }

    pub(crate) async fn command(&self, line: &str) -> String {
        self.try_command(line).await.expect("HAProxy answers")
    }

    /// The process that answers.
    pub(crate) async fn pid(&self) -> Option<String> {
        let info = self.try_command("show info").await?;
        info.lines().find_map(|line| line.strip_prefix("Pid: ")).map(ToOwned::to_owned)
    }

    pub(crate) async fn rotation(&self, name: &str) -> Option<Rotation> {
        let target = target(name);
        self.driver().read(std::slice::from_ref(&target)).await.ok()?.remove(&target.id)
    }

    pub(crate) async fn wait_until(&self, name: &str, wanted: Rotation) {
        wait_for(&format!("{name} {wanted:?}"), async || (self.rotation(name).await? == wanted).then_some(())).await;
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("front")).await.expect("the front")
    }

    /// One request through the balancer on a connection of its own; the status and the body.
    pub(crate) async fn ask(&self, path: &str) -> (String, String) {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the front");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        (status, answer.rsplit_once("\r\n\r\n").map_or_else(|| answer.clone(), |(_, body)| body.to_owned()))
    }

    pub(crate) async fn request(&self, path: &str) -> String {
        self.ask(path).await.1
    }
}

/// How an instance behaves.
struct Told {
    name: &'static str,
    healthy: Arc<AtomicBool>,
    release: Arc<Semaphore>,
}

async fn instance(told: Told, servers: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    servers.spawn(async move {
        let (told, mut served) = (Arc::new(told), JoinSet::new());
        while let Ok((stream, _)) = listener.accept().await {
            served.spawn(serve(Arc::clone(&told), stream));
        }
    });
    port
}

/// `/` says its name, `/held` waits for a permit, `/500` fails, `/broken` breaks off, `/closed` closes, `/upgraded` is a
/// tunnel until the client leaves.
async fn serve(told: Arc<Told>, mut stream: TcpStream) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut head)).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match path {
            "/health" if !told.healthy.load(Ordering::SeqCst) => ("503 Service Unavailable", ""),
            "/500" => ("500 Internal Server Error", ""),
            "/closed" => return,
            "/broken" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it").await.ok();
                return;
            }
            "/upgraded" => {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.ok();
                while stream.read_u8().await.is_ok() {}
                return;
            }
            "/held" => {
                told.release.acquire().await.expect("a permit").forget();
                ("200 OK", told.name)
            }
            _ => ("200 OK", told.name),
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn configuration(dir: &Path, [first, second]: [u16; 2]) -> String {
    let dir = dir.display();
    format!(
        "global\n  stats socket {dir}/admin level admin\n  stats socket {dir}/operator level operator\n  \
         stats socket {dir}/user level user\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n  timeout tunnel 30s\n  timeout check 5s\n  retries 0\n\
         listen shop\n  bind unix@{dir}/front\n  option httpchk GET /health\n  \
         default-server inter 50ms rise 1 fall 1 check\n  \
         server web-01 127.0.0.1:{first}\n  server web-02 127.0.0.1:{second}\n\
         backend unchecked\n  server web-01 127.0.0.1:{first}\n\
         listen pipe\n  mode tcp\n  bind unix@{dir}/pipe\n  server web-01 127.0.0.1:{first}\n"
    )
}

fn start(binary: &Path, dir: &Path, more: &[&str]) -> Child {
    let log = std::fs::File::create(dir.join("log")).expect("a log");
    let output = (Stdio::from(log.try_clone().expect("a log")), Stdio::from(log));
    let mut command = Command::new(binary);
    command.args(["-W", "-db", "-f"]).arg(dir.join("haproxy.cfg")).args(more);
    command.stdout(output.0).stderr(output.1).spawn().expect("HAProxy")
}

pub(crate) fn settings(sockets: &[String], backend: &str) -> HaproxySettings {
    HaproxySettings {
        service: "shop".to_owned(),
        sockets: sockets.to_vec(),
        backend: backend.to_owned(),
        server: "{{ instance.id }}".to_owned(),
        add: "check inter 50ms rise 1 fall 1".to_owned(),
        await_slow_start: false,
        timeout: Span::from_secs(2),
    }
}

pub(crate) fn driver(sockets: &[String]) -> Arc<dyn TrafficDriver> {
    build(settings(sockets, "shop"))
}

pub(crate) fn build(settings: HaproxySettings) -> Arc<dyn TrafficDriver> {
    traffic::build(&Settings::Haproxy(settings)).expect("settings that work")
}

pub(crate) fn target(id: &str) -> Target {
    let id = InstanceId::new(id).expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port: 1, zone: None, labels: BTreeMap::default() }
}

pub(crate) fn refused(result: Result<(), TrafficError>) -> String {
    match result {
        Err(TrafficError::Refused(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

/// Answers the commands of one connection after the other by `answer`; `None` means never.
pub(crate) fn impostor(
    dir: &Path,
    mut answer: impl FnMut(&str) -> Option<Vec<u8>> + Send + 'static,
    servers: &mut JoinSet<()>,
) -> String {
    let path = dir.join("impostor");
    let listener = UnixListener::bind(&path).expect("a socket");
    servers.spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut line = String::new();
            BufReader::new(&mut stream).read_line(&mut line).await.ok();
            if !line.ends_with('\n') {
                // Who asked gave it up.
                continue;
            }
            match answer(&line) {
                Some(reply) => drop(stream.write_all(&reply).await),
                None => kept.push(stream),
            }
        }
    });
    format!("unix:{}", path.display())
}

pub(crate) const INFO: &str = "Name: HAProxy\nPid: 7\nStopping: 0\n\n";
pub(crate) const STATE: &str =
    "1\n# be_id be_name srv_id srv_name srv_op_state srv_admin_state srv_uweight srv_iweight\n3 shop 1 web-01 2 0 1 1\n\n";
pub(crate) const STAT: &str = "# pxname,svname,qcur,scur,status,\nshop,web-01,0,3,UP,\n\n";

/// As HAProxy answers, but no order has an effect.
pub(crate) fn honest(command: &str) -> Vec<u8> {
    let command = command.strip_prefix("show info;").expect("every command asks who answers");
    let reply = match command.split_whitespace().nth(1) {
        Some("servers") => STATE,
        Some("stat") => STAT,
        _ => "\n",
    };
    format!("{INFO}{reply}").into_bytes()
}
