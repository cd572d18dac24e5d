//! Instances on hosts over ssh, by commands and by releases.

use std::fs;
use std::sync::Arc;

use rollout::fleet::{self, HostsSettings, ReleaseSettings, Settings, SshSettings, Step};
use rollout::model::Target;
use rollout::ports::FleetDriver;

use crate::World;
use crate::local::{START, commands, starts, words};
use crate::sshd;

/// The ssh driver.
pub(crate) struct Hosts {
    hosts: sshd::Hosts,
    release: bool,
}

impl Hosts {
    pub(crate) fn new(release: bool) -> Option<Self> {
        let hosts = sshd::Hosts::start(2)?;
        for version in ["v1", "v2", "v3", "bad2", "slow2", "v1+b.2_3", "v0-..-", "v9.9_rc+1"] {
            let source = hosts.path("builds").join(version);
            fs::create_dir_all(&source).unwrap();
            fs::write(source.join("version"), version).unwrap();
        }
        Some(Self { hosts, release })
    }

    fn build(&self, shell: &str) -> Result<Arc<dyn FleetDriver>, String> {
        let dir = self.hosts.path("srv");
        let mut settings = commands(&dir, self.hosts.path("records"), shell);
        let options = self.hosts.options();
        let mut release = None;
        if self.release {
            let base = format!("{}/{{{{ instance.id }}}}", dir.display());
            settings.observe = Vec::new();
            // It starts what is current, and not what it is told.
            let start = words(&[shell, "-c", &format!("set -- \"$1\" \"$(cat \"$1/current/version\")\"; {START}"), "sh", &base]);
            settings.steps = vec![Step { name: "start", argv: start }];
            let source = format!("{}/{{{{ version }}}}", self.hosts.path("builds").display());
            release = Some(ReleaseSettings { source, path: base, keep: 3 });
        }
        let ssh = Some(SshSettings { host: "{{ instance.host }}".to_owned(), options });
        let settings =
            Settings::Hosts(Box::new(HostsSettings { commands: settings, env: "default".to_owned(), ssh, release, unit: None }));
        fleet::prepare(&settings)?;
        fleet::build(&settings)
    }
}

impl World for Hosts {
    fn driver(&self) -> Arc<dyn FleetDriver> {
        self.build("sh").unwrap()
    }

    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String> {
        self.build("/no-such/sh")
    }

    fn starts(&self, target: &Target) -> usize {
        starts(&self.hosts.path("srv"), target)
    }

    fn cut(&mut self) -> bool {
        self.hosts.down(0);
        true
    }
}
