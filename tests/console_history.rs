//! Earlier deployments on the screen, and the replay of one: what is shown is what was recorded.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, NOON, SMALL, World, console, fixed, picture, plan, press};
use rollout::command::Command;
use rollout::event::Event;
use rollout::model::{DeploymentId, OnFailure, Span, Timestamp};
use rollout::ports::{Chapter, Chapters, DeploymentRow, JournalError, Outcome, Story, Update};
use rollout::state::State;
use rollout::tui::{App, Cmd, Depth, Exit, Idle, Key, Msg, Tab, update};

fn typed(app: &mut App, text: &str) {
    for c in text.chars() {
        assert!(press(app, Key::Char(c)).is_empty(), "{c}");
    }
}

/// Batch after batch to the end.
fn good(total: usize) -> World {
    World::new(total).started().until(|s| s.end.is_some())
}

/// The new version is bad: everything goes back.
fn gone_back(total: usize) -> World {
    World::new(total).bad().started().until(|s| s.end.is_some())
}

/// The engine paused it, and a person brought it back.
fn brought_back() -> World {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Pause;
    let mut world = World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty());
    world.command(Command::Rollback { reason: "v2 answers 503".to_owned(), only: None });
    world.until(|s| s.end.is_some())
}

fn cancelled() -> World {
    let mut world = World::new(20).started().until(|s| s.batches == 2);
    world.command(Command::Pause { reason: "disk alert".to_owned() });
    world.command(Command::Cancel { reason: "not today".to_owned() });
    world.until(|s| s.end.is_some())
}

/// The deployment of this world as the history tells it: so many hours ago, under that number.
fn chapter(world: &World, number: u32, by: &str, hours: u64) -> Chapter {
    let begun = Timestamp::from_millis(NOON.as_millis() - hours * 3_600_000);
    let row = DeploymentRow {
        id: DeploymentId::new("shop", number),
        version: format!("v{number}"),
        status: world.state.status().word().to_owned(),
        started_by: by.to_owned(),
        planned_at: begun,
        ended_at: world.state.end.as_ref().map(|end| begun + end.at.since(NOON)),
    };
    Chapter { outcome: Outcome::of(&world.events).map(Box::new), ..Chapter::of(row) }
}

fn damaged(number: u32) -> Chapter {
    let deployment = DeploymentId::new("shop", number);
    let damage = JournalError::Line { deployment: deployment.clone(), reason: "its row is not as it was written".to_owned() };
    Chapter::damaged(deployment, &damage)
}

fn chapters() -> Chapters {
    let unread = Chapter { outcome: None, ..chapter(&good(20), 2, "ci", 200) };
    let lost = Chapter {
        status: "interrupted".to_owned(),
        ..chapter(&World::new(20).started().until(|s| s.batches == 3), 1, "bo", 400)
    };
    let all = vec![
        chapter(&good(20), 6, "ana", 3),
        chapter(&brought_back(), 5, "bo", 20),
        damaged(4),
        chapter(&cancelled(), 3, "an-operator-with-a-long-name", 70),
        unread,
        lost,
    ];
    Chapters { all, complaints: Vec::new() }
}

/// The console of what runs, on the screen of the history.
fn opened(size: (u16, u16), ascii: bool) -> App {
    let world = World::new(20).started().until(|s| s.batches == 3);
    let mut app = console(&world, size, fixed(Depth::Rgb, ascii));
    assert!(matches!(press(&mut app, Key::Char('6')).as_slice(), [Cmd::Past]), "it asks");
    assert!(size.0 < 40 || size.1 < 10 || picture(&app).contains("reading the journal"));
    assert!(update(&mut app, Msg::Past(Ok(Some(chapters())))).is_empty());
    app
}

