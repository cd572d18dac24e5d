//! The docker driver against real daemons, each with its own data and its own bridge.
//!
//! Imports: config, fleet. May not: sleep without a condition.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]
#![expect(clippy::indexing_slicing, reason = "what docker does not tell is null, and fails")]

#[path = "../common/mod.rs"]
mod common;
mod containers;
mod deployment;
mod discover;
mod faults;
mod places;
mod registry;
mod site;
