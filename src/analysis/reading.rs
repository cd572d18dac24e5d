//! From what a source answered to a measurement: numbers that are none, and a control group that is silent.
//!
//! Imports: model, os' extract and text. May not: know a source; judge a number.

use crate::model::{Measurement, Quantity};
use crate::os::extract::{Extract, Extractor};
use crate::os::text;

use super::Answer;

/// As much of an answer as is shown.
const SHOWN_CHARS_MAX: usize = 120;

/// Why there is no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// The source answered, and it says nothing.
    Nothing(String),
    /// It could not be asked.
    Error(String),
}

impl Silence {
    /// The same, of somebody.
    fn of(self, whom: &str) -> Self {
        match self {
            Self::Nothing(why) => Self::Nothing(format!("{whom}: {why}")),
            Self::Error(why) => Self::Error(format!("{whom}: {why}")),
        }
    }

    fn measurement(self) -> Measurement {
        match self {
            Self::Nothing(why) => Measurement::Nothing { why },
            Self::Error(why) => Measurement::Error { why },
        }
    }
}

/// A number, or why there is none.
pub(super) type Reading = Result<f64, Silence>;

/// What a source said in one measurement.
#[derive(Debug)]
pub(super) struct Said {
    /// Of the instances on the new version.
    pub(super) touched: Reading,
    /// Of the others, if it was asked.
    pub(super) untouched: Option<Reading>,
    /// On how many requests or the like the first rests, if it was asked.
    pub(super) samples: Option<Reading>,
}

impl Said {
    /// No number at all.
    pub(super) fn silence(silence: Silence) -> Self {
        Self { touched: Err(silence), untouched: None, samples: None }
    }

    /// As the engine takes it. `controlled`: there are untouched instances.
    pub(super) fn measurement(self, frame: Frame, controlled: bool) -> Measurement {
        self.value(frame, controlled).unwrap_or_else(Silence::measurement)
    }

    fn value(self, frame: Frame, controlled: bool) -> Result<Measurement, Silence> {
        let quantity = |number: f64| {
            let beyond = || Silence::Nothing(format!("{number} is beyond what is judged"));
            Quantity::new(number * frame.factor).ok_or_else(beyond)
        };
        let touched = quantity(self.touched?)?;
        let untouched = self.untouched.map(|reading| reading.and_then(quantity).map_err(|why| why.of("the untouched instances")));
        let untouched = match untouched {
            Some(Ok(quantity)) => Some(quantity),
            Some(Err(error @ Silence::Error(_))) => return Err(error),
            Some(Err(nothing @ Silence::Nothing(_))) if frame.compares => return Err(nothing),
            None if frame.compares && controlled => {
                return Err(Silence::Nothing("the untouched instances: nothing tells how they are".to_owned()));
            }
            Some(Err(Silence::Nothing(_))) | None => None,
        };
        let samples = match self.samples {
            Some(Ok(number)) => Some(whole(number)),
            // Nobody counted anything.
            Some(Err(Silence::Nothing(_))) => Some(0),
            Some(Err(error @ Silence::Error(_))) => return Err(error.of("samples")),
            None => None,
        };
        Ok(Measurement::Value { touched, untouched, samples })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float keeps within the bounds")]
fn whole(number: f64) -> u64 {
    number.max(0.0).floor() as u64
}

/// How readings become a measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// What a reading is multiplied by.
    pub(super) factor: f64,
    /// Nothing is said without the untouched.
    pub(super) compares: bool,
}

/// The share of `part` in `whole`, which is not nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The number that a text is. What is infinite or no number at all is shown as it was answered.
pub(super) fn number(text: &str) -> Reading {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(Silence::Nothing(text::sanitise_within(text, SHOWN_CHARS_MAX))),
        Err(_) => Err(Silence::Nothing(format!("{:?} is no number", text::sanitise_within(text, SHOWN_CHARS_MAX)))),
    }
}

