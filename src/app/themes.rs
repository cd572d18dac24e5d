//! The user's own themes: where they lie, and what their files say.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use etcetera::BaseStrategy as _;

use crate::tui::{OwnThemes, ThemeFile};

/// More than any theme.
const LARGEST: u64 = 64 * 1024;
/// More than anybody has.
const MOST: usize = 200;

/// The folder of the user's own themes; there may be none.
pub(super) fn folder() -> Option<PathBuf> {
    Some(etcetera::base_strategy::Xdg::new().ok()?.config_dir().join("rollout").join("themes"))
}

/// What tells that a file has changed.
type Stamp = (PathBuf, Option<SystemTime>, u64, u64);

/// The user's own themes, to be looked at again.
pub(super) fn own() -> OwnThemes {
    let folder = folder();
    let seen: Mutex<Option<Vec<Stamp>>> = Mutex::new(None);
    OwnThemes::new(move |anew| {
        let stamps: Vec<Stamp> = folder.iter().flat_map(|folder| paths(folder)).map(stamp).collect();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !anew && seen.as_ref() == Some(&stamps) {
            return None;
        }
        let files = stamps.iter().map(|(path, ..)| read(path)).collect();
        *seen = Some(stamps);
        Some(files)
    })
}

/// Their files now.
pub(super) fn files() -> Vec<ThemeFile> {
    folder().iter().flat_map(|folder| paths(folder)).map(|path| read(&path)).collect()
}

/// Every file of the folder that is named as a theme is, in order.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort();
    paths.truncate(MOST);
    paths
}

fn stamp(path: PathBuf) -> Stamp {
    match fs::metadata(&path) {
        Ok(about) => (path, about.modified().ok(), about.len(), about.ino()),
        Err(_gone) => (path, None, 0, 0),
    }
}

/// The theme in this file.
pub(super) fn read(path: &Path) -> ThemeFile {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    ThemeFile { name, place: shown(path), text: text(path), own: true }
}

fn text(path: &Path) -> Result<String, String> {
    // A pipe or a device would keep whoever opens it waiting.
    let about = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("is no file".to_owned());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err("is larger than 64 KiB: is it a theme?".to_owned());
    }
    String::from_utf8(bytes).map_err(|_not_text| "is not UTF-8; save it as UTF-8".to_owned())
}

/// A path as people write it.
fn shown(path: &Path) -> String {
    let home = etcetera::home_dir().ok().filter(|home| home.parent().is_some());
    match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
