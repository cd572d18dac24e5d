//! Each rule, broken on purpose in memory: found, in its place, and nothing else.

use crate::rules::{CODE_LINES_MAX, LINES_MAX};
use crate::{check, rules};

const HEAD: &str = "//! Does one thing.\n//!\n//! Imports: nothing. May not: do more.\n\n";

/// Checks `body` under a good head at `path`; what is found, as `LINE: TEXT` with lines counted in `body`.
fn found(path: &str, body: &str) -> Vec<String> {
    let files = [(path.to_owned(), format!("{HEAD}{body}"))];
    check(&files)
        .iter()
        .map(|finding| {
            assert_eq!(finding.path, path);
            format!("{}: {}", finding.line.saturating_sub(HEAD.lines().count()), finding.text)
        })
        .collect()
}

/// Nothing is found.
fn clean(path: &str, body: &str) {
    assert_eq!(found(path, body), Vec::<String>::new(), "{path}: {body}");
}

/// Exactly this is found.
fn planted(path: &str, body: &str, finding: &str) {
    assert_eq!(found(path, body), [finding], "{path}: {body}");
}

#[test]
fn an_arrow_that_the_table_lacks_is_found() {
    clean("src/fleet/process.rs", "use crate::model::Target;\nuse crate::os::process;\n");
    planted("src/fleet/process.rs", "\nuse crate::traffic::Settings;\n", "2: fleet (floor 3) may not import traffic");
    planted("src/fleet/process.rs", "\nfn f() { super::super::journal::open() }\n", "2: fleet (floor 3) may not import journal");
    planted("src/model/ids.rs", "use crate::state::State;\n", "1: model (floor 0) may not import state");
    planted("src/state.rs", "fn f(x: &crate::core::Input) {}\n", "1: state (floor 1) may not import core");
    planted("src/core/budget.rs", "use crate::ports::Journal;\n", "1: core (floor 2) may not import ports");
    planted("src/runner.rs", "use crate::fleet;\n", "1: runner (floor 4) may not import fleet");
    planted("src/tui/app.rs", "use crate::runner::Handle;\n", "1: tui (floor 5) may not import runner");
    planted("src/demo/world.rs", "use crate::app;\n", "1: demo (floor 5) may not import app");
    planted("src/config.rs", "use crate::app;\n", "1: config (floor 6) may not import app");
    planted("src/main.rs", "fn main() { rollout::runner::start(); }\n", "1: main (floor 6) may not import runner");
}

#[test]
fn an_arrow_inside_a_nested_group_is_found_on_its_own_line() {
    let body = "use crate::{\n    model::{InstanceId, Version},\n    os::{\n        file,\n    },\n    probe::{self},\n};\n";
    planted("src/traffic/haproxy.rs", body, "6: traffic (floor 3) may not import probe");
}

#[test]
fn a_module_without_a_row_is_found() {
    planted("src/plugins.rs", "fn f() {}\n", "0: module plugins has no row in the table of floors");
}

#[test]
fn front_doors_only_look_at_a_state() {
    clean("src/tui/view.rs", "use crate::core::{Waiting, forecast};\n");
    clean("src/tui/view.rs", "use crate::core::{self, Waiting};\nfn f() { core::waiting(); std::core::x(); }\n");
    planted("src/tui/view.rs", "use crate::core::step;\n", "1: tui may only look at a state: core::step is not for front doors");
    planted(
        "src/control.rs",
        "use crate::core;\nfn f() {\n    core::turn();\n}\n",
        "3: control may only look at a state: core::turn is not for front doors",
    );
}

#[test]
fn imports_of_unit_tests_are_free() {
    clean(
        "src/fleet.rs",
        "#[cfg(test)]\nmod tests {\n    use crate::journal::Memory;\n    fn f() { std::thread::sleep(d); }\n}\n",
    );
    let file = |path: &str, text: &str| (path.to_owned(), format!("{HEAD}{text}"));
    let tests = file("src/core/regressions/old.rs", "use crate::journal::Memory;\n");
    let declared = file("src/core.rs", "#[cfg(test)]\nmod regressions;\n");
    assert_eq!(check(&[declared, tests.clone()]), []);
    assert_eq!(check(&[file("src/core.rs", "mod regressions;\n"), tests]).len(), 1);
}

#[test]
fn a_missing_head_is_found() {
    let files = |text: &str| [("src/os/file.rs".to_owned(), text.to_owned())];
    let texts = |text: &str| check(&files(text)).iter().map(|f| format!("{}: {}", f.line, f.text)).collect::<Vec<_>>();
    assert_eq!(texts("fn f() {}\n"), ["1: the first line must be `//!` with the file's one job"]);
    assert_eq!(texts("//!\n//! Late.\n"), ["1: the first line must be `//!` with the file's one job"]);
    assert_eq!(texts("//! Files.\n//! Imports: nothing.\n"), ["1: the head must say `May not:`"]);
    assert_eq!(
        texts("//! Files.\n\n//! Imports: a. May not: b.\n"),
        ["1: the head must say `Imports:`", "1: the head must say `May not:`"]
    );
    assert_eq!(check(&[("src/app.rs".to_owned(), "//! Puts it together.\n".to_owned())]), []);
}

