//! `deploy` and `rollback`: start the engine's process, then a front door on it.

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command as Process};

use super::args::{DeployArgs, Output, RollbackArgs};
use super::engine::Report;
use super::past::{ended_line, json, last_row, replayed};
use super::request::to_engine;
use super::verbs::{Left, Scene, command, front_door, nothing_runs, reached};
use super::{Common, Done, Failure, PERSON, Place, complain, load, logout, say, skew};
use crate::command::{Command, Receipt, refused_read_only};
use crate::config::Config;
use crate::control::{self, Client};
use crate::event::Event;
use crate::journal;
use crate::model::{DeploymentId, Seq};
use crate::os;
use crate::os::logout::Manager;
use crate::ports::{Session, SessionError, Snapshot, Update};

/// How long an engine may take to read the world and report.
const BOOT: Duration = Duration::from_mins(2);
/// How long an engine that has ended may take to let go of its readers and its lock.
const LEAVE: Duration = Duration::from_secs(12);
/// The longest that earlier engines may have left their last words before a new file begins.
const STDERR_MAX: u64 = 1 << 20;
/// More than any report has.
const REPORT_MAX: u64 = 1 << 20;

/// An engine's process that has reported.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) deployment: DeploymentId,
    pub(super) pid: u32,
    /// Reaps it; it ends by itself.
    pub(super) child: Child,
}

/// What came of starting an engine.
#[derive(Debug)]
pub(super) enum Boot {
    Started(Box<Started>),
    AlreadyThere(Box<crate::state::Summary>),
}

/// Whether a person sits at a terminal.
pub(super) fn is_interactive(common: &Common) -> bool {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    common.output == Output::Text && is_terminal && !is_dumb()
}

/// A terminal that cannot move its cursor takes lines, like a file.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// By the command line, or by the file.
pub(super) fn is_read_only(common: &Common, config: &Config) -> bool {
    common.read_only || config.console.read_only
}

/// A read-only session changes nothing, whatever the verb.
pub(super) fn not_read_only(common: &Common, config: &Config, verb: &str) -> Result<(), Failure> {
    if !is_read_only(common, config) {
        return Ok(());
    }
    let by = if common.read_only { "--read-only".to_owned() } else { format!("[console] read_only of {}", config.source.name()) };
    Err(Failure::refused(format!("{}, by {by}", refused_read_only(verb))))
}

/// `rollout deploy`.
pub(super) async fn deploy(common: &Common, args: &DeployArgs) -> Done {
    let (path, config) = load(common)?;
    not_read_only(common, &config, "deploy")?;
    let interactive = is_interactive(common) && !args.detach;
    if !interactive && !args.yes {
        let what = if is_dumb() { "on a terminal that cannot move its cursor (TERM=dumb)" } else { "without a terminal" };
        return Err(Failure::usage(format!("{what}, deploy begins only with --yes")));
    }
    let login = control::own_login().await;
    let mut engine: Vec<OsString> = vec!["--version".into(), args.version.as_str().into(), "--started-by".into(), login.into()];
    engine.extend(to_engine(&args.scope));
    match start(&path, common, &config, &engine).await? {
        Boot::AlreadyThere(summary) => already_there(common, &summary),
        Boot::Started(started) if args.detach => {
            let client = connect(&Place::of(&config)).await?;
            match client.send(Command::Start, None).await {
                Ok(_) => {}
                Err(SessionError::Refused(refusal)) => return Err(Failure::refused(refusal)),
                // It may have begun all the same.
                Err(SessionError::Link(why)) => {
                    return Err(Failure::person(format!("{}: {why}; look with: rollout status", started.deployment)));
                }
            }
            let (id, pid) = (&started.deployment, started.pid);
            match common.output {
                Output::Text => say(&format!("{id} has begun; watch it with: rollout attach")),
                Output::Json => json(&serde_json::json!({ "type": "begun", "deployment": id, "engine": pid }))?,
            }
            Ok(0)
        }
        Boot::Started(started) => watch(common, &config, *started, args.yes).await,
    }
}

/// A front door on an engine that has reported; `begin` starts the deployment as soon as its reader has the plan.
pub(super) async fn watch(common: &Common, config: &Config, started: Started, begin: bool) -> Done {
    watched(common, config, started, begin).await.map(|left| left.code)
}

/// As `watch`, and how the front door was left.
pub(super) async fn watched(common: &Common, config: &Config, started: Started, begin: bool) -> Result<Left, Failure> {
    let client = match connect(&Place::of(config)).await {
        Ok(client) => client,
        // It was over before anybody could watch: one that was never begun and is settled, for example.
        Err(link) => {
            let ended = last_row(config)?.filter(|row| row.id == started.deployment && row.ended_at.is_some());
            let Some(row) = ended else { return Err(link) };
            say(&ended_line(config, &row)?);
            let code = replayed(config, &row.id)?.exit_code().unwrap_or(PERSON);
            return Ok(Left { code, next: false, running: false });
        }
    };
    let session: Box<dyn Session> = if begin { Box::new(Starting(client)) } else { Box::new(client) };
    let left = front_door(common, config, session, Scene::default()).await?;
    if !left.running {
        leave(started.child).await;
    }
    Ok(left)
}

