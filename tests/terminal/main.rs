//! What a terminal may do to its console, and that none of it reaches the deployment: hung up, stalled, stopped, resized,
//! leaned upon. Real terminals, real engines, real processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

#[path = "../common/mod.rs"]
mod common;
mod cycles;
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
#[path = "../e2e/fleet.rs"]
mod fleet;
mod hangup;
mod keys;
mod meanwhile;
mod pty;
mod rebound;
mod stalled;
mod stopped;
mod successor;
mod tmux;
mod wire;

/// A fleet of six whose checks a busy machine does not fail.
fn steady(sets: &[&str]) -> fleet::Fleet {
    let patient = ["vip.rate=20", "health.timeout=10s", "health.retries=10", "health.deadline=3m"];
    fleet::Fleet::start(6, rollout::demo::world::Lb::Builtin, &[&patient[..], sets].concat())
}
