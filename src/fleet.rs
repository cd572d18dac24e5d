//! Fleet drivers: one file each; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod command;
mod hosts;
mod process;
mod release;
mod systemd;

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;

use crate::model::Span;
use crate::os::extract::Extract;
use crate::os::file;
use crate::os::program::Environment;
use crate::ports::{FleetDriver, FleetError};

pub use hosts::{HostsSettings, ReleaseSettings, SshSettings, UnitSettings};
pub use process::stop_recorded;

const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Which driver, and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// Local processes.
    Process(ProcessSettings),
    /// Programs that know how: `systemctl`, `docker`, `ssh`, `ansible-playbook`.
    Command(CommandSettings),
    /// Instances on hosts: programs there over ssh, releases, units of systemd.
    Hosts(Box<HostsSettings>),
}

/// `[fleet] driver = "process"`.
#[derive(Clone, PartialEq)]
pub struct ProcessSettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[update] start`: argv of the instance's process, each element a template.
    pub start: Vec<String>,
    /// `[update] env`: for the process, besides the engine's own environment.
    pub env: Environment,
    /// Variables that the configuration reads by `${VAR}`: of these a process has only what `env` gives it.
    pub withheld: Vec<String>,
    /// `[update] stop_timeout`: from SIGTERM to SIGKILL.
    pub stop_timeout: Span,
    /// `[fleet] dir`: where process records and logs are kept.
    pub dir: PathBuf,
}

/// Without what may come from the environment.
impl fmt::Debug for ProcessSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSettings").field("service", &self.service).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// `[fleet] driver = "command"`. Every argv has templates as elements.
#[derive(Clone, PartialEq)]
pub struct CommandSettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[update] observe`: prints the version that runs.
    pub observe: Vec<String>,
    /// Where in its output the version is.
    pub version: Extract,
    /// `[update.observe] not_running`: exit codes of `observe` that say that nothing runs.
    pub not_running: Vec<u32>,
    /// `[update] stop`, `command` and `start`, in this order, as far as they are given.
    pub steps: Vec<Step>,
    /// `[update] env`: for all of them.
    pub env: Environment,
    /// `[update] timeout`: for all steps of one update together.
    pub timeout: Span,
    /// `[update] stop_timeout`: from SIGTERM to SIGKILL of a step that is out of time.
    pub stop_timeout: Span,
    /// `[update] observe_timeout`.
    pub observe_timeout: Span,
    /// `[update] idempotent`: a step whose outcome is unknown may be run again.
    pub idempotent: bool,
    /// `[fleet] dir`: where it is written down how far an update has come.
    pub dir: PathBuf,
}

/// Without what may come from the environment.
impl fmt::Debug for CommandSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSettings").field("service", &self.service).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// One step of an update.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// Its key: `stop`, `command` or `start`.
    pub name: &'static str,
    /// Program and arguments.
    pub argv: Vec<String>,
}

/// Without what may come from the environment.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Settings {
    fn dir(&self) -> &Path {
        match self {
            Self::Process(settings) => &settings.dir,
            Self::Command(settings) => &settings.dir,
            Self::Hosts(settings) => &settings.commands.dir,
        }
    }
}

/// Makes what the driver keeps its records in. To be called before `build` by whoever is going to change the fleet.
///
/// # Errors
/// Fails with a sentence if it cannot be made or written: later that would fail instance after instance.
pub fn prepare(settings: &Settings) -> Result<(), String> {
    let dir = settings.dir();
    let path = dir.display();
    file::create_dir(dir).map_err(|e| format!("[fleet] dir: cannot make {path}: {e}"))?;
    let mode = std::fs::metadata(dir).map_err(|e| format!("[fleet] dir: {path}: {e}"))?.permissions().mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        let why = "everybody can replace the records of what runs";
        return Err(format!("[fleet] dir: {why} in {path} (mode {mode:04o}); look who did, then run `chmod o-w {path}`"));
    }
    rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        let remedy = format!("for a group of operators, its owner can run `chgrp GROUP {path} && chmod 2770 {path}`");
        format!("[fleet] dir: {path} cannot be written: {}; {remedy}", io::Error::from(e))
    })
}

/// The driver for `settings`.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a template that does not render, a program that is not there).
pub fn build(settings: &Settings) -> Result<Arc<dyn FleetDriver>, String> {
    match settings {
        Settings::Process(settings) => Ok(Arc::new(process::Processes::new(settings.clone())?)),
        Settings::Command(settings) => Ok(Arc::new(command::Commands::new(settings.clone())?)),
        Settings::Hosts(settings) => Ok(Arc::new(hosts::build(settings)?)),
    }
}

/// Runs what touches disk and `/proc` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FleetError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| FleetError::Unknown(format!("interrupted: {e}; the engine is shutting down")))
}
