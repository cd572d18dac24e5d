//! One request to one Caddy's admin API, over TCP or a Unix socket, within one deadline.
//!
//! Imports: model, ports, os text. May not: know what is asked.
//!
//! Caddy sends the `ETag` of a configuration behind its body, as a trailer.

use std::fmt;
use std::path::PathBuf;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, HOST, IF_MATCH, ORIGIN};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::model::Span;
use crate::os::text;
use crate::ports::TrafficError;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// As much of a refusal as is shown.
const SHOWN_MAX: usize = 200;

/// Where an admin API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// `unix//path`.
    Unix(PathBuf),
    /// `http://host:port`.
    Tcp(String),
}

impl Address {
    /// Reads an address.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix/").or_else(|| text.strip_prefix("unix:"));
        if let Some(path) = path.filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let host = text.strip_prefix("http://").map(|host| host.trim_end_matches('/'));
        match host.and_then(|host| host.rsplit_once(':').map(|parts| (host, parts))) {
            Some((whole, (host, port)))
                if !host.is_empty() && !host.contains(['@', '/']) && port.parse::<u16>().is_ok_and(|port| port > 0) =>
            {
                Ok(Self::Tcp(whole.to_owned()))
            }
            Some(_) | None => Err(format!("{text:?} is neither http://host:port nor unix//path")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix/{}", path.display()),
            Self::Tcp(host) => write!(f, "http://{host}"),
        }
    }
}

/// What Caddy answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) etag: Option<String>,
}

impl Answer {
    /// Caddy's own words for an error.
    pub(super) fn words(&self) -> String {
        let value: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let said = value.as_ref().and_then(|value| value.get("error")).and_then(|error| error.as_str());
        let said = said.map_or_else(|| String::from_utf8_lossy(&self.body).into_owned(), ToOwned::to_owned);
        let said = text::sanitise_within(said.trim(), SHOWN_MAX);
        if said.is_empty() { format!("status {}", self.status) } else { format!("status {}: {said}", self.status) }
    }
}

/// One admin API.
pub(super) struct Admin {
    pub(super) address: Address,
    timeout: Span,
    /// Held by who changes its configuration: our own orders need not get in each other's way.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Admin {
    pub(super) fn new(address: Address, timeout: Span) -> Self {
        Self { address, timeout, turn: tokio::sync::Mutex::default() }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, TrafficError> {
        self.send(Method::GET, path, None).await
    }

    /// Replaces what is at `path`, if it still is what `etag` was of. `Ok` says that Caddy answered, whatever it was.
    pub(super) async fn replace(&self, path: &str, body: Vec<u8>, etag: String) -> Result<Answer, TrafficError> {
        self.send(Method::PATCH, path, Some((body, etag))).await
    }

    async fn send(&self, method: Method, path: &str, change: Option<(Vec<u8>, String)>) -> Result<Answer, TrafficError> {
        let asked = format!("{method} {path}");
        let unreachable =
            |why: &str| TrafficError::Unreachable(format!("Caddy at {} cannot be reached: {why} ({asked})", self.address));
        match tokio::time::timeout(self.timeout.to_std(), self.exchange(method, path, change)).await {
            Ok(answer) => answer.map_err(|why| unreachable(&why)),
            Err(_elapsed) => Err(unreachable(&format!("no answer in {}", self.timeout))),
        }
    }

    async fn exchange(&self, method: Method, path: &str, change: Option<(Vec<u8>, String)>) -> Result<Answer, String> {
        // Caddy takes requests only for hosts that it knows: its own address, which at a socket is nothing, or `origins`.
        let host = match &self.address {
            Address::Unix(_) => "",
            Address::Tcp(host) => host,
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Address::Tcp(host) = &self.address {
            // Asked for where `enforce_origin` is on.
            request = request.header(ORIGIN, format!("http://{host}"));
        }
        let mut body = Vec::new();
        if let Some((bytes, etag)) = change {
            request = request.header(CONTENT_TYPE, "application/json").header(IF_MATCH, etag);
            body = bytes;
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
        match &self.address {
            Address::Unix(path) => converse(UnixStream::connect(path).await.map_err(|e| e.to_string())?, request).await,
            Address::Tcp(host) => converse(TcpStream::connect(host).await.map_err(|e| e.to_string())?, request).await,
        }
    }
}

/// Dropping the future closes the connection; what became of a change then is for the next reading to tell.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let words = |e: hyper::Error| text::sanitise(&e.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let mut tasks = JoinSet::new();
    // It ends with this, and what goes wrong on it is the request's error.
    tasks.spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(words)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|e| text::sanitise(&e.to_string()))?;
    let etag = head.headers.get(ETAG).or_else(|| body.trailers().and_then(|trailers| trailers.get(ETAG)));
    let etag = etag.and_then(|etag| etag.to_str().ok()).map(ToOwned::to_owned);
    Ok(Answer { status: head.status.as_u16(), body: body.to_bytes().to_vec(), etag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_refused() {
        assert_eq!(Address::new("unix//run/caddy.sock"), Ok(Address::Unix(PathBuf::from("/run/caddy.sock"))));
        assert_eq!(Address::new("unix:/run/caddy.sock"), Ok(Address::Unix(PathBuf::from("/run/caddy.sock"))));
        assert_eq!(Address::new("http://127.0.0.1:2019/"), Ok(Address::Tcp("127.0.0.1:2019".to_owned())));
        assert_eq!(Address::new("http://[::1]:2019"), Ok(Address::Tcp("[::1]:2019".to_owned())));
        for bad in [
            "",
            "caddy",
            "https://a:1",
            "http://a",
            "http://:1",
            "http://u:p@a:1",
            "http://a:0",
            "unix/relative",
            "127.0.0.1:2019",
        ] {
            assert!(Address::new(bad).is_err(), "{bad}");
        }
    }
}
