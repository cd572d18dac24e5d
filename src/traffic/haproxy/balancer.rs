//! One HAProxy: what it says of one backend, and orders to it.
//!
//! Imports: ports, model, its siblings. May not: know of other balancers, or what an order is for.
//!
//! After a reload the old process can accept one more connection: measured with 2.6 in master-worker mode, about three
//! milliseconds from the new process's start. What it says of rotation is true of nobody new, and an order to it is lost.
//! So every command is preceded by `show info` on the same connection, and a process that is stopping is asked no more:
//! a fresh connection reaches its successor. (With `-sf` the path of the socket belongs to the new process as soon as it
//! listens.) What no process tells are the connections that its predecessor still has. So the number of a server that had
//! some when another process took over is unknown, not zero, until it is admitted again; the drain's timeout ends the wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::reply::{self, Server, Servers};
use super::socket::Address;
use super::tally::Tally;
use crate::model::{LbStats, Served, Span};
use crate::ports::TrafficError;

/// Between two looks for the successor of a process that is stopping.
const BETWEEN: Duration = Duration::from_millis(20);

/// Longest line of commands. HAProxy's own buffer has 16 KiB by default.
const LINE_MAX: usize = 4096;

/// One HAProxy and one backend of it.
pub(super) struct Balancer {
    pub(super) address: Address,
    backend: String,
    timeout: Span,
    /// Learnt from `show servers state`; `show stat` can then be asked for one row instead of all.
    numbers: Mutex<Numbers>,
    drains: Mutex<Drains>,
    /// What the processes served that answer no more. Held while one is asked: their answers must not overtake each other.
    tally: tokio::sync::Mutex<Tally>,
}

/// What was seen of servers that drain.
#[derive(Debug, Default)]
struct Drains {
    /// The process that answered last.
    pid: Option<u32>,
    /// Connections at the last look.
    left: BTreeMap<String, u32>,
    /// Servers whose last connections may be those of a process that answers no more.
    hidden: BTreeSet<String>,
}

impl Drains {
    fn answered_by(&mut self, pid: u32) {
        if self.pid.replace(pid).is_some_and(|before| before != pid) {
            let left = std::mem::take(&mut self.left).into_iter().filter(|(_, count)| *count > 0);
            self.hidden.extend(left.map(|(name, _)| name));
        }
    }

    fn known(&mut self, name: &str, sessions: u32, drains: bool) -> Option<u32> {
        if drains || self.left.contains_key(name) {
            self.left.insert(name.to_owned(), sessions);
        }
        (!self.hidden.contains(name)).then_some(sessions)
    }
}

/// HAProxy's own numbers of the backend and its servers. A reload may change them, so every row is checked by its name.
#[derive(Debug, Clone, Default)]
struct Numbers {
    backend: Option<u32>,
    servers: BTreeMap<String, u32>,
}

