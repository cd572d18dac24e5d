//! `rollout` where nothing runs: the fleet live in the console, and the way from there to a deployment. Takes no lease and
//! writes no journal.

mod fleet;
mod session;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::session::Watch;
use super::deploy::{Boot, is_read_only, start, watched};
use super::gather::{self, Aim};
use super::past::{last_row, last_status, view};
use super::signals::Signals;
use super::verbs::{Left, Scene, console_settings, front_door, reached};
use super::{CANCELLED, Common, Done, Failure, Place, REFUSED, USAGE, load, parts, say};
use crate::config::Config;
use crate::control::{Client, own_login};
use crate::journal::Memory;
use crate::model::Version;
use crate::ports::Journal;
use crate::tui;

/// How long an engine that has been seen may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two tries.
const LOOK: Duration = Duration::from_millis(50);

/// The console on the fleet, until it is left. What runs meanwhile is shown in its place.
pub(super) async fn idle(common: &Common, (path, config): (&Path, &Config)) -> Done {
    let mut notice = None;
    // The file as it was read for what is on the screen: every step that follows is about that service.
    let mut fresh: Option<Config>;
    loop {
        let (exit, looked) = Box::pin(look(common, notice.take())).await?;
        fresh = Some(looked);
        let config = fresh.as_ref().unwrap_or(config);
        let left = match exit {
            tui::Exit::Deploy(version) => match deploy(common, (path, config), &version).await {
                Ok(Deployed::Left(left)) => left,
                Ok(Deployed::Nothing(why)) => {
                    notice = Some(why);
                    continue;
                }
                // Nothing was touched: the reason is read where the fleet is seen.
                Err(failure) if matches!(failure.code, USAGE | REFUSED) => {
                    notice = Some(failure.message);
                    settled(common, config)?;
                    continue;
                }
                Err(failure) => return Err(failure),
            },
            tui::Exit::Next => match found(config).await? {
                Some(client) => {
                    let client = if is_read_only(common, config) { client.watching() } else { client };
                    front_door(common, config, Box::new(client), Scene::default()).await?
                }
                None => Left { code: 0, next: false, running: false },
            },
            tui::Exit::Left | tui::Exit::HungUp | tui::Exit::Ended { .. } => return Ok(0),
        };
        if left.running {
            return Ok(left.code);
        }
        if !settled(common, config)? {
            return Ok(left.code);
        }
    }
}

/// Whether the last deployment has ended. If it was interrupted, what to do about it is said.
fn settled(common: &Common, config: &Config) -> Result<bool, Failure> {
    let settled = last_row(config)?.is_none_or(|row| row.ended_at.is_some());
    if !settled {
        last_status(common, config)?;
    }
    Ok(settled)
}

/// The engine that was seen.
async fn found(config: &Config) -> Result<Option<Client>, Failure> {
    let deadline = Instant::now() + ANSWER;
    loop {
        let client = reached(&Place::of(config)).await?;
        if client.is_some() || Instant::now() > deadline {
            return Ok(client);
        }
        sleep(LOOK).await;
    }
}

/// What came of a deployment that was asked for.
enum Deployed {
    /// Its console was left.
    Left(Left),
    /// There is nothing to do.
    Nothing(String),
}

/// The ordinary way of `rollout deploy VERSION`: planned, shown, confirmed.
async fn deploy(common: &Common, (path, config): (&Path, &Config), version: &Version) -> Result<Deployed, Failure> {
    say(&format!("planning {version} for {} ({})", config.service.name, config.service.env));
    let engine: Vec<OsString> =
        vec!["--version".into(), version.as_str().into(), "--started-by".into(), own_login().await.into()];
    let planned = "nothing is touched; what was being planned ends by itself";
    match unless_stopped(start(path, common, config, &engine), planned).await? {
        Boot::AlreadyThere(summary) => {
            let (total, version) = (summary.total, &summary.version);
            Ok(Deployed::Nothing(format!("nothing to do: all {total} instances run {version} and serve")))
        }
        Boot::Started(started) => watched(common, config, *started, false).await.map(Deployed::Left),
    }
}

/// What is done between two consoles: nobody else listens to signals there.
async fn unless_stopped<T>(work: impl Future<Output = Result<T, Failure>>, left: &str) -> Result<T, Failure> {
    let mut signals = Signals::of_a_command().map_err(|e| Failure::person(format!("cannot listen to signals: {e}")))?;
    tokio::select! {
        done = work => done,
        signal = signals.next() => Err(Failure { code: CANCELLED, message: format!("left by {}; {left}", signal.name()) }),
    }
}

/// The console on the fleet as it is, until it is left or something begins.
async fn look(common: &Common, notice: Option<String>) -> Result<(tui::Exit, Config), Failure> {
    // As the file is now, with the fleet as it is found now.
    let (_, mut config) = load(common)?;
    let parts = parts::parts(&config, Arc::new(Memory::new(&config.service.name)))?;
    let journal = view(&config)?;
    let stored = journal.as_ref().map(|journal| -> &dyn Journal { journal });
    unless_stopped(gather::fleet(&mut config, parts.traffic.as_ref(), (stored, Aim::Look)), "nothing is touched").await?;
    drop(journal);
    let last = last_row(&config)?.and_then(|row| {
        let ended_at = row.ended_at?;
        Some(tui::Last { id: row.id, version: row.version, status: row.status, ended_at, started_by: row.started_by })
    });
    let idle = tui::Idle { last, notice, typing: None };
    let settings = tui::Settings { idle: Some(idle), ..console_settings(common, &config, Scene::default()) };
    let session = Watch::start(&config, parts)?;
    let exit = tui::run(Box::new(session), settings).await.map_err(Failure::person)?;
    Ok((exit, config))
}
