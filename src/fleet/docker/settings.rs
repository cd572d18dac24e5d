//! What the docker driver is told.
//!
//! Imports: model, os. May not: reach a daemon.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::model::Span;
use crate::os::program::Environment;

/// `[fleet] driver = "docker"`. Texts named a template are rendered for each instance.
#[derive(Clone, PartialEq)]
pub struct DockerSettings {
    /// `[service] name`, for templates and labels.
    pub service: String,
    /// Where the daemon is.
    pub daemon: DaemonSettings,
    /// `[update.docker] image`: template of the image's reference; it names `{{ version }}`.
    pub image: String,
    /// `[update.docker] container`: template of the container's name.
    pub container: String,
    /// `[update.docker] pull`.
    pub pull: Pull,
    /// `[update.docker] credentials`: docker's own `config.json`; `None` is where docker looks for it.
    pub credentials: Option<PathBuf>,
    /// `[update.docker] keep_old`: the container that was replaced stays, stopped, until the next one is.
    pub keep_old: bool,
    /// `[update.docker] await_healthy`: an update ends when the image's HEALTHCHECK says healthy.
    pub await_healthy: bool,
    /// `[update] env`: for the container.
    pub env: Environment,
    /// How a container is made where there is none yet.
    pub first: First,
    /// `[update] timeout`: for pull and replacement together.
    pub timeout: Span,
    /// `[update] stop_timeout`: from the container's stop signal to SIGKILL.
    pub stop_timeout: Span,
}

/// Without what may come from the environment.
impl fmt::Debug for DockerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerSettings").field("service", &self.service).field("image", &self.image).finish_non_exhaustive()
    }
}

/// How a daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// `[update.docker] host`: template of `unix://PATH`, `ssh://USER@HOST` or `tcp://HOST:PORT`.
    pub host: String,
    /// Files for `tcp://` with TLS.
    pub tls: Option<TlsFiles>,
    /// `[update.docker] insecure`: `tcp://` without TLS to another machine, where anybody can become root.
    pub insecure: bool,
    /// `[update.docker] ssh_options`: for `ssh://`, before the host.
    pub ssh_options: Vec<String>,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self { host: "unix:///var/run/docker.sock".to_owned(), tls: None, insecure: false, ssh_options: Vec::new() }
    }
}

/// `[update.docker] ca_file`, `cert_file`, `key_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who signed the daemon's certificate; nobody else is trusted.
    pub ca: PathBuf,
    /// Our certificate and its key, where the daemon asks for one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// If the host does not have it.
    Missing,
    /// Before each new container.
    Always,
    /// The host must have it.
    Never,
}

/// What the first container of an instance is made of; each later one takes after the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct First {
    /// `container_port`: where the service listens inside, published at the instance's address.
    pub port: Option<u16>,
    /// `mounts`: templates of `SOURCE:TARGET[:ro]`.
    pub mounts: Vec<String>,
    /// `networks`: the first is the container's own, the others are added.
    pub networks: Vec<String>,
    /// `labels`: values are templates.
    pub labels: BTreeMap<String, String>,
    /// `restart`: docker's restart policy.
    pub restart: Option<String>,
    /// `command`: instead of the image's, each element a template.
    pub command: Vec<String>,
}
