//! The JSON Schema of `rollout.toml`, for editors: what the readers take, as they tell it themselves.
//!
//! Imports: config's readers. May not: know a key that no reader takes (a test compares `docs` with them).
//!
//! The readers are run over files that hold nothing but one choice each (a driver, a strategy), and note which keys they ask
//! for and what a value must be. Only the sentences of `docs` and the form of a few values are written by hand.

mod docs;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::fault::Faults;
use super::secret::Secrets;
use super::section::Section;
use super::shape::{Kind, Shape};
use super::source::Source;
use super::{Parts, document};

/// Stands for any name of a table whose name is free.
const ANY: &str = "NAME";
/// Every driver may open tables that hold choices of their own; deeper than this there are none.
const ROUNDS: usize = 4;

/// The schema of draft 2020-12.
pub fn schema() -> Value {
    let shape = learn();
    let mut root = table(&shape, "");
    if let Value::Object(root) = &mut root {
        root.insert("required".to_owned(), needed_at_all().into());
        root.shift_insert(0, "$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.shift_insert(1, "title".to_owned(), json!("rollout.toml"));
        root.shift_insert(2, "description".to_owned(), json!("The configuration of rollout: one service in one environment."));
    }
    root
}

/// Every key that a reader takes, dotted, without those of later versions.
pub fn keys() -> Vec<String> {
    let shape = learn();
    let name = |path: &str, key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    shape.paths().iter().flat_map(|path| shape.keys(path).into_iter().map(move |(key, _)| name(path, &key))).collect()
}

/// Keys that a reader takes and nothing is said of, and what is said of keys that no reader takes.
pub fn undescribed() -> Vec<String> {
    let keys = keys();
    let silent = keys.iter().filter(|key| sentence(key).is_none()).cloned();
    let stale = docs::DOCS.iter().map(|(pattern, _)| (*pattern).to_owned());
    let stale = stale.filter(|pattern| !keys.iter().any(|key| is(pattern, key)));
    silent.chain(stale).collect()
}

/// What all readers take, whatever is chosen.
fn learn() -> Shape {
    let shape = read(&[]);
    for _ in 0..ROUNDS {
        // Parents first, or what is set in them would be lost.
        let mut sets: Vec<String> = shape.paths().iter().flat_map(|path| tables_of(&shape, path)).collect();
        let choices: Vec<String> = shape.paths().iter().flat_map(|path| choices_of(&shape, path)).collect();
        let before = shape.paths().len();
        for choice in choices {
            // A key may be a table or something else: once without any, once with all.
            shape.merge(read(std::slice::from_ref(&choice)));
            sets.push(choice);
            shape.merge(read(&sets));
            sets.pop();
        }
        if shape.paths().len() == before {
            break;
        }
    }
    shape
}

/// What the readers take of a file that holds only `sets`.
fn read(sets: &[String]) -> Shape {
    let source = Source::new("rollout.toml", String::new(), sets);
    let faults = Faults::listening();
    let none = |_: &str| None;
    let secrets = Secrets::new(&none);
    if let Some(document) = document::document(&source, &secrets, &faults) {
        let mut root = Section::root(document, &faults);
        // Only what is asked for matters here, not what comes of it.
        drop(Parts::read(&mut root, Path::new("rollout.toml"), &secrets, &faults));
        root.finish();
    }
    faults.into_shape()
}

/// The tables that must be there in any file.
fn needed_at_all() -> Vec<String> {
    let shape = read(&[]);
    let root = shape.keys("");
    root.into_iter().map(|(key, _)| key).filter(|key| !shape.required(key).is_empty()).collect()
}

/// Opens every table of `path`, so that its reader looks into it.
fn tables_of(shape: &Shape, path: &str) -> Vec<String> {
    if path.contains(ANY) || shape.keys(path).is_empty() {
        return Vec::new();
    }
    let opened = shape.keys(path).into_iter().filter_map(|(key, kinds)| {
        let path = dotted(path, &key);
        if kinds.contains(&Kind::Table) {
            return Some(if shape.is_free(&path) { format!("{path}={{{ANY}={{}}}}") } else { format!("{path}={{}}") });
        }
        let lists = kinds.iter().any(|kind| matches!(kind, Kind::Tables | Kind::List));
        lists.then(|| format!("{path}=[{{}}]"))
    });
    opened.collect()
}

fn choices_of(shape: &Shape, path: &str) -> Vec<String> {
    let chosen = shape.keys(path).into_iter().flat_map(|(key, kinds)| {
        let words = kinds.into_iter().flat_map(|kind| if let Kind::Choice(words) = kind { words } else { Vec::new() });
        let path = dotted(path, &key);
        words.map(move |word| format!("{path}=\"{word}\"")).collect::<Vec<_>>()
    });
    chosen.collect()
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The schema of a table.
fn table(shape: &Shape, path: &str) -> Value {
    let mut properties = Map::new();
    let mut free = Value::Bool(false);
    for (key, kinds) in shape.keys(path) {
        let path = dotted(path, &key);
        let value = value(shape, &path, &kinds);
        if key == ANY {
            free = value;
        } else {
            properties.insert(key, described_as(&path, value));
        }
    }
    if shape.is_free(path) && free == Value::Bool(false) {
        free = json!({"type": "string"});
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("additionalProperties".to_owned(), free);
    let required = shape.required(path);
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.into()
}

/// The value with its sentence in front.
fn described_as(path: &str, value: Value) -> Value {
    match (value, sentence(path)) {
        (Value::Object(mut value), Some(sentence)) => {
            value.shift_insert(0, "description".to_owned(), json!(sentence));
            value.into()
        }
        (value, _) => value,
    }
}

/// What is said of a key; `*` in its place stands for any one part.
fn sentence(path: &str) -> Option<&'static str> {
    docs::DOCS.iter().find(|(pattern, _)| is(pattern, path)).map(|(_, sentence)| *sentence)
}

fn is(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), path.split('.').collect());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(pattern, part)| pattern == part || *pattern == "*")
}

