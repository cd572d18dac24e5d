//! Serves one engine at the control socket. Every connection is a task of its own: a peer can only hurt itself.
//!
//! Imports: ports, os. May not: wait for a peer without a bound, or keep anything for it without one.

mod routes;
mod seats;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::seats::{Seat, Seats};
use super::peer::{self, Peer};
use super::socket::{self, Bound, ControlError};
use crate::os::failpoint;
use crate::os::sharing::Sharing;
use crate::os::users;
use crate::ports::Engine;

/// What a peer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest that a request's head or body may take, and that a connection may wait for its next request.
    pub request: Duration,
    /// The longest silence of an event stream; then it carries a comment, so that clients can tell a dead link.
    pub silence: Duration,
    /// How long open answers may take to end once the server is to stop.
    pub farewell: Duration,
    /// Connections at once. A console holds one and opens short ones for commands.
    pub connections: usize,
    /// Of one user. With it no user keeps the others out.
    pub per_user: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            silence: Duration::from_secs(5),
            farewell: Duration::from_secs(3),
            connections: 256,
            per_user: 96,
        }
    }
}

/// A bound control socket.
pub struct Server {
    listener: UnixListener,
    bound: Bound,
    engine: Arc<dyn Engine>,
    limits: Limits,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("bound", &self.bound).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A bound socket that nobody serves yet: who connects waits.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    bound: Bound,
}

impl Door {
    /// Binds the socket at `path`, in a directory that is ours alone or shared with our group. What is left of a dead engine
    /// is replaced. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Fails if an engine runs there, if the place does not do, or if the system refuses.
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let (listener, bound) = socket::bind(path)?;
        let listener = UnixListener::from_std(listener);
        let listener =
            listener.map_err(|source| ControlError::Io { path: path.display().to_string(), doing: "serve it", source })?;
        Ok(Self { listener, bound })
    }
}

impl Server {
    /// Serves `engine` at a socket that is bound already.
    pub fn at(Door { listener, bound }: Door, engine: Arc<dyn Engine>) -> Self {
        Self { listener, bound, engine, limits: Limits::default() }
    }

    /// Binds the socket at `path` and serves `engine` there.
    ///
    /// # Errors
    /// As [`Door::bind`].
    pub fn bind(path: &Path, engine: Arc<dyn Engine>) -> Result<Self, ControlError> {
        Self::bind_within(path, engine, Limits::default())
    }

    /// As [`Server::bind`], with other limits.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_within(path: &Path, engine: Arc<dyn Engine>, limits: Limits) -> Result<Self, ControlError> {
        Ok(Self { limits, ..Self::at(Door::bind(path)?, engine) })
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        self.bound.path()
    }

    /// Serves until `stop` is cancelled; then removes the socket, lets open answers end for a bounded time (event streams
    /// with `closed`), and drops the rest. Dropping the future does the same without the farewell.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, bound, engine, limits } = self;
        let sharing = bound.sharing();
        let router = routes::router(engine, limits, sharing, stop.clone());
        let (mut connections, mut seats) = (JoinSet::new(), Seats::new(limits));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        failpoint::pass("task.control");
                        if let Some(visitor) = let_in(stream, sharing, &mut seats, &mut connections) {
                            serve(visitor, &router, limits, &stop, &mut connections);
                        }
                    }
                    Err(error) => {
                        warn!(%error, "the control socket cannot accept");
                        // Out of descriptors, most likely: it does not help to ask again at once.
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        bound.remove();
        drop(listener);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(limits.farewell, all_ended).await.is_err() {
            debug!("open connections to the control socket were dropped at the end");
        }
        // Only now the lock is given up, and another engine may come.
        drop(bound);
    }
}

/// One who is let in, for as long as this lives.
struct Visitor {
    stream: UnixStream,
    peer: Peer,
    seat: Seat,
}

/// Tells who came. Whoever may not come takes a seat as well, to be told so.
fn let_in(stream: UnixStream, sharing: Sharing, seats: &mut Seats, connections: &mut JoinSet<()>) -> Option<Visitor> {
    let peer = match Peer::of(&stream, sharing) {
        Ok(peer) => peer,
        Err(error) => {
            warn!(%error, "a connection to the control socket was dropped: its user could not be told");
            return None;
        }
    };
    if !peer.is_allowed
        && let Some(untold) = seats.is_to_be_told(peer.uid)
    {
        // Names may be long in coming; nobody else waits for them.
        connections.spawn(tell_refused(peer, sharing, untold));
    }
    match seats.take(peer) {
        Ok(seat) => Some(Visitor { stream, peer, seat }),
        Err(full) => {
            if let Some(untold) = seats.is_to_be_told(peer.uid) {
                warn!(uid = peer.uid, pid = peer.pid, untold, "a connection to the control socket was dropped: {full}");
            }
            seats::turn_away(&stream, &full);
            None
        }
    }
}

/// For the log: who was refused, by name.
async fn tell_refused(peer: Peer, sharing: Sharing, untold: u64) {
    let names = tokio::task::spawn_blocking(move || (users::user(peer.uid), peer::who_may(sharing)));
    let (who, why) = names.await.unwrap_or_default();
    let pid = peer.pid.unwrap_or_default();
    let more = if untold > 0 { format!(", and {untold} more since that was last said") } else { String::new() };
    warn!("a connection of {who}, process {pid}, to the control socket was refused: {why}{more}");
}

fn serve(
    Visitor { stream, peer, seat }: Visitor,
    router: &Router,
    limits: Limits,
    stop: &CancellationToken,
    connections: &mut JoinSet<()>,
) {
    let service = TowerToHyperService::new(router.clone().layer(Extension(peer)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.request).max_buf_size(super::wire::BODY_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let stop = stop.clone();
    connections.spawn(async move {
        let _seat = seat;
        failpoint::pass("task.connection");
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(uid = peer.uid, %error, "a connection to the control socket broke");
        }
    });
}
