//! Keys, questions and what they send: an answer counts only once its question was read, and what cannot be done says why.
//!
//! Imports: the library, the console's fixture. May not: start anything.

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{SMALL, World, console, done, fixed, going_back, paused, picture, read, rolled_back, running};
use rollout::command::Command;
use rollout::model::Span;
use rollout::ports::Update;
use rollout::state::Phase;
use rollout::tui::{App, Cmd, Depth, Exit, Key, Link, Msg, Overlay, update};

fn press(app: &mut App, key: char) -> Vec<Cmd> {
    update(app, Msg::Key(Key::Char(key)))
}

#[test]
fn keys_typed_before_a_question_was_read_do_nothing() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    for key in "yyyyRyyyy".chars() {
        assert!(press(&mut app, key).is_empty(), "{key}");
    }
    assert!(update(&mut app, Msg::Key(Key::Enter)).is_empty());
    let id = app.unseen().unwrap();
    // Written, but not there for long enough yet.
    update(&mut app, Msg::Seen(id));
    assert!(press(&mut app, 'y').is_empty());
    // A timer of something else arms nothing.
    update(&mut app, Msg::Armed(id + 1));
    assert!(press(&mut app, 'y').is_empty());
    update(&mut app, Msg::Armed(id));
    assert!(update(&mut app, Msg::Key(Key::Enter)).is_empty(), "Enter is never yes");
    let cmds = press(&mut app, 'y');
    assert!(matches!(cmds.as_slice(), [Cmd::Send { command: Command::Rollback { .. }, .. }]), "{cmds:?}");
    assert!(app.overlay.is_none());
}

#[test]
fn in_an_emergency_the_answer_counts_although_the_fleet_moves_on() {
    for key in ['R', 'C'] {
        let world = running(20);
        let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
        press(&mut app, key);
        read(&mut app);
        let known = world.events.len();
        let later = world.until(|s| s.batches == 4 && s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })));
        for event in &later.events[known..] {
            update(&mut app, Msg::Update(Update::Event(event.clone())));
        }
        assert!(!press(&mut app, 'y').is_empty(), "{key}");
    }
}

#[test]
fn refused_keys_say_why_and_send_nothing() {
    let mut read_only = fixed(Depth::Rgb, false);
    read_only.read_only = true;
    let cases: [(World, bool, &str); 5] = [
        (running(20), true, "sprCR"),
        (done(20), false, "sprCR"),
        (World::new(20), false, "prR"),
        (running(20), false, "sr"),
        (going_back(20), false, "sR"),
    ];
    for (world, is_read_only, keys) in cases {
        for key in keys.chars() {
            let settings = if is_read_only { read_only.clone() } else { fixed(Depth::Rgb, false) };
            let mut app = console(&world, SMALL, settings);
            assert!(press(&mut app, key).is_empty(), "{key}");
            assert!(app.overlay.is_none(), "{key}");
            let (text, _) = app.message.clone().expect("a reason");
            let how = if is_read_only { " is refused: this is a read-only session" } else { "not possible: " };
            assert!(text.contains(how), "{key}: {text}");
        }
    }
}

#[test]
fn pause_acts_at_once_and_leaving_never_touches_the_engine() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    assert!(matches!(press(&mut app, 'p').as_slice(), [Cmd::Send { command: Command::Pause { .. }, .. }]));
    assert!(press(&mut app, 'q').is_empty());
    assert!(matches!(app.overlay, Some(Overlay::Leave)));
    assert!(press(&mut app, 'q').is_empty() && press(&mut app, 'x').is_empty());
    assert!(matches!(press(&mut app, 'd').as_slice(), [Cmd::Exit(Exit::Left)]));
    let mut app = console(&done(20), SMALL, fixed(Depth::Rgb, false));
    assert!(matches!(press(&mut app, 'q').as_slice(), [Cmd::Exit(Exit::Ended { code: 0 })]));
    let mut app = console(&rolled_back(20), SMALL, fixed(Depth::Rgb, false));
    assert!(matches!(update(&mut app, Msg::Key(Key::Ctrl('c'))).as_slice(), [Cmd::Exit(Exit::Ended { code: 3 })]));
}

#[test]
fn what_comes_next_waits_until_the_end_was_seen() {
    let mut settings = fixed(Depth::Rgb, false);
    settings.next = Some("Enter deploys v3-bad next".to_owned());
    let mut app = console(&done(20), SMALL, settings);
    assert!(picture(&app).contains("Enter deploys v3-bad next"));
    assert!(update(&mut app, Msg::Key(Key::Enter)).is_empty());
    read(&mut app);
    assert!(matches!(update(&mut app, Msg::Key(Key::Enter)).as_slice(), [Cmd::Exit(Exit::Next)]));
}

