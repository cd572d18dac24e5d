//! Instances that programs take care of: `systemctl`, `docker`, `kubectl`, `ssh`, `ansible-playbook`, or a script.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter, run a shell.
//!
//! An update is up to three steps, `stop`, `command` and `start`; then `observe` must show the new version: exit codes alone
//! prove nothing. How far an order has come is written down before and after each step, so that an engine that takes over
//! goes on behind what is done. A step whose outcome is unknown (killed, out of time, exit code 255, a crash in between)
//! is run again only if the configuration says that this does no harm; otherwise `observe` decides, and where it cannot
//! (the version does not change, or steps were to follow) the update has failed.

mod progress;

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use self::progress::Progress;
use super::{CommandSettings, Step, blocking};
use crate::model::{Observation, Target, Version};
use crate::os::child::End;
use crate::os::extract::Extractor;
use crate::os::program::{self, Limits, Program, Subject, Trouble};
use crate::os::text;
use crate::ports::{FleetDriver, FleetError, StopOrder, UpdateOrder};

/// The step that ends what runs.
const STOP: &str = "stop";
/// How often a step that does no harm is run in all.
const TRIES: u32 = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// The driver.
pub(super) struct Commands {
    settings: CommandSettings,
    observe: Program,
    steps: Vec<(Step, Program)>,
    version: Extractor,
}

impl Commands {
    /// Checks templates and expression, and that every program is there: before any instance is drained.
    pub(super) fn new(settings: CommandSettings) -> Result<Self, String> {
        let program = |name: &str, argv: &[String]| {
            let program = Program { service: settings.service.clone(), argv: argv.to_vec(), env: settings.env.clone() };
            program.check().map(|()| program).map_err(|why| format!("[update] {name}: {why}"))
        };
        let observe = program("observe", &settings.observe)?;
        let steps = settings.steps.iter().map(|step| Ok((step.clone(), program(step.name, &step.argv)?)));
        let steps = steps.collect::<Result<Vec<_>, String>>()?;
        if steps.is_empty() {
            return Err("[update] command: at least one step is needed".to_owned());
        }
        let version = Extractor::new(&settings.version).map_err(|why| format!("[update] observe: {why}"))?;
        Ok(Self { settings, observe, steps, version })
    }

    async fn look(&self, target: &Target) -> Result<Observation, FleetError> {
        let limits = Limits::within(self.settings.observe_timeout.to_std());
        let unreachable = |why: String| FleetError::Unreachable(format!("observe of {}: {why}", target.id));
        let finished = self.observe.run(Subject::instance(target), limits).await.map_err(unreachable)?;
        let not_running = |code: i32| u32::try_from(code).is_ok_and(|code| self.settings.not_running.contains(&code));
        match finished.end {
            End::Exit(code) if not_running(code) => {
                return Ok(Observation { version: None, running: Some(false), ended: Some(finished.words()) });
            }
            End::Exit(0) => {}
            End::Exit(_) | End::Signal(_) | End::Deadline | End::Lost => return Err(unreachable(finished.words())),
        }
        let shown = self.version.read(&finished.stdout, finished.whole);
        let shown = shown.map_err(|why| unreachable(format!("no version: {why}")))?;
        let version = Version::new(&shown)
            .map_err(|_not_one| unreachable(format!("{:?} is no version", text::sanitise_within(&shown, 60))))?;
        // Only where it could have said otherwise does its answer mean that something runs.
        let running = (!self.settings.not_running.is_empty()).then_some(true);
        Ok(Observation { version: Some(version), running, ended: None })
    }

