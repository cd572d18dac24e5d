//! Traffic drivers: one file each; this one holds their settings and the `match`.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.

mod caddy;
mod command;
mod haproxy;
mod http;
mod nginx;
mod none;
mod word;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{Rotation, Span};
use crate::os::extract::Extract;
use crate::os::program::Environment;
use crate::os::ssh;
use crate::ports::TrafficDriver;

/// Which driver, and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// HAProxy's runtime API.
    Haproxy(HaproxySettings),
    /// nginx's configuration and a reload.
    Nginx(Box<NginxSettings>),
    /// Caddy's admin API.
    Caddy(Box<CaddySettings>),
    /// Programs that know how.
    Command(Box<CommandSettings>),
    /// A balancer's own HTTP API.
    Http(Box<HttpSettings>),
    /// No balancer: whoever calls an instance finds out by himself that it is away.
    None,
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
    /// `[traffic] add`: what follows the address of a server that is added at run time, `check` by default.
    pub add: String,
    /// `[traffic] await_slow_start`: an instance counts as admitted once it has its whole share again. False by default.
    pub await_slow_start: bool,
    /// `[traffic] timeout`: for one command, connection included. 2 s by default.
    pub timeout: Span,
}

/// `[traffic] driver = "nginx"`.
#[derive(Clone, PartialEq)]
pub struct NginxSettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[traffic] upstream_file`: the file with the upstream block, which we may change.
    pub upstream_file: String,
    /// `[traffic] upstream`: the block's name.
    pub upstream: String,
    /// `[traffic] server`: template of a server's address there, `{{ instance.host }}:{{ instance.port }}` by default.
    pub server: String,
    /// `[traffic] test`: says whether nginx would take its configuration; `nginx -t` by default.
    pub test: Vec<String>,
    /// `[traffic] reload`: tells nginx to read it; `nginx -s reload` by default.
    pub reload: Vec<String>,
    /// `[traffic] pid_file`: where nginx's master process says who it is, `/run/nginx.pid` by default.
    pub pid_file: String,
    /// `[traffic] hosts`: where several nginx run, or one that is not here; each must confirm. None: this machine.
    pub hosts: Vec<String>,
    /// `[traffic.ssh]`: how they are reached.
    pub ssh: ssh::Options,
    /// `[traffic] timeout`: for the test, and for the reload until the new workers are there. 5 s by default.
    pub timeout: Span,
}

/// Without what may come from the environment.
impl fmt::Debug for NginxSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NginxSettings").field("service", &self.service).finish_non_exhaustive()
    }
}

/// `[traffic] driver = "caddy"`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaddySettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[traffic] admin`: each `http://host:port` or `unix//path`. Every one must confirm.
    pub admin: Vec<String>,
    /// Where the `reverse_proxy` handler is, under each of them: `/id/NAME` by `[traffic] id`, `/config/PATH` by
    /// `[traffic] handler`.
    pub handler: String,
    /// `[traffic] server`: template of an upstream's `dial`, `{{ instance.host }}:{{ instance.port }}` by default.
    pub server: String,
    /// `[traffic] timeout`: for one request. 5 s by default: a change answers once Caddy runs by it.
    pub timeout: Span,
}

/// `[traffic] driver = "command"`. Every argv has templates as elements.
#[derive(Clone, PartialEq)]
pub struct CommandSettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[traffic] out`: takes an instance out of rotation.
    pub out: Vec<String>,
    /// `[traffic] in`: puts it back.
    pub into: Vec<String>,
    /// `[traffic] state`: prints the state of an instance, in one of [`STATES`] or a word of `states`. One that was taken
    /// out is `out`, whatever the balancer's own check says of it.
    pub state: Asked,
    /// `[traffic] list`: prints the states of all as a JSON object.
    pub list: Option<Vec<String>>,
    /// `[traffic] sessions`: prints how many connections an instance has.
    pub sessions: Option<Asked>,
    /// `[traffic] states`: what other words mean.
    pub states: BTreeMap<String, Rotation>,
    /// `[traffic] env`: for all of them.
    pub env: Environment,
    /// `[traffic] timeout`: for one program.
    pub timeout: Span,
}

/// Without what may come from the environment.
impl fmt::Debug for CommandSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSettings").field("service", &self.service).finish_non_exhaustive()
    }
}

/// A program whose output has the answer.
#[derive(Clone, PartialEq)]
pub struct Asked {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where in its output the answer is.
    pub answer: Extract,
}

/// Without what may come from the environment.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// `[traffic] driver = "http"`.
#[derive(Clone, PartialEq)]
pub struct HttpSettings {
    /// `[service] name`, for templates.
    pub service: String,
    /// `[traffic.out]`: takes an instance out of rotation.
    pub out: Request,
    /// `[traffic.in]`: puts it back.
    pub into: Request,
    /// `[traffic.state]`: tells the state of an instance, in one of [`STATES`] or a word of `states`.
    pub state: Request,
    /// `[traffic.sessions]`: tells how many connections an instance has.
    pub sessions: Option<Request>,
    /// `[traffic] states`: what other words mean.
    pub states: BTreeMap<String, Rotation>,
    /// `[traffic] headers`: sent with every request. Their values are secrets.
    pub headers: Vec<(String, String)>,
    /// `[traffic] timeout`: for one request, from connection to the last byte.
    pub timeout: Span,
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("HttpSettings");
        shown.field("out", &self.out.method).field("into", &self.into.method).finish_non_exhaustive()
    }
}

/// One request; its texts are templates.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// `method`.
    pub method: String,
    /// `url`.
    pub url: String,
    /// `body`.
    pub body: Option<String>,
    /// `status`: accepted statuses as inclusive ranges, 200–299 by default.
    pub status: Vec<(u16, u16)>,
    /// Where in the answer the answer is.
    pub answer: Extract,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The words for a state, and what they mean.
pub const STATES: [(&str, Rotation); 7] = [
    ("in", Rotation::Serving),
    ("serving", Rotation::Serving),
    ("down", Rotation::Down),
    ("out", Rotation::Draining),
    ("draining", Rotation::Draining),
    ("maintenance", Rotation::Maintenance),
    ("missing", Rotation::Missing),
];

/// The driver for `settings`.
///
/// # Errors
/// Fails with a sentence if the settings cannot work (an address that is none, a template that does not render, a program
/// that is not there).
pub fn build(settings: &Settings) -> Result<Arc<dyn TrafficDriver>, String> {
    match settings {
        Settings::Haproxy(settings) => Ok(Arc::new(haproxy::Haproxy::new(settings.clone())?)),
        Settings::Nginx(settings) => Ok(Arc::new(nginx::Nginx::new((**settings).clone())?)),
        Settings::Caddy(settings) => Ok(Arc::new(caddy::Caddy::new((**settings).clone())?)),
        Settings::Command(settings) => Ok(Arc::new(word::ReadBack(command::Commands::new((**settings).clone())?))),
        Settings::Http(settings) => Ok(Arc::new(word::ReadBack(http::Requests::new((**settings).clone())?))),
        Settings::None => Ok(Arc::new(none::Nobody::default())),
    }
}
