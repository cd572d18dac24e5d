//! The real Caddy, and the driver that speaks to its admin API.
//!
//! Imports: the shared parts, traffic. May not: touch the machine's own Caddy.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rollout::model::{Rotation, Span};
use rollout::ports::TrafficDriver;
use rollout::traffic::{self, CaddySettings, Settings};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::common::{server, temp_dir, wait_for};
use crate::world::{Front, Instances, Traits, World, ask, signal};

pub(crate) struct Caddy {
    binary: PathBuf,
    child: Child,
    pub(crate) dir: TempDir,
    instances: Instances,
}

impl Drop for Caddy {
    fn drop(&mut self) {
        signal(&self.child, Signal::TERM);
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Caddy {
    pub(crate) fn settings(&self) -> CaddySettings {
        CaddySettings {
            service: "shop".to_owned(),
            admin: vec![format!("unix/{}", self.dir.path().join("admin").display())],
            handler: "/id/shop".to_owned(),
            server: "{{ instance.host }}:{{ instance.port }}".to_owned(),
            timeout: Span::from_secs(5),
        }
    }

    pub(crate) fn build(settings: CaddySettings) -> Arc<dyn TrafficDriver> {
        traffic::build(&Settings::Caddy(Box::new(settings))).expect("settings that work")
    }

    /// A request to the admin API, as another person would send it; the body of the answer.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir.path().join("admin")).await.ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    /// The handler as it is configured now.
    pub(crate) async fn handler(&self) -> Value {
        let answer = self.admin("GET", "/id/shop", "").await.expect("Caddy answers");
        let json: String = answer.lines().filter(|line| line.starts_with('{')).collect();
        serde_json::from_str(&json).expect("the handler")
    }

    fn spawn(binary: &PathBuf, dir: &TempDir) -> Child {
        let log = std::fs::File::create(dir.path().join("output")).expect("a log");
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(dir.path().join("caddy.json"));
        command.env("HOME", dir.path()).env("XDG_CONFIG_HOME", dir.path()).env("XDG_DATA_HOME", dir.path());
        command.stdout(Stdio::null()).stderr(log).spawn().expect("Caddy")
    }

    async fn serving(&self) {
        wait_for("Caddy", async || (ask(self.front(), "/").await.starts_with("web")).then_some(())).await;
        wait_for("its admin API", async || self.admin("GET", "/id/shop", "").await).await;
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("caddy.json")
    }
}

impl World for Caddy {
    async fn new(instances: Instances) -> Option<Self> {
        let (binary, dir) = (server("caddy")?, temp_dir());
        let path = dir.path().display();
        let [first, second, third, _] = instances.ports.map(|port| json!({ "dial": format!("127.0.0.1:{port}") }));
        let handler = json!({
            "@id": "shop", "handler": "reverse_proxy", "upstreams": [first, second, third],
            "load_balancing": { "selection_policy": { "policy": "round_robin" } },
        });
        let http = json!({ "servers": { "shop": {
            "listen": [format!("unix/{path}/front")], "automatic_https": { "disable": true },
            "routes": [{ "handle": [handler] }],
        }}});
        let config = json!({ "admin": { "listen": format!("unix/{path}/admin") }, "apps": { "http": http } });
        std::fs::write(dir.path().join("caddy.json"), config.to_string()).expect("a file");
        let child = Self::spawn(&binary, &dir);
        let world = Self { binary, child, dir, instances };
        world.serving().await;
        Some(world)
    }

    fn traits() -> Traits {
        Traits { foreign: Rotation::Missing, counts: true, remembers: false, adds: true }
    }

    fn instances(&self) -> &Instances {
        &self.instances
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        Self::build(self.settings())
    }

    fn front(&self) -> Front {
        Front::Unix(self.dir.path().join("front"))
    }

    async fn take_out_by_somebody_else(&self) {
        let answer = self.admin("DELETE", "/id/shop/upstreams/1", "").await;
        assert_eq!(answer.as_deref(), Some(""), "Caddy removes it");
    }

    fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        for socket in ["front", "admin"] {
            std::fs::remove_file(self.dir.path().join(socket)).ok();
        }
    }

    async fn start(&mut self) {
        self.child = Self::spawn(&self.binary, &self.dir);
        self.serving().await;
    }
}
