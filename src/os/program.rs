//! A program of the configuration: argv of templates and an environment, checked before anything depends on it.
//!
//! Imports: os' child, ssh and template; model. May not: judge what came of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;
use tokio::time::Instant;

use super::child::{self, End, Finished};
use super::ssh;
use super::template::{self, Context};
use crate::model::{InstanceId, Target, Version};

/// What a program sees of our environment; everything else it needs is given to it by name.
pub const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];
/// Exit code of ssh for "I cannot say what became of the command".
const SSH_LOST: i32 = 255;

/// Variables with their values. `Debug` shows only names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(pub Vec<(String, String)>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Environment {
    /// Ours as far as it is passed on, then these.
    pub fn whole(&self, marks: &[(&str, &str)]) -> Vec<(String, String)> {
        let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let marks = marks.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        inherited.chain(marks).chain(self.0.iter().cloned()).collect()
    }

    /// The directories in which programs are looked for.
    fn path(&self) -> String {
        let given = self.0.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        given.or_else(|| std::env::var("PATH").ok()).unwrap_or_else(|| "/usr/bin:/bin".to_owned())
    }
}

/// A program as the configuration names it.
#[derive(Clone, PartialEq)]
pub struct Program {
    /// `[service] name`, for templates.
    pub service: String,
    /// Program and arguments, each a template.
    pub argv: Vec<String>,
    /// What it needs in its environment besides [`INHERITED`].
    pub env: Environment,
}

/// Without what may come from the environment.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What a run is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The instance.
    pub target: &'a Target,
    /// `{{ version }}`, where one is at stake.
    pub version: Option<&'a Version>,
    /// `{{ previous }}`, if known.
    pub previous: Option<&'a Version>,
    /// The order's id, for `ROLLOUT_EFFECT`.
    pub effect: Option<&'a str>,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("target", &self.target.id).field("version", &self.version).finish_non_exhaustive()
    }
}

impl<'a> Subject<'a> {
    /// An instance, and no version.
    pub fn instance(target: &'a Target) -> Self {
        Self { target, version: None, previous: None, effect: None }
    }
}

/// The limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When it is told to end.
    pub deadline: Instant,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// A success may leave processes running.
    pub may_leave: bool,
    /// It changes something: see [`child::Run::changes`].
    pub changes: bool,
}

impl Limits {
    /// For a program that only looks: it ends within `time`, and nothing of it stays.
    pub fn within(time: Duration) -> Self {
        // Most of the time for the answer, the rest for a polite end.
        let grace = (time / 10).min(Duration::from_secs(1));
        Self { deadline: Instant::now() + time.saturating_sub(grace), grace, may_leave: false, changes: false }
    }
}

/// Where programs run.
pub enum Place {
    /// On this host.
    Here,
    /// On each instance's own host.
    There {
        /// The connections.
        pool: ssh::Pool,
        /// The host's name for ssh, a template.
        host: String,
        /// The service's environment: one step at a time changes an instance of it.
        env: String,
    },
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if let Self::Here = self { "Here" } else { "There" })
    }
}

impl Place {
    /// Runs what is rendered already, with what it reads if that is something; see [`Program::run`].
    ///
    /// # Errors
    /// Fails with a sentence if it was not started.
    pub async fn run(&self, about: About<'_>, limits: Limits, input: Option<Input>) -> Result<Finished, String> {
        let About { service, target, argv, env } = about;
        let Limits { deadline, grace, may_leave, changes } = limits;
        let finished = match self {
            Self::Here => {
                let env = Environment(env.to_vec()).whole(&[]);
                let about = target.id.as_str();
                {
                    let room = child::OUTPUT_BYTES_MAX;
                    child::run(child::Run { about, argv, env: &env, deadline, grace, may_leave, changes, room }).await?
                }
            }
            Self::There { pool, host, env: of } => {
                let host = template::render(host, Context { service, target, version: None, previous: None })?;
                let name = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
                let fence: String = format!("{service}.{of}.{}", target.id).chars().map(name).collect();
                let fence = changes.then_some(fence.as_str());
                let run = ssh::Run { about: target.id.as_str(), argv, env, deadline, grace, may_leave, fence, input };
                pool.run(&host, run).await?
            }
        };
        if let Some(left) = finished.left {
            let program = argv.first().map_or("", String::as_str);
            tracing::warn!(target: "effect", "{}: {program} left {left} behind", target.id);
        }
        Ok(finished)
    }
}

