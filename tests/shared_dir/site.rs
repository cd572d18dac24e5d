//! A host with operators, a shared directory, and a service of three instances that an agent starts for whoever may ask it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rollout::model::Span;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{copy_program, free_port, temp_dir, wait_for};
use crate::operators::{Operators, Who};

const INSTANCES: [&str; 3] = ["web-01", "web-02", "web-03"];

/// Says one line to the agent and prints its answer; exit code 3 if nothing runs.
const ASK: &str = r#"
use IO::Socket::UNIX;
my ($path, @words) = @ARGV;
my $socket = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!\n";
print $socket "@words\n";
my $answer = <$socket>;
exit 3 if $answer eq "\n";
print $answer;
"#;

/// All of it ends with the value; the users last.
pub(crate) struct Site {
    agent: Option<std::thread::JoinHandle<()>>,
    dir: TempDir,
    ports: Vec<u16>,
    pub(crate) operators: Operators,
    runtime: tokio::runtime::Runtime,
}

/// Starts and stops the instances, as root: what systemd is on a host of its own. Ends at an empty line.
fn agent(listener: &UnixListener, exe: &Path, ports: &BTreeMap<String, u16>) {
    let mut running: BTreeMap<String, (String, Child)> = BTreeMap::new();
    let end = |mut child: Child| {
        child.kill().ok();
        child.wait().ok();
    };
    while let Ok((mut stream, _)) = listener.accept() {
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).ok();
        let answer = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["observe", id] => running.get(*id).map(|(version, _)| version.clone()).unwrap_or_default(),
            ["restart", id, version] => {
                if let Some((_, old)) = running.remove(*id) {
                    end(old);
                }
                let mut command = Command::new(exe);
                command.args(["demo-instance", "--id", id, "--port", &ports[*id].to_string(), "--version", version]);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                running.insert((*id).to_owned(), ((*version).to_owned(), command.spawn().unwrap()));
                "done".to_owned()
            }
            _ => break,
        };
        writeln!(stream, "{answer}").ok();
    }
    for (_, child) in running.into_values() {
        end(child);
    }
}

impl Site {
    /// `None` where it cannot be: the test is skipped.
    pub(crate) fn start() -> Option<Self> {
        let operators = Operators::add()?;
        let (dir, group) = (temp_dir(), operators.group());
        let open = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(dir.path(), 0o755);
        // Not every user can reach the directory in which the tests are built.
        let exe = dir.path().join("rollout");
        copy_program(env!("CARGO_BIN_EXE_rollout").as_ref(), &exe);
        open(&exe, 0o755);
        let state = dir.path().join("state");
        let made = operators.shell(Who::Root, &format!("install -d -m 2770 -g {group} {}", state.display()));
        assert_eq!(made.code, Some(0), "{}", made.err);

        let socket = dir.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::chown(&socket, None, Some(operators.gid())).unwrap();
        open(&socket, 0o660);
        let ports: BTreeMap<String, u16> = INSTANCES.map(|id| (id.to_owned(), free_port())).into();
        fs::write(dir.path().join("rollout.toml"), config(&socket, &state, &ports)).unwrap();
        open(&dir.path().join("rollout.toml"), 0o644);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let all_ports: Vec<u16> = ports.values().copied().collect();
        let agent = std::thread::spawn(move || agent(&listener, &exe, &ports));
        let site = Self { agent: Some(agent), dir, ports: all_ports, operators, runtime };
        for id in INSTANCES {
            site.ask(&format!("restart {id} v1"));
        }
        let serves = |port: &u16| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok();
        site.wait("the instances serve", || site.ports.iter().all(serves).then_some(()));
        Some(site)
    }

