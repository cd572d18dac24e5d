//! What goes over the line beside the picture, as the reducer decides it: the mouse, calls for a person, copies, the link.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::time::Duration;

use fixture::{SMALL, World, console, fixed, plan};
use rollout::command::refused_read_only;
use rollout::model::{Confirm, InstanceId, Sample, SampleResult, Span};
use rollout::ports::{Progress, Reading, Update};
use rollout::tui::{App, Click, Cmd, Depth, KEYMAP, Key, MouseEvent, Msg, Notify, Overlay, Signal, Tab, Wire, update};

const BELLS: Notify = Notify { failed: Signal::Bell, waiting: Signal::Osc9, ended: Signal::Osc777, link: Signal::Bell };

fn lines(app: &App) -> Vec<String> {
    fixture::picture(app).lines().map(|line| line.trim_matches('"').to_owned()).collect()
}

/// Where this stands on the screen.
fn find(app: &App, what: &str) -> (u16, u16) {
    let lines = lines(app);
    let found = lines.iter().enumerate().find_map(|(row, line)| {
        let at = line.find(what)?;
        Some((u16::try_from(line[..at].chars().count()).unwrap(), u16::try_from(row).unwrap()))
    });
    assert!(found.is_some(), "no {what:?} in {lines:#?}");
    found.unwrap()
}

fn press(app: &mut App, key: char) -> Vec<Cmd> {
    update(app, Msg::Key(Key::Char(key)))
}

fn mouse(app: &mut App, click: Click, (column, row): (u16, u16)) -> Vec<Cmd> {
    update(app, Msg::Mouse(MouseEvent { click, column, row }))
}

fn with_mouse(size: (u16, u16), total: usize) -> App {
    let mut app = console(&World::new(total).started(), size, fixed(Depth::Rgb, false));
    assert!(press(&mut app, 'm').is_empty());
    assert!(app.wire.mouse);
    let said = app.message.clone().unwrap().0;
    assert_eq!(said, "mouse on: hold Shift to select text");
    app
}

#[test]
fn a_click_selects_and_the_second_one_looks() {
    for (size, total, id) in
        [(SMALL, 20, "web-13"), ((160, 48), 20, "web-17"), ((160, 48), 200, "web-142"), ((80, 24), 200, "web-061")]
    {
        let mut app = with_mouse(size, total);
        let (column, row) = find(&app, id);
        // Where an instance is a cell, its name is that of the row, which is no place to click on.
        let at = (if (size, total) == (SMALL, 200) { column + 8 } else { column }, row);
        assert!(mouse(&mut app, Click::Left, at).is_empty());
        assert_eq!(app.id_at(app.selected).unwrap().as_str(), id, "{size:?}");
        assert_eq!(app.tab, Tab::Fleet);
        // Where it was clicked, not where it would be now: it must not have moved.
        mouse(&mut app, Click::Left, at);
        assert_eq!(app.tab, Tab::Instance, "{size:?} {id}");
    }
}

/// The label of a row is its first instance, and the first cell beside it is that one.
#[test]
fn among_cells_of_every_size_the_one_under_the_click_is_selected() {
    let mut levels = 0;
    for total in [200, 400, 1_200] {
        let mut app = with_mouse((160, 48), total);
        for _ in 0..6 {
            press(&mut app, '-');
            // Rows that begin with a name and a cell, and nothing else that could be read.
            let rows = lines(&app);
            let label = format!("web-{:0digits$}", 1, digits = total.to_string().len());
            let Some(first) = rows.iter().position(|row| row.starts_with(&label)) else { continue };
            let next = rows[first + 1].split(' ').next().unwrap().to_owned();
            // At some levels all of them are in one row.
            if !next.starts_with("web-") {
                continue;
            }
            let column = u16::try_from(label.len() + 1).unwrap();
            press(&mut app, 'G');
            press(&mut app, 'g');
            mouse(&mut app, Click::Left, (column, u16::try_from(first + 1).unwrap()));
            assert_eq!(app.id_at(app.selected).unwrap().as_str(), next, "{total}: {rows:#?}");
            levels += 1;
        }
    }
    assert!(levels >= 4, "{levels}");
}

#[test]
fn a_click_on_a_screens_name_opens_it_and_the_wheel_walks() {
    for size in [SMALL, (160, 48)] {
        let mut app = with_mouse(size, 20);
        for tab in Tab::ALL.into_iter().rev() {
            let (long, short) = tab.words();
            let at = find(&app, if size.0 >= 100 { long } else { short });
            mouse(&mut app, Click::Left, at);
            assert_eq!(app.tab, tab, "{size:?}");
        }
        mouse(&mut app, Click::WheelDown, (5, 12));
        mouse(&mut app, Click::WheelDown, (5, 12));
        mouse(&mut app, Click::WheelUp, (5, 12));
        assert_eq!(app.selected, 1);
    }
}

