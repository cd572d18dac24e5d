//! One Docker daemon: every request bounded, every failure classified and in words.
//!
//! Imports: ports, os, how to connect. May not: know what an update is.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ContainerUpdateBody, EndpointSettings, ImageInspect,
    NetworkConnectRequest, RestartPolicy,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures::StreamExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::dial::Dial;
use super::settings::DaemonSettings;
use crate::os::text;
use crate::ports::FleetError;

/// For a look.
const LOOK: Duration = Duration::from_secs(10);
/// For an act; a busy host takes its time to make and start a container.
const ACT: Duration = Duration::from_mins(1);
/// What a stop may take besides the time that the container is given.
const AFTER_STOP: Duration = Duration::from_secs(20);
/// No request is bounded by this: each has its own limit.
const NEVER_SECS: u64 = 24 * 60 * 60;

/// What went wrong between us and the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It says that there is no such thing.
    Missing(String),
    /// It says that something else is in the way.
    Conflict(String),
    /// It refuses, for any other reason; or we do.
    Refused(String),
    /// It cannot be reached: the request was not made.
    Unreachable(String),
    /// The request may have been made.
    Lost(String),
}

impl Trouble {
    /// What happened, in words.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Missing(why) | Self::Conflict(why) | Self::Refused(why) | Self::Unreachable(why) | Self::Lost(why) => why,
        }
    }

    /// The daemon may be back in a moment.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_))
    }

    /// For the engine.
    pub(super) fn of(self, about: &str) -> FleetError {
        let why = format!("{about}: {}", self.words());
        match self {
            Self::Missing(_) | Self::Conflict(_) | Self::Refused(_) => FleetError::Failed(why),
            Self::Unreachable(_) => FleetError::Unreachable(why),
            Self::Lost(_) => FleetError::Unknown(why),
        }
    }
}

/// A daemon.
pub(super) struct Daemon {
    docker: Docker,
    dial: Dial,
    /// As it is named to people.
    at: String,
    /// Set when the version of its interface is agreed upon.
    agreed: OnceCell<()>,
}

impl Daemon {
    /// For the rendered `host`. Connects to nothing yet.
    ///
    /// # Errors
    /// Fails with a sentence if that is no address of a daemon, or may not be used.
    pub(super) fn new(host: &str, settings: &DaemonSettings) -> Result<Self, String> {
        let dial = Dial::new(host, settings)?;
        let mut builder = Client::builder(TokioExecutor::new());
        // A daemon that was started anew is not asked over a connection to the old one, where a new one costs nothing.
        builder.pool_max_idle_per_host(if dial.is_ssh() { 4 } else { 0 });
        let client = builder.build(dial.clone());
        let transport = move |request: BollardRequest| {
            let client = client.clone();
            async move { client.request(request).await.map_err(Error::from) }
        };
        let docker = Docker::connect_with_custom_transport(transport, Some("http://docker"), NEVER_SECS, API_DEFAULT_VERSION);
        let docker = docker.map_err(|e| format!("{host}: {e}"))?;
        Ok(Self { docker, dial, at: text::sanitise_within(host, 80), agreed: OnceCell::new() })
    }

