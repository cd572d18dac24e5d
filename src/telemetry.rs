//! Sets the engine's logging up: to a file, and to a ring for attached consoles. Front doors log nothing.
//!
//! Imports: os, model. May not: write to the terminal.

mod file;
mod lines;
mod panics;

use std::io;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::model::Timestamp;
use crate::os::logring::LogRing;
use file::LogFile;
use lines::Lines;
pub use panics::{end_on_panic, panics_go_to};

/// The environment variable that sets what is logged: a level, or directives such as `info,rollout::traffic=debug`.
pub const LOG_ENV: &str = "ROLLOUT_LOG";

/// What libraries may say unless [`LOG_ENV`] says otherwise: they log every connection at `info` or below.
const LIBRARIES: &str = "hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The file.
    #[error("log file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Twice in one process.
    #[error("logging is set up already: {0}")]
    Already(#[from] TryInitError),
}

/// Sets the engine's logging up: a private file that is appended to, and the ring that it gives back. `now` tells the
/// wall time; every message goes through `clean`, which takes secrets out.
///
/// # Errors
/// Fails if the file cannot be written, or if logging was set up before.
pub fn init_engine(
    log_file: &Path,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
    clean: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Result<LogRing, TelemetryError> {
    let ring = LogRing::new();
    init(Lines::new(Box::new(now), ring.clone(), Some(open(log_file)?)).cleaned_by(Box::new(clean)))?;
    Ok(ring)
}

fn open(path: &Path) -> Result<LogFile, TelemetryError> {
    LogFile::open(path, file::SIZE_MAX).map_err(|source| TelemetryError::File { path: path.display().to_string(), source })
}

fn init(lines: Lines) -> Result<(), TelemetryError> {
    let (filter, complaint) = filter(std::env::var(LOG_ENV).ok().as_deref());
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    Ok(())
}

/// What passes, and what was wrong with the wish.
fn filter(wish: Option<&str>) -> (EnvFilter, Option<String>) {
    let build = |wish: &str| EnvFilter::builder().parse(format!("{LIBRARIES},{wish}"));
    match wish.filter(|wish| !wish.trim().is_empty()) {
        None => (build("info").unwrap_or_default(), None),
        Some(wish) => match build(wish) {
            Ok(filter) => (filter, None),
            Err(error) => {
                let complaint = format!("{LOG_ENV}={wish:?} is not understood ({error}); info is used");
                (build("info").unwrap_or_default(), Some(complaint))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What `act` logs, as `level target: message` of the ring.
    fn logged(wish: Option<&str>, act: impl FnOnce()) -> Vec<String> {
        let ring = LogRing::new();
        let lines = Lines::new(Box::new(|| Timestamp::from_millis(1_790_000_000_123)), ring.clone(), None);
        let subscriber = tracing_subscriber::registry().with(filter(wish).0).with(lines);
        tracing::subscriber::with_default(subscriber, act);
        ring.after(0).iter().map(|l| format!("{} {}: {}", l.level, l.target, l.message)).collect()
    }

    fn chatter() {
        tracing::debug!(target: "rollout::x", "details");
        tracing::info!(target: "rollout::x", "news");
        tracing::info!(target: "hyper::proto", "chatter");
        tracing::warn!(target: "rustls::conn", "trouble");
    }

    #[test]
    fn libraries_are_quiet_and_the_wish_is_followed() {
        assert_eq!(logged(None, chatter), ["info rollout::x: news", "warn rustls::conn: trouble"]);
        assert_eq!(logged(Some("warn"), chatter), ["warn rustls::conn: trouble"]);
        assert_eq!(logged(Some("info,rollout::x=debug"), chatter).len(), 3);
        assert_eq!(logged(Some("hyper=info"), chatter), ["info hyper::proto: chatter", "warn rustls::conn: trouble"]);
        let (_, complaint) = filter(Some("rollout=loud=x"));
        assert!(complaint.unwrap().contains("ROLLOUT_LOG=\"rollout=loud=x\" is not understood"));
        assert_eq!(logged(Some("rollout=loud=x"), chatter).len(), 2);
    }

    #[test]
    fn lines_carry_their_fields_and_the_spans_around_them() {
        let lines = logged(None, || {
            let deployment = tracing::info_span!("deployment", id = "shop-1");
            let _in = deployment.enter();
            let instance = tracing::info_span!("instance", id = "web-07", step = tracing::field::Empty);
            instance.record("step", "drain");
            let _in = instance.enter();
            tracing::warn!(target: "engine", left = 3, why = %"slow\x1b[0m", "drain forced");
        });
        assert_eq!(
            lines,
            ["warn engine: deployment{id=shop-1}: instance{id=web-07 step=drain}: drain forced left=3 why=slow\\u{1b}[0m"]
        );
    }

    #[test]
    fn every_message_is_cleaned_with_its_fields() {
        let ring = LogRing::new();
        let lines = Lines::new(Box::new(Timestamp::default), ring.clone(), None);
        let lines = lines.cleaned_by(Box::new(|text| text.replace("s3cret", "${TOKEN}")));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _in = tracing::info_span!("step", id = "s3cret").entered();
            tracing::warn!(target: "effect", why = "s3cret", "said s3cret");
        });
        assert_eq!(ring.after(0)[0].message, "step{id=${TOKEN}}: said ${TOKEN} why=${TOKEN}");
    }

    #[test]
    fn the_file_is_private_appended_to_and_turned_once_it_is_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.log");
        for round in 0..2 {
            let lines = Lines::new(
                Box::new(|| Timestamp::from_millis(1_790_000_000_123)),
                LogRing::new(),
                Some(LogFile::open(&path, 1000).unwrap()),
            );
            tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
                tracing::info!(target: "engine", round, "two\nlines");
            });
        }
        let line = |round| format!("2026-09-21T14:13:20.123Z  INFO engine: two\\nlines round={round}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), line(0) + &line(1));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut file = LogFile::open(&path, 1000).unwrap();
        for n in 0..100 {
            file.line(&format!("{n:040}"));
        }
        let old = fs::read_to_string(dir.path().join("engine.log.1")).unwrap();
        let new = fs::read_to_string(&path).unwrap();
        assert!(old.len() <= 1000 && new.len() <= 1000 && new.ends_with("99\n"), "{} {}", old.len(), new.len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_in_place_of_the_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.log");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(LogFile::open(&path, 1000).is_err());
        assert!(!dir.path().join("elsewhere").exists());
    }
}
