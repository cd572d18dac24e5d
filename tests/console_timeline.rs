//! The timeline, the plan and the levels of detail, as screens and as keys.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, console, fixed, picture};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rollout::command::Command;
use rollout::model::{InstanceState, Span};
use rollout::ports::Update;
use rollout::state::Phase;
use rollout::tui::{App, Cmd, Depth, Encoder, Key, Msg, Tab, update, view};
use unicode_width::UnicodeWidthStr;

const MEDIUM: (u16, u16) = (100, 30);
const NARROW: (u16, u16) = (60, 16);
const LEAST: (u16, u16) = (40, 10);
const HUGE: (u16, u16) = (300, 80);

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

/// The rows of a picture, without its quotes.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_matches('"').to_owned()).collect()
}

fn key(app: &mut App, key: Key) {
    assert!(update(app, Msg::Key(key)).is_empty(), "{key:?}");
}

#[test]
fn what_is_over_ends_in_one_glyph_and_what_is_foretold_is_never_solid() {
    let app = opened(&running(20), '3', LARGE, false);
    let text = lines(&picture(&app));
    let of = |name: &str| text.iter().find(|line| line.contains(name)).unwrap();
    for name in ["web-01", "web-02", "web-03", "web-04"] {
        assert_eq!(of(name).matches('✓').count(), 2, "its state and its end: {}", of(name));
    }
    let ahead: Vec<&String> = text.iter().filter(|line| line.contains(" pending: ")).collect();
    assert_eq!(ahead.len(), 7);
    assert!(ahead.iter().all(|line| !line.contains(['⇣', '▸', '◌', '✓'])), "{ahead:?}");
    assert!(ahead[0].contains('╌'), "{}", ahead[0]);
    let ascii = lines(&picture(&opened(&running(20), '3', LARGE, true)));
    let dashed = ascii.iter().find(|line| line.contains("batch 4 ") && line.contains("pending")).unwrap();
    assert!(dashed.contains("_ _ _") && !dashed.contains("__"), "{dashed}");
    assert!(ascii.iter().all(|line| line.is_ascii()));
}

/// The times on the axis, with their columns.
fn ticks(app: &App) -> Vec<(usize, String)> {
    let text = lines(&picture(app));
    let axis = text.iter().position(|line| line.contains("timeline, a column is")).unwrap() + 1;
    let row = text[axis].get(12..).unwrap();
    let words = row.split(' ').scan(0, |column, word| {
        let at = *column;
        *column += word.len() + 1;
        Some((at, word.to_owned()))
    });
    words.filter(|(_, word)| !word.is_empty() && word != "now").collect()
}

/// At a scale that was asked for, the axis stands still until now reaches its edge, then goes on by a quarter.
#[test]
fn the_axis_goes_on_by_quarters_and_a_second_costs_few_bytes() {
    let mut app = opened(&running(20), '3', SMALL, false);
    press(&mut app, '+');
    press(&mut app, '-');
    let mut terminal = Terminal::new(Encoder::new(SMALL.into(), Depth::Indexed, false)).unwrap();
    let (mut bytes, mut pages) = (Vec::new(), 0);
    let mut before = ticks(&app);
    for _ in 0..64 {
        let later = app.now + Span::from_secs(1);
        update(&mut app, Msg::Tick(later));
        terminal.draw(|frame| view(&app, frame)).unwrap();
        bytes.push(terminal.backend_mut().take().len());
        let now = ticks(&app);
        let moved = before.iter().find_map(|(was, text)| Some(was - now.iter().find(|(_, other)| other == text)?.0)).unwrap();
        // A quarter of 67 columns of half a second.
        assert!(moved == 0 || moved == 16, "{before:?} {now:?}");
        pages += usize::from(moved > 0);
        before = now;
    }
    assert!((6..=8).contains(&pages), "a quarter is eight seconds: {pages}");
    bytes.sort_unstable();
    assert!(bytes[bytes.len() / 2] < 200, "{bytes:?}");
}

