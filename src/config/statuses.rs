//! Lists of HTTP statuses: `[200, 204, "300-399"]`.
//!
//! Imports: config's reader. May not: know whose they are.

use super::document::Value;
use super::section::Section;

/// Reads `status`: inclusive ranges, 200–299 by default.
pub(super) fn read(section: &mut Section<'_>) -> Vec<(u16, u16)> {
    const FORM: &str = "write statuses like 200 or \"200-299\"";
    let Some(list) = section.list("status") else { return vec![(200, 299)] };
    if list.value.is_empty() {
        section.fault(list.place, "status", format!("is empty; {FORM}"));
    }
    let mut ranges = Vec::new();
    for node in list.value {
        let range = match &node.value {
            Value::Integer(n) => u16::try_from(*n).ok().map(|n| (n, n)),
            Value::Text(text) => match text.full.split_once('-') {
                Some((from, to)) => from.parse().ok().zip(to.parse().ok()),
                None => text.full.parse().ok().map(|n| (n, n)),
            },
            Value::Fraction(_) | Value::Other(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) => None,
        };
        match range {
            Some((from, to)) if from <= to && from >= 100 && to <= 599 => ranges.push((from, to)),
            Some(_) | None => section.fault(node.place, "status", format!("is no status from 100 to 599; {FORM}")),
        }
    }
    ranges
}
