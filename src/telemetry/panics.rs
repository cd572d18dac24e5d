//! A panic anywhere in the engine ends its process whole: an engine that lost a part of itself would wait for ever, or
//! act without record. What it was goes to standard error and to the log file; the deployment is then interrupted, and
//! is taken over like one whose engine was killed.
//!
//! Imports: model, os' text. May not: take a lock, or rely on anything that the panic may have left half-way.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;

use crate::model::Timestamp;
use crate::os::text;

struct Place {
    log: PathBuf,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    clean: Box<dyn Fn(&str) -> String + Send + Sync>,
}

static PLACE: OnceLock<Place> = OnceLock::new();

/// From now on a panic in any thread or task ends this process, by SIGABRT, and with it nothing else.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        tell(info);
        std::process::abort();
    }));
}

/// Where a panic is told besides standard error, and what takes secrets out of it. Without it only its place is told.
pub fn panics_go_to(
    log: &Path,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
    clean: impl Fn(&str) -> String + Send + Sync + 'static,
) {
    // Once, by the one engine of this process.
    PLACE.set(Place { log: log.to_owned(), now: Box::new(now), clean: Box::new(clean) }).ok();
}

fn tell(info: &PanicHookInfo<'_>) {
    let at = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
    let mut text = format!("internal error at {at} in thread {thread}");
    let Some(place) = PLACE.get() else {
        // The configuration was not read yet, or is just being read: nobody knows what must not be shown.
        return write(format!("{text}\n").as_bytes(), rustix::stdio::stderr());
    };
    let said = text::sanitise(info.payload_as_str().unwrap_or("no words"));
    let follows = "the engine ends at once, its deployment is interrupted: rollout recover takes it over";
    // Writing to a string cannot fail.
    write!(text, ": {said}; {follows}").unwrap_or_default();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        write!(text, "\n{backtrace}").unwrap_or_default();
    }
    let line = format!("{} ERROR panic: {}\n", (place.now)(), (place.clean)(&text));
    write(line.as_bytes(), rustix::stdio::stderr());
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    if let Ok(log) = OpenOptions::new().append(true).custom_flags(flags).open(&place.log) {
        write(line.as_bytes(), &log);
    }
}

/// A disk that takes nothing does not keep the process alive.
fn write(mut bytes: &[u8], fd: impl AsFd) {
    while let Ok(written @ 1..) = rustix::io::write(&fd, bytes) {
        bytes = bytes.get(written..).unwrap_or_default();
    }
}
