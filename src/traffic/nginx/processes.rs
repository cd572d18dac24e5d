//! What an nginx says of itself by `/proc`: which generation of workers serves, and what the earlier ones still do.
//!
//! Imports: os text. May not: read `/proc` itself (that is `look.sh`, here or on another machine).
//!
//! HUP with a configuration that nginx refuses returns success, and the old workers go on. So a reload counts when a new
//! worker is there and those of before shut down. An old worker finishes what it has accepted, by the old configuration: a
//! request that it has not passed on yet may still go to a server that is out by now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::os::text;

/// A worker that began so much before the file's last change, by clocks of coarse ticks, may still have read it.
const TOLERANCE: f64 = 0.02;
/// As much of an unexpected line as is shown.
const SHOWN_MAX: usize = 80;

/// A process that cannot be mistaken for another one: its pid, and when it began in clock ticks since boot.
pub(super) type Born = (u32, u64);

/// What was true at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    ticks: f64,
    uptime: f64,
    clock: f64,
    pub(super) master: Option<Born>,
    /// Workers that take connections.
    active: BTreeSet<Born>,
    /// Workers that are shutting down.
    leaving: BTreeSet<Born>,
    /// Connections from clients and to servers, by the worker's pid.
    clients: BTreeMap<u32, u32>,
    servers: BTreeMap<u32, u32>,
    /// Connections to those servers that were asked for, by their address.
    to: BTreeMap<String, u32>,
    /// Not every process of it shows us its connections.
    pub(super) hidden: bool,
    /// When the file was changed, by the wall clock.
    changed: Option<f64>,
    /// The file, if it can be read.
    pub(super) text: Option<String>,
    /// It is there, but not for this user.
    closed: bool,
}

