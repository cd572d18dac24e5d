//! A plan that nobody has begun and nobody looks at any more is in everybody's way: the engine ends it, nothing was touched.
//!
//! Imports: command, event, ports, runner. May not: end what has begun.

use tokio::time::{Instant, sleep};

use crate::command::{Command, Request};
use crate::event::Actor;
use crate::model::Span;
use crate::ports::Engine as _;
use crate::runner::Bus;

/// Of the time that a person has to begin it, the part that it waits without anybody watching: 5 minutes of 30, enough to log
/// in again and attach.
const PART: u32 = 6;
/// Looks within that time.
const LOOKS: u32 = 20;

/// How long a plan waits for somebody to look at it again.
pub(super) fn patience(approval_timeout: Span) -> Span {
    Span::from(approval_timeout.to_std() / PART)
}

/// Ends the plan once nobody has watched it for that long. Returns when it has begun, or has ended.
pub(super) async fn end(bus: Bus) {
    let Ok(snapshot) = bus.snapshot().await else { return };
    let (patience, mut seen) = (patience(snapshot.state.plan.policy.strategy.approval_timeout).to_std(), Instant::now());
    drop(snapshot);
    while bus.is_only_planned() {
        sleep(patience / LOOKS).await;
        if bus.is_watched() {
            seen = Instant::now();
        }
        if seen.elapsed() < patience {
            continue;
        }
        let reason = "nobody watches the plan any more".to_owned();
        let request = Request { key: String::new(), actor: Actor::Engine, revision: None, command: Command::Cancel { reason } };
        if let Err(error) = bus.send(request).await {
            tracing::info!(target: "engine", "nobody has watched the plan for {}, and it stays: {error}", Span::from(patience));
        }
        seen = Instant::now();
    }
}
