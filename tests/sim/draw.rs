//! The scenario of a seed. Each class of faults is off in every other run (swarm testing), so that runs differ in kind.

mod between;

use rollout::command::Command;
use rollout::model::{
    Before, Confirm, Count, DeploymentId, DeploymentKind, Member, OnDrainTimeout, OnFailure, Pacing, Plan, Policy, Rotation,
    Span, Zones,
};

use crate::rng::Rng;
use crate::scenario::{Crash, Fault, Scenario, Timed, id, plain, version};

pub(crate) fn draw(seed: u64) -> Scenario {
    let mut rng = Rng::new(seed);
    let total = 1 + size(match rng.below(100) {
        0 => rng.below(50),
        1..=14 => rng.below(14),
        _ => 1 + rng.below(5),
    });
    let mut plan = plain(total);
    draw_rules(&mut plan.policy, &mut rng);
    draw_members(&mut plan, &mut rng);
    let bad_on = match rng.below(4) {
        0 => (0..total).collect(),
        1 => (0..total).filter(|_| rng.percent(25)).collect(),
        _ => Vec::new(),
    };
    let balancers = 1 + usize::from(rng.percent(30));
    let faults = draw_faults(&mut rng, total, balancers);
    let commands = draw_commands(&mut rng, total);
    let repeats = *rng.pick(&[0, 10, 100]);
    let (takes_over_paused, on_time) = (rng.percent(30), *rng.pick(&[0, 0, 10]));
    let (mut faults, mut bad_on) = (faults, bad_on);
    if rng.percent(15) {
        draw_spares(&mut plan, &mut rng, (&mut faults, balancers));
        if bad_on.len() == total {
            bad_on.extend(total..plan.members.len());
        }
    }
    let calm = Scenario::calm(plan);
    let drawn =
        Scenario { seed, balancers, bad_on, repeats, takes_over_paused, on_time, attended: true, faults, commands, ..calm };
    let mut scenario = drawn;
    between::draw_between(&mut scenario);
    scenario
}

fn size(n: u64) -> usize {
    usize::try_from(n).expect("small")
}

fn draw_rules(policy: &mut Policy, rng: &mut Rng) {
    let small = |rng: &mut Rng, from: u64, n: u64| u32::try_from(from + rng.below(n)).expect("small");
    let count = |rng: &mut Rng, from: u64, n: u64| match rng.below(5) {
        0 => Count::Percent(*rng.pick(&[1, 10, 25, 50])),
        _ => Count::Absolute(small(rng, from, n)),
    };
    let strategy = &mut policy.strategy;
    strategy.batch_size = vec![count(rng, 1, 4)];
    if rng.percent(30) {
        strategy.batch_size.insert(0, Count::Absolute(1));
    }
    strategy.max_unavailable = count(rng, 1, 3);
    strategy.min_serving = Count::Absolute(small(rng, 0, 3));
    strategy.batch_pause = Span::from_secs(*rng.pick(&[0, 1, 10]));
    strategy.progress_timeout = Span::from_secs(*rng.pick(&[0, 90, 600]));
    strategy.approval_timeout = Span::from_secs(*rng.pick(&[120, 120, 120, 30, 0]));
    strategy.min_healthy_time = Span::from_secs(*rng.pick(&[0, 0, 5]));
    strategy.pacing = if rng.percent(30) { Pacing::Window } else { Pacing::Batch };
    strategy.zones = if rng.percent(30) { Zones::OneByOne } else { Zones::Any };
    strategy.confirm = if rng.percent(15) { Confirm::Batch } else { Confirm::None };
    policy.drain.timeout = Span::from_secs(*rng.pick(&[0, 1, 5]));
    policy.drain.on_timeout = *rng.pick(&[OnDrainTimeout::Force, OnDrainTimeout::Extend, OnDrainTimeout::Fail]);
    policy.rollback.threshold_percent = *rng.pick(&[0, 10, 25, 50, 60, 100]);
    policy.rollback.max_failures = *rng.pick(&[0, 1, 3]);
    policy.rollback.max_unavailable = count(rng, 1, 2);
    policy.rollback.on_failure =
        *rng.pick(&[OnFailure::Rollback, OnFailure::Rollback, OnFailure::Pause, OnFailure::Ask, OnFailure::Continue]);
    policy.health.before = if rng.percent(30) { Before::First } else { Before::Skip };
    policy.health.expects_version = rng.percent(80);
    if rng.percent(15) {
        draw_absurd(policy, rng);
    }
}

