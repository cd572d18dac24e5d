//! What each path of the control socket answers.
//!
//! Imports: ports, command, model, os. May not: accept or close a connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::Stream;
use futures::stream::unfold;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::command::{self, refused_read_only};
use crate::control::ledger::{Answer, Ledger};
use crate::control::peer::{Peer, address, who_may};
use crate::control::wire::{
    self, ACCESS_HEADER, After, FROM_HEADER, Order, PROGRAM, PROGRAM_HEADER, PROTOCOL_HEADER, Trouble, frame, protocol,
};
use crate::model::Seq;
use crate::os::sharing::Sharing;
use crate::ports::{Engine, Feed, Update};

/// What all requests share.
struct Shared {
    engine: Arc<dyn Engine>,
    ledger: Ledger,
    limits: Limits,
    stop: CancellationToken,
}

/// All paths. Each request must carry its [`Peer`] as an extension.
pub(super) fn router(engine: Arc<dyn Engine>, limits: Limits, sharing: Sharing, stop: CancellationToken) -> Router {
    let shared = Arc::new(Shared { engine, ledger: Ledger::default(), limits, stop });
    Router::new()
        .route(wire::DEPLOYMENT, get(deployment))
        .route(wire::EVENTS, get(events))
        .route(wire::LOGS, get(logs))
        .route(wire::COMMANDS, post(commands))
        .fallback(async || {
            let paths = [wire::DEPLOYMENT, wire::EVENTS, wire::LOGS, wire::COMMANDS].join(", ");
            trouble(StatusCode::NOT_FOUND, format!("there is only {paths}"))
        })
        .method_not_allowed_fallback(async || {
            trouble(StatusCode::METHOD_NOT_ALLOWED, format!("{} takes POST, all else GET", wire::COMMANDS))
        })
        .with_state(shared)
        .layer(from_fn(move |peer, request, next| guard(sharing, peer, request, next)))
}

fn trouble(status: StatusCode, message: impl Into<String>) -> Response {
    (status, Json(Trouble { message: message.into() })).into_response()
}

