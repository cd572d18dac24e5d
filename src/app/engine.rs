//! The engine's own process: its session, its lock, its log, its socket, its end.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::args::EngineArgs;
use super::gather::{self, Aim, Watcher};
use super::lease::{self, Held, Right};
use super::past::{self, find};
use super::recover::taken_over;
use super::request::{Asked, Goal, planned};
use super::signals::Signals;
use super::{CANCELLED, Common, Done, Failure, PERSON, Place, SIGNALLED, calendar, files, load, logout, parts, unwatched};
use crate::command::Request;
use crate::config::Config;
use crate::control::{Door, Server};
use crate::core::{Planned, check};
use crate::event::{Event, EventKind, FORMAT};
use crate::journal::{Holder, Lease, Memory, Sqlite};
use crate::model::{DeploymentId, Plan, Seq};
use crate::os::child;
use crate::ports::{DeploymentRow, Journal, Past};
use crate::runner::{self, Handle, Recovery, Stopped};
use crate::state::{State, Summary};
use crate::telemetry;

/// How long readers may take to fetch the end before the engine leaves.
const LINGER: Duration = Duration::from_secs(5);

/// What an engine that takes over must be able to write, in bytes.
const ROOM: usize = 64 * 1024;

/// The one line that the engine's process writes to its starter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub(super) enum Report {
    /// It runs; nothing is touched yet.
    Runs {
        /// Its deployment.
        deployment: DeploymentId,
        /// Its process.
        pid: u32,
        /// How the fleet differs from that of the last deployment, where it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// Every instance runs the version already.
    AlreadyThere {
        /// What there is to say.
        summary: Box<Summary>,
    },
    /// It did not start.
    Failed {
        /// The exit code that goes with it.
        code: u8,
        /// Why, and what to do.
        message: String,
    },
}

/// The engine is a session of its own: no terminal's end, no Ctrl-C and no hang-up reaches it.
pub(super) fn leave_the_terminal() {
    // Fails only for a leader of a group, who has no terminal to leave when started as meant.
    rustix::process::setsid().ok();
}

/// Tells the starter, once, and lets go of its pipe.
fn report(said: &Report) {
    if let Ok(line) = serde_json::to_string(said) {
        let mut out = std::io::stdout().lock();
        drop(writeln!(out, "{line}"));
        drop(out.flush());
    }
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        rustix::stdio::dup2_stdout(null).ok();
    }
}

/// `rollout engine`.
pub(super) async fn engine(common: &Common, args: &EngineArgs) -> Done {
    let done = boot(common, args).await;
    // What it asked when it failed must not outlive it.
    child::end_all(LINGER).await;
    match done {
        Ok(code) => Ok(code),
        Err(failure) => {
            report(&Report::Failed { code: failure.code, message: failure.message.clone() });
            Err(failure)
        }
    }
}

async fn boot(common: &Common, args: &EngineArgs) -> Done {
    let mut signals = Signals::new().map_err(|e| Failure::person(format!("cannot listen to signals: {e}")))?;
    let (_, mut config) = load(common)?;
    let place = Place::of(&config);
    let (log, redactor) = (crate::journal::log_path(&place.base, &place.service, &place.env), config.redactor.clone());
    telemetry::panics_go_to(&log, parts::now, move |text| redactor.redact(text));
    let right = match (&args.recover, args.steal) {
        (None, _) => Right::Free,
        (Some(_), None) => Right::Stopped,
        (Some(_), Some(pid)) => Right::Steal(pid),
    };
    let what = args.version.as_ref().map_or_else(|| "a deployment".to_owned(), |version| format!("a deployment to {version}"));
    let holder = Holder::this(args.started_by.clone(), parts::wall(), what).map_err(Failure::refused)?;
    if let Some(id) = &args.recover {
        can_take_over(&config, &place, id)?;
    }
    let mut held = lease::take(&place, holder, right).await?;
    let journal = Arc::new(Sqlite::open(&place.base, &place.service, &place.env).map_err(Failure::refused)?);
    lease::without_lock(&mut held, &journal, right).await?;
    journal.check_writable().map_err(Failure::refused)?;
    let begun = tokio::select! {
        begun = begin(&mut config, args, &place, (&mut held, journal.clone())) => begun?,
        signal = signals.stop() => {
            let message = format!("stopped by {} before anything began; nothing is touched", signal.name());
            return Err(Failure { code: CANCELLED, message });
        }
    };
    match begun {
        Begun::Runs(handle, door, watcher) => serve((handle, watcher), (door, &held.lease), signals, journal).await,
        Begun::AlreadyThere(plan) => {
            report(&Report::AlreadyThere { summary: Box::new(nothing_to_do(*plan)) });
            Ok(0)
        }
    }
}

