//! What needs no fleet: help, completions, the manual, the schema, closed pipes.

use std::process::{Command, Stdio};

use rollout::cli;
use serde_json::Value;

use crate::fleet::{Ran, rollout};

fn run(args: &[&str]) -> Ran {
    Ran::of(Command::new(rollout()).args(args).stdin(Stdio::null()).output().unwrap())
}

/// Every verb that users see.
fn verbs() -> Vec<String> {
    let definition = cli::definition();
    let verbs: Vec<String> =
        definition.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name().to_owned()).collect();
    assert!(verbs.len() >= 20, "{verbs:?}");
    verbs
}

#[test]
fn the_definition_is_sound() {
    cli::definition().debug_assert();
}

#[test]
fn a_slip_is_answered_with_a_verb_for_users() {
    for (slip, verb) in [("depoly", "deploy"), ("demo-prox", "demo"), ("enigne", ""), ("rolback", "rollback")] {
        let ran = run(&[slip, "v2"]);
        assert_eq!(ran.code, Some(2), "{}", ran.out);
        assert!(verb.is_empty() || ran.err.contains(&format!("'{verb}'")), "{slip}: {}", ran.err);
        assert!(!["'demo-proxy'", "'demo-instance'", "'engine'"].iter().any(|hidden| ran.err.contains(hidden)), "{}", ran.err);
    }
}

#[test]
fn every_shell_completes_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}: {}", ran.err);
        for verb in verbs() {
            assert!(ran.out.contains(&verb), "{shell} lacks {verb}");
        }
        assert!(!ran.out.contains("demo-proxy") && !ran.out.contains("--started-by"), "{shell} offers what is not for users");
    }
    assert_eq!(run(&["completions", "tcsh"]).code, Some(2));
}

/// A script that bash itself accepts.
#[test]
fn bash_accepts_its_completions() {
    let script = run(&["completions", "bash"]).out;
    let bash = Command::new("bash").args(["-n", "-c", &script]).output();
    let Ok(bash) = bash else {
        println!("skipped: bash (apt install bash)");
        return;
    };
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
}

#[test]
fn the_manual_has_a_section_for_every_verb() {
    let ran = run(&["man"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains(".TH rollout 1"), "{}", &ran.out[..200.min(ran.out.len())]);
    for verb in verbs() {
        assert!(ran.out.contains(&format!(".SH ROLLOUT {}", verb.to_uppercase())), "{verb}");
    }
    assert!(!ran.out.contains("DEMO-INSTANCE"), "what is hidden stays so");
    assert!(ran.out.contains("Exit codes of deploy and attach"));
}

#[test]
fn the_schema_is_printed_as_json() {
    let ran = run(&["schema"]);
    let schema: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(schema["properties"]["drain"]["properties"]["timeout"]["default"], "5s");
    assert_eq!(schema, rollout::config::schema());
}

/// Whoever closes the pipe has what they wanted.
#[test]
fn a_closed_pipe_is_no_failure() {
    for args in [&["man"][..], &["schema"], &["completions", "zsh"], &["--help"]] {
        let mut child = Command::new(rollout()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = Ran::ended(child);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn bad_usage_ends_with_two() {
    for args in [
        &["histroy"][..],
        &["history", "-n", "0"],
        &["deploy", "v 2"],
        &["init", "--backend", "a"],
        &["plan", "v1", "--strategy", "x"],
    ] {
        let ran = run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
}
