//! Terminals with a real client of ssh in them.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::wait_for;

/// Waits until `look` finds something.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(wait_for(what, async || look()))
}

/// A terminal of its own with a client of ssh in it.
pub(crate) struct Terminal {
    ssh: Box<dyn portable_pty::Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    shown: Arc<Mutex<vt100::Parser>>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    /// A login at `host`, in which a line of shell runs.
    pub(crate) fn open(ssh: &Path, config: &Path, host: &str, line: &str) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(ssh);
        command.args(["-tt", "-F"]);
        command.arg(config);
        command.args([host, line]);
        command.env("TERM", "xterm-256color");
        let ssh = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0)));
        let (mut reader, into) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                into.lock().unwrap().process(chunk.get(..n).unwrap_or_default());
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { ssh, keys, shown, _master: pair.master }
    }

    pub(crate) fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    pub(crate) fn shows(&self, text: &str) {
        wait(&format!("the screen shows {text:?}"), || self.text().contains(text).then_some(()));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Opens the question before a deployment.
    pub(crate) fn question(&mut self) {
        self.shows("[PLANNED]");
        self.press("s");
        self.armed("y start");
    }

    /// A question is open and answers count: what is typed before does not, and it says so by "(off)".
    pub(crate) fn armed(&self, answer: &str) {
        wait("the question is armed", || {
            let screen = self.text();
            (screen.contains(answer) && !screen.contains("(off)")).then_some(())
        });
    }

    /// The link drops: the client is gone without a word.
    pub(crate) fn drop_link(mut self) {
        let pid = self.ssh.process_id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        self.ssh.wait().unwrap();
    }

    /// The exit code of the line, once it has ended.
    pub(crate) fn ended(&mut self) -> u32 {
        wait("the login ends", || self.ssh.try_wait().unwrap()).exit_code()
    }
}
