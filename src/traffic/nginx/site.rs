//! Where an nginx runs, its file and its programs: this machine, or another one over ssh.
//!
//! Imports: os, model. May not: know what the programs say.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::os::child::{self, End, Finished};
use crate::os::program::{Environment, Limits, Trouble};
use crate::os::ssh::{self, Pool};

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
            let room = child::OUTPUT_BYTES_MAX;
            let run = child::Run { about: ABOUT, argv, env: &env, deadline, grace, may_leave, changes, room };
            said(child::run(run).await)
        })
    }
}

/// Another machine, over the user's ssh.
pub(super) struct There {
    pub(super) pool: Arc<Pool>,
    pub(super) host: String,
}

impl Site for There {
    fn run<'a>(&'a self, argv: &'a [String], limits: Limits) -> BoxFuture<'a, Result<Said, Trouble>> {
        Box::pin(async move {
            let Limits { deadline, grace, may_leave, .. } = limits;
            // Two that change the file are kept apart by its lock, as they are on one machine.
            let (fence, input) = (None, None);
            let run = ssh::Run { about: ABOUT, argv, env: &[], deadline, grace, may_leave, fence, input };
            // Nothing has happened where it was not started; the link may be back for the next try.
            match self.pool.run(&self.host, run).await {
                Ok(finished) => said(Ok(finished)),
                Err(why) => Err(Trouble::Unreachable(why)),
            }
        })
    }
}

fn said(finished: Result<Finished, String>) -> Result<Said, Trouble> {
    let finished = finished.map_err(Trouble::Failed)?;
    match finished.end {
        End::Exit(0) => Ok(Said { text: String::from_utf8_lossy(&finished.stdout).into_owned(), whole: finished.whole }),
        End::Exit(_) => Err(Trouble::Failed(finished.words())),
        End::Signal(_) | End::Deadline | End::Lost => Err(Trouble::Unknown(finished.words())),
    }
}

/// The limits of an act that changes something.
pub(super) fn changing(time: Duration) -> Limits {
    Limits { changes: true, ..Limits::within(time) }
}
