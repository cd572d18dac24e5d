//! What lies between batches: canary steps, an analysis and hooks, in some of the runs.

use rollout::model::{
    AnalysisPolicy, Canary, CanaryStep, Check, Count, DeploymentKind, Hook, HookAt, HookClass, Quantity, Span, Unit,
};

use super::{size, time};
use crate::rng::Rng;
use crate::scenario::{Fate, Fault, Scenario};

/// Drawn by numbers of their own: without it, a seed is the run that it was.
pub(super) fn draw_between(scenario: &mut Scenario) {
    let mut rng = Rng::new(scenario.seed ^ 0xCA7A);
    if rng.percent(35) {
        scenario.plan.policy.hooks = draw_hooks(&mut rng);
        for hook in &scenario.plan.policy.hooks {
            let fates =
                (0..=rng.below(3)).map(|_| *rng.pick(&[Fate::Passes, Fate::Passes, Fate::Passes, Fate::Fails, Fate::Hangs]));
            scenario.fates.insert(hook.name.clone(), fates.collect());
        }
    }
    let undoes = matches!(scenario.plan.kind, DeploymentKind::Rollback { .. });
    let canary = rng.percent(40) && !undoes;
    if !undoes && rng.percent(if canary { 60 } else { 15 }) {
        scenario.plan.policy.analysis = Some(draw_analysis(&mut rng));
        scenario.worse = rng.percent(20);
        for _ in 0..rng.below(4) {
            let (at, lasts) = (time(&mut rng), 200 + rng.below(40_000));
            let fault = rng.pick(&[Fault::SourceDown { lasts }, Fault::SourceEmpty { lasts }, Fault::Errors { lasts }]).clone();
            scenario.faults.push((at, fault));
        }
        scenario.faults.sort_by_key(|(at, _)| *at);
    }
    if canary {
        if rng.percent(25) {
            let lasts = 200 + rng.below(40_000);
            scenario.faults.push((time(&mut rng), Fault::NoWeights { lasts }));
            scenario.faults.sort_by_key(|(at, _)| *at);
        }
        let canary = draw_canary(&mut rng, scenario);
        let first = (1..=canary.steps.len()).map(|n| canary.instances(small(n), scenario.plan.total())).find(|n| *n > 0);
        // What no plan would have.
        let possible = first.is_none_or(|first| scenario.plan.spares() <= first);
        scenario.plan.policy.canary = possible.then_some(canary);
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("small")
}

fn draw_canary(rng: &mut Rng, scenario: &Scenario) -> Canary {
    let analysed = scenario.plan.policy.analysis.is_some();
    let named: Vec<&Hook> = scenario.plan.policy.hooks.iter().filter(|hook| hook.at == HookAt::Step).collect();
    let mut shares: Vec<u8> = (0..5).map(|_| *rng.pick(&[1, 2, 5, 10, 25, 33, 50, 75, 99])).collect();
    if rng.percent(80) {
        shares.sort_unstable();
    }
    let mut steps = Vec::new();
    for _ in 0..=rng.below(5) {
        steps.push(match rng.below(10) {
            0..=3 => CanaryStep::Weight { percent: shares.remove(0) },
            4 => CanaryStep::Instances { count: Count::Absolute(1 + small(size(rng.below(3)))) },
            5 => CanaryStep::Instances { count: Count::Percent(shares.remove(0)) },
            6 => CanaryStep::Pause { lasts: Some(Span::from_secs(*rng.pick(&[0, 5, 30]))) },
            7 => CanaryStep::Pause { lasts: None },
            8 if !named.is_empty() => CanaryStep::Run { hook: rng.pick(&named).name.clone() },
            _ if analysed => CanaryStep::Analysis { passes: 1 + small(size(rng.below(3))) },
            _ => CanaryStep::Weight { percent: shares.remove(0) },
        });
        if shares.is_empty() {
            break;
        }
    }
    Canary { steps, weighted: rng.percent(60) }
}

fn draw_analysis(rng: &mut Rng) -> AnalysisPolicy {
    let check = |name: &str| Check {
        name: name.to_owned(),
        unit: Unit::Share,
        max: Quantity::new(0.01),
        min: None,
        max_ratio: None,
        min_samples: 10,
    };
    let mut checks = vec![check("error_rate")];
    if rng.percent(30) {
        checks.push(check("p99"));
    }
    AnalysisPolicy {
        checks,
        interval: Span::from_secs(*rng.pick(&[1, 2, 10])),
        max_failures: *rng.pick(&[0, 0, 2]),
        max_inconclusive: *rng.pick(&[1, 3, 10]),
        from_step: *rng.pick(&[1, 1, 2]),
    }
}

fn draw_hooks(rng: &mut Rng) -> Vec<Hook> {
    let some = 1 + rng.below(4);
    let draw = |n: u64| {
        let class = *rng.pick(&[HookClass::Gate, HookClass::Gate, HookClass::BestEffort, HookClass::Cleanup]);
        let (_, at) = *rng.pick(&HookAt::ALL);
        let at = if class == HookClass::Cleanup { HookAt::AfterDeployment } else { at };
        let timeout = Span::from_secs(*rng.pick(&[1, 5, 30]));
        Hook { name: format!("hook-{n}"), at, class, timeout, retries: *rng.pick(&[0, 0, 1, 2]) }
    };
    (0..some).map(draw).collect()
}
