//! `[strategy] steps`: what a canary goes through before the rest.
//!
//! Imports: config's reader and rules, model. May not: decide when a step is over.

use super::document::Node;
use super::fault::{Faults, Place};
use super::rules::{Kind, Strategy};
use super::section::{Placed, Section};
use crate::model::{CanaryStep, Count};

/// What a step may say, one of them.
const KEYS: [&str; 5] = ["weight", "instances", "pause", "analysis", "run"];
/// How often an analysis may have to pass; more is a slip.
const PASSES_MAX: u32 = 10_000;
const FORM: &str = "steps = [{ weight = 10 }, { pause = \"5m\" }]";

/// The steps as written.
pub(super) struct Steps {
    /// Those that are sound.
    pub(super) list: Vec<Placed<CanaryStep>>,
    place: Place,
    given: bool,
    /// None was left out of the list.
    whole: bool,
}

impl Steps {
    /// Reads them, whatever the kind.
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let Some(given) = section.list("steps") else {
            return Self { list: Vec::new(), place: section.place(), given: false, whole: true };
        };
        let written = given.value.len();
        let list: Vec<_> = given.value.into_iter().filter_map(|node| step(section, node)).collect();
        Self { whole: list.len() == written, list, place: given.place, given: true }
    }

    /// The hooks that steps name.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (&str, Place)> {
        self.list.iter().filter_map(|step| match &step.value {
            CanaryStep::Run { hook } => Some((hook.as_str(), step.place)),
            _ => None,
        })
    }
}

/// Reads `{ weight = 10 }` and the like.
fn step(section: &Section<'_>, node: Node) -> Option<Placed<CanaryStep>> {
    let mut item = section.item("steps", node)?;
    let weight = item.number_if_given("weight", (1, 99));
    let instances = item.count("instances", Count::Absolute(1));
    let pause = item.span_or_word("pause", "promote");
    let analysis = item.number_if_given("analysis", (1, PASSES_MAX));
    let run = item.plain("run");
    let named: Vec<&str> = KEYS.into_iter().filter(|key| item.had(key)).collect();
    let place = item.place();
    match named.as_slice() {
        [] if !item.has_more() => {
            item.elsewhere(place, "strategy.steps", &format!("has an empty step; write one of {}", KEYS.join(", ")));
        }
        [] | [_] => {}
        [first, second, ..] => {
            let remedy = format!("has a step with {first} and {second}; a step is one thing: write two");
            item.elsewhere(place, "strategy.steps", &remedy);
        }
    }
    let all = instances.value.is_zero() || instances.value == Count::Percent(100);
    if instances.given && instances.sound && all {
        let remedy = "is none or all of them; write a count from 1, or a share from \"1%\" to \"99%\"";
        item.fault(instances.place, "instances", remedy);
    }
    item.finish();
    let value = match named.as_slice() {
        ["weight"] => CanaryStep::Weight { percent: u8::try_from(weight?.value).ok()? },
        ["instances"] if instances.sound && !all => CanaryStep::Instances { count: instances.value },
        ["pause"] => CanaryStep::Pause { lasts: pause?.value },
        ["analysis"] => CanaryStep::Analysis { passes: analysis?.value },
        ["run"] => CanaryStep::Run { hook: run?.value },
        _ => return None,
    };
    Some(Placed { value, place, given: true, sound: true })
}

/// What must hold between the steps, and between them and the rest of the file.
pub(super) fn check(strategy: &Strategy, has_analysis: bool, faults: &Faults) {
    const STEPS: &str = "strategy.steps";
    let steps = &strategy.steps;
    match &strategy.kind {
        Some(kind) if kind.value == Kind::Canary => {
            if steps.whole && steps.list.is_empty() {
                let place = if steps.given { steps.place } else { kind.place };
                let what = if steps.given { "is empty" } else { "is missing" };
                faults.add(place, STEPS, format!("{what}; kind = \"canary\" goes by it: {FORM}"));
            }
            let surge = &strategy.max_surge;
            if surge.sound && !surge.value.is_zero() {
                let remedy = "does not go with kind = \"canary\" in this version, which updates instances in place; remove it";
                faults.add(surge.place, "strategy.max_surge", remedy);
            }
        }
        // By `--strategy rolling`, on top of the file.
        Some(Placed { place: place @ Place::Set(_), .. }) if steps.given => {
            let text = "is \"rolling\": the deployment does not go through strategy.steps, nobody pauses or measures for them";
            faults.warn(*place, "strategy.kind", text);
        }
        None if strategy.has_kind => {}
        _ if steps.given => {
            faults.add(steps.place, STEPS, "is for kind = \"canary\"; write kind = \"canary\", or remove the steps");
        }
        _ => {}
    }
    if steps.given && steps.whole && !steps.list.is_empty() && !steps.list.iter().any(|step| carries(&step.value)) {
        let remedy = "brings no instance to the new version; begin with { weight = 10 } or { instances = 1 }";
        faults.add(steps.place, STEPS, remedy);
    }
    rising(steps, faults);
    let mut carried = false;
    for step in &steps.list {
        carried |= carries(&step.value);
        let CanaryStep::Analysis { .. } = step.value else { continue };
        if !has_analysis {
            let remedy = "needs [analysis], which says what is measured; add the table, or remove the step";
            faults.add(step.place, "strategy.steps.analysis", remedy);
        } else if !carried && steps.whole {
            let remedy = "measures before any instance runs the new version; put { weight = … } or { instances = … } before it";
            faults.add(step.place, "strategy.steps.analysis", remedy);
        }
    }
}

fn carries(step: &CanaryStep) -> bool {
    matches!(step, CanaryStep::Weight { .. } | CanaryStep::Instances { .. })
}

/// The new version is never taken back by a step: that is what a rollback is for.
fn rising(steps: &Steps, faults: &Faults) {
    let mut most: [Option<(u32, Place)>; 3] = [None; 3];
    for step in &steps.list {
        let (kind, key, number, unit) = match &step.value {
            CanaryStep::Weight { percent } => (0, "weight", u32::from(*percent), ""),
            CanaryStep::Instances { count: Count::Percent(percent) } => (1, "instances", u32::from(*percent), "%"),
            CanaryStep::Instances { count: Count::Absolute(count) } => (2, "instances", *count, ""),
            _ => continue,
        };
        let Some(before) = most.get_mut(kind) else { continue };
        match *before {
            Some((more, place)) if more > number => {
                let remedy =
                    format!("falls from {more}{unit} to {number}{unit}; write at least {more}{unit}, or remove the step");
                faults.add_second(step.place, place, &format!("strategy.steps.{key}"), remedy);
            }
            _ => *before = Some((number, step.place)),
        }
    }
}
