//! Takes values of the environment out of texts again, however they are written there, and wherever they are cut or broken.
//!
//! Imports: nothing. May not: print a value; know where a text comes from.
//!
//! A value is looked for character by character: each may stand for itself or be escaped, as programs, shells, URLs and
//! JSON do it, and a line may end behind it. What has no characters in common with the value (base64, hexadecimal) is
//! looked for as a value of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// Shorter values are not looked for in texts: they stand in every second word.
const SHORTEST: usize = 6;
/// Where a text was cut off.
const CUT: char = '…';
/// What is left of an escape that was cut is not longer.
const ESCAPE_MAX: usize = 9;
/// A text that was quoted again and again has so many backslashes before a character.
const BACKSLASHES_MAX: usize = 8;

/// The values that a configuration took from the environment. `Debug` shows only their names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redactor {
    patterns: Vec<Pattern>,
}

/// One way of writing a value, without the ends of its lines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    chars: Vec<char>,
    name: String,
}

impl Redactor {
    /// Of variables and their values.
    pub(super) fn new(used: impl IntoIterator<Item = (String, String)>) -> Self {
        let patterns = |(name, value): (String, String)| {
            spellings(&value).into_iter().map(move |spelled| Pattern { chars: spelled, name: name.clone() })
        };
        Self { patterns: used.into_iter().flat_map(patterns).collect::<BTreeSet<_>>().into_iter().collect() }
    }

    /// The names of the variables.
    pub fn names(&self) -> BTreeSet<&str> {
        self.patterns.iter().map(|pattern| pattern.name.as_str()).collect()
    }

