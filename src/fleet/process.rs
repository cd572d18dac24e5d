//! Local processes that outlive the console.
//!
//! Imports: ports, model, os. May not: know another kind of adapter.
use futures::future::BoxFuture;

use super::ProcessSettings;
use crate::model::{Observation, Target};
use crate::ports::{FleetDriver, FleetError, UpdateOrder};

pub(super) struct Processes {
    _settings: ProcessSettings,
}

impl Processes {
    pub(super) fn new(settings: ProcessSettings) -> Result<Self, String> {
        Ok(Self { _settings: settings })
    }
}

impl FleetDriver for Processes {
    fn observe<'a>(&'a self, _target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        Box::pin(async { Ok(Observation::default()) })
    }
    fn update<'a>(&'a self, _order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async { Ok(()) })
    }
}
