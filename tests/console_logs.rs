//! The engine's log on the whole screen: what is shown of it, what is found in it, and what it costs.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, NOON, SMALL, World, console, fixed, picture, press};
use ratatui::Terminal;
use rollout::command::Command;
use rollout::model::Span;
use rollout::ports::{LogLine, Update};
use rollout::tui::{App, Depth, Dirt, Encoder, Key, Msg, Overlay, Tab, update, view};

fn type_text(app: &mut App, text: &str) {
    for c in text.chars() {
        press(app, Key::Char(c));
    }
}

/// What the engine logs, in turn.
const SAYS: [(&str, &str, &str); 7] = [
    ("info", "rollout::engine::bus", "batch 5 started with web-09 web-10"),
    ("debug", "rollout::probe::http", "web-10: 200 in 240ms, pass 2 of 5"),
    ("info", "rollout::fleet::process", "web-09: started as process 4711"),
    ("warn", "rollout::probe::http", "web-1: 503 in 12ms"),
    ("error", "rollout::traffic::haproxy", "set server app/web-11 state drain: timeout after 2s, asked again and done"),
    ("trace", "rollout::runner", "turn took 1ms"),
    ("info", "rollout::fleet::process", "web-10: 7 connections left"),
];

fn log(app: &mut App, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let (level, target, message) = *SAYS.get(usize::try_from(number % 7).unwrap()).unwrap();
        let line = LogLine {
            number,
            at: NOON + Span::from_secs(number),
            level: level.to_owned(),
            target: target.to_owned(),
            message: format!("{message} ({number})"),
        };
        update(app, Msg::Update(Update::Log(line)));
    }
}

/// On the screen of the log, with this many lines in it.
fn logs(size: (u16, u16), ascii: bool, lines: u64) -> App {
    let mut world = World::new(20).started();
    world.command(Command::Pause { reason: "disk alert".to_owned() });
    let mut app = console(&world, size, fixed(Depth::Rgb, ascii));
    press(&mut app, Key::Char('4'));
    log(&mut app, 1..=lines);
    app
}

/// The lines of the log on the screen, from the bottom.
fn texts(app: &App) -> Vec<String> {
    let levels = ["ERROR ", "WARN  ", "INFO  ", "DEBUG ", "TRACE "];
    picture(app).lines().filter(|line| levels.iter().any(|level| line.contains(level))).map(str::to_owned).collect()
}

fn shows(app: &App, text: &str) -> bool {
    picture(app).contains(text)
}

#[test]
fn the_log_as_a_screen() {
    for (name, size, ascii) in [("small", SMALL, false), ("large", LARGE, false), ("small_ascii", SMALL, true)] {
        let app = logs(size, ascii, 60);
        let text = picture(&app);
        assert!(!ascii || text.is_ascii(), "{text}");
        insta::assert_snapshot!(format!("logs_{name}"), text);
    }
    insta::assert_snapshot!("logs_empty_small", picture(&console(&World::new(3), SMALL, fixed(Depth::Rgb, false)).on_logs()));
}

/// Opens the screen of the log.
trait OnLogs {
    fn on_logs(self) -> Self;
}

impl OnLogs for App {
    fn on_logs(mut self) -> Self {
        press(&mut self, Key::Char('4'));
        self
    }
}

