//! nginx without its commercial API: `down` and `weight` in a file that we may change, and a reload that is seen to have happened.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.
//!
//! The file is the state: a restart of nginx loses nothing. What nginx itself finds out about a server (`max_fails`) it tells
//! nobody; what it counts (`stub_status`) is of all its sites together and has no errors, so it is not asked.

mod one;
mod processes;
mod site;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, join_all, try_join_all};

use self::one::One;
use self::site::There;
use self::upstream::Wish;
use super::NginxSettings;
use crate::model::{InstanceId, LbStats, Rotation, Target};
use crate::os::ssh::Pool;
use crate::os::template::{self, Context};
use crate::ports::{TrafficDriver, TrafficError};

/// The driver.
pub(super) struct Nginx {
    settings: NginxSettings,
    nginxes: Vec<One>,
}

impl Nginx {
    /// Checks names, programs and the template.
    pub(super) fn new(settings: NginxSettings) -> Result<Self, String> {
        for (key, argv) in [("test", &settings.test), ("reload", &settings.reload)] {
            if argv.first().is_none_or(String::is_empty) {
                return Err(format!("[traffic] {key}: the command is empty: its first element must name a program"));
            }
        }
        let nginxes = if settings.hosts.is_empty() {
            vec![One::new(Box::new(site::Here), String::new(), settings.clone())]
        } else {
            let pool = Arc::new(Pool::new(settings.ssh.clone()));
            let there = |host: &String| {
                let site = There { pool: Arc::clone(&pool), host: host.clone() };
                One::new(Box::new(site), format!(" on {host}"), settings.clone())
            };
            settings.hosts.iter().map(there).collect()
        };
        let driver = Self { settings, nginxes };
        let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
        let (host, zone, labels) = ("localhost".to_owned(), Some("zone".to_owned()), BTreeMap::default());
        let checked = driver.rendered(&Target { id, host, port: 1, zone, labels });
        checked.map_err(|why| format!("[traffic] server: {why}"))?;
        Ok(driver)
    }

    fn rendered(&self, target: &Target) -> Result<String, String> {
        let context = Context { service: &self.settings.service, target, version: None, previous: None };
        let server = template::render(&self.settings.server, context)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:[]/".contains(c);
        if !server.is_empty() && server.chars().all(allowed) {
            Ok(server)
        } else {
            Err(format!("{server:?} is no address of a server: letters, digits and - _ . : [ ] / only"))
        }
    }

    /// The instance's address in the file.
    fn server(&self, target: &Target) -> Result<String, TrafficError> {
        self.rendered(target).map_err(|why| TrafficError::Refused(format!("[traffic] server: {why}")))
    }

    async fn read_all(&self, targets: &[Target]) -> Result<BTreeMap<InstanceId, Rotation>, TrafficError> {
        let servers = targets.iter().map(|target| self.server(target)).collect::<Result<Vec<_>, _>>()?;
        let said = try_join_all(self.nginxes.iter().map(|one| one.rotations(&servers))).await?;
        let of = |at: usize| Rotation::together(said.iter().filter_map(|said| said.get(at).copied()));
        Ok(targets.iter().enumerate().map(|(at, target)| (target.id.clone(), of(at))).collect())
    }

    /// All are told, then the first complaint is returned.
    async fn order(&self, target: &Target, wish: Wish) -> Result<Option<u32>, TrafficError> {
        let server = self.server(target)?;
        let addresses = addresses(&server).await;
        let told = join_all(self.nginxes.iter().map(|one| one.order(&server, wish, &addresses))).await;
        let left = told.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(sum(left))
    }

    async fn sum_of_sessions(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        let addresses = addresses(&self.server(target)?).await;
        Ok(sum(try_join_all(self.nginxes.iter().map(|one| one.sessions(&addresses))).await?))
    }

    /// All are told, then the first complaint is returned.
    async fn weighed(&self, fleet: &[Target], weights: &BTreeMap<InstanceId, u16>) -> Result<(), TrafficError> {
        let asked = fleet.iter().filter_map(|target| Some((target, *weights.get(&target.id)?)));
        let percents = asked.map(|(target, percent)| Ok((self.server(target)?, percent)));
        let percents = percents.collect::<Result<BTreeMap<_, _>, TrafficError>>()?;
        join_all(self.nginxes.iter().map(|one| one.weigh(&percents))).await.into_iter().collect()
    }

    async fn complaints(&self, targets: &[Target]) -> Vec<String> {
        let mut complaints: Vec<String> =
            join_all(self.nginxes.iter().map(One::complaints)).await.into_iter().flatten().collect();
        let mut servers = BTreeSet::new();
        // A name that cannot be rendered is for `read` to refuse.
        for (target, server) in targets.iter().filter_map(|target| Some((target, self.rendered(target).ok()?))) {
            if !servers.insert(server.clone()) {
                complaints.push(format!("{} has the same server {server} as another instance; see [traffic] server", target.id));
            }
        }
        complaints
    }
}

/// The server's addresses, as the kernel writes them; none if they cannot be found out.
async fn addresses(server: &str) -> Vec<String> {
    // nginx's own default.
    let with_port = if server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        server.to_owned()
    } else {
        format!("{server}:80")
    };
    match tokio::net::lookup_host(with_port).await {
        Ok(found) => found.flat_map(processes::written).collect(),
        Err(_unknown) => Vec::new(),
    }
}

/// `None` if one of them cannot tell.
fn sum(counts: Vec<Option<u32>>) -> Option<u32> {
    counts.into_iter().try_fold(0_u32, |sum, count| Some(sum.saturating_add(count?)))
}

impl TrafficDriver for Nginx {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(self.read_all(targets))
    }

    /// Dropped half-way, it leaves a file that nginx has not loaded, which the next reading tells; ordering again mends that.
    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.order(target, Wish::Out))
    }

    fn sessions<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.sum_of_sessions(target))
    }

    /// As [`Self::take_out`].
    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.order(target, Wish::In).await.map(drop) })
    }

    fn weighs(&self) -> bool {
        true
    }

    /// As [`Self::take_out`].
    fn weigh<'a>(
        &'a self,
        fleet: &'a [Target],
        weights: &'a BTreeMap<InstanceId, u16>,
    ) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.weighed(fleet, weights))
    }

    fn check_weights(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { join_all(self.nginxes.iter().map(One::no_shares)).await.into_iter().flatten().collect() })
    }

    fn add<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.order(target, Wish::Add).await.map(drop) })
    }

    fn remove<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.order(target, Wish::Remove).await.map(drop) })
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn check<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.complaints(targets))
    }
}
