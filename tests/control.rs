//! The control socket over real Unix sockets: what clients see, what hostile or broken peers cannot do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise, and names what it skips"
)]

use std::collections::VecDeque;
use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rollout::command::{Command, Receipt, Refusal, Request};
use rollout::control::{Client, ControlError, Limits, Patience, Server, engine_pid};
use rollout::event::{Actor, Ending, Event, EventKind, FORMAT};
use rollout::journal::decode;
use rollout::model::{DeploymentId, Seq, Timestamp};
use rollout::ports::{Engine, Feed, LogLine, Progress, Session, SessionError, Snapshot, Update};
use rollout::state::State;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// No step of these tests may take longer; most take milliseconds.
const BOUND: Duration = Duration::from_secs(20);

/// As the journal makes it for a service.
fn private_dir() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("nothing happened for {BOUND:?}"))
}

// --- an engine of a state and a broadcast ------------------------------------------------------------------------------

struct Fake {
    this: std::sync::Weak<Self>,
    kept: Mutex<(Vec<Event>, State)>,
    live: broadcast::Sender<Update>,
    requests: Mutex<Vec<Request>>,
}

/// Live updates that a feed may lag behind.
const LAG: usize = 64;

impl Fake {
    fn new(number: u32) -> Arc<Self> {
        let golden = include_str!("journal/v1.jsonl");
        let mut first = decode(golden.lines().next().unwrap()).unwrap();
        first.deployment = DeploymentId::new("shop", number);
        if let EventKind::DeploymentPlanned { plan, .. } = &mut first.kind {
            plan.deployment = first.deployment.clone();
        }
        let kept = Mutex::new((vec![first.clone()], State::begin(&first).unwrap()));
        Arc::new_cyclic(|this| Self { this: this.clone(), kept, live: broadcast::Sender::new(LAG), requests: Mutex::default() })
    }

    fn append(&self, kind: EventKind) -> Seq {
        let mut kept = self.kept.lock().unwrap();
        let (events, state) = &mut *kept;
        let event = Event { seq: state.seq.next(), at: state.at, deployment: state.plan.deployment.clone(), kind };
        state.apply(&event).unwrap();
        events.push(event.clone());
        self.live.send(Update::Event(event)).unwrap_or_default();
        state.seq
    }

    fn pause(&self, reason: &str) -> Seq {
        self.append(EventKind::DeploymentPaused { by: Actor::Engine, reason: reason.to_owned() })
    }

    fn end(&self) -> Seq {
        self.append(EventKind::DeploymentEnded { ending: Ending::Cancelled, reason: String::new(), vip: None })
    }

    fn seq(&self) -> Seq {
        self.kept.lock().unwrap().1.seq
    }

    fn snapshot_now(&self) -> Snapshot {
        let state = self.kept.lock().unwrap().1.clone();
        let progress = Progress { troubles: vec!["from the snapshot".to_owned()], ..Progress::default() };
        Snapshot { format: FORMAT, seq: state.seq, state, progress }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn log_line(number: u64) -> LogLine {
    LogLine {
        number,
        at: Timestamp::from_millis(1_790_000_000_000),
        level: "info".to_owned(),
        target: "engine".to_owned(),
        message: format!("line {number}"),
    }
}

impl Engine for Fake {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        async { Ok(self.snapshot_now()) }.boxed()
    }

    fn subscribe(&self, after: Seq) -> Box<dyn Feed> {
        let live = self.live.subscribe();
        let kept = self.kept.lock().unwrap();
        let past = kept.0.iter().filter(|e| e.seq > after).cloned().collect();
        Box::new(FakeFeed { engine: self.this.upgrade().unwrap(), past, live, last: after })
    }

    fn send(&self, request: Request) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let this = self.this.upgrade().unwrap();
        async move {
            this.requests.lock().unwrap().push(request.clone());
            match request.command {
                Command::Pause { reason } => {
                    let seq = this.append(EventKind::DeploymentPaused { by: request.actor, reason });
                    Ok(Receipt { seq, message: "takes no new instance".to_owned() })
                }
                Command::Start => Err(SessionError::Link("the engine stalls".to_owned())),
                other => Err(Refusal { message: format!("{} is refused here", other.verb()) }.into()),
            }
        }
        .boxed()
    }

