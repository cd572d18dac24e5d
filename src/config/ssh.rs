//! `[update]` for instances on hosts: `[update.ssh]`, `[update.release]`, `[update.systemd]`.
//!
//! Imports: config's reader, the drivers' settings, model. May not: reach anything.

use std::path::{Path, PathBuf};

use super::argv;
use super::section::Section;
use super::template::{self, OF_A_COMMAND, OF_A_SERVER};
use super::value::shown;
use crate::fleet::{ReleaseSettings, SshSettings, Step, UnitSettings};
use crate::model::Span;
use crate::os::extract::Extract;
use crate::os::program::Environment;
use crate::os::ssh;

/// What `[update]` says of hosts.
pub(super) struct Hosts {
    pub(super) observe: Option<argv::Asked>,
    pub(super) steps: Vec<Step>,
    pub(super) env: Environment,
    pub(super) observe_timeout: Span,
    pub(super) idempotent: bool,
    pub(super) ssh: Option<SshSettings>,
    pub(super) release: Option<ReleaseSettings>,
    pub(super) unit: Option<UnitSettings>,
}

impl Hosts {
    /// The version's command with where its answer is.
    pub(super) fn asked(&mut self) -> (Vec<String>, Extract, Vec<u32>) {
        self.observe
            .take()
            .map_or_else(|| (Vec::new(), Extract::FirstLine, Vec::new()), |it| (it.argv, it.answer, it.not_running))
    }
}

/// Reads the keys of the driver, `systemd` or else `ssh`.
pub(super) fn read(section: &mut Section<'_>, systemd: bool) -> Hosts {
    let observe = argv::asked(section, "observe", &OF_A_SERVER);
    let mut steps = Vec::new();
    let names: &[&'static str] = if systemd { &["command"] } else { &["stop", "command", "start"] };
    for name in names {
        steps.extend(argv::read(section, name, &OF_A_COMMAND).map(|argv| Step { name, argv }));
    }
    if systemd {
        for key in ["start", "stop"] {
            section.misplaced(key, "is the unit's affair: systemd restarts it when the version is there");
        }
    }
    section.misplaced("update", "is called command here: the step between stop and start");
    let env = argv::env(section);
    let observe_timeout = section.positive_span("observe_timeout", Span::from_secs(10)).value;
    let idempotent = section.flag("idempotent", false).value;
    let (ssh_given, ssh) = ssh(section);
    let release = release(section);
    let unit = if systemd {
        unit(section)
    } else {
        section.misplaced("systemd", "is for fleet.driver = \"systemd\"");
        None
    };
    let has_release = release.is_some() || section.had("release");
    if !has_release && !section.had("observe") {
        section.require(
            "observe",
            "is missing; add the command that prints the version which runs: observe = [\"cat\", \"/srv/shop/VERSION\"], or \
             [update.release]",
        );
    }
    if !has_release && !section.had("start") && !section.had("command") {
        section.fault(
            section.place(),
            "command",
            "is missing; add the command that updates an instance: command = [\"/opt/shop/update\", \"{{ version }}\"], or \
             [update.release]",
        );
    }
    // Without the table, systemd is that of this host.
    let ssh = ssh.filter(|_| ssh_given || !systemd);
    Hosts { observe, steps, env, observe_timeout, idempotent, ssh, release, unit }
}

/// What is not there is as the user's own configuration of ssh says.
fn ssh(parent: &mut Section<'_>) -> (bool, Option<SshSettings>) {
    let mut section = parent.table("ssh");
    let given = section.present();
    let host = template_of(&mut section, "host", &OF_A_SERVER).unwrap_or_else(|| "{{ instance.host }}".to_owned());
    let options = options(&mut section);
    section.finish();
    (given, Some(SshSettings { host, options }))
}

/// How hosts are reached.
pub(super) fn options(section: &mut Section<'_>) -> ssh::Options {
    let word = |section: &mut Section<'_>, key: &str| {
        let text = section.plain(key)?;
        let bad = text.value.is_empty() || text.value.starts_with('-') || text.value.contains(|c: char| c.is_whitespace());
        if bad {
            section.fault(
                text.place,
                key,
                format!("{} is no name for ssh; write it as for its command line", shown(&text.value)),
            );
        }
        Some(text.value)
    };
    let user = word(section, "user");
    let port = section.number_if_given("port", (1, 65_535)).and_then(|port| u16::try_from(port.value).ok());
    let path = |section: &mut Section<'_>, key: &str| {
        let text = section.text(key)?;
        if !text.value.full.starts_with('/') {
            section.fault(text.place, key, format!("{} is a relative path; write an absolute one", shown(&text.value.raw)));
        }
        Some(PathBuf::from(text.value.full))
    };
    let (config, identity) = (path(section, "config"), path(section, "identity"));
    let jump = word(section, "jump");
    let connect_timeout = section.positive_span("connect_timeout", Span::from_secs(10)).value.to_std();
    ssh::Options { user, port, config, identity, jump, connect_timeout }
}

fn release(parent: &mut Section<'_>) -> Option<ReleaseSettings> {
    let mut section = parent.table("release");
    let given = section.present();
    let source = template_of(&mut section, "source", &OF_A_COMMAND);
    let path = section.text("path").map(|path| {
        if let Err(remedy) = template::check(&path.value.raw, &OF_A_SERVER) {
            section.fault(path.place, "path", remedy);
        } else if !path.value.raw.starts_with('/') {
            section.fault(path.place, "path", format!("{} is a relative path; write an absolute one", shown(&path.value.raw)));
        }
        path.value.template
    });
    let keep = section.number("keep_releases", 5, (2, 1000)).value;
    if given {
        section.require("source", "is missing; add where a version is built: source = \"/builds/shop-{{ version }}.tar.gz\"");
        section.require("path", "is missing; add the directory on the hosts: path = \"/srv/shop\"");
    }
    section.finish();
    Some(ReleaseSettings { source: source?, path: path?, keep }).filter(|_| given)
}

fn unit(parent: &mut Section<'_>) -> Option<UnitSettings> {
    let mut section = parent.table("systemd");
    let unit = template_of(&mut section, "unit", &OF_A_COMMAND);
    section.require("unit", "is missing; add the unit of an instance: unit = \"shop@{{ instance.port }}.service\"");
    let user = section.choice("scope", &[("system", false), ("user", true)], &[]).is_some_and(|scope| scope.value);
    let sudo = section.flag("sudo", false);
    if user && sudo.value {
        section.fault(sudo.place, "sudo", "contradicts scope = \"user\"; a user restarts its own units");
    }
    let journal_lines = section.number("journal_lines", 10, (0, 100)).value;
    section.finish();
    Some(UnitSettings { unit: unit?, user, sudo: sudo.value, journal_lines })
}

fn template_of(section: &mut Section<'_>, key: &str, variables: &[&str]) -> Option<String> {
    let text = section.text(key)?;
    if let Err(remedy) = template::check(&text.value.raw, variables) {
        section.fault(text.place, key, remedy);
    }
    Some(text.value.template)
}

/// A source is looked for beside the file that names it.
pub(super) fn beside(base: &Path, release: ReleaseSettings) -> ReleaseSettings {
    let source = if release.source.starts_with('{') { PathBuf::from(&release.source) } else { base.join(&release.source) };
    ReleaseSettings { source: source.to_string_lossy().into_owned(), ..release }
}
