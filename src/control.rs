//! The control socket: HTTP/1.1 with JSON and server-sent events over a Unix socket, and a client of it.
//!
//! Imports: ports, event, command, model, os. May not: decide, fold, draw; let a slow or broken peer reach the engine.

mod alive;
mod client;
mod ledger;
mod link;
mod peer;
mod server;
mod socket;
mod sse;
pub mod wire;

pub use alive::{Answer, answer};
pub use client::{Client, Patience};
pub use link::{OtherEngine, other_engine};
pub use peer::{own_actor, own_login};
pub use server::{Door, Limits, Server};
pub use socket::{ControlError, engine_pid};
