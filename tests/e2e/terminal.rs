//! A real terminal: the console in it, and what happens when it goes away.

use std::io::Write as _;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, rollout};

/// The console in a pseudo-terminal.
struct Console {
    master: Option<Box<dyn portable_pty::MasterPty + Send>>,
    keys: Option<Box<dyn std::io::Write + Send>>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    output: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Console {
    fn start(fleet: &Fleet, args: &[&str]) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(rollout());
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.args(["--config".as_ref(), fleet.world.config_path().as_os_str()]);
        for set in &fleet.sets {
            command.args(["--set", set]);
        }
        command.args(args);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let output = crate::fleet::collect(pair.master.try_clone_reader().unwrap());
        let keys = pair.master.take_writer().unwrap();
        Self { master: Some(pair.master), keys: Some(keys), child, output }
    }

    fn screen(&self) -> String {
        let mut parser = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
        parser.process(self.output.lock().unwrap().as_bytes());
        parser.screen().contents()
    }

    fn shows(&self, fleet: &Fleet, text: &str) {
        fleet.wait(&format!("the screen shows {text:?}"), || self.screen().contains(text).then_some(()));
    }

    fn press(&mut self, key: &str) {
        let keys = self.keys.as_mut().unwrap();
        keys.write_all(key.as_bytes()).unwrap();
        keys.flush().unwrap();
    }
}

/// The terminal is killed in mid-deployment: the engine goes on, another terminal attaches, nothing failed.
#[test]
fn a_lost_terminal_does_not_touch_the_deployment() {
    let fleet = Fleet::start(6, Lb::Builtin, &["strategy.batch_pause=400ms"]);
    let mut console = Console::start(&fleet, &["deploy", "v2"]);
    console.shows(&fleet, "[PLANNED]");
    console.press("s");
    console.shows(&fleet, "y start");
    // What is typed before the question is armed does not count; it says so by "(off)".
    fleet.wait("the question is armed", || {
        let screen = console.screen();
        (screen.contains("y start") && !screen.contains("(off)")).then_some(())
    });
    console.press("y");
    fleet.until("the first batch is through", |s| s["updated"].as_u64() >= Some(2));
    let engine = fleet.engine_pid().unwrap();
    drop(console.keys.take());
    drop(console.master.take());
    let child = std::cell::RefCell::new(console.child);
    fleet.wait("the console has gone", || child.borrow_mut().try_wait().unwrap());
    assert_eq!(fleet.engine_pid(), Some(engine), "the engine lives");
    let attached = fleet.run(&["attach", "--output", "json"]);
    let summary = attached.summary();
    assert_eq!((attached.code, &summary["status"], &summary["updated"]), (Some(0), &Value::from("completed"), &Value::from(6)));
    assert_eq!(summary["vip"]["failed"], 0);
}