/// Times that nobody would set on purpose.
fn draw_absurd(policy: &mut Policy, rng: &mut Rng) {
    let absurd = |rng: &mut Rng| Span::from_millis(*rng.pick(&[0, 1, 2000, 5000, 900_000]));
    for _ in 0..=rng.below(3) {
        match rng.below(9) {
            0 => policy.update.timeout = absurd(rng),
            1 => policy.health.deadline = absurd(rng),
            2 => policy.health.start_timeout = absurd(rng),
            3 => policy.drain.timeout = absurd(rng),
            4 => policy.strategy.batch_pause = absurd(rng),
            5 => policy.strategy.min_healthy_time = absurd(rng),
            6 => policy.strategy.progress_timeout = absurd(rng),
            7 => (policy.health.rise, policy.health.retries) = (*rng.pick(&[0, 1, 10]), *rng.pick(&[0, 1, 10])),
            _ => policy.health.timeout = absurd(rng),
        }
    }
}

fn draw_members(plan: &mut Plan, rng: &mut Rng) {
    let total = plan.members.len();
    plan.restart = rng.percent(10);
    let there = |m: &mut Member| m.previous = Some(m.wanted.clone());
    for member in &mut plan.members {
        match rng.below(100) {
            0..=2 => (member.previous, member.healthy, member.health) = (None, false, "no answer in 5s".to_owned()),
            3 | 4 => (member.left_out, member.rotation) = (true, Rotation::Draining),
            5 => member.rotation = Rotation::Maintenance,
            6 => member.rotation = Rotation::Draining,
            7 => member.previous = None,
            8..=11 => {
                there(member);
                member.at_version = !plan.restart;
            }
            12..=14 if total > 3 => {
                member.excluded = Some("excluded by ana".to_owned());
                if rng.percent(30) {
                    (member.healthy, member.health) = (false, "no answer in 5s".to_owned());
                }
            }
            _ => {}
        }
    }
    // What undoes another deployment never goes back itself.
    if rng.percent(8) {
        plan.kind = DeploymentKind::Rollback { undoes: DeploymentId::new("shop", 0) };
        plan.policy.rollback.on_failure = OnFailure::Continue;
        for member in &mut plan.members {
            if !member.at_version && rng.percent(50) {
                member.wanted = version("v1.9");
            }
        }
    }
}

/// Extra capacity, and what happens to it.
fn draw_spares(plan: &mut Plan, rng: &mut Rng, (faults, balancers): (&mut Vec<Timed<Fault>>, usize)) {
    let fleet = plan.members.len();
    let spares = 1 + size(rng.below(2));
    for spare in plain(fleet + spares).members.drain(fleet..) {
        let rotation = match rng.below(10) {
            0 => Rotation::Maintenance,
            1 => Rotation::Draining,
            2 | 3 => Rotation::Down,
            _ => Rotation::Missing,
        };
        let left_out = rotation == Rotation::Draining && rng.percent(60);
        let (healthy, health) = (false, "not listening".to_owned());
        plan.members.push(Member { spare: true, previous: None, rotation, left_out, healthy, health, ..spare });
    }
    let Policy { strategy, rollback, .. } = &mut plan.policy;
    if rng.percent(60) {
        (strategy.max_unavailable, rollback.max_unavailable) = (Count::Absolute(0), Count::Absolute(0));
    }
    if rng.percent(30) {
        strategy.min_serving = Count::Absolute(u32::try_from(fleet).expect("small"));
    }
    for _ in 0..rng.below(3) {
        let (at, class) = (time(rng), rng.below(19));
        let instance = fleet + size(rng.below(spares as u64));
        faults.push((at, draw_fault(rng, class, (1, balancers)).on(instance)));
    }
    faults.sort_by_key(|(at, _)| *at);
}

