//! Containers, one for each instance, by the Docker daemon of its host.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter, run a shell.
//!
//! A container is replaced by one that was given the same in all but its image (`recipe`); the old one is kept, stopped, as
//! `NAME-rollout-old`, so that the way back is to start it (`scene` says what may be found, `replace` what is done). A
//! HEALTHCHECK that says unhealthy is logged, as the gate's own probe decides; with `await_healthy` an update waits for it.

mod credentials;
mod daemon;
mod dial;
mod discover;
mod look;
mod pull;
mod recipe;
mod reference;
mod replace;
mod scene;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::models::HealthStatusEnum;
use futures::future::BoxFuture;

use self::daemon::{Daemon, Trouble};
use self::reference::Reference;
use self::replace::Job;
use self::scene::{Names, Scene, Seen, Way, label};
use crate::model::{EffectId, InstanceId, Observation, Target, Version};
use crate::os::template::{self, Context};
use crate::ports::{FleetDriver, FleetError, StopOrder, UpdateOrder};

pub use self::discover::{Found, containers, is_own_label};
pub use self::settings::{DaemonSettings, DockerSettings, First, Pull, TlsFiles};

/// Whether docker knows such a restart policy.
pub fn is_restart_policy(word: &str) -> bool {
    recipe::restart_of(word).is_some()
}

/// The driver.
pub(super) struct Containers {
    settings: DockerSettings,
    /// By the rendered host.
    daemons: Mutex<HashMap<String, Arc<Daemon>>>,
    /// Whose HEALTHCHECK has been said to be unhealthy.
    unhealthy: Mutex<HashMap<InstanceId, String>>,
}

impl Containers {
    /// Checks the templates and the files for TLS; connects to nothing.
    pub(super) fn new(settings: DockerSettings) -> Result<Self, String> {
        let driver = Self { settings, daemons: Mutex::default(), unhealthy: Mutex::default() };
        let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
        let (host, zone) = ("127.0.0.1".to_owned(), Some("zone".to_owned()));
        let target = Target { id, host, port: 1, zone, labels: std::collections::BTreeMap::default() };
        let version = Version::new("v1").map_err(|e| e.to_string())?;
        driver.render(&driver.settings.daemon.host, &target, None).map_err(|why| format!("[update.docker] host: {why}"))?;
        driver.names(&target).map_err(|why| format!("[update.docker] container: {why}"))?;
        driver.reference(&target, &version).map_err(|why| format!("[update.docker] image: {why}"))?;
        if let Some(files) = &driver.settings.daemon.tls {
            // What is wrong with a file is wrong for every instance.
            let settings = DaemonSettings { tls: Some(files.clone()), ..DaemonSettings::default() };
            Daemon::new("tcp://127.0.0.1", &settings).map_err(|why| format!("[update.docker] {why}"))?;
        }
        Ok(driver)
    }

    fn render(&self, text: &str, target: &Target, version: Option<&Version>) -> Result<String, String> {
        template::render(text, Context { service: &self.settings.service, target, version, previous: None })
    }

    fn names(&self, target: &Target) -> Result<Names, String> {
        let name = self.render(&self.settings.container, target, None)?;
        reference::container_name(&name, &target.id).map(Names::of)
    }

    fn reference(&self, target: &Target, version: &Version) -> Result<Reference, String> {
        Reference::new(&self.render(&self.settings.image, target, Some(version))?)
    }