#[test]
fn while_it_is_off_the_mouse_does_nothing() {
    let mut app = console(&World::new(20).started(), SMALL, fixed(Depth::Rgb, false));
    let at = find(&app, "web-13");
    mouse(&mut app, Click::Left, at);
    mouse(&mut app, Click::WheelDown, at);
    assert_eq!(app.selected, 0);
    press(&mut app, 'm');
    press(&mut app, 'm');
    mouse(&mut app, Click::Left, at);
    assert_eq!(app.selected, 0);
}

/// Every place of the screen, at the best moment for harm.
#[test]
fn no_click_acts_or_answers() {
    for key in [None, Some('R'), Some('C'), Some('q'), Some('?'), Some('/')] {
        let mut app = with_mouse(SMALL, 20);
        if let Some(key) = key {
            press(&mut app, key);
            if let Some(id) = app.unseen() {
                update(&mut app, Msg::Seen(id));
                update(&mut app, Msg::Armed(id));
            }
        }
        let before = app.overlay.as_ref().map(std::mem::discriminant);
        for (column, row) in (0..90).flat_map(|column| (0..30).map(move |row| (column, row))) {
            for click in [Click::Left, Click::WheelUp, Click::WheelDown] {
                let cmds = mouse(&mut app, click, (column, row));
                // The history is read when its screen is opened.
                assert!(cmds.iter().all(|cmd| matches!(cmd, Cmd::Past)), "{key:?} {column},{row}: {cmds:?}");
                assert_eq!(app.overlay.as_ref().map(std::mem::discriminant), before, "{key:?} {column},{row}");
            }
        }
        if let Some(Overlay::Ask(ask)) = &app.overlay {
            assert!(ask.armed, "the question would have taken a yes");
        }
    }
}

#[test]
fn y_copies_the_name_and_in_the_view_of_one_what_is_wrong() {
    let world = World::new(20).bad().started().until(|s| s.rollback.is_some());
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'y');
    assert!(app.message.clone().unwrap().0.contains("clipboard is off"));
    app.wire = Wire::new(Notify::default(), true);
    let copied = |cmds: &[Cmd]| match cmds {
        [Cmd::Copy { text, .. }] => text.clone(),
        other => panic!("{other:?}"),
    };
    press(&mut app, 'g');
    assert_eq!(copied(&press(&mut app, 'y')), "web-01");
    press(&mut app, '2');
    let text = copied(&press(&mut app, 'y'));
    assert!(text.starts_with("web-01: ") && text.contains("503"), "{text}");
    assert!(matches!(press(&mut app, 'e').as_slice(), [Cmd::Export]));
}

/// What a person is called for, with how many seconds since the start of the world.
fn calls(world: &World, until: usize) -> Vec<(u64, Signal, String)> {
    let mut app = console(&World::planned(world.state.plan.clone()), SMALL, fixed(Depth::Rgb, false));
    app.wire = Wire::new(BELLS, true);
    let start = world.events[0].at;
    let mut calls = Vec::new();
    let mut take = |at, cmds: Vec<Cmd>| {
        for cmd in cmds {
            if let Cmd::Call(signal, text) = cmd {
                calls.push((at, signal, text));
            }
        }
    };
    for event in &world.events[1..until] {
        let at = event.at.since(start).as_millis() / 1000;
        take(at, update(&mut app, Msg::Tick(event.at)));
        take(at, update(&mut app, Msg::Update(Update::Event(event.clone()))));
    }
    for second in 1..=20 {
        let now = world.now + Span::from_secs(second);
        take(now.since(start).as_millis() / 1000, update(&mut app, Msg::Tick(now)));
    }
    calls
}

#[test]
fn a_person_is_called_for_a_failure_and_the_end_and_not_often() {
    let world = World::new(20).bad().started().until(|s| s.end.is_some());
    let calls = calls(&world, world.events.len());
    assert!(
        calls.first().unwrap().2.contains("web-01 failed") || calls.first().unwrap().2.contains("web-02 failed"),
        "{calls:?}"
    );
    assert!(calls.last().unwrap().2.contains("rolled back"), "{calls:?}");
    assert_eq!((calls[0].1, calls.last().unwrap().1), (Signal::Bell, Signal::Osc777));
    assert!(calls.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10), "{calls:?}");
    assert_eq!(calls.len(), 2, "{calls:?}");
}

