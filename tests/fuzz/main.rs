//! Everything that reads what somebody else wrote, with inputs that nobody would write: never a panic, never a hang, and never
//! an answer that the bytes do not hold.
//!
//! Imports: the library; two of its private readers, as files. May not: depend on the clock or on chance.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod harness;
mod journal;
#[allow(clippy::allow_attributes, dead_code, reason = "the program's own file, of which the tests take a part")]
#[path = "../../src/traffic/haproxy/reply.rs"]
mod reply;
#[path = "../../src/control/sse.rs"]
mod sse;

use std::path::Path;

use rollout::config;
use rollout::model::{self, Rotation};
use rollout::os;
use rollout::os::extract::{Extract, Extractor};

use harness::{Random, Target, files, run};

/// A secret that must not be seen.
const CANARY: &str = "canary-6f1c";

/// What a variable holds.
fn env(name: &str) -> Option<String> {
    match name {
        "XDG_STATE_HOME" => Some("/state".to_owned()),
        "TOKEN" => Some(CANARY.to_owned()),
        _ => None,
    }
}

#[test]
fn configurations() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let more = ["examples", "tests/broken_configs"].iter().flat_map(|dir| files(&top.join(dir)));
    let words = [
        "[fleet]\n",
        "[[fleet.instance]]\n",
        "[update]\n",
        "[traffic]\n",
        "[health]\n",
        "[strategy]\n",
        "\"${TOKEN}\"",
        "${TOKEN",
        "{{ version }}",
        "{{",
        "}}",
        "{% raw %}",
        "\"web-[01:99999999]\"",
        "web-[[1:2]:3]",
        "\"1000000000000h\"",
        "-1",
        "9223372036854775808",
        "\"101%\"",
        "\"\"\"",
        "'''",
        "\u{feff}",
        "\u{202e}",
        "\u{1b}[2J",
        "= ",
        "[a.b.c.d.e.f]",
        "{a={a={a={a=",
        "[[[[[[",
        "\r\n",
        "1979-05-27T07:32:00Z",
        "nan",
        "#",
        "\\u0000",
        "\\U0010ffff",
        "\"/x(y\"",
        "regex = \"((a*)*)*b\"",
    ];
    run(Target { name: "config", cases: 1000, words: &words, more: more.collect() }, |input| {
        let text = String::from_utf8_lossy(input);
        // A last line that looks like it is a `--set`.
        let sets: Vec<String> = text.lines().last().filter(|line| line.contains('.')).map(str::to_owned).into_iter().collect();
        for sets in [&[][..], &sets] {
            let Err(errors) = config::read(Path::new("f.toml"), &text, sets, &env) else { continue };
            let said = format!("{errors}\n{errors:?}");
            if said.contains(CANARY) {
                return Err(format!("the secret is shown: {said}"));
            }
            for line in errors.short_lines() {
                placed(&line, &text)?;
            }
        }
        Ok(())
    });
}

