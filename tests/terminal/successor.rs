//! The engine goes away under a console: it says so and what to do, costs nothing meanwhile, and goes on with whichever engine
//! takes the deployment over, whenever that is.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::pty::{Place, Terminal, send, used};
use crate::steady;

const GONE: &str = "the engine is gone; `rollout recover` takes over, and this screen goes on";

fn begun(sets: &[&str]) -> (Fleet, Terminal) {
    let fleet = steady(sets);
    assert_eq!(fleet.run(&["deploy", "v2", "--yes", "--detach"]).code, Some(0));
    let terminal = Terminal::start(&fleet, &["attach"], Place::Leader);
    terminal.shows(&fleet, "2/6 updated");
    (fleet, terminal)
}

fn kill_the_engine(fleet: &Fleet) {
    send(fleet.engine_pid().unwrap(), Signal::KILL);
    fleet.wait("it is gone", || fleet.engine_pid().is_none().then_some(()));
}

#[test]
fn a_console_goes_on_with_the_engine_that_takes_over_at_any_time_later() {
    let (fleet, mut terminal) = begun(&["strategy.batch_pause=3s"]);
    // Twice: the second engine is no other than the first was.
    for round in 0..2 {
        kill_the_engine(&fleet);
        terminal.shows(&fleet, "[ENGINE GONE]");
        assert!(terminal.text().contains(GONE), "{}", terminal.text());
        terminal.press("p");
        terminal.shows(&fleet, "the engine is gone");
        let pid = terminal.pid();
        let (since, before) = (Instant::now(), used(pid).unwrap());
        // Well past the seconds in which a link that broke is tried again.
        std::thread::park_timeout(Duration::from_secs(6));
        let share = u128::from(used(pid).unwrap() - before) * 100 / since.elapsed().as_millis();
        assert!(share < 10, "round {round}: {share} % of a processor while nobody answers");
        assert!(terminal.text().contains("[ENGINE GONE]"));
        assert_eq!(fleet.run(&["recover", "--continue", "--detach"]).code, Some(0), "round {round}");
        let known = Instant::now();
        fleet.wait("it goes on", || (!terminal.text().contains("ENGINE GONE")).then_some(()));
        assert!(known.elapsed() < Duration::from_secs(5), "round {round}: {:?}", known.elapsed());
    }
    terminal.shows(&fleet, "[DONE]");
    terminal.shows(&fleet, "6/6 updated, 0 failed");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
}

/// An engine that is told to stop says so itself; its console waits for the next one in the same way.
#[test]
fn an_engine_that_leaves_is_told_from_the_end() {
    let (fleet, mut terminal) = begun(&["strategy.batch_pause=3s"]);
    send(fleet.engine_pid().unwrap(), Signal::TERM);
    terminal.shows(&fleet, "[ENGINE GONE]");
    terminal.shows(&fleet, GONE);
    assert_eq!(fleet.run(&["recover", "--rollback", "--detach"]).code, Some(0));
    terminal.shows(&fleet, "[ROLLED BACK]");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 3);
}

/// The console sleeps (a laptop's lid, `kill -STOP`) through all of it: no engine is left that could tell.
#[test]
fn an_end_that_nobody_saw_is_read_from_the_journal() {
    let (fleet, mut terminal) = begun(&["strategy.batch_pause=300ms"]);
    terminal.signal(Signal::STOP);
    kill_the_engine(&fleet);
    let recovered = fleet.run(&["recover", "--continue"]);
    assert_eq!(recovered.code, Some(0), "{recovered:?}");
    fleet.wait("the second engine is gone", || fleet.engine_pid().is_none().then_some(()));
    terminal.signal(Signal::CONT);
    terminal.shows(&fleet, "[DONE]");
    terminal.shows(&fleet, "6/6 updated, 0 failed");
    terminal.press("q");
    assert_eq!(terminal.ended(&fleet), 0);
}
