//! The containers of an instance as they are found, and what an order asks to be done with them.
//!
//! Imports: ports, model, the driver's settings. May not: reach a daemon.
//!
//! There are at most three: the one under the instance's name, the one that was replaced (`NAME-rollout-old`), and the one
//! on its way into its place (`NAME-rollout-next`). Names, labels and ages alone say how far an order has come, so that it
//! is finished by whoever comes next: the same engine, another one, or the same after the daemon was started anew.

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};

use super::recipe;
use super::reference::version_in;
use crate::model::{EffectId, Target, Version};
use crate::ports::UpdateOrder;

/// Labels of every container that we make.
pub(super) mod label {
    /// What all of them begin with.
    pub(in crate::fleet::docker) const PREFIX: &str = "rollout.";
    /// `[service] name`.
    pub(in crate::fleet::docker) const SERVICE: &str = "rollout.service";
    /// The instance's id.
    pub(in crate::fleet::docker) const INSTANCE: &str = "rollout.instance";
    /// The version that it was made for.
    pub(in crate::fleet::docker) const VERSION: &str = "rollout.version";
    /// The reference that it was made from; with another one the label of the version is a copy that says nothing.
    pub(in crate::fleet::docker) const IMAGE: &str = "rollout.image";
    /// The order that made it.
    pub(in crate::fleet::docker) const EFFECT: &str = "rollout.effect";
    /// The id of the container that it takes the place of.
    pub(in crate::fleet::docker) const REPLACES: &str = "rollout.replaces";
    /// Its restart policy, which a container that was replaced does not have while it waits.
    pub(in crate::fleet::docker) const RESTART: &str = "rollout.restart";
    /// The names of the variables that `[update] env` gave it.
    pub(in crate::fleet::docker) const ENV: &str = "rollout.env";
    /// A checksum of what the configuration gave it besides its version.
    pub(in crate::fleet::docker) const RECIPE: &str = "rollout.recipe";
    /// Of Swarm: it replaces what it finds missing.
    pub(in crate::fleet::docker) const SWARM: &str = "com.docker.swarm.service.name";
}

/// The names of an instance's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The instance's.
    pub(super) current: String,
    /// Of the one on its way into its place.
    pub(super) next: String,
    /// Of the one that was replaced.
    pub(super) old: String,
}

impl Names {
    pub(super) fn of(current: String) -> Self {
        Self { next: format!("{current}-rollout-next"), old: format!("{current}-rollout-old"), current }
    }
}

/// A container as it was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(pub(super) Box<ContainerInspectResponse>);

impl Seen {
    pub(super) fn id(&self) -> &str {
        self.0.id.as_deref().unwrap_or_default()
    }

    /// The id as people see it.
    pub(super) fn short(&self) -> &str {
        self.id().get(..12).unwrap_or_else(|| self.id())
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.0.config.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The reference that it was made from.
    pub(super) fn image(&self) -> &str {
        self.0.config.as_ref().and_then(|config| config.image.as_deref()).unwrap_or_default()
    }

    pub(super) fn status(&self) -> ContainerStateStatusEnum {
        self.0.state.as_ref().and_then(|state| state.status).unwrap_or(ContainerStateStatusEnum::EMPTY)
    }

    /// Something of it runs, or is about to again.
    pub(super) fn is_up(&self) -> bool {
        use ContainerStateStatusEnum::{PAUSED, RESTARTING, RUNNING, STOPPING};
        matches!(self.status(), RUNNING | RESTARTING | PAUSED | STOPPING)
    }

    /// It was made and has never run.
    pub(super) fn never_ran(&self) -> bool {
        let started = self.0.state.as_ref().and_then(|state| state.started_at.as_deref()).unwrap_or_default();
        self.status() == ContainerStateStatusEnum::CREATED && (started.is_empty() || started.starts_with("0001-"))
    }

    pub(super) fn vanishes(&self) -> bool {
        self.0.host_config.as_ref().and_then(|host| host.auto_remove).unwrap_or(false)
    }

    /// Docker chooses a port of it, another one at each start: balancers would not find it again.
    pub(super) fn has_a_chosen_port(&self) -> bool {
        let Some(host) = &self.0.host_config else { return false };
        let mut bindings = host.port_bindings.iter().flatten().flat_map(|(_, bindings)| bindings.iter().flatten());
        host.publish_all_ports == Some(true)
            || bindings.any(|one| one.host_port.as_deref().is_none_or(|port| port.is_empty() || port == "0"))
    }

    fn made(&self) -> Option<jiff::Timestamp> {
        self.0.created.as_deref()?.parse().ok()
    }

    fn is_older_than(&self, other: &Self) -> bool {
        matches!((self.made(), other.made()), (Some(mine), Some(theirs)) if mine < theirs)
    }

    fn is_by(&self, effect: &EffectId) -> bool {
        self.label(label::EFFECT) == Some(effect.as_str())
    }

    /// Its version: by our label as long as that belongs to its image, else by the template of the image.
    pub(super) fn version(&self, image: &str, about: (&str, &Target)) -> Option<Version> {
        let labelled = self.label(label::VERSION).filter(|_| self.label(label::IMAGE) == Some(self.image()));
        labelled.and_then(|version| Version::new(version).ok()).or_else(|| version_in(self.image(), image, about))
    }

    /// The restart policy that it has while it is in its place.
    pub(super) fn restart(&self) -> Option<String> {
        self.label(label::RESTART).map(str::to_owned)
    }

    /// The restart policy that it has now.
    pub(super) fn restart_now(&self) -> String {
        recipe::restart_word(self.0.host_config.as_ref().and_then(|host| host.restart_policy.as_ref()))
    }
}

/// What there is of an instance.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) current: Option<Seen>,
    pub(super) next: Option<Seen>,
    pub(super) old: Option<Seen>,
}

