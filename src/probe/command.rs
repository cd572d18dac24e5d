//! Programs that look: one whose exit code is the verdict, one that prints the version.
//!
//! Imports: model, os, the settings. May not: keep the probe's deadline (that is `judge`; ours comes a little earlier, so
//! that a program is ended politely and its last words are heard).

use futures::future::BoxFuture;

use super::judge::{Look, Reported, Seen};
use super::{ExecSettings, VersionSettings};
use crate::model::{SampleResult, Span, Target};
use crate::os::child::End;
use crate::os::extract::Extractor;
use crate::os::program::{Limits, Program, Subject};

/// `probe = "exec"`: exit code 0 passes.
pub(super) struct ExecProber {
    program: Program,
    timeout: Span,
    /// Finds the version in what it prints.
    version: Option<Extractor>,
}

impl ExecProber {
    /// Checks the templates and that the program is there.
    pub(super) fn new(settings: ExecSettings, timeout: Span) -> Result<Self, String> {
        let ExecSettings { program, version } = settings;
        program.check().map_err(|why| format!("[health] command: {why}"))?;
        let version = version.map(|extract| Extractor::new(&extract)).transpose();
        Ok(Self { program, timeout, version: version.map_err(|why| format!("[health] version: {why}"))? })
    }

    async fn run(&self, target: &Target) -> Seen {
        let limits = Limits::within(self.timeout.to_std());
        let finished = match self.program.run(Subject::instance(target), limits).await {
            Ok(finished) => finished,
            Err(reason) => return Seen::nothing(SampleResult::Miss { reason }),
        };
        let result = match finished.end {
            End::Exit(0) => SampleResult::Pass { status: None },
            End::Deadline => SampleResult::Miss { reason: format!("no answer in {}", self.timeout) },
            End::Exit(_) | End::Signal(_) | End::Lost => SampleResult::Miss { reason: finished.words() },
        };
        match &self.version {
            None => Seen::nothing(result),
            Some(version) => {
                let found = version.read(&finished.stdout, finished.whole);
                Seen { result, reported: found.map_or_else(Reported::Nothing, |value| Reported::of(&value)) }
            }
        }
    }
}

impl Look for ExecProber {
    /// Dropped half-way, it ends the program with all that it started.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(self.run(target))
    }
}

/// `health.version = { command = […] }`.
pub(super) struct VersionCommand {
    program: Program,
    version: Extractor,
}

impl VersionCommand {
    /// Checks the templates and that the program is there.
    pub(super) fn new(settings: &VersionSettings) -> Result<Self, String> {
        let said = |why: String| format!("[health] version: {why}");
        settings.program.check().map_err(said)?;
        let version = Extractor::new(&settings.extract).map_err(said)?;
        Ok(Self { program: settings.program.clone(), version })
    }

    /// Runs it within the probe's time.
    pub(super) async fn ask(&self, target: &Target, timeout: Span) -> Reported {
        match self.program.succeed(Subject::instance(target), Limits::within(timeout.to_std())).await {
            Ok(finished) => match self.version.read(&finished.stdout, finished.whole) {
                Ok(value) => Reported::of(&value),
                Err(why) => Reported::Nothing(why),
            },
            Err(trouble) => Reported::Trouble(trouble.to_string()),
        }
    }
}
