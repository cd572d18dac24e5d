//! HAProxy's runtime API: drain, ready, and what it says of its servers, over one or several sockets.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.
//!
//! An order counts only when it is read back. Maintenance is never ours: an instance in it is neither drained nor
//! admitted. If one of several balancers fails, what the others were told stands: the same order is tried again, and
//! `admit` takes it back at all that answer. A drain lets requests through that are bound to their server by a cookie;
//! such sessions end by themselves or with the drain's timeout.

mod balancer;
mod reply;
mod shares;
mod socket;
mod tally;
mod weight;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{BoxFuture, join_all, try_join_all};

use self::balancer::Balancer;
use self::reply::{Server, Servers};
use self::socket::Address;
use super::HaproxySettings;
use crate::model::{Found, InstanceId, LbStats, Rotation, Served, Target};
use crate::os::template::{self, Context};
use crate::os::text;
use crate::ports::{TrafficDriver, TrafficError};

/// The driver.
pub(super) struct Haproxy {
    settings: HaproxySettings,
    balancers: Vec<Balancer>,
}

/// What each balancer says, in the order of the configuration.
type Said<'a> = Vec<(&'a Balancer, Server)>;

impl Haproxy {
    /// Checks addresses, backend and template.
    pub(super) fn new(settings: HaproxySettings) -> Result<Self, String> {
        check_name(&settings.backend).map_err(|why| format!("[traffic] backend: {why}"))?;
        let balancer = |text: &String| Ok(Balancer::new(Address::new(text)?, &settings.backend, settings.timeout));
        let balancers = settings.sockets.iter().map(balancer).collect::<Result<Vec<_>, String>>();
        let balancers = balancers.map_err(|why| format!("[traffic] sockets: {why}"))?;
        if balancers.is_empty() {
            return Err("[traffic] sockets: at least one is needed".to_owned());
        }
        let driver = Self { settings, balancers };
        driver.check_template().map_err(|why| format!("[traffic] server: {why}"))?;
        Ok(driver)
    }

    /// Renders the server's name once for an instance that has everything a template may name.
    fn check_template(&self) -> Result<(), String> {
        let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
        let (host, zone, labels) = ("localhost".to_owned(), Some("zone".to_owned()), BTreeMap::default());
        self.server_name(&Target { id, host, port: 1, zone, labels }).map(drop)
    }

    fn server_name(&self, target: &Target) -> Result<String, String> {
        let context = Context { service: &self.settings.service, target, version: None, previous: None };
        let name = template::render(&self.settings.server, context)?;
        check_name(&name)?;
        Ok(name)
    }

    /// The instance's name at the balancers.
    fn named(&self, target: &Target) -> Result<String, TrafficError> {
        self.server_name(target).map_err(|why| TrafficError::Refused(format!("[traffic] server: {why}")))
    }

    fn full(&self, name: &str) -> String {
        format!("{}/{name}", self.settings.backend)
    }

    /// What each balancer says of one server, or why it does not.
    async fn each(&self, name: &str) -> Vec<Result<(&Balancer, Server), TrafficError>> {
        join_all(self.balancers.iter().map(async |balancer| Ok((balancer, balancer.server(name).await?)))).await
    }

