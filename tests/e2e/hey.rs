//! Requests by a tool that is not ours.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::fleet::Ran;

/// Requests from outside; they end with the test.
pub(crate) struct Hey(Option<Child>);

impl Drop for Hey {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A hundred requests a second, with and without connections that are kept.
pub(crate) fn hey(program: &Path, url: &str, keep: bool) -> Hey {
    hey_at(program, url, keep, Rate { each: 20, users: 5 })
}

/// How many requests there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Each user's, per second.
    pub(crate) each: u32,
    pub(crate) users: u32,
}

/// With and without connections that are kept.
pub(crate) fn hey_at(program: &Path, url: &str, keep: bool, rate: Rate) -> Hey {
    let mut command = Command::new(program);
    command.args(["-z", "900s", "-t", "5", "-q", &rate.each.to_string(), "-c", &rate.users.to_string()]);
    if !keep {
        command.arg("-disable-keepalive");
    }
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Hey(Some(command.spawn().unwrap()))
}

/// Ends it as Ctrl-C does, and reads its report: statuses with their counts, and errors.
pub(crate) fn shares(mut hey: Hey) -> (Vec<(u16, u64)>, String) {
    let hey = hey.0.take().unwrap();
    kill_process(Pid::from_raw(i32::try_from(hey.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let out = Ran::ended(hey).out;
    let statuses = out.lines().filter_map(|line| {
        let (status, rest) = line.trim().strip_prefix('[')?.split_once("]\t")?;
        Some((status.parse().ok()?, rest.split_whitespace().next()?.parse().ok()?))
    });
    let errors = out.split_once("Error distribution:").map(|(_, errors)| errors.trim().to_owned()).unwrap_or_default();
    (statuses.collect(), errors)
}

/// Ends it. Every one of its requests was answered with 200. Returns how many there were.
pub(crate) fn assert_nothing_failed(hey: Hey, what: &str) -> u64 {
    let (statuses, errors) = shares(hey);
    assert_eq!(errors, "", "{what}");
    let total: u64 = statuses.iter().map(|(_, n)| n).sum();
    assert!(total > 100, "{what}: only {total} requests");
    assert!(statuses.iter().all(|(status, _)| *status == 200), "{what}: {statuses:?}");
    total
}
