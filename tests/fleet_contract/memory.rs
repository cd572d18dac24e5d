//! A fleet in memory: what simulations take for a driver must promise the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use rollout::model::{EffectId, InstanceId, Observation, Target, Version};
use rollout::ports::{FleetDriver, FleetError, UpdateOrder};

use crate::World;

#[derive(Default)]
struct Instance {
    version: Option<Version>,
    effect: Option<EffectId>,
    ended: Option<String>,
    starts: usize,
}

#[derive(Default)]
struct State {
    instances: BTreeMap<InstanceId, Instance>,
    cut: bool,
}

/// The fleet.
#[derive(Clone, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    #[expect(clippy::unnecessary_wraps, reason = "as worlds that need a server")]
    pub(crate) fn new() -> Option<Self> {
        Some(Self::default())
    }
}

struct Driver {
    fleet: Simulated,
    lacks: bool,
}

impl FleetDriver for Driver {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        Box::pin(async {
            let mut state = self.fleet.0.lock().unwrap();
            if state.cut {
                return Err(FleetError::Unreachable("no route".to_owned()));
            }
            let instance = state.instances.entry(target.id.clone()).or_default();
            let running = Some(instance.version.is_some() && instance.ended.is_none());
            Ok(Observation { version: instance.version.clone(), running, ended: instance.ended.clone() })
        })
    }

    fn check<'a>(&'a self, _target: &'a Target, _version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        let cut = self.fleet.0.lock().unwrap().cut.then(|| "no route".to_owned());
        let lacks = self.lacks.then(|| "no-such is missing".to_owned());
        Box::pin(async { cut.into_iter().chain(lacks).collect() })
    }

    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async {
            {
                let mut state = self.fleet.0.lock().unwrap();
                if state.cut {
                    return Err(FleetError::Unreachable("no route".to_owned()));
                }
                let instance = state.instances.entry(order.target.id.clone()).or_default();
                if instance.effect.as_ref() == Some(&order.effect) {
                    return Ok(());
                }
                instance.effect = Some(order.effect.clone());
                instance.version = Some(order.version.clone());
                instance.starts += 1;
                instance.ended = order.version.as_str().starts_with("bad").then(|| "exit code 3".to_owned());
            }
            if order.version.as_str().starts_with("slow") {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

impl World for Simulated {
    fn driver(&self) -> Arc<dyn FleetDriver> {
        Arc::new(Driver { fleet: self.clone(), lacks: false })
    }

    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String> {
        Ok(Arc::new(Driver { fleet: self.clone(), lacks: true }))
    }

    fn starts(&self, target: &Target) -> usize {
        self.0.lock().unwrap().instances.get(&target.id).map_or(0, |instance| instance.starts)
    }

    fn cut(&mut self) -> bool {
        self.0.lock().unwrap().cut = true;
        true
    }
}
