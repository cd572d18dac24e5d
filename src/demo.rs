//! The demo's real pieces: instances, a balancer, and the small world that they live in.
//!
//! Imports: model, its children. May not: know an adapter, the configuration or the composition root, which starts it all.

mod effective;
pub mod haproxy;
pub mod instance;
pub mod proxy;
mod reserve;
pub mod world;

use std::io::Write as _;

use crate::model::Timestamp;

/// Reads the wall clock; handed in, since only one file of the crate may read a clock.
pub type WallClock = fn() -> Timestamp;

/// One line of a demo process's own log: on its standard output, where its starter keeps it.
fn log(clock: WallClock, text: &str) {
    // Nobody reads it any more: no reason to end.
    writeln!(std::io::stdout().lock(), "{} {text}", clock()).ok();
}
