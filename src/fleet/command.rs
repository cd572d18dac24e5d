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
use super::release::Releases;
use super::systemd::{State, Units};
use super::{CommandSettings, blocking};
use crate::model::{Observation, Target, Version};
use crate::os::child::End;
use crate::os::extract::Extractor;
use crate::os::program::{self, About, Limits, Place, Program, Subject, Trouble};
use crate::os::text;
use crate::ports::{FleetDriver, FleetError, UpdateOrder};

/// How often a step that does no harm is run in all.
const TRIES: u32 = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// The names of programs in `$@` that the host does not have.
const MISSING: &str = r#"for name; do command -v -- "$name" >/dev/null 2>&1 || echo "$name"; done"#;
/// What a host needs for every program, and for releases.
const NEEDED: [&str; 7] = ["setsid", "sleep", "cat", "kill", "mkdir", "rm", "sh"];
const NEEDED_FOR_RELEASES: [&str; 6] = ["tar", "mktemp", "mv", "ln", "readlink", "find"];

/// The driver.
pub(super) struct Commands {
    settings: CommandSettings,
    /// `None` where the release or the unit tells the version.
    observe: Option<Program>,
    steps: Vec<(&'static str, Act)>,
    version: Extractor,
    extras: Extras,
}

/// What instances on hosts have besides commands.
pub(super) struct Extras {
    pub(super) place: Place,
    pub(super) release: Option<Releases>,
    pub(super) unit: Option<Units>,
}

/// Why a step is not done.
enum NotDone {
    /// Its host could not be reached.
    NotBegun(String),
    Begun(FleetError),
}

/// What a step does.
enum Act {
    Program(Program),
    /// A release is brought to the host.
    Upload,
    /// It becomes the current one.
    Switch,
    /// Its unit is restarted.
    Restart,
}

impl Commands {
    /// Checks templates and expression, and that every program is there: before any instance is drained.
    pub(super) fn new(settings: CommandSettings) -> Result<Self, String> {
        Self::with(settings, Extras { place: Place::Here, release: None, unit: None })
    }

    /// As [`Self::new`], with more; programs on other hosts are only looked for by `check`.
    pub(super) fn with(settings: CommandSettings, extras: Extras) -> Result<Self, String> {
        let here = matches!(extras.place, Place::Here);
        let program = |name: &str, argv: &[String]| {
            let program = Program { service: settings.service.clone(), argv: argv.to_vec(), env: settings.env.clone() };
            let checked = if here { program.check() } else { program.check_templates() };
            checked.map(|()| program).map_err(|why| format!("[update] {name}: {why}"))
        };
        let observe = if settings.observe.is_empty() { None } else { Some(program("observe", &settings.observe)?) };
        let mut steps = Vec::new();
        if extras.release.is_some() {
            steps.push(("upload", Act::Upload));
        }
        for step in &settings.steps {
            // What stops the old version does so before the link says otherwise.
            if extras.release.is_some() && step.name != "stop" && !steps.iter().any(|(name, _)| *name == "switch") {
                steps.push(("switch", Act::Switch));
            }
            steps.push((step.name, Act::Program(program(step.name, &step.argv)?)));
        }
        if extras.release.is_some() && !steps.iter().any(|(name, _)| *name == "switch") {
            steps.push(("switch", Act::Switch));
        }
        if extras.unit.is_some() {
            steps.push(("restart", Act::Restart));
        }
        if steps.is_empty() {
            return Err("[update] command: at least one step is needed".to_owned());
        }
        if observe.is_none() && extras.release.is_none() {
            return Err("[update] observe: nothing else tells which version runs".to_owned());
        }
        let version = Extractor::new(&settings.version).map_err(|why| format!("[update] observe: {why}"))?;
        Ok(Self { settings, observe, steps, version, extras })
    }

