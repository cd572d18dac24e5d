//! The screens as text: the same facts always give the same picture.
//!
//! Imports: the library, the console's fixture. May not: start anything.

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, console, done, fixed, going_back, paused, picture, read, rolled_back, running};
use ratatui::Terminal;
use ratatui::style::Color;
use rollout::command::Command;
use rollout::model::{InstanceState, Span, Timestamp};
use rollout::ports::{LogLine, Update};
use rollout::state::{Phase, State};
use rollout::tui::{App, Cmd, Depth, Encoder, Key, Msg, Overlay, Reason, update, view};

fn press(app: &mut App, key: char) -> Vec<Cmd> {
    update(app, Msg::Key(Key::Char(key)))
}

fn shown(state: &State, wanted: InstanceState) -> u32 {
    state.tally().of(wanted)
}

macro_rules! pictures {
    ($($name:ident: $world:expr, $size:expr, $ascii:literal;)*) => {
        $(#[test]
        fn $name() {
            let app = console(&$world, $size, fixed(Depth::Rgb, $ascii));
            insta::assert_snapshot!(picture(&app));
        })*
    };
}

pictures! {
    planned_20_small: World::new(20), SMALL, false;
    planned_20_large: World::new(20), LARGE, false;
    running_20_small: running(20), SMALL, false;
    running_20_large: running(20), LARGE, false;
    running_20_small_ascii: running(20), SMALL, true;
    running_20_large_ascii: running(20), LARGE, true;
    paused_20_small: paused(20), SMALL, false;
    paused_20_large: paused(20), LARGE, false;
    going_back_20_small: going_back(20), SMALL, false;
    going_back_20_large: going_back(20), LARGE, false;
    rolled_back_20_small: rolled_back(20), SMALL, false;
    done_20_small: done(20), SMALL, false;
    done_20_large: done(20), LARGE, false;
    running_3_small: running(3), SMALL, false;
    running_3_large: running(3), LARGE, false;
    running_200_small: running(200), SMALL, false;
    running_200_large: running(200), LARGE, false;
    running_200_small_ascii: running(200), SMALL, true;
    running_10000_large: running(10_000), LARGE, false;
    running_20_narrow: running(20), (60, 16), false;
    running_20_narrower: running(20), (44, 12), false;
    running_20_tiny: running(20), (30, 6), false;
}

#[test]
fn the_rollback_question() {
    for (name, size) in [("small", SMALL), ("large", LARGE)] {
        let mut app = console(&running(20), size, fixed(Depth::Rgb, false));
        assert!(press(&mut app, 'R').is_empty());
        insta::assert_snapshot!(format!("rollback_question_{name}"), picture(&app));
    }
}

#[test]
fn the_cancel_question_in_ascii() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Mono, true));
    press(&mut app, 'C');
    insta::assert_snapshot!(picture(&app));
}

#[test]
fn the_reason_is_typed_in_the_question_and_sent_with_the_command() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    let reason = |app: &App| match &app.overlay {
        Some(Overlay::Ask(ask)) => Some(ask.reason.clone()),
        _ => None,
    };
    press(&mut app, 'R');
    update(&mut app, Msg::Key(Key::Tab));
    assert!(!reason(&app).unwrap().typing, "a key from before the question was read");
    read(&mut app);
    update(&mut app, Msg::Key(Key::Tab));
    for c in "p99 is up, yes".chars() {
        assert!(press(&mut app, c).is_empty(), "a y in it is no answer");
    }
    insta::assert_snapshot!("reason_being_typed", picture(&app));
    update(&mut app, Msg::Key(Key::Enter));
    insta::assert_snapshot!("reason_given", picture(&app));
    match press(&mut app, 'y').as_slice() {
        [Cmd::Send { command: Command::Rollback { reason, only: None }, .. }] => assert_eq!(reason, "p99 is up, yes"),
        other => panic!("{other:?}"),
    }
    press(&mut app, 'C');
    read(&mut app);
    update(&mut app, Msg::Key(Key::Tab));
    press(&mut app, 'x');
    update(&mut app, Msg::Key(Key::Esc));
    assert_eq!(reason(&app), Some(Reason::default()), "Esc drops the reason alone");
    update(&mut app, Msg::Key(Key::Esc));
    assert_eq!(reason(&app), None);
}

