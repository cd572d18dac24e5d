//! Which programs run right now, kept in files, so that an engine that takes over can end what a dead one left running.
//!
//! Imports: os' process, file, sharing and text. May not: start a program, know what it is for.
//!
//! A file is there before its program is, and goes when that has ended; it carries the program's own mark, by which it is
//! found even if the engine died between starting it and writing down which process it is.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::process::ProcessId;
use super::sharing::{Kind, Sharing};
use super::{child, file, process, text};

/// The mark in a program's environment.
pub const MARK: &str = "ROLLOUT_COMMAND";

/// Where the engine of this process keeps the files; a process that is no engine keeps none.
static DIR: OnceLock<PathBuf> = OnceLock::new();

/// From now on, every program of this process has its file in `dir`.
///
/// # Errors
/// Fails if the directory cannot be made, or cannot be trusted.
pub fn keep_in(dir: &Path) -> io::Result<()> {
    file::create_dir(dir)?;
    Sharing::around(dir)?.check(dir, Kind::Dir, true).map_err(io::Error::other)?;
    // One engine a process.
    DIR.set(dir.to_owned()).ok();
    Ok(())
}

/// A program that runs, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its mark.
    pub mark: String,
    /// What it is, in a few words, without its arguments: they may hold what nobody should read.
    pub words: String,
    /// Which process, if the engine came so far.
    pub process: Option<ProcessId>,
}

/// The file of one program; it goes with this.
#[derive(Debug)]
pub(super) struct Entry {
    path: PathBuf,
    running: Running,
}

impl Entry {
    /// Before the program is started. `None` where no files are kept, or none can be written: then a program runs all the
    /// same, for a full disk must not keep an instance from going back.
    pub(super) fn begin(argv: &[String], instance: Option<&str>) -> Option<Self> {
        let dir = DIR.get()?;
        let program = argv.first().map_or("", String::as_str);
        let program = program.rsplit('/').next().unwrap_or(program);
        let words = [Some(program), instance].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let mark = Uuid::now_v7().to_string();
        let entry = Self {
            path: dir.join(format!("{mark}.json")),
            running: Running { mark, words: text::sanitise(&words), process: None },
        };
        entry.write().then_some(entry)
    }

    /// What the program carries in its environment.
    pub(super) fn mark(&self) -> (String, String) {
        (MARK.to_owned(), self.running.mark.clone())
    }

    /// It runs, as this process.
    pub(super) fn started(&mut self, process: Option<ProcessId>) {
        self.running.process = process;
        self.write();
    }

    /// Not synced: what a power failure loses, it also ends.
    fn write(&self) -> bool {
        let bytes = serde_json::to_vec(&self.running).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| file::open_empty(&self.path)?.write_all(&bytes));
        if let Err(e) = &written {
            tracing::warn!(target: "effect", "cannot write {}: {e}; the program would not be found after a crash", self.path.display());
        }
        written.is_ok()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// Programs that an engine left running in `dir`.
pub fn left(dir: &Path) -> Vec<Running> {
    files(dir).filter_map(|path| found(&path)).collect()
}

/// Ends what an engine left running in `dir`, group by group, and returns what it was.
///
/// # Errors
/// Fails with a sentence if one of them cannot be ended; then nothing else may begin.
pub async fn end_left(dir: &Path, grace: Duration) -> Result<Vec<Running>, String> {
    let mut ended = Vec::new();
    for path in files(dir).collect::<Vec<_>>() {
        if let Some(running) = found(&path) {
            if let Some(process) = &running.process {
                child::end(process.pid, grace).await;
                if process::group_lives(process.pid) {
                    return Err(format!(
                        "{} (process {}), which the engine before left running, cannot be ended by this user; end it with: kill -KILL -- -{}",
                        running.words, process.pid, process.pid
                    ));
                }
            }
            ended.push(running);
        }
        std::fs::remove_file(&path).ok();
    }
    Ok(ended)
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"))
}

/// The program of a file, if it still runs.
fn found(path: &Path) -> Option<Running> {
    let mark = path.file_stem()?.to_str()?.to_owned();
    let stored = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Running>(&bytes).ok());
    let stored = stored.unwrap_or_else(|| Running { mark: mark.clone(), words: "a command".to_owned(), process: None });
    let process = match stored.process {
        Some(process) => {
            Some(process).filter(|p| process::alive(p) || process::group_is_marked(p.pid, &[format!("{MARK}={mark}")]))
        }
        None => process::marked_leader(&[format!("{MARK}={mark}")]),
    };
    process.map(|process| Running { process: Some(process), ..stored })
}
