//! The program in a terminal of its own: every byte that it wrote, and what they make of the screen.
//!
//! Imports: nothing of the crate. May not: know what is shown.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::common::wait_for;

/// Wide enough that nothing is cut where it matters.
const SIZE: PtySize = PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 };

/// A terminal and the program in it.
pub(crate) struct Terminal {
    /// Keeps the terminal open.
    _master: Box<dyn MasterPty + Send>,
    keys: Box<dyn std::io::Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    read: Arc<Mutex<(Vec<u8>, vt100::Parser)>>,
    /// Screens that were seen, one after the other.
    seen: Vec<String>,
}

impl Terminal {
    /// Starts it.
    pub(crate) fn start(mut command: CommandBuilder) -> Self {
        let pair = native_pty_system().openpty(SIZE).expect("a terminal");
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).expect("the program");
        drop(pair.slave);
        let screen = vt100::Parser::new(SIZE.rows.try_into().expect("rows"), SIZE.cols.try_into().expect("columns"), 0);
        let read = Arc::new(Mutex::new((Vec::new(), screen)));
        let (into, mut reader) = (Arc::clone(&read), pair.master.try_clone_reader().expect("a reader"));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                let mut read = into.lock().expect("no panic");
                let chunk = chunk.get(..length).unwrap_or_default();
                read.0.extend_from_slice(chunk);
                read.1.process(chunk);
            }
        });
        let keys = pair.master.take_writer().expect("a writer");
        Self { _master: pair.master, keys, child, read, seen: Vec::new() }
    }

    /// What the screen shows now.
    pub(crate) fn text(&self) -> String {
        self.read.lock().expect("no panic").1.screen().contents()
    }

    /// Waits until the screen shows that.
    pub(crate) async fn shows(&mut self, what: &str) {
        let text = wait_for(what, async || Some(self.text()).filter(|text| text.contains(what))).await;
        self.seen.push(text);
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.seen.push(self.text());
        // The program may have left.
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).ok();
    }

    /// Leaves the console: every byte, and every screen that was looked at.
    pub(crate) async fn left(mut self) -> (Vec<u8>, String) {
        self.press("q");
        self.shows("d detach").await;
        self.press("d");
        wait_for("the end of the program", async || self.child.try_wait().expect("a child")).await;
        let bytes = self.read.lock().expect("no panic").0.clone();
        (bytes, self.seen.join("\n"))
    }
}