/// What a program reads.
pub type Input = Box<dyn tokio::io::AsyncRead + Send + Unpin>;

/// What to run, rendered, and for whom.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// `[service] name`.
    pub service: &'a str,
    /// The instance.
    pub target: &'a Target,
    /// Program and arguments.
    pub argv: &'a [String],
    /// Its variables besides those that every program has.
    pub env: &'a [(String, String)],
}

impl fmt::Debug for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About").field("target", &self.target.id).finish_non_exhaustive()
    }
}

/// Why a program did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It was not started, since its host cannot be reached.
    Unreachable(String),
    /// It says that it failed, or was never started.
    Failed(String),
    /// It may have done all, a part or nothing: it was killed, ran out of time, or lost its connection.
    Unknown(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(words) | Self::Failed(words) | Self::Unknown(words)) = self;
        f.write_str(words)
    }
}

/// Waits until every program that was given up has ended, here and on other hosts: those of `about`, or all.
pub async fn stopped(about: Option<&str>) {
    tokio::join!(child::stopped(about), ssh::stopped(about));
}

impl Program {
    /// Renders the templates for an instance that has everything, and looks for the program.
    ///
    /// # Errors
    /// Fails with a sentence if a template does not render or if this user cannot execute the program.
    pub fn check(&self) -> Result<(), String> {
        self.check_templates()?;
        match self.argv.first() {
            // Where it depends on the instance, it is only known then.
            Some(program) if program.contains('{') => Ok(()),
            Some(program) => find(program, &self.env.path()).map(drop),
            None => Ok(()),
        }
    }

    /// Renders the templates for an instance that has everything.
    ///
    /// # Errors
    /// Fails with a sentence if one does not render.
    pub fn check_templates(&self) -> Result<(), String> {
        let version = Version::new("v1").map_err(|e| e.to_string())?;
        let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
        let (host, zone) = ("localhost".to_owned(), Some("zone".to_owned()));
        let target = Target { id, host, port: 1, zone, labels: BTreeMap::default() };
        let subject = Subject { version: Some(&version), previous: Some(&version), ..Subject::instance(&target) };
        self.render(subject).map(drop)
    }

    /// The program for this instance and version, with everything rendered; where it depends on the version that it leaves,
    /// it is only known then.
    ///
    /// # Errors
    /// Fails with a sentence if a template does not render.
    pub fn named_for(&self, target: &Target, version: &Version) -> Result<Option<String>, String> {
        // What it leaves is not known yet; any version will do to see that the arguments render.
        let argv = self.render(Subject { version: Some(version), previous: Some(version), ..Subject::instance(target) })?;
        let known = self.argv.first().is_some_and(|template| !template.contains("previous"));
        Ok(argv.into_iter().next().filter(|_| known))
    }

    /// Renders it for this instance and version, and looks for the program.
    ///
    /// # Errors
    /// Fails with a sentence if a template does not render or if this user cannot execute the program.
    pub fn check_for(&self, target: &Target, version: &Version) -> Result<(), String> {
        self.named_for(target, version)?.map_or(Ok(()), |program| find(&program, &self.env.path()).map(drop))
    }

    /// The files that it is made of: the program as `exec` would find it, and what its arguments name by an absolute path.
    /// What depends on an instance or version is not among them.
    pub fn files(&self) -> Vec<PathBuf> {
        let program = self.argv.first().and_then(|program| find(program, &self.env.path()).ok());
        let named = self.argv.iter().skip(1).map(PathBuf::from).filter(|path| path.is_absolute() && path.is_file());
        program.into_iter().chain(named).collect()
    }

