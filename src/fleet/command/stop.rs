//! The end of an instance that was extra capacity.
//!
//! Imports: ports, os, model, the driver. May not: know what comes after it.

use tokio::time::Instant;

use super::{Act, Commands, Extras, STOP};
use crate::model::Observation;
use crate::os::program::{self, Limits, Subject, Trouble};
use crate::ports::{FleetError, StopOrder};

impl Commands {
    pub(super) fn has_stop(&self) -> bool {
        self.extras.unit.is_some() || self.stop_step().is_some()
    }

    fn stop_step(&self) -> Option<&program::Program> {
        self.steps.iter().find_map(|(name, act)| match act {
            Act::Program(program) if *name == STOP => Some(program),
            _ => None,
        })
    }

    /// The unit is stopped, or the `stop` step is run alone; then nothing may run any more, where `observe` can tell that.
    pub(super) async fn stop_for_good(&self, order: &StopOrder) -> Result<(), FleetError> {
        let StopOrder { target, effect, version } = order;
        program::stopped(Some(target.id.as_str())).await;
        let deadline = Instant::now() + self.time_for_steps();
        let limits = Limits { deadline, grace: self.grace(), may_leave: false, changes: true };
        let Extras { place, unit, .. } = &self.extras;
        let stopped = match (unit, self.stop_step()) {
            (Some(unit), _) => unit.stop(place, order, limits).await,
            (None, Some(program)) => {
                let subject = Subject { target, version: Some(version), previous: Some(version), effect: Some(effect.as_str()) };
                program.succeed_at(place, subject, limits).await.map(drop)
            }
            (None, None) => Err(Trouble::Failed("[update] stop is not given".to_owned())),
        };
        stopped.map_err(|trouble| match trouble {
            Trouble::Failed(why) => FleetError::Failed(format!("stop of {}: {why}", target.id)),
            Trouble::Unknown(why) => FleetError::Unknown(format!("stop of {}: {why}", target.id)),
            Trouble::Unreachable(why) => FleetError::Unreachable(format!("stop of {}: {why}", target.id)),
        })?;
        match self.look(target).await {
            Ok(Observation { running: Some(true), version, .. }) => {
                let shown = version.map_or_else(|| "something".to_owned(), |v| v.to_string());
                Err(FleetError::Failed(format!("stop of {} succeeded, but observe shows that {shown} runs", target.id)))
            }
            // One that is gone may have nothing left to ask.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
