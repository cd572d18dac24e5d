//! `web-[01:20]`: one text for many names.
//!
//! Imports: nothing of this crate. May not: know what is named.

/// The largest fleet that is read; beyond it a range is a slip.
pub(super) const LARGEST_FLEET: usize = 100_000;
/// What is said of more.
pub(super) const TOO_MANY: &str = "makes more than 100000 instances; name fewer";

/// All names of a pattern, in order, if there is `room` for them; the last range runs fastest. The error says what to
/// write instead.
pub(super) fn expand(pattern: &str, room: usize) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some(at) = rest.find(['[', ']']) {
        let (before, from) = rest.split_at(at);
        let inner = from.strip_prefix('[').ok_or("has \"]\" without \"[\"; write a range like [01:20]")?;
        let (range, after) = inner.split_once(']').ok_or("has \"[\" without \"]\"; write a range like [01:20]")?;
        let (first, last, width) = bounds(range)?;
        let many = usize::try_from(last - first).unwrap_or(usize::MAX).saturating_add(1).saturating_mul(names.len());
        if many > room {
            return Err(TOO_MANY.to_owned());
        }
        names =
            names.iter().flat_map(|name| (first..=last).map(move |number| format!("{name}{before}{number:0width$}"))).collect();
        rest = after;
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

/// First and last number of `01:20`, and the width that leading zeros ask for.
pub(super) fn bounds(range: &str) -> Result<(u64, u64, usize), String> {
    const FORM: &str = "write first and last number, like [1:20] or [01:20]";
    let digits = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let (first, last) = range
        .split_once(':')
        .filter(|(a, b)| digits(a) && digits(b))
        .ok_or_else(|| format!("has a range that is none; {FORM}"))?;
    let padded = first.len() > 1 && first.starts_with('0');
    if padded && first.len() != last.len() {
        return Err(format!("has leading zeros in [{range}], but its ends differ in length; {FORM}"));
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_not_a_number| format!("has a range that is none; {FORM}"));
    let (a, b) = (number(first)?, number(last)?);
    if a > b {
        return Err(format!("counts down in [{range}]; {FORM}"));
    }
    Ok((a, b, if padded { first.len() } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str) -> Result<Vec<String>, String> {
        expand(pattern, LARGEST_FLEET)
    }

    #[test]
    fn ranges_become_names_in_order() {
        assert_eq!(all("web-1").unwrap(), ["web-1"]);
        assert_eq!(all("web-[08:11]").unwrap(), ["web-08", "web-09", "web-10", "web-11"]);
        assert_eq!(all("web-[9:11].example").unwrap(), ["web-9.example", "web-10.example", "web-11.example"]);
        assert_eq!(all("r[1:2]n[1:2]").unwrap(), ["r1n1", "r1n2", "r2n1", "r2n2"]);
        assert_eq!(all("a[001:100]").unwrap().len(), 100);
        assert_eq!(all("a[0:0]").unwrap(), ["a0"]);
    }

    #[test]
    fn what_is_no_range_is_refused_at_once() {
        for bad in [
            "web-[01:20",
            "web-01:20]",
            "[]",
            "[1]",
            "[1-3]",
            "[a:b]",
            "[2:1]",
            "[01:100]",
            "[1:4000000000]",
            "[1:999999999]",
            "[1:99999][1:99999][1:99999][1:99999]",
            "[-1:3]",
            "[[1:2]]",
        ] {
            assert!(all(bad).is_err(), "{bad}");
        }
    }
}
