//! The port to hooks: programs that run at certain points of a deployment.
//!
//! Imports: model. May not: hold an implementation.

use futures::future::BoxFuture;

use crate::model::{EffectId, Span};

/// What is to run.
#[derive(Debug, Clone)]
pub struct HookOrder {
    /// Stable across crashes.
    pub effect: EffectId,
    /// The hook's name.
    pub hook: String,
    /// The longest that it may take.
    pub timeout: Span,
    /// What its environment says of the deployment: names without the prefix `ROLLOUT_`.
    pub facts: Vec<(&'static str, String)>,
}

/// Runs hooks. Dropping the future leaves no process behind.
pub trait HookRunner: Send + Sync {
    /// Runs it to its end.
    ///
    /// # Errors
    /// Fails with a sentence unless it succeeded in time.
    fn run<'a>(&'a self, order: &'a HookOrder) -> BoxFuture<'a, Result<(), String>>;
}
