//! Caddy's admin API: an upstream goes out of the list and back to its place, and what Caddy counts of its requests.
//!
//! Imports: ports, model, os, its children. May not: know another kind of adapter.
//!
//! Caddy tells the requests under way and the failed ones of an upstream (`/reverse_proxy/upstreams`), but of its own active
//! health checks only a gauge that is up to ten seconds old. A configuration that is loaded anew, or a restart without
//! `--resume`, forgets who was out: the next reading shows that. In a configuration that is changed, Caddy 2.6 closes all
//! WebSockets of the handler, of every upstream; since 2.7 `stream_close_delay` keeps them.

mod admin;
mod handler;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{BoxFuture, join_all, try_join_all};

use self::admin::{Address, Admin};
use self::handler::{Handler, Standing, Wish};
use super::CaddySettings;
use crate::model::{InstanceId, LbStats, Rotation, Target};
use crate::os::template::{self, Context};
use crate::os::text;
use crate::ports::{TrafficDriver, TrafficError};

/// How often a change is begun anew because somebody else changed the configuration meanwhile.
const TRIES: u32 = 8;
/// As much of a metric's line as is looked at.
const GAUGE: &str = "caddy_reverse_proxy_upstreams_healthy{upstream=\"";

/// The driver.
pub(super) struct Caddy {
    settings: CaddySettings,
    admins: Vec<Admin>,
}

/// What Caddy knows of an upstream besides its place.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    requests: u32,
    fails: u64,
}

/// What one Caddy says.
struct Said {
    handler: Handler,
    etag: String,
    counted: BTreeMap<String, Counted>,
    /// Upstreams of which its own check says no.
    unhealthy: BTreeSet<String>,
}

impl Said {
    fn rotation(&self, server: &str) -> Rotation {
        match self.handler.standing(server) {
            None => Rotation::Missing,
            Some(Standing::Out) => Rotation::Draining,
            Some(Standing::In) => {
                let fails = self.counted.get(server).map_or(0, |counted| counted.fails);
                let failing = self.handler.max_fails().is_some_and(|max| fails >= max);
                if failing || self.unhealthy.contains(server) { Rotation::Down } else { Rotation::Serving }
            }
        }
    }

    fn sessions(&self, server: &str) -> Option<u32> {
        self.counted.get(server).map(|counted| counted.requests)
    }
}

impl Caddy {
    /// Checks addresses and the template.
    pub(super) fn new(settings: CaddySettings) -> Result<Self, String> {
        let admin = |text: &String| Ok(Admin::new(Address::new(text)?, settings.timeout));
        let admins = settings.admin.iter().map(admin).collect::<Result<Vec<_>, String>>();
        let admins = admins.map_err(|why| format!("[traffic] admin: {why}"))?;
        if admins.is_empty() {
            return Err("[traffic] admin: at least one is needed".to_owned());
        }
        let driver = Self { settings, admins };
        let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
        let (host, zone, labels) = ("localhost".to_owned(), Some("zone".to_owned()), BTreeMap::default());
        let checked = driver.rendered(&Target { id, host, port: 1, zone, labels });
        checked.map_err(|why| format!("[traffic] server: {why}"))?;
        Ok(driver)
    }

    fn rendered(&self, target: &Target) -> Result<String, String> {
        template::render(
            &self.settings.server,
            Context { service: &self.settings.service, target, version: None, previous: None },
        )
    }

    /// The instance's `dial`.
    fn server(&self, target: &Target) -> Result<String, TrafficError> {
        self.rendered(target).map_err(|why| TrafficError::Refused(format!("[traffic] server: {why}")))
    }

    /// The handler at one Caddy, and its `ETag`.
    async fn handler(&self, admin: &Admin) -> Result<(Handler, String), TrafficError> {
        let path = &self.settings.handler;
        let refused = |why: &str| TrafficError::Refused(format!("{}{path}: {why}", admin.address));
        let answer = admin.get(path).await?;
        if answer.status != 200 {
            let why = answer.words();
            return Err(if answer.status >= 500 {
                TrafficError::Unreachable(format!("{}{path}: {why}", admin.address))
            } else {
                refused(&format!("{why}; see [traffic] id or handler"))
            });
        }
        let handler = Handler::read(&answer.body).map_err(|why| refused(&format!("{why}; see [traffic] id or handler")))?;
        let etag = answer.etag.ok_or_else(|| refused("the answer has no ETag; Caddy 2.5 or younger is needed"))?;
        Ok((handler, etag))
    }

