//! The real HAProxy, by its own driver, by a program, and by requests.
//!
//! Imports: the shared parts, traffic. May not: touch the machine's own HAProxy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rollout::model::{Rotation, Span};
use rollout::os::extract::Extract;
use rollout::os::program::Environment;
use rollout::ports::TrafficDriver;
use rollout::traffic::{self, Asked, CommandSettings, HaproxySettings, HttpSettings, Request, Settings};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::common::{server, temp_dir, wait_for};
use crate::world::{Front, Instances, Traits, World, ask, signal};

pub(crate) struct Haproxy {
    binary: PathBuf,
    child: Child,
    pub(crate) dir: TempDir,
    instances: Instances,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        signal(&self.child, Signal::TERM);
        self.child.wait().ok();
    }
}

impl Haproxy {
    pub(crate) fn settings(&self) -> HaproxySettings {
        HaproxySettings {
            service: "shop".to_owned(),
            sockets: vec![format!("unix:{}", self.dir.path().join("admin").display())],
            backend: "shop".to_owned(),
            server: "{{ instance.id }}".to_owned(),
            add: "check inter 50ms rise 1 fall 1".to_owned(),
            await_slow_start: false,
            timeout: Span::from_secs(2),
        }
    }

    pub(crate) async fn command(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir.path().join("admin")).await.ok()?;
        stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// From now on, a server that comes up again gets its share little by little.
    pub(crate) async fn start_slowly(&mut self) {
        self.reconfigure("rise 1 fall 1 check", "rise 1 fall 1 check slowstart 3s").await;
    }

    /// Starts it anew with another configuration.
    pub(crate) async fn reconfigure(&mut self, from: &str, to: &str) {
        let path = self.dir.path().join("haproxy.cfg");
        let text = std::fs::read_to_string(&path).expect("the file");
        assert!(text.contains(from), "{from:?} in {text}");
        std::fs::write(&path, text.replace(from, to)).expect("the file");
        self.kill();
        self.start().await;
    }

    /// What `systemctl reload` does without a master: a new process, and the old one finishes.
    pub(crate) async fn reload(&mut self) {
        let old = self.child.id().to_string();
        let next = Self::spawn(&self.binary, &self.dir, &["-sf", &old]);
        let mut before = std::mem::replace(&mut self.child, next);
        before.wait().expect("the old process ends");
        self.serving().await;
    }

    /// `uweight` of web-01 to web-03.
    pub(crate) async fn weights(&self) -> Vec<String> {
        let answer = self.command("show servers state shop").await.expect("HAProxy answers");
        let servers = answer.lines().filter(|line| line.contains(" web-"));
        servers.map(|line| line.split(' ').nth(7).expect("srv_uweight").to_owned()).collect()
    }

    fn spawn(binary: &PathBuf, dir: &TempDir, more: &[&str]) -> Child {
        let log = std::fs::File::create(dir.path().join("output")).expect("a log");
        let mut command = Command::new(binary);
        command.args(["-db", "-f"]).arg(dir.path().join("haproxy.cfg")).args(more);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("HAProxy")
    }

    async fn serving(&self) {
        wait_for("HAProxy", async || (ask(self.front(), "/").await.starts_with("web")).then_some(())).await;
    }
}

impl World for Haproxy {
    async fn new(instances: Instances) -> Option<Self> {
        let (binary, dir) = (server("haproxy")?, temp_dir());
        let (path, [first, second, third, _]) = (dir.path().display(), instances.ports);
        let config = format!(
            "global\n  stats socket {path}/admin level admin\n\
             defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n  retries 0\n\
             listen shop\n  bind unix@{path}/front\n  balance roundrobin\n  default-server inter 50ms rise 1 fall 1 check\n  \
             server web-01 127.0.0.1:{first}\n  server web-02 127.0.0.1:{second}\n  server web-03 127.0.0.1:{third}\n"
        );
        std::fs::write(dir.path().join("haproxy.cfg"), config).expect("a file");
        let child = Self::spawn(&binary, &dir, &[]);
        let world = Self { binary, child, dir, instances };
        world.serving().await;
        Some(world)
    }

    fn traits() -> Traits {
        Traits { foreign: Rotation::Maintenance, counts: true, remembers: false, adds: true }
    }

    fn instances(&self) -> &Instances {
        &self.instances
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        traffic::build(&Settings::Haproxy(self.settings())).expect("settings that work")
    }

    fn front(&self) -> Front {
        Front::Unix(self.dir.path().join("front"))
    }

    async fn take_out_by_somebody_else(&self) {
        self.command("set server shop/web-02 state maint").await.expect("HAProxy answers");
    }

    fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    async fn start(&mut self) {
        self.child = Self::spawn(&self.binary, &self.dir, &[]);
        self.serving().await;
    }
}

/// The same HAProxy, driven by a program as somebody would write it who had no driver.
pub(crate) struct ByCommand(Haproxy);

/// `$1` the socket, `$2` what to do, `$3` the server.
const SCRIPT: &str = r#"import socket, sys
path, act, server = sys.argv[1:]
def ask(line):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall((line + "\n").encode())
    answer = b""
    while chunk := s.recv(65536):
        answer += chunk
    return answer.decode()
def rows():
    lines = ask("show stat").splitlines()
    names = lines[0][2:].split(",")
    return [dict(zip(names, line.split(","))) for line in lines[1:] if line]
