//! Probes: one file a kind; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod command;
mod http;
mod judge;
mod tcp;
mod vip;

use std::fmt;
use std::sync::Arc;

use crate::model::Span;
use crate::os::extract::Extract;
use crate::os::program::Program;
use crate::ports::{Clock, Prober, VipProber};

/// `[health]`, the part that the prober needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `probe`, and what that kind needs.
    pub probe: Kind,
    /// `version = { command = […] }`: a program tells the version.
    pub version: Option<VersionSettings>,
    /// `timeout`: one deadline over all of one probe, from connect to the last byte, and the version's program.
    pub timeout: Span,
}

impl Settings {
    /// Whether a probe learns the version.
    pub fn tells_version(&self) -> bool {
        self.version.is_some()
            || match &self.probe {
                Kind::Http(http) => http.version.is_some(),
                Kind::Exec(exec) => exec.version.is_some(),
                Kind::Tcp => false,
            }
    }
}

/// How an instance is looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `"http"`: a request, judged by its status.
    Http(HttpSettings),
    /// `"tcp"`: a connection.
    Tcp,
    /// `"exec"`: a program, judged by its exit code.
    Exec(ExecSettings),
}

/// `probe = "http"`.
#[derive(Clone, PartialEq)]
pub struct HttpSettings {
    /// `path`, `/health` by default.
    pub path: String,
    /// `status`: accepted statuses as inclusive ranges, 200–299 by default.
    pub status: Vec<(u16, u16)>,
    /// `version`: where in the answer it is.
    pub version: Option<HttpVersion>,
}

/// Without what may come from the environment.
impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Where an answer has the version.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpVersion {
    /// `version = { header = "X-Version" }`.
    Header(String),
    /// `version = { json = "/version" }` or `{ regex = "…" }`: in the body.
    Body(Extract),
}

/// `probe = "exec"`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecSettings {
    /// `command` and `env`.
    pub program: Program,
    /// `version = { json = "/version" }` or `{ regex = "…" }`: in what it prints.
    pub version: Option<Extract>,
}

/// `version = { command = […] }`.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionSettings {
    /// What to run.
    pub program: Program,
    /// Where in its output the version is.
    pub extract: Extract,
}

/// `[vip]`.
#[derive(Clone, PartialEq)]
pub struct VipSettings {
    /// `url`: one or several, requested in turn.
    pub urls: Vec<String>,
    /// `rate`: requests per second, 1 to 10,000. Every other request opens a connection of its own.
    pub rate: u32,
}

/// Without what may come from the environment.
impl fmt::Debug for VipSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VipSettings").field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// The prober for `settings`; `clock` stamps its samples.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a path that is none, a header that is none, a program that is not
/// there).
pub fn build(settings: &Settings, clock: Clock) -> Result<Arc<dyn Prober>, String> {
    let look: Box<dyn judge::Look> = match &settings.probe {
        Kind::Http(http) => Box::new(http::HttpProber::new(http.clone())?),
        Kind::Tcp => Box::new(tcp::TcpProber),
        Kind::Exec(exec) => Box::new(command::ExecProber::new(exec.clone(), settings.timeout)?),
    };
    let version = settings.version.as_ref().map(command::VersionCommand::new).transpose()?;
    Ok(Arc::new(judge::Judge::new(look, version, (settings.timeout, clock))))
}

/// The probe through the balancer for `settings`. It must be started within a tokio runtime.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a URL that is none, a rate out of its range).
pub fn vip(settings: &VipSettings) -> Result<Arc<dyn VipProber>, String> {
    Ok(Arc::new(vip::VipProbe::new(settings)?))
}
