//! Whom a template is about: the touched instances, or with the roles exchanged the untouched.
//!
//! Imports: ports, model, os' template. May not: know what becomes of a text.

use std::net::Ipv6Addr;

use crate::model::{Target, Version};
use crate::os::template;
use crate::ports::Compared;

/// How many instances are written in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `a|b`: a regular expression that matches each of them and nothing else, for the label matchers of PromQL. It needs no
    /// backslash, so it means the same in each kind of PromQL's quotes.
    Pattern,
    /// `a,b`.
    List,
    /// As a list, within an address: a plus sign would be a space there.
    Address,
}

/// Matches nothing, not even the absence of a label.
const NOBODY: &str = ".^";

/// Fills templates for one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) service: &'a str,
    pub(super) compared: &'a Compared,
    pub(super) style: Style,
    /// The untouched play the part of the touched, the version that they run that of the new one.
    pub(super) swapped: bool,
}

/// Names that are about the touched, and those that are about the others.
const OURS: [&str; 4] = ["version", "touched", "touched_ids", "touched_hosts"];
const THEIRS: [&str; 4] = ["previous", "untouched", "untouched_ids", "untouched_hosts"];

/// Whether the templates say the same of the untouched once the roles are exchanged. Those that name both sides compare them
/// by themselves, and those that name none are about everybody.
pub fn can_be_swapped<'a>(templates: impl IntoIterator<Item = &'a String>) -> bool {
    let names: Vec<String> = templates.into_iter().flat_map(|text| template::names_in(text)).collect();
    let any = |of: &[&str]| names.iter().any(|name| of.contains(&name.as_str()));
    any(&OURS) && !any(&THEIRS)
}

impl<'a> Side<'a> {
    /// Of the touched.
    pub(super) fn touched(service: &'a str, compared: &'a Compared, style: Style) -> Self {
        Self { service, compared, style, swapped: false }
    }

    /// Of the untouched, if there are any and the templates can say who they are.
    pub(super) fn untouched<'t>(self, templates: impl IntoIterator<Item = &'t String> + Clone) -> Option<Self> {
        let by_version = templates.clone().into_iter().any(|text| template::names_in(text).contains("version"));
        let known = !by_version || self.compared.previous.is_some();
        let there = !self.compared.untouched.is_empty();
        (there && known && can_be_swapped(templates)).then_some(Self { swapped: true, ..self })
    }

    /// Fills in a template.
    pub(super) fn render(&self, text: &str) -> Result<String, String> {
        let Compared { touched, untouched, version, previous } = self.compared;
        let (version, previous) = (Some(version), previous.as_ref());
        let (version, previous) = if self.swapped { (previous, version) } else { (version, previous) };
        let (ours, theirs) = if self.swapped { (untouched, touched) } else { (touched, untouched) };
        let word = |version: Option<&Version>| {
            let plus = if self.style == Style::Address { "%2B" } else { "+" };
            version.map(|version| version.as_str().replace('+', plus))
        };
        template::render_names(
            text,
            &[
                ("version", word(version)),
                ("previous", word(previous)),
                ("service", Some(self.service.to_owned())),
                ("touched", Some(self.all(ours, address))),
                ("touched_ids", Some(self.all(ours, |target| target.id.to_string()))),
                ("touched_hosts", Some(self.all(ours, |target| target.host.clone()))),
                ("untouched", Some(self.all(theirs, address))),
                ("untouched_ids", Some(self.all(theirs, |target| target.id.to_string()))),
                ("untouched_hosts", Some(self.all(theirs, |target| target.host.clone()))),
            ],
        )
    }

    fn all(&self, targets: &[Target], word: impl Fn(&Target) -> String) -> String {
        let mut words: Vec<String> = targets.iter().map(word).collect();
        words.dedup();
        match self.style {
            Style::Pattern if words.is_empty() => NOBODY.to_owned(),
            Style::Pattern => words.iter().map(|word| exactly(word)).collect::<Vec<_>>().join("|"),
            Style::List | Style::Address => words.join(","),
        }
    }
}

