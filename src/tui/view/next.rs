//! What comes next if nobody does anything, in a sentence.
//!
//! Imports: tui parts, state, core, model. May not: know a place or a style.

use crate::core;
use crate::model::{Confirm, InstanceId};
use crate::state::{Awaits, Goal, Phase, State};
use crate::tui::app::{App, Link};
use crate::tui::steps::{self, Stage};
use crate::tui::text::seconds;

/// `next: 10s of watching, then batch 4: web-07 web-08`; empty where nobody knows.
pub(super) fn words(app: &App) -> String {
    let state = &app.state;
    if state.end.is_some() || app.link != Link::Up || app.idle.is_some() {
        return String::new();
    }
    if state.end_check_until.is_some() {
        return "next: it ends".to_owned();
    }
    if state.cancel.is_some() {
        let end = if state.rollback.is_some() { "failed, where it is" } else { "cancelled" };
        return format!("next: when they are at rest, it ends {end}");
    }
    if state.rollback.is_some() {
        return back(state);
    }
    let waiting = rest_of_the_batch(state);
    let step = following(app);
    let then = match core::ahead(state).first() {
        _ if waiting.is_empty() && step.is_some() => step.unwrap_or_default(),
        _ if !waiting.is_empty() => format!("{}, of this batch", names(state, &waiting)),
        Some(batch) => format!("batch {}: {}", batch.number, names(state, &batch.members)),
        None => match held(state) {
            Some(id) => format!("{id} waits to be released or skipped"),
            None => "the end check".to_owned(),
        },
    };
    // Somebody is asked before each batch.
    let asked = state.plan.policy.strategy.confirm == Confirm::Batch && state.batches > state.approved;
    let then = if asked && waiting.is_empty() && state.batch.is_some() { format!("approval, then {then}") } else { then };
    let pause = state.plan.policy.strategy.batch_pause;
    let baked = !waiting.is_empty() || state.batch.as_ref().is_some_and(|batch| batch.bake_until.is_some());
    match state.awaits {
        _ if state.started_at.is_none() => format!("next, once started: {then}"),
        Some(Awaits::Answer) => "next, unanswered: everything goes back".to_owned(),
        _ if state.pause.is_some() => format!("next, once resumed: {then}"),
        Some(Awaits::Promotion) => format!("next, once promoted: {then}"),
        Some(Awaits::Approval) => format!("next, once approved: {then}"),
        Some(Awaits::Release) => format!("next, once they are released or skipped: {then}"),
        Some(Awaits::Start) | None if baked || state.batch.is_none() || pause.is_zero() => format!("next: {then}"),
        Some(Awaits::Start) | None => format!("next: {} of watching, then {then}", seconds(pause)),
    }
}

/// The step that follows when the batch or the step at work is done, if one does.
fn following(app: &App) -> Option<String> {
    let state = &app.state;
    let all = steps::steps(state, app.now);
    let step = all.iter().find(|step| step.stage == Stage::ToCome)?;
    let at_work = state.batch.is_some() && state.step.is_none();
    (!at_work && usize::try_from(step.number).is_ok_and(|number| number < all.len()))
        .then(|| format!("step {}, {}", step.number, step.words))
}

/// On the way back.
fn back(state: &State) -> String {
    let paused = state.pause.is_some();
    let left = state.instances.values().any(|i| i.goal == Goal::Back && i.phase == Phase::Failed);
    match core::way_back(state).as_slice() {
        [] if left => "next: when they are back, it ends with what did not come back listed".to_owned(),
        [] => "next: when they are back, it ends rolled back".to_owned(),
        some if paused => format!("next back, once resumed: {}", names(state, some)),
        some => format!("next back: {}", names(state, some)),
    }
}

/// The first one that waits for its release.
fn held(state: &State) -> Option<&InstanceId> {
    state.instances.iter().find(|(_, i)| i.phase == Phase::Pending && i.held.is_some()).map(|(id, _)| id)
}

/// Those of the batch at work whose turn has not come, by place in the plan.
fn rest_of_the_batch(state: &State) -> Vec<usize> {
    let members = state.batch.iter().flat_map(|batch| &batch.members).filter_map(|id| state.instances.get_full(id));
    members
        .filter(|(.., instance)| instance.phase == Phase::Pending && instance.held.is_none())
        .map(|(place, ..)| place)
        .collect()
}

/// `web-07 web-08`, or the first ones of many.
fn names(state: &State, places: &[usize]) -> String {
    let named: Vec<&str> =
        places.iter().take(3).filter_map(|place| Some(state.instances.get_index(*place)?.0.as_str())).collect();
    let more = places.len() - named.len();
    if more > 0 { format!("{} and {more} more", named.join(" ")) } else { named.join(" ") }
}
