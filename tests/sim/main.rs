//! The turn, in a simulated world: a controller that dies after any append ends in the same world as one that does not.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends where it cannot go on")]

mod chaos;
mod world;

use std::collections::BTreeMap;

use rollout::command::Command;
use rollout::event::Ending;
use rollout::model::{Count, DeploymentId, DeploymentKind, InstanceId, Member, Plan, Policy, Rotation, Span, Target, Version};
use rollout::state::State;
use world::{Crash, Machine, Script, World};

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.strategy.min_healthy_time = Span::from_secs(3);
    policy.health.expects_version = true;
    policy
}

/// Three instances on versions of their own: a rollback must bring back each its own.
fn plan(batch: u32) -> Plan {
    let member = |n: usize| Member {
        target: Target {
            id: InstanceId::new(&format!("web-{n}")).unwrap(),
            host: "127.0.0.1".to_owned(),
            port: 8080,
            zone: None,
            labels: BTreeMap::new(),
        },
        previous: Some(Version::new(["v1", "v1.1", "v1.2"][n - 1]).unwrap()),
        wanted: Version::new("v2").unwrap(),
        rotation: Rotation::Serving,
        healthy: true,
        health: String::new(),
        at_version: false,
        excluded: None,
        left_out: false,
    };
    let mut policy = policy();
    policy.strategy.batch_size = vec![Count::Absolute(batch)];
    Plan {
        deployment: DeploymentId::new("shop", 1),
        kind: DeploymentKind::Deploy,
        service: "shop".to_owned(),
        env: "default".to_owned(),
        version: Version::new("v2").unwrap(),
        started_by: "ana".to_owned(),
        members: (1..=3).map(member).collect(),
        restart: false,
        policy,
    }
}

/// What must be equal with and without a crash: versions and rotation, not times or numbers of attempts.
fn outcome(world: &World) -> Vec<(&InstanceId, &Version, Rotation)> {
    world.machines.iter().map(|(id, Machine { version, rotation, .. })| (id, version, *rotation)).collect()
}

struct Scenario {
    name: &'static str,
    bad: bool,
    batch: u32,
    script: Script,
    ending: Ending,
}

fn world(scenario: &Scenario) -> World {
    let mut world = World::new(&plan(scenario.batch), scenario.script.clone());
    world.bad = scenario.bad.then(|| Version::new("v2").unwrap());
    world
}

fn scenarios() -> Vec<Scenario> {
    let says = String::new;
    let scenario = |name, bad, batch, script, ending| Scenario { name, bad, batch, script, ending };
    let mut all = vec![
        scenario("good version", false, 1, vec![], Ending::Completed),
        scenario("good version, two at a time", false, 2, vec![], Ending::Completed),
        scenario("bad version", true, 1, vec![], Ending::RolledBack),
        scenario("bad version, two at a time", true, 2, vec![], Ending::RolledBack),
    ];
    for at in [2, 4, 6, 8, 11, 15, 20] {
        all.push(scenario(
            "forced rollback",
            false,
            2,
            vec![(at, Command::Rollback { reason: says(), only: None })],
            Ending::RolledBack,
        ));
        all.push(scenario("cancel", false, 2, vec![(at, Command::Cancel { reason: says() })], Ending::Cancelled));
        all.push(scenario(
            "pause, resume",
            false,
            2,
            vec![(at, Command::Pause { reason: says() }), (at + 3, Command::Resume)],
            Ending::Completed,
        ));
    }
    all
}

#[test]
fn every_scenario_comes_to_its_end_without_a_crash() {
    for scenario in scenarios() {
        let mut world = world(&scenario);
        let state = world.run();
        let end = state.end.as_ref().unwrap();
        assert_eq!(end.ending, scenario.ending, "{}: {}", scenario.name, end.reason);
        assert_eq!(state.exceptions(), vec![], "{}", scenario.name);
        assert!(world.machines.values().all(|m| m.rotation == Rotation::Serving), "{}: all serve", scenario.name);
    }
}

#[test]
fn a_crash_after_any_append_ends_in_the_same_world() {
    let mut runs = 0;
    for scenario in scenarios() {
        let mut calm = world(&scenario);
        let end: State = calm.run();
        // A cancel may find a crashed controller at another step: what it leaves is checked by itself.
        let comparable = scenario.ending != Ending::Cancelled;
        for at in 2..=calm.appends {
            for crash in [Crash::BeforeEffects, Crash::AfterEffects] {
                let mut world = world(&scenario);
                world.crash = Some((at, crash));
                let state = world.run();
                let name = format!("{}, crash {crash:?} at append {at}", scenario.name);
                assert_eq!(state.end.as_ref().unwrap().ending, scenario.ending, "{name}");
                assert!(world.machines.values().all(|m| m.rotation == Rotation::Serving), "{name}: all serve");
                if comparable {
                    assert_eq!(outcome(&world), outcome(&calm), "{name}");
                }
                for (id, machine) in &world.machines {
                    let ordered = 1 + usize::from(state.rollback.is_some());
                    assert!(machine.updates.len() <= ordered + world.crashes, "{name}: {id} {:?}", machine.updates);
                }
                runs += 1;
            }
        }
        assert!(end.exit_code().is_some());
    }
    println!("{runs} runs with a crash, all in the world that they would have reached without it");
    assert!(runs > 500, "only {runs} crash points were tried");
}
