//! Just enough of Rust's grammar: text without comments and strings, without unit tests, and the paths that it names.

/// A source file, prepared.
pub(crate) struct Source {
    /// The module that it is or belongs to: `fleet` for `fleet/process.rs`, empty for `lib.rs`.
    pub(crate) module: String,
    /// The path of its own module: `["fleet", "process"]`.
    pub(crate) modules: Vec<String>,
    /// The code: comments and unit tests blanked, text and characters made quotes; lines stand where they stood.
    pub(crate) code: String,
    /// The modules that it declares as unit tests in files of their own.
    pub(crate) test_modules: Vec<Vec<String>>,
    /// True for such a file.
    pub(crate) is_test: bool,
}

/// A path as code names it, from the crate's root, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl Source {
    /// Prepares the file at `place` (from `src/`).
    pub(crate) fn read(place: &str, text: &str) -> Self {
        let stem = place.trim_end_matches(".rs");
        let modules: Vec<String> = if stem == "lib" { Vec::new() } else { stem.split('/').map(str::to_owned).collect() };
        let (code, test_modules) = blank_tests(&blank_strings_and_comments(text));
        let test_modules = test_modules.into_iter().map(|name| [modules.as_slice(), &[name]].concat()).collect();
        Self { module: modules.first().cloned().unwrap_or_default(), modules, code, test_modules, is_test: false }
    }

    /// The same as a file of unit tests: none of its code counts.
    pub(crate) fn into_test(mut self) -> Self {
        self.code = blank(&self.code, 0, self.code.len());
        self.is_test = true;
        self
    }

    /// Every path that starts at the crate's root, by `crate::`, by enough `super::`, or in the binary by the crate's name.
    pub(crate) fn crate_paths(&self) -> Vec<Named> {
        let mut found = Vec::new();
        let roots: &[&str] = if self.modules == ["main"] { &["crate", "rollout"] } else { &["crate"] };
        for root in roots {
            for at in words(&self.code, root) {
                if let Some(rest) = after_colons(&self.code, at + root.len()) {
                    self.expand(rest, &[], &mut found);
                }
            }
        }
        for at in words(&self.code, "super") {
            // Only the first of a chain begins a path.
            if self.code[..at].trim_end().ends_with("::") {
                continue;
            }
            let (mut here, mut ups) = (at, 0);
            while self.code[here..].starts_with("super") {
                ups += 1;
                let Some(rest) = after_colons(&self.code, here + "super".len()) else { break };
                here = rest;
            }
            let kept = self.modules.len().saturating_sub(ups);
            self.expand(here, &self.modules[..kept], &mut found);
        }
        found
    }

    /// Reads the path or group at `at` and adds what it names, each with `before` in front.
    fn expand(&self, at: usize, before: &[String], found: &mut Vec<Named>) {
        let start = at + (self.code[at..].len() - self.code[at..].trim_start().len());
        let rest = &self.code[start..];
        if rest.starts_with('{') {
            for item in group(rest) {
                self.expand(start + item, before, found);
            }
            return;
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '*')).collect();
        if name.is_empty() {
            return;
        }
        let mut path = before.to_vec();
        if name != "self" {
            path.push(name.clone());
        }
        match after_colons(&self.code, start + name.len()) {
            Some(next) if !self.code[next..].trim_start().starts_with('<') => self.expand(next, &path, found),
            Some(_) | None => found.push(Named { path, line: line_of(&self.code, start) }),
        }
    }
}

/// Where each item of the group begins that `text` opens with.
fn group(text: &str) -> Vec<usize> {
    let (mut depth, mut items, mut open) = (0, Vec::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '{' => {
                depth += 1;
                open |= depth == 1;
                if depth == 1 {
                    continue;
                }
            }
            '}' => depth -= 1,
            ',' if depth == 1 => {
                open = true;
                continue;
            }
            _ => (),
        }
        if depth == 0 {
            break;
        }
        if open && !c.is_whitespace() {
            items.push(at);
            open = false;
        }
    }
    items
}

/// The place behind `::`, if that is what follows.
fn after_colons(code: &str, at: usize) -> Option<usize> {
    let rest = &code[at..];
    let colons = rest.trim_start();
    colons.starts_with("::").then(|| at + (rest.len() - colons.len()) + 2)
}

/// Where `word` stands alone.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let places = code.match_indices(word).map(|(at, _)| at);
    places.filter(|at| !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part)).collect()
}

/// The line, from 1, of the byte at `at`.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// `text` with everything from `from` to `to` but its lines' ends replaced by blanks.
fn blank(text: &str, from: usize, to: usize) -> String {
    let inner = text[from..to].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
    text[..from].chars().chain(inner).chain(text[to..].chars()).collect()
}

