//! The port to an instance's health.
//!
//! Imports: model. May not: hold an implementation.

use futures::future::BoxFuture;

use crate::model::{Sample, Target, Version};

/// Probes one instance once. Never fails: what goes wrong is the sample's result.
pub trait Prober: Send + Sync {
    /// One probe with one deadline over connect, headers and body. A pass needs `expect`, if given, to be reported.
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample>;
}
