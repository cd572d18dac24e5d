//! `[strategy] kind = "canary"`: the steps that come before the rest goes by the rolling rules, and the arithmetic of shares.
//!
//! Imports: model. May not: decide when a step is over.

use serde::{Deserialize, Serialize};

use super::count::Count;
use super::time::Span;

/// What comes before the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// In their order; at least one.
    pub steps: Vec<CanaryStep>,
    /// The balancers take weights, so a share of traffic is met exactly; otherwise by the number of instances.
    pub weighted: bool,
}

/// One step. Steps are numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum CanaryStep {
    /// So much of the traffic goes to the new version: 1 to 99 percent.
    Weight {
        /// The share in percent.
        percent: u8,
    },
    /// So many instances run the new version.
    Instances {
        /// How many of the fleet, rounded to the nearest, ties up, never none and never all.
        count: Count,
    },
    /// Nothing happens for a while.
    Pause {
        /// How long; without an end, until somebody promotes.
        lasts: Option<Span>,
    },
    /// Every check of the analysis must pass so often, counted from the beginning of the step.
    Analysis {
        /// How often.
        passes: u32,
    },
    /// A hook must succeed.
    Run {
        /// Its name in `[hooks]`.
        hook: String,
    },
}

/// How many of `total` carry `percent` of the traffic: the nearest number, ties up, never none for 1 to 99 percent, and
/// never all (Argo Rollouts' rule without a traffic router).
pub fn share_of(percent: u8, total: u32) -> u32 {
    let nearest = (u64::from(total) * u64::from(percent) * 2 + 100) / 200;
    let nearest = u32::try_from(nearest).unwrap_or(u32::MAX);
    match percent {
        0 => 0,
        1..=99 => nearest.min(total.saturating_sub(1)).max(1).min(total),
        _ => total,
    }
}

impl Canary {
    /// How many instances run the new version once the steps up to `number` are done.
    pub fn instances(&self, number: u32, total: u32) -> u32 {
        let steps = self.steps.iter().take(usize::try_from(number).unwrap_or(usize::MAX));
        let counts = steps.filter_map(|step| match step {
            CanaryStep::Weight { percent } | CanaryStep::Instances { count: Count::Percent(percent) } => {
                Some(share_of(*percent, total))
            }
            CanaryStep::Instances { count: Count::Absolute(n) } => Some((*n).min(total.saturating_sub(1)).max(1)),
            CanaryStep::Pause { .. } | CanaryStep::Analysis { .. } | CanaryStep::Run { .. } => None,
        });
        counts.max().unwrap_or(0)
    }

    /// The share of the traffic in percent that is asked for at step `number`, if one is.
    pub fn percent(&self, number: u32) -> Option<u8> {
        let steps = self.steps.iter().take(usize::try_from(number).unwrap_or(usize::MAX));
        let mut asked = steps.filter_map(|step| match step {
            CanaryStep::Weight { percent } => Some(Some(*percent)),
            CanaryStep::Instances { .. } => Some(None),
            CanaryStep::Pause { .. } | CanaryStep::Analysis { .. } | CanaryStep::Run { .. } => None,
        });
        asked.next_back().flatten()
    }

    /// The weight of each instance on the new version at step `number`, in percent of its own: 100 where the balancers take
    /// none, or where their number alone decides.
    pub fn weight(&self, number: u32, total: u32) -> u16 {
        self.weight_of(number, 0, (total, total))
    }

    /// The same where `canaries` run the new version, if they are more than the step asks for, and of `total` only `serving`
    /// serve.
    pub fn weight_of(&self, number: u32, canaries: u32, (total, serving): (u32, u32)) -> u16 {
        match self.percent(number).filter(|_| self.weighted) {
            Some(percent) => relative_weight(percent, self.instances(number, total).max(canaries), serving),
            None => 100,
        }
    }
}

/// The weight in percent of its own at which `canaries` of `total` get `percent` of the traffic when the others have all of
/// theirs, rounded down, at least 1.
fn relative_weight(percent: u8, canaries: u32, total: u32) -> u16 {
    let others = u64::from(total.saturating_sub(canaries));
    let (share, rest) = (u64::from(percent), u64::from(100_u8.saturating_sub(percent)));
    if others == 0 || rest == 0 || canaries == 0 {
        return 100;
    }
    u16::try_from(share * others * 100 / (rest * u64::from(canaries))).unwrap_or(u16::MAX).max(1)
}

impl CanaryStep {
    /// The step in words: `10% of the traffic`.
    pub fn words(&self) -> String {
        match self {
            Self::Weight { percent } => format!("{percent}% of the traffic"),
            Self::Instances { count: Count::Absolute(1) } => "1 instance".to_owned(),
            Self::Instances { count } => format!("{count} instances"),
            Self::Pause { lasts: Some(lasts) } => format!("pause of {lasts}"),
            Self::Pause { lasts: None } => "pause until promoted".to_owned(),
            Self::Analysis { passes: 1 } => "analysis, 1 pass".to_owned(),
            Self::Analysis { passes } => format!("analysis, {passes} passes"),
            Self::Run { hook } => format!("hook {hook}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// engines.md §3.1: nearest integer, ties up, never 0 for 1 to 99 %, never all.
    #[test]
    fn shares_follow_the_vectors() {
        for (percent, total, expected) in [
            (10, 10, 1),
            (25, 10, 3),
            (24, 10, 2),
            (1, 10, 1),
            (99, 10, 9),
            (50, 3, 2),
            (50, 2, 1),
            (99, 2, 1),
            (1, 1, 1),
            (0, 7, 0),
            (100, 7, 7),
            (5, 20, 1),
            (10, 0, 0),
        ] {
            assert_eq!(share_of(percent, total), expected, "{percent}% of {total}");
        }
        for total in 2..=50 {
            for percent in 1..=99 {
                let share = share_of(percent, total);
                assert!(share >= 1 && share < total, "{percent}% of {total}: {share}");
            }
        }
    }

    /// Whatever the fleet and the share: what the weight gives is never above what was asked for, and less than a percent off
    /// where weights are fine enough.
    #[test]
    fn weights_never_give_more_than_the_share() {
        for total in 2..=100_u32 {
            for percent in 1..=99_u8 {
                let canary = Canary { steps: vec![CanaryStep::Weight { percent }], weighted: true };
                let (count, weight) = (canary.instances(1, total), canary.weight(1, total));
                let given = f64::from(count) * f64::from(weight);
                let share = given * 100.0 / (given + f64::from(total - count) * 100.0);
                let wanted = f64::from(percent);
                assert!(share <= wanted + 1e-9 || weight == 1, "{percent}% of {total}: {share}");
                assert!(share > wanted - 1.0, "{percent}% of {total}: {share}");
            }
        }
        let by_count = Canary { steps: vec![CanaryStep::Weight { percent: 10 }], weighted: false };
        assert_eq!((by_count.instances(1, 3), by_count.weight(1, 3)), (1, 100));
    }

    #[test]
    fn instances_and_pauses_leave_the_share_to_the_number() {
        let steps = vec![
            CanaryStep::Weight { percent: 2 },
            CanaryStep::Pause { lasts: None },
            CanaryStep::Instances { count: Count::Percent(25) },
            CanaryStep::Weight { percent: 10 },
        ];
        let canary = Canary { steps, weighted: true };
        let at = |number| (canary.instances(number, 10), canary.percent(number));
        assert_eq!([at(0), at(1), at(2), at(3), at(4)], [(0, None), (1, Some(2)), (1, Some(2)), (3, None), (3, Some(10))]);
    }
}