    async fn said(&self, admin: &Admin) -> Result<Said, TrafficError> {
        let (handler, etag) = self.handler(admin).await?;
        let answer = admin.get("/reverse_proxy/upstreams").await?;
        let counted = counted(&answer.body).filter(|_| answer.status == 200);
        let unexpected = || TrafficError::Refused(format!("{}/reverse_proxy/upstreams: {}", admin.address, answer.words()));
        let counted = counted.ok_or_else(unexpected)?;
        let unhealthy = if handler.checks() { unhealthy(&admin.get("/metrics").await?.body) } else { BTreeSet::new() };
        Ok(Said { handler, etag, counted, unhealthy })
    }

    async fn all(&self) -> Result<Vec<Said>, TrafficError> {
        try_join_all(self.admins.iter().map(|admin| self.said(admin))).await
    }

    async fn read_all(&self, targets: &[Target]) -> Result<BTreeMap<InstanceId, Rotation>, TrafficError> {
        let servers = targets.iter().map(|target| Ok((&target.id, self.server(target)?)));
        let servers = servers.collect::<Result<Vec<_>, TrafficError>>()?;
        let said = self.all().await?;
        let of = |server: &str| Rotation::together(said.iter().map(|said| said.rotation(server)));
        Ok(servers.into_iter().map(|(id, server)| (id.clone(), of(&server))).collect())
    }

    /// Changes one Caddy's handler until it reads back as wished.
    async fn order_one(&self, admin: &Admin, server: &str, wish: Wish) -> Result<Said, TrafficError> {
        let at = format!("{}{}", admin.address, self.settings.handler);
        let _turn = admin.turn.lock().await;
        for _ in 0..TRIES {
            let said = self.said(admin).await?;
            Self::possible(&at, server, wish, &said)?;
            let mut wanted = said.handler.clone();
            wanted.wish(server, wish);
            if wanted == said.handler {
                return Ok(said);
            }
            let answer = admin.replace(&self.settings.handler, wanted.json(), said.etag).await?;
            match answer.status {
                // Read back at the beginning of the next round; somebody else was faster in the other case.
                200 | 412 => {}
                500.. => return Err(TrafficError::NotConfirmed(format!("{at}: {}", answer.words()))),
                _ => return Err(TrafficError::Refused(format!("{at} refused the change: {}", answer.words()))),
            }
        }
        Err(TrafficError::NotConfirmed(format!(
            "{at} does not show the change of {server}; somebody else changes it all the time"
        )))
    }

    fn possible(at: &str, server: &str, wish: Wish, said: &Said) -> Result<(), TrafficError> {
        match (wish, said.handler.standing(server)) {
            (Wish::Out | Wish::In, None) => Err(TrafficError::Refused(format!(
                "{at} has no upstream {server}, and we did not take it out; whoever did must put it back, or see [traffic] server"
            ))),
            (Wish::Remove, Some(standing)) => {
                let left = said.sessions(server);
                if standing == Standing::In || left == Some(0) {
                    return Ok(());
                }
                let left = left.map_or_else(|| "an unknown number of requests".to_owned(), |left| text::counted(left, "request"));
                Err(TrafficError::NotConfirmed(format!("{server} still has {left}, so it is not removed from {at} yet")))
            }
            _ => Ok(()),
        }
    }

    /// All are told, then the first complaint is returned.
    async fn order(&self, target: &Target, wish: Wish) -> Result<(String, Vec<Said>), TrafficError> {
        let server = self.server(target)?;
        let told = join_all(self.admins.iter().map(|admin| self.order_one(admin, &server, wish))).await;
        Ok((server, told.into_iter().collect::<Result<Vec<_>, _>>()?))
    }

    async fn out(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        let (server, said) = self.order(target, Wish::Out).await?;
        Ok(sum(&said, &server))
    }