    async fn look(&self, target: &Target) -> Result<Observation, FleetError> {
        let unreachable = |why: String| FleetError::Unreachable(format!("observe of {}: {why}", target.id));
        let Some(units) = &self.extras.unit else { return self.look_at_version(target).await };
        let base = self.extras.release.as_ref().filter(|_| self.observe.is_none()).map(|release| release.base(target));
        let link = base.transpose().map_err(unreachable)?.map(|base| format!("{base}/current")).unwrap_or_default();
        // A unit that has its version in its name is told by the version, not the other way round.
        let named = match units.unit(target, None) {
            Ok(unit) => (unit, None),
            Err(why) => {
                let seen = self.look_at_version(target).await?;
                let Some(version) = &seen.version else { return Ok(seen) };
                (units.unit(target, Some(version)).map_err(|_| unreachable(why))?, Some(seen))
            }
        };
        let (unit, seen) = named;
        let shown = units.show(&self.extras.place, target, (&unit, &link)).await.map_err(unreachable)?;
        let seen = match seen {
            Some(seen) => seen,
            None => self.look_at_version(target).await?,
        };
        Ok(match shown.state() {
            State::Ended(how) => Observation { running: Some(false), ended: Some(how), ..seen },
            // What was installed since its start is not what runs.
            State::Runs if !link.is_empty() && shown.began_after_link() != Some(true) => {
                Observation { version: None, running: Some(true), ended: None }
            }
            State::Runs => Observation { running: Some(true), ended: None, ..seen },
            State::Between => Observation { version: None, running: None, ended: None },
        })
    }

