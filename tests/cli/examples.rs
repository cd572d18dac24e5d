//! What the README and the CI examples tell people to type is what the program understands.

use std::fs;
use std::path::Path;

use rollout::cli;

/// Every command that begins with `rollout`, as words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("- ").trim_start_matches("$ ");
        for part in line.split([';', '|', '&']) {
            let part = part.trim_start().trim_start_matches("then ").trim_start();
            if let Some(rest) = part.strip_prefix("rollout ") {
                found.push(words(rest));
            }
        }
    }
    found
}

/// Up to a comment or a redirection; quotes are taken off, and a variable stands for a version.
fn words(rest: &str) -> Vec<String> {
    let mut words = vec!["rollout".to_owned()];
    let (mut word, mut quoted) = (String::new(), false);
    for c in rest.chars() {
        match c {
            '"' => quoted = !quoted,
            '#' | '<' | '>' if !quoted => break,
            ' ' if !quoted => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            c => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

fn understood(words: &[String]) {
    let words = words.iter().map(|word| word.replace("$VERSION", "v2"));
    if let Err(error) = cli::definition().try_get_matches_from(words.clone()) {
        assert!(!error.use_stderr(), "{:?}: {error}", words.collect::<Vec<_>>());
    }
}

#[test]
fn the_ci_examples_say_what_the_program_understands() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci");
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let commands = commands(&text);
        for verb in ["check", "plan", "deploy", "cancel"] {
            assert!(commands.iter().any(|words| words[1] == verb), "{verb} in {commands:?}");
        }
        for words in &commands {
            understood(words);
        }
        assert!(!text.contains('\t'), "YAML takes no tabs");
        // Everybody who runs it must know what each exit code means.
        for code in 2..=7 {
            assert!(
                text.contains(&format!("{code}) echo"))
                    || text.contains(&format!("{code} "))
                    || text.contains(&format!("{code}: ")),
                "{code}"
            );
        }
        files += 1;
    }
    assert_eq!(files, 2);
}

#[test]
fn the_readme_says_what_the_program_understands_and_every_verb() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = text.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh\n"));
    let commands: Vec<Vec<String>> = blocks.flat_map(commands_of_a_block).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for words in &commands {
        understood(words);
    }
    for verb in cli::definition().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        assert!(text.contains(&format!("rollout {name}")), "the README never says rollout {name}");
    }
}

fn commands_of_a_block(block: &str) -> Vec<Vec<String>> {
    commands(block)
}
