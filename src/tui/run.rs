//! The loop: inputs, news, answers and time become messages; what is to be done is done; the screen is drawn once a batch.
//!
//! Imports: session, tui parts. May not: decide what a key does; draw by itself.

mod outside;
mod signals;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::OptionFuture;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::app::{App, Dirt, Fixed, Link, Oracle, Tone};
use super::chooser::Themes;
use super::input::Input;
use super::keys::{Action, Key};
use super::log::LogFeed;
use super::looks::Looks;
use super::screen::Screen;
use super::terminal::{Tty, details, give_back, is_ours, needs_ascii, size, take_over};
use super::theme::ThemeFile;
use super::update::{Cmd, Msg, update};
use super::wire::{MouseEvent, Wire};
use super::{Exit, Settings, TuiError};
use crate::command::{Command, Receipt};
use crate::model::{Seq, Span, Timestamp};
use crate::ports::{Session, SessionError, Update};
use signals::Signals;

/// How long a question must have been on the screen before an answer counts.
const READ_FIRST: Duration = Duration::from_millis(500);
/// How long an answer of the engine is waited for.
const ANSWER: Duration = Duration::from_secs(10);
/// Updates and keys that are taken in before the screen is drawn.
const BATCH: usize = 512;
/// How many facts of the past are asked for: the whole story of some hundred instances.
const PAST: u64 = 4096;
/// How long they are waited for.
const TELL: Duration = Duration::from_secs(1);
/// Between two steps of a replay that plays.
const BEAT: Duration = Duration::from_millis(200);
/// A terminal that took nothing for this long is painted anew.
const STALL: Duration = Duration::from_secs(5);

pub(super) async fn run(session: Box<dyn Session>, settings: Settings) -> Result<Exit, TuiError> {
    let tty = Tty::open().map_err(TuiError::NoTerminal)?;
    let snapshot = session.snapshot().await?;
    // What cannot be told in time is not waited for: the screen comes first.
    let past = timeout(TELL, session.past(snapshot.seq, PAST)).await.ok().and_then(Result::ok).unwrap_or_default();
    let depth = settings.color.depth();
    let ascii = settings.ascii.unwrap_or_else(|| needs_ascii(|name| std::env::var(name).ok()));
    let (looks, own) = Looks::begin(settings.own_themes, TELL).await;
    let (themes, theme, complaint) = Themes::begin(&settings.theme, own, (depth, ascii))
        .map_err(|broken| TuiError::Terminal(io::Error::other(broken.to_string())))?;
    let fixed = Fixed {
        theme,
        read_only: settings.read_only,
        keys: settings.keys,
        protected: settings.protected,
        stripe: settings.stripe,
        demo: settings.demo,
        next: settings.next,
        earlier: settings.earlier,
        zone: settings.zone,
        oracle: Oracle::default(),
    };
    let size = size();
    let now = settings.now;
    let mut app = App::attached(&past, snapshot, fixed, now(), size);
    app.wire = Wire::new(settings.notify, settings.clipboard);
    app.themes = themes;
    if let Some(complaint) = complaint {
        app.say(complaint, Tone::Refused);
    }
    if let Some(idle) = settings.idle {
        app.begin_idle(idle);
    }
    if let Some(story) = settings.replay {
        app.begin_with(story).map_err(|why| TuiError::Session(SessionError::Link(why)))?;
    }
    let mut console = Console {
        replies: JoinSet::new(),
        told: JoinSet::new(),
        beat: Instant::now(),
        signals: Signals::catch().map_err(TuiError::Terminal)?,
        screen: Screen::enter(&tty, size, (depth, ascii)).map_err(TuiError::Terminal)?,
        session,
        app,
        on_hangup: settings.on_hangup.filter(|_| !settings.read_only),
        now,
        arm: None,
        tick: Instant::now(),
        log: LogFeed::default(),
        looks,
    };
    tui_logger::set_default_level(log::LevelFilter::Trace);
    // A panic in here is the console's alone, and its process still says what becomes of the deployment.
    let outcome = AssertUnwindSafe(console.serve()).catch_unwind().await.unwrap_or_else(|_told| Err(panicked()));
    let asked = matches!(outcome, Ok(Exit::HungUp)).then(|| console.hang_up());
    tokio::join!(OptionFuture::from(asked), console.screen.settle());
    give_back();
    outcome
}

