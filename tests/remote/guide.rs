//! The first deployment guide, followed on real hosts: 20 of them over ssh behind HAProxy, each with an sshd of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rollout::demo::haproxy::{HaproxySetup, arguments, config};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{free_port, server, wait_for};
use crate::sshd::{Hosts, clients};

/// What a release starts itself with: `$1` is the base directory, `$2` the instance, `$3` its port.
const START: &str = "#!/bin/sh\nif [ -f \"$1/pid\" ]; then\n  kill \"$(cat \"$1/pid\")\" 2>/dev/null\n  while kill -0 \"$(cat \
                     \"$1/pid\")\" 2>/dev/null; do sleep 0.05; done\nfi\nsetsid ROLLOUT demo-instance --id \"$2\" --port \"$3\" \
                     --version \"$(cat \"$1/current/VERSION\")\" </dev/null >>\"$1/log\" 2>&1 &\necho $! >\"$1/pid\"\n";

struct Site {
    hosts: Hosts,
    ports: Vec<u16>,
    haproxy: Option<Child>,
    vip: u16,
}

impl Site {
    fn new(count: usize) -> Option<Self> {
        let haproxy = server("haproxy")?;
        let hosts = Hosts::start(count)?;
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let mut site = Self { hosts, ports, haproxy: None, vip: free_port() };
        for version in ["v1", "v2", "v3-bad"] {
            site.build(version);
        }
        let (socket, file) = (site.hosts.path("lb.sock"), site.hosts.path("haproxy.cfg"));
        let servers: Vec<(String, u16)> = site.ids().into_iter().zip(site.ports.clone()).collect();
        let setup = HaproxySetup { admin_socket: &socket, port: site.vip, backend: "shop", servers: &servers, check_ms: 200 };
        fs::write(&file, config(&setup)).unwrap();
        let mut haproxy = Command::new(haproxy);
        let quiet = haproxy.args(arguments(&file)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        site.haproxy = Some(quiet.spawn().unwrap());
        site.configure();
        Some(site)
    }

    fn ids(&self) -> Vec<String> {
        self.hosts.all.iter().map(|host| host.name.clone()).collect()
    }

    fn base(&self, id: &str) -> PathBuf {
        self.hosts.path(&format!("srv/{id}/shop"))
    }

    fn build(&self, version: &str) {
        let dir = self.hosts.path("builds").join(version);
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::write(dir.join("VERSION"), version).unwrap();
        let start = dir.join("bin/start");
        fs::write(&start, START.replace("ROLLOUT", env!("CARGO_BIN_EXE_rollout"))).unwrap();
        fs::set_permissions(start, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `rollout.toml` of the guide, with the paths of this site.
    fn configure(&self) {
        let instances: Vec<String> = self
            .ids()
            .iter()
            .zip(&self.ports)
            .map(|(id, port)| format!("[[fleet.instance]]\nid = \"{id}\"\nhost = \"127.0.0.1\"\nport = {port}\n"))
            .collect();
        let dir = self.hosts.dir.path().display();
        let at_once = (self.ports.len() / 4).max(1);
        let base = format!("{dir}/srv/{{{{ instance.id }}}}/shop");
        let text = format!(
            "[service]\nname = \"shop\"\n\n[fleet]\ndriver = \"ssh\"\n{}\n[update]\nstart = [\"{base}/current/bin/start\", \
             \"{base}\", \"{{{{ instance.id }}}}\", \"{{{{ instance.port }}}}\"]\n\n[update.ssh]\nhost = \"{{{{ instance.id \
             }}}}\"\nconfig = \"{}\"\n\n[update.release]\nsource = \"builds/{{{{ version }}}}\"\npath = \"{base}\"\n\n\
             [traffic]\ndriver = \"haproxy\"\nsockets = [\"unix:{dir}/lb.sock\"]\nbackend = \"shop\"\n\n[drain]\ntimeout = \
             \"5s\"\n\n[health]\npath = \"/health\"\ninterval = \"200ms\"\nversion = {{ header = \"X-Version\" }}\n\n[strategy]\n\
             batch_size = [1, {at_once}]\nbatch_pause = \"0s\"\nmax_unavailable = {at_once}\nmin_serving = 2\n\n[journal]\ndir = \"{dir}/state\"\n",
            instances.concat(),
            self.hosts.path("ssh_config").display(),
        );
        fs::write(self.hosts.path("rollout.toml"), text).unwrap();
    }

    fn rollout(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command.arg("--config").arg(self.hosts.path("rollout.toml")).args(args).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn ran(&self, args: &[&str], code: i32) -> String {
        let output = self.rollout(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }

    /// What every host's link says, and what every instance answers.
    fn all_run(&self, version: &str) {
        for (id, port) in self.ids().iter().zip(&self.ports) {
            let link = fs::read_link(self.base(id).join("current")).unwrap();
            assert_eq!(link, PathBuf::from(format!("releases/{version}")), "{id}");
            assert!(answer(*port).contains(&format!("x-version: {version}\r\n")), "{id}: {}", answer(*port));
        }
    }

    /// As it is before the guide: each instance runs v1, started by hand.
    fn serves(&self) {
        for (id, port) in self.ids().iter().zip(&self.ports) {
            let base = self.base(id);
            fs::create_dir_all(base.join("releases")).unwrap();
            let copied = Command::new("cp").arg("-a").arg(self.hosts.path("builds/v1")).arg(base.join("releases/v1")).status();
            assert!(copied.unwrap().success());
            std::os::unix::fs::symlink("releases/v1", base.join("current")).unwrap();
            let started = Command::new(base.join("current/bin/start")).arg(&base).args([id, &port.to_string()]).status();
            assert!(started.unwrap().success());
        }
    }
}

fn answer(port: u16) -> String {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return String::new() };
    let mut text = String::new();
    write!(stream, "GET /health HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").ok();
    stream.read_to_string(&mut text).ok();
    text.to_lowercase()
}

impl Drop for Site {
    fn drop(&mut self) {
        for id in self.ids() {
            let pid = fs::read_to_string(self.base(&id).join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
            if let Some(pid) = pid.and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        if let Some(haproxy) = &mut self.haproxy {
            haproxy.kill().ok();
            haproxy.wait().ok();
        }
    }
}

#[tokio::test]
async fn the_first_deployment_of_20_hosts_goes_as_its_guide_says() {
    let Some(site) = Site::new(20) else { return };
    site.serves();
    wait_for("the fleet serves", async || answer(site.vip).contains(" 200 ").then_some(())).await;
    for port in &site.ports {
        wait_for("an instance serves", async || answer(*port).contains(" 200 ").then_some(())).await;
    }
    wait_for("everything is as it should be", async || (site.rollout(&["check"]).status.code() == Some(0)).then_some(())).await;
    let plan = site.ran(&["plan", "v2"], 0);
    assert!(plan.contains("host-20"), "{plan}");
    // What is not built is told before anything is touched.
    let refused = site.rollout(&["plan", "v9"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("builds/v9 is not there"), "{said}");
    let said = site.ran(&["deploy", "v2", "--yes"], 0);
    site.all_run("v2");
    assert!(said.contains("20/20"), "{said}");
    // Going back needs no build.
    fs::remove_dir_all(site.hosts.path("builds/v1")).unwrap();
    site.ran(&["rollback", "--yes"], 0);
    site.all_run("v1");
    // A bad version touches one instance, and goes back by itself.
    site.ran(&["deploy", "v3-bad", "--yes"], 3);
    site.all_run("v1");
    let exposed = site.ids().iter().filter(|id| site.base(id).join("releases/v3-bad").exists()).count();
    assert_eq!(exposed, 1);
    wait_for("no client of ssh is left", async || clients(&site.hosts.path("ssh_config")).is_empty().then_some(())).await;
}

/// D12: a host is down at the plan, and one goes down with its instance in work.
#[tokio::test]
async fn a_host_that_is_down_is_named_before_anything_is_touched() {
    let Some(mut site) = Site::new(3) else { return };
    site.serves();
    for port in &site.ports {
        wait_for("an instance serves", async || answer(*port).contains(" 200 ").then_some(())).await;
    }
    wait_for("everything is as it should be", async || (site.rollout(&["check"]).status.code() == Some(0)).then_some(())).await;
    site.hosts.down(1);
    let output = site.rollout(&["deploy", "v2", "--yes"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("host-2") && said.contains("Connection refused"), "{said}");
    site.all_run("v1");
    // It is back, and so is everything else.
    site.hosts.up(1);
    site.hosts.wait();
    site.ran(&["deploy", "v2", "--yes"], 0);
    site.all_run("v2");
}
