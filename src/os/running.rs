//! Which programs that change something run right now, kept in files, so that an engine that takes over can end what a dead
//! one left running.
//!
//! Imports: os' process, file, sharing, users and text. May not: start a program, know what it is for.
//!
//! A file is there before its program is, and goes when that has ended; it carries the program's own mark, by which it is
//! found even if the engine died between starting it and writing down which process it is. So an empty file is worth having:
//! on a full disk there may be room for no more.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::process::ProcessId;
use super::sharing::{Kind, Sharing};
use super::{child, file, process, text, users};

/// The mark in a program's environment.
pub const MARK: &str = "ROLLOUT_COMMAND";

/// More than any file of ours has.
const FILE_MAX: u64 = 64 * 1024;

/// Where the engine of this process keeps the files; a process that is no engine keeps none.
static DIR: OnceLock<PathBuf> = OnceLock::new();
/// The last file could not be written: a full disk is told of once, not with every program.
static FAILING: AtomicBool = AtomicBool::new(false);

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
    /// What it started may stay when it has ended: a service.
    #[serde(default)]
    pub may_leave: bool,
}

/// The file of one program; it goes with this.
#[derive(Debug)]
pub(super) struct Entry {
    path: PathBuf,
    running: Running,
}

impl Entry {
    /// Before the program is started. `None` where no files are kept. Where none can be written, a program runs all the same,
    /// for a full disk must not keep an instance from going back.
    pub(super) fn begin(run: &child::Run<'_>) -> Option<Self> {
        let dir = DIR.get().filter(|_| run.changes)?;
        let program = run.argv.first().map_or("", String::as_str);
        let program = program.rsplit('/').next().unwrap_or(program);
        let words = text::sanitise(&format!("{program} {}", run.about));
        let mark = Uuid::now_v7().to_string();
        let entry = Self {
            path: dir.join(format!("{mark}.json")),
            running: Running { mark, words, process: None, may_leave: run.may_leave },
        };
        entry.write();
        Some(entry)
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
    fn write(&self) {
        let bytes = serde_json::to_vec(&self.running).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| file::open_empty(&self.path)?.write_all(&bytes));
        let failed_before = FAILING.swap(written.is_err(), Ordering::Relaxed);
        if let (Err(e), false) = (written, failed_before) {
            let what = "until that is mended, a program that runs may not be found after a crash";
            tracing::warn!(target: "effect", "cannot write {}: {e}; {what}", self.path.display());
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// Programs that an engine left running in `dir`.
pub fn left(dir: &Path) -> Vec<Running> {
    files(dir).filter_map(|path| found(&path).ok().flatten()).collect()
}

/// Ends what an engine left running in `dir`, all at once and group by group, and returns what it was.
///
/// # Errors
/// Fails with a sentence if one of them cannot be ended; then nothing else may begin.
pub async fn end_left(dir: &Path, grace: Duration) -> Result<Vec<Running>, String> {
    let files: Vec<PathBuf> = files(dir).collect();
    let ended = join_all(files.iter().map(|path| end(path, grace))).await;
    Ok(ended.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Ends the program of a file, if it still runs, and removes the file.
async fn end(path: &Path, grace: Duration) -> Result<Option<Running>, String> {
    let running = found(path)?;
    if let Some(Running { words, process: Some(ProcessId { pid, .. }), .. }) = &running {
        child::end(*pid, grace).await;
        if process::group_lives(*pid) {
            return Err(format!(
                "{words} (process {pid}), which the engine before left running, cannot be ended by this user; end it with: kill -KILL -- -{pid}"
            ));
        }
    }
    std::fs::remove_file(path).ok();
    Ok(running)
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"))
}

/// The program of a file, if it still runs.
///
/// # Errors
/// Fails with a sentence if this user cannot know.
fn found(path: &Path) -> Result<Option<Running>, String> {
    let Some(mark) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { return Ok(None) };
    let stored = file::read(path, FILE_MAX).ok().and_then(|bytes| serde_json::from_slice::<Running>(&bytes).ok());
    let unknown = Running { mark: mark.clone(), words: "a command".to_owned(), process: None, may_leave: false };
    let stored = stored.unwrap_or(unknown);
    let marks = [format!("{MARK}={mark}")];
    let process = match (stored.process, foreign(path)) {
        (Some(process), _) if process::alive(&process) => Some(process),
        // It has ended, and what it started is meant to stay.
        (Some(_), _) if stored.may_leave => None,
        // The marks of another user's processes cannot be read.
        (Some(process), Some(_)) => Some(process).filter(process::group_remains),
        (Some(process), None) => Some(process).filter(|process| process::group_is_marked(process.pid, &marks)),
        (None, Some(owner)) => {
            let (words, owner, path) = (&stored.words, users::user(owner), path.display());
            return Err(format!(
                "{words}, which an engine of {owner} was about to run when it ended, may still run, and only {owner} or root can tell; look whether it does, end it, then remove {path}"
            ));
        }
        (None, None) => process::marked_leader(&marks),
    };
    Ok(process.map(|process| Running { process: Some(process), ..stored }))
}

/// The owner of a file, if that is another user, of whose processes we see only that they are there.
fn foreign(path: &Path) -> Option<u32> {
    let us = rustix::process::geteuid();
    let owner = std::fs::symlink_metadata(path).ok()?.uid();
    (!us.is_root() && owner != us.as_raw()).then_some(owner)
}