    /// `text` with every value that came from the environment written as `${VAR}` again. To be used on whatever is
    /// shown, logged or journalled and may repeat a setting, like the error of a balancer.
    pub fn redact(&self, text: &str) -> String {
        if self.patterns.is_empty() {
            return text.to_owned();
        }
        let mut found: Vec<(Range<usize>, &str)> = Vec::new();
        for (at, first) in text.char_indices() {
            let rest = text.get(at..).unwrap_or_default();
            for pattern in self.patterns.iter().filter(|pattern| pattern.may_begin_with(first)) {
                if let Some(length) = matched(&pattern.chars, rest) {
                    found.push((at..at + length, &pattern.name));
                }
            }
            if first == CUT {
                let after = at + CUT.len_utf8();
                let rest = text.get(after..).unwrap_or_default();
                let ends = self.patterns.iter().filter_map(|pattern| Some((pattern.end_of_cut(rest)?, pattern)));
                found.extend(ends.map(|(length, pattern)| (after..after + length, pattern.name.as_str())));
            }
        }
        replaced(text, found)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The text with names in place of what was found; what overlaps is one, with the name of the longest.
fn replaced(text: &str, mut found: Vec<(Range<usize>, &str)>) -> String {
    found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    let mut found = found.into_iter().peekable();
    while let Some((mut range, mut name)) = found.next() {
        let mut longest = range.len();
        while let Some((more, other)) = found.next_if(|(next, _)| next.start < range.end) {
            if more.len() > longest {
                (name, longest) = (other, more.len());
            }
            range.end = range.end.max(more.end);
        }
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.extend(["${", name, "}"]);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

impl Pattern {
    /// Whether a text that begins with `first` may begin with it.
    fn may_begin_with(&self, first: char) -> bool {
        matches!(first, '%' | '\\' | '&' | '\'' | '+') || self.chars.first() == Some(&first)
    }

    /// How much of a text whose beginning was cut off is the end of this.
    fn end_of_cut(&self, rest: &str) -> Option<usize> {
        let breaks = breaks(rest);
        let rest = rest.get(breaks..)?;
        // An escape may have been cut, of which a few characters are left.
        let begins = rest.char_indices().map(|(at, _)| at).take(ESCAPE_MAX);
        let ends = (1..self.chars.len()).filter_map(|skipped| self.chars.get(skipped..)).filter(|end| end.len() >= SHORTEST);
        let at = |begin: usize| {
            let text = rest.get(begin..)?;
            ends.clone().find_map(|end| matched(end, text)).map(|length| breaks + begin + length)
        };
        let mut begins = begins.filter(|begin| *begin == 0 || rest.get(..*begin).is_some_and(is_rest_of_escape));
        begins.find_map(at)
    }
}

/// What may be left of an escape whose beginning was cut off: `F`, `2F`, `27}`.
fn is_rest_of_escape(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, 'u' | 'x' | '{' | '}' | '\\' | '\'' | '"' | ';'))
}

/// The longest beginning of `text` that is `chars`, or their beginning if the text is cut off within them.
fn matched(chars: &[char], text: &str) -> Option<usize> {
    let mut places = vec![0];
    let (mut next, mut cut) = (Vec::new(), None);
    for (number, c) in chars.iter().enumerate() {
        next.clear();
        for &place in &places {
            let mut place = place;
            if number > 0 {
                // The longest way: what ends a line may also be a character of the value.
                spelled(*c, text.get(place..).unwrap_or_default(), |length| next.push(place + length));
                let broken = breaks(text.get(place..).unwrap_or_default());
                if number >= SHORTEST && is_cut(text.get(place + broken..).unwrap_or_default()) {
                    cut = Some(place);
                }
                if broken == 0 {
                    continue;
                }
                place += broken;
            }
            spelled(*c, text.get(place..).unwrap_or_default(), |length| next.push(place + length));
        }
        if next.is_empty() {
            return cut;
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut places, &mut next);
    }
    places.into_iter().max()
}

/// The text ends here, by a cut, or within an escape that was cut.
fn is_cut(rest: &str) -> bool {
    let Some((before, _)) = rest.split_once(CUT) else { return false };
    before.is_empty() || (before.len() <= ESCAPE_MAX && before.starts_with(['%', '\\', '&']))
}

/// How much of the beginning of `text` ends lines: as such, escaped, or as it is written where lines are shown in one.
fn breaks(text: &str) -> usize {
    const BREAKS: [&str; 14] =
        ["\r", "\n", " | ", "\\r", "\\n", "\\\\r", "\\\\n", "%0D", "%0A", "%0d", "%0a", "\\u{a}", "\\u000a", "\\012"];
    let mut length = 0;
    while let Some(found) = BREAKS.iter().find(|found| text.get(length..).is_some_and(|rest| rest.starts_with(**found))) {
        length += found.len();
    }
    length
}

/// Tells each length of the beginning of `text` that stands for `c`.
fn spelled(c: char, text: &str, mut tell: impl FnMut(usize)) {
    if text.starts_with(c) {
        tell(c.len_utf8());
    }
    match text.as_bytes().first() {
        Some(b'%') => told(percent(c, text), tell),
        Some(b'+') if c == ' ' => tell(1),
        Some(b'&') => told(entity(c, text), tell),
        // The two ways of shells to write a quote within quotes.
        Some(b'\'') if c == '\'' => {
            for way in ["'\\''", "'\"'\"'"] {
                told(text.starts_with(way).then_some(way.len()), &mut tell);
            }
        }
        Some(b'\\') => escaped(c, text, tell),
        _ => {}
    }
}

fn told(length: Option<usize>, mut tell: impl FnMut(usize)) {
    if let Some(length) = length {
        tell(length);
    }
}

/// `%C3%A9`, in capitals or not.
fn percent(c: char, text: &str) -> Option<usize> {
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).as_bytes();
    let same = bytes.iter().enumerate().all(|(number, byte)| {
        let digits = text.get(3 * number..3 * number + 3).and_then(|text| text.strip_prefix('%'));
        digits.is_some_and(|digits| number_of(digits, 16) == Some(u32::from(*byte)))
    });
    same.then_some(3 * bytes.len())
}

/// `&quot;`, `&#34;`, `&#x22;`.
fn entity(c: char, text: &str) -> Option<usize> {
    let (name, _) = text.get(1..)?.split_once(';').filter(|(name, _)| name.len() < ESCAPE_MAX)?;
    let meant = match (name, name.strip_prefix('#')) {
        ("quot", _) => Some('"'),
        ("amp", _) => Some('&'),
        ("lt", _) => Some('<'),
        ("gt", _) => Some('>'),
        ("apos", _) => Some('\''),
        (_, Some(number)) => match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => number_of(hexadecimal, 16),
            None => number_of(number, 10),
        }
        .and_then(char::from_u32),
        (_, None) => None,
    };
    (meant == Some(c)).then_some(name.len() + 2)
}

/// After one backslash or several: the character itself, its letter (`\t`), or its number in one of many ways.
fn escaped(c: char, text: &str, mut tell: impl FnMut(usize)) {
    let backslashes = text.bytes().take_while(|byte| *byte == b'\\').take(BACKSLASHES_MAX).count();
    if c == '\\' {
        (2..=backslashes).for_each(tell);
        return;
    }
    let rest = text.get(backslashes..).unwrap_or_default();
    let letter = match c {
        '\t' => Some('t'),
        '\u{1b}' => Some('e'),
        '\0' => Some('0'),
        _ => None,
    };
    for letter in letter.into_iter().chain(Some(c).filter(|c| !c.is_ascii_alphanumeric())) {
        told(rest.starts_with(letter).then_some(backslashes + letter.len_utf8()), &mut tell);
    }
    told(unicode(c, rest).map(|length| backslashes + length), &mut tell);
    // Byte by byte: `\xc3\xa9`, `\303\251`.
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).as_bytes();
    for (prefix, digits, radix) in [("x", 2, 16), ("", 3, 8)] {
        told(byte_by_byte(bytes, rest, (prefix, digits, radix)).map(|length| backslashes + length), &mut tell);
    }
}

