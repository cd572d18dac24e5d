//! Values as people write them: lengths of time, and texts as they are shown.
//!
//! Imports: model. May not: know a key.

use crate::model::Span;

/// The longest length of time that is accepted, 30 days: whatever is longer is a slip.
const LONGEST_MS: u64 = 30 * 24 * 3_600_000;

/// Units and how many milliseconds each has, longest first, as they must follow each other.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `500ms`, `5s`, `1.5s`, `2m`, `1m30s`, `2h05m`. The error says what to write instead.
pub(super) fn span(text: &str) -> Result<Span, String> {
    const FORM: &str = "write a length of time like \"500ms\", \"5s\", \"1m30s\"";
    if text.starts_with('-') {
        return Err(format!("must not be negative; {FORM}"));
    }
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        let digits: String = text.chars().take(12).collect();
        return Err(format!("has no unit; write \"{digits}s\" for seconds or \"{digits}ms\" for milliseconds"));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let found = UNITS.iter().position(|(name, _)| *name == unit).filter(|found| *found >= next_unit);
        let Some((found, (_, worth))) = found.and_then(|found| Some((found, UNITS.get(found)?))) else {
            return Err(format!("is not a length of time; {FORM}"));
        };
        let part = milliseconds(number, *worth).ok_or_else(|| format!("is not a length of time; {FORM}"))?;
        total = total.saturating_add(part);
        next_unit = found + 1;
        rest = tail;
    }
    if text.is_empty() {
        return Err(format!("is empty; {FORM}"));
    }
    if total > LONGEST_MS {
        return Err("is longer than 30 days; write at most \"720h\"".to_owned());
    }
    Ok(Span::from_millis(total))
}

/// `12` or `1.5` of something worth so many milliseconds; `None` if it is no number or not whole milliseconds.
fn milliseconds(number: &str, worth: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // So many digits are more than 30 days in any unit.
    let whole: u64 = if whole.len() > 15 { u64::MAX } else { whole.parse().ok()? };
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u64>().ok()? * worth;
    if !part.is_multiple_of(scale) {
        return None;
    }
    Some(whole.saturating_mul(worth).saturating_add(part / scale))
}

/// A value as somebody wrote it, quoted, without control characters and not too long.
pub(super) fn shown(raw: &str) -> String {
    let short: String = raw.chars().take(60).collect();
    let dots = if short.len() < raw.len() { "…" } else { "" };
    format!("\"{}{dots}\"", short.escape_debug().to_string().replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_exact() {
        let ms = |text: &str| span(text).map(Span::as_millis);
        for (text, wanted) in [
            ("0s", 0),
            ("0ms", 0),
            ("500ms", 500),
            ("5s", 5000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("2h05m", 7_500_000),
            ("1h0m0s1ms", 3_600_001),
            ("720h", LONGEST_MS),
        ] {
            assert_eq!(ms(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_shown_of_a_span_reads_back() {
        for wanted in [0, 250, 1500, 59_000, 60_000, 90_000, 7_500_000] {
            let wanted = Span::from_millis(wanted);
            assert_eq!(span(&wanted.to_string()), Ok(wanted));
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "is empty"),
            ("5", "no unit; write \"5s\" for seconds"),
            ("-5s", "negative"),
            ("5 s", "not a length"),
            ("5S", "not a length"),
            ("5d", "not a length"),
            ("1s1m", "not a length"),
            ("1s1s", "not a length"),
            ("1.s", "not a length"),
            (".5s", "not a length"),
            ("0.5ms", "not a length"),
            ("1.2.3s", "not a length"),
            ("five", "not a length"),
            ("5ß", "not a length"),
            ("721h", "30 days"),
            ("99999999999999999999999999h", "30 days"),
            ("18446744073709551615ms", "30 days"),
        ] {
            let error = span(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
