//! The proxy under traffic: one request, one connection, one try; drained means drained.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::{get as on_get, post};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rollout::demo::proxy::{ProxyArgs, ServerArg, serve};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::support::{Instance, ask, clock, column, free_port, get, receive, send, stat, temp, until};

/// A proxy in this process, with what belongs to it.
struct Proxy {
    port: u16,
    socket: PathBuf,
    _tasks: JoinSet<()>,
    dir: TempDir,
}

impl Proxy {
    async fn start(ports: &[u16]) -> Self {
        let dir = temp();
        let socket = dir.path().join("lb.sock");
        let port = free_port();
        let servers = ports.iter().enumerate().map(|(n, port)| ServerArg { name: format!("web-{:02}", n + 1), port: *port });
        let args =
            ProxyArgs { port, admin_socket: socket.clone(), backend: "be_demo".into(), check_ms: 50, servers: servers.collect() };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { serve(args, clock).await.unwrap() });
        until("runtime API", || ask(&socket, "show info")).await;
        Self { port, socket, _tasks: tasks, dir }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn order(&self, line: &str) {
        assert_eq!(ask(&self.socket, line).await.unwrap(), "\n", "{line}");
    }
}

/// A web server in this process; `/health` passes.
async fn backend(tasks: &mut JoinSet<()>, routes: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = routes.route("/health", on_get(|| async { "ok" })).into_make_service_with_connect_info::<SocketAddr>();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    port
}

/// A client that keeps its connection.
async fn keep_alive(tasks: &mut JoinSet<()>, port: u16) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tasks.spawn(async move {
        connection.await.ok();
    });
    sender
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::builder().uri(path).header("host", "demo").body(Empty::new()).unwrap()
}

#[tokio::test]
async fn each_request_has_a_server_connection_of_its_own_while_the_client_keeps_one() {
    let mut tasks = JoinSet::new();
    let callers = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&callers);
    let routes = Router::new().route(
        "/",
        on_get(move |ConnectInfo(caller): ConnectInfo<SocketAddr>| async move {
            seen.lock().unwrap().insert(caller.port());
            "hello"
        }),
    );
    let proxy = Proxy::start(&[backend(&mut tasks, routes).await]).await;
    let mut client = keep_alive(&mut tasks, proxy.port).await;
    for _ in 0..5 {
        let answer = client.send_request(request("/")).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        client.ready().await.unwrap();
    }
    assert_eq!(callers.lock().unwrap().len(), 5);
    let rows = stat(&proxy.socket).await;
    assert_eq!(rows["FRONTEND"]["conn_tot"], "1");
    let server = &rows["web-01"];
    let counted = ["scur", "smax", "stot", "hrsp_2xx", "econ", "eresp", "cli_abrt"].map(|name| server[name].as_str());
    assert_eq!(counted, ["0", "1", "5", "5", "0", "0", "0"]);
}

