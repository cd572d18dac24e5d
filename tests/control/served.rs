//! A served engine, and what asks it.

use super::*;

/// No step of these tests may take longer; most take milliseconds.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// As the journal makes it for a service.
pub(crate) fn private_dir() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("nothing happened for {BOUND:?}"))
}

pub(crate) struct Running {
    pub(crate) dir: TempDir,
    pub(crate) engine: Arc<Fake>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_within(Limits::default())
    }

    pub(crate) fn start_within(limits: Limits) -> Self {
        Self::start_in(private_dir(), limits)
    }

    pub(crate) fn start_in(dir: TempDir, limits: Limits) -> Self {
        let engine = Fake::new(1);
        let (stop, task) = serve(dir.path(), &engine, limits);
        Self { dir, engine, stop, task }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    pub(crate) async fn client(&self) -> Client {
        within(Client::connect_with(&self.path(), hasty())).await.unwrap()
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.stop.cancel();
        within(self.task).await.unwrap();
        self.dir
    }
}

pub(crate) fn serve(dir: &Path, engine: &Arc<Fake>, limits: Limits) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let server = Server::bind_within(&dir.join("engine.sock"), Arc::<Fake>::clone(engine), limits).unwrap();
    let task = tokio::spawn(server.serve(stop.clone()));
    (stop, task)
}

pub(crate) fn hasty() -> Patience {
    Patience { gone: Duration::from_millis(500), pause: Duration::from_millis(100), ..Patience::default() }
}

pub(crate) async fn next(client: &mut Client) -> Update {
    within(client.next()).await
}

pub(crate) async fn next_event(client: &mut Client) -> Event {
    match next(client).await {
        Update::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn reason_of(event: &Event) -> &str {
    match &event.kind {
        EventKind::DeploymentPaused { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Sends `bytes` on a connection of their own and reads until the server closes it.
pub(crate) async fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // The server may close before it has read all.
    let sent = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = within(stream.read_to_end(&mut answer)).await;
    assert!(!answer.is_empty() || sent.is_err() || read.is_err() || read.is_ok_and(|n| n == 0));
    String::from_utf8_lossy(&answer).into_owned()
}

/// A whole request; the status and the body as JSON.
pub(crate) async fn ask(path: &Path, request_line: &str, headers: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request =
        format!("{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let answer = raw(path, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request_line}: {answer:?}"));
    assert!(head.contains("rollout-protocol: 1\r\n"), "{head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}")))
}

pub(crate) async fn post(path: &Path, body: &str) -> (u16, Value) {
    ask(path, "POST /v1/commands", "", body).await
}
