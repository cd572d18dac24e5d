//! The console is stopped or breaks: only the console.

use rustix::process::Signal;

use crate::fleet::read;
use crate::pty::{Place, Terminal, send};
use crate::steady;

/// Ctrl-Z in a shell with job control, `fg` when all is over.
#[test]
fn ctrl_z_stops_the_console_alone_and_fg_shows_how_things_stand() {
    let fleet = steady(&["strategy.batch_pause=300ms"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let mut terminal = Terminal::start(&fleet, &["attach"], Place::Shell);
    terminal.shows(&fleet, "$ ");
    let before = terminal.modes();
    let command = terminal.command.clone();
    terminal.press(&format!("{command}\n"));
    terminal.shows(&fleet, "[RUN]");
    let pid = terminal.pid();
    terminal.press("\u{1a}");
    fleet.wait("the shell has its terminal again", || (!terminal.is_alternate() && terminal.modes() == before).then_some(()));
    let state = || read(format!("/proc/{pid}/stat").as_ref()).rsplit_once(')').unwrap().1.trim().chars().next();
    fleet.wait("it is stopped", || (state() == Some('T')).then_some(()));
    assert!(!terminal.hides_cursor());
    fleet.wait("the deployment ends", || fleet.engine_pid().is_none().then_some(()));
    assert_eq!(state(), Some('T'));
    terminal.press("fg\n");
    terminal.shows(&fleet, "[DONE]");
    terminal.shows(&fleet, "6/6 updated, 0 failed");
    terminal.press("q");
    fleet.wait("the shell again", || (!terminal.is_alternate() && terminal.modes() == before).then_some(()));
    terminal.press("echo left with $?\n");
    terminal.shows(&fleet, "left with 0");
}

/// Stopped from outside, without a word to the console: nothing is given back, all is painted anew.
#[test]
fn a_console_that_was_stopped_from_outside_paints_anew() {
    let fleet = steady(&["strategy.batch_pause=300ms"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let mut terminal = Terminal::start(&fleet, &["attach"], Place::Leader);
    terminal.shows(&fleet, "[RUN]");
    send(terminal.pid(), Signal::STOP);
    fleet.wait("the deployment ends", || {
        (fleet.run(&["show", "1", "--output", "json"]).summary()["status"] == "completed").then_some(())
    });
    // Somebody wrote over it meanwhile.
    let before = terminal.frames();
    send(terminal.pid(), Signal::CONT);
    terminal.shows(&fleet, "[DONE]");
    assert!(terminal.frames() > before);
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
}

#[test]
fn a_panic_while_drawing_ends_the_console_alone_and_says_where_the_details_are() {
    let fleet = steady(&["strategy.batch_pause=300ms"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let engine = fleet.engine_pid();
    let place = [("ROLLOUT_FAILPOINT", "console.draw#3=panic")];
    let mut terminal = Terminal::start_with(&fleet, &["attach"], Place::Leader, (200, 40), &place);
    let before = terminal.modes();
    assert_eq!(terminal.ended(&fleet), 4);
    terminal.shows(&fleet, "the console stopped after an internal error (details: ");
    assert!(!terminal.is_alternate() && !terminal.hides_cursor());
    assert_eq!(terminal.modes(), before);
    let text = terminal.text().replace('\n', "");
    assert!(text.contains("the engine goes on, `rollout attach` shows it again"), "{text}");
    let path = text.split_once("(details: ").unwrap().1.split_once(')').unwrap().0.to_owned();
    let details = read(path.as_ref());
    assert!(details.contains("failpoint console.draw") && details.contains("screen.rs"), "{details}");
    std::fs::remove_file(path).unwrap();
    assert_eq!(fleet.engine_pid(), engine);
    let end = fleet.run(&["attach", "--output", "json"]);
    assert_eq!((end.code, &end.summary()["status"]), (Some(0), &"completed".into()), "{end:?}");
}
