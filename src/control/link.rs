//! One request, or one event stream, over one connection to the control socket.
//!
//! Imports: ports, event, model, os. May not: try again; remember anything of another connection.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::sse::{Frame, Parser};
use super::wire::{
    ACCESS_HEADER, ACCESS_VIEW, DEPLOYMENT, EVENTS, FROM_HEADER, PROGRAM, PROGRAM_HEADER, PROTOCOL_HEADER, Trouble, frame,
    protocol,
};
use crate::command::Refusal;
use crate::model::Seq;
use crate::os::process::{self, ProcessId};
use crate::ports::Update;

/// The longest answer: a snapshot of 10,000 instances has about 20 MB.
const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// The longest version or number of a protocol that is shown.
const HEADER_MAX: usize = 60;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Nobody listens there.
    #[error("no engine answers at {0}")]
    Gone(String),
    /// The connection failed or went silent; another may do better.
    #[error("{0}")]
    Broken(String),
    /// Another attempt would end in the same way.
    #[error("{0}")]
    Hopeless(String),
    /// The engine refused the command.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What a client says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hello {
    /// From where its user is logged in.
    pub(super) from: Option<IpAddr>,
    /// It only watches: the engine is to refuse every command of it.
    pub(super) watches: bool,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) socket: &'a Path,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Vec<u8>,
    pub(super) hello: Hello,
    /// Until when the answer's head, and for [`fetch`] its whole body, must be here.
    pub(super) within: Duration,
}

/// Asks, and reads the answer as JSON.
pub(super) async fn fetch<T: DeserializeOwned>(ask: Ask<'_>) -> Result<T, Fault> {
    let within = ask.within;
    let whole = async {
        let (response, _connection) = exchange(ask).await?;
        let bytes = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        Ok(bytes.map_err(|e| Fault::Broken(format!("the engine's answer broke off: {e}")))?.to_bytes())
    };
    let bytes = timeout(within, whole).await.unwrap_or_else(|_elapsed| Err(silent(within)))?;
    serde_json::from_slice(&bytes).map_err(|e| unreadable(&e))
}

fn silent(within: Duration) -> Fault {
    Fault::Broken(format!("the engine did not answer within {}s", within.as_secs_f32()))
}

fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::Hopeless(format!("this rollout ({PROGRAM}) cannot read the engine's answer ({error}); use the engine's own version"))
}

/// The connection's own task: it ends with the handle.
type Connection = JoinSet<()>;

/// An engine that another version of rollout runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherEngine {
    /// Its process.
    pub process: ProcessId,
    /// Its user.
    pub uid: u32,
    /// The version of its program.
    pub program: String,
    /// The number of its protocol.
    pub protocol: String,
}

/// How long such an engine may take to say what it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// Who serves the socket, if that is an engine of another version than ours.
pub async fn other_engine(socket: &Path) -> Option<OtherEngine> {
    let introduction = async {
        let stream = connect(socket).await.ok()?;
        let credentials = stream.peer_cred().ok()?;
        // Before it answers: as it lives afterwards, this is itself.
        let process = process::identify(credentials.pid()?)?;
        let ask = Ask {
            socket,
            method: Method::GET,
            path: DEPLOYMENT,
            body: Vec::new(),
            hello: Hello::default(),
            within: INTRODUCTION,
        };
        let (response, _connection) = request(stream, ask).await.ok()?;
        let (theirs, program) = (header(&response, PROTOCOL_HEADER)?, header(&response, PROGRAM_HEADER)?);
        let is_other = theirs != protocol().to_string() || program != PROGRAM;
        is_other.then_some(OtherEngine { process, uid: credentials.uid(), program, protocol: theirs })
    };
    timeout(INTRODUCTION, introduction).await.ok().flatten()
}

/// Asks, and hands over a successful answer with its body still to be read.
async fn exchange(ask: Ask<'_>) -> Result<(Response<Incoming>, Connection), Fault> {
    let (response, task) = request(connect(ask.socket).await?, ask).await?;
    check_protocol(&response)?;
    if response.status() == StatusCode::OK {
        return Ok((response, task));
    }
    Err(refusal(response).await)
}

async fn connect(socket: &Path) -> Result<UnixStream, Fault> {
    UnixStream::connect(socket).await.map_err(|error| {
        let socket = socket.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Fault::Gone(socket.to_string()),
            ErrorKind::PermissionDenied => {
                let who = "only the engine's own user, root, and the group of a shared [journal] dir may connect";
                Fault::Hopeless(format!("{socket} is not open to you: {who}"))
            }
            _ => Fault::Broken(format!("cannot connect to {socket}: {error}")),
        }
    })
}

