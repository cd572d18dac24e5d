//! What the balancers counted of each instance since the last measurement.
//!
//! Imports: ports, model, its siblings. May not: know a kind of balancer.
//!
//! An instance counts from when it was first seen on its side: what it answered before its update speaks for the old version.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use super::reading::{Reading, Said, Silence, share};
use super::{Asked, BalancerMeasure, CheckSettings};
use crate::model::{InstanceId, Served, Span, Target};
use crate::ports::{Compared, TrafficDriver};

/// The source.
pub(super) struct Balancer {
    measure: BalancerMeasure,
    traffic: Arc<dyn TrafficDriver>,
    timeout: Span,
    /// The window stays open until the touched have so many requests.
    min_samples: u64,
    /// Where the window of each instance began.
    window: Mutex<Window>,
}

type Counts = BTreeMap<InstanceId, Served>;

impl Balancer {
    pub(super) fn new(measure: BalancerMeasure, traffic: Arc<dyn TrafficDriver>, check: &CheckSettings) -> Self {
        let CheckSettings { timeout, min_samples, .. } = *check;
        Self { measure, traffic, timeout, min_samples, window: Mutex::default() }
    }

    async fn look(&self, compared: &Compared) -> Result<Counts, Silence> {
        let fleet: Vec<Target> = compared.touched.iter().chain(&compared.untouched).cloned().collect();
        let served = tokio::time::timeout(self.timeout.to_std(), self.traffic.served(&fleet)).await;
        let served = served.map_err(|_elapsed| Silence::Error(format!("no answer of the balancers in {}", self.timeout)))?;
        let served = served.map_err(|error| Silence::Error(error.to_string()))?;
        if served.is_empty() {
            return Err(Silence::Nothing("the balancer does not count per instance".to_owned()));
        }
        Ok(served)
    }
}

impl Asked for Balancer {
    fn ask<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Said> {
        Box::pin(async move {
            match self.look(compared).await {
                Ok(now) => {
                    let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
                    window.said(self.measure, compared, &now, self.min_samples)
                }
                Err(silence) => Said::silence(silence),
            }
        })
    }
}

/// What was counted at the beginning, by side.
#[derive(Debug, Default)]
struct Window {
    touched: Counts,
    untouched: Counts,
}

