//! The demo's pieces as they run: instances as processes, the proxy under traffic, and the proxy beside a real HAProxy.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test's helpers fail as tests do"
)]

#[path = "demo_parts/instance.rs"]
mod instance;
#[path = "demo_parts/proxy.rs"]
mod proxy;
#[path = "demo_parts/runtime_api.rs"]
mod runtime_api;
#[path = "demo_parts/support.rs"]
mod support;
#[path = "demo_parts/world.rs"]
mod world;
