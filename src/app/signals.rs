//! What signals mean to the engine and to a deploy command: a ladder that every signal climbs by one, whatever its kind.
//!
//! | signals so far | the engine | the deploy command without a terminal |
//! |---|---|---|
//! | first of INT, TERM, QUIT | stops at the next safe point | pauses the deployment, leaves when it rests |
//! | second | ends the commands that run, with their grace, and leaves | leaves at once |
//! | third | kills them and leaves at once | |
//! | HUP, at any time | nothing | leaves at once; the deployment goes on; nothing if it was started to ignore it (`nohup`) |
//!
//! Imports: os, runner's `Stop`. May not: know what a deployment is.

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::os::{child, process};
use crate::runner::Stop;

/// One that was caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Hangup,
    Interrupt,
    Quit,
    Terminate,
}

impl Signal {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// What the engine does at a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// It goes on.
    Stay,
    Stop(Stop),
    /// Nothing is waited for any more.
    Leave,
}

/// How far up the engine is.
#[derive(Debug, Default)]
struct Ladder {
    climbed: u8,
}

impl Ladder {
    fn climb(&mut self, signal: Signal) -> Rung {
        // The end of a terminal is never the engine's: it has none.
        if signal == Signal::Hangup {
            return Rung::Stay;
        }
        self.climbed = self.climbed.saturating_add(1);
        match self.climbed {
            1 => Rung::Stop(Stop::AtSafePoint(signal.name())),
            2 => Rung::Stop(Stop::Now(signal.name())),
            _ => Rung::Leave,
        }
    }
}

/// Signals to this process. From the first value on they end it no longer by themselves.
pub(super) struct Signals {
    hangup: Option<Stream>,
    interrupt: Stream,
    quit: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Self::heeding(true)
    }

    /// For a command: a hang-up that it was started to ignore stays ignored.
    pub(super) fn of_a_command() -> std::io::Result<Self> {
        Self::heeding(!process::ignores_hangups())
    }

    fn heeding(hangups: bool) -> std::io::Result<Self> {
        Ok(Self {
            hangup: hangups.then(|| signal(SignalKind::hangup())).transpose()?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one. Cancelling the call loses none.
    pub(super) async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.quit.recv() => Signal::Quit,
            _ = hangup => Signal::Hangup,
        }
    }

    /// The next one that is not a hang-up.
    pub(super) async fn stop(&mut self) -> Signal {
        loop {
            match self.next().await {
                Signal::Hangup => {}
                other => return other,
            }
        }
    }

    /// Hands them to the engine for as long as it runs. Cancels `leave` when nothing is to be waited for any more.
    pub(super) async fn pass_on(mut self, to: mpsc::Sender<Stop>, leave: CancellationToken) {
        let mut ladder = Ladder::default();
        loop {
            let signal = self.next().await;
            crate::os::failpoint::hit("task.signals", 0);
            match ladder.climb(signal) {
                Rung::Stay => tracing::info!(target: "engine", "{}: the engine has no terminal, it goes on", signal.name()),
                // The engine has ended already, or its queue is full of the same.
                Rung::Stop(stop) => drop(to.try_send(stop)),
                Rung::Leave => {
                    tracing::error!(target: "engine", "{}: killing the commands that run, leaving at once", signal.name());
                    child::kill_all();
                    leave.cancel();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Signal; 4] = [Signal::Hangup, Signal::Interrupt, Signal::Quit, Signal::Terminate];

    /// What three signals in a row lead to, as the second column of the table above has it.
    fn expected(signals: [Signal; 3]) -> [Rung; 3] {
        let mut counted = 0;
        signals.map(|signal| {
            counted += i32::from(signal != Signal::Hangup);
            match (signal, counted) {
                (Signal::Hangup, _) => Rung::Stay,
                (_, 1) => Rung::Stop(Stop::AtSafePoint(signal.name())),
                (_, 2) => Rung::Stop(Stop::Now(signal.name())),
                _ => Rung::Leave,
            }
        })
    }

    #[test]
    fn every_order_of_three_signals_climbs_the_ladder_and_a_hang_up_never_does() {
        for first in ALL {
            for second in ALL {
                for third in ALL {
                    let mut ladder = Ladder::default();
                    let signals = [first, second, third];
                    assert_eq!(signals.map(|signal| ladder.climb(signal)), expected(signals), "{signals:?}");
                }
            }
        }
        let mut ladder = Ladder::default();
        for _ in 0..1000 {
            assert_eq!(ladder.climb(Signal::Hangup), Rung::Stay);
        }
        let mut reached = [Signal::Quit; 300].map(|signal| ladder.climb(signal)).into_iter().skip(2);
        assert!(reached.all(|rung| rung == Rung::Leave), "it does not begin anew");
    }

    #[test]
    fn the_second_signal_counts_whatever_the_first_was() {
        for (first, second, rung) in [
            (Signal::Interrupt, Signal::Terminate, Rung::Stop(Stop::Now("SIGTERM"))),
            (Signal::Terminate, Signal::Interrupt, Rung::Stop(Stop::Now("SIGINT"))),
            (Signal::Quit, Signal::Hangup, Rung::Stay),
            (Signal::Hangup, Signal::Quit, Rung::Stop(Stop::AtSafePoint("SIGQUIT"))),
        ] {
            let mut ladder = Ladder::default();
            ladder.climb(first);
            assert_eq!(ladder.climb(second), rung, "{first:?} {second:?}");
        }
    }
}