/// In the replay of this world.
fn replay(world: &World, size: (u16, u16), damage: Option<&str>) -> App {
    let mut app = opened(size, false);
    let cmds = press(&mut app, Key::Enter);
    let [Cmd::Story(id)] = cmds.as_slice() else { panic!("{cmds:?}") };
    let story = Story { events: world.events.clone(), damage: damage.map(str::to_owned) };
    assert!(update(&mut app, Msg::Story(id.clone(), Ok(Some(story)))).is_empty());
    app
}

fn at(app: &App) -> usize {
    app.shown().runs.scrub.as_ref().unwrap().at
}

fn texts(app: &App) -> Vec<String> {
    app.facts.iter().map(|fact| fact.text.clone()).collect()
}

fn prefix(events: &[Event], at: usize) -> State {
    State::replay(&events[..at]).unwrap()
}

#[test]
fn the_history_at_two_sizes() {
    for (name, size, ascii) in [("80x24", SMALL, false), ("160x48", LARGE, false), ("80x24_ascii", SMALL, true)] {
        let mut app = opened(size, ascii);
        press(&mut app, Key::Down);
        let text = picture(&app);
        assert!(!ascii || text.is_ascii(), "{text}");
        insta::assert_snapshot!(format!("history_{name}"), text);
    }
}

#[test]
fn the_cause_comes_first_then_the_policy_then_people() {
    let outcome = Outcome::of(&brought_back().events).unwrap();
    let why: Vec<String> = outcome.why.iter().map(|event| event.kind.words()).collect();
    let place = |what: &str| why.iter().position(|text| text.contains(what)).unwrap_or_else(|| panic!("{what}: {why:?}"));
    let order = [place("FAILED"), place("threshold crossed"), place("paused by the engine"), place("rollback started by ana")];
    assert!(order.is_sorted() && order[0] == 0, "{why:?}");
    assert_eq!(place("rolled back"), why.len() - 1, "how it ended comes last: {why:?}");
    assert!(!why.iter().any(|text| text.contains("started by ana") && !text.contains("rollback")), "{why:?}");
    assert_eq!((outcome.updated, outcome.failed, outcome.before.as_str()), (0, 2, "v1"));
}

#[test]
fn rows_are_walked_filtered_and_stay_selected_when_the_list_grows() {
    let mut app = opened(SMALL, false);
    let selected = |app: &App| app.runs.selection().map(|chapter| chapter.id.number());
    for (key, wanted) in [(Key::Down, 5), (Key::Down, 4), (Key::Up, 5), (Key::End, 1), (Key::PageUp, 6), (Key::Char('j'), 5)] {
        press(&mut app, key);
        assert_eq!(selected(&app), Some(wanted), "{key:?}");
    }
    let mut grown = chapters();
    grown.all.insert(0, chapter(&good(4), 7, "ci", 0));
    update(&mut app, Msg::Past(Ok(Some(grown))));
    assert_eq!(selected(&app), Some(5), "the deployment is selected, not the row");
    press(&mut app, Key::Char('/'));
    typed(&mut app, "damaged");
    assert!(picture(&app).contains("1 of 7"), "{}", picture(&app));
    press(&mut app, Key::Enter);
    assert_eq!(selected(&app), Some(4));
    assert!(picture(&app).contains("its row is not as it was written"), "{}", picture(&app));
    press(&mut app, Key::Esc);
    assert_eq!((app.runs.shown().len(), app.tab), (7, Tab::History), "Esc clears the filter first");
    press(&mut app, Key::Char('/'));
    typed(&mut app, "!completed !damaged q");
    press(&mut app, Key::Enter);
    assert!(picture(&app).contains("no deployment passes the filter"));
    assert!(press(&mut app, Key::Enter).is_empty(), "nothing is selected");
    press(&mut app, Key::Esc);
    press(&mut app, Key::Esc);
    assert_eq!(app.tab, Tab::Fleet);
}

