//! `check`: reads the file, then reaches everything that it names, and says at once what is missing and what to do.
//!
//! Nothing is changed: instances are observed and probed, balancers read, the store looked at.

pub(super) mod finding;
mod measures;
mod store;
mod trust;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use self::finding::{Finding, Level};
use super::args::Output;
use super::past::{json, past, replayed, view};
use super::verbs::running;
use super::{Common, Done, Failure, PERSON, Place, USAGE, files, found_config, gather, parts, say, themes};
use crate::config::{self, Config};
use crate::core;
use crate::journal::Memory;
use crate::model::{DeploymentId, InstanceId};
use crate::os::text::counted;
use crate::ports::{Journal, Session as _};
use crate::runner::Parts;
use crate::state::State;
use crate::tui::Library;

/// Deployments before the last that are read to learn which left an instance out.
const REMEMBERED: usize = 20;

/// `rollout check`.
pub(super) async fn check(common: &Common) -> Done {
    let path = found_config(common)?;
    let config = match config::load(&path, &common.sets, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(errors) => {
            match common.output {
                Output::Text => return Err(Failure::usage(errors)),
                Output::Json => {
                    let faults = errors.short_lines();
                    let faults: Vec<Finding> = faults.iter().map(|line| Finding::missing("config", "file", line, "")).collect();
                    tell(common, &faults)?;
                }
            }
            return Ok(USAGE);
        }
    };
    let findings = all(config).await?;
    tell(common, &findings)?;
    Ok(if findings.iter().any(|finding| finding.level == Level::Missing) { PERSON } else { 0 })
}

/// Everything at once, in the order in which a deployment needs it.
async fn all(mut config: Config) -> Result<Vec<Finding>, Failure> {
    let place = Place::of(&config);
    let parts = parts::parts(&config, Arc::new(Memory::new(&place.service)))?;
    let discovered = discovered(&mut config, &parts).await;
    let config = &config;
    let mut findings = vec![Finding::ok(
        "config",
        config.source.name(),
        &format!("{} ({}), {}", place.service, place.env, counted(config.targets.len(), "instance")),
    )];
    findings.extend(config.warnings.iter().map(|warning| Finding::doubt("config", "file", warning, "")));
    findings.extend(trust::look(config));
    findings.extend(theme(config));
    findings.extend(discovered);
    findings.push(files::finding(config.targets.len()));
    let runs = match running(&place).await {
        Ok(Some(client)) => client.snapshot().await.ok().map(|snapshot| snapshot.state),
        Ok(None) | Err(_) => None,
    };
    findings.extend(store::look(config, &place, runs.as_ref()));
    let left = left_out(config);
    let (balancers, instances, vip, measures) = futures::join!(
        world::balancers(&parts, &config.targets, &left),
        world::instances(&parts, config),
        world::vip(&parts, config),
        measures::measures(&parts, config)
    );
    let at_work = |finding: Finding| match &runs {
        Some(state) if is_at_work(state, &finding.subject) => finding.softened(&state.plan.deployment.to_string()),
        Some(_) | None => finding,
    };
    let (balancers, instances) = (balancers.into_iter().map(at_work), instances.into_iter().map(at_work));
    findings.extend(balancers);
    findings.extend(instances);
    findings.extend(vip);
    findings.extend(measures);
    Ok(findings)
}

/// A theme that cannot be used: the console begins all the same, in the colours of the default.
fn theme(config: &Config) -> Option<Finding> {
    let library = Library::with(themes::files());
    let error = library.sheet(&config.console.theme).err()?;
    let remedy = "until then the console has the default's colours; see `rollout theme list`";
    Some(Finding::doubt("console", "theme", &error.brief(), remedy))
}

/// Asks the sources of the fleet, if there are any.
async fn discovered(config: &mut Config, parts: &Parts) -> Option<Finding> {
    const KIND: &str = "fleet";
    let sources = gather::sources(config)?;
    // A journal that cannot be read is a matter for its own line.
    let journal = view(config).ok().flatten();
    let journal = journal.as_ref().map(|journal| -> &dyn Journal { journal });
    Some(match gather::fleet(config, parts.traffic.as_ref(), (journal, gather::Aim::Look)).await {
        Ok(None) => Finding::ok(KIND, &sources, &counted(config.targets.len(), "instance")),
        Ok(Some(since)) => {
            let message = format!("{}; {since}", counted(config.targets.len(), "instance"));
            Finding::doubt(KIND, &sources, &message, "see that this is meant; a deployment goes by it")
        }
        Err(failure) => Finding::missing(KIND, &sources, &failure.message, "correct [fleet.discover], or mend what it asks"),
    })
}

/// Who was left out of rotation by earlier deployments, and by which of them: the last that had it in hand. A journal that
/// cannot be read is a matter for its own line.
fn left_out(config: &Config) -> BTreeMap<InstanceId, DeploymentId> {
    let rows = past(config).unwrap_or_default().rows;
    let mut states = rows.iter().filter(|row| row.ended_at.is_some()).map_while(|row| replayed(config, &row.id).ok());
    let Some(last) = states.next() else { return BTreeMap::new() };
    let mut left: BTreeMap<InstanceId, DeploymentId> =
        core::left_out(&last).into_iter().map(|id| (id, last.plan.deployment.clone())).collect();
    let mut unnamed: Vec<InstanceId> = left.keys().cloned().collect();
    for state in std::iter::once(last).chain(states.take(REMEMBERED)) {
        unnamed.retain(|id| {
            let had = state.instance(id).is_some_and(|instance| instance.attempt > 0);
            if had {
                left.insert(id.clone(), state.plan.deployment.clone());
            }
            !had
        });
        if unnamed.is_empty() {
            break;
        }
    }
    left
}

/// What a running deployment has in hand is out on purpose.
fn is_at_work(state: &State, subject: &str) -> bool {
    state.instances.iter().any(|(id, instance)| id.as_str() == subject && instance.is_active())
}

fn tell(common: &Common, findings: &[Finding]) -> Result<(), Failure> {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (missing, doubts) = (count(Level::Missing), count(Level::Doubt));
    match common.output {
        Output::Text => {
            let mut lines: Vec<String> = findings.iter().map(Finding::text).collect();
            lines.push(match (missing, doubts) {
                (0, 0) => "all there; nothing was changed".to_owned(),
                (0, n) => format!("all there, {n} to think about; nothing was changed"),
                (n, _) => format!("{n} to mend; nothing was changed"),
            });
            say(&lines.join("\n"));
        }
        Output::Json => {
            for finding in findings {
                json(finding)?;
            }
            json(&json!({"type": "checked", "ok": missing == 0, "missing": missing, "doubts": doubts}))?;
        }
    }
    Ok(())
}
