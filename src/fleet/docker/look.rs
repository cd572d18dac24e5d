//! What a container shows of an instance.
//!
//! Imports: model, os, the containers. May not: change anything.

use bollard::models::{ContainerStateStatusEnum, HealthStatusEnum};

use super::scene::Seen;
use crate::model::{Observation, Target};
use crate::os::text;

/// What can be said of a container, without what it printed.
pub(super) fn observation(seen: &Seen, image: &str, about: (&str, &Target)) -> Observation {
    let ended = ended(seen);
    Observation { version: seen.version(image, about), running: Some(ended.is_none()), ended }
}

/// How it ended, if it does not run.
fn ended(seen: &Seen) -> Option<String> {
    use ContainerStateStatusEnum::{CREATED, DEAD, EMPTY, EXITED, PAUSED, REMOVING, RESTARTING, RUNNING, STOPPING};
    let state = seen.0.state.clone().unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    let because = match (&state.error, state.oom_killed) {
        (_, Some(true)) => " (out of memory)".to_owned(),
        (Some(error), _) if !error.is_empty() => format!(" ({})", text::sanitise(error)),
        _ if code == 137 => " (killed)".to_owned(),
        _ => String::new(),
    };
    Some(match seen.status() {
        RUNNING | STOPPING | EMPTY => return None,
        RESTARTING => {
            let times = text::counted(u64::try_from(seen.0.restart_count.unwrap_or_default()).unwrap_or_default(), "time");
            format!("exit code {code}{because}; docker has restarted it {times}")
        }
        EXITED | DEAD => format!("exit code {code}{because}"),
        CREATED => format!("not started{because}"),
        PAUSED => "paused".to_owned(),
        REMOVING => "being removed".to_owned(),
    })
}

/// What the image's HEALTHCHECK says of it, if there is one.
pub(super) fn health(seen: &Seen) -> Option<HealthStatusEnum> {
    let status = seen.0.state.as_ref()?.health.as_ref()?.status?;
    Some(status).filter(|status| !matches!(status, HealthStatusEnum::EMPTY | HealthStatusEnum::NONE))
}

/// What the last run of HEALTHCHECK printed.
pub(super) fn health_words(seen: &Seen) -> String {
    let log = seen.0.state.as_ref().and_then(|state| state.health.as_ref()?.log.as_ref()?.last());
    let said = log.map(|last| {
        let output = last.output.as_deref().unwrap_or_default();
        let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("exit code {}: {}", last.exit_code.unwrap_or_default(), text::sanitise(&output))
    });
    said.unwrap_or_else(|| "it printed nothing".to_owned())
}
