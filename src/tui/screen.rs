//! The screen of the console: what is drawn on, what is read from, and when it may be drawn again.
//!
//! Imports: tui parts, os. May not: know what a key does or what the engine says.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::layout::Size;
use tokio::time::Instant;

use super::app::{App, Dirt};
use super::encoder::Encoder;
use super::input::Reader;
use super::terminal::{Tty, Writer, give_back, take_over};
use super::theme::Depth;
use super::view;

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
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter(tty: &Tty, size: (u16, u16), (depth, ascii): (Depth, bool)) -> io::Result<Self> {
        let encoder = Encoder::new(Size::new(size.0, size.1), depth, ascii);
        let terminal = Terminal::new(encoder).map_err(impossible)?;
        let writer = Writer::start(tty.output()?)?;
        let reader = Reader::start(tty.input()?)?;
        take_over()?;
        Ok(Self { terminal, writer, reader, last_draw: None, unseen: None, forgotten: false })
    }

    /// When it may be drawn next.
    pub(super) fn due(&self, dirt: Dirt) -> Instant {
        let gap = Duration::from_millis(match dirt {
            Dirt::Now => 20,
            Dirt::Soon => 250,
            Dirt::Calm | Dirt::Clean => 1000,
        });
        self.last_draw.map_or_else(Instant::now, |last| last + gap)
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
        let frame = self.terminal.backend_mut().take();
        // An empty frame is written at once; so what it shows is seen by the same path.
        self.writer.send(frame);
        Ok(())
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