/// Times on a grid now and then, so that things meet.
fn time(rng: &mut Rng) -> u64 {
    let at = rng.below(90_000);
    if rng.percent(30) { at / 1000 * 1000 } else { at }
}

fn draw_faults(rng: &mut Rng, total: usize, balancers: usize) -> Vec<Timed<Fault>> {
    const CLASSES: u64 = 19;
    let on: Vec<bool> = (0..CLASSES).map(|_| rng.percent(50)).collect();
    let count = rng.below(8);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = time(rng);
        let class = rng.below(CLASSES);
        let fault = draw_fault(rng, class, (total, balancers));
        if on[size(class)] {
            faults.push((at, fault));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw_fault(rng: &mut Rng, class: u64, (total, balancers): (usize, usize)) -> Fault {
    let instance = size(rng.below(total as u64));
    let balancer = size(rng.below(balancers as u64));
    let lasts = 200 + rng.below(40_000);
    let maybe = if rng.percent(40) { None } else { Some(lasts) };
    match class {
        0 => Fault::Crash { kind: *rng.pick(&Crash::ALL), down: 100 + rng.below(30_000), outlived: rng.percent(50) },
        1 => Fault::Reload { balancer },
        2 => Fault::BalancerDown { balancer, lasts },
        3 => Fault::Maintenance { instance, lasts: maybe },
        4 => Fault::Dies { instance, lasts: maybe },
        5 => Fault::Sick { instance, lasts },
        6 => Fault::AllSick { lasts },
        7 => Fault::UpdateFails { instance, done: rng.percent(30) },
        8 => Fault::UpdateHangs { instance },
        9 => Fault::UpdateLies { instance },
        10 => Fault::DiskFull { lasts },
        11 => Fault::Stop { lasts, takeover: rng.percent(70).then(|| rng.below(lasts)) },
        12 => Fault::Suspend { lasts },
        13 => Fault::Clock { jump: *rng.pick(&[-7_200_000, -3000, 3000, 3_600_000]), living: rng.percent(50) },
        14 => Fault::Link { lasts },
        15 => Fault::Drained { instance, lasts: maybe },
        16 => Fault::Flaps { instance, lasts },
        17 => Fault::SlowStart { instance, lasts: 1000 + rng.below(25_000) },
        _ => Fault::UpdateLate { instance, takes: *rng.pick(&[30_000, 119_000, 120_000, 130_000, 180_000]) },
    }
}

fn draw_commands(rng: &mut Rng, total: usize) -> Vec<Timed<Command>> {
    let mut commands: Vec<Timed<Command>> = Vec::new();
    for _ in 0..rng.below(6) {
        let at = time(rng);
        let instance = id(size(rng.below(total as u64)));
        let reason = String::new();
        let command = match rng.below(14) {
            0 | 1 => Command::Pause { reason },
            2 | 3 => Command::Resume,
            4 | 5 => Command::Cancel { reason },
            6 => Command::Rollback { reason, only: None },
            7 => Command::Retry { instance },
            8 => Command::Skip { instance, reason },
            9 | 10 => Command::Hold { instance, reason },
            11 => Command::Release { instance },
            12 => Command::Promote { full: rng.percent(50) },
            _ => Command::Rollback { reason, only: Some(instance) },
        };
        // The same key pressed twice is common.
        if rng.percent(20) {
            commands.push((at + rng.below(3000), command.clone()));
        }
        commands.push((at, command));
    }
    commands.sort_by_key(|(at, _)| *at);
    commands
}
