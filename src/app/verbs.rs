//! The verbs on what runs: `attach`, `status`, `pause`, `resume`, `cancel`, `rollback`.

use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

use rustix::fs::Access;
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::args::{Color, Output};
use super::deploy::{is_interactive, is_read_only, not_read_only};
use super::output::Lossy;
use super::past::{ended_line, find, json, last_line, last_row, last_status, past, replayed};
use super::signals::{Signal, Signals};
use super::watching::Watching;
use super::{Common, Done, Failure, PERSON, Place, SIGNALLED, complain, idle, load, plan, say, skew, themes, unwatched};
use crate::command::Command;
use crate::config::{ColorDepth, Config, OnHangup};
use crate::control::{self, Client};
use crate::event::Actor;
use crate::headless::{self, Followed, Format};
use crate::journal::{self, Holder, Lease, Sqlite};
use crate::model::Span;
use crate::ports::{Session, SessionError, Update};
use crate::state::{State, Status, Summary};
use crate::tui;

/// How long an engine may take to leave once it has said that it does.
const LEAVE: Duration = Duration::from_secs(12);
/// How long whoever cancels may think about the reason.
const REASON: Duration = Duration::from_secs(20);
/// How long whoever rolls back may: a bad version serves meanwhile.
const URGENT_REASON: Duration = Duration::from_secs(5);
/// How long the record of earlier deployments is read.
const EARLIER: Duration = Duration::from_millis(300);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// How a front door was left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) code: u8,
    /// The operator asked for what comes next (demo).
    pub(super) next: bool,
    /// The deployment had not ended.
    pub(super) running: bool,
}

/// What the console is part of.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// Fleet and history go with it.
    pub(super) demo: bool,
    /// What Enter does at the end.
    pub(super) next: Option<String>,
}

/// The console if a person sits there, else lines or JSON.
pub(super) async fn front_door(
    common: &Common,
    config: &Config,
    session: Box<dyn Session>,
    scene: Scene,
) -> Result<Left, Failure> {
    if !is_interactive(common) {
        return headless(common, config, session).await;
    }
    let earlier = earlier(config).await;
    let settings = tui::Settings { on_hangup: on_hangup(config).await, earlier, ..console_settings(common, config, scene) };
    let on_hangup = if settings.on_hangup.is_some() && !settings.read_only { SIGNALLED } else { 0 };
    let session = Watching::new(session, Place::of(config));
    match tui::run(Box::new(session), settings).await {
        Ok(tui::Exit::Left) => left(config).await,
        Ok(tui::Exit::HungUp) => Ok(Left { code: on_hangup, next: false, running: true }),
        Ok(tui::Exit::Ended { code }) => result(config).map(|()| Left { code, next: false, running: false }),
        Ok(tui::Exit::Next | tui::Exit::Deploy(_)) => result(config).map(|()| Left { code: 0, next: true, running: false }),
        Err(error) => Err(Failure::person(error)),
    }
}

/// How long instances took before. The screen comes first: what cannot be told at once is not waited for, and the time left is
/// told once the first instances are through.
async fn earlier(config: &Config) -> Vec<Span> {
    let place = Place::of(config);
    let told = spawn_blocking(move || {
        let journal = Sqlite::view(&place.base, &place.service, &place.env)?;
        plan::earlier(journal.as_ref())
    });
    timeout(EARLIER, told).await.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default()
}

/// On the terminal that is given back stays how it ended.
fn result(config: &Config) -> Result<(), Failure> {
    if let Some(row) = last_row(config)? {
        say(&ended_line(config, &row)?);
    }
    Ok(())
}

/// Left before the end: what becomes of the deployment, and how to come back to it.
async fn left(config: &Config) -> Result<Left, Failure> {
    let place = Place::of(config);
    let snapshot = match running(&place).await? {
        Some(client) => client.snapshot().await.ok(),
        None => None,
    };
    let Some(snapshot) = snapshot else {
        return match last_row(config)? {
            Some(row) if row.ended_at.is_some() => {
                say(&ended_line(config, &row)?);
                Ok(Left { code: 0, next: false, running: false })
            }
            Some(_) => gone(config).await,
            None => Ok(Left { code: 0, next: false, running: false }),
        };
    };
    let state = &snapshot.state;
    let id = &state.plan.deployment;
    say(&match state.status() {
        Status::Pending => {
            let waits = unwatched::patience(state.plan.policy.strategy.approval_timeout);
            format!("{id} stays planned for {waits}, nothing is touched; rollout attach shows it again, rollout cancel ends it")
        }
        _ => format!("{id} goes on by itself ({}); rollout attach shows it again", state.headline()),
    });
    Ok(Left { code: 0, next: false, running: true })
}

