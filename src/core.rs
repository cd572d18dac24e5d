//! The decisions. Pure: no I/O, no clock, no randomness, no await.
//!
//! Imports: state, event, command, effect, ports' values, model. May not: act.

mod consequence;
mod forecast;
mod waiting;

pub use consequence::{Consequence, consequence};
pub use forecast::{Forecast, forecast};
pub use waiting::{Waiting, waiting};