/// What to do for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The right one has its place: it only has to run.
    Finish,
    /// The new one is made and the old one out of the way.
    Place,
    /// The one that was replaced takes its place again.
    Swap,
    /// One that was to take its place again, for another order, gets the instance's name.
    PutBack,
    /// One that was to take its place again, for another order, is put aside again.
    PutAside,
    /// A new one is made.
    Make,
}

/// What an order is compared with.
pub(super) struct Wanted<'a> {
    pub(super) order: &'a UpdateOrder,
    pub(super) names: &'a Names,
    /// Template of the image.
    pub(super) image: &'a str,
    pub(super) service: &'a str,
    /// See `label::RECIPE`.
    pub(super) recipe: &'a str,
    /// One that is there is not taken for one that would be fetched now.
    pub(super) always: bool,
}

impl Wanted<'_> {
    pub(super) fn version_of(&self, seen: &Seen) -> Option<Version> {
        seen.version(self.image, (self.service, &self.order.target))
    }

    /// What is to be done, or why nothing may be.
    pub(super) fn way(&self, scene: &Scene) -> Result<Way, String> {
        let Self { order, names, .. } = self;
        let wanted = |seen: &Seen| self.version_of(seen).as_ref() == Some(&order.version);
        let Scene { current, next, old } = scene;
        if current.as_ref().is_some_and(|current| current.is_by(&order.effect)) {
            return Ok(Way::Finish);
        }
        if let Some(next) = next
            && let Some(way) = self.on_its_way(scene, next, &wanted)?
        {
            return Ok(way);
        }
        let Some(old) = old else { return Ok(Way::Make) };
        let Some(current) = current else { return Ok(if wanted(old) { Way::Swap } else { Way::Make }) };
        if old.label(label::INSTANCE).is_none() && current.label(label::REPLACES) != Some(old.id()) {
            return Err(format!("container {} was not put there by rollout; remove or rename it", names.old));
        }
        // This very order, or one like it, has swapped them already.
        let left = order.previous.as_ref().is_some_and(|p| *p != order.version && self.version_of(old).as_ref() == Some(p));
        if wanted(current) && left && current.is_older_than(old) {
            return Ok(Way::Finish);
        }
        // One that came after the current one was given up: it is not taken again.
        let fits = self.goes_back(current) || (!self.always && old.label(label::RECIPE) == Some(self.recipe));
        let swap = wanted(old) && !wanted(current) && old.is_older_than(current) && fits && !old.has_a_chosen_port();
        Ok(if swap { Way::Swap } else { Way::Make })
    }

    /// Something is under the name of the next one.
    fn on_its_way(&self, scene: &Scene, next: &Seen, wanted: &dyn Fn(&Seen) -> bool) -> Result<Option<Way>, String> {
        let Self { order, names, .. } = self;
        if !next.never_ran() {
            return match (&scene.current, &scene.old) {
                _ if wanted(next) => Ok(Some(Way::Swap)),
                (None, _) => Ok(Some(Way::PutBack)),
                (Some(_), None) => Ok(Some(Way::PutAside)),
                (Some(_), Some(_)) => {
                    Err(format!("container {} has run before and is in the way; remove it, or {}", names.next, names.old))
                }
            };
        }
        if next.label(label::INSTANCE).is_none() {
            return Err(format!("container {} was not made by rollout; remove or rename it", names.next));
        }
        if !next.is_by(&order.effect) {
            // Left behind by another order; it is thrown away when a new one is made.
            return Ok(None);
        }
        match (&scene.current, next.label(label::REPLACES)) {
            (None, _) => Ok(Some(Way::Place)),
            (Some(current), Some(seen)) if current.id() != seen => Err(self.replaced_by_others(seen, current)),
            (Some(_), _) => Ok(None),
        }
    }

    /// Whether the current container was made by the deployment that now wants it gone.
    fn goes_back(&self, current: &Seen) -> bool {
        let of = |effect: &str| effect.split('/').next().map(str::to_owned);
        current.label(label::EFFECT).is_some_and(|effect| of(effect) == of(self.order.effect.as_str()))
    }

    /// Nobody's work is overwritten.
    pub(super) fn replaced_by_others(&self, seen: &str, now: &Seen) -> String {
        let seen = seen.get(..12).unwrap_or(seen);
        let name = &self.names.current;
        format!(
            "somebody else has replaced container {name} meanwhile: it was {seen} and is {} now; nothing was touched",
            now.short()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use bollard::models::{ContainerConfig, ContainerState};

    use super::*;
    use crate::model::{DeploymentId, InstanceId};

    const ZERO: &str = "0001-01-01T00:00:00Z";

    /// A container of a version, made in a minute of some hour, by an attempt if it is ours.
    fn seen(version: &str, minute: u32, by: Option<(u32, u32)>) -> Seen {
        let image = format!("shop:{version}");
        let mut labels = HashMap::new();
        if let Some((deployment, attempt)) = by {
            labels.insert(label::INSTANCE.to_owned(), "web-1".to_owned());
            labels.insert(label::EFFECT.to_owned(), effect(deployment, attempt).to_string());
            labels.insert(label::RECIPE.to_owned(), "same".to_owned());
        }
        Seen(Box::new(ContainerInspectResponse {
            id: Some(format!("{version}{minute:020}")),
            created: Some(format!("2026-01-01T00:{minute:02}:00Z")),
            config: Some(ContainerConfig { image: Some(image), labels: Some(labels), ..ContainerConfig::default() }),
            state: Some(ContainerState {
                status: Some(ContainerStateStatusEnum::EXITED),
                started_at: Some("2026-01-01T01:00:00Z".to_owned()),
                ..ContainerState::default()
            }),
            ..ContainerInspectResponse::default()
        }))
    }

    fn fresh(mut seen: Seen) -> Seen {
        let (status, started_at) = (Some(ContainerStateStatusEnum::CREATED), Some(ZERO.to_owned()));
        seen.0.state = Some(ContainerState { status, started_at, ..ContainerState::default() });
        seen
    }

    fn replacing(mut seen: Seen, other: &Seen) -> Seen {
        let labels = seen.0.config.as_mut().and_then(|config| config.labels.as_mut()).unwrap();
        labels.insert(label::REPLACES.to_owned(), other.id().to_owned());
        seen
    }

    fn effect(deployment: u32, attempt: u32) -> EffectId {
        let instance = InstanceId::new("web-1").unwrap();
        EffectId::new(&DeploymentId::new("shop", deployment), Some(&instance), "update", attempt)
    }

    /// For the order 7/2 from one version to another.
    #[expect(clippy::needless_pass_by_value, reason = "made on the spot in every row of the table")]
    fn way(from: &str, to: &str, scene: Scene) -> Result<Way, String> {
        let id = InstanceId::new("web-1").unwrap();
        let target = Target { id, host: "h".to_owned(), port: 1, zone: None, labels: BTreeMap::new() };
        let version = |text| Version::new(text).unwrap();
        let order = UpdateOrder { effect: effect(7, 2), target, version: version(to), previous: Some(version(from)) };
        let names = Names::of("web-1".to_owned());
        let image = "shop:{{ version }}";
        Wanted { order: &order, names: &names, image, service: "shop", recipe: "same", always: false }.way(&scene)
    }

    #[test]
    fn an_order_goes_on_where_it_was_left() {
        let v1 = || seen("v1", 1, None);
        let v2 = || replacing(seen("v2", 2, Some((7, 2))), &v1());
        let scene = |current, next, old| Scene { current, next, old };
        assert_eq!(way("v1", "v2", scene(Some(v1()), None, None)), Ok(Way::Make));
        assert_eq!(way("v1", "v2", scene(None, None, None)), Ok(Way::Make), "the first of all");
        assert_eq!(way("v1", "v2", scene(Some(v1()), Some(fresh(v2())), None)), Ok(Way::Make), "made, perhaps half");
        assert_eq!(way("v1", "v2", scene(None, Some(fresh(v2())), Some(v1()))), Ok(Way::Place), "the old one is away");
        assert_eq!(way("v1", "v2", scene(Some(fresh(v2())), None, Some(v1()))), Ok(Way::Finish), "not started yet");
        assert_eq!(way("v1", "v2", scene(Some(v2()), None, Some(v1()))), Ok(Way::Finish), "done");
        assert_eq!(way("v1", "v2", scene(None, None, Some(v1()))), Ok(Way::Make), "lost between two acts");
    }

    #[test]
    fn the_way_back_goes_on_where_it_was_left() {
        let v1 = || seen("v1", 1, None);
        let v2 = || replacing(seen("v2", 2, Some((7, 1))), &v1());
        let scene = |current, next, old| Scene { current, next, old };
        assert_eq!(way("v2", "v1", scene(Some(v2()), None, Some(v1()))), Ok(Way::Swap));
        assert_eq!(way("v2", "v1", scene(Some(v2()), Some(v1()), None)), Ok(Way::Swap), "on its way");
        assert_eq!(way("v2", "v1", scene(None, Some(v1()), Some(v2()))), Ok(Way::Swap), "the bad one is away");
        assert_eq!(way("v2", "v1", scene(Some(v1()), None, Some(v2()))), Ok(Way::Finish), "in its place");
        assert_eq!(way("v2", "v1", scene(None, Some(fresh(v2())), Some(v1()))), Ok(Way::Swap), "before the new one ever ran");
        assert_eq!(way("v1", "v2", scene(Some(v1()), None, Some(v2()))), Ok(Way::Make), "what was given up is made anew");
        assert_eq!(way("v2", "v3", scene(Some(v2()), Some(v1()), None)), Ok(Way::PutAside), "a way back that nobody wants");
        assert_eq!(way("v2", "v3", scene(None, Some(v1()), Some(v2()))), Ok(Way::PutBack));
        assert_eq!(way("v2", "v2", scene(Some(v2()), None, Some(v1()))), Ok(Way::Make), "a restart");
    }

    #[test]
    fn a_later_deployment_takes_the_kept_one_only_if_it_would_make_the_same() {
        let kept = |by| seen("v1", 1, by);
        let v2 = |by| replacing(seen("v2", 2, by), &kept(None));
        let scene = |current, old| Scene { current: Some(current), next: None, old: Some(old) };
        assert_eq!(way("v2", "v1", scene(v2(Some((6, 1))), kept(Some((5, 1))))), Ok(Way::Swap));
        assert_eq!(way("v2", "v1", scene(v2(Some((6, 1))), kept(None))), Ok(Way::Make), "nobody knows what it was made of");
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        let (v1, other) = (seen("v1", 1, None), seen("v1", 5, None));
        let next = fresh(replacing(seen("v2", 2, Some((7, 2))), &v1));
        let scene = Scene { current: Some(other), next: Some(next), old: None };
        assert!(way("v1", "v2", scene).unwrap_err().contains("somebody else has replaced container web-1"));
        let scene = Scene { current: Some(v1), next: None, old: Some(seen("v0", 0, None)) };
        assert!(way("v1", "v2", scene).unwrap_err().contains("web-1-rollout-old was not put there by rollout"));
        let scene = Scene { current: None, next: Some(fresh(seen("v2", 2, None))), old: None };
        assert!(way("v1", "v2", scene).unwrap_err().contains("web-1-rollout-next was not made by rollout"));
    }

    #[test]
    fn a_label_that_came_along_with_a_copy_does_not_name_the_version() {
        let id = InstanceId::new("web-1").unwrap();
        let target = Target { id, host: "h".to_owned(), port: 1, zone: None, labels: BTreeMap::new() };
        let mut copy = seen("v3", 1, None);
        let labels = copy.0.config.as_mut().and_then(|config| config.labels.as_mut()).unwrap();
        labels.extend([(label::VERSION, "v2"), (label::IMAGE, "shop:v2")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let version = |seen: &Seen| seen.version("shop:{{ version }}", ("shop", &target)).map(|v| v.to_string());
        assert_eq!(version(&copy), Some("v3".to_owned()));
    }
}
