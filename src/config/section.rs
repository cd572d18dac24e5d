//! Reads the keys of one table: typed, with places, every fault recorded and a default in its stead.
//!
//! Imports: config's document, faults, values; model, os' text. May not: know a key.

use super::document::{Entry, Node, Table, Value};
use super::fault::{Faults, Place};
use super::secret::Text;
use super::shape::Kind;
use super::value::{self, shown};
use crate::model::text::is_harmless;
use crate::model::{Count, Span};
use crate::os::text::nearest;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    /// Where it was written, else where its table begins.
    pub(super) place: Place,
    /// It was written and not merely a default.
    pub(super) given: bool,
    /// It is what was written, or a default: not the stand-in for a faulty value.
    pub(super) sound: bool,
}

/// A table while its keys are taken out of it.
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    present: bool,
    /// Something else was written in its stead, which has been said; what it lacks is no news.
    excused: bool,
    table: Table,
    /// The keys that were there and have been taken.
    taken: Vec<String>,
    faults: &'a Faults,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn root(table: Table, faults: &'a Faults) -> Self {
        Self { path: String::new(), place: Place::Nowhere, present: true, excused: false, table, taken: Vec::new(), faults }
    }

    /// The table under `key`, empty if there is none.
    pub(super) fn table(&mut self, key: &str) -> Section<'a> {
        let path = self.path_of(key);
        self.note(key, &|| Kind::Table);
        let empty = |place, excused| Section {
            path: path.clone(),
            place,
            present: false,
            excused,
            table: Table::default(),
            taken: Vec::new(),
            faults: self.faults,
        };
        match self.take(key) {
            None => empty(self.place, false),
            Some(Entry { key: place, node: Node { value: Value::Table(table), .. } }) => {
                Section { path, place, present: true, excused: false, table, taken: Vec::new(), faults: self.faults }
            }
            Some(entry) => {
                self.faults.add(entry.key, &path, format!("is {}; write it as a table: [{path}]", entry.node.value.kind()));
                empty(entry.key, true)
            }
        }
    }

    /// A table that stands in a list.
    pub(super) fn item(&self, key: &str, node: Node) -> Option<Section<'a>> {
        let path = self.path_of(key);
        self.note(key, &|| Kind::Tables);
        let Value::Table(table) = node.value else {
            self.faults.add(node.place, &path, format!("is {}; write it as a table: [[{path}]]", node.value.kind()));
            return None;
        };
        Some(Section { path, place: node.place, present: true, excused: false, table, taken: Vec::new(), faults: self.faults })
    }

    /// Whether the table was written at all.
    pub(super) fn present(&self) -> bool {
        self.present
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Everything that is left, for tables with free keys.
    pub(super) fn rest(&mut self) -> Vec<(String, Entry)> {
        self.faults.tell(|shape| shape.note_free(&self.path));
        self.left()
    }

    /// The tables that are left, for a table that has keys of its own and others whose names are free.
    pub(super) fn tables(&mut self) -> Vec<(String, Place, Section<'a>)> {
        self.faults.tell(|shape| shape.note_free(&self.path));
        let is_table = |entry: &Entry| matches!(entry.node.value, Value::Table(_));
        let names = self.table.entries.iter().filter(|(_, entry)| is_table(entry)).map(|(name, _)| name.clone());
        let names: Vec<String> = names.collect();
        let mut found = Vec::new();
        for name in names {
            let Some(entry) = self.table.entries.shift_remove(&name) else { continue };
            let place = entry.key;
            found.extend(self.item(&name, entry.node).map(|section| (name, place, section)));
        }
        found
    }

    fn left(&mut self) -> Vec<(String, Entry)> {
        std::mem::take(&mut self.table.entries).into_iter().collect()
    }

    /// Records a fault of a key of another table, by its whole path.
    pub(super) fn elsewhere(&self, place: Place, path: &str, remedy: &str) {
        self.faults.add(place, path, remedy);
    }

    /// Records a fault of `key`.
    pub(super) fn fault(&self, place: Place, key: &str, remedy: impl Into<String>) {
        self.faults.add(place, &self.path_of(key), remedy);
    }

    /// Records every key that nobody took.
    pub(super) fn finish(mut self) {
        for (key, entry) in self.left() {
            self.faults.unknown(&self.path, &key, entry.key);
        }
    }

    /// Records a fault that another place has to do with.
    pub(super) fn fault_with(&self, place: Place, other: Place, key: &str, remedy: impl Into<String>) {
        self.faults.add_second(place, other, &self.path_of(key), remedy);
    }

    /// Records a doubt about the table as a whole.
    pub(super) fn warn(&self, text: impl Into<String>) {
        self.faults.warn(self.place, &self.path, text);
    }

    /// Records a doubt about `key`.
    pub(super) fn warn_at(&self, place: Place, key: &str, text: impl Into<String>) {
        self.faults.warn(place, &self.path_of(key), text);
    }

    /// Takes the value of `key`.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        self.faults.know(&self.path, key);
        self.note(key, &|| Kind::Own);
        let entry = self.table.entries.shift_remove(key)?;
        self.taken.push(key.to_owned());
        Some(entry)
    }

    /// Whether `key`, which has been taken, was there.
    pub(super) fn had(&self, key: &str) -> bool {
        self.taken.iter().any(|taken| taken == key)
    }

    /// Records a fault if `key`, which has been taken, was not there.
    pub(super) fn require(&self, key: &str, remedy: &str) {
        self.faults.tell(|shape| shape.note_required(&self.path, key));
        if !self.had(key) && !self.excused {
            self.fault(self.place, key, remedy);
        }
    }

    /// Whether a table stands behind `key`, which has not been taken.
    pub(super) fn is_table(&self, key: &str) -> bool {
        self.note(key, &|| Kind::Table);
        self.table.entries.get(key).is_some_and(|entry| matches!(entry.node.value, Value::Table(_)))
    }

    /// Whether `key` was there, taken or not.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.table.entries.contains_key(key) || self.had(key)
    }

    /// Whether there are keys that nobody took yet.
    pub(super) fn has_more(&self) -> bool {
        !self.table.entries.is_empty()
    }

    /// A key that another choice in the file would allow: refused if it is there, and not known otherwise.
    pub(super) fn misplaced(&mut self, key: &str, remedy: &str) {
        if let Some(entry) = self.table.entries.shift_remove(key) {
            self.fault(entry.key, key, remedy);
        }
    }

    /// A key of the contract that this version does not have: known, and refused if it is there.
    pub(super) fn later(&mut self, key: &str, instead: &str) {
        self.note(key, &|| Kind::Later);
        if let Some(entry) = self.take(key) {
            self.fault(entry.key, key, format!("is not in this version yet; {instead}"));
        }
    }

    /// Tells which kind of value `key` takes.
    fn note(&self, key: &str, kind: &dyn Fn() -> Kind) {
        self.faults.tell(|shape| shape.note(&self.path, key, kind()));
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key` by `read`, whose error says what to write instead.
    fn read<T>(&mut self, key: &str, default: T, read: impl FnOnce(Value) -> Result<T, String>) -> Placed<T> {
        let Some(Entry { node, .. }) = self.take(key) else {
            return Placed { value: default, place: self.place, given: false, sound: true };
        };
        let place = node.place;
        match read(node.value) {
            Ok(value) => Placed { value, place, given: true, sound: true },
            Err(remedy) => {
                self.fault(place, key, remedy);
                Placed { value: default, place, given: true, sound: false }
            }
        }
    }

    /// A text, with variables filled in; `None` if it is not there or not a text.
    pub(super) fn text(&mut self, key: &str) -> Option<Placed<Text>> {
        self.note(key, &|| Kind::Text);
        self.read(key, None, |value| text_of(value).map(Some)).transpose()
    }

    /// A text that is shown and journalled and so cannot come from the environment.
    pub(super) fn plain(&mut self, key: &str) -> Option<Placed<String>> {
        self.note(key, &|| Kind::Text);
        self.read(key, None, |value| plain_of(value).map(Some)).transpose()
    }

    /// A length of time.
    pub(super) fn span(&mut self, key: &str, default: Span) -> Placed<Span> {
        self.note(key, &|| Kind::Span { default: Some(default) });
        self.read(key, default, span_of)
    }

    /// A length of time that cannot be nothing; `None` if it is not there or none.
    pub(super) fn span_if_given(&mut self, key: &str) -> Option<Placed<Span>> {
        self.note(key, &|| Kind::Span { default: None });
        let placed = self.read(key, None, |value| match span_of(value)? {
            Span::ZERO => Err("must be more than no time; remove it to have no limit".to_owned()),
            span => Ok(Some(span)),
        });
        placed.transpose()
    }

    /// A length of time that cannot be nothing.
    pub(super) fn positive_span(&mut self, key: &str, default: Span) -> Placed<Span> {
        let mut placed = self.span(key, default);
        if placed.sound && placed.value.is_zero() {
            self.fault(placed.place, key, format!("must be more than no time; the default is \"{default}\""));
            placed.sound = false;
        }
        placed
    }

    /// A length of time that cannot be nothing, or this word, which is none; `None` if it is not there or neither.
    pub(super) fn span_or_word(&mut self, key: &str, word: &str) -> Option<Placed<Option<Span>>> {
        let read = |value: Value| match &value {
            Value::Text(text) if text.full == word => Ok(Some(None)),
            _ => match span_of(value).map_err(|remedy| format!("{remedy}, or \"{word}\""))? {
                Span::ZERO => Err(format!("must be more than no time; write a length of time like \"5m\", or \"{word}\"")),
                span => Ok(Some(Some(span))),
            },
        };
        self.read(key, None, read).transpose()
    }

    /// A whole number in `range`.
    pub(super) fn number(&mut self, key: &str, default: u32, range: (u32, u32)) -> Placed<u32> {
        self.note(key, &|| Kind::Number { default: Some(default), range });
        self.read(key, default, |value| number_of(&value, range))
    }

    /// A whole number in `range`; `None` if it is not there or not such a number.
    pub(super) fn number_if_given(&mut self, key: &str, range: (u32, u32)) -> Option<Placed<u32>> {
        self.note(key, &|| Kind::Number { default: None, range });
        self.read(key, None, |value| number_of(&value, range).map(Some)).transpose()
    }

    /// A number of instances.
    pub(super) fn count(&mut self, key: &str, default: Count) -> Placed<Count> {
        self.note(key, &|| Kind::Count { default });
        self.read(key, default, count_of)
    }

    /// A number of instances, or a list of them.
    pub(super) fn counts(&mut self, key: &str, default: Count) -> Placed<Vec<Count>> {
        self.note(key, &|| Kind::Counts { default });
        self.read(key, vec![default], |value| match value {
            Value::List(list) if list.is_empty() => Err("is empty; write at least one size, like 2 or \"10%\"".to_owned()),
            Value::List(list) => list.into_iter().map(|node| count_of(node.value)).collect(),
            one => count_of(one).map(|count| vec![count]),
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> Placed<bool> {
        self.note(key, &|| Kind::Flag { default });
        self.read(key, default, |value| match value {
            Value::Flag(flag) => Ok(flag),
            other => Err(format!("is {}; write true or false", other.kind())),
        })
    }

    /// One of several words. Those in `later` belong to the contract, but this version refuses them with the sentence given.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, words: &[(&str, T)], later: &[(&str, &str)]) -> Option<Placed<T>> {
        self.note(key, &|| Kind::Choice(words.iter().map(|(word, _)| (*word).to_owned()).collect()));
        let read = |value: Value| {
            let Value::Text(text) = value else {
                return Err(format!("is {}; write {}", value.kind(), one_of(words)));
            };
            if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.full) {
                return Ok(Some(*value));
            }
            if let Some((word, instead)) = later.iter().find(|(word, _)| *word == text.full) {
                return Err(format!("\"{word}\" is not in this version yet; {instead}"));
            }
            let near = nearest(&text.raw, words.iter().map(|(word, _)| *word));
            let near = near.map_or_else(String::new, |near| format!("; the nearest is \"{near}\""));
            Err(format!("{} is unknown{near}; write {}", shown(&text.raw), one_of(words)))
        };
        self.read(key, None, read).transpose()
    }

    /// The items of a list; a single value counts as a list of one.
    pub(super) fn list(&mut self, key: &str) -> Option<Placed<Vec<Node>>> {
        self.note(key, &|| Kind::List);
        let read = |value, place| match value {
            Value::List(list) => list,
            one => vec![Node { place, value: one }],
        };
        let Entry { node, .. } = self.take(key)?;
        Some(Placed { value: read(node.value, node.place), place: node.place, given: true, sound: true })
    }

    /// The texts of a list, variables filled in. A fault at the item that is none.
    pub(super) fn texts(&mut self, key: &str) -> Option<Placed<Vec<(Place, Text)>>> {
        self.note(key, &|| Kind::Texts);
        let list = self.list(key)?;
        let mut sound = true;
        let mut texts = Vec::with_capacity(list.value.len());
        for node in list.value {
            match text_of(node.value) {
                Ok(text) => texts.push((node.place, text)),
                Err(remedy) => {
                    sound = false;
                    self.fault(node.place, key, remedy);
                }
            }
        }
        Some(Placed { value: texts, place: list.place, given: true, sound })
    }
}

impl<T> Placed<Option<T>> {
    /// Turns a place without a value into none.
    fn transpose(self) -> Option<Placed<T>> {
        let Self { value, place, given, sound } = self;
        value.map(|value| Placed { value, place, given, sound })
    }
}

/// The text of a value.
pub(super) fn text_of(value: Value) -> Result<Text, String> {
    match value {
        Value::Text(text) if text.full.contains('\0') => Err("has a NUL character; no program takes that".to_owned()),
        Value::Text(text) => Ok(text),
        Value::Integer(n) => Err(format!("is a number; write a text: \"{n}\"")),
        other => Err(format!("is {}; write a text in quotes", other.kind())),
    }
}

/// The text of a value that is shown and journalled.
pub(super) fn plain_of(value: Value) -> Result<String, String> {
    let text = text_of(value)?;
    if text.has_variables() {
        return Err("is shown and journalled, so it cannot come from the environment; write it out".to_owned());
    }
    if text.full.is_empty() {
        return Err("is empty; write a text or remove the key".to_owned());
    }
    if !is_harmless(&text.full) {
        return Err(format!("{} has a character that steers a terminal or is not seen; write it without", shown(&text.raw)));
    }
    Ok(text.full)
}

fn span_of(value: Value) -> Result<Span, String> {
    match value {
        Value::Text(text) => value::span(&text.full).map_err(|remedy| format!("{} {remedy}", shown(&text.raw))),
        Value::Integer(n) if n < 0 => Err(format!("must not be negative; write \"{}s\"", n.unsigned_abs())),
        Value::Integer(n) => Err(format!("has no unit; write \"{n}s\" for seconds or \"{n}ms\" for milliseconds")),
        other @ (Value::Fraction(_) | Value::Other(_) | Value::Flag(_) | Value::List(_) | Value::Table(_)) => {
            Err(format!("is {}; write a length of time like \"500ms\", \"5s\", \"1m30s\"", other.kind()))
        }
    }
}

fn number_of(value: &Value, (least, most): (u32, u32)) -> Result<u32, String> {
    let form = format!("write a number from {least} to {most}");
    let Value::Integer(n) = value else { return Err(format!("is {}; {form}", value.kind())) };
    u32::try_from(*n).ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("is {n}; {form}"))
}

fn count_of(value: Value) -> Result<Count, String> {
    const FORM: &str = "write a count like 2 or a share like \"10%\" (0% to 100%)";
    match value {
        Value::Integer(n) => u32::try_from(n).map(Count::Absolute).map_err(|_out_of_range| format!("is {n}; {FORM}")),
        Value::Text(text) => text.full.parse().map_err(|_not_a_count| format!("{} is no count; {FORM}", shown(&text.raw))),
        other => Err(format!("is {}; {FORM}", other.kind())),
    }
}

/// `"a"`, or `one of "a", "b", "c"`.
fn one_of<T>(words: &[(&str, T)]) -> String {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    if quoted.len() == 1 { quoted.concat() } else { format!("one of {}", quoted.join(", ")) }
}
