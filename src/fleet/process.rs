//! Local processes that outlive the console and the engine: one process group an instance.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.
//!
//! The command must stay in the foreground: the instance is the process that we start, and it has ended when that has.
//! It gets no stdin, writes to `DIR/INSTANCE.log`, and inherits the engine's environment, but for the variables that the
//! configuration reads by `${VAR}`, and its working directory, plus what `[update] env` gives and two marks by which it is found again if the engine dies between starting it and writing down its pid.

mod record;
mod stop;

use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::process::{Child, Command};

use self::record::{Found, Place, Record};
use super::{ProcessSettings, blocking};
use crate::model::{InstanceId, Observation, Target, Version};
use crate::os::program::Program;
use crate::os::template::{self, Context};
use crate::os::{file, own, process};
use crate::ports::{FleetDriver, FleetError, StopOrder, UpdateOrder};

pub use stop::stop_recorded;

/// The driver.
pub(super) struct Processes {
    inner: Arc<Inner>,
}

/// Shared with the blocking tasks, which run to their end even when nobody waits for them any more.
struct Inner {
    settings: ProcessSettings,
    /// The last process of each instance that we started ourselves, with its pid; only a parent learns how a process
    /// ended. One that is dropped goes on, and tokio waits for its end, so that it does not stay a zombie.
    children: Mutex<HashMap<InstanceId, (i32, Child)>>,
    /// One update at a time on an instance.
    turns: Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Processes {
    /// Checks the templates. Makes nothing: that is `prepare`.
    pub(super) fn new(mut settings: ProcessSettings) -> Result<Self, String> {
        check_templates(&settings).map_err(|why| format!("[update] start: {why}"))?;
        // One spelling of the path, so that processes are found again by it.
        settings.dir = settings.dir.canonicalize().unwrap_or(settings.dir);
        let inner = Inner { settings, children: Mutex::default(), turns: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// Renders the command once for an instance that has everything a template may name.
fn check_templates(settings: &ProcessSettings) -> Result<(), String> {
    let version = Version::new("v1").map_err(|e| e.to_string())?;
    let target = Target {
        id: InstanceId::new("instance").map_err(|e| e.to_string())?,
        host: "localhost".to_owned(),
        port: 1,
        zone: Some("zone".to_owned()),
        labels: std::collections::BTreeMap::default(),
    };
    let context = Context { service: &settings.service, target: &target, version: Some(&version), previous: Some(&version) };
    template::render_argv(&settings.start, context).map(drop)
}

impl FleetDriver for Processes {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        let (inner, instance) = (Arc::clone(&self.inner), target.id.clone());
        Box::pin(async move { blocking(move || inner.observe(&instance)).await? })
    }

    fn check<'a>(&'a self, target: &'a Target, version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        let ProcessSettings { service, start, env, .. } = &self.inner.settings;
        let program = Program { service: service.clone(), argv: start.clone(), env: env.clone() };
        let complaint = program.check_for(target, version).err().map(|why| format!("[update] start: {why}"));
        let place = Place::of(&self.inner.settings.dir, &target.id);
        Box::pin(async move {
            let of_others = blocking(move || of_others(&place)).await.ok().flatten();
            complaint.into_iter().chain(of_others).collect()
        })
    }

    fn owns<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, bool> {
        let place = Place::of(&self.inner.settings.dir, &target.id);
        Box::pin(async move {
            let owned = blocking(move || match place.read() {
                Ok(Some(record)) => record.find(&place.record) != Found::Gone,
                Ok(None) => false,
                // `observe` says what is wrong with the record.
                Err(_) => true,
            });
            owned.await.unwrap_or(true)
        })
    }

    /// Dropped while the old process is stopping, it leaves that one stopping or gone; dropped while the new one is
    /// being started, the start and its record are still completed.
    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.update_in_turn(order))
    }

    /// Dropped, it leaves the process alive or ended, and `observe` tells which.
    fn stop<'a>(&'a self, order: &'a StopOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.stop_in_turn(order))
    }

    fn stops(&self) -> bool {
        true
    }
}

impl Processes {
    async fn stop_in_turn(&self, order: &StopOrder) -> Result<(), FleetError> {
        let _turn = self.inner.turn(&order.target.id).lock_owned().await;
        let place = Place::of(&self.inner.settings.dir, &order.target.id);
        let Some(record) = place.read().map_err(FleetError::Unknown)? else { return Ok(()) };
        let reap = || self.inner.reap(&order.target.id);
        stop::stop(&record, &place.record, self.inner.settings.stop_timeout, reap).await?;
        // What has ended and is needed no more has no record.
        std::fs::remove_file(&place.record).map_err(|e| unwritten(&place, &e))
    }

