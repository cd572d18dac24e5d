//! What goes over the wire with a frame, beside its picture: the title, the mouse's switch, what is to be told, and a
//! question to the terminal, which measures the way there and back.
//!
//! Imports: tui parts. May not: write; wait for an answer.

use std::time::Duration;

use tokio::time::Instant;

use super::notice::Signal;
use super::osc::{Dialect, PUSH_TITLE};
use super::{DISABLE, ENABLE};
use crate::tui::app::App;

/// The least time between two titles.
const TITLE_EVERY: Duration = Duration::from_secs(1);
/// Whoever looks in for a moment asks nothing: the answer would come to the shell.
const FIRST_QUESTION: Duration = Duration::from_secs(3);
/// The least time between two questions.
const QUESTION_EVERY: Duration = Duration::from_secs(10);
/// An answer that is later than this is none.
const ANSWER: Duration = Duration::from_secs(30);
/// How are you? Every terminal answers `ESC [ 0 n`, or nothing.
const QUESTION: &[u8] = b"\x1b[5n";

/// Whether the terminal answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ear {
    /// It was not asked, or may still answer the first question.
    Unknown,
    /// It answered once.
    Hears,
    /// It did not answer the first question: it is not asked again.
    Deaf,
}

/// What the terminal is told and asked.
#[derive(Debug)]
pub(in crate::tui) struct Beside {
    dialect: Dialect,
    /// To be told with the next frame.
    waits: Vec<u8>,
    /// The title that it has, and since when.
    title: Option<(String, Instant)>,
    /// Another title waits for its time.
    newer: bool,
    mouse: bool,
    asked: Option<Instant>,
    next_question: Instant,
    ear: Ear,
}

impl Beside {
    pub(in crate::tui) fn new(dialect: Dialect, now: Instant) -> Self {
        Self {
            dialect,
            waits: Vec::new(),
            title: None,
            newer: false,
            mouse: false,
            asked: None,
            next_question: now + FIRST_QUESTION,
            ear: if dialect.plain { Ear::Deaf } else { Ear::Unknown },
        }
    }

    /// The terminal was given back and taken again: nothing is switched on in it.
    pub(in crate::tui) fn begin_anew(&mut self) {
        self.title = None;
        self.mouse = false;
    }

    /// Calls for a person with the next frame.
    pub(in crate::tui) fn call(&mut self, signal: Signal, text: &str) {
        self.waits.extend(self.dialect.call(signal, text));
    }

    /// Sends a text to the clipboard with the next frame; `false` if it cannot be sent.
    pub(in crate::tui) fn copy(&mut self, text: &str) -> bool {
        let bytes = self.dialect.clipboard(text);
        self.waits.extend(bytes.iter().flatten());
        bytes.is_some()
    }

    /// When a frame is due for this alone.
    pub(in crate::tui) fn due(&self) -> Option<Instant> {
        if !self.waits.is_empty() {
            return Some(Instant::now());
        }
        self.title.as_ref().filter(|_| self.newer).map(|(_, since)| *since + TITLE_EVERY)
    }

    /// What goes with the frame that is drawn now. `busy`: the frame has a picture, so that a question costs no packet.
    pub(in crate::tui) fn take(&mut self, app: &App, busy: bool, now: Instant) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.waits);
        if app.wire.mouse != self.mouse {
            self.mouse = app.wire.mouse;
            bytes.extend_from_slice(if self.mouse { ENABLE } else { DISABLE });
        }
        self.take_title(app, now, &mut bytes);
        if self.asked.is_some_and(|asked| now.duration_since(asked) > ANSWER) {
            self.asked = None;
            if self.ear == Ear::Unknown {
                self.ear = Ear::Deaf;
            }
        }
        if busy && self.ear != Ear::Deaf && self.asked.is_none() && now >= self.next_question {
            self.asked = Some(now);
            self.next_question = now + QUESTION_EVERY;
            bytes.extend_from_slice(QUESTION);
        }
        bytes
    }

    fn take_title(&mut self, app: &App, now: Instant, bytes: &mut Vec<u8>) {
        let wanted = title(app);
        self.newer = self.title.as_ref().is_none_or(|(shown, _)| *shown != wanted);
        let early = self.title.as_ref().is_some_and(|(_, since)| now.duration_since(*since) < TITLE_EVERY);
        if !self.newer || early {
            return;
        }
        let told = self.dialect.title(&wanted);
        if self.title.is_none() && !told.is_empty() {
            bytes.extend_from_slice(PUSH_TITLE);
        }
        bytes.extend(told);
        self.title = Some((wanted, now));
        self.newer = false;
    }

    /// The terminal answered: so long after it was asked.
    pub(in crate::tui) fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.ear = Ear::Hears;
        self.asked.take().map(|asked| now.duration_since(asked))
    }

    /// An answer may still come: whoever leaves now leaves it to the shell.
    pub(in crate::tui) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What is switched on, to be undone: the title, the mouse.
    pub(in crate::tui) fn switched_on(&self) -> (bool, bool) {
        (self.title.is_some() && !self.dialect.plain, self.mouse)
    }
}

/// How it stands, and of what.
fn title(app: &App) -> String {
    let plan = &app.state.plan;
    format!("{} - {} {}", app.headline(), plan.service, plan.env)
}
