//! What the next container of an instance is made of: all that the old one was given, without what its image had brought in.
//!
//! Imports: model, the driver's settings. May not: reach a daemon.
//!
//! The rule is the one of watchtower: what a container has exactly as its image has it came from the image, so the new
//! image's own takes its place; everything else somebody asked for.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, ImageConfig, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

/// A container to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Recipe {
    /// What it is created with; `image`, `labels` and `env` still lack what is new.
    pub(super) body: ContainerCreateBody,
    /// The networks that it joins besides its own, before it starts.
    pub(super) networks: BTreeMap<String, EndpointSettings>,
}

/// After the old container and its image.
pub(super) fn after(old: &ContainerInspectResponse, image: Option<&ImageConfig>) -> Recipe {
    let config = old.config.clone().unwrap_or_default();
    let mut host = old.host_config.clone().unwrap_or_default();
    let none = ImageConfig::default();
    let mut body = without_the_image(config, image.unwrap_or(&none));
    let id = old.id.clone().unwrap_or_default();
    let shared = host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:") || mode == "host");
    // Docker's default is the beginning of the id, which belongs to the old one.
    if shared || body.hostname.as_deref().is_some_and(|name| name.len() >= 12 && id.starts_with(name)) {
        body.hostname = None;
    }
    mounts(old, &mut host, &mut body);
    pin_ports(old, &mut host);
    if let Some(links) = &mut host.links {
        for link in links {
            // "/db:/shop/db" as it is shown, "db:db" as it is asked for.
            if let Some((other, alias)) = link.split_once(':') {
                *link = format!("{}:{}", other.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias));
            }
        }
    }
    host.container_id_file = None;
    let mut exposed = body.exposed_ports.take().unwrap_or_default();
    for port in host.port_bindings.iter().flatten().map(|(port, _)| port) {
        if !exposed.contains(port) {
            exposed.push(port.clone());
        }
    }
    body.exposed_ports = Some(exposed);
    let networks = networks(old, &host, &mut body);
    body.host_config = Some(host);
    Recipe { body, networks }
}

/// What was asked for, and not merely found in the image.
fn without_the_image(config: ContainerConfig, image: &ImageConfig) -> ContainerCreateBody {
    let asked = |mine: Option<Vec<String>>, theirs: &Option<Vec<String>>| -> Option<Vec<String>> {
        let theirs = theirs.as_deref().unwrap_or_default();
        mine.map(|mine| mine.into_iter().filter(|one| !theirs.contains(one)).collect())
    };
    let text = |mine: Option<String>, theirs: &Option<String>| mine.filter(|mine| Some(mine) != theirs.as_ref());
    let entrypoint_stays = config.entrypoint == image.entrypoint;
    let cmd = config.cmd.filter(|cmd| !(entrypoint_stays && Some(cmd) == image.cmd.as_ref()));
    let labels = config.labels.map(|labels| {
        let theirs = image.labels.as_ref();
        labels.into_iter().filter(|(key, value)| theirs.and_then(|theirs| theirs.get(key)) != Some(value)).collect()
    });
    ContainerCreateBody {
        hostname: config.hostname,
        domainname: config.domainname,
        user: text(config.user, &image.user),
        attach_stdin: config.attach_stdin,
        attach_stdout: config.attach_stdout,
        attach_stderr: config.attach_stderr,
        exposed_ports: asked(config.exposed_ports, &image.exposed_ports),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: asked(config.env, &image.env),
        cmd,
        healthcheck: config.healthcheck.filter(|check| Some(check) != image.healthcheck.as_ref()),
        args_escaped: None,
        image: None,
        volumes: asked(config.volumes, &image.volumes),
        working_dir: text(config.working_dir, &image.working_dir),
        entrypoint: if entrypoint_stays { None } else { config.entrypoint },
        network_disabled: config.network_disabled,
        on_build: None,
        labels,
        stop_signal: text(config.stop_signal, &image.stop_signal),
        stop_timeout: config.stop_timeout,
        shell: config.shell.filter(|shell| Some(shell) != image.shell.as_ref()),
        host_config: None,
        networking_config: None,
    }
}

/// Gives anonymous volumes by their names, so that the new container has the same ones.
fn mounts(old: &ContainerInspectResponse, host: &mut HostConfig, body: &mut ContainerCreateBody) {
    for mount in old.mounts.iter().flatten().filter(|mount| mount.typ.as_deref() == Some("volume")) {
        let (Some(name), Some(target)) = (&mount.name, &mount.destination) else { continue };
        let asked = host.mounts.iter_mut().flatten().find(|asked| asked.target.as_ref() == Some(target));
        if let Some(asked) = asked {
            if asked.source.as_deref().is_none_or(str::is_empty) {
                asked.source = Some(name.clone());
            }
            continue;
        }
        let bound = |bind: &String| bind.split(':').nth(1) == Some(target.as_str());
        if !host.binds.iter().flatten().any(bound) {
            let mode = if mount.rw == Some(false) { ":ro" } else { "" };
            host.binds.get_or_insert_default().push(format!("{name}:{target}{mode}"));
        }
        if let Some(volumes) = &mut body.volumes {
            volumes.retain(|volume| volume != target);
        }
    }
}

