//! Who comes back sees at once what happened meanwhile.

use crate::pty::{Place, Terminal};
use crate::steady;

#[test]
fn the_first_frame_has_the_past_and_why_it_stands_still() {
    let fleet = steady(&["strategy.batch_pause=60s"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("the first batch is through", |s| s["updated"].as_u64() == Some(2));
    assert_eq!(fleet.run(&["pause", "--reason", "disk alert on web-09"]).code, Some(0));
    fleet.until("it is paused", |s| s["status"] == "paused");
    let terminal = Terminal::start_with(&fleet, &["attach"], Place::Leader, (160, 50), &[]);
    // What the screen shows when its first frame is whole.
    let first = fleet.wait("a frame", || {
        let text = terminal.text();
        text.contains("quit").then_some(text)
    });
    assert_eq!(terminal.frames(), 1, "{first}");
    let paused = |line: &&str| line.contains("paused by") && line.contains("disk alert on web-09");
    assert!(first.lines().filter(paused).count() >= 2, "in the list of events, and in a line of its own: {first}");
    for past in ["web-01", "web-02"] {
        let done = first.lines().any(|line| line.contains(past) && line.contains("healthy"));
        assert!(done, "{past}: {first}");
    }
    assert!(!first.contains("attached after"), "{first}");
}
