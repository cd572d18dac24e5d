//! The verbs that ask: approve, retry, skip, hold, release, the second cancel; as screens and as keys.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{SMALL, World, console, fixed, picture, plan};
use rollout::command::Command;
use rollout::model::{Confirm, InstanceState, OnFailure};
use rollout::ports::Update;
use rollout::state::{Awaits, Phase, State};
use rollout::tui::{App, Cmd, Depth, Key, Msg, Overlay, update};

fn press(app: &mut App, key: char) -> Vec<Cmd> {
    update(app, Msg::Key(Key::Char(key)))
}

/// The frame was seen, half a second has passed, and the answer is yes.
fn read_and_agree(app: &mut App) -> Command {
    let id = app.unseen().unwrap();
    update(app, Msg::Seen(id));
    update(app, Msg::Armed(id));
    sent(&press(app, 'y'))
}

fn sent(cmds: &[Cmd]) -> Command {
    let [Cmd::Send { command, .. }] = cmds else { panic!("{cmds:?}") };
    command.clone()
}

fn ask(app: &App) -> String {
    let Some(Overlay::Ask(ask)) = &app.overlay else { panic!("no question: {:?}", app.message) };
    ask.title()
}

fn at(app: &mut App, wanted: impl Fn(&State, usize) -> bool) -> String {
    let index = (0..app.state.instances.len()).find(|index| wanted(&app.state, *index)).unwrap();
    app.selected = index;
    app.id_at(index).unwrap().to_string()
}

fn shows(state: InstanceState) -> impl Fn(&State, usize) -> bool {
    move |of, index| of.instances.get_index(index).unwrap().1.shown() == state
}

/// A plan in which each batch waits for a person.
fn asking() -> World {
    let mut plan = plan(20);
    plan.policy.strategy.confirm = Confirm::Batch;
    World::planned(plan).started().until(|s| s.awaits == Some(Awaits::Approval))
}

fn failing() -> World {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Pause;
    World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty())
}

#[test]
fn a_batch_that_waits_for_a_person_says_so_and_a_approves_it() {
    let mut app = console(&asking(), SMALL, fixed(Depth::Rgb, false));
    insta::assert_snapshot!("approval_small", picture(&app));
    press(&mut app, 'r');
    assert!(app.message.clone().unwrap().0.contains("a approves it"), "{:?}", app.message);
    press(&mut app, 'a');
    assert_eq!(ask(&app), "APPROVE THE NEXT BATCH");
    assert_eq!(read_and_agree(&mut app), Command::Promote { full: false });
    let mut running = console(&World::new(20).started(), SMALL, fixed(Depth::Rgb, false));
    for key in ['a', 'A'] {
        assert!(press(&mut running, key).is_empty());
        assert!(running.message.clone().unwrap().0.contains("no batch waits for approval"));
    }
}

#[test]
fn all_batches_are_approved_only_by_the_whole_word() {
    let mut app = console(&asking(), SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'A');
    insta::assert_snapshot!("approve_all_small", picture(&app));
    let id = app.unseen().unwrap();
    update(&mut app, Msg::Seen(id));
    update(&mut app, Msg::Armed(id));
    assert!(press(&mut app, 'y').is_empty());
    update(&mut app, Msg::Key(Key::Backspace));
    for key in "promot".chars() {
        press(&mut app, key);
    }
    assert!(update(&mut app, Msg::Key(Key::Enter)).is_empty());
    press(&mut app, 'e');
    assert_eq!(sent(&update(&mut app, Msg::Key(Key::Enter))), Command::Promote { full: true });
}

#[test]
fn the_acts_on_one_instance_name_it_and_keep_to_it() {
    let world = failing();
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    for (key, state, verb) in [
        ('t', InstanceState::Failed, "RETRY"),
        ('s', InstanceState::Failed, "SKIP"),
        ('B', InstanceState::Failed, "ROLL BACK"),
        ('H', InstanceState::Pending, "HOLD"),
    ] {
        let name = at(&mut app, shows(state));
        press(&mut app, key);
        assert_eq!(ask(&app), format!("{verb} {name}"));
        assert!(picture(&app).contains(&name));
        // The selection moves under the question: the command does not.
        app.selected = 19;
        let command = read_and_agree(&mut app);
        let on = match command {
            Command::Retry { instance }
            | Command::Skip { instance, .. }
            | Command::Hold { instance, .. }
            | Command::Rollback { only: Some(instance), .. } => instance,
            other => panic!("{other:?}"),
        };
        assert_eq!(on.to_string(), name);
    }
}

#[test]
fn what_cannot_be_done_to_an_instance_says_why() {
    let mut app = console(&failing(), SMALL, fixed(Depth::Rgb, false));
    for (key, state, why) in [
        ('t', InstanceState::Pending, "has not failed"),
        ('U', InstanceState::Pending, "is not held"),
        ('H', InstanceState::Failed, "only one that is still to be taken can be held"),
        ('B', InstanceState::Pending, "only a failed instance goes back alone"),
    ] {
        at(&mut app, shows(state));
        assert!(press(&mut app, key).is_empty() && app.overlay.is_none(), "{key}");
        let (text, _) = app.message.clone().unwrap();
        assert!(text.contains(why), "{key}: {text}");
    }
    for key in "/zzz\r".chars() {
        if key == '\r' {
            update(&mut app, Msg::Key(Key::Enter))
        } else {
            press(&mut app, key)
        };
    }
    press(&mut app, 't');
    assert!(app.message.clone().unwrap().0.contains("no instance is selected"));
}

#[test]
fn a_held_instance_is_listed_with_who_holds_it_and_released() {
    let mut world = World::new(20);
    let id = world.state.instances.get_index(6).unwrap().0.clone();
    world.command(Command::Hold { instance: id.clone(), reason: "disk alert".to_owned() });
    let world = world.started().until(|s| s.batches == 2);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'n');
    assert_eq!(app.selected, 6, "a held one is found like a failed one");
    let text = picture(&app);
    assert!(text.contains("= web-07 held by ana: disk alert"), "{text}");
    insta::assert_snapshot!("held_small", text);
    press(&mut app, 'U');
    assert_eq!(ask(&app), "RELEASE web-07");
    assert_eq!(read_and_agree(&mut app), Command::Release { instance: id });
}

#[test]
fn a_second_cancel_stops_the_commands_and_says_so() {
    let updating = |s: &State| s.instances.values().any(|i| i.phase == Phase::Updating);
    let mut world = World::new(20).started().until(updating);
    world.command(Command::Cancel { reason: String::new() });
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'C');
    assert_eq!(ask(&app), "STOP THE COMMANDS");
    insta::assert_snapshot!("second_cancel_small", picture(&app));
    assert!(matches!(read_and_agree(&mut app), Command::Cancel { .. }));
}

#[test]
fn a_cancel_of_somebody_else_closes_the_question_whether_to_cancel() {
    let updating = |s: &State| s.instances.values().any(|i| i.phase == Phase::Updating);
    let mut world = World::new(20).started().until(updating);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'C');
    assert_eq!(ask(&app), "CANCEL");
    let id = app.unseen().unwrap();
    update(&mut app, Msg::Seen(id));
    update(&mut app, Msg::Armed(id));
    let known = world.events.len();
    world.command(Command::Cancel { reason: String::new() });
    for event in &world.events[known..] {
        update(&mut app, Msg::Update(Update::Event(event.clone())));
    }
    assert!(app.overlay.is_none(), "its y would stop the commands");
    assert!(press(&mut app, 'y').is_empty());
}
