//! Brings an instance to a version: a new container takes the place of the old one, or the kept one takes it again.
//!
//! Imports: ports, model, os, the daemon, the containers. May not: touch a container by its name: only by the id it looked at.
//!
//! The image is fetched and the new container made before the old one is stopped. Each act is one request to the daemon and
//! leaves a state that `scene` tells; what went wrong on the way to the daemon is followed by another look.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, EndpointSettings, HealthStatusEnum, HostConfig, PortBinding};
use tokio::time::{Instant, sleep, timeout_at};

use super::daemon::{Daemon, Trouble};
use super::reference::Reference;
use super::scene::{Names, Scene, Seen, Wanted, Way, label};
use super::settings::{DockerSettings, Pull};
use super::{credentials, look, pull, recipe};
use crate::os::template::{self, Context};
use crate::ports::{FleetError, UpdateOrder};

/// Between two looks at a daemon that was lost, or at something that is about to change.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a daemon that cannot be reached is waited for while the instance is as it was.
const PATIENCE: Duration = Duration::from_secs(15);
/// Looks in a row that each find something else to be done first.
const ROUNDS_MAX: u32 = 8;

/// One order.
pub(super) struct Job<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) settings: &'a DockerSettings,
    pub(super) order: &'a UpdateOrder,
    pub(super) names: Names,
    pub(super) image: Reference,
    pub(super) recipe: String,
    /// What is being done, and whether the instance is still as it was.
    doing: Mutex<(&'static str, bool)>,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        (daemon, settings): (&'a Daemon, &'a DockerSettings),
        order: &'a UpdateOrder,
        (names, image): (Names, Reference),
    ) -> Self {
        let recipe = checksum(settings);
        Self { daemon, settings, order, names, image, recipe, doing: Mutex::new(("looking", false)) }
    }

    /// Does it, within the time that an update has.
    pub(super) async fn carry_out(&self) -> Result<(), FleetError> {
        let all = self.settings.timeout.to_std();
        let deadline = Instant::now() + all.saturating_sub((all / 10).min(Duration::from_secs(2)));
        let about = &self.order.target.id;
        let mut lost_since = None;
        loop {
            let trouble = match timeout_at(deadline, Box::pin(self.attempt())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(trouble)) => trouble,
                Err(_) => self.out_of_time(),
            };
            let now = Instant::now();
            let patience = if self.doing().1 { all } else { PATIENCE };
            let until = (*lost_since.get_or_insert(now) + patience).min(deadline);
            if !trouble.may_pass() || now + AGAIN >= until {
                return Err(trouble.of(&format!("{about}: {}", self.doing().0)));
            }
            tracing::warn!(target: "effect", "{about}: {}: {}; looking again", self.doing().0, trouble.words());
            sleep(AGAIN).await;
        }
    }

    fn out_of_time(&self) -> Trouble {
        let why = format!("not done in {} ([update] timeout)", self.settings.timeout);
        if self.doing().1 { Trouble::Lost(why) } else { Trouble::Refused(format!("{why}; the instance is as it was")) }
    }

    fn doing(&self) -> (&'static str, bool) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, what: &'static str) {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).0 = what;
    }

    /// From here on the instance is not as it was.
    fn touches(&self, what: &'static str) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = (what, true);
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            order: self.order,
            names: &self.names,
            image: &self.settings.image,
            service: &self.settings.service,
            recipe: &self.recipe,
            always: self.settings.pull == Pull::Always,
        }
    }

    /// What is there now.
    pub(super) async fn scene(&self) -> Result<Scene, Trouble> {
        let Names { current, next, old } = &self.names;
        let (current, next, old) =
            futures::try_join!(self.daemon.container(current), self.daemon.container(next), self.daemon.container(old))?;
        Ok(Scene { current: current.map(Seen), next: next.map(Seen), old: old.map(Seen) })
    }

    async fn attempt(&self) -> Result<(), Trouble> {
        let mut fetched = false;
        for _ in 0..ROUNDS_MAX {
            let scene = self.scene().await?;
            let way = self.wanted().way(&scene).map_err(Trouble::Refused)?;
            let id = &self.order.target.id;
            tracing::debug!(target: "effect", "{id}: {way:?}");
            match (way, &scene.next) {
                (Way::Make, _) if !fetched => {
                    self.fetch().await?;
                    // That may have taken its time.
                    fetched = true;
                }
                (Way::Make, _) => return self.make(&scene).await,
                (Way::Finish, _) => {
                    let Some(current) = &scene.current else { continue };
                    return self.finish(current, &scene).await;
                }
                (Way::Place, Some(next)) => return self.place(next, &scene).await,
                (Way::Swap, _) => return self.swap(&scene).await,
                (Way::PutBack, Some(next)) => self.daemon.rename(next.id(), &self.names.current).await?,
                (Way::PutAside, Some(next)) => self.daemon.rename(next.id(), &self.names.old).await?,
                (Way::Place | Way::PutBack | Way::PutAside, None) => {}
            }
        }
        Err(Trouble::Conflict(format!("somebody else works on container {} at the same time", self.names.current)))
    }

    /// Sees to it that the host has the image.
    async fn fetch(&self) -> Result<(), Trouble> {
        self.begins("fetching the image");
        let here = self.daemon.image(&self.image.text).await?.is_some();
        match self.settings.pull {
            Pull::Missing | Pull::Never if here => return Ok(()),
            Pull::Never => {
                let why = format!("the host has no image {}, and pull = \"never\"", self.image.text);
                return Err(Trouble::Refused(why));
            }
            Pull::Missing | Pull::Always => {}
        }
        let login = credentials::login(self.settings.credentials.as_deref(), &self.image.registry).await;
        let login = login.map_err(Trouble::Refused)?;
        pull::pull(self.daemon, &self.image, login, &self.order.target.id).await?;
        match self.daemon.image(&self.image.text).await? {
            Some(_) => Ok(()),
            None => Err(Trouble::Refused(format!("{} was pulled, but the host does not have it", self.image.text))),
        }
    }

    /// Makes the new container, then clears its place.
    async fn make(&self, scene: &Scene) -> Result<(), Trouble> {
        self.begins("making the new container");
        let base = scene.current.as_ref().or(scene.old.as_ref());
        if let Some(left) = &scene.next {
            self.daemon.remove(left.id(), true).await?;
        }
        let next = self.create(base, scene).await?;
        let made = self.clear(scene, &next).await;
        match made {
            Ok(()) => self.place(&next, &self.scene().await?).await,
            Err(trouble) => {
                // What nobody asked for any more does not stay; whether that succeeds changes nothing of the reason.
                if !self.doing().1 && !trouble.may_pass() {
                    drop(self.daemon.remove(next.id(), true).await);
                }
                Err(trouble)
            }
        }
    }

    /// Stops the current container and puts it aside.
    async fn clear(&self, scene: &Scene, next: &Seen) -> Result<(), Trouble> {
        let Some(current) = &scene.current else { return Ok(()) };
        let now = self.daemon.container(&self.names.current).await?.map(Seen);
        if let Some(now) = now.filter(|now| now.id() != current.id()) {
            return Err(Trouble::Conflict(self.wanted().replaced_by_others(current.id(), &now)));
        }
        if let Some(old) = scene.old.as_ref().filter(|old| old.id() != next.id()) {
            // Never two: the one before the one that is now replaced.
            self.daemon.remove(old.id(), false).await?;
        }
        self.put_aside(current).await
    }

    async fn put_aside(&self, current: &Seen) -> Result<(), Trouble> {
        self.touches("stopping the old container");
        self.stopped(current).await?;
        if current.vanishes() {
            return Ok(());
        }
        self.begins("putting the old container aside");
        self.daemon.rename(current.id(), &self.names.old).await
    }

    /// Stops a container and sees that it does not run.
    async fn stopped(&self, seen: &Seen) -> Result<(), Trouble> {
        if seen.is_up() {
            match self.daemon.stop(seen.id(), self.settings.stop_timeout.to_std()).await {
                Ok(()) => {}
                Err(Trouble::Missing(_)) if seen.vanishes() => {}
                Err(other) => return Err(other),
            }
        }
        loop {
            match self.daemon.container(seen.id()).await?.map(Seen) {
                // One that vanishes does so a moment after its end.
                Some(now) if now.is_up() || seen.vanishes() => sleep(AGAIN).await,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Gives a container its place, which is clear, and starts it.
    async fn place(&self, next: &Seen, scene: &Scene) -> Result<(), Trouble> {
        self.touches("putting the new container in its place");
        if let Some(old) = scene.old.as_ref().filter(|old| old.id() != next.id()) {
            self.retire(old).await?;
        }
        match self.daemon.rename(next.id(), &self.names.current).await {
            Ok(()) => {}
            Err(Trouble::Conflict(_)) if self.has_place(next).await? => {}
            Err(Trouble::Conflict(why)) => {
                let why = format!("somebody else has taken the name {} meanwhile: {why}", self.names.current);
                return Err(Trouble::Conflict(why));
            }
            Err(other) => return Err(other),
        }
        self.finish(next, scene).await
    }

    async fn has_place(&self, next: &Seen) -> Result<bool, Trouble> {
        Ok(self.daemon.container(&self.names.current).await?.is_some_and(|now| now.id.as_deref() == Some(next.id())))
    }

    /// One that waits does not run, whatever becomes of the daemon.
    async fn retire(&self, old: &Seen) -> Result<(), Trouble> {
        self.stopped(old).await?;
        if old.restart_now() == "no" {
            return Ok(());
        }
        let Some(never) = recipe::restart_of("no") else { return Ok(()) };
        self.daemon.restart_policy(old.id(), never).await
    }

    /// The kept container takes its place again; the one that has it is kept, as evidence.
    async fn swap(&self, scene: &Scene) -> Result<(), Trouble> {
        let wanted = self.wanted();
        let is_kept = |next: &&Seen| !next.never_ran() && wanted.version_of(next).as_ref() == Some(&self.order.version);
        let on_its_way = scene.next.as_ref().filter(is_kept);
        let Some(kept) = on_its_way.or(scene.old.as_ref()) else {
            return Err(Trouble::Missing(format!("container {} is gone", self.names.old)));
        };
        self.touches("putting the kept container in its place");
        if on_its_way.is_none() {
            if let Some(left) = &scene.next {
                self.restore_policy(kept, scene).await?;
                self.daemon.remove(left.id(), true).await?;
            }
            self.daemon.rename(kept.id(), &self.names.next).await?;
        }
        if let Some(current) = &scene.current {
            self.put_aside(current).await?;
        }
        let now = self.scene().await?;
        let together = Scene { current: scene.current.clone(), ..now };
        self.place(kept, &together).await
    }

    async fn restore_policy(&self, seen: &Seen, scene: &Scene) -> Result<(), Trouble> {
        let mut others = [&scene.current, &scene.next, &scene.old].into_iter().flatten();
        let Some(word) = seen.restart().or_else(|| others.find_map(Seen::restart)) else { return Ok(()) };
        match recipe::restart_of(&word) {
            Some(policy) if seen.restart_now() != word => self.daemon.restart_policy(seen.id(), policy).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Starts the container that has its place, and sees that it was started.
    async fn finish(&self, seen: &Seen, scene: &Scene) -> Result<(), Trouble> {
        self.touches("starting the container");
        self.restore_policy(seen, scene).await?;
        // A daemon that was killed may have forgotten that the old one is to wait, and have started it again on the same port.
        if let Some(old) = scene.old.as_ref().filter(|old| old.id() != seen.id()) {
            self.retire(old).await?;
        }
        if !seen.is_up() {
            self.daemon.start(seen.id()).await?;
        }
        let started = self.daemon.container(seen.id()).await?.map(Seen);
        match started {
            None if seen.vanishes() => return Ok(()),
            None => return Err(Trouble::Missing(format!("container {} is gone", self.names.current))),
            // An engine that took over may have asked for it in the moment of its end; the gate sees it if so.
            Some(now) if now.never_ran() => {
                return Err(Trouble::Refused(look::observation(&now, "", ("", &self.order.target)).ended.unwrap_or_default()));
            }
            Some(_) => {}
        }
        if !self.settings.keep_old
            && let Some(old) = self.daemon.container(&self.names.old).await?.map(Seen)
            && old.id() != seen.id()
        {
            self.stopped(&old).await?;
            self.daemon.remove(old.id(), false).await?;
        }
        if self.settings.await_healthy { self.healthy(seen.id()).await } else { Ok(()) }
    }

    /// Waits until HEALTHCHECK has its verdict.
    async fn healthy(&self, id: &str) -> Result<(), Trouble> {
        self.begins("waiting for HEALTHCHECK");
        loop {
            let Some(now) = self.daemon.container(id).await?.map(Seen) else {
                return Err(Trouble::Missing(format!("container {} is gone", self.names.current)));
            };
            let seen = look::observation(&now, "", ("", &self.order.target));
            if let Some(ended) = seen.ended {
                return Err(Trouble::Refused(ended));
            }
            match look::health(&now) {
                Some(HealthStatusEnum::UNHEALTHY) => {
                    return Err(Trouble::Refused(format!("unhealthy: {}", look::health_words(&now))));
                }
                Some(HealthStatusEnum::STARTING) => sleep(AGAIN).await,
                _ => return Ok(()),
            }
        }
    }

    /// Makes the container under its name for the meantime, with all its networks.
    async fn create(&self, base: Option<&Seen>, scene: &Scene) -> Result<Seen, Trouble> {
        let mut recipe = match base {
            None => self.first().map_err(Trouble::Refused)?,
            Some(base) => {
                let image = self.daemon.image(base.0.image.as_deref().unwrap_or_default()).await?;
                if image.is_none() {
                    let (id, image) = (&self.order.target.id, base.image());
                    tracing::warn!(target: "effect", "{id}: the image {image} of the old container is gone: all that it had is kept");
                }
                let mut recipe = recipe::after(&base.0, image.and_then(|image| image.config).as_ref());
                let word = base.restart().or_else(|| scene.next.as_ref().and_then(Seen::restart));
                if let (Some(host), Some(policy)) =
                    (&mut recipe.body.host_config, word.and_then(|word| recipe::restart_of(&word)))
                    && recipe::restart_word(host.restart_policy.as_ref()) == "no"
                    && scene.current.is_none()
                {
                    host.restart_policy = Some(policy);
                }
                recipe
            }
        };
        self.sign(&mut recipe.body, base);
        let id = match self.daemon.create(&self.names.next, recipe.body.clone()).await {
            // By a request of ours that was given up.
            Err(Trouble::Conflict(why)) => match self.daemon.container(&self.names.next).await?.map(Seen) {
                Some(left) if left.never_ran() && left.label(label::INSTANCE).is_some() => {
                    self.daemon.remove(left.id(), true).await?;
                    self.daemon.create(&self.names.next, recipe.body).await?
                }
                Some(_) | None => return Err(Trouble::Conflict(why)),
            },
            made => made?,
        };
        for (network, settings) in recipe.networks {
            self.daemon.connect(&network, &id, settings).await?;
        }
        let made = self.daemon.container(&id).await?.map(Seen);
        made.ok_or_else(|| Trouble::Missing(format!("container {} is gone", self.names.next)))
    }

    /// Image, variables and labels of this order.
    fn sign(&self, body: &mut ContainerCreateBody, base: Option<&Seen>) {
        body.image = Some(self.image.text.clone());
        let env = body.env.get_or_insert_default();
        let withdrawn = base.and_then(|base| base.label(label::ENV)).unwrap_or_default().to_owned();
        recipe::set_env(env, &self.settings.env.0, &withdrawn.split(',').collect::<Vec<_>>());
        let labels = body.labels.get_or_insert_default();
        labels.retain(|key, _| !key.starts_with(label::PREFIX));
        let names: Vec<&str> = self.settings.env.0.iter().map(|(name, _)| name.as_str()).collect();
        let restart = recipe::restart_word(body.host_config.as_ref().and_then(|host| host.restart_policy.as_ref()));
        let mut set = |key: &str, value: &str| drop(labels.insert(key.to_owned(), value.to_owned()));
        set(label::SERVICE, &self.settings.service);
        set(label::INSTANCE, self.order.target.id.as_str());
        set(label::VERSION, self.order.version.as_str());
        set(label::IMAGE, &self.image.text);
        set(label::EFFECT, self.order.effect.as_str());
        set(label::RESTART, &restart);
        set(label::RECIPE, &self.recipe);
        if !names.is_empty() {
            set(label::ENV, &names.join(","));
        }
        if let Some(base) = base {
            set(label::REPLACES, base.id());
        }
    }

    /// What the first container of an instance is made of.
    pub(super) fn first(&self) -> Result<recipe::Recipe, String> {
        let (first, target) = (&self.settings.first, &self.order.target);
        let Some(port) = first.port else {
            let remedy = "make it by hand, or write [update.docker] container_port";
            return Err(format!("there is no container {} to take after; {remedy}", self.names.current));
        };
        let (version, previous) = (Some(&self.order.version), self.order.previous.as_ref());
        let context = Context { service: &self.settings.service, target, version, previous };
        let render = |text: &String| template::render(text, context);
        let inside = format!("{port}/tcp");
        // Where the instance has an address it is published there alone.
        let host_ip = target.host.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_string());
        let host_ip = host_ip.or_else(|| (target.host == "localhost").then(|| "127.0.0.1".to_owned()));
        let binding = PortBinding { host_ip, host_port: Some(target.port.to_string()) };
        let labels = first.labels.iter().map(|(key, value)| Ok((key.clone(), render(value)?)));
        let command = first.command.iter().map(render).collect::<Result<Vec<_>, String>>()?;
        let body = ContainerCreateBody {
            exposed_ports: Some(vec![inside.clone()]),
            labels: Some(labels.collect::<Result<_, String>>()?),
            cmd: Some(command).filter(|command| !command.is_empty()),
            host_config: Some(HostConfig {
                binds: Some(first.mounts.iter().map(render).collect::<Result<_, String>>()?),
                network_mode: first.networks.first().cloned(),
                port_bindings: Some([(inside, Some(vec![binding]))].into()),
                restart_policy: first.restart.as_deref().and_then(recipe::restart_of),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let others = first.networks.iter().skip(1).map(|name| (name.clone(), EndpointSettings::default()));
        Ok(recipe::Recipe { body, networks: others.collect() })
    }
}

/// Of what the configuration gives a container besides its version. Nobody can read a secret out of it: it is 64 bits of all.
fn checksum(settings: &DockerSettings) -> String {
    let texts = settings.env.0.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in texts.chain([settings.image.as_str()]).flat_map(|text| text.bytes().chain([0])) {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{sum:016x}")
}
