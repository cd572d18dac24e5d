//! One nginx: its file read, changed and loaded, each act read back.
//!
//! Imports: ports, model, os, its siblings. May not: know of other balancers.
//!
//! Orders that come while another one is carried out are carried out together, with one reload. What was given up half-way is
//! seen by the next reading: the file is younger than nginx's workers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::processes::Seen;
use super::site::{Said, Site, changing};
use super::upstream::{Standing, Upstream, Wish};
use crate::model::Rotation;
use crate::os::program::{self, Limits, Trouble};
use crate::os::text;
use crate::ports::TrafficError;
use crate::traffic::NginxSettings;

const LOOK: &str = include_str!("look.sh");
const SWAP: &str = include_str!("swap.sh");
/// Between two looks for the new workers.
const BETWEEN: Duration = Duration::from_millis(20);
/// From a changed file to the new workers, as long as nothing is wrong.
const SETTLING: Duration = Duration::from_secs(2);
/// How often an order is begun anew because somebody else changed the file meanwhile.
const TRIES: u32 = 5;
/// The longest file: it is an argument of a program, of which the kernel takes 128 KiB.
const FILE_MAX: usize = 60 * 1024;
/// As much of what nginx says as is shown.
const SHOWN_MAX: usize = 300;

/// One nginx.
pub(super) struct One {
    site: Box<dyn Site>,
    /// Where it is, in words, to follow its file.
    at: String,
    settings: NginxSettings,
    wishes: Mutex<Wishes>,
    /// Held by who changes the file.
    turn: tokio::sync::Mutex<()>,
}

/// What is wanted by orders that wait, each by a number of its own.
#[derive(Default)]
struct Wishes {
    next: u64,
    all: BTreeMap<u64, (String, Wish)>,
}

/// A wish, as long as somebody waits for it.
struct Waiting<'a> {
    wishes: &'a Mutex<Wishes>,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(self.wishes).all.remove(&self.number);
    }
}

/// What became of a new file.
enum Swapped {
    Yes,
    /// The file is not what was read.
    Changed,
}

