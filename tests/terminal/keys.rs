//! Hands, cats and window managers: keys by the thousand, every size of a terminal, terminals that can do little.

use std::time::Duration;

use crate::fleet::Fleet;
use crate::pty::{Place, Terminal};
use crate::steady;

/// What somebody did to the deployment, in order.
fn acts(fleet: &Fleet) -> Vec<String> {
    let acts = [
        "deployment_paused",
        "deployment_resumed",
        "cancel_requested",
        "commands_stopped",
        "rollback_started",
        "batch_approved",
        "instance_held",
        "instance_released",
        "instance_skipped",
        "instance_retried",
        "instance_discounted",
    ];
    let events = fleet.run(&["events", "1", "--output", "json"]).lines();
    let kinds = events.iter().map(|event| event["type"].as_str().unwrap().to_owned());
    kinds.filter(|kind| acts.contains(&kind.as_str())).collect()
}

#[test]
fn a_thousand_keys_do_nothing_that_was_not_confirmed() {
    let fleet = steady(&["strategy.batch_pause=60s"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let mut terminal = Terminal::start(&fleet, &["attach"], Place::Leader);
    terminal.shows(&fleet, "2/6 updated");
    // Every key that begins something, held Enter, keys of terminals, clipboards: all but the answer.
    let mut seed = 7_u32;
    let keys = [
        "R", "C", "r", "a", "A", "t", "s", "H", "U", "B", "x", "\r", "\r", "\r", "\x1b", "\x1b[A", "j", "n", "/", "o", "\t", "?",
        "+",
    ];
    for _ in 0..10 {
        let burst: String = (0..100)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                keys[usize::try_from(seed >> 16).unwrap() % keys.len()]
            })
            .collect();
        terminal.press(&burst);
    }
    for _ in 0..3 {
        terminal.press("\x1b");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    terminal.press("\x1b[200~RyyyyCyyyyqd\r\x1b[201~");
    // A hand that is too quick: question and answer at once.
    terminal.press("Ryyyyyyyyyy");
    terminal.shows(&fleet, "y roll back");
    terminal.press("\x1b");
    terminal.press(&"\r".repeat(300));
    assert_eq!(acts(&fleet), [""; 0], "{}", terminal.text());
    // It still listens, and does what it is told: out of whatever is open, each Esc for itself.
    for _ in 0..3 {
        terminal.press("\x1b");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    terminal.press("p");
    fleet.until("it is paused", |s| s["status"] == "paused");
    assert_eq!(acts(&fleet), ["deployment_paused"]);
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
}

#[test]
fn a_storm_of_sizes_ends_with_the_last_one() {
    let fleet = steady(&["strategy.batch_pause=60s"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let mut terminal = Terminal::start(&fleet, &["attach"], Place::Leader);
    terminal.shows(&fleet, "2/6 updated");
    let sizes = [(1, 1), (500, 200), (80, 24), (0, 0), (2, 200), (500, 1), (40, 10), (120, 40), (3, 3)];
    for round in 0..200_u16 {
        let (cols, rows) = sizes[usize::from(round) % sizes.len()];
        terminal.resize(cols, rows);
        if round.is_multiple_of(20) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
    terminal.resize(100, 30);
    // The same as a console that has only ever seen this size, clocks apart.
    let fresh = Terminal::start_with(&fleet, &["attach"], Place::Leader, (100, 30), &[]);
    fresh.shows(&fleet, "2/6 updated");
    let steadfast = |terminal: &Terminal| -> Vec<String> {
        let text = terminal.text();
        let lines: Vec<&str> = text.lines().collect();
        [lines.first().map(|line| line.split("[RUN]").next().unwrap_or_default()), lines.last().copied()]
            .into_iter()
            .map(|line| line.unwrap_or_default().trim().to_owned())
            .collect()
    };
    fleet.wait("the last size wins", || (steadfast(&terminal) == steadfast(&fresh)).then_some(()));
    assert!(steadfast(&fresh)[1].contains("q quit"), "{}", fresh.text());
    terminal.press("qd");
    assert_eq!(terminal.ended(&fleet), 0);
}

/// A terminal that cannot move its cursor gets lines; one without UTF-8 gets the screen in ASCII.
#[test]
fn a_terminal_that_can_do_little_gets_what_it_can_show() {
    let fleet = steady(&["strategy.batch_pause=4s"]);
    let mut refused = Terminal::start_with(&fleet, &["deploy", "v2"], Place::Leader, (120, 24), &[("TERM", "dumb")]);
    assert_eq!(refused.ended(&fleet), 2);
    refused.shows(&fleet, "(TERM=dumb), deploy begins only with --yes");
    let mut dumb = Terminal::start_with(&fleet, &["deploy", "v2", "--yes"], Place::Leader, (200, 60), &[("TERM", "dumb")]);
    dumb.shows(&fleet, "web-01 drained");
    let plain = Terminal::start_with(&fleet, &["attach"], Place::Leader, (80, 24), &[("LANG", "C")]);
    plain.shows(&fleet, "[RUN]");
    assert!(plain.text().is_ascii(), "{}", plain.text());
    assert_eq!(dumb.ended(&fleet), 0);
    assert!(dumb.frames() == 0 && !dumb.is_alternate(), "{}", dumb.text());
    dumb.shows(&fleet, "6/6 updated, 0 failed");
}
