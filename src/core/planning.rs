//! From what was asked and what was found to a plan, or to a refusal before anything is touched.
//!
//! Imports: state's nouns, command, model. May not: read the world; the surveys are given.

use std::collections::BTreeMap;

use crate::command::Refusal;
use crate::model::{
    Before, Count, DeploymentId, DeploymentKind, InstanceId, Member, Plan, Policy, Rotation, Survey, Target, Version,
};

use super::budget;
use super::observed::is_in_rotation;

/// What was asked, and what was found.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// The id that the deployment will have.
    pub deployment: DeploymentId,
    /// `service.env`.
    pub env: String,
    /// Where it leads.
    pub version: Version,
    /// Login of who asks.
    pub started_by: String,
    /// The rules.
    pub policy: Policy,
    /// The fleet, in order.
    pub targets: Vec<Target>,
    /// What was read of each instance just now, or why it could not be read.
    pub surveys: BTreeMap<InstanceId, Result<Survey, String>>,
    /// `--allow-outage`: the floor of `min_serving` does not hold.
    pub allow_outage: bool,
}

/// A plan, or nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// This is to be done.
    Plan(Box<Plan>),
    /// Every instance runs the version already and serves: the plan has nothing to do.
    AlreadyThere(Box<Plan>),
}

/// The plan for `request`.
///
/// # Errors
/// Refuses, with the instances and the ways out, what cannot be done without breaking the budget, the floor or a promise.
pub fn plan(mut request: PlanRequest) -> Result<Planned, Refusal> {
    if request.allow_outage {
        request.policy.strategy.min_serving = Count::Absolute(0);
    }
    let mut members: Vec<Member> = request.targets.iter().map(|target| member(&request, target)).collect();
    if members.is_empty() {
        return refuse("the fleet has no instances".to_owned());
    }
    let missing =
        named(&members, |m| m.rotation == Rotation::Missing && request.surveys.get(&m.target.id).is_some_and(Result::is_ok));
    if !missing.is_empty() {
        return refuse(format!("the balancer does not know {missing}; correct [traffic] or the fleet"));
    }
    if request.policy.health.before == Before::First {
        members.sort_by_key(|m| m.healthy || !is_in_rotation(m.rotation));
    }
    let plan = Plan {
        deployment: request.deployment,
        kind: DeploymentKind::Deploy,
        service: String::new(),
        env: request.env,
        version: request.version,
        started_by: request.started_by,
        members,
        policy: request.policy,
    };
    let plan = Plan { service: plan.deployment.service().to_owned(), ..plan };
    if plan.members.iter().all(|m| m.at_version) {
        return Ok(Planned::AlreadyThere(Box::new(plan)));
    }
    examine(&plan)?;
    Ok(Planned::Plan(Box::new(plan)))
}

fn member(request: &PlanRequest, target: &Target) -> Member {
    let survey = match request.surveys.get(&target.id) {
        Some(Ok(survey)) => Ok(survey),
        Some(Err(why)) => Err(why.clone()),
        None => Err("not read".to_owned()),
    };
    let previous = survey.as_ref().ok().and_then(|s| s.version.clone());
    let healthy = survey.as_ref().is_ok_and(|s| s.health.passed());
    let rotation = survey.as_ref().map_or(Rotation::Missing, |s| s.rotation);
    let at_version = healthy && rotation == Rotation::Serving && previous.as_ref() == Some(&request.version);
    Member {
        target: target.clone(),
        previous,
        wanted: request.version.clone(),
        rotation,
        healthy,
        health: survey.map_or_else(|why| why, |s| s.health.words()),
        at_version,
    }
}

/// The refusals that need the whole plan.
fn examine(plan: &Plan) -> Result<(), Refusal> {
    let (members, policy) = (&plan.members, &plan.policy);
    let total = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let is_out = |m: &Member| !(m.healthy && m.rotation == Rotation::Serving);
    if policy.health.before == Before::Abort && members.iter().any(is_out) {
        let list = troubles(members);
        return refuse(format!("health.before = \"abort\" and not all instances serve: {list}"));
    }
    // Those that are out will be skipped, or are repaired first; the others must be able to go back.
    let unknown = named(members, |m| m.previous.is_none() && !m.at_version && !is_out(m));
    if !unknown.is_empty() {
        return refuse(format!(
            "nobody can tell which version runs on {unknown}, so it could not be rolled back; \
             give [health] version or a driver that tells it"
        ));
    }
    let repaired_first = |m: &Member| policy.health.before == Before::First && is_in_rotation(m.rotation);
    let out = members.iter().filter(|m| is_out(m)).count();
    let out = u32::try_from(out).unwrap_or(u32::MAX);
    let max = budget::limit(policy.strategy.max_unavailable, total);
    let work = members.iter().any(|m| !m.at_version && !is_out(m));
    let blocked = members.iter().any(|m| is_out(m) && !repaired_first(m));
    if !work && !members.iter().any(|m| !m.at_version && repaired_first(m)) {
        return refuse(format!(
            "no instance can be updated, all that are not at {} yet are out of service: {}; \
             put them back in rotation, or set health.before = \"first\" to update those that only fail their check",
            plan.version,
            troubles(members)
        ));
    }
    if work && out >= max && blocked {
        return refuse(format!(
            "no room in the budget: {out} of at most {max} are out already: {}; \
             put them back in service, set health.before = \"first\" to update those that fail their check first, \
             or raise strategy.max_unavailable",
            troubles(members)
        ));
    }
    let floor = policy.strategy.min_serving.ceil_of(total);
    let others = total - out.min(total);
    let others = others.saturating_sub(u32::from(work));
    if work && others < floor {
        return refuse(format!(
            "taking out one instance leaves {others} serving, min_serving is {floor}; \
             give --allow-outage if an outage is acceptable"
        ));
    }
    Ok(())
}

fn troubles(members: &[Member]) -> String {
    let list = members.iter().filter(|m| !(m.healthy && m.rotation == Rotation::Serving));
    let list = list.map(|m| {
        let why = if m.healthy { m.rotation.words().to_owned() } else { m.health.clone() };
        format!("{} ({why})", m.target.id)
    });
    shortened(list.collect())
}

fn named(members: &[Member], which: impl Fn(&Member) -> bool) -> String {
    shortened(members.iter().filter(|m| which(m)).map(|m| m.target.id.to_string()).collect())
}

fn shortened(all: Vec<String>) -> String {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    let list = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

fn refuse<T>(message: String) -> Result<T, Refusal> {
    Err(Refusal { message })
}
