//! Filter, sort, next failure, levels of detail and the view of one instance: as screens and as keys.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, console, fixed, picture};
use rollout::model::{InstanceState, OnFailure, Span, Version};
use rollout::ports::{LogLine, Progress, Update};
use rollout::state::{Phase, State};
use rollout::tui::{App, Cmd, Depth, Exit, Key, Msg, Overlay, Tab, update};

fn key(app: &mut App, key: Key) -> Vec<Cmd> {
    update(app, Msg::Key(key))
}

fn type_in(app: &mut App, text: &str) {
    for c in text.chars() {
        assert!(key(app, Key::Char(c)).is_empty(), "{c}");
    }
}

fn verifying(state: &State) -> bool {
    state.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. }))
}

fn running(total: usize) -> World {
    World::new(total).started().until(|s| s.batches == 3 && verifying(s))
}

/// Two have failed and are listed.
fn failing(total: usize) -> World {
    let mut world = running(total).bad();
    world.state.plan.policy.rollback.on_failure = OnFailure::Continue;
    world.until(|s| s.tally().of(InstanceState::Failed) >= 2)
}

/// A console that attached now: what `failing` changed in the plan is in no event.
fn attached(world: &World, size: (u16, u16), ascii: bool) -> App {
    let mut app = App::new(world.snapshot(), fixed(Depth::Rgb, ascii), world.now, size);
    for seconds in [6, 4, 2, 0] {
        update(&mut app, Msg::Update(Update::Progress(world.progress(seconds))));
    }
    update(&mut app, Msg::Tick(world.now));
    app
}

fn selected(app: &App) -> &str {
    app.id_at(app.selection().unwrap()).unwrap().as_str()
}

#[test]
fn the_filter_is_shown_while_it_is_typed_and_while_it_holds() {
    let mut app = console(&running(200), SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "/web-01");
    insta::assert_snapshot!("filter_typed_200_small", picture(&app));
    type_in(&mut app, " !state:pending");
    assert!(picture(&app).contains("0 of 200"), "{}", picture(&app));
    assert!(picture(&app).contains("no instance passes the filter"), "{}", picture(&app));
    for _ in 0.." !state:pending".len() {
        key(&mut app, Key::Backspace);
    }
    key(&mut app, Key::Enter);
    assert!(app.overlay.is_none());
    let text = picture(&app);
    assert!(text.contains("/web-01 10 of 200"), "{text}");
    insta::assert_snapshot!("filter_kept_200_small", text);
    key(&mut app, Key::Esc);
    assert_eq!(app.list.shown().len(), 200);
    assert!(!picture(&app).contains("/web-01"));
}

#[test]
fn escape_clears_what_is_typed_and_an_empty_line_is_left_by_backspace() {
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "/q");
    assert!(matches!(app.overlay, Some(Overlay::Filter)), "a letter is text, not an order");
    assert!(app.list.shown().is_empty() && app.selection().is_none());
    assert!(key(&mut app, Key::Esc).is_empty());
    assert!(app.overlay.is_none() && app.list.shown().len() == 20);
    type_in(&mut app, "/");
    key(&mut app, Key::Backspace);
    assert!(app.overlay.is_none());
    type_in(&mut app, "/web-1");
    key(&mut app, Key::Down);
    assert_eq!(selected(&app), "web-11");
    key(&mut app, Key::Ctrl('u'));
    assert_eq!(app.list.shown().len(), 20);
    assert_eq!(selected(&app), "web-11", "the selection is an instance, not a place");
}

#[test]
fn failed_ones_outside_the_filter_are_counted() {
    let mut app = attached(&failing(200), LARGE, false);
    type_in(&mut app, "/state:pending zone:zone-c");
    key(&mut app, Key::Enter);
    let text = picture(&app);
    assert!(text.contains("67 of 200") && text.contains("2 failed or held not in it"), "{text}");
    assert!(text.contains("✗2"), "the zones count all: {text}");
    type_in(&mut app, "n");
    assert!(picture(&app).contains("none in the filter; 2 outside of it, Esc clears it"), "{}", picture(&app));
}