#[test]
fn the_timeline_is_walked_by_its_rows_and_scrolled_by_quarters() {
    let mut app = opened(&running(20), '3', SMALL, false);
    key(&mut app, Key::Down);
    key(&mut app, Key::Down);
    assert_eq!(app.id_at(app.selected).unwrap().to_string(), "web-03");
    key(&mut app, Key::End);
    assert_eq!(app.id_at(app.selected).unwrap().to_string(), "web-13", "the rest, together");
    key(&mut app, Key::Home);
    assert_eq!(app.selected, 0);
    key(&mut app, Key::Right);
    assert!(picture(&app).contains("moved; f follows"));
    press(&mut app, 'f');
    assert!(picture(&app).contains("follows"));
    for words in ["by batch", "by zone", "not grouped"] {
        // Where there is no room for headings it begins without them.
        press(&mut app, 'b');
        assert!(app.message.clone().unwrap().0.starts_with(words), "{:?}", app.message);
    }
    press(&mut app, 'b');
    assert!(picture(&app).contains("─ batch 3, at work ─"), "{}", picture(&app));
    key(&mut app, Key::Enter);
    assert_eq!(app.tab, Tab::Instance);
    key(&mut app, Key::Esc);
    assert_eq!(app.tab, Tab::Timeline);
    press(&mut app, '-');
    assert!(picture(&app).contains("a column is 1s"));
    press(&mut app, '=');
    assert!(app.timeline.is_fitted());
}

#[test]
fn a_failure_is_found_and_what_came_before_the_console_is_not_invented() {
    let mut world = running(20).bad();
    world.state.plan.policy.rollback.on_failure = rollout::model::OnFailure::Continue;
    let world = world.until(|s| s.tally().of(InstanceState::Failed) >= 1);
    let mut app = App::new(world.snapshot(), fixed(Depth::Rgb, false), world.now, SMALL);
    press(&mut app, '3');
    press(&mut app, 'n');
    let text = picture(&app);
    let failed = world.state.instances.iter().find(|(_, i)| i.phase == Phase::Failed).unwrap().0.to_string();
    assert!(text.contains("phases known since 12:00:"), "{text}");
    let line = lines(&text).into_iter().find(|line| line.starts_with(&format!(">✗ {failed}"))).unwrap();
    assert!(line.contains(':') && line.matches('✗').count() == 2, "unknown phases, and its end: {line}");
    update(&mut app, Msg::Resize(LARGE.0, LARGE.1));
    let rule = lines(&picture(&app)).into_iter().find(|line| line.contains("a column is")).unwrap();
    assert!(rule.contains(&format!("✗ {failed}")), "named wherever its row is: {rule}");
}

#[test]
fn the_way_back_is_told_in_its_order() {
    let world = running(20);
    let mut back = world;
    back.command(Command::Rollback { reason: "errors in checkout".to_owned(), only: None });
    let app = opened(&back, '5', LARGE, false);
    let text = lines(&picture(&app));
    let place =
        |name: &str| text.iter().position(|line| line.trim_start().get(3..).is_some_and(|l| l.trim_start().starts_with(name)));
    let start = text.iter().position(|line| line.contains("the way back of 5")).unwrap();
    // Out of rotation first, then the newest.
    let order: Vec<usize> = ["web-05", "web-04", "web-03", "web-02", "web-01"].map(|name| place(name).unwrap()).to_vec();
    assert!(order[0] > start && order.is_sorted(), "{order:?} {text:#?}");
    assert!(text.iter().any(|line| line.contains("errors in checkout")));
    // Once they are back, by when they were.
    let done = back.until(|s| s.end.is_some());
    let text = lines(&picture(&opened(&done, '5', LARGE, false)));
    let times: Vec<&str> = text.iter().filter_map(|line| line.split_once("  back since ")).map(|(_, at)| at.trim()).collect();
    assert!(times.len() == 5 && times.is_sorted(), "{times:?}");
}

