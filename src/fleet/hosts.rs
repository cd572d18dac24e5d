//! Instances on hosts: the command driver's steps over ssh, with releases and units of systemd among them.
//!
//! Imports: model, os; its siblings. May not: know what a step does.

use std::path::PathBuf;

use super::CommandSettings;
use super::command::{Commands, Extras};
use super::release::Releases;
use super::systemd::Units;
use crate::os::program::Place;
use crate::os::ssh;

/// `[fleet] driver = "ssh"` or `"systemd"`.
#[derive(Debug, Clone, PartialEq)]
pub struct HostsSettings {
    /// Steps, `observe` and limits; where a release or a unit is, steps may be none.
    pub commands: CommandSettings,
    /// `[service] env`: the same instance of two environments, on one host, is two.
    pub env: String,
    /// Over ssh; `None` is here.
    pub ssh: Option<SshSettings>,
    /// `[update.release]`.
    pub release: Option<ReleaseSettings>,
    /// `[update.systemd]`.
    pub unit: Option<UnitSettings>,
}

/// `[update.ssh]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSettings {
    /// `host`: how ssh calls the instance's host, a template.
    pub host: String,
    /// The rest.
    pub options: ssh::Options,
}

/// `[update.release]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSettings {
    /// `source`: a directory or a .tar.gz here, a template.
    pub source: String,
    /// `path`: the base directory on the host, a template.
    pub path: String,
    /// `keep_releases`.
    pub keep: u32,
}

/// `[update.systemd]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSettings {
    /// `unit`, a template.
    pub unit: String,
    /// `scope = "user"`.
    pub user: bool,
    /// `sudo`: units are restarted by `sudo -n`.
    pub sudo: bool,
    /// `journal_lines`: how many of its last lines a failure shows.
    pub journal_lines: u32,
}

/// The driver, if what its settings name is there.
pub(super) fn build(settings: &HostsSettings) -> Result<Commands, String> {
    let HostsSettings { commands, env, ssh, release, unit } = settings.clone();
    let missing = |path: &PathBuf| !path.is_file();
    if let Some(SshSettings { options: ssh::Options { config, identity, .. }, .. }) = &ssh {
        for (key, path) in [("config", config), ("identity", identity)] {
            if let Some(path) = path.as_ref().filter(|path| missing(path)) {
                return Err(format!("[update.ssh] {key}: {} is not there; write the path of the file", path.display()));
            }
        }
    }
    let service = commands.service.clone();
    let place = match ssh {
        Some(SshSettings { host, options }) => Place::There { pool: ssh::Pool::new(options), host, env },
        None => Place::Here,
    };
    let release = release.map(|settings| Releases { settings, service: service.clone() });
    let unit = unit.map(|settings| Units { settings, service });
    Commands::with(commands, Extras { place, release, unit })
}
