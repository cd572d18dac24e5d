//! The console in a real terminal of its own: taken over, given back, left alone by what happens to it.
//!
//! Imports: the library, the console's fixture. May not: assert on how the screen looks (that is `screens.rs`).
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "common/mod.rs"]
mod common;
#[path = "fixtures/console.rs"]
mod fixture;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{temp_dir, wait_for};
use fixture::{NOON, World};
use futures::FutureExt;
use futures::future::BoxFuture;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rollout::command::{Command, Receipt};
use rollout::model::{Seq, Span, Timestamp};
use rollout::ports::{LogLine, Session, SessionError, Snapshot, Update};
use rollout::tui::{self, Settings};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What the console's process does: `run`, or `panic` at its first command.
const ROLE: &str = "ROLLOUT_TEST_ROLE";
/// Where it writes how it ended.
const OUT: &str = "ROLLOUT_TEST_OUT";

/// An engine in this process: the real core, a world that does something every few milliseconds.
struct Local {
    world: Arc<Mutex<World>>,
    news: mpsc::UnboundedReceiver<Update>,
    sender: mpsc::UnboundedSender<Update>,
    panics: bool,
    sent: usize,
    /// Log lines so far: they keep the screen busy, also while a question is open.
    logged: u64,
    turn: tokio::time::Interval,
}

impl Local {
    fn new(panics: bool) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let world = Arc::new(Mutex::new(World::new(6)));
        Self { world, news, sender, panics, sent: 1, logged: 0, turn: tokio::time::interval(Duration::from_millis(5)) }
    }

    fn log_line(&self) -> LogLine {
        LogLine {
            number: self.logged / 20,
            at: NOON,
            level: "info".to_owned(),
            target: "engine".to_owned(),
            message: format!("turn {}", self.logged),
        }
    }
}

impl Session for Local {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        let snapshot = self.world.lock().unwrap().snapshot();
        async move { Ok(snapshot) }.boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        async move {
            loop {
                if let Ok(update) = self.news.try_recv() {
                    return update;
                }
                self.turn.tick().await;
                self.logged += 1;
                if self.logged.is_multiple_of(20) {
                    return Update::Log(self.log_line());
                }
                let mut world = self.world.lock().unwrap();
                if world.state.started_at.is_some() && world.state.end.is_none() {
                    world.act();
                }
                for event in world.events.get(self.sent..).unwrap_or_default() {
                    self.sender.send(Update::Event(event.clone())).unwrap();
                }
                self.sent = world.events.len();
            }
        }
        .boxed()
    }

    fn send(&self, command: Command, _revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        assert!(!self.panics, "planned panic");
        let mut world = self.world.lock().unwrap();
        world.command(command);
        let receipt = Receipt { seq: world.state.seq, message: "taken".to_owned() };
        async move { Ok(receipt) }.boxed()
    }
}

/// Not a test of its own: the process that the others start in a terminal.
#[test]
#[ignore = "the other tests of this file run it"]
fn console_process() {
    let role = std::env::var(ROLE).expect("started by another test");
    let out = PathBuf::from(std::env::var_os(OUT).expect("started by another test"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let origin = Instant::now();
        let now = Arc::new(move || -> Timestamp { NOON + Span::from(origin.elapsed()) });
        let mut settings = Settings::new(now);
        if role == "truecolor" {
            settings.color = tui::ColorChoice::Truecolor;
        }
        if role == "mono" {
            settings.theme = "mono".to_owned();
        }
        tui::run(Box::new(Local::new(role == "panic")), settings).await
    });
    std::fs::write(&out, format!("{ended:?}")).unwrap();
    // The test harness would write to the terminal, which may take nothing.
    #[expect(clippy::exit, reason = "the end of a process that is only a part of a test")]
    std::process::exit(0);
}

/// A terminal with the console in it.
struct Screen {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// While set, nothing is read from the terminal.
    stalled: Arc<AtomicBool>,
    /// The reader closes its end after what it reads next.
    closed: Arc<AtomicBool>,
    before: String,
    dir: TempDir,
}

