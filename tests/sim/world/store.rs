//! The world's journal: what is durable, and under which epoch it may be written.

use std::hash::{DefaultHasher, Hash as _};

use rollout::event::Event;
use rollout::journal::{decode, encode};
use rollout::model::Seq;
use rollout::mutant::{self, Mutant};

use crate::checks::Violation;

/// An append of a controller that has been replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stale;

#[derive(Debug, Default)]
pub(crate) struct Store {
    lines: Vec<String>,
    /// What the lines say: decoded, not what was handed in.
    pub(crate) events: Vec<Event>,
    /// Of the newest controller.
    pub(crate) epoch: u64,
    /// What a stale controller wrote, if it could.
    pub(crate) forged: bool,
}

impl Store {
    /// The next controller begins: appends of all before it are refused from here on.
    pub(crate) fn take_over(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Stores a turn's events, all or none.
    pub(crate) fn append(&mut self, epoch: u64, events: &[Event], hash: &mut DefaultHasher) -> Result<(), Stale> {
        if epoch < self.epoch {
            if !mutant::is(Mutant::IgnoreEpoch) {
                return Err(Stale);
            }
            self.forged = true;
        }
        for event in events {
            let line = encode(event).expect("an event can be written");
            line.hash(hash);
            self.events.push(decode(&line).expect("what is stored reads back"));
            self.lines.push(line);
        }
        Ok(())
    }

    pub(crate) fn last(&self) -> Seq {
        self.events.last().map_or(Seq(0), |event| event.seq)
    }

    /// All that is stored, read anew.
    pub(crate) fn read(&self) -> Result<Vec<Event>, Violation> {
        let read = |line: &String| decode(line).map_err(|damaged| Violation::new("L5", damaged.to_string()));
        self.lines.iter().map(read).collect()
    }
}