#[test]
fn a_filter_on_states_follows_the_fleet_without_losing_the_selection() {
    let world = running(20);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "/!state:pending");
    key(&mut app, Key::Enter);
    key(&mut app, Key::End);
    let (before, name) = (app.list.shown().len(), selected(&app).to_owned());
    let known = world.events.len();
    let later = world.until(|s| s.batches == 5 && verifying(s));
    for event in &later.events[known..] {
        update(&mut app, Msg::Update(Update::Event(event.clone())));
    }
    assert!(app.list.shown().len() > before);
    assert_eq!(selected(&app), name);
    let wanted = later.state.instances.values().filter(|i| i.shown() != InstanceState::Pending).count();
    assert_eq!(app.list.shown().len(), wanted);
}

#[test]
fn the_next_failure_wraps_and_says_so_when_there_is_none() {
    let mut app = attached(&failing(20), SMALL, false);
    let failed: Vec<String> =
        app.state.instances.iter().filter(|(_, i)| i.shown() == InstanceState::Failed).map(|(id, _)| id.to_string()).collect();
    for name in &failed {
        type_in(&mut app, "n");
        assert_eq!(selected(&app), name);
    }
    type_in(&mut app, "n");
    assert_eq!(selected(&app), failed[0]);
    assert!(picture(&app).contains("from the top again"));
    type_in(&mut app, "N");
    assert_eq!(selected(&app), failed[failed.len() - 1]);
    let mut app = console(&running(20), SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "n");
    assert!(picture(&app).contains("no instance failed, is held, or was skipped with a fault"));
    assert_eq!(app.selected, 0);
}

#[test]
fn the_sort_is_named_stable_and_of_its_moment() {
    let mut app = attached(&failing(20), SMALL, false);
    type_in(&mut app, "o");
    assert!(picture(&app).contains("sorted by state: the gravest first"), "{}", picture(&app));
    let of = |app: &App| -> Vec<InstanceState> {
        app.list.shown().iter().map(|i| app.state.instances.get_index(*i).unwrap().1.shown()).collect()
    };
    let failed = app.state.tally().of(InstanceState::Failed);
    assert!(of(&app).iter().take(usize::try_from(failed).unwrap()).all(|s| *s == InstanceState::Failed), "{:?}", of(&app));
    let pending: Vec<usize> = app
        .list
        .shown()
        .iter()
        .copied()
        .filter(|i| app.state.instances.get_index(*i).unwrap().1.phase == Phase::Pending)
        .collect();
    assert!(pending.is_sorted(), "equals keep the plan's order: {pending:?}");
    insta::assert_snapshot!("sorted_by_state_small", picture(&app));
    // New facts do not move anybody until it is sorted again.
    let world = running(20);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "o");
    let (known, before) = (world.events.len(), app.list.shown().to_vec());
    let later = world.until(|s| s.batches == 6 && verifying(s));
    for event in &later.events[known..] {
        update(&mut app, Msg::Update(Update::Event(event.clone())));
    }
    assert_eq!(app.list.shown(), before);
    type_in(&mut app, "O");
    assert_ne!(app.list.shown(), before);
    type_in(&mut app, "o");
    let slow = |app: &App| -> Vec<Option<u64>> { app.list.shown().iter().map(|i| app.charts[*i].latency).collect() };
    let known: Vec<u64> = slow(&app).into_iter().flatten().collect();
    assert!(known.windows(2).all(|w| w[0] >= w[1]), "{known:?}");
    type_in(&mut app, "oo");
    assert!(app.list.shown().is_sorted(), "the plan again");
}

