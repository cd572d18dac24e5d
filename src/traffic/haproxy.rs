//! HAProxy's runtime API: drain, ready, and what it says of its servers, over one or several sockets.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.
//!
//! An order counts only when it is read back. Maintenance is never ours: an instance in it is neither drained nor
//! admitted. If one of several balancers fails, what the others were told stands: the same order is tried again, and
//! `admit` takes it back.

mod reply;
mod socket;

use std::collections::BTreeMap;

use futures::future::{BoxFuture, try_join_all};

use self::reply::{Server, Servers};
use self::socket::Address;
use super::HaproxySettings;
use crate::model::{InstanceId, LbStats, Rotation, Target};
use crate::os::template::{self, Context};
use crate::ports::{TrafficDriver, TrafficError};

/// The driver.
pub(super) struct Haproxy {
    settings: HaproxySettings,
    balancers: Vec<Address>,
}

impl Haproxy {
    /// Checks addresses, backend and template.
    pub(super) fn new(settings: HaproxySettings) -> Result<Self, String> {
        let balancers = settings.sockets.iter().map(|text| Address::new(text)).collect::<Result<Vec<_>, _>>();
        let balancers = balancers.map_err(|why| format!("[traffic] sockets: {why}"))?;
        if balancers.is_empty() {
            return Err("[traffic] sockets: at least one is needed".to_owned());
        }
        check_name(&settings.backend).map_err(|why| format!("[traffic] backend: {why}"))?;
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

    async fn ask(&self, balancer: &Address, command: &str) -> Result<String, TrafficError> {
        balancer.ask(command, self.settings.timeout).await
    }

    /// What one balancer says of all servers of the backend.
    async fn servers(&self, balancer: &Address) -> Result<Servers, TrafficError> {
        let backend = &self.settings.backend;
        let command = format!("show servers state {backend}");
        let unexpected = |command: &str, what: String| {
            TrafficError::Refused(format!("{balancer} answered {what} to `{command}`; see [traffic] backend"))
        };
        let state = self.ask(balancer, &command).await?;
        let mut servers = reply::servers_state(&state, backend).map_err(|what| unexpected(&command, what))?;
        let stat = self.ask(balancer, "show stat").await?;
        reply::add_stat(&mut servers, &stat, backend).map_err(|what| unexpected("show stat", what))?;
        Ok(servers)
    }

    /// What each balancer says of one server, which every one of them must know.
    async fn each(&self, name: &str) -> Result<Vec<(&Address, Server)>, TrafficError> {
        try_join_all(self.balancers.iter().map(async |balancer| {
            let server = self.servers(balancer).await?.remove(name);
            let server = server.ok_or_else(|| {
                TrafficError::Refused(format!("{balancer} has no server {}; see [traffic] server", self.full(name)))
            })?;
            Ok((balancer, server))
        }))
        .await
    }

    /// As [`Self::each`], but an error if the server is in maintenance anywhere: that is somebody else's order.
    async fn each_free(&self, name: &str) -> Result<Vec<(&Address, Server)>, TrafficError> {
        let servers = self.each(name).await?;
        match servers.iter().find(|(_, server)| server.in_maintenance()) {
            Some((balancer, _)) => Err(TrafficError::Refused(format!(
                "{} is in maintenance at {balancer}, which we did not order; whoever did must end it (`set server {} state ready`)",
                self.full(name),
                self.full(name)
            ))),
            None => Ok(servers),
        }
    }

    /// Sets the state of a server at those balancers where `needed`.
    async fn order(&self, servers: &[(&Address, Server)], order: Order<'_>) -> Result<(), TrafficError> {
        let command = format!("set server {} state {}", self.full(order.server), order.state);
        let needed = servers.iter().filter(|(_, server)| (order.needed)(server));
        let orders = needed.map(async |(balancer, _)| {
            let answer = self.ask(balancer, &command).await?;
            reply::ordered(&answer).map_err(|what| {
                TrafficError::Refused(format!("{balancer} answered {what} to `{command}`; the socket needs `level admin`"))
            })
        });
        try_join_all(orders).await.map(drop)
    }

    fn full(&self, name: &str) -> String {
        format!("{}/{name}", self.settings.backend)
    }

    async fn read_all(&self, targets: &[Target]) -> Result<BTreeMap<InstanceId, Rotation>, TrafficError> {
        let names = targets.iter().map(|target| Ok((&target.id, self.named(target)?)));
        let names = names.collect::<Result<Vec<_>, TrafficError>>()?;
        let balancers = try_join_all(self.balancers.iter().map(|balancer| self.servers(balancer))).await?;
        let least = |name: &str| {
            let said = balancers.iter().map(|servers| servers.get(name).map_or(Rotation::Missing, Server::rotation));
            // From serving to missing the variants become less favourable, and are ordered so.
            said.max().unwrap_or(Rotation::Missing)
        };
        Ok(names.into_iter().map(|(id, name)| (id.clone(), least(&name))).collect())
    }

    async fn drain(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        let name = self.named(target)?;
        let before = self.each_free(&name).await?;
        self.order(&before, Order { server: &name, state: "drain", needed: |server| !server.ordered_to_drain() }).await?;
        let after = self.each_free(&name).await?;
        match after.iter().find(|(_, server)| !server.drains()) {
            Some((balancer, server)) => Err(TrafficError::NotConfirmed(format!(
                "{} was ordered to drain, but {balancer} shows it as {:?}",
                self.full(&name),
                server.status()
            ))),
            None => Ok(sum_of_sessions(&after)),
        }
    }

    async fn ready(&self, target: &Target) -> Result<(), TrafficError> {
        let name = self.named(target)?;
        let before = self.each_free(&name).await?;
        self.order(&before, Order { server: &name, state: "ready", needed: Server::ordered_to_drain }).await?;
        let after = self.each_free(&name).await?;
        match after.iter().find(|(_, server)| server.rotation() != Rotation::Serving) {
            Some((balancer, server)) => Err(TrafficError::NotConfirmed(format!(
                "{} is {} ({} at {balancer})",
                self.full(&name),
                server.rotation().words(),
                server.status()
            ))),
            None => Ok(()),
        }
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
        Box::pin(async move { Ok(sum_of_sessions(&self.each(&self.named(target)?).await?)) })
    }

    /// Dropped half-way, it leaves the instance ready at none, some or all balancers; ordering again mends that.
    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.ready(target))
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

fn sum_of_sessions(servers: &[(&Address, Server)]) -> Option<u32> {
    servers.iter().map(|(_, server)| server.sessions).try_fold(0_u32, |sum, sessions| Some(sum.saturating_add(sessions?)))
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
