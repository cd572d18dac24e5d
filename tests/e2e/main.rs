//! The program as its users meet it: real processes, a real balancer, real traffic, real terminals.

#[path = "../common/mod.rs"]
mod common;
mod deployment;
mod engine;
#[allow(clippy::allow_attributes, reason = "shared with makespan, which uses more of it")]
#[allow(dead_code, reason = "shared with makespan, which uses more of it")]
mod fleet;
mod terminal;
mod traffic;