#[test]
fn the_level_of_detail_can_be_changed_and_pages_turn_with_the_selection() {
    let mut app = console(&running(200), SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "++");
    let text = picture(&app);
    assert!(text.contains("page 1 of") && text.contains("web-001 healthy"), "{text}");
    insta::assert_snapshot!("rows_200_small", text);
    key(&mut app, Key::PageDown);
    assert!(picture(&app).contains("page 2 of"), "{}", picture(&app));
    type_in(&mut app, "G");
    assert!(picture(&app).contains(">◦ web-200"), "{}", picture(&app));
    type_in(&mut app, "++++");
    assert!(picture(&app).contains("there is no room for more of each"), "{}", picture(&app));
    type_in(&mut app, "--------");
    assert!(picture(&app).contains("there is nothing coarser"), "{}", picture(&app));
    assert!(picture(&app).contains("zone-c"));
    type_in(&mut app, "=");
    update(&mut app, Msg::Key(Key::Esc));
    assert!(picture(&app).contains("web-181 ◦ ◦"), "{}", picture(&app));
}

#[test]
fn the_selection_follows_the_work_until_it_is_moved() {
    let world = running(20);
    let mut app = console(&world, SMALL, fixed(Depth::Rgb, false));
    type_in(&mut app, "f");
    assert!(app.state.active.contains(&app.selected));
    let known = world.events.len();
    let later = world.until(|s| s.batches == 6 && verifying(s));
    for event in &later.events[known..] {
        update(&mut app, Msg::Update(Update::Event(event.clone())));
    }
    assert!(app.state.active.contains(&app.selected), "{}", selected(&app));
    key(&mut app, Key::Home);
    assert!(!app.list.follow && app.selected == 0);
}

#[test]
fn one_instance_with_its_phases_and_evidence() {
    for (name, size, ascii) in [("small", SMALL, false), ("large", LARGE, false), ("large_ascii", LARGE, true)] {
        let mut app = console(&running(20), size, fixed(Depth::Rgb, ascii));
        let line = LogLine {
            number: 1,
            at: app.now,
            level: "warn".to_owned(),
            target: "rollout::probe".to_owned(),
            message: "probe of web-05 was slow".to_owned(),
        };
        update(&mut app, Msg::Update(Update::Log(line)));
        for _ in 0..4 {
            key(&mut app, Key::Down);
        }
        key(&mut app, Key::Enter);
        let text = picture(&app);
        for part in ["web-05", "health gate", "draining", "passes 1 of 2", "web-05 update to v2 ordered"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        insta::assert_snapshot!(format!("inspect_{name}"), text);
        type_in(&mut app, "[");
        assert_eq!(selected(&app), "web-04");
        assert!(picture(&app).contains("found healthy on"), "{}", picture(&app));
        type_in(&mut app, "]]");
        assert_eq!(selected(&app), "web-06");
        key(&mut app, Key::Esc);
        assert_eq!(app.tab, Tab::Fleet);
    }
}

#[test]
fn a_failed_instance_says_why_and_on_what() {
    let mut app = console(&World::new(20).bad().started().until(|s| s.end.is_some()), SMALL, fixed(Depth::Rgb, false));
    key(&mut app, Key::End);
    type_in(&mut app, "n");
    assert_eq!(selected(&app), "web-01", "what brought the rollback about is found");
    update(&mut app, Msg::Key(Key::Enter));
    let text = picture(&app);
    for part in ["failed its health gate", "3 failed checks in a row", "back: gate", "rolled back"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    insta::assert_snapshot!("inspect_rolled_back_small", text);
}

#[test]
fn what_came_before_it_was_attached_is_named_as_unknown() {
    let mut app = attached(&running(20), SMALL, false);
    key(&mut app, Key::Enter);
    assert!(picture(&app).contains("rollout events shop-7"), "{}", picture(&app));
}

#[test]
fn enter_goes_on_at_the_end_only_from_the_fleet() {
    let mut settings = fixed(Depth::Rgb, false);
    settings.next = Some("Enter deploys v3-bad next".to_owned());
    let mut app = console(&World::new(20).started().until(|s| s.end.is_some()), SMALL, settings);
    let id = app.unseen().unwrap();
    update(&mut app, Msg::Armed(id));
    type_in(&mut app, "i");
    assert_eq!(app.tab, Tab::Instance);
    assert!(key(&mut app, Key::Enter).is_empty());
    key(&mut app, Key::Esc);
    assert!(matches!(key(&mut app, Key::Enter).as_slice(), [Cmd::Exit(Exit::Next)]));
}

#[test]
fn long_versions_are_cut_in_their_middle_before_the_sparkline_goes() {
    let mut world = running(20);
    for member in &mut world.state.plan.members {
        member.previous = Some(Version::new("2026.11.19-0a1b2c3d4e").unwrap());
        member.wanted = Version::new("2026.11.20-f9e8d7c6b5").unwrap();
    }
    for instance in world.state.instances.values_mut() {
        instance.version = instance.version.as_ref().map(|_| Version::new("2026.11.19-0a1b2c3d4e").unwrap());
    }
    let app = attached(&world, SMALL, false);
    let text = picture(&app);
    let row = text.lines().nth(5).unwrap();
    assert!(row.contains('~') && row.contains('█') || row.contains('▂'), "{row}");
    insta::assert_snapshot!("long_versions_small", text);
}

#[test]
fn ten_thousand_filtered_and_sorted_stay_quick_and_few_bytes() {
    let world = running(10_000);
    let mut app = console(&world, LARGE, fixed(Depth::Rgb, false));
    type_in(&mut app, "/web-0999");
    let text = picture(&app);
    assert!(text.contains("10 of 10000") && text.contains("web-09990"), "{text}");
    key(&mut app, Key::Enter);
    type_in(&mut app, "ooo");
    assert_eq!(app.list.shown().len(), 10);
    let later = app.now + Span::from_secs(1);
    update(&mut app, Msg::Tick(later));
    update(&mut app, Msg::Update(Update::Progress(Progress::default())));
    insta::assert_snapshot!("filter_10000_large", picture(&app));
}

/// A small generator: the same keys and sizes in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn key(&mut self) -> Key {
        const OFTEN: [char; 13] = [' ', 'n', 'N', 'o', 'O', '+', '-', '=', '/', '[', ']', 'i', 'f'];
        const NAMED: [Key; 14] = [
            Key::Enter,
            Key::Esc,
            Key::Tab,
            Key::Backspace,
            Key::Up,
            Key::Down,
            Key::Left,
            Key::Right,
            Key::Home,
            Key::End,
            Key::PageUp,
            Key::PageDown,
            Key::Ctrl('u'),
            Key::Ctrl('l'),
        ];
        match self.below(3) {
            0 => Key::Char(char::from(u8::try_from(33 + self.below(94)).unwrap())),
            1 => Key::Char(OFTEN[self.below(OFTEN.len())]),
            _ => NAMED[self.below(NAMED.len())],
        }
    }
}