/// What the console asks of the engine when its terminal is lost.
async fn on_hangup(config: &Config) -> Option<Command> {
    let reason = async || format!("the terminal of {} was lost", control::own_login().await);
    match config.console.on_hangup {
        OnHangup::Continue => None,
        OnHangup::Pause => Some(Command::Pause { reason: reason().await }),
        OnHangup::Cancel => Some(Command::Cancel { reason: reason().await }),
    }
}

pub(super) fn console_settings(common: &Common, config: &Config, scene: Scene) -> tui::Settings {
    let color = match (common.color, config.console.color) {
        (Some(Color::Mono), _) | (None, ColorDepth::Mono) => tui::ColorChoice::Mono,
        (Some(Color::C16), _) | (None, ColorDepth::Ansi16) => tui::ColorChoice::Ansi16,
        (Some(Color::C256), _) | (None, ColorDepth::Ansi256) => tui::ColorChoice::Indexed,
        (Some(Color::Truecolor), _) | (None, ColorDepth::Truecolor) => tui::ColorChoice::Truecolor,
        (Some(Color::Auto), _) | (None, ColorDepth::Auto) => tui::ColorChoice::Auto,
    };
    tui::Settings {
        theme: config.console.theme.clone(),
        own_themes: themes::own(),
        color,
        ascii: (common.ascii || config.console.ascii).then_some(true),
        read_only: is_read_only(common, config),
        keys: config.console.keys.clone(),
        protected: config.env().is_some_and(|env| env.protected),
        stripe: config.env().and_then(|env| env.stripe.clone()),
        notify: config.console.notify,
        clipboard: config.console.clipboard,
        demo: scene.demo,
        next: scene.next,
        ..tui::Settings::new(super::clock())
    }
}

/// Lines or JSON to the end. A first signal pauses the deployment, and leaves it where it rests; a second leaves at once.
async fn headless(common: &Common, config: &Config, session: Box<dyn Session>) -> Result<Left, Failure> {
    let format = match common.output {
        Output::Text => Format::Lines,
        Output::Json => Format::Json,
    };
    let mut signals = Signals::of_a_command().map_err(|e| Failure::person(format!("cannot listen to signals: {e}")))?;
    let (leave, runtime) = (CancellationToken::new(), Handle::current());
    let printing = {
        let leave = leave.clone();
        move || runtime.block_on(async { headless::run(session, format, &mut Lossy::new(io::stdout()), &leave).await })
    };
    // On a thread of its own: a reader that takes nothing keeps no signal from being heard.
    let mut printing = spawn_blocking(printing);
    let mut first: Option<Signal> = None;
    loop {
        let caught = tokio::select! {
            followed = &mut printing => {
                return left_by(config, followed.map_err(Failure::person)?.map_err(Failure::person)?).await;
            }
            caught = signals.next() => caught,
        };
        if caught == Signal::Hangup || first.is_some() {
            let name = caught.name();
            let how = if first.is_some() { "it stays paused" } else { "it goes on by itself" };
            complain(&format!("{name}: leaving; {how}, and its engine stays: rollout attach, resume, cancel or rollback"));
            return Ok(Left { code: SIGNALLED, next: false, running: true });
        }
        first = Some(caught);
        match pause_for(config, caught).await? {
            Ok(said) => complain(&said),
            // Nothing comes to rest by itself then: there is nothing to wait for.
            Err(refused) => {
                complain(&refused);
                return Ok(Left { code: SIGNALLED, next: false, running: true });
            }
        }
        leave.cancel();
    }
}

/// Asks for the pause that a signal stands for. What came of it, in words: that it comes to rest, or that it was refused.
async fn pause_for(config: &Config, signal: Signal) -> Result<Result<String, String>, Failure> {
    let name = signal.name();
    let Some(client) = running(&Place::of(config)).await? else {
        return Ok(Ok(format!("{name}: no engine answers any more")));
    };
    let pause = Command::Pause { reason: format!("{name} to the command that watched") };
    Ok(match client.send(pause, None).await {
        Ok(receipt) => Ok(format!("{name}: {}, then this command leaves; a second signal leaves at once", receipt.message)),
        Err(error) => Err(format!("{name}: leaving; the pause was refused: {error}; watch it with: rollout attach")),
    })
}

/// How the lines ended.
async fn left_by(config: &Config, followed: Followed) -> Result<Left, Failure> {
    match followed {
        Followed::Ended(code) => Ok(Left { code, next: false, running: false }),
        Followed::Rests => {
            complain("it rests, and its engine waits: rollout attach, resume, cancel or rollback");
            Ok(Left { code: SIGNALLED, next: false, running: true })
        }
        Followed::Gone => gone(config).await,
    }
}

