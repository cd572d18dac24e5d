//! Units of systemd: restarted, and what became of that, told by properties and not by what is printed for people.
//!
//! Imports: model, os; its parent's settings. May not: install a version.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::UnitSettings;
use crate::model::{Target, Version};
use crate::os::program::{About, Limits, Place, Trouble};
use crate::os::template::{self, Context};
use crate::ports::{StopOrder, UpdateOrder};

const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts,MainPID,InvocationID,\
                          ExecMainStartTimestampMonotonic";
/// Between two looks at a unit that starts.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// For what only looks.
const LOOK: Duration = Duration::from_secs(10);
/// How much later than its release a process may seem to have begun: clocks are read one after the other.
const CLOCKS: f64 = 0.25;
/// `$1` is a path, the rest shows the unit: its properties, the time, how long the host is up, when the link was set.
const SHOW: &str = r#"link=$1
shift
"$@" || exit 1
echo "now=$(date +%s.%N)"
read -r up rest </proc/uptime && echo "up=$up"
[ -z "$link" ] || echo "link=$(stat -c %.9Z "$link" 2>/dev/null)""#;

/// The units of a driver.
pub(super) struct Units {
    pub(super) settings: UnitSettings,
    pub(super) service: String,
}

/// What systemd says of a unit.
pub(super) struct Shown(HashMap<String, String>);

/// What that means.
pub(super) enum State {
    Runs,
    /// On its way up, or down.
    Between,
    /// With how it ended.
    Ended(String),
}

impl Shown {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn state(&self) -> State {
        let ended = || {
            let mut words = format!("Result={}", self.get("Result"));
            // Of a unit whose main process was never there, it says 0.
            if !matches!(self.get("ExecMainStatus"), "" | "0") {
                words = format!("{words}, status {}", self.get("ExecMainStatus"));
            }
            if !matches!(self.get("NRestarts"), "" | "0") {
                words = format!("{words}, restarted {} times by systemd", self.get("NRestarts"));
            }
            State::Ended(words)
        };
        match (self.get("LoadState"), self.get("ActiveState"), self.get("SubState")) {
            ("not-found", "inactive" | "failed", _) => State::Ended("there is no such unit".to_owned()),
            (_, "active" | "reloading", _) => State::Runs,
            (_, "activating", "auto-restart") | (_, "failed" | "inactive", _) => ended(),
            _ => State::Between,
        }
    }

    /// Its process began after the link was set; none if that cannot be told.
    pub(super) fn began_after_link(&self) -> Option<bool> {
        let number = |name: &str| self.get(name).parse::<f64>().ok();
        let began = number("ExecMainStartTimestampMonotonic")? / 1e6;
        let began = number("now")? - number("up")? + began;
        Some(began + CLOCKS >= number("link")?)
    }
}

impl Units {
    /// Its name for this instance and version.
    pub(super) fn unit(&self, target: &Target, version: Option<&Version>) -> Result<String, String> {
        let context = Context { service: &self.service, target, version, previous: None };
        let unit = template::render(&self.settings.unit, context).map_err(|why| format!("[update.systemd] unit: {why}"))?;
        if unit.is_empty() || unit.starts_with('-') {
            return Err(format!("[update.systemd] unit: {unit:?} is no unit"));
        }
        Ok(unit)
    }

    fn argv(&self, sudo: bool, program: &str, words: &[&str]) -> Vec<String> {
        let sudo: &[&str] = if sudo && self.settings.sudo { &["sudo", "-n"] } else { &[] };
        let scope: &[&str] = if self.settings.user { &["--user"] } else { &[] };
        [sudo, &[program], scope, words].concat().into_iter().map(str::to_owned).collect()
    }

    /// Reads it; with when `link` was set, if that is not empty.
    pub(super) async fn show(&self, place: &Place, target: &Target, (unit, link): (&str, &str)) -> Result<Shown, String> {
        let show = self.argv(false, "systemctl", &["show", "-p", PROPERTIES, "--", unit]);
        let argv: Vec<String> = ["sh", "-c", SHOW, "rollout", link].map(str::to_owned).into_iter().chain(show).collect();
        let finished = place.judge(self.run(place, target, &argv, Limits::within(LOOK)).await);
        let finished = finished.map_err(|why| format!("systemctl show {unit}: {why}"))?;
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let shown: HashMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        if !shown.contains_key("ActiveState") {
            return Err(format!("systemctl show {unit}: no ActiveState in its answer; is this a host with systemd?"));
        }
        Ok(Shown(shown))
    }

    async fn run(
        &self,
        place: &Place,
        target: &Target,
        argv: &[String],
        limits: Limits,
    ) -> Result<crate::os::child::Finished, String> {
        // Without a login of its own, systemctl does not find the user's bus.
        let uid = rustix::process::geteuid().as_raw();
        let bus = [("XDG_RUNTIME_DIR".to_owned(), format!("/run/user/{uid}"))];
        let here = matches!(place, Place::Here) && self.settings.user && std::env::var_os("XDG_RUNTIME_DIR").is_none();
        let env: &[(String, String)] = if here { &bus } else { &[] };
        place.run(About { service: &self.service, target, argv, env }, limits, None).await
    }

