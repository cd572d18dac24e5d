//! From a look at an instance to a sample: one deadline over all of it, and the version that it must report.
//!
//! Imports: ports, model, os. May not: know how an instance is looked at, count passes and misses.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::command::VersionCommand;
use crate::model::{Sample, SampleResult, Span, Target, Version};
use crate::os::text;
use crate::ports::{Clock, Prober};

/// One way to look at an instance, without a deadline of its own.
pub(super) trait Look: Send + Sync {
    /// Looks once. Dropped half-way, it leaves nothing behind.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen>;
}

/// What a look saw.
pub(super) struct Seen {
    /// The result, if the version were no matter.
    pub(super) result: SampleResult,
    /// The version.
    pub(super) reported: Reported,
}

impl Seen {
    /// A result without a version.
    pub(super) fn nothing(result: SampleResult) -> Self {
        Self { result, reported: Reported::Nothing("health.version is not set") }
    }
}

/// What an instance says its version is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reported {
    /// A version.
    Version(Version),
    /// Something that is no version; sanitised.
    Other(String),
    /// Nothing, and why.
    Nothing(&'static str),
    /// The program that tells it did not; why, in words.
    Trouble(String),
}

impl Reported {
    /// A text that should be a version.
    pub(super) fn of(value: &str) -> Self {
        Version::new(value.trim()).map_or_else(|_not_one| Self::Other(text::sanitise(value)), Self::Version)
    }
}

/// When an answer comes too late, although it came.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// `timeout`: over all of a probe.
    pub(super) timeout: Span,
    /// `max_latency`: a slower pass is none.
    pub(super) latency: Option<Span>,
}

/// The prober: a look, and what is made of it.
pub(super) struct Judge {
    look: Box<dyn Look>,
    /// Whether it has begun, if that is asked apart.
    startup: Option<Box<dyn Look>>,
    command: Option<VersionCommand>,
    limits: Limits,
    clock: Clock,
}

impl Judge {
    /// `command` tells the version, if the look does not.
    pub(super) fn new(
        (look, startup): (Box<dyn Look>, Option<Box<dyn Look>>),
        command: Option<VersionCommand>,
        (limits, clock): (Limits, Clock),
    ) -> Self {
        Self { look, startup, command, limits, clock }
    }

    async fn judged(&self, target: &Target, expect: Option<&Version>) -> (SampleResult, Option<Version>, Span) {
        let began = Instant::now();
        let Seen { result, mut reported } = self.look.look(target).await;
        // Without the program that tells the version: it is not what users wait for.
        let latency = Span::from(began.elapsed());
        let passed = matches!(result, SampleResult::Pass { .. });
        if let (true, Some(command)) = (passed, &self.command) {
            reported = command.ask(target, self.limits.timeout).await;
        }
        let result = match mismatch(&reported, expect) {
            Some(reason) if passed => SampleResult::Miss { reason },
            Some(_) | None => result,
        };
        let result = self.in_time(result, latency);
        match reported {
            Reported::Version(version) => (result, Some(version), latency),
            Reported::Other(_) | Reported::Nothing(_) | Reported::Trouble(_) => (result, None, latency),
        }
    }

    /// A pass that took too long is none.
    fn in_time(&self, result: SampleResult, latency: Span) -> SampleResult {
        match (&result, self.limits.latency) {
            (SampleResult::Pass { status }, Some(most)) if latency > most => {
                let what = status.map_or_else(|| "passed".to_owned(), |status| status.to_string());
                SampleResult::Miss { reason: format!("{what} in {latency}, max_latency is {most}") }
            }
            _ => result,
        }
    }

    /// As long as one probe may take.
    async fn within<T>(&self, look: impl Future<Output = T>) -> Result<T, SampleResult> {
        let deadline: Duration = self.limits.timeout.to_std();
        let late = |_elapsed| SampleResult::Miss { reason: format!("no answer in {}", self.limits.timeout) };
        tokio::time::timeout(deadline, look).await.map_err(late)
    }
}

impl Prober for Judge {
    /// Dropped half-way, it leaves nothing behind.
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        Box::pin(async move {
            let (at, began) = ((self.clock)(), Instant::now());
            let judged = self.within(self.judged(target, expect)).await;
            let (result, version, latency) = judged.unwrap_or_else(|late| (late, None, Span::from(began.elapsed())));
            Sample { at, latency, result, version }
        })
    }

    fn started<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Sample>> {
        Box::pin(async move {
            let look = self.startup.as_ref()?;
            let (at, began) = ((self.clock)(), Instant::now());
            let seen = self.within(look.look(target)).await;
            let result = seen.map_or_else(|late| late, |seen| seen.result);
            let result = match result {
                SampleResult::Miss { reason } => SampleResult::Starting { reason },
                other => other,
            };
            Some(Sample { at, latency: Span::from(began.elapsed()), result, version: None })
        })
    }
}

/// Why the report does not do, if it does not.
fn mismatch(reported: &Reported, expect: Option<&Version>) -> Option<String> {
    let expect = expect?;
    match reported {
        Reported::Version(version) if version == expect => None,
        Reported::Version(version) => Some(format!("reports {version}, not {expect}")),
        Reported::Other(other) => Some(format!("reports {other:?}, not {expect}")),
        Reported::Nothing(why) => Some(format!("reports no version ({why})")),
        Reported::Trouble(why) => Some(format!("reports no version: {why}")),
    }
}
