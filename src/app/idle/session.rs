//! The fleet as a session: probed, read, never touched; closed as soon as an engine runs.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::fleet::{Fleet, Seen};
use crate::app::{Failure, Place, parts, told};
use crate::command::{Command, Receipt};
use crate::config::Config;
use crate::control::Client;
use crate::event::FORMAT;
use crate::journal::{Holder, Lease, Sqlite};
use crate::model::{DeploymentId, Rotation, Seq, Target};
use crate::ports::{Chapters, Journal as _, Progress, Session, SessionError, Snapshot, Story, Update};
use crate::runner::Parts;

/// Between two reads of rotation and versions.
const READ: Duration = Duration::from_secs(15);
/// The least time for each instance: a large fleet is looked at more seldom, not harder.
const EACH_PROBE: Duration = Duration::from_millis(5);
/// As above, of the driver, which may log in for it.
const EACH_LOOK: Duration = Duration::from_millis(50);
/// Looks at once.
const AT_ONCE: usize = 32;
/// Between two looks whether an engine runs.
const ENGINE: Duration = Duration::from_secs(1);
/// What was seen in this time is told together.
const TOGETHER: Duration = Duration::from_millis(250);

/// What the lookers tell.
enum News {
    Seen(Seen),
    /// The balancers cannot be read, in words, or can again.
    Balancer(Option<String>),
    /// An engine runs.
    Engine,
}

/// The fleet as a session.
pub(super) struct Watch {
    place: Place,
    fleet: Fleet,
    news: mpsc::Receiver<News>,
    /// Whose readings were not told yet.
    untold: BTreeSet<usize>,
    /// Somebody is another thing than was told.
    changed: bool,
    troubles: Vec<String>,
    tell: Interval,
    closed: bool,
    /// End with it.
    _lookers: JoinSet<()>,
}

impl Watch {
    /// Begins to look.
    pub(super) fn start(config: &Config, parts: Parts) -> Result<Self, Failure> {
        let fleet = Fleet::new(config, parts::now()).map_err(Failure::usage)?;
        let place = Place::of(config);
        let (tell, news) = mpsc::channel(1024);
        let looker = Arc::new(Looker {
            parts,
            targets: config.targets.clone(),
            every: config.policy().health.watch_interval.to_std(),
            tell,
        });
        let mut lookers = JoinSet::new();
        lookers.spawn(Arc::clone(&looker).probe());
        lookers.spawn(Arc::clone(&looker).observe());
        lookers.spawn(Arc::clone(&looker).read());
        lookers.spawn(looker.await_engine(place.clone()));
        let mut tell = interval(TOGETHER);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let untold = BTreeSet::new();
        Ok(Self { place, fleet, news, untold, changed: false, troubles: Vec::new(), tell, closed: false, _lookers: lookers })
    }

    fn take(&mut self, news: News) {
        match news {
            // The probe knows better.
            News::Seen(Seen::Observed(index, _)) if self.fleet.tells_version(index) => {}
            News::Seen(seen) => {
                let (index, changed) = self.fleet.take(seen, parts::now());
                self.untold.insert(index);
                self.changed |= changed;
            }
            News::Balancer(trouble) => {
                self.troubles = trouble.into_iter().collect();
                self.changed = true;
            }
            News::Engine => self.closed = true,
        }
    }

    /// All of it.
    fn whole(&self) -> Snapshot {
        let readings = (0..self.fleet.state.instances.len()).collect();
        Snapshot { format: FORMAT, seq: Seq(1), state: self.fleet.state.clone(), progress: self.progress(&readings) }
    }

    fn progress(&self, whose: &BTreeSet<usize>) -> Progress {
        let of = |index: &usize| {
            let (id, _) = self.fleet.state.instances.get_index(*index)?;
            Some((id.clone(), self.fleet.reading(*index)))
        };
        let readings: BTreeMap<_, _> = whose.iter().filter_map(of).collect();
        Progress { at: parts::now(), readings, vip: None, lb: None, troubles: self.troubles.clone() }
    }
}