fn value(shape: &Shape, path: &str, kinds: &[Kind]) -> Value {
    if let Some(form) = docs::form(path) {
        return form;
    }
    let mut values: Vec<Value> =
        kinds.iter().filter(|kind| **kind != Kind::Later).map(|kind| value_of(shape, path, kind)).collect();
    match values.len() {
        0 | 1 => values.pop().unwrap_or_else(|| json!({})),
        _ => json!({"anyOf": values}),
    }
}

fn value_of(shape: &Shape, path: &str, kind: &Kind) -> Value {
    match kind {
        Kind::Own | Kind::Later => json!({}),
        Kind::Text => json!({"type": "string"}),
        Kind::Span { default: Some(default) } => json!({"type": "string", "pattern": SPAN, "default": default.to_string()}),
        Kind::Span { default: None } => json!({"type": "string", "pattern": SPAN}),
        Kind::Number { default, range: (least, most) } => {
            let mut number = json!({"type": "integer", "minimum": least, "maximum": most});
            if let (Some(default), Some(number)) = (default, number.as_object_mut()) {
                number.insert("default".to_owned(), json!(default));
            }
            number
        }
        Kind::Count { default } => with_default(count(), *default),
        Kind::Counts { default } => {
            let list = json!({"type": "array", "minItems": 1, "items": count()});
            with_default(json!({"anyOf": [count(), list]}), *default)
        }
        Kind::Flag { default } => json!({"type": "boolean", "default": default}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Texts => json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
        Kind::List => json!({"type": ["array", "string", "integer"]}),
        Kind::Table => table(shape, path),
        // A table whose own name is free is not in a list.
        Kind::Tables if path.ends_with(ANY) => table(shape, path),
        Kind::Tables => json!({"type": "array", "items": table(shape, path)}),
    }
}

/// A length of time, or one from the environment.
const SPAN: &str = r"^(\$\{.+\}|([0-9]+(\.[0-9]{1,3})?(h|ms|m|s))+)$";

fn count() -> Value {
    json!({"anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^(\$\{.+\}|[0-9]+|(100|[0-9]{1,2})%)$"},
    ]})
}

fn with_default(mut schema: Value, default: crate::model::Count) -> Value {
    let default = match default {
        crate::model::Count::Absolute(n) => json!(n),
        crate::model::Count::Percent(_) => json!(default.to_string()),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("default".to_owned(), default);
    }
    schema
}