/// The engine went away before the end: why, as far as its journal tells.
async fn gone(config: &Config) -> Result<Left, Failure> {
    let place = Place::of(config);
    let lives = || Lease::look(&place.base, &place.service, &place.env).is_some_and(|holder| Holder::lives(&holder));
    let deadline = Instant::now() + LEAVE;
    // It says that it is over a moment before it is.
    while lives() && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    let Some(row) = last_row(config)? else {
        return Err(Failure::person("the engine is gone, and its journal with it; look at the instances"));
    };
    if row.ended_at.is_some() {
        say(&ended_line(config, &row)?);
        let code = replayed(config, &row.id)?.exit_code().unwrap_or(PERSON);
        return Ok(Left { code, next: false, running: false });
    }
    let pause = replayed(config, &row.id)?.pause;
    let code = if pause.is_some_and(|pause| matches!(pause.by, Actor::Signal { .. })) { SIGNALLED } else { PERSON };
    Err(Failure { code, message: format!("the engine is gone before the end; {}", ended_line(config, &row)?) })
}

pub(super) async fn running(place: &Place) -> Result<Option<Client>, Failure> {
    let socket = place.socket()?;
    // Whoever may not know whether an engine runs must not hear that none does.
    journal::look(&place.base, &place.service, &place.env).map_err(Failure::refused)?;
    match rustix::fs::access(&socket, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => {
            let (socket, error) = (socket.display(), io::Error::from(error));
            return Err(Failure::refused(format!("{socket} is not open to you ({error}): it belongs to other operators")));
        }
    }
    // A stopped engine takes connections and answers nothing.
    if Lease::look(&place.base, &place.service, &place.env).is_some_and(|holder| holder.is_stopped()) {
        return Ok(None);
    }
    if let control::Answer::Silent(silent) = control::answer(&socket).await {
        complain(&format!("warning: {silent}"));
        return Ok(None);
    }
    // A socket that nobody answers belongs to an engine that died. One that answers something else is at work.
    Client::find(&socket).await.map_err(Failure::refused)
}

/// The engine that a verb is about. If another version runs it, this process becomes that version's program.
pub(super) async fn reached(place: &Place) -> Result<Option<Client>, Failure> {
    match running(place).await {
        Err(unreadable) => {
            skew::go_on_as_its_own(&place.socket()?).await?;
            Err(unreadable)
        }
        found => found,
    }
}

pub(super) fn nothing_runs(config: &Config) -> Failure {
    let last = match last_row(config) {
        Ok(last) => last,
        Err(damaged) => return damaged,
    };
    match last.filter(|row| row.ended_at.is_none()) {
        Some(row) => Failure::refused(last_line(config, &row)),
        None => Failure::refused(format!(
            "no deployment of {} ({}) is under way; the past ones: rollout history",
            config.service.name, config.service.env
        )),
    }
}

/// Refuses what would be refused to a deployment: one is under way, or one was interrupted.
pub(super) async fn nothing_in_the_way(config: &Config) -> Result<(), Failure> {
    match last_row(config)?.filter(|row| row.ended_at.is_none()) {
        Some(row) if reached(&Place::of(config)).await?.is_some() => {
            Err(Failure::refused(format!("{} to {} is under way; watch it with: rollout attach", row.id, row.version)))
        }
        Some(row) => Err(Failure::refused(last_line(config, &row))),
        None => Ok(()),
    }
}

/// `rollout`.
pub(super) async fn console(common: &Common) -> Done {
    let (path, config) = match load(common) {
        Ok(loaded) => loaded,
        Err(failure) if common.config.is_none() => {
            complain("To see a real rolling deployment here and now, with nothing to install: rollout demo");
            complain("To write a rollout.toml for your own fleet, by questions or from an haproxy.cfg: rollout init");
            return Err(failure);
        }
        Err(failure) => return Err(failure),
    };
    if let Some(client) = reached(&Place::of(&config)).await? {
        let client = if is_read_only(common, &config) { client.watching() } else { client };
        return front_door(common, &config, Box::new(client), Scene::default()).await.map(|left| left.code);
    }
    let settled = last_row(&config)?.is_none_or(|row| row.ended_at.is_some());
    if settled && is_interactive(common) {
        return Box::pin(idle::idle(common, (&path, &config))).await;
    }
    last_status(common, &config)?;
    if settled {
        say("to deploy: rollout deploy VERSION");
    }
    Ok(0)
}

/// `rollout attach`.
pub(super) async fn attach(common: &Common, id: Option<&str>) -> Done {
    let (_, config) = load(common)?;
    let place = Place::of(&config);
    let client = reached(&place).await?.ok_or_else(|| nothing_runs(&config))?;
    if let Some(id) = id {
        let runs = client.snapshot().await.map_err(Failure::person)?.state.plan.deployment;
        let meant = &find(&past(&config)?, id)?.id.clone();
        if *meant != runs {
            return Err(Failure::refused(format!("{meant} is not under way; {runs} is")));
        }
    }
    let client = if is_read_only(common, &config) { client.watching() } else { client };
    front_door(common, &config, Box::new(client), Scene::default()).await.map(|left| left.code)
}