struct Console {
    session: Box<dyn Session>,
    app: App,
    screen: Screen,
    signals: Signals,
    /// What is asked of the engine when the terminal is gone.
    on_hangup: Option<Command>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    replies: JoinSet<(&'static str, Result<Receipt, String>)>,
    /// What is being read of the past.
    told: JoinSet<Msg>,
    /// When a replay last played on.
    beat: Instant,
    /// When what is unseen has been seen for long enough.
    arm: Option<(Instant, u64)>,
    /// The next second.
    tick: Instant,
    log: LogFeed,
    looks: Looks,
}

/// Why the loop woke.
enum Wake {
    Stop,
    HungUp,
    Key(Key),
    Mouse(MouseEvent),
    Answer,
    Update(Update),
    Reply(&'static str, Result<Receipt, String>),
    Told(Box<Msg>),
    Written(io::Result<()>),
    Resized,
    Continued,
    /// The user's own themes are to be looked at.
    Look,
    /// They have been, and this is new.
    Themes(Option<Vec<ThemeFile>>),
    Time,
}

impl Console {
    async fn serve(&mut self) -> Result<Exit, TuiError> {
        loop {
            if !is_ours() {
                return Err(panicked());
            }
            self.draw_if_due()?;
            let mut wake = Some(self.wait().await);
            let mut left = BATCH;
            while let Some(this) = wake {
                if let Some(exit) = self.handle(this).await? {
                    return Ok(exit);
                }
                left -= 1;
                wake = if left == 0 { None } else { self.at_once() };
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let until = self.next_time();
        let listening = self.app.link != Link::Closed;
        tokio::select! {
            biased;
            wake = self.signals.next() => wake,
            input = self.screen.reader.next() => wake_of(input),
            result = self.screen.writer.written() => Wake::Written(result),
            Some(reply) = self.replies.join_next() => reply_of(reply),
            Some(Ok(told)) = self.told.join_next() => Wake::Told(Box::new(told)),
            found = self.looks.found() => Wake::Themes(found),
            update = self.session.next(), if listening => Wake::Update(update),
            () = sleep_until(until) => Wake::Time,
        }
    }

    /// What is there already; keys first, then news.
    fn at_once(&mut self) -> Option<Wake> {
        if let Some(input) = self.screen.reader.next().now_or_never() {
            return Some(wake_of(input));
        }
        if self.app.link == Link::Closed {
            return None;
        }
        self.session.next().now_or_never().map(Wake::Update)
    }

    /// When something is to be done if nothing happens.
    fn next_time(&self) -> Instant {
        let mut until = Instant::now() + Duration::from_hours(1);
        if self.ticks() {
            until = until.min(self.tick);
        }
        if self.app.plays() {
            until = until.min(self.beat + BEAT);
        }
        if let Some((at, _)) = self.arm {
            until = until.min(at);
        }
        if let Some(at) = self.looks.due().filter(|_| self.app.themes.watches()) {
            until = until.min(at);
        }
        let due = self.screen.due(self.app.dirt, &self.app.wire.meter).filter(|_| !self.screen.writer.is_busy());
        due.map_or(until, |due| until.min(due))
    }

    /// The clock in the header runs; afterwards an idle screen costs nothing.
    fn ticks(&self) -> bool {
        self.app.state.end.is_none() || self.app.message.is_some() || self.app.wire.notices.owes()
    }

    async fn handle(&mut self, wake: Wake) -> Result<Option<Exit>, TuiError> {
        let msg = match wake {
            Wake::Stop => return Ok(Some(self.left(Exit::Left))),
            Wake::HungUp => return self.lost(),
            Wake::Key(key) => Msg::Key(key),
            Wake::Mouse(event) => Msg::Mouse(event),
            Wake::Answer => {
                if let Some(took) = self.screen.beside.answered(Instant::now()) {
                    self.app.wire.meter.answered(took);
                }
                return Ok(None);
            }
            Wake::Update(news) => Msg::Update(news),
            Wake::Reply(verb, result) => Msg::Reply { verb, result },
            Wake::Told(told) => *told,
            Wake::Written(Ok(())) => {
                if let Some((took, seq)) = self.screen.arrived() {
                    self.app.took(took, seq, (self.now)());
                }
                if self.screen.underway() > STALL {
                    let text = format!("the terminal took nothing for {}s", self.screen.underway().as_secs());
                    self.app.say(text, Tone::Refused);
                    // Whatever lies between may have lost something.
                    self.repaint();
                }
                match self.screen.unseen.take() {
                    Some(seen) => Msg::Seen(seen),
                    None => return Ok(None),
                }
            }
            Wake::Written(Err(_gone)) => return self.lost(),
            Wake::Resized => {
                let (width, height) = size();
                Msg::Resize(width, height)
            }
            Wake::Continued => {
                self.repaint();
                return Ok(None);
            }
            Wake::Look => {
                self.looks.look(true);
                return Ok(None);
            }
            Wake::Themes(None) => return Ok(None),
            Wake::Themes(Some(own)) => Msg::Themes(own),
            Wake::Time => match self.due() {
                Some(msg) => msg,
                None => return Ok(None),
            },
        };
        for cmd in update(&mut self.app, msg) {
            if let Some(exit) = self.perform(cmd).await? {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    fn due(&mut self) -> Option<Msg> {
        let now = Instant::now();
        if let Some((at, id)) = self.arm
            && at <= now
        {
            self.arm = None;
            return Some(Msg::Armed(id));
        }
        if self.app.plays() && self.beat + BEAT <= now {
            // However long it stood still before: it goes on from there.
            let passed = (now - self.beat).min(2 * BEAT);
            self.beat = now;
            return Some(Msg::Beat(Span::from(passed)));
        }
        if self.app.themes.watches() && self.looks.due().is_some_and(|at| at <= now) {
            self.looks.look(false);
        }
        if self.ticks() && self.tick <= now {
            let at = (self.now)();
            // On the second, so that countdowns and clock change together.
            self.tick = now + Duration::from_millis(1000 - at.as_millis() % 1000);
            return Some(Msg::Tick(at));
        }
        None
    }

    async fn perform(&mut self, cmd: Cmd) -> Result<Option<Exit>, TuiError> {
        match cmd {
            Cmd::Send { command, revision } => self.send(command, revision),
            Cmd::Log(line) => self.log.take(&line, &self.app.fixed.zone),
            Cmd::Refresh => return Ok(self.refresh().await),
            Cmd::Past => {
                let past = self.session.deployments();
                self.told.spawn(async { Msg::Past(past.await.map_err(|error| error.to_string())) });
            }
            Cmd::Story(id) => {
                let story = self.session.story(id.clone());
                self.told.spawn(async { Msg::Story(id, story.await.map_err(|error| error.to_string())) });
            }
            // Each frame that shows it says so; only the first one begins its time.
            Cmd::Arm(id) if self.arm.is_some_and(|(_, arming)| arming == id) => {}
            Cmd::Arm(id) => self.arm = Some((Instant::now() + READ_FIRST, id)),
            Cmd::Copy { what, text } => self.copy(&what, &text),
            Cmd::Call(signal, text) => self.screen.beside.call(signal, &text),
            Cmd::Export => self.export().await,
            Cmd::Themes => self.looks.look(true),
            Cmd::Repaint => self.repaint(),
            Cmd::Suspend => return self.suspend().await,
            Cmd::Exit(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }

    /// Reads everything again. Whoever wants to leave meanwhile can; other keys are for a screen that is true.
    async fn refresh(&mut self) -> Option<Exit> {
        let mut asked = Box::pin(timeout(ANSWER, self.session.snapshot()));
        let mut repaint = false;
        let answer = loop {
            let wake = tokio::select! {
                answer = &mut asked => break answer,
                wake = self.signals.next() => wake,
                input = self.screen.reader.next() => wake_of(input),
            };
            match wake {
                Wake::Stop => return Some(self.left(Exit::Left)),
                Wake::Key(key) if self.app.fixed.keys.action(key, false) == Some(Action::Quit) => {
                    return Some(self.left(Exit::Left));
                }
                Wake::HungUp => return Some(self.left(Exit::HungUp)),
                Wake::Resized | Wake::Continued => repaint = true,
                _ => {}
            }
        };
        drop(asked);
        let reason = match answer {
            Ok(Ok(snapshot)) => {
                update(&mut self.app, Msg::Fresh(Box::new(snapshot)));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_late) => Some("the engine did not say how it stands".to_owned()),
        };
        if let Some(reason) = reason {
            update(&mut self.app, Msg::Update(Update::Disconnected { reason }));
        }
        if repaint {
            let (width, height) = size();
            update(&mut self.app, Msg::Resize(width, height));
            self.repaint();
        }
        None
    }

    /// Left like this, unless there is nothing more to come.
    fn left(&self, exit: Exit) -> Exit {
        self.app.state.exit_code().map_or(exit, |code| Exit::Ended { code })
    }

    /// The terminal is gone, or the thread on it.
    fn lost(&self) -> Result<Option<Exit>, TuiError> {
        if is_ours() { Ok(Some(self.left(Exit::HungUp))) } else { Err(panicked()) }
    }

    fn send(&mut self, command: Command, revision: Option<Seq>) {
        let verb = command.verb();
        let sent = self.session.send(command, revision);
        self.replies.spawn(async move {
            let result = match timeout(ANSWER, sent).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_late) => Err(format!("no answer in {}s; it may have been taken, the events will show it", ANSWER.as_secs())),
            };
            (verb, result)
        });
    }

    fn draw_if_due(&mut self) -> Result<(), TuiError> {
        let due = self.screen.due(self.app.dirt, &self.app.wire.meter);
        if self.screen.writer.is_busy() || due.is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        // A fact may be newer than the last second; the clock must not run behind it.
        self.app.now = self.app.now.max((self.now)());
        tui_logger::move_events();
        self.app.dirt = Dirt::Clean;
        self.screen.draw(&self.app).map_err(TuiError::Terminal)
    }

    fn repaint(&mut self) {
        self.screen.forget();
        self.app.dirt = Dirt::Now;
    }

    /// Stops the console as the shell expects it. The engine is in a session of its own and goes on.
    async fn suspend(&mut self) -> Result<Option<Exit>, TuiError> {
        self.screen.settle().await;
        give_back();
        self.screen.beside.begin_anew();
        if rustix::process::kill_current_process_group(rustix::process::Signal::TSTP).is_ok() {
            // Another thread may take the signal: wait until we are back. Where nobody could continue us, it has no effect.
            timeout(Duration::from_millis(300), self.signals.continued.recv()).await.map(|_| ()).unwrap_or_default();
        }
        if take_over().is_err() {
            // It went away meanwhile, and whoever stopped us with it.
            return Ok(Some(self.left(Exit::HungUp)));
        }
        let (width, height) = size();
        update(&mut self.app, Msg::Resize(width, height));
        self.repaint();
        Ok(None)
    }
}

fn panicked() -> TuiError {
    TuiError::Panicked(details().map_or_else(String::new, |path| format!(" (details: {})", path.display())))
}

fn wake_of(input: Input) -> Wake {
    match input {
        Input::Key(key) => Wake::Key(key),
        Input::Mouse(event) => Wake::Mouse(event),
        Input::Answer => Wake::Answer,
        Input::HungUp => Wake::HungUp,
    }
}

fn reply_of(reply: Result<(&'static str, Result<Receipt, String>), tokio::task::JoinError>) -> Wake {
    match reply {
        Ok((verb, result)) => Wake::Reply(verb, result),
        Err(error) => Wake::Reply("command", Err(error.to_string())),
    }
}