/// The beginning of an answer that was not understood, to be shown after a colon.
pub(super) fn shown(body: &[u8]) -> String {
    let said = text::sanitise_within(String::from_utf8_lossy(body).trim(), SHOWN_CHARS_MAX);
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// Finds the numbers of one answer.
pub(super) struct Finder {
    value: Extractor,
    control: Option<Extractor>,
    samples: Option<Extractor>,
    is_json: bool,
}

impl Finder {
    /// Checks the pointers and the expression.
    pub(super) fn new(answer: &Answer) -> Result<Self, String> {
        let pointer = |pointer: &Option<String>| pointer.clone().map(|at| Extractor::new(&Extract::Json(at))).transpose();
        Ok(Self {
            value: Extractor::new(&answer.value)?,
            control: pointer(&answer.control)?,
            samples: pointer(&answer.samples)?,
            is_json: matches!(answer.value, Extract::Json(_)) || answer.control.is_some() || answer.samples.is_some(),
        })
    }

    /// Whether one answer speaks for the untouched instances too.
    pub(super) fn has_control(&self) -> bool {
        self.control.is_some()
    }

    /// All of it.
    pub(super) fn said(&self, body: &[u8], whole: bool) -> Said {
        let of = |extractor: &Extractor| self.read(extractor, body, whole);
        Said { touched: of(&self.value), untouched: self.control.as_ref().map(of), samples: self.samples.as_ref().map(of) }
    }

    fn read(&self, extractor: &Extractor, body: &[u8], whole: bool) -> Reading {
        if self.is_json && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
            let what = if whole { "the answer is no JSON" } else { "the answer is too long" };
            return Err(Silence::Error(format!("{what}{}", shown(body))));
        }
        extractor.read(body, whole).map_err(|why| Silence::Nothing(why.to_owned())).and_then(|text| number(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Frame = Frame { factor: 1.0, compares: false };
    const RATIO: Frame = Frame { compares: true, ..PLAIN };

    fn said(touched: Reading, untouched: Option<Reading>) -> Said {
        Said { touched, untouched, samples: None }
    }

    fn nothing(why: &str) -> Silence {
        Silence::Nothing(why.to_owned())
    }

    #[test]
    fn what_is_no_number_says_nothing_and_is_shown_as_answered() {
        assert_eq!(number(" 0.25 \n"), Ok(0.25));
        assert_eq!(number("1e-3"), Ok(0.001));
        for text in ["NaN", "+Inf", "-Inf"] {
            assert_eq!(number(text), Err(nothing(text)));
        }
        assert_eq!(number("about 7"), Err(nothing("\"about 7\" is no number")));
        assert_eq!(number("\u{1b}[2J"), Err(nothing("\"\\\\u{1b}[2J\" is no number")));
        let beyond = said(Ok(1e30), None).measurement(PLAIN, false);
        assert!(matches!(&beyond, Measurement::Nothing { why } if why.contains("beyond")), "{beyond:?}");
    }

    #[test]
    fn a_control_group_that_is_silent_matters_only_where_it_is_compared_with() {
        let value = |untouched: Option<f64>| Measurement::Value {
            touched: Quantity::new(0.5).unwrap(),
            untouched: untouched.and_then(Quantity::new),
            samples: None,
        };
        assert_eq!(said(Ok(0.5), Some(Ok(0.25))).measurement(RATIO, true), value(Some(0.25)));
        assert_eq!(said(Ok(0.5), Some(Err(nothing("no data")))).measurement(PLAIN, true), value(None));
        assert_eq!(said(Ok(0.5), None).measurement(RATIO, false), value(None), "nobody is left to compare with");
        for silent in [Some(Err(nothing("no data"))), None] {
            let measured = said(Ok(0.5), silent).measurement(RATIO, true);
            assert!(matches!(&measured, Measurement::Nothing { why } if why.contains("untouched")), "{measured:?}");
        }
        let down = said(Ok(0.5), Some(Err(Silence::Error("refused".to_owned())))).measurement(PLAIN, true);
        assert_eq!(down, Measurement::Error { why: "the untouched instances: refused".to_owned() });
    }

    #[test]
    fn percent_and_milliseconds_become_shares_and_seconds() {
        let measured = said(Ok(180.0), Some(Ok(90.0))).measurement(Frame { factor: 0.001, ..PLAIN }, true);
        let (touched, untouched) = (Quantity::new(0.18).unwrap(), Quantity::new(0.09));
        assert_eq!(measured, Measurement::Value { touched, untouched, samples: None });
    }

    #[test]
    fn samples_that_nobody_counted_are_none() {
        let with = |samples| Said { touched: Ok(0.0), untouched: None, samples: Some(samples) }.measurement(PLAIN, false);
        let counted = |samples| Measurement::Value { touched: Quantity::default(), untouched: None, samples: Some(samples) };
        assert_eq!(with(Ok(41.7)), counted(41));
        assert_eq!(with(Ok(-1.0)), counted(0));
        assert_eq!(with(Err(nothing("no data"))), counted(0));
    }

    #[test]
    fn an_answer_has_its_numbers_where_they_are_looked_for() {
        let json = |at: &str| Extract::Json(at.to_owned());
        let answer = Answer { value: json("/new"), control: Some("/old".to_owned()), samples: Some("/n".to_owned()) };
        let finder = Finder::new(&answer).unwrap();
        let found = finder.said(br#"{"new": 0.5, "old": "0.25", "n": 40}"#, true);
        assert_eq!((found.touched, found.untouched, found.samples), (Ok(0.5), Some(Ok(0.25)), Some(Ok(40.0))));
        let found = finder.said(br#"{"new": null}"#, true);
        assert_eq!(found.touched, Err(nothing("the JSON pointer leads to no single value")));
        let found = finder.said(b"<html>", true);
        assert_eq!(found.touched, Err(Silence::Error("the answer is no JSON: <html>".to_owned())));
        let line = Finder::new(&Answer::default()).unwrap();
        assert_eq!(line.said(b"0.01\n", true).touched, Ok(0.01));
        assert_eq!(line.said(b"\n", true).touched, Err(nothing("the answer is empty")));
    }
}
