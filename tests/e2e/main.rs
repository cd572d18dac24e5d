//! The program as its users meet it: real processes, a real balancer, real traffic, real terminals.

#[path = "../common/mod.rs"]
mod common;
mod deployment;
mod engine;
mod fleet;
mod terminal;
mod traffic;
