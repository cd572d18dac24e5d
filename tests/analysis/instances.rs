//! Small real services: they answer requests, fail some of them, and tell Prometheus of it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use rollout::model::{InstanceId, Target};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// One service, which ends with its value.
pub(crate) struct Instance {
    pub(crate) target: Target,
    pub(crate) behaviour: Arc<Behaviour>,
    _server: AbortOnDropHandle<()>,
    /// Users.
    _load: AbortOnDropHandle<()>,
}

/// What it does, and what it has done.
pub(crate) struct Behaviour {
    version: &'static str,
    pub(crate) answered: AtomicU64,
    failed: AtomicU64,
    /// Every so many requests fail; none if 0.
    pub(crate) fails_every: AtomicU64,
    /// Users ask.
    pub(crate) is_used: AtomicBool,
}

impl Instance {
    /// Starts one, with users that ask it steadily.
    pub(crate) async fn start(id: &str, version: &'static str, fails_every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let behaviour = Arc::new(Behaviour {
            version,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            fails_every: AtomicU64::new(fails_every),
            is_used: AtomicBool::new(true),
        });
        let service = Router::new()
            .route("/metrics", get(metrics))
            .route("/", get(answer))
            .route("/errors", get(errors))
            .with_state(behaviour.clone());
        let serving = async move { axum::serve(listener, service).await.expect("a service") };
        let id = InstanceId::new(id).expect("an id");
        let target = Target { id, host: "127.0.0.1".to_owned(), port, zone: None, labels: std::collections::BTreeMap::new() };
        let load = use_it(format!("http://127.0.0.1:{port}/"), behaviour.clone());
        Self {
            target,
            behaviour,
            _server: AbortOnDropHandle::new(tokio::spawn(serving)),
            _load: AbortOnDropHandle::new(tokio::spawn(load)),
        }
    }
}

/// A request every few milliseconds.
async fn use_it(url: String, behaviour: Arc<Behaviour>) {
    let client = rollout::os::http::client(|builder| builder).expect("a client");
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        if behaviour.is_used.load(Ordering::Relaxed) {
            client.get(&url).send().await.ok();
        }
    }
}

async fn answer(State(it): State<Arc<Behaviour>>) -> StatusCode {
    let number = it.answered.fetch_add(1, Ordering::Relaxed) + 1;
    let every = it.fails_every.load(Ordering::Relaxed);
    if every > 0 && number.is_multiple_of(every) {
        it.failed.fetch_add(1, Ordering::Relaxed);
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::OK
}

async fn metrics(State(it): State<Arc<Behaviour>>) -> String {
    let (answered, failed) = (it.answered.load(Ordering::Relaxed), it.failed.load(Ordering::Relaxed));
    let mut text = "# TYPE http_requests_total counter\n".to_owned();
    for (code, count) in [("200", answered - failed), ("500", failed)] {
        writeln!(text, "http_requests_total{{code=\"{code}\",version=\"{}\"}} {count}", it.version).expect("text");
    }
    text
}

/// What an endpoint of somebody's own might tell of the instances that it is asked for.
async fn errors(RawQuery(query): RawQuery, headers: HeaderMap) -> (StatusCode, String) {
    if headers.get("authorization").is_none_or(|value| value != "Bearer s3cret") {
        return (StatusCode::UNAUTHORIZED, "no token".to_owned());
    }
    match query.as_deref().and_then(|query| query.strip_prefix("of=")) {
        Some("web-1") => (StatusCode::OK, r#"{"percent": 2.5, "requests": 400}"#.to_owned()),
        Some("web-2,web-3") => (StatusCode::OK, r#"{"percent": 0.5, "requests": 900}"#.to_owned()),
        _ => (StatusCode::OK, r#"{"percent": null}"#.to_owned()),
    }
}
