//! What every fleet driver promises, one list for all of them: the real ones against real things, the simulated one too, so
//! that simulation and reality agree.
//!
//! A driver joins by a file that implements [`World`] and a line of [`promises!`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as tests do"
)]
#![allow(clippy::allow_attributes, dead_code, reason = "of the shared helpers only some are used here")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../docker/site.rs"]
mod daemon;
mod docker;
mod hosts;
mod local;
#[path = "../machine/mod.rs"]
mod machine;
mod memory;
mod promises;
#[path = "../remote/sshd.rs"]
mod sshd;
mod systemd;

use std::sync::Arc;

use rollout::model::{DeploymentId, EffectId, InstanceId, Target, Version};
use rollout::ports::{FleetDriver, UpdateOrder};

/// A place with two instances, on which nothing was ever deployed, and drivers for it.
///
/// Versions that begin with `v` start well, those that begin with `bad` do not, those that begin with `slow` take longer
/// than anybody waits.
pub(crate) trait World {
    /// A driver as an engine has it; each call is another engine.
    fn driver(&self) -> Arc<dyn FleetDriver>;
    /// One whose program, image or unit is not there, under a name with `no-such`; it may be refused when it is built.
    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String>;
    /// How often a version was started on an instance.
    fn starts(&self, target: &Target) -> usize;
    /// Cuts the hosts off; false where instances are on no host that could be.
    fn cut(&mut self) -> bool;
}

pub(crate) fn target(n: u16) -> Target {
    // As odd as ids may be.
    let id = InstanceId::new(&format!("web-{n}.a_b")).unwrap();
    Target { id, host: format!("host-{n}"), port: 8000 + n, zone: None, labels: std::collections::BTreeMap::default() }
}

pub(crate) fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

/// Order number `n` for an instance.
pub(crate) fn order(target: &Target, to: &str, from: Option<&str>, n: u32) -> UpdateOrder {
    let deployment: DeploymentId = DeploymentId::new("shop", 1);
    UpdateOrder {
        effect: EffectId::new(&deployment, Some(&target.id), "update", n),
        target: target.clone(),
        version: version(to),
        previous: from.map(version),
    }
}

/// A test for each promise and driver.
macro_rules! promises {
    ($($driver:ident: $world:expr;)*) => {$(
        mod $driver {
            promises!(@each $world; nothing_is_there_at_first an_update_brings_the_version the_same_order_twice_is_one
                a_version_that_does_not_start_is_told it_goes_back an_update_that_is_dropped_can_be_followed_by_another
                a_host_that_is_cut_off_is_unknown what_is_odd_arrives_as_it_is two_instances_at_once
                what_is_missing_is_named_and_nothing_touched what_runs_can_be_stopped);
        }
    )*};
    (@each $world:expr; $($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            // A world whose server is not installed was named as skipped.
            if let Some(mut world) = $world {
                crate::promises::$promise(&mut world).await;
            }
        }
    )*};
}

promises! {
    process: crate::local::Processes::new();
    command: crate::local::Commands::new();
    ssh: crate::hosts::Hosts::new(false);
    ssh_release: crate::hosts::Hosts::new(true);
    containers: crate::docker::Containers::new().await;
    units: crate::systemd::Units::new();
    simulated: crate::memory::Simulated::new();
}
