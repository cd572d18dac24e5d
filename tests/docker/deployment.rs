//! Deployments by the program itself: containers behind a real HAProxy, with load from a tool that is not ours.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rollout::demo::haproxy::{HaproxySetup, arguments, config};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::common::{free_port, server, wait_for};
use crate::site::{Site, serves};

/// A program that ends with the value.
struct Program(Option<Child>);

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

struct Stage {
    site: Site,
    ports: Vec<u16>,
    url: String,
    config: PathBuf,
    _haproxy: Program,
}

impl Stage {
    /// Four containers that somebody started by hand, and a balancer that never retries.
    async fn new() -> Option<Self> {
        let haproxy = server("haproxy")?;
        let site = Site::start().await?;
        let (ports, port): (Vec<u16>, u16) = ((0..4).map(|_| free_port()).collect(), free_port());
        for version in ["v1", "v2", "v3"] {
            site.serving(&format!("shop:{version}"));
        }
        site.image("shop:v4", &["CMD [\"/bin/sh\", \"-c\", \"echo no database; exit 3\"]"]);
        let mut fleet = String::new();
        for (number, port) in (1..).zip(&ports) {
            let (name, publish) = (format!("web-{number}"), format!("127.0.0.1:{port}:8080"));
            site.docker(&["run", "-d", "--restart=unless-stopped", "--name", &name, "-p", &publish, "shop:v1"]);
            writeln!(fleet, "[[fleet.instance]]\nid = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}").unwrap();
        }
        let servers: Vec<(String, u16)> = (1..).zip(&ports).map(|(number, port)| (format!("web-{number}"), *port)).collect();
        let (socket, file) = (site.path("lb.sock"), site.path("haproxy.cfg"));
        let setup = HaproxySetup { admin_socket: &socket, port, backend: "shop", servers: &servers, check_ms: 500 };
        fs::write(&file, config(&setup)).unwrap();
        let mut command = Command::new(haproxy);
        command.args(arguments(&file)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let haproxy = Program(Some(command.spawn().unwrap()));
        let url = format!("http://127.0.0.1:{port}/version");
        let text = format!(
            "[service]\nname = \"shop\"\n[fleet]\ndriver = \"docker\"\n{fleet}[update]\nstop_timeout = \"2s\"\n[update.docker]\n\
             host = \"{}\"\nimage = \"shop:{{{{ version }}}}\"\npull = \"never\"\n[traffic]\ndriver = \"haproxy\"\n\
             sockets = [\"unix:{}\"]\nbackend = \"shop\"\n[health]\ninterval = \"200ms\"\n[vip]\nurl = \"{url}\"\nrate = 20\n\
             [strategy]\nbatch_size = 1\nbatch_pause = \"300ms\"\nmax_unavailable = 1\n[journal]\ndir = \"{}\"\n",
            site.host,
            socket.display(),
            site.path("journal").display()
        );
        let config = site.path("rollout.toml");
        fs::write(&config, text).unwrap();
        for port in &ports {
            serves(*port, "v1").await;
        }
        let stage = Self { site, ports, url, config, _haproxy: haproxy };
        wait_for("the balancer", async || (reached(&stage.url).await).then_some(())).await;
        stage.all_serve().await;
        Some(stage)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command.arg("--config").arg(&self.config).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn hey(&self, program: &PathBuf, keep: bool) -> Program {
        let mut command = Command::new(program);
        command.args(["-z", "600s", "-q", "20", "-c", "5", "-t", "5"]);
        if !keep {
            command.arg("-disable-keepalive");
        }
        command.arg(&self.url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Program(Some(command.spawn().unwrap()))
    }

    async fn serve(&self, version: &str) {
        for port in &self.ports {
            serves(*port, version).await;
        }
        self.all_serve().await;
    }

    /// Until the balancer's own checks agree: what it says a moment before would be held against a deployment.
    async fn all_serve(&self) {
        let said = || self.command(&["check"]).output().map(|checked| String::from_utf8_lossy(&checked.stdout).into_owned());
        wait_for("all serve", async || said().is_ok_and(|said| said.contains("4 of 4 instances serve")).then_some(())).await;
    }
}

async fn reached(url: &str) -> bool {
    let client = rollout::os::http::client(|builder| builder).unwrap();
    client.get(url).send().await.is_ok_and(|response| response.status().is_success())
}

fn summary(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let summary = lines.rfind(|line| line["type"] == "summary");
    summary.unwrap_or_else(|| panic!("no summary: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Ends the load as Ctrl-C does: every answer was 200. Returns how many there were.
fn nothing_failed(mut hey: Program) -> u64 {
    let child = hey.0.take().unwrap();
    rustix::process::kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let out = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
    assert!(!out.contains("Error distribution"), "{out}");
    let statuses = out.lines().filter_map(|line| line.trim().strip_prefix('[')?.split_once("]\t"));
    let statuses: Vec<(&str, u64)> =
        statuses.filter_map(|(status, rest)| Some((status, rest.split_whitespace().next()?.parse().ok()?))).collect();
    assert!(statuses.iter().all(|(status, _)| *status == "200"), "{statuses:?}");
    statuses.iter().map(|(_, count)| count).sum()
}

#[tokio::test]
async fn no_request_fails_over_a_deploy_a_forced_rollback_and_a_bad_version() {
    let Some(hey) = server("hey") else { return };
    let Some(stage) = Stage::new().await else { return };
    let load = [true, false].map(|keep| stage.hey(&hey, keep));

    let deployed = stage.command(&["deploy", "v2", "--yes", "--output", "json"]).output().unwrap();
    let said = summary(&deployed);
    assert_eq!((deployed.status.code(), &said["updated"], &said["vip"]["failed"]), (Some(0), &4.into(), &0.into()), "{said}");
    stage.serve("v2").await;

    // Into a file: nobody reads while it runs, and a pipe would be full some time.
    let lines = stage.site.path("deploy.out");
    let mut deploy = stage.command(&["deploy", "v3", "--yes", "--output", "json"]);
    let mut deploy = deploy.stdout(fs::File::create(&lines).unwrap()).spawn().unwrap();
    wait_for("half of them are updated", async || {
        // Ended already, it says why.
        let ended = deploy.try_wait().unwrap();
        assert!(ended.is_none_or(|ended| ended.code() == Some(0)), "{}", fs::read_to_string(&lines).unwrap());
        let status = stage.command(&["status", "--output", "json"]).output().ok()?;
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["deployment"] == "shop-2" && status["updated"].as_u64() >= Some(2)).then_some(())
    })
    .await;
    let images = |site: &Site| site.docker(&["ps", "--format", "{{.Names}} {{.Image}}"]);
    let ids: Vec<Value> = (1..=2).map(|number| stage.site.inspect(&format!("web-{number}-rollout-old"))["Id"].clone()).collect();
    assert_eq!(stage.command(&["rollback"]).output().unwrap().status.code(), Some(0));
    let mut back = deploy.wait_with_output().unwrap();
    back.stdout = fs::read(&lines).unwrap();
    let said = summary(&back);
    assert_eq!((back.status.code(), &said["vip"]["failed"]), (Some(3), &0.into()), "{said}");
    stage.serve("v2").await;
    // What was kept runs again.
    for (number, id) in (1..=2).zip(&ids) {
        assert_eq!(stage.site.inspect(&format!("web-{number}"))["Id"], *id, "{}", images(&stage.site));
    }

    // A version that ends at once: seen by the driver, one instance touched.
    let bad = stage.command(&["deploy", "v4", "--yes", "--output", "json"]).output().unwrap();
    let said = summary(&bad);
    assert_eq!((bad.status.code(), &said["exposed"], &said["vip"]["failed"]), (Some(3), &1.into(), &0.into()), "{said}");
    let text = String::from_utf8_lossy(&bad.stdout);
    assert!(text.contains("its process ended: exit code 3") && text.contains("no database"), "{text}");
    stage.serve("v2").await;
    for load in load {
        let requests = nothing_failed(load);
        assert!(requests > 100, "only {requests} requests");
    }
}
