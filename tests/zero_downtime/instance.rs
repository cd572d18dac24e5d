//! The service: a program of this test's own binary, so that it runs as a process, over ssh and in a container alike.
//!
//! It tells its id and version, is slow if asked, and echoes websockets. SIGTERM lets what is under way finish.

use axum::Router;
use axum::extract::{Query, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// `HOST,PORT,ID,VERSION`: what the instance is to be.
pub(crate) const VARIABLE: &str = "ROLLOUT_TEST_INSTANCE";

/// Program and arguments that serve, if the variable says what.
pub(crate) fn arguments() -> [&'static str; 4] {
    ["--exact", "instance::serves", "--ignored", "--nocapture"]
}

#[derive(serde::Deserialize)]
struct Slow {
    ms: u64,
}

async fn slow(Query(Slow { ms }): Query<Slow>) -> &'static str {
    tokio::time::sleep(std::time::Duration::from_millis(ms.min(5000))).await;
    "slow\n"
}

/// Echoes text until the other side closes.
async fn websocket(mut request: Request) -> Response {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return (StatusCode::BAD_REQUEST, "no websocket\n").into_response();
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).unwrap();
    let upgraded = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, upgraded).into_response()
}

async fn serve(host: &str, port: u16, (id, version): (String, String)) {
    let listener = tokio::net::TcpListener::bind((host, port)).await.unwrap();
    let health = axum::Json(serde_json::json!({ "version": version }));
    let app = Router::new()
        .route("/health", get(async move || health))
        .route("/slow", get(slow))
        .route("/ws", get(websocket))
        .fallback(async move || format!("{id} {version}\n"));
    let mut term = signal(SignalKind::terminate()).unwrap();
    let stop = async move {
        term.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
}

/// Not a test: the service itself, started by the tests.
#[test]
#[ignore = "the service that the tests deploy"]
fn serves() {
    let Ok(what) = std::env::var(VARIABLE) else { return };
    let [host, port, id, version] = what.split(',').collect::<Vec<_>>()[..] else { panic!("{VARIABLE}={what}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(host, port.parse().unwrap(), (id.to_owned(), version.to_owned())));
}
