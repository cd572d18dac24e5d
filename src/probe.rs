//! Probes: one file a kind; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod http;
mod vip;

use std::sync::Arc;

use crate::model::Span;
use crate::ports::{Clock, Prober, VipProber};

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

/// The prober for `settings`; `clock` stamps its samples.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a path that is none, a header that is none).
pub fn http(settings: &HttpSettings, clock: Clock) -> Result<Arc<dyn Prober>, String> {
    Ok(Arc::new(http::HttpProber::new(settings.clone(), clock)?))
}

/// The probe through the balancer for `settings`. It must be started within a tokio runtime.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a URL that is none, a rate out of its range).
pub fn vip(settings: &VipSettings) -> Result<Arc<dyn VipProber>, String> {
    Ok(Arc::new(vip::VipProbe::new(settings)?))
}