/// A port that docker chose stays the same: balancers know it by now.
fn pin_ports(old: &ContainerInspectResponse, host: &mut HostConfig) {
    let Some(open) = old.network_settings.as_ref().and_then(|settings| settings.ports.as_ref()) else { return };
    let free = |binding: &PortBinding| binding.host_port.as_deref().is_none_or(|port| port.is_empty() || port == "0");
    let all = host.publish_all_ports == Some(true);
    let bindings = host.port_bindings.get_or_insert_default();
    for (port, chosen) in open {
        let Some(chosen) = chosen.as_ref().filter(|chosen| !chosen.is_empty()) else { continue };
        match bindings.get_mut(port) {
            None if all => drop(bindings.insert(port.clone(), Some(chosen.clone()))),
            Some(asked) if asked.iter().flatten().any(free) => *asked = Some(chosen.clone()),
            None | Some(_) => {}
        }
    }
    if all && !open.is_empty() {
        host.publish_all_ports = Some(false);
    }
}

/// Splits the networks into the container's own, which it is made with, and those that it joins.
fn networks(
    old: &ContainerInspectResponse,
    host: &HostConfig,
    body: &mut ContainerCreateBody,
) -> BTreeMap<String, EndpointSettings> {
    let mode = host.network_mode.as_deref().unwrap_or("default");
    if mode == "host" || mode == "none" || mode.starts_with("container:") {
        return BTreeMap::new();
    }
    let all = old.network_settings.iter().filter_map(|settings| settings.networks.as_ref()).flatten();
    let id = old.id.as_deref().unwrap_or_default();
    let mut others = BTreeMap::new();
    for (name, endpoint) in all {
        let is_own = name == mode
            || (matches!(mode, "default" | "bridge") && name == "bridge")
            || endpoint.network_id.as_deref().is_some_and(|network| network == mode);
        let asked = endpoint_of(endpoint, id);
        if is_own {
            let config = HashMap::from([(name.clone(), asked)]);
            body.networking_config = Some(NetworkingConfig { endpoints_config: Some(config) });
        } else {
            others.insert(name.clone(), asked);
        }
    }
    others
}

/// What was asked of a network, without what it gave.
fn endpoint_of(endpoint: &EndpointSettings, id: &str) -> EndpointSettings {
    let aliases = endpoint.aliases.clone().map(|aliases| -> Vec<String> {
        // Docker adds the beginning of the id.
        aliases.into_iter().filter(|alias| !(alias.len() >= 12 && id.starts_with(alias.as_str()))).collect()
    });
    EndpointSettings {
        ipam_config: endpoint.ipam_config.clone(),
        links: endpoint.links.clone(),
        aliases: aliases.filter(|aliases| !aliases.is_empty()),
        driver_opts: endpoint.driver_opts.clone(),
        gw_priority: endpoint.gw_priority,
        ..EndpointSettings::default()
    }
}

/// Sets variables: each name once, ours last.
pub(super) fn set_env(env: &mut Vec<String>, ours: &[(String, String)], withdrawn: &[&str]) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    env.retain(|entry| !ours.iter().any(|(ours, _)| *ours == name(entry)) && !withdrawn.contains(&name(entry).as_str()));
    env.extend(ours.iter().map(|(name, value)| format!("{name}={value}")));
}

/// A restart policy as a word: `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:5`.
pub(super) fn restart_word(policy: Option<&RestartPolicy>) -> String {
    let Some(policy) = policy else { return "no".to_owned() };
    match (policy.name, policy.maximum_retry_count) {
        (None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO), _) => "no".to_owned(),
        (Some(RestartPolicyNameEnum::ON_FAILURE), Some(most)) if most > 0 => format!("on-failure:{most}"),
        (Some(name), _) => name.to_string(),
    }
}

/// The policy that a word stands for.
pub(super) fn restart_of(word: &str) -> Option<RestartPolicy> {
    let (name, most) = word.split_once(':').map_or((word, None), |(name, most)| (name, Some(most)));
    let name = match name {
        "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => return None,
    };
    let most = match most {
        None => None,
        Some(most) if name == RestartPolicyNameEnum::ON_FAILURE => Some(most.parse().ok()?),
        Some(_) => return None,
    };
    Some(RestartPolicy { name: Some(name), maximum_retry_count: most })
}
