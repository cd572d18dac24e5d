//! The latencies of one instance as they are shown: calm, few, bounded.
//!
//! Imports: tui parts, session, model. May not: draw.

use std::collections::VecDeque;

use super::baseline::median;
use crate::model::{SampleResult, Span, Timestamp};
use crate::ports::Reading;

/// Samples of a sparkline: as many as the view of one instance is wide on most terminals.
const SAMPLES: usize = 72;
/// A sparkline takes one sample in this time, so that it can be read and costs few bytes.
const SAMPLE_EVERY: Span = Span::from_secs(1);
/// On a slow link it all but stands still.
const SAMPLE_EVERY_LITE: Span = Span::from_secs(30);

/// Latencies that a comparison rests on, at most and at least.
const COMPARED: usize = 16;
const ENOUGH: usize = 3;

/// One probe in a sparkline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Passed in so many milliseconds.
    Passed(u64),
    /// Not a pass.
    Missed,
    /// Down because it is being updated: no news.
    Down,
}

/// The latencies of one instance, as shown.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// The last one, to two digits, steady against small changes; `None` for none or a miss.
    pub latency: Option<u64>,
    /// Oldest first.
    pub samples: VecDeque<Mark>,
    last: Timestamp,
    /// The last passes before it was touched, and since.
    before: VecDeque<u64>,
    since: VecDeque<u64>,
    /// The last sample that was taken in.
    seen: Timestamp,
}

impl Chart {
    /// Takes a reading in; `at_work`: it is out by our doing, so that nobody listening is no news; `touched`: it is not what
    /// it was before; `lite`: the link is slow, so that only what matters is shown to change.
    pub(super) fn take(&mut self, reading: &Reading, (at_work, touched): (bool, bool), lite: bool) {
        let Some(sample) = &reading.sample else { return };
        let mark = match &sample.result {
            SampleResult::Pass { .. } => Mark::Passed(sample.latency.as_millis()),
            SampleResult::NotListening | SampleResult::Starting { .. } if at_work => Mark::Down,
            SampleResult::NotListening
            | SampleResult::Starting { .. }
            | SampleResult::Exited { .. }
            | SampleResult::Miss { .. } => Mark::Missed,
        };
        if let (Mark::Passed(ms), true) = (mark, sample.at > self.seen) {
            self.seen = sample.at;
            let compared = if touched { &mut self.since } else { &mut self.before };
            if compared.len() >= COMPARED {
                compared.pop_front();
            }
            compared.push_back(ms);
        }
        self.latency = match (self.latency, mark) {
            // Small changes are not news.
            (Some(shown), Mark::Passed(ms)) if shown.abs_diff(ms) * if lite { 2 } else { 10 } <= shown => Some(shown),
            (_, Mark::Passed(ms)) => Some(two_digits(ms)),
            (_, Mark::Missed | Mark::Down) => None,
        };
        let every = if lite { SAMPLE_EVERY_LITE } else { SAMPLE_EVERY };
        let missed = mark == Mark::Missed && sample.at > self.last;
        if self.samples.is_empty() || sample.at.since(self.last) >= every || missed {
            self.last = sample.at;
            if self.samples.len() >= SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(mark);
        }
    }

    /// The median of its last latencies before it was touched.
    pub(super) fn untouched(&self) -> Option<u64> {
        compared(&self.before)
    }

    /// The median of its last latencies since it was touched.
    pub(super) fn since_touched(&self) -> Option<u64> {
        compared(&self.since)
    }
}

/// The median of so many that one of them does not make it.
fn compared(latencies: &VecDeque<u64>) -> Option<u64> {
    (latencies.len() >= ENOUGH).then(|| median(latencies.iter().copied().collect())).flatten()
}

/// Rounded to two significant digits.
fn two_digits(ms: u64) -> u64 {
    let mut unit = 1;
    while ms / unit >= 100 {
        unit *= 10;
    }
    (ms + unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::two_digits;

    #[test]
    fn latencies_have_two_digits() {
        for (ms, shown) in [(0, 0), (7, 7), (99, 99), (104, 100), (106, 110), (1_249, 1_200), (12_345, 12_000)] {
            assert_eq!(two_digits(ms), shown);
        }
    }
}
