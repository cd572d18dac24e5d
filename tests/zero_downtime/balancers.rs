//! Who sends the traffic: a real server with its own configuration, and the part of ours that drives it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::{server, servers_are_required};
use crate::site::Member;

/// A kind of balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balancer {
    Haproxy,
    Nginx,
    Caddy,
}

impl Balancer {
    /// Every change is a reload.
    pub(crate) fn reloads(self) -> bool {
        self != Self::Haproxy
    }

    /// Caddy 2.6 closes every websocket when its configuration changes.
    pub(crate) fn keeps_websockets(self) -> bool {
        self != Self::Caddy
    }
}

/// One that runs; it ends with the value.
pub(crate) struct Running {
    child: Child,
    /// `[traffic]`.
    pub(crate) config: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
        self.child.wait().ok();
    }
}

/// Starts one that listens on `port` and sends traffic to `members`; `None` if it is not installed, which has been said.
pub(crate) fn start(kind: Balancer, dir: &Path, port: u16, members: &[Member]) -> Option<Running> {
    match kind {
        Balancer::Haproxy => haproxy(dir, port, members),
        Balancer::Nginx => nginx(dir, port, members),
        Balancer::Caddy => caddy(dir, port, members),
    }
}

fn spawned(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a balancer")
}

/// It retries nothing: what fails is seen.
fn haproxy(dir: &Path, port: u16, members: &[Member]) -> Option<Running> {
    let program = server("haproxy")?;
    let (file, socket) = (dir.join("haproxy.cfg"), dir.join("haproxy.sock"));
    let mut text = format!(
        "global
    stats socket {} mode 600 level admin
    maxconn 4000

defaults
    mode http
    retries 0
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout tunnel 30s
    timeout http-keep-alive 10s

frontend users
    bind 127.0.0.1:{port}
    default_backend shop

backend shop
    balance roundrobin
    option httpchk GET /health
    default-server check inter 200ms rise 2 fall 2
",
        socket.display()
    );
    for Member { id, port } in members {
        writeln!(text, "    server {id} 127.0.0.1:{port}").unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let config = format!("[traffic]\ndriver = \"haproxy\"\nsockets = [\"unix:{}\"]\nbackend = \"shop\"\n", socket.display());
    Some(Running { child: spawned(Command::new(program).args(["-db", "-f"]).arg(file)), config })
}

/// It asks nobody else when an instance fails.
fn nginx(dir: &Path, port: u16, members: &[Member]) -> Option<Running> {
    let program = server("nginx")?;
    let path = dir.display();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let main = format!(
        "{user}worker_processes 2;
pid {path}/nginx.pid;
error_log {path}/error.log notice;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {path}/body;
  proxy_temp_path {path}/proxy;
  fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi;
  scgi_temp_path {path}/scgi;
  include {path}/shop.conf;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://shop;
      proxy_next_upstream off;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"
    );
    std::fs::write(dir.join("nginx.conf"), main).unwrap();
    let mut upstream = "# rollout may change this file\nupstream shop {\n".to_owned();
    for Member { port, .. } in members {
        writeln!(upstream, "    server 127.0.0.1:{port} max_fails=0;").unwrap();
    }
    std::fs::write(dir.join("shop.conf"), upstream + "}\n").unwrap();
    let argv = |more: &str| format!("[\"{}\", \"-p\", \"{path}\", \"-c\", \"nginx.conf\", {more}]", program.display());
    let config = format!(
        "[traffic]\ndriver = \"nginx\"\nupstream_file = \"{path}/shop.conf\"\nupstream = \"shop\"\ntest = {}\nreload = {}\n\
         pid_file = \"{path}/nginx.pid\"\n",
        argv("\"-t\""),
        argv("\"-s\", \"reload\"")
    );
    let mut command = Command::new(&program);
    command.arg("-p").arg(dir).args(["-c", "nginx.conf", "-g", "daemon off;"]);
    Some(Running { child: spawned(&mut command), config })
}

/// Whether Linux hands connections that a closing socket has not accepted to the one that takes its place. Caddy 2.6 changes
/// its configuration with new sockets, and without this resets some.
fn connections_migrate() -> bool {
    const SWITCH: &str = "/proc/sys/net/ipv4/tcp_migrate_req";
    let on = || std::fs::read_to_string(SWITCH).is_ok_and(|text| text.trim() == "1");
    if !on() {
        std::fs::write(SWITCH, "1").ok();
    }
    let on = on();
    if !on {
        assert!(!servers_are_required(), "net.ipv4.tcp_migrate_req is 0, and cannot be changed");
        println!("skipped: net.ipv4.tcp_migrate_req=1 (sysctl, as root)");
    }
    on
}

fn caddy(dir: &Path, port: u16, members: &[Member]) -> Option<Running> {
    let program = server("caddy").filter(|_| connections_migrate())?;
    let upstreams: Vec<_> = members.iter().map(|member| json!({ "dial": format!("127.0.0.1:{}", member.port) })).collect();
    let handler = json!({
        "@id": "shop", "handler": "reverse_proxy", "upstreams": upstreams,
        "load_balancing": { "selection_policy": { "policy": "round_robin" } },
    });
    let site = json!({
        "listen": [format!("127.0.0.1:{port}")], "automatic_https": { "disable": true }, "routes": [{ "handle": [handler] }],
    });
    let admin = format!("unix/{}", dir.join("admin").display());
    let config = json!({ "admin": { "listen": admin }, "apps": { "http": { "servers": { "shop": site } } } });
    std::fs::write(dir.join("caddy.json"), config.to_string()).unwrap();
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(dir.join("caddy.json"));
    command.env("HOME", dir).env("XDG_CONFIG_HOME", dir).env("XDG_DATA_HOME", dir);
    let config = format!("[traffic]\ndriver = \"caddy\"\nadmin = \"{admin}\"\nid = \"shop\"\n");
    Some(Running { child: spawned(&mut command), config })
}
