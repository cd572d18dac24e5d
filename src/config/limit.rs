//! Limits of what is measured: `"1%"`, `"500ms"`, `0.02`, and the unit that a source counts in.
//!
//! Imports: config's reader, model. May not: know whose limit it is.

use super::document::{Entry, Value};
use super::section::{Placed, Section};
use super::value::{self, shown};
use crate::model::{Quantity, Span, Unit};

/// A limit as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    /// `"1%"`.
    Percent(f64),
    /// `"500ms"`.
    Time(Span),
    /// `0.02` or `17`.
    Number(f64),
}

/// What a source counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Share,
    Percent,
    Seconds,
    Milliseconds,
    Plain,
}

/// `unit`.
pub(super) const UNITS: [(&str, Counted); 5] = [
    ("share", Counted::Share),
    ("percent", Counted::Percent),
    ("seconds", Counted::Seconds),
    ("milliseconds", Counted::Milliseconds),
    ("plain", Counted::Plain),
];

impl Counted {
    /// How quantities of it are written.
    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Share | Self::Percent => Unit::Share,
            Self::Seconds | Self::Milliseconds => Unit::Seconds,
            Self::Plain => Unit::Plain,
        }
    }

    /// From what it counts to shares of 1 and seconds.
    pub(super) fn factor(self) -> f64 {
        match self {
            Self::Percent => 0.01,
            Self::Milliseconds => 0.001,
            Self::Share | Self::Seconds | Self::Plain => 1.0,
        }
    }
}

impl Limit {
    /// What the source probably counts in, if only its limit is known.
    pub(super) fn suggests(self) -> Option<Counted> {
        match self {
            Self::Percent(_) => Some(Counted::Share),
            Self::Time(_) => Some(Counted::Seconds),
            Self::Number(_) => None,
        }
    }

    /// The limit of something that is counted so. The error says what to write instead.
    pub(super) fn quantity(self, counted: Counted) -> Result<Quantity, String> {
        const SHARE: &str = "what is measured is a share; write one like \"1%\"";
        const TIME: &str = "what is measured is a length of time; write one like \"500ms\"";
        let value = match (self, counted.unit()) {
            (Self::Percent(percent), Unit::Share) => percent / 100.0,
            (Self::Time(time), Unit::Seconds) => time.to_std().as_secs_f64(),
            // 1 could be all of them or one of a hundred.
            (Self::Number(number), Unit::Share) if counted == Counted::Share && number >= 1.0 => {
                return Err(format!("is {number}, and {SHARE}"));
            }
            (Self::Number(number), _) => number * counted.factor(),
            (Self::Percent(_), Unit::Seconds) => return Err(format!("is a share, and {TIME}")),
            (Self::Time(_), Unit::Share) => return Err(format!("is a length of time, and {SHARE}")),
            (Self::Percent(_) | Self::Time(_), Unit::Plain) => {
                return Err("has a unit, and what is measured has none; write a number, or unit".to_owned());
            }
        };
        let good = |value: &f64| counted.unit() == Unit::Plain || *value >= 0.0;
        let quantity = Some(value).filter(good).and_then(Quantity::new);
        quantity.ok_or_else(|| "is no limit that something could have; write one like \"1%\", \"500ms\" or 17".to_owned())
    }
}

impl Limit {
    /// As [`Self::quantity`], where nobody had to say in what it is counted: a time must have its unit then.
    pub(super) fn known(self, counted: Counted) -> Result<Quantity, String> {
        match (self, counted.unit()) {
            (Self::Number(number), Unit::Seconds) => {
                Err(format!("is {number} without a unit; write \"{number}s\" for seconds or \"{number}ms\" for milliseconds"))
            }
            _ => self.quantity(counted),
        }
    }
}

/// Takes a limit; `None` if it is not there or none.
pub(super) fn read(section: &mut Section<'_>, key: &str) -> Option<Placed<Limit>> {
    let Entry { node, .. } = section.take(key)?;
    let place = node.place;
    match of(node.value) {
        Ok(value) => Some(Placed { value, place, given: true, sound: true }),
        Err(remedy) => {
            section.fault(place, key, remedy);
            None
        }
    }
}

