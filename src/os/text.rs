//! Text from outside made harmless: nothing in it can steer a terminal, fake a line, or fill a screen; and the word that it was
//! probably meant to be.
//!
//! Imports: model's text. May not: know where the text comes from.

use crate::model::text::judged;

/// The longest text that is let through, in characters.
pub const TEXT_CHARS_MAX: usize = 200;

/// `text` on one line, at most [`TEXT_CHARS_MAX`] characters, with control, bidirectional and invisible characters, and marks
/// that are too many, written out (`\n`, `\u{1b}`, `\u{202e}`). What is cut off ends in `…`.
pub fn sanitise(text: &str) -> String {
    sanitise_within(text, TEXT_CHARS_MAX)
}

/// As [`sanitise`], with at most `max` characters.
pub fn sanitise_within(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    let mut left = max;
    for (c, hidden) in judged(text) {
        let width = if hidden { c.escape_default().count() } else { 1 };
        if width > left {
            out.push('…');
            return out;
        }
        left -= width;
        if hidden {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `1 instance`, `20 instances`: a number with its noun, whose plural ends in s.
pub fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The word that was probably meant, if one is near enough.
pub fn nearest<'a>(given: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 40 {
        return None;
    }
    let lower = given.to_lowercase().replace('-', "_");
    let near = |word: &str| {
        let distance = strsim::damerau_levenshtein(&lower, &word.replace('-', "_"));
        let contained = lower.len() >= 4 && (word.contains(&lower) || (word.len() >= 4 && lower.contains(word)));
        (distance <= (lower.chars().count().max(word.len()) / 3).max(1) || contained).then_some(distance)
    };
    words.filter_map(|word| Some((near(word)?, word))).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(sanitise("plain – ünïcode 漢字"), "plain – ünïcode 漢字");
        assert_eq!(sanitise("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(sanitise("\x1b[2J\u{9b}31m"), "\\u{1b}[2J\\u{9b}31m");
        assert_eq!(sanitise("\u{2028}\u{e0041}"), "\\u{2028}\\u{e0041}");
        assert_eq!(sanitise(&format!("e{}", "\u{301}".repeat(6))), "e\u{301}\u{301}\u{301}\u{301}\\u{301}\\u{301}");
        assert_eq!(sanitise(&sanitise("\x1b\u{301}")), sanitise("\x1b\u{301}"), "once is as good as twice");
        assert_eq!(sanitise("user\u{202e}gpj.exe\u{200b}"), "user\\u{202e}gpj.exe\\u{200b}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(sanitise(&"x".repeat(200)), "x".repeat(200));
        let cut = sanitise(&"x".repeat(201));
        assert_eq!(cut, format!("{}…", "x".repeat(200)));
        let escapes = sanitise(&"\x1b".repeat(1_000_000));
        assert!(escapes.chars().count() <= TEXT_CHARS_MAX + 1 && escapes.ends_with('…'), "{escapes}");
    }

    #[test]
    fn the_nearest_word_is_near() {
        let words = ["retries", "rise", "interval", "timeout", "start_timeout", "batch_size"];
        let near = |given| nearest(given, words.into_iter());
        assert_eq!(near("retrys"), Some("retries"));
        assert_eq!(near("Timeout"), Some("timeout"));
        assert_eq!(near("batch-size"), Some("batch_size"));
        assert_eq!(near("batchsize"), Some("batch_size"));
        assert_eq!(near("start"), Some("start_timeout"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(&"x".repeat(1000)), None);
    }
}
