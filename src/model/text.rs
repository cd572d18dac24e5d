//! Which characters of a text from outside may be shown as they are.
//!
//! Imports: nothing. May not: change a text.

use unicode_width::UnicodeWidthChar as _;

/// Marks that a character may carry (Vietnamese has two, Hebrew three). More of them cover the lines around.
const MARKS_MAX: usize = 4;

/// Each character, and whether it must not be shown as it is: a terminal obeys it, reorders the text by it, does not show it,
/// or it is one mark too many on the character before it.
pub fn judged(text: &str) -> impl Iterator<Item = (char, bool)> {
    // What comes before the text is not its own to mark.
    let mut marks = MARKS_MAX;
    text.chars().map(move |c| {
        if is_hidden(c) {
            marks = 0;
            return (c, true);
        }
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        (c, marks > MARKS_MAX)
    })
}

/// True if all of it may be shown as it is.
pub fn is_harmless(text: &str) -> bool {
    judged(text).all(|(_, hidden)| !hidden)
}

/// True for C0, DEL, C1, bidirectional controls, zero-width characters, fillers, line and paragraph separators, variation
/// selectors, annotations, tags, and what is no character.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_harmless() {
        for text in [
            "",
            "plain – ünïcode 漢字 ñ \u{65}\u{301}",
            "Tie\u{302}\u{301}ng",
            "ש\u{5c1}\u{5b8}\u{5bc}לום",
            "नमस्ते",
            "ก็",
            "한글",
            "😀",
        ] {
            assert!(is_harmless(text), "{text:?}");
        }
    }

    #[test]
    fn what_steers_hides_or_covers_is_not() {
        for bad in "\0\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202e}\u{2066}\
            \u{2069}\u{feff}\u{fe0f}\u{fff9}\u{fffe}\u{1ffff}\u{e0001}\u{e0041}\u{e0100}\u{3164}"
            .chars()
        {
            assert!(!is_harmless(&format!("a{bad}b")), "{bad:?}");
        }
        assert!(!is_harmless("\u{301}a"), "a mark of what comes before");
        assert!(is_harmless(&format!("a{}", "\u{301}".repeat(4))));
        let stack = format!("a{}b", "\u{301}".repeat(10));
        assert_eq!(judged(&stack).filter(|(_, hidden)| *hidden).count(), 6);
    }
}