#[test]
fn a_journal_that_cannot_be_read_is_said() {
    let world = good(4);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    press(&mut app, Key::Char('6'));
    update(&mut app, Msg::Past(Err("journal /x: disk I/O error".to_owned())));
    assert!(picture(&app).contains("the history cannot be read: journal /x: disk I/O error"), "{}", picture(&app));
    update(&mut app, Msg::Past(Ok(None)));
    assert!(picture(&app).contains("nobody tells the history here"), "{}", picture(&app));
    update(&mut app, Msg::Past(Ok(Some(Chapters::default()))));
    assert!(picture(&app).contains("no deployment yet"), "{}", picture(&app));
    update(&mut app, Msg::Past(Ok(Some(chapters()))));
    update(&mut app, Msg::Past(Err("journal /x: disk I/O error".to_owned())));
    let text = picture(&app);
    assert!(text.contains("shop-6") && text.contains("cannot be read anew: journal /x"), "what was told stands: {text}");
    let cmds = press(&mut app, Key::Enter);
    let [Cmd::Story(id)] = cmds.as_slice() else { panic!("{cmds:?}") };
    update(&mut app, Msg::Story(id.clone(), Err("journal /x: locked".to_owned())));
    assert!(app.runs.replay.is_none() && picture(&app).contains("journal /x: locked"), "{}", picture(&app));
}

#[test]
fn the_end_of_a_deployment_makes_the_history_new() {
    let mut world = World::new(4).started().until(|s| s.batches == 2);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    let seen = world.events.len();
    world = world.until(|s| s.end.is_some());
    let (last, others) = world.events[seen..].split_last().unwrap();
    press(&mut app, Key::Char('6'));
    for event in others {
        assert!(update(&mut app, Msg::Update(Update::Event(event.clone()))).is_empty());
    }
    let cmds = update(&mut app, Msg::Update(Update::Event(last.clone())));
    assert!(matches!(cmds.as_slice(), [Cmd::Past]), "{cmds:?}");
}

#[test]
fn the_replay_at_two_sizes() {
    for (name, size) in [("80x24", SMALL), ("160x48", LARGE)] {
        let mut app = replay(&gone_back(20), size, None);
        for _ in 0..2 {
            press(&mut app, Key::Char('}'));
        }
        insta::assert_snapshot!(format!("replay_{name}"), picture(&app));
    }
}

#[test]
fn forwards_and_backwards_it_is_what_was_recorded() {
    for world in [good(6), gone_back(6), brought_back(), cancelled()] {
        let events = &world.events;
        let mut app = replay(&world, LARGE, None);
        for wanted in 1..=events.len() {
            assert_eq!((at(&app), &app.shown().state), (wanted, &prefix(events, wanted)));
            assert_eq!(app.shown().now, events[wanted - 1].at, "times are the recorded ones");
            press(&mut app, Key::Right);
        }
        let there = console(&world, LARGE, fixed(Depth::Rgb, false));
        assert_eq!(texts(app.shown()), texts(&there));
        assert_eq!(app.shown().state.headline(), world.state.headline());
        for wanted in (1..=events.len()).rev() {
            assert_eq!((at(&app), &app.shown().state), (wanted, &prefix(events, wanted)));
            press(&mut app, Key::Left);
        }
        assert_eq!((at(&app), texts(app.shown()).len()), (1, 1));
    }
}

#[test]
fn a_large_one_is_folded_from_checkpoints_and_comes_out_the_same() {
    let world = good(300);
    let events = &world.events;
    assert!(events.len() > 2000, "{}", events.len());
    let mut app = replay(&world, LARGE, None);
    let mut stages = Vec::new();
    for key in [Key::End, Key::Left, Key::Left, Key::Home, Key::Right, Key::End, Key::PageUp, Key::Left, Key::PageDown] {
        press(&mut app, key);
        assert!(app.shown().state == prefix(events, at(&app)), "{key:?} at {}", at(&app));
        stages.push(app.shown().histories.iter().map(|history| history.stages.clone()).collect::<Vec<_>>());
    }
    assert!(stages[0] == stages[5], "phases of every instance are the same, however they were come by");
}