    /// An error if the server is in maintenance anywhere: that is somebody else's order.
    fn free<'a>(&self, name: &str, said: Said<'a>) -> Result<Said<'a>, TrafficError> {
        match said.iter().find(|(_, server)| server.in_maintenance()) {
            Some((balancer, _)) => Err(TrafficError::Refused(format!(
                "{} is in maintenance at {}, which we did not order; whoever did must end it (`set server {} state ready`)",
                self.full(name),
                balancer.address,
                self.full(name)
            ))),
            None => Ok(said),
        }
    }

    /// Sets the state of a server at those balancers where `needed`. All are told, then the first complaint is returned.
    async fn order(&self, said: &Said<'_>, order: Order<'_>) -> Result<(), TrafficError> {
        let needed = said.iter().filter(|(_, server)| (order.needed)(server));
        join_all(needed.map(|(balancer, _)| balancer.order(order.server, order.state))).await.into_iter().collect()
    }

    async fn read_all(&self, targets: &[Target]) -> Result<BTreeMap<InstanceId, Rotation>, TrafficError> {
        let names = targets.iter().map(|target| Ok((&target.id, self.named(target)?)));
        let names = names.collect::<Result<Vec<_>, TrafficError>>()?;
        let balancers = try_join_all(self.balancers.iter().map(Balancer::servers)).await?;
        let least = |name: &str| {
            let said = balancers.iter().map(|servers| servers.get(name).map_or(Rotation::Missing, Server::rotation));
            Rotation::together(said)
        };
        Ok(names.into_iter().map(|(id, name)| (id.clone(), least(&name))).collect())
    }

    async fn all_members(&self) -> Result<Vec<Found>, TrafficError> {
        if self.settings.server.split_whitespace().collect::<String>() != "{{instance.id}}" {
            let why = "[traffic] server is a template of more than the id, so names of servers are no ids of instances";
            return Err(TrafficError::Refused(why.to_owned()));
        }
        let balancers = try_join_all(self.balancers.iter().map(Balancer::servers)).await?;
        let mut members: BTreeMap<String, (&Balancer, (String, Option<u16>))> = BTreeMap::new();
        for (balancer, servers) in self.balancers.iter().zip(balancers) {
            for (name, server) in servers {
                let Some(address) = server.address else { continue };
                match members.get(&name) {
                    Some((other, there)) if *there != address => {
                        let at = |(host, port): &(String, Option<u16>)| format!("{host}:{}", port.unwrap_or(0));
                        return Err(TrafficError::Refused(format!(
                            "{} is {} at {} and {} at {}; make them agree",
                            self.full(&name),
                            at(there),
                            other.address,
                            at(&address),
                            balancer.address
                        )));
                    }
                    Some(_) => {}
                    None => drop(members.insert(name, (balancer, address))),
                }
            }
        }
        let found = |(id, (_, (host, port)))| Found { id, host: Some(host), port, ..Found::default() };
        Ok(members.into_iter().map(found).collect())
    }

    async fn drain(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        let name = self.named(target)?;
        let all = async || self.free(&name, self.each(&name).await.into_iter().collect::<Result<_, _>>()?);
        let before = all().await?;
        self.order(&before, Order { server: &name, state: "drain", needed: |server| !server.ordered_to_drain() }).await?;
        let after = all().await?;
        match after.iter().find(|(_, server)| !server.drains()) {
            Some((balancer, server)) => Err(TrafficError::NotConfirmed(format!(
                "{} was ordered to drain, but {} shows it as {:?}",
                self.full(&name),
                balancer.address,
                server.status()
            ))),
            None => Ok(sum(after.iter().map(|(_, server)| server.sessions))),
        }
    }

    /// Balancers that cannot be asked do not keep the others from their order: it may take back a drain that stands there.
    async fn ready(&self, target: &Target) -> Result<(), TrafficError> {
        let name = self.named(target)?;
        let order = Order { server: &name, state: "ready", needed: Server::ordered_to_drain };
        let (mut before, mut silent) = (Said::new(), None);
        for answer in self.each(&name).await {
            match answer {
                Ok(said) => before.push(said),
                Err(why) => silent = silent.or(Some(why)),
            }
        }
        let before = self.free(&name, before)?;
        self.order(&before, order).await?;
        if let Some(why) = silent {
            return Err(why);
        }
        let after = self.free(&name, self.each(&name).await.into_iter().collect::<Result<_, _>>()?)?;
        let Some((balancer, server)) = after.iter().find(|(_, server)| server.rotation() != Rotation::Serving) else {
            self.at_its_share(&name, &after)?;
            for (balancer, _) in &after {
                balancer.forget(&name);
            }
            return Ok(());
        };
        let foreign = server.rotation() == Rotation::Draining && !server.ordered_to_drain();
        Err(TrafficError::NotConfirmed(format!(
            "{} is {} ({} at {}){}",
            self.full(&name),
            server.rotation().words(),
            server.status(),
            balancer.address,
            if foreign { ", not by an order: its weight is 0, or its agent or the server that it tracks says so" } else { "" }
        )))
    }

    /// Where that is awaited, an error while a server starts slowly.
    fn at_its_share(&self, name: &str, said: &Said<'_>) -> Result<(), TrafficError> {
        let slow = said.iter().find_map(|(balancer, server)| Some((balancer, server.throttle?)));
        match slow.filter(|_| self.settings.await_slow_start) {
            Some((balancer, throttle)) => Err(TrafficError::NotConfirmed(format!(
                "{} starts slowly: it has {throttle} % of its share at {}",
                self.full(name),
                balancer.address
            ))),
            None => Ok(()),
        }
    }

    async fn added(&self, target: &Target) -> Result<(), TrafficError> {
        let name = self.named(target)?;
        let address = format!("{}:{}", target.host, target.port);
        if !address.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:[]".contains(c)) {
            return Err(TrafficError::Refused(format!("{address:?} is no address that HAProxy takes")));
        }
        let add = async |balancer: &Balancer| match balancer.servers().await?.get(&name) {
            None => balancer.add(&name, &address, &self.settings.add).await,
            Some(_) => Ok(()),
        };
        join_all(self.balancers.iter().map(add)).await.into_iter().collect::<Result<(), _>>()?;
        let after: Said<'_> = self.each(&name).await.into_iter().collect::<Result<_, _>>()?;
        match after.iter().find(|(_, server)| server.rotation() != Rotation::Serving) {
            Some((balancer, server)) => Err(TrafficError::NotConfirmed(format!(
                "{} was added, but is {} ({} at {})",
                self.full(&name),
                server.rotation().words(),
                server.status(),
                balancer.address
            ))),
            None => Ok(()),
        }
    }

    /// HAProxy forgets only what is in maintenance and has no connection.
    async fn removed(&self, target: &Target) -> Result<(), TrafficError> {
        let name = self.named(target)?;
        let remove = async |balancer: &Balancer| {
            let mut servers = balancer.servers().await?;
            let Some(server) = servers.get(&name) else { return Ok(()) };
            if !server.in_maintenance() {
                balancer.order(&name, "maint").await?;
                servers = balancer.servers().await?;
            }
            match servers.get(&name).and_then(|server| server.sessions) {
                Some(left) if left > 0 => Err(TrafficError::NotConfirmed(format!(
                    "{} still has {} at {}, so it is not removed yet",
                    self.full(&name),
                    text::counted(left, "connection"),
                    balancer.address
                ))),
                _ => balancer.delete(&name).await,
            }
        };
        join_all(self.balancers.iter().map(remove)).await.into_iter().collect()
    }

    async fn sum_of_sessions(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        let name = self.named(target)?;
        Ok(sum(try_join_all(self.balancers.iter().map(|balancer| balancer.sessions(&name))).await?.into_iter()))
    }

    /// What would stop an order and reading does not tell: a socket that permits no orders, two instances by one name, and
    /// which of several balancers lacks a server.
    async fn complaints(&self, targets: &[Target]) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut names: BTreeMap<String, &InstanceId> = BTreeMap::new();
        // A name that cannot be rendered is for `read` to refuse.
        for (target, name) in targets.iter().filter_map(|target| Some((target, self.server_name(target).ok()?))) {
            let server = self.full(&name);
            if let Some(other) = names.insert(name, &target.id) {
                complaints.push(format!("{other} and {} are the same server {server}; see [traffic] server", target.id));
            }
        }
        let found =
            join_all(self.balancers.iter().map(async |balancer| Ok((balancer.servers().await?, balancer.level().await?))));
        let found: Vec<Result<(Servers, String), TrafficError>> = found.await;
        let known: BTreeSet<&String> = found.iter().flatten().flat_map(|(servers, _)| servers.keys()).collect();
        for (Balancer { address, .. }, found) in self.balancers.iter().zip(&found) {
            let (servers, level) = match found {
                Ok(found) => found,
                Err(why) => {
                    complaints.push(why.to_string());
                    continue;
                }
            };
            // HAProxy 1.8 and older do not know the question, and answer something else.
            if ["operator", "user"].contains(&level.as_str()) {
                complaints
                    .push(format!("{address} permits `level {level}` only; draining needs `level admin` on its `stats socket`"));
            }
            let lacks = names.keys().filter(|name| known.contains(name) && !servers.contains_key(*name));
            let lacks: Vec<&str> = lacks.map(String::as_str).collect();
            if !lacks.is_empty() {
                let (backend, lacks) = (&self.settings.backend, lacks.join(", "));
                complaints.push(format!("{address} has no server {lacks} in backend {backend}, but another balancer has"));
            }
        }
        complaints
    }
}