    async fn update_in_turn(&self, order: &UpdateOrder) -> Result<(), FleetError> {
        let context = Context {
            service: &self.inner.settings.service,
            target: &order.target,
            version: Some(&order.version),
            previous: order.previous.as_ref(),
        };
        let argv = template::render_argv(&self.inner.settings.start, context).map_err(FleetError::Failed)?;
        let turn = self.inner.turn(&order.target.id).lock_owned().await;
        let place = Place::of(&self.inner.settings.dir, &order.target.id);
        if let Some(record) = place.read().map_err(FleetError::Unknown)? {
            let found = record.find(&place.record);
            if let Found::Running(process) = found
                && record.effect == order.effect
            {
                let adopted = Record { process: Some(process), ..record.clone() };
                return if adopted == record { Ok(()) } else { place.write(&adopted).map_err(|e| unwritten(&place, &e)) };
            }
            let reap = || self.inner.reap(&order.target.id);
            stop::stop(&record, &place.record, self.inner.settings.stop_timeout, reap).await?;
        }
        let (inner, order) = (Arc::clone(&self.inner), order.clone());
        blocking(move || {
            let started = inner.start(&order, &argv, &place);
            drop(turn);
            started
        })
        .await?
    }
}

impl Inner {
    fn observe(&self, instance: &InstanceId) -> Result<Observation, FleetError> {
        let place = Place::of(&self.settings.dir, instance);
        let Some(record) = place.read().map_err(FleetError::Unknown)? else {
            return Ok(Observation { version: None, running: Some(false), ended: None });
        };
        self.reap(instance);
        if let Found::Running(_) = record.find(&place.record) {
            return Ok(Observation { version: Some(record.version), running: Some(true), ended: None });
        }
        let Some(process) = &record.process else {
            return Ok(Observation { version: None, running: Some(false), ended: Some("not started".to_owned()) });
        };
        let ended = self.ended(instance, process.pid).unwrap_or_else(|| "gone".to_owned());
        Ok(Observation { version: Some(record.version), running: Some(false), ended: Some(ended) })
    }

    /// Starts the process between two writes of its record: first the intent, then the pid.
    fn start(&self, order: &UpdateOrder, argv: &[String], place: &Place) -> Result<(), FleetError> {
        let record = Record { version: order.version.clone(), effect: order.effect.clone(), process: None };
        place.write(&record).map_err(|e| unwritten(place, &e))?;
        let child = spawn(&record, argv, (place, &self.settings)).map_err(|e| {
            let program = argv.first().map_or("", String::as_str);
            let remedy = "[update] start must begin with a program that this user can execute";
            FleetError::Failed(format!("{}: cannot start {program:?}: {e}; {remedy}", order.target.id))
        })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| FleetError::Unknown("the process was started, but has no pid".to_owned()))?;
        own::give_back_core_file(pid);
        // Ours and not waited for yet: it is there, if only as a zombie, and its pid is its own.
        let process = process::identify(pid);
        lock(&self.children).insert(order.target.id.clone(), (pid, child));
        let process =
            process.ok_or_else(|| FleetError::Unknown(format!("process {pid} was started, but /proc does not show it")))?;
        // The intent stays behind; by it the process is found again.
        place
            .write(&Record { process: Some(process), ..record })
            .map_err(|e| FleetError::Unknown(unwritten(place, &e).to_string()))
    }

    /// Waits, without blocking, for the child that ended: a zombie would count as there.
    fn reap(&self, instance: &InstanceId) {
        if let Some(Err(e)) = lock(&self.children).get_mut(instance).map(|(_, child)| child.try_wait()) {
            tracing::debug!(%instance, "cannot wait for the child: {e}");
        }
    }

    /// How the process ended, if it was our child.
    fn ended(&self, instance: &InstanceId, pid: i32) -> Option<String> {
        let mut children = lock(&self.children);
        let (_, child) = children.get_mut(instance).filter(|(of, _)| *of == pid)?;
        Some(words(child.try_wait().ok()??))
    }

    fn turn(&self, instance: &InstanceId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(lock(&self.turns).entry(instance.clone()).or_default())
    }
}

/// Among several operators a process may be another's: said before anything is drained for an update that cannot be.
fn of_others(place: &Place) -> Option<String> {
    let Found::Running(found) = place.read().ok()??.find(&place.record) else { return None };
    let pid = rustix::process::Pid::from_raw(found.pid)?;
    let refused = rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::PERM);
    let remedy = "deploy as that user or as root, or let programs with the right do it (driver = \"command\")";
    refused.then(|| format!("process {pid} was started by another user, so you cannot stop it; {remedy}"))
}

/// In a group of its own, so that it is stopped with all that it starts, and so that no signal meant for us reaches it.
fn spawn(record: &Record, argv: &[String], (place, settings): (&Place, &ProcessSettings)) -> io::Result<Child> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
    let log = file::open_append(&place.log)?;
    let mut command = Command::new(program);
    for name in &settings.withheld {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .envs(settings.env.0.iter().map(|(name, value)| (name, value)))
        .env(record::EFFECT_VARIABLE, record.effect.as_str())
        .env(record::RECORD_VARIABLE, &place.record)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn unwritten(place: &Place, error: &io::Error) -> FleetError {
    FleetError::Failed(format!("cannot write the process record {}: {error}", place.record.display()))
}

/// The maps behind these locks are whole after every statement: a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
