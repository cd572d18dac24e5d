//! Hooks and steps: the runner with real programs, and deployments by the program itself that go through them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

mod deployments;
mod plans;
mod runner;

use fleet::Fleet;
use rollout::demo::world::Lb;

/// A fleet with little traffic and patient probes, so that a machine at its limit decides nothing.
fn calm(instances: u32, sets: &[&str]) -> Fleet {
    let own =
        ["strategy.batch_pause=100ms", "vip.rate=20", "health.timeout=10s", "health.start_timeout=30s", "health.deadline=60s"];
    Fleet::start(instances, Lb::Builtin, &[&own[..], sets].concat())
}