    fn daemon(&self, target: &Target) -> Result<Arc<Daemon>, String> {
        let host = self.render(&self.settings.daemon.host, target, None)?;
        let mut daemons = self.daemons.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daemon) = daemons.get(&host) {
            return Ok(Arc::clone(daemon));
        }
        let daemon = Arc::new(Daemon::new(&host, &self.settings.daemon)?);
        daemons.insert(host, Arc::clone(&daemon));
        Ok(daemon)
    }

    async fn look(&self, target: &Target) -> Result<Observation, FleetError> {
        let names = self.names(target).map_err(FleetError::Failed)?;
        let daemon = self.daemon(target).map_err(FleetError::Failed)?;
        // Of a look that failed nothing is known, however it did.
        let unreachable = |trouble: Trouble| FleetError::Unreachable(format!("{}: {}", target.id, trouble.words()));
        let Some(seen) = daemon.container(&names.current).await.map_err(unreachable)?.map(Seen) else {
            let old = daemon.container(&names.old).await.map_err(unreachable)?.is_some();
            let kept = if old { format!("; {} is there, stopped", names.old) } else { String::new() };
            let ended = Some(format!("there is no container {}{kept}", names.current));
            return Ok(Observation { version: None, running: Some(false), ended });
        };
        self.tell_health(target, &seen);
        let mut observation = look::observation(&seen, &self.settings.image, (&self.settings.service, target));
        if let Some(ended) = &mut observation.ended
            && let Some(said) = daemon.tail(seen.id()).await
        {
            *ended = format!("{ended}: {said}");
        }
        Ok(observation)
    }

    /// Says once for each container that its HEALTHCHECK fails.
    fn tell_health(&self, target: &Target, seen: &Seen) {
        let mut told = self.unhealthy.lock().unwrap_or_else(PoisonError::into_inner);
        if look::health(seen) != Some(HealthStatusEnum::UNHEALTHY) {
            told.remove(&target.id);
        } else if told.insert(target.id.clone(), seen.id().to_owned()).as_deref() != Some(seen.id()) {
            tracing::warn!(target: "effect", "{}: HEALTHCHECK of its image says unhealthy: {}", target.id, look::health_words(seen));
        }
    }

    /// The order's own part of what is needed to carry it out.
    fn job<'a>(&'a self, daemon: &'a Daemon, order: &'a UpdateOrder) -> Result<Job<'a>, String> {
        let (names, image) = (self.names(&order.target)?, self.reference(&order.target, &order.version)?);
        Ok(Job::new((daemon, &self.settings), order, (names, image)))
    }

    async fn complaints(&self, target: &Target, version: &Version) -> Vec<String> {
        let daemon = match self.daemon(target) {
            Ok(daemon) => daemon,
            Err(why) => return vec![why],
        };
        // An order that nobody gives: so nothing is found that belongs to it.
        let deployment = crate::model::DeploymentId::new(&self.settings.service, 0);
        let effect = EffectId::new(&deployment, Some(&target.id), "check", 0);
        let order = UpdateOrder { effect, target: target.clone(), version: version.clone(), previous: None };
        let job = match self.job(&daemon, &order) {
            Ok(job) => job,
            Err(why) => return vec![why],
        };
        match job.scene().await {
            Ok(scene) => self.would_fail(&job, &scene).await,
            Err(trouble) => vec![trouble.words().to_owned()],
        }
    }

    /// What would keep a container of the version from being made, or the kept one from being started.
    async fn would_fail(&self, job: &Job<'_>, scene: &Scene) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Some(service) = scene.current.as_ref().and_then(|current| current.label(label::SWARM)) {
            let remedy = "update it by docker service, with driver = \"command\"";
            complaints.push(format!("container {} belongs to the Swarm service {service}; {remedy}", job.names.current));
        }
        if let Err(why) = job.wanted().way(scene) {
            complaints.push(why);
        }
        let runs = scene.current.as_ref().is_some_and(|seen| {
            job.wanted().version_of(seen).as_ref() == Some(&job.order.version) && !seen.vanishes() && !seen.has_a_chosen_port()
        });
        // What runs now is kept when it is replaced; what was kept is started again.
        let is_kept = (runs && self.settings.keep_old) || job.wanted().way(scene) == Ok(Way::Swap);
        if !is_kept && let Err(why) = self.image_can_be_had(job).await {
            complaints.push(why);
        }
        if scene.current.is_none() && scene.old.is_none() {
            match job.first() {
                Err(why) => complaints.push(why),
                Ok(_) => complaints.extend(self.port_taken(job).await),
            }
        }
        complaints
    }

    /// The container is stopped and removed, with the one that it replaced: it was extra capacity. One that we did not make
    /// is not touched.
    async fn end(&self, order: &StopOrder) -> Result<(), FleetError> {
        let id = &order.target.id;
        let names = self.names(&order.target).map_err(FleetError::Failed)?;
        let daemon = self.daemon(&order.target).map_err(FleetError::Failed)?;
        let of = |trouble: Trouble| trouble.of(&format!("{id}: stopping container {}", names.current));
        for name in [&names.current, &names.next, &names.old] {
            let Some(seen) = daemon.container(name).await.map_err(of)?.map(Seen) else { continue };
            if seen.label(label::INSTANCE) != Some(id.as_str()) {
                return Err(FleetError::Failed(format!("{id}: container {name} was not made by rollout: stop it by hand")));
            }
            daemon.stop(seen.id(), self.settings.stop_timeout.to_std()).await.map_err(of)?;
            daemon.remove(seen.id(), true).await.map_err(of)?;
        }
        Ok(())
    }

    async fn image_can_be_had(&self, job: &Job<'_>) -> Result<(), String> {
        let here = job.daemon.image(&job.image.text).await.map_err(|trouble| trouble.words().to_owned())?.is_some();
        match self.settings.pull {
            Pull::Missing | Pull::Never if here => return Ok(()),
            Pull::Never => return Err(format!("{} has no image {}, and pull = \"never\"", job.daemon.at(), job.image.text)),
            Pull::Missing | Pull::Always => {}
        }
        let login = credentials::login(self.settings.credentials.as_deref(), &job.image.registry).await?;
        let asked = job.daemon.registry(&job.image.text, login).await;
        asked.map_err(|trouble| format!("image {}: {}", job.image.text, trouble.words()))
    }

    /// Who publishes the port that a first container would.
    async fn port_taken(&self, job: &Job<'_>) -> Option<String> {
        let port = job.order.target.port;
        let all = job.daemon.list(false, &[]).await.ok()?;
        let taken = all.into_iter().find(|one| one.ports.iter().flatten().any(|open| open.public_port == Some(port)))?;
        let name = taken.names.and_then(|names| names.first().cloned()).unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        Some(format!("port {port} is published by container {name} already; correct [fleet] or [update.docker] container"))
    }
}

impl FleetDriver for Containers {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        Box::pin(self.look(target))
    }

    fn check<'a>(&'a self, target: &'a Target, version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.complaints(target, version))
    }

    /// A task of Swarm is Swarm's: it puts back what it finds missing.
    fn owns<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let (Ok(names), Ok(daemon)) = (self.names(target), self.daemon(target)) else { return true };
            let found = daemon.container(&names.current).await.ok().flatten().map(Seen);
            found.is_none_or(|seen| seen.label(label::SWARM).is_none())
        })
    }

    /// Dropped at any moment it leaves what `scene` describes; the daemon ends a request that it has begun.
    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move {
            let daemon = self.daemon(&order.target).map_err(FleetError::Failed)?;
            self.job(&daemon, order).map_err(FleetError::Failed)?.carry_out().await
        })
    }

    /// Dropped, it leaves the container there, stopped or not.
    fn stop<'a>(&'a self, order: &'a StopOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.end(order))
    }

    fn stops(&self) -> bool {
        true
    }
}
