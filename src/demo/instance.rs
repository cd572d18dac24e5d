//! An instance of the demo's service: a small web server whose version decides how it misbehaves.
//!
//! Imports: model, demo's log. May not: know who started it, or which balancer stands before it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{WallClock, log};

/// How long every answer of a `-slow` version takes: longer than any sane probe waits.
const SLOW: Duration = Duration::from_secs(6);
/// Of so many answers of an `-errors` version one is an error.
const ERROR_EACH: u64 = 50;
/// The longest wait that `/slow?ms=` grants.
const SLOW_MAX_MS: u64 = 60_000;
/// Callers that a `-flap` version tells apart; the rest share the last place.
const FLAP_CALLERS_MAX: usize = 64;

/// `rollout demo-instance`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct InstanceArgs {
    /// Its id.
    #[arg(long)]
    pub id: String,
    /// Where it listens on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
    /// The version it is, with a suffix for a fault: -bad -errors -slow -crash -flap -wrong -hang.
    #[arg(long)]
    pub version: String,
}

/// Why an instance ended otherwise than asked to. Its process is to exit with 1.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The port is taken or may not be used.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// Which port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The system failed it while it served.
    #[error("cannot serve: {0}")]
    Serve(#[source] io::Error),
    /// It is a `-crash` version.
    #[error("crashed, as versions that end in -crash do")]
    Crashed,
}

/// What is wrong with a version, told by its suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    None,
    /// Health answers 503, everything else 500.
    Bad,
    /// Health answers 200; of everything else one in fifty is a 500: what no health check sees.
    Errors,
    /// Every answer takes six seconds.
    Slow,
    /// Listens, and exits with 1 as soon as somebody asks for its health: it must never get into rotation.
    Crash,
    /// Health alternates between 200 and 503, for each caller (by its User-Agent).
    Flap,
    /// Reports another version than the wanted one.
    Wrong,
    /// Accepts connections, never answers, and ignores SIGTERM.
    Hang,
}

impl Fault {
    fn of(version: &str) -> Self {
        match version.rsplit_once('-').map(|(_, suffix)| suffix) {
            Some("bad") => Self::Bad,
            Some("errors") => Self::Errors,
            Some("slow") => Self::Slow,
            Some("crash") => Self::Crash,
            Some("flap") => Self::Flap,
            Some("wrong") => Self::Wrong,
            Some("hang") => Self::Hang,
            Some(_) | None => Self::None,
        }
    }
}

/// What the handlers share.
struct Service {
    id: String,
    /// The version as reported, which a `-wrong` one lies about.
    reported: String,
    fault: Fault,
    /// Told when the health is asked for.
    asked: Notify,
    /// How often each caller has asked a `-flap` version.
    flaps: Mutex<HashMap<String, u64>>,
    /// Requests other than for its health, and those of them that it answered with an error.
    served: AtomicU64,
    errors: AtomicU64,
}

/// Runs an instance until SIGTERM or SIGINT: then it stops accepting, finishes the requests in flight and returns.
///
/// Single-threaded runtimes suffice. Log lines go to standard output.
///
/// # Errors
/// Fails if it cannot listen, or if its version is one that crashes; the process is to exit with 1.
pub async fn run(args: InstanceArgs, clock: WallClock) -> Result<(), InstanceError> {
    let mut term = signal(SignalKind::terminate()).map_err(InstanceError::Serve)?;
    let mut int = signal(SignalKind::interrupt()).map_err(InstanceError::Serve)?;
    let name = format!("{} {}", args.id, args.version);
    log(clock, &format!("{name} starting on 127.0.0.1:{}", args.port));
    let result = if Fault::of(&args.version) == Fault::Hang {
        tokio::select! {
            result = hang(&args) => result,
            _ = int.recv() => Ok(()),
            () = async { while term.recv().await.is_some() { log(clock, &format!("{name} ignores SIGTERM")); } } => Ok(()),
        }
    } else {
        let stop = async {
            tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
            log(clock, &format!("{name} stopping: finishes the requests in flight"));
        };
        serve(args, |port| log(clock, &format!("{name} listening on 127.0.0.1:{port}")), stop).await
    };
    match &result {
        Ok(()) => log(clock, &format!("{name} stopped")),
        Err(error) => log(clock, &format!("{name} {error}")),
    }
    result
}

