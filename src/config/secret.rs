//! `${VAR}`: texts that are filled in from the environment.
//!
//! Imports: config's redactor. May not: print a value that came from the environment.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::redactor::Redactor;

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

    /// The names of the variables that were filled in so far.
    pub(super) fn names(&self) -> Vec<String> {
        self.used.borrow().keys().cloned().collect()
    }

    /// What was filled in.
    pub(super) fn redactor(self) -> Redactor {
        Redactor::new(self.used.into_inner())
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
