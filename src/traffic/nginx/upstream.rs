//! The file with nginx's `upstream` block: whose servers are out, and the same text with one of them in or out.
//!
//! Imports: model, its child. May not: open a file, change anything but the words `down`, weights and our own comments.
//!
//! `keepalive`, comments and whatever else stands there are somebody's decision and stay as they are. A server that
//! is `down` without our comment was taken out by somebody else. After we put a server back its comment says so until the
//! file is written again: if nginx has not loaded the file yet, that server may still be out.

mod weights;

use std::ops::Range;

use crate::model::Rotation;

/// What a file begins with that may be changed.
pub(super) const HEADER: &str = "# rollout may change this file";
/// Behind a server that we took out.
const OUT: &str = " # taken out by rollout";
/// Behind a server that we put back.
const BACK: &str = " # put back by rollout";
/// Behind a server that we added.
const ADDED: &str = " # added by rollout";

/// What is wanted of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Out,
    In,
    Add,
    Remove,
}

/// How a server stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    In,
    /// In by our last order.
    Back,
    /// Out by our order.
    Out,
    /// Out by somebody else's.
    Foreign,
}

impl Standing {
    /// What it means, once nginx has loaded the file, or before that.
    pub(super) fn rotation(self, loaded: bool) -> Rotation {
        match self {
            Self::Foreign => Rotation::Maintenance,
            Self::Out if loaded => Rotation::Draining,
            Self::Back if loaded => Rotation::Serving,
            // What nginx has loaded may be the opposite.
            Self::Out | Self::Back => Rotation::Partly,
            Self::In => Rotation::Serving,
        }
    }
}

/// One `server …;`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    address: String,
    /// From `server` to its semicolon, both included.
    text: Range<usize>,
    /// Where its address ends.
    named: usize,
    /// ` weight=N`, with the blanks before it.
    weight: Option<(Range<usize>, u64)>,
    /// ` down`, with the blanks before it.
    down: Option<Range<usize>>,
    /// Our comments behind it.
    mark: Option<(Range<usize>, &'static str)>,
    added: Option<Range<usize>>,
}

impl Server {
    fn standing(&self) -> Standing {
        match (&self.down, &self.mark) {
            (Some(_), Some((_, OUT))) => Standing::Out,
            (Some(_), _) => Standing::Foreign,
            (None, Some((_, BACK))) => Standing::Back,
            (None, _) => Standing::In,
        }
    }
}

/// The file, read.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    text: String,
    servers: Vec<Server>,
    /// A directive by which a weight is no share of the requests.
    by: Option<String>,
    /// Where the block's opening brace is.
    begin: usize,
    /// Where its closing brace is.
    end: usize,
}

impl Upstream {
    /// Reads the block `upstream NAME { … }` of a file.
    pub(super) fn read(text: &str, name: &str) -> Result<Self, String> {
        if !text.starts_with(HEADER) {
            return Err(format!("is not for us to change; make its first line {HEADER:?} if it is"));
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err("is not written in UTF-8".to_owned());
        }
        let (mut servers, mut statement, mut depth, mut inside) = (Vec::new(), Vec::<Range<usize>>::new(), 0_u32, None);
        let (mut begin, mut by) = (0, None);
        for word in (Words { text, at: 0 }) {
            match (text.get(word.clone()).unwrap_or_default(), inside) {
                ("{", _) => {
                    depth += 1;
                    let ours = matches!(&*spoken(text, &statement), [first, second] if *first == "upstream" && *second == name);
                    if ours && inside.is_none() {
                        (inside, begin) = (Some(depth), word.start);
                    }
                    statement.clear();
                }
                ("}", Some(level)) if level == depth => {
                    return Ok(Self { text: text.to_owned(), servers, by, begin, end: word.start });
                }
                ("}", _) => {
                    depth = depth.checked_sub(1).ok_or("has a } too many")?;
                    statement.clear();
                }
                (";", Some(level)) if level == depth => {
                    servers.extend(server(text, &statement, word.end));
                    by = by.or_else(|| weights::no_share(&spoken(text, &statement)));
                    statement.clear();
                }
                (";", _) => statement.clear(),
                _ => statement.push(word),
            }
        }
        Err(match inside {
            Some(_) => format!("ends within upstream {name}"),
            None => format!("has no upstream {name}; see [traffic] upstream"),
        })
    }

