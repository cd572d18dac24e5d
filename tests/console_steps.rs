//! Steps, checks and hooks on the screen: at every moment of a canary it says what is waited for, by which numbers, and until
//! when.
//!
//! Imports: the library, the console's fixture. May not: start anything.

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, canary, console, fixed, picture, press, read, share};
use rollout::command::Command;
use rollout::model::{CanaryStep, Measurement};
use rollout::state::State;
use rollout::tui::{App, Cmd, Depth, Key};

fn at(step: u32) -> impl Fn(&State) -> bool {
    move |state| state.step.as_ref().is_some_and(|run| run.number == step) && state.batch.is_none()
}

fn shown(world: &World, size: (u16, u16), tab: char, ascii: bool) -> App {
    let mut app = console(world, size, fixed(Depth::Mono, ascii));
    press(&mut app, Key::Char(tab));
    app
}

#[test]
fn the_strip_and_the_plan_say_where_a_canary_stands() {
    let analysed = World::planned(canary(20)).started().until(|s| at(2)(s) && s.analysis.values().any(|run| run.passes == 3));
    let fleet = picture(&shown(&analysed, LARGE, '1', false));
    assert!(fleet.contains("analysis 3/5"), "{fleet}");
    insta::assert_snapshot!("fleet_analysis_large", fleet);
    insta::assert_snapshot!("fleet_analysis_small", picture(&shown(&analysed, SMALL, '1', false)));
    insta::assert_snapshot!("fleet_analysis_small_ascii", picture(&shown(&analysed, SMALL, '1', true)));
    insta::assert_snapshot!("plan_analysis_large", picture(&shown(&analysed, LARGE, '5', false)));
    insta::assert_snapshot!("plan_analysis_small", picture(&shown(&analysed, SMALL, '5', false)));
    let promoted = World::planned(canary(20)).started().until(at(6));
    insta::assert_snapshot!("fleet_promote_small", picture(&shown(&promoted, SMALL, '1', false)));
    let waits = picture(&shown(&promoted, LARGE, '1', false));
    assert!(waits.contains("[PROMOTE?]") && waits.contains("waits for a person (promote)"), "{waits}");
}

#[test]
fn a_check_that_fails_or_says_nothing_is_seen_with_its_numbers() {
    let failing =
        World::planned(canary(20)).started().until(at(2)).measuring(share(0.023, 0.001)).until(|s| s.rollback.is_some());
    for size in [SMALL, LARGE] {
        let text = picture(&shown(&failing, size, '1', false));
        assert!(text.contains("error_rate fail: 2.3%, above 1%"), "{text}");
    }
    let away = Measurement::Error { why: "connection refused".to_owned() };
    let away = World::planned(canary(20)).started().until(at(2)).measuring(away);
    let away = away.until(|s| s.analysis.values().any(|run| run.inconclusive >= 1));
    for size in [SMALL, LARGE] {
        let text = picture(&shown(&away, size, '1', false));
        assert!(text.contains("inconclusive: connection refused"), "{text}");
    }
}

#[test]
fn a_key_promotes_the_step_after_a_question() {
    let world = World::planned(canary(20)).started().until(at(3));
    let mut app = console(&world, LARGE, fixed(Depth::Mono, false));
    press(&mut app, Key::Char('a'));
    assert!(picture(&app).contains("PROMOTE THE STEP"), "{}", picture(&app));
    read(&mut app);
    let cmds = press(&mut app, Key::Char('y'));
    assert!(matches!(cmds.as_slice(), [Cmd::Send { command: Command::Promote { full: false }, .. }]), "{cmds:?}");
}

/// Nothing is there that depends on what happens: the strip has its row from the plan on to the end.
#[test]
fn the_strip_never_jumps() {
    let planned = World::planned(canary(20));
    let row = |world: &World| {
        let text = picture(&shown(world, SMALL, '1', false));
        text.lines().position(|line| line.contains(" steps ")).unwrap_or_else(|| panic!("{text}"))
    };
    let first = row(&planned);
    let mut world = planned.started();
    for number in 1..=6 {
        world = world.until(|s| s.step.as_ref().is_some_and(|run| run.number == number));
        assert_eq!(row(&world), first, "step {number}");
        if matches!(world.state.canary_step(), Some(CanaryStep::Pause { lasts: None })) {
            world.command(Command::Promote { full: false });
        }
    }
    assert_eq!(row(&world.until(|s| s.end.is_some())), first);
}