#[test]
fn the_start_bar_and_the_leave_bar() {
    let mut app = console(&World::new(20), SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 's');
    insta::assert_snapshot!("start_bar", picture(&app));
    update(&mut app, Msg::Key(Key::Esc));
    press(&mut app, 'q');
    insta::assert_snapshot!("leave_bar_planned", picture(&app));
}

#[test]
fn help_names_every_key_of_the_keymap() {
    for (name, size, ascii) in [("small", SMALL, false), ("large", LARGE, false), ("small_ascii", SMALL, true)] {
        let mut app = console(&running(20), size, fixed(Depth::Rgb, ascii));
        press(&mut app, '?');
        let first = picture(&app);
        let mut text = first.clone();
        // Page by page; the last one stays.
        for _ in 0..4 {
            update(&mut app, Msg::Key(Key::PageDown));
            text.push_str(&picture(&app));
        }
        for binding in rollout::tui::KEYMAP {
            let words: String = binding.words.chars().take(26).collect();
            assert!(text.contains(&words), "{words}");
        }
        insta::assert_snapshot!(format!("help_{name}"), first);
    }
}

#[test]
fn states_have_their_colours_and_mono_has_none() {
    let world = rolled_back(20);
    let draw = |depth| {
        let app = console(&world, SMALL, fixed(depth, false));
        let mut terminal = Terminal::new(Encoder::new(SMALL.into(), depth, false)).unwrap();
        terminal.draw(|frame| view(&app, frame)).unwrap();
        String::from_utf8(terminal.backend_mut().take()).unwrap()
    };
    let codes = |bytes: &str| -> Vec<String> {
        let sequences = bytes.split("\x1b[").skip(1).filter_map(|s| s.split_once('m').map(|(codes, _)| codes.to_owned()));
        sequences.filter(|c| c.chars().all(|c| c.is_ascii_digit() || c == ';')).collect()
    };
    let mono = codes(&draw(Depth::Mono));
    assert!(mono.iter().flat_map(|c| c.split(';')).all(|c| ["", "0", "1", "2", "4", "7"].contains(&c)), "{mono:?}");
    assert!(mono.iter().any(|c| c.split(';').any(|c| c == "7")), "the selected one is reversed: {mono:?}");
    let sixteen = codes(&draw(Depth::Ansi16));
    let allowed = |c: &str| {
        c.is_empty() || c.parse().is_ok_and(|n: u8| matches!(n, 0 | 1 | 2 | 4 | 7 | 30..=37 | 39 | 40..=47 | 49 | 90..=97))
    };
    assert!(sixteen.iter().flat_map(|c| c.split(';')).all(allowed), "{sixteen:?}");
    assert!(sixteen.iter().any(|c| c.contains("93")), "{sixteen:?}");
    let Some(Color::Rgb(r, g, b)) = fixed(Depth::Rgb, false).theme.state(InstanceState::RolledBack).fg else { unreachable!() };
    assert!(codes(&draw(Depth::Rgb)).iter().any(|c| c.contains(&format!("38;2;{r};{g};{b}"))), "rolled back in its colour");
    assert!(draw(Depth::Rgb).len() < 8_000, "bytes of a first paint");
}

#[test]
fn an_unchanged_screen_costs_no_byte_and_a_change_few() {
    let mut app = console(&running(20), LARGE, fixed(Depth::Indexed, false));
    let mut terminal = Terminal::new(Encoder::new(LARGE.into(), Depth::Indexed, false)).unwrap();
    terminal.draw(|frame| view(&app, frame)).unwrap();
    let first = terminal.backend_mut().take().len();
    assert!(first < 30_000, "{first}");
    terminal.draw(|frame| view(&app, frame)).unwrap();
    assert_eq!(terminal.backend_mut().take().len(), 0);
    let later = app.now + Span::from_secs(1);
    update(&mut app, Msg::Tick(later));
    terminal.draw(|frame| view(&app, frame)).unwrap();
    let second = terminal.backend_mut().take().len();
    assert!((1..300).contains(&second), "one second: {second} bytes");
}

