//! How long it will still take, with its spread, from what this run has shown so far.
//!
//! Imports: state, model, core's rolling. May not: act.

use crate::model::{Span, Timestamp};
use crate::state::{Phase, State};

use super::rolling;

/// Time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// If every batch takes as long as the shortest so far.
    pub low: Span,
    /// If every batch takes as long as the median so far.
    pub likely: Span,
    /// If every batch takes as long as the longest so far.
    pub high: Span,
}

/// The time left; `None` while no batch has ended, or when it does not run forward.
pub fn forecast(state: &State, now: Timestamp) -> Option<Forecast> {
    if state.end.is_some() || state.started_at.is_none() || state.rollback.is_some() || state.cancel.is_some() {
        return None;
    }
    let mut times = state.batch_times.clone();
    times.sort_unstable();
    let (low, high) = (*times.first()?, *times.last()?);
    let likely = *times.get(times.len() / 2)?;
    let batches = remaining_batches(state);
    let elapsed = state.batch.as_ref().map_or(Span::ZERO, |b| now.since(b.started_at));
    let left = |each: Span| {
        let current = if state.batch.is_some() { each - elapsed } else { Span::ZERO };
        each.times(u64::from(batches)) + current
    };
    Some(Forecast { low: left(low), likely: left(likely), high: left(high) })
}

/// Batches that have not begun.
fn remaining_batches(state: &State) -> u32 {
    let unassigned = state.instances.values().filter(|i| i.phase == Phase::Pending && i.batch.is_none()).count();
    let (mut left, mut number) = (u32::try_from(unassigned).unwrap_or(u32::MAX), state.batches);
    let begun = number;
    while left > 0 {
        number += 1;
        left = left.saturating_sub(rolling::batch_size(state, number));
    }
    number - begun
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::Fixture;

    #[test]
    fn time_left_comes_from_the_batches_that_ended() {
        let mut run = Fixture::new(6).started();
        assert_eq!(forecast(&run.state, run.now), None, "nothing measured yet");
        run.now = run.now + Span::from_secs(20);
        run.bring_to_healthy(1);
        run.bring_to_healthy(2);
        run.wait(Span::from_secs(10));
        assert_eq!(run.state.batch_times.len(), 1);
        let each = run.state.batch_times[0];
        let forecast = forecast(&run.state, run.now).unwrap();
        assert_eq!(forecast.likely, each.times(2), "two batches are left, one of them has just begun");
        assert_eq!((forecast.low, forecast.high), (forecast.likely, forecast.likely));
    }
}