#[test]
fn a_long_file_is_found() {
    let code = "fn f() {}\n";
    clean("src/os/file.rs", &code.repeat(CODE_LINES_MAX));
    clean("src/os/file.rs", &(code.repeat(CODE_LINES_MAX) + &"// A comment.\n".repeat(50)));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code.repeat(100));
    clean("src/os/file.rs", &(code.repeat(CODE_LINES_MAX) + &tests));
    let found_at = CODE_LINES_MAX + 1 - HEAD.lines().count();
    let too_long = format!("{found_at}: 401 lines of code, at most 400 are allowed");
    planted("src/os/file.rs", &code.repeat(CODE_LINES_MAX + 1), &too_long);
    let text = format!("const X: &str = \"\n{}\";\n", "a line\n".repeat(CODE_LINES_MAX));
    planted("src/os/file.rs", &text, &format!("{found_at}: 402 lines of code, at most 400 are allowed"));
    let found_at = LINES_MAX + 1 - HEAD.lines().count();
    planted("src/os/file.rs", &"\n".repeat(LINES_MAX), &format!("{found_at}: 604 lines, at most 600 are allowed"));
}

#[test]
fn banned_words_are_found() {
    let owner = "every task has an owner: spawn on a JoinSet";
    planted("src/runner.rs", "fn f() {\n    tokio::spawn(g());\n}\n", &format!("2: `tokio::spawn` is banned here: {owner}"));
    planted("src/runner.rs", "use tokio::task::spawn;\n", &format!("1: `task::spawn` is banned here: {owner}"));
    clean("src/runner.rs", "fn f() { tokio::task::spawn_blocking(g); set.spawn(g()); }\n");
    clean("src/runner.rs", "fn f() { AbortOnDropHandle::new(tokio::spawn(g())) }\n");
    clean("src/runner.rs", "#[expect(clippy::disallowed_methods, reason = \"the handle\")]\nlet task = tokio::spawn(g());\n");
    let exit = "an exit code is returned, so that everything is cleaned up";
    planted("src/main.rs", "fn main() { std::process::exit(1) }\n", &format!("1: `process::exit` is banned here: {exit}"));
    let sleep = "a thread that sleeps cannot be stopped: use tokio::time::sleep";
    planted("src/os.rs", "\n\nfn f() { thread::sleep(d) }\n", &format!("3: `thread::sleep` is banned here: {sleep}"));
    planted("src/os.rs", "fn f() { todo!() }\n", "1: `todo!` is banned here: unfinished");
    planted("src/os.rs", "fn f() { unimplemented!() }\n", "1: `unimplemented!` is banned here: unfinished");
    let edge = "thiserror inside, color-eyre at the edge";
    planted("src/fleet.rs", "use color_eyre::Result;\n", &format!("1: `color_eyre` is banned here: {edge}"));
    clean("src/cli.rs", "use color_eyre::Result;\n");
    clean("src/os.rs", "// tokio::spawn, todo!() and color_eyre are only spoken of.\nconst X: &str = \"thread::sleep\";\n");
}

#[test]
fn what_is_not_pure_is_found_in_the_pure_floors() {
    let why = "here is only what follows from arguments: no I/O, no clock, no await";
    for (path, word, body) in [
        ("src/core/pipeline.rs", "async", "async fn f() {}\n"),
        ("src/state.rs", "tokio", "use tokio::sync::Mutex;\n"),
        ("src/model/time.rs", "std::fs", "use std::fs::File;\n"),
        ("src/event.rs", "std::net", "use std::net::IpAddr;\n"),
        ("src/core.rs", "std::time::Instant", "use std::time::Instant;\n"),
        ("src/core.rs", "SystemTime", "use std::time::{Duration, SystemTime};\n"),
    ] {
        planted(path, body, &format!("1: `{word}` is banned here: {why}"));
        clean("src/runner.rs", body);
    }
}

#[test]
fn a_clock_read_in_passing_is_found() {
    let why = "only clock.rs reads a clock: take `now` as an argument";
    for body in [
        "fn f() { SystemTime::now(); }\n",
        "fn f() { std::time::Instant::now(); }\n",
        "use std::time::Instant; fn f() { Instant::now(); }\n",
        "fn f() { jiff::Timestamp::now(); }\n",
    ] {
        planted("src/fleet/process.rs", body, &format!("1: {why}"));
        clean("src/clock.rs", body);
    }
    for body in [
        "use tokio::time::{Instant, sleep};\nfn f() { Instant::now(); }\n",
        "use tokio::{sync::mpsc, time::Instant};\nfn f() { Instant::now(); }\n",
        "fn f() { tokio::time::Instant::now(); }\n",
    ] {
        clean("src/probe/http.rs", body);
    }
    planted("src/config.rs", "use tokio::time::Instant;\nfn f() { Instant::now(); }\n", &format!("2: {why}"));
}

#[test]
fn traces_are_found_in_every_file() {
    for (trace, what) in rules::traces_banned() {
        for path in ["README.md", "tests/attach.rs", "src/os.rs", ".ci/run"] {
            let body = format!("\n// see {trace} there\n");
            planted(path, &body, &format!("2: {what}: {trace}"));
        }
    }
    clean("README.md", "a /workspace, a /rooted plan, a to-do list\n");
}
