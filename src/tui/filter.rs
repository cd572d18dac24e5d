//! The filter: what is typed after `/`, and which instances pass it.
//!
//! Imports: model. May not: know what is on the screen.

use crate::model::InstanceState;

/// What is asked of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its failure domain.
    pub zone: Option<&'a str>,
    /// The version that it runs or is brought to.
    pub version: Option<&'a str>,
    /// Its state.
    pub state: InstanceState,
    /// Its last latency in milliseconds, if it has one.
    pub latency: Option<u64>,
}

/// Which property a term is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// Id or host, any part of it.
    Text,
    State,
    Zone,
    Version,
    /// The last latency is above (or below) the value, in milliseconds.
    Above,
    Below,
}

/// One word of the filter. Several values after a colon, separated by commas, are as good as each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: Field,
    values: Vec<String>,
    inverse: bool,
    /// By value: some instance has exactly this, so that the beginning of another does not count.
    exact: Vec<bool>,
}

/// All terms must hold. Empty passes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

impl Filter {
    /// The filter in `text`. Every text is one: while it is typed, it is never wrong, it only may pass nobody.
    pub fn parse(text: &str) -> Self {
        Self { text: text.to_owned(), terms: text.split_whitespace().filter_map(Term::parse).collect() }
    }

    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if who passes changes with every reading.
    pub(super) fn is_of_a_moment(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.field, Field::Above | Field::Below))
    }

    /// True if it keeps nobody out.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Looks at the whole fleet once: `zone:a` means the zone `a` where there is one, else every zone that begins so.
    pub fn settle<'a>(&mut self, fleet: &(impl Iterator<Item = Candidate<'a>> + Clone)) {
        for term in &mut self.terms {
            let field = term.field;
            let has = |value: &String| fleet.clone().any(|candidate| field.equals(&candidate, value));
            term.exact = term.values.iter().map(has).collect();
        }
    }

    /// True if the instance passes.
    pub fn passes(&self, candidate: &Candidate<'_>) -> bool {
        self.terms.iter().all(|term| term.holds(candidate) != term.inverse)
    }
}

impl Term {
    fn parse(word: &str) -> Option<Self> {
        let (inverse, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
        let (field, rest) = [
            ("state:", Field::State),
            ("zone:", Field::Zone),
            ("version:", Field::Version),
            ("latency>", Field::Above),
            ("latency<", Field::Below),
        ]
        .into_iter()
        .find_map(|(prefix, field)| Some((field, word.strip_prefix(prefix)?)))
        .unwrap_or((Field::Text, word));
        let plain = |value: &str| value.to_lowercase().replace('-', if field == Field::State { "_" } else { "-" });
        let values: Vec<String> = match field {
            Field::Text => vec![plain(rest)],
            Field::State | Field::Zone | Field::Version => rest.split(',').map(plain).collect(),
            // `latency>` while it is typed keeps nobody out.
            Field::Above | Field::Below => milliseconds(rest).map(|ms| ms.to_string()).into_iter().collect(),
        };
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        // A term without a value yet keeps nobody out.
        (!values.is_empty()).then(|| Self { field, exact: vec![false; values.len()], values, inverse })
    }

    fn holds(&self, candidate: &Candidate<'_>) -> bool {
        self.values.iter().zip(&self.exact).any(|(value, exact)| match self.field {
            Field::Text => {
                candidate.id.to_lowercase().contains(value.as_str()) || candidate.host.to_lowercase().contains(value.as_str())
            }
            Field::Above => candidate.latency.zip(value.parse().ok()).is_some_and(|(ms, limit)| ms > limit),
            Field::Below => candidate.latency.zip(value.parse().ok()).is_some_and(|(ms, limit)| ms < limit),
            field if *exact => field.equals(candidate, value),
            field => field.of(candidate).is_some_and(|of| of.to_lowercase().starts_with(value.as_str())),
        })
    }
}

/// `200`, `200ms` or `2s` in milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    if let Some(seconds) = text.strip_suffix('s').filter(|rest| !rest.ends_with('m')) {
        return seconds.parse::<u64>().ok()?.checked_mul(1000);
    }
    text.strip_suffix("ms").unwrap_or(text).parse().ok()
}