/// `u{e9}`, `u00e9`, and pairs of the latter.
fn unicode(c: char, rest: &str) -> Option<usize> {
    if let Some(braced) = rest.strip_prefix("u{") {
        let (digits, _) = braced.split_once('}')?;
        return (number_of(digits, 16) == Some(u32::from(c))).then_some(digits.len() + 3);
    }
    let (mut units, mut at) = ([0; 2], 0);
    for unit in c.encode_utf16(&mut units) {
        let backslashes = rest.get(at..)?.bytes().take_while(|byte| *byte == b'\\').count();
        at += if at == 0 { 0 } else { backslashes };
        let digits = rest.get(at..at + 5)?.strip_prefix('u')?;
        if number_of(digits, 16) != Some(u32::from(*unit)) {
            return None;
        }
        at += 5;
    }
    Some(at)
}

fn byte_by_byte(bytes: &[u8], rest: &str, (prefix, digits, radix): (&str, usize, u32)) -> Option<usize> {
    let mut at = 0;
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 {
            at += rest.get(at..)?.bytes().take_while(|byte| *byte == b'\\').count();
        }
        let written = rest.get(at..)?.strip_prefix(prefix)?.get(..digits)?;
        if number_of(written, radix) != Some(u32::from(*byte)) {
            return None;
        }
        at += prefix.len() + digits;
    }
    Some(at)
}

fn number_of(digits: &str, radix: u32) -> Option<u32> {
    if digits.chars().all(|c| c.is_digit(radix)) { u32::from_str_radix(digits, radix).ok() } else { None }
}

/// The value itself, each of its lines, and all of it in base64 and hexadecimal.
fn spellings(value: &str) -> BTreeSet<Vec<char>> {
    let mut all: BTreeSet<String> = [value.to_owned(), value.trim().to_owned()].into();
    all.extend(value.lines().map(|line| line.trim().to_owned()));
    // What the parts of a URL make of it.
    let in_url = value.trim().replace('\t', "");
    all.extend([in_url.replace('\\', "/"), in_url]);
    for whole in [value, value.trim()].into_iter().filter(|whole| whole.len() >= SHORTEST) {
        let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
        let hexadecimal: String = whole.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        all.extend([hexadecimal.to_uppercase(), hexadecimal]);
        for before in 0..3 {
            let encoded = base64(whole.as_bytes(), before);
            all.extend([encoded.replace('+', "-").replace('/', "_"), encoded]);
        }
    }
    let without_breaks = |text: String| text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect::<Vec<char>>();
    let long_enough = |chars: &Vec<char>| chars.iter().map(|c| c.len_utf8()).sum::<usize>() >= SHORTEST;
    all.into_iter().map(without_breaks).filter(long_enough).collect()
}

