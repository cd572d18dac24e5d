//! Faults of a configuration: where, what to do about it, and how that is shown.
//!
//! Imports: config's source, os' text. May not: print a value that came from the environment.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::excerpt::excerpt;
use super::shape::Shape;
use super::source::Source;
use crate::os::text::nearest;

/// More faults than these are only counted: nobody reads them, and a broken binary file has thousands.
const MOST: usize = 200;

/// Where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Nowhere: it is missing, or the file as a whole is meant.
    Nowhere,
    /// In the file, from byte to byte.
    File(usize, usize),
    /// In the `--set` with this number.
    Set(usize),
}

/// One fault or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where.
    pub(super) place: Place,
    /// The dotted key; empty if the file as a whole is meant.
    pub(super) key: String,
    /// What is wrong and what to do.
    pub(super) remedy: String,
    /// The other place that has to do with it.
    pub(super) other: Option<Place>,
}

/// A key that nobody asked for.
struct Unknown {
    section: String,
    key: String,
    place: Place,
}

/// Collects faults while a configuration is read.
#[derive(Default)]
pub(super) struct Faults {
    list: RefCell<Vec<Fault>>,
    uncounted: RefCell<usize>,
    warnings: RefCell<Vec<Fault>>,
    known: RefCell<BTreeMap<String, BTreeSet<String>>>,
    unknown: RefCell<Vec<Unknown>>,
    /// What the readers take, while a schema is made; otherwise nobody listens.
    shape: Option<Shape>,
}

impl Faults {
    /// Records a fault.
    pub(super) fn add(&self, place: Place, key: &str, remedy: impl Into<String>) {
        self.push(Fault { place, key: key.to_owned(), remedy: remedy.into(), other: None });
    }

    /// Records a fault that a second place has to do with.
    pub(super) fn add_second(&self, place: Place, other: Place, key: &str, remedy: impl Into<String>) {
        self.push(Fault { place, key: key.to_owned(), remedy: remedy.into(), other: Some(other) });
    }

    /// Records something legal that is probably not meant.
    pub(super) fn warn(&self, place: Place, key: &str, remedy: impl Into<String>) {
        self.warnings.borrow_mut().push(Fault { place, key: key.to_owned(), remedy: remedy.into(), other: None });
    }

    fn push(&self, fault: Fault) {
        let mut list = self.list.borrow_mut();
        if list.len() < MOST {
            list.push(fault);
        } else {
            *self.uncounted.borrow_mut() += 1;
        }
    }

    /// Notes that `key` may stand in `section`.
    pub(super) fn know(&self, section: &str, key: &str) {
        let mut known = self.known.borrow_mut();
        if !known.get(section).is_some_and(|keys| keys.contains(key)) {
            known.entry(section.to_owned()).or_default().insert(key.to_owned());
        }
    }

    /// Notes a key that nobody asked for. What to say of it is decided at the end, when all known keys are known.
    pub(super) fn unknown(&self, section: &str, key: &str, place: Place) {
        let mut unknown = self.unknown.borrow_mut();
        if unknown.len() < MOST {
            unknown.push(Unknown { section: section.to_owned(), key: key.to_owned(), place });
        } else {
            *self.uncounted.borrow_mut() += 1;
        }
    }

    /// Listens to what the readers tell of the keys that they take.
    pub(super) fn listening() -> Self {
        Self { shape: Some(Shape::default()), ..Self::default() }
    }

    /// Tells what a reader takes.
    pub(super) fn tell(&self, told: impl FnOnce(&Shape)) {
        if let Some(shape) = &self.shape {
            told(shape);
        }
    }

    /// What the readers told of the keys that they take.
    pub(super) fn into_shape(self) -> Shape {
        self.shape.unwrap_or_default()
    }

    /// Everything found, in the order of the file: warnings if there is no fault.
    pub(super) fn finish(self, source: Source) -> Result<(Source, Vec<String>), ConfigErrors> {
        for unknown in self.unknown.take() {
            let remedy = advice(&self.known.borrow(), &unknown);
            let dot = if unknown.section.is_empty() { "" } else { "." };
            let key = format!("{}{dot}{}", unknown.section, shown_key(&unknown.key));
            self.push(Fault { place: unknown.place, key, remedy, other: None });
        }
        let (mut faults, mut warnings) = (self.list.take(), self.warnings.take());
        if faults.is_empty() {
            warnings.sort_by_key(|warning| warning.place);
            let warnings = warnings.iter().map(|warning| line_of(warning, &source)).collect();
            return Ok((source, warnings));
        }
        faults.sort_by_key(|fault| fault.place);
        faults.dedup();
        Err(ConfigErrors { source: Box::new(source), faults, uncounted: self.uncounted.take() })
    }
}

