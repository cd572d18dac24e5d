//! `[update]`: how an instance is brought to a version, by the fleet's driver.
//!
//! Imports: config's reader, the drivers' settings, model. May not: reach anything.

use std::path::{Path, PathBuf};

use super::argv;
use super::docker;
use super::section::{Placed, Section};
use super::ssh::{self, Hosts};
use super::surroundings::Service;
use super::template::{OF_A_COMMAND, OF_A_SERVER};
use crate::fleet::docker::DockerSettings;
use crate::fleet::{self, CommandSettings, HostsSettings, ProcessSettings, Step};
use crate::model::{Policy, Span};
use crate::os::extract::Extract;
use crate::os::program::{Environment, INHERITED};

/// The drivers of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Process,
    Command,
    Ssh,
    Systemd,
    Docker,
}

/// What `[update]` says.
pub(super) struct Update {
    pub(super) timeout: Placed<Span>,
    pub(super) stop_timeout: Placed<Span>,
    /// `None` if it is not known what should have stood here.
    keys: Option<Keys>,
}

/// The keys of a driver.
enum Keys {
    Process { start: Vec<String>, env: Environment },
    Command(Box<Commands>),
    Hosts(Box<Hosts>),
    Docker(Box<DockerSettings>),
}

struct Commands {
    observe: Vec<String>,
    version: Extract,
    not_running: Vec<u32>,
    steps: Vec<Step>,
    env: Environment,
    observe_timeout: Span,
    idempotent: bool,
}

impl Update {
    /// The settings of the driver, which keeps its records in `dir`. What the configuration has `read` from the environment
    /// is passed on to a process only by name, but for what every program is given.
    pub(super) fn settings(self, of: &Service, (base, dir): (&Path, PathBuf), read: Vec<String>) -> Option<fleet::Settings> {
        let (service, timeout, stop_timeout) = (of.name.clone(), self.timeout.value, self.stop_timeout.value);
        Some(match self.keys? {
            Keys::Process { start, env } => {
                let withheld = read.into_iter().filter(|name| !INHERITED.contains(&name.as_str())).collect();
                let driver = ProcessSettings { service, start, env, withheld, stop_timeout, dir };
                fleet::Settings::Process(driver)
            }
            Keys::Command(commands) => {
                let Commands { observe, version, not_running, steps, env, observe_timeout, idempotent } = *commands;
                let driver = CommandSettings {
                    service,
                    observe,
                    version,
                    not_running,
                    steps,
                    env,
                    timeout,
                    stop_timeout,
                    observe_timeout,
                    idempotent,
                    dir,
                };
                fleet::Settings::Command(driver)
            }
            Keys::Hosts(mut hosts) => {
                let (observe, version, not_running) = hosts.asked();
                let Hosts { steps, env, observe_timeout, idempotent, ssh, release, unit, .. } = *hosts;
                let commands = CommandSettings {
                    service,
                    observe,
                    version,
                    not_running,
                    steps,
                    env,
                    timeout,
                    stop_timeout,
                    observe_timeout,
                    idempotent,
                    dir,
                };
                let release = release.map(|release| ssh::beside(base, release));
                fleet::Settings::Hosts(Box::new(HostsSettings { commands, env: of.env.clone(), ssh, release, unit }))
            }
            Keys::Docker(docker) => {
                fleet::Settings::Docker(Box::new(DockerSettings { service, timeout, stop_timeout, ..*docker }))
            }
        })
    }
}

/// What only the command driver has.
const OF_COMMAND: [&str; 5] = ["command", "observe", "stop", "observe_timeout", "idempotent"];

/// What only the drivers of hosts have.
const OF_HOSTS: [&str; 3] = ["ssh", "release", "systemd"];

