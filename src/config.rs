//! Reads `rollout.toml`: every key of the contract, typed, with all faults at once and each at its place.
//!
//! Imports: the settings of fleet, traffic and probe; model, os. May not: reach anything that the file names; print a value
//! that came from the environment.
//!
//! `document` makes a tree of values with places (the file, `--set` on top, `${VAR}` filled in), `section` takes typed
//! keys out of a table, one file for each group of tables says which keys there are, `check` looks at what must hold
//! between them, and `fault` collects and shows what is wrong.

mod analysis;
mod argv;
mod caddy;
mod calendar;
mod check;
mod discover;
mod docker;
mod document;
mod excerpt;
mod fault;
mod fleet;
mod haproxy;
mod hooks;
mod hosts;
mod limit;
mod nginx;
mod probe;
mod redactor;
mod rules;
mod schema;
mod secret;
mod section;
mod shape;
mod source;
mod ssh;
mod statuses;
mod steps;
mod surroundings;
mod template;
mod tls;
mod traffic;
mod update;
mod value;
mod vip;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use indexmap::IndexMap;

use self::fault::{Faults, Place};
use self::rules::Rules;
use self::secret::Secrets;
use self::section::Section;
use crate::hook::HookSettings;
use crate::model::{Count, Policy, Target};
use crate::os::trust::Group;
use crate::probe::VipSettings;

pub use self::calendar::{Calendar, Closed, WINDOWS};
pub use self::fault::ConfigErrors;
pub use self::fleet::{Discover, is_host};
pub use self::redactor::Redactor;
pub use self::schema::{keys, schema, undescribed};
pub use self::source::Source;
pub use self::surroundings::{ColorDepth, Console, EnvSettings, OnHangup, Service};

/// A configuration without a fault, ready for the composition root.
pub struct Config {
    /// What it was read from, to be frozen with a deployment.
    pub source: Source,
    /// `[service]`.
    pub service: Service,
    /// The instances, in the order of the file; those of `discover` are not among them until they are asked for.
    pub targets: Vec<Target>,
    /// Where `strategy.max_surge` may start extra capacity.
    spares: Vec<Target>,
    max_surge: Count,
    /// `[fleet.discover]`: who else is asked for instances when a plan is made.
    pub discover: Option<Discover>,
    /// `[fleet]` and `[update]`, for the fleet's driver.
    pub fleet: crate::fleet::Settings,
    /// `[traffic]`.
    pub traffic: crate::traffic::Settings,
    /// `[health]`, for the prober.
    pub health: crate::probe::Settings,
    /// `[vip]`, if given.
    pub vip: Option<VipSettings>,
    /// `[analysis]`, for the sources, if given.
    pub analysis: Option<crate::analysis::Settings>,
    /// `[hooks]`, for their runner.
    pub hooks: Vec<HookSettings>,
    /// `[windows]` and `[freeze]`: when a deployment may begin.
    pub calendar: Calendar,
    policy: Policy,
    /// `[journal] dir`, absolute.
    pub journal_dir: PathBuf,
    /// `[journal] keep`: how many ended deployments stay in it.
    pub journal_keep: u32,
    /// `[console]`.
    pub console: Console,
    /// `[env.NAME]`.
    pub envs: IndexMap<String, EnvSettings>,
    /// What is legal but probably not meant, as `file:line:column key → what`.
    pub warnings: Vec<String>,
    /// Takes values of the environment out of whatever is shown.
    pub redactor: Redactor,
    /// The groups whose members could change the file that it was read from.
    pub groups: Vec<Group>,
}

impl Config {
    /// The rules that a plan is made with.
    pub fn policy(&self) -> Policy {
        self.policy.clone()
    }

    /// Where extra capacity is started: as many places as `strategy.max_surge` says for this fleet.
    pub fn spares(&self) -> &[Target] {
        let surge = self.max_surge.ceil_of(u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
        let surge = usize::try_from(surge).unwrap_or(usize::MAX).min(self.spares.len());
        self.spares.get(..surge).unwrap_or_default()
    }

    /// `[env.NAME]` of the service's own environment.
    pub fn env(&self) -> Option<&EnvSettings> {
        self.envs.get(&self.service.env)
    }
}

/// Shows nothing that could have come from the environment.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Config");
        shown.field("file", &self.source.name()).field("service", &self.service).field("instances", &self.targets.len());
        shown.finish_non_exhaustive()
    }
}