#[test]
fn no_size_panics_and_the_headline_is_never_cut() {
    for total in [2, 20, 200] {
        let worlds = [World::new(total), running(total), rolled_back(total)];
        for (world, overlay) in worlds.iter().zip([None, Some('R'), Some('?')]) {
            let mut app = console(world, LARGE, fixed(Depth::Rgb, total == 20));
            if let Some(key) = overlay {
                press(&mut app, key);
            }
            for width in (0..=200).step_by(7) {
                for height in (0..=60).step_by(3) {
                    update(&mut app, Msg::Resize(width, height));
                    for key in [Key::Right, Key::Down, Key::PageDown] {
                        update(&mut app, Msg::Key(key));
                    }
                    let text = picture(&app);
                    if app.overlay.is_none() && width >= 40 && height >= 10 {
                        let flat: String = text.split(['"', '\n']).collect::<Vec<_>>().join(" ");
                        let squeezed = flat.split_whitespace().collect::<Vec<_>>().join(" ");
                        assert!(squeezed.contains(&app.state.headline()), "{width}x{height}: {text}");
                    }
                }
            }
        }
    }
}

#[test]
fn failed_instances_are_named_at_every_size() {
    let mut world = running(200).bad();
    world.state.plan.policy.rollback.on_failure = rollout::model::OnFailure::Continue;
    let world = world.until(|s| shown(s, InstanceState::Failed) >= 2);
    let name = world.state.instances.iter().find(|(_, i)| i.shown() == InstanceState::Failed).unwrap().0.to_string();
    for size in [(40, 10), (60, 16), SMALL, (100, 30), LARGE, (200, 60)] {
        let snapshot = world.snapshot();
        let app = App::new(snapshot, fixed(Depth::Rgb, false), world.now, size);
        assert!(picture(&app).contains(&name), "{size:?}: {}", picture(&app));
    }
}

#[test]
fn positions_do_not_move_while_it_runs() {
    let rows = |world: &World| -> Vec<Option<usize>> {
        let text = picture(&console(world, SMALL, fixed(Depth::Rgb, false)));
        let lines: Vec<&str> = text.lines().take(15).collect();
        (1..=20).map(|n| lines.iter().skip(5).position(|line| line.contains(&format!(" web-{n:02} ")))).collect()
    };
    let before = rows(&World::new(20));
    assert!(before.iter().all(Option::is_some), "{before:?}");
    for world in [running(20), paused(20), going_back(20), done(20)] {
        assert_eq!(rows(&world), before);
    }
}

#[test]
fn a_rollback_that_would_cost_more_than_was_shown_has_to_be_read_again() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'R');
    let Some(Overlay::Ask(ask)) = &app.overlay else { panic!("no question") };
    let mut now = ask.consequence.clone();
    now.changes.clear();
    assert!(!ask.differs(&now), "as many serve");
    now.lowest_serving -= 1;
    assert!(ask.differs(&now), "fewer would serve");
}

#[test]
fn a_protected_environment_takes_the_service_name() {
    let mut fixed = fixed(Depth::Rgb, false);
    fixed.protected = true;
    let mut app = console(&running(20), SMALL, fixed);
    press(&mut app, 'R');
    read(&mut app);
    assert!(press(&mut app, 'y').is_empty());
    update(&mut app, Msg::Key(Key::Backspace));
    for key in "sho".chars() {
        press(&mut app, key);
    }
    assert!(update(&mut app, Msg::Key(Key::Enter)).is_empty(), "only part of the name");
    insta::assert_snapshot!(picture(&app));
    press(&mut app, 'p');
    assert!(matches!(update(&mut app, Msg::Key(Key::Enter)).as_slice(), [Cmd::Send { .. }]));
}

#[test]
fn a_message_goes_by_itself() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    press(&mut app, 'r');
    let text = picture(&app);
    assert!(text.contains("not possible: it is not paused") && !text.contains("events ("), "{text}");
    for secs in [1, 9, 2] {
        let later = app.now + Span::from_secs(secs);
        update(&mut app, Msg::Tick(later));
    }
    assert!(app.message.is_none());
    assert!(picture(&app).contains("events ("));
}

#[test]
fn the_bar_and_the_badge_keep_their_places() {
    let places = |world: &World| {
        let app = console(world, SMALL, fixed(Depth::Rgb, false));
        let text = picture(&app);
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        (lines[0].iter().position(|c| *c == '['), lines[1].iter().position(|c| "█░".contains(*c)))
    };
    let (badge, bar) = places(&World::new(20).started());
    assert!(badge.is_some() && bar.is_some());
    assert_eq!(places(&running(20)), (badge, bar));
    for world in [World::new(20), paused(20), going_back(20), done(20)] {
        assert_eq!(places(&world).1, bar);
    }
}