impl Session for Watch {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        ready(Ok(self.whole())).boxed()
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
                if self.closed {
                    return Update::Closed;
                }
                let waits = self.changed || !self.untold.is_empty();
                tokio::select! {
                    Some(news) = self.news.recv() => self.take(news),
                    _ = self.tell.tick(), if waits => {
                        let untold = std::mem::take(&mut self.untold);
                        if std::mem::take(&mut self.changed) {
                            return Update::Resync(Box::new(self.whole()));
                        }
                        return Update::Progress(self.progress(&untold));
                    }
                }
            }
        }
        .boxed()
    }

    fn send(&self, _command: Command, _revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        ready(Err(SessionError::Link("nothing runs".to_owned()))).boxed()
    }
}

/// Looks, and tells what it sees. Touches nothing.
struct Looker {
    parts: Parts,
    targets: Vec<Target>,
    every: Duration,
    tell: mpsc::Sender<News>,
}

impl Looker {
    /// How long a round takes at least.
    fn round(&self, every: Duration, each: Duration) -> Duration {
        every.max(each.saturating_mul(u32::try_from(self.targets.len()).unwrap_or(u32::MAX)))
    }

    /// One round after another, each instance once, evenly over the time; the first one at once.
    async fn rounds(self: Arc<Self>, round: Duration, look: fn(Arc<Self>, usize, Target) -> BoxFuture<'static, Seen>) {
        let count = u32::try_from(self.targets.len()).unwrap_or(u32::MAX).max(1);
        let mut gap = Duration::ZERO;
        loop {
            let began = Instant::now();
            let all: Vec<(u32, (usize, Target))> = (0..).zip(self.targets.iter().cloned().enumerate()).collect();
            let (pause, looker) = (gap, &self);
            let looks = all.into_iter().map(move |(place, (index, target))| {
                let (at, this) = (began + pause.saturating_mul(place), Arc::clone(looker));
                async move {
                    sleep_until(at).await;
                    look(this, index, target).await
                }
            });
            let mut seen = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some(seen) = seen.next().await {
                if self.tell.send(News::Seen(seen)).await.is_err() {
                    return;
                }
            }
            sleep_until(began + round).await;
            gap = round / count;
        }
    }

    async fn probe(self: Arc<Self>) {
        let round = self.round(self.every, EACH_PROBE);
        let look = |this: Arc<Self>, index, target: Target| {
            async move { Seen::Probed(index, this.parts.prober.probe(&target, None).await) }.boxed()
        };
        self.rounds(round, look).await;
    }

    async fn observe(self: Arc<Self>) {
        let round = self.round(READ, EACH_LOOK);
        let look = |this: Arc<Self>, index, target: Target| {
            async move {
                // What cannot be seen is said by the probe, if it is sick.
                let observed = this.parts.fleet.observe(&target).await;
                Seen::Observed(index, observed.ok().and_then(|observation| observation.version))
            }
            .boxed()
        };
        self.rounds(round, look).await;
    }

    async fn read(self: Arc<Self>) {
        loop {
            let began = Instant::now();
            let trouble = match self.parts.traffic.read(&self.targets).await {
                Ok(rotations) => {
                    for (index, target) in self.targets.iter().enumerate() {
                        let rotation = rotations.get(&target.id).copied().unwrap_or(Rotation::Missing);
                        if self.tell.send(News::Seen(Seen::Rotation(index, rotation))).await.is_err() {
                            return;
                        }
                    }
                    None
                }
                Err(error) => Some(format!("rotation is as of earlier: {error}")),
            };
            if self.tell.send(News::Balancer(trouble)).await.is_err() {
                return;
            }
            sleep_until(began + READ).await;
        }
    }

    async fn await_engine(self: Arc<Self>, place: Place) {
        loop {
            sleep_until(Instant::now() + ENGINE).await;
            if runs(&place).await {
                drop(self.tell.send(News::Engine).await);
                return;
            }
        }
    }
}

/// Somebody's engine runs, has a deployment, and answers. One that has ended and waits for its readers does not count.
async fn runs(place: &Place) -> bool {
    if !Lease::look(&place.base, &place.service, &place.env).as_ref().is_some_and(Holder::lives) {
        return false;
    }
    let of = place.clone();
    let open = move || {
        let journal = Sqlite::view(&of.base, &of.service, &of.env).ok()??;
        journal.past().ok()?.rows.first().map(|row| row.ended_at.is_none())
    };
    if tokio::task::spawn_blocking(open).await.ok().flatten() != Some(true) {
        return false;
    }
    let Ok(socket) = place.socket() else { return false };
    matches!(Client::find(&socket).await, Ok(Some(_)))
}