#[test]
fn a_search_counts_marks_and_walks() {
    let mut app = logs(SMALL, false, 200);
    press(&mut app, Key::Char('/'));
    assert!(matches!(app.overlay, Some(Overlay::Search)));
    // Keys of acts are text.
    type_text(&mut app, "RC");
    for _ in 0..2 {
        press(&mut app, Key::Backspace);
    }
    type_text(&mut app, "TIMEOUT");
    assert!(shows(&app, "/TIMEOUT") && shows(&app, "29 matches"), "{}", picture(&app));
    press(&mut app, Key::Enter);
    assert!(shows(&app, "29 of 29"), "the nearest one above: {}", picture(&app));
    insta::assert_snapshot!("logs_search_small", picture(&app));
    press(&mut app, Key::Char('N'));
    press(&mut app, Key::Char('N'));
    assert!(shows(&app, "27 of 29") && shows(&app, ">12:03:06"), "{}", picture(&app));
    press(&mut app, Key::Char('n'));
    assert!(shows(&app, "28 of 29"));
    press(&mut app, Key::Char('n'));
    press(&mut app, Key::Char('n'));
    assert!(shows(&app, "1 of 29") && shows(&app, "from the top again"), "{}", picture(&app));
    // Esc: the search, then the place, then the screen.
    press(&mut app, Key::Esc);
    assert!(!shows(&app, "of 29") && shows(&app, "f follows"), "{}", picture(&app));
    press(&mut app, Key::Esc);
    assert!(shows(&app, "FOLLOW"));
    press(&mut app, Key::Esc);
    assert_eq!(app.tab, Tab::Fleet);
    press(&mut app, Key::Char('4'));
    press(&mut app, Key::Char('n'));
    assert!(app.message.clone().unwrap().0.contains("/ does"), "{:?}", app.message);
}

#[test]
fn scrolling_up_stops_following_and_counts_what_comes() {
    let mut app = logs(SMALL, false, 100);
    assert!(texts(&app).last().unwrap().contains("(100)"));
    press(&mut app, Key::Up);
    let held = texts(&app);
    assert!(held.last().unwrap().contains("(99)") && shows(&app, "0 new, f follows"), "{}", picture(&app));
    log(&mut app, 101..=131);
    assert_eq!(texts(&app), held, "it stands still");
    assert!(shows(&app, "31 new, f follows"));
    press(&mut app, Key::PageUp);
    press(&mut app, Key::Char('g'));
    assert!(shows(&app, "paused by ana"), "the first is what somebody did: {}", picture(&app));
    press(&mut app, Key::PageDown);
    assert!(shows(&app, "31 new"));
    press(&mut app, Key::Char('f'));
    assert!(texts(&app).last().unwrap().contains("(131)") && shows(&app, "FOLLOW"));
    press(&mut app, Key::Up);
    press(&mut app, Key::Char('G'));
    assert!(shows(&app, "FOLLOW"), "at its end it follows again");
}

#[test]
fn levels_by_part_of_the_program() {
    let mut app = logs(LARGE, false, 70);
    assert!(shows(&app, "level E W I D T") && shows(&app, " E W I D T  probe"));
    // All: trace goes, then debug.
    press(&mut app, Key::Left);
    assert!(!shows(&app, "turn took"));
    press(&mut app, Key::Left);
    assert!(!shows(&app, "pass 2 of 5") && shows(&app, "level E W I - -") && shows(&app, "503 in 12ms"));
    press(&mut app, Key::Char('g'));
    assert!(shows(&app, "OPER") && shows(&app, "disk alert"), "what somebody did has no level");
    press(&mut app, Key::Char('f'));
    // One part: engine, fleet, probe.
    for _ in 0..3 {
        press(&mut app, Key::Tab);
    }
    assert!(shows(&app, "target probe") && shows(&app, ">E W I - -  probe"), "{}", picture(&app));
    press(&mut app, Key::Right);
    assert!(shows(&app, "pass 2 of 5") && !shows(&app, "turn took"));
    press(&mut app, Key::Enter);
    assert!(shows(&app, "probe alone") && texts(&app).iter().all(|line| line.contains("probe")), "{}", picture(&app));
    for _ in 0..4 {
        press(&mut app, Key::Left);
    }
    assert!(shows(&app, "no line passes; = shows every line again"), "{}", picture(&app));
    insta::assert_snapshot!("logs_levels_large", picture(&app));
    press(&mut app, Key::Char('='));
    assert!(shows(&app, "turn took") && shows(&app, "target all"));
}

#[test]
fn the_lines_of_one_instance() {
    let mut app = logs(SMALL, false, 70);
    press(&mut app, Key::Char('1'));
    app.selected = 9;
    press(&mut app, Key::Char('x'));
    assert_eq!(app.tab, Tab::Logs);
    assert!(shows(&app, "only web-10") && texts(&app).iter().all(|line| line.contains("web-10")), "{}", picture(&app));
    assert!(!shows(&app, "web-11"));
    press(&mut app, Key::Char(']'));
    assert!(shows(&app, "only web-11") && shows(&app, "state drain"), "{}", picture(&app));
    press(&mut app, Key::Char('x'));
    assert!(!shows(&app, "only web") && shows(&app, "turn took"));
}