/// Before an engine is killed for it: a takeover that must fail leaves everything as it is.
fn can_take_over(config: &Config, place: &Place, id: &str) -> Result<(), Failure> {
    let view = past::view(config)?.ok_or_else(|| Failure::refused("there is no journal yet"))?;
    let newest = view.past().and_then(Past::latest).map_err(Failure::refused)?;
    let id = recoverable(id, newest.filter(|row| row.ended_at.is_none()).as_ref())?;
    last_event(&view, &id)?;
    parts::parts(config, Arc::new(Memory::new(&place.service)))?;
    let room = || {
        let mut file = tempfile::NamedTempFile::new_in(place.dir())?;
        file.write_all(&vec![0; ROOM])?;
        file.as_file().sync_all()
    };
    room().map_err(|e| Failure::refused(format!("nothing could be journalled in {}: {e}", place.dir().display())))
}

/// Who compares the fleet with the plan, and how that differs from the fleet of the last deployment.
type Compared = Box<(Watcher, Option<String>)>;

/// What came of the order.
enum Begun {
    Runs(Handle, Door, Option<Compared>),
    AlreadyThere(Box<Plan>),
}

/// Reads the world and journals the plan, or takes an interrupted deployment over.
async fn begin(
    config: &mut Config,
    args: &EngineArgs,
    place: &Place,
    (held, journal): (&mut Held, Arc<Sqlite>),
) -> Result<Begun, Failure> {
    let interrupted = journal.past().and_then(Past::latest).map_err(Failure::refused)?.filter(|row| row.ended_at.is_none());
    let recover = args.recover.as_ref().map(|id| recoverable(id, interrupted.as_ref())).transpose()?;
    if let Some(row) = interrupted.as_ref().filter(|_| recover.is_none()) {
        return Err(Failure::refused(format!(
            "{} ({}, {}) was interrupted: its engine is gone; take it over with: rollout recover",
            row.id, row.version, row.status
        )));
    }
    // Before anything is touched: a history that is damaged or of a newer program is not taken over.
    let last = interrupted.as_ref().map(|row| last_event(&journal, &row.id)).transpose()?.flatten();
    lease::clear(held, place).await?;
    if let Some(last) = last {
        parts::begin_after(last.at);
    }
    let (log, redactor) = (crate::journal::log_path(&place.base, &place.service, &place.env), config.redactor.clone());
    let logs = telemetry::init_engine(&log, parts::now, move |text| redactor.redact(text)).map_err(Failure::refused)?;
    files::raise(config.targets.len());
    if let Some(shortage) = files::shortage(config.targets.len()) {
        tracing::warn!(target: "engine", "{shortage}");
    }
    crate::fleet::prepare(&config.fleet).map_err(Failure::refused)?;
    let parts = parts::parts(config, journal.clone())?;
    let watcher = Watcher::new(config, config.targets.clone(), &parts.traffic);
    // Before anything is journalled or done: no deployment may run whose engine nobody can reach.
    let door = || Door::bind(&place.socket()?).map_err(Failure::refused);
    if let (Some(row), Some(id)) = (&interrupted, &recover) {
        files::raise(gather::plan_of(journal.as_ref(), id).map_or(0, |plan| plan.members.len()));
        let (then, door) = (chosen(args, journal.as_ref(), id).await?, door()?);
        lease::claim(held, &journal, format!("{id} to {}", row.version))?;
        let recovery = Recovery { takeover: held.takeover.clone(), then };
        let handle = runner::continued(parts, id, recovery, logs).map_err(Failure::refused)?;
        return Ok(Begun::Runs(handle, door, watcher.map(|watcher| Box::new((watcher, None)))));
    }
    let goal = goal(args, journal.as_ref())?;
    // What goes back is never kept from it.
    let overrides = match &goal {
        Goal::Version(_) => calendar::permitted(config, &args.scope, &args.started_by)?,
        Goal::Undo { .. } => Vec::new(),
    };
    let aim = match &goal {
        Goal::Version(_) => Aim::Forward { allow_new_fleet: args.scope.allow_new_fleet },
        Goal::Undo { ended, .. } => Aim::Back(ended),
    };
    let since = gather::fleet(config, parts.traffic.as_ref(), (Some(journal.as_ref()), aim)).await?;
    files::raise(config.targets.len());
    let asked = Asked {
        config,
        journal: Some(journal.as_ref()),
        deployment: journal.next_id().map_err(Failure::refused)?,
        started_by: args.started_by.clone(),
        scope: &args.scope,
        goal,
        overrides,
    };
    match planned(asked, &parts).await? {
        Planned::AlreadyThere(plan) => Ok(Begun::AlreadyThere(plan)),
        Planned::Plan(plan) => {
            let door = door()?;
            lease::claim(held, &journal, format!("{} to {}", plan.deployment, plan.version))?;
            journal.keep(config.journal_keep);
            let handle = runner::start(parts, *plan, logs).map_err(Failure::refused)?;
            Ok(Begun::Runs(handle, door, watcher.map(|watcher| Box::new((watcher, since)))))
        }
    }
}

