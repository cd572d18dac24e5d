//! The imperative shell around the core: order, tasks, state. It owns the turn and everything that is in flight.
//!
//! Imports: core, state, event, command, effect, ports, model. May not: know an adapter; decide.

mod bus;
mod meter;
mod perform;
mod survey;
mod turn;

use std::sync::Arc;

use crate::model::{Member, Target};
use crate::ports::{Analyst, Clock, FleetDriver, HookRunner, Journal, Prober, TrafficDriver, VipProber};

pub use bus::{Bus, LocalSession};
pub use survey::survey;
pub use turn::{Handle, Recovery, Stop, Stopped, continued, start};

/// Everything from outside that an engine needs.
#[derive(Clone)]
pub struct Parts {
    /// What time it is.
    pub clock: Clock,
    /// The instances.
    pub fleet: Arc<dyn FleetDriver>,
    /// The balancers.
    pub traffic: Arc<dyn TrafficDriver>,
    /// Their health.
    pub prober: Arc<dyn Prober>,
    /// Requests through the balancer, if there is a URL for it.
    pub vip: Option<Arc<dyn VipProber>>,
    /// What measures for the analysis, if there is one.
    pub analyst: Option<Arc<dyn Analyst>>,
    /// What runs hooks, if there are any.
    pub hooks: Option<Arc<dyn HookRunner>>,
    /// Where events are stored.
    pub journal: Arc<dyn Journal>,
    /// Makes what operators say harmless, whichever door it comes by.
    pub words: Words,
}

/// A text from outside without what may not be stored or shown.
pub type Words = Arc<dyn Fn(&str) -> String + Send + Sync>;

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The targets of a plan.
fn targets(state: &crate::state::State, which: impl Fn(&Member) -> bool) -> Vec<Target> {
    state.plan.members.iter().filter(|member| which(member)).map(|member| member.target.clone()).collect()
}
