//! The port to the journal: durable, ordered, without gaps.
//!
//! Imports: event, model. May not: hold an implementation.

use crate::event::Event;
use crate::model::{DeploymentId, Timestamp};

/// Why the journal could not.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store refused or failed; what was to be written is not.
    #[error("journal {path}: {reason}")]
    Store {
        /// The file.
        path: String,
        /// Why, in words.
        reason: String,
    },
    /// The events do not continue what is stored.
    #[error("journal of {deployment}: event {got} cannot follow {last}")]
    Gap {
        /// Whose.
        deployment: DeploymentId,
        /// The last stored position, 0 if none.
        last: u64,
        /// The position offered.
        got: u64,
    },
    /// Another engine has taken the lease since.
    #[error("the lease is lost: this engine holds number {ours}, another has taken number {newest}")]
    Fenced {
        /// Ours; 0 if we never took one.
        ours: u64,
        /// The newest, or 0 if its record is gone.
        newest: u64,
    },
    /// A stored record cannot be read.
    #[error("journal of {deployment}: record {seq} cannot be read: {reason}")]
    Damaged {
        /// Whose.
        deployment: DeploymentId,
        /// Which record.
        seq: u64,
        /// Why, in words.
        reason: String,
    },
    /// A stored record is of a format that this program does not know.
    #[error(
        "journal of {deployment}: record {seq} was written by a newer rollout (format {format}, this one knows {known}): {reason}; \
         look with that one"
    )]
    Newer {
        /// Whose.
        deployment: DeploymentId,
        /// Which record.
        seq: u64,
        /// Its format.
        format: u32,
        /// The newest one known here.
        known: u32,
        /// What is not understood.
        reason: String,
    },
    /// What the history says of a deployment cannot be trusted.
    #[error("journal of {deployment}: {reason}")]
    Line {
        /// Whose.
        deployment: DeploymentId,
        /// Why, in words.
        reason: String,
    },
}

impl JournalError {
    /// The deployment whose history is damaged.
    pub const fn damaged(&self) -> Option<&DeploymentId> {
        match self {
            Self::Damaged { deployment, .. } | Self::Line { deployment, .. } => Some(deployment),
            _ => None,
        }
    }
}

/// The deployments of a service, as far as their history can be trusted.
#[derive(Debug, Default)]
pub struct Past {
    /// Those that are whole, newest first.
    pub rows: Vec<DeploymentRow>,
    /// What is wrong with the others.
    pub damaged: Vec<JournalError>,
}

impl Past {
    /// The newest deployment.
    ///
    /// # Errors
    /// Fails if one that is as new, or newer, is damaged: then nobody knows how it stands.
    pub fn latest(self) -> Result<Option<DeploymentRow>, JournalError> {
        let newest = self.rows.into_iter().next();
        let number = newest.as_ref().map_or(0, |row| row.id.number());
        let newer = self.damaged.into_iter().find(|error| error.damaged().is_none_or(|id| id.number() > number));
        newer.map_or(Ok(newest), Err)
    }
}

/// One deployment in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRow {
    /// Which.
    pub id: DeploymentId,
    /// To which version.
    pub version: String,
    /// The status as of the last event, one of the contract's words.
    pub status: String,
    /// By whom.
    pub started_by: String,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Stores events. All calls block for as long as the disk takes: not to be made on a thread that must not wait.
pub trait Journal: Send + Sync {
    /// The next free id of the service.
    ///
    /// # Errors
    /// Fails if the store does.
    fn next_id(&self) -> Result<DeploymentId, JournalError>;

    /// Stores the events of one turn, all or none, durably, together with the deployment's row in the history.
    ///
    /// # Errors
    /// Fails if they do not continue the stored ones without a gap, or if the store does; then none is stored.
    fn append(&self, events: &[Event], row: &DeploymentRow) -> Result<(), JournalError>;

    /// Proves that events could be stored now, by writing what changes nothing.
    ///
    /// # Errors
    /// Fails as `append` would.
    fn check_writable(&self) -> Result<(), JournalError>;

    /// The events of a deployment, in order.
    ///
    /// # Errors
    /// Fails if the store does or a record is damaged.
    fn read(&self, deployment: &DeploymentId) -> Result<Vec<Event>, JournalError>;

    /// All deployments, newest first.
    ///
    /// # Errors
    /// Fails if the store does, or if what it says of one of them cannot be trusted.
    fn list(&self) -> Result<Vec<DeploymentRow>, JournalError>;

    /// All deployments that can be trusted, and what is wrong with the others.
    ///
    /// # Errors
    /// Fails if the store does.
    fn past(&self) -> Result<Past, JournalError> {
        Ok(Past { rows: self.list()?, damaged: Vec::new() })
    }
}
