//! `[hooks.NAME]`: programs that run at certain points of a deployment.
//!
//! Imports: config's reader, the runner's settings, model. May not: look for a program.

use super::argv;
use super::document::Value;
use super::fault::{Faults, Place, shown_key};
use super::section::{Placed, Section};
use super::steps::Steps;
use super::surroundings::is_name;
use super::template::OF_A_HOOK;
use crate::hook::HookSettings;
use crate::model::{Hook, HookAt, HookClass, Span};
use crate::os::program::Program;
use crate::os::text::nearest;

/// More tries than these are a slip.
const RETRIES_MAX: u32 = 100;
/// The longest that one try may take, if it does not say.
const TIMEOUT: Span = Span::from_secs(60);
/// As before; everything waits for it while requests may be failing.
const TIMEOUT_BEFORE_ROLLBACK: Span = Span::from_secs(10);

/// What `[hooks]` says.
pub(super) struct Hooks {
    /// In the order of the file; a faulty `at` is none.
    hooks: Vec<Read>,
}

struct Read {
    name: String,
    place: Place,
    at: Option<HookAt>,
    class: HookClass,
    timeout: Span,
    retries: u32,
    program: Program,
}

/// Reads `[hooks]`.
pub(super) fn read(root: &mut Section<'_>, service: &str) -> Hooks {
    let mut section = root.table("hooks");
    let mut hooks = Vec::new();
    for (name, entry) in section.rest() {
        let shown = shown_key(&name);
        if !is_name(&name) {
            section.fault(entry.key, &shown, "is no name; write letters, digits and . _ -");
            continue;
        }
        if !matches!(entry.node.value, Value::Table(_)) {
            let kind = entry.node.value.kind();
            section.fault(entry.key, &shown, format!("is {kind}; write a table [hooks.NAME], with at and command"));
            continue;
        }
        let Some(item) = section.item(&name, entry.node) else { continue };
        hooks.push(one(item, name, service));
    }
    Hooks { hooks }
}

/// Reads `[hooks.NAME]`.
fn one(mut item: Section<'_>, name: String, service: &str) -> Read {
    let at = item.choice("at", &HookAt::ALL, &[]);
    item.require("at", "is missing; add when it runs: at = \"before-deployment\"");
    let at = at.map(|at| at.value);
    let argv = argv::read(&mut item, "command", &OF_A_HOOK).unwrap_or_default();
    item.require("command", "is missing; add the program and its arguments: command = [\"/opt/shop/smoke\", \"{{ version }}\"]");
    let env = argv::env(&mut item);
    let class = class(&mut item, at);
    let timeout = if at == Some(HookAt::BeforeRollback) { TIMEOUT_BEFORE_ROLLBACK } else { TIMEOUT };
    let timeout = item.positive_span("timeout", timeout).value;
    let retries = item.number("retries", 0, (0, RETRIES_MAX)).value;
    let place = item.place();
    item.finish();
    let program = Program { service: service.to_owned(), argv, env };
    Read { name, place, at, class, timeout, retries, program }
}

/// A gate where it can be one.
fn class(item: &mut Section<'_>, at: Option<HookAt>) -> HookClass {
    let words = [("gate", HookClass::Gate), ("best-effort", HookClass::BestEffort), ("cleanup", HookClass::Cleanup)];
    let class = item.choice("class", &words, &[]);
    let of_rollback = matches!(at, Some(HookAt::BeforeRollback | HookAt::AfterRollback));
    let Some(Placed { value: class, place, .. }) = class else {
        return if of_rollback { HookClass::BestEffort } else { HookClass::Gate };
    };
    match (class, at) {
        (HookClass::Gate, Some(at)) if of_rollback => {
            let remedy = format!("is \"gate\" at \"{}\", but nothing holds a rollback up; write \"best-effort\"", at.word());
            item.fault(place, "class", remedy);
        }
        (HookClass::Cleanup, Some(at)) if at != HookAt::AfterDeployment => {
            let remedy =
                format!("is \"cleanup\" at \"{}\", but that runs at the end; write at = \"after-deployment\"", at.word());
            item.fault(place, "class", remedy);
        }
        _ => {}
    }
    class
}

/// Steps and hooks must know each other.
pub(super) fn check(hooks: &Hooks, steps: &Steps, faults: &Faults) {
    const RUN: &str = "strategy.steps.run";
    for (name, place) in steps.hooks() {
        match hooks.hooks.iter().find(|hook| hook.name == name) {
            Some(hook) if hook.at.is_some_and(|at| at != HookAt::Step) => {
                let at = hook.at.map_or("", HookAt::word);
                let remedy = format!("names the hook {name}, which is at = \"{at}\"; write at = \"step\" in [hooks.{name}]");
                faults.add_second(place, hook.place, RUN, remedy);
            }
            Some(_) => {}
            None => {
                let near = nearest(name, hooks.hooks.iter().map(|hook| hook.name.as_str()));
                let near = near.map_or_else(String::new, |near| format!("; the nearest is {near}"));
                let remedy = format!("names the hook {name}, which is not there{near}; add [hooks.{name}] with at = \"step\"");
                faults.add(place, RUN, remedy);
            }
        }
    }
    for hook in hooks.hooks.iter().filter(|hook| hook.at == Some(HookAt::Step)) {
        if !steps.hooks().any(|(name, _)| name == hook.name) {
            let remedy = format!(
                "is at = \"step\", but no step names it; add {{ run = \"{}\" }} to strategy.steps, or remove it",
                hook.name
            );
            faults.add(hook.place, &format!("hooks.{}", hook.name), remedy);
        }
    }
}

impl Hooks {
    /// What the engine decides by, and what the runner needs.
    pub(super) fn parts(self) -> (Vec<Hook>, Vec<HookSettings>) {
        let parts = self.hooks.into_iter().filter_map(|hook| {
            let Read { name, at, class, timeout, retries, program, .. } = hook;
            let settings = HookSettings { name: name.clone(), program };
            Some((Hook { name, at: at?, class, timeout, retries }, settings))
        });
        parts.unzip()
    }
}
