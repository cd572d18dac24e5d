//! What every balancer has before it: three instances that tell their name, and clients that come through it.
//!
//! Imports: model, ports. May not: sleep without a condition.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rollout::model::{InstanceId, Rotation, Target};
use rollout::ports::TrafficDriver;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::common::wait_for;

/// How a balancer answers to what somebody else does to web-02, and what it can do.
#[derive(Clone, Copy)]
pub(crate) struct Traits {
    /// What a server reads as that somebody else took out.
    pub(crate) foreign: Rotation,
    /// It counts requests under way.
    pub(crate) counts: bool,
    /// Who is out is still out after a restart.
    pub(crate) remembers: bool,
    /// It takes up instances that it did not know.
    pub(crate) adds: bool,
}

/// One kind of balancer with its driver.
pub(crate) trait World: Sized {
    /// `None` if its program is not installed.
    async fn new(instances: Instances) -> Option<Self>;
    fn traits() -> Traits;
    fn instances(&self) -> &Instances;
    fn driver(&self) -> Arc<dyn TrafficDriver>;
    fn front(&self) -> Front;
    /// Somebody else takes web-02 out.
    async fn take_out_by_somebody_else(&self);
    /// Kills it as a crash would.
    fn kill(&mut self);
    /// Starts it as its host would.
    async fn start(&mut self);
}

/// Where clients connect.
pub(crate) enum Front {
    Unix(PathBuf),
    Tcp(u16),
}

/// web-01 to web-03, and web-04, which no balancer knows.
pub(crate) struct Instances {
    pub(crate) ports: [u16; 4],
    /// `/held` is answered once there is a permit.
    pub(crate) release: Arc<Semaphore>,
    /// `/held` under way at each.
    pub(crate) held: [Arc<AtomicU32>; 4],
    _servers: JoinSet<()>,
}

pub(crate) const NAMES: [&str; 4] = ["web-01", "web-02", "web-03", "web-04"];

impl Instances {
    pub(crate) async fn start() -> Self {
        let (mut servers, release) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
        let held: [Arc<AtomicU32>; 4] = Default::default();
        let mut ports = [0; 4];
        for ((port, name), held) in ports.iter_mut().zip(NAMES).zip(&held) {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            *port = listener.local_addr().expect("its address").port();
            let (release, held) = (Arc::clone(&release), Arc::clone(held));
            servers.spawn(async move {
                let mut served = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    served.spawn(serve(name, stream, Arc::clone(&release), Arc::clone(&held)));
                }
            });
        }
        Self { ports, release, held, _servers: servers }
    }

    /// The instance by its number, from 1.
    pub(crate) fn target(&self, number: usize) -> Target {
        let (id, port) = (InstanceId::new(NAMES[number - 1]).expect("an id"), self.ports[number - 1]);
        Target { id, host: "127.0.0.1".to_owned(), port, zone: None, labels: BTreeMap::default() }
    }
}

/// `/held` waits for a permit, `/500` fails, `/closed` gets no answer; everything else is answered at once.
async fn serve(name: &'static str, mut stream: TcpStream, release: Arc<Semaphore>, held: Arc<AtomicU32>) {
    let mut request = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        request.push(byte);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut request)).into_owned();
        let mut status = "200 OK";
        match text.split(' ').nth(1) {
            Some("/held") => {
                held.fetch_add(1, Ordering::SeqCst);
                release.acquire().await.expect("a permit").forget();
                held.fetch_sub(1, Ordering::SeqCst);
            }
            Some("/500") => status = "500 Internal Server Error",
            Some("/closed") => return,
            _ => {}
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One request through the balancer on a connection of its own: what answered, or the status.
pub(crate) async fn ask(front: Front, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    let answer = match front {
        Front::Unix(path) => converse(UnixStream::connect(path).await, &request).await,
        Front::Tcp(port) => converse(TcpStream::connect(("127.0.0.1", port)).await, &request).await,
    };
    let Some(answer) = answer else { return "no answer".to_owned() };
    match (answer.split(' ').nth(1), answer.rsplit_once("\r\n\r\n")) {
        (Some("200"), Some((_, body))) => NAMES.into_iter().find(|name| body.contains(name)).unwrap_or("nobody").to_owned(),
        (status, _) => status.unwrap_or("no answer").to_owned(),
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: std::io::Result<S>, request: &str) -> Option<String> {
    let mut stream = stream.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// How often each instance answers `count` requests, one after the other.
pub(crate) async fn shares(world: &impl World, count: u32) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        *shares.entry(ask(world.front(), "/").await).or_insert(0) += 1;
    }
    shares
}

/// As [`shares`], of web-01 to web-03 and over one connection: fast enough for thousands.
pub(crate) async fn counts(front: Front, count: u32) -> [u32; 3] {
    match front {
        Front::Unix(path) => count_over(UnixStream::connect(path).await.expect("the front"), count).await,
        Front::Tcp(port) => count_over(TcpStream::connect(("127.0.0.1", port)).await.expect("the front"), count).await,
    }
}

async fn count_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, count: u32) -> [u32; 3] {
    let (mut counts, mut answer) = ([0; 3], Vec::new());
    for _ in 0..count {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.expect("a request");
        answer.clear();
        let who = loop {
            let text = String::from_utf8_lossy(&answer);
            let found = text.split_once("\r\n\r\n").and_then(|(_, body)| NAMES.iter().position(|name| body.ends_with(name)));
            if let Some(who) = found {
                break who;
            }
            let read = stream.read_buf(&mut answer).await.expect("an answer");
            assert!(read > 0, "the connection ended: {:?}", String::from_utf8_lossy(&answer));
        };
        counts[who] += 1;
    }
    counts
}

pub(crate) async fn rotation(world: &impl World, number: usize) -> Option<Rotation> {
    let target = world.instances().target(number);
    world.driver().read(std::slice::from_ref(&target)).await.ok()?.remove(&target.id)
}

pub(crate) async fn until(world: &impl World, number: usize, wanted: Rotation) {
    wait_for(&format!("{} {wanted:?}", NAMES[number - 1]), async || (rotation(world, number).await? == wanted).then_some(()))
        .await;
}

/// Tells a process that we started.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Once it has ended there is nobody to tell.
    pid.map(|pid| kill_process(pid, signal).ok());
}