    /// Where it is.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    async fn ask<T>(&self, limit: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        self.agree().await?;
        // The parser of an answer is large; it does not belong into every future that asks.
        self.bounded(limit, Box::pin(request)).await
    }

    async fn bounded<T>(&self, limit: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        match timeout(limit, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.trouble(&error)),
            Err(_) => Err(Trouble::Lost(format!("{} did not answer in {}", self.at, crate::model::Span::from(limit)))),
        }
    }

    /// Agrees upon a version of the interface, once.
    async fn agree(&self) -> Result<(), Trouble> {
        let agreed = self.agreed.get_or_try_init(async || {
            self.bounded(LOOK, Box::pin(self.docker.clone().negotiate_version())).await.map(drop).map_err(|trouble| match trouble
            {
                // To ask for a version changes nothing.
                Trouble::Lost(why) => Trouble::Unreachable(why),
                other => other,
            })
        });
        agreed.await.copied()
    }

    /// What an error means.
    pub(super) fn trouble(&self, error: &Error) -> Trouble {
        let said = |message: &str| text::sanitise(message.trim());
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => Trouble::Missing(said(message)),
            Error::DockerResponseServerError { status_code: 409, message } => Trouble::Conflict(said(message)),
            Error::DockerResponseServerError { message, .. } => Trouble::Refused(said(message)),
            Error::DockerStreamError { error } => Trouble::Refused(said(error)),
            Error::HyperLegacyError { err } => {
                let words = self.words(err);
                if err.is_connect() { Trouble::Unreachable(words) } else { Trouble::Lost(words) }
            }
            other => Trouble::Lost(self.words(other)),
        }
    }

    /// What an error says of a connection; ssh knows best why there is none.
    fn words(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let mut last = error;
        while let Some(source) = last.source() {
            last = source;
        }
        let why = self.dial.said().unwrap_or_else(|| text::sanitise(&last.to_string()));
        format!("the daemon at {}: {why}", self.at)
    }

    /// A container by its name or id; `None` if there is none.
    pub(super) async fn container(&self, name: &str) -> Result<Option<Box<ContainerInspectResponse>>, Trouble> {
        match self.ask(LOOK, self.docker.inspect_container(name, None)).await {
            Ok(found) => Ok(Some(Box::new(found))),
            Err(Trouble::Missing(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// An image by its reference or id; `None` if the host does not have it.
    pub(super) async fn image(&self, reference: &str) -> Result<Option<Box<ImageInspect>>, Trouble> {
        match self.ask(LOOK, self.docker.inspect_image(reference)).await {
            Ok(found) => Ok(Some(Box::new(found))),
            Err(Trouble::Missing(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Containers with all of these labels, stopped ones too if `all`.
    pub(super) async fn list(&self, all: bool, labels: &[String]) -> Result<Vec<ContainerSummary>, Trouble> {
        let filters = std::collections::HashMap::from([("label", labels.to_vec())]);
        let options = ListContainersOptionsBuilder::new().all(all).filters(&filters).build();
        self.ask(LOOK, self.docker.list_containers(Some(options))).await
    }

    /// The last lines that a container printed, in one.
    pub(super) async fn tail(&self, id: &str) -> Option<String> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("3").build();
        let read = async {
            let lines = self.docker.logs(id, Some(options)).take(16).collect::<Vec<_>>().await;
            Ok::<_, Error>(lines.into_iter().filter_map(|line| Some(line.ok()?.to_string())).collect::<Vec<String>>())
        };
        let lines = self.ask(LOOK, read).await.ok()?;
        let said = text::sanitise(lines.concat().split_whitespace().collect::<Vec<_>>().join(" ").trim());
        Some(said).filter(|said| !said.is_empty())
    }

    /// Makes a container and returns its id.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Trouble> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.ask(ACT, self.docker.create_container(Some(options), body)).await.map(|made| made.id)
    }

    /// Joins a network.
    pub(super) async fn connect(&self, network: &str, id: &str, settings: EndpointSettings) -> Result<(), Trouble> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(settings) };
        self.ask(ACT, self.docker.connect_network(network, request)).await
    }

    /// Starts it; that it has been started already is no failure.
    pub(super) async fn start(&self, id: &str) -> Result<(), Trouble> {
        self.ask(ACT, self.docker.start_container(id, None)).await
    }

    /// Its stop signal, then SIGKILL after `grace`; that it has been stopped already is no failure.
    pub(super) async fn stop(&self, id: &str, grace: Duration) -> Result<(), Trouble> {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        self.ask(grace + AFTER_STOP, self.docker.stop_container(id, Some(options))).await
    }

    /// Gives it another name.
    pub(super) async fn rename(&self, id: &str, name: &str) -> Result<(), Trouble> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        self.ask(ACT, self.docker.rename_container(id, options)).await
    }

    /// Sets its restart policy.
    pub(super) async fn restart_policy(&self, id: &str, policy: RestartPolicy) -> Result<(), Trouble> {
        let body = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
        self.ask(ACT, self.docker.update_container(id, body)).await
    }

    /// Removes one that does not run; that it is gone already is no failure. `volumes` that only it has go with it.
    pub(super) async fn remove(&self, id: &str, volumes: bool) -> Result<(), Trouble> {
        let options = RemoveContainerOptionsBuilder::new().v(volumes).build();
        match self.ask(ACT, self.docker.remove_container(id, Some(options))).await {
            Ok(()) | Err(Trouble::Missing(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// What the registry has under a reference, asked by the daemon.
    pub(super) async fn registry(&self, reference: &str, as_whom: super::credentials::Login) -> Result<(), Trouble> {
        self.ask(LOOK, self.docker.inspect_registry_image(reference, as_whom)).await.map(drop)
    }

    /// The daemon's own client, for a stream.
    pub(super) async fn client(&self) -> Result<&Docker, Trouble> {
        self.agree().await.map(|()| &self.docker)
    }
}
