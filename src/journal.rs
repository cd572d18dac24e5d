//! The journal: every event of every deployment of a service, on disk before anything is done about it.
//!
//! Imports: ports, event, model, os. May not: decide, fold, know a socket or a screen.

mod codec;
mod lease;
mod local;
mod memory;
mod place;
mod sqlite;

pub use codec::{DecodeError, decode, encode};
pub use lease::{Holder, Lease, Taking};
pub use memory::Memory;
pub use place::{log_path, look, prepare, service_dir, sharing, socket_path};
pub use sqlite::Sqlite;