    fn logs(&self, after: u64) -> Vec<LogLine> {
        (1..=3).filter(|n| *n > after).map(log_line).collect()
    }
}

struct FakeFeed {
    engine: Arc<Fake>,
    past: VecDeque<Event>,
    live: broadcast::Receiver<Update>,
    last: Seq,
}

impl Feed for FakeFeed {
    fn next(&mut self) -> BoxFuture<'_, Update> {
        async move {
            loop {
                if let Some(event) = self.past.pop_front() {
                    self.last = event.seq;
                    return Update::Event(event);
                }
                if self.engine.kept.lock().unwrap().1.end.is_some() && self.last == self.engine.seq() {
                    return Update::Closed;
                }
                match self.live.recv().await {
                    Ok(Update::Event(event)) if event.seq <= self.last => {}
                    Ok(Update::Event(event)) => {
                        self.last = event.seq;
                        return Update::Event(event);
                    }
                    Ok(update) => return update,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.live = self.engine.live.subscribe();
                        let snapshot = self.engine.snapshot_now();
                        self.last = snapshot.seq;
                        return Update::Resync(Box::new(snapshot));
                    }
                    Err(broadcast::error::RecvError::Closed) => return Update::Closed,
                }
            }
        }
        .boxed()
    }
}

// --- a served engine ---------------------------------------------------------------------------------------------------

struct Running {
    dir: TempDir,
    engine: Arc<Fake>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        Self::start_within(Limits::default())
    }

    fn start_within(limits: Limits) -> Self {
        let (dir, engine) = (private_dir(), Fake::new(1));
        let (stop, task) = serve(dir.path(), &engine, limits);
        Self { dir, engine, stop, task }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    async fn client(&self) -> Client {
        within(Client::connect_with(&self.path(), hasty())).await.unwrap()
    }

    async fn stop(self) -> TempDir {
        self.stop.cancel();
        within(self.task).await.unwrap();
        self.dir
    }
}

fn serve(dir: &Path, engine: &Arc<Fake>, limits: Limits) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let server = Server::bind_within(&dir.join("engine.sock"), Arc::<Fake>::clone(engine), limits).unwrap();
    let task = tokio::spawn(server.serve(stop.clone()));
    (stop, task)
}

fn hasty() -> Patience {
    Patience { gone: Duration::from_millis(500), pause: Duration::from_millis(100), ..Patience::default() }
}

async fn next(client: &mut Client) -> Update {
    within(client.next()).await
}

async fn next_event(client: &mut Client) -> Event {
    match next(client).await {
        Update::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

fn reason_of(event: &Event) -> &str {
    match &event.kind {
        EventKind::DeploymentPaused { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Sends `bytes` on a connection of their own and reads until the server closes it.
async fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // The server may close before it has read all.
    let sent = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = within(stream.read_to_end(&mut answer)).await;
    assert!(!answer.is_empty() || sent.is_err() || read.is_err() || read.is_ok_and(|n| n == 0));
    String::from_utf8_lossy(&answer).into_owned()
}

/// A whole request; the status and the body as JSON.
async fn ask(path: &Path, request_line: &str, headers: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request =
        format!("{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let answer = raw(path, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request_line}: {answer:?}"));
    assert!(head.contains("rollout-protocol: 1\r\n"), "{head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}")))
}

async fn post(path: &Path, body: &str) -> (u16, Value) {
    ask(path, "POST /v1/commands", "", body).await
}

// --- what clients see --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_sees_a_snapshot_and_then_everything_in_order() {
    let running = Running::start();
    running.engine.pause("one");
    let mut client = running.client().await;
    running.engine.pause("two");
    let snapshot = within(client.snapshot()).await.unwrap();
    assert_eq!((snapshot.seq, snapshot.format), (Seq(3), FORMAT));
    assert_eq!(snapshot.state, running.engine.snapshot_now().state);
    assert_eq!(snapshot.progress.troubles, ["from the snapshot"]);

    running.engine.pause("three");
    let event = next_event(&mut client).await;
    assert_eq!((event.seq, reason_of(&event)), (Seq(4), "three"), "what the snapshot holds does not come again");
    let progress = Progress { at: Timestamp::from_millis(7), troubles: vec!["live".to_owned()], ..Progress::default() };
    running.engine.live.send(Update::Progress(progress.clone())).unwrap();
    running.engine.live.send(Update::Log(log_line(9))).unwrap();
    assert!(matches!(next(&mut client).await, Update::Progress(p) if p == progress));
    assert!(matches!(next(&mut client).await, Update::Log(line) if line == log_line(9)));
    assert_eq!(within(client.logs(1)).await.unwrap(), [log_line(2), log_line(3)]);

    let end = running.engine.end();
    assert_eq!(next_event(&mut client).await.seq, end);
    assert!(matches!(next(&mut client).await, Update::Closed));
    assert!(matches!(next(&mut client).await, Update::Closed), "and it stays closed");
}

