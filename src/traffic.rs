//! Traffic drivers: one file each; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod haproxy;

use std::sync::Arc;

use crate::model::Span;
use crate::ports::TrafficDriver;

/// Which driver, and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// HAProxy's runtime API.
    Haproxy(HaproxySettings),
}

/// `[traffic] driver = "haproxy"`.
#[derive(Debug, Clone, PartialEq)]
pub struct HaproxySettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[traffic] sockets`: each `unix:/path` (or a plain absolute path) or `host:port`. Every one must confirm.
    pub sockets: Vec<String>,
    /// `[traffic] backend`: the backend's name.
    pub backend: String,
    /// `[traffic] server`: template of a server's name, `{{ instance.id }}` by default.
    pub server: String,
    /// `[traffic] timeout`: for one command, connection included. 2 s by default.
    pub timeout: Span,
}

/// The driver for `settings`.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (an address that is none, a template that does not render).
pub fn build(settings: &Settings) -> Result<Arc<dyn TrafficDriver>, String> {
    match settings {
        Settings::Haproxy(settings) => Ok(Arc::new(haproxy::Haproxy::new(settings.clone())?)),
    }
}
