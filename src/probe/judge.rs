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

/// The prober: a look, and what is made of it.
pub(super) struct Judge {
    look: Box<dyn Look>,
    command: Option<VersionCommand>,
    timeout: Span,
    clock: Clock,
}

impl Judge {
    /// `command` tells the version, if the look does not.
    pub(super) fn new(look: Box<dyn Look>, command: Option<VersionCommand>, (timeout, clock): (Span, Clock)) -> Self {
        Self { look, command, timeout, clock }
    }

    async fn judged(&self, target: &Target, expect: Option<&Version>) -> (SampleResult, Option<Version>) {
        let Seen { result, mut reported } = self.look.look(target).await;
        let passed = matches!(result, SampleResult::Pass { .. });
        if let (true, Some(command)) = (passed, &self.command) {
            reported = command.ask(target, self.timeout).await;
        }
        let result = match mismatch(&reported, expect) {
            Some(reason) if passed => SampleResult::Miss { reason },
            Some(_) | None => result,
        };
        match reported {
            Reported::Version(version) => (result, Some(version)),
            Reported::Other(_) | Reported::Nothing(_) | Reported::Trouble(_) => (result, None),
        }
    }
}

impl Prober for Judge {
    /// Dropped half-way, it leaves nothing behind.
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        Box::pin(async move {
            let (at, began) = ((self.clock)(), Instant::now());
            let deadline: Duration = self.timeout.to_std();
            let judged = tokio::time::timeout(deadline, self.judged(target, expect)).await;
            let late = |_elapsed| (SampleResult::Miss { reason: format!("no answer in {}", self.timeout) }, None);
            let (result, version) = judged.unwrap_or_else(late);
            Sample { at, latency: Span::from(began.elapsed()), result, version }
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
