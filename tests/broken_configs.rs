//! Broken files, one slip each: every one is refused with exactly the lines that its head names.
//!
//! A file's head is `# expects LINE:COLUMN KEY → REMEDY`, one line for each fault, in order. `cargo test --test
//! broken_configs -- --nocapture` prints what an operator reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rollout::config;

fn env(name: &str) -> Option<String> {
    (name == "XDG_STATE_HOME").then(|| "/state".to_owned())
}

#[test]
fn every_broken_file_is_refused_with_its_lines() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken_configs");
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        let expected: Vec<String> =
            text.lines().map_while(|line| line.strip_prefix("# expects ")).map(|line| format!("{name}:{line}")).collect();
        let got = match config::read(Path::new(&name), &text, &[], &env) {
            Ok(_) => vec![format!("{name} is accepted")],
            Err(errors) => errors.short_lines(),
        };
        println!("{}", got.join("\n"));
        seen.extend(expected.iter().filter_map(|line| Some(line.split_once(" → ")?.1.to_owned())));
        if expected.is_empty() || got != expected {
            wrong.push(format!("expected:\n  {}\ngot:\n  {}", expected.join("\n  "), got.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(files.len() >= 25 && seen.len() >= 25, "{} files, {} remedies", files.len(), seen.len());
}
