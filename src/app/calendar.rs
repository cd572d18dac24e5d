//! Change windows and freezes: whether a deployment may begin now, and who goes on all the same.

use super::args::ScopeArgs;
use super::{Failure, parts};
use crate::config::Config;
use crate::model::Override;

/// Refuses a deployment that may not begin now. What is overridden by name is returned, for the journal.
pub(super) fn permitted(config: &Config, scope: &ScopeArgs, by: &str) -> Result<Vec<Override>, Failure> {
    known(config, scope)?;
    let (given, held): (Vec<_>, Vec<_>) =
        config.calendar.closed(parts::now()).into_iter().partition(|closed| scope.override_freeze.contains(&closed.name));
    if let Some(first) = held.first() {
        let why: Vec<&str> = held.iter().map(|closed| closed.why.as_str()).collect();
        let name = &first.name;
        return Err(Failure::refused(format!(
            "no deployment may begin now: {}; nothing is touched; if it must: --override-freeze {name} --reason WHY",
            why.join("; ")
        )));
    }
    let reason = scope.reason.clone().unwrap_or_default();
    let overrides: Vec<Override> = given
        .into_iter()
        .map(|closed| Override { name: closed.name, why: closed.why, by: by.to_owned(), reason: reason.clone() })
        .collect();
    for Override { name, why, by, reason } in &overrides {
        tracing::warn!(target: "engine", "{by} overrides {name} ({reason:?}): {why}");
    }
    Ok(overrides)
}

/// What `plan` says of it.
pub(super) fn doubts(config: &Config, scope: &ScopeArgs) -> Result<Vec<String>, Failure> {
    known(config, scope)?;
    let closed = config.calendar.closed(parts::now()).into_iter();
    Ok(closed
        .map(|closed| {
            if scope.override_freeze.contains(&closed.name) {
                return format!("{}; overridden", closed.why);
            }
            format!("{}: until then deploy is refused without --override-freeze {}", closed.why, closed.name)
        })
        .collect())
}

/// A name that is none is a slip, which must not be found out in an emergency.
fn known(config: &Config, scope: &ScopeArgs) -> Result<(), Failure> {
    let names = config.calendar.names();
    match scope.override_freeze.iter().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) if names.is_empty() => {
            Err(Failure::usage(format!("--override-freeze {name}: {} has no [windows] and no [freeze]", config.source.name())))
        }
        Some(name) => Err(Failure::usage(format!("--override-freeze {name} is not there; there are: {}", names.join(", ")))),
    }
}
