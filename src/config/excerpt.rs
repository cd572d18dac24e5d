//! The line of the file that a fault is about, with a caret under it, as compilers show it.
//!
//! Imports: config's source, model's text. May not: let a control character of the file reach a terminal.

use unicode_width::UnicodeWidthStr;

use super::fault::Place;
use super::source::Source;
use crate::model::text::judged;

/// Longer lines are cut around the caret.
const WIDTH: usize = 100;
/// What is kept before the caret of a line that is cut.
const BEFORE: usize = 40;

/// Three lines: a bar, the line of the file, the caret. `None` if the place is not in the file.
pub(super) fn excerpt(source: &Source, place: Place) -> Option<String> {
    let Place::File(start, end) = place else { return None };
    let (number, column) = source.position(start);
    let line = source.line(number)?;
    let after = source.text().get(start..end.max(start)).unwrap_or_default();
    let marked = after.chars().take_while(|c| *c != '\n').count();
    let skip = if column > WIDTH { column - BEFORE } else { 1 } - 1;
    let shown: String = judged(line).skip(skip).take(WIDTH).map(harmless).collect();
    let (column, marks) = (column - 1 - skip, marked.max(1));
    let before: String = shown.chars().take(column).collect();
    let under: String = shown.chars().skip(column).take(marks).collect();
    let carets = "^".repeat(under.width().max(1));
    let gutter = number.to_string();
    let (space, pad) = (" ".repeat(gutter.len()), " ".repeat(before.width()));
    Some(format!("{space} |\n{gutter} | {shown}\n{space} | {pad}{carets}"))
}

/// The character, or a stand-in for one that would move the cursor, reorder the line or take no place in it.
fn harmless((c, hidden): (char, bool)) -> char {
    match c {
        '\t' => ' ',
        _ if hidden => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_value_in_wide_and_long_lines() {
        let source = Source::new("f", "a = 1\n名 = \"数\" # \u{1b}[31m\n".to_owned(), &[]);
        let start = source.text().find("\"数").unwrap();
        let shown = excerpt(&source, Place::File(start, start + 5)).unwrap();
        assert_eq!(shown, "  |\n2 | 名 = \"数\" # \u{fffd}[31m\n  |      ^^^^");

        let long = format!("k = \"{}\" # !", "x".repeat(5000));
        let source = Source::new("f", long, &[]);
        let shown = excerpt(&source, Place::File(5007, 5010)).unwrap();
        assert!(shown.lines().all(|line| line.width() <= WIDTH + 4), "{shown}");
        assert!(shown.ends_with("^^^"), "{shown}");
    }
}
