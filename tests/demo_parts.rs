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

use clap::Parser;
use rollout::demo::instance::InstanceArgs;
use rollout::demo::proxy::ProxyArgs;

#[derive(Parser)]
enum Child {
    DemoInstance(InstanceArgs),
    DemoProxy(ProxyArgs),
}

/// Not a test of its own: what the other tests start as a process (see `support::program`).
#[test]
#[ignore = "started by the other tests as a child process"]
#[expect(clippy::exit, reason = "a child ends as the program would, not as a test does")]
fn child() {
    let Ok(arguments) = std::env::var("ROLLOUT_DEMO_CHILD") else { return };
    let child = Child::parse_from(std::iter::once("rollout").chain(arguments.split(' ')));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ok = runtime.block_on(async {
        match child {
            Child::DemoInstance(args) => rollout::demo::instance::run(args, support::clock).await.is_ok(),
            Child::DemoProxy(args) => rollout::demo::proxy::run(args, support::clock).await.is_ok(),
        }
    });
    std::process::exit(i32::from(!ok));
}