impl Screen {
    fn start(role: &str, env: &[(&str, &str)]) -> Self {
        let dir = temp_dir();
        let pair = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "console_process", "--nocapture", "--test-threads=1"]);
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC"), (ROLE, role)].iter().chain(env) {
            command.env(name, value);
        }
        command.env(OUT, dir.path().join("ended"));
        command.env("TMPDIR", dir.path());
        let before = modes(pair.master.as_ref());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0)));
        let (bytes, stalled) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicBool>::default());
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let closed = Arc::<AtomicBool>::default();
        let (into, all, stall, done) = (Arc::clone(&shown), Arc::clone(&bytes), Arc::clone(&stalled), Arc::clone(&closed));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                while stall.load(Ordering::SeqCst) {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                if done.load(Ordering::SeqCst) {
                    return;
                }
                match reader.read(&mut chunk) {
                    Ok(n) if n > 0 => {
                        into.lock().unwrap().process(&chunk[..n]);
                        all.lock().unwrap().extend_from_slice(&chunk[..n]);
                    }
                    _ => return,
                }
            }
        });
        Self { master: Some(pair.master), keys: Some(keys), child, shown, bytes, stalled, closed, before, dir }
    }

    fn press(&mut self, keys: &str) {
        let writer = self.keys.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    async fn shows(&self, what: &str) {
        wait_for(what, async || self.text().contains(what).then_some(())).await;
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.process_id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How the console ended, in words, once its process has.
    async fn ended(&mut self) -> String {
        wait_for("the end of the process", async || self.child.try_wait().unwrap()).await;
        std::fs::read_to_string(self.dir.path().join("ended")).unwrap_or_default()
    }

    /// The terminal is as it was.
    async fn is_given_back(&self) {
        wait_for("the end of the output", async || (!self.shown.lock().unwrap().screen().alternate_screen()).then_some(())).await;
        let shown = self.shown.lock().unwrap();
        assert!(!shown.screen().hide_cursor(), "the cursor is back");
        assert_eq!(modes(self.master.as_ref().unwrap().as_ref()), self.before, "the line's modes are as before");
    }
}

fn modes(master: &dyn MasterPty) -> String {
    let modes = master.get_termios().unwrap();
    format!("{:?} {:?} {:?}", modes.local_flags, modes.input_flags, modes.output_flags)
}

#[tokio::test]
async fn a_deployment_is_started_watched_and_left() {
    let mut screen = Screen::start("run", &[]);
    screen.shows("[PLANNED]").await;
    assert_ne!(modes(screen.master.as_ref().unwrap().as_ref()), screen.before, "raw while it runs");
    // Typed ahead: the question must not be answered by it.
    screen.press("syyy");
    screen.shows("y start").await;
    wait_for("the answer counts", async || (!screen.text().contains("(off)")).then_some(())).await;
    assert!(screen.text().contains("[PLANNED]"));
    screen.press("y");
    screen.shows("[DONE]").await;
    screen.shows("6/6 updated, 0 failed, done in").await;
    // The title follows within a second.
    wait_for("the title", async || {
        let bytes = screen.bytes.lock().unwrap();
        let title = b"\x1b]2;6/6 updated, 0 failed, done in";
        bytes.windows(title.len()).any(|part| part == title).then_some(())
    })
    .await;
    let before = screen.bytes.lock().unwrap().len();
    // Idle after the end: not one byte for as long as a clock would have ticked.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(screen.bytes.lock().unwrap().len(), before, "an idle screen costs nothing");
    screen.press("q");
    assert_eq!(screen.ended().await, "Ok(Ended { code: 0 })");
    screen.is_given_back().await;
    let bytes = screen.bytes.lock().unwrap();
    let frames = bytes.windows(8).filter(|w| w == b"\x1b[?2026h").count();
    assert!(
        frames > 2 && frames == bytes.windows(8).filter(|w| w == b"\x1b[?2026l").count() - 1,
        "each frame is wrapped; one close while leaving"
    );
}

#[tokio::test]
async fn a_panic_gives_the_terminal_back_and_is_readable() {
    let mut screen = Screen::start("panic", &[]);
    screen.shows("[PLANNED]").await;
    screen.press("s");
    screen.shows("y start").await;
    wait_for("the answer counts", async || (!screen.text().contains("(off)")).then_some(())).await;
    screen.press("y");
    let ended = screen.ended().await;
    assert!(ended.starts_with("Err(Panicked(\" (details: "), "{ended}");
    screen.is_given_back().await;
    screen.shows("planned panic").await;
}

#[tokio::test]
async fn signals_end_it_and_give_the_terminal_back() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP] {
        let mut screen = Screen::start("run", &[]);
        screen.shows("[PLANNED]").await;
        screen.signal(signal);
        let how = if signal == Signal::HUP { "Ok(HungUp)" } else { "Ok(Left)" };
        assert_eq!(screen.ended().await, how, "{signal:?}");
        screen.is_given_back().await;
    }
}

