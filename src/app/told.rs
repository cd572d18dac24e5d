//! The service's past for whoever watches: read from the journal on a thread of its own, so that no screen waits for a disk.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::Place;
use crate::journal::{Holder, Lease, Sqlite};
use crate::model::DeploymentId;
use crate::ports::{Chapter, Chapters, Journal as _, JournalError, Outcome, Past, SessionError, Story};
use crate::state::Status;

/// How long outcomes are read for one listing; of the older ones only the row is shown.
const READ: Duration = Duration::from_secs(2);

/// The deployments of the service, newest first.
pub(super) fn deployments(place: Place) -> BoxFuture<'static, Result<Option<Chapters>, SessionError>> {
    reading(move || chapters(&place))
}

/// One of them, up to its end or to what is damaged.
pub(super) fn story(place: Place, id: DeploymentId) -> BoxFuture<'static, Result<Option<Story>, SessionError>> {
    reading(move || {
        let Some(journal) = view(&place)? else { return Ok(None) };
        let (events, damage) = journal.read_sound(&id)?;
        Ok(Some(Story { events, damage: damage.map(|damage| damage.to_string()) }))
    })
}

fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> BoxFuture<'static, Result<T, SessionError>> {
    async move {
        match tokio::task::spawn_blocking(read).await {
            Ok(told) => told.map_err(|error| SessionError::Link(error.to_string())),
            Err(error) => Err(SessionError::Link(error.to_string())),
        }
    }
    .boxed()
}

fn view(place: &Place) -> Result<Option<Sqlite>, JournalError> {
    Sqlite::view(&place.base, &place.service, &place.env)
}

fn chapters(place: &Place) -> Result<Option<Chapters>, JournalError> {
    let Some(journal) = view(place)? else { return Ok(Some(Chapters::default())) };
    let Past { rows, damaged } = journal.past()?;
    let mut told = Chapters::default();
    for damage in &damaged {
        match damage.damaged() {
            Some(id) => told.all.push(Chapter::damaged(id.clone(), damage)),
            None => told.complaints.push(damage.to_string()),
        }
    }
    let lives = Lease::look(&place.base, &place.service, &place.env).as_ref().is_some_and(Holder::lives);
    let (began, newest) = (Instant::now(), rows.first().map(|row| row.id.clone()));
    for row in rows {
        let mut chapter = Chapter::of(row);
        if chapter.ended_at.is_none() && !(lives && Some(&chapter.id) == newest.as_ref()) {
            Status::Interrupted.word().clone_into(&mut chapter.status);
        }
        if began.elapsed() < READ {
            // What cannot be read at all is said where it is asked for alone.
            if let Ok((events, damage)) = journal.read_sound(&chapter.id) {
                chapter.outcome = Outcome::of(&events).map(Box::new);
                chapter.damage = damage.map(|damage| damage.to_string());
            }
        }
        told.all.push(chapter);
    }
    told.all.sort_by_key(|chapter| std::cmp::Reverse(chapter.id.number()));
    Ok(Some(told))
}
