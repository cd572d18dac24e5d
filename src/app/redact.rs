//! Drivers whose words never repeat a value of the environment: the one place through which their texts reach the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::config::Redactor;
use crate::model::{InstanceId, LbStats, Observation, Rotation, Sample, SampleResult, Target, Version, VipStats};
use crate::ports::{FleetDriver, FleetError, Prober, TrafficDriver, TrafficError, UpdateOrder, VipProber};

/// A driver, and what hides secrets in what it says.
pub(super) struct Redacted<D: ?Sized> {
    driver: Arc<D>,
    redactor: Arc<Redactor>,
}

impl<D: ?Sized> Redacted<D> {
    pub(super) fn new(driver: Arc<D>, redactor: &Arc<Redactor>) -> Self {
        Self { driver, redactor: redactor.clone() }
    }

    fn fleet(&self, error: FleetError) -> FleetError {
        match error {
            FleetError::Unreachable(text) => FleetError::Unreachable(self.redactor.redact(&text)),
            FleetError::Failed(text) => FleetError::Failed(self.redactor.redact(&text)),
            FleetError::Unknown(text) => FleetError::Unknown(self.redactor.redact(&text)),
        }
    }

    fn traffic(&self, error: TrafficError) -> TrafficError {
        match error {
            TrafficError::Unreachable(text) => TrafficError::Unreachable(self.redactor.redact(&text)),
            TrafficError::Refused(text) => TrafficError::Refused(self.redactor.redact(&text)),
            TrafficError::NotConfirmed(text) => TrafficError::NotConfirmed(self.redactor.redact(&text)),
        }
    }

    fn sample(&self, mut sample: Sample) -> Sample {
        match &mut sample.result {
            SampleResult::Miss { reason: text } | SampleResult::Exited { how: text } => *text = self.redactor.redact(text),
            SampleResult::Pass { .. } | SampleResult::NotListening => {}
        }
        sample
    }
}

impl FleetDriver for Redacted<dyn FleetDriver> {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        Box::pin(async move {
            let mut seen = self.driver.observe(target).await.map_err(|e| self.fleet(e))?;
            seen.ended = seen.ended.map(|how| self.redactor.redact(&how));
            Ok(seen)
        })
    }

    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move { self.driver.update(order).await.map_err(|e| self.fleet(e)) })
    }

    fn check<'a>(&'a self, target: &'a Target, version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move { self.driver.check(target, version).await.iter().map(|text| self.redactor.redact(text)).collect() })
    }

    fn owns<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, bool> {
        self.driver.owns(target)
    }
}

impl TrafficDriver for Redacted<dyn TrafficDriver> {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(async move { self.driver.read(targets).await.map_err(|e| self.traffic(e)) })
    }

    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async move { self.driver.take_out(target).await.map_err(|e| self.traffic(e)) })
    }

    fn sessions<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async move { self.driver.sessions(target).await.map_err(|e| self.traffic(e)) })
    }

    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.driver.admit(target).await.map_err(|e| self.traffic(e)) })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async move { self.driver.counters().await.map_err(|e| self.traffic(e)) })
    }

    fn check<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move { self.driver.check(targets).await.iter().map(|text| self.redactor.redact(text)).collect() })
    }
}

impl Prober for Redacted<dyn Prober> {
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        Box::pin(async move { self.sample(self.driver.probe(target, expect).await) })
    }
}

impl VipProber for Redacted<dyn VipProber> {
    fn start(&self) {
        self.driver.start();
    }

    fn stats(&self) -> Option<VipStats> {
        self.driver.stats()
    }

    fn failures(&self) -> Vec<String> {
        self.driver.failures().iter().map(|text| self.redactor.redact(text)).collect()
    }

    fn stop(&self) -> BoxFuture<'_, Option<VipStats>> {
        self.driver.stop()
    }
}