impl Balancer {
    pub(super) fn new(address: Address, backend: &str, timeout: Span) -> Self {
        let (numbers, drains, tally) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::default());
        Self { address, backend: backend.to_owned(), timeout, numbers, drains, tally }
    }

    /// What it says of all servers of the backend.
    pub(super) async fn servers(&self) -> Result<Servers, TrafficError> {
        self.look(None).await
    }

    /// What it says of one server, which it must know.
    pub(super) async fn server(&self, name: &str) -> Result<Server, TrafficError> {
        let found = self.look(Some(name)).await?.remove(name);
        let unknown = || format!("{} has no server {}/{name}; see [traffic] server", self.address, self.backend);
        let mut server = found.ok_or_else(|| TrafficError::Refused(unknown()))?;
        server.sessions = server.sessions.and_then(|count| lock(&self.drains).known(name, count, server.drains()));
        Ok(server)
    }

    /// Current sessions of a server and its queue, asked for alone if its number is known; `None` if they cannot be told.
    pub(super) async fn sessions(&self, name: &str) -> Result<Option<u32>, TrafficError> {
        let numbers = self.numbers();
        if let (Some(backend), Some(server)) = (numbers.backend, numbers.servers.get(name)) {
            let command = format!("show stat {backend} 4 {server}");
            let table = self.stat(&command).await?;
            if let Some(row) = table.row(&self.backend, name) {
                let count = row.sessions().map_err(|what| self.unexpected(&command, &what))?;
                return Ok(lock(&self.drains).known(name, count, false));
            }
        }
        Ok(self.server(name).await?.sessions)
    }

    /// What the backend has counted.
    pub(super) async fn counters(&self) -> Result<LbStats, TrafficError> {
        let (table, command) = self.whole().await?;
        let counted = table.row(&self.backend, "BACKEND").map(reply::Row::counted);
        counted.unwrap_or_else(|| Err("no such line".to_owned())).map_err(|what| self.unexpected(&command, &what))
    }

    /// How the backend balances; nothing where this HAProxy does not tell.
    pub(super) async fn algorithm(&self) -> Result<Option<String>, TrafficError> {
        let (table, _) = self.whole().await?;
        Ok(table.row(&self.backend, "BACKEND").and_then(reply::Row::algorithm).map(ToOwned::to_owned))
    }

    /// What each server of the backend has served. The count goes on where another process took over.
    pub(super) async fn served(&self) -> Result<BTreeMap<String, Served>, TrafficError> {
        let mut tally = self.tally.lock().await;
        let servers = self.state().await?;
        let Some(backend) = self.numbers().backend else { return Ok(BTreeMap::new()) };
        let command = format!("show stat {backend} 4 -1");
        let (pid, answer) = self.answer(&command).await?;
        let table = reply::Table::read(&answer).map_err(|what| self.unexpected(&command, &what))?;
        let mut served = BTreeMap::new();
        for name in servers.into_keys() {
            // One that was removed in between has no line.
            let Some(row) = table.row(&self.backend, &name) else { continue };
            served.insert(name, row.served().map_err(|what| self.unexpected(&command, &what))?);
        }
        Ok(tally.carried(pid, served))
    }

    /// The line of the whole backend, and the command that it answers.
    async fn whole(&self) -> Result<(reply::Table, String), TrafficError> {
        let mut known = self.numbers().backend;
        for _ in 0..2 {
            if let Some(backend) = known {
                let command = format!("show stat {backend} 2 -1");
                let table = self.stat(&command).await?;
                if table.row(&self.backend, "BACKEND").is_some() {
                    return Ok((table, command));
                }
            }
            self.state().await?;
            known = self.numbers().backend;
        }
        Err(TrafficError::Refused(format!("{} has no counters of backend {}", self.address, self.backend)))
    }

    /// Orders a state. `Ok` says that it was accepted; whether it holds is for the next reading.
    pub(super) async fn order(&self, name: &str, state: &str) -> Result<(), TrafficError> {
        self.obeyed(&format!("set server {}/{name} state {state}", self.backend)).await
    }

    /// Orders weights, in this order. `Ok` says that they were accepted; whether they hold is for the next reading.
    pub(super) async fn weigh(&self, weights: &[(String, u32)]) -> Result<(), TrafficError> {
        let mut line = String::new();
        for (name, weight) in weights {
            let command = format!("set server {}/{name} weight {weight}", self.backend);
            if line.len() + command.len() >= LINE_MAX {
                self.obeyed(&std::mem::take(&mut line)).await?;
            }
            if !line.is_empty() {
                line.push(';');
            }
            line.push_str(&command);
        }
        if line.is_empty() { Ok(()) } else { self.obeyed(&line).await }
    }

    /// Sends orders, chained by semicolons. Answers are empty lines, or what was wrong.
    async fn obeyed(&self, line: &str) -> Result<(), TrafficError> {
        let answer = self.ask(line).await?;
        reply::ordered(&answer).map_err(|what| {
            let hint = if what.contains("Permission denied") { "; the socket needs `level admin`" } else { "" };
            // Of many orders the first stands for all.
            let command = line.split(';').next().unwrap_or_default();
            TrafficError::Refused(format!("{}{hint}", self.said(&what, command)))
        })
    }

    /// Makes a server known and lets traffic to it. Each command is read back by the next look.
    pub(super) async fn add(&self, name: &str, address: &str, more: &str) -> Result<(), TrafficError> {
        let server = format!("{}/{name}", self.backend);
        let command = format!("add server {server} {address} {more}");
        let answer = self.ask(&command).await?;
        if !answer.contains("registered") {
            return Err(TrafficError::Refused(self.said(&reply::quoted(&answer), &command)));
        }
        // One that has no check says so, which is no trouble; what the other says shows in the next look.
        self.ask(&format!("enable health {server}")).await?;
        self.ask(&format!("enable server {server}")).await.map(drop)
    }

    /// Forgets a server that has been in maintenance since it lost its traffic.
    pub(super) async fn delete(&self, name: &str) -> Result<(), TrafficError> {
        let command = format!("del server {}/{name}", self.backend);
        let answer = self.ask(&command).await?;
        if answer.contains("deleted") {
            self.forget(name);
            return Ok(());
        }
        let words = self.said(&reply::quoted(&answer), &command);
        // It closes idle connections by and by.
        Err(if answer.contains("connection") { TrafficError::NotConfirmed(words) } else { TrafficError::Refused(words) })
    }

    /// Its drain is over: what was not known of it does not matter any more.
    pub(super) fn forget(&self, name: &str) {
        let mut drains = lock(&self.drains);
        drains.left.remove(name);
        drains.hidden.remove(name);
    }

    /// What the socket permits: `admin`, `operator` or `user`, or whatever else it says.
    pub(super) async fn level(&self) -> Result<String, TrafficError> {
        Ok(self.ask("show cli level").await?.trim().to_owned())
    }

    /// Reads the states of all servers, without their status.
    pub(super) async fn state(&self) -> Result<Servers, TrafficError> {
        let command = format!("show servers state {}", self.backend);
        let answer = self.ask(&command).await?;
        let (backend, servers) = reply::servers_state(&answer, &self.backend)
            .map_err(|what| TrafficError::Refused(format!("{}; see [traffic] backend", self.said(&what, &command))))?;
        self.learn(backend, &servers);
        Ok(servers)
    }

    /// Reads the states of all servers, and the status of all or of `only` one.
    async fn look(&self, only: Option<&str>) -> Result<Servers, TrafficError> {
        let mut servers = self.state().await?;
        if let Some(name) = only {
            servers.retain(|server, _| server == name);
        }
        let (Some(backend), Some(first)) = (self.numbers().backend, servers.values().next()) else { return Ok(servers) };
        let command = match only {
            Some(_) => format!("show stat {backend} 4 {}", first.number),
            None => format!("show stat {backend} 4 -1"),
        };
        let table = self.stat(&command).await?;
        reply::add_stat(&mut servers, &table, &self.backend).map_err(|what| self.unexpected(&command, &what))?;
        Ok(servers)
    }

    async fn stat(&self, command: &str) -> Result<reply::Table, TrafficError> {
        let answer = self.ask(command).await?;
        reply::Table::read(&answer).map_err(|what| self.unexpected(command, &what))
    }

    fn said(&self, what: &str, command: &str) -> String {
        format!("{} answered {what} to `{command}`", self.address)
    }

    fn unexpected(&self, command: &str, what: &str) -> TrafficError {
        TrafficError::Refused(self.said(what, command))
    }

    fn numbers(&self) -> Numbers {
        lock(&self.numbers).clone()
    }

    fn learn(&self, backend: Option<u32>, servers: &Servers) {
        let servers = servers.iter().map(|(name, server)| (name.clone(), server.number)).collect();
        *lock(&self.numbers) = Numbers { backend, servers };
    }

    /// What a process that is not stopping answers to one line of commands.
    async fn ask(&self, command: &str) -> Result<String, TrafficError> {
        Ok(self.answer(command).await?.1)
    }

    /// As [`Self::ask`], and which process it is.
    async fn answer(&self, command: &str) -> Result<(u32, String), TrafficError> {
        let until = Instant::now() + self.timeout.to_std();
        loop {
            let reply = self.address.ask(&format!("show info;{command}"), self.timeout).await?;
            match reply::after_info(&reply) {
                Ok(Some((pid, answer))) => {
                    lock(&self.drains).answered_by(pid);
                    return Ok((pid, answer.to_owned()));
                }
                Ok(None) if Instant::now() < until => sleep(BETWEEN).await,
                Ok(None) => {
                    let text = format!("{}: it is stopping, and no other process took over in {}", self.address, self.timeout);
                    return Err(TrafficError::Unreachable(text));
                }
                Err(reply::Broken::Cut) => {
                    let text = format!("{}: the answer ended early (command `{command}`)", self.address);
                    return Err(TrafficError::Unreachable(text));
                }
                Err(reply::Broken::Other(what)) => return Err(self.unexpected(command, &what)),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
