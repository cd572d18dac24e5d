//! The command line as its users meet it: the program itself, against a real fleet and a real balancer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "common/mod.rs"]
mod common;
#[path = "e2e/fleet.rs"]
#[allow(clippy::allow_attributes, reason = "shared with e2e, which uses more of it")]
#[allow(dead_code, reason = "shared with e2e, which uses more of it")]
mod fleet;

#[path = "cli/alone.rs"]
mod alone;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/examples.rs"]
mod examples;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/past.rs"]
mod past;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/scope.rs"]
mod scope;
#[path = "cli/startable.rs"]
mod startable;

/// No line is wider than a terminal.
fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}