#[test]
fn whoever_is_left_out_is_named_with_the_reason() {
    let mut plan = fixture::plan(20);
    plan.members[4].excluded = Some("excluded by ana".to_owned());
    plan.members[6].at_version = true;
    let mut world = World::planned(plan);
    let held = world.state.instances.get_index(8).unwrap().0.clone();
    world.command(Command::Hold { instance: held, reason: "its disk is being replaced".to_owned() });
    for size in [MEDIUM, LARGE] {
        let mut app = opened(&world, '5', size, false);
        key(&mut app, Key::End);
        let text = picture(&app);
        for words in ["web-05", "excluded by ana", "already at v2", "held by ana: its disk is being replaced"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

#[test]
fn the_plan_scrolls_and_keeps_the_batch_at_work_in_sight() {
    let world = World::new(200).started().until(|s| s.batches == 20);
    let mut app = opened(&world, '5', SMALL, false);
    let text = picture(&app);
    assert!(text.contains("> 20 ") && text.contains("web-039 web-040"), "{text}");
    key(&mut app, Key::Home);
    assert!(picture(&app).contains("strategy"));
    key(&mut app, Key::End);
    assert!(picture(&app).contains("connections may take 5s"));
    key(&mut app, Key::Up);
    key(&mut app, Key::PageUp);
    press(&mut app, 'f');
    assert!(picture(&app).contains("> 20 "));
}

/// Which level is seen, told by what only it has.
fn level(app: &App) -> &'static str {
    let text = picture(app);
    let grid = lines(&text);
    let has = |what: &str| grid.iter().any(|line| line.contains(what));
    match () {
        () if has("┌") => "cards",
        () if grid.iter().any(|line| line.starts_with(" zone-")) => "bars",
        () if has("+0 ") && has("▀") || has("██████") => "halves",
        () if has("◦ ◦ ◦ ◦") => "wide cells",
        () if has("◦◦◦◦") => "cells",
        () if has("pending     ") => "rows",
        () => "chips",
    }
}

/// By room the finest; with the keys one by one, and back again.
#[test]
fn levels_of_detail_go_from_one_instance_to_ten_thousand() {
    for (total, small, large) in [
        (1, "rows", "cards"),
        (3, "rows", "cards"),
        (20, "rows", "cards"),
        (200, "wide cells", "chips"),
        (2_000, "bars", "cells"),
        (10_000, "bars", "bars"),
    ] {
        let world = World::new(total);
        for (size, wanted) in [(SMALL, small), (LARGE, large)] {
            let mut app = App::new(world.snapshot(), fixed(Depth::Rgb, false), world.now, size);
            assert_eq!(level(&app), wanted, "{total} at {size:?}: {}", picture(&app));
            let before = picture(&app);
            for keys in ["+", "-", "++++++", "------"] {
                for c in keys.chars() {
                    press(&mut app, c);
                    assert!(total > 200 || picture(&app).contains("web-"), "{total} at {size:?} after {c}");
                }
            }
            assert_eq!(level(&app), "bars");
            press(&mut app, '=');
            app.message = None;
            assert_eq!(picture(&app), before, "{total} at {size:?}");
        }
    }
}

#[test]
fn half_blocks_tell_by_colour_and_only_where_there_are_colours() {
    let world = World::new(2_000);
    let mut app = App::new(world.snapshot(), fixed(Depth::Rgb, false), world.now, SMALL);
    press(&mut app, '+');
    // What is not touched has no colour of its own: its glyph stands for both.
    assert!(picture(&app).contains("web-0141 ◦◦◦"), "{}", picture(&app));
    let at_work = running(2_000);
    let mut beside = App::new(at_work.snapshot(), fixed(Depth::Rgb, false), at_work.now, SMALL);
    press(&mut beside, '+');
    assert!(picture(&beside).contains("▀▀▀"), "{}", picture(&beside));
    key(&mut app, Key::Down);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| view(&app, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let reversed: Vec<&ratatui::buffer::Cell> = buffer
        .content
        .iter()
        .filter(|cell| cell.modifier.contains(ratatui::style::Modifier::REVERSED) && cell.symbol() == "◦")
        .collect();
    assert_eq!(reversed.len(), 1, "the selected one by its glyph");
    assert!(picture(&app).contains("web-0071  ◦ pending"), "and in words: {}", picture(&app));
    for (depth, ascii) in [(Depth::Mono, false), (Depth::Rgb, true)] {
        let mut app = App::new(world.snapshot(), fixed(depth, ascii), world.now, SMALL);
        press(&mut app, '+');
        assert!(!picture(&app).contains(['▀', '▄']) && picture(&app).contains("page 1 of"), "{depth:?} {}", picture(&app));
    }
}

/// Numbers that look like chance and are always the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

/// Every row has exactly the columns of the terminal, and nothing wide hangs over its edge.
fn is_whole(app: &App) {
    let (width, height) = app.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(app, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    for row in buffer.content.chunks(usize::from(width.max(1))) {
        let mut column = 0;
        while let Some(cell) = row.get(column) {
            column += UnicodeWidthStr::width(cell.symbol()).max(1);
        }
        let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(width == 0 || column == usize::from(width), "{width}x{height} {:?}: {text:?}", app.tab);
    }
}

#[test]
fn no_size_no_key_and_no_event_breaks_a_screen() {
    let mut plan = fixture::plan(23);
    for (member, zone) in plan.members.iter_mut().zip(["東京", "大阪", "zone-c"].iter().cycle()) {
        member.target.zone = Some((*zone).to_owned());
    }
    plan.members[3].excluded = Some("除外".to_owned());
    let mut planned = World::planned(plan);
    let held = planned.state.instances.get_index(20).unwrap().0.clone();
    planned.command(Command::Hold { instance: held, reason: "磁盘正在更换".to_owned() });
    let back = planned.started().bad().until(|s| s.end.is_some());
    let worlds = [back, paused(3), done(12)];
    let mut keys: Vec<Key> = rollout::tui::KEYMAP.iter().flat_map(|binding| binding.keys).copied().collect();
    keys.extend([Key::Esc, Key::Esc, Key::Esc, Key::Char('y'), Key::Char('漢'), Key::Backspace, Key::Tab]);
    for (seed, world) in (1_u64..).zip(&worlds) {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seed);
        let first = rollout::state::State::begin(&world.events[0]).unwrap();
        let snapshot = rollout::ports::Snapshot { state: first, seq: rollout::model::Seq(1), ..world.snapshot() };
        let mut app = App::new(snapshot, fixed(Depth::Rgb, seed == 2), fixture::NOON, SMALL);
        let mut told = 1;
        for _ in 0..400 {
            let msg = match chance.below(10) {
                0..5 => Msg::Key(keys[chance.below(keys.len())]),
                5 | 6 if told < world.events.len() => {
                    told += 1;
                    Msg::Update(Update::Event(world.events[told - 1].clone()))
                }
                7 => Msg::Resize(u16::try_from(chance.below(201)).unwrap(), u16::try_from(chance.below(61)).unwrap()),
                8 => Msg::Update(Update::Progress(world.progress(u64::try_from(chance.below(9)).unwrap()))),
                _ => Msg::Tick(app.now + Span::from_millis(u64::try_from(chance.below(4_000)).unwrap())),
            };
            update(&mut app, msg);
            is_whole(&app);
        }
        // Each screen at its smallest sizes, whatever is open now.
        for tab in '1'..='6' {
            key_or_esc(&mut app, tab);
            for size in (0..=24).map(|n| (n * 8, n % 30)).chain((0..24).map(|n| (40 + n, 10 + n % 8))) {
                update(&mut app, Msg::Resize(size.0, size.1));
                is_whole(&app);
            }
        }
    }
}

fn key_or_esc(app: &mut App, tab: char) {
    update(app, Msg::Key(Key::Esc));
    update(app, Msg::Key(Key::Esc));
    update(app, Msg::Key(Key::Char(tab)));
}
