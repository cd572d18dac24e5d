//! One instance as it really is.

use rollout::model::{EffectId, Member, Rotation, Version};

use crate::scenario::version;

/// What a balancer was told of an instance, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lb {
    In,
    /// Out by our order.
    Ours,
    /// Drained by somebody else.
    Theirs,
    Maintenance,
    /// It never heard of it.
    Unknown,
}

/// A driver's command at work on the instance. It may outlive the controller that started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) serial: u64,
    pub(crate) id: EffectId,
    pub(crate) version: Version,
    /// Runs on a host where nobody can stop it.
    pub(crate) remote: bool,
    /// Nobody waits for it any more.
    pub(crate) given_up: bool,
}

/// What the next update will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Omens {
    pub(crate) fails: Option<bool>,
    pub(crate) hangs: bool,
    pub(crate) lies: bool,
    pub(crate) late: Option<u64>,
    pub(crate) slow: Option<u64>,
}

/// One instance as it really is.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one instance")]
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) version: Version,
    pub(crate) up: bool,
    pub(crate) lb: Vec<Lb>,
    /// What each balancer gives it, in percent of its own.
    pub(crate) weights: Vec<u16>,
    /// Our last order that had its effect took it out.
    pub(crate) taken: bool,
    /// In rotation against that order since then.
    pub(crate) slipped_at: Option<u64>,
    /// Out by somebody else since then.
    pub(crate) theirs_at: u64,
    /// Updates that really ran to their end, by the ids of their orders.
    pub(crate) runs: Vec<EffectId>,
    pub(crate) works: Vec<Work>,
    /// Checks passed in a row since its last update, and when the last of them was.
    pub(crate) passes: u32,
    pub(crate) passed_at: u64,
    pub(crate) sessions_until: u64,
    /// Reasons for which it fails its checks.
    pub(crate) ills: u32,
    pub(crate) starting: bool,
    /// It does not serve since then.
    pub(crate) unfit_since: Option<u64>,
    /// It serves since then.
    pub(crate) fit_since: Option<u64>,
    /// Somebody or something else changed it then.
    pub(crate) disturbed_at: Option<u64>,
    /// It was looked at for the check at the end then, and the check need not have come to its end.
    pub(crate) looked_at: Option<u64>,
    /// It was read for the check at the end then, and the controller heard of it.
    pub(crate) read_at: Option<u64>,
    pub(crate) omens: Omens,
    /// Nothing is to run there: a spare before it is started, and after it was stopped.
    pub(crate) unused: bool,
}

impl Machine {
    pub(crate) fn of(member: &Member, balancers: usize) -> Self {
        let lb = match member.rotation {
            Rotation::Draining if member.left_out => Lb::Ours,
            Rotation::Draining => Lb::Theirs,
            Rotation::Maintenance => Lb::Maintenance,
            Rotation::Missing => Lb::Unknown,
            Rotation::Serving | Rotation::Down | Rotation::Partly => Lb::In,
        };
        Self {
            version: member.previous.clone().unwrap_or_else(|| version("v0")),
            up: member.healthy,
            lb: vec![lb; balancers],
            weights: vec![100; balancers],
            taken: false,
            slipped_at: None,
            theirs_at: 0,
            runs: Vec::new(),
            works: Vec::new(),
            passes: 0,
            passed_at: 0,
            sessions_until: 0,
            ills: 0,
            starting: false,
            unfit_since: None,
            fit_since: None,
            disturbed_at: None,
            looked_at: None,
            read_at: None,
            omens: Omens::default(),
            unused: member.spare,
        }
    }

    pub(crate) fn is_in(&self) -> bool {
        self.lb.iter().all(|lb| *lb == Lb::In)
    }

    pub(crate) fn rotation(&self, healthy: bool) -> Rotation {
        let of = |lb: &Lb| match lb {
            Lb::In if healthy => Rotation::Serving,
            Lb::In => Rotation::Down,
            Lb::Ours | Lb::Theirs => Rotation::Draining,
            Lb::Maintenance => Rotation::Maintenance,
            Lb::Unknown => Rotation::Missing,
        };
        Rotation::together(self.lb.iter().map(of))
    }

    /// What a repeated order must leave as it was.
    pub(crate) fn essence(&self) -> (Version, bool, Vec<Lb>, usize, usize) {
        (self.version.clone(), self.up, self.lb.clone(), self.runs.len(), self.works.len())
    }
}