/// Lets in only who may come and speaks our protocol, and says in every answer which that is.
async fn guard(sharing: Sharing, Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    let mut response = if !peer.is_allowed {
        trouble(StatusCode::FORBIDDEN, format!("{}, not uid {}", who_may(sharing), peer.uid))
    } else if let Err(theirs) = speaks_ours(request.headers()) {
        let ours = protocol();
        let message =
            format!("this engine (rollout {PROGRAM}) speaks protocol {ours}, not {theirs}; use its own version of rollout");
        trouble(StatusCode::BAD_REQUEST, message)
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(PROTOCOL_HEADER, HeaderValue::from(protocol()));
    headers.insert(PROGRAM_HEADER, HeaderValue::from_static(PROGRAM));
    response
}

fn speaks_ours(headers: &HeaderMap) -> Result<(), String> {
    match headers.get(PROTOCOL_HEADER) {
        Some(theirs) if theirs.as_bytes() != protocol().to_string().as_bytes() => {
            Err(String::from_utf8_lossy(theirs.as_bytes()).chars().take(20).collect())
        }
        Some(_) | None => Ok(()),
    }
}

async fn deployment(State(shared): State<Arc<Shared>>) -> Response {
    match shared.engine.snapshot().await {
        Ok(snapshot) => Json(snapshot).into_response(),
        Err(error) => trouble(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// A query that is not understood is an error in JSON as everything else.
type AfterQuery = Result<Query<After>, axum::extract::rejection::QueryRejection>;

fn after_of(query: AfterQuery) -> Result<u64, Box<Response>> {
    match query {
        Ok(Query(After { after })) => Ok(after),
        Err(rejection) => {
            Err(Box::new(trouble(StatusCode::BAD_REQUEST, format!("{}; say ?after=NUMBER", rejection.body_text()))))
        }
    }
}

async fn logs(State(shared): State<Arc<Shared>>, query: AfterQuery) -> Response {
    match after_of(query) {
        Ok(after) => Json(shared.engine.logs(after)).into_response(),
        Err(response) => *response,
    }
}

async fn events(State(shared): State<Arc<Shared>>, query: AfterQuery) -> Response {
    let after = match after_of(query) {
        Ok(after) => Seq(after),
        Err(response) => return *response,
    };
    let feed = shared.engine.subscribe(after);
    let alive = KeepAlive::new().interval(shared.limits.silence).text("alive");
    Sse::new(frames(feed, Arc::clone(&shared))).keep_alive(alive).into_response()
}

/// The feed as frames. A peer that does not read stops only this; the feed then skips ahead and says so.
fn frames(feed: Box<dyn Feed>, shared: Arc<Shared>) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    unfold(Some(feed), move |feed| {
        let (stop, grace) = (shared.stop.clone(), shared.limits.farewell / 2);
        async move {
            let mut feed = feed?;
            let farewell = async {
                stop.cancelled().await;
                sleep(grace).await;
            };
            let update = tokio::select! {
                biased;
                update = feed.next() => update,
                () = farewell => Update::Closed,
            };
            let (event, last) = framed(&update)?;
            Some((Ok(event), (!last).then_some(feed)))
        }
    })
}

/// The frame of an update, and whether it is the last. `None` ends the stream without a word: the client comes again.
fn framed(update: &Update) -> Option<(Event, bool)> {
    let frame = |name: &str| Event::default().event(name);
    let framed = match update {
        Update::Event(event) => frame(frame::EVENT).id(event.seq.to_string()).json_data(event),
        Update::Progress(progress) => frame(frame::PROGRESS).json_data(progress),
        Update::Log(line) => frame(frame::LOG).json_data(line),
        Update::Resync(snapshot) => frame(frame::RESYNC).id(snapshot.seq.to_string()).json_data(snapshot),
        Update::Closed => return Some((frame(frame::CLOSED).data("{}"), true)),
        Update::Disconnected { .. } | Update::Gone => return None,
    };
    match framed {
        Ok(event) => Some((event, false)),
        Err(error) => {
            tracing::error!(%error, "an update could not be written");
            None
        }
    }
}

async fn commands(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let (watches, from) = (says_it_watches(request.headers()), says_it_is_from(request.headers()));
    let order = match read_order(request, shared.limits).await {
        Ok(order) => order,
        Err(response) => return *response,
    };
    let verb = order.command.verb();
    let actor = peer.actor(from).await;
    if watches {
        tracing::info!(target: "operator", "{}: {verb} refused: a session that only watches", actor.name_and_place());
        let message = refused_read_only(verb);
        return (StatusCode::CONFLICT, Json(command::Refusal { message })).into_response();
    }
    let key = order.key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    tracing::info!(verb, %key, by = %actor.name_and_place(), uid = peer.uid, "a command came in");
    let request = command::Request { key: key.clone(), actor, revision: order.revision, command: order.command };
    let asked = (request.command.clone(), request.revision);
    let answer = shared.ledger.answer((peer.uid, key), asked, || shared.engine.send(request)).await;
    match answer {
        Answer::Done(receipt) => Json(receipt).into_response(),
        Answer::Refused(refusal) => (StatusCode::CONFLICT, Json(refusal)).into_response(),
        Answer::Unreachable(reason) => trouble(StatusCode::SERVICE_UNAVAILABLE, reason),
        Answer::KeyInUse => trouble(StatusCode::BAD_REQUEST, "this key was used for another command; choose a new one"),
    }
}

/// Whether whoever sent this only watches. A value that we do not know gives no right.
fn says_it_watches(headers: &HeaderMap) -> bool {
    headers.contains_key(ACCESS_HEADER)
}

/// From where, by the sender's word; nothing that is no address is let through.
fn says_it_is_from(headers: &HeaderMap) -> Option<IpAddr> {
    address(headers.get(FROM_HEADER)?.to_str().ok()?)
}

async fn read_order(request: Request, limits: Limits) -> Result<Order, Box<Response>> {
    let refuse = |status, message: String| Err(Box::new(trouble(status, message)));
    let too_long = || refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("a command has at most {} bytes", wire::BODY_MAX));
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > wire::BODY_MAX as u64) {
        return too_long();
    }
    let body: Body = request.into_body();
    let bytes = match timeout(limits.request, to_bytes(body, wire::BODY_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_long(&error) => return too_long(),
        Ok(Err(error)) => return refuse(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")),
        Err(_elapsed) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned()),
    };
    let order: Order = match serde_json::from_slice(&bytes) {
        Ok(order) => order,
        Err(error) => {
            let message =
                format!("not a command: {error}; one looks like {{\"command\":\"pause\",\"key\":\"a new one each time\"}}");
            return refuse(StatusCode::BAD_REQUEST, message);
        }
    };
    let is_good = |key: &String| !key.is_empty() && key.len() <= wire::KEY_MAX && key.bytes().all(|b| b.is_ascii_graphic());
    if order.key.as_ref().is_some_and(|key| !is_good(key)) {
        return refuse(StatusCode::BAD_REQUEST, format!("a key has 1 to {} visible ASCII characters", wire::KEY_MAX));
    }
    Ok(order)
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = cause.source();
    }
    false
}