    async fn into(&self, target: &Target) -> Result<(), TrafficError> {
        let (server, said) = self.order(target, Wish::In).await?;
        let down = said.iter().zip(&self.admins).find(|(said, _)| said.rotation(&server) != Rotation::Serving);
        down.map_or(Ok(()), |(said, admin)| {
            let words = said.rotation(&server).words();
            Err(TrafficError::NotConfirmed(format!("{server} is {words} ({})", admin.address)))
        })
    }

    /// Out first, so that its requests are counted to their end.
    async fn removed(&self, target: &Target) -> Result<(), TrafficError> {
        let server = self.server(target)?;
        let said = self.all().await?;
        if said.iter().any(|said| said.handler.standing(&server) == Some(Standing::In)) {
            self.order(target, Wish::Out).await?;
        }
        self.order(target, Wish::Remove).await.map(drop)
    }

    async fn sum_of_sessions(&self, target: &Target) -> Result<Option<u32>, TrafficError> {
        let server = self.server(target)?;
        Ok(sum(&self.all().await?, &server))
    }

    async fn complaints(&self, targets: &[Target]) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut servers = BTreeMap::new();
        // A name that cannot be rendered is for `read` to refuse.
        for (target, server) in targets.iter().filter_map(|target| Some((target, self.rendered(target).ok()?))) {
            if let Some(other) = servers.insert(server.clone(), &target.id) {
                complaints.push(format!("{other} and {} are the same upstream {server}; see [traffic] server", target.id));
            }
        }
        let found = join_all(self.admins.iter().map(|admin| self.said(admin))).await;
        let known = |server: &String| found.iter().flatten().any(|said| said.handler.standing(server).is_some());
        for (admin, found) in self.admins.iter().zip(&found) {
            match found {
                Err(why) => complaints.push(why.to_string()),
                Ok(said) => {
                    let lacks = servers.keys().filter(|server| known(server) && said.handler.standing(server).is_none());
                    let lacks: Vec<&str> = lacks.map(String::as_str).collect();
                    if !lacks.is_empty() {
                        let lacks = lacks.join(", ");
                        complaints.push(format!("{} has no upstream {lacks}, but another balancer has", admin.address));
                    }
                }
            }
        }
        complaints
    }
}

/// What Caddy counts of each upstream.
fn counted(json: &[u8]) -> Option<BTreeMap<String, Counted>> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let of = |entry: &serde_json::Value| {
        let requests = entry.get("num_requests")?.as_i64()?;
        let requests = u32::try_from(requests.max(0)).unwrap_or(u32::MAX);
        let fails = entry.get("fails").and_then(serde_json::Value::as_u64).unwrap_or(0);
        Some((entry.get("address")?.as_str()?.to_owned(), Counted { requests, fails }))
    };
    match value {
        serde_json::Value::Array(entries) => entries.iter().map(of).collect(),
        // Nothing was ever proxied.
        serde_json::Value::Null => Some(BTreeMap::new()),
        _ => None,
    }
}

/// The upstreams whose gauge is 0.
fn unhealthy(metrics: &[u8]) -> BTreeSet<String> {
    let metrics = String::from_utf8_lossy(metrics);
    let of = |line: &str| line.strip_prefix(GAUGE)?.strip_suffix("\"} 0").map(ToOwned::to_owned);
    metrics.lines().filter_map(of).collect()
}

/// `None` if one of them cannot tell.
fn sum(said: &[Said], server: &str) -> Option<u32> {
    said.iter().try_fold(0_u32, |sum, said| Some(sum.saturating_add(said.sessions(server)?)))
}

impl TrafficDriver for Caddy {
    fn read<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(self.read_all(targets))
    }

    /// Dropped half-way, it leaves the instance out at none, some or all balancers; ordering again mends that.
    fn take_out<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.out(target))
    }

    fn sessions<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(self.sum_of_sessions(target))
    }

    /// As [`Self::take_out`].
    fn admit<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.into(target))
    }

    fn add<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move { self.order(target, Wish::Add).await.map(drop) })
    }

    fn remove<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(self.removed(target))
    }

    fn counters(&self) -> BoxFuture<'_, Result<Vec<LbStats>, TrafficError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn check<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.complaints(targets))
    }
}