/// Blanks each `#[cfg(test)]` item, and names those that are modules in files of their own.
fn blank_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut code, mut modules) = (code.to_owned(), Vec::new());
    while let Some(from) = code.find(MARK) {
        let rest = &code[from..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let to = if let Some(brace) = rest.find('{').filter(|brace| *brace < semicolon) {
            brace + closing(&rest[brace..])
        } else {
            let item = rest[MARK.len().min(semicolon)..semicolon].trim();
            modules.extend(item.rsplit_once("mod ").map(|(_, name)| name.trim().to_owned()));
            semicolon
        };
        code = blank(&code, from, from + to.min(rest.len()));
    }
    (code, modules)
}

/// The length of the block that `text` opens with.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// Blanks comments, fills string and character literals with quotes, and blanks whatever else is not ASCII, so that bytes
/// and characters agree.
fn blank_strings_and_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = bytes.iter().map(|b| if b.is_ascii() { *b } else { b' ' }).collect();
    let mut at = 0;
    while at < bytes.len() {
        let length = literal(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        // A line of a long string is a line of code; a line of a comment is none.
        let filler = if bytes[at] == b'/' { b' ' } else { b'"' };
        for byte in &mut out[at..at + length] {
            if *byte != b'\n' {
                *byte = filler;
            }
        }
        at += length.max(1);
    }
    String::from_utf8(out).unwrap()
}

/// The length of the comment or literal that `rest` begins with, 0 for neither.
fn literal(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, 1),
        [b'b' | b'c', b'"', ..] if !in_word => quoted(rest, 2),
        [b'r', b'"' | b'#', ..] if !in_word => raw(rest, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => raw(rest, 2),
        [b'\'', b'\\', ..] => 2 + rest[2..].iter().skip(1).position(|b| *b == b'\'').map_or(rest.len() - 2, |end| end + 2),
        // A character, ASCII or not; otherwise a lifetime.
        [b'\'', ..] => {
            rest.iter().take(6).skip(2).position(|b| *b == b'\'').filter(|n| *n == 0 || !rest[1].is_ascii()).map_or(0, |n| n + 3)
        }
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], opening: usize) -> usize {
    let mut at = opening;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw(rest: &[u8], opening: usize) -> usize {
    let hashes = rest[opening..].iter().take_while(|b| **b == b'#').count();
    if rest.get(opening + hashes) != Some(&b'"') {
        return 0; // A raw identifier.
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = opening + hashes + 1;
    rest[body..].windows(end.len()).position(|window| window == end).map_or(rest.len(), |at| body + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(place: &str, text: &str) -> Vec<String> {
        Source::read(place, text).crate_paths().iter().map(|named| format!("{}:{}", named.line, named.path.join("::"))).collect()
    }

    #[test]
    fn nested_groups_are_expanded_with_their_lines() {
        let text = "use crate::{\n    core::{self, waiting},\n    model::*,\n    tui,\n};\nfn f(x: crate::fleet::Settings) {}\n";
        assert_eq!(paths("app.rs", text), ["2:core", "2:core::waiting", "3:model::*", "4:tui", "6:fleet::Settings"]);
    }

    #[test]
    fn supers_are_followed_up_to_the_root() {
        assert_eq!(paths("traffic/haproxy.rs", "use super::super::fleet::Settings;"), ["1:fleet::Settings"]);
        assert_eq!(paths("traffic/haproxy.rs", "use super::HaproxySettings;"), ["1:traffic::HaproxySettings"]);
        assert_eq!(paths("demo.rs", "use super::{fleet, model};"), ["1:fleet", "1:model"]);
    }

    #[test]
    fn the_binary_names_the_library() {
        assert_eq!(paths("main.rs", "fn main() { rollout::cli::run(); }"), ["1:cli::run"]);
        assert_eq!(paths("app.rs", "fn f() { rollout::cli::run(); }"), Vec::<String>::new());
    }

    #[test]
    fn comments_strings_and_tests_name_nothing() {
        let text = "// crate::a\n/* crate::b /* crate::c */ crate::d */\nconst X: &str = \"crate::e \\\" crate::f\";\n\
                    const Y: &str = r#\"crate::g \" crate::h\"#;\nconst Z: char = '\"'; fn f<'a>(x: &'a str) { crate::i::j() }\n\
                    #[cfg(test)]\nmod tests { use crate::k; fn f() { { crate::l() } } }\nuse crate::m;\n";
        assert_eq!(paths("a.rs", text), ["5:i::j", "8:m"]);
    }
}