    /// What `observe` says, or the release's link.
    async fn look_at_version(&self, target: &Target) -> Result<Observation, FleetError> {
        let limits = Limits::within(self.settings.observe_timeout.to_std());
        let unreachable = |why: String| FleetError::Unreachable(format!("observe of {}: {why}", target.id));
        let (Some(observe), place) = (&self.observe, &self.extras.place) else {
            let Some(release) = &self.extras.release else { return Err(unreachable("nothing tells its version".to_owned())) };
            let version = release.current(&self.extras.place, target, limits).await.map_err(unreachable)?;
            let none = version.is_none();
            return Ok(Observation { version, running: none.then_some(false), ended: none.then(|| "no release".to_owned()) });
        };
        let finished = observe.run_at(place, Subject::instance(target), limits).await.map_err(unreachable)?;
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

    async fn carry_out(&self, order: &UpdateOrder) -> Result<(), FleetError> {
        // A step of an order that was given up may still be in its grace.
        program::stopped(Some(order.target.id.as_str())).await;
        let deadline = Instant::now() + self.time_for_steps();
        let mut progress = self.progress(order).await?;
        while let Some((name, act)) = self.steps.get(progress.done) {
            if progress.begun && !self.does_no_harm(act) {
                let why = format!("{name} was interrupted when the engine ended");
                return Err(self.in_doubt(order, progress.done, why));
            }
            let untouched = !std::mem::replace(&mut progress.begun, true) && self.inert(progress.done);
            self.write(order, &progress).await?;
            let step = self.step(order, (progress.done, name, act), deadline).await;
            if let Err(NotDone::NotBegun(why)) = &step
                && untouched
                && order.previous.as_ref() != Some(&order.version)
            {
                progress.begun = false;
                self.write(order, &progress).await?;
                return Err(FleetError::Unreachable(why.clone()));
            }
            step.map_err(|not_done| match not_done {
                NotDone::NotBegun(why) => self.in_doubt(order, progress.done, why),
                NotDone::Begun(error) => error,
            })?;
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
    async fn step(&self, order: &UpdateOrder, (at, name, act): (usize, &str, &Act), deadline: Instant) -> Result<(), NotDone> {
        let (mut tries, mut ever_begun) = (1, false);
        let failed = |why: String| NotDone::Begun(FleetError::Failed(format!("{name} of {}: {why}", order.target.id)));
        loop {
            // What runs the service may well stay when a step has succeeded.
            let limits = Limits { deadline, grace: self.grace(), may_leave: name != "stop", changes: true };
            let (version, previous) = (Some(&order.version), order.previous.as_ref());
            let subject = Subject { target: &order.target, version, previous, effect: Some(order.effect.as_str()) };
            let Extras { place, release, unit } = &self.extras;
            let done = match (act, release, unit) {
                (Act::Program(program), _, _) => program.succeed_at(place, subject, limits).await.map(drop),
                (Act::Upload, Some(release), _) => release.upload(place, order, limits).await,
                (Act::Switch, Some(release), _) => release.switch(place, order, limits).await,
                (Act::Restart, _, Some(unit)) => unit.restart(place, order, limits).await,
                (Act::Upload | Act::Switch | Act::Restart, _, _) => Ok(()),
            };
            let (begun, trouble) = match done {
                Ok(()) => return Ok(()),
                Err(Trouble::Failed(why)) => return Err(failed(why)),
                Err(Trouble::Unknown(why)) => (true, format!("{name} of {}: {why}", order.target.id)),
                // A link is asked for again as often as one likes; nothing has happened.
                Err(Trouble::Unreachable(why)) => (false, format!("{name} of {}: {why}", order.target.id)),
            };
            ever_begun |= begun;
            if (ever_begun && !self.does_no_harm(act)) || tries >= TRIES || Instant::now() + AGAIN >= deadline {
                return Err(if ever_begun {
                    NotDone::Begun(self.in_doubt(order, at, trouble))
                } else {
                    NotDone::NotBegun(trouble)
                });
            }
            tracing::warn!(target: "effect", "{trouble}; it is run again");
            tries += 1;
            sleep(AGAIN).await;
        }
    }

    /// Before this step, an order changes nothing that serves.
    fn inert(&self, at: usize) -> bool {
        self.steps.iter().take(at).all(|(_, act)| matches!(act, Act::Upload))
    }

    /// Whether it may be run again.
    fn does_no_harm(&self, act: &Act) -> bool {
        match act {
            Act::Program(_) => self.settings.idempotent,
            // Each leaves things as it would if it had been the only one.
            Act::Upload | Act::Switch | Act::Restart => true,
        }
    }

    /// The outcome of a step is unknown: `observe` decides, if it can.
    fn in_doubt(&self, order: &UpdateOrder, at: usize, why: String) -> FleetError {
        let switched = self.steps.iter().position(|(name, _)| *name == "switch");
        if self.observe.is_none() && self.extras.unit.is_none() && switched.is_some_and(|switched| switched < at) {
            return FleetError::Failed(format!("{why}; what it did is unknown, and the release's link cannot tell"));
        }
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

    /// What is missing, here or on the instance's host.
    async fn complaints(&self, target: &Target, version: &Version) -> Vec<String> {
        let programs = self.steps.iter().filter_map(|(name, act)| match act {
            Act::Program(program) => Some((*name, program)),
            Act::Upload | Act::Switch | Act::Restart => None,
        });
        let complaint = |name: &str, why: String| format!("[update] {name}: {why}");
        let Extras { place, release, unit } = &self.extras;
        let mut complaints = Vec::new();
        let mut needed: Vec<(&str, String)> = Vec::new();
        for (name, program) in programs {
            match place {
                Place::Here => complaints.extend(program.check_for(target, version).err().map(|why| complaint(name, why))),
                Place::There { .. } => match program.named_for(target, version) {
                    Ok(program) => needed.extend(program.map(|program| (name, program))),
                    Err(why) => complaints.push(complaint(name, why)),
                },
            }
        }
        let ours = NEEDED.iter().chain(release.iter().flat_map(|_| &NEEDED_FOR_RELEASES)).map(|name| ("ssh", (*name).to_owned()));
        needed.extend(ours.filter(|_| matches!(place, Place::There { .. })));
        needed.extend(unit.iter().map(|_| ("systemd", "systemctl".to_owned())));
        needed.extend(unit.iter().filter(|unit| unit.settings.sudo).map(|_| ("systemd", "sudo".to_owned())));
        match self.missing(target, &needed).await {
            Ok(missing) => complaints.extend(missing),
            // Nothing else can be said of it then.
            Err(why) => return vec![why],
        }
        if let Some(release) = release {
            complaints.extend(release.check(place, target, version).await);
        }
        complaints
    }

    async fn missing(&self, target: &Target, needed: &[(&str, String)]) -> Result<Vec<String>, String> {
        if needed.is_empty() {
            return Ok(Vec::new());
        }
        let words = ["sh", "-c", MISSING, "rollout"].map(str::to_owned);
        let argv: Vec<String> = words.into_iter().chain(needed.iter().map(|(_, program)| program.clone())).collect();
        // By what the commands themselves look for programs with.
        let about = About { service: &self.settings.service, target, argv: &argv, env: &self.settings.env.0 };
        let limits = Limits::within(self.settings.observe_timeout.to_std());
        let finished = self.extras.place.judge(self.extras.place.run(about, limits, None).await);
        let finished = finished.map_err(|why| format!("{}: {why}", target.id))?;
        let printed = String::from_utf8_lossy(&finished.stdout).into_owned();
        let lacks = |(name, program): &(&str, String)| {
            let why = "is not on the host, or this user cannot execute it; install it or write its absolute path";
            printed.lines().any(|line| line == program).then(|| format!("[update] {name}: {program} {why}"))
        };
        Ok(needed.iter().filter_map(lacks).collect())
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
        Box::pin(self.complaints(target, version))
    }

    /// Dropped, it ends the step that runs, with all that it started in its group: SIGTERM, `stop_timeout`, SIGKILL.
    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.carry_out(order))
    }
}