/// Reads `[update]`. Without a driver nothing can be said of the keys.
pub(super) fn read(root: &mut Section<'_>, driver: Option<Driver>) -> Update {
    let mut section = root.table("update");
    let timeout = section.positive_span("timeout", Policy::default().update.timeout);
    let stop_timeout = section.span("stop_timeout", Span::from_secs(5));
    if let Some(Driver::Process | Driver::Command | Driver::Docker) = driver {
        for key in OF_HOSTS {
            section.misplaced(key, "is for fleet.driver = \"ssh\" or \"systemd\"");
        }
    }
    if driver.is_some_and(|driver| driver != Driver::Docker) {
        section.misplaced("docker", "is for fleet.driver = \"docker\"; remove the table, or choose that driver");
    }
    let keys = match driver {
        Some(Driver::Process) => Some(process(&mut section)),
        Some(Driver::Command) => commands(&mut section).map(|commands| Keys::Command(Box::new(commands))),
        Some(driver @ (Driver::Ssh | Driver::Systemd)) => {
            Some(Keys::Hosts(Box::new(ssh::read(&mut section, driver == Driver::Systemd))))
        }
        Some(Driver::Docker) => containers(&mut section).map(|docker| Keys::Docker(Box::new(docker))),
        None => {
            for key in OF_COMMAND.iter().chain(&["start", "env", "docker"]).chain(&OF_HOSTS) {
                section.take(key);
            }
            None
        }
    };
    section.finish();
    Update { timeout, stop_timeout, keys }
}

fn process(section: &mut Section<'_>) -> Keys {
    let start = argv::read(section, "start", &OF_A_COMMAND);
    section.require(
        "start",
        "is missing; add the command that runs an instance: start = [\"/opt/shop/bin/shop\", \"--port={{ instance.port }}\"]",
    );
    for key in OF_COMMAND {
        let remedy = "is for fleet.driver = \"command\"; the process driver starts and stops by itself: write only start and env";
        section.misplaced(key, remedy);
    }
    Keys::Process { start: start.unwrap_or_default(), env: argv::env(section) }
}

fn containers(section: &mut Section<'_>) -> Option<DockerSettings> {
    for key in OF_COMMAND.iter().chain(&["start"]) {
        let remedy = "is for other drivers; a container runs what its image says, or [update.docker] command";
        section.misplaced(key, remedy);
    }
    let env = argv::env(section);
    docker::read(section, env)
}

fn commands(section: &mut Section<'_>) -> Option<Commands> {
    let observe = argv::asked(section, "observe", &OF_A_SERVER);
    section.require(
        "observe",
        "is missing; add the command that prints the version which runs: observe = [\"cat\", \"/srv/shop/VERSION\"]",
    );
    let mut steps = Vec::new();
    for name in ["stop", "command", "start"] {
        steps.extend(argv::read(section, name, &OF_A_COMMAND).map(|argv| Step { name, argv }));
    }
    if !section.had("start") {
        section.require(
            "command",
            "is missing; add the command that updates an instance: command = [\"/opt/shop/update\", \"{{ version }}\"]",
        );
    }
    section.misplaced("update", "is called command here: the step between stop and start");
    let env = argv::env(section);
    let observe_timeout = section.positive_span("observe_timeout", Span::from_secs(10)).value;
    let idempotent = section.flag("idempotent", false).value;
    let argv::Asked { argv: observe, answer: version, not_running } = observe?;
    Some(Commands { observe, version, not_running, steps, env, observe_timeout, idempotent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::Place;

    #[test]
    fn what_every_program_is_given_is_withheld_from_none() {
        let span = || Placed { value: Span::ZERO, place: Place::Nowhere, given: false, sound: true };
        let keys = Keys::Process { start: Vec::new(), env: Environment::default() };
        let update = Update { timeout: span(), stop_timeout: span(), keys: Some(keys) };
        let service = Service { name: "shop".to_owned(), env: "default".to_owned() };
        let read = ["HOME", "PATH", "SHOP_TOKEN"].map(str::to_owned).to_vec();
        let Some(fleet::Settings::Process(settings)) = update.settings(&service, (Path::new(""), PathBuf::new()), read) else {
            panic!("the driver is process");
        };
        assert_eq!(settings.withheld, ["SHOP_TOKEN"]);
    }
}