/// `rollout status`.
pub(super) async fn status(common: &Common) -> Done {
    let (_, config) = load(common)?;
    let Some(client) = reached(&Place::of(&config)).await? else {
        last_status(common, &config)?;
        return Ok(0);
    };
    let snapshot = client.snapshot().await.map_err(Failure::person)?;
    match common.output {
        Output::Text => say(&headless::status_line(&snapshot)),
        Output::Json => {
            let summary = Summary::of(&snapshot.state, (snapshot.progress.vip, snapshot.progress.lb));
            json(&Live { summary, troubles: &snapshot.progress.troubles })?;
        }
    }
    Ok(0)
}

/// The summary so far, and what is wrong now.
#[derive(serde::Serialize)]
struct Live<'a> {
    #[serde(flatten)]
    summary: Summary,
    troubles: &'a [String],
}

/// `rollout pause`, `resume`, `cancel`, `promote`, `retry`, `skip`, `hold`, `release`, and `rollback` of what runs.
pub(super) async fn command(common: &Common, command: Command) -> Done {
    let (_, config) = load(common)?;
    not_read_only(common, &config, command.verb())?;
    let place = Place::of(&config);
    let client = reached(&place).await?.ok_or_else(|| nothing_runs(&config))?;
    let snapshot = client.snapshot().await.map_err(Failure::person)?;
    let command = with_reason(common, command).await;
    let restores = matches!(command, Command::Rollback { only: None, .. });
    let verb = command.verb();
    // A first cancel that meets somebody else's on the way must not become the second, which stops commands.
    let revision = matches!(command, Command::Cancel { .. }).then_some(snapshot.seq);
    match client.send(command, revision).await {
        Ok(receipt) => match common.output {
            Output::Text => say(&format!("{}: {}", snapshot.state.plan.deployment, receipt.message)),
            Output::Json => json(&serde_json::json!({
                "type": "receipt", "deployment": snapshot.state.plan.deployment, "command": verb, "seq": receipt.seq,
                "message": receipt.message,
            }))?,
        },
        Err(SessionError::Refused(refusal)) => return Err(Failure::refused(refusal)),
        Err(SessionError::Link(why)) => return Err(Failure { code: PERSON, message: why }),
    }
    if restores { restored(common, client, snapshot.state).await } else { Ok(0) }
}

/// At a terminal, whoever cancels or rolls back is asked why. Enter, or no answer in time, is no reason: nothing that is
/// urgent hangs on it.
async fn with_reason(common: &Common, mut command: Command) -> Command {
    let (asks, goes_back) = (is_interactive(common), matches!(command, Command::Rollback { .. }));
    if let Command::Cancel { reason } | Command::Rollback { reason, only: None } = &mut command
        && asks
        && reason.is_empty()
    {
        let patience = if goes_back { URGENT_REASON } else { REASON };
        drop(write!(io::stderr(), "why, for the journal (Enter: no reason; in {}s it goes on without): ", patience.as_secs()));
        let (tell, told) = oneshot::channel();
        // A thread of its own: at the end nobody waits for an answer that does not come.
        std::thread::spawn(move || {
            let mut line = String::new();
            // Whoever cannot be read gives no reason.
            drop(io::stdin().lock().read_line(&mut line));
            drop(tell.send(line));
        });
        match timeout(patience, told).await {
            Ok(line) => line.unwrap_or_default().trim().clone_into(reason),
            Err(_elapsed) => complain("it goes on"),
        }
    }
    command
}

/// Waits until everything touched is back. What is in its way is said by `attach` and `status`.
async fn restored(common: &Common, mut client: Client, mut state: State) -> Done {
    while state.end.is_none() {
        match client.next().await {
            // What was in the snapshot already comes again and is refused by its number.
            Update::Event(event) => drop(state.apply(&event)),
            Update::Resync(snapshot) => state = snapshot.state,
            Update::Gone | Update::Closed => {
                return Err(Failure::person("the engine went away before the end; look with: rollout status"));
            }
            Update::Progress(_) | Update::Log(_) | Update::Disconnected { .. } => {}
        }
    }
    match common.output {
        Output::Text => say(&format!("{}: {}", state.plan.deployment, state.headline())),
        Output::Json => json(&Summary::of(&state, (None, None)))?,
    }
    let clean = state.status() == Status::RolledBack && state.exceptions().is_empty();
    Ok(if clean { 0 } else { PERSON })
}
