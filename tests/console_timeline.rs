//! The timeline, the plan and the levels of detail, as screens and as keys.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{World, console, fixed};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rollout::command::Command;
use rollout::model::InstanceState;
use rollout::state::Phase;
use rollout::tui::{App, Cmd, Depth, Key, Msg, Tab, update, view};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 48);
const MEDIUM: (u16, u16) = (100, 30);
const NARROW: (u16, u16) = (60, 16);
const LEAST: (u16, u16) = (40, 10);
const HUGE: (u16, u16) = (300, 80);

fn picture(app: &App) -> String {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).unwrap();
    terminal.draw(|frame| view(app, frame)).unwrap();
    if app.size.0 == 0 { String::new() } else { terminal.backend().to_string() }
}

fn press(app: &mut App, key: char) -> Vec<Cmd> {
    update(app, Msg::Key(Key::Char(key)))
}

/// In the middle: some done, one draining, one in its health gate.
fn running(total: usize) -> World {
    let batches = 3.min(u32::try_from(total).unwrap().div_ceil(2));
    World::new(total)
        .started()
        .until(|s| s.batches == batches && s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })))
}

fn paused(total: usize) -> World {
    let mut world = running(total);
    let held = world.state.instances.get_index(total - 2).unwrap().0.clone();
    world.command(Command::Hold { instance: held, reason: "its disk is being replaced".to_owned() });
    world.command(Command::Pause { reason: String::new() });
    world
}

/// Three batches are out, and an operator wants them back.
fn going_back(total: usize) -> World {
    let mut world = running(total);
    world.command(Command::Rollback { reason: "errors in checkout".to_owned(), only: None });
    world.until(|s| s.tally().of(InstanceState::RolledBack) >= 2 && s.active.len() >= 2)
}

fn done(total: usize) -> World {
    World::new(total).started().until(|s| s.end.is_some())
}

fn opened(world: &World, tab: char, size: (u16, u16), ascii: bool) -> App {
    let mut app = console(world, size, fixed(Depth::Rgb, ascii));
    press(&mut app, tab);
    app
}

macro_rules! pictures {
    ($($name:ident: $world:expr, $tab:literal, $size:expr, $ascii:literal;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(picture(&opened(&$world, $tab, $size, $ascii)));
        })*
    };
}

pictures! {
    timeline_planned_20_small: World::new(20), '3', SMALL, false;
    timeline_running_20_small: running(20), '3', SMALL, false;
    timeline_running_20_small_ascii: running(20), '3', SMALL, true;
    timeline_running_20_large: running(20), '3', LARGE, false;
    timeline_running_20_large_ascii: running(20), '3', LARGE, true;
    timeline_running_20_narrow: running(20), '3', NARROW, false;
    timeline_running_20_least: running(20), '3', LEAST, false;
    timeline_running_20_medium: running(20), '3', MEDIUM, false;
    timeline_running_20_huge: running(20), '3', HUGE, false;
    timeline_running_3_small: running(3), '3', SMALL, false;
    timeline_running_200_large: running(200), '3', LARGE, false;
    timeline_paused_20_large: paused(20), '3', LARGE, false;
    timeline_going_back_20_small: going_back(20), '3', SMALL, false;
    timeline_going_back_20_large: going_back(20), '3', LARGE, false;
    timeline_done_20_large: done(20), '3', LARGE, false;
    timeline_done_20_medium_ascii: done(20), '3', MEDIUM, true;
    timeline_done_200_small: done(200), '3', SMALL, false;
    plan_planned_20_small: World::new(20), '5', SMALL, false;
    plan_planned_200_medium: World::new(200), '5', MEDIUM, false;
    plan_running_20_small: running(20), '5', SMALL, false;
    plan_running_20_small_ascii: running(20), '5', SMALL, true;
    plan_running_20_large: running(20), '5', LARGE, false;
    plan_running_20_narrow: running(20), '5', NARROW, false;
    plan_running_20_least: running(20), '5', LEAST, false;
    plan_running_3_small: running(3), '5', SMALL, false;
    plan_running_20_huge: running(20), '5', HUGE, false;
    plan_paused_20_large: paused(20), '5', LARGE, false;
    plan_going_back_20_small: going_back(20), '5', SMALL, false;
    plan_going_back_20_large: going_back(20), '5', LARGE, false;
    plan_done_20_medium: done(20), '5', MEDIUM, false;
}

#[test]
fn both_screens_open_by_their_keys() {
    let app = opened(&running(20), '3', SMALL, false);
    assert_eq!(app.tab, Tab::Timeline);
    assert_eq!(opened(&running(20), '5', SMALL, false).tab, Tab::Plan);
}
