//! Heads, sizes, banned words, and traces that do not belong into a repository.

use crate::floors;
use crate::source::{Source, line_of, words};

/// Lines of code (neither blank, nor comment, nor unit test) that a file may have.
pub(crate) const CODE_LINES_MAX: usize = 400;
/// Lines that a file may have in all.
pub(crate) const LINES_MAX: usize = 600;

/// The file says its one job, what it imports, and what it may not do.
pub(crate) fn head(source: &Source, text: &str, report: &mut impl FnMut(usize, String)) {
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    if head.first().is_none_or(|line| line.trim_start_matches("//!").trim().is_empty()) {
        report(1, "the first line must be `//!` with the file's one job".to_owned());
        return;
    }
    if !source.is_test && floors::find(&source.module).is_some_and(|row| row.floor <= 5) {
        for word in ["Imports:", "May not:"] {
            if !head.iter().any(|line| line.contains(word)) {
                report(1, format!("the head must say `{word}`"));
            }
        }
    }
}

/// A file that can be read at one sitting.
pub(crate) fn size(source: &Source, text: &str, report: &mut impl FnMut(usize, String)) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        report(LINES_MAX + 1, format!("{lines} lines, at most {LINES_MAX} are allowed"));
    }
    let code = source.code.lines().filter(|line| !line.trim().is_empty()).count();
    if code > CODE_LINES_MAX {
        report(CODE_LINES_MAX + 1, format!("{code} lines of code, at most {CODE_LINES_MAX} are allowed"));
    }
}

/// Words that stand for a habit which the rules forbid.
fn banned(module: &str) -> Vec<(&'static str, &'static str)> {
    let mut words = vec![
        ("tokio::spawn", "every task has an owner: spawn on a JoinSet"),
        ("task::spawn", "every task has an owner: spawn on a JoinSet"),
        ("process::exit", "an exit code is returned, so that everything is cleaned up"),
        ("thread::sleep", "a thread that sleeps cannot be stopped: use tokio::time::sleep"),
        ("todo!", "unfinished"),
        ("unimplemented!", "unfinished"),
    ];
    if !matches!(module, "main" | "app" | "cli") {
        words.push(("color_eyre", "thiserror inside, color-eyre at the edge"));
    }
    if matches!(module, "model" | "event" | "command" | "effect" | "state" | "core") {
        let why = "here is only what follows from arguments: no I/O, no clock, no await";
        for word in
            ["async", "await", "tokio", "std::fs", "std::net", "std::process", "std::thread", "std::time::Instant", "SystemTime"]
        {
            words.push((word, why));
        }
    }
    words
}

/// Reports banned words and clocks read in passing.
pub(crate) fn words_and_clocks(source: &Source, report: &mut impl FnMut(usize, String)) {
    for (word, why) in banned(&source.module) {
        let bare = word.trim_end_matches('!');
        for at in words(&source.code, bare) {
            if source.code[at..].starts_with(word) && !(word.ends_with("::spawn") && is_owned(&source.code[..at])) {
                report(line_of(&source.code, at), format!("`{word}` is banned here: {why}"));
            }
        }
    }
    if source.module == "clock" {
        return;
    }
    let tokios = tokios_instant(source);
    for (at, _) in source.code.match_indices("::now(") {
        let before = &source.code[..at];
        // A function of ours that hands the clock's reading on is not a type's own `now`.
        let is_type = before
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .is_some_and(|name| name.starts_with(char::is_uppercase));
        if !is_type {
            continue;
        }
        let qualified = before.ends_with("tokio::time::Instant");
        let imported = before.ends_with("Instant") && !before.ends_with("::Instant") && tokios;
        if !(qualified || imported) {
            report(line_of(&source.code, at), "only clock.rs reads a clock: take `now` as an argument".to_owned());
        }
    }
}

/// True if what comes next is handed to an owner at once, or says by an `#[expect]` with its reason who the owner is.
fn is_owned(before: &str) -> bool {
    let handed = before.trim_end_matches("tokio::").trim_end().ends_with("AbortOnDropHandle::new(");
    let reasoned = before.lines().rev().take(3).any(|line| line.trim_start().starts_with("#[expect(clippy::disallowed_methods"));
    handed || reasoned
}

/// True if `Instant` is tokio's in this file, and the file is one that may measure.
fn tokios_instant(source: &Source) -> bool {
    let measures = matches!(
        source.module.as_str(),
        "os" | "fleet"
            | "traffic"
            | "probe"
            | "hook"
            | "journal"
            | "runner"
            | "tui"
            | "control"
            | "headless"
            | "demo"
            | "app"
            | "cli"
    );
    let imported = source.code.match_indices("tokio::time::").any(|(at, found)| {
        let end = source.code[at..].find(';').map_or(source.code.len(), |end| at + end);
        !words(&source.code[at + found.len()..end], "Instant").is_empty()
    }) || source.code.match_indices("tokio::{").any(|(at, _)| {
        let end = source.code[at..].find(';').map_or(source.code.len(), |end| at + end);
        let list = &source.code[at..end];
        !words(list, "time").is_empty() && !words(list, "Instant").is_empty()
    });
    measures && imported
}

/// Marks of unfinished work, and paths of one machine. They are put together here so that this file holds none itself.
pub(crate) fn traces_banned() -> [(String, &'static str); 6] {
    let path = "a path of one machine";
    let mark = "a mark of unfinished work";
    [
        (["/wo", "rk/"].concat(), path),
        (["/ro", "ot/"].concat(), path),
        (["TO", "DO"].concat(), mark),
        (["FIX", "ME"].concat(), mark),
        (["XX", "X"].concat(), mark),
        (["HA", "CK"].concat(), mark),
    ]
}

/// Reports what no file of the repository may hold, comments and text included.
pub(crate) fn traces(text: &str, report: &mut impl FnMut(usize, String)) {
    for (trace, what) in traces_banned() {
        let places =
            if trace.starts_with('/') { text.match_indices(&trace).map(|(at, _)| at).collect() } else { words(text, &trace) };
        for at in places {
            report(line_of(text, at), format!("{what}: {trace}"));
        }
    }
}
