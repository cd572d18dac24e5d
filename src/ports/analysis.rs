//! The port to what is measured: a check of the analysis, of two groups of instances.
//!
//! Imports: model. May not: hold an implementation; judge.

use futures::future::BoxFuture;

use crate::model::{Measurement, Target, Version};

/// Whom a measurement compares.
#[derive(Debug, Clone)]
pub struct Compared {
    /// On the new version and in rotation.
    pub touched: Vec<Target>,
    /// Not touched, and in rotation.
    pub untouched: Vec<Target>,
    /// The new version.
    pub version: Version,
    /// The version that was there before, if it was known and the same everywhere.
    pub previous: Option<Version>,
}

/// Measures. Never fails: what goes wrong is the measurement.
pub trait Analyst: Send + Sync {
    /// One measurement of the check of this name, with one deadline over all of it.
    fn measure<'a>(&'a self, check: &'a str, compared: &'a Compared) -> BoxFuture<'a, Measurement>;
}
