//! The line after `:`: the same verbs, questions and refusals as the keys have.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, console, fixed, picture, plan, press};
use rollout::command::{Command, refused_read_only};
use rollout::model::{InstanceId, InstanceState, OnFailure};
use rollout::tui::{App, Cmd, Depth, Fixed, Key, Msg, Overlay, Sort, Tab, update};

/// Types into the line that is open, or opens it.
fn type_text(app: &mut App, text: &str) {
    for c in text.chars() {
        assert!(press(app, Key::Char(c)).is_empty(), "{text}");
    }
}

/// Types a line and Enter.
fn say(app: &mut App, line: &str) -> Vec<Cmd> {
    type_text(app, line);
    press(app, Key::Enter)
}

fn said(app: &App) -> String {
    app.message.clone().map_or_else(String::new, |(text, _)| text)
}

fn running() -> App {
    console(&World::new(20).started(), SMALL, fixed(Depth::Rgb, false))
}

fn failing() -> App {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Pause;
    let world = World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty());
    console(&world, SMALL, fixed(Depth::Rgb, false))
}

fn first(app: &App, state: InstanceState) -> InstanceId {
    app.state.instances.iter().find(|(_, instance)| instance.shown() == state).unwrap().0.clone()
}

/// The question that is open, read and agreed to.
fn agreed(app: &mut App) -> Command {
    assert!(press(app, Key::Char('y')).is_empty(), "an answer that was there before the question counts for nothing");
    let id = app.unseen().unwrap_or_else(|| panic!("no question: {}", said(app)));
    update(app, Msg::Seen(id));
    update(app, Msg::Armed(id));
    let cmds = press(app, Key::Char('y'));
    let [Cmd::Send { command, .. }] = cmds.as_slice() else { panic!("{cmds:?}") };
    command.clone()
}

#[test]
fn verbs_ask_what_their_keys_ask_on_the_instance_that_was_named() {
    let mut app = failing();
    let failed = first(&app, InstanceState::Failed);
    let pending = first(&app, InstanceState::Pending);
    app.selected = 19;
    for (line, wanted) in [
        (format!(":retry {failed}"), Command::Retry { instance: failed.clone() }),
        (format!(":skip {failed} disk is full"), Command::Skip { instance: failed.clone(), reason: "disk is full".to_owned() }),
        (format!(":hold  {pending} "), Command::Hold { instance: pending, reason: String::new() }),
        (format!(":back-alone {failed} bad host"), Command::Rollback { reason: "bad host".to_owned(), only: Some(failed) }),
        (":resume".to_owned(), Command::Resume),
        (":rollback it hurts".to_owned(), Command::Rollback { reason: "it hurts".to_owned(), only: None }),
        (":cancel for today".to_owned(), Command::Cancel { reason: "for today".to_owned() }),
    ] {
        assert!(say(&mut app, &line).is_empty(), "{line} sends nothing by itself");
        let Some(Overlay::Ask(ask)) = &app.overlay else { panic!("{line}: {}", said(&app)) };
        assert!(!ask.armed);
        assert_eq!(agreed(&mut app), wanted, "{line}");
    }
}

#[test]
fn a_pause_goes_at_once_as_by_its_key_and_tells_why() {
    let mut app = running();
    let cmds = say(&mut app, ":pause looking at the errors");
    let [Cmd::Send { command: Command::Pause { reason }, .. }] = cmds.as_slice() else { panic!("{cmds:?}") };
    assert_eq!(reason, "looking at the errors");
}

#[test]
fn all_batches_are_approved_only_by_the_whole_word_here_too() {
    let mut plan = plan(20);
    plan.policy.strategy.confirm = rollout::model::Confirm::Batch;
    let world = World::planned(plan).started().until(|s| s.awaits == Some(rollout::state::Awaits::Approval));
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    say(&mut app, ":promote --full");
    let Some(Overlay::Ask(ask)) = &app.overlay else { panic!("{}", said(&app)) };
    assert_eq!((ask.command.clone(), ask.typed.is_some()), (Command::Promote { full: true }, true));
    press(&mut app, Key::Esc);
    say(&mut app, ":promote");
    assert_eq!(agreed(&mut app), Command::Promote { full: false });
}

