//! The latency of an instance against itself before it was touched, and against those that were not touched at the same time:
//! what tells a slow version from a slow day.
//!
//! Imports: tui parts, state. May not: draw; decide.

use super::app::App;
use super::text::milliseconds;

/// Slower by a half counts, from this many milliseconds on: less is the probe's own unevenness.
const NOTICEABLE_MS: u64 = 5;

/// Medians of latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Lately.
    pub now: u64,
    /// Before it was touched; `None` if that was not seen.
    pub before: Option<u64>,
    /// Of those that were not touched, lately; `None` if there are none.
    pub peers: Option<u64>,
}

impl Comparison {
    /// Slower than it was itself.
    pub fn is_slower(&self) -> bool {
        self.before.is_some_and(|before| is_slower(self.now, before))
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let mut text = format!("median {}", milliseconds(self.now));
        if let Some(before) = self.before {
            text = format!("{text}, before {}{}", milliseconds(before), times(self.now, before));
        }
        if let Some(peers) = self.peers {
            text = format!("{text}, untouched ones {}", milliseconds(peers));
        }
        match (self.is_slower(), self.before.zip(self.peers)) {
            (true, Some((before, peers))) if is_slower(peers, before) => {
                format!("{text}: all are slower, not this version alone")
            }
            (true, _) => format!("{text}: slower than before"),
            (false, _) => text,
        }
    }
}

fn is_slower(now: u64, before: u64) -> bool {
    now >= before + before / 2 && now >= before + NOTICEABLE_MS
}

/// ` (18x)` where it is worth a word.
fn times(now: u64, before: u64) -> String {
    if is_slower(now, before) && before > 0 { format!(" ({}x)", (now + before / 2) / before) } else { String::new() }
}

/// The middle one.
pub(super) fn median(mut of: Vec<u64>) -> Option<u64> {
    of.sort_unstable();
    of.get(of.len() / 2).copied()
}

impl App {
    /// How the latency of an instance compares; `None` while it has none.
    pub fn comparison(&self, index: usize) -> Option<Comparison> {
        let chart = self.charts.get(index)?;
        let touched = self.state.instances.get_index(index)?.1.taken_at.is_some();
        let now = if touched { chart.since_touched() } else { chart.untouched() }?;
        let before = if touched { chart.untouched() } else { None };
        Some(Comparison { now, before, peers: self.untouched_latency(Some(index)) })
    }

    /// It was updated and is slower than it was itself.
    pub(super) fn is_slower(&self, index: usize) -> bool {
        let medians = self.charts.get(index).and_then(|chart| Some((chart.since_touched()?, chart.untouched()?)));
        medians.is_some_and(|(now, before)| is_slower(now, before))
    }

    /// All that were updated: lately, before, and those that were not touched. `None` while there are none.
    pub fn fleet_comparison(&self) -> Option<Comparison> {
        let updated: Vec<_> = self
            .charts
            .iter()
            .zip(self.state.instances.values())
            .filter(|(_, instance)| instance.exposed)
            .filter_map(|(chart, _)| Some((chart.since_touched()?, chart.untouched())))
            .collect();
        let now = median(updated.iter().map(|(now, _)| *now).collect())?;
        let before = median(updated.iter().filter_map(|(_, before)| *before).collect());
        Some(Comparison { now, before, peers: self.untouched_latency(None) })
    }

    /// The last latencies of those that were not touched.
    fn untouched_latency(&self, but: Option<usize>) -> Option<u64> {
        let untouched = self.charts.iter().zip(self.state.instances.values()).enumerate();
        let untouched = untouched.filter(|(index, (_, instance))| instance.taken_at.is_none() && Some(*index) != but);
        median(untouched.filter_map(|(_, (chart, _))| chart.latency).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Comparison;

    #[test]
    fn slower_is_said_with_whom_it_is_compared() {
        let words = |now, before, peers| Comparison { now, before, peers }.words();
        assert_eq!(words(240, Some(13), Some(12)), "median 240ms, before 13ms (18x), untouched ones 12ms: slower than before");
        assert_eq!(
            words(240, Some(13), Some(200)),
            "median 240ms, before 13ms (18x), untouched ones 200ms: all are slower, not this version alone"
        );
        assert_eq!(words(14, Some(12), Some(12)), "median 14ms, before 12ms, untouched ones 12ms");
        assert_eq!(words(4, Some(1), None), "median 4ms, before 1ms", "three milliseconds are no news");
        assert_eq!(words(14, None, None), "median 14ms");
    }
}
