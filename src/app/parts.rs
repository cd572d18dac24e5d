//! From the configuration to the engine's parts.

use std::sync::{Arc, LazyLock, OnceLock};

use super::Failure;
use super::redact::Redacted;
use crate::analysis::World;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::model::Timestamp;
use crate::os::text::sanitise;
use crate::ports::{Analyst, Clock, HookRunner, Journal, Prober, TrafficDriver, VipProber};
use crate::runner::Parts;

/// What is journalled already lies in the past, whatever the machine's clock says: set before the clock is first read.
static FLOOR: OnceLock<Timestamp> = OnceLock::new();
static CLOCK: LazyLock<SystemClock> = LazyLock::new(|| SystemClock::not_before(FLOOR.get().copied().unwrap_or_default()));

/// The program's clock begins no earlier than `floor`. Of no effect once the clock was read.
pub(super) fn begin_after(floor: Timestamp) {
    // Set once, by the one engine of this process.
    FLOOR.set(floor).ok();
}

/// What the machine's clock says, before anything of the journal is known.
pub(super) fn wall() -> Timestamp {
    SystemClock::new().now()
}

/// The time.
pub(super) fn now() -> Timestamp {
    CLOCK.now()
}

/// The program's clock.
pub fn clock() -> Clock {
    Arc::new(now)
}

/// Everything that an engine needs, by the configuration.
///
/// # Errors
/// Fails if a driver cannot work with its settings.
pub(super) fn parts(config: &Config, journal: Arc<dyn Journal>) -> Result<Parts, Failure> {
    let redactor = Arc::new(config.redactor.clone());
    let usage = |why: String| Failure::usage(redactor.redact(&why));
    let vip = config.vip.as_ref().map(crate::probe::vip).transpose().map_err(usage)?;
    let vip = vip.map(|vip| -> Arc<dyn VipProber> { Arc::new(Redacted::new(vip, &redactor)) });
    let fleet = Arc::new(Redacted::new(crate::fleet::build(&config.fleet).map_err(usage)?, &redactor));
    let traffic: Arc<dyn TrafficDriver> =
        Arc::new(Redacted::new(crate::traffic::build(&config.traffic).map_err(usage)?, &redactor));
    let prober: Arc<dyn Prober> =
        Arc::new(Redacted::new(crate::probe::build(&config.health, clock()).map_err(usage)?, &redactor));
    let world = World { clock: clock(), traffic: traffic.clone(), prober: prober.clone(), vip: vip.clone() };
    let analyst = config.analysis.as_ref().map(|analysis| crate::analysis::build(analysis, &world)).transpose();
    let analyst = analyst.map_err(usage)?.map(|analyst| -> Arc<dyn Analyst> { Arc::new(Redacted::new(analyst, &redactor)) });
    let hooks = crate::hook::build(&config.hooks).map_err(usage)?;
    Ok(Parts {
        clock: clock(),
        fleet,
        traffic,
        prober,
        vip,
        analyst,
        hooks: hooks.map(|hooks| -> Arc<dyn HookRunner> { Arc::new(Redacted::new(hooks, &redactor)) }),
        journal,
        words: {
            let redactor = redactor.clone();
            Arc::new(move |said: &str| sanitise(&redactor.redact(said)))
        },
    })
}
