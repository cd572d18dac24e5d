//! A directory with a configuration, and the program on it with an environment of its own.
//!
//! Imports: the program. May not: know what is tried.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use portable_pty::CommandBuilder;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::common::{temp_dir, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rollout");

/// The directory; everything in it goes with the value.
pub(crate) struct Site {
    dir: TempDir,
    env: Vec<(String, String)>,
}

impl Site {
    /// With these variables besides the usual ones.
    pub(crate) fn new<'a>(env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let dir = temp_dir();
        let path = std::env::var("PATH").expect("a PATH");
        let usual = [("PATH", path), ("HOME", dir.path().display().to_string()), ("TZ", "UTC".to_owned())];
        let usual = usual.into_iter().map(|(name, value)| (name.to_owned(), value));
        let env = usual.chain(env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
        Self { dir, env }
    }

    /// Its path.
    pub(crate) fn at(&self) -> String {
        self.dir.path().display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default().trim().to_owned()
    }

    /// Where the journal of the service `shop` is.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("journal")
    }

    /// The program with its configuration.
    pub(crate) fn rollout(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("rollout.toml")).args(args).env_clear().envs(self.env.iter().cloned());
        command.current_dir(self.dir.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        self.rollout(args).output().await.expect("the program")
    }

    /// The same for a terminal.
    pub(crate) fn in_terminal(&self, args: &[&str]) -> CommandBuilder {
        let mut command = CommandBuilder::new(PROGRAM);
        command.arg("--config");
        command.arg(self.path("rollout.toml"));
        command.args(args);
        command.env_clear();
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command.cwd(self.dir.path());
        command
    }

    /// The control socket, once it is there.
    pub(crate) async fn socket(&self) -> PathBuf {
        wait_for("the control socket", async || found(&self.state())).await
    }

    /// The engine that runs here.
    pub(crate) async fn engine(&self) -> i32 {
        let config = self.path("rollout.toml");
        wait_for("the engine's process", async || engine_of(&config)).await.as_raw_nonzero().get()
    }

    /// Kills the engine that runs here.
    pub(crate) async fn kill_engine(&self) {
        let id = self.engine().await;
        let engine = Pid::from_raw(id).expect("a process");
        kill_process(engine, Signal::KILL).expect("ours");
        wait_for("its end", async || rollout::os::process::stat(id).is_none_or(|stat| stat.zombie).then_some(())).await;
    }

    /// What the control socket answers to a GET, up to where the engine closes.
    pub(crate) async fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.socket().await).await.expect("the engine answers");
        let request = format!("GET {path} HTTP/1.1\r\nHost: rollout\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the engine reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        answer
    }
}

/// The engine that runs on this configuration.
fn engine_of(config: &Path) -> Option<Pid> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut found = processes.filter_map(|entry| {
        let command = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).into_owned();
        let is_one = command.split('\0').any(|word| word == "engine") && command.contains(&config.display().to_string());
        if is_one { Pid::from_raw(entry.file_name().to_str()?.parse().ok()?) } else { None }
    });
    found.next()
}

fn found(dir: &Path) -> Option<PathBuf> {
    fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { found(&path) } else { Some(path).filter(|path| path.extension().is_some_and(|e| e == "sock")) }
    })
}

/// What a verb printed, both streams.
pub(crate) fn said(output: &Output) -> Vec<u8> {
    [output.stdout.as_slice(), &output.stderr].concat()
}

/// As text.
pub(crate) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&said(output)).into_owned()
}
