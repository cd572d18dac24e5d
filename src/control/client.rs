//! A session with an engine in another process, by its control socket. It outlives broken links.
//!
//! Imports: ports, command, event, model. May not: change what the engine says, or lose a fact of it silently.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::Method;
use tokio::time::{Instant, sleep};

use super::link::{Ask, EventStream, Fault, Hello, fetch};
use super::peer::own_address;
use super::wire::{COMMANDS, DEPLOYMENT, LOGS, Order};
use crate::command::{Command, Receipt};
use crate::event::Event;
use crate::model::{DeploymentId, Seq};
use crate::ports::{LogLine, Session, SessionError, Snapshot, Update};

/// How long a client waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an answer. A command waits for a disk; a snapshot may be of 10,000 instances.
    pub answer: Duration,
    /// For a sign of life of the event stream; the engine gives one every 5 s.
    pub silence: Duration,
    /// While nobody listens at the socket, until the engine counts as gone.
    pub gone: Duration,
    /// The longest pause between two attempts to connect, and each once the engine counts as gone; the first is a twentieth.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(20),
            silence: Duration::from_secs(15),
            gone: Duration::from_secs(4),
            pause: Duration::from_secs(1),
        }
    }
}

/// How often a command is sent under one key if the link breaks before its answer.
const SENDS: u32 = 3;

/// Where this session stands in the stream of facts.
#[derive(Debug, Clone)]
struct Cursor {
    deployment: DeploymentId,
    seq: Seq,
    ended: bool,
}

/// Where the link stands.
enum Link {
    /// Being opened. The future lives here, so that a cancelled `next` goes on where it was.
    Dialling(BoxFuture<'static, Result<Opened, Fault>>),
    /// Open.
    Open(Box<EventStream>),
    /// Nothing follows.
    Closed,
}

struct Opened {
    stream: EventStream,
    /// The engine's snapshot at a reconnection.
    snapshot: Option<Box<Snapshot>>,
}

/// A time without a link.
#[derive(Debug)]
struct Outage {
    told: String,
    pause: Duration,
    /// Since when nobody listens at the socket.
    gone_since: Option<Instant>,
    /// It was said that the engine is gone: nothing more is said until another answers.
    gone: bool,
}

/// A session by the control socket.
pub struct Client {
    socket: Arc<PathBuf>,
    patience: Patience,
    hello: Hello,
    cursor: Mutex<Cursor>,
    /// Never locked: only the owner of the session reaches it. The mutex makes a future that is not `Sync` shareable.
    link: Mutex<Link>,
    outage: Option<Outage>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("socket", &self.socket).field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the engine at `socket`.
    ///
    /// # Errors
    /// Fails if none answers there, if it may not be reached, or if it speaks another protocol.
    pub async fn connect(socket: &Path) -> Result<Self, SessionError> {
        Self::connect_with(socket, Patience::default()).await
    }

    /// As [`Client::connect`], with another patience.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(socket: &Path, patience: Patience) -> Result<Self, SessionError> {
        Self::open(socket, patience).await.map_err(session_error)
    }

