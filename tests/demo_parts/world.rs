//! The demo's world: it comes up with either balancer, holds the ports, and leaves nothing behind.

use std::path::{Path, PathBuf};

use rollout::demo::world::{Lb, Spec, World};
use tokio::net::TcpListener;

use crate::support::{Instance, ask, column, get, haproxy, program, temp, until};

/// True while some process holds a Unix socket below `dir`, as a balancer does with its runtime API.
fn runs(dir: &Path) -> bool {
    std::fs::read_to_string("/proc/net/unix").unwrap().contains(dir.to_str().unwrap())
}

fn port_of(world: &World) -> u16 {
    world.url().rsplit(':').next().unwrap().parse().unwrap()
}

/// The whole of it: prepare, start the instances in their ports, be served through the balancer, close, nothing left.
async fn lives_and_ends(lb: Lb, exe: PathBuf, files: &Path) {
    let world = World::prepare(&Spec { instances: 3, lb, instance_exe: exe }).await.unwrap();
    let dir = world.dir().to_owned();
    assert!(runs(&dir), "a balancer runs for {}", dir.display());
    let config = std::fs::read_to_string(world.config_path()).unwrap();
    assert!(config.contains("demo-instance") && config.contains(&world.url()), "{config}");

    let ids: Vec<_> = world.targets().iter().map(|target| target.id.to_string()).collect();
    assert_eq!(ids, ["web-01", "web-02", "web-03"]);
    let instances: Vec<_> = world.targets().iter().map(|t| Instance::start(files, t.id.as_str(), "v1", t.port)).collect();
    for id in &ids {
        column(&world.admin_socket(), id, "status", "UP").await;
    }
    let mut served = Vec::new();
    for _ in 0..3 {
        served.push(get(port_of(&world), "/").await.unwrap().body);
    }
    served.sort();
    assert_eq!(served, ["web-01 v1\n", "web-02 v1\n", "web-03 v1\n"]);

    drop(instances);
    world.close().await.unwrap();
    assert!(!dir.exists());
    assert!(!runs(&dir));
}

#[tokio::test]
async fn with_the_built_in_balancer() {
    let files = temp();
    lives_and_ends(Lb::Builtin, program(), files.path()).await;
}

#[tokio::test]
async fn with_a_real_haproxy() {
    if haproxy().is_none() {
        return;
    }
    let files = temp();
    lives_and_ends(Lb::Haproxy, program(), files.path()).await;
}

#[tokio::test]
async fn a_dropped_world_kills_its_balancer_and_removes_its_directory() {
    let spec = Spec { instances: 2, lb: Lb::Builtin, instance_exe: program() };
    let world = World::prepare(&spec).await.unwrap();
    let (dir, port) = (world.dir().to_owned(), port_of(&world));
    assert!(runs(&dir));
    assert!(TcpListener::bind(("127.0.0.1", port)).await.is_err(), "the balancer listens");
    drop(world);
    assert!(!dir.exists());
    until("end of the balancer", || async { (!runs(&dir)).then_some(()) }).await;
}

#[tokio::test]
async fn two_hundred_instances_fit() {
    let spec = Spec { instances: 200, lb: Lb::Builtin, instance_exe: program() };
    let world = World::prepare(&spec).await.unwrap();
    let mut ports: Vec<_> = world.targets().iter().map(|target| target.port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 200);
    let state = ask(&world.admin_socket(), "show servers state be_demo").await.unwrap();
    assert_eq!(state.lines().filter(|line| line.contains(" be_demo ") && !line.starts_with('#')).count(), 200);
    world.close().await.unwrap();
}
