//! A program that prints a number, alone or somewhere in JSON.
//!
//! Imports: ports, os, the settings, its siblings. May not: judge a number by an exit code.

use futures::future::{BoxFuture, OptionFuture};

use super::http::merged;
use super::reading::{Finder, Said, Silence};
use super::sides::{Side, Style};
use super::{About, Asked, CommandSettings};
use crate::os::child;
use crate::os::program::{Limits, Place, Program};
use crate::ports::Compared;

/// The source.
pub(super) struct Command {
    settings: CommandSettings,
    finder: Finder,
    about: About,
}

impl Command {
    /// Checks pointers and that the program is there.
    pub(super) fn new(settings: &CommandSettings, about: About) -> Result<Self, String> {
        let finder = Finder::new(&settings.answer)?;
        let name = settings.argv.iter().take(1).cloned().collect();
        let program = Program { service: about.service.clone(), argv: name, env: settings.env.clone() };
        program.check().map_err(|why| format!("command: {why}"))?;
        Ok(Self { settings: settings.clone(), finder, about })
    }

    /// Runs it to its end; dropped half-way, it is ended.
    async fn run(&self, side: Side<'_>) -> Result<Said, Silence> {
        let argv = self.settings.argv.iter().map(|element| side.render(element)).collect::<Result<Vec<_>, _>>();
        let argv = argv.map_err(Silence::Error)?;
        let env = self.settings.env.whole(&[("ROLLOUT_SERVICE", &self.about.service), ("ROLLOUT_CHECK", &self.about.check)]);
        let Limits { deadline, grace, may_leave, changes } = Limits::within(self.about.timeout.to_std());
        let (about, room) = (self.about.check.as_str(), child::OUTPUT_BYTES_MAX);
        let run = child::Run { about, argv: &argv, env: &env, deadline, grace, may_leave, changes, room };
        let finished = Place::Here.judge(child::run(run).await).map_err(|trouble| Silence::Error(trouble.to_string()))?;
        Ok(self.finder.said(&finished.stdout, finished.whole))
    }
}

impl Asked for Command {
    fn ask<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Said> {
        Box::pin(async move {
            let touched = Side::touched(&self.about.service, compared, Style::List);
            let other = touched.untouched(&self.settings.argv).filter(|_| !self.finder.has_control());
            let other = OptionFuture::from(other.map(|other| self.run(other)));
            let (said, other) = tokio::join!(self.run(touched), other);
            merged(said, other)
        })
    }
}