/// Why there is no file to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nothing names one and there is none here.
    #[error("there is no rollout.toml in {}; name a file with --config or ROLLOUT_CONFIG, or begin with rollout init or rollout demo", .0.display())]
    None(PathBuf),
    /// The file that was named is not there.
    #[error("{by} names {}, which is not there", path.display())]
    Missing {
        /// What names it: `--config` or `ROLLOUT_CONFIG`.
        by: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// The file to read: `--config`, else `ROLLOUT_CONFIG`, else `rollout.toml` in `cwd`, and nothing else.
///
/// # Errors
/// Fails if the file that is named is not there, or if none is named and there is none in `cwd`.
pub fn find(flag: Option<&Path>, variable: Option<&OsStr>, cwd: &Path) -> Result<PathBuf, FindError> {
    let named = |by: &'static str, path: &Path| {
        // As given if it is relative, so that messages show what was asked for.
        if cwd.join(path).exists() { Ok(path.to_owned()) } else { Err(FindError::Missing { by, path: path.to_owned() }) }
    };
    if let Some(path) = flag {
        return named("--config", path);
    }
    if let Some(path) = variable.filter(|path| !path.is_empty()) {
        return named("ROLLOUT_CONFIG", Path::new(path));
    }
    let here = Path::new("rollout.toml");
    if cwd.join(here).exists() { Ok(here.to_owned()) } else { Err(FindError::None(cwd.to_owned())) }
}

/// The names that a pattern like `web-[01:20]` stands for, in order.
///
/// # Errors
/// Fails with what to write instead, to follow the pattern itself.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    hosts::expand(pattern, hosts::LARGEST_FLEET)
}

/// Reads a file. `sets` are `key=value` that go on top of it; `env` answers for the environment.
///
/// # Errors
/// Fails with every fault that the file and the `sets` have, and before anything is read if another user could have written
/// it: see [`crate::os::trust`].
pub fn load(path: &Path, sets: &[String], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    let (text, groups) = source::read(path)?;
    Ok(Config { groups, ..read(path, &text, sets, env)? })
}

/// Reads a text as the file at `path`, which need not exist: paths in it are relative to that file's directory.
///
/// # Errors
/// Fails with every fault that the text and the `sets` have.
pub fn read(path: &Path, text: &str, sets: &[String], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    let source = Source::new(&path.display().to_string(), source::without_mark(text).to_owned(), sets);
    let faults = Faults::default();
    let secrets = Secrets::new(env);
    let parts = document::document(&source, &secrets, &faults).and_then(|document| {
        let mut root = Section::root(document, &faults);
        let parts = Parts::read(&mut root, path, &secrets, &faults);
        root.finish();
        parts
    });
    let (source, warnings) = faults.finish(source)?;
    match parts {
        Some(parts) => Ok(parts.config(source, warnings, secrets.redactor())),
        None => Err(ConfigErrors::of_file(source.name(), "cannot be understood".to_owned())),
    }
}

/// Everything read, before it is known whether anything is wrong with it.
struct Parts {
    service: Service,
    targets: Vec<Target>,
    spares: Vec<Target>,
    max_surge: Count,
    discover: Option<Discover>,
    fleet: crate::fleet::Settings,
    traffic: crate::traffic::Settings,
    health: crate::probe::Settings,
    vip: Option<VipSettings>,
    analysis: Option<crate::analysis::Settings>,
    hooks: Vec<HookSettings>,
    calendar: Calendar,
    policy: Policy,
    journal_dir: PathBuf,
    journal_keep: u32,
    console: Console,
    envs: IndexMap<String, EnvSettings>,
}