/// Takes a number above zero; `None` if it is not there or none.
pub(super) fn ratio(section: &mut Section<'_>, key: &str) -> Option<Placed<Quantity>> {
    const FORM: &str = "write how many times as much as the untouched instances may have, like 1.5 or 2";
    let Entry { node, .. } = section.take(key)?;
    let place = node.place;
    let number = match node.value {
        Value::Integer(_) | Value::Fraction(_) => of(node.value).ok(),
        other => {
            section.fault(place, key, format!("is {}; {FORM}", other.kind()));
            return None;
        }
    };
    let ratio = match number {
        Some(Limit::Number(number)) if number > 0.0 => Quantity::new(number),
        _ => None,
    };
    if ratio.is_none() {
        section.fault(place, key, format!("is no such number; {FORM}"));
    }
    Some(Placed { value: ratio?, place, given: true, sound: true })
}

fn of(value: Value) -> Result<Limit, String> {
    const FORM: &str = "write a share like \"1%\", a length of time like \"500ms\", or a number";
    match value {
        #[expect(clippy::cast_precision_loss, reason = "whoever writes a limit beyond 2^52 does not mind its last digit")]
        Value::Integer(number) => Ok(Limit::Number(number as f64)),
        Value::Fraction(number) if number.is_finite() => Ok(Limit::Number(number)),
        Value::Text(text) => match text.full.strip_suffix('%') {
            Some(percent) => {
                let number = percent.trim().parse().ok().filter(|percent: &f64| (0.0..=100.0).contains(percent));
                number.map(Limit::Percent).ok_or_else(|| format!("{} is no share from 0% to 100%", shown(&text.raw)))
            }
            None if text.full.trim().parse::<f64>().is_ok() => Err(format!("{} has no unit; {FORM}", shown(&text.raw))),
            None => value::span(&text.full).map(Limit::Time).map_err(|_none| format!("{} is no limit; {FORM}", shown(&text.raw))),
        },
        other => Err(format!("is {}; {FORM}", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: Limit, counted: Counted) -> Result<f64, String> {
        limit.quantity(counted).map(Quantity::value)
    }

    #[test]
    fn limits_are_in_the_unit_of_what_is_measured() {
        assert_eq!(limit(Limit::Percent(1.0), Counted::Share), Ok(0.01));
        assert_eq!(limit(Limit::Percent(1.0), Counted::Percent), Ok(0.01));
        assert_eq!(limit(Limit::Number(1.0), Counted::Percent), Ok(0.01));
        assert_eq!(limit(Limit::Number(0.02), Counted::Share), Ok(0.02));
        assert_eq!(limit(Limit::Time(Span::from_millis(500)), Counted::Milliseconds), Ok(0.5));
        assert_eq!(limit(Limit::Number(500.0), Counted::Milliseconds), Ok(0.5));
        assert_eq!(limit(Limit::Number(-17.0), Counted::Plain), Ok(-17.0));
    }

    #[test]
    fn a_time_that_nobody_gave_a_unit_is_refused() {
        assert!(Limit::Number(5.0).known(Counted::Seconds).unwrap_err().contains("\"5ms\" for milliseconds"));
        assert!(Limit::Time(Span::from_secs(5)).known(Counted::Seconds).is_ok());
        assert!(Limit::Number(0.5).known(Counted::Share).is_ok());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (bad, counted, part) in [
            (Limit::Number(1.0), Counted::Share, "write one like \"1%\""),
            (Limit::Percent(1.0), Counted::Seconds, "length of time"),
            (Limit::Time(Span::from_secs(1)), Counted::Share, "is a share"),
            (Limit::Percent(1.0), Counted::Plain, "has none"),
            (Limit::Number(-1.0), Counted::Seconds, "no limit"),
            (Limit::Number(1e300), Counted::Plain, "no limit"),
        ] {
            let error = limit(bad, counted).unwrap_err();
            assert!(error.contains(part), "{bad:?} {counted:?}: {error}");
        }
    }
}