#[test]
fn a_read_only_session_refuses_in_the_words_of_the_engine() {
    let world = World::new(20).started();
    let only = Fixed { read_only: true, ..fixed(Depth::Rgb, false) };
    let mut app = console(&world, SMALL, only);
    let verbs = [
        ('p', "pause", "pause"),
        ('r', "resume", "resume"),
        ('C', "cancel", "cancel"),
        ('R', "rollback", "rollback"),
        ('a', "promote", "promote"),
        ('A', "promote --full", "promote"),
        ('t', "retry web-07", "retry"),
        ('s', "skip web-07 why", "skip"),
        ('H', "hold web-07", "hold"),
        ('U', "release web-07", "release"),
        ('B', "back-alone web-07", "rollback"),
    ];
    for (key, line, verb) in verbs {
        let wanted = refused_read_only(verb);
        assert!(press(&mut app, Key::Char(key)).is_empty() && app.overlay.is_none());
        assert_eq!(said(&app), wanted, "{key}");
        assert!(say(&mut app, &format!(":{line}")).is_empty() && app.overlay.is_none());
        assert_eq!(said(&app), wanted, ":{line}");
    }
    assert_eq!(refused_read_only("pause"), "pause is refused: this is a read-only session");
}

#[test]
fn what_is_refused_is_refused_in_the_words_of_the_key() {
    let mut app = running();
    press(&mut app, Key::Char('r'));
    let by_key = said(&app);
    say(&mut app, ":resume");
    assert_eq!(said(&app), by_key);
    assert!(by_key.contains("it is not paused"), "{by_key}");
}

#[test]
fn what_there_is_not_names_the_nearest() {
    let mut app = running();
    for (line, wanted) in [
        (":puase", ":puase: there is no verb \"puase\"; the nearest is pause"),
        (":xyzzyxyzzy", ":xyzzyxyzzy: there is no verb \"xyzzyxyzzy\""),
        (":retry web-7", ":retry: there is no instance \"web-7\"; the nearest is web-07"),
        (":sort latncy", ":sort: there is no order \"latncy\"; the nearest is latency"),
        (":tab pln", ":tab: there is no screen \"pln\"; the nearest is plan"),
        (":theme lihgt", ":theme: there is no theme \"lihgt\""),
        (":resume now", ":resume: takes nothing after it"),
        (":promote web-01", ":promote: takes nothing, or --full"),
        (":retry web-01 web-02", ":retry: takes one instance"),
        (":rollback --to v1", ":rollback: \"--to v1\" is no reason"),
    ] {
        assert!(say(&mut app, line).is_empty());
        assert!(said(&app).starts_with(wanted), "{line}: {}", said(&app));
        assert!(app.overlay.is_none());
    }
}

#[test]
fn what_only_looks_is_done_at_once() {
    let mut app = running();
    say(&mut app, ":filter zone:zone-b");
    assert_eq!(app.list.filter.text(), "zone:zone-b");
    assert!(app.list.shown().len() < 20);
    say(&mut app, ":sort latency");
    assert_eq!(app.list.sort, Sort::Latency);
    say(&mut app, ":tab plan");
    assert_eq!(app.tab, Tab::Plan);
    say(&mut app, ":logs");
    assert_eq!(app.tab, Tab::Logs);
    say(&mut app, ":goto web-20");
    assert_eq!(app.id_at(app.selected).unwrap().as_str(), "web-20");
    assert!(app.list.filter.text().is_empty(), "it was not in the filter");
    say(&mut app, ":filter");
    assert_eq!((app.tab, app.list.shown().len()), (Tab::Fleet, 20));
    assert!(matches!(say(&mut app, ":theme light").as_slice(), [Cmd::Repaint]));
    say(&mut app, ":help");
    assert!(matches!(app.overlay, Some(Overlay::Help)));
    press(&mut app, Key::Esc);
    say(&mut app, ":quit");
    assert!(matches!(app.overlay, Some(Overlay::Leave)), "it asks as its key does");
}