/// One order to several balancers.
#[derive(Clone, Copy)]
struct Order<'a> {
    server: &'a str,
    state: &'static str,
    /// Whether a balancer still needs it: an order that changes nothing is not given.
    needed: fn(&Server) -> bool,
}

impl TrafficDriver for Haproxy {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(self.read_all(targets))
    }

    /// Dropped half-way, it leaves the instance drained at none, some or all balancers; ordering again mends that.
    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.drain(target))
    }

    fn sessions<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.sum_of_sessions(target))
    }

    /// Dropped half-way, it leaves the instance ready at none, some or all balancers; ordering again mends that.
    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.ready(target))
    }

    fn weighs(&self) -> bool {
        true
    }

    /// Dropped half-way, it leaves some weights as they were at some balancers; ordering again mends that.
    fn weigh<'a>(
        &'a self,
        fleet: &'a [Target],
        weights: &'a BTreeMap<InstanceId, u16>,
    ) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.weighed(fleet, weights))
    }

    fn check_weights(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.weight_complaints())
    }

    fn served<'a>(&'a self, fleet: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Served>, TrafficError>> {
        Box::pin(self.served_by(fleet))
    }

    /// Dropped half-way, it leaves the server in maintenance at some balancers; removing and adding again mends that.
    fn add<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.added(target))
    }

    fn remove<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.removed(target))
    }

    fn members(&self) -> BoxFuture<'_, Result<Vec<Found>, TrafficError>> {
        Box::pin(self.all_members())
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(try_join_all(self.balancers.iter().map(Balancer::counters)))
    }

    fn check<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.complaints(targets))
    }
}

/// `None` if one of them cannot tell.
fn sum(mut counts: impl Iterator<Item = Option<u32>>) -> Option<u32> {
    counts.try_fold(0_u32, |sum, count| Some(sum.saturating_add(count?)))
}

/// The names that HAProxy allows; anything else could end the command and begin another one.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !name.is_empty() && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(format!("{name:?} is no HAProxy name: letters, digits and - _ . : only"))
    }
}
