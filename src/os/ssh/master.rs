//! One connection to one host: a client of ssh that others share, held by this process.
//!
//! Imports: os' child, own and text. May not: run what a driver wants.
//!
//! The client stays our child and in a session of its own without a terminal: whatever wants to ask something fails at
//! once. It holds a login on the host whose input is a pipe from here, so that it ends with this process however that ends.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::child::{Group, WAITING};
use super::super::program::INHERITED;
use super::super::{own, text};
use super::Options;

/// What a login says when it works.
const READY: &str = "rollout-ready";
/// Within these a link that is silent counts as lost: so many questions, so many seconds apart.
const ALIVE_INTERVAL: u64 = 5;
const ALIVE_COUNT: u64 = 3;
/// At once on one connection; sshd allows 10 (`MaxSessions`), of which one is the login that holds it.
const RUNS_MAX: usize = 8;
/// From SIGTERM to SIGKILL for the client.
const GRACE: Duration = Duration::from_secs(1);
/// As much as is read of what a login says before it is ready.
const GREETING_MAX: usize = 64 * 1024;

/// A connection. Dropped, it is closed.
pub(super) struct Master {
    /// For programs.
    pub(super) session: Arc<openssh::Session>,
    /// Room for programs.
    pub(super) room: Arc<Semaphore>,
    /// It is lost, or closed.
    pub(super) over: CancellationToken,
    log: PathBuf,
    _stop: DropGuard,
}

impl Master {
    /// Connects to `host`, with its socket and log in `dir` under a name of their own.
    pub(super) async fn connect(host: &str, options: &Options, (dir, name): (&Path, u64)) -> Result<Self, String> {
        let (socket, log) = (dir.join(format!("{name}")), dir.join(format!("{name}.log")));
        let (mut login, theirs) = pair().map_err(|e| format!("no socket: {e}"))?;
        let mut command = command(host, options, (&socket, &log));
        command.stdin(theirs.try_clone().map_err(|e| format!("no socket: {e}"))?).stdout(theirs);
        let child = command.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "ssh is in no directory of PATH; install it".to_owned(),
            _ => format!("cannot start ssh: {e}"),
        })?;
        // With its ends of the socket.
        drop(command);
        let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        own::give_back_core_file(id);
        // From here on it ends with this future.
        let group = Group::begin(id, "ssh");
        let deadline = Instant::now() + options.connect_timeout;
        let ready = timeout_at(deadline, ready(&mut login)).await;
        let (over, stop) = (CancellationToken::new(), CancellationToken::new());
        let hold = Hold { child, _login: login, group, files: [socket.clone(), log.clone()], over: over.clone() };
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(said)) => {
                let why = reason(&log, &said);
                stop.cancel();
                hold.until(stop).await;
                return Err(why);
            }
            Err(_) => {
                let why = match reason(&log, "") {
                    why if why.is_empty() => String::new(),
                    why => format!(": {why}"),
                };
                stop.cancel();
                WAITING.spawn(hold.until(stop));
                let within = options.connect_timeout.as_millis();
                return Err(format!("no login within {within} ms{why}"));
            }
        }
        WAITING.spawn(hold.until(stop.clone()));
        let session = Arc::new(openssh::Session::resume_mux(socket.into(), None));
        let room = Arc::new(Semaphore::new(RUNS_MAX));
        Ok(Self { session, room, over, log, _stop: stop.drop_guard() })
    }

    /// What ssh said last, to follow "the link was lost".
    pub(super) fn last_words(&self) -> String {
        reason(&self.log, "")
    }
}

