//! Which characters may stand for a state.
//!
//! Imports: model's text. May not: know which states there are.

use unicode_width::UnicodeWidthChar as _;

use crate::model::text::is_harmless;

/// The only character of `text`, if it takes one column on every terminal.
///
/// # Errors
/// Fails with what is wrong with it, to follow the key.
pub(super) fn glyph(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    let (Some(glyph), None) = (characters.next(), characters.next()) else {
        let count = text.chars().count();
        return Err(match count {
            0 => "is empty; write one character".to_owned(),
            count => format!("has {count} characters; write one"),
        });
    };
    let code = format!("U+{:04X}", u32::from(glyph));
    if glyph.is_whitespace() || !is_harmless(text) {
        return Err(format!("is {code}, which is not seen; write a character that is"));
    }
    match (glyph.width(), glyph.width_cjk()) {
        (Some(1), Some(1)) => Ok(glyph),
        (Some(1), _) => {
            let why = "which takes two columns on terminals for East Asia (ambiguous width)";
            Err(format!("is {glyph} ({code}), {why}; write one that takes one everywhere, like ◦ ▸ ✓ ✗ ⊘ or a letter"))
        }
        (Some(0) | None, _) => Err(format!("is {code}, which takes no column of its own; write one that takes one")),
        (Some(columns), _) => Err(format!("is {glyph} ({code}), which takes {columns} columns; write one that takes one")),
    }
}

/// As `glyph`, for terminals that have nothing but ASCII.
pub(super) fn ascii(text: &str) -> Result<char, String> {
    let glyph = glyph(text)?;
    if glyph.is_ascii() { Ok(glyph) } else { Err(format!("is {glyph}, which is not ASCII; write a letter, a digit or a sign")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_one_column_everywhere_is_a_glyph() {
        for good in ["◦", "⇣", "▸", "✓", "✗", "↺", "⊘", "=", "A", "é"] {
            assert_eq!(glyph(good).map(|c| c.to_string()), Ok(good.to_owned()));
        }
        for (wrong, why) in [
            ("", "is empty"),
            ("ab", "2 characters"),
            ("e\u{301}", "2 characters"),
            ("●", "ambiguous width"),
            ("…", "ambiguous width"),
            ("漢", "2 columns"),
            ("🟢", "2 columns"),
            ("\u{301}", "not seen"),
            (" ", "not seen"),
            ("\u{a0}", "not seen"),
            ("\x1b", "not seen"),
            ("\u{200b}", "not seen"),
            ("\u{202e}", "not seen"),
        ] {
            let said = glyph(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong:?}: {said}");
            assert!(is_harmless(&said), "{said:?}");
        }
        assert!(ascii("✓").unwrap_err().contains("not ASCII"));
        assert_eq!(ascii("+"), Ok('+'));
    }
}
