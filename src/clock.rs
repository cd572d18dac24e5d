//! The only file that reads a clock: wall time once, then a monotonic clock on top of it.
//!
//! Imports: ports, model. May not: decide anything, sleep.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::model::{Span, Timestamp};
use crate::ports::Clock;

/// Wall time that never goes back, however the machine's clock is set while we run.
///
/// It is anchored at its creation and then follows tokio's monotonic clock. Copies share the anchor.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    /// Since the epoch; finer than a timestamp, so that two clocks of one process agree.
    anchor: Duration,
    origin: Instant,
}

impl SystemClock {
    /// Anchored at the machine's wall clock.
    pub fn new() -> Self {
        Self::not_before(Timestamp::default())
    }

    /// Anchored at the machine's wall clock, or at `floor` if the wall clock lies before it: what was journalled
    /// before a restart stays in the past.
    pub fn not_before(floor: Timestamp) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { anchor: since_epoch.max(Duration::from_millis(floor.as_millis())), origin: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Timestamp::default() + Span::from(self.anchor.saturating_add(self.origin.elapsed()))
    }

    /// As the port by which others are handed the time.
    pub fn port(self) -> Clock {
        Arc::new(move || self.now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_runs_forward_and_copies_agree() {
        let clock = SystemClock::new();
        let copy = clock;
        let before = clock.now();
        assert!(before > Timestamp::from_millis(1_700_000_000_000), "a wall clock: {before}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let after = copy.now();
        assert!(after.since(before) >= Span::from_millis(19), "{before} {after}");
        assert!(clock.now() >= after);
    }

    #[test]
    fn it_starts_no_earlier_than_told() {
        let ahead = SystemClock::new().now() + Span::from_secs(86_400);
        assert!(SystemClock::not_before(ahead).now() >= ahead);
    }
}