/// The characters that stand for nothing but `bytes` where so many others come before them. Every character is six bits.
fn base64(bytes: &[u8], before: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
    let sextet = |number: usize| {
        let bit = |bit: usize| padded.get(bit / 8).map_or(0, |byte| byte >> (7 - bit % 8) & 1);
        let bits = (6 * number..6 * number + 6).fold(0_usize, |bits, at| bits << 1 | usize::from(bit(at)));
        LETTERS.get(bits).map_or(' ', |letter| char::from(*letter))
    };
    ((8 * before).div_ceil(6)..8 * padded.len() / 6).map(sextet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::text;

    fn redactor(value: &str) -> Redactor {
        Redactor::new([("TOKEN".to_owned(), value.to_owned())])
    }

    #[test]
    fn a_value_is_found_however_it_is_written() {
        let value = "tok \"q\\ \té/?ü{x}'$&";
        let redactor = redactor(value);
        let url = |base: &str| reqwest::Url::parse(&format!("{base}{}&more", value.replace('&', "%26"))).unwrap();
        for written in [
            format!("said {value}!"),
            format!("said {value:?}!"),
            text::sanitise(value),
            format!("{:?}", text::sanitise(value)),
            format!("{:?}", format!("{:?}", text::sanitise(value))),
            serde_json::json!({ "k": value }).to_string(),
            serde_json::json!({ "k": serde_json::json!({ "k": value }).to_string() }).to_string(),
            url("http://h/x/").to_string(),
            url("http://h/?k=").to_string(),
            // Shells, Python's json and repr, quote_plus, a byte dump.
            "+ : 'tok \"q\\ \té/?ü{x}'\"'\"'$&'".to_owned(),
            "'tok \"q\\ \té/?ü{x}'\\''$&'".to_owned(),
            r#"$'tok "q\\ \t\303\251/?\303\274{x}\'$&'"#.to_owned(),
            r#"tok\ \"q\\\ \	é/\?ü\{x\}\'\$\&"#.to_owned(),
            r#"{"k": "tok \"q\\ \t\u00e9/?\u00fc{x}'$&"}"#.to_owned(),
            r#"b'tok "q\\ \t\xc3\xa9/?\xc3\xbc{x}\'$&'"#.to_owned(),
            "k=tok+%22q%5C+%09%C3%A9%2F%3F%C3%BC%7Bx%7D%27%24%26".to_owned(),
            "k=tok%20%22q%5c%20%09%c3%a9/%3f%c3%bc%7bx%7d'$%26".to_owned(),
            "tok &quot;q\\ &#9;é/?ü{x}&#39;$&amp;".to_owned(),
        ] {
            let clean = redactor.redact(&written);
            assert!(clean.contains("${TOKEN}") && !clean.contains("tok"), "{written} → {clean}");
        }
    }

    #[test]
    fn a_value_is_found_across_lines_and_by_its_lines() {
        let redactor = redactor("-----BEGIN-----\nfirstline\nsecondline\n");
        for written in ["firstl\nine", "firstl | ine", "first\\nline", "firstl\r\nine", "f\ni\nr\ns\nt\nl\nine", "x secondline"] {
            let clean = redactor.redact(written);
            assert!(clean.ends_with("${TOKEN}") && !clean.contains("line"), "{written} → {clean}");
        }
        let whole = "-----BEGIN-----%0Afirstline%0Asecondline%0A; \"-----BEGIN-----\\nfirstline\\nsecondline\\n\"";
        assert_eq!(redactor.redact(whole), "${TOKEN}%0A; \"${TOKEN}\\n\"");
        assert_eq!(redactor.redact("first | line of something else"), "${TOKEN} of something else", "rather too much");
    }

    #[test]
    fn a_value_is_found_in_base64_and_hexadecimal_wherever_it_begins() {
        let redactor = redactor("s3cret-value");
        for (before, encoded) in [
            ("", "czNjcmV0LXZhbHVl"),
            ("u:", "dTpzM2NyZXQtdmFsdWU="),
            ("us:", "dXM6czNjcmV0LXZhbHVl"),
            ("use:", "dXNlOnMzY3JldC12YWx1ZQ=="),
            ("wrapped", "czNjcm\nV0LXZhbHVl"),
            ("in a URL", "czNjcmV0LXZhbHVl%3D"),
            ("hexadecimal", "7333637265742d76616c7565"),
            ("in capitals", "7333637265742D76616C7565"),
        ] {
            let clean = redactor.redact(&format!("Basic {encoded} refused"));
            assert!(clean.contains("${TOKEN}") && clean.len() < "Basic ${TOKEN} refused".len() + 10, "{before}: {clean}");
        }
    }

    #[test]
    fn a_text_that_was_cut_ends_or_begins_in_a_part_of_a_value() {
        let redactor = redactor("tok \"q\\ \té/?ü{x}");
        assert_eq!(redactor.redact("cut: tok \"q\\… and on"), "cut: ${TOKEN}… and on");
        assert_eq!(redactor.redact("cut: tok \"q%5c%20%0… and on"), "cut: ${TOKEN}%0… and on");
        assert_eq!(redactor.redact("…é/?ü{x} refused"), "…${TOKEN} refused");
        assert_eq!(redactor.redact("… | é/?ü{x} refused"), "…${TOKEN} refused");
        assert_eq!(redactor.redact("…5C%20%09é/?ü{x} refused"), "…${TOKEN} refused");
        assert_eq!(redactor.redact("a token… tok…"), "a token… tok…", "too short to be one");
    }

    #[test]
    fn values_that_overlap_leave_nothing_over() {
        let values = [("ONE", "abcdef"), ("TWO", "defghijkl"), ("SHORT", "abc")];
        let redactor = Redactor::new(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(redactor.redact("<abcdefghijkl> abc abcdef"), "<${TWO}> abc ${ONE}");
        assert_eq!(format!("{redactor:?}"), "{\"ONE\", \"TWO\"}");
        assert_eq!(Redactor::default().redact("a\\n…"), "a\\n…");
    }

    #[test]
    fn texts_without_a_value_stay_as_they_are() {
        let redactor = redactor("s3cret-value");
        for same in
            ["", "…", "\\", "\\\\\\", "%", "%%%", "&;", "&#;", "'\\''", "s3cret", "é…é", "\u{1b}[", "\\u{", "\\u{ffffffffff}"]
        {
            assert_eq!(redactor.redact(same), same);
        }
        let long = "s3cret-valu\\".repeat(2000);
        assert_eq!(redactor.redact(&long), long);
    }
}
