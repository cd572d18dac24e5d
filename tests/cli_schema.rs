//! The schema of rollout.toml against its reader: the same keys, and the same files accepted and refused.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use rollout::config;
use serde_json::{Value, json};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All TOML files of a directory.
fn files(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(top().join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{dir}");
    files
}

fn document(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    serde_json::to_value(toml::from_str::<toml::Value>(&text).ok()?).ok()
}

/// What of a document breaks a schema, by its path. Knows the words that our schema uses and fails on any other.
fn broken(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |bad: bool, what: &str| {
        if bad {
            found.push(format!("{path}: {what}"));
        }
    };
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "title" | "description" | "default" | "properties" | "additionalProperties" | "items" => {}
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                say(!types.iter().any(|t| t == kind(value)), "type");
            }
            "enum" => say(!rule.as_array().unwrap().contains(value), "enum"),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                say(value.as_str().is_some_and(|text| !pattern.is_match(text)), "pattern");
            }
            "minimum" => say(value.as_i64().is_some_and(|n| n < rule.as_i64().unwrap()), "minimum"),
            "maximum" => say(value.as_i64().is_some_and(|n| n > rule.as_i64().unwrap()), "maximum"),
            "minItems" => say(value.as_array().is_some_and(|list| (list.len() as u64) < rule.as_u64().unwrap()), "minItems"),
            "required" => {
                let missing = |key: &Value| value.as_object().is_some_and(|table| !table.contains_key(key.as_str().unwrap()));
                say(rule.as_array().unwrap().iter().any(missing), "required");
            }
            "anyOf" => say(rule.as_array().unwrap().iter().all(|one| !broken(one, value, path).is_empty()), "anyOf"),
            other => panic!("the schema uses {other}, which this test does not know"),
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (schema.pointer(&format!("/properties/{key}")), &schema["additionalProperties"]) {
            (Some(rule), _) => found.extend(broken(rule, inner, &path)),
            (None, Value::Bool(false)) => found.push(format!("{path}: unknown")),
            (None, Value::Object(_)) => found.extend(broken(&schema["additionalProperties"], inner, &path)),
            (None, _) => {}
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            found.extend(broken(&schema["items"], inner, &format!("{path}[{index}]")));
        }
    }
    found
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn every_key_that_the_reader_takes_is_described_and_no_other() {
    assert_eq!(config::undescribed(), Vec::<String>::new());
    let taken: BTreeSet<String> = config::keys().into_iter().collect();
    for key in ["fleet.instance.zone", "update.observe.json", "traffic.state.url", "traffic.sockets", "env.NAME.stripe"] {
        assert!(taken.contains(key), "{key} is not among {taken:?}");
    }
    assert!(taken.len() > 100, "{}", taken.len());
}

#[test]
fn every_file_that_ships_keeps_the_schema() {
    let schema = config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for path in files("examples").into_iter().chain([top().join("rollout.toml")]) {
        let found = broken(&schema, &document(&path).unwrap(), "");
        assert_eq!(found, Vec::<String>::new(), "{}", path.display());
    }
}

/// What an editor can see of a broken file: all unknown keys, and most values that are no such value.
#[test]
fn broken_files_break_the_schema_where_it_can_tell() {
    let schema = config::schema();
    let keys: BTreeSet<String> = config::keys().into_iter().collect();
    let (mut seen, mut unseen) = (0, Vec::new());
    for path in files("tests/broken_configs") {
        let Some(document) = document(&path) else { continue };
        let found = broken(&schema, &document, "");
        let text = fs::read_to_string(&path).unwrap();
        // Not those of another driver's table, which only its reader knows.
        let of_others = |line: &str| line.split(' ').any(|word| keys.contains(word));
        let by_key = |line: &str| (line.contains("unknown key") || line.contains("unknown table")) && !of_others(line);
        if text.lines().take_while(|line| line.starts_with("# expects")).any(by_key) {
            // Beside tables with free names, an unknown key is one that is no such table.
            let is_seen = |line: &String| line.contains("unknown") || line.ends_with(": type");
            assert!(found.iter().any(is_seen), "{}: {found:?}", path.display());
        }
        if found.is_empty() { unseen.push(path.file_name().unwrap().to_owned()) } else { seen += 1 }
    }
    assert!(seen >= 30, "only {seen} are seen, not {unseen:?}");
}

#[test]
fn this_tests_own_check_can_fail() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "additionalProperties": false,
        "required": ["a"]});
    assert_eq!(broken(&schema, &json!({"a": 1}), ""), Vec::<String>::new());
    assert_eq!(broken(&schema, &json!({"a": 0}), ""), [".a: minimum"]);
    assert_eq!(broken(&schema, &json!({"a": "1", "b": 1}), ""), [".a: type", ".b: unknown"]);
    assert_eq!(broken(&schema, &json!({}), ""), [": required"]);
}
