//! An engine of another version: the command goes on as the engine's own program, which speaks its protocol.
//!
//! Imports: control, os. May not: do that twice.

use std::ffi::OsString;
use std::path::Path;

use super::{Failure, complain};
use crate::control::{self, OtherEngine, wire};
use crate::os::{image, users};

/// Says that this process was executed in the place of another version.
pub(super) const ONCE: &str = "ROLLOUT_REEXEC";

/// What serves the socket could not be spoken to. If it is an engine of another version, becomes that version's program, with
/// the same arguments; fails if that cannot be. Returns if it is none.
pub(super) async fn go_on_as_its_own(socket: &Path) -> Result<(), Failure> {
    let Some(other) = control::other_engine(socket).await else { return Ok(()) };
    if std::env::var_os(ONCE).is_some_and(|value| value == "1") {
        return Err(Failure::refused(needed(&other, &format!("this program was executed for it already ({ONCE} is set)"))));
    }
    let image = image::of(&other.process, other.uid).map_err(|why| Failure::refused(needed(&other, &why)))?;
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| OsString::from("rollout"));
    complain(&format!("the engine is rollout {} (protocol {}): going on as its own program", other.program, other.protocol));
    let error = image.become_it(name, words, (ONCE, "1"));
    Err(Failure::refused(needed(&other, &format!("its program cannot be executed: {error}"))))
}

/// Which version it takes, and where that lies.
fn needed(other: &OtherEngine, why: &str) -> String {
    let OtherEngine { process, uid, program, protocol } = other;
    let place = image::path_of(process.pid).map_or_else(String::new, |path| format!(", it was started as {}", path.display()));
    format!(
        "the engine (pid {}, of {}) is rollout {program} and speaks protocol {protocol}, this rollout ({}) speaks {}; use the \
         engine's own program{place}; this command did not go on as that: {why}",
        process.pid,
        users::user(*uid),
        wire::PROGRAM,
        wire::protocol()
    )
}