/// Serves until `stop`, or for as long as the version lets it.
async fn serve(args: InstanceArgs, listening: impl FnOnce(u16), stop: impl Future<Output = ()>) -> Result<(), InstanceError> {
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        () = sleep(start_delay(&args.id)) => (),
        () = &mut stop => return Ok(()),
    }
    let listener = listen(args.port).await?;
    listening(args.port);
    let service = Arc::new(Service::new(&args));
    // A listener for hyper that never waits to fill a packet.
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    let gate = Arc::new(Notify::new());
    let closing = Arc::clone(&gate);
    let mut server = std::pin::pin!(
        axum::serve(listener, router(Arc::clone(&service)))
            .with_graceful_shutdown(async move { closing.notified().await })
            .into_future()
    );
    tokio::select! {
        result = &mut server => return result.map_err(InstanceError::Serve),
        () = crash(&service) => return Err(InstanceError::Crashed),
        () = &mut stop => gate.notify_one(),
    }
    server.await.map_err(InstanceError::Serve)
}

async fn listen(port: u16) -> Result<TcpListener, InstanceError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|source| InstanceError::Listen { port, source })
}

/// Resolves when a `-crash` version is due; never for others.
async fn crash(service: &Service) {
    if service.fault != Fault::Crash {
        return std::future::pending().await;
    }
    service.asked.notified().await;
}

/// Accepts, reads, and never answers.
async fn hang(args: &InstanceArgs) -> Result<(), InstanceError> {
    sleep(start_delay(&args.id)).await;
    let listener = listen(args.port).await?;
    let mut callers = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.map_err(InstanceError::Serve)?;
        callers.spawn(swallow(stream));
        while callers.try_join_next().is_some() {}
    }
}

/// Reads until the caller gives up.
async fn swallow(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
}

/// 150 to 299 ms, the same for the same id: starting takes a moment, and not the same for all.
fn start_delay(id: &str) -> Duration {
    // FNV-1a: stable across builds, which the standard hasher is not.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Duration::from_millis(150 + hash % 150)
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/slow", get(slow))
        .route("/metrics", get(metrics))
        .with_state(service)
}

