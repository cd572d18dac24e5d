//! `${VAR}`: texts that are filled in from the environment, and taken out again before anybody sees them.
//!
//! Imports: os' text. May not: print a value that came from the environment.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::os::text;

/// Shorter values are not looked for in texts: they stand in every second word.
const SHORTEST: usize = 6;
/// `\u{10ffff}`: as long as one character becomes that is written out.
const LONGEST_ESCAPE: usize = 10;

/// A text of the configuration. `Debug` shows it as written, with `${VAR}`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// As written.
    pub(super) raw: String,
    /// With the variables filled in.
    pub(super) full: String,
    /// Filled in likewise, but so that no value can be taken for a part of a template.
    pub(super) template: String,
}

impl Text {
    /// True if a part of it came from the environment.
    pub(super) fn has_variables(&self) -> bool {
        self.raw != self.full
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.raw, f)
    }
}

/// The values that a configuration took from the environment. `Debug` shows only their names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redactor {
    /// Every way in which a value may be written, and its variable; the longest first, so that none is left over in part.
    values: Vec<(String, String)>,
}

impl Redactor {
    /// `text` with every value that came from the environment written as `${VAR}` again. To be used on whatever is
    /// shown, logged or journalled and may repeat a setting, like the error of a balancer.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for (value, name) in &self.values {
            if clean.contains(value) {
                clean = clean.replace(value, &format!("${{{name}}}"));
            }
        }
        self.without_parts(&clean)
    }

    /// A text that was cut off ends, or begins, in a part of a value: `Bearer abcdef…`.
    fn without_parts(&self, text: &str) -> String {
        let pieces: Vec<&str> = text.split(CUT).collect();
        let last = pieces.len() - 1;
        let cleaned = pieces.into_iter().enumerate().map(|(at, piece)| {
            let mut piece = piece.to_owned();
            for (value, name) in &self.values {
                let cuts = || (0..value.len()).filter_map(|at| value.split_at_checked(at));
                let begun = cuts().rev().map(|(begun, _)| begun).find(|begun| begun.len() >= SHORTEST && piece.ends_with(begun));
                if let (true, Some(begun)) = (at < last, begun) {
                    piece = format!("{}${{{name}}}", piece.strip_suffix(begun).unwrap_or_default());
                }
                let rest = cuts().skip(1).map(|(_, rest)| rest).find(|rest| rest.len() >= SHORTEST && piece.starts_with(rest));
                if let (true, Some(rest)) = (at > 0, rest) {
                    piece = format!("${{{name}}}{}", piece.strip_prefix(rest).unwrap_or_default());
                }
            }
            piece
        });
        cleaned.collect::<Vec<_>>().join(CUT)
    }
}

/// Where a text was cut off.
const CUT: &str = "…";

/// The ways in which `value` may be written: as it is, in quotes, with what steers a terminal written out, in a URL.
fn spellings(value: &str) -> BTreeSet<String> {
    let quoted = |text: &str| format!("{text:?}").trim_matches('"').to_owned();
    let harmless = text::sanitise_within(value, value.len().saturating_mul(LONGEST_ESCAPE));
    let json = serde_json::Value::from(value).to_string();
    let mut all = BTreeSet::from([
        value.to_owned(),
        value.trim().to_owned(),
        quoted(value),
        quoted(&harmless),
        harmless,
        json.trim_matches('"').to_owned(),
    ]);
    for base in ["http://localhost/", "http://localhost/?"] {
        let url = reqwest::Url::parse(&format!("{base}{value}"));
        all.extend(url.ok().and_then(|url| url.as_str().strip_prefix(base).map(str::to_owned)));
    }
    all.retain(|spelling| spelling.len() >= SHORTEST);
    all
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&String> = self.values.iter().map(|(_, name)| name).collect();
        f.debug_set().entries(names).finish()
    }
}

