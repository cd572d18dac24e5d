//! How many connections there are, and whose: with a bound for all, one for each user, and a lower one for those who may not
//! come at all and are only told so.
//!
//! Imports: the peer, the wire. May not: wait for a peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

use super::Limits;
use crate::control::peer::Peer;
use crate::control::wire::{PROGRAM, PROGRAM_HEADER, PROTOCOL_HEADER, protocol};

/// Of those who may not come: enough to be told.
const STRANGERS: usize = 8;
/// The log says the same of the same user no more often.
const SAID: Duration = Duration::from_secs(10);
/// Users of whom the log knows when it last spoke; more are told of together.
const USERS: usize = 64;

type Taken = Arc<Mutex<BTreeMap<u32, usize>>>;

/// Who sits.
pub(super) struct Seats {
    limits: Limits,
    taken: Taken,
    said: BTreeMap<u32, (Instant, u64)>,
}

/// A connection's place; it is free again when this is dropped.
pub(super) struct Seat {
    uid: u32,
    taken: Taken,
}

impl Seats {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, taken: Taken::default(), said: BTreeMap::new() }
    }

    /// A place for a connection, or why there is none.
    pub(super) fn take(&self, peer: Peer) -> Result<Seat, String> {
        let Limits { connections, per_user, .. } = self.limits;
        let of_one = if peer.is_allowed { per_user } else { STRANGERS.min(per_user) };
        let mut taken = lock(&self.taken);
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&peer.uid).copied().unwrap_or_default());
        if own >= of_one {
            return Err(format!("user {} has {own} connections open, and no more are let in; close some of them", peer.uid));
        }
        if all >= connections {
            return Err(format!("there are {all} connections open, and no more are let in; try again in a moment"));
        }
        *taken.entry(peer.uid).or_default() += 1;
        drop(taken);
        Ok(Seat { uid: peer.uid, taken: Arc::clone(&self.taken) })
    }

    /// Whether the log is to say something of a user now, and how often it did not since it last did.
    pub(super) fn is_to_be_told(&mut self, uid: u32) -> Option<u64> {
        let now = Instant::now();
        if self.said.len() >= USERS && !self.said.contains_key(&uid) {
            self.said.retain(|_, (at, _)| now.duration_since(*at) < SAID);
        }
        let uid = if self.said.len() >= USERS && !self.said.contains_key(&uid) { u32::MAX } else { uid };
        match self.said.get_mut(&uid) {
            Some((at, untold)) if now.duration_since(*at) < SAID => {
                *untold += 1;
                None
            }
            before => {
                let untold = before.map_or(0, |(_, untold)| *untold);
                self.said.insert(uid, (now, 0));
                Some(untold)
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(own) = taken.get_mut(&self.uid) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

/// Says why, as far as that goes without waiting, and lets go. Whoever has not written yet may find it closed.
pub(super) fn turn_away(stream: &UnixStream, why: &str) {
    let body = format!("{{\"message\":\"{why}\"}}");
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let who = format!("{PROTOCOL_HEADER}: {}\r\n{PROGRAM_HEADER}: {PROGRAM}\r\n", protocol());
    let answer = format!("{head}{who}content-length: {}\r\n\r\n{body}", body.len());
    // A new connection has room for it.
    stream.try_write(answer.as_bytes()).ok();
}

/// Whole after every statement.
fn lock(taken: &Taken) -> MutexGuard<'_, BTreeMap<u32, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}