impl Field {
    fn of<'a>(self, candidate: &Candidate<'a>) -> Option<&'a str> {
        match self {
            Self::Text => Some(candidate.id),
            Self::State => Some(candidate.state.word()),
            Self::Zone => candidate.zone,
            Self::Version => candidate.version,
            Self::Above | Self::Below => None,
        }
    }

    fn equals(self, candidate: &Candidate<'_>, value: &str) -> bool {
        // A state's word is exact in every fleet: none begins like another but those that belong together.
        self.of(candidate).is_some_and(|of| of.to_lowercase() == value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: [Candidate<'static>; 4] = [
        Candidate {
            id: "web-1",
            host: "10.4.0.1",
            zone: Some("a"),
            version: Some("v2"),
            state: InstanceState::Healthy,
            latency: Some(12),
        },
        Candidate {
            id: "web-10",
            host: "10.4.0.2",
            zone: Some("a1"),
            version: Some("v2-bad"),
            state: InstanceState::Failed,
            latency: Some(240),
        },
        Candidate {
            id: "Api-2",
            host: "db.internal",
            zone: None,
            version: None,
            state: InstanceState::HealthChecking,
            latency: None,
        },
        Candidate {
            id: "web-3",
            host: "10.4.0.3",
            zone: Some("b"),
            version: Some("v1"),
            state: InstanceState::RolledBack,
            latency: None,
        },
    ];

    fn passing(text: &str) -> Vec<&'static str> {
        let mut filter = Filter::parse(text);
        filter.settle(&FLEET.iter().copied());
        FLEET.iter().filter(|candidate| filter.passes(candidate)).map(|candidate| candidate.id).collect()
    }

    #[test]
    fn terms_and_their_inverse() {
        let all = ["web-1", "web-10", "Api-2", "web-3"];
        for (text, wanted) in [
            ("", &all[..]),
            ("   ", &all),
            ("!", &all),
            ("state:", &all),
            ("!zone:", &all),
            ("web", &["web-1", "web-10", "web-3"]),
            ("WEB-1", &["web-1", "web-10"]),
            ("api", &["Api-2"]),
            ("internal", &["Api-2"]),
            ("!web", &["Api-2"]),
            ("web !web-1", &["web-3"]),
            ("state:failed", &["web-10"]),
            ("state:fail", &["web-10"]),
            ("state:health", &["web-1", "Api-2"]),
            ("state:healthy", &["web-1"]),
            ("state:health-checking", &["Api-2"]),
            ("state:failed,rolled", &["web-10", "web-3"]),
            ("!state:healthy web", &["web-10", "web-3"]),
            ("zone:a", &["web-1"]),
            ("zone:a1", &["web-10"]),
            ("zone:A,b", &["web-1", "web-3"]),
            ("!zone:b", &["web-1", "web-10", "Api-2"]),
            ("version:v2", &["web-1"]),
            ("version:v", &["web-1", "web-10", "web-3"]),
            ("version:v2-", &["web-10"]),
            ("state:nonsense", &[]),
            ("web state:healthy zone:b", &[]),
            ("latency>200", &["web-10"]),
            ("latency>200ms", &["web-10"]),
            ("latency>1s", &[]),
            ("latency<200", &["web-1"]),
            ("!latency>200 web", &["web-1", "web-3"]),
            ("latency>", &all),
            ("latency>fast", &all),
        ] {
            assert_eq!(passing(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn an_unknown_property_is_text() {
        assert_eq!(passing("host:db"), Vec::<&str>::new());
        assert!(Filter::parse("!  state:").is_empty());
        assert_eq!(Filter::parse(" web ").text(), " web ");
    }
}
