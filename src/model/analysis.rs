//! `[analysis]`: what is measured while the new version serves, and what a measurement says.
//!
//! Imports: model. May not: measure, decide what follows.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::Span;

/// A measured or allowed quantity, in millionths of its unit: shares of 1, seconds, or whatever a source counts in.
/// Between -9 and 9 billion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i64);

impl Quantity {
    /// The nearest; `None` for what is no number, infinite or beyond all bounds.
    #[expect(clippy::cast_possible_truncation, reason = "checked: it is whole and within bounds")]
    pub fn new(value: f64) -> Option<Self> {
        let millionths = (value * 1e6).round();
        (millionths.abs() <= 9e15).then_some(Self(millionths as i64))
    }

    /// As a number.
    #[expect(clippy::cast_precision_loss, reason = "at most 9e15, which f64 holds exactly")]
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This times `factor`.
    #[must_use]
    pub fn times(self, factor: Self) -> Self {
        Self(i64::try_from(i128::from(self.0) * i128::from(factor.0) / 1_000_000).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| serde::de::Error::custom("a quantity beyond all bounds"))
    }
}

/// `[analysis]`, the part that the engine decides by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisPolicy {
    /// What is measured; names are unique.
    pub checks: Vec<Check>,
    /// Time between the starts of two measurements of a check.
    pub interval: Span,
    /// More failed measurements of one check than this fail the analysis.
    pub max_failures: u32,
    /// So many measurements in a row that could not be made, or said nothing, hold the deployment.
    pub max_inconclusive: u32,
    /// From which canary step on it measures; 1 is the first.
    pub from_step: u32,
}

/// One thing that is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `error_rate`, `p99`, or that of its table.
    pub name: String,
    /// How its quantities are written.
    pub unit: Unit,
    /// Above this it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Quantity>,
    /// Below this it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Quantity>,
    /// More than so many times what the untouched instances have, it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<Quantity>,
    /// On fewer samples it says nothing.
    pub min_samples: u64,
}

/// What a check's quantities are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of 1, written in percent.
    Share,
    /// Seconds, written as a length of time.
    Seconds,
    /// Anything else, written as it is.
    Plain,
}

impl Unit {
    /// The quantity as people read it: `2.3%`, `180ms`, `17`.
    pub fn words(self, quantity: Quantity) -> String {
        let short = |value: f64| {
            let digits = if value.abs() >= 100.0 {
                0
            } else if value.abs() >= 10.0 {
                1
            } else {
                2
            };
            let text = format!("{value:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        };
        match self {
            Self::Share => format!("{}%", short(quantity.value() * 100.0)),
            Self::Seconds if quantity.value().abs() < 1.0 => format!("{}ms", short(quantity.value() * 1000.0)),
            Self::Seconds => format!("{}s", short(quantity.value())),
            Self::Plain => short(quantity.value()),
        }
    }
}

/// What a source said once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "measured", rename_all = "snake_case")]
pub enum Measurement {
    /// A quantity.
    Value {
        /// Of the instances on the new version.
        touched: Quantity,
        /// Of those that were not touched, where the source tells them apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        untouched: Option<Quantity>,
        /// How many requests, probes or the like it rests on, where the source tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        samples: Option<u64>,
    },
    /// The source answered, and its answer says nothing: no data, NaN, several series.
    Nothing {
        /// What it answered, in words.
        why: String,
    },
    /// The source could not be asked: refused, timed out, not understood.
    Error {
        /// Why, in words.
        why: String,
    },
}

/// What a measurement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Within its limits.
    Pass,
    /// Beyond them, and the untouched instances are not.
    Fail,
    /// Beyond them, and so are the untouched instances: not the new version's doing.
    Common,
    /// It says nothing.
    Inconclusive,
}

impl Finding {
    /// The word, as in output for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Common => "common",
            Self::Inconclusive => "inconclusive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_bounded_and_read_well() {
        assert_eq!(Quantity::new(f64::NAN), None);
        assert_eq!(Quantity::new(f64::INFINITY), None);
        assert_eq!(Quantity::new(1e12), None);
        let quantity = |value: f64| Quantity::new(value).unwrap();
        for value in [0.0, 0.023, -1.5, 1_234.567_891] {
            let text = serde_json::to_string(&quantity(value)).unwrap();
            assert_eq!(serde_json::from_str::<Quantity>(&text).unwrap(), quantity(value));
        }
        let words = [
            (Unit::Share, 0.0234, "2.34%"),
            (Unit::Share, 0.0, "0%"),
            (Unit::Share, 1.0, "100%"),
            (Unit::Seconds, 0.18, "180ms"),
            (Unit::Seconds, 2.5, "2.5s"),
            (Unit::Plain, 17.0, "17"),
            (Unit::Plain, 1234.5, "1234"),
        ];
        for (unit, value, expected) in words {
            assert_eq!(unit.words(quantity(value)), expected);
        }
        assert_eq!(quantity(0.02).times(quantity(1.5)), quantity(0.03));
    }
}
