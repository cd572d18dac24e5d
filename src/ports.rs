//! What the engine needs from outside, and what front doors need from an engine: the only traits of the crate.
//!
//! Imports: event, command, state, model. May not: hold an implementation.

mod analysis;
mod chapter;
mod fleet;
mod hooks;
mod journal;
mod probe;
mod session;
mod traffic;

pub use analysis::{Analyst, Compared};
pub use chapter::{Chapter, Chapters, Outcome, Story, Turn};
pub use fleet::{FleetDriver, FleetError, StopOrder, UpdateOrder};
pub use hooks::{HookOrder, HookRunner};
pub use journal::{DeploymentRow, Journal, JournalError, Past};
pub use probe::{Prober, VipProber};
pub use session::{Engine, Feed, LogLine, Progress, Reading, Session, SessionError, Snapshot, Update};
pub use traffic::{TrafficDriver, TrafficError};

/// The only way to the time: `clock.rs` makes one.
pub type Clock = std::sync::Arc<dyn Fn() -> crate::model::Timestamp + Send + Sync>;