    fn ask(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir.path().join("agent.sock")).ok()?;
        writeln!(stream, "{line}").ok()?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).ok()?;
        Some(answer)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The `[journal] dir`.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn service_dir(&self) -> PathBuf {
        self.state().join("shop.default")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.service_dir().join("engine.sock")
    }

    /// A configuration of a second service, `jobs`: as the first, but as local processes.
    pub(crate) fn processes_file(&self) -> PathBuf {
        let words = ["--id", "{{ instance.id }}", "--port", "{{ instance.port }}", "--version", "{{ version }}"];
        let exe = self.dir.path().join("rollout").display().to_string();
        let start = [&[exe.as_str(), "demo-instance"][..], &words].concat();
        let of_first = fs::read_to_string(self.dir.path().join("rollout.toml")).unwrap();
        let head = of_first.split("[update]").next().unwrap().replace("\"command\"", "\"process\"").replace("shop", "jobs");
        let head = self.ports.iter().fold(head, |head, port| head.replace(&port.to_string(), &free_port().to_string()));
        let tail = of_first.split("[traffic]").nth(1).unwrap();
        let text = format!("{head}[update]\nstart = {}\nstop_timeout = \"1s\"\n[traffic]{tail}", Value::from(start));
        let file = self.dir.path().join("processes.toml");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        file
    }

    fn command(&self, who: Who, sets: &[&str], args: &[&str]) -> Command {
        let mut command = self.operators.command(who, &self.dir.path().join("rollout"));
        if !args.contains(&"--config") {
            command.arg("--config").arg(self.dir.path().join("rollout.toml"));
        }
        for set in sets {
            command.args(["--set", set]);
        }
        command.args(args);
        command
    }

    pub(crate) fn run(&self, who: Who, args: &[&str]) -> Ran {
        Ran::of(self.command(who, &[], args).output().unwrap())
    }

    /// Starts it in the background.
    pub(crate) fn spawn(&self, who: Who, sets: &[&str], args: &[&str]) -> Child {
        self.command(who, sets, args).spawn().unwrap()
    }

    /// Waits until what `who` sees as the status fulfils `condition`.
    pub(crate) fn until(&self, who: Who, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        self.wait(what, || {
            let said = self.run(who, &["status", "--output", "json"]);
            serde_json::from_str(said.out.trim()).ok().filter(|status| condition(status))
        })
    }

    pub(crate) fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        self.runtime.block_on(wait_for(what, async || look()))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(pid) = rollout::control::engine_pid(&self.socket()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
        }
        let processes = self.state().join("fleet/jobs/default");
        self.runtime.block_on(rollout::fleet::stop_recorded(&processes, Span::from_millis(500)));
        self.ask("");
        if let Some(agent) = self.agent.take() {
            agent.join().ok();
        }
    }
}

fn config(agent: &Path, state: &Path, ports: &BTreeMap<String, u16>) -> String {
    let ask = |words: &[&str]| {
        let agent = agent.display().to_string();
        let argv = [&["perl", "-e", ASK, agent.as_str()], words].concat();
        Value::from(argv).to_string()
    };
    let instances =
        ports.iter().map(|(id, port)| format!("[[fleet.instance]]\nid = {id:?}\nhost = \"127.0.0.1\"\nport = {port}\n"));
    format!(
        r#"
[service]
name = "shop"
[fleet]
driver = "command"
{}
[update]
command = {}
idempotent = true
[update.observe]
command = {}
not_running = 3
[traffic]
driver = "none"
[drain]
timeout = "0s"
[health]
path = "/health"
interval = "100ms"
version = {{ header = "X-Version" }}
[strategy]
batch_size = 1
batch_pause = "10ms"
max_unavailable = 1
[journal]
dir = {:?}
"#,
        instances.collect::<String>(),
        ask(&["restart", "{{ instance.id }}", "{{ version }}"]),
        ask(&["observe", "{{ instance.id }}"]),
        state.display().to_string(),
    )
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

pub(crate) fn ended(child: Child) -> Ran {
    Ran::of(child.wait_with_output().unwrap())
}

/// Every line of standard output, as JSON.
pub(crate) fn lines(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

pub(crate) fn summary(ran: &Ran) -> Value {
    let found = lines(ran).into_iter().rfind(|line| line["type"] == "summary");
    found.unwrap_or_else(|| panic!("no summary: {ran:?}"))
}
