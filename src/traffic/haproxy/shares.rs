//! Shares of the traffic: weights at every balancer, read back, and what each server has served.
//!
//! Imports: ports, model, its siblings. May not: know how a command is sent.
//!
//! A weight is a share of the requests only where HAProxy balances by it: `roundrobin` meets it exactly, `random` on average.
//! With `leastconn` servers without connections are equals, so that with little traffic the least weight gets as much as any
//! (measured with 2.6: a quarter instead of a thirtieth); `first` takes no weights and does not say so; those that hash would
//! send other clients elsewhere, and the others take 0 % and 100 % only. There nothing is ordered. Clients that are bound to
//! their server, by a cookie or a stick table, stay there: weights decide about new ones. A reload forgets all weights.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};

use super::Haproxy;
use super::balancer::Balancer;
use super::tally::add;
use super::weight;
use crate::model::{InstanceId, Served, Target};
use crate::ports::TrafficError;

/// With these a server's share of the requests is that of its weight. HAProxy 2.6 has no word for `random`.
const BY_WEIGHT: [&str; 3] = ["roundrobin", "random", "unknown"];

impl Haproxy {
    /// All are told, then the first complaint is returned.
    pub(super) async fn weighed(&self, fleet: &[Target], weights: &BTreeMap<InstanceId, u16>) -> Result<(), TrafficError> {
        let asked = fleet.iter().filter_map(|target| Some((target, *weights.get(&target.id)?)));
        let percents = asked.map(|(target, percent)| Ok((self.named(target)?, percent)));
        let percents = percents.collect::<Result<BTreeMap<_, _>, TrafficError>>()?;
        join_all(self.balancers.iter().map(|balancer| self.weigh_one(balancer, &percents))).await.into_iter().collect()
    }

    /// Asks for nothing but the servers' states where all is as it should be.
    async fn weigh_one(&self, balancer: &Balancer, percents: &BTreeMap<String, u16>) -> Result<(), TrafficError> {
        let servers = balancer.state().await?;
        if let Some(unknown) = percents.keys().find(|name| !servers.contains_key(*name)) {
            let (at, server) = (&balancer.address, self.full(unknown));
            return Err(TrafficError::Refused(format!("{at} has no server {server}; see [traffic] server")));
        }
        let wanted = weight::wanted(&servers, percents);
        let orders = weight::orders(&servers, &wanted);
        if orders.is_empty() {
            return Ok(());
        }
        // To put weights back is possible whatever the algorithm, and right.
        if let Some(why) = if percents.is_empty() { None } else { self.no_shares(balancer).await? } {
            return Err(TrafficError::Refused(why));
        }
        balancer.weigh(&orders).await?;
        let after = balancer.state().await?;
        let has = |name: &String| after.get(name).map(|server| server.weight);
        match orders.iter().find(|(name, weight)| has(name) != Some(*weight)) {
            Some((name, weight)) => Err(TrafficError::NotConfirmed(format!(
                "{} was given the weight {weight}, but {} shows {}; an agent check sets weights, too",
                self.full(name),
                balancer.address,
                has(name).map_or_else(|| "no such server".to_owned(), |weight| weight.to_string())
            ))),
            None => Ok(()),
        }
    }

    /// Why weights are no shares at this balancer, if they are none.
    async fn no_shares(&self, balancer: &Balancer) -> Result<Option<String>, TrafficError> {
        let Some(algorithm) = balancer.algorithm().await? else { return Ok(None) };
        let why = || {
            format!(
                "backend {} at {} balances by {algorithm}, where a weight is no share of the requests: use steps with `instances` \
                 instead of `weight`, or `balance roundrobin`",
                self.settings.backend, balancer.address
            )
        };
        Ok((!BY_WEIGHT.contains(&&*algorithm)).then(why))
    }

    /// What would keep weights from being shares.
    pub(super) async fn weight_complaints(&self) -> Vec<String> {
        let asked = join_all(self.balancers.iter().map(|balancer| self.no_shares(balancer))).await;
        // What cannot be asked is for the other check to tell.
        asked.into_iter().filter_map(|answer| answer.ok().flatten()).collect()
    }

    pub(super) async fn served_by(&self, fleet: &[Target]) -> Result<BTreeMap<InstanceId, Served>, TrafficError> {
        let names = fleet.iter().map(|target| Ok((&target.id, self.named(target)?)));
        let names = names.collect::<Result<Vec<_>, TrafficError>>()?;
        let counted = try_join_all(self.balancers.iter().map(Balancer::served)).await?;
        let mut sums = BTreeMap::new();
        for (id, name) in names {
            for served in counted.iter().filter_map(|servers| servers.get(&name)) {
                add(sums.entry(id.clone()).or_default(), *served);
            }
        }
        Ok(sums)
    }
}
