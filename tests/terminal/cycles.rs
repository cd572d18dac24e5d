//! Consoles come and go a hundred times: nothing of them stays in the engine.

use rustix::process::Signal;

use crate::fleet::{Fleet, read};
use crate::pty::{Place, Terminal, lives, send};
use crate::steady;

const CYCLES: usize = 100;
/// An allocator gives back late: some hundred kB are usual. A hundred readers that stayed would be more, and a descriptor each.
const SLACK_KB: u64 = 6 * 1024;

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn resident_kb(pid: i32) -> u64 {
    let status = read(format!("/proc/{pid}/status").as_ref());
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// One comes, sees, and goes: by its key, or killed where it stands.
fn cycle(fleet: &Fleet, number: usize) {
    let mut terminal = Terminal::start(fleet, &["attach"], Place::Leader);
    terminal.shows(fleet, "2/6 updated");
    let pid = terminal.pid();
    if number.is_multiple_of(2) {
        terminal.press("qd");
        assert_eq!(terminal.ended(fleet), 0);
    } else {
        send(pid, Signal::KILL);
        terminal.ended(fleet);
    }
    assert!(!lives(pid));
}

#[test]
fn a_hundred_consoles_leave_nothing_in_the_engine() {
    let fleet = steady(&["strategy.batch_pause=9m"]);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    fleet.until("the first batch is through", |s| s["updated"].as_u64() == Some(2));
    let engine = fleet.engine_pid().unwrap();
    // What is made once is made now.
    for number in 0..10 {
        cycle(&fleet, number);
    }
    let (open, kb, running) = (descriptors(engine), resident_kb(engine), threads(engine));
    for number in 0..CYCLES {
        cycle(&fleet, number);
    }
    let are_gone = || (descriptors(engine) <= open && threads(engine) <= running).then_some(());
    fleet.wait("the engine lets go of the last one", are_gone);
    let now = resident_kb(engine);
    assert!(now <= kb + SLACK_KB, "{kb} kB before {CYCLES} consoles, {now} kB after");
    assert_eq!(fleet.engine_pid(), Some(engine));
}