impl One {
    pub(super) fn new(site: Box<dyn Site>, at: String, settings: NginxSettings) -> Self {
        Self { site, at, settings, wishes: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The file, for messages.
    fn file(&self) -> String {
        format!("{}{}", self.settings.upstream_file, self.at)
    }

    fn refused(&self, why: &str) -> TrafficError {
        TrafficError::Refused(format!("{}: {why}", self.file()))
    }

    async fn script(&self, script: &str, arguments: &[&str], limits: Limits) -> Result<Said, TrafficError> {
        let fixed = ["sh", "-c", script, "rollout"];
        let argv: Vec<String> = fixed.iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        self.run(&argv, limits).await.map_err(|trouble| match trouble {
            Trouble::Failed(why) => self.refused(&why),
            Trouble::Unknown(why) | Trouble::Unreachable(why) => TrafficError::Unreachable(format!("{}: {why}", self.file())),
        })
    }

    async fn run(&self, argv: &[String], limits: Limits) -> Result<Said, Trouble> {
        self.site.run(argv, limits).await
    }

    fn timeout(&self) -> Duration {
        self.settings.timeout.to_std()
    }

    /// What is true now, with the connections to these addresses.
    pub(super) async fn look(&self, addresses: &[String]) -> Result<Seen, TrafficError> {
        let mut arguments = vec![self.settings.upstream_file.as_str(), self.settings.pid_file.as_str()];
        arguments.extend(addresses.iter().map(String::as_str));
        let said = self.script(LOOK, &arguments, Limits::within(self.timeout())).await?;
        if !said.whole {
            return Err(self.refused("is longer than 60 KiB, which is the most that can be changed"));
        }
        Seen::read(&said.text).map_err(|why| self.refused(&why))
    }

    /// As [`Self::look`], where nginx runs and its file can be read.
    async fn looked(&self, addresses: &[String]) -> Result<(Seen, Upstream), TrafficError> {
        let seen = self.look(addresses).await?;
        let upstream = self.upstream(&seen)?;
        if seen.master.is_none() {
            let pid_file = &self.settings.pid_file;
            return Err(TrafficError::Unreachable(format!(
                "nginx does not run{}: no master process by {pid_file}; see [traffic] pid_file",
                self.at
            )));
        }
        Ok((seen, upstream))
    }

    fn upstream(&self, seen: &Seen) -> Result<Upstream, TrafficError> {
        let file = seen.file().map_err(|why| self.refused(&format!("{why}; see [traffic] upstream_file")))?;
        Upstream::read(file, &self.settings.upstream).map_err(|why| TrafficError::Refused(format!("{} {why}", self.file())))
    }

    /// How each of these servers stands. A file that nginx has not loaded is given a moment: an order, ours or another
    /// operator's, is being carried out, and whoever was out before is out all the same.
    pub(super) async fn rotations(&self, servers: &[String]) -> Result<Vec<Rotation>, TrafficError> {
        drop(self.turn.lock().await);
        let until = Instant::now() + self.timeout().min(SETTLING);
        let (loaded, upstream) = loop {
            let (seen, upstream) = self.looked(&[]).await?;
            if seen.loaded() || Instant::now() >= until {
                break (seen.loaded(), upstream);
            }
            sleep(BETWEEN).await;
        };
        let of = |server: &String| upstream.standing(server).map_or(Rotation::Missing, |standing| standing.rotation(loaded));
        Ok(servers.iter().map(of).collect())
    }

    /// What a server is at work on.
    pub(super) async fn sessions(&self, addresses: &[String]) -> Result<Option<u32>, TrafficError> {
        Ok(self.looked(addresses).await?.0.sessions(addresses))
    }

    /// Carries an order out, and reads it back. The connections left at these addresses.
    pub(super) async fn order(&self, server: &str, wish: Wish, addresses: &[String]) -> Result<Option<u32>, TrafficError> {
        let _waiting = self.wish(server, wish);
        let _turn = self.turn.lock().await;
        // What was begun by an order that was given up is ended first.
        program::stopped(Some(super::site::ABOUT)).await;
        for _ in 0..TRIES {
            let (before, upstream) = self.looked(addresses).await?;
            self.possible(server, wish, &upstream, before.sessions(addresses))?;
            let Some((seen, upstream)) = self.carried_out(before, upstream, (server, wish), addresses).await? else { continue };
            let standing = upstream.standing(server);
            let done = match wish {
                Wish::Out => standing == Some(Standing::Out),
                Wish::In | Wish::Add => matches!(standing, Some(Standing::In | Standing::Back)),
                Wish::Remove => standing.is_none(),
            };
            return if done {
                Ok(seen.sessions(addresses))
            } else {
                Err(TrafficError::NotConfirmed(format!(
                    "{}: the order about {server} was undone at once by somebody else",
                    self.file()
                )))
            };
        }
        Err(TrafficError::NotConfirmed(format!("{} is changed by somebody else all the time", self.file())))
    }

    /// Gives servers so much of their own weight, in percent, and all others theirs. One look where that is so already.
    pub(super) async fn weigh(&self, percents: &BTreeMap<String, u16>) -> Result<(), TrafficError> {
        let _turn = self.turn.lock().await;
        program::stopped(Some(super::site::ABOUT)).await;
        for _ in 0..TRIES {
            let (before, upstream) = self.looked(&[]).await?;
            let new = upstream.weighed(percents).map_err(|why| self.refused(&why))?;
            let old = before.file().unwrap_or_default();
            if new == old && before.loaded() {
                return Ok(());
            }
            if new != old
                && let Swapped::Changed = self.swap(old, &new).await?
            {
                continue;
            }
            self.reload().await?;
            let seen = self.reloaded(&before, &[]).await?;
            return if self.upstream(&seen)?.weighed(percents).is_ok_and(|wanted| seen.file() == Ok(wanted.as_str())) {
                Ok(())
            } else {
                Err(TrafficError::NotConfirmed(format!("{}: the weights were changed at once by somebody else", self.file())))
            };
        }
        Err(TrafficError::NotConfirmed(format!("{} is changed by somebody else all the time", self.file())))
    }

    /// Why weights are no shares of the requests, if they are none.
    pub(super) async fn no_shares(&self) -> Option<String> {
        // What cannot be read is for the other check to tell.
        let (_, upstream) = self.looked(&[]).await.ok()?;
        Some(format!("{}: {}", self.file(), upstream.no_shares()?))
    }

    fn wish(&self, server: &str, wish: Wish) -> Waiting<'_> {
        let mut wishes = lock(&self.wishes);
        let number = wishes.next;
        wishes.next += 1;
        wishes.all.insert(number, (server.to_owned(), wish));
        Waiting { wishes: &self.wishes, number }
    }

    /// An order that must not or cannot be carried out says why.
    fn possible(&self, server: &str, wish: Wish, upstream: &Upstream, left: Option<u32>) -> Result<(), TrafficError> {
        let name = &self.settings.upstream;
        match (wish, upstream.standing(server)) {
            (Wish::Out | Wish::In, None) => {
                Err(self.refused(&format!("upstream {name} has no server {server}; see [traffic] server")))
            }
            (_, Some(Standing::Foreign)) => Err(self.refused(&format!(
                "server {server} is down, which we did not order; whoever did must end it (remove the word `down`, then reload nginx)"
            ))),
            (Wish::Remove, Some(_)) if !upstream.was_added(server) => {
                Err(self.refused(&format!("server {server} was not added by us, so it is not ours to remove")))
            }
            (Wish::Remove, Some(_)) if left != Some(0) => Err(TrafficError::NotConfirmed(match left {
                Some(left) => format!("{server} still has {}, so it is not removed yet", text::counted(left, "connection")),
                None => format!("nobody can tell whether {server} still has connections, so it is not removed"),
            })),
            _ => Ok(()),
        }
    }

    /// Writes and loads all that is wished for; `None` if somebody else changed the file meanwhile.
    async fn carried_out(
        &self,
        before: Seen,
        upstream: Upstream,
        own: (&str, Wish),
        addresses: &[String],
    ) -> Result<Option<(Seen, Upstream)>, TrafficError> {
        let old = before.file().unwrap_or_default();
        let mut wishes: Vec<(String, Wish)> = lock(&self.wishes).all.values().cloned().collect();
        // Whether another one may be removed yet is for its own order to find out.
        wishes.retain(|(server, wish)| *wish != Wish::Remove || (server.as_str(), *wish) == own);
        let loaded = before.loaded();
        let new = upstream.with(&wishes, loaded);
        let differs = upstream.with(&[], loaded) != new;
        if !differs && loaded {
            return Ok(Some((before, upstream)));
        }
        if differs {
            match self.swap(old, &new).await? {
                Swapped::Yes => {}
                Swapped::Changed => return Ok(None),
            }
        } else if let Err(why) = self.run(&self.settings.test, Limits::within(self.timeout())).await {
            return Err(self.refused(&format!("`{}`: {why}", self.settings.test.join(" "))));
        }
        self.reload().await?;
        let seen = self.reloaded(&before, addresses).await?;
        let upstream = self.upstream(&seen)?;
        Ok(Some((seen, upstream)))
    }

    async fn swap(&self, old: &str, new: &str) -> Result<Swapped, TrafficError> {
        if new.len() > FILE_MAX {
            return Err(self.refused("would be longer than 60 KiB, which is the most that can be changed"));
        }
        let patience = self.timeout().as_secs().max(1).to_string();
        let mut arguments = vec![self.settings.upstream_file.as_str(), old, new, &patience];
        arguments.extend(self.settings.test.iter().map(String::as_str));
        // Waiting for the lock, then the test.
        let said = self.script(SWAP, &arguments, changing(self.timeout() * 2)).await?.text;
        let (verdict, why) = said.split_once('\n').unwrap_or((&said, ""));
        match verdict {
            "swapped" => Ok(Swapped::Yes),
            "changed" => Ok(Swapped::Changed),
            "locked" => Err(TrafficError::NotConfirmed(format!(
                "{}.lock is held by somebody else for {}",
                self.file(),
                self.settings.timeout
            ))),
            "refused" => {
                let (test, why) = (self.settings.test.join(" "), text::sanitise_within(why.trim(), SHOWN_MAX));
                Err(self.refused(&format!("`{test}` refused the change, so nothing was changed: {why}")))
            }
            other => Err(self.refused(&format!("unexpected: {:?}", text::sanitise_within(other, SHOWN_MAX)))),
        }
    }

    async fn reload(&self) -> Result<(), TrafficError> {
        let words = |why: &str| format!("`{}`{}: {why}", self.settings.reload.join(" "), self.at);
        self.run(&self.settings.reload, changing(self.timeout())).await.map(drop).map_err(|trouble| match trouble {
            Trouble::Failed(why) => TrafficError::Refused(words(&why)),
            Trouble::Unknown(why) | Trouble::Unreachable(why) => TrafficError::Unreachable(words(&why)),
        })
    }

    /// Waits until nginx's workers are new ones.
    async fn reloaded(&self, before: &Seen, addresses: &[String]) -> Result<Seen, TrafficError> {
        let until = Instant::now() + self.timeout();
        loop {
            let seen = self.look(addresses).await?;
            if seen.reloaded_since(before) {
                return Ok(seen);
            }
            if seen.master != before.master {
                let now = if seen.master.is_some() { "is another one" } else { "is gone" };
                return Err(TrafficError::Unreachable(format!(
                    "nginx was told to reload{}, and its master process {now}",
                    self.at
                )));
            }
            if Instant::now() >= until {
                return Err(TrafficError::NotConfirmed(format!(
                    "nginx was told to reload{}, but its workers are those of before after {}: it refused its configuration; \
                     its error log says why",
                    self.at, self.settings.timeout
                )));
            }
            sleep(BETWEEN).await;
        }
    }

    /// What would keep orders from being carried out.
    pub(super) async fn complaints(&self) -> Vec<String> {
        // Any address will do to see whether connections can be seen.
        let (seen, _) = match self.looked(&["-".to_owned()]).await {
            Ok(looked) => looked,
            Err(why) => return vec![why.to_string()],
        };
        let mut complaints = Vec::new();
        if !seen.loaded() {
            complaints.push(format!("{} was changed after nginx loaded it; reload nginx, or undo the change", self.file()));
        }
        if seen.hidden {
            complaints.push(format!(
                "nginx's connections{} are not for this user to see, so every drain lasts its whole time; run as root or as nginx's user",
                self.at
            ));
        }
        let argv = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
        let dir = self.settings.upstream_file.rsplit_once('/').map_or(".", |(dir, _)| if dir.is_empty() { "/" } else { dir });
        let limits = || Limits::within(self.timeout());
        if self.run(&argv(&["test", "-w", dir]), limits()).await.is_err() {
            complaints.push(format!("{dir}{} may not be written by this user, so {} cannot be replaced", self.at, self.file()));
        }
        if let Err(why) = self.run(&self.settings.test, limits()).await {
            let why = text::sanitise_within(&why.to_string(), SHOWN_MAX);
            complaints.push(format!("`{}`{} refuses nginx's configuration: {why}", self.settings.test.join(" "), self.at));
        }
        complaints
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