    /// The `stop` step alone; then nothing may run any more, where `observe` can tell that.
    async fn stop_for_good(&self, order: &StopOrder) -> Result<(), FleetError> {
        let StopOrder { target, effect, version } = order;
        let Some((_, program)) = self.steps.iter().find(|(step, _)| step.name == STOP) else {
            return Err(FleetError::Failed(format!("{} cannot be stopped: [update] stop is not given", target.id)));
        };
        program::stopped(Some(target.id.as_str())).await;
        let deadline = Instant::now() + self.time_for_steps();
        let limits = Limits { deadline, grace: self.grace(), may_leave: false, changes: true };
        let subject = Subject { target, version: Some(version), previous: Some(version), effect: Some(effect.as_str()) };
        program.succeed(subject, limits).await.map_err(|trouble| match trouble {
            Trouble::Failed(why) => FleetError::Failed(format!("stop of {}: {why}", target.id)),
            Trouble::Unknown(why) => FleetError::Unknown(format!("stop of {}: {why}", target.id)),
        })?;
        match self.look(target).await {
            Ok(Observation { running: Some(true), version, .. }) => {
                let shown = version.map_or_else(|| "something".to_owned(), |v| v.to_string());
                Err(FleetError::Failed(format!("stop of {} succeeded, but observe shows that {shown} runs", target.id)))
            }
            // One that is gone may have nothing left to ask.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn carry_out(&self, order: &UpdateOrder) -> Result<(), FleetError> {
        // A step of an order that was given up may still be in its grace.
        program::stopped(Some(order.target.id.as_str())).await;
        let deadline = Instant::now() + self.time_for_steps();
        let mut progress = self.progress(order).await?;
        while let Some((step, program)) = self.steps.get(progress.done) {
            if progress.begun && !self.settings.idempotent {
                let why = format!("{} was interrupted when the engine ended", step.name);
                return Err(self.in_doubt(order, progress.done, why));
            }
            progress.begun = true;
            self.write(order, &progress).await?;
            self.step(order, (progress.done, program), deadline).await?;
            progress = Progress { done: progress.done + 1, begun: false, ..progress };
            self.write(order, &progress).await?;
        }
        self.proven(order).await
    }

    /// What is left of `timeout` when there must be time to end a step and to look what it did.
    fn time_for_steps(&self) -> Duration {
        let all = self.settings.timeout.to_std();
        let (grace, look) = (self.grace(), self.settings.observe_timeout.to_std().min(all / 4));
        all.saturating_sub(grace).saturating_sub(look)
    }

    fn grace(&self) -> Duration {
        self.settings.stop_timeout.to_std().min(self.settings.timeout.to_std() / 4)
    }

    /// Runs one step, more than once only if that does no harm and the outcome is unknown.
    async fn step(&self, order: &UpdateOrder, (at, program): (usize, &Program), deadline: Instant) -> Result<(), FleetError> {
        let name = self.steps.get(at).map_or("command", |(step, _)| step.name);
        let mut tries = 1;
        loop {
            // What runs the service may well stay when a step has succeeded.
            let limits = Limits { deadline, grace: self.grace(), may_leave: name != STOP, changes: true };
            let (version, previous) = (Some(&order.version), order.previous.as_ref());
            let subject = Subject { target: &order.target, version, previous, effect: Some(order.effect.as_str()) };
            let trouble = match program.succeed(subject, limits).await {
                Ok(_finished) => return Ok(()),
                Err(Trouble::Failed(why)) => return Err(FleetError::Failed(format!("{name} of {}: {why}", order.target.id))),
                Err(Trouble::Unknown(why)) => format!("{name} of {}: {why}", order.target.id),
            };
            if !self.settings.idempotent || tries >= TRIES || Instant::now() + AGAIN >= deadline {
                return Err(self.in_doubt(order, at, trouble));
            }
            tracing::warn!(target: "effect", "{trouble}; it is run again");
            tries += 1;
            sleep(AGAIN).await;
        }
    }

    /// The outcome of a step is unknown: `observe` decides, if it can.
    fn in_doubt(&self, order: &UpdateOrder, at: usize, why: String) -> FleetError {
        if at + 1 < self.steps.len() {
            return FleetError::Failed(format!("{why}; what it did is unknown, and more steps were to follow"));
        }
        if order.previous.as_ref() == Some(&order.version) {
            return FleetError::Failed(format!("{why}; what it did is unknown, as the version stays {}", order.version));
        }
        FleetError::Unknown(why)
    }

    /// Every step succeeded: does it show?
    async fn proven(&self, order: &UpdateOrder) -> Result<(), FleetError> {
        let seen = self.look(&order.target).await.map_err(|e| FleetError::Unknown(e.to_string()))?;
        let shows = match (&seen.version, seen.running) {
            (_, Some(false)) => "nothing runs".to_owned(),
            (Some(version), _) if *version == order.version => return Ok(()),
            (Some(version), _) => format!("still {version}"),
            (None, _) => "no version".to_owned(),
        };
        let (id, wanted) = (&order.target.id, &order.version);
        Err(FleetError::Failed(format!("every step of {id} succeeded, but observe shows: {shows}, not {wanted}")))
    }

    /// How far this very order has come; another one starts from the beginning.
    async fn progress(&self, order: &UpdateOrder) -> Result<Progress, FleetError> {
        let (path, effect) = (progress::path(&self.settings.dir, &order.target.id), order.effect.clone());
        let stored = blocking(move || Progress::read(&path)).await?.map_err(FleetError::Failed)?;
        Ok(stored.filter(|stored| stored.effect == effect).unwrap_or(Progress { effect, done: 0, begun: false }))
    }

    async fn write(&self, order: &UpdateOrder, progress: &Progress) -> Result<(), FleetError> {
        let (path, progress) = (progress::path(&self.settings.dir, &order.target.id), progress.clone());
        blocking(move || progress.write(&path)).await?.map_err(FleetError::Failed)
    }
}

impl FleetDriver for Commands {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        Box::pin(self.look(target))
    }

    fn check<'a>(&'a self, target: &'a Target, version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        let steps = self.steps.iter();
        let complaints = steps.filter_map(|(step, program)| {
            program.check_for(target, version).err().map(|why| format!("[update] {}: {why}", step.name))
        });
        let complaints: Vec<String> = complaints.collect();
        Box::pin(async move { complaints })
    }

    /// Dropped, it ends the step that runs, with all that it started in its group: SIGTERM, `stop_timeout`, SIGKILL.
    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.carry_out(order))
    }

    fn stop<'a>(&'a self, order: &'a StopOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.stop_for_good(order))
    }

    fn stops(&self) -> bool {
        self.steps.iter().any(|(step, _)| step.name == STOP)
    }
}