#[tokio::test]
async fn a_terminal_that_is_gone_ends_it_within_a_second() {
    let mut screen = Screen::start("run", &[]);
    screen.shows("[PLANNED]").await;
    screen.closed.store(true, Ordering::SeqCst);
    screen.press("\u{c}");
    screen.keys = None;
    screen.master = None;
    let closed = Instant::now();
    assert_eq!(screen.ended().await, "Ok(HungUp)");
    assert!(closed.elapsed() < Duration::from_secs(1), "{:?}", closed.elapsed());
}

#[tokio::test]
async fn a_stalled_terminal_can_still_be_left() {
    for (name, leave) in [("key", None), ("signal", Some(Signal::TERM))] {
        let mut screen = Screen::start("run", &[]);
        screen.shows("[PLANNED]").await;
        screen.stalled.store(true, Ordering::SeqCst);
        // Each is a whole paint; together far more than a terminal takes unread.
        for _ in 0..20 {
            screen.press("\u{c}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        match leave {
            None => screen.press("qd"),
            Some(signal) => screen.signal(signal),
        }
        assert_eq!(screen.ended().await, "Ok(Left)", "{name}");
        assert_eq!(modes(screen.master.as_ref().unwrap().as_ref()), screen.before, "{name}");
        screen.stalled.store(false, Ordering::SeqCst);
    }
}

/// Every code of every pen that was set on the screen so far.
fn pens(screen: &Screen) -> Vec<String> {
    let text = String::from_utf8_lossy(&screen.bytes.lock().unwrap()).into_owned();
    let sequences = text.split("\x1b[").skip(1).filter_map(|s| s.split_once('m').map(|(codes, _)| codes.to_owned()));
    let pens = sequences.filter(|codes| codes.chars().all(|c| c.is_ascii_digit() || c == ';'));
    pens.flat_map(|codes| codes.split(';').map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn without_colours_the_selection_and_what_is_bold_stay_visible() {
    for (role, env) in [("run", ("NO_COLOR", "1")), ("mono", ("COLORTERM", "truecolor"))] {
        let mut screen = Screen::start(role, &[env]);
        screen.shows("[PLANNED]").await;
        screen.press("q");
        screen.shows("leave it planned").await;
        screen.press("d");
        screen.ended().await;
        let pens = pens(&screen);
        assert!(pens.iter().any(|code| code == "7") && pens.iter().any(|code| code == "1"), "{role}: {pens:?}");
        assert!(pens.iter().all(|code| matches!(code.as_str(), "" | "0" | "1" | "2" | "4" | "7")), "{role}: {pens:?}");
    }
}

#[tokio::test]
async fn an_empty_no_color_is_none_and_the_settings_have_the_last_word() {
    for (role, value, wanted) in [("run", "", "5"), ("truecolor", "1", "2")] {
        let mut screen = Screen::start(role, &[("NO_COLOR", value)]);
        screen.shows("[PLANNED]").await;
        screen.press("qd");
        screen.ended().await;
        let pens = pens(&screen);
        let colours = pens.windows(2).any(|pair| pair[0] == "38" && pair[1] == wanted);
        assert!(colours, "{role} NO_COLOR={value:?}: {pens:?}");
    }
}

#[tokio::test]
async fn instances_are_filtered_looked_at_and_left_again() {
    let mut screen = Screen::start("run", &[]);
    screen.shows("[PLANNED]").await;
    // The letters of a filter are no orders.
    screen.press("/web-0qsR");
    screen.shows("0 of 6").await;
    assert!(screen.text().contains("[PLANNED]"));
    screen.press("\x7f\x7f\x7f3\r");
    screen.shows("/web-03 1 of 6").await;
    screen.press("\r");
    screen.shows("phases").await;
    screen.shows("its events").await;
    screen.press("\x1b");
    screen.shows("/web-03 1 of 6").await;
    screen.press("\x1b");
    wait_for("all instances", async || screen.text().contains(" web-06 ").then_some(())).await;
    screen.press("o");
    screen.shows("sorted by state").await;
    screen.press("n");
    screen.shows("no instance failed, is held").await;
    screen.press("qd");
    assert_eq!(screen.ended().await, "Ok(Left)");
    screen.is_given_back().await;
}