    /// How the server stands; the one that is in longest, if it stands there more than once.
    pub(super) fn standing(&self, address: &str) -> Option<Standing> {
        self.servers.iter().filter(|server| server.address == address).map(Server::standing).min()
    }

    /// True if we added it.
    pub(super) fn was_added(&self, address: &str) -> bool {
        self.servers.iter().any(|server| server.address == address && server.added.is_some())
    }

    /// The same file with these wishes; what cannot be done, or is done, is left out. If nginx has `loaded` it, the comments
    /// about those that were put back go.
    pub(super) fn with(&self, wishes: &[(String, Wish)], loaded: bool) -> String {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        for server in &self.servers {
            let wish = wishes.iter().find(|(address, _)| *address == server.address).map(|(_, wish)| *wish);
            edits.extend(self.of_one(server, wish, loaded));
        }
        let known = |address: &String| self.servers.iter().any(|server| server.address == *address);
        let new = wishes.iter().filter(|(address, wish)| *wish == Wish::Add && !known(address));
        let lines = new.fold(String::new(), |text, (address, _)| text + &format!("    server {address};{BACK}{ADDED}\n"));
        if !lines.is_empty() {
            edits.push((self.line_of_end(), lines));
        }
        edits.sort_by_key(|(range, _)| range.start);
        let mut text = self.text.clone();
        for (range, new) in edits.iter().rev() {
            text.replace_range(range.clone(), new);
        }
        text
    }

    /// Before the brace: on a line of its own if the brace has one.
    fn line_of_end(&self) -> Range<usize> {
        let before = self.text.get(..self.end).unwrap_or_default();
        let start = before.trim_end_matches([' ', '\t']).len();
        if before.get(..start).is_some_and(|text| text.ends_with('\n')) { start..start } else { self.end..self.end }
    }

    fn of_one(&self, server: &Server, wish: Option<Wish>, loaded: bool) -> Vec<(Range<usize>, String)> {
        let unmark = || server.mark.iter().map(|(range, _)| (range.clone(), String::new()));
        let behind = server.text.end..server.text.end;
        // A comment reaches to the end of its line: what stands behind the server must not become one.
        let rest = self.text.get(server.text.end..).unwrap_or_default().lines().next().unwrap_or_default();
        let line = if rest.trim().is_empty() || rest.trim_start().starts_with('#') { "" } else { "\n" };
        match (wish, server.standing()) {
            (Some(Wish::Out), Standing::In | Standing::Back) => {
                let before_semicolon = server.text.end - 1;
                let mark = match &server.mark {
                    Some((range, _)) => (range.clone(), OUT.to_owned()),
                    None => (behind, format!("{OUT}{line}")),
                };
                vec![(before_semicolon..before_semicolon, " down".to_owned()), mark]
            }
            (Some(Wish::In), Standing::Out) => {
                let (down, mark) = (server.down.clone(), server.mark.clone());
                let down = down.map(|range| (range, String::new()));
                let mark = mark.map(|(range, _)| (range, BACK.to_owned()));
                down.into_iter().chain(mark).collect()
            }
            (Some(Wish::Remove), _) if server.added.is_some() => {
                let whole = self.text.get(server.text.end..).unwrap_or_default().find('\n').map(|at| server.text.end + at + 1);
                let blanks = self.text.get(..server.text.start).unwrap_or_default().trim_end_matches([' ', '\t']).len();
                vec![(blanks..whole.unwrap_or(server.text.end), String::new())]
            }
            (_, Standing::In) => unmark().collect(),
            (None | Some(Wish::Add | Wish::Remove), Standing::Back) if loaded => unmark().collect(),
            (_, Standing::Back | Standing::Out | Standing::Foreign) => Vec::new(),
        }
    }
}