impl Parts {
    /// Reads every table; `None` only if a fault was recorded that leaves a hole.
    fn read(root: &mut Section<'_>, path: &Path, secrets: &Secrets<'_>, faults: &Faults) -> Option<Self> {
        let service = surroundings::read_service(root);
        let mut fleet = fleet::read_fleet(root, &service.name, faults);
        let update = update::read(root, fleet.driver);
        let traffic = traffic::read(root, &service.name);
        let drain = rules::read_drain(root);
        let mut section = root.table("health");
        let health = rules::read_health(&mut section);
        let base = base_of(path);
        let around = probe::Around { service: &service.name, base: &base, asides: std::mem::take(&mut fleet.asides) };
        let limits = (health.timeout.value, health.max_latency.as_ref().map(|most| most.value));
        let probe = probe::read(&mut section, around, limits);
        section.finish();
        let vip = vip::read(root, &base);
        let around = analysis::Around { service: &service.name, base: &base, traffic: traffic.as_ref(), vip: vip.is_some() };
        let analysis = analysis::read(root, &around);
        let strategy = rules::read_strategy(root);
        let rollback = rules::read_rollback(root, &strategy);
        let hooks = hooks::read(root, &service.name);
        let calendar = calendar::read(root);
        let journal = surroundings::read_journal(root);
        let envs = surroundings::read_envs(root, &service);
        let console = surroundings::read_console(root);
        surroundings::refuse_later(root);

        steps::check(&strategy, root.holds("analysis"), faults);
        hooks::check(&hooks, &strategy.steps, faults);
        let rules = Rules { drain, health, strategy, rollback };
        let total = u32::try_from(fleet.targets.len()).ok().filter(|total| fleet.whole && *total > 0 && fleet.discover.is_none());
        let spares = u32::try_from(fleet.spares.len()).unwrap_or(u32::MAX);
        check::check(&rules, &update, total.map(|total| (total, spares)), faults);
        if total.is_some() && fleet.targets.iter().all(|target| target.zone.is_none()) {
            check::without_zones(&rules.strategy, faults);
        }
        let journal_keep = journal.keep;
        let journal_dir = match journal.dir {
            Some(dir) => base.join(dir),
            None => state_home(secrets, faults)?.join("rollout"),
        };
        let dir = match fleet.dir {
            Some(dir) => base.join(dir),
            None => journal_dir.join("fleet").join(&service.name).join(&service.env),
        };
        let max_surge = rules.strategy.max_surge.value;
        let (judged, analysis) = analysis.unzip();
        let (of_policy, hooks) = hooks.parts();
        let policy = Policy { hooks: of_policy, analysis: judged, ..rules.policy(update.timeout.value, probe.tells_version()) };
        let settings = update.settings(&service, (&base, dir), secrets.names())?;
        let (targets, spares, discover, health) = (fleet.targets, fleet.spares, fleet.discover, probe);
        Some(Self {
            service,
            targets,
            spares,
            max_surge,
            discover,
            fleet: settings,
            traffic: traffic?,
            health,
            vip,
            analysis,
            hooks,
            calendar,
            policy,
            journal_dir,
            journal_keep,
            console,
            envs,
        })
    }

    fn config(self, source: Source, warnings: Vec<String>, redactor: Redactor) -> Config {
        let Self { service, targets, spares, max_surge, discover, fleet, traffic, health, vip, .. } = self;
        let Self { analysis, hooks, calendar, policy, .. } = self;
        let Self { journal_dir, journal_keep, console, envs, .. } = self;
        Config {
            source,
            service,
            targets,
            spares,
            max_surge,
            discover,
            fleet,
            traffic,
            health,
            vip,
            analysis,
            hooks,
            calendar,
            policy,
            journal_dir,
            journal_keep,
            console,
            envs,
            warnings,
            redactor,
            groups: Vec::new(),
        }
    }
}

/// The directory of the file: where its relative paths begin.
fn base_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_no_working_directory| path.to_owned());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// `$XDG_STATE_HOME`, else where the standard puts it.
fn state_home(secrets: &Secrets<'_>, faults: &Faults) -> Option<PathBuf> {
    let given = secrets.plain("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let found = given.or_else(|| etcetera::base_strategy::Xdg::new().ok()?.state_dir());
    if found.is_none() {
        faults.add(Place::Nowhere, "journal.dir", "is not given and there is no home directory; write journal.dir");
    }
    found
}
