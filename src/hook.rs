//! Hooks: the programs of `[hooks]`, each run to its end, here, with what its environment says of the deployment.
//!
//! Imports: ports, model, os. May not: know another kind of adapter, decide when a hook runs or what its failure means, run a shell.
//!
//! A hook has a process group of its own, which ends with it. What it prints goes to the engine's log. While it runs it has a
//! file, like every command that changes something: an engine that takes over ends what a dead one left running, so that a hook
//! never runs twice at once. It may run a second time then, under the same `ROLLOUT_EFFECT`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::time::Instant;

use crate::model::{Span, Version};
use crate::os::child::{End, Finished, OUTPUT_BYTES_MAX};
use crate::os::program::{self, Limits, Program};
use crate::os::text::sanitise_within;
use crate::ports::{HookOrder, HookRunner};

/// Lines of each output that the log takes.
const LINES_MAX: usize = 200;
/// The longest line of them.
const LINE_CHARS_MAX: usize = 500;
/// Of its time a hook that does not end has so much to end politely and to be killed: a tenth, at most this.
const GRACE_MAX: Duration = Duration::from_secs(5);

/// One hook of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct HookSettings {
    /// Its name: that of its table.
    pub name: String,
    /// Program, arguments and variables.
    pub program: Program,
}

/// The runner for `settings`; none where there are no hooks.
///
/// # Errors
/// Fails with a sentence if one cannot work: a template that does not render, a program that is not there.
pub fn build(settings: &[HookSettings]) -> Result<Option<Arc<dyn HookRunner>>, String> {
    let mut programs = BTreeMap::new();
    for HookSettings { name, program } in settings {
        program.check().map_err(|why| format!("[hooks.{name}] command: {why}"))?;
        programs.insert(name.clone(), program.clone());
    }
    Ok(if programs.is_empty() { None } else { Some(Arc::new(Hooks { programs })) })
}

/// The runner.
struct Hooks {
    programs: BTreeMap<String, Program>,
}

impl Hooks {
    async fn carry_out(&self, order: &HookOrder) -> Result<(), String> {
        let HookOrder { hook, timeout, .. } = order;
        let program = self.programs.get(hook).ok_or_else(|| format!("hook {hook} is not in the configuration"))?;
        let limits = limits(*timeout);
        // One that was given up may still be in its grace: no two at once.
        join_all(self.programs.keys().map(async |name| program::stopped(Some(&account(name))).await)).await;
        let facts: Vec<(String, &str)> =
            order.facts.iter().map(|(name, value)| (format!("ROLLOUT_{name}"), value.as_str())).collect();
        let effect = ("ROLLOUT_EFFECT", order.effect.as_str());
        let variables: Vec<(&str, &str)> = facts.iter().map(|(name, value)| (name.as_str(), *value)).chain([effect]).collect();
        let version = order.facts.iter().find(|(name, _)| *name == "VERSION").and_then(|(_, value)| Version::new(value).ok());
        let about = account(hook);
        let finished = program.run_apart((&about, version.as_ref()), &variables, limits, OUTPUT_BYTES_MAX).await?;
        log(hook, &finished);
        match finished.end {
            End::Exit(0) => Ok(()),
            End::Exit(_) | End::Signal(_) | End::Deadline | End::Lost => Err(finished.words()),
        }
    }
}

impl HookRunner for Hooks {
    fn run<'a>(&'a self, order: &'a HookOrder) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.carry_out(order))
    }
}

/// On whose account it runs: programs that were given up are waited for by this name.
fn account(hook: &str) -> String {
    format!("hook {hook}")
}

/// All of it is over within `timeout`, the end by force included: whoever ordered it waits no longer.
fn limits(timeout: Span) -> Limits {
    let timeout = timeout.to_std();
    let end = (timeout / 10).min(GRACE_MAX);
    Limits { deadline: Instant::now() + timeout.saturating_sub(end), grace: end / 2, may_leave: false, changes: true }
}

/// What it printed, line by line, harmless, and what it left behind.
fn log(hook: &str, finished: &Finished) {
    for (output, bytes) in [("", &finished.stdout), ("stderr: ", &finished.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        for line in lines.by_ref().take(LINES_MAX) {
            tracing::info!(target: "hook", "{hook}: {output}{}", sanitise_within(line, LINE_CHARS_MAX));
        }
        let more = lines.count();
        if more > 0 || bytes.len() >= OUTPUT_BYTES_MAX {
            tracing::info!(target: "hook", "{hook}: {output}and more, which is not kept");
        }
    }
    if let Some(left) = finished.left {
        tracing::warn!(target: "hook", "{hook}: it left {left} behind");
    }
}