/// The last event of a deployment that can be taken over.
fn last_event(journal: &Sqlite, id: &DeploymentId) -> Result<Option<Event>, Failure> {
    journal.check_resumable(id).map_err(Failure::refused)?;
    Ok(journal.read(id).map_err(Failure::refused)?.pop())
}

/// What whoever takes over has chosen, as their command.
async fn chosen(args: &EngineArgs, journal: &dyn Journal, id: &DeploymentId) -> Result<Option<Request>, Failure> {
    let Some(choice) = args.then else { return Ok(None) };
    let state = State::replay(&journal.read(id).map_err(Failure::refused)?).map_err(Failure::refused)?;
    let command = choice.command(&state);
    check(&taken_over(&state, parts::now())?.0, &command).map_err(Failure::refused)?;
    Ok(Some(Request { key: String::new(), actor: crate::control::own_actor().await, revision: None, command }))
}

fn goal(args: &EngineArgs, journal: &dyn Journal) -> Result<Goal, Failure> {
    match (&args.undo, &args.version) {
        (Some(ended), to) => {
            let past = journal.past().map_err(Failure::refused)?;
            Ok(Goal::Undo { ended: find(&past, ended)?.id.clone(), to: to.clone() })
        }
        (None, Some(version)) => Ok(Goal::Version(version.clone())),
        (None, None) => Err(Failure::usage("the engine needs --version, --undo or --recover")),
    }
}

fn recoverable(id: &str, interrupted: Option<&DeploymentRow>) -> Result<DeploymentId, Failure> {
    match interrupted {
        None => Err(Failure::refused("no deployment of this service is interrupted")),
        Some(row) if row.id.to_string() == id => Ok(row.id.clone()),
        Some(row) => Err(Failure::refused(format!("{id} is not interrupted; {} is", row.id))),
    }
}

/// The summary of a deployment that has nothing to do: completed, and everything untouched.
fn nothing_to_do(plan: Plan) -> Summary {
    let at = parts::now();
    let deployment = plan.deployment.clone();
    let kind = EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan) };
    let planned = State::begin(&Event { seq: Seq(1), at, deployment, kind });
    let mut summary = planned.map(|state| Summary::of(&state, (None, None))).unwrap_or_default();
    "completed".clone_into(&mut summary.status);
    summary.finished_at = Some(at);
    summary
}

async fn serve(
    (handle, watcher): (Handle, Option<Compared>),
    (door, held): (Door, &Lease),
    signals: Signals,
    journal: Arc<Sqlite>,
) -> Done {
    let server = Server::at(door, Arc::new(handle.bus.clone()));
    let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.serve(stop.clone()));
    tasks.spawn(signals.pass_on(handle.stop.clone(), leave.clone()));
    let mut unwatched = tokio::task::JoinSet::new();
    unwatched.spawn(unwatched::end(handle.bus.clone()));
    let since = watcher.as_ref().and_then(|with| with.1.clone());
    handle.bus.differs(since.clone());
    let mut compared = tokio::task::JoinSet::new();
    if let Some(with) = watcher {
        compared.spawn(with.0.compare(handle.bus.clone()));
    }
    let bus = handle.bus.clone();
    if let Some(doubt) = logout::doubt().await {
        bus.doubt(doubt);
    }
    report(&Report::Runs { deployment: bus.deployment(), pid: std::process::id(), since });
    let ended = async {
        let stopped = handle.stopped().await;
        held.ends();
        // Readers fetch the end by themselves; one that hangs does not hold the engine.
        drop(tokio::time::timeout(LINGER, bus.read_to_the_end()).await);
        stop.cancel();
        drop(tokio::time::timeout(LINGER, tasks.join_next()).await);
        // So that the log has it.
        drop(tokio::time::timeout(LINGER, compared.join_next()).await);
        stopped
    };
    let stopped = tokio::select! {
        stopped = ended => stopped,
        // What is on disk is whole at every moment.
        () = leave.cancelled() => return Ok(SIGNALLED),
    };
    tasks.shutdown().await;
    if matches!(stopped, Stopped::Ended(_)) {
        tokio::task::spawn_blocking(move || journal.back_up()).await.ok();
    }
    match stopped {
        Stopped::Ended(state) => Ok(state.exit_code().unwrap_or(PERSON)),
        Stopped::Signalled(_) => Ok(SIGNALLED),
        Stopped::Fault(why) => {
            tracing::error!(target: "engine", "{why}");
            Err(Failure { code: PERSON, message: why })
        }
    }
}
