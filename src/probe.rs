//! Probes: one file a kind; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod http;
mod vip;

use std::sync::Arc;

use crate::model::{Span, Timestamp};
use crate::ports::Prober;

pub use vip::{VipFailure, VipProbe};

/// `[health]`, the part that the prober needs.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSettings {
    /// `path`, `/health` by default.
    pub path: String,
    /// `timeout`: one deadline over connect, headers and body.
    pub timeout: Span,
    /// `status`: accepted statuses as inclusive ranges, 200–299 by default.
    pub status: Vec<(u16, u16)>,
    /// `version`: where the instance reports its version.
    pub version: Option<VersionSource>,
}

/// Where an instance reports its version.
#[derive(Debug, Clone, PartialEq)]
pub enum VersionSource {
    /// `version = { header = "X-Version" }`.
    Header(String),
    /// `version = { json = "/version" }`: a JSON pointer into the body.
    Json(String),
}

/// `[vip]`.
#[derive(Debug, Clone, PartialEq)]
pub struct VipSettings {
    /// `url`: one or several, requested in turn.
    pub urls: Vec<String>,
    /// `rate`: requests per second, 1 to 10,000. Every other request opens a connection of its own.
    pub rate: u32,
}

/// The prober for `settings`; `now` stamps its samples.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a path that is none, a header that is none).
pub fn http(settings: &HttpSettings, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Result<Arc<dyn Prober>, String> {
    Ok(Arc::new(http::HttpProber::new(settings.clone(), Box::new(now))?))
}
