//! One request on a connection of its own: a probe that reused one would not notice that nobody accepts new ones.
//!
//! Imports: os, model, where to ask. May not: judge an answer, keep a deadline (that is `judge`).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Place;
use crate::model::{SampleResult, Target};
use crate::os::http::error_words;
use crate::os::tls::{NO_CERTIFICATE, Tls};

/// What is sent as `User-Agent`.
pub(super) const USER_AGENT: &str = concat!("rollout/", env!("CARGO_PKG_VERSION"));

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    One,
    Two,
}

/// A stream of bytes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection with a request on it. Dropped, it is closed, and nothing of it goes on.
pub(super) struct Exchange {
    /// The answer's head; its body is still to come.
    pub(super) response: Response<Incoming>,
    asked: Arc<AtomicBool>,
    _tasks: Tasks,
}

impl Exchange {
    /// What to add to an answer that is no pass: the server may have wanted to know who asks.
    pub(super) fn remark(&self) -> &'static str {
        if self.asked.load(Ordering::Relaxed) { REMARK } else { "" }
    }
}

/// Follows what else went wrong.
const REMARK: &str = " (it asks for a client certificate; write cert_file and key_file)";

/// What a connection needs to go on; aborted with the last of it.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

/// Connects. What it leaves undone is a result, in words.
async fn connect(
    target: &Target,
    place: &Place<'_>,
    tls: Option<&Tls>,
) -> Result<(Box<dyn Stream>, Arc<AtomicBool>), SampleResult> {
    let stream = TcpStream::connect((target.host.as_str(), place.port)).await.map_err(|e| match e.kind() {
        io::ErrorKind::ConnectionRefused => SampleResult::NotListening,
        _ => miss(error_words(&e)),
    })?;
    // Small requests are not to wait for more.
    stream.set_nodelay(true).ok();
    let Some(tls) = tls else { return Ok((Box::new(stream), Arc::default())) };
    let (connected, asked) = tls.connect(&target.host, stream).await;
    match connected {
        Ok(stream) => Ok((Box::new(stream), asked)),
        Err(words) => Err(troubled(words, &asked)),
    }
}

/// Sends `request` and returns the answer's head.
pub(super) async fn exchange(
    (target, place): (&Target, &Place<'_>),
    tls: Option<&Tls>,
    protocol: Protocol,
    request: Request<Full<Bytes>>,
) -> Result<Exchange, SampleResult> {
    let (stream, asked) = connect(target, place, tls).await?;
    let tasks = Tasks::default();
    let io = TokioIo::new(stream);
    let run = |connection: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| hyper::rt::Executor::execute(&tasks, connection);
    let sent = match protocol {
        Protocol::One => match hyper::client::conn::http1::handshake(io).await {
            Ok((mut sender, connection)) => {
                run(Box::pin(async move { drop(connection.await) }));
                sender.send_request(request).await
            }
            Err(e) => Err(e),
        },
        Protocol::Two => match hyper::client::conn::http2::handshake(tasks.clone(), io).await {
            Ok((mut sender, connection)) => {
                run(Box::pin(async move { drop(connection.await) }));
                sender.send_request(request).await
            }
            Err(e) => Err(e),
        },
    };
    match sent {
        Ok(response) => Ok(Exchange { response, asked, _tasks: tasks }),
        Err(e) => Err(troubled(error_words(&e), &asked)),
    }
}

/// What went wrong, and that the server asked who we are, if it did.
fn troubled(words: String, asked: &AtomicBool) -> SampleResult {
    let remark = if asked.load(Ordering::Relaxed) && words != NO_CERTIFICATE { REMARK } else { "" };
    miss(words + remark)
}

/// A result that is no pass.
pub(super) fn miss(reason: String) -> SampleResult {
    SampleResult::Miss { reason }
}

/// `host:port`, as a request names whom it is for.
pub(super) fn authority(target: &Target, place: &Place<'_>) -> String {
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    place.host.map_or_else(|| format!("{host}:{}", place.port), str::to_owned)
}
