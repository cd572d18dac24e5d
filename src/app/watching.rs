//! A session that also knows the journal: while no engine answers, it looks whether another one has taken the deployment over
//! and come to its end in between, where nobody could hear of it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::{Place, told};
use crate::command::{Command, Receipt};
use crate::event::{Event, FORMAT};
use crate::journal::Sqlite;
use crate::model::{DeploymentId, Seq};
use crate::ports::{Chapters, Progress, Session, SessionError, Snapshot, Story, Update};
use crate::state::State;

/// Between two looks at whether the journal has changed.
const LOOK: Duration = Duration::from_secs(2);

/// A session whose reader stays when the engine is gone.
pub(super) struct Watching {
    session: Box<dyn Session>,
    place: Place,
    deployment: OnceLock<DeploymentId>,
    /// Where the journal notes its last record, and when that was; while the engine is gone.
    note: Option<(PathBuf, Option<SystemTime>)>,
    look_at: Instant,
    ended: bool,
}

impl Watching {
    pub(super) fn new(session: Box<dyn Session>, place: Place) -> Self {
        Self { session, place, deployment: OnceLock::new(), note: None, look_at: Instant::now(), ended: false }
    }

    fn journal(&self) -> Option<Sqlite> {
        Sqlite::view(&self.place.base, &self.place.service, &self.place.env).ok().flatten()
    }

    /// The engine is gone: from now on the journal is looked at.
    fn gone(&mut self) {
        let store = self.journal().map(|journal| journal.path().to_owned());
        self.note = store.map(|store| {
            let mut note = store.into_os_string();
            note.push("-last");
            // Nothing is known of it yet: what happened since the engine's last word is found at the first look.
            (PathBuf::from(note), None)
        });
        self.look_at = Instant::now();
    }

    /// How it ended, if it did.
    fn end(&mut self) -> Option<Snapshot> {
        self.look_at = Instant::now() + LOOK;
        let (note, seen) = self.note.as_mut()?;
        let changed = std::fs::metadata(&*note).and_then(|data| data.modified()).ok()?;
        if seen.replace(changed) == Some(changed) {
            return None;
        }
        let (events, damage) = self.journal()?.read_sound(self.deployment.get()?).ok()?;
        let state = State::replay(&events).ok().filter(|_| damage.is_none())?;
        state.end.is_some().then(|| Snapshot { format: FORMAT, seq: state.seq, state, progress: Progress::default() })
    }
}

impl Session for Watching {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        async {
            let snapshot = self.session.snapshot().await?;
            self.deployment.get_or_init(|| snapshot.state.plan.deployment.clone());
            Ok(snapshot)
        }
        .boxed()
    }

    fn past(&self, until: Seq, most: u64) -> BoxFuture<'_, Result<Vec<Event>, SessionError>> {
        self.session.past(until, most)
    }

    fn deployments(&self) -> BoxFuture<'static, Result<Option<Chapters>, SessionError>> {
        told::deployments(self.place.clone())
    }

    fn story(&self, id: DeploymentId) -> BoxFuture<'static, Result<Option<Story>, SessionError>> {
        told::story(self.place.clone(), id)
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        async move {
            loop {
                if self.ended {
                    return Update::Closed;
                }
                let update = tokio::select! {
                    biased;
                    update = self.session.next() => update,
                    () = sleep_until(self.look_at), if self.note.is_some() => match self.end() {
                        None => continue,
                        Some(snapshot) => {
                            self.ended = true;
                            return Update::Resync(Box::new(snapshot));
                        }
                    },
                };
                match &update {
                    Update::Gone => self.gone(),
                    Update::Event(_) | Update::Progress(_) | Update::Log(_) | Update::Resync(_) => self.note = None,
                    Update::Disconnected { .. } | Update::Closed => {}
                }
                return update;
            }
        }
        .boxed()
    }

    fn send(&self, command: Command, revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        self.session.send(command, revision)
    }
}
