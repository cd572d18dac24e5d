//! The link meter: how long frames and questions are on their way, and what follows from it for what is drawn.
//!
//! Imports: tui::app, model. May not: read a clock; measure by itself.

use std::time::Duration;

use crate::model::{Span, Timestamp};
use crate::tui::app::Dirt;

/// From here on the header says how long it takes.
const NOTICEABLE: u64 = 100;
/// From here on it says that the link is slow.
const SLOW: u64 = 1000;
/// A frame that took so long was stuck.
const STALL: u64 = 5000;
/// How long the header says so.
const STALL_SHOWN: Span = Span::from_secs(30);

/// Gaps between frames, the least first: 15, 8, 4 and one a second.
const GAPS: [u64; 4] = [66, 125, 250, 1000];
/// A frame that is written within so many milliseconds leaves the line free for the rungs of the ladder.
const WRITTEN: [u64; 3] = [30, 120, 400];
/// So long may a question take on them. A far terminal is not a slow one: only what queues up needs room.
const ANSWERED: [u64; 3] = [200, 500, 1500];
/// From this rung on what is merely nice is left out.
const LITE: usize = 2;

/// How quick the way to the terminal is.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    /// Milliseconds from sending a frame to its being written, smoothed.
    written: u64,
    /// Milliseconds from a question to its answer, smoothed.
    answered: Option<u64>,
    /// When a frame was stuck, and for how long.
    stalled: Option<(Timestamp, Span)>,
}

impl Meter {
    /// A frame was written so long after it was sent.
    pub fn wrote(&mut self, took: Duration, now: Timestamp) {
        let took = milliseconds(took);
        if took >= STALL {
            self.stalled = Some((now, Span::from_millis(took)));
        }
        // What was stuck says nothing of what follows.
        self.written = smooth(self.written, took.min(STALL));
    }

    /// The terminal answered so long after it was asked.
    pub fn answered(&mut self, took: Duration) {
        let took = milliseconds(took);
        self.answered = Some(self.answered.map_or(took, |before| smooth(before, took)));
    }

    /// The rung of the ladder, the quickest is 0.
    fn rung(&self) -> usize {
        let on = |ladder: [u64; 3], took: u64| ladder.iter().filter(|most| took >= **most).count();
        on(WRITTEN, self.written).max(self.answered.map_or(0, |took| on(ANSWERED, took)))
    }

    /// The least time between two frames.
    pub fn gap(&self, dirt: Dirt) -> Duration {
        let least = GAPS.get(self.rung()).copied().unwrap_or(1000);
        Duration::from_millis(match dirt {
            Dirt::Now => least,
            // Lines of the log: a whole batch costs as much as one.
            Dirt::Soon => least.max(if self.is_lite() { 1000 } else { 250 }),
            Dirt::Calm | Dirt::Clean => 1000,
        })
    }

    /// Latencies are shown coarser and sparklines stand still.
    pub fn is_lite(&self) -> bool {
        self.rung() >= LITE
    }

    /// The state of the link in at most eleven columns, and whether something is wrong with it.
    pub fn words(&self, now: Timestamp) -> (String, bool) {
        if let Some((_, took)) = self.stalled.filter(|(at, _)| now.since(*at) < STALL_SHOWN) {
            return (format!("stalled {}s", (took.as_millis() / 1000).min(999)), true);
        }
        match self.written.max(self.answered.unwrap_or_default()) {
            quick if quick < NOTICEABLE => ("link ok".to_owned(), false),
            // In steps that stay the same while nothing changes.
            late if late < SLOW => (format!("link {}ms", late / 20 * 20), false),
            _ => ("link slow".to_owned(), true),
        }
    }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// The newest counts for a quarter.
fn smooth(before: u64, newest: u64) -> u64 {
    (before * 3 + newest.min(1 << 32)).div_ceil(4).saturating_sub(u64::from(newest < before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(times: &[u64]) -> Meter {
        let mut meter = Meter::default();
        for took in times {
            meter.wrote(Duration::from_millis(*took), Timestamp::default());
        }
        meter
    }

    fn words(meter: &Meter) -> String {
        meter.words(Timestamp::from_millis(60_000)).0
    }

    #[test]
    fn what_takes_longer_is_drawn_less_often() {
        let gaps = |took: u64| wrote(&[took; 40]).gap(Dirt::Now).as_millis();
        assert_eq!([0, 29, 60, 200, 900].map(gaps), [66, 66, 125, 250, 1000]);
        assert_eq!(wrote(&[200; 40]).gap(Dirt::Soon).as_millis(), 1000);
        assert_eq!([60, 200].map(|took| wrote(&[took; 40]).is_lite()), [false, true]);
        // And it recovers.
        let mut meter = wrote(&[900; 40]);
        for _ in 0..40 {
            meter.wrote(Duration::ZERO, Timestamp::default());
        }
        assert_eq!((meter.gap(Dirt::Now).as_millis(), words(&meter).as_str()), (66, "link ok"));
    }

    #[test]
    fn a_far_terminal_is_named_and_not_slowed_down() {
        let mut meter = Meter::default();
        meter.answered(Duration::from_millis(187));
        assert_eq!((words(&meter).as_str(), meter.gap(Dirt::Now).as_millis()), ("link 180ms", 66));
        for _ in 0..20 {
            meter.answered(Duration::from_secs(2));
        }
        assert_eq!((words(&meter).as_str(), meter.gap(Dirt::Now).as_millis()), ("link slow", 1000));
    }

    #[test]
    fn a_stall_is_told_for_a_while() {
        let mut meter = Meter::default();
        meter.wrote(Duration::from_millis(12_400), Timestamp::from_millis(1000));
        assert_eq!(meter.words(Timestamp::from_millis(2000)), ("stalled 12s".to_owned(), true));
        assert_ne!(meter.words(Timestamp::from_millis(40_000)).0, "stalled 12s");
    }
}