#[tokio::test]
async fn a_body_is_passed_on_as_it_comes_and_counts_until_its_end() {
    let mut tasks = JoinSet::new();
    let (chunks, rest) = mpsc::channel::<Bytes>(1);
    let rest = Arc::new(Mutex::new(Some(rest)));
    let routes = Router::new().route(
        "/stream",
        on_get(move || async move {
            let rest = rest.lock().unwrap().take().unwrap();
            Body::from_stream(futures::stream::unfold(rest, |mut rest| async move {
                rest.recv().await.map(|chunk| (Ok::<_, Infallible>(chunk), rest))
            }))
        }),
    );
    let proxy = Proxy::start(&[backend(&mut tasks, routes).await]).await;
    let mut client = keep_alive(&mut tasks, proxy.port).await;
    chunks.send("one".into()).await.unwrap();
    let mut body = client.send_request(request("/stream")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    proxy.order("set server be_demo/web-01 state drain").await;
    assert_eq!(stat(&proxy.socket).await["web-01"]["scur"], "1", "still in flight");
    chunks.send("two".into()).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(chunks);
    assert!(body.frame().await.is_none());
    column(&proxy.socket, "web-01", "scur", "0").await;
    assert_eq!(stat(&proxy.socket).await["web-01"]["srv_abrt"], "0");
}

#[tokio::test]
async fn a_request_body_reaches_the_server() {
    let mut tasks = JoinSet::new();
    let routes = Router::new().route("/count", post(|body: Bytes| async move { body.len().to_string() }));
    let proxy = Proxy::start(&[backend(&mut tasks, routes).await]).await;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tasks.spawn(async move {
        connection.await.ok();
    });
    let body = http_body_util::Full::new(Bytes::from(vec![b'x'; 300_000]));
    let answer = sender.send_request(Request::post("/count").header("host", "demo").body(body).unwrap()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "300000");
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_and_leaves_nothing_in_flight() {
    let mut tasks = JoinSet::new();
    let reached = Arc::new(Notify::new());
    let reach = Arc::clone(&reached);
    let routes = Router::new().route(
        "/never",
        on_get(move || async move {
            reach.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let proxy = Proxy::start(&[backend(&mut tasks, routes).await]).await;
    let stream = send(proxy.port, "/never", "test").await.unwrap();
    reached.notified().await;
    assert_eq!(stat(&proxy.socket).await["web-01"]["scur"], "1");
    drop(stream);
    column(&proxy.socket, "web-01", "scur", "0").await;
    assert_eq!(stat(&proxy.socket).await["web-01"]["cli_abrt"], "1");
}

#[tokio::test]
async fn failures_are_shown_counted_and_never_tried_elsewhere() {
    let mut tasks = JoinSet::new();
    // Passes its checks, and breaks every other connection off.
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = broken.local_addr().unwrap().port();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    tasks.spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = broken.accept().await {
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap_or(0);
            if head[..length].starts_with(b"GET /health") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.ok();
            } else {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let healthy = backend(&mut tasks, Router::new().route("/", on_get(|| async { "hello" }))).await;
    let proxy = Proxy::start(&[port, healthy]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(get(proxy.port, "/").await.unwrap().status);
    }
    seen.sort_unstable();
    assert_eq!(seen, [200, 200, 502, 502]);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let rows = stat(&proxy.socket).await;
    assert_eq!(["eresp", "econ", "wretr", "wredis"].map(|name| rows["web-01"][name].as_str()), ["2", "0", "0", "0"]);
    assert_eq!(rows["BACKEND"]["eresp"], "2");
    for name in ["web-01", "web-02"] {
        proxy.order(&format!("set server be_demo/{name} state maint")).await;
    }
    assert_eq!(get(proxy.port, "/").await.unwrap().status, 503);
    let rows = stat(&proxy.socket).await;
    assert_eq!(["econ", "hrsp_5xx", "status"].map(|name| rows["BACKEND"][name].as_str()), ["1", "3", "DOWN"]);
}

#[tokio::test]
async fn a_server_that_refuses_connections_costs_its_requests_until_the_checks_notice() {
    let mut tasks = JoinSet::new();
    let healthy = backend(&mut tasks, Router::new().route("/", on_get(|| async { "hello" }))).await;
    let proxy = Proxy::start(&[healthy]).await;
    column(&proxy.socket, "web-01", "status", "UP").await;
    drop(tasks);
    until("503", || async { (get(proxy.port, "/").await?.status == 503).then_some(()) }).await;
    assert_ne!(stat(&proxy.socket).await["BACKEND"]["econ"], "0");
    column(&proxy.socket, "web-01", "status", "DOWN").await;
    assert_eq!(stat(&proxy.socket).await["web-01"]["check_status"], "L4CON");
}

/// Under traffic on kept and on fresh connections: drain, wait until nothing is in flight, kill, start, admit; nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_drained_server_fails_no_request() {
    let files = temp();
    let mut instances =
        [Instance::listening(files.path(), "web-01", "v1").await, Instance::listening(files.path(), "web-02", "v1").await];
    let proxy = Proxy::start(&[instances[0].port, instances[1].port]).await;
    for name in ["web-01", "web-02"] {
        column(&proxy.socket, name, "status", "UP").await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let mut load = JoinSet::new();
    for client in 0..6 {
        let (stop, port) = (Arc::clone(&stop), proxy.port);
        let mut kept = keep_alive(&mut tasks, port).await;
        load.spawn(async move {
            let (mut served, mut failed) = (0_u64, Vec::new());
            while !stop.load(Ordering::SeqCst) {
                let path = if served % 10 == 0 { "/slow?ms=20" } else { "/" };
                let status = if client % 2 == 0 {
                    kept.ready().await.unwrap();
                    let answer = kept.send_request(request(path)).await.unwrap();
                    let status = answer.status().as_u16();
                    answer.into_body().collect().await.unwrap();
                    Some(status)
                } else {
                    get(port, path).await.map(|answer| answer.status)
                };
                served += 1;
                if status != Some(200) {
                    failed.push(status);
                }
            }
            (served, failed)
        });
    }
    for round in 0..6 {
        let (name, place) = if round % 2 == 0 { ("web-01", 0) } else { ("web-02", 1) };
        proxy.order(&format!("set server be_demo/{name} state drain")).await;
        column(&proxy.socket, name, "scur", "0").await;
        let total = stat(&proxy.socket).await[name]["stot"].clone();
        let port = instances[place].port;
        instances[place].child.kill().await.unwrap();
        column(&proxy.socket, name, "status", "DOWN").await;
        instances[place] = Instance::start(files.path(), name, "v2", port);
        column(&proxy.socket, name, "status", "DRAIN").await;
        assert_eq!(stat(&proxy.socket).await[name]["stot"], total, "a drained server was given a request");
        proxy.order(&format!("set server be_demo/{name} state ready")).await;
    }
    stop.store(true, Ordering::SeqCst);
    let results = load.join_all().await;
    let served: u64 = results.iter().map(|(served, _)| served).sum();
    let failed: Vec<_> = results.iter().flat_map(|(_, failed)| failed).collect();
    assert!(served > 100 && failed.is_empty(), "{served} served, failed: {failed:?}");
    assert!(proxy.dir().exists());
}

/// The negative control: without the drain the same kill is seen.
#[tokio::test]
async fn killing_a_server_in_rotation_fails_requests() {
    let files = temp();
    let mut instance = Instance::listening(files.path(), "web-01", "v1").await;
    let proxy = Proxy::start(&[instance.port]).await;
    column(&proxy.socket, "web-01", "status", "UP").await;
    let slow = send(proxy.port, "/slow?ms=5000", "test").await.unwrap();
    column(&proxy.socket, "web-01", "scur", "1").await;
    instance.child.kill().await.unwrap();
    assert_eq!(receive(slow).await.unwrap().status, 502);
}