    /// As [`Client::connect`]; `None` if nobody listens there.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn find(socket: &Path) -> Result<Option<Self>, SessionError> {
        match Self::open(socket, Patience::default()).await {
            Ok(client) => Ok(Some(client)),
            Err(Fault::Gone(_)) => Ok(None),
            Err(fault) => Err(session_error(fault)),
        }
    }

    async fn open(socket: &Path, patience: Patience) -> Result<Self, Fault> {
        let snapshot = fetch_snapshot(socket, patience).await?;
        let ended = snapshot.state.end.is_some();
        let cursor = Cursor { deployment: snapshot.state.plan.deployment.clone(), seq: snapshot.seq, ended };
        let socket = Arc::new(socket.to_owned());
        let link = Link::Dialling(dial(Arc::clone(&socket), patience, cursor.clone()).boxed());
        let hello = Hello { from: own_address(), watches: false };
        Ok(Self { socket, patience, hello, cursor: Mutex::new(cursor), link: Mutex::new(link), outage: None })
    }

    /// The same session, which only watches: the engine refuses every command of it.
    #[must_use]
    pub fn watching(mut self) -> Self {
        self.hello.watches = true;
        self
    }

    /// The engine's kept log lines after number `after`.
    ///
    /// # Errors
    /// Fails if the engine cannot be reached.
    pub async fn logs(&self, after: u64) -> Result<Vec<LogLine>, SessionError> {
        let path = format!("{LOGS}?after={after}");
        let within = self.patience.answer;
        let ask = Ask { socket: &self.socket, method: Method::GET, path: &path, body: Vec::new(), hello: self.hello, within };
        fetch(ask).await.map_err(session_error)
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the session to `snapshot`.
    fn move_to(&self, snapshot: &Snapshot) {
        let mut cursor = self.cursor();
        cursor.seq = snapshot.seq;
        cursor.ended = snapshot.state.end.is_some();
    }

    /// One step of the link; the update that it brought, if any. All that lasts is in `self`, so dropping the future at an
    /// await loses nothing.
    async fn advance(&mut self) -> Option<Update> {
        match self.link.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Link::Closed => Some(Update::Closed),
            Link::Open(stream) => {
                let next = stream.next().await;
                self.received(next)
            }
            Link::Dialling(dialling) => match dialling.await {
                Ok(opened) => self.opened(opened),
                Err(fault) => self.failed(&fault),
            },
        }
    }

    fn received(&mut self, next: Result<Update, Fault>) -> Option<Update> {
        match next {
            Ok(Update::Event(event)) => self.take(event),
            Ok(Update::Resync(snapshot)) => {
                if snapshot.state.plan.deployment != self.cursor().deployment {
                    return Some(self.close());
                }
                self.move_to(&snapshot);
                Some(Update::Resync(snapshot))
            }
            Ok(Update::Closed) => Some(self.gone()),
            Ok(update) => Some(update),
            Err(fault) => self.failed(&fault),
        }
    }

    /// An event, unless a snapshot already held it.
    fn take(&mut self, event: Event) -> Option<Update> {
        let mut cursor = self.cursor();
        if event.deployment != cursor.deployment {
            drop(cursor);
            return Some(self.close());
        }
        if event.seq <= cursor.seq {
            return None;
        }
        if event.seq != cursor.seq.next() {
            let fault = Fault::Broken(format!("the engine sent event {} after {}", event.seq, cursor.seq));
            drop(cursor);
            return self.failed(&fault);
        }
        cursor.seq = event.seq;
        cursor.ended = event.kind.is_terminal();
        drop(cursor);
        Some(Update::Event(event))
    }

    fn opened(&mut self, opened: Opened) -> Option<Update> {
        self.outage = None;
        let Some(snapshot) = opened.snapshot else {
            self.link = Mutex::new(Link::Open(Box::new(opened.stream)));
            return None;
        };
        let Cursor { deployment, seq, .. } = self.cursor().clone();
        if snapshot.state.plan.deployment != deployment {
            return Some(self.close());
        }
        self.link = Mutex::new(Link::Open(Box::new(opened.stream)));
        if snapshot.seq < seq {
            self.move_to(&snapshot);
            return Some(Update::Resync(snapshot));
        }
        // The events in between follow on the stream. This says that the link is back.
        Some(Update::Progress(snapshot.progress))
    }

    /// The engine is gone. Before the end of the deployment, another may take it over at any time.
    fn gone(&mut self) -> Update {
        if self.cursor().ended {
            return self.close();
        }
        let pause = self.patience.pause;
        self.outage = Some(Outage { gone: true, ..Outage::begin(pause) });
        self.dial_again(pause);
        Update::Gone
    }

    fn dial_again(&mut self, pause: Duration) {
        let again = redial(Arc::clone(&self.socket), self.patience, self.cursor().clone(), pause);
        self.link = Mutex::new(Link::Dialling(again.boxed()));
    }

    fn close(&mut self) -> Update {
        self.link = Mutex::new(Link::Closed);
        Update::Closed
    }

    fn failed(&mut self, fault: &Fault) -> Option<Update> {
        if self.cursor().ended {
            // The last event was handed over: nothing can follow.
            return Some(self.close());
        }
        let reason = fault.to_string();
        if matches!(fault, Fault::Hopeless(_)) {
            self.link = Mutex::new(Link::Closed);
            return Some(Update::Disconnected { reason });
        }
        let first_pause = self.patience.pause / 20;
        let outage = self.outage.get_or_insert_with(|| Outage::begin(first_pause));
        let pause = outage.pause;
        outage.pause = (pause * 2).min(self.patience.pause);
        let gone_since = matches!(fault, Fault::Gone(_)).then(|| outage.gone_since.unwrap_or_else(Instant::now));
        outage.gone_since = gone_since;
        // What another engine that is just coming up does not do yet is no news.
        let news = !outage.gone && outage.told != reason;
        outage.told.clone_from(&reason);
        if !outage.gone && gone_since.is_some_and(|since| since.elapsed() >= self.patience.gone) {
            return Some(self.gone());
        }
        self.dial_again(pause);
        news.then_some(Update::Disconnected { reason })
    }
}