/// Fills in variables and remembers what it filled in.
pub(super) struct Secrets<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    used: RefCell<BTreeMap<String, String>>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, used: RefCell::default() }
    }

    /// Reads a variable that is not a secret.
    pub(super) fn plain(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// What was filled in.
    pub(super) fn redactor(self) -> Redactor {
        let used = self.used.into_inner().into_iter();
        let spelled = used.flat_map(|(name, value)| spellings(&value).into_iter().map(move |value| (value, name.clone())));
        let mut values: Vec<(String, String)> = spelled.collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Redactor { values }
    }

    /// Fills in `${VAR}`; `$${` stands for `${`. Returns also what is to be said of it, never with a value.
    pub(super) fn fill(&self, raw: &str) -> (Text, Vec<String>) {
        let mut troubles = Vec::new();
        let (mut full, mut template) = (String::new(), String::new());
        let mut rest = raw;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                for out in [&mut full, &mut template] {
                    out.push_str(before);
                    out.push_str("${");
                }
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            full.push_str(before);
            template.push_str(before);
            let inner = from.get(2..).unwrap_or_default();
            let Some((name, after)) = inner.split_once('}').filter(|(name, _)| is_name(name)) else {
                troubles
                    .push("has \"${\" without a variable's name; write ${NAME}, or $${ for the characters themselves".to_owned());
                rest = inner;
                continue;
            };
            match (self.env)(name) {
                Some(value) => {
                    full.push_str(&value);
                    template.push_str(&verbatim(&value));
                    self.used.borrow_mut().insert(name.to_owned(), value);
                }
                None => {
                    troubles.push(format!("needs {name}, which the environment does not have; export {name} and start again"));
                }
            }
            rest = after;
        }
        full.push_str(rest);
        template.push_str(rest);
        (Text { raw: raw.to_owned(), full, template }, troubles)
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A template that renders to exactly `value`.
fn verbatim(value: &str) -> String {
    value.chars().map(|c| if c == '{' { "{{ '{' }}".to_owned() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("s3cret-{{ 7 }}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in_and_taken_out_again() {
        let secrets = Secrets::new(&env);
        let (text, troubles) = secrets.fill("a ${TOKEN} $HOME $${TOKEN} ${EMPTY}z");
        assert_eq!(troubles, Vec::<String>::new());
        assert_eq!(text.full, "a s3cret-{{ 7 }} $HOME ${TOKEN} z");
        assert!(text.has_variables());
        assert!(!format!("{text:?}").contains("s3cret"));
        let redactor = secrets.redactor();
        assert_eq!(redactor.redact("refused: s3cret-{{ 7 }}!"), "refused: ${TOKEN}!");
        assert_eq!(format!("{redactor:?}"), "{\"TOKEN\"}");
    }

    #[test]
    fn a_value_is_found_however_it_is_written_and_wherever_it_is_cut() {
        let value = "tok \"q\\ \té/?ü{x}";
        let env = |_: &str| Some(value.to_owned());
        let secrets = Secrets::new(&env);
        secrets.fill("${TOKEN}");
        let redactor = secrets.redactor();
        let url = |base: &str| reqwest::Url::parse(&format!("{base}{value}&more")).unwrap();
        for written in [
            format!("said {value}!"),
            format!("said {value:?}!"),
            text::sanitise(value),
            format!("{:?}", text::sanitise(value)),
            serde_json::json!({ "k": value }).to_string(),
            url("http://h/x/").to_string(),
            url("http://h/?k=").to_string(),
        ] {
            let clean = redactor.redact(&written);
            assert!(clean.contains("${TOKEN}") && !clean.contains("tok"), "{written} → {clean}");
        }
        assert_eq!(redactor.redact("cut: tok \"q\\… and on"), "cut: ${TOKEN}… and on");
        assert_eq!(redactor.redact("…é/?ü{x} refused"), "…${TOKEN} refused");
        assert_eq!(redactor.redact("a token… tok…"), "a token… tok…", "too short to be one");
    }

    #[test]
    fn a_value_is_never_a_part_of_a_template() {
        let secrets = Secrets::new(&env);
        let (text, _) = secrets.fill("{{ version }} ${TOKEN}");
        let templates = minijinja::Environment::new();
        let shown = templates.render_str(&text.template, minijinja::context! { version => "v2" }).unwrap();
        assert_eq!(shown, "v2 s3cret-{{ 7 }}");
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let secrets = Secrets::new(&env);
        let troubles = secrets.fill("${NOPE} ${TOKEN").1;
        assert_eq!(troubles.len(), 2, "{troubles:?}");
        assert!(troubles[0].starts_with("needs NOPE,"), "{troubles:?}");
        assert!(troubles[1].starts_with("has \"${\" without"), "{troubles:?}");
        assert_eq!(secrets.fill("${a b}").1.len(), 1);
        assert_eq!(secrets.fill("${}").1.len(), 1);
    }
}
