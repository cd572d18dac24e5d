//! The text of a configuration: read from a file, cut into lines, with the `--set` that go on top of it.
//!
//! Imports: config's faults, os. May not: understand the text; read a file that somebody else could have written.

use std::io::Read;
use std::path::Path;

use super::fault::{ConfigErrors, Place, shown_key};
use crate::os::trust::{self, Group};

/// The largest file that is read. 10,000 instances written out one by one fit.
const LARGEST: usize = 1024 * 1024;

/// What a configuration was read from. It holds no value of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    sets: Vec<String>,
    starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: &str, text: String, sets: &[String]) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.to_owned(), text, sets: sets.to_vec(), starts }
    }

    /// The file's name, as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file as read, without a byte order mark. This is what a deployment freezes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The `--set` that were applied to it, in their order.
    pub fn sets(&self) -> &[String] {
        &self.sets
    }

    /// The key of one `--set`, fit to be shown.
    pub(super) fn set_key(&self, number: usize) -> String {
        let set = self.sets.get(number).map_or("", String::as_str);
        shown_key(set.split_once('=').map_or(set, |(key, _)| key).trim())
    }

    /// The line of a byte, from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self.line_of(offset);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        (line, column)
    }

    /// A line by its number, without its end.
    pub(super) fn line(&self, number: usize) -> Option<&str> {
        let start = *self.starts.get(number.checked_sub(1)?)?;
        let end = self.starts.get(number).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end).map(|line| line.strip_suffix('\r').unwrap_or(line))
    }

    /// `file:line:column`, or `--set key`.
    pub(super) fn place(&self, place: Place) -> String {
        match place {
            Place::Nowhere => format!("{}:1:1", self.name),
            Place::File(start, _) => {
                let (line, column) = self.position(start);
                format!("{}:{line}:{column}", self.name)
            }
            Place::Set(number) => format!("--set {}", self.set_key(number)),
        }
    }
}

/// The text of the file, and the groups whose members could have written it. It names the commands that we run.
pub(super) fn read(path: &Path) -> Result<(String, Vec<Group>), ConfigErrors> {
    let name = path.display().to_string();
    let fault = |remedy: String| ConfigErrors::of_file(&name, remedy);
    let trust::Trusted { file, groups } = trust::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::Other => fault(error.to_string()),
        _ => fault(format!("cannot be opened: {error}")),
    })?;
    let mut bytes = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| fault(format!("cannot be read: {error}")))?;
    if bytes.len() > LARGEST {
        return Err(fault("is larger than 1 MiB: is it the right file?".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let upto = error.utf8_error().valid_up_to();
        let readable = String::from_utf8_lossy(error.as_bytes().get(..upto).unwrap_or_default()).into_owned();
        let byte = error.as_bytes().get(upto).copied().unwrap_or_default();
        ConfigErrors::at_byte(&name, readable, format!("byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"))
    })?;
    Ok((text, groups))
}

/// The text without a byte order mark.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
