//! Undoing a deployment that has ended: who goes back to what, and what it left out of rotation.
//!
//! Imports: state, model. May not: decide whether to; act.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{DeploymentId, InstanceId, Version};
use crate::state::{Goal, Phase, State};

/// A deployment of kind `rollback`, before it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The one that it undoes.
    pub undoes: DeploymentId,
    /// Where each instance goes, in the order in which they are taken. Others have no part in it.
    pub wanted: Vec<(InstanceId, Version)>,
}

impl Undo {
    pub(super) fn by_id(&self) -> BTreeMap<&InstanceId, (usize, &Version)> {
        self.wanted.iter().enumerate().map(|(place, (id, version))| (id, (place, version))).collect()
    }
}

/// What undoes the ended deployment `state`: every instance that it left on another version than it had before goes back
/// to its own, those that serve nothing first, then the newest first. `None` if there is nothing to undo.
pub fn undo(state: &State) -> Option<Undo> {
    let mut back: Vec<_> = state
        .plan
        .members
        .iter()
        .zip(state.instances.values())
        .filter(|(_, i)| i.exposed && i.phase != Phase::RolledBack)
        .filter_map(|(member, i)| {
            Some((i.serving, std::cmp::Reverse(i.order), member.target.id.clone(), member.previous.clone()?))
        })
        .collect();
    back.sort();
    let wanted: Vec<_> = back.into_iter().map(|(.., id, version)| (id, version)).collect();
    (!wanted.is_empty()).then(|| Undo { undoes: state.plan.deployment.clone(), wanted })
}