/// A refusal names a place inside of the file.
fn placed(line: &str, text: &str) -> Result<(), String> {
    if line.starts_with("--set ") || line.ends_with("more faults are not listed") {
        return Ok(());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut place = line.strip_prefix("f.toml:").unwrap_or_default().split([':', ' ']).map(str::parse::<usize>);
    let (Some(Ok(row)), Some(Ok(column))) = (place.next(), place.next()) else { return Err(format!("no place: {line}")) };
    let found = text.split('\n').nth(row.wrapping_sub(1)).ok_or_else(|| format!("no such line: {line}"))?;
    if (1..=found.chars().count() + 1).contains(&column) { Ok(()) } else { Err(format!("no such column: {line} in {found:?}")) }
}

#[test]
fn replies_of_haproxy() {
    let words = [
        "Pid: 7\n",
        "Stopping: 1\n",
        "\n\n",
        "# ",
        "1\n",
        " 2 0 1",
        "4294967296",
        "18446744073709551615",
        "-1",
        "\"\"",
        "\"",
        ",UP,",
        "DRAIN",
        "MAINT",
        "no check",
        "fe",
        "web-01",
        "be_name",
        "srv_admin_state",
        "No such server.\n",
    ];
    run(Target { name: "haproxy", cases: 6000, words: &words, more: Vec::new() }, |input| {
        let text = String::from_utf8_lossy(input);
        reply::ordered(&text).ok();
        if let Ok(Some((pid, answer))) = reply::after_info(&text)
            && !(text.contains(&format!("Pid: {pid}")) || text.contains("Pid: +") || text.contains("Pid: 0"))
                | !(answer == "\n" || answer.ends_with("\n\n"))
        {
            return Err(format!("process {pid} answers {answer:?}"));
        }
        let answers = [&*text, text.split_once("\n\n").map_or("", |(_, answer)| answer)];
        for answer in answers {
            let Ok((_, mut servers)) = reply::servers_state(answer, "fe") else { continue };
            for name in servers.keys() {
                let of_server =
                    |line: &str| line.split(' ').any(|field| field == name) && line.split(' ').any(|field| field == "fe");
                if !answer.lines().any(of_server) {
                    return Err(format!("a server {name:?} from nowhere"));
                }
            }
            for table in answers {
                let Ok(table) = reply::Table::read(table) else { continue };
                table.row("fe", "BACKEND").map(|row| (row.counted().ok(), row.algorithm().map(str::len)));
                table.row("fe", "web-01").map(|row| row.served().ok());
                if reply::add_stat(&mut servers, &table, "fe").is_ok()
                    && let Some((name, server)) = servers.iter().find(|(_, server)| server.rotation() == Rotation::Serving)
                    && (server.drains() || server.in_maintenance() || server.sessions.is_none())
                {
                    return Err(format!("{name:?} serves, but {server:?}"));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn answers_with_a_value() {
    let words = [
        "{\"version\":",
        "\"v2\"",
        "[[[[",
        "{\"a\":",
        "version=",
        "1e999",
        "-0",
        "true",
        "null",
        "\\ud800",
        "\n\n",
        "\u{2028}",
        "\u{85}",
        "(?i)",
        "(a|",
        "{9999}",
        "(\\w{100}){100}",
        "/~1",
        "/~2",
        "/version/0",
        "/",
        "//",
        "\\p{L}",
        "(?P<v>.*)",
    ];
    run(Target { name: "answer", cases: 600, words: &words, more: Vec::new() }, |input| {
        // Of real answers 64 KiB are read; a build without optimization takes a hundred times as long for each.
        let input = input.get(..1500).unwrap_or(input);
        let text = String::from_utf8_lossy(input);
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let (regex, pointer) = (Extract::Regex(first.to_owned()), Extract::Json(first.to_owned()));
        let fixed =
            [Extract::FirstLine, Extract::Json("/version".to_owned()), Extract::Regex(r"version=(\S+)|v(\d+)".to_owned())];
        for extract in fixed.into_iter().chain([regex, pointer]) {
            // What is no expression or pointer is refused.
            let Ok(extractor) = Extractor::new(&extract) else { continue };
            for (answer, whole) in [(input, true), (rest.as_bytes(), true), (input, false)] {
                let Ok(value) = extractor.read(answer, whole) else { continue };
                let text = String::from_utf8_lossy(answer);
                let is_there = match &extract {
                    Extract::FirstLine => {
                        text.lines().find(|line| !line.trim().is_empty()).map(str::trim) == Some(value.as_str())
                    }
                    Extract::Regex(_) => text.contains(&value),
                    Extract::Json(pointer) => {
                        let json: serde_json::Value = serde_json::from_slice(answer).unwrap();
                        let there = json.pointer(pointer).unwrap();
                        whole
                            && (there.as_str().map(str::trim) == Some(value.as_str())
                                || serde_json::to_string(there).unwrap() == value)
                    }
                };
                if !is_there {
                    return Err(format!("{extract:?} found {value:?}"));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn event_streams() {
    const MAX: usize = 4096;
    let words = [
        "data: ",
        "event: ",
        "id: 7\n",
        ":\n",
        "\n\n",
        "\r\n\r\n",
        "\r",
        "data",
        "data:\n",
        "retry: 1\n",
        "\u{feff}",
        "event: closed\ndata: {}\n\n",
    ];
    run(Target { name: "sse", cases: 2000, words: &words, more: Vec::new() }, |input| {
        let mut random = Random::new(input.len() as u64);
        let mut read = |most: usize| {
            let (mut parser, mut frames, mut rest) = (sse::Parser::new(MAX), Vec::new(), input);
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((random.below(most) + 1).min(rest.len()));
                rest = after;
                match parser.push(piece) {
                    Ok(more) => frames.extend(more),
                    Err(error) => return (frames, Some(error)),
                }
            }
            (frames, None)
        };
        let (byte_by_byte, in_pieces) = (read(1), read(700));
        let text = String::from_utf8_lossy(input);
        for frame in byte_by_byte.0.iter().chain(&in_pieces.0) {
            if !frame.data.split('\n').all(|line| text.contains(line)) || !text.contains(&frame.name) {
                return Err(format!("a frame from nowhere: {frame:?}"));
            }
        }
        // However it is cut, the same events; only the moment at which a stream that is none is given up may differ.
        let same = byte_by_byte.0.iter().zip(&in_pieces.0).all(|(one, other)| one == other);
        let both_whole = byte_by_byte.1.is_none() && in_pieces.1.is_none();
        if !same || both_whole && byte_by_byte.0.len() != in_pieces.0.len() {
            return Err(format!("{byte_by_byte:?} or {in_pieces:?}"));
        }
        Ok(())
    });
}