/// As Prometheus names an instance: `10.0.0.7:8080`, `[::1]:8080`.
fn address(target: &Target) -> String {
    let Target { host, port, .. } = target;
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A regular expression that matches this text alone, without a backslash.
fn exactly(text: &str) -> String {
    let one = |c: char| match c {
        '.' | '+' | '*' | '?' | '(' | ')' | '|' | '{' | '}' | '$' => format!("[{c}]"),
        // Around an IPv6 address, or in no host and no id: any character in their place does no harm.
        '[' | ']' | '^' | '\\' | '"' | '\'' | '`' => ".".to_owned(),
        plain => plain.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use regex::Regex;

    use super::*;
    use crate::model::InstanceId;

    fn target(id: &str, host: &str) -> Target {
        let id = InstanceId::new(id).unwrap();
        Target { id, host: host.to_owned(), port: 8080, zone: None, labels: BTreeMap::new() }
    }

    fn compared() -> Compared {
        Compared {
            touched: vec![target("web-1", "10.0.0.1"), target("web-2", "::1")],
            untouched: vec![target("web.3", "web-3.shop")],
            version: Version::new("v2").unwrap(),
            previous: Version::new("v1").ok(),
        }
    }

    fn both(text: &str, compared: &Compared, style: Style) -> (String, Option<String>) {
        let side = Side::touched("shop", compared, style);
        let text = text.to_owned();
        let other = side.untouched([&text]).map(|other| other.render(&text).unwrap());
        (side.render(&text).unwrap(), other)
    }

    #[test]
    fn the_same_template_is_filled_in_both_ways() {
        let of = |text: &str, style| both(text, &compared(), style);
        let (touched, untouched) = of("{{ touched }}", Style::Pattern);
        assert_eq!(touched, "10[.]0[.]0[.]1:8080|.::1.:8080");
        assert_eq!(untouched.as_deref(), Some("web-3[.]shop:8080"));
        let (touched, untouched) = of("{{ touched_ids }} {{version}} {{ service }}", Style::List);
        assert_eq!((touched.as_str(), untouched.as_deref()), ("web-1,web-2 v2 shop", Some("web.3 v1 shop")));
        let (touched, untouched) = of("{{ touched_hosts }}", Style::List);
        assert_eq!((touched.as_str(), untouched.as_deref()), ("10.0.0.1,::1", Some("web-3.shop")));
    }

    #[test]
    fn a_version_stays_what_it_is_within_an_address() {
        let plus = Compared { version: Version::new("v2+a").unwrap(), ..compared() };
        for (style, expected) in [(Style::Address, "v2%2Ba"), (Style::List, "v2+a"), (Style::Pattern, "v2+a")] {
            assert_eq!(both("{{ version }}", &plus, style).0, expected);
        }
    }

    #[test]
    fn what_names_both_sides_or_none_is_asked_once() {
        for text in ["{{ touched }} {{ untouched }}", "{{ version }} {{ previous }}", "everybody", "{{ service }}"] {
            assert_eq!(both(text, &compared(), Style::List).1, None, "{text}");
        }
        let alone = Compared { untouched: Vec::new(), ..compared() };
        assert_eq!(both("{{ touched }}", &alone, Style::List).1, None);
        assert_eq!(both("{{ untouched }}", &alone, Style::Pattern).0, ".^");
        let mixed = Compared { previous: None, ..compared() };
        assert_eq!(both("{{ version }}", &mixed, Style::List).1, None, "nobody knows which version the others run");
        assert!(both("{{ touched }}", &mixed, Style::List).1.is_some());
        let side = Side::touched("shop", &mixed, Style::List);
        assert!(side.render("{{ previous }}").unwrap_err().contains("touched_ids"));
    }

    #[test]
    fn a_pattern_matches_its_own_text_and_nothing_else() {
        for text in ["10.0.0.1:8080", "[::1]:8080", "a+b", "x(y)|z", "$1{2}*?"] {
            let pattern = Regex::new(&format!("^(?:{})$", exactly(text))).unwrap();
            assert!(pattern.is_match(text), "{text}");
            assert!(!pattern.is_match(&text.replace(['.', '+', ':', '|', '*'], "x")), "{text}");
        }
        let nobody = Regex::new(&format!("^(?:{NOBODY})$")).unwrap();
        assert!(!nobody.is_match("") && !nobody.is_match("x"));
    }
}
