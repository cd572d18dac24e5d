//! Faults of a theme's file: where, and what to do about each.
//!
//! Imports: os' text. May not: know a key.

use std::fmt;

use crate::os::text::sanitise;

/// More faults than these are only counted.
const MOST: usize = 50;

/// Why a theme cannot be used: every fault of its file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThemeError(Vec<String>);

impl ThemeError {
    /// A theme that cannot even be read.
    pub(super) fn one(fault: impl Into<String>) -> Self {
        Self(vec![fault.into()])
    }

    /// A line for each fault: `file:line:column key → remedy`.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// The first, and how many more there are: for a line on the screen.
    pub fn brief(&self) -> String {
        let first = self.0.first().map_or("", String::as_str);
        match self.0.len() {
            0 | 1 => first.to_owned(),
            n => format!("{first} (and {} more; `rollout theme check` lists them)", n - 1),
        }
    }
}

impl fmt::Display for ThemeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ThemeError {}

/// Collects faults while a file is read.
pub(super) struct Faults<'a> {
    place: &'a str,
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Faults<'a> {
    /// For the file of this name.
    pub(super) fn new(place: &'a str, text: &'a str) -> Self {
        Self { place, text, found: Vec::new() }
    }

    /// Notes a fault at a byte.
    pub(super) fn add(&mut self, at: usize, key: &str, remedy: impl fmt::Display) {
        let (line, column) = self.position(at);
        let place = sanitise(self.place);
        let key = if key.is_empty() { String::new() } else { format!(" {}", sanitise(key)) };
        self.found.push((at, format!("{place}:{line}:{column}{key} → {remedy}")));
    }

    /// Line and column, both from 1; the column counts characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..self.text.floor_char_boundary(at.min(self.text.len()))).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        (line, column)
    }

    /// Whatever it is, if there was no fault.
    pub(super) fn finish<T>(mut self, whole: T) -> Result<T, ThemeError> {
        if self.found.is_empty() {
            return Ok(whole);
        }
        self.found.sort();
        self.found.dedup();
        let more = self.found.len().saturating_sub(MOST);
        let mut lines: Vec<String> = self.found.into_iter().take(MOST).map(|(_, line)| line).collect();
        lines.extend((more > 0).then(|| format!("{}: {more} more faults are not listed", sanitise(self.place))));
        Err(ThemeError(lines))
    }
}
