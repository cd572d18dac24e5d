//! The house rules that no compiler knows: floors, file heads, sizes, banned words, no traces of a machine.
//!
//! The checker is a function over (path, text) pairs. One test runs it over the tree; each other test plants one violation in
//! memory and asserts that it is found in its place, so that a silent checker cannot pass for a clean tree.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test's helpers fail as tests do")]

#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use source::Source;

/// A broken rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// Checks all files, named by their path from the top of the repository.
fn check(files: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    for (path, text) in files {
        rules::traces(text, &mut |line, what| findings.push(Finding { path: path.clone(), line, text: what }));
        if let Some(place) = path.strip_prefix("src/").filter(|place| Path::new(place).extension().is_some_and(|end| end == "rs"))
        {
            sources.push((path, text, Source::read(place, text)));
        }
    }
    let test_modules: BTreeSet<_> = sources.iter().flat_map(|(_, _, source)| source.test_modules.clone()).collect();
    for (path, text, source) in sources {
        let mut report = |line: usize, text: String| findings.push(Finding { path: path.clone(), line, text });
        // A unit test's own submodule is one too.
        let is_test = (1..=source.modules.len()).any(|n| test_modules.contains(&source.modules[..n]));
        let source = if is_test { source.into_test() } else { source };
        rules::head(&source, text, &mut report);
        rules::size(&source, text, &mut report);
        rules::words_and_clocks(&source, &mut report);
        floors::imports(&source, &mut report);
    }
    findings.sort();
    findings
}

/// All text of the repository that is ours.
fn tree(top: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut todo: Vec<_> =
        [".ci", "benches", "examples", "src", "tests", "themes", "Cargo.toml", "README.md", "rollout.toml", ".clippy.toml"]
            .map(|name| top.join(name))
            .into();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).expect("a directory that can be read").map(|entry| entry.expect("an entry").path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push((path.strip_prefix(top).expect("below the top").to_string_lossy().into_owned(), text));
        }
    }
    files.sort();
    files
}

#[test]
fn the_tree_keeps_the_rules() {
    let top = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the top");
    let files = tree(Path::new(&top));
    for needed in ["src/lib.rs", "src/main.rs", "tests/tidy.rs", "Cargo.toml"] {
        assert!(files.iter().any(|(path, _)| path == needed), "{needed} was not looked at");
    }
    let findings: Vec<_> = check(&files).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} broken rules:\n{}", findings.len(), findings.join("\n"));
}

/// Every module that `lib.rs` declares has a row in the table, and every row a module: the table cannot rot.
#[test]
fn the_table_of_floors_names_every_module() {
    let top = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the top");
    let lib = fs::read_to_string(Path::new(&top).join("src/lib.rs")).unwrap();
    let mut declared: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    declared.push("main");
    declared.sort_unstable();
    let mut rows: Vec<_> = floors::TABLE.iter().map(|row| row.module).collect();
    rows.sort_unstable();
    assert_eq!(declared, rows);
}
