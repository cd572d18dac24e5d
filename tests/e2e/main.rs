//! The program as its users meet it: real processes, a real balancer, real traffic, real terminals.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

mod canary;
#[path = "../common/mod.rs"]
mod common;
mod deployment;
mod engine;
#[allow(clippy::allow_attributes, reason = "shared with makespan, which uses more of it")]
#[allow(dead_code, reason = "shared with makespan, which uses more of it")]
mod fleet;
mod hey;
mod steering;
mod terminal;
mod traffic;
mod upgrade;
