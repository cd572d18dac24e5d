//! Drivers whose words never repeat a value of the environment and never steer a terminal: the one place through which their
//! texts reach the engine. A driver that forgets to make an answer harmless does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::config::Redactor;
use crate::model::{
    Found, InstanceId, LbStats, Measurement, Observation, Rotation, Sample, SampleResult, Served, Target, Version, VipStats,
};
use crate::os::text;
use crate::ports::{
    Analyst, Compared, FleetDriver, FleetError, HookOrder, HookRunner, Prober, StopOrder, TrafficDriver, TrafficError,
    UpdateOrder, VipProber,
};

/// The longest text of a driver: three lines of a program, and what it was doing.
const CHARS_MAX: usize = 1000;

/// A driver, and what hides secrets in what it says.
pub(super) struct Redacted<D: ?Sized> {
    driver: Arc<D>,
    redactor: Arc<Redactor>,
}

impl<D: ?Sized> Redacted<D> {
    pub(super) fn new(driver: Arc<D>, redactor: &Arc<Redactor>) -> Self {
        Self { driver, redactor: redactor.clone() }
    }

    /// The sanitised form of a value is known to the redactor, but what sanitising cuts off must be looked through first.
    fn clean(&self, text: &str) -> String {
        text::sanitise_within(&self.redactor.redact(text), CHARS_MAX)
    }

    fn fleet(&self, error: FleetError) -> FleetError {
        match error {
            FleetError::Unreachable(text) => FleetError::Unreachable(self.clean(&text)),
            FleetError::Failed(text) => FleetError::Failed(self.clean(&text)),
            FleetError::Unknown(text) => FleetError::Unknown(self.clean(&text)),
        }
    }

    fn traffic(&self, error: TrafficError) -> TrafficError {
        match error {
            TrafficError::Unreachable(text) => TrafficError::Unreachable(self.clean(&text)),
            TrafficError::Refused(text) => TrafficError::Refused(self.clean(&text)),
            TrafficError::NotConfirmed(text) => TrafficError::NotConfirmed(self.clean(&text)),
        }
    }

    fn sample(&self, mut sample: Sample) -> Sample {
        match &mut sample.result {
            SampleResult::Miss { reason: text }
            | SampleResult::Starting { reason: text }
            | SampleResult::Exited { how: text } => {
                *text = self.clean(text);
            }
            SampleResult::Pass { .. } | SampleResult::NotListening => {}
        }
        sample
    }
}

impl FleetDriver for Redacted<dyn FleetDriver> {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observation, FleetError>> {
        Box::pin(async move {
            let mut seen = self.driver.observe(target).await.map_err(|e| self.fleet(e))?;
            seen.ended = seen.ended.map(|how| self.clean(&how));
            Ok(seen)
        })
    }

    fn update<'a>(&'a self, order: &'a UpdateOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move { self.driver.update(order).await.map_err(|e| self.fleet(e)) })
    }

    fn stop<'a>(&'a self, order: &'a StopOrder) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move { self.driver.stop(order).await.map_err(|e| self.fleet(e)) })
    }

    fn stops(&self) -> bool {
        self.driver.stops()
    }

    fn check<'a>(&'a self, target: &'a Target, version: &'a Version) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move { self.driver.check(target, version).await.iter().map(|text| self.clean(text)).collect() })
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

    fn weighs(&self) -> bool {
        self.driver.weighs()
    }

    fn weigh<'a>(
        &'a self,
        fleet: &'a [Target],
        weights: &'a BTreeMap<InstanceId, u16>,
    ) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.driver.weigh(fleet, weights).await.map_err(|e| self.traffic(e)) })
    }

    fn check_weights(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move { self.driver.check_weights().await.iter().map(|text| self.clean(text)).collect() })
    }

    fn served<'a>(&'a self, fleet: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Served>, TrafficError>> {
        Box::pin(async move { self.driver.served(fleet).await.map_err(|e| self.traffic(e)) })
    }

    fn add<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.driver.add(target).await.map_err(|e| self.traffic(e)) })
    }

    fn remove<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.driver.remove(target).await.map_err(|e| self.traffic(e)) })
    }

    fn members(&self) -> BoxFuture<'_, Result<Vec<Found>, TrafficError>> {
        Box::pin(async move { self.driver.members().await.map_err(|e| self.traffic(e)) })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async move { self.driver.counters().await.map_err(|e| self.traffic(e)) })
    }

    fn check<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move { self.driver.check(targets).await.iter().map(|text| self.clean(text)).collect() })
    }
}