#[test]
fn passes_from_before_the_update_do_not_count_on_the_screen() {
    let world = running(20);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    let find = |i: &rollout::state::Instance| matches!(i.phase, Phase::Verifying { .. });
    let (id, since) = app.state.instances.iter().find(|(_, i)| find(i)).map(|(id, i)| (id.clone(), i.since)).unwrap();
    let mut reading = app.reading(&id).unwrap().clone();
    reading.passes = 2;
    reading.sample.as_mut().unwrap().at = Timestamp::from_millis(since.as_millis() - 1);
    let old = rollout::ports::Progress { readings: [(id, reading)].into(), ..Default::default() };
    update(&mut app, Msg::Update(Update::Progress(old)));
    assert!(picture(&app).contains("health 0/2"), "{}", picture(&app));
}

#[test]
fn a_fact_that_cannot_follow_is_read_again() {
    let world = running(20);
    let mut app = console(&World::new(20), SMALL, fixed(Depth::Rgb, false));
    let cmds = update(&mut app, Msg::Update(Update::Event(world.events[5].clone())));
    assert!(matches!(cmds.as_slice(), [Cmd::Refresh]));
    update(&mut app, Msg::Fresh(Box::new(world.snapshot())));
    assert_eq!(app.state, world.state);
}

#[test]
fn log_lines_go_to_the_log_pane() {
    let mut app = console(&running(20), LARGE, fixed(Depth::Rgb, false));
    let line = LogLine {
        number: 1,
        at: Timestamp::default(),
        level: "warn".to_owned(),
        target: "engine".to_owned(),
        message: "m".to_owned(),
    };
    assert!(matches!(update(&mut app, Msg::Update(Update::Log(line))).as_slice(), [Cmd::Log(_)]));
    assert!(picture(&app).contains("engine log"));
    let mut small = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    assert!(!picture(&small).contains("engine log"));
    update(&mut small, Msg::Key(Key::Tab));
    assert!(picture(&small).contains("engine log"));
    update(&mut small, Msg::Key(Key::Tab));
    assert!(picture(&small).contains("events"));
}

#[test]
fn what_is_wrong_with_the_world_is_an_alarm_whose_reason_is_kept() {
    for size in [(60, 16), SMALL, (100, 30), LARGE] {
        let world = running(20);
        let mut app = console(&world, size, fixed(Depth::Rgb, true));
        let mut progress = world.progress(0);
        let socket = "/tmp/rollout-demo-1234/state/shop-default/haproxy/admin.sock";
        progress.troubles = vec![
            format!("balancer unreachable: unix:{socket}: Connection refused (os error 111) (command `show stat`)"),
            "another".to_owned(),
        ];
        let reading = progress.readings.values_mut().next().unwrap();
        reading.trouble = Some(format!("unix:{socket}: Connection refused (os error 111) (command `set server be/web-01`)"));
        update(&mut app, Msg::Update(Update::Progress(progress)));
        let text = picture(&app);
        let lines: Vec<&str> = text.lines().take(5).collect();
        let alarm = lines.iter().find(|line| line.contains("TROUBLE: balancer")).unwrap_or_else(|| panic!("{size:?}: {text}"));
        assert!(alarm.contains("refused") && alarm.contains("(and 1 more)"), "{size:?}: {alarm}");
        let of_one = text.lines().skip(5).any(|line| line.contains("trouble: unix:.../admin.sock: Connection refused"));
        assert!(of_one || size.1 < 24, "{size:?}: {text}");
    }
}

#[test]
fn requests_that_failed_are_an_alarm_at_the_end() {
    let mut world = done(20);
    let end = world.state.end.as_mut().unwrap();
    let mut vip = end.vip.unwrap();
    (vip.requests, vip.failed) = (1691, 703);
    end.vip = Some(vip);
    for size in [(40, 10), SMALL, LARGE] {
        let app = App::new(world.snapshot(), fixed(Depth::Rgb, false), world.now, size);
        let flat = picture(&app).replace(['"', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("done in 2m24s, 703 of 1,691 requests FAILED"), "{size:?}: {flat}");
    }
}