/// Instances that the ended deployment `state`, or one before it, took out of rotation and could not put back.
pub fn left_out(state: &State) -> BTreeSet<InstanceId> {
    let members = state.plan.members.iter().zip(state.instances.iter());
    let left = members.filter(|(member, (_, i))| {
        let inherited = member.is_left_out() && i.attempt == 0;
        // A spare that the balancer knows by its own configuration stays out when it is stopped.
        let retired = i.spare && i.goal == Goal::Back && i.phase == Phase::Skipped;
        !i.serving && !i.foreign && (i.ours || inherited || retired)
    });
    left.map(|(_, (id, _))| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{Fixture, id, policy};
    use crate::core::{PlanRequest, Planned, Selection, batches, plan};
    use crate::model::{Before, Count, DeploymentKind, OnFailure, Plan, Rotation, SampleResult, Span, Survey};

    /// Two on v2, one failed and left out, one on v1.
    fn mixed() -> Fixture {
        let mut run = Fixture::new(4)
            .with(|p| {
                (p.rollback.on_failure, p.strategy.batch_size) = (OnFailure::Continue, vec![Count::Absolute(1)]);
            })
            .started();
        run.bring_to_gate(1);
        run.misses(1, 3);
        for n in [2, 3] {
            run.wait(Span::from_secs(10));
            run.bring_to_healthy(n);
        }
        run
    }

    fn request(run: &Fixture, change: impl FnOnce(&mut PlanRequest)) -> Result<Planned, crate::command::Refusal> {
        let survey = |n: u32| {
            let instance = run.state.instance(&id(n)).unwrap();
            let version = instance.version.as_ref().map_or("v2", |v| v.as_str());
            let mut survey: Survey = run.survey(n, version);
            if !instance.serving {
                survey.rotation = Rotation::Draining;
                survey.health.result = SampleResult::Miss { reason: "status 503".to_owned() };
            }
            (id(n), Ok(survey))
        };
        let mut request = PlanRequest {
            deployment: DeploymentId::new("shop", 2),
            env: "default".to_owned(),
            version: Version::new("v1").unwrap(),
            started_by: "ana".to_owned(),
            policy: policy(),
            targets: run.plan.members.iter().map(|m| m.target.clone()).collect(),
            spares: Vec::new(),
            surveys: (1..=run.state.total()).map(survey).collect(),
            allow_outage: false,
            restart: false,
            selection: Selection::default(),
            left_out: left_out(&run.state),
            undo: None,
        };
        change(&mut request);
        plan(request)
    }

    fn planned(result: Result<Planned, crate::command::Refusal>) -> Plan {
        match result.unwrap() {
            Planned::Plan(plan) => *plan,
            Planned::AlreadyThere(_) => panic!("there is something to do"),
        }
    }

    #[test]
    fn an_ended_deployment_is_undone_worst_first_then_newest_first() {
        let run = mixed();
        let undo = undo(&run.state).unwrap();
        assert_eq!(undo.undoes.to_string(), "shop-1");
        let order: Vec<String> = undo.wanted.iter().map(|(id, version)| format!("{id} {version}")).collect();
        assert_eq!(order, ["web-01 v1", "web-03 v1", "web-02 v1"]);
        let plan = planned(request(&run, |r| r.undo = Some(undo)));
        assert_eq!(plan.kind, DeploymentKind::Rollback { undoes: DeploymentId::new("shop", 1) });
        let taken: Vec<String> = batches(&plan).iter().flat_map(|b| b.members.iter().map(ToString::to_string)).collect();
        assert_eq!(taken, ["web-01", "web-03", "web-02"], "the untouched one has no part in it");
        assert_eq!(plan.policy.rollback.on_failure, OnFailure::Continue, "never a rollback of a rollback");
        assert!(plan.policy.strategy.batch_pause.is_zero());
    }

    #[test]
    fn what_an_earlier_deployment_left_out_may_be_taken_but_not_what_others_did() {
        let mut run = Fixture::new(3).with(|p| p.rollback.on_failure = OnFailure::Continue).started();
        run.bring_to_gate(1);
        run.misses(1, 3);
        run.command(crate::core::testing::cancel());
        run.command(crate::core::testing::cancel());
        assert_eq!(left_out(&run.state).into_iter().collect::<Vec<_>>(), [id(1)]);
        let next = |r: &mut PlanRequest| r.version = Version::new("v3").unwrap();
        let plan = planned(request(&run, next));
        assert_eq!(batches(&plan)[0].members[0], id(1), "it is repaired first");
        let foreign = request(&run, |r| {
            next(r);
            r.policy.health.before = Before::First;
            for survey in r.surveys.values_mut().flatten() {
                if survey.rotation == Rotation::Draining {
                    survey.rotation = Rotation::Maintenance;
                }
            }
        });
        assert!(!batches(&planned(foreign)).iter().any(|b| b.members.contains(&id(1))), "maintenance is never ours");
    }

    #[test]
    fn only_and_exclude_leave_the_others_in_the_fleet_but_out_of_the_plan() {
        let run = Fixture::new(4);
        let plan = planned(request(&run, |r| {
            r.version = Version::new("v2").unwrap();
            r.selection.only = vec![id(2), id(3)];
            r.selection.exclude = vec![id(3)];
        }));
        let taken: Vec<InstanceId> = batches(&plan).into_iter().flat_map(|b| b.members).collect();
        assert_eq!((taken, plan.members.len()), (vec![id(2)], 4));
        let unknown = request(&run, |r| r.selection.exclude = vec![id(9)]).unwrap_err();
        assert!(unknown.message.contains("--exclude web-09"), "{}", unknown.message);
    }

    #[test]
    fn an_excluded_instance_holds_no_budget() {
        let run = Fixture::new(4).with_member(4, |m| m.rotation = Rotation::Serving);
        let dead = |r: &mut PlanRequest| {
            r.version = Version::new("v2").unwrap();
            r.policy.strategy.max_unavailable = Count::Absolute(1);
            r.surveys.insert(id(4), Err("connection refused".to_owned()));
        };
        let refused = request(&run, dead).unwrap_err().message;
        assert!(refused.contains("web-04 (connection refused)") && refused.contains("--exclude"), "{refused}");
        let plan = planned(request(&run, |r| {
            dead(r);
            r.selection.exclude = vec![id(4)];
        }));
        assert_eq!(batches(&plan).len(), 2);
    }

    #[test]
    fn a_restart_takes_those_at_the_version_and_an_unknown_version_can_be_accepted() {
        let run = Fixture::new(2);
        assert!(matches!(request(&run, |_| {}), Ok(Planned::AlreadyThere(_))));
        let plan = planned(request(&run, |r| r.restart = true));
        assert_eq!(batches(&plan).len(), 1);
        let unknown = |r: &mut PlanRequest| {
            r.version = Version::new("v2").unwrap();
            if let Some(Ok(survey)) = r.surveys.get_mut(&id(1)) {
                survey.version = None;
            }
        };
        assert!(request(&run, unknown).unwrap_err().message.contains("--no-rollback-for"));
        let plan = planned(request(&run, |r| {
            unknown(r);
            r.selection.no_rollback_for = vec![id(1)];
        }));
        assert_eq!(plan.members[0].previous, None);
    }
}
