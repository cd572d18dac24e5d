//! Who sends the traffic: a real server with its own configuration, and the part of ours that drives it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::server;
use crate::site::Member;

/// A kind of balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balancer {
    Haproxy,
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
