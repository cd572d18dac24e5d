//! What goes to the terminal beside the picture, and what comes from it beside keys: all of it is undone, none of it acts.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::temp_dir;
use crate::fleet::{Fleet, read};
use crate::pty::{Place, Terminal, send};
use crate::steady;

/// Under way, with two of six done, and nothing to do for a while.
fn resting() -> Fleet {
    let fleet = steady(&["strategy.batch_pause=9m"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("the first batch is through", |s| s["updated"].as_u64() == Some(2));
    fleet
}

fn attached(fleet: &Fleet, args: &[&str], env: &[(&str, &str)]) -> Terminal {
    let terminal = Terminal::start_with(fleet, args, Place::Leader, (100, 30), env);
    terminal.shows(fleet, "2/6 updated");
    terminal
}

fn has(terminal: &Terminal, bytes: &str) -> bool {
    count(terminal, bytes) > 0
}

fn count(terminal: &Terminal, bytes: &str) -> usize {
    terminal.bytes().windows(bytes.len()).filter(|window| *window == bytes.as_bytes()).count()
}

/// Waits until these bytes were written to it.
fn writes(fleet: &Fleet, terminal: &Terminal, bytes: &str) {
    fleet.wait("bytes on the line", || has(terminal, bytes).then_some(()));
}

/// Column and row of a text, as the mouse counts them.
fn place(terminal: &Terminal, what: &str) -> (usize, usize) {
    let text = terminal.text();
    let found = text.lines().enumerate().find_map(|(row, line)| Some((line[..line.find(what)?].chars().count() + 1, row + 1)));
    found.unwrap_or_else(|| panic!("no {what:?} in {text}"))
}

const MOUSE: (&str, &str) = ("\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l");
const TITLE: (&str, &str) = ("\x1b[22;2t\x1b]2;2/6 updated, 0 failed", "\x1b[23;2t");

#[test]
fn title_and_mouse_are_undone_however_the_console_ends() {
    let fleet = resting();
    for end in ["key", "TERM", "Ctrl-Z", "panic"] {
        let env = [("ROLLOUT_FAILPOINT", "console.draw#12=panic")];
        let mut terminal = attached(&fleet, &["attach"], if end == "panic" { &env } else { &[] });
        writes(&fleet, &terminal, TITLE.0);
        assert!(!has(&terminal, MOUSE.0), "off by default");
        terminal.press("m");
        terminal.shows(&fleet, "mouse on: hold Shift to select text");
        writes(&fleet, &terminal, MOUSE.0);
        match end {
            "key" => terminal.press("qd"),
            "TERM" => terminal.signal(Signal::TERM),
            // Nobody can continue it here: it gives the terminal back, and takes it again at once.
            "Ctrl-Z" => {
                terminal.press("\u{1a}");
                fleet.wait("it is taken again", || {
                    (count(&terminal, "\x1b[?1049h") == 2 && count(&terminal, MOUSE.0) == 2).then_some(())
                });
                assert!(has(&terminal, MOUSE.1) && has(&terminal, TITLE.1));
                writes(&fleet, &terminal, TITLE.0);
                terminal.press("qd");
            }
            _ => {
                // Each is a frame, and one of them is one too many.
                fleet.wait("the panic", || {
                    terminal.press("\u{c}");
                    (!terminal.is_alternate()).then_some(())
                });
            }
        }
        terminal.ended(&fleet);
        fleet.wait("the last bytes", || (!terminal.is_alternate()).then_some(()));
        let pairs = [MOUSE, TITLE].map(|(on, off)| (count(&terminal, &on[..6]), count(&terminal, off)));
        assert!(has(&terminal, MOUSE.1) && has(&terminal, TITLE.1), "{end}: {pairs:?}");
    }
}

#[test]
fn a_click_selects_and_torn_reports_do_nothing() {
    let fleet = resting();
    let mut terminal = attached(&fleet, &["attach"], &[]);
    terminal.press("m");
    terminal.shows(&fleet, "mouse on");
    let (column, row) = place(&terminal, "web-05");
    terminal.press(&format!("\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"));
    terminal.shows(&fleet, "5 of 6");
    // A drag, a move, and a click that a slow link tears apart: the second half comes long after the first.
    terminal.press(&format!("\x1b[<32;{column};{row}M\x1b[<35;1;1M"));
    let (column, row) = place(&terminal, "web-02");
    let report = format!("\x1b[<0;{column};{row}M");
    let (left, right) = report.split_at(6);
    terminal.press(left);
    std::thread::park_timeout(Duration::from_millis(120));
    terminal.press(right);
    terminal.shows(&fleet, "2 of 6");
    let (column, row) = place(&terminal, "Timeline");
    terminal.press(&format!("\x1b[<0;{column};{row}M"));
    terminal.shows(&fleet, "[3 Timeline]");
    assert_eq!(fleet.status().unwrap()["status"], "in_progress");
    terminal.press("1qd");
    assert_eq!(terminal.ended(&fleet), 0);
}

#[test]
fn copies_and_exports_go_where_they_say() {
    let fleet = resting();
    let home = temp_dir();
    let (folder, tmp) = (home.path().join("here"), home.path().join("tmp"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir(&tmp).unwrap();
    // A program begins in its user's home.
    let env = [("HOME", folder.to_str().unwrap()), ("TMPDIR", tmp.to_str().unwrap())];
    let mut terminal = attached(&fleet, &["attach"], &env);
    terminal.press("gy");
    terminal.shows(&fleet, "web-01: sent to the terminal's clipboard");
    assert!(has(&terminal, "\x1b]52;c;d2ViLTAx\u{7}"), "web-01 in Base64");
    terminal.press("e");
    terminal.shows(&fleet, "export: written to ");
    let written = |into: &std::path::Path| -> Vec<std::path::PathBuf> {
        std::fs::read_dir(into)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("screen.txt").is_file())
            .collect()
    };
    let exports = written(&folder);
    assert_eq!(exports.len(), 1, "{exports:?}");
    let screen = read(&exports[0].join("screen.txt"));
    assert!(screen.contains("2/6 updated, 0 failed") && screen.contains("web-06") && !screen.contains('\x1b'), "{screen}");
    let summary: serde_json::Value = serde_json::from_str(&read(&exports[0].join("summary.json"))).unwrap();
    assert_eq!((&summary["type"], &summary["updated"]), (&"summary".into(), &2.into()));
    let events = read(&exports[0].join("events.jsonl"));
    let first: serde_json::Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!(first["type"], "deployment_planned");
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
}

/// What a library writes to standard error in the console's process, which has the terminal there.
#[test]
fn a_stray_line_is_told_after_the_screen_not_on_it() {
    let fleet = resting();
    let mut terminal = attached(&fleet, &["attach"], &[]);
    let stderr = format!("/proc/{}/fd/2", terminal.pid());
    std::fs::write(&stderr, "a library complains\x1b[2J\n").unwrap();
    terminal.press("?");
    terminal.shows(&fleet, "paint everything again");
    terminal.press("?");
    assert!(!terminal.text().contains("a library complains"));
    assert_eq!(count(&terminal, "complains"), 0);
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
    terminal.shows(&fleet, "a library complains?[2J");
}

#[test]
fn a_question_to_the_terminal_is_asked_rarely_and_its_answer_is_no_key() {
    let fleet = resting();
    let mut terminal = attached(&fleet, &["attach"], &[]);
    assert!(!has(&terminal, "\x1b[5n"), "not at once");
    writes(&fleet, &terminal, "\x1b[5n");
    std::thread::park_timeout(Duration::from_millis(300));
    terminal.press("\x1b[0n");
    fleet.wait("the way there and back", || {
        let text = terminal.text();
        text.lines().next().is_some_and(|line| line.trim_end().ends_with("ms") || line.contains("link slow")).then_some(())
    });
    assert!(terminal.text().contains("[1 Fleet]") && !terminal.text().contains("does nothing here"), "{}", terminal.text());
    assert_eq!(count(&terminal, "\x1b[5n"), 1);
    // One that came although nobody asked.
    terminal.press("\x1b[0n\x1b[0n");
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
}

#[test]
fn a_border_that_is_dragged_is_a_few_paints() {
    let fleet = resting();
    let mut terminal = attached(&fleet, &["attach"], &[]);
    let before = count(&terminal, "\x1b[2J");
    for width in 0..50 {
        terminal.resize(100 + width, 30);
        send(terminal.pid(), Signal::WINCH);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    // The last width has its own picture.
    fleet.wait("the last size", || {
        let text = terminal.text();
        text.lines().next().is_some_and(|line| line.trim_end().chars().count() > 140).then_some(())
    });
    let paints = count(&terminal, "\x1b[2J") - before;
    assert!((1..=5).contains(&paints), "{paints} whole paints for 50 sizes");
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
}

/// Every code of every pen that was set on it so far.
fn pens(terminal: &Terminal) -> Vec<String> {
    let text = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    let sequences = text.split("\x1b[").skip(1).filter_map(|s| s.split_once('m').map(|(codes, _)| codes.to_owned()));
    let pens = sequences.filter(|codes| codes.chars().all(|c| c.is_ascii_digit() || c == ';'));
    pens.flat_map(|codes| codes.split(';').map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_program_sends_the_colours_that_were_wanted() {
    let fleet = resting();
    let attributes = ["", "0", "1", "2", "4", "7"];
    let look = |args: &[&str], env: &[(&str, &str)]| {
        let mut terminal = attached(&fleet, args, env);
        for key in ["?", "?", "R", "\x1b", "2", "3", "4", "5", "6", "1"] {
            terminal.press(key);
            std::thread::park_timeout(Duration::from_millis(120));
        }
        terminal.press("qd");
        assert_eq!(terminal.ended(&fleet), 0);
        pens(&terminal)
    };
    let mono = look(&["attach"], &[("NO_COLOR", "1"), ("COLORTERM", "truecolor")]);
    assert!(mono.iter().all(|code| attributes.contains(&code.as_str())), "{mono:?}");
    assert!(mono.iter().any(|code| code == "7") && mono.iter().any(|code| code == "1"), "{mono:?}");
    let sixteen = look(&["attach", "--color", "16"], &[("COLORTERM", "truecolor")]);
    let colour = |code: &str| code.parse().is_ok_and(|n: u8| matches!(n, 30..=37 | 39 | 40..=47 | 49 | 90..=97));
    assert!(sixteen.iter().all(|code| attributes.contains(&code.as_str()) || colour(code)), "{sixteen:?}");
    assert!(sixteen.iter().any(|code| matches!(code.as_str(), "32" | "92" | "36" | "96")), "{sixteen:?}");
}

#[test]
fn a_read_only_session_is_refused_in_the_same_words_by_key_and_by_verb() {
    let fleet = resting();
    let words = "is refused: this is a read-only session";
    for (verb, key) in [("pause", "p"), ("resume", "r"), ("cancel", "C"), ("rollback", "R")] {
        let ran = fleet.run(&[verb, "--read-only"]);
        assert_ne!(ran.code, Some(0));
        assert!(ran.err.contains(&format!("{verb} {words}")), "{ran:?}");
        let mut terminal = attached(&fleet, &["attach", "--read-only"], &[]);
        terminal.press(key);
        terminal.shows(&fleet, &format!("{verb} {words}"));
        terminal.press("qd");
        assert_eq!(terminal.ended(&fleet), 0);
    }
    assert_eq!(fleet.status().unwrap()["status"], "in_progress");
}
