//! Hosts over ssh: what runs there, what becomes of it when a link is lost, and the drivers on top, against a real sshd.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test's helpers fail as tests do")]

#[path = "../common/mod.rs"]
mod common;
mod guide;
mod releases;
mod sshd;
mod transport;