/// Whatever is typed on whatever size: nothing panics, the selected one is in the list, ASCII is ASCII, and nothing is sent to
/// the engine but by the one key that asks nothing.
#[test]
fn any_keys_on_any_size() {
    let worlds = [2, 6, 20, 200].map(|total| World::new(total).started().until(verifying));
    for seed in 0..24 {
        let mut dice = Dice(seed);
        let ascii = seed % 2 == 0;
        let mut app = console(&worlds[dice.below(worlds.len())], LARGE, fixed(Depth::Rgb, ascii));
        for _ in 0..50 {
            let pressed = dice.key();
            for cmd in update(&mut app, Msg::Key(pressed)) {
                assert!(!matches!(&cmd, Cmd::Send { command, .. } if command.verb() != "pause"), "seed {seed}: {cmd:?}");
            }
            let size = (u16::try_from(dice.below(220)).unwrap(), u16::try_from(dice.below(70)).unwrap());
            update(&mut app, Msg::Resize(size.0, size.1));
            let text = picture(&app);
            assert!(!ascii || text.is_ascii(), "seed {seed} {size:?}: {text}");
            let listed = app.list.shown();
            assert_eq!(app.selection().is_none(), listed.is_empty(), "seed {seed}");
            assert!(app.selection().is_none_or(|index| listed.contains(&index)), "seed {seed}");
        }
    }
}
