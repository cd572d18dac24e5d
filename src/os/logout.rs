//! What becomes of this process when its user logs out, by systemd-logind's word; and programs under a manager that stays.
//!
//! Imports: its sibling users. May not: decide; start what outlives the question.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::users;

/// Where logind keeps who lingers: an empty file for each.
const LINGER: &str = "/var/lib/systemd/linger";
/// How long systemd may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What holds a process that a logout may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A session: what is left of it is killed at its end, or not, as logind is told.
    Session,
    /// The user's own manager: it ends after the last session, with all that it holds, unless the user lingers.
    Manager,
}

/// The login that a process belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// What holds the process.
    pub place: Place,
    /// What is left of the user's sessions is killed.
    pub kills: bool,
    /// The user's manager stays when nobody is logged in.
    pub lingers: bool,
}

/// A manager of systemd that can hold a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The machine's.
    System,
    /// Our own user's.
    User,
}

/// The login that this process belongs to. `None` without logind, and for what was not started from a login.
pub async fn look() -> Option<Login> {
    let (place, uid) = held_by(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let login = users::login(uid)?;
    let properties = ["KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers"].map(|name| format!("--property={name}"));
    // Without a user's name these are logind's own.
    let mut ask = Command::new("loginctl");
    ask.arg("show-user").args(properties).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let said = timeout(ANSWER, ask.output()).await.ok()?.ok().filter(|said| said.status.success())?;
    Some(Login { place, kills: kills(&String::from_utf8_lossy(&said.stdout), &login), lingers: lingers(uid) })
}

/// Whether a user's manager stays when nobody is logged in.
pub fn lingers(uid: u32) -> bool {
    users::login(uid).is_some_and(|login| Path::new(LINGER).join(login).exists())
}

/// What holds a process, and of which user, by `/proc/PID/cgroup`.
fn held_by(cgroups: &str) -> Option<(Place, u32)> {
    cgroups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let parts: Vec<&str> = path.split('/').collect();
        let user = |part: &&str| part.strip_prefix("user-").and_then(|rest| rest.strip_suffix(".slice")).is_some();
        let slice = parts.iter().position(user)?;
        let uid = parts.get(slice)?.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()?;
        let unit = parts.get(slice + 1)?;
        if unit.strip_prefix("session-").and_then(|rest| rest.strip_suffix(".scope")).is_some() {
            return Some((Place::Session, uid));
        }
        (*unit == format!("user@{uid}.service")).then_some((Place::Manager, uid))
    })
}

/// Whether logind kills what is left of a user's sessions: as it decides that itself.
fn kills(properties: &str, login: &str) -> bool {
    let value = |name: &str| properties.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    let has = |list: &str| list.split_whitespace().any(|name| name == login);
    let (only, exclude) = (value("KillOnlyUsers"), value("KillExcludeUsers"));
    if has(exclude) || exclude.is_empty() && login == "root" {
        return false;
    }
    if only.is_empty() { value("KillUserProcesses") == "yes" } else { has(only) }
}

impl Manager {
    /// A command that runs `program` in this process's place, held by the manager.
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new("systemd-run");
        if self == Self::User {
            let uid = rustix::process::geteuid().as_raw();
            command.arg("--user").env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"));
        }
        command.args(["--scope", "--quiet", "--collect", "--"]).arg(program);
        command
    }

    /// Whether it can be reached and takes programs.
    pub async fn takes_programs(self) -> bool {
        let mut trial = self.command(Path::new("true"));
        trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        timeout(ANSWER, trial.status()).await.is_ok_and(|ended| ended.is_ok_and(|status| status.success()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_process_is_read_from_its_cgroups() {
        let session = "/user.slice/user-4711.slice/session-4.scope";
        let manager = "/user.slice/user-4711.slice/user@4711.service/app.slice/run-r7.scope";
        for (cgroups, wanted) in [
            (format!("0::{session}\n"), Some((Place::Session, 4711))),
            (format!("9:name=systemd:{session}\n8:pids:/\n0::{session}\n"), Some((Place::Session, 4711))),
            (format!("8:pids:/\n1:name=systemd:{manager}\n"), Some((Place::Manager, 4711))),
            ("0::/user.slice/user-0.slice/session-c1.scope\n".to_owned(), Some((Place::Session, 0))),
            // A service, a scope of the machine's own manager, a container, another user's manager in name only, nothing.
            ("0::/system.slice/cron.service\n".to_owned(), None),
            ("0::/system.slice/run-r7.scope\n".to_owned(), None),
            ("0::/\n".to_owned(), None),
            ("0::/user.slice/user-4711.slice/user@1.service\n".to_owned(), None),
            ("0::/user.slice/user-x.slice/session-4.scope\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(held_by(&cgroups), wanted, "{cgroups}");
        }
    }

    #[test]
    fn logind_kills_by_its_lists_and_root_only_if_told() {
        let say = |kill: &str, only: &str, exclude: &str| {
            format!("KillOnlyUsers={only}\nKillExcludeUsers={exclude}\nKillUserProcesses={kill}\n")
        };
        for (properties, login, wanted) in [
            (say("yes", "", ""), "op", true),
            (say("no", "", ""), "op", false),
            (say("yes", "", ""), "root", false),
            (say("yes", "", "ann"), "root", true),
            (say("yes", "", "ann op"), "op", false),
            (say("no", "op", ""), "op", true),
            (say("yes", "ann", ""), "op", false),
            (say("yes", "op", "op"), "op", false),
            (say("yes", "", "oper"), "op", true),
            (String::new(), "op", false),
        ] {
            assert_eq!(kills(&properties, login), wanted, "{properties} {login}");
        }
    }
}
