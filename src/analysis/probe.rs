//! Probes of our own: touched instances and untouched ones, asked side by side.
//!
//! Imports: ports, model, its siblings. May not: know how an instance is probed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, join_all};

use super::reading::{Reading, Said, Silence, share};
use super::{Asked, CheckSettings, ProbeMeasure};
use crate::model::{InstanceId, Span, Target};
use crate::ports::{Compared, Prober};

/// Of each side at most so many are asked, evenly spread.
const INSTANCES_MAX: usize = 50;
/// One instance is not asked more often than this in a measurement.
const EACH_MAX: u64 = 50;

/// The source.
pub(super) struct Probes {
    measure: ProbeMeasure,
    prober: Arc<dyn Prober>,
    timeout: Span,
    /// So many probes of each side are a measurement.
    min_samples: u64,
    /// What was seen since the last measurement that had enough.
    seen: Mutex<Seen>,
}

/// One probe: how long a pass took, `None` if it was none.
type Probed = Option<Span>;
/// Those of a side.
type Side = BTreeMap<InstanceId, Vec<Probed>>;

#[derive(Debug, Default)]
struct Seen {
    touched: Side,
    untouched: Side,
}

impl Probes {
    pub(super) fn new(measure: ProbeMeasure, prober: Arc<dyn Prober>, check: &CheckSettings) -> Self {
        let CheckSettings { timeout, min_samples, .. } = *check;
        Self { measure, prober, timeout, min_samples, seen: Mutex::default() }
    }

    /// Asks a side: each instance several times in a row, all instances at once.
    async fn round(&self, targets: &[Target]) -> Side {
        let stride = targets.len().div_ceil(INSTANCES_MAX).max(1);
        let asked: Vec<&Target> = targets.iter().step_by(stride).collect();
        let each = self.min_samples.div_ceil(u64::try_from(asked.len()).unwrap_or(u64::MAX).max(1)).clamp(1, EACH_MAX);
        let probed = asked.into_iter().map(|target| async move { (target.id.clone(), self.probes(target, each).await) });
        join_all(probed).await.into_iter().collect()
    }

    /// Until the time is up: a probe that is under way then has failed.
    async fn probes(&self, target: &Target, times: u64) -> Vec<Probed> {
        let mut probed = Vec::new();
        let all = async {
            for _ in 0..times {
                let sample = self.prober.probe(target, None).await;
                probed.push(sample.passed().then_some(sample.latency));
            }
        };
        if tokio::time::timeout(self.timeout.to_std(), all).await.is_err() {
            probed.push(None);
        }
        probed
    }
}

impl Asked for Probes {
    fn ask<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Said> {
        Box::pin(async move {
            let (touched, untouched) = tokio::join!(self.round(&compared.touched), self.round(&compared.untouched));
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            join(&mut seen.touched, touched, &compared.touched);
            join(&mut seen.untouched, untouched, &compared.untouched);
            let ((touched, samples), (other, _)) = (read(self.measure, &seen.touched), read(self.measure, &seen.untouched));
            if samples >= self.min_samples {
                *seen = Seen::default();
            }
            #[expect(clippy::cast_precision_loss, reason = "counts of probes are far below 2^52")]
            let samples = samples as f64;
            let untouched = (!compared.untouched.is_empty()).then_some(other);
            Said { touched, untouched, samples: Some(Ok(samples)) }
        })
    }
}

/// Adds a round, and forgets who left the side.
fn join(seen: &mut Side, round: Side, side: &[Target]) {
    seen.retain(|id, _| side.iter().any(|target| target.id == *id));
    for (id, probed) in round {
        seen.entry(id).or_default().extend(probed);
    }
}

/// One number for a side, and on how many probes it rests.
fn read(measure: ProbeMeasure, side: &Side) -> (Reading, u64) {
    let all: Vec<Probed> = side.values().flatten().copied().collect();
    let mut passes: Vec<Span> = all.iter().flatten().copied().collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    if all.is_empty() {
        return (Err(Silence::Nothing("no instance could be probed".to_owned())), 0);
    }
    match measure {
        ProbeMeasure::ErrorRate => {
            let (failed, total) = (count(all.len() - passes.len()), count(all.len()));
            (Ok(share(failed, total)), total)
        }
        ProbeMeasure::Latency(quantile) => {
            passes.sort_unstable();
            let samples = count(passes.len());
            let Some(latency) = nearest_rank(&passes, quantile) else {
                return (Err(Silence::Nothing("no probe passed".to_owned())), 0);
            };
            (Ok(latency.to_std().as_secs_f64()), samples)
        }
    }
}

/// The least of `sorted` that at least this share of them does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank is no larger than the list is long"
)]
fn nearest_rank(sorted: &[Span], quantile: f64) -> Option<Span> {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(of: &[(&str, &[Option<u64>])]) -> Side {
        let probed = |list: &[Option<u64>]| list.iter().map(|ms| ms.map(Span::from_millis)).collect();
        of.iter().map(|(id, list)| (InstanceId::new(id).unwrap(), probed(list))).collect()
    }

    #[test]
    fn failures_and_latencies_are_of_all_probes_of_a_side() {
        let seen = side(&[("a", &[Some(10), None]), ("b", &[Some(30), Some(20)])]);
        assert_eq!(read(ProbeMeasure::ErrorRate, &seen), (Ok(0.25), 4));
        assert_eq!(read(ProbeMeasure::Latency(0.99), &seen), (Ok(0.03), 3));
        assert_eq!(read(ProbeMeasure::Latency(0.5), &seen), (Ok(0.02), 3));
        let none = side(&[("a", &[None, None])]);
        assert_eq!(read(ProbeMeasure::ErrorRate, &none), (Ok(1.0), 2));
        assert_eq!(read(ProbeMeasure::Latency(0.99), &none).0, Err(Silence::Nothing("no probe passed".to_owned())));
        assert!(read(ProbeMeasure::ErrorRate, &Side::new()).0.is_err());
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let hundred: Vec<Span> = (1..=100).map(Span::from_millis).collect();
        for (quantile, expected) in [(0.99, 99), (0.5, 50), (1.0, 100), (0.0, 1), (0.001, 1)] {
            assert_eq!(nearest_rank(&hundred, quantile), Some(Span::from_millis(expected)), "{quantile}");
        }
        assert_eq!(nearest_rank(&[Span::from_millis(7)], 0.99), Some(Span::from_millis(7)));
        assert_eq!(nearest_rank(&[], 0.5), None);
    }
}
