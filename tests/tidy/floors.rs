//! Who may import whom, as data. A new arrow is a decision: it gets its own commit and argument.

use crate::source::{Source, line_of, words};

/// One module of `src/`.
pub(crate) struct Row {
    /// Its name.
    pub(crate) module: &'static str,
    /// Its floor, 0 to 6.
    pub(crate) floor: u8,
    /// The modules that it may import, besides itself.
    may: &'static [&'static str],
}

const fn row(floor: u8, module: &'static str, may: &'static [&'static str]) -> Row {
    Row { module, floor, may }
}

/// What an adapter may import: never another adapter.
const ADAPTER: &[&str] = &["event", "effect", "ports", "model", "os"];
/// What a front door may import; of `core` only `READ_ONLY`.
const FRONT_DOOR: &[&str] = &["ports", "state", "event", "command", "model", "core", "os"];
/// What the configuration and the telemetry may import: everything below them.
const BELOW_APP: &[&str] = &[
    "model", "event", "command", "effect", "state", "ports", "core", "os", "clock", "fleet", "traffic", "probe", "analysis",
    "hook", "journal", "runner", "tui", "control", "headless", "demo",
];
/// What the composition root may import: everything.
const ROOT: &[&str] = &[
    "model",
    "event",
    "command",
    "effect",
    "state",
    "ports",
    "core",
    "os",
    "clock",
    "fleet",
    "traffic",
    "probe",
    "analysis",
    "hook",
    "journal",
    "runner",
    "tui",
    "control",
    "headless",
    "demo",
    "config",
    "telemetry",
    "app",
    "cli",
];

/// What front doors may name of `core`: functions that look at a state, and what they return.
const READ_ONLY: [&str; 11] = [
    "waiting",
    "Waiting",
    "forecast",
    "Forecast",
    "consequence",
    "Consequence",
    "capacity",
    "Capacity",
    "ahead",
    "Ahead",
    "way_back",
];
const FRONT_DOORS: [&str; 4] = ["tui", "control", "headless", "demo"];

/// The floors. An arrow points to a lower floor, and only if its row has it.
pub(crate) const TABLE: &[Row] = &[
    row(0, "model", &[]),
    row(0, "mutant", &[]),
    row(1, "event", &["model"]),
    row(1, "command", &["event", "model"]),
    row(1, "effect", &["model"]),
    row(1, "state", &["event", "model", "mutant"]),
    row(1, "ports", &["event", "command", "state", "model"]),
    row(2, "core", &["state", "event", "command", "effect", "model", "mutant"]),
    row(2, "os", &["ports", "model"]),
    row(3, "clock", ADAPTER),
    row(3, "fleet", ADAPTER),
    row(3, "traffic", ADAPTER),
    row(3, "probe", ADAPTER),
    row(3, "analysis", ADAPTER),
    row(3, "hook", ADAPTER),
    row(3, "journal", ADAPTER),
    row(4, "runner", &["core", "state", "event", "command", "effect", "ports", "model", "os"]),
    row(5, "tui", FRONT_DOOR),
    row(5, "control", FRONT_DOOR),
    row(5, "headless", FRONT_DOOR),
    row(5, "demo", FRONT_DOOR),
    row(6, "config", BELOW_APP),
    row(6, "telemetry", BELOW_APP),
    // The composition root knows everybody: `app` reads the arguments that `cli` parsed, `cli` calls `app`.
    row(6, "app", ROOT),
    row(6, "cli", ROOT),
    row(6, "main", &["cli", "app", "telemetry"]),
];

/// The row of a module.
pub(crate) fn find(module: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.module == module)
}

/// Reports every arrow that the table lacks.
pub(crate) fn imports(source: &Source, report: &mut impl FnMut(usize, String)) {
    if source.module.is_empty() {
        return; // lib.rs, which only lists the modules.
    }
    let Some(row) = find(&source.module) else {
        report(1, format!("module {} has no row in the table of floors", source.module));
        return;
    };
    for named in source.crate_paths() {
        let Some(target) = named.path.first().filter(|target| **target != source.module) else { continue };
        // A macro or a constant at the root is no module.
        if find(target).is_none() && !target.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        if !row.may.contains(&target.as_str()) {
            report(named.line, format!("{} (floor {}) may not import {target}", source.module, row.floor));
        } else if target == "core" && FRONT_DOORS.contains(&row.module) {
            let line = named.line;
            match named.path.get(1) {
                Some(name) => front_door(name, line, row, report),
                None => {
                    for (name, line) in names_of_core(source) {
                        front_door(&name, line, row, report);
                    }
                }
            }
        }
    }
}

fn front_door(name: &str, line: usize, row: &Row, report: &mut impl FnMut(usize, String)) {
    if !READ_ONLY.contains(&name) {
        report(line, format!("{} may only look at a state: core::{name} is not for front doors", row.module));
    }
}

/// What a file that imports `core` itself names of it by `core::NAME`.
fn names_of_core(source: &Source) -> Vec<(String, usize)> {
    let code = &source.code;
    let places = words(code, "core").into_iter().filter(|at| !code[..*at].trim_end().ends_with("::"));
    let named = places.filter_map(|at| {
        let rest = code[at + "core".len()..].strip_prefix("::")?;
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        Some((name, line_of(code, at)))
    });
    named.filter(|(name, _)| !name.is_empty()).collect()
}
