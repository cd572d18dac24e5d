//! The latest lines of the engine's log, for whoever attaches.
//!
//! Imports: ports' `LogLine`, model, os' text. May not: know where lines come from, or keep more than it was made for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::text::sanitise_within;
use crate::model::Timestamp;
use crate::ports::LogLine;

/// Target of lines that only repeat an event: they are for the file, since readers of the ring have the events.
pub const FACTS: &str = "event";

/// Lines that are kept: some screens to scroll through, less than a megabyte.
pub const LINES_KEPT: usize = 2_000;
/// The longest message in characters; what a driver prints must not fill the memory or a screen.
pub const MESSAGE_CHARS_MAX: usize = 2_000;
/// Lines that a live reader may lag behind before it loses some and sees a gap in the numbers.
const LIVE: usize = 1_024;

/// A bounded log; copies share it.
#[derive(Debug, Clone)]
pub struct LogRing {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    live: broadcast::Sender<LogLine>,
    capacity: usize,
}

#[derive(Debug)]
struct Kept {
    lines: VecDeque<LogLine>,
    last: u64,
}

impl LogRing {
    /// Keeps the latest [`LINES_KEPT`] lines.
    pub fn new() -> Self {
        Self::with_capacity(LINES_KEPT)
    }

    /// Keeps the latest `capacity` lines.
    fn with_capacity(capacity: usize) -> Self {
        let kept = Mutex::new(Kept { lines: VecDeque::new(), last: 0 });
        Self { shared: Arc::new(Shared { kept, live: broadcast::Sender::new(LIVE), capacity }) }
    }

    /// Adds a line and numbers it, unless it repeats a fact. The message is made harmless here, once for all readers.
    pub fn push(&self, at: Timestamp, level: &str, target: &str, message: &str) -> LogLine {
        let message = sanitise_within(message, MESSAGE_CHARS_MAX);
        if target == FACTS {
            return LogLine { number: 0, at, level: level.to_owned(), target: target.to_owned(), message };
        }
        let mut kept = self.kept();
        kept.last += 1;
        let line = LogLine { number: kept.last, at, level: level.to_owned(), target: target.to_owned(), message };
        if kept.lines.len() >= self.shared.capacity {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line.clone());
        // In the lock, so that live readers get the lines in the order of their numbers. No reader is no error.
        let _readers = self.shared.live.send(line.clone()).unwrap_or(0);
        line
    }

    /// The kept lines after number `after`, oldest first.
    pub fn after(&self, after: u64) -> Vec<LogLine> {
        self.kept().lines.iter().filter(|line| line.number > after).cloned().collect()
    }

    /// The lines from now on. Who lags too far behind is told how many were lost.
    pub fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.shared.live.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LogRing {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lines: &[LogLine]) -> Vec<u64> {
        lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn the_latest_lines_are_kept_and_numbered() {
        let ring = LogRing::with_capacity(3);
        assert_eq!(ring.after(0), []);
        for n in 1..=5 {
            ring.push(Timestamp::from_millis(n), "info", "engine", &format!("line {n}"));
        }
        assert_eq!(numbers(&ring.after(0)), [3, 4, 5]);
        assert_eq!(numbers(&ring.after(4)), [5]);
        assert_eq!(numbers(&ring.after(9)), [0; 0]);
        assert_eq!(ring.after(4)[0].message, "line 5");
    }

    #[test]
    fn live_readers_get_lines_and_learn_of_those_they_lost() {
        let ring = LogRing::new();
        let mut live = ring.subscribe();
        ring.push(Timestamp::default(), "warn", "engine", "one");
        assert_eq!(live.try_recv().unwrap().number, 1);
        for _ in 0..LIVE + 10 {
            ring.push(Timestamp::default(), "warn", "engine", "flood");
        }
        assert_eq!(live.try_recv(), Err(broadcast::error::TryRecvError::Lagged(10)));
        assert_eq!(live.try_recv().unwrap().number, 12);
    }

    #[test]
    fn what_steers_a_terminal_is_written_out_and_length_is_bounded() {
        let ring = LogRing::new();
        let line = |text: &str| ring.push(Timestamp::default(), "info", "engine", text).message;
        assert_eq!(line("a\x1b[2J\r\n\u{9b}m\u{202e}\u{200b}é漢"), "a\\u{1b}[2J\\r\\n\\u{9b}m\\u{202e}\\u{200b}é漢");
        assert_eq!(line(&"x".repeat(MESSAGE_CHARS_MAX)).len(), MESSAGE_CHARS_MAX);
        let cut = line(&"\x1b".repeat(1_000_000));
        assert!(cut.ends_with('…') && cut.chars().count() <= MESSAGE_CHARS_MAX + 1);
    }
}
