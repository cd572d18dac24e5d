//! L2 and L3: it never hangs in silence, and what it says that it waits for is what it waits for.

use rollout::command::Command;
use rollout::core::{check, next_deadline, waiting};
use rollout::effect::EffectKind;
use rollout::event::Cause;
use rollout::state::Awaits;

use super::Violation;
use super::orders::named;
use crate::world::{Engine, World};

type Checked = Result<(), Violation>;

/// What a sentence says is under way, by the word in the effect's id.
const CLAIMS: [(&str, &str); 11] = [
    ("yet to be stopped", "retire"),
    ("yet to confirm the drain of", "take-out"),
    ("connections that are still ending", "await-idle"),
    ("yet to be updated to", "update"),
    ("yet to go back to", "update"),
    ("yet to pass", "watch"),
    ("yet to report", "admit"),
    ("must stay healthy a while", "watch"),
    ("put back in rotation", "admit"),
    ("before touching", "survey"),
    ("taken out of rotation", "take-out"),
];

pub(crate) fn explains(engine: &Engine, world: &World) -> Checked {
    let state = &engine.state;
    if state.end.is_some() {
        return Ok(());
    }
    world.checks().slips(world)?;
    let lie = |what: &str, said: &str| Err(Violation::new("L3", format!("it says \"{said}\", but {what}")));
    let Some(said) = waiting(state).filter(|w| !w.what.trim().is_empty()) else {
        return Err(Violation::new("L3", "it cannot say what it waits for".to_owned()));
    };
    let now = engine.clock(world.now);
    silent(engine, world)?;
    for (words, act) in CLAIMS {
        // The reason of a pause speaks of what was.
        let now_said = said.what.rsplit("; ").next().filter(|_| !said.what.starts_with("paused"));
        if !now_said.is_some_and(|text| text.contains(words)) {
            continue;
        }
        if said.instances.is_empty() {
            return lie("it names nobody", &said.what);
        }
        for n in named(&said.instances) {
            if !engine.flights[n].iter().any(|f| f.effect.kind.word() == act && !f.over) {
                return lie(&format!("no {act} of web-{n} is in flight"), &said.what);
            }
        }
    }
    let last_said = said.what.rsplit("; ").next().filter(|_| !said.what.starts_with("paused")).unwrap_or_default();
    for (words, act) in
        [("yet to confirm the weight", "weigh"), ("has yet to end", "hook"), ("is an analysis: error_rate", "measure")]
    {
        let flying = engine.flights.last().is_some_and(|flights| flights.iter().any(|f| f.effect.kind.word() == act && !f.over));
        if last_said.contains(words) && !flying {
            return lie(&format!("no {act} is in flight"), &said.what);
        }
    }
    let offers = |command: &Command| check(state, command).is_ok();
    let reason = String::new;
    if said.what.starts_with("paused") {
        if state.pause.is_none() || !offers(&Command::Resume) {
            return lie("it cannot be resumed", &said.what);
        }
        let ways = said.what.rsplit("; ").next().unwrap_or_default();
        let back = ways.contains("roll back")
            && (!offers(&Command::Rollback { reason: reason(), only: None }) || state.rollback.is_some());
        let cancel = ways.contains("cancel") && (!offers(&Command::Cancel { reason: reason() }) || state.cancel.is_some());
        if back || cancel {
            return lie("that is no way out", &said.what);
        }
    }
    let asked = matches!(state.awaits, Some(Awaits::Approval | Awaits::Promotion));
    if said.what.contains("(promote)") && (!offers(&Command::Promote { full: false }) || !asked) {
        return lie("nothing waits for approval", &said.what);
    }
    if said.what.contains("only held instances") && said.instances.is_empty() {
        return lie("nobody is held", &said.what);
    }
    if said.what == "about to go on" && !engine.flights.iter().flatten().any(|f| !f.over && is_work(&f.effect.kind)) {
        return lie("nothing is on its way", &said.what);
    }
    let doubt = said.what.contains("watching it before the next");
    if said.until.is_some_and(|until| until <= now) && !doubt {
        return lie(&format!("that time is over at {now}"), &format!("{} until {:?}", said.what, said.until));
    }
    Ok(())
}

fn is_work(kind: &EffectKind) -> bool {
    use EffectKind as K;
    !matches!(kind, K::Watch { .. } | K::WatchRotation { .. } | K::HoldWeights { .. } | K::Measure { .. })
}

/// L2: something is on its way, or a time is set, or a person is asked and told whom it hangs on.
fn silent(engine: &Engine, world: &World) -> Checked {
    let state = &engine.state;
    if let Some(pause) = state.pause.as_ref().filter(|p| p.cause == Cause::Capacity) {
        let names = pause.reason.contains("web-");
        if !names {
            return Err(Violation::new("L2", format!("it names nobody who holds the budget: {}", pause.reason)));
        }
        return Ok(());
    }
    let at_work = engine.flights.iter().flatten().any(|f| !f.over && is_work(&f.effect.kind));
    // At the end of a bake a doubt is waited out by watching.
    let measured = engine.flights.iter().flatten().any(|f| !f.over && matches!(f.effect.kind, EffectKind::Measure { .. }));
    let watched = measured || state.batch.as_ref().is_some_and(|b| b.bake_until.is_some());
    let asks = state.pause.is_some() || state.awaits.is_some() || state.started_at.is_none();
    if at_work || asks || watched || next_deadline(state, engine.clock(world.now)).is_some() {
        return Ok(());
    }
    Err(Violation::new("L2", "nothing is on its way, no time is set, and nobody is asked".to_owned()))
}