/// `rollout rollback`: of what runs, else, as a deployment of its own, of the last one.
pub(super) async fn rollback(common: &Common, args: &RollbackArgs) -> Done {
    let (path, config) = load(common)?;
    not_read_only(common, &config, "rollback")?;
    if reached(&Place::of(&config)).await?.is_some() {
        if args.to.is_some() {
            let why =
                "a deployment is under way: rollback takes each instance back to its own version; --to is for after the end";
            return Err(Failure::refused(why));
        }
        return command(common, Command::Rollback { reason: args.reason.clone(), only: args.only.clone() }).await;
    }
    let last = match last_row(&config)? {
        Some(row) if row.ended_at.is_some() && args.only.is_none() => row,
        Some(_) | None => return Err(nothing_runs(&config)),
    };
    let login = control::own_login().await;
    let mut engine: Vec<OsString> = vec!["--undo".into(), last.id.to_string().into(), "--started-by".into(), login.into()];
    if let Some(to) = &args.to {
        engine.extend(["--version".into(), to.as_str().into()]);
    }
    match start(&path, common, &config, &engine).await? {
        Boot::AlreadyThere(summary) => already_there(common, &summary),
        // A person sees what goes back before it does; without a terminal, whoever asked has decided.
        Boot::Started(started) => watch(common, &config, *started, args.yes || !is_interactive(common)).await,
    }
}

/// The engine's lock goes with its process: only then may the next deployment begin.
async fn leave(mut engine: Child) {
    drop(tokio::time::timeout(LEAVE, engine.wait()).await);
}

/// A session whose deployment begins once its reader has the plan, so that the reader misses nothing.
pub(super) struct Starting(pub(super) Client);

impl Session for Starting {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        Box::pin(async {
            let snapshot = self.0.snapshot().await?;
            if snapshot.state.started_at.is_none() {
                self.0.send(Command::Start, None).await?;
            }
            Ok(snapshot)
        })
    }

    fn past(&self, until: Seq, most: u64) -> BoxFuture<'_, Result<Vec<Event>, SessionError>> {
        self.0.past(until, most)
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        self.0.next()
    }

    fn send(&self, command: Command, revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        self.0.send(command, revision)
    }
}

pub(super) fn already_there(common: &Common, summary: &crate::state::Summary) -> Done {
    match common.output {
        Output::Text => say(&format!("nothing to do: all {} instances run {} and serve", summary.total, summary.version)),
        Output::Json => json(summary)?,
    }
    Ok(0)
}

pub(super) async fn connect(place: &Place) -> Result<Client, Failure> {
    Client::connect(&place.socket()?).await.map_err(|e| Failure { code: PERSON, message: e.to_string() })
}

/// Starts the engine's process and waits for its report.
pub(super) async fn start(path: &Path, common: &Common, config: &Config, engine: &[OsString]) -> Result<Boot, Failure> {
    let way = logout::way().await;
    if let Some(doubt) = &way.doubt {
        complain(&format!("warning: {doubt}"));
    }
    let mut child = spawn((path, common, config), engine, way.manager)?;
    let mut report = String::new();
    let mut pipe = child.stdout.take().ok_or_else(|| Failure::person("the engine's process has no pipe"))?.take(REPORT_MAX);
    let read = tokio::time::timeout(BOOT, pipe.read_to_string(&mut report)).await;
    let ready = match read {
        Ok(Ok(_)) => serde_json::from_str::<Report>(report.trim()).ok(),
        Ok(Err(_)) | Err(_) => None,
    };
    match ready {
        Some(Report::Runs { deployment, pid, since }) => {
            if let Some(since) = since {
                complain(&format!("warning: {since}"));
            }
            Ok(Boot::Started(Box::new(Started { deployment, pid, child })))
        }
        Some(Report::AlreadyThere { summary }) => {
            leave(child).await;
            Ok(Boot::AlreadyThere(summary))
        }
        Some(Report::Failed { code, message }) => {
            leave(child).await;
            Err(Failure { code, message })
        }
        None => {
            // Nobody will start what it may still plan: it ends it as cancelled, or it is gone already.
            if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
            let log = stderr_path(config);
            Err(Failure::person(format!("the engine's process did not come up; its last words are in {}", log.display())))
        }
    }
}

fn stderr_path(config: &Config) -> PathBuf {
    Place::of(config).dir().join("engine.stderr")
}

fn spawn(
    (path, common, config): (&Path, &Common, &Config),
    engine: &[OsString],
    manager: Option<Manager>,
) -> Result<Child, Failure> {
    let cannot = |what: &'static str| move |e: std::io::Error| Failure::person(format!("cannot {what}: {e}"));
    let exe = std::env::current_exe().map_err(cannot("find this program"))?;
    // Its file may be gone, as after an upgrade.
    let exe = if exe.exists() { exe } else { format!("/proc/{}/exe", std::process::id()).into() };
    let path = std::path::absolute(path).map_err(cannot("find the configuration"))?;
    let place = Place::of(config);
    journal::prepare(&place.base, &place.service, &place.env).map_err(Failure::refused)?;
    let stderr: File = os::file::open_append_within(&stderr_path(config), STDERR_MAX)
        .map_err(|e| Failure::refused(format!("cannot write in {}: {e}; nothing is touched", place.dir().display())))?;
    let mut process = manager.map_or_else(|| Process::new(&exe), |manager| manager.command(&exe));
    process.arg("--config").arg(path);
    for set in &common.sets {
        process.arg("--set").arg(set);
    }
    process.arg("engine").args(engine).env_remove(skew::ONCE);
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(false);
    process.spawn().map_err(cannot("start the engine's process"))
}