impl Prober for Redacted<dyn Prober> {
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        Box::pin(async move { self.sample(self.driver.probe(target, expect).await) })
    }

    fn started<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Sample>> {
        Box::pin(async move { self.driver.started(target).await.map(|sample| self.sample(sample)) })
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
        self.driver.failures().iter().map(|text| self.clean(text)).collect()
    }

    fn stop(&self) -> BoxFuture<'_, Option<VipStats>> {
        self.driver.stop()
    }
}

impl Analyst for Redacted<dyn Analyst> {
    fn measure<'a>(&'a self, check: &'a str, compared: &'a Compared) -> BoxFuture<'a, Measurement> {
        Box::pin(async move {
            match self.driver.measure(check, compared).await {
                Measurement::Nothing { why } => Measurement::Nothing { why: self.clean(&why) },
                Measurement::Error { why } => Measurement::Error { why: self.clean(&why) },
                value @ Measurement::Value { .. } => value,
            }
        })
    }
}

impl HookRunner for Redacted<dyn HookRunner> {
    fn run<'a>(&'a self, order: &'a HookOrder) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.driver.run(order).await.map_err(|why| self.clean(&why)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeploymentId, EffectId, Span};

    /// Everything that it says steers a terminal.
    struct Loud;

    const LOUD: &str = "\u{1b}]0;gone\u{7}";

    fn words() -> String {
        LOUD.to_owned()
    }

    impl TrafficDriver for Loud {
        fn read<'a>(&'a self, _: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
            Box::pin(async { Err(TrafficError::Refused(words())) })
        }

        fn take_out<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
            Box::pin(async { Err(TrafficError::Refused(words())) })
        }

        fn sessions<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
            Box::pin(async { Err(TrafficError::Refused(words())) })
        }

        fn admit<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
            Box::pin(async { Err(TrafficError::Refused(words())) })
        }

        fn weighs(&self) -> bool {
            true
        }

        fn weigh<'a>(&'a self, _: &'a [Target], _: &'a BTreeMap<InstanceId, u16>) -> BoxFuture<'a, Result<(), TrafficError>> {
            Box::pin(async { Err(TrafficError::NotConfirmed(words())) })
        }

        fn check_weights(&self) -> BoxFuture<'_, Vec<String>> {
            Box::pin(async { vec![words()] })
        }

        fn served<'a>(&'a self, _: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Served>, TrafficError>> {
            Box::pin(async { Err(TrafficError::Unreachable(words())) })
        }

        fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
            Box::pin(async { Err(TrafficError::Refused(words())) })
        }
    }

    impl Analyst for Loud {
        fn measure<'a>(&'a self, check: &'a str, _: &'a Compared) -> BoxFuture<'a, Measurement> {
            let nothing = check == "nothing";
            Box::pin(
                async move { if nothing { Measurement::Nothing { why: words() } } else { Measurement::Error { why: words() } } },
            )
        }
    }

    impl HookRunner for Loud {
        fn run<'a>(&'a self, _: &'a HookOrder) -> BoxFuture<'a, Result<(), String>> {
            Box::pin(async { Err(words()) })
        }
    }

    /// What the wrapper does not pass on, a default would answer in the driver's place.
    #[tokio::test]
    async fn weights_measurements_and_hooks_are_passed_on_and_made_harmless() {
        let redactor = Arc::new(Redactor::default());
        let traffic = Redacted::<dyn TrafficDriver>::new(Arc::new(Loud), &redactor);
        let clean = text::sanitise(LOUD);
        assert!(!clean.contains(char::is_control));
        assert!(traffic.weighs());
        assert_eq!(traffic.weigh(&[], &BTreeMap::new()).await, Err(TrafficError::NotConfirmed(clean.clone())));
        assert_eq!(traffic.served(&[]).await, Err(TrafficError::Unreachable(clean.clone())));
        assert_eq!(traffic.check_weights().await, std::slice::from_ref(&clean));

        let analyst = Redacted::<dyn Analyst>::new(Arc::new(Loud), &redactor);
        let (version, previous) = (Version::new("v2").unwrap(), None);
        let compared = Compared { touched: Vec::new(), untouched: Vec::new(), version, previous };
        assert_eq!(analyst.measure("nothing", &compared).await, Measurement::Nothing { why: clean.clone() });
        assert_eq!(analyst.measure("p99", &compared).await, Measurement::Error { why: clean.clone() });

        let hooks = Redacted::<dyn HookRunner>::new(Arc::new(Loud), &redactor);
        let order = HookOrder {
            effect: EffectId::new(&DeploymentId::new("shop", 1), None, "hook", 1),
            hook: "smoke".to_owned(),
            timeout: Span::from_secs(1),
            facts: Vec::new(),
        };
        assert_eq!(hooks.run(&order).await, Err(clean));
    }
}
