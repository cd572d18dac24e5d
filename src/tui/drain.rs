//! How the connections of an instance go down while it drains, and when they will be gone.
//!
//! Imports: tui::text, model. May not: draw; decide.

use std::collections::VecDeque;

use super::chart::Mark;
use super::text::{connections, seconds, spark};
use crate::model::{OnDrainTimeout, Span, Timestamp};

/// Counts that are kept: half a minute at the pace of a balancer's reading.
const COUNTS: usize = 32;
/// What is reckoned with: a curve flattens, so what was long ago says little.
const LATELY: Span = Span::from_secs(10);

/// The curve of one drain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Drain {
    /// When, and how many were left; oldest first.
    counts: VecDeque<(Timestamp, u32)>,
}

impl Drain {
    /// So many are left.
    pub(super) fn take(&mut self, at: Timestamp, left: u32) {
        if self.counts.back().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        if self.counts.len() >= COUNTS {
            self.counts.pop_front();
        }
        self.counts.push_back((at, left));
    }

    /// How long until none is left, if they go on to end as they did lately; `None` if they do not end.
    pub(super) fn empty_in(&self, now: Timestamp) -> Option<Span> {
        let (at, left) = *self.counts.back()?;
        if left == 0 {
            return Some(Span::ZERO);
        }
        let (since, before) = *self.counts.iter().find(|(then, _)| at.since(*then) <= LATELY)?;
        let ended = u64::from(before.checked_sub(left).filter(|ended| *ended > 0)?);
        let whole = at.since(since).as_millis() * u64::from(left) / ended;
        Some(Span::from_millis(whole) - now.since(at))
    }

    /// The curve, how many are left, when they will be gone, and what happens if they are not in time.
    pub(super) fn words(
        &self,
        now: Timestamp,
        (until, policy): (Option<Timestamp>, OnDrainTimeout),
        ascii: bool,
    ) -> Option<String> {
        let (_, left) = *self.counts.back()?;
        let marks: VecDeque<Mark> = self.counts.iter().map(|(_, left)| Mark::Passed(u64::from(*left))).collect();
        let mut text = connections(left);
        if self.counts.len() > 1 {
            text = format!("{} {text}", spark(&marks, 8, ascii).trim_end());
        }
        if left == 0 {
            return Some(text);
        }
        let gone = self.empty_in(now);
        let rest = until.map(|until| until.since(now));
        let ending = match (gone, rest) {
            (Some(gone), _) if rest.is_none_or(|rest| gone <= rest) => format!(", gone in ~{}", seconds(gone)),
            (_, Some(rest)) => {
                let at_the_end = gone.map_or(left, |gone| remaining(left, gone, rest));
                let then = match policy {
                    OnDrainTimeout::Force => format!("about {at_the_end} cut"),
                    OnDrainTimeout::Extend => "then longer, while they end".to_owned(),
                    OnDrainTimeout::Fail => "then it fails".to_owned(),
                };
                let still = if gone.is_none() { ", none ends" } else { "" };
                format!("{still}, {then} in {}", seconds(rest))
            }
            (_, None) => String::new(),
        };
        text.push_str(&ending);
        Some(text)
    }
}

/// How many of `left` are there still after `rest`, if all are gone after `gone`.
fn remaining(left: u32, gone: Span, rest: Span) -> u32 {
    let (gone, rest) = (gone.as_millis().max(1), rest.as_millis());
    let ended = u64::from(left) * rest / gone;
    u32::try_from(u64::from(left).saturating_sub(ended)).unwrap_or(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_789_992_000_000);

    fn drain(counts: &[(u64, u32)]) -> Drain {
        let mut drain = Drain::default();
        for (second, left) in counts {
            drain.take(NOON + Span::from_secs(*second), *left);
        }
        drain
    }

    fn words(counts: &[(u64, u32)], now: u64, until: u64) -> String {
        let (now, until) = (NOON + Span::from_secs(now), NOON + Span::from_secs(until));
        drain(counts).words(now, (Some(until), OnDrainTimeout::Force), true).unwrap()
    }

    #[test]
    fn connections_that_end_are_gone_at_the_pace_of_late() {
        assert!(
            words(&[(0, 30), (2, 20)], 2, 10).ends_with("20 connections left, gone in ~4s"),
            "{}",
            words(&[(0, 30), (2, 20)], 2, 10)
        );
        assert!(words(&[(0, 30), (2, 20)], 3, 10).ends_with("gone in ~3s"), "the clock runs between two counts");
        assert!(words(&[(0, 30), (2, 0)], 2, 10).ends_with("0 connections left"));
        assert_eq!(drain(&[(0, 1000), (20, 20), (30, 10)]).empty_in(NOON + Span::from_secs(30)), Some(Span::from_secs(10)));
    }

    #[test]
    fn connections_that_stay_are_cut_and_it_says_how_many_and_when() {
        assert!(words(&[(0, 12), (2, 12)], 2, 10).ends_with("12 connections left, none ends, about 12 cut in 8s"));
        assert!(words(&[(0, 30), (2, 20)], 2, 4).ends_with("20 connections left, about 10 cut in 2s"));
        assert!(words(&[(0, 12)], 0, 10).ends_with("none ends, about 12 cut in 10s"));
        assert!(words(&[(0, 12), (2, 14)], 2, 10).contains("none ends"), "new ones are no progress");
    }
}
