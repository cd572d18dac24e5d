//! Probes: one file a kind; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod command;
mod grpc;
mod http;
mod judge;
mod tcp;
mod vip;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{InstanceId, Span, Target};
use crate::os::extract::Extract;
use crate::os::program::Program;
use crate::os::tls::{self, Tls};
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
    /// `max_latency`: a slower pass is a miss.
    pub max_latency: Option<Span>,
    /// Where an instance is asked, if not at its own address.
    pub places: Places,
    /// `[health.tls]`: for the kinds that can.
    pub tls: Option<tls::Settings>,
    /// `[health.startup]`: until this has passed once after an update, the other is not asked.
    pub startup: Option<Startup>,
}

/// `[health.startup]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Startup {
    /// How it is asked.
    pub probe: Kind,
    /// Where.
    pub places: Places,
}

/// Where instances are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `port` and `host` of `[health]`.
    pub all: Aside,
    /// `[[fleet.instance]] health`.
    pub instances: BTreeMap<InstanceId, Aside>,
}

/// Where an instance is asked instead of at its own address. What is not given is as it is for the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    /// `path`, where there is one.
    pub path: Option<String>,
    /// `port`.
    pub port: Option<u16>,
    /// `host`: whom the request is for; the connection goes to the instance.
    pub host: Option<String>,
}

/// Where one instance is asked.
struct Place<'a> {
    path: Option<&'a str>,
    port: u16,
    host: Option<&'a str>,
}

impl Places {
    fn of<'a>(&'a self, target: &Target) -> Place<'a> {
        let own = self.instances.get(&target.id);
        let text = |of: fn(&Aside) -> Option<&str>| own.and_then(of).or_else(|| of(&self.all));
        Place {
            path: text(|aside| aside.path.as_deref()),
            port: own.and_then(|aside| aside.port).or(self.all.port).unwrap_or(target.port),
            host: text(|aside| aside.host.as_deref()),
        }
    }
}

impl Settings {
    /// With nothing but how an instance is asked, and for how long.
    pub fn new(probe: Kind, timeout: Span) -> Self {
        Self { probe, version: None, timeout, max_latency: None, places: Places::default(), tls: None, startup: None }
    }

    /// Whether a probe learns the version.
    pub fn tells_version(&self) -> bool {
        self.version.is_some()
            || match &self.probe {
                Kind::Http(http) => http.version.is_some(),
                Kind::Grpc(grpc) => grpc.version.is_some(),
                Kind::Exec(exec) => exec.version.is_some(),
                Kind::Tcp => false,
            }
    }

    /// Whether whoever answers is believed to be the instance.
    pub fn trusts_anyone(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.insecure)
    }
}

/// How an instance is looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `"http"`: a request, judged by its status.
    Http(HttpSettings),
    /// `"grpc"`: a call of the health service.
    Grpc(GrpcSettings),
    /// `"tcp"`: a connection.
    Tcp,
    /// `"exec"`: a program, judged by its exit code.
    Exec(ExecSettings),
}

/// `probe = "grpc"`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GrpcSettings {
    /// `service`: whose health is asked for; the server's own if empty.
    pub service: String,
    /// `version = { header = "x-version" }`: in the answer's metadata.
    pub version: Option<String>,
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
    /// `ca_file`: the only authorities that are trusted; those of the system if not given.
    pub ca_file: Option<PathBuf>,
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
    let with = (settings.tls.as_ref(), settings.timeout);
    let look = look(&settings.probe, &settings.places, with)?;
    let startup = settings.startup.as_ref().map(|startup| self::look(&startup.probe, &startup.places, with)).transpose()?;
    let version = settings.version.as_ref().map(command::VersionCommand::new).transpose()?;
    let limits = judge::Limits { timeout: settings.timeout, latency: settings.max_latency };
    Ok(Arc::new(judge::Judge::new((look, startup), version, (limits, clock))))
}

fn look(kind: &Kind, places: &Places, (tls, timeout): (Option<&tls::Settings>, Span)) -> Result<Box<dyn judge::Look>, String> {
    let secured = |protocol: &str| {
        let made = tls.map(|tls| Tls::new(tls, &[protocol])).transpose();
        made.map_err(|why| format!("[health.tls] {why}"))
    };
    let places = Arc::new(places.clone());
    Ok(match kind {
        Kind::Http(http) => Box::new(http::HttpProber::new(http.clone(), places, secured("http/1.1")?)?),
        Kind::Grpc(grpc) => Box::new(grpc::GrpcProber::new(grpc.clone(), places, secured("h2")?)?),
        Kind::Tcp => Box::new(tcp::TcpProber(places)),
        Kind::Exec(exec) => Box::new(command::ExecProber::new(exec.clone(), timeout)?),
    })
}

/// The probe through the balancer for `settings`. It must be started within a tokio runtime.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (a URL that is none, a rate out of its range).
pub fn vip(settings: &VipSettings) -> Result<Arc<dyn VipProber>, String> {
    Ok(Arc::new(vip::VipProbe::new(settings)?))
}
