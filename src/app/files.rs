//! How many files the engine may have open: raised at its start, and looked at before.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::check::finding::Finding;
use crate::os::text::counted;

/// For the program itself: journal, log, sockets, pipes, attached consoles.
const OWN: u64 = 128;
/// For one instance at most: a kept connection of the probe and one that opens, a command's pipes, a socket to the balancer.
const PER_INSTANCE: u64 = 4;
/// More instances than these are never reached at the same time.
const AT_ONCE: u64 = 1024;

/// What a fleet of this size takes at most.
pub(super) fn needed(instances: usize) -> u64 {
    let instances = u64::try_from(instances).unwrap_or(u64::MAX);
    // Connections that are kept for each, and those in use.
    OWN + instances + PER_INSTANCE * instances.min(AT_ONCE)
}

/// Raises the limit to what the fleet takes, as far as the system allows. No further: the processes that the engine starts
/// inherit it, and some work through every number up to it.
pub(super) fn raise(instances: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or_else(|| needed(instances), |maximum| needed(instances).min(maximum));
    if current.is_some_and(|current| current < wanted) {
        // Refused by a container's rules, it stays as it is, and errors that follow say so.
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).ok();
    }
}

/// What to say if the limit that can be reached is too low for the fleet.
pub(super) fn shortage(instances: usize) -> Option<String> {
    let most = getrlimit(Resource::Nofile).maximum?;
    let needed = needed(instances);
    (most < needed).then(|| {
        format!(
            "this process may have {most} files open, a fleet of {instances} takes up to {needed}; raise the hard limit: \
             ulimit -Hn {needed}, LimitNOFILE= of a systemd unit, or /etc/security/limits.conf"
        )
    })
}

/// As a line of `check`.
pub(super) fn finding(instances: usize) -> Finding {
    const KIND: &str = "files";
    match shortage(instances) {
        None => Finding::ok(KIND, "limit", &format!("enough for {}", counted(instances, "instance"))),
        Some(said) => {
            let (message, remedy) = said.split_once("; ").unwrap_or((&said, ""));
            Finding::doubt(KIND, "limit", message, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fleet_takes_more_but_not_without_end() {
        assert!(needed(20) < 1024, "what most systems allow does for most fleets");
        assert!(needed(10_000) > needed(1000));
        assert!(needed(10_000) < 20_000);
    }
}
