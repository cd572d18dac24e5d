//! Keys of somebody's own, in the real program: the new one acts, the old one does not.

use crate::pty::{Place, Terminal};
use crate::steady;

#[test]
fn pause_on_another_key_pauses_and_its_old_key_does_nothing() {
    let fleet = steady(&["strategy.batch_pause=60s", r#"console.keys.pause = ["F9", "_"]"#, r#"console.keys.rollback = "!""#]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let mut terminal = Terminal::start(&fleet, &["attach"], Place::Leader);
    terminal.shows(&fleet, "2/6 updated");
    terminal.shows(&fleet, "F9 pause");
    terminal.press("p");
    terminal.shows(&fleet, "p does nothing here; ? shows the keys");
    terminal.press("R");
    terminal.shows(&fleet, "R does nothing here");
    // It still asks, on whatever key it is.
    terminal.press("!yyy");
    terminal.shows(&fleet, "y roll back");
    terminal.press("\x1b");
    fleet.wait("the question is closed", || (!terminal.text().contains("y roll back")).then_some(()));
    assert_eq!(fleet.status().unwrap()["status"], "in_progress");
    terminal.press("\x1b[20~");
    fleet.until("it is paused", |s| s["status"] == "paused");
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
}