#[test]
fn an_approval_that_waits_is_a_call() {
    let mut plan = plan(20);
    plan.policy.strategy.confirm = Confirm::Batch;
    let world = World::planned(plan).started().until(|s| s.awaits == Some(rollout::state::Awaits::Approval));
    let calls = calls(&world, world.events.len());
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].1 == Signal::Osc9 && calls[0].2.contains("waits for approval"), "{calls:?}");
}

#[test]
fn a_link_that_is_back_is_a_call_if_it_was_long_and_something_happened() {
    let world = World::new(20).started().until(|s| s.batches == 2);
    let later = |seconds: u64, changes: bool| {
        let mut app = console(&World::new(20), SMALL, fixed(Depth::Rgb, false));
        app.wire = Wire::new(BELLS, true);
        let mut snapshot = if changes { world.snapshot() } else { World::new(20).snapshot() };
        snapshot.progress = Progress::default();
        update(&mut app, Msg::Update(Update::Disconnected { reason: "refused".to_owned() }));
        let now = app.now + Span::from_secs(seconds);
        update(&mut app, Msg::Tick(now));
        update(&mut app, Msg::Fresh(Box::new(snapshot)))
    };
    assert!(matches!(later(40, true).as_slice(), [Cmd::Call(Signal::Bell, text)] if text.contains("link back after 40s")));
    assert!(later(20, true).is_empty());
    assert!(later(40, false).is_empty());
}

#[test]
fn the_age_and_the_link_have_their_place() {
    for size in [SMALL, (160, 48)] {
        let mut app = console(&World::new(20).started(), size, fixed(Depth::Rgb, false));
        let at = find(&app, "data 0s");
        let link = find(&app, "link ok");
        app.wire.meter.answered(Duration::from_millis(187));
        assert_eq!(find(&app, "link 180ms"), link);
        let later = app.now + Span::from_secs(7);
        update(&mut app, Msg::Tick(later));
        assert_eq!((find(&app, "data 7s"), find(&app, "link 180ms")), (at, link));
        app.wire.meter.wrote(Duration::from_secs(12), app.now);
        assert_eq!(find(&app, "stalled 12s"), link);
        let later = app.now + Span::from_secs(7);
        update(&mut app, Msg::Tick(later));
        assert_eq!(find(&app, "engine silent 14s"), at);
        for _ in 0..20 {
            app.wire.meter.answered(Duration::from_secs(3));
        }
        let later = app.now + Span::from_secs(60);
        update(&mut app, Msg::Tick(later));
        update(&mut app, Msg::Update(Update::Progress(Progress::default())));
        assert_eq!((find(&app, "data 0s"), find(&app, "link slow")), (at, link));
    }
}

#[test]
fn on_a_slow_link_small_changes_are_not_shown() {
    let changes = |slow: bool| {
        let mut app = console(&World::new(20).started(), SMALL, fixed(Depth::Rgb, false));
        if slow {
            for _ in 0..40 {
                app.wire.meter.wrote(Duration::from_millis(900), app.now);
            }
        }
        let before = lines(&app);
        let id = InstanceId::new("web-09").unwrap();
        let was = app.reading(&id).unwrap().sample.clone().unwrap();
        let latency = Span::from_millis(was.latency.as_millis() * 13 / 10);
        let sample =
            Sample { at: app.now + Span::from_secs(2), latency, result: SampleResult::Pass { status: Some(200) }, version: None };
        let reading = Reading { sample: Some(sample), passes: 1, misses: 0, sessions: None, trouble: None };
        let readings = std::iter::once((id, reading)).collect();
        update(&mut app, Msg::Update(Update::Progress(Progress { readings, ..Progress::default() })));
        before.iter().zip(lines(&app)).skip(4).filter(|(before, after)| *before != after).count()
    };
    assert_eq!((changes(false), changes(true)), (1, 0));
}

#[test]
fn a_read_only_session_refuses_every_act_in_the_same_words() {
    let mut settings = fixed(Depth::Rgb, false);
    settings.read_only = true;
    let verbs = ["start", "pause", "resume", "cancel", "rollback", "promote", "retry", "skip", "hold", "release"];
    let mut refused = BTreeSet::new();
    for binding in KEYMAP.iter().filter(|binding| binding.action.acts()) {
        for world in [World::new(20), World::new(20).started()] {
            let mut app = console(&world, SMALL, settings.clone());
            assert!(update(&mut app, Msg::Key(binding.keys[0])).is_empty());
            let said = app.message.clone().unwrap().0;
            let verb = verbs.into_iter().find(|verb| said == refused_read_only(verb));
            refused.insert(verb.unwrap_or_else(|| panic!("{said}")));
        }
    }
    assert_eq!(refused, BTreeSet::from(verbs));
}
