//! A real terminal: the console in it, and what happens when it goes away.

use std::path::PathBuf;
use std::process::Command;

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::common::server;
use crate::fleet::{Fleet, rollout};

/// The console in a terminal of its own, 80x24.
struct Terminal {
    tmux: PathBuf,
    socket: PathBuf,
}

impl Terminal {
    fn start(tmux: PathBuf, fleet: &Fleet, args: &str) -> Self {
        let terminal = Self { tmux, socket: fleet.world.dir().join("tmux") };
        let config = fleet.world.config_path();
        let sets: Vec<String> = fleet.sets.iter().map(|set| format!("--set {set}")).collect();
        // The pane waits after the console, so that its exit code can be read on the screen.
        let program = format!(
            "{} --config {} {} {args}; echo left with $?; read line",
            rollout().display(),
            config.display(),
            sets.join(" ")
        );
        assert!(terminal.ask(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &program]).is_some());
        terminal
    }

    fn ask(&self, args: &[&str]) -> Option<String> {
        let out = Command::new(&self.tmux).arg("-S").arg(&self.socket).args(args).env("LC_ALL", "C.UTF-8").output().unwrap();
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"]).unwrap_or_default()
    }

    fn shows(&self, fleet: &Fleet, text: &str) {
        fleet.wait(&format!("the screen shows {text:?}"), || self.screen().contains(text).then_some(()));
    }

    fn press(&self, key: &str) {
        assert!(self.ask(&["send-keys", key]).is_some());
    }

    /// The terminal is gone: its end of the line hangs up.
    fn kill(&self) {
        self.ask(&["kill-server"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start_by_hand(fleet: &Fleet, terminal: &Terminal) {
    terminal.shows(fleet, "[PLANNED]");
    terminal.press("s");
    // What is typed before the question is armed does not count; it says so by "(off)".
    fleet.wait("the question is armed", || {
        let screen = terminal.screen();
        (screen.contains("y start") && !screen.contains("(off)")).then_some(())
    });
    terminal.press("y");
}

/// The terminal is killed in mid-deployment: the engine goes on, another attaches, nothing failed.
#[test]
fn a_lost_terminal_does_not_touch_the_deployment() {
    let Some(tmux) = server("tmux") else { return };
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=400ms"]);
    let terminal = Terminal::start(tmux, &fleet, "deploy v2");
    start_by_hand(&fleet, &terminal);
    fleet.until("the first batch is through", |s| s["updated"].as_u64() >= Some(2));
    terminal.kill();
    let attached = fleet.run(&["attach", "--output", "json"]);
    assert!(attached.out.contains("\"attached\""), "{}", attached.out);
    assert!(attached.lines().len() > 3, "it was still under way: {}", attached.out);
    let summary = attached.summary();
    assert_eq!((attached.code, &summary["status"], &summary["updated"]), (Some(0), &Value::from("completed"), &Value::from(6)));
    assert_eq!(summary["vip"]["failed"], 0);
}

/// After the end a rollback is shown and asked for at a terminal; `--yes` begins it at once.
#[test]
fn a_rollback_after_the_end_asks_at_a_terminal() {
    let Some(tmux) = server("tmux") else { return };
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_pause=100ms"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes"]).code, Some(0));
    let terminal = Terminal::start(tmux.clone(), &fleet, "rollback");
    terminal.shows(&fleet, "[PLANNED]");
    assert_eq!(fleet.status().unwrap()["status"], "pending", "it waits for the person");
    start_by_hand(&fleet, &terminal);
    terminal.shows(&fleet, "[DONE]");
    terminal.press("q");
    terminal.shows(&fleet, "left with 0");
    terminal.kill();
    let check = fleet.run(&["check"]);
    assert!(check.out.contains("v1 on 3"), "{}", check.out);

    let terminal = Terminal::start(tmux, &fleet, "rollback --to v2 --yes");
    terminal.shows(&fleet, "[DONE]");
    terminal.press("q");
    terminal.shows(&fleet, "left with 0");
    let check = fleet.run(&["check"]);
    assert!(check.out.contains("v2 on 3"), "{}", check.out);
}

/// The console from the plan to the end: pause holds, resume goes on, the exit code is the contract's.
#[test]
fn a_person_steers_a_deployment_by_keys() {
    let Some(tmux) = server("tmux") else { return };
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=400ms"]);
    let terminal = Terminal::start(tmux, &fleet, "deploy v2");
    start_by_hand(&fleet, &terminal);
    terminal.shows(&fleet, "[RUN]");
    terminal.press("p");
    terminal.shows(&fleet, "[PAUSED by");
    terminal.press("R");
    fleet.wait("the question is armed", || {
        let screen = terminal.screen();
        (screen.contains("y roll back") && !screen.contains("(off)")).then_some(())
    });
    terminal.press("y");
    terminal.shows(&fleet, "[ROLLED BACK]");
    terminal.press("q");
    terminal.shows(&fleet, "left with 3");
}
