//! From what was asked and what was found to a plan, or to a refusal before anything is touched.
//!
//! Imports: state's nouns, command, model. May not: read the world; the surveys are given.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::Refusal;
use crate::model::{
    Before, Confirm, Count, DeploymentId, DeploymentKind, InstanceId, Member, OnFailure, Pacing, Plan, Policy, Rotation, Span,
    Survey, Target, Version, Zones,
};

use super::undo::Undo;
use super::{budget, canary, rolling};

/// Which instances take part, and what is waived for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `--only`: these alone; all if it is empty.
    pub only: Vec<InstanceId>,
    /// `--exclude`: all but these.
    pub exclude: Vec<InstanceId>,
    /// `--no-rollback-for`: these may be updated although nobody knows what they run now.
    pub no_rollback_for: Vec<InstanceId>,
}

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
    /// Where extra capacity is started while the fleet is updated, and nothing runs otherwise.
    pub spares: Vec<Target>,
    /// What was read of each instance just now, or why it could not be read.
    pub surveys: BTreeMap<InstanceId, Result<Survey, String>>,
    /// `--allow-outage`: the floor of `min_serving` does not hold.
    pub allow_outage: bool,
    /// `--restart`: instances at the version are updated as well.
    pub restart: bool,
    /// Who takes part.
    pub selection: Selection,
    /// Instances that earlier deployments of this service left out of rotation: see `left_out`.
    pub left_out: BTreeSet<InstanceId>,
    /// It is a rollback of a deployment that has ended: see `undo`.
    pub undo: Option<Undo>,
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
    let kind = match &request.undo {
        Some(undo) => {
            go_back_by(&mut request.policy);
            DeploymentKind::Rollback { undoes: undo.undoes.clone() }
        }
        None => DeploymentKind::Deploy,
    };
    check_selection(&request)?;
    let mut members: Vec<Member> = request.targets.iter().map(|target| member(&request, target)).collect();
    if members.is_empty() {
        return refuse("the fleet has no instances".to_owned());
    }
    let read = |m: &Member| request.surveys.get(&m.target.id).is_some_and(Result::is_ok);
    let missing = named(&members, |m| m.rotation == Rotation::Missing && m.excluded.is_none() && read(m));
    if !missing.is_empty() {
        return refuse(format!("the balancer does not know {missing}; correct [traffic] or the fleet"));
    }
    sort(&mut members, &request);
    members.extend(request.spares.iter().map(|target| Member { spare: true, previous: None, ..member(&request, target) }));
    let plan = Plan {
        service: request.deployment.service().to_owned(),
        deployment: request.deployment,
        kind,
        env: request.env,
        version: request.version,
        started_by: request.started_by,
        members,
        restart: request.restart,
        policy: request.policy,
    };
    let mut taking_part = plan.members.iter().filter(|m| m.excluded.is_none() && !m.spare).peekable();
    if taking_part.peek().is_none() {
        return refuse("no instance is left to take part; see --only and --exclude".to_owned());
    }
    if taking_part.all(|m| m.at_version) {
        return Ok(Planned::AlreadyThere(Box::new(plan)));
    }
    examine(&plan, &request.selection)?;
    Ok(Planned::Plan(Box::new(plan)))
}

/// A rollback goes by its own budget, without steps, pauses, analysis and questions, and what fails in it is listed while the rest goes on.
fn go_back_by(policy: &mut Policy) {
    let at_once = policy.rollback.max_unavailable;
    let strategy = &mut policy.strategy;
    (strategy.batch_size, strategy.max_unavailable) = (vec![at_once], at_once);
    (strategy.batch_pause, strategy.min_healthy_time) = (Span::ZERO, Span::ZERO);
    (strategy.pacing, strategy.zones, strategy.confirm) = (Pacing::Batch, Zones::Any, Confirm::None);
    policy.rollback.on_failure = OnFailure::Continue;
    (policy.canary, policy.analysis) = (None, None);
    if policy.health.before == Before::Abort {
        policy.health.before = Before::Skip;
    }
}

/// Everybody named must be in the fleet.
fn check_selection(request: &PlanRequest) -> Result<(), Refusal> {
    let Selection { only, exclude, no_rollback_for } = &request.selection;
    for (flag, ids) in [("--only", only), ("--exclude", exclude), ("--no-rollback-for", no_rollback_for)] {
        if let Some(unknown) = ids.iter().find(|id| !request.targets.iter().any(|t| t.id == **id)) {
            return refuse(format!("{flag} {unknown}: there is no such instance in the fleet"));
        }
    }
    Ok(())
}

/// Those that are repaired first, then, in a rollback, its own order, else zone by zone if that is asked, else as given.
fn sort(members: &mut [Member], request: &PlanRequest) {
    let order = request.undo.as_ref().map(Undo::by_id).unwrap_or_default();
    let mut zones: Vec<Option<String>> = Vec::new();
    if request.policy.strategy.zones == Zones::OneByOne {
        for member in members.iter() {
            if !zones.contains(&member.target.zone) {
                zones.push(member.target.zone.clone());
            }
        }
    }
    members.sort_by_key(|m| {
        let zone = zones.iter().position(|z| *z == m.target.zone);
        let place = order.get(&m.target.id).map_or(usize::MAX, |(place, _)| *place);
        (!rolling::is_repaired(&request.policy, m), zone, place)
    });
}

