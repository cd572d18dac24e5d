//! The demo's balancer: a small HTTP reverse proxy that speaks the part of HAProxy's runtime API which the driver uses.
//!
//! Imports: model, demo's log, its children. May not: retry a request, or keep a connection to a server for the next one.

mod check;
mod forward;
mod pool;
mod runtime_api;
mod shared;
mod stat;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::pool::Pool;
use self::shared::Shared;
use super::{WallClock, log};

/// How long to leave the listener alone when the system has no more descriptors.
const BREATH: Duration = Duration::from_millis(20);

/// `rollout demo-proxy`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ProxyArgs {
    /// Where clients connect on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
    /// Where the runtime API listens.
    #[arg(long, value_name = "PATH")]
    pub admin_socket: PathBuf,
    /// The backend's name.
    #[arg(long, default_value = "be_demo")]
    pub backend: String,
    /// Time between two health checks of a server.
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..))]
    pub check_ms: u64,
    /// A server, once for each.
    #[arg(long = "server", value_name = "NAME=127.0.0.1:PORT", required = true)]
    pub servers: Vec<ServerArg>,
}

/// One `--server web-01=127.0.0.1:8101`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerArg {
    /// The server's name in the backend.
    pub name: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

/// Why a `--server` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not NAME=127.0.0.1:PORT")]
pub struct ServerArgError {
    text: String,
}

impl FromStr for ServerArg {
    type Err = ServerArgError;

    fn from_str(text: &str) -> Result<Self, ServerArgError> {
        let bad = || ServerArgError { text: text.to_owned() };
        let (name, address) = text.split_once('=').ok_or_else(bad)?;
        let port = address.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok()).ok_or_else(bad)?;
        let odd = |c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c);
        if name.is_empty() || name.contains(odd) { Err(bad()) } else { Ok(Self { name: name.to_owned(), port }) }
    }
}

/// Why the balancer could not start or go on. Its process is to exit with 1.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Clients cannot be listened for.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// Which port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime API cannot be listened for.
    #[error("cannot listen on {path}: {source}")]
    Admin {
        /// Which socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
}

/// Runs the balancer until SIGTERM or SIGINT, which end it at once. Log lines go to standard output.
///
/// # Errors
/// Fails if it cannot listen.
pub async fn run(args: ProxyArgs, clock: WallClock) -> Result<(), ProxyError> {
    let mut term = signal(SignalKind::terminate()).map_err(ProxyError::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(ProxyError::Signals)?;
    tokio::select! {
        result = serve(args, clock) => result?,
        _ = term.recv() => (),
        _ = int.recv() => (),
    }
    log(clock, "balancer stopped");
    Ok(())
}

/// Serves for as long as it is polled; dropping it ends everything that it began.
///
/// # Errors
/// Fails if it cannot listen.
pub async fn serve(args: ProxyArgs, clock: WallClock) -> Result<(), ProxyError> {
    let clients = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|source| ProxyError::Listen { port: args.port, source })?;
    let admin = listen_for_admin(&args.admin_socket).map_err(|source| ProxyError::Admin { path: args.admin_socket, source })?;
    let servers: Vec<_> = args.servers.into_iter().map(|server| (server.name, server.port)).collect();
    log(clock, &format!("balancer listening on 127.0.0.1:{} for {} servers", args.port, servers.len()));
    let shared = Shared::new(Pool::new(args.backend, servers, Instant::now()), clock);

    let mut tasks = JoinSet::new();
    let every = Duration::from_millis(args.check_ms);
    let count = shared.with(|pool| u32::try_from(pool.servers.len()).unwrap_or(u32::MAX));
    for (place, index) in (0..count).zip(0..) {
        // Spread over one interval, so that the checks of many servers do not come as a burst.
        let offset = every / count.max(1) * place;
        tasks.spawn(check::watch(Arc::clone(&shared), index, every, offset));
    }
    loop {
        tokio::select! {
            client = clients.accept() => match client {
                Ok((stream, _)) => { tasks.spawn(forward::serve(Arc::clone(&shared), stream)); }
                Err(error) => complain(clock, &error).await,
            },
            operator = admin.accept() => match operator {
                Ok((stream, _)) => { tasks.spawn(runtime_api::answer(Arc::clone(&shared), stream)); }
                Err(error) => complain(clock, &error).await,
            },
            Some(_ended) = tasks.join_next() => (),
        }
    }
}

/// Out of descriptors, or the caller was gone before it was accepted: the next one may fare better.
async fn complain(clock: WallClock, error: &io::Error) {
    log(clock, &format!("balancer cannot accept: {error}"));
    sleep(BREATH).await;
}

fn listen_for_admin(path: &PathBuf) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    UnixListener::bind(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_and_a_port_of_this_machine() {
        assert_eq!("web-01=127.0.0.1:8101".parse(), Ok(ServerArg { name: "web-01".to_owned(), port: 8101 }));
        for bad in ["web-01", "=127.0.0.1:1", "a b=127.0.0.1:1", "web-01=10.0.0.1:80", "web-01=127.0.0.1:x", "w,x=127.0.0.1:1"] {
            assert!(bad.parse::<ServerArg>().is_err(), "{bad}");
        }
    }
}