impl Seen {
    /// Reads what `look.sh` printed.
    pub(super) fn read(said: &str) -> Result<Self, String> {
        let mut seen = Self::default();
        let mut rest = said;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            if line == "text" {
                seen.text = Some(rest.to_owned());
                break;
            }
            seen.line(line).ok_or_else(|| format!("unexpected: {:?}", text::sanitise_within(line, SHOWN_MAX)))?;
        }
        if seen.ticks > 0.0 && seen.clock > 0.0 { Ok(seen) } else { Err("the answer ended early".to_owned()) }
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match &*words {
            ["ticks", ticks] => self.ticks = ticks.parse().ok()?,
            ["now", uptime, clock] => (self.uptime, self.clock) = (uptime.parse().ok()?, clock.parse().ok()?),
            ["process", pid, started, title @ ..] => {
                let born = (pid.parse().ok()?, started.parse().ok()?);
                let title = title.join(" ");
                if title.starts_with("nginx: worker process is shutting down") {
                    self.leaving.insert(born);
                } else if title.starts_with("nginx: worker process") {
                    self.active.insert(born);
                } else if title.starts_with("nginx: master process") {
                    self.master = Some(born);
                }
            }
            ["clients", pid, count] => drop(self.clients.insert(pid.parse().ok()?, count.parse().ok()?)),
            ["servers", pid, count] => drop(self.servers.insert(pid.parse().ok()?, count.parse().ok()?)),
            ["to", _pid, address, count] => {
                let sum = self.to.entry((*address).to_owned()).or_default();
                *sum = sum.saturating_add(count.parse().ok()?);
            }
            ["hidden", _pid] => self.hidden = true,
            ["no", "pid", "file"] | ["file", "missing"] => {}
            ["file", "closed"] => self.closed = true,
            ["file", changed] => self.changed = Some(changed.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    /// The file, or why there is none.
    pub(super) fn file(&self) -> Result<&str, &'static str> {
        let missing = if self.closed { "may not be read by this user" } else { "is missing" };
        self.text.as_deref().ok_or(missing)
    }

    /// The workers that take connections have read the file as it is.
    pub(super) fn loaded(&self) -> bool {
        let Some(changed) = self.changed else { return false };
        let changed = self.uptime - (self.clock - changed);
        // Ticks since boot are far from 2^52.
        #[expect(clippy::cast_precision_loss, reason = "ticks since boot are far from 2^52")]
        let began = |(_, started): &Born| *started as f64 / self.ticks;
        !self.active.is_empty() && self.active.iter().all(|worker| began(worker) + TOLERANCE >= changed)
    }

    /// Since `before` the master has replaced its workers.
    pub(super) fn reloaded_since(&self, before: &Self) -> bool {
        self.master == before.master && !self.active.is_empty() && self.active.is_disjoint(&before.active)
    }

    /// What an instance at these addresses is still at work on; `None` if it cannot be told.
    pub(super) fn sessions(&self, addresses: &[String]) -> Option<u32> {
        if self.hidden || addresses.is_empty() {
            return None;
        }
        let connected: u32 = addresses.iter().filter_map(|address| self.to.get(address)).sum();
        let count = |of: &BTreeMap<u32, u32>, pid: u32| of.get(&pid).copied().unwrap_or(0);
        let unsent = |(pid, _): &Born| count(&self.clients, *pid).saturating_sub(count(&self.servers, *pid));
        let unsent: u32 = self.leaving.iter().map(unsent).sum();
        Some(connected.saturating_add(unsent))
    }
}

/// An address as `/proc/net/tcp` and `/proc/net/tcp6` write it.
pub(super) fn written(address: SocketAddr) -> Vec<String> {
    let words = |bytes: &[u8]| {
        let bytes = bytes.chunks(4).flat_map(|word| word.iter().rev());
        bytes.fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
    };
    let port = address.port();
    match address {
        SocketAddr::V4(v4) => {
            let mapped = v4.ip().to_ipv6_mapped().octets();
            vec![format!("{}:{port:04X}", words(&v4.ip().octets())), format!("{}:{port:04X}", words(&mapped))]
        }
        SocketAddr::V6(v6) => vec![format!("{}:{port:04X}", words(&v6.ip().octets()))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "ticks 100\nnow 1000.00 5000.500000000\n\
        process 7 90000 nginx: master process nginx -c /x \nprocess 8 99000 nginx: worker process is shutting down \n\
        process 9 99950 nginx: worker process \nprocess 10 90001 nginx: cache manager process \n\
        clients 8 3\nservers 8 2\nto 8 0100007F:0050 2\nto 9 0100007F:0051 1\nfile 5000.000000000\ntext\nfile x\n\n";

    #[test]
    fn processes_connections_and_the_file_are_read() {
        let seen = Seen::read(SAID).unwrap();
        assert_eq!((seen.master, seen.active.len(), seen.leaving.len()), (Some((7, 90000)), 1, 1));
        assert_eq!(seen.file(), Ok("file x\n\n"));
        assert!(seen.loaded(), "the worker began with the file's change");
        let of = |address: &str| seen.sessions(&[address.to_owned()]);
        assert_eq!(of("0100007F:0050"), Some(3), "two connections, and a request that is not passed on yet");
        assert_eq!(of("0100007F:0051"), Some(2));
        assert_eq!(seen.sessions(&[]), None, "an address that is none");
        let later = Seen::read(&SAID.replace("file 5000.0", "file 5000.3")).unwrap();
        assert!(!later.loaded(), "the file was changed after the worker began");
        let hidden = Seen::read(&SAID.replace("clients 8 3", "hidden 8")).unwrap();
        assert_eq!(hidden.sessions(&["0100007F:0050".to_owned()]), None);
    }

    #[test]
    fn a_reload_is_a_new_generation_of_the_same_master() {
        let before = Seen::read(SAID).unwrap();
        assert!(!before.reloaded_since(&before));
        let after =
            SAID.replace("process 9 99950 nginx: worker process", "process 9 99950 nginx: worker process is shutting down");
        assert!(!Seen::read(&after).unwrap().reloaded_since(&before), "no worker yet");
        let after = after.replace("process 10 90001 nginx: cache manager", "process 11 99990 nginx: worker");
        assert!(Seen::read(&after).unwrap().reloaded_since(&before));
        let other = after.replace("process 7 90000", "process 7 90009");
        assert!(!Seen::read(&other).unwrap().reloaded_since(&before), "another master");
    }

    #[test]
    fn an_answer_that_is_none_says_so() {
        for bad in ["", "ticks 100\n", "ticks x\n", "now 1\n", "process 1\n", "what\n"] {
            assert!(Seen::read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Seen::read("ticks 100\nnow 1.0 2.0\nfile missing\n").unwrap().file(), Err("is missing"));
    }

    #[test]
    fn addresses_are_written_as_the_kernel_does() {
        let of = |text: &str| written(text.parse().unwrap());
        assert_eq!(of("127.0.0.1:80"), ["0100007F:0050", "0000000000000000FFFF00000100007F:0050"]);
        assert_eq!(of("[::1]:19100"), ["00000000000000000000000001000000:4A9C"]);
    }
}