#[test]
fn marks_are_gone_to_and_nothing_is_sent() {
    let mut app = replay(&brought_back(), SMALL, None);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let before = at(&app);
        press(&mut app, Key::PageDown);
        if at(&app) == before {
            break;
        }
        seen.push(texts(app.shown()).pop().unwrap());
    }
    for what in ["started by ana", "FAILED", "threshold crossed", "paused by the engine", "rollback started by ana"] {
        assert!(seen.iter().any(|text| text.contains(what)), "{what}: {seen:?}");
    }
    assert!(picture(&app).contains("there is no mark after this"));
    press(&mut app, Key::Char('{'));
    assert!(at(&app) < brought_back().events.len());
    for key in ['p', 'r', 'C', 'R', 'a', 'A', 't', 's', 'H', 'U', 'B'] {
        assert!(press(&mut app, Key::Char(key)).is_empty(), "{key}");
        assert!(picture(&app).contains("this is a replay of shop-7"), "{key}: {}", picture(&app));
        assert!(app.shown().overlay.is_none());
    }
    press(&mut app, Key::Char('q'));
    assert!(app.runs.replay.is_none() && app.tab == Tab::History, "out of it is back to the list");
    press(&mut app, Key::Char(' '));
    assert!(picture(&app).contains("that is for a replay"));
}

#[test]
fn it_plays_to_the_end_in_half_a_minute_at_most_and_faster_or_slower() {
    let world = gone_back(20);
    let played = |keys: &[char]| {
        let mut app = replay(&world, SMALL, None);
        for key in keys {
            press(&mut app, Key::Char(*key));
        }
        press(&mut app, Key::Char(' '));
        let beats = (1..10_000).find(|_| {
            update(&mut app, Msg::Beat(Span::from_millis(200)));
            assert_eq!(app.shown().state, prefix(&world.events, at(&app)));
            !app.shown().runs.scrub.as_ref().unwrap().playing
        });
        assert_eq!((at(&app), app.shown().now), (world.events.len(), world.events.last().unwrap().at));
        beats.unwrap()
    };
    let usual = played(&[]);
    assert!((20..=151).contains(&usual), "{usual}");
    assert!(played(&['>']) < usual && played(&['<']) > usual);
    let mut app = replay(&world, SMALL, None);
    press(&mut app, Key::Char(' '));
    update(&mut app, Msg::Beat(Span::from_secs(1)));
    press(&mut app, Key::Char(' '));
    let halted = app.shown().now;
    update(&mut app, Msg::Beat(Span::from_secs(1)));
    assert_eq!(app.shown().now, halted);
}

#[test]
fn latencies_are_those_that_the_facts_carry() {
    let mut app = replay(&good(6), LARGE, None);
    assert!(app.shown().charts.iter().all(|chart| chart.latency.is_none()));
    press(&mut app, Key::End);
    assert!(app.shown().charts.iter().all(|chart| chart.latency.is_some()), "{:?}", app.shown().charts);
    press(&mut app, Key::Home);
    assert!(app.shown().charts.iter().all(|chart| chart.latency.is_none()));
}

#[test]
fn a_damaged_one_is_replayed_up_to_the_damage_and_says_so() {
    let mut world = good(6);
    world.events.truncate(20);
    let mut app = replay(&world, SMALL, Some("journal of shop-7: record 21 cannot be read: bit rot"));
    assert!(picture(&app).contains("record 21 cannot be read: bit rot"), "{}", picture(&app));
    press(&mut app, Key::End);
    assert_eq!(at(&app), 20);
    // What does not follow is as good as damaged.
    let mut world = good(6);
    world.events.remove(20);
    let mut app = replay(&world, SMALL, None);
    press(&mut app, Key::End);
    assert_eq!(at(&app), 20);
    assert!(picture(&app).contains("fact 22 does not follow"), "{}", picture(&app));
    // Nothing can be read: the list stays.
    let mut app = opened(SMALL, false);
    let cmds = press(&mut app, Key::Enter);
    let [Cmd::Story(id)] = cmds.as_slice() else { panic!("{cmds:?}") };
    let story = Story { events: Vec::new(), damage: Some("record 1 cannot be read".to_owned()) };
    update(&mut app, Msg::Story(id.clone(), Ok(Some(story))));
    assert!(app.runs.replay.is_none() && picture(&app).contains("record 1 cannot be read"), "{}", picture(&app));
}

