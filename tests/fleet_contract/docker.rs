//! Instances in containers, on a daemon of their own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rollout::fleet;
use rollout::model::Target;
use rollout::ports::FleetDriver;
use rustix::process::Signal;

use crate::daemon::Site;
use crate::local::starts;
use crate::{World, target};

/// What an image runs: it writes down that it starts, then does as its version's name says.
const START: &str = "version=$(cat /www/version); echo $version >>/out/starts; trap 'exit 0' TERM; \
                     case $version in bad*) echo no such plug-in >&2; exit 3;; esac; sleep 1000 & wait";

/// The docker driver.
pub(crate) struct Containers {
    site: Site,
}

impl Containers {
    pub(crate) async fn new() -> Option<Self> {
        let world = Self { site: Site::start().await? };
        let command = format!("CMD [\"/bin/sh\", \"-c\", \"{START}\"]");
        for reference in ["shop:v1", "shop:bad2"] {
            world.site.image(reference, &[&command]);
        }
        for tag in ["v2", "v3", "slow2", "v1_b.2_3", "v0-..-", "v9.9_rc_1"] {
            world.site.docker(&["tag", "shop:v1", &format!("shop:{tag}")]);
        }
        for n in [1, 2] {
            fs::create_dir_all(world.out().join(target(n).id.as_str())).unwrap();
        }
        Some(world)
    }

    fn out(&self) -> PathBuf {
        self.site.path("out")
    }

    fn build(&self, image: &str) -> Result<Arc<dyn FleetDriver>, String> {
        // A tag cannot hold all that a version can. Without a network no port of the host is taken.
        let docker = format!(
            "image = \"{image}:{{{{ version|replace('+', '_') }}}}\"\npull = \"never\"\n\
             container_port = 1\nnetworks = [\"none\"]\nmounts = [\"{}/{{{{ instance.id }}}}:/out\"]\n",
            self.out().display()
        );
        let config = self.site.config(1, &docker);
        fleet::prepare(&config.fleet)?;
        fleet::build(&config.fleet)
    }
}

impl World for Containers {
    fn driver(&self) -> Arc<dyn FleetDriver> {
        self.build("shop").unwrap()
    }

    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String> {
        self.build("no-such")
    }

    fn starts(&self, target: &Target) -> usize {
        starts(&self.out(), target)
    }

    fn cut(&mut self) -> bool {
        self.site.down(Signal::TERM);
        true
    }
}
