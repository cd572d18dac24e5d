//! Broken files, one slip each: the program refuses every one with exactly the lines that its head names, exit code 2, and
//! nothing written.
//!
//! A file's head is `# expects LINE:COLUMN KEY → REMEDY`, one line for each fault, in order. `cargo test broken_configs` prints
//! what an operator reads, which is why this is a program of its own and not a `#[test]`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where it cannot go on, and prints what it saw")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const NAME: &str = "broken_configs";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let listed = args.iter().any(|arg| arg == "--list");
    let ignored = args.iter().any(|arg| arg == "--ignored");
    if ignored || !(filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter.as_str()))) {
        return ExitCode::SUCCESS;
    }
    if listed {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let wrong = every_broken_file_is_refused_with_its_lines();
    for wrong in &wrong {
        println!("\n{wrong}");
    }
    println!("\ntest {NAME} ... {}", if wrong.is_empty() { "ok" } else { "FAILED" });
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wrong; nothing if all is well.
fn every_broken_file_is_refused_with_its_lines() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken_configs");
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let state = tempfile::tempdir().unwrap();
    let (mut wrong, mut remedies, mut lines) = (Vec::new(), BTreeSet::new(), 0);
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let expected: Vec<String> =
            text.lines().map_while(|line| line.strip_prefix("# expects ")).map(|line| format!("{name}:{line}")).collect();
        let (code, got) = deploy(&dir, &name, state.path());
        println!("{}", got.join("\n"));
        lines += got.len();
        remedies.extend(expected.iter().filter_map(|line| Some(line.split_once(" → ")?.1.to_owned())));
        if expected.is_empty() || got != expected {
            wrong.push(format!("{name}, expected:\n  {}\ngot:\n  {}", expected.join("\n  "), got.join("\n  ")));
        }
        if code != Some(2) {
            wrong.push(format!("{name} ends with {code:?}, not 2"));
        }
        let written: Vec<PathBuf> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        if !written.is_empty() {
            wrong.push(format!("{name} left {written:?}"));
        }
    }
    println!("{} files, {lines} lines, {} different remedies", files.len(), remedies.len());
    if files.len() < 40 || remedies.len() < 40 {
        wrong.push(format!("only {} files with {} remedies", files.len(), remedies.len()));
    }
    wrong
}

/// What the program says when it is to deploy by this file.
fn deploy(dir: &Path, name: &str, state: &Path) -> (Option<i32>, Vec<String>) {
    let ran = Command::new(env!("CARGO_BIN_EXE_rollout"))
        .args(["--config", name, "deploy", "v2", "--yes"])
        .current_dir(dir)
        .env_clear()
        .env("XDG_STATE_HOME", state)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let line = |line: &&str| line.starts_with(name) && line.contains(" → ");
    (ran.status.code(), said.lines().filter(line).map(str::to_owned).collect())
}