#[test]
fn a_planned_deployment_can_be_cancelled_while_leaving() {
    let world = World::new(20);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'q');
    assert!(matches!(press(&mut app, 'x').as_slice(), [Cmd::Send { command: Command::Cancel { .. }, .. }]));
    let mut cancelled = world;
    cancelled.command(Command::Cancel { reason: String::new() });
    let cancelled = cancelled.until(|s| s.end.is_some());
    let cmds: Vec<Cmd> =
        cancelled.events[1..].iter().flat_map(|e| update(&mut app, Msg::Update(Update::Event(e.clone())))).collect();
    assert!(matches!(cmds.as_slice(), [Cmd::Exit(Exit::Ended { code: 5 })]), "{cmds:?}");
}

#[test]
fn a_link_that_is_not_fresh_is_said_and_nothing_is_sent() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    let later = |app: &App, secs| Msg::Tick(app.now + Span::from_secs(secs));
    let msg = later(&app, 12);
    update(&mut app, msg);
    assert!(picture(&app).contains("engine silent 12s"), "{}", picture(&app));
    press(&mut app, 'R');
    assert!(picture(&app).contains("last heard 12s ago"), "{}", picture(&app));
    let down = Update::Disconnected { reason: "connection refused".to_owned() };
    update(&mut app, Msg::Update(down));
    assert!(app.overlay.is_none(), "the question closed");
    let msg = later(&app, 3);
    update(&mut app, msg);
    let text = picture(&app);
    assert!(text.contains("link down 3s") && text.contains("(connection refused); if it died: `rollout recover`"), "{text}");
    assert!(press(&mut app, 'p').is_empty());
    let state = app.state.clone();
    let snapshot = rollout::ports::Snapshot { format: 1, seq: state.seq, state, progress: app.progress.clone() };
    update(&mut app, Msg::Update(Update::Resync(Box::new(snapshot))));
    assert_eq!(app.link, Link::Up);
    assert_eq!(press(&mut app, 'p').len(), 1);
    update(&mut app, Msg::Update(Update::Gone));
    let msg = later(&app, 5);
    update(&mut app, msg);
    let text = picture(&app);
    let (badge, what) = ("[ENGINE GONE]", "the engine is gone; `rollout recover` takes over, and this screen goes on");
    assert!(text.contains(badge) && text.contains("gone 5s") && text.contains(what), "{text}");
    assert!(press(&mut app, 'p').is_empty());
    let state = app.state.clone();
    let snapshot = rollout::ports::Snapshot { format: 1, seq: state.seq, state, progress: app.progress.clone() };
    update(&mut app, Msg::Update(Update::Resync(Box::new(snapshot))));
    assert!(!picture(&app).contains("ENGINE GONE"));
    update(&mut app, Msg::Update(Update::Closed));
    let text = picture(&app);
    assert!(text.contains("[ENGINE GONE]") && text.contains("q, then `rollout recover` takes over"), "{text}");
    assert!(matches!(press(&mut app, 'q').as_slice(), [Cmd::Exit(Exit::Left)]));
}

#[test]
fn the_footer_offers_what_does_something_now() {
    let footer = |world: &World, selected: usize| {
        let mut app = console(world, (160, 24), fixed(Depth::Rgb, true));
        for _ in 0..selected {
            update(&mut app, Msg::Key(Key::Down));
        }
        picture(&app).lines().last().unwrap().to_owned()
    };
    let offers = |line: &str, key: &str| line.split("  ").any(|part| part.trim_matches(['"', ' ']) == key);
    let planned = footer(&World::new(20), 0);
    assert!(offers(&planned, "s start") && offers(&planned, "C cancel"), "{planned}");
    for off in ["s skip", "p pause", "r resume", "R rollback", "t retry", "U release", "n next failure"] {
        assert!(!offers(&planned, off), "{off}: {planned}");
    }
    let untouched = footer(&running(20), 10);
    assert!(["p pause", "C cancel", "s skip", "H hold"].iter().all(|key| offers(&untouched, key)), "{untouched}");
    assert!(!offers(&untouched, "r resume") && !offers(&untouched, "s start"), "{untouched}");
    let paused = footer(&paused(20), 0);
    assert!(offers(&paused, "r resume") && !offers(&paused, "p pause"), "{paused}");
    let done = footer(&done(20), 0);
    for off in ["p pause", "r resume", "C cancel", "R rollback", "s skip", "H hold", "f follow"] {
        assert!(!offers(&done, off), "{off}: {done}");
    }
    assert!(offers(&done, "q quit") && offers(&done, "/ filter"), "{done}");
}

#[test]
fn after_the_end_rollback_says_how_it_is_undone_unless_the_fleet_goes_with_it() {
    let mut app = console(&done(20), SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'R');
    assert!(picture(&app).contains("`rollout rollback` undoes it"), "{}", picture(&app));
    let mut settings = fixed(Depth::Rgb, false);
    settings.demo = true;
    let mut app = console(&done(20), SMALL, settings);
    assert!(!picture(&app).contains("rollout show"), "{}", picture(&app));
    press(&mut app, 'R');
    assert!(!picture(&app).contains("rollout rollback"), "{}", picture(&app));
}
