//! What is kept of each local process, so that it is found again by another engine.
//!
//! Imports: model, os. May not: signal or start anything.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{EffectId, InstanceId, Version};
use crate::os::file;
use crate::os::process::{self, ProcessId};

/// In the environment of every process that we start: the order that it was started by.
pub(super) const EFFECT_VARIABLE: &str = "ROLLOUT_EFFECT";
/// In the environment of every process that we start: its record, which tells equal orders of two fleets apart.
pub(super) const RECORD_VARIABLE: &str = "ROLLOUT_RECORD";

/// More than any record has.
const RECORD_MAX: u64 = 64 * 1024;

/// One process, as ordered and as started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The version that it was started as.
    pub(super) version: Version,
    /// The order that it was started by.
    pub(super) effect: EffectId,
    /// Which process; `None` while it is being started. If that is what a crash left behind, the process, if there is
    /// one, is found by the marks in its environment.
    pub(super) process: Option<ProcessId>,
}

/// What of a record is still there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The process itself.
    Running(ProcessId),
    /// The process is gone, but others of its group go on.
    Remains {
        /// The group.
        group: i32,
    },
    /// Nothing.
    Gone,
}

/// Where the record and the log of an instance are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `DIR/INSTANCE.json`.
    pub(super) record: PathBuf,
    /// `DIR/INSTANCE.log`.
    pub(super) log: PathBuf,
}

impl Place {
    /// In `dir`, which must be absolute. An instance's id is safe as a file name.
    pub(super) fn of(dir: &Path, instance: &InstanceId) -> Self {
        Self { record: dir.join(format!("{instance}.json")), log: dir.join(format!("{instance}.log")) }
    }

    /// The record, if there is one.
    pub(super) fn read(&self) -> Result<Option<Record>, String> {
        read(&self.record)
    }

    /// Replaces the record.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        file::write_atomic(&self.record, &serde_json::to_vec_pretty(record)?)
    }
}

/// The record in the file, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<Record>, String> {
    let fault = |why: String| {
        let path = path.display();
        format!("the process record {path} cannot be read: {why}; end that process by hand, remove the file, try again")
    };
    match file::read(path, RECORD_MAX) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| fault(e.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fault(e.to_string())),
    }
}

impl Record {
    /// What the environment of the process carries, each `NAME=value`.
    fn marks(&self, path: &Path) -> [String; 2] {
        [format!("{EFFECT_VARIABLE}={}", self.effect), format!("{RECORD_VARIABLE}={}", path.display())]
    }

    /// Looks for what was started. A process that merely has the same pid is not taken for it. Reads all of `/proc`
    /// unless the process itself is there.
    pub(super) fn find(&self, path: &Path) -> Found {
        match &self.process {
            Some(process) if process::alive(process) => Found::Running(process.clone()),
            Some(process) if process::group_lives(process.pid) && process::group_is_marked(process.pid, &self.marks(path)) => {
                Found::Remains { group: process.pid }
            }
            Some(_) => Found::Gone,
            None => process::marked_leader(&self.marks(path)).map_or(Found::Gone, Found::Running),
        }
    }
}
