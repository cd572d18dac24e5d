//! Where the service runs: the configuration's part of it.

use std::fmt::Write as _;

use crate::instance;
use crate::site::Member;

/// A kind of fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Process,
}

/// What a fleet needs to exist: gone with the value.
pub(crate) struct Fleet {
    /// `[fleet]`'s driver and `[update]`.
    pub(crate) config: String,
}

/// Makes it ready; `None` if its server is missing, which has been said.
#[expect(clippy::unnecessary_wraps, reason = "other kinds need servers")]
pub(crate) fn prepare(kind: Kind) -> Option<Fleet> {
    match kind {
        Kind::Process => Some(Fleet { config: process() }),
    }
}

/// A text in the configuration's quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The command that serves.
fn command() -> String {
    let program = std::env::current_exe().unwrap();
    let what = format!("{}=127.0.0.1,{{{{ instance.port }}}},{{{{ instance.id }}}},{{{{ version }}}}", instance::VARIABLE);
    let mut all = vec!["env".to_owned(), what, program.display().to_string()];
    all.extend(instance::arguments().map(ToOwned::to_owned));
    all.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

fn process() -> String {
    format!("driver = \"process\"\n\n[update]\nstart = [{}]\nstop_timeout = \"5s\"\n", command())
}

/// `[[fleet.instance]]` and `[[fleet.spare]]`.
pub(crate) fn members(instances: &[Member], spares: &[Member]) -> String {
    let mut text = String::new();
    for (table, members) in [("instance", instances), ("spare", spares)] {
        for Member { id, port } in members {
            write!(text, "[[fleet.{table}]]\nid = \"{id}\"\nhost = \"127.0.0.1\"\nport = {port}\n\n").unwrap();
        }
    }
    text
}