impl Window {
    fn said(&mut self, measure: BalancerMeasure, compared: &Compared, now: &Counts, min_samples: u64) -> Said {
        let touched = since(&mut self.touched, &compared.touched, now);
        let untouched = since(&mut self.untouched, &compared.untouched, now);
        let requests: u64 = touched.iter().map(|served| served.requests).sum();
        if requests >= min_samples.max(1) {
            self.touched = of(&compared.touched, now);
            self.untouched = of(&compared.untouched, now);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let samples = requests as f64;
        let other = (!compared.untouched.is_empty()).then(|| read(measure, &untouched));
        Said { touched: read(measure, &touched), untouched: other, samples: Some(Ok(samples)) }
    }
}

fn of(targets: &[Target], now: &Counts) -> Counts {
    targets.iter().filter_map(|target| Some((target.id.clone(), *now.get(&target.id)?))).collect()
}

/// What each instance that was seen before has answered since then. Those that were not are seen now, and those that left
/// the side are forgotten.
fn since(earlier: &mut Counts, targets: &[Target], now: &Counts) -> Vec<Served> {
    let now = of(targets, now);
    earlier.retain(|id, _| now.contains_key(id));
    let mut counted = Vec::new();
    for (id, served) in now {
        match earlier.get_mut(&id) {
            Some(before) => {
                // A counter that fell began anew, and so does the window: at nothing.
                if served.requests < before.requests || served.errors < before.errors {
                    *before = Served::default();
                }
                let (requests, errors) = (served.requests - before.requests, served.errors - before.errors);
                counted.push(Served { requests, errors, response_ms: served.response_ms });
            }
            None => {
                earlier.insert(id, served);
            }
        }
    }
    counted
}

/// One number for a side.
fn read(measure: BalancerMeasure, counted: &[Served]) -> Reading {
    let nothing = |why: &str| Err(Silence::Nothing(why.to_owned()));
    if counted.is_empty() {
        return nothing("the balancer counts from here on");
    }
    let requests: u64 = counted.iter().map(|served| served.requests).sum();
    if requests == 0 {
        return nothing("no requests since the last measurement");
    }
    match measure {
        BalancerMeasure::ErrorRate => Ok(share(counted.iter().map(|served| served.errors).sum::<u64>().min(requests), requests)),
        BalancerMeasure::ResponseTime => {
            let timed: Vec<(u64, u64)> =
                counted.iter().filter_map(|served| Some((served.requests, served.response_ms?))).collect();
            let weight: u64 = timed.iter().map(|(requests, _)| requests).sum();
            if weight == 0 {
                return nothing("the balancer tells no response times");
            }
            Ok(share(timed.iter().map(|(requests, ms)| requests.saturating_mul(*ms)).sum(), weight) / 1000.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Version;

    fn target(id: &str) -> Target {
        let id = InstanceId::new(id).unwrap();
        Target { id, host: "127.0.0.1".to_owned(), port: 1, zone: None, labels: BTreeMap::new() }
    }

    fn compared(touched: &[&str], untouched: &[&str]) -> Compared {
        let of = |ids: &[&str]| ids.iter().map(|id| target(id)).collect();
        Compared { touched: of(touched), untouched: of(untouched), version: Version::new("v2").unwrap(), previous: None }
    }

    fn counts(of: &[(&str, u64, u64)]) -> Counts {
        let served = |requests, errors| Served { requests, errors, response_ms: Some(requests) };
        of.iter().map(|(id, requests, errors)| (InstanceId::new(id).unwrap(), served(*requests, *errors))).collect()
    }

    fn said(window: &mut Window, compared: &Compared, now: &[(&str, u64, u64)], min: u64) -> (Reading, Option<Reading>, u64) {
        let said = window.said(BalancerMeasure::ErrorRate, compared, &counts(now), min);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        (said.touched, said.untouched, said.samples.unwrap().unwrap() as u64)
    }

    fn nothing(reading: &Reading) -> bool {
        matches!(reading, Err(Silence::Nothing(_)))
    }

    #[test]
    fn only_what_happened_in_between_counts_by_side() {
        let (mut window, both) = (Window::default(), compared(&["a"], &["b", "c"]));
        let first = said(&mut window, &both, &[("a", 1000, 500), ("b", 9, 9), ("c", 0, 0)], 1);
        assert!(nothing(&first.0) && nothing(&first.1.unwrap()) && first.2 == 0);
        let second = said(&mut window, &both, &[("a", 1100, 502), ("b", 59, 10), ("c", 50, 0)], 1);
        assert_eq!(second, (Ok(0.02), Some(Ok(0.01)), 100));
        let idle = said(&mut window, &both, &[("a", 1100, 502), ("b", 60, 10), ("c", 50, 0)], 1);
        assert!(nothing(&idle.0) && idle.1 == Some(Ok(0.0)));
    }

    #[test]
    fn a_counter_that_fell_began_anew() {
        let (mut window, one) = (Window::default(), compared(&["a"], &[]));
        let _before = said(&mut window, &one, &[("a", 1000, 50)], 100);
        assert_eq!(said(&mut window, &one, &[("a", 10, 1)], 100), (Ok(0.1), None, 10));
        // The window is still open: what was counted since the beginning anew stays in it.
        assert_eq!(said(&mut window, &one, &[("a", 2000, 2)], 100), (Ok(0.001), None, 2000));
    }

    #[test]
    fn a_window_stays_open_until_it_has_enough() {
        let (mut window, one) = (Window::default(), compared(&["a"], &[]));
        let _before = said(&mut window, &one, &[("a", 0, 0)], 20);
        assert_eq!(said(&mut window, &one, &[("a", 10, 1)], 20).2, 10);
        assert_eq!(said(&mut window, &one, &[("a", 25, 1)], 20), (Ok(0.04), None, 25));
        assert_eq!(said(&mut window, &one, &[("a", 30, 1)], 20), (Ok(0.0), None, 5));
    }

    #[test]
    fn an_instance_that_changed_sides_counts_from_then_on() {
        let mut window = Window::default();
        let _before = said(&mut window, &compared(&["a"], &["b"]), &[("a", 0, 0), ("b", 0, 0)], 1);
        let moved = compared(&["a", "b"], &[]);
        // What b answered with the old version, and while it was taken out, is not the new one's doing.
        assert_eq!(said(&mut window, &moved, &[("a", 10, 0), ("b", 500, 400)], 1), (Ok(0.0), None, 10));
        assert_eq!(said(&mut window, &moved, &[("a", 20, 0), ("b", 510, 405)], 1), (Ok(0.25), None, 20));
    }

    #[test]
    fn response_times_weigh_by_what_was_answered() {
        let timed = |requests, response_ms| Served { requests, errors: 0, response_ms };
        let read = |counted: &[Served]| read(BalancerMeasure::ResponseTime, counted);
        assert_eq!(read(&[timed(30, Some(100)), timed(10, Some(300)), timed(5, None)]), Ok(0.15));
        assert!(nothing(&read(&[timed(5, None)])) && nothing(&read(&[timed(0, Some(1))])) && nothing(&read(&[])));
    }
}