#[test]
fn tab_completes_verbs_instances_states_zones_versions() {
    let mut app = running();
    for (typed, tabs, wanted) in [
        (":ret", 1, "retry "),
        (":retry web-0", 1, "retry web-01"),
        (":retry web-0", 2, "retry web-02"),
        (":skip web-2", 1, "skip web-20 "),
        (":promote -", 1, "promote --full "),
        (":filter sta", 1, "filter state:"),
        (":filter !state:fa", 1, "filter !state:failed "),
        (":filter web zone:zone-", 2, "filter web zone:zone-b"),
        (":filter version:v", 2, "filter version:v2"),
        (":sort l", 1, "sort latency "),
        (":tab t", 1, "tab timeline "),
        (":theme hi", 1, "theme high-contrast "),
        (":nothing x", 1, "nothing x"),
    ] {
        type_text(&mut app, typed);
        for _ in 0..tabs {
            assert!(press(&mut app, Key::Tab).is_empty());
        }
        assert_eq!(app.command_line.text(), wanted, "{typed} {tabs}");
        press(&mut app, Key::Esc);
        assert!(app.overlay.is_none());
    }
    // Back through the list, and around.
    type_text(&mut app, ":retry web-0");
    press(&mut app, Key::BackTab);
    assert_eq!(app.command_line.text(), "retry web-09");
    press(&mut app, Key::Tab);
    assert_eq!(app.command_line.text(), "retry web-01");
}

#[test]
fn candidates_stand_in_the_place_of_the_keys() {
    for (name, size) in [("small", SMALL), ("large", LARGE)] {
        let mut app = console(&World::new(20).started(), size, fixed(Depth::Rgb, false));
        type_text(&mut app, ":");
        insta::assert_snapshot!(format!("command_line_verbs_{name}"), picture(&app));
        type_text(&mut app, "retry web-1");
        for _ in 0..3 {
            press(&mut app, Key::Tab);
        }
        insta::assert_snapshot!(format!("command_line_instances_{name}"), picture(&app));
    }
    let mut app = console(&World::new(10_000), (80, 24), fixed(Depth::Rgb, false));
    type_text(&mut app, ":retry web-0");
    picture(&app);
    for size in [(1, 1), (40, 10), (41, 11), (200, 60)] {
        update(&mut app, Msg::Resize(size.0, size.1));
        picture(&app);
    }
}

#[test]
fn up_and_down_go_through_what_was_typed_before() {
    let mut app = running();
    for line in [":goto web-02", ":goto web-03", ":goto web-03"] {
        say(&mut app, line);
    }
    type_text(&mut app, ":hel");
    let mut recall = |key| {
        press(&mut app, key);
        app.command_line.text().to_owned()
    };
    assert_eq!(recall(Key::Up), "goto web-03");
    assert_eq!(recall(Key::Up), "goto web-02", "the same line twice is one");
    assert_eq!(recall(Key::Up), "goto web-02");
    assert_eq!(recall(Key::Down), "goto web-03");
    assert_eq!(recall(Key::Down), "hel", "what was being typed");
}

#[test]
fn what_is_typed_ahead_is_text_of_the_line_and_answers_nothing() {
    let mut app = failing();
    // Before any of it was drawn.
    let mut sent = Vec::new();
    for key in ":rollback RyCy\ryyyyy\r\ry".chars() {
        sent.extend(press(&mut app, if key == '\r' { Key::Enter } else { Key::Char(key) }));
    }
    assert!(sent.is_empty(), "{sent:?}");
    let Some(Overlay::Ask(ask)) = &app.overlay else { panic!("{}", said(&app)) };
    assert_eq!((ask.reason.text.as_str(), ask.armed), ("RyCy", false));
    // The line takes what is no text, too, and gives nothing on.
    press(&mut app, Key::Esc);
    type_text(&mut app, ":");
    assert!(matches!(press(&mut app, Key::Ctrl('z')).as_slice(), [Cmd::Suspend]));
    assert!(matches!(press(&mut app, Key::Ctrl('l')).as_slice(), [Cmd::Repaint]));
    for key in [Key::F(3), Key::Left, Key::Delete, Key::Ctrl('r')] {
        assert!(press(&mut app, key).is_empty());
    }
    assert!(matches!(app.overlay, Some(Overlay::Command)));
    press(&mut app, Key::Ctrl('c'));
    assert!(app.overlay.is_none());
}