/// Without a terminal to ask at, with strict host keys, and of the user's configuration nothing that would not end.
fn command(host: &str, options: &Options, (socket, log): (&Path, &Path)) -> Command {
    let setsid = ["/usr/bin/setsid", "/bin/setsid"].into_iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(setsid.unwrap_or("ssh"));
    if setsid.is_some() {
        command.arg("ssh");
    } else {
        command.process_group(0);
    }
    command.args(["-M", "-T", "-S"]).arg(socket).arg("-E").arg(log);
    let seconds = options.connect_timeout.as_secs().max(1);
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "ControlPersist=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "LogLevel=INFO",
        &format!("ConnectTimeout={seconds}"),
        &format!("ServerAliveInterval={ALIVE_INTERVAL}"),
        &format!("ServerAliveCountMax={ALIVE_COUNT}"),
    ] {
        command.args(["-o", option]);
    }
    let Options { user, port, config, identity, jump, connect_timeout: _ } = options;
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(config) = config {
        command.arg("-F").arg(config);
    }
    if let Some(identity) = identity {
        command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(identity);
    }
    if let Some(jump) = jump {
        command.args(["-J", jump]);
    }
    let login = format!("echo {READY} && exec cat >/dev/null");
    command.args(["--", host, &login]);
    let inherited = INHERITED.iter().chain(&["KRB5CCNAME"]).filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(inherited).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// Input and output of a login in one open file: ours, and its.
fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = theirs.into_std()?;
    theirs.set_nonblocking(false)?;
    Ok((ours, theirs.into()))
}

/// Until the login works; the error is what it said instead.
async fn ready(login: &mut UnixStream) -> Result<(), String> {
    let mut said = Vec::new();
    let mut chunk = [0; 1024];
    // A login may greet first.
    while said.len() < GREETING_MAX {
        match login.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(n) => said.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
        if String::from_utf8_lossy(&said).lines().any(|line| line.trim_end() == READY) {
            return Ok(());
        }
    }
    Err(String::from_utf8_lossy(&said).into_owned())
}

/// Why there is no connection, with what to do about it: of ssh's log, else of what the login said.
fn reason(log: &Path, said: &str) -> String {
    let log = std::fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines = |text: &str| -> Vec<String> {
        let telling = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@'));
        telling.map(str::to_owned).collect()
    };
    let mut shown = lines(&log);
    if shown.is_empty() {
        shown = lines(said);
    }
    let skipped = shown.len().saturating_sub(3);
    let words: Vec<String> = shown.iter().skip(skipped).map(|line| text::sanitise_within(line, 200)).collect();
    let words = words.join(" | ");
    match remedy(&log) {
        Some(remedy) => format!("{words}; {remedy}"),
        None => words,
    }
}

fn remedy(log: &str) -> Option<&'static str> {
    let remedies = [
        (
            "IDENTIFICATION HAS CHANGED",
            "the host shows another key than before: somebody may be in between; if it was installed anew, compare the key \
             at its console, remove the old one with `ssh-keygen -R HOST` and add the new one with `ssh-keyscan HOST >> \
             ~/.ssh/known_hosts`",
        ),
        (
            "Host key verification failed",
            "this host's key is not known and none is accepted silently: add it with `ssh-keyscan HOST >> \
             ~/.ssh/known_hosts` and compare its fingerprint at the host's console",
        ),
        (
            "Permission denied",
            "no password is asked for here: add this user's public key to the host's authorized_keys, or load the key into \
             the agent with `ssh-add`",
        ),
        ("Could not resolve hostname", "write its address, or add a Host to ~/.ssh/config"),
    ];
    remedies.into_iter().find(|(said, _)| log.contains(said)).map(|(_, remedy)| remedy)
}

/// The client as long as it lives.
struct Hold {
    child: Child,
    /// Closed, it ends the login, and with it the client.
    _login: UnixStream,
    group: Group,
    files: [PathBuf; 2],
    over: CancellationToken,
}

impl Hold {
    async fn until(mut self, stop: CancellationToken) {
        let ended = tokio::select! {
            ended = self.child.wait() => Some(ended),
            () = stop.cancelled() => None,
        };
        if ended.is_none() {
            self.group.signal(Signal::TERM);
            timeout(GRACE, self.child.wait()).await.ok();
        }
        // A jump host's client is in the same group.
        self.group.sweep(Duration::from_millis(100)).await;
        timeout(GRACE, self.child.wait()).await.ok();
        self.group.release();
        self.over.cancel();
        // Whoever lost it may still want to read why.
        sleep(if ended.is_some() { GRACE } else { Duration::ZERO }).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.over.cancel();
        for file in &self.files {
            std::fs::remove_file(file).ok();
        }
    }
}