/// What to do about a key that is not known where it stands.
fn advice(known: &BTreeMap<String, BTreeSet<String>>, unknown: &Unknown) -> String {
    let none = BTreeSet::new();
    let here = known.get(&unknown.section).unwrap_or(&none);
    let what = if unknown.section.is_empty() { "unknown table" } else { "unknown key" };
    if let Some(near) = nearest(&unknown.key, here.iter().map(String::as_str)) {
        return format!("{what}; the nearest known is {near}");
    }
    let home = known.iter().find(|(section, keys)| !section.is_empty() && keys.contains(&unknown.key));
    if let Some((section, _keys)) = home {
        return format!("{what}; {} belongs in [{section}]", shown_key(&unknown.key));
    }
    if here.is_empty() {
        return format!("{what}; remove it");
    }
    let all: Vec<&str> = here.iter().map(String::as_str).collect();
    format!("{what}; known here: {}", all.join(", "))
}

/// A key as given by somebody, short and harmless.
pub(super) fn shown_key(key: &str) -> String {
    let harmless = !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic() && c != '"');
    if harmless && key.len() <= 60 { key.to_owned() } else { super::value::shown(key) }
}

/// `file:line:column key → remedy`.
fn line_of(fault: &Fault, source: &Source) -> String {
    let Fault { place, key, remedy, other } = fault;
    let mut line = match place {
        Place::Set(number) => {
            let set = source.set_key(*number);
            if *key == set || key.is_empty() { format!("--set {set}") } else { format!("--set {set}: {key}") }
        }
        Place::Nowhere | Place::File(..) if key.is_empty() => source.place(*place),
        Place::Nowhere | Place::File(..) => format!("{} {key}", source.place(*place)),
    };
    line.push_str(" → ");
    line.push_str(remedy);
    if let Some(other) = other {
        line.push_str(" (see ");
        line.push_str(&source.place(*other));
        line.push(')');
    }
    line
}

/// All faults of a configuration, in the order of the file. Nothing of it has been used.
///
/// `Display` shows each fault with its line of the file and a caret; `short_lines` has one line for each.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    source: Box<Source>,
    faults: Vec<Fault>,
    uncounted: usize,
}

impl ConfigErrors {
    /// A fault of the file as a whole, before anything of it was read.
    pub(super) fn of_file(name: &str, remedy: String) -> Self {
        let fault = Fault { place: Place::Nowhere, key: String::new(), remedy, other: None };
        Self { source: Box::new(Source::new(name, String::new(), &[])), faults: vec![fault], uncounted: 0 }
    }

    /// A fault at one byte of a file that is not text.
    pub(super) fn at_byte(name: &str, readable: String, remedy: String) -> Self {
        let end = readable.len();
        let fault = Fault { place: Place::File(end, end), key: String::new(), remedy, other: None };
        Self { source: Box::new(Source::new(name, readable, &[])), faults: vec![fault], uncounted: 0 }
    }

    /// One line for each fault: `file:line:column key → remedy`.
    pub fn short_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.faults.iter().map(|fault| line_of(fault, &self.source)).collect();
        if self.uncounted > 0 {
            lines.push(format!("{} → {} more faults are not listed", self.source.name(), self.uncounted));
        }
        lines
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len() + self.uncounted;
        let plural = if count == 1 { "fault" } else { "faults" };
        write!(f, "{}: {count} {plural}; nothing was touched", self.source.name())?;
        for fault in &self.faults {
            write!(f, "\n\n{}", line_of(fault, &self.source))?;
            if let Some(excerpt) = excerpt(&self.source, fault.place) {
                write!(f, "\n{excerpt}")?;
            }
        }
        if self.uncounted > 0 {
            write!(f, "\n\n{} more faults are not listed", self.uncounted)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.short_lines()).finish()
    }
}

impl std::error::Error for ConfigErrors {}