impl Service {
    fn new(args: &InstanceArgs) -> Self {
        let fault = Fault::of(&args.version);
        let reported = match args.version.strip_suffix("-wrong") {
            Some(rest) => format!("{rest}-other"),
            None => args.version.clone(),
        };
        Self {
            id: args.id.clone(),
            reported,
            fault,
            asked: Notify::new(),
            flaps: Mutex::default(),
            served: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// An answer that names the version in its header.
    async fn answer(&self, status: StatusCode, kind: &'static str, body: String) -> Response {
        if self.fault == Fault::Slow {
            sleep(SLOW).await;
        }
        let headers = [(header::CONTENT_TYPE.as_str(), kind), ("x-version", self.reported.as_str())];
        (status, headers, body).into_response()
    }

    /// An answer of anything but the health check.
    async fn page(&self, body: String) -> Response {
        let number = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = match self.fault {
            Fault::Bad => true,
            Fault::Errors => number.is_multiple_of(ERROR_EACH),
            Fault::None | Fault::Slow | Fault::Crash | Fault::Flap | Fault::Wrong | Fault::Hang => false,
        };
        self.errors.fetch_add(u64::from(fails), Ordering::Relaxed);
        let status = if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        self.answer(status, "text/plain; charset=utf-8", body).await
    }

    /// True for every other question of the same caller, beginning with the first.
    fn flap_is_up(&self, headers: &HeaderMap) -> bool {
        let caller = headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok()).unwrap_or_default();
        let mut flaps = self.flaps.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = if flaps.len() < FLAP_CALLERS_MAX { caller } else { "" };
        let asked = flaps.entry(caller.to_owned()).or_default();
        *asked += 1;
        *asked % 2 == 1
    }
}

async fn front(State(service): State<Arc<Service>>) -> Response {
    service.page(format!("{} {}\n", service.id, service.reported)).await
}

async fn health(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    service.asked.notify_one();
    let up = match service.fault {
        Fault::Bad => false,
        Fault::Flap => service.flap_is_up(&headers),
        Fault::None | Fault::Errors | Fault::Slow | Fault::Crash | Fault::Wrong | Fault::Hang => true,
    };
    let (status, word) = if up { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    let body = serde_json::json!({ "status": word, "version": service.reported, "id": service.id });
    service.answer(status, "application/json", format!("{body}\n")).await
}

async fn version(State(service): State<Arc<Service>>) -> Response {
    service.page(format!("{}\n", service.reported)).await
}

/// What Prometheus reads.
async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let (served, errors) = (service.served.load(Ordering::Relaxed), service.errors.load(Ordering::Relaxed));
    let line = |code: &str, count: u64| {
        format!("http_requests_total{{id=\"{}\",version=\"{}\",code=\"{code}\"}} {count}\n", service.id, service.reported)
    };
    let body = format!("# TYPE http_requests_total counter\n{}{}", line("200", served - errors.min(served)), line("500", errors));
    service.answer(StatusCode::OK, "text/plain; version=0.0.4", body).await
}

/// `/slow?ms=200`.
#[derive(Debug, Deserialize)]
struct Wait {
    #[serde(default)]
    ms: u64,
}

async fn slow(State(service): State<Arc<Service>>, Query(wait): Query<Wait>) -> Response {
    let ms = wait.ms.min(SLOW_MAX_MS);
    sleep(Duration::from_millis(ms)).await;
    service.page(format!("{} {} after {ms} ms\n", service.id, service.reported)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(version: &str) -> Service {
        Service::new(&InstanceArgs { id: "web-01".to_owned(), port: 0, version: version.to_owned() })
    }

    #[test]
    fn the_last_suffix_tells_the_fault() {
        for (version, fault) in [
            ("v2", Fault::None),
            ("v2-rc", Fault::None),
            ("v3-bad", Fault::Bad),
            ("v3-bad-slow", Fault::Slow),
            ("v3-errors", Fault::Errors),
            ("v3-crash", Fault::Crash),
            ("v3-flap", Fault::Flap),
            ("v3-wrong", Fault::Wrong),
            ("v3-hang", Fault::Hang),
            ("bad", Fault::None),
        ] {
            assert_eq!(Fault::of(version), fault, "{version}");
        }
    }

    #[test]
    fn a_wrong_version_reports_another_one() {
        assert_eq!(service("v3-wrong").reported, "v3-other");
        assert_eq!(service("v3-bad").reported, "v3-bad");
    }

    #[test]
    fn starting_takes_150_to_300_ms_by_the_id() {
        let delays: Vec<_> = (1..=20).map(|n| start_delay(&format!("web-{n:02}"))).collect();
        assert!(delays.iter().all(|delay| (150..300).contains(&delay.as_millis())), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
        assert_eq!(start_delay("web-01"), delays[0]);
    }

    #[test]
    fn a_flapping_version_alternates_for_each_caller_however_they_interleave() {
        let service = service("v3-flap");
        let caller = |name: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, name.parse().unwrap());
            headers
        };
        let (one, two) = (caller("one"), caller("two"));
        let seen: Vec<_> = (0..4).map(|_| (service.flap_is_up(&one), service.flap_is_up(&two))).collect();
        assert_eq!(seen, [(true, true), (false, false), (true, true), (false, false)]);
        assert!(service.flap_is_up(&HeaderMap::new()));
    }
}
