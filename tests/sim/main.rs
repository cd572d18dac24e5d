//! The controller in a simulated world: thousands of seeds, a crash at every append, and what must hold whatever happens.
//!
//! The decisions are the program's own (`core`, `state`); the world around them is virtual: fleet, balancers, journal, clocks,
//! strangers, operators. A run has two phases: faults, then `heal`, after which it must come to an end, or to a question, within
//! a bound that follows from the plan.
//!
//! ```text
//! cargo test --test sim -- --nocapture                           20,000 seeds, every crash point, every broken rule
//! ROLLOUT_SEEDS=1000000 cargo test --release --test sim whatever -- --nocapture      as many as you like; ROLLOUT_FROM=…
//! ROLLOUT_SEED=123 cargo test --test sim one_seed -- --ignored --nocapture           one seed and all that happens in it
//! cargo test --release --test sim pairs -- --ignored --nocapture                     all pairs of crashes
//! ROLLOUT_SEEDS=5000 cargo test --test sim census -- --ignored --nocapture           which checks fail, and how often
//! ROLLOUT_MUTANT=SkipDrain cargo test --test sim every_broken_rule -- --nocapture    one broken rule
//! ```
//!
//! Which invariant is asked where:
//!
//! | id | what | where |
//! |---|---|---|
//! | S1 | budget: who is taken out, and who is out already | `checks/orders.rs`: `drain` |
//! | S2 | floor: enough others serve, in an eviction too | `checks/orders.rs`: `floor` |
//! | S3 | drained, confirmed or out of time, then updated; a lost drain is ordered again | `of_instance`, `update_begins`, `slips` |
//! | S4 | put back only after the last checks passed on the right version | `gate` |
//! | S5 | nothing without a part is touched, nothing of others is put back | `act_begins`, `of_instance`; `world/acts.rs`: `admit`; `checks/end.rs` |
//! | S6 | a stored order before every act, a stored command before every answer | `checks.rs`: `act_begins`, `answered` |
//! | S7 | a replaced controller stores nothing and begins nothing | `world/takeover.rs`: `wake_stale`; `act_begins` |
//! | S8 | never two commands on one instance, over deaths and takeovers | `world/work.rs`: `work_begins` |
//! | S9, S9p | cancel, hold and pause bind from their answer on | `of_instance`, `ordered_update` |
//! | S10 | the way back has one direction, and leads to each one's own version | `of_deployment`, `ordered_update`, `update_begins` |
//! | S11 | every instance is shown in one state; the counts add up | `at_append`, `checks/end.rs` |
//! | S12 | what is stored, decoded and folded, is the live state after every append; a successor begins with it | `world/engine.rs`: `keep`; `same_story` |
//! | S13 | an order given again, at once or later, changes nothing; one order, one run | `world/acts.rs`: `repeats`, `again`; `ran` |
//! | S14 | a crash leaves the world as it would be without it | `crash.rs` |
//! | S15 | what the end says of every instance is so | `checks/end.rs` |
//! | S16 | no secret in any sink | not here: tests with real sinks |
//! | S17 | no hot loop: facts and orders on one instance within a minute | `of_instance`, `act_begins` |
//! | S18 | the share of the new version, a step judged by what was measured, whole weights at the end | `checks/between.rs`, `checks/end.rs` |
//! | S19 | blue-green | nowhere yet: that strategy does not exist |
//! | HOOK | a closed gate lets nothing be taken; what cleans up has run before the end | `checks/between.rs` |
//! | G7 | the threshold's arithmetic, from the verdicts | `threshold` |
//! | L1 | an end, or a question, within the bound | `world.rs`: `run`; `world/operator.rs`: `bound` |
//! | L2 | never a hang in silence; what is wanted is under way | `checks/waiting.rs`: `silent`; `world/engine.rs`: `reconcile` |
//! | L3 | what it says that it waits for is what it waits for, and the ways out are ways out | `checks/waiting.rs`: `explains` |
//! | L4 | what we took out is back or listed | `checks/end.rs` |
//! | L5 | after a death another start succeeds | `world/engine.rs`: `boot`; `world/takeover.rs`: `restart` |
//! | L6 | a console that comes back shows what the engine holds | `world/reader.rs` |
//! | L7 | once the journal takes appends again, it goes on by itself | `world/engine.rs`: `resumed` |
//!
//! S7 here is the journal's epoch and the death of the one that is replaced; the lease that finds it is tested with processes.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on, and says how far it came"
)]

/// A line past the test runner, which would swallow it: whoever runs the tests should see what was tried.
macro_rules! told {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(std::io::stdout().lock(), $($text)*));
    }};
}

mod checks;
mod crash;
mod draw;
mod mutants;
mod rng;
mod scenario;
mod seeds;
mod world;
