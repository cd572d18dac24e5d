//! How an engine ends before its deployment does, and what is left then: signals, panics, a journal that takes nothing.
//! Real processes, a real balancer, real traffic.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

#[path = "../common/mod.rs"]
mod common;
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
#[path = "../e2e/fleet.rs"]
mod fleet;
mod front_doors;
mod journal;
mod panics;
mod signals;
mod slow;
