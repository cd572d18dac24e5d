//! What an on-call engineer must be able to read in two seconds, without colours, on the smallest usual terminal: which
//! instance it is about, why, what comes next, and which key stops it.
//!
//! Imports: the library, the console's fixture. May not: start anything.

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{SMALL, World, console, fixed, picture, plan, press};
use rollout::command::Command;
use rollout::model::{Confirm, InstanceState, OnFailure};
use rollout::state::{Awaits, Phase};
use rollout::tui::{App, Depth, Key};

/// The screen of this key, without colours.
fn shown(world: &World, key: char) -> String {
    let mut app: App = console(world, SMALL, fixed(Depth::Mono, false));
    press(&mut app, Key::Char(key));
    picture(&app)
}

/// The screens that the README shows, and no others.
#[test]
fn the_readme_shows_the_screens_as_they_are() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let world = World::new(20)
        .started()
        .until(|s| s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })) && s.batches == 5);
    let mut wanted = String::new();
    let mut rest = readme.as_str();
    while let Some((before, after)) = rest.split_once("<!-- screen: ") {
        let (name, after) = after.split_once(" -->\n").unwrap();
        let (_, after) = after.split_once("<!-- end -->").unwrap();
        let key = match name {
            "fleet" => '1',
            "timeline" => '3',
            "plan" => '5',
            other => unreachable!("no screen {other:?}"),
        };
        let lines: Vec<String> = shown(&world, key).lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect();
        wanted.extend([before, "<!-- screen: ", name, " -->\n```text\n", &lines.join("\n"), "\n```\n<!-- end -->"]);
        rest = after;
    }
    wanted += rest;
    if std::env::var_os("ROLLOUT_WRITE_README").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        readme == wanted,
        "the screens are others by now; ROLLOUT_WRITE_README=1 cargo test --test console_states writes them"
    );
}

/// All of it is on the screen.
fn says(world: &World, wanted: [&str; 4]) {
    let text = shown(world, '1');
    for (what, words) in ["which instance", "why", "what comes next", "which key stops it"].into_iter().zip(wanted) {
        assert!(text.contains(words), "{what}: {words:?} is not in\n{text}");
    }
}

#[test]
fn an_instance_in_its_health_gate() {
    let world = World::new(20)
        .started()
        .until(|s| s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })) && s.batches == 3);
    says(
        &world,
        [
            "web-06",
            "looking at web-06 before touching it (until",
            "next: 10s of watching, then batch 4: web-07 web-08",
            "p pause",
        ],
    );
}

#[test]
fn a_batch_under_watch() {
    let world = World::new(20).started().until(|s| s.batch.as_ref().is_some_and(|b| b.number == 2 && b.bake_until.is_some()));
    says(
        &world,
        ["web-04", "batch 2 is verified; watching it before the next (until", "next: batch 3: web-05 web-06", "p pause"],
    );
}

#[test]
fn a_failure_that_paused_it() {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Pause;
    let world = World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty());
    says(
        &world,
        ["✗ web-01", "3 failed checks in a row: status 503", "next, once resumed: batch 2: web-03 web-04", "R rollback"],
    );
}

#[test]
fn a_rollback_by_the_engine() {
    let world = World::new(20)
        .bad()
        .started()
        .until(|s| s.rollback.is_some() && s.instances.values().any(|i| matches!(i.phase, Phase::Restoring | Phase::Updating)));
    says(
        &world,
        [
            "web-01 back: update",
            "web-01: 3 failed checks in a row: stat",
            "next: when they are back, it ends rolled back",
            "C cancel",
        ],
    );
}

#[test]
fn a_batch_that_waits_for_approval() {
    let mut plan = plan(20);
    plan.policy.strategy.confirm = Confirm::Batch;
    let world = World::planned(plan).started().until(|s| s.awaits == Some(Awaits::Approval));
    says(
        &world,
        [
            "web-02 healthy",
            "batch 1 is done; the next waits for approval",
            "next, once approved: batch 2: web-03 web-04",
            "C cancel",
        ],
    );
}

#[test]
fn a_pause_by_somebody() {
    let mut world = World::new(20).started().until(|s| s.batches == 2);
    world.command(Command::Pause { reason: "disk alert on web-07".to_owned() });
    let world = world.until(|s| s.active.is_empty());
    says(
        &world,
        ["web-03 pending", "paused by ana: disk alert on web-07", "next, once resumed: web-03 web-04, of this batch", "r resume"],
    );
}

#[test]
fn a_failure_that_is_tolerated() {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Continue;
    let mut world = World::planned(plan).bad().started().until(|s| s.tally().of(InstanceState::Failed) == 1);
    world.bad = false;
    let world = world.until(|s| s.batch.as_ref().is_some_and(|b| b.bake_until.is_some()));
    says(&world, ["✗ web-01", "status 503", "next: batch 2: web-03 web-04", "R rollback"]);
}

#[test]
fn before_it_begins() {
    says(
        &World::new(20),
        [
            "web-01",
            "waiting for someone to start it; nothing is touched yet",
            "next, once started: batch 1: web-01 web-02",
            "s start",
        ],
    );
}
