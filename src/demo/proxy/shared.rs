//! The pool behind its lock, and the guards that count what is in flight.
//!
//! Imports: pool. May not: hold the lock while anything is awaited.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::pool::{Pool, Trouble};
use crate::demo::WallClock;

/// What all tasks of the balancer share.
#[derive(Debug)]
pub(super) struct Shared {
    pool: Mutex<Pool>,
    pub(super) clock: WallClock,
}

impl Shared {
    pub(super) fn new(pool: Pool, clock: WallClock) -> Arc<Self> {
        Arc::new(Self { pool: Mutex::new(pool), clock })
    }

    /// Does something with the pool. Choosing a server and ordering one out exclude each other here, so that after the
    /// order no request can choose it any more, and every earlier choice is counted.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Pool) -> T) -> T {
        act(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request in flight: counted from the choice of its server until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    /// The server, if there was one to choose.
    index: Option<usize>,
    /// Set once the outcome is known; a turn dropped without it was given up by the client.
    settled: bool,
    over: bool,
}

impl Turn {
    /// Chooses a server for a request, and names its port.
    pub(super) fn take(shared: &Arc<Shared>) -> (Self, Option<u16>) {
        let picked = shared.with(Pool::pick);
        let turn = Self { shared: Arc::clone(shared), index: picked.map(|(index, _)| index), settled: false, over: false };
        (turn, picked.map(|(_, port)| port))
    }

    /// The server answered after that time.
    pub(super) fn answered(&mut self, status: u16, took: Duration) {
        if let Some(index) = self.index {
            self.shared.with(|pool| pool.answered(index, status, took));
        }
    }

    /// We answered in its place, and that is all.
    pub(super) fn answered_by_us(&mut self, status: u16) {
        self.settled = true;
        self.shared.with(|pool| pool.answered_by_us(status));
    }

    /// Something went wrong.
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        self.settled = true;
        if let Some(index) = self.index {
            self.shared.with(|pool| pool.trouble(index, trouble));
        }
    }

    /// The last byte of the answer was passed on.
    pub(super) fn finish(&mut self) {
        if !self.over {
            self.over = true;
            self.settled = true;
            self.shared.with(|pool| pool.end(self.index));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.settled {
            self.trouble(Trouble::ClientAbort);
        }
        self.finish();
    }
}

/// A client's connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Client(Arc<Shared>);

impl Client {
    pub(super) fn came(shared: &Arc<Shared>) -> Self {
        shared.with(Pool::client_came);
        Self(Arc::clone(shared))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.with(Pool::client_left);
    }
}
