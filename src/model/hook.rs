//! `[hooks]`: programs that run at certain points of a deployment.
//!
//! Imports: model. May not: run anything.

use serde::{Deserialize, Serialize};

use super::time::Span;

/// One hook, without its command: that is the configuration's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name: that of its table.
    pub name: String,
    /// When it runs.
    pub at: HookAt,
    /// What its failure means.
    pub class: HookClass,
    /// The longest that one try may take.
    pub timeout: Span,
    /// How often it is tried again.
    pub retries: u32,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookAt {
    /// After somebody began it, before anything is touched.
    BeforeDeployment,
    /// Before the instances of a batch are taken.
    BeforeBatch,
    /// After the bake of a batch.
    AfterBatch,
    /// As a step of a canary that names it.
    Step,
    /// Before anything goes back.
    BeforeRollback,
    /// After everything went back.
    AfterRollback,
    /// After all instances are updated, before the check at the end; one of class cleanup whatever happened.
    AfterDeployment,
}

impl HookAt {
    /// All of them, in the order of a deployment, with their words.
    pub const ALL: [(&'static str, Self); 7] = [
        ("before-deployment", Self::BeforeDeployment),
        ("before-batch", Self::BeforeBatch),
        ("after-batch", Self::AfterBatch),
        ("step", Self::Step),
        ("before-rollback", Self::BeforeRollback),
        ("after-rollback", Self::AfterRollback),
        ("after-deployment", Self::AfterDeployment),
    ];

    /// The word, as in the configuration.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, at)| *at == self).map_or("", |(word, _)| word)
    }
}

/// What the failure of a hook means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookClass {
    /// The deployment does not go on: `on_failure` says what happens. In a rollback it is listed like the others.
    Gate,
    /// It is listed, and decides nothing.
    BestEffort,
    /// As best-effort, before the check at the end of every deployment that began, however it went.
    Cleanup,
}
