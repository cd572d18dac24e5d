//! The last lines of the engine's log, kept for whoever asks.
//!
//! Imports: ports' `LogLine`. May not: format or filter.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::ports::LogLine;

/// Lines kept.
const KEPT: usize = 2000;
/// Lines that a live reader may be behind before it misses some.
const BEHIND: usize = 1024;

/// Shared by the engine's log and its readers.
#[derive(Debug, Clone)]
pub struct LogRing {
    lines: Arc<Mutex<VecDeque<LogLine>>>,
    live: broadcast::Sender<LogLine>,
}

impl Default for LogRing {
    fn default() -> Self {
        Self::new()
    }
}

impl LogRing {
    /// An empty ring.
    pub fn new() -> Self {
        Self { lines: Arc::default(), live: broadcast::channel(BEHIND).0 }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LogLine>> {
        // A writer that panicked left whole lines behind.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line in; its number is set here.
    pub fn push(&self, mut line: LogLine) {
        let mut lines = self.lock();
        line.number = lines.back().map_or(1, |last| last.number + 1);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.clone());
        // Nobody listening is no error.
        drop(self.live.send(line));
    }

    /// The kept lines after number `after`.
    pub fn after(&self, after: u64) -> Vec<LogLine> {
        self.lock().iter().filter(|line| line.number > after).cloned().collect()
    }

    /// Lines from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.live.subscribe()
    }
}
