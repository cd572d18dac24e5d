//! The console in tmux, as most people on a bastion have it: what its pane shows is what any other terminal shows.

use std::process::{Command, Stdio};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::common::temp_dir;
use crate::fleet::Fleet;
use crate::pty::{Place, Terminal};
use crate::steady;

/// A server of its own, which ends with the value.
struct Tmux {
    dir: tempfile::TempDir,
}

impl Tmux {
    fn new() -> Self {
        Self { dir: temp_dir() }
    }

    fn args(&self, args: &[&str]) -> Vec<String> {
        let socket = self.dir.path().join("tmux");
        let own = ["-S", socket.to_str().unwrap(), "-f", "/dev/null"];
        own.iter().chain(args).map(ToString::to_string).collect()
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command
            .args(self.args(args))
            .env_remove("TMUX")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .stdin(Stdio::null());
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "COLORTERM"] {
            command.env_remove(name);
        }
        command.env("TZ", "UTC");
        let ran = command.output().expect("tmux is installed");
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    fn pane(&self) -> Vec<String> {
        self.run(&["capture-pane", "-p"]).lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Somebody sits at it, in a terminal of this size, until the value is dropped.
    fn client(&self, (cols, rows): (u16, u16)) -> Client {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let words = std::iter::once("tmux".to_owned()).chain(self.args(&["attach"]));
        let mut command = CommandBuilder::from_argv(words.map(Into::into).collect());
        command.env_remove("TMUX");
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Client { child, _master: pair.master }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let args = self.args(&["kill-server"]);
        Command::new("tmux").args(args).env_remove("TMUX").stderr(Stdio::null()).status().ok();
    }
}

struct Client {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The screen but what counts seconds or moves with them: the clocks of the first line, the countdown, latencies.
fn steadfast(rows: &[String]) -> Vec<String> {
    let digits = |row: &str| -> String {
        let text: String = row.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        text.replace("▁", "")
            .split_whitespace()
            .filter(|word| !word.ends_with("ms") && *word != "--")
            .collect::<Vec<_>>()
            .join(" ")
    };
    let name = rows.first().map(|row| row.split("[RUN]").next().unwrap_or_default().trim().to_owned());
    let counts = rows.get(1).cloned();
    let tabs = rows.iter().find(|row| row.contains("Fleet") && row.contains("Hist")).cloned();
    let keys = rows.last().cloned();
    let instances = rows.iter().filter(|row| row.contains(" web-0") && row.contains("healthy") | row.contains("pending"));
    let instances = instances.map(|row| digits(row.split(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']).next().unwrap_or_default()));
    [name, counts, tabs, keys].into_iter().flatten().chain(instances).collect()
}

/// What a terminal of this size shows that has seen nothing else.
fn fresh(fleet: &Fleet, size: (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::start_with(fleet, &["attach"], Place::Leader, size, &[]);
    terminal.shows(fleet, "2/6 updated");
    let rows = terminal.text().lines().map(|line| line.trim_end().to_owned()).collect();
    terminal.press("qd");
    assert_eq!(terminal.ended(fleet), 0);
    rows
}

#[test]
fn a_pane_of_tmux_shows_what_every_terminal_shows() {
    let fleet = steady(&["strategy.batch_pause=9m"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("the first batch is through", |s| s["updated"].as_u64() == Some(2));
    let tmux = Tmux::new();
    let command = fleet.command(&["attach"]);
    let words: Vec<&str> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(|w| w.to_str().unwrap()).collect();
    tmux.run(&[&["new-session", "-d", "-x", "100", "-y", "30"], words.as_slice()].concat());
    tmux.run(&["set-option", "status", "off"]);
    let same = |size: (u16, u16), when: &str| {
        let wanted = steadfast(&fresh(&fleet, size));
        assert!(wanted.len() >= 6, "{wanted:#?}");
        let mut pane = Vec::new();
        fleet.wait(when, || {
            pane = tmux.pane();
            (steadfast(&pane) == wanted).then_some(())
        });
    };
    same((100, 30), "started");
    tmux.run(&["resize-window", "-x", "80", "-y", "24"]);
    same((80, 24), "smaller");
    tmux.run(&["resize-window", "-x", "160", "-y", "48"]);
    same((160, 48), "larger");
    tmux.run(&["set-option", "window-size", "latest"]);
    let client = tmux.client((120, 40));
    same((120, 40), "somebody attaches");
    tmux.run(&["detach-client", "-a"]);
    drop(client);
    let _again = tmux.client((90, 28));
    same((90, 28), "and comes again");
    // The title is that of the pane: nobody else's.
    let title = tmux.run(&["display-message", "-p", "#{pane_title}"]);
    assert!(title.starts_with("2/6 updated, 0 failed"), "{title:?}");
    tmux.run(&["send-keys", "q", "d"]);
    // The last thing in its session: tmux ends with it.
    fleet.wait("the console leaves", || {
        let mut command = Command::new("tmux");
        let sessions = command.args(tmux.args(&["list-sessions"])).env_remove("TMUX").stderr(Stdio::null()).output().unwrap();
        (!sessions.status.success()).then_some(())
    });
    assert_eq!(fleet.status().unwrap()["status"], "in_progress");
}
