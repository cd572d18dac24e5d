//! Where an nginx runs, its file and its programs: this machine.
//!
//! Imports: os, model. May not: know what the programs say.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::os::child::{self, End};
use crate::os::program::{Environment, Limits, Trouble};

/// On whose account they run.
pub(super) const ABOUT: &str = "nginx";

/// A place where programs can be run.
pub(super) trait Site: Send + Sync {
    /// Runs a program to its end within `limits`; what it printed, if it ended with success.
    fn run<'a>(&'a self, argv: &'a [String], limits: Limits) -> BoxFuture<'a, Result<Said, Trouble>>;
}

/// What a program printed.
pub(super) struct Said {
    pub(super) text: String,
    /// That is all of it.
    pub(super) whole: bool,
}

/// This machine.
pub(super) struct Here;

impl Site for Here {
    fn run<'a>(&'a self, argv: &'a [String], limits: Limits) -> BoxFuture<'a, Result<Said, Trouble>> {
        Box::pin(async move {
            let env = Environment::default().whole(&[]);
            let Limits { deadline, grace, may_leave, changes } = limits;
            let run = child::Run { about: ABOUT, argv, env: &env, deadline, grace, may_leave, changes };
            let finished = child::run(run).await.map_err(Trouble::Failed)?;
            match finished.end {
                End::Exit(0) => Ok(Said { text: String::from_utf8_lossy(&finished.stdout).into_owned(), whole: finished.whole }),
                End::Exit(_) => Err(Trouble::Failed(finished.words())),
                End::Signal(_) | End::Deadline => Err(Trouble::Unknown(finished.words())),
            }
        })
    }
}

/// The limits of an act that changes something.
pub(super) fn changing(time: Duration) -> Limits {
    Limits { changes: true, ..Limits::within(time) }
}