#[test]
fn long_lines_wrap_if_they_are_asked_to() {
    let mut app = logs(SMALL, false, 70);
    assert!(!shows(&app, "asked again and done"));
    press(&mut app, Key::Char('w'));
    assert!(shows(&app, "and done (") && shows(&app, "wrapped"), "{}", picture(&app));
    insta::assert_snapshot!("logs_wrapped_small", picture(&app));
    for key in [Key::Char('g'), Key::Up, Key::PageDown, Key::PageUp, Key::Down] {
        press(&mut app, key);
        picture(&app);
    }
    press(&mut app, Key::Char('g'));
    assert!(shows(&app, "paused by ana"), "the first line can be reached: {}", picture(&app));
}

#[test]
fn what_was_lost_is_counted_and_memory_is_bounded() {
    let mut app = logs(SMALL, false, 20);
    assert!(shows(&app, "0 lost"));
    log(&mut app, 1_021..=1_025);
    assert!(shows(&app, "1,000 lost"), "{}", picture(&app));
    log(&mut app, 1_026..=31_025);
    assert!(shows(&app, "10,000 kept") && shows(&app, "1,000 lost"), "{}", picture(&app));
    press(&mut app, Key::Up);
    log(&mut app, 31_026..=61_025);
    // What was looked at is gone: the oldest that is kept takes its place.
    assert!(texts(&app).first().unwrap().contains("(51026)"), "{}", picture(&app));
    assert!(shows(&app, "10,000 new"), "{}", picture(&app));
}

#[test]
fn text_of_the_engine_steers_no_terminal_and_no_size_panics() {
    let mut app = logs(SMALL, false, 10);
    for (number, message) in (11..).zip(["a\u{1b}[2Jb\rc\nd", "漢字漢字漢字 ünïcode 漢字", "", &"x".repeat(5_000)]) {
        let (level, target) = ("nonsense".to_owned(), "\u{1b}]0;x\u{7}::漢".to_owned());
        let line = LogLine { number, at: NOON, level, target, message: message.to_owned() };
        update(&mut app, Msg::Update(Update::Log(line)));
    }
    press(&mut app, Key::Char('/'));
    type_text(&mut app, "ï漢");
    press(&mut app, Key::Enter);
    for wrap in [false, true] {
        for width in [1, 39, 40, 41, 59, 60, 79, 80, 109, 110, 200] {
            for height in [1, 9, 10, 11, 16, 20, 24, 60] {
                update(&mut app, Msg::Resize(width, height));
                let mut terminal = Terminal::new(Encoder::new((width, height).into(), Depth::Rgb, false)).unwrap();
                terminal.draw(|frame| view(&app, frame)).unwrap();
                let bytes = String::from_utf8(terminal.backend_mut().take()).unwrap();
                assert!(!bytes.contains("\u{1b}[2Jb") && !bytes.contains("\u{1b}]0;x"), "{bytes:?}");
                for key in [Key::Up, Key::PageUp, Key::Char('n'), Key::Char('g'), Key::Char('f')] {
                    press(&mut app, key);
                }
            }
        }
        if !wrap {
            press(&mut app, Key::Char('w'));
        }
    }
}

#[test]
fn a_line_is_drawn_soon_and_not_at_once() {
    let mut app = logs(SMALL, false, 10);
    app.dirt = Dirt::Clean;
    log(&mut app, 11..=400);
    assert_eq!(app.dirt, Dirt::Soon, "at most four times a second");
    // While it is not followed a line costs the count alone.
    let mut terminal = Terminal::new(Encoder::new(SMALL.into(), Depth::Mono, false)).unwrap();
    press(&mut app, Key::Up);
    terminal.draw(|frame| view(&app, frame)).unwrap();
    terminal.backend_mut().take();
    log(&mut app, 401..=401);
    terminal.draw(|frame| view(&app, frame)).unwrap();
    let cost = terminal.backend_mut().take().len();
    assert!(cost < 80, "{cost}");
}
