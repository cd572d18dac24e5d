//! The port to an instance's health.
//!
//! Imports: model. May not: hold an implementation.

use futures::future::BoxFuture;

use crate::model::{Sample, Target, Version, VipStats};

/// Probes one instance once. Never fails: what goes wrong is the sample's result.
pub trait Prober: Send + Sync {
    /// One probe with one deadline over connect, headers and body. A pass needs `expect`, if given, to be reported.
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample>;

    /// Whether it has begun after an update, where that is asked apart from its health: until it has, `probe` says nothing
    /// of it. `None` where it is not asked.
    fn started<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Option<Sample>> {
        Box::pin(async { None })
    }
}

/// Requests through the balancer at a steady rate for the length of a run: the proof that nothing failed.
pub trait VipProber: Send + Sync {
    /// Begins. Beginning twice is once.
    fn start(&self);

    /// What has been counted so far; `None` before the beginning.
    fn stats(&self) -> Option<VipStats>;

    /// The latest failures in words, those not handed out yet.
    fn failures(&self) -> Vec<String>;

    /// Sends nothing more, waits for what is under way, and returns the count.
    fn stop(&self) -> BoxFuture<'_, Option<VipStats>>;
}
