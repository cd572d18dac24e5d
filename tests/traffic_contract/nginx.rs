//! The real nginx, and the driver that changes its file.
//!
//! Imports: the shared parts, traffic. May not: touch the machine's own nginx.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rollout::model::{Rotation, Span};
use rollout::os::ssh::Options;
use rollout::ports::TrafficDriver;
use rollout::traffic::{self, NginxSettings, Settings};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::common::{server, temp_dir, wait_for};
use crate::sshd::Hosts;
use crate::world::{Front, Instances, Traits, World, ask, signal};

pub(crate) struct Nginx {
    binary: PathBuf,
    child: Child,
    pub(crate) dir: TempDir,
    instances: Instances,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        signal(&self.child, Signal::TERM);
        self.child.wait().ok();
    }
}

impl Nginx {
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("shop.conf")
    }

    pub(crate) fn argv(&self, more: &[&str]) -> Vec<String> {
        let dir = self.dir.path().to_string_lossy().into_owned();
        let fixed = [&*self.binary.to_string_lossy(), "-p", &dir, "-c", "nginx.conf"].map(ToOwned::to_owned);
        fixed.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect()
    }

    pub(crate) fn settings(&self) -> NginxSettings {
        NginxSettings {
            service: "shop".to_owned(),
            upstream_file: self.file().to_string_lossy().into_owned(),
            upstream: "shop".to_owned(),
            server: "{{ instance.host }}:{{ instance.port }}".to_owned(),
            test: self.argv(&["-t"]),
            reload: self.argv(&["-s", "reload"]),
            pid_file: self.dir.path().join("nginx.pid").to_string_lossy().into_owned(),
            hosts: Vec::new(),
            ssh: Options::default(),
            timeout: Span::from_secs(10),
        }
    }

    pub(crate) fn build(settings: NginxSettings) -> Arc<dyn TrafficDriver> {
        traffic::build(&Settings::Nginx(Box::new(settings))).expect("settings that work")
    }

    fn spawn(binary: &PathBuf, dir: &TempDir) -> Child {
        let log = std::fs::File::create(dir.path().join("output")).expect("a log");
        let mut command = Command::new(binary);
        command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-g", "daemon off;"]);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("nginx")
    }

    async fn serving(&self) {
        wait_for("nginx", async || (ask(self.front(), "/").await.starts_with("web")).then_some(())).await;
    }

    pub(crate) fn reload(&self) {
        signal(&self.child, Signal::HUP);
    }
}

impl World for Nginx {
    async fn new(instances: Instances) -> Option<Self> {
        let (binary, dir) = (server("nginx")?, temp_dir());
        let path = dir.path().display();
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let main = format!(
            "{user}worker_processes 2;\npid {path}/nginx.pid;\nerror_log {path}/error.log notice;\nevents {{ worker_connections 64; }}\n\
             http {{\n  access_log off;\n  keepalive_requests 10000;\n  client_body_temp_path {path}/body;\n  proxy_temp_path {path}/proxy;\n  \
             fastcgi_temp_path {path}/fastcgi;\n  uwsgi_temp_path {path}/uwsgi;\n  scgi_temp_path {path}/scgi;\n  \
             include {path}/shop.conf;\n  server {{\n    listen unix:{path}/front;\n    location / {{ proxy_pass http://shop; }}\n  }}\n}}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), main).expect("a file");
        let [first, second, third, _] = instances.ports;
        let upstream = format!(
            "# rollout may change this file\nupstream shop {{\n    server 127.0.0.1:{first};\n    \
             server 127.0.0.1:{second} weight=1; # rack 7\n    server 127.0.0.1:{third};\n}}\n"
        );
        std::fs::write(dir.path().join("shop.conf"), upstream).expect("a file");
        let child = Self::spawn(&binary, &dir);
        let world = Self { binary, child, dir, instances };
        world.serving().await;
        Some(world)
    }

    fn traits() -> Traits {
        Traits { foreign: Rotation::Maintenance, counts: true, remembers: true, adds: true }
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
        let text = std::fs::read_to_string(self.file()).expect("the file");
        let text = text.replace(" weight=1;", " weight=1 down; # disk is broken, ops,");
        std::fs::write(self.file(), text).expect("the file");
        self.reload();
    }

    fn kill(&mut self) {
        // Its workers end when they find it gone; a crash of the machine would end them as well.
        let workers = format!("/proc/{0}/task/{0}/children", self.child.id());
        let workers = std::fs::read_to_string(workers).unwrap_or_default();
        self.child.kill().ok();
        self.child.wait().ok();
        for worker in workers.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(worker, Signal::KILL).ok();
        }
        // As with every socket whose process was killed, its path stays.
        std::fs::remove_file(self.dir.path().join("front")).ok();
    }

    async fn start(&mut self) {
        self.child = Self::spawn(&self.binary, &self.dir);
        self.serving().await;
    }
}

/// The same nginx, on a host that is reached over ssh.
pub(crate) struct OverSsh {
    world: Nginx,
    hosts: Hosts,
}

impl World for OverSsh {
    async fn new(instances: Instances) -> Option<Self> {
        let hosts = Hosts::start(1)?;
        Some(Self { world: Nginx::new(instances).await?, hosts })
    }

    fn traits() -> Traits {
        Nginx::traits()
    }

    fn instances(&self) -> &Instances {
        self.world.instances()
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        let mut settings = self.world.settings();
        settings.hosts = vec![self.hosts.all[0].name.clone()];
        settings.ssh = self.hosts.options();
        Nginx::build(settings)
    }

    fn front(&self) -> Front {
        self.world.front()
    }

    async fn take_out_by_somebody_else(&self) {
        self.world.take_out_by_somebody_else().await;
    }

    fn kill(&mut self) {
        self.world.kill();
    }

    async fn start(&mut self) {
        self.world.start().await;
    }
}
