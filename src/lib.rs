//! `rollout`: a terminal console for zero-downtime deployments, with its engine inside.

pub mod app;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod core;
pub mod demo;
pub mod effect;
pub mod event;
pub mod fleet;
pub mod headless;
pub mod journal;
pub mod model;
pub mod os;
pub mod ports;
pub mod probe;
pub mod runner;
pub mod state;
pub mod telemetry;
pub mod traffic;
pub mod tui;