#[tokio::test]
async fn a_cancelled_next_loses_nothing() {
    let running = Running::start();
    let mut client = running.client().await;
    let mut expected = 2;
    for n in 0..50 {
        running.engine.pause(&n.to_string());
        // Polled once and dropped, wherever that is.
        while let Some(update) = client.next().now_or_never() {
            assert!(matches!(update, Update::Event(e) if e.seq == Seq(expected)));
            expected += 1;
        }
        tokio::task::yield_now().await;
    }
    while expected <= 51 {
        assert_eq!(next_event(&mut client).await.seq, Seq(expected));
        expected += 1;
    }
}

#[tokio::test]
async fn the_stream_is_resumable_and_in_the_form_that_is_documented() {
    let running = Running::start();
    for n in 1..=4 {
        running.engine.pause(&n.to_string());
    }
    running.engine.live.send(Update::Log(log_line(1))).unwrap_or_default();
    running.engine.end();
    let get = |after: u64| format!("GET /v1/events?after={after} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw(&running.path(), get(3).as_bytes()).await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    let ids: Vec<&str> = answer.lines().filter_map(|l| l.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["4", "5", "6"]);
    assert!(answer.contains("event: event\nid: 4\ndata: {\"seq\":4,\"at\":"), "{answer}");
    assert!(answer.contains("event: closed\ndata: {}\n\n"), "{answer}");
}

#[tokio::test]
async fn one_that_does_not_read_is_resynced_and_stops_nobody_else() {
    let running = Running::start();
    let (mut slow, mut quick) = (running.client().await, running.client().await);
    let filler = "x".repeat(4000);
    running.engine.pause("first");
    assert_eq!(next_event(&mut slow).await.seq, Seq(2), "its stream is open");
    for n in 0..2000 {
        let seq = running.engine.pause(&filler);
        let event = loop {
            match next(&mut quick).await {
                Update::Event(event) if event.seq == Seq(2) => {}
                Update::Event(event) => break event,
                other => panic!("the quick one, at {n}: {other:?}"),
            }
        };
        assert_eq!(event.seq, seq);
    }
    let (mut last, mut resyncs) = (Seq(2), 0);
    while last < running.engine.seq() {
        match next(&mut slow).await {
            Update::Event(event) => {
                assert_eq!(event.seq, last.next(), "no gap but by a resync");
                last = event.seq;
            }
            Update::Resync(snapshot) => {
                assert!(snapshot.seq > last);
                (last, resyncs) = (snapshot.seq, resyncs + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(resyncs > 0, "8 MB do not fit into a socket");
}

#[tokio::test]
async fn a_quiet_stream_is_told_from_a_dead_one() {
    let running = Running::start_within(Limits { silence: Duration::from_millis(50), ..Limits::default() });
    let patience = Patience { silence: Duration::from_millis(700), ..hasty() };
    let mut client = within(Client::connect_with(&running.path(), patience)).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(2), client.next()).await;
    assert!(quiet.is_err(), "the engine is alive but has nothing to say: {quiet:?}");

    // The same through a link that stops carrying bytes.
    let proxy = Proxy::start(&running.path());
    let mut client = within(Client::connect_with(&proxy.path(), patience)).await.unwrap();
    assert!(client.next().now_or_never().is_none());
    running.engine.pause("one");
    assert_eq!(next_event(&mut client).await.seq, Seq(2));
    proxy.frozen.store(true, Ordering::SeqCst);
    match next(&mut client).await {
        Update::Disconnected { reason } => assert!(reason.contains("no sign of life for 0.7s"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

// --- commands ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn commands_carry_the_user_that_the_kernel_names() {
    let running = Running::start();
    let client = running.client().await;
    let receipt = within(client.send(Command::Pause { reason: "look".to_owned() }, Some(Seq(1)))).await.unwrap();
    assert_eq!(receipt, Receipt { seq: Seq(2), message: "takes no new instance".to_owned() });
    let forged = r#"{"command":"resume","actor":{"who":"operator","login":"mallory","uid":7}}"#;
    assert_eq!(post(&running.path(), forged).await.0, 409, "resume is refused here");

    let uid = std::fs::metadata(running.path()).unwrap().uid();
    let requests = running.engine.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].revision, Some(Seq(1)));
    for request in requests {
        match request.actor {
            Actor::Operator { uid: seen, login } => {
                assert_eq!(seen, uid);
                assert!(uid != 0 || login == "root", "{login}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_and_a_stall_are_told_apart() {
    let running = Running::start();
    let client = running.client().await;
    match within(client.send(Command::Rollback { reason: String::new() }, None)).await {
        Err(SessionError::Refused(refusal)) => assert_eq!(refusal.message, "rollback is refused here"),
        other => panic!("{other:?}"),
    }
    match within(client.send(Command::Start, None)).await {
        Err(SessionError::Link(reason)) => assert_eq!(reason, "the engine stalls"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_key_is_one_command() {
    let (running, pause) = (Running::start(), r#"{"command":"pause","reason":"a","key":"k1"}"#);
    let first = post(&running.path(), pause).await;
    assert_eq!(first.0, 200);
    assert_eq!(post(&running.path(), pause).await, first);
    assert_eq!(running.engine.requests().len(), 1);
    let (status, other) = post(&running.path(), r#"{"command":"pause","reason":"b","key":"k1"}"#).await;
    assert_eq!(status, 400);
    assert!(other["message"].as_str().unwrap().contains("used for another command"), "{other}");
    for keyless in 0..2 {
        assert_eq!(post(&running.path(), r#"{"command":"pause"}"#).await.0, 200, "{keyless}");
    }
    assert_eq!(running.engine.requests().len(), 3);
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_given_once() {
    let running = Running::start();
    let proxy = Proxy::start(&running.path());
    let client = within(Client::connect_with(&proxy.path(), hasty())).await.unwrap();
    proxy.swallow_an_answer.store(true, Ordering::SeqCst);
    let receipt = within(client.send(Command::Pause { reason: String::new() }, None)).await.unwrap();
    assert!(!proxy.swallow_an_answer.load(Ordering::SeqCst), "the first answer did not arrive");
    assert_eq!(receipt.seq, Seq(2));
    assert_eq!(running.engine.requests().len(), 1);
}

#[tokio::test]
async fn bad_requests_are_answered_in_words() {
    let running = Running::start();
    let path = running.path();
    let long_key = format!(r#"{{"command":"pause","key":"{}"}}"#, "k".repeat(129));
    let long = format!(r#"{{"command":"pause","reason":"{}"}}"#, "x".repeat(70_000));
    let version = "rollout-protocol: 9\r\n";
    let cases = [
        ("POST /v1/commands", "", "nonsense", 400, "not a command"),
        ("POST /v1/commands", "", "", 400, "not a command"),
        ("POST /v1/commands", "", r#"{"command":"explode"}"#, 400, "explode"),
        ("POST /v1/commands", "", r#"{"command":"pause","reson":"typo"}"#, 400, "reson"),
        ("POST /v1/commands", "", r#"{"command":"pause","key":"with space"}"#, 400, "visible ASCII"),
        ("POST /v1/commands", "", long_key.as_str(), 400, "1 to 128"),
        ("POST /v1/commands", "", long.as_str(), 413, "65536 bytes"),
        ("GET /v1/commands", "", "", 405, "takes POST"),
        ("GET /v1/nothing", "", "", 404, "/v1/deployment"),
        ("GET /v1/events?after=x", "", "", 400, "?after=NUMBER"),
        ("GET /v1/logs?befor=1", "", "", 400, "?after=NUMBER"),
        ("GET /v1/deployment", version, "", 400, "speaks protocol 1, not 9"),
    ];
    for (line, headers, body, status, words) in cases {
        let (found, answer) = ask(&path, line, headers, body).await;
        let message = answer["message"].as_str().unwrap();
        assert_eq!(found, status, "{line} {message}");
        assert!(message.contains(words), "{line}: {message}");
    }
    assert_eq!(running.engine.requests(), []);
    let (status, logs) = ask(&path, "GET /v1/logs?after=2", "", "").await;
    assert_eq!((status, logs[0]["message"].as_str()), (200, Some("line 3")));
}

// --- hostile and broken peers ------------------------------------------------------------------------------------------

#[tokio::test]
async fn garbage_hurts_only_who_sends_it() {
    let running = Running::start_within(Limits { request: Duration::from_millis(300), ..Limits::default() });
    let mut bystander = running.client().await;
    let path = running.path();
    let mut noise = Vec::new();
    let mut word = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..200_000 {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        noise.push(word.to_le_bytes()[0]);
    }
    let huge_head = format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(300_000));
    let chunked = format!(
        "POST /v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("8000\r\n{}\r\n", "z".repeat(0x8000)).repeat(4)
    );
    let raws: [(&[u8], &str); 9] = [
        (&noise, ""),
        (b"\0\0\0\0\r\n\r\n", "400"),
        (b"GET / HTTP/9.9\r\n\r\n", "400"),
        (huge_head.as_bytes(), "431"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 4294967296\r\n\r\nabc", "413"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"),
        (chunked.as_bytes(), "413"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"command\":", "408"),
        (b"GET /v1/deployment HTTP/1.1\r\nHo", ""),
    ];
    for (bytes, status) in raws {
        let answer = raw(&path, bytes).await;
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(70)]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{head:?}: {answer}");
        assert!(answer.split(' ').nth(1).unwrap_or_default().starts_with(status), "{head:?}: {answer}");
    }
    // Gone in the middle of a request and of an answer.
    for bytes in [&b"POST /v1/comm"[..], b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
    }
    running.engine.pause("still here");
    assert_eq!(reason_of(&next_event(&mut bystander).await), "still here");
    assert_eq!(running.engine.requests(), []);
}

#[tokio::test]
async fn too_many_connections_are_dropped_until_there_is_room() {
    let running = Running::start_within(Limits { connections: 4, ..Limits::default() });
    let path = running.path();
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(UnixStream::connect(&path).await.unwrap());
    }
    assert_eq!(raw(&path, b"GET /v1/deployment HTTP/1.1\r\nHost: x\r\n\r\n").await, "", "the fifth");
    drop(idle);
    let recovered = async {
        while Client::connect_with(&path, hasty()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(recovered).await;
}

#[tokio::test]
async fn another_user_is_refused() {
    let running = Running::start();
    let (path, uid) = (running.path(), std::fs::metadata(running.path()).unwrap().uid());
    // As if the directory had been opened by mistake: the kernel's word is the second lock.
    std::fs::set_permissions(running.dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = tokio::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "--silent", "--show-error", "--max-time", "10"]);
    command.args(["--write-out", " %{http_code}", "--data", r#"{"command":"pause"}"#, "--unix-socket"]);
    let output = match command.arg(&path).arg("http://localhost/v1/commands").output().await {
        Ok(output) if uid == 0 && output.status.code() != Some(127) => output,
        Ok(_) | Err(_) => {
            println!("skipped: a client of another user (needs root, setpriv and curl; apt install util-linux curl)");
            return;
        }
    };
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.contains("not uid 65534") && answer.ends_with(" 403"), "{answer} {output:?}");
    assert_eq!(running.engine.requests(), []);
}

#[tokio::test]
async fn curl_is_a_client() {
    let running = Running::start();
    let curl = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "10", "--unix-socket"]).arg(running.path()).args(arguments);
        let output = command.output().await.ok()?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(snapshot) = curl(&["http://localhost/v1/deployment"]).await else {
        println!("skipped: curl (apt install curl)");
        return;
    };
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(snapshot.seq, Seq(1));
    let receipt = curl(&["http://localhost/v1/commands", "-d", r#"{"command":"pause","reason":"by curl"}"#]).await.unwrap();
    assert_eq!(serde_json::from_str::<Receipt>(&receipt).unwrap().seq, Seq(2));
    running.engine.end();
    let stream = curl(&["--no-buffer", "http://localhost/v1/events"]).await.unwrap();
    assert_eq!(stream.matches("event: event\n").count(), 3);
    assert!(stream.contains("by curl") && stream.ends_with("event: closed\ndata: {}\n\n"), "{stream}");
}

// --- the socket's life -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_socket_is_private_one_engines_and_gone_at_the_end() {
    let running = Running::start();
    let path = running.path();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(engine_pid(&path), Some(i32::try_from(std::process::id()).unwrap()));
    match Server::bind(&path, Fake::new(1)) {
        Err(error @ ControlError::AlreadyRuns { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&format!("(pid {})", std::process::id())) && text.contains("rollout attach"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(running.client().await.snapshot().await.unwrap().seq, Seq(1), "the first is not disturbed");
    let dir = running.stop().await;
    assert!(!path.exists());
    assert_eq!(engine_pid(&path), None);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["engine.lock"]);
    let error = Client::connect(&path).await.unwrap_err().to_string();
    assert!(error.contains("no engine answers at"), "{error}");
}

#[tokio::test]
async fn what_a_dead_engine_left_is_replaced() {
    let dir = private_dir();
    let path = dir.path().join("engine.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists() && engine_pid(&path).is_none(), "a socket that nobody serves");
    let server = Server::bind(&path, Fake::new(1)).unwrap();
    assert!(engine_pid(&path).is_some());
    drop(server);
    assert!(!path.exists(), "dropping it removes it too");
}

#[tokio::test]
async fn a_place_that_does_not_do_is_refused_with_the_remedy() {
    let dir = private_dir();
    let refused = |path: &Path| Server::bind(path, Fake::new(1)).unwrap_err().to_string();
    let file = dir.path().join("engine.sock");
    std::fs::write(&file, "precious").unwrap();
    assert!(refused(&file).contains("no socket lies there; move it away"), "{}", refused(&file));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    std::fs::remove_file(&file).unwrap();

    let alive = UnixListener::bind(&file).unwrap();
    assert!(refused(&file).contains("already runs"), "a living one without our lock: {}", refused(&file));
    drop(alive);

    let long = dir.path().join("x".repeat(100));
    assert!(refused(&long).contains("shorter [journal] dir"), "{}", refused(&long));
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refused(&file).contains("chmod 700"), "{}", refused(&file));
}

#[tokio::test]
async fn the_end_waits_for_nobody() {
    let running = Running::start_within(Limits { farewell: Duration::from_millis(400), ..Limits::default() });
    let mut reader = running.client().await;
    running.engine.pause("one");
    next_event(&mut reader).await;
    // One that never reads, with more than its socket can hold, and one in the middle of a request.
    let mut deaf = UnixStream::connect(running.path()).await.unwrap();
    for _ in 0..500 {
        running.engine.pause(&"x".repeat(4000));
    }
    deaf.write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut half = UnixStream::connect(running.path()).await.unwrap();
    half.write_all(b"GET /v1/ev").await.unwrap();
    running.stop.cancel();
    let closed = async {
        loop {
            match next(&mut reader).await {
                Update::Closed => break,
                Update::Event(_) | Update::Resync(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    closed.await;
    running.stop().await;
}

// --- broken links ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_goes_on_where_it_was_when_its_link_broke() {
    let running = Running::start();
    let proxy = Proxy::start(&running.path());
    let mut client = within(Client::connect_with(&proxy.path(), hasty())).await.unwrap();
    running.engine.pause("one");
    assert_eq!(next_event(&mut client).await.seq, Seq(2));
    for round in 0..3 {
        proxy.cut();
        running.engine.pause("while it was away");
        running.engine.pause("and again");
        assert!(matches!(next(&mut client).await, Update::Disconnected { .. }), "round {round}");
        match next(&mut client).await {
            Update::Progress(progress) => assert_eq!(progress.troubles, ["from the snapshot"], "says that the link is back"),
            other => panic!("{other:?}"),
        }
        let expected = Seq(3 + 2 * round);
        assert_eq!(next_event(&mut client).await.seq, expected);
        assert_eq!(next_event(&mut client).await.seq, expected.next());
    }
}

#[tokio::test]
async fn a_client_finds_the_engine_again_after_a_restart() {
    let running = Running::start();
    let mut client = within(Client::connect_with(&running.path(), Patience { gone: BOUND, ..hasty() })).await.unwrap();
    running.engine.pause("one");
    assert_eq!(next_event(&mut client).await.seq, Seq(2));
    let engine = Arc::clone(&running.engine);
    // Killed, not stopped: no farewell reaches the client.
    running.task.abort();
    assert!(within(running.task).await.unwrap_err().is_cancelled());
    assert!(matches!(next(&mut client).await, Update::Disconnected { .. }));
    engine.pause("two");
    let (stop, task) = serve(running.dir.path(), &engine, Limits::default());
    let found = loop {
        match next(&mut client).await {
            Update::Disconnected { reason } => assert!(reason.contains("no engine answers"), "{reason}"),
            Update::Progress(_) => {}
            Update::Event(event) => break event,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((found.seq, reason_of(&found)), (Seq(3), "two"));
    stop.cancel();
    within(task).await.unwrap();
}

#[tokio::test]
async fn a_client_gives_up_once_the_engine_is_gone() {
    let running = Running::start();
    let mut client = running.client().await;
    running.engine.pause("one");
    next_event(&mut client).await;
    running.task.abort();
    let mut told = 0;
    while let Update::Disconnected { .. } = next(&mut client).await {
        told += 1;
    }
    assert!((1..=2).contains(&told), "an outage is told once for each reason, not at each attempt: {told}");
    assert!(matches!(next(&mut client).await, Update::Closed));
    match within(client.send(Command::Resume, None)).await {
        Err(SessionError::Link(reason)) => assert!(reason.contains("no engine answers"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_next_deployments_engine_is_not_taken_for_the_old_one() {
    let running = Running::start();
    let mut client = running.client().await;
    running.engine.pause("one");
    next_event(&mut client).await;
    running.task.abort();
    assert!(within(running.task).await.unwrap_err().is_cancelled());
    let (stop, task) = serve(running.dir.path(), &Fake::new(2), Limits::default());
    assert!(matches!(next(&mut client).await, Update::Disconnected { .. }));
    assert!(matches!(next(&mut client).await, Update::Closed));
    let error = within(client.snapshot()).await.unwrap_err().to_string();
    assert!(error.contains("shop-1 is over") && error.contains("runs shop-2"), "{error}");
    stop.cancel();
    within(task).await.unwrap();
}

#[tokio::test]
async fn an_engine_of_another_protocol_is_named() {
    let dir = private_dir();
    let path = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answers = [
        "HTTP/1.1 200 OK\r\nrollout-protocol: 2\r\nrollout-version: 7.1.0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ];
    let server = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let error = within(Client::connect(&path)).await.unwrap_err().to_string();
    assert!(error.contains("rollout 7.1.0) speaks protocol 2") && error.contains("use the engine's own version"), "{error}");
    let error = within(Client::connect(&path)).await.unwrap_err().to_string();
    assert!(error.contains("is no engine of rollout"), "{error}");
    within(server).await.unwrap();
}

/// Carries bytes between clients and a server, and can fail like a link.
struct Proxy {
    dir: TempDir,
    /// Ends all connections that are open.
    epoch: tokio::sync::watch::Sender<u64>,
    /// Connections stay, but nothing comes from the server any more.
    frozen: Arc<AtomicBool>,
    /// The next answer to a POST is dropped with its connection, after the server gave it.
    swallow_an_answer: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    fn start(server: &Path) -> Self {
        let dir = private_dir();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let (epoch, frozen, swallow) =
            (tokio::sync::watch::Sender::new(0), Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (server, mut tasks) = (server.to_owned(), JoinSet::new());
        let (cut, flags) = (epoch.subscribe(), (Arc::clone(&frozen), Arc::clone(&swallow)));
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let upstream = UnixStream::connect(&server).await.unwrap();
                let (mut cut, flags) = (cut.clone(), flags.clone());
                cut.mark_unchanged();
                carried.spawn(async move {
                    tokio::select! {
                        () = carry(client, upstream, flags) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { dir, epoch, frozen, swallow_an_answer: swallow, _tasks: tasks }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    fn cut(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }
}

async fn carry(mut client: UnixStream, mut server: UnixStream, (frozen, swallow): (Arc<AtomicBool>, Arc<AtomicBool>)) {
    let (mut up, mut down, mut posted) = ([0; 4096], [0; 4096], false);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(n) if n > 0 => {
                    posted |= up.starts_with(b"POST");
                    server.write_all(&up[..n]).await.unwrap();
                }
                Ok(_) | Err(_) => return,
            },
            read = server.read(&mut down) => match read {
                Ok(n) if n > 0 => {
                    if posted && swallow.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if !frozen.load(Ordering::SeqCst) && client.write_all(&down[..n]).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            },
        }
    }
}