fn spoken<'a>(text: &'a str, statement: &[Range<usize>]) -> Vec<&'a str> {
    statement.iter().map(|word| text.get(word.clone()).unwrap_or_default().trim_matches(['"', '\''])).collect()
}

/// A server, if the statement is one. `end` is behind its semicolon.
fn server(text: &str, statement: &[Range<usize>], end: usize) -> Option<Server> {
    let spoken = spoken(text, statement);
    let (["server", address, ..], [first, second, parameters @ ..]) = (&*spoken, statement) else { return None };
    let with_blanks = |word: &Range<usize>| text.get(..word.start).unwrap_or_default().trim_end().len()..word.end;
    let down = parameters.iter().find(|word| text.get((*word).clone()) == Some("down")).map(with_blanks);
    let weight = parameters.iter().find_map(|word| {
        let weight = text.get(word.clone())?.trim_matches(['"', '\'']).strip_prefix("weight=")?.parse().ok()?;
        Some((with_blanks(word), weight))
    });
    let behind = text.get(end..).unwrap_or_default().lines().next().unwrap_or_default();
    let mark = [OUT, BACK].into_iter().find(|mark| behind.starts_with(mark));
    let from = end + mark.map_or(0, str::len);
    let added = text.get(from..).is_some_and(|rest| rest.starts_with(ADDED)).then(|| from..from + ADDED.len());
    let mark = mark.map(|mark| (end..from, mark));
    Some(Server { address: (*address).to_owned(), text: first.start..end, named: second.end, weight, down, mark, added })
}

/// The words of an nginx configuration, with `{`, `}` and `;` as words of their own and without comments.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            let rest = self.text.get(self.at..)?;
            match rest.chars().next()? {
                '#' => self.at += rest.find('\n').unwrap_or(rest.len()),
                '{' | '}' | ';' => return Some(self.take(1)),
                quote @ ('"' | '\'') => return Some(self.take(quoted(rest, quote))),
                _ => return Some(self.take(plain(rest))),
            }
        }
    }
}

impl Words<'_> {
    fn take(&mut self, length: usize) -> Range<usize> {
        let start = self.at;
        self.at += length;
        start..self.at
    }
}

