//! `replay`: a past deployment in the console, from its journal. Needs no engine, takes no lease, writes nothing.

use std::future::{pending, ready};

use futures::future::BoxFuture;

use super::deploy::is_interactive;
use super::past::{found_or_damaged, past};
use super::verbs::{Scene, console_settings};
use super::{Common, Done, Failure, Place, load, told};
use crate::command::{Command, Receipt};
use crate::event::FORMAT;
use crate::model::{DeploymentId, Seq};
use crate::ports::{Chapters, Progress, Session, SessionError, Snapshot, Story, Update};
use crate::state::State;
use crate::tui;

/// What is recorded, as a session: it stands as it is, and nothing follows.
struct Recorded {
    place: Place,
    state: State,
}

/// `rollout replay`.
pub(super) async fn replay(common: &Common, id: &str) -> Done {
    let (_, config) = load(common)?;
    let id = found_or_damaged(&past(&config)?, id)?;
    if !is_interactive(common) {
        let why = format!("a replay needs a terminal; without one, what happened is told a line each by: rollout events {id}");
        return Err(Failure::usage(why));
    }
    let place = Place::of(&config);
    let story = told::story(place.clone(), id.clone()).await.map_err(Failure::refused)?;
    let story = story.ok_or_else(|| Failure::refused("there is no journal yet"))?;
    let cannot = || story.damage.clone().unwrap_or_else(|| format!("nothing of {id} is recorded"));
    let first = story.events.first().ok_or_else(|| Failure::refused(cannot()))?;
    let mut state = State::begin(first).map_err(Failure::refused)?;
    for event in story.events.iter().skip(1) {
        // Up to what does not follow: the replay says so where it comes there.
        if state.apply(event).is_err() {
            break;
        }
    }
    let settings = tui::Settings { replay: Some(story), ..console_settings(common, &config, Scene::default()) };
    tui::run(Box::new(Recorded { place, state }), settings).await.map_err(Failure::person)?;
    Ok(0)
}

impl Session for Recorded {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        let state = self.state.clone();
        Box::pin(ready(Ok(Snapshot { format: FORMAT, seq: state.seq, state, progress: Progress::default() })))
    }

    fn deployments(&self) -> BoxFuture<'static, Result<Option<Chapters>, SessionError>> {
        told::deployments(self.place.clone())
    }

    fn story(&self, id: DeploymentId) -> BoxFuture<'static, Result<Option<Story>, SessionError>> {
        told::story(self.place.clone(), id)
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        Box::pin(pending())
    }

    fn send(&self, _command: Command, _revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let why = format!("this is a replay of {}", self.state.plan.deployment);
        Box::pin(ready(Err(SessionError::Link(why))))
    }
}
