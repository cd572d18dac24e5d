//! Rules that can be broken on purpose, one at a time, so that the tests prove that they would notice.
//!
//! Imports: nothing. May not: be part of a release. Without the feature `mutants`, which only the tests switch on, `is` is
//! the constant `false` and every
//! rule holds.

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// An update begins while connections are still open.
    SkipDrain,
    /// Instances are taken out whatever the budget says.
    ForgetBudget,
    /// Instances are taken out whoever else serves.
    ForgetFloor,
    /// Only instances that we took out hold the budget, not those that are down.
    CountOnlyOurs,
    /// A drain that no balancer confirms in time counts as done.
    TrustUnconfirmedDrain,
    /// An updated instance is put back without a check.
    AdmitWithoutGate,
    /// One pass is proof enough.
    AdmitOnFirstPass,
    /// A check passes whatever version answers.
    IgnoreVersion,
    /// An instance that somebody else took out is put back.
    ReadmitForeign,
    /// What is drained goes forward although a rollback began.
    ForwardAfterRollback,
    /// Every instance goes back to the first one's version.
    BackToOneVersion,
    /// A rollback is rolled back.
    RollBackTwice,
    /// Failed instances are not listed.
    ForgetFailed,
    /// A cancel does not stop what is drained from being updated.
    IgnoreCancel,
    /// What was only looked at is taken although a pause began.
    IgnorePause,
    /// A hold is forgotten at once.
    LoseHeld,
    /// What a dead controller had ordered is ordered anew under another id.
    NewIdAfterRecovery,
    /// An update that a dead controller had ordered counts as done.
    TrustTheDead,
    /// The times set for instances wake nobody.
    DropDeadline,
    /// Deadlines go on while no controller lives.
    KeepOldDeadlines,
    /// The threshold is crossed at the share itself.
    ThresholdOrEqual,
    /// A drain that was undone is not ordered again.
    ForgetReloads,
    /// What is read at the end is believed to be right.
    SkipEndCheck,
    /// What is read back lacks a field.
    ReplayForgets,
    /// The journal takes appends of a controller that has been replaced.
    IgnoreEpoch,
    /// Extra capacity makes room whether or not it serves.
    CountLostSpares,
    /// Instances without a part in the plan are taken like the others.
    TakeExcluded,
    /// When the budget leaves no room, nobody is told.
    WaitInSilence,
    /// What is waited for is told as the step before.
    NameTheWrongStep,
    /// A failed instance is taken out although too few others serve.
    EvictAnyway,
    /// A look that the budget then forbids is taken again at once.
    LookForever,
    /// A step that is an analysis is over at once.
    SkipAnalysis,
    /// An instance is put in rotation before the balancers have confirmed its weight.
    AdmitUnweighed,
    /// Where nothing can be measured, all is well.
    NothingIsFine,
    /// Nothing follows from a gate that failed.
    ForgetHookFailure,
    /// Weights stay as the last step left them.
    KeepWeights,
    /// Hooks that clean up are not run.
    ForgetCleanup,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 37] = [
        Self::SkipDrain,
        Self::ForgetBudget,
        Self::ForgetFloor,
        Self::CountOnlyOurs,
        Self::TrustUnconfirmedDrain,
        Self::AdmitWithoutGate,
        Self::AdmitOnFirstPass,
        Self::IgnoreVersion,
        Self::ReadmitForeign,
        Self::ForwardAfterRollback,
        Self::BackToOneVersion,
        Self::RollBackTwice,
        Self::ForgetFailed,
        Self::IgnoreCancel,
        Self::IgnorePause,
        Self::LoseHeld,
        Self::NewIdAfterRecovery,
        Self::TrustTheDead,
        Self::DropDeadline,
        Self::KeepOldDeadlines,
        Self::ThresholdOrEqual,
        Self::ForgetReloads,
        Self::SkipEndCheck,
        Self::ReplayForgets,
        Self::IgnoreEpoch,
        Self::CountLostSpares,
        Self::TakeExcluded,
        Self::WaitInSilence,
        Self::NameTheWrongStep,
        Self::EvictAnyway,
        Self::LookForever,
        Self::SkipAnalysis,
        Self::AdmitUnweighed,
        Self::NothingIsFine,
        Self::ForgetHookFailure,
        Self::KeepWeights,
        Self::ForgetCleanup,
    ];
}

/// True if this rule is broken in this thread.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switched::{is, with};

#[cfg(feature = "mutants")]
mod switched {
    use std::cell::Cell;

    use super::Mutant;

    std::thread_local! {
        static BROKEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// True if this rule is broken in this thread.
    pub fn is(mutant: Mutant) -> bool {
        BROKEN.get() == Some(mutant)
    }

    /// Runs `test` in a world where this rule is broken.
    pub fn with<T>(mutant: Mutant, test: impl FnOnce() -> T) -> T {
        struct Mend;
        impl Drop for Mend {
            fn drop(&mut self) {
                BROKEN.set(None);
            }
        }
        BROKEN.set(Some(mutant));
        let _mend = Mend;
        test()
    }
}