/// The length of a word in quotes, both included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// The length of a word without quotes; `${name}` is part of it.
fn plain(rest: &str) -> usize {
    let (mut escaped, mut variable, mut before) = (false, false, ' ');
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' if before == '$' => variable = true,
            '}' if variable => variable = false,
            '{' | '}' | ';' => return at,
            c if c.is_whitespace() => return at,
            _ => {}
        }
        before = c;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# rollout may change this file\n\
        map $http_upgrade $up { default \"}\"; ${x} '{'; }\n\
        # upstream shop { server 9.9.9.9; }\n\
        upstream other { server 10.0.0.1:80; }\n\
        upstream shop {\n    least_conn;\n    server 10.0.0.1:80 weight=3 max_fails=2;\n    \
        server 10.0.0.2:80; # rack 7\n    server 10.0.0.3:80 down; # broken disk\n    \
        server 10.0.0.4:80; server \"10.0.0.5:80\" backup;\n    keepalive 16;\n}\n\
        server { listen 80; }\n";

    fn wish(address: &str, wish: Wish) -> Vec<(String, Wish)> {
        vec![(address.to_owned(), wish)]
    }

    fn read(text: &str) -> Upstream {
        Upstream::read(text, "shop").unwrap()
    }

    #[test]
    fn servers_are_found_with_their_standing() {
        let file = read(FILE);
        let addresses: Vec<&str> = file.servers.iter().map(|server| server.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"]);
        assert_eq!(file.standing("10.0.0.1:80"), Some(Standing::In));
        assert_eq!(file.standing("10.0.0.3:80"), Some(Standing::Foreign));
        assert_eq!(file.standing("9.9.9.9"), None);
    }

    #[test]
    fn out_and_in_again_leave_everything_else_as_it_was() {
        for address in ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.4:80", "10.0.0.5:80"] {
            let out = read(&read(FILE).with(&wish(address, Wish::Out), true));
            assert_eq!(out.standing(address), Some(Standing::Out), "{}", out.text);
            assert_eq!(out.servers.len(), 5, "{}", out.text);
            assert_eq!(out.with(&wish(address, Wish::Out), true), out.text, "twice is once");
            let back = read(&out.with(&wish(address, Wish::In), true));
            assert_eq!(back.standing(address), Some(Standing::Back), "{}", back.text);
            assert_eq!(back.with(&wish(address, Wish::In), true), back.text, "twice is once");
            let settled = back.with(&[], true);
            let without_breaks = |text: &str| text.replace('\n', "");
            assert_eq!(without_breaks(&settled), without_breaks(FILE));
        }
        let out = read(FILE).with(&wish("10.0.0.1:80", Wish::Out), true);
        assert!(out.contains("    server 10.0.0.1:80 weight=3 max_fails=2 down; # taken out by rollout\n"), "{out}");
        let out = read(FILE).with(&wish("10.0.0.2:80", Wish::Out), true);
        assert!(out.contains("    server 10.0.0.2:80 down; # taken out by rollout # rack 7\n"), "{out}");
    }

    #[test]
    fn what_somebody_else_took_out_stays_out() {
        for order in [Wish::In, Wish::Out, Wish::Remove] {
            assert_eq!(read(FILE).with(&wish("10.0.0.3:80", order), true), FILE, "{order:?}");
        }
        let out = read(FILE).with(&wish("10.0.0.1:80", Wish::Out), true).replace("taken out by rollout", "on fire");
        assert_eq!(read(&out).standing("10.0.0.1:80"), Some(Standing::Foreign), "another comment, another owner");
        let back = read(FILE).with(&wish("10.0.0.1:80", Wish::Out), true).replace(" down; # taken", "; # taken");
        assert_eq!(read(&back).standing("10.0.0.1:80"), Some(Standing::In), "somebody put it back");
        let again = read(&back).with(&wish("10.0.0.1:80", Wish::Out), true);
        assert_eq!(again.matches("taken out by rollout").count(), 1, "{again}");
    }

    #[test]
    fn servers_are_added_once_and_only_those_are_removed() {
        let added = read(FILE).with(&wish("10.0.0.9:80", Wish::Add), true);
        assert!(
            added.contains("    keepalive 16;\n    server 10.0.0.9:80; # put back by rollout # added by rollout\n}\n"),
            "{added}"
        );
        assert_eq!(read(&added).with(&wish("10.0.0.9:80", Wish::Add), true).replace(BACK, ""), added.replace(BACK, ""));
        let out = read(&added).with(&wish("10.0.0.9:80", Wish::Out), true);
        assert!(read(&out).was_added("10.0.0.9:80") && !read(&out).was_added("10.0.0.1:80"), "{out}");
        assert_eq!(read(&out).with(&wish("10.0.0.9:80", Wish::Remove), true), FILE);
        assert_eq!(read(&out).with(&wish("10.0.0.1:80", Wish::Remove), true), out);
    }

    #[test]
    fn files_that_cannot_be_changed_say_why() {
        assert!(Upstream::read("upstream shop { }", "shop").unwrap_err().contains(HEADER));
        let of = |body: &str| Upstream::read(&format!("{HEADER}\n{body}"), "shop").unwrap_err();
        assert!(of("upstream other { server a; }").contains("no upstream shop"));
        assert!(of("upstream shop { server a;").contains("ends within"));
        assert!(of("}").contains("too many"));
        assert!(of("# \u{fffd}").contains("UTF-8"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for cut in 0..FILE.len() {
            for byte in ['{', '}', ';', '"', '\'', '#', '\\', '\n', 'ü'] {
                let text = format!("{}{byte}{}", &FILE[..cut], &FILE[cut + 1..]);
                if let Ok(file) = Upstream::read(&text, "shop") {
                    file.with(&[("10.0.0.1:80".to_owned(), Wish::Out), ("10.0.0.9:80".to_owned(), Wish::Add)], true);
                }
            }
        }
    }
}
