//! What the balancers themselves counted since this engine began, although they may begin anew meanwhile.
//!
//! Imports: model. May not: read a balancer.

use crate::model::LbStats;

/// Adds up differences, balancer by balancer.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<Vec<LbStats>>,
    total: LbStats,
}

impl Meter {
    /// Takes a reading in; the first is the zero. A counter that fell began anew: all that it shows is new.
    pub(super) fn read(&mut self, now: &[LbStats]) {
        if let Some(last) = &self.last {
            for (index, now) in now.iter().enumerate() {
                let last = last.get(index).filter(|last| last.requests <= now.requests).copied().unwrap_or_default();
                self.total.requests += now.requests.saturating_sub(last.requests);
                self.total.errors += now.errors.saturating_sub(last.errors);
            }
        }
        if !now.is_empty() {
            self.last = Some(now.to_vec());
        }
    }

    /// The sum so far; `None` if there is nothing that counts.
    pub(super) fn total(&self) -> Option<LbStats> {
        self.last.as_ref().map(|_| self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(requests: u64, errors: u64) -> LbStats {
        LbStats { requests, errors }
    }

    #[test]
    fn differences_add_up_even_over_a_restart() {
        let mut meter = Meter::default();
        meter.read(&[]);
        assert_eq!(meter.total(), None);
        meter.read(&[stats(1000, 5), stats(10, 0)]);
        assert_eq!(meter.total(), Some(stats(0, 0)), "what was before the run is not of the run");
        meter.read(&[stats(1100, 6), stats(30, 0)]);
        assert_eq!(meter.total(), Some(stats(120, 1)));
        meter.read(&[stats(40, 2), stats(31, 0)]);
        assert_eq!(meter.total(), Some(stats(161, 3)), "the first began anew");
    }
}
