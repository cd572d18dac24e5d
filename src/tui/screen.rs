//! The screen of the console: what is drawn on, what is read from, and when it may be drawn again.
//!
//! Imports: tui parts, os. May not: know what a key does or what the engine says.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use tokio::time::{Instant, timeout_at};

use super::app::{App, Dirt};
use super::encoder::Encoder;
use super::input::{Input, Reader};
use super::terminal::{Tty, Writer, give_back, switched_on, take_over};
use super::theme::Depth;
use super::view;
use super::wire::{Beside, Dialect, Meter};
use crate::model::Seq;

/// How long an answer of the terminal is waited for while leaving.
const LAST_ANSWER: Duration = Duration::from_millis(300);

/// What is drawn on, and what is read from.
pub(super) struct Screen {
    terminal: Terminal<Encoder>,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    last_draw: Option<Instant>,
    /// What is in the frame on its way and has to be seen.
    pub(super) unseen: Option<u64>,
    /// Everything is to be painted.
    forgotten: bool,
    /// When the frame that is on its way was sent.
    sent: Option<(Instant, Seq)>,
    /// What goes with the frames.
    pub(super) beside: Beside,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter(tty: &Tty, size: (u16, u16), (depth, ascii): (Depth, bool)) -> io::Result<Self> {
        let encoder = Encoder::new(Size::new(size.0, size.1), depth, ascii);
        let terminal = Terminal::new(encoder).map_err(impossible)?;
        let writer = Writer::start(tty.output()?)?;
        let reader = Reader::start(tty.input()?)?;
        take_over()?;
        let beside = Beside::new(Dialect::of(|name| std::env::var(name).ok()), Instant::now());
        Ok(Self { terminal, writer, reader, last_draw: None, unseen: None, forgotten: false, sent: None, beside })
    }

    /// When it is to be drawn next, if at all.
    pub(super) fn due(&self, dirt: Dirt, meter: &Meter) -> Option<Instant> {
        let drawn = || self.last_draw.map_or_else(Instant::now, |last| last + meter.gap(dirt));
        let picture = (dirt != Dirt::Clean).then(drawn);
        picture.into_iter().chain(self.beside.due()).min()
    }

    /// Draws, and sends the frame on its way. Nothing may be on its way.
    pub(super) fn draw(&mut self, app: &App) -> io::Result<()> {
        crate::os::failpoint::pass("console.draw");
        self.last_draw = Some(Instant::now());
        if app.size.0 == 0 || app.size.1 == 0 {
            return Ok(());
        }
        self.terminal.backend_mut().resize(Size::new(app.size.0, app.size.1));
        if std::mem::take(&mut self.forgotten) {
            self.terminal.clear().map_err(impossible)?;
        }
        self.terminal.draw(|frame| view(app, frame)).map_err(impossible)?;
        self.unseen = app.unseen();
        let mut frame = self.terminal.backend_mut().take();
        let now = Instant::now();
        frame.extend(self.beside.take(app, !frame.is_empty(), now));
        switched_on(self.beside.switched_on());
        // An empty frame is written at once; so what it shows is seen by the same path. It says nothing of the link.
        self.sent = (!frame.is_empty()).then_some((now, app.state.seq));
        self.writer.send(frame);
        Ok(())
    }

    /// The frame was written: how long it was on its way, if it held anything.
    /// And which fact was its last.
    pub(super) fn arrived(&mut self) -> Option<(Duration, Seq)> {
        self.sent.take().map(|(sent, seq)| (sent.elapsed(), seq))
    }

    /// The whole screen as it stands, to be written to a file.
    pub(super) fn picture(app: &App) -> Buffer {
        let size = Size::new(app.size.0, app.size.1);
        let drawn = Terminal::new(Encoder::new(size, Depth::Mono, false)).and_then(|mut terminal| {
            let frame = terminal.draw(|frame| view(app, frame))?;
            Ok(frame.buffer.clone())
        });
        drawn.unwrap_or_default()
    }

    /// How long the last frame has been on its way.
    pub(super) fn underway(&self) -> Duration {
        self.last_draw.map_or(Duration::ZERO, |drawn| drawn.elapsed())
    }

    /// The next frame is a whole paint.
    pub(super) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Waits until nothing is on its way, but not long.
    pub(super) async fn settle(&mut self) {
        self.writer.settle().await;
        // What the terminal was asked is answered here, or the shell gets it.
        let deadline = Instant::now() + LAST_ANSWER;
        while self.beside.is_asked() {
            match timeout_at(deadline, self.reader.next()).await {
                Ok(Input::Answer) => drop(self.beside.answered(Instant::now())),
                Ok(Input::HungUp) | Err(_) => break,
                Ok(Input::Key(_) | Input::Mouse(_)) => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn impossible(never: Infallible) -> io::Error {
    match never {}
}
