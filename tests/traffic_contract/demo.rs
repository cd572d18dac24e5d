//! The demo's own balancer, by the driver for HAProxy.
//!
//! Imports: the shared parts, demo, traffic. May not: know more of it than HAProxy's runtime API.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rollout::model::{Rotation, Span};
use rollout::ports::TrafficDriver;
use rollout::traffic::{self, HaproxySettings, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::common::{free_port, temp_dir, wait_for};
use crate::world::{Front, Instances, Traits, World, ask};

pub(crate) struct Demo {
    child: Child,
    port: u16,
    dir: TempDir,
    instances: Instances,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Demo {
    fn socket(&self) -> PathBuf {
        self.dir.path().join("lb.sock")
    }

    pub(crate) async fn command(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).await.ok()?;
        stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    fn spawn(port: u16, dir: &TempDir, instances: &Instances) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command.args(["demo-proxy", "--port", &port.to_string(), "--check-ms", "50", "--backend", "shop", "--admin-socket"]);
        command.arg(dir.path().join("lb.sock"));
        for (name, port) in ["web-01", "web-02", "web-03"].iter().zip(instances.ports) {
            command.arg(format!("--server={name}=127.0.0.1:{port}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the demo's balancer")
    }

    async fn serving(&self) {
        wait_for("the demo's balancer", async || ask(self.front(), "/").await.starts_with("web").then_some(())).await;
    }
}

impl World for Demo {
    async fn new(instances: Instances) -> Option<Self> {
        let (dir, port) = (temp_dir(), free_port());
        let child = Self::spawn(port, &dir, &instances);
        let world = Self { child, port, dir, instances };
        world.serving().await;
        Some(world)
    }

    fn traits() -> Traits {
        Traits { foreign: Rotation::Maintenance, counts: true, remembers: false, adds: false }
    }

    fn instances(&self) -> &Instances {
        &self.instances
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        let settings = HaproxySettings {
            service: "shop".to_owned(),
            sockets: vec![format!("unix:{}", self.socket().display())],
            backend: "shop".to_owned(),
            server: "{{ instance.id }}".to_owned(),
            add: "check".to_owned(),
            await_slow_start: false,
            timeout: Span::from_secs(2),
        };
        traffic::build(&Settings::Haproxy(settings)).expect("settings that work")
    }

    fn front(&self) -> Front {
        Front::Tcp(self.port)
    }

    async fn take_out_by_somebody_else(&self) {
        self.command("set server shop/web-02 state maint").await.expect("it answers");
    }

    fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    async fn start(&mut self) {
        self.child = Self::spawn(self.port, &self.dir, &self.instances);
        self.serving().await;
    }
}
