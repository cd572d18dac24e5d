//! Fleet drivers: one file each; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod process;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::Span;
use crate::ports::FleetDriver;

pub use process::stop_recorded;

/// Which driver, and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// Local processes.
    Process(ProcessSettings),
}

/// `[fleet] driver = "process"`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[update] start`: argv of the instance's process, each element a template.
    pub start: Vec<String>,
    /// `[update] stop_timeout`: from SIGTERM to SIGKILL.
    pub stop_timeout: Span,
    /// `[fleet] dir`: where process records and logs are kept.
    pub dir: PathBuf,
}

/// Makes what the driver keeps its records in. To be called before `build` by whoever is going to change the fleet.
///
/// # Errors
/// Fails with a sentence if it cannot be made.
pub fn prepare(settings: &Settings) -> Result<(), String> {
    match settings {
        Settings::Process(settings) => process::prepare(settings),
    }
}

/// The driver for `settings`.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a template that does not render).
pub fn build(settings: &Settings) -> Result<Arc<dyn FleetDriver>, String> {
    match settings {
        Settings::Process(settings) => Ok(Arc::new(process::Processes::new(settings.clone())?)),
    }
}