    /// What keeps it from being started: it is not there, or this user may not restart it.
    pub(super) async fn check(&self, place: &Place, target: &Target, version: &Version) -> Option<String> {
        let unit = match self.unit(target, Some(version)) {
            Ok(unit) => unit,
            Err(why) => return Some(why),
        };
        match self.show(place, target, (&unit, "")).await {
            Ok(shown) if shown.get("LoadState") == "not-found" => {
                return Some(format!("[update.systemd] unit: {unit} is not on the host; install its file there"));
            }
            Ok(shown) if !matches!(shown.get("LoadState"), "loaded" | "") => {
                let state = crate::os::text::sanitise_within(shown.get("LoadState"), 40);
                return Some(format!("[update.systemd] unit: {unit} is {state}; look at `systemctl status {unit}`"));
            }
            Ok(_) => {}
            Err(why) => return Some(why),
        }
        if !self.settings.sudo {
            return None;
        }
        let allowed = words(&["sudo", "-n", "-l", "systemctl", "restart", &unit]);
        let asked = place.judge(self.run(place, target, &allowed, Limits::within(LOOK)).await);
        let remedy = format!("NOPASSWD: /usr/bin/systemctl restart {unit}");
        asked.err().map(|why| format!("[update.systemd] sudo: {why}; allow it in /etc/sudoers.d on the host: {remedy}"))
    }

    /// Restarts it, and waits until it runs by a start that is not the last one.
    pub(super) async fn restart(&self, place: &Place, order: &UpdateOrder, limits: Limits) -> Result<(), Trouble> {
        let target = &order.target;
        let unit = self.unit(target, Some(&order.version)).map_err(Trouble::Failed)?;
        let before = self.show(place, target, (&unit, "")).await.map_err(Trouble::Unreachable)?;
        let restart = self.argv(true, "systemctl", &["restart", &unit]);
        if let Err(trouble) = place.judge(self.run(place, target, &restart, limits).await) {
            return Err(match trouble {
                Trouble::Failed(why) => Trouble::Failed(self.evidence(place, target, &unit, &why).await),
                Trouble::Unknown(why) => Trouble::Unknown(self.evidence(place, target, &unit, &why).await),
                unreachable @ Trouble::Unreachable(_) => unreachable,
            });
        }
        loop {
            let late = Instant::now() + LOOK_EVERY >= limits.deadline;
            let now = match self.show(place, target, (&unit, "")).await {
                Ok(now) => now,
                // It has been restarted; only what came of it is not known yet.
                Err(why) if late => return Err(Trouble::Unknown(why)),
                Err(_) => {
                    sleep(LOOK_EVERY).await;
                    continue;
                }
            };
            let why = match now.state() {
                State::Runs if now.get("InvocationID") == before.get("InvocationID") => {
                    "systemd says that it runs, but it was not started anew".to_owned()
                }
                State::Runs => return Ok(()),
                State::Ended(how) => return Err(Trouble::Failed(self.evidence(place, target, &unit, &how).await)),
                State::Between => format!("it is still {} ({})", now.get("ActiveState"), now.get("SubState")),
            };
            if late {
                return Err(Trouble::Failed(self.evidence(place, target, &unit, &why).await));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Stops it; systemd does not start it again by itself.
    pub(super) async fn stop(&self, place: &Place, order: &StopOrder, limits: Limits) -> Result<(), Trouble> {
        let target = &order.target;
        let unit = self.unit(target, Some(&order.version)).map_err(Trouble::Failed)?;
        let stop = self.argv(true, "systemctl", &["stop", &unit]);
        place.judge(self.run(place, target, &stop, limits).await)?;
        match self.show(place, target, (&unit, "")).await.map_err(Trouble::Unknown)?.state() {
            State::Ended(_) => Ok(()),
            State::Runs | State::Between => Err(Trouble::Failed(format!("{unit} is not stopped, although systemctl says so"))),
        }
    }

    /// Why, with what systemd and its journal say last.
    async fn evidence(&self, place: &Place, target: &Target, unit: &str, why: &str) -> String {
        let how = match self.show(place, target, (unit, "")).await.map(|shown| shown.state()) {
            Ok(State::Ended(how)) if how != why => format!("; {how}"),
            _ => String::new(),
        };
        let lines = self.settings.journal_lines.to_string();
        let words = ["-u", unit, "-n", &lines, "-o", "cat", "--no-pager", "-q"];
        // As the one who may restart it: a journal of others is seldom for everybody.
        let journal = self.argv(false, "journalctl", &words);
        let said = match self.run(place, target, &journal, Limits::within(LOOK)).await {
            Ok(finished) => String::from_utf8_lossy(&finished.stdout).into_owned(),
            Err(_) => String::new(),
        };
        let said: Vec<String> = said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| crate::os::text::sanitise_within(line, 120))
            .collect();
        let journal = if said.is_empty() { String::new() } else { format!("; its journal: {}", said.join(" | ")) };
        crate::os::text::sanitise_within(&format!("{unit}: {why}{how}{journal}"), 1000)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
