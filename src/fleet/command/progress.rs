//! How far an update has come, kept so that another engine goes on behind what is done.
//!
//! Imports: model, os. May not: run anything.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{EffectId, InstanceId};
use crate::os::file;

/// More than any file of ours has.
const FILE_MAX: u64 = 64 * 1024;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Which order.
    pub(super) effect: EffectId,
    /// Steps that succeeded.
    pub(super) done: usize,
    /// The next one has been begun.
    pub(super) begun: bool,
}

/// `DIR/INSTANCE.command.json`. An instance's id is safe as a file name.
pub(super) fn path(dir: &Path, instance: &InstanceId) -> PathBuf {
    dir.join(format!("{instance}.command.json"))
}

impl Progress {
    /// What is stored, if anything.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let fault = |why: String| format!("{} cannot be read: {why}; remove the file and try again", path.display());
        match file::read(path, FILE_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| fault(e.to_string())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(fault(e.to_string())),
        }
    }

    /// Replaces what is stored.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let stored = serde_json::to_vec(self).map_err(io::Error::from).and_then(|bytes| file::write_atomic(path, &bytes));
        stored.map_err(|e| format!("cannot write {}: {e}", path.display()))
    }
}
