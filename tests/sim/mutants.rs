//! Every check can fail: each rule that is broken on purpose is found out.

use rollout::model::{Count, DeploymentKind};
use rollout::mutant::{Mutant, with};

use crate::checks::Violation;
use crate::crash::first_trace_of_a_crash;
use crate::draw::draw;
use crate::rng::Rng;
use crate::scenario::{Crash, Fault, Scenario};
use crate::seeds::{run, run_with, told};
use crate::world::Sabotage;

/// So many seeds are tried at most.
const SEEDS: u64 = 1200;

/// The scenario of a seed, with more of what the rule is about.
fn tailored(mutant: Mutant, seed: u64) -> Scenario {
    let mut scenario = draw(seed);
    let mut rng = Rng::new(seed ^ 0xFACE);
    let at = rng.below(30_000);
    let instance = usize::try_from(rng.below(scenario.plan.members.len() as u64)).expect("small");
    let fault = match mutant {
        Mutant::TrustUnconfirmedDrain => Some(Fault::BalancerDown { balancer: 0, lasts: 30_000 }),
        Mutant::ReadmitForeign => Some(Fault::Drained { instance, lasts: None }),
        Mutant::ForgetReloads => Some(Fault::Reload { balancer: 0 }),
        Mutant::IgnoreEpoch => Some(Fault::Stop { lasts: 20_000, takeover: Some(1000) }),
        Mutant::IgnoreVersion | Mutant::SkipEndCheck => Some(Fault::UpdateLies { instance: 0 }),
        Mutant::NewIdAfterRecovery | Mutant::ReplayForgets => {
            Some(Fault::Crash { kind: Crash::BeforeEffects, down: 1000, outlived: true })
        }
        Mutant::DropDeadline => Some(Fault::UpdateHangs { instance: 0 }),
        _ => None,
    };
    scenario.faults.extend(fault.map(|fault| (at, fault)));
    if mutant == Mutant::EvictAnyway {
        // All of them are found on the wrong version in the end, and serve.
        let total = scenario.plan.members.len();
        scenario.plan.policy.strategy.min_serving = Count::Absolute(u32::try_from(total - 1).expect("small"));
        scenario.faults = (0..total).map(|instance| (0, Fault::UpdateLies { instance })).collect();
    }
    if matches!(mutant, Mutant::SkipEndCheck | Mutant::EvictAnyway) {
        scenario.plan.policy.health.expects_version = false;
    }
    if matches!(mutant, Mutant::SkipAnalysis | Mutant::NothingIsFine | Mutant::AdmitUnweighed | Mutant::KeepWeights) {
        crate::crash::steps(&mut scenario);
        scenario.faults = vec![(0, Fault::SourceEmpty { lasts: 20_000 })];
        if mutant == Mutant::AdmitUnweighed {
            scenario.faults = vec![(at, Fault::NoWeights { lasts: 8000 })];
        }
    }
    if mutant == Mutant::RollBackTwice {
        let undoes = rollout::model::DeploymentId::new("shop", 0);
        scenario.plan.kind = DeploymentKind::Rollback { undoes };
    }
    scenario
}

fn hunt(mutant: Mutant) -> Option<(u64, Violation)> {
    if matches!(mutant, Mutant::KeepOldDeadlines | Mutant::TrustTheDead) {
        // These leave another world only after a crash: held against the run without one.
        return with(mutant, first_trace_of_a_crash).err().map(|violation| (0, violation));
    }
    let found = |seed| Some((seed, with(mutant, || run(&tailored(mutant, seed))).err()?));
    let (seed, violation) = (0..SEEDS).find_map(found)?;
    let whole = tailored(mutant, seed);
    if let Err(violation) = run(&whole) {
        panic!("with all rules whole: {}", told(&whole, &violation));
    }
    Some((seed, violation))
}

fn report(name: &str, found: Option<&(u64, Violation)>) -> bool {
    let line = found.map_or_else(
        || format!("NOT FOUND in {SEEDS} seeds"),
        |(seed, violation)| {
            let what: String = violation.what.chars().take(100).collect();
            format!("{:>5} seeds  {:<4} {what}", seed + 1, violation.id)
        },
    );
    told!("{name:<22} {line}");
    found.is_some()
}

#[test]
fn every_broken_rule_is_found_out() {
    first_trace_of_a_crash().expect("without a broken rule a crash leaves no trace");
    let half = |offset: usize| -> Vec<Mutant> {
        let only = std::env::var("ROLLOUT_MUTANT").ok();
        let wanted = |m: &Mutant| only.as_ref().is_none_or(|only| format!("{m:?}") == *only);
        let mutants = Mutant::ALL.into_iter().skip(offset).step_by(2).filter(wanted);
        mutants.filter(|mutant| !report(&format!("{mutant:?}"), hunt(*mutant).as_ref())).collect()
    };
    let missed = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut missed = half(0);
        missed.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        missed
    });
    assert!(missed.is_empty(), "not found out: {missed:?}");
}

/// The rules of the shell around the core, which the simulated world stands in for, each with the check that finds it.
#[test]
fn every_broken_shell_is_found_out() {
    let expected = [
        (Sabotage::ActFirst, "S6"),
        (Sabotage::AnswerFirst, "S6"),
        (Sabotage::TwoCommands, "S8"),
        (Sabotage::Forgetful, "S13"),
        (Sabotage::LossyLink, "L6"),
        (Sabotage::NoSecondTry, "L7"),
        (Sabotage::NoSuccessor, "L5"),
    ];
    for (sabotage, id) in expected {
        let found = |seed| {
            let mut scenario = draw(seed);
            if sabotage == Sabotage::TwoCommands {
                let dies = Fault::Crash { kind: Crash::BeforeSync, down: 200, outlived: true };
                scenario.faults = (0..30).map(|n| (n * 1500, dies.clone())).collect();
            }
            Some((seed, run_with(&scenario, Some(sabotage)).err().filter(|v| v.id == id)?))
        };
        assert!(report(&format!("{sabotage:?}"), (0..SEEDS).find_map(found).as_ref()), "{sabotage:?} is not found out");
    }
}