    fn render(&self, subject: Subject<'_>) -> Result<Vec<String>, String> {
        let Subject { target, version, previous, .. } = subject;
        template::render_argv(&self.argv, Context { service: &self.service, target, version, previous })
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// Fails with a sentence if it was not started.
    pub async fn run(&self, subject: Subject<'_>, limits: Limits) -> Result<Finished, String> {
        self.run_at(&Place::Here, subject, limits).await
    }

    /// As [`Self::run`], where `place` says.
    ///
    /// # Errors
    /// Fails with a sentence if it was not started.
    pub async fn run_at(&self, place: &Place, subject: Subject<'_>, limits: Limits) -> Result<Finished, String> {
        let argv = self.render(subject)?;
        let mut env = vec![("ROLLOUT_SERVICE", self.service.as_str()), ("ROLLOUT_INSTANCE", subject.target.id.as_str())];
        env.extend(subject.effect.map(|effect| ("ROLLOUT_EFFECT", effect)));
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env: Vec<_> = env.chain(self.env.0.iter().cloned()).collect();
        let about = About { service: &self.service, target: subject.target, argv: &argv, env: &env };
        place.run(about, limits, None).await
    }

    /// Runs it about no instance at all, with so much `room` for what it prints; its templates may name the service alone.
    ///
    /// # Errors
    /// Fails with a sentence if it was not started.
    pub async fn print(&self, about: &str, limits: Limits, room: usize) -> Result<Finished, String> {
        self.run_apart((about, None), &[("ROLLOUT_SERVICE", &self.service)], limits, room).await
    }

    /// Runs it about no instance at all, on the way to `version` if that is something; its templates may name the service and
    /// the version alone. It sees these variables besides its own.
    ///
    /// # Errors
    /// Fails with a sentence if it was not started.
    pub async fn run_apart(
        &self,
        (about, version): (&str, Option<&Version>),
        variables: &[(&str, &str)],
        limits: Limits,
        room: usize,
    ) -> Result<Finished, String> {
        let argv = self.render(Subject { version, ..Subject::instance(&nobody()?) })?;
        let env = self.env.whole(variables);
        let Limits { deadline, grace, may_leave, changes } = limits;
        child::run(child::Run { about, argv: &argv, env: &env, deadline, grace, may_leave, changes, room }).await
    }

    /// Runs it; any end but exit code 0 is trouble.
    ///
    /// # Errors
    /// Tells a failure from an unknown outcome.
    pub async fn succeed(&self, subject: Subject<'_>, limits: Limits) -> Result<Finished, Trouble> {
        self.succeed_at(&Place::Here, subject, limits).await
    }

    /// As [`Self::succeed`], where `place` says.
    ///
    /// # Errors
    /// Tells a failure from an unknown outcome, and from a host that cannot be reached.
    pub async fn succeed_at(&self, place: &Place, subject: Subject<'_>, limits: Limits) -> Result<Finished, Trouble> {
        place.judge(self.run_at(place, subject, limits).await)
    }
}

impl Place {
    /// Any end but exit code 0 is trouble.
    ///
    /// # Errors
    /// Tells a failure from an unknown outcome, and from a host that cannot be reached.
    pub fn judge(&self, finished: Result<Finished, String>) -> Result<Finished, Trouble> {
        let finished = finished.map_err(|why| match self {
            Self::Here => Trouble::Failed(why),
            Self::There { .. } => Trouble::Unreachable(why),
        })?;
        match finished.end {
            End::Exit(0) => Ok(finished),
            End::Exit(SSH_LOST) | End::Signal(_) | End::Deadline | End::Lost => Err(Trouble::Unknown(finished.words())),
            End::Exit(_) => Err(Trouble::Failed(finished.words())),
        }
    }
}

/// An instance that has everything which a template may name.
fn nobody() -> Result<Target, String> {
    let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
    let (host, zone) = ("localhost".to_owned(), Some("zone".to_owned()));
    Ok(Target { id, host, port: 1, zone, labels: BTreeMap::default() })
}

/// Where a program is, as `exec` would find it.
fn find(program: &str, path: &str) -> Result<PathBuf, String> {
    let executable = |file: &Path| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        let file = Path::new(program);
        return match (file.is_file(), executable(file)) {
            (_, true) => Ok(file.to_owned()),
            (true, false) => Err(format!("{program} is there, but this user cannot execute it; chmod +x it")),
            (false, false) => Err(format!("{program} is not there; install it or write its path")),
        };
    }
    let found = std::env::split_paths(path).map(|dir| dir.join(program)).find(|file| executable(file));
    found.ok_or_else(|| format!("{program} is in no directory of PATH; install it or write its absolute path"))
}