#[test]
fn what_runs_goes_on_behind_it_and_its_failures_are_said() {
    let world = World::new(20).started().until(|s| s.batches == 3);
    let mut app = replay(&gone_back(20), SMALL, None);
    let there = app.state.seq;
    let mut live = world;
    live.bad = true;
    let seen = live.events.len();
    live = live.until(|s| s.rollback.is_some());
    for event in &live.events[seen..] {
        update(&mut app, Msg::Update(Update::Event(event.clone())));
    }
    assert!(app.state.seq > there && app.state.rollback.is_some());
    assert!(picture(&app).contains("meanwhile, shop-7: rollback started by the engine"), "{}", picture(&app));
    assert_eq!(at(&app), 1);
    press(&mut app, Key::Esc);
    press(&mut app, Key::Char('1'));
    assert!(picture(&app).contains("[ROLLBACK]"), "{}", picture(&app));
}

#[test]
fn no_size_breaks_them() {
    let mut list = opened(SMALL, false);
    let mut replayed = replay(&gone_back(20), SMALL, None);
    press(&mut replayed, Key::End);
    for width in (0..200).step_by(7).chain([39, 40, 59, 60, 79, 80]) {
        for height in (0..60).step_by(3).chain([10, 19, 24]) {
            for app in [&mut list, &mut replayed] {
                update(app, Msg::Resize(width, height));
                picture(app);
            }
        }
    }
    press(&mut list, Key::Char('/'));
    for width in 0..100 {
        update(&mut list, Msg::Resize(width, 24));
        picture(&list);
    }
}

#[test]
fn back_at_the_beginning_every_screen_is_as_it_was() {
    for key in ['1', '2', '3', '4', '5'] {
        let world = brought_back();
        let mut fresh = replay(&world, LARGE, None);
        press(&mut fresh, Key::Char(key));
        press(&mut fresh, Key::Home);
        let mut gone = replay(&world, LARGE, None);
        press(&mut gone, Key::Char(key));
        press(&mut gone, Key::End);
        assert_ne!(picture(&gone), picture(&fresh), "{key}");
        press(&mut gone, Key::Home);
        assert_eq!(picture(&gone), picture(&fresh), "{key}");
    }
}

#[test]
fn what_is_typed_where_nothing_runs_never_becomes_keys_of_a_deployment() {
    let mut app = console(&World::new(20), SMALL, fixed(Depth::Rgb, false));
    app.idle = Some(Idle { last: None, notice: None, typing: None });
    press(&mut app, Key::Char('d'));
    typed(&mut app, "v2-");
    assert!(update(&mut app, Msg::Update(Update::Closed)).is_empty(), "somebody has begun one");
    assert!(app.message.as_ref().unwrap().0.contains("a deployment has begun"), "{:?}", app.message);
    typed(&mut app, "prod");
    assert!(matches!(press(&mut app, Key::Esc).as_slice(), [Cmd::Exit(Exit::Next)]));
    let mut app = console(&World::new(20), SMALL, fixed(Depth::Rgb, false));
    app.idle = Some(Idle { last: None, notice: None, typing: None });
    assert!(matches!(update(&mut app, Msg::Update(Update::Closed)).as_slice(), [Cmd::Exit(Exit::Next)]));
}
