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
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SkipDrain, Self::ForgetBudget];
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