/// Why an instance has no part in it.
fn excluded(request: &PlanRequest, id: &InstanceId) -> Option<String> {
    let Selection { only, exclude, .. } = &request.selection;
    if exclude.contains(id) {
        return Some(format!("excluded by {}", request.started_by));
    }
    if !only.is_empty() && !only.contains(id) {
        return Some("not among --only".to_owned());
    }
    let undo = request.undo.as_ref()?;
    (!undo.wanted.iter().any(|(back, _)| back == id)).then(|| format!("left as it is by {}", undo.undoes))
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
    let undone = request.undo.as_ref().and_then(|undo| undo.wanted.iter().find(|(id, _)| *id == target.id));
    let wanted = undone.map_or(&request.version, |(_, version)| version);
    let there = healthy && rotation == Rotation::Serving && previous.as_ref() == Some(wanted);
    let excluded = excluded(request, &target.id);
    Member {
        target: target.clone(),
        at_version: there && !request.restart && excluded.is_none(),
        left_out: request.left_out.contains(&target.id),
        excluded,
        wanted: wanted.clone(),
        previous,
        rotation,
        healthy,
        health: survey.map_or_else(|why| why, |s| s.health.words()),
        spare: false,
    }
}

/// The refusals that need the whole plan.
fn examine(plan: &Plan, selection: &Selection) -> Result<(), Refusal> {
    let policy = &plan.policy;
    let members: Vec<&Member> = plan.members.iter().filter(|m| m.excluded.is_none() && !m.spare).collect();
    let total = plan.total();
    spares(plan)?;
    if policy.health.before == Before::Abort && members.iter().any(|m| !m.serves()) {
        return refuse(format!("health.before = \"abort\" and not all instances serve: {}", troubles(&members)));
    }
    // Those that are out will be skipped, or are repaired first; the others must be able to go back.
    let waived = |m: &Member| selection.no_rollback_for.contains(&m.target.id);
    let unknown = shortened(
        members.iter().filter(|m| m.previous.is_none() && m.serves() && !waived(m)).map(|m| m.target.id.to_string()).collect(),
    );
    if !unknown.is_empty() {
        return refuse(format!(
            "nobody can tell which version runs on {unknown}, so it could not be rolled back; give [health] version or a driver \
             that tells it, or accept that with --no-rollback-for"
        ));
    }
    let repaired = |m: &&Member| rolling::is_repaired(policy, m);
    let out = number(members.iter().filter(|m| !m.serves()).count());
    let dead = number(plan.members.iter().filter(|m| !m.spare && !m.serves()).count());
    let max = budget::own(plan) + plan.spares();
    let work = members.iter().any(|m| !m.at_version && m.serves());
    let blocked = members.iter().any(|m| !m.serves() && !repaired(m));
    if !work && !members.iter().any(|m| !m.at_version && repaired(m)) {
        return refuse(format!(
            "no instance can be updated, all that are not at {} yet are out of service: {}; \
             put them back in rotation, or set health.before = \"first\" to update those that only fail their check",
            plan.version,
            troubles(&members)
        ));
    }
    if work && out >= max && blocked {
        return refuse(format!(
            "no room in the budget: {out} of at most {max} are out already: {}; put them back in service, leave them out of this \
             deployment with --exclude, set health.before = \"first\" to update those that fail their check first, or raise \
             strategy.max_unavailable",
            troubles(&members)
        ));
    }
    let floor = policy.strategy.min_serving.ceil_of(total);
    let others = (total + plan.spares()).saturating_sub(dead).saturating_sub(u32::from(work));
    if work && others < floor {
        return refuse(format!(
            "taking out one instance leaves {others} serving, min_serving is {floor}{}; \
             give --allow-outage if an outage is acceptable",
            if dead > 0 {
                format!("; out already: {}", troubles(&plan.members.iter().filter(|m| !m.spare).collect::<Vec<_>>()))
            } else {
                String::new()
            }
        ));
    }
    Ok(())
}

/// Extra capacity runs the new version: it is of the first canary step, and not more than that. Where it is to be, nothing may
/// serve already: it would not be extra, and nobody could go back to it.
fn spares(plan: &Plan) -> Result<(), Refusal> {
    let spares = plan.spares();
    if let Some(first) = canary::first_count(plan).filter(|first| spares > *first) {
        return refuse(format!(
            "strategy.max_surge starts {spares} on {} at once, the first canary step that takes any is {first}: lower max_surge, \
             or let the first step take more",
            plan.version
        ));
    }
    let in_rotation = named(&plan.members, |m| m.spare && matches!(m.rotation, Rotation::Serving | Rotation::Partly));
    if in_rotation.is_empty() {
        return Ok(());
    }
    refuse(format!(
        "{in_rotation} of fleet.spares in rotation already; if an earlier deployment left it there, take it out and stop what \
         runs there, else list it in fleet.instances"
    ))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn troubles(members: &[&Member]) -> String {
    let list = members.iter().filter(|m| !m.serves());
    shortened(list.map(|m| format!("{} ({})", m.target.id, m.trouble())).collect())
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