impl Outage {
    fn begin(pause: Duration) -> Self {
        Self { told: String::new(), pause, gone_since: None, gone: false }
    }
}

impl Session for Client {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        async move {
            let snapshot = fetch_snapshot(&self.socket, self.patience).await.map_err(session_error)?;
            if snapshot.state.plan.deployment != self.cursor().deployment {
                let message =
                    format!("{} is over: the engine there now runs {}", self.cursor().deployment, snapshot.state.plan.deployment);
                return Err(SessionError::Link(message));
            }
            self.move_to(&snapshot);
            Ok(snapshot)
        }
        .boxed()
    }

    fn past(&self, until: Seq, most: u64) -> BoxFuture<'_, Result<Vec<Event>, SessionError>> {
        let after = Seq(until.0.saturating_sub(most));
        async move {
            let Patience { answer, silence, .. } = self.patience;
            let mut events = Vec::new();
            let mut stream = EventStream::open(&self.socket, after, answer, silence).await.map_err(session_error)?;
            while events.last().map_or(after, |event: &Event| event.seq) < until {
                match stream.next().await.map_err(session_error)? {
                    Update::Event(event) => events.push(event),
                    // It was too slow for its past, or the engine leaves.
                    Update::Resync(_) | Update::Closed => break,
                    _ => {}
                }
            }
            Ok(events)
        }
        .boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        async move {
            loop {
                if let Some(update) = self.advance().await {
                    return update;
                }
            }
        }
        .boxed()
    }

    fn send(&self, command: Command, revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let (socket, within, hello) = (Arc::clone(&self.socket), self.patience.answer, self.hello);
        let key = uuid::Uuid::now_v7().to_string();
        let order = Order { key: Some(key), revision, command };
        async move {
            let body =
                serde_json::to_vec(&order).map_err(|e| SessionError::Link(format!("the command cannot be written: {e}")))?;
            let mut sent = 1;
            loop {
                let ask = Ask { socket: &socket, method: Method::POST, path: COMMANDS, body: body.clone(), hello, within };
                match fetch(ask).await {
                    // The same key: if the engine has it already, it answers as before.
                    Err(Fault::Broken(_)) if sent < SENDS => sent += 1,
                    end => return end.map_err(session_error),
                }
            }
        }
        .boxed()
    }
}

fn session_error(fault: Fault) -> SessionError {
    match fault {
        Fault::Refused(refusal) => SessionError::Refused(refusal),
        other => SessionError::Link(other.to_string()),
    }
}

async fn fetch_snapshot(socket: &Path, patience: Patience) -> Result<Snapshot, Fault> {
    let (method, hello) = (Method::GET, Hello::default());
    fetch(Ask { socket, method, path: DEPLOYMENT, body: Vec::new(), hello, within: patience.answer }).await
}

async fn dial(socket: Arc<PathBuf>, patience: Patience, cursor: Cursor) -> Result<Opened, Fault> {
    let stream = EventStream::open(&socket, cursor.seq, patience.answer, patience.silence).await?;
    Ok(Opened { stream, snapshot: None })
}

/// Looks at what runs there first: it may be the next deployment's engine.
async fn redial(socket: Arc<PathBuf>, patience: Patience, cursor: Cursor, pause: Duration) -> Result<Opened, Fault> {
    sleep(pause).await;
    let snapshot = Box::new(fetch_snapshot(&socket, patience).await?);
    // Less than we have: we go back to it and on from there.
    let after = cursor.seq.min(snapshot.seq);
    let stream = EventStream::open(&socket, after, patience.answer, patience.silence).await?;
    Ok(Opened { stream, snapshot: Some(snapshot) })
}