if act in ("drain", "ready"):
    sys.exit(ask(f"set server shop/{server} state {act}").strip() or 0)
found = [row for row in rows() if row["pxname"] == "shop" and row["svname"] == server]
if act == "sessions":
    print(int(found[0]["scur"]) + int(found[0]["qcur"]))
else:
    print(found[0]["status"].split()[0] if found else "missing")
"#;

impl World for ByCommand {
    async fn new(instances: Instances) -> Option<Self> {
        server("python3")?;
        let world = Haproxy::new(instances).await?;
        std::fs::write(world.dir.path().join("lb.py"), SCRIPT).expect("a file");
        Some(Self(world))
    }

    fn traits() -> Traits {
        Traits { adds: false, ..Haproxy::traits() }
    }

    fn instances(&self) -> &Instances {
        self.0.instances()
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        let path = |name: &str| self.0.dir.path().join(name).to_string_lossy().into_owned();
        let argv =
            |act: &str| vec!["python3".to_owned(), path("lb.py"), path("admin"), act.to_owned(), "{{ instance.id }}".to_owned()];
        let asked = |act: &str| Asked { argv: argv(act), answer: Extract::FirstLine };
        let settings = CommandSettings {
            service: "shop".to_owned(),
            out: argv("drain"),
            into: argv("ready"),
            state: asked("state"),
            list: None,
            sessions: Some(asked("sessions")),
            states: words(),
            env: Environment::default(),
            timeout: Span::from_secs(10),
        };
        traffic::build(&Settings::Command(Box::new(settings))).expect("settings that work")
    }

    fn front(&self) -> Front {
        self.0.front()
    }

    async fn take_out_by_somebody_else(&self) {
        self.0.take_out_by_somebody_else().await;
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    async fn start(&mut self) {
        self.0.start().await;
    }
}

/// The same HAProxy behind an interface of HTTP, as its Data Plane API is one.
pub(crate) struct ByHttp {
    world: Haproxy,
    gateway: Child,
    port: u16,
}

impl Drop for ByHttp {
    fn drop(&mut self) {
        self.gateway.kill().ok();
        self.gateway.wait().ok();
    }
}

/// `$1` the socket, `$2` where it writes its port.
const GATEWAY: &str = r#"import http.server, json, os, socket, sys
def ask(line):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall((line + "\n").encode())
    answer = b""
    while chunk := s.recv(65536):
        answer += chunk
    return answer.decode()
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do(self, act):
        server = self.path.rsplit("/", 1)[1]
        try:
            self.answer(*act(server))
        except OSError as error:
            self.answer(502, str(error))
    def do_GET(self):
        def look(server):
            lines = ask("show stat").splitlines()
            names = lines[0][2:].split(",")
            rows = [dict(zip(names, line.split(","))) for line in lines[1:] if line]
            for row in rows:
                if row["pxname"] == "shop" and row["svname"] == server:
                    return 200, {"state": row["status"].split()[0], "sessions": int(row["scur"]) + int(row["qcur"])}
            return 404, "no such server"
        self.do(look)
    def do_PUT(self):
        state = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["admin_state"]
        def order(server):
            said = ask(f"set server shop/{server} state {state}").strip()
            return (404, said) if said else (200, "done")
        self.do(order)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
server.serve_forever()
"#;

impl World for ByHttp {
    async fn new(instances: Instances) -> Option<Self> {
        let python = server("python3")?;
        let world = Haproxy::new(instances).await?;
        let path = |name: &str| world.dir.path().join(name);
        let mut command = Command::new(python);
        command.args(["-c", GATEWAY]).arg(path("admin")).arg(path("port"));
        let gateway = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the gateway");
        let port = wait_for("its port", async || std::fs::read_to_string(path("port")).ok()?.parse().ok()).await;
        Some(Self { world, gateway, port })
    }

    fn traits() -> Traits {
        ByCommand::traits()
    }

    fn instances(&self) -> &Instances {
        self.world.instances()
    }

    fn driver(&self) -> Arc<dyn TrafficDriver> {
        let url = format!("http://127.0.0.1:{}/servers/{{{{ instance.id }}}}", self.port);
        let request = |method: &str, body: Option<&str>, pointer: &str| Request {
            method: method.to_owned(),
            url: url.clone(),
            body: body.map(ToOwned::to_owned),
            status: vec![(200, 299)],
            answer: Extract::Json(pointer.to_owned()),
        };
        let settings = HttpSettings {
            service: "shop".to_owned(),
            out: request("PUT", Some(r#"{"admin_state": "drain"}"#), ""),
            into: request("PUT", Some(r#"{"admin_state": "ready"}"#), ""),
            state: request("GET", None, "/state"),
            sessions: Some(request("GET", None, "/sessions")),
            states: words(),
            headers: Vec::new(),
            timeout: Span::from_secs(5),
        };
        traffic::build(&Settings::Http(Box::new(settings))).expect("settings that work")
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

/// What HAProxy's words mean.
fn words() -> BTreeMap<String, Rotation> {
    let states = [
        ("UP", Rotation::Serving),
        ("no", Rotation::Serving),
        ("DRAIN", Rotation::Draining),
        ("MAINT", Rotation::Maintenance),
        ("DOWN", Rotation::Down),
    ];
    states.into_iter().map(|(word, rotation)| (word.to_owned(), rotation)).collect()
}
