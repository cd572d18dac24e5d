//! The document as a tree of values, each with its place: the file, `--set` on top, `${VAR}` filled in.
//!
//! Imports: config's faults, source, secrets; os' text. May not: know a key; print a value that came from the environment.

use indexmap::IndexMap;
use toml::de::{DeTable, DeValue, Error};

use super::fault::{Faults, Place, shown_key};
use super::secret::{Secrets, Text};
use super::source::Source;
use super::value::shown;
use crate::os::text;

/// Deeper tables than these belong to no configuration and would cost stack.
const DEEPEST: usize = 16;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(Text),
    Integer(i64),
    /// A number with a fraction, or one that is too large to be without.
    Fraction(f64),
    /// An integer that is too large, a date: nothing that a key takes.
    Other(&'static str),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
}

/// A table: keys with their places, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) entries: IndexMap<String, Entry>,
}

/// What stands behind a key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) node: Node,
}

impl Value {
    /// What it is, with an article, to follow "is".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Fraction(_) => "a fraction",
            Self::Other(kind) => kind,
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads the source; faults of syntax end it, for what follows from half a file would only mislead.
pub(super) fn document(source: &Source, secrets: &Secrets<'_>, faults: &Faults) -> Option<Table> {
    let (parsed, errors) = DeTable::parse_recoverable(source.text());
    let reader = Reader { faults, secrets, text: source.text(), set: None };
    for error in one_a_slip(&errors, source) {
        reader.syntax(error);
    }
    // A key given twice leaves the rest of the file as it was meant.
    let sound = errors.iter().all(|error| error.message().starts_with(DUPLICATE));
    let mut table = reader.table(parsed.into_inner(), "", 0);
    for (number, set) in source.sets().iter().enumerate() {
        let reader = Reader { faults, secrets, text: set, set: Some(number) };
        reader.override_with(&mut table, set);
    }
    sound.then_some(table)
}

const DUPLICATE: &str = "duplicate key";

/// What a parser says of every line after a list that is not closed.
const UNCLOSED: &str = "missing comma between array elements";

/// One slip makes a parser stumble several times, on the same line or after a list that is not closed; the first is the
/// one to read.
fn one_a_slip<'e>(errors: &'e [Error], source: &Source) -> Vec<&'e Error> {
    let mut lines = std::collections::BTreeSet::new();
    let start = |error: &Error| error.span().map_or(0, |span| span.start);
    let mut sorted: Vec<&Error> = errors.iter().collect();
    sorted.sort_by_key(|error| start(error));
    sorted.retain(|error| lines.insert(source.line_of(start(error))));
    let mut unclosed = false;
    sorted.retain(|error| !error.message().starts_with(UNCLOSED) || !std::mem::replace(&mut unclosed, true));
    sorted
}

struct Reader<'a> {
    faults: &'a Faults,
    secrets: &'a Secrets<'a>,
    /// What is read: the file, or the value of a `--set`.
    text: &'a str,
    /// The number of the `--set` that is read, if it is not the file.
    set: Option<usize>,
}

impl Reader<'_> {
    fn place(&self, span: std::ops::Range<usize>) -> Place {
        self.set.map_or(Place::File(span.start, span.end), Place::Set)
    }

    fn syntax(&self, error: &Error) {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        if message.starts_with(DUPLICATE) {
            let key = self.text.get(span.clone()).map(shown_key).unwrap_or_default();
            self.faults.add(self.place(span), &key, "is given twice; keep one of the two");
        } else {
            let hint = if message.starts_with(UNCLOSED) { "; is a \"]\" missing above?" } else { "" };
            let message = text::sanitise(message);
            self.faults.add(self.place(span), "", format!("is not valid TOML: {message}{hint}"));
        }
    }

    fn table(&self, table: DeTable<'_>, path: &str, depth: usize) -> Table {
        let mut entries = IndexMap::with_capacity(table.len());
        for (key, value) in table {
            let place = self.place(key.span());
            let key = key.into_inner().into_owned();
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let span = value.span();
            let value = self.value(value.into_inner(), place, &path, depth + 1);
            // A table is where its name is; any other value is where it was written.
            let node = if matches!(value, Value::Table(_)) { place } else { self.place(span) };
            entries.insert(key, Entry { key: place, node: Node { place: node, value } });
        }
        Table { entries }
    }

    fn value(&self, value: DeValue<'_>, place: Place, path: &str, depth: usize) -> Value {
        match value {
            DeValue::String(raw) => Value::Text(self.text(&raw, place, path)),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Other("too large"), Value::Integer)
            }
            DeValue::Float(float) => float.as_str().parse().map_or(Value::Other("a fraction"), Value::Fraction),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Array(_) | DeValue::Table(_) if depth > DEEPEST => {
                self.faults.add(place, "", format!("is nested more than {DEEPEST} deep; no key of this file needs that"));
                Value::Other("nested too deep")
            }
            DeValue::Array(list) => Value::List(
                list.into_iter()
                    .map(|item| {
                        let place = self.place(item.span());
                        Node { place, value: self.value(item.into_inner(), place, path, depth + 1) }
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table, path, depth)),
        }
    }

    fn text(&self, raw: &str, place: Place, path: &str) -> Text {
        let (text, troubles) = self.secrets.fill(raw);
        for trouble in troubles {
            self.faults.add(place, path, trouble);
        }
        text
    }

    /// Puts `key=value` into the document, in place of what stands there.
    fn override_with(&self, root: &mut Table, set: &str) {
        let place = self.place(0..0);
        let Some((key, value)) = set.split_once('=') else {
            return self.faults.add(place, "", "needs a value: --set key=value");
        };
        let parts: Vec<&str> = key.trim().split('.').collect();
        let bare = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if parts.len() > DEEPEST || !parts.iter().all(bare) {
            return self.faults.add(place, "", "is not a key; write it with dots, like drain.timeout");
        }
        let Some(value) = self.set_value(value.trim(), place, key.trim()) else { return };
        let Some((last, above)) = parts.split_last() else { return };
        let mut table = root;
        for part in above {
            let empty = || Entry { key: place, node: Node { place, value: Value::Table(Table::default()) } };
            let entry = table.entries.entry((*part).to_owned()).or_insert_with(empty);
            match &mut entry.node.value {
                Value::Table(inner) => table = inner,
                other => {
                    let kind = other.kind();
                    return self.faults.add(place, "", format!("cannot be set: {part} is {kind}, not a table"));
                }
            }
        }
        table.entries.insert((*last).to_owned(), Entry { key: place, node: Node { place, value } });
    }

    /// A value in TOML, or else the bare word itself.
    fn set_value(&self, written: &str, place: Place, path: &str) -> Option<Value> {
        let (parsed, errors) = DeValue::parse_recoverable(written);
        let Some(error) = errors.first() else {
            return Some(self.value(parsed.into_inner(), place, path, 0));
        };
        if written.starts_with(['[', '{', '"', '\'']) {
            self.syntax(error);
            return None;
        }
        if written.chars().any(char::is_control) {
            self.faults.add(place, "", format!("has a control character: {}", shown(written)));
            return None;
        }
        Some(Value::Text(self.text(written, place, path)))
    }
}
