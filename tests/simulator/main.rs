//! The controller in a simulated world: thousands of seeds, a crash at every append, and what must hold whatever happens.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on, and says how far it came"
)]

mod checks;
mod crash;
mod rng;
mod scenario;
mod seeds;
mod world;
