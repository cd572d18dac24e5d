//! What servers have served over the life of several processes: a reload begins to count anew, this goes on.
//!
//! Imports: model. May not: speak to a socket.

use std::collections::BTreeMap;

use crate::model::Served;

/// The count of one HAProxy, carried over its reloads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The process that counted last.
    pid: Option<u32>,
    /// Its count when it was last looked at.
    last: BTreeMap<String, Served>,
    /// What earlier ones had counted when they were last looked at.
    before: BTreeMap<String, Served>,
}

impl Tally {
    /// The count of this process, and of those before it. What a process counts after the last look at it is lost.
    pub(super) fn carried(&mut self, pid: u32, now: BTreeMap<String, Served>) -> BTreeMap<String, Served> {
        if self.pid.replace(pid).is_some_and(|before| before != pid) {
            for (name, served) in std::mem::take(&mut self.last) {
                add(self.before.entry(name).or_default(), served);
            }
        }
        self.last.clone_from(&now);
        let carried = |(name, mut served): (String, Served)| {
            let before = self.before.get(&name).copied().unwrap_or_default();
            // How long the answers of another process took says nothing about those of this one.
            add(&mut served, Served { response_ms: None, ..before });
            (name, served)
        };
        now.into_iter().map(carried).collect()
    }
}

/// Adds up counts. The response time is the mean by the requests of both.
pub(super) fn add(sum: &mut Served, more: Served) {
    sum.response_ms = match (sum.response_ms, more.response_ms) {
        (Some(one), Some(other)) => {
            let (mine, theirs) = (u128::from(sum.requests.max(1)), u128::from(more.requests.max(1)));
            let mean = (u128::from(one) * mine + u128::from(other) * theirs) / (mine + theirs);
            Some(u64::try_from(mean).unwrap_or(u64::MAX))
        }
        (one, other) => one.or(other),
    };
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.errors = sum.errors.saturating_add(more.errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(requests: u64, errors: u64, response_ms: Option<u64>) -> Served {
        Served { requests, errors, response_ms }
    }

    fn of(tally: &mut Tally, pid: u32, now: Served) -> Served {
        tally.carried(pid, BTreeMap::from([("web-01".to_owned(), now)]))["web-01"]
    }

    #[test]
    fn a_count_goes_on_over_reloads() {
        let mut tally = Tally::default();
        assert_eq!(of(&mut tally, 7, served(100, 5, Some(3))), served(100, 5, Some(3)));
        assert_eq!(of(&mut tally, 7, served(120, 5, Some(3))), served(120, 5, Some(3)));
        assert_eq!(of(&mut tally, 8, served(1, 0, Some(9))), served(121, 5, Some(9)));
        assert_eq!(of(&mut tally, 8, served(2, 1, Some(9))), served(122, 6, Some(9)));
        assert_eq!(of(&mut tally, 9, served(0, 0, None)), served(122, 6, None));
    }

    #[test]
    fn response_times_are_weighed_by_requests() {
        let mut sum = served(300, 1, Some(10));
        add(&mut sum, served(100, 2, Some(30)));
        assert_eq!(sum, served(400, 3, Some(15)));
        add(&mut sum, served(5, 0, None));
        assert_eq!(sum, served(405, 3, Some(15)));
    }
}