/// Asks over a new connection.
async fn request(stream: UnixStream, ask: Ask<'_>) -> Result<(Response<Incoming>, Connection), Fault> {
    let broken = |e: hyper::Error| Fault::Broken(format!("the link to the engine broke: {e}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an engine broke");
        }
    });
    let mut request =
        Request::builder().method(ask.method).uri(ask.path).header(HOST, "localhost").header(PROTOCOL_HEADER, protocol());
    if let Some(from) = ask.hello.from {
        request = request.header(FROM_HEADER, from.to_string());
    }
    if ask.hello.watches {
        request = request.header(ACCESS_HEADER, ACCESS_VIEW);
    }
    let request = request.body(Full::new(Bytes::from(ask.body))).map_err(|e| Fault::Hopeless(format!("not a request: {e}")))?;
    Ok((sender.send_request(request).await.map_err(broken)?, task))
}

fn header(response: &Response<Incoming>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| !c.is_control()).take(HEADER_MAX).collect())
}

fn check_protocol(response: &Response<Incoming>) -> Result<(), Fault> {
    let ours = protocol();
    match header(response, PROTOCOL_HEADER) {
        Some(theirs) if theirs == ours.to_string() => Ok(()),
        Some(theirs) => {
            let program = header(response, PROGRAM_HEADER).unwrap_or_default();
            Err(Fault::Hopeless(format!(
                "the engine (rollout {program}) speaks protocol {theirs}, this rollout ({PROGRAM}) speaks {ours}; \
                 `rollout attach` goes on as the engine's own program"
            )))
        }
        None => Err(Fault::Hopeless("what answers at the control socket is no engine of rollout".to_owned())),
    }
}

/// What an answer other than 200 says.
async fn refusal(response: Response<Incoming>) -> Fault {
    let status = response.status();
    let body = Limited::new(response.into_body(), super::wire::BODY_MAX).collect().await;
    let said = body.ok().and_then(|b| serde_json::from_slice::<Trouble>(&b.to_bytes()).ok());
    let message = said.map_or_else(|| format!("the engine answered {status}"), |t| t.message);
    match status {
        StatusCode::CONFLICT => Fault::Refused(Refusal { message }),
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => Fault::Broken(message),
        _ => Fault::Hopeless(message),
    }
}

/// An open event stream.
#[derive(Debug)]
pub(super) struct EventStream {
    body: Incoming,
    _connection: Connection,
    parser: Parser,
    ready: std::collections::VecDeque<Frame>,
    silence: Duration,
    /// When it is dead if nothing comes.
    dead_at: Instant,
}

impl EventStream {
    /// Opens the stream of what follows `after`. It is dead after `silence` without a byte.
    pub(super) async fn open(socket: &Path, after: Seq, within: Duration, silence: Duration) -> Result<Self, Fault> {
        let path = format!("{EVENTS}?after={after}");
        let ask = Ask { socket, method: Method::GET, path: &path, body: Vec::new(), hello: Hello::default(), within };
        let (response, connection) = timeout(within, exchange(ask)).await.unwrap_or_else(|_elapsed| Err(silent(within)))?;
        Ok(Self {
            body: response.into_body(),
            _connection: connection,
            parser: Parser::new(ANSWER_MAX),
            ready: std::collections::VecDeque::new(),
            silence,
            dead_at: Instant::now() + silence,
        })
    }

    /// The next update. Cancelling the call loses nothing.
    pub(super) async fn next(&mut self) -> Result<Update, Fault> {
        loop {
            while let Some(frame) = self.ready.pop_front() {
                if let Some(update) = read(&frame)? {
                    return Ok(update);
                }
            }
            let broken = |why: String| Fault::Broken(format!("the link to the engine broke: {why}"));
            let bytes = match timeout_at(self.dead_at, self.body.frame()).await {
                Err(_elapsed) => return Err(broken(format!("no sign of life for {}s", self.silence.as_secs_f32()))),
                Ok(None) => return Err(broken("it was closed".to_owned())),
                Ok(Some(Err(e))) => return Err(broken(e.to_string())),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            self.dead_at = Instant::now() + self.silence;
            self.ready.extend(self.parser.push(&bytes).map_err(|e| broken(e.to_string()))?);
        }
    }
}

/// The update that a frame carries; `None` if it is of a kind that we do not know.
fn read(frame: &Frame) -> Result<Option<Update>, Fault> {
    fn json<T: DeserializeOwned>(frame: &Frame) -> Result<T, Fault> {
        serde_json::from_str(&frame.data).map_err(|e| unreadable(&e))
    }
    Ok(Some(match frame.name.as_str() {
        frame::EVENT => Update::Event(json(frame)?),
        frame::PROGRESS => Update::Progress(json(frame)?),
        frame::LOG => Update::Log(json(frame)?),
        frame::RESYNC => Update::Resync(json(frame)?),
        frame::CLOSED => Update::Closed,
        _ => return Ok(None),
    }))
}
