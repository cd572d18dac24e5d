//! Every screen at every usual size, with and without the glyphs of Unicode: one picture book a screen.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use std::fmt::Write as _;

use fixture::{NOON, World, console, fixed, picture, plan, press};
use rollout::model::{DeploymentId, InstanceState, OnFailure, Span};
use rollout::ports::{Chapter, Chapters, DeploymentRow, LogLine, Outcome, Update};
use rollout::state::Phase;
use rollout::tui::{App, Depth, Key, Msg, update};

const SIZES: [(u16, u16); 6] = [(40, 10), (60, 16), (80, 24), (100, 30), (160, 48), (300, 80)];

/// One failed and is tolerated, one is in its health gate, most are untouched.
fn world() -> World {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Continue;
    let mut world = World::planned(plan).bad().started().until(|s| s.tally().of(InstanceState::Failed) == 1);
    world.bad = false;
    world.until(|s| s.batches == 3 && s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })))
}

fn earlier() -> Chapters {
    let done = World::new(20).started().until(|s| s.end.is_some());
    let back = World::new(20).bad().started().until(|s| s.end.is_some());
    let chapter = |number: u32, world: &World| {
        let row = DeploymentRow {
            id: DeploymentId::new("shop", number),
            version: format!("v{number}"),
            status: world.state.status().word().to_owned(),
            started_by: "ana".to_owned(),
            planned_at: NOON,
            ended_at: world.state.end.as_ref().map(|end| end.at),
        };
        Chapter { outcome: Outcome::of(&world.events).map(Box::new), ..Chapter::of(row) }
    };
    Chapters { all: vec![chapter(6, &back), chapter(5, &done)], complaints: Vec::new() }
}

fn app(world: &World, size: (u16, u16), ascii: bool) -> App {
    let mut app = console(world, size, fixed(Depth::Mono, ascii));
    for (number, (level, text)) in
        [("info", "web-05: take-out took 97ms"), ("warn", "web-05: still 3 connections")].iter().enumerate()
    {
        let number = u64::try_from(number).unwrap() + 1;
        let (level, message) = ((*level).to_owned(), (*text).to_owned());
        let at = NOON + Span::from_secs(number);
        let line = LogLine { number, at, level, target: "rollout::effect".to_owned(), message };
        update(&mut app, Msg::Update(Update::Log(line)));
    }
    app
}

fn book(key: char) -> String {
    let world = world();
    let mut book = String::new();
    for size in SIZES {
        for ascii in [false, true] {
            let mut app = app(&world, size, ascii);
            press(&mut app, Key::Char(key));
            if key == '6' {
                update(&mut app, Msg::Past(Ok(Some(earlier()))));
            }
            let set = if ascii { "ascii" } else { "unicode" };
            writeln!(book, "{}x{} {set}\n{}", size.0, size.1, picture(&app)).unwrap();
        }
    }
    book
}

macro_rules! books {
    ($($name:ident: $key:literal;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(book($key));
        })*
    };
}

books! {
    fleet: '1';
    instance: '2';
    timeline: '3';
    logs: '4';
    plan_and_next: '5';
    history: '6';
    help: '?';
}
