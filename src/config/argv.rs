//! Programs in the configuration: argv, where in the output the answer is, environment.
//!
//! Imports: config's reader, os' settings. May not: look for a program (that is the driver, on the host where it runs).

use super::document::Value;
use super::fault::{Place, shown_key};
use super::secret::Text;
use super::section::{Placed, Section, text_of};
use super::template;
use super::value::shown;
use crate::os::extract::{Extract, Extractor};
use crate::os::program::Environment;

/// Reads an argv as the templates of its elements, which may name `variables`; `None` if it is not there.
pub(super) fn read(section: &mut Section<'_>, key: &str, variables: &[&str]) -> Option<Vec<String>> {
    let argv = section.texts(key)?;
    Some(checked(section, (key, variables), argv))
}

/// Reads arguments without a program.
pub(super) fn arguments(section: &mut Section<'_>, key: &str, variables: &[&str]) -> Vec<String> {
    let arguments = section.texts(key).map(|arguments| arguments.value).unwrap_or_default();
    let check = |(place, text): (Place, Text)| {
        if let Err(remedy) = template::check(&text.raw, variables) {
            section.fault(place, key, remedy);
        }
        text.template
    };
    arguments.into_iter().map(check).collect()
}

fn checked(section: &Section<'_>, (key, variables): (&str, &[&str]), argv: Placed<Vec<(Place, Text)>>) -> Vec<String> {
    if argv.sound {
        match argv.value.first() {
            None => section.fault(argv.place, key, "is empty; write the program and its arguments"),
            Some((place, program)) if program.full.trim().is_empty() => {
                section.fault(*place, key, "has no program; write its name or absolute path first");
            }
            Some((place, program)) if argv.value.len() == 1 && program.raw.contains(' ') => {
                let remedy = "is one text with spaces; no shell splits it: write each argument as a text of its own";
                section.fault(*place, key, remedy);
            }
            Some((place, program)) if program.full.contains('/') && !program.full.starts_with(['/', '{']) => {
                section.fault(*place, key, format!("{} is a relative path; write an absolute one", shown(&program.raw)));
            }
            Some(_) => {}
        }
    }
    if let Some((place, _)) = argv.value.iter().find(|(_, text)| text.has_variables()) {
        let text = "puts a variable's value on a command line, where every user of the host can read it; give a secret in env";
        section.warn_at(*place, key, text);
    }
    let check = |(place, text): (Place, Text)| {
        if let Err(remedy) = template::check(&text.raw, variables) {
            section.fault(place, key, remedy);
        }
        text.template
    };
    argv.value.into_iter().map(check).collect()
}

/// A program whose output has an answer.
pub(super) struct Asked {
    pub(super) argv: Vec<String>,
    pub(super) answer: Extract,
    /// `not_running`, where that is asked for.
    pub(super) not_running: Vec<u32>,
}

/// Reads `key = [argv]` or `key = { command = [argv], json = "/pointer" }`; `None` if it is not there or has no program.
pub(super) fn asked(parent: &mut Section<'_>, key: &str, variables: &[&str]) -> Option<Asked> {
    if !parent.is_table(key) {
        return read(parent, key, variables).map(|argv| Asked { argv, answer: Extract::FirstLine, not_running: Vec::new() });
    }
    let mut section = parent.table(key);
    let argv = read(&mut section, "command", variables);
    section.require("command", "is missing; add the program and its arguments: command = [\"…\"]");
    let answer = extract(&mut section);
    let not_running = if key == "observe" { codes(&mut section, "not_running") } else { Vec::new() };
    section.finish();
    Some(Asked { argv: argv?, answer, not_running })
}

/// Reads `json` or `regex`; the first line if neither is there.
pub(super) fn extract(section: &mut Section<'_>) -> Extract {
    let json = section.text("json");
    let regex = section.text("regex");
    if let (Some(json), Some(regex)) = (&json, &regex) {
        section.fault_with(regex.place, json.place, "regex", "contradicts json; write only one of the two");
    }
    let (key, Placed { value: text, place, .. }, extract) = match (json, regex) {
        (Some(json), _) => ("json", json.clone(), Extract::Json(json.value.full)),
        (None, Some(regex)) => ("regex", regex.clone(), Extract::Regex(regex.value.full)),
        (None, None) => return Extract::FirstLine,
    };
    if key == "json" && !text.full.starts_with('/') {
        section.fault(place, key, format!("{} is no JSON pointer; write one like \"/version\"", shown(&text.raw)));
    } else if let Err(why) = Extractor::new(&extract) {
        section.fault(place, key, why);
    }
    extract
}

/// Reads exit codes, one or a list.
fn codes(section: &mut Section<'_>, key: &str) -> Vec<u32> {
    let Some(list) = section.list(key) else { return Vec::new() };
    let mut codes = Vec::new();
    for node in list.value {
        match &node.value {
            Value::Integer(code) if (1..=254).contains(code) => codes.extend(u32::try_from(*code)),
            _ => section.fault(node.place, key, "is no exit code from 1 to 254; write one like 3, or a list of them"),
        }
    }
    codes
}

/// Reads `env = { NAME = "value" }`.
pub(super) fn env(parent: &mut Section<'_>) -> Environment {
    let mut section = parent.table("env");
    let mut variables = Vec::new();
    for (name, entry) in section.rest() {
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            section.fault(entry.key, &shown_key(&name), "is no name of a variable; write letters, digits and _");
        }
        match text_of(entry.node.value) {
            Ok(value) => variables.push((name, value.full)),
            Err(remedy) => section.fault(entry.node.place, &shown_key(&name), remedy),
        }
    }
    Environment(variables)
}
